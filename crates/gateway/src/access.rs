//! Where a request comes from, and the rules about where and when a caller may call.
//!
//! Guarantees: a rule that is set excludes everything else. A caller with source addresses cannot use a unix socket, and a
//! caller with uids cannot use TCP, unless both are listed. An address is compared in its canonical form, so that no other
//! spelling of it (`::ffff:192.0.2.1`) escapes. A uid that the kernel does not tell matches none of the listed. Does not: see
//! through NAT, containers or tunnels: the address is that of the connection.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

/// The uid of nobody; also what a user namespace (`PrivateUsers=` of the unit) shows in place of everybody else's.
pub const OVERFLOW_UID: u32 = 65_534;

/// Where a request came from; the listener puts it into the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An address; the port would make every connection a source of its own.
    Ip(IpAddr),
    /// A unix socket, and the uid of the process that connected, where the kernel tells it.
    Unix {
        /// As this process's user namespace shows it.
        uid: Option<u32>,
    },
}

/// Where and when a call arrives.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Where from.
    pub source: &'a Peer,
    /// When, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Where and when a caller may call. Empty: everywhere, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRules {
    /// Networks that it may call from.
    pub sources: Vec<IpNet>,
    /// Uids of processes that may call over a unix socket.
    pub uids: Vec<u32>,
    /// The moment from which it may not call any more, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// The rule that excludes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessDenied {
    /// Its time is over.
    Expired,
    /// Its address is in no network that is listed.
    Address(IpAddr),
    /// It came over a socket, and its uid is not listed, or not told.
    Uid(Option<u32>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix { uid: None } => f.write_str("unix-socket"),
            Self::Unix { uid: Some(uid) } => write!(f, "unix-socket/uid-{uid}"),
        }
    }
}

impl AccessRules {
    /// Whether a request is admitted: the only code that applies these rules.
    ///
    /// # Errors
    /// [`AccessDenied`] names the first rule that excludes it.
    pub fn admit(&self, arrival: Arrival<'_>) -> Result<(), AccessDenied> {
        if self.expires_ms.is_some_and(|end| arrival.now_ms >= end) {
            return Err(AccessDenied::Expired);
        }
        if self.sources.is_empty() && self.uids.is_empty() {
            return Ok(());
        }
        match *arrival.source {
            Peer::Ip(address) => {
                let address = address.to_canonical();
                let listed = self
                    .sources
                    .iter()
                    .any(|network| network.contains(&address));
                if listed {
                    Ok(())
                } else {
                    Err(AccessDenied::Address(address))
                }
            }
            Peer::Unix { uid } => {
                let listed = uid.is_some_and(|uid| uid != OVERFLOW_UID && self.uids.contains(&uid));
                if listed {
                    Ok(())
                } else {
                    Err(AccessDenied::Uid(uid))
                }
            }
        }
    }
}

impl AccessDenied {
    /// A stable word for records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Address(_) | Self::Uid(_) => "source",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(sources: &[&str], uids: &[u32], expires_ms: Option<u64>) -> AccessRules {
        let sources = sources.iter().map(|text| text.parse().unwrap()).collect();
        AccessRules {
            sources,
            uids: uids.to_vec(),
            expires_ms,
        }
    }

    fn admit(rules: &AccessRules, source: &str) -> Result<(), AccessDenied> {
        let source = match source.strip_prefix("uid ") {
            Some(uid) => Peer::Unix {
                uid: uid.parse().ok(),
            },
            None => Peer::Ip(source.parse().unwrap()),
        };
        rules.admit(Arrival {
            source: &source,
            now_ms: 1000,
        })
    }

    #[test]
    fn without_limits_everybody_comes_in() {
        for source in ["127.0.0.1", "2001:db8::1", "uid 0", "uid unknown"] {
            assert_eq!(admit(&AccessRules::default(), source), Ok(()), "{source}");
        }
    }

    #[test]
    fn addresses_are_compared_by_network_in_canonical_form() {
        let rules = rules(
            &["192.0.2.0/25", "2001:db8::/32", "127.0.0.1/32"],
            &[],
            None,
        );
        for inside in [
            "192.0.2.1",
            "192.0.2.127",
            "::ffff:192.0.2.1",
            "2001:db8::1",
            "127.0.0.1",
        ] {
            assert_eq!(admit(&rules, inside), Ok(()), "{inside}");
        }
        for outside in [
            "192.0.2.128",
            "198.51.100.1",
            "2001:db9::1",
            "127.0.0.2",
            "::1",
            "uid 0",
            "uid unknown",
        ] {
            assert!(admit(&rules, outside).is_err(), "{outside}");
        }
    }

    #[test]
    fn a_uid_that_nobody_tells_or_that_stands_for_many_is_not_listed() {
        let rules = rules(&[], &[1000, OVERFLOW_UID], None);
        assert_eq!(admit(&rules, "uid 1000"), Ok(()));
        for outside in ["uid 1001", "uid 65534", "uid unknown", "127.0.0.1"] {
            assert!(admit(&rules, outside).is_err(), "{outside}");
        }
    }

    #[test]
    fn the_last_moment_is_the_one_before_the_end() {
        assert_eq!(admit(&rules(&[], &[], Some(1001)), "127.0.0.1"), Ok(()));
        assert_eq!(
            admit(&rules(&[], &[], Some(1000)), "127.0.0.1"),
            Err(AccessDenied::Expired)
        );
        assert_eq!(
            admit(&rules(&["192.0.2.0/24"], &[], Some(1)), "127.0.0.1"),
            Err(AccessDenied::Expired)
        );
    }
}
