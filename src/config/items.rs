//! The items of lists: text → value, or what is wrong with it and what to write instead.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use url::Url;

use super::names;
use crate::server::Address;
use catalogue::methods::{self, Class};
use gateway::upstream::is_on_loopback;
use protocol::call::Method;

/// A unix socket's path must fit into the kernel's structure, with a NUL at its end.
const MAX_SOCKET_PATH: usize = 107;
/// The classes that a policy can name: public methods are not signed.
const CLASSES: [Class; 5] = [
    Class::Read,
    Class::Trade,
    Class::Products,
    Class::Transfer,
    Class::AccountAdmin,
];

/// What is wrong with an item, and what to write instead.
pub(super) type Unusable = (String, String);

pub(super) fn address(text: &str) -> Result<Address, Unusable> {
    if let Some(path) = text.strip_prefix("unix:") {
        let usable = path.starts_with('/') && !path.ends_with('/') && path.len() <= MAX_SOCKET_PATH;
        let problem = || {
            (
                format!("is not an absolute path of at most {MAX_SOCKET_PATH} bytes"),
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
        ("is not an address with a port".to_owned(), remedy)
    })
}

/// A name that `Host` may hold, in lower case.
pub(super) fn host(text: &str) -> Result<String, Unusable> {
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
        "is not a host name".to_owned(),
        "write the name alone: no scheme, no port, no wildcard".to_owned(),
    ))
}

/// An origin, exactly as browsers write it.
pub(super) fn origin(text: &str) -> Result<String, Unusable> {
    let is_exact = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    });
    if is_exact && !text.contains('*') {
        return Ok(text.to_owned());
    }
    Err((
        "is not an origin".to_owned(),
        "write it as the browser does, https://page.example or http://page.example:8080: lower case, no path, no \
         wildcard, not null"
            .to_owned(),
    ))
}

/// A network, or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, Unusable> {
    let network = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| {
        (
            "is not a network".to_owned(),
            "write it as 192.0.2.0/24 or 192.0.2.1".to_owned(),
        )
    })
}

pub(super) fn service(text: &str) -> Result<Url, Unusable> {
    let url = Url::parse(text).map_err(|_| {
        (
            "is no URL".to_owned(),
            "write it as https://api.ipify.org".to_owned(),
        )
    })?;
    if url.scheme() == "https" || url.scheme() == "http" && is_on_loopback(&url) {
        return Ok(url);
    }
    Err((
        "is not https".to_owned(),
        "an answer that anybody may change proves nothing; write https://".to_owned(),
    ))
}

pub(super) fn class(text: &str) -> Result<Class, Unusable> {
    let class = Class::from_name(text.trim()).filter(|class| CLASSES.contains(class));
    class.ok_or_else(|| {
        let names = CLASSES.map(Class::name);
        let remedy = names::suggestion(text, names, &format!("write one of {}", names.join(", ")));
        ("is not a class of methods".to_owned(), remedy)
    })
}

pub(super) fn method(text: &str) -> Result<Method, Unusable> {
    let method = Method::parse(text.trim()).ok().filter(Method::is_private);
    method.ok_or_else(|| {
        (
            "is not the name of a private method".to_owned(),
            "write it as private/create-order".to_owned(),
        )
    })
}

/// The warning about a method that can be used.
pub(super) fn doubt(method: &Method) -> Option<Unusable> {
    let name = method.as_str();
    match method.info() {
        None => {
            let known = methods::all().map(|info| info.name);
            let remedy = names::suggestion(name, known, "make sure of its name");
            Some((format!("the catalogue does not know {name}"), remedy))
        }
        Some(info) if info.verb.is_none() => {
            let text = format!("{name} exists on WebSockets only");
            Some((text, "remove it".to_owned()))
        }
        Some(_) => None,
    }
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
    fn host_names_stand_alone() {
        assert_eq!(host("Proxy.Example"), Ok("proxy.example".to_owned()));
        for text in ["", "*", "a:1", "http://a", "a..b", "-a"] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
