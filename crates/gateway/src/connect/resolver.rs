//! Names → addresses, as the exchange's whitelist needs them.
//!
//! Guarantees: where a name has an IPv4 address, only IPv4 addresses are returned. Keys are usually bound to one, and a
//! preference is not enough, because the HTTP client falls back to the other family by itself. An address that no public
//! host can have refuses the whole answer, so that a poisoned name cannot send signed calls to a host inside. `localhost`
//! must be loopback, because plain HTTP is spoken with it. Does not: cache.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// How a name is looked up; tests put their own in.
pub type Lookup = Arc<dyn Fn(String) -> Answer + Send + Sync>;

/// The resolver of every connection that we open.
#[derive(Clone)]
pub struct Resolver {
    lookup: Lookup,
    family: Family,
}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// IPv4 where there is any.
    Ipv4First,
    /// IPv6, to see how the other way out looks; never for calls.
    Ipv6Only,
}

/// Why a host has no address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The name service knows none.
    #[error("the name was not resolved")]
    Nothing,
    /// It knows one that no public host can have.
    #[error("{0} is not a public address")]
    Refused(IpAddr),
}

impl Resolver {
    /// Asks the system (`getaddrinfo`).
    #[must_use]
    pub fn system() -> Self {
        Self::with_lookup(Arc::new(|name| {
            Box::pin(async move {
                Ok(tokio::net::lookup_host((name, 0))
                    .await?
                    .map(|address| address.ip())
                    .collect())
            })
        }))
    }

    /// Asks `lookup`.
    #[must_use]
    pub fn with_lookup(lookup: Lookup) -> Self {
        Self {
            lookup,
            family: Family::Ipv4First,
        }
    }

    /// The same, for services that are to be asked over IPv6.
    #[must_use]
    pub fn over_ipv6(&self) -> Self {
        Self {
            lookup: Arc::clone(&self.lookup),
            family: Family::Ipv6Only,
        }
    }

    /// Every address of a host that would be connected to, in order.
    ///
    /// # Errors
    /// [`Unresolved`], as calls would meet it.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![address]);
        }
        let found = (self.lookup)(host.to_owned())
            .await
            .map_err(|_| Unresolved::Nothing)?;
        choose(found, host == "localhost", self.family)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let local = name.as_str() == "localhost";
        let (answer, family) = ((self.lookup)(name.as_str().to_owned()), self.family);
        Box::pin(async move {
            let found = answer.await.map_err(|_| Unresolved::Nothing)?;
            let chosen = choose(found, local, family)?;
            Ok(Box::new(
                chosen
                    .into_iter()
                    .map(|address| SocketAddr::new(address, 0)),
            ) as Addrs)
        })
    }
}

fn choose(found: Vec<IpAddr>, local: bool, family: Family) -> Result<Vec<IpAddr>, Unresolved> {
    let fits = |address: IpAddr| {
        if local {
            address.is_loopback()
        } else {
            is_public(address)
        }
    };
    if let Some(misfit) = found.iter().find(|address| !fits(**address)) {
        return Err(Unresolved::Refused(*misfit));
    }
    let wants_ipv4 = family == Family::Ipv4First && found.iter().any(IpAddr::is_ipv4);
    let chosen: Vec<IpAddr> = found
        .into_iter()
        .filter(|address| address.is_ipv4() == wants_ipv4)
        .collect();
    if chosen.is_empty() {
        return Err(Unresolved::Nothing);
    }
    Ok(chosen)
}

/// Whether a public host can have this address.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => address
            .to_ipv4_mapped()
            .map_or_else(|| is_public_v6(address), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let benchmarking = first == 198 && (18..20).contains(&second);
    let protocol = first == 192 && second == 0 && third == 0;
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation();
    !(special || shared || benchmarking || protocol || first == 0 || first >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        // IPv4 behind a NAT64 gateway.
        return is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    let [first, second, ..] = address.segments();
    let documentation = first == 0x2001 && second == 0xdb8;
    // Global unicast is 2000::/3; everything else is loopback, private, link-local, multicast or unassigned.
    (first & 0xe000) == 0x2000 && !documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_ipv4_is_used_where_there_is_any() {
        let chosen = choose(
            ips(&["2606:4700::1", "104.18.1.1"]),
            false,
            Family::Ipv4First,
        )
        .unwrap();
        assert_eq!(chosen, ips(&["104.18.1.1"]));
        assert_eq!(
            choose(ips(&["2606:4700::1"]), false, Family::Ipv4First).unwrap(),
            ips(&["2606:4700::1"])
        );
        let other = choose(
            ips(&["2606:4700::1", "104.18.1.1"]),
            false,
            Family::Ipv6Only,
        )
        .unwrap();
        assert_eq!(other, ips(&["2606:4700::1"]));
        assert!(choose(ips(&["104.18.1.1"]), false, Family::Ipv6Only).is_err());
    }

    #[test]
    fn one_inward_address_refuses_the_whole_answer() {
        for inward in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "2001:db8::1",
            "192.0.2.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
        ] {
            let refusal =
                choose(ips(&["104.18.1.1", inward]), false, Family::Ipv4First).unwrap_err();
            assert_eq!(refusal, Unresolved::Refused(inward.parse().unwrap()));
        }
    }

    #[test]
    fn localhost_must_be_local_and_an_empty_answer_is_none() {
        let first = |texts: &[&str], local| choose(ips(texts), local, Family::Ipv4First);
        assert!(first(&["127.0.0.1", "::1"], true).is_ok());
        assert_eq!(
            first(&["104.18.1.1"], true),
            Err(Unresolved::Refused("104.18.1.1".parse().unwrap()))
        );
        assert!(first(&["64:ff9b::6812:101"], false).is_ok());
        assert_eq!(first(&[], false), Err(Unresolved::Nothing));
    }
}
