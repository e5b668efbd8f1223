//! Names → addresses, as the exchange's whitelist needs them.
//!
//! Guarantees: addresses of one family only. Keys are usually bound to an IPv4 address, so these are returned where the name
//! has any; a preference is not enough, because the HTTP client falls back to the other family by itself. Where this host
//! has no way to any of them, and one to an IPv6 address of the name, it is the IPv6 addresses. An address that no public
//! host can have refuses the whole answer, so that a poisoned name cannot send signed calls to a host inside. `localhost`
//! must be loopback, because plain HTTP is spoken with it. Does not: cache.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustix::io::Errno;

use super::untrusted::words;

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// How a name is looked up; tests put their own in.
pub type Lookup = Arc<dyn Fn(String) -> Answer + Send + Sync>;

/// Whether this host has a way to an address; tests put their own in.
pub type Routes = fn(IpAddr) -> bool;

/// The resolver of every connection that we open.
#[derive(Clone)]
pub struct Resolver {
    lookup: Lookup,
    routes: Routes,
    family: Family,
}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// IPv4 where there is any, unless IPv6 alone leads there.
    Ipv4First,
    /// IPv4, to see how that way out looks; never for calls.
    Ipv4Only,
    /// IPv6, likewise.
    Ipv6Only,
}

/// Why a host has no address to connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The name service knows none.
    #[error("the name was not resolved")]
    Nothing,
    /// What the system said when it was asked.
    #[error("{0}")]
    Failed(String),
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
            routes: has_route,
            family: Family::Ipv4First,
        }
    }

    /// The same on a host that has these ways.
    #[must_use]
    pub fn with_routes(self, routes: Routes) -> Self {
        Self { routes, ..self }
    }

    /// The same, for services that are to be asked over IPv4.
    #[must_use]
    pub fn over_ipv4(&self) -> Self {
        self.of(Family::Ipv4Only)
    }

    /// The same, for services that are to be asked over IPv6.
    #[must_use]
    pub fn over_ipv6(&self) -> Self {
        self.of(Family::Ipv6Only)
    }

    fn of(&self, family: Family) -> Self {
        Self {
            lookup: Arc::clone(&self.lookup),
            routes: self.routes,
            family,
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
        let found = (self.lookup)(host.to_owned()).await.map_err(failed)?;
        choose(found, host == "localhost", self.family, self.routes)
    }

    /// Whether calls to a host leave by IPv6, as far as its name tells now.
    pub async fn leaves_by_ipv6(&self, host: &str) -> bool {
        let found = self.addresses(host).await.unwrap_or_default();
        found.first().copied().is_some_and(is_over_ipv6)
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
        let answer = (self.lookup)(name.as_str().to_owned());
        let (family, routes) = (self.family, self.routes);
        Box::pin(async move {
            let found = answer.await.map_err(failed)?;
            let chosen = choose(found, local, family, routes)?;
            Ok(Box::new(
                chosen
                    .into_iter()
                    .map(|address| SocketAddr::new(address, 0)),
            ) as Addrs)
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: io::Error) -> Unresolved {
    let said = words(&error);
    let said = said
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&said);
    Unresolved::Failed(said.to_owned())
}

fn choose(
    found: Vec<IpAddr>,
    local: bool,
    family: Family,
    routes: Routes,
) -> Result<Vec<IpAddr>, Unresolved> {
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
    let (ipv4, ipv6): (Vec<IpAddr>, Vec<IpAddr>) = found.iter().copied().partition(IpAddr::is_ipv4);
    let leads_there = |addresses: &[IpAddr]| addresses.iter().any(|address| routes(*address));
    // Without any way, as while the network is down, it is the family that the key is usually bound to.
    let ipv6_alone = || ipv4.is_empty() || !leads_there(&ipv4) && leads_there(&ipv6);
    let chosen = match family {
        Family::Ipv6Only => ipv6,
        Family::Ipv4First if ipv6_alone() => ipv6,
        Family::Ipv4First | Family::Ipv4Only => ipv4,
    };
    if chosen.is_empty() {
        return Err(Unresolved::Nothing);
    }
    Ok(chosen)
}

/// Asks the kernel, which chooses the way of a socket that sends nothing. Only its "no way" is an answer: all else is for
/// the connection to find out.
fn has_route(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let chosen = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 443)));
    !chosen.is_err_and(|error| is_no_way(&error))
}

/// Whether the kernel says that nothing can be sent there: no route or a forbidden one (`unreachable`, `prohibit`,
/// `blackhole`), no address of our own, or no such family here.
fn is_no_way(error: &io::Error) -> bool {
    let no_way = [
        Errno::NETUNREACH,
        Errno::HOSTUNREACH,
        Errno::ACCESS,
        Errno::INVAL,
        Errno::ADDRNOTAVAIL,
        Errno::AFNOSUPPORT,
    ];
    Errno::from_io_error(error).is_some_and(|error| no_way.contains(&error))
}

