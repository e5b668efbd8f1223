//! What the listener and the layers note on a request, how its body is read, and which `Host` it may name.
//!
//! Guarantees: a request's id is made by us; one that a caller sends along is not looked at. A request names exactly one
//! host: an IP literal, `localhost`, `host.docker.internal` or a configured name. So a name that an attacker resolves to
//! us (DNS rebinding) opens nothing; an IP literal cannot be such a name. The absolute form is not served. A check of a
//! load balancer in HTTP/1.0 needs no `Host`.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::{self, AsHeaderName},
    uri::Authority,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use uuid::Uuid;

use super::{AppState, rejections::Refused};
use crate::places::Place;
use gateway::{access::Peer, auth::Caller, clock::Clock, upstream::media_type};

/// The source of a request, as the listener noted it; one without is nobody's in particular.
pub(super) fn source_of(request: &Request<Body>) -> Peer {
    request
        .extensions()
        .get::<Peer>()
        .cloned()
        .unwrap_or(Peer::Unix { uid: None })
}

/// A request's id, made by us: one that a caller sends along is not trusted.
#[derive(Clone, Debug)]
pub(super) struct Rid(pub(super) Arc<str>);

/// The id of a request that came through the layers.
pub(super) fn request_id(request: &Request<Body>) -> Arc<str> {
    request
        .extensions()
        .get::<Rid>()
        .map_or_else(|| Arc::from(""), |rid| Arc::clone(&rid.0))
}

/// Makes request ids: time-ordered (UUID version 7), unique, and not secret.
///
/// The random part is drawn once and counted up from, which saves a system call for each request.
#[derive(Debug)]
pub struct RequestIds {
    clock: Clock,
    next: AtomicU64,
    process: [u8; 2],
}

impl RequestIds {
    /// Ids with times of this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let [high, low, rest @ ..] = *Uuid::new_v4().as_bytes();
        let [.., a, b, c, d, e, f, g, h] = rest;
        Self {
            clock,
            next: AtomicU64::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            process: [high, low],
        }
    }

    pub(super) fn next(&self) -> Uuid {
        let [a, b, c, d, e, f, g, h] = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let [high, low] = self.process;
        uuid::Builder::from_unix_timestamp_millis(
            self.clock.now_ms(),
            &[high, low, a, b, c, d, e, f, g, h],
        )
        .into_uuid()
    }
}

/// The place of the request's connection, as long as nobody is known there.
pub(super) fn place_of(request: &Request<Body>) -> Option<Arc<Place>> {
    request.extensions().get::<Arc<Place>>().cloned()
}

/// Notes for its connection whose a request is, once that is settled. One that has to leave, because its caller has too
/// many, is counted, and its request waits here for the end of its connection: nothing is done for it.
pub(super) async fn known(
    app: &AppState,
    source: &Peer,
    place: Option<&Arc<Place>>,
    caller: &Caller,
) {
    if let Some(place) = place {
        if !place.known(&caller.name) {
            app.rejections.count(source, Refused::Crowded);
            std::future::pending::<()>().await;
        }
        place.keep(|| app.guesses.presence(source, &caller.name));
    }
}

/// Marks the answer to a caller whose token was valid: only such callers keep their connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownCaller;

/// A header that stands in the request exactly once.
pub(super) fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

/// The caller's own name for a call, by which it may ask again (draft-ietf-httpapi-idempotency-key-header: a quoted text;
/// bare ones are common, and taken).
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longer keys are none.
const MAX_KEY_BYTES: usize = 128;

/// The request's idempotency key.
///
/// # Errors
/// It is no key: empty, repeated, too long, or not plain text.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, BadKey> {
    if !headers.contains_key(IDEMPOTENCY_KEY) {
        return Ok(None);
    }
    let value = only(headers, IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
    let key = value.map(|value| {
        let bare = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        bare.unwrap_or(value)
    });
    match key {
        Some(key)
            if (1..=MAX_KEY_BYTES).contains(&key.len())
                && key.bytes().all(|byte| matches!(byte, b'!'..=b'~')) =>
        {
            Ok(Some(key))
        }
        _ => Err(BadKey),
    }
}

/// An `Idempotency-Key` that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Idempotency-Key must be one text of 1 to 128 visible ASCII characters; nothing was sent")]
pub(super) struct BadKey;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is longer than the limit.
    TooLong,
    /// It did not arrive in time.
    TooSlow,
    /// It broke off, or its framing is broken.
    Broken,
}

impl BodyError {
    /// A stable word for records.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::TooLong => "body_too_long",
            Self::TooSlow => "body_deadline",
            Self::Broken => "body_broken",
        }
    }
}

