//! How the HTTP client is set up, and why.
//!
//! Guarantees: HTTP/1.1 only (over it a broken call can be classified), no redirect, no retry, no proxy variables, no
//! decompression, trust roots from a fixed file instead of what `SSL_CERT_FILE` says. Source: the client's own code and
//! our tests of each.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use url::Url;

use super::{
    base::{BaseUrl, is_loopback},
    resolver::Resolver,
    roots,
};

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
    /// A service that is neither https nor on this machine.
    #[error("{0} must be https (http is for loopback only)")]
    NotHttps(Url),
    /// The client's own complaint.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// Unacknowledged data and idle connections of a peer that vanished are given up after this time.
const PEER_GONE_AFTER: Duration = Duration::from_secs(15);

pub(super) fn build(
    settings: &Settings,
    resolver: Resolver,
) -> Result<reqwest::Client, ClientProblem> {
    let roots = if settings.base.is_https() {
        roots::read(settings.ca_file.as_deref())?
    } else {
        Vec::new()
    };
    let builder = builder(settings.connect_deadline, resolver).https_only(settings.base.is_https());
    finish(
        builder
            .tls_certs_only(roots)
            .pool_idle_timeout(settings.idle_timeout),
    )
}

/// A client for services other than the exchange, which see nothing of ours: set up as the one for the exchange, but
/// every request opens a connection of its own, because a kept one would go on showing the way out that it began with.
///
/// # Errors
/// [`ClientProblem`] where a service is neither https nor on loopback, the trust roots cannot be read, or the client
/// cannot be built.
pub fn service_client(
    services: &[Url],
    deadline: Duration,
    ca_file: Option<&Path>,
    resolver: Resolver,
) -> Result<reqwest::Client, ClientProblem> {
    let is_https = |service: &&Url| service.scheme() == "https";
    let clear = |service: &&Url| service.scheme() == "http" && is_on_loopback(service);
    if let Some(service) = services
        .iter()
        .find(|service| !is_https(service) && !clear(service))
    {
        return Err(ClientProblem::NotHttps(service.clone()));
    }
    let roots = if services.iter().any(|service| is_https(&service)) {
        roots::read(ca_file)?
    } else {
        Vec::new()
    };
    let builder =
        builder(deadline, resolver).https_only(services.iter().all(|service| is_https(&service)));
    finish(builder.tls_certs_only(roots).pool_max_idle_per_host(0))
}

/// Whether a service is on this machine.
#[must_use]
pub fn is_on_loopback(service: &Url) -> bool {
    service.host().as_ref().is_some_and(is_loopback)
}

/// What every client of ours has in common.
fn builder(connect_deadline: Duration, resolver: Resolver) -> reqwest::ClientBuilder {
    install_tls_provider();
    reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .connect_timeout(connect_deadline)
        .tcp_nodelay(true)
        .tcp_keepalive(PEER_GONE_AFTER)
        .tcp_user_timeout(PEER_GONE_AFTER)
        .user_agent(concat!("crypto-proxy/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(resolver))
}

fn finish(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, ClientProblem> {
    builder
        .build()
        .map_err(|error| ClientProblem::Client(error.without_url()))
}

/// rustls needs one provider for the process; a second call finds it installed.
fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_for(service: &str) -> Result<reqwest::Client, ClientProblem> {
        let resolver = Resolver::system();
        service_client(
            &[Url::parse(service).unwrap()],
            Duration::from_secs(1),
            None,
            resolver,
        )
    }

    #[test]
    fn clear_text_is_for_services_on_this_machine() {
        assert!(client_for("http://127.0.0.1:1/").is_ok());
        for service in [
            "http://echo.example/",
            "http://127.0.0.1.example/",
            "ftp://127.0.0.1/",
        ] {
            assert!(
                matches!(client_for(service), Err(ClientProblem::NotHttps(_))),
                "{service}"
            );
        }
    }
}