/// Whether whoever has this address sees us come from an IPv6 address. Not on this machine, and not behind a NAT64 gateway.
#[must_use]
pub fn is_over_ipv6(peer: IpAddr) -> bool {
    let IpAddr::V6(address) = peer else {
        return false;
    };
    let is_ipv4 = address.to_ipv4_mapped().is_some() || behind_nat64(address).is_some();
    !is_ipv4 && !address.is_loopback()
}

/// The IPv4 address that a NAT64 gateway connects to for this one (RFC 6052).
fn behind_nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
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
    if let Some(behind) = behind_nat64(address) {
        return is_public_v4(behind);
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

    const EVERYWHERE: Routes = |_| true;
    const NO_IPV4: Routes = |address| address.is_ipv6();

    #[test]
    fn one_family_is_used_and_it_is_ipv4_where_there_is_a_way() {
        let both = ["2606:4700::1", "104.18.1.1", "2606:4700::2", "104.18.1.2"];
        let (ipv4, ipv6) = (
            ["104.18.1.1", "104.18.1.2"],
            ["2606:4700::1", "2606:4700::2"],
        );
        let nowhere: Routes = |_| false;
        let rows: [(&[&str], Family, Routes, &[&str]); 10] = [
            (&both, Family::Ipv4First, EVERYWHERE, &ipv4),
            (&both, Family::Ipv4First, NO_IPV4, &ipv6),
            (&both, Family::Ipv4First, nowhere, &ipv4),
            (&ipv4, Family::Ipv4First, NO_IPV4, &ipv4),
            (&ipv6, Family::Ipv4First, EVERYWHERE, &ipv6),
            (&both, Family::Ipv6Only, EVERYWHERE, &ipv6),
            (&ipv6, Family::Ipv6Only, NO_IPV4, &ipv6),
            (&ipv4, Family::Ipv6Only, EVERYWHERE, &[]),
            (&both, Family::Ipv4Only, NO_IPV4, &ipv4),
            (&ipv6, Family::Ipv4Only, NO_IPV4, &[]),
        ];
        for (number, (found, family, routes, chosen)) in rows.into_iter().enumerate() {
            let seen = choose(ips(found), false, family, routes);
            assert_eq!(seen.unwrap_or_default(), ips(chosen), "row {number}");
        }
    }

    #[test]
    fn there_is_a_way_to_this_machine_and_none_to_what_no_host_has() {
        assert!(has_route([127, 0, 0, 1].into()));
        // Whatever ways this machine has: nothing is sent, and nothing hangs.
        let _ = has_route([192, 0, 2, 1].into());
    }

    #[test]
    fn no_way_is_what_the_kernel_says_of_the_way_and_nothing_else() {
        let rows = [
            ("no route", Errno::NETUNREACH, true),
            ("an unreachable route", Errno::HOSTUNREACH, true),
            ("a prohibited route", Errno::ACCESS, true),
            ("a black hole", Errno::INVAL, true),
            ("no address of our own", Errno::ADDRNOTAVAIL, true),
            ("the family is switched off", Errno::AFNOSUPPORT, true),
            ("no file descriptor is left", Errno::MFILE, false),
            ("no port is left", Errno::ADDRINUSE, false),
            ("no memory is left", Errno::NOBUFS, false),
        ];
        for (what, error, no_way) in rows {
            assert_eq!(is_no_way(&error.into()), no_way, "{what}");
        }
    }

    #[test]
    fn the_family_is_that_in_which_the_other_side_sees_us() {
        for (peer, over_ipv6) in [
            ("2606:4700::7", true),
            ("104.18.0.7", false),
            ("::ffff:104.18.0.7", false),
            ("64:ff9b::6812:7", false),
            ("::1", false),
        ] {
            assert_eq!(is_over_ipv6(peer.parse().unwrap()), over_ipv6, "{peer}");
        }
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
            for routes in [EVERYWHERE, NO_IPV4] {
                let found = ips(&["104.18.1.1", inward]);
                let refusal = choose(found, false, Family::Ipv4First, routes).unwrap_err();
                assert_eq!(refusal, Unresolved::Refused(inward.parse().unwrap()));
            }
        }
    }

    #[test]
    fn localhost_must_be_local_and_an_empty_answer_is_none() {
        let first =
            |texts: &[&str], local| choose(ips(texts), local, Family::Ipv4First, EVERYWHERE);
        assert!(first(&["127.0.0.1", "::1"], true).is_ok());
        assert_eq!(
            first(&["104.18.1.1"], true),
            Err(Unresolved::Refused("104.18.1.1".parse().unwrap()))
        );
        assert!(first(&["64:ff9b::6812:101"], false).is_ok());
        assert_eq!(first(&[], false), Err(Unresolved::Nothing));
    }
}
