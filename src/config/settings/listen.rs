//! Where callers reach us, and what a connection may cost.
//!
//! Guarantees: an address that sends clear text over a network is said at every start.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;

use super::super::{credentials::Reach, reader::Reader, report::Problem};
use crate::{
    http,
    server::{self, Address},
};

const KEY: &str = "listen";
/// A unix socket's path must fit into the kernel's structure, with a NUL at its end.
const MAX_SOCKET_PATH: usize = 107;
/// hyper refuses to work with less.
const LEAST_HEAD_BYTES: usize = 8192;

/// Who can reach these addresses.
pub(in super::super) fn reach(listen: &[Address]) -> Reach {
    if listen.iter().all(Address::is_local) {
        Reach::Local
    } else {
        Reach::Beyond
    }
}

pub(super) fn server(reader: &mut Reader<'_>) -> server::Settings {
    let default = server::Settings::default();
    let listen = addresses(reader);
    let socket_group = reader.text("listener.socket_group");
    if socket_group.is_some()
        && !listen
            .iter()
            .any(|address| matches!(address, Address::Unix(_)))
    {
        reader.warn(
            "listener.socket_group",
            "there is no unix socket to listen on",
            "add unix:/run/… to listen",
        );
    }
    server::Settings {
        listen,
        socket_group,
        max_connections: reader.number(
            "listener.max_connections",
            default.max_connections,
            8..=65_536,
        ),
        first_request_deadline: reader.millis(
            "listener.first_request_deadline_ms",
            default.first_request_deadline,
            100..=120_000,
        ),
        idle_deadline: reader.millis(
            "listener.idle_deadline_ms",
            default.idle_deadline,
            1000..=3_600_000,
        ),
        max_headers: reader.number("listener.max_headers", default.max_headers, 16..=1024),
        max_head_bytes: reader.number(
            "listener.max_head_bytes",
            default.max_head_bytes,
            LEAST_HEAD_BYTES..=1 << 20,
        ),
        drain_deadline: reader.millis(
            "listener.drain_deadline_ms",
            default.drain_deadline,
            1000..=300_000,
        ),
    }
}

pub(super) fn http(reader: &mut Reader<'_>) -> http::Settings {
    let default = http::Settings::default();
    http::Settings {
        allowed_hosts: reader.parsed("allowed_hosts", &[], host),
        max_body_bytes: reader.number(
            "listener.max_body_bytes",
            default.max_body_bytes,
            1024..=16 << 20,
        ),
        body_deadline: reader.millis(
            "listener.body_deadline_ms",
            default.body_deadline,
            100..=60_000,
        ),
        exchange_v1: exchange_v1(reader),
    }
}

fn exchange_v1(reader: &mut Reader<'_>) -> http::ExchangeApiSettings {
    let default = http::ExchangeApiSettings::default();
    let calls_per_s = reader.number("public.calls_per_s", default.public_calls_per_s, 1..=10_000);
    http::ExchangeApiSettings {
        deadline: reader.millis("exchange_v1.deadline_ms", default.deadline, 500..=60_000),
        public_sources: reader.parsed("public.sources", &[], network),
        public_calls_per_s: calls_per_s,
    }
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, (String, String)> {
    let network = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| {
        (
            "is no network".to_owned(),
            "write it as 192.0.2.0/24 or 192.0.2.1".to_owned(),
        )
    })
}

fn addresses(reader: &mut Reader<'_>) -> Vec<Address> {
    let default = server::Settings::default().listen;
    let shown: Vec<String> = default.iter().map(show).collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    let errors = reader.problems.errors().count();
    let mut listen = reader.parsed(KEY, &shown, address);
    listen.dedup();
    if listen.is_empty() && reader.problems.errors().count() == errors {
        reader.error(
            KEY,
            "names no address",
            "write [\"127.0.0.1:9000\"], or take it out",
            None,
        );
    }
    for address in listen.iter().filter(|address| !address.is_local()) {
        let text = format!(
            "tokens and orders travel in clear text to {}",
            show(address)
        );
        let problem = Problem::warning(
            KEY,
            &reader.origin(KEY),
            text,
            "keep that network private, or listen on loopback",
        );
        reader
            .problems
            .push(problem.ready("listens beyond loopback, in clear text"));
    }
    listen
}

fn show(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn address(text: &str) -> Result<Address, (String, String)> {
    if let Some(path) = text.strip_prefix("unix:") {
        let usable = path.starts_with('/') && !path.ends_with('/') && path.len() <= MAX_SOCKET_PATH;
        let problem = || {
            (
                format!("is no absolute path of at most {MAX_SOCKET_PATH} bytes"),
                "write unix:/run/crypto-proxy/example.sock".to_owned(),
            )
        };
        return if usable {
            Ok(Address::Unix(PathBuf::from(path)))
        } else {
            Err(problem())
        };
    }
    text.parse::<SocketAddr>().map(Address::Tcp).map_err(|_| {
        let remedy = match text.parse::<IpAddr>() {
            Ok(ip) => format!("add a port: {}", SocketAddr::new(ip, 9000)),
            Err(_) => "write an address and a port as 127.0.0.1:9000, or unix:/run/…".to_owned(),
        };
        ("is no address with a port".to_owned(), remedy)
    })
}

/// A name that `Host` may hold, in lower case.
fn host(text: &str) -> Result<String, (String, String)> {
    let name = text.trim().to_ascii_lowercase();
    let labels_fit = name.split('.').all(|label| {
        let edge = label.starts_with('-') || label.ends_with('-');
        !label.is_empty()
            && !edge
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    });
    if labels_fit && name.len() <= 253 {
        return Ok(name);
    }
    Err((
        "is no host name".to_owned(),
        "write the name alone: no scheme, no port, no wildcard".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_tcp_with_a_port_or_unix_with_an_absolute_path() {
        assert_eq!(
            address("[::1]:9000"),
            Ok(Address::Tcp("[::1]:9000".parse().unwrap()))
        );
        assert_eq!(
            address("unix:/run/x.sock"),
            Ok(Address::Unix("/run/x.sock".into()))
        );
        for text in [
            "localhost:9000",
            "9000",
            "127.0.0.1",
            "unix:x",
            "unix:/",
            "127.0.0.1:70000",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
        assert_eq!(
            address("10.0.0.1").unwrap_err().1,
            "add a port: 10.0.0.1:9000"
        );
    }

    #[test]
    fn everything_but_loopback_and_unix_is_beyond() {
        for (text, beyond) in [
            ("127.0.0.1:1", Reach::Local),
            ("127.9.9.9:1", Reach::Local),
            ("[::1]:1", Reach::Local),
            ("[::ffff:127.0.0.1]:1", Reach::Local),
            ("unix:/run/x", Reach::Local),
            ("0.0.0.0:1", Reach::Beyond),
            ("[::]:1", Reach::Beyond),
            ("172.31.31.131:9000", Reach::Beyond),
        ] {
            assert_eq!(reach(&[address(text).unwrap()]), beyond, "{text}");
        }
    }

    #[test]
    fn host_names_stand_alone() {
        assert_eq!(host("Proxy.Example"), Ok("proxy.example".to_owned()));
        for text in ["", "*", "a:1", "http://a", "a..b", "-a"] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