/// What editors and some programs write before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The whole body, within these limits, and without a byte order mark.
pub(super) async fn read_body(
    request: Request<Body>,
    limit: usize,
    deadline: Duration,
) -> Result<Bytes, BodyError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced
        .is_some_and(|length: u64| usize::try_from(length).map_or(true, |length| length > limit))
    {
        return Err(BodyError::TooLong);
    }
    let collected = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(deadline, collected).await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Ok(body)) => {
            let mut bytes = body.to_bytes();
            if bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.advance(BYTE_ORDER_MARK.len());
            }
            Ok(bytes)
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLong),
        Ok(Err(_)) => Err(BodyError::Broken),
    }
}

/// Whether the body says that it is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers) == "application/json"
}

/// Names that are always served.
const OWN_NAMES: [&str; 2] = ["localhost", "host.docker.internal"];

/// Whether a request names one host that we serve.
pub(super) fn is_served(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> bool {
    let Some(host) = only(headers, header::HOST) else {
        return false;
    };
    if uri.scheme().is_some() || uri.authority().is_some() {
        return false;
    }
    host.to_str()
        .is_ok_and(|host| is_own(host) || is_named(host, allowed))
}

/// Whether a request that names an `Origin` names one that streams are served for: the very host and port that it asks for,
/// as some client libraries write it for every program, or one that is listed. Names that a page could have been made to
/// resolve to us are refused by `Host` before. A page of another port, or of any other host that we serve, is another one.
pub(super) fn is_own_origin(headers: &HeaderMap, allowed: &[String]) -> bool {
    let text = |name| only(headers, name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else {
        return false;
    };
    if allowed.iter().any(|allowed| allowed == origin) {
        return true;
    }
    let (of_origin, default_port) = if let Some(rest) = origin.strip_prefix("http://") {
        (rest, ":80")
    } else if let Some(rest) = origin.strip_prefix("https://") {
        (rest, ":443")
    } else {
        return false;
    };
    let without_default = |host| str::strip_suffix(host, default_port).unwrap_or(host);
    without_default(of_origin).eq_ignore_ascii_case(without_default(host))
}

/// Whether this is a load balancer's check in HTTP/1.0, which knows no `Host` (HAProxy's default). A browser always names
/// one, so that a rebound name cannot come this way.
pub(super) fn is_plain_check(request: &Request<Body>) -> bool {
    request.version() == Version::HTTP_10
        && request.method() == Method::GET
        && matches!(request.uri().path(), "/health" | "/ready")
        && request.uri().authority().is_none()
        && !request.headers().contains_key(header::HOST)
        && !request.headers().contains_key(header::ORIGIN)
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
    let port = host.strip_prefix(name).unwrap_or_default();
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return false;
    }
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

/// What headers begin with that some programs show, and that nobody reads: not the exchange, and no endpoint here.
const FOREIGN: &str = "x-capi-";

/// Whether headers of a scheme that exists nowhere are shown.
pub(super) fn shows_foreign_scheme(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .any(|name| name.as_str().starts_with(FOREIGN))
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
    fn an_origin_is_our_own_where_host_and_port_are_those_of_this_request() {
        let own = |origins: &[&str], host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            for origin in origins {
                headers.append(header::ORIGIN, origin.parse().unwrap());
            }
            is_own_origin(&headers, &["https://page.example".to_owned()])
        };
        for (origin, host) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000"),
            ("https://127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://LOCALHOST:9000", "localhost:9000"),
            ("http://[::1]:9000", "[::1]:9000"),
            ("https://proxy.example", "proxy.example"),
            ("https://proxy.example", "proxy.example:443"),
            ("http://proxy.example:80", "proxy.example"),
            ("https://page.example", "127.0.0.1:9000"),
        ] {
            assert!(own(&[origin], host), "{origin} at {host}");
        }
        for (origin, host) in [
            ("http://127.0.0.1:8000", "127.0.0.1:9000"),
            ("http://127.0.0.1", "127.0.0.1:9000"),
            ("http://localhost:9000", "127.0.0.1:9000"),
            ("http://evil.example", "127.0.0.1:9000"),
            ("http://127.0.0.1:9000.evil.example", "127.0.0.1:9000"),
            ("http://127.0.0.1:9000/", "127.0.0.1:9000"),
            ("http://evil@127.0.0.1:9000", "127.0.0.1:9000"),
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("file://127.0.0.1:9000", "127.0.0.1:9000"),
            ("https://proxy.example", "proxy.example:80"),
            ("https://sub.page.example", "127.0.0.1:9000"),
            ("http://page.example", "127.0.0.1:9000"),
            ("null", "127.0.0.1:9000"),
            ("", "127.0.0.1:9000"),
        ] {
            assert!(!own(&[origin], host), "{origin} at {host}");
        }
        let twice = ["http://127.0.0.1:9000", "http://127.0.0.1:9000"];
        assert!(!own(&twice, "127.0.0.1:9000"));
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
            "127.0.0.1:90090",
            "[::1]:90090",
            "[::1]:",
            "proxy.example:90090",
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
