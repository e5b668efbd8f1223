//! How the HTTP client is set up, and why.
//!
//! Guarantees: HTTP/1.1 only (over it a broken call can be classified), no redirect, no retry, no proxy variables, no
//! decompression, trust roots from a fixed file instead of what `SSL_CERT_FILE` says. Source: the client's own code and
//! our tests of each.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{base::BaseUrl, resolver::Resolver, roots};

/// How the exchange is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where calls go.
    pub base: BaseUrl,
    /// For name, TCP and TLS together.
    pub connect_deadline: Duration,
    /// The largest answer that is passed on, in bytes.
    pub max_reply_bytes: usize,
    /// The trust roots as PEM; `None` takes the system's bundle from its usual place.
    pub ca_file: Option<PathBuf>,
    /// Idle connections are closed after this time.
    pub idle_timeout: Duration,
}

impl Settings {
    /// The defaults, for a base URL.
    #[must_use]
    pub const fn new(base: BaseUrl) -> Self {
        Self {
            base,
            connect_deadline: Duration::from_secs(3),
            max_reply_bytes: 1 << 20,
            ca_file: None,
            idle_timeout: Duration::from_secs(50),
        }
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientProblem {
    /// The trust roots could not be read.
    #[error(transparent)]
    Roots(#[from] roots::RootsProblem),
    /// The client's own complaint.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// Unacknowledged data and idle connections of a peer that vanished are given up after this time.
const PEER_GONE_AFTER: Duration = Duration::from_secs(15);

pub(super) fn build(settings: &Settings, resolver: Resolver) -> Result<reqwest::Client, ClientProblem> {
    install_tls_provider();
    let mut builder = reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .https_only(settings.base.is_https())
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .connect_timeout(settings.connect_deadline)
        .tcp_nodelay(true)
        .tcp_keepalive(PEER_GONE_AFTER)
        .tcp_user_timeout(PEER_GONE_AFTER)
        .pool_idle_timeout(settings.idle_timeout)
        .user_agent(concat!("crypto-proxy/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(resolver));
    builder = if settings.base.is_https() {
        builder.tls_certs_only(roots::read(settings.ca_file.as_deref())?)
    } else {
        builder.tls_certs_only([])
    };
    builder.build().map_err(|error| ClientProblem::Client(error.without_url()))
}

/// rustls needs one provider for the process; a second call finds it installed.
fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
