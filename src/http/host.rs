//! Which `Host` a request may name.
//!
//! Guarantees: exactly one, and an IP literal, `localhost`, `host.docker.internal` or a configured name, so that a name
//! that an attacker resolves to us (DNS rebinding) opens nothing; an IP literal cannot be such a name. No absolute form.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, Uri, header, uri::Authority};

/// Names that are always served.
const OWN_NAMES: [&str; 2] = ["localhost", "host.docker.internal"];

/// Whether a request names one host that we serve.
pub(super) fn is_served(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> bool {
    let mut values = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else {
        return false;
    };
    if uri.scheme().is_some() || uri.authority().is_some() {
        return false;
    }
    host.to_str()
        .is_ok_and(|host| is_own(host) || is_named(host, allowed))
}

/// The common case, without parsing: an IPv4 literal or `localhost`, with or without a port.
fn is_own(host: &str) -> bool {
    let name = host
        .split_once(':')
        .map_or(host, |(name, port)| if is_port(port) { name } else { "" });
    name.parse::<Ipv4Addr>().is_ok() || OWN_NAMES.iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn is_named(host: &str, allowed: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    let ipv6 = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    ipv6.is_some_and(|name| name.parse::<Ipv6Addr>().is_ok())
        || allowed
            .iter()
            .any(|allowed| name.eq_ignore_ascii_case(allowed))
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(hosts: &[&str], uri: &str) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        is_served(
            &headers,
            &uri.parse().unwrap(),
            &["proxy.example".to_owned()],
        )
    }

    #[test]
    fn literals_own_names_and_configured_names_are_served() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9000",
            "172.31.31.131:9000",
            "localhost",
            "LOCALHOST:9000",
            "[::1]:9000",
            "[fe80::1]",
            "host.docker.internal:9000",
            "proxy.example",
            "Proxy.Example:9000",
        ] {
            assert!(served(&[host], "/health"), "{host}");
        }
    }

    #[test]
    fn rebound_names_and_tricks_are_not() {
        for host in [
            "evil.example",
            "",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.example:9000",
            "127.0.0.1:x",
            "user@127.0.0.1",
            "localhost@evil.example",
            "127.1",
            "[::1",
            "2130706433",
        ] {
            assert!(!served(&[host], "/health"), "{host:?}");
        }
        assert!(!served(&[], "/health"));
        assert!(!served(&["127.0.0.1", "127.0.0.1"], "/health"));
        assert!(!served(&["127.0.0.1"], "http://127.0.0.1/health"));
    }
}
