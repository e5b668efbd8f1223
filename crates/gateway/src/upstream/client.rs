//! How the HTTP client is set up, and why.
//!
//! Guarantees: HTTP/1.1 only, because over it a broken call can be classified; no redirect, no retry, no proxy variables, no
//! decompression; the resolver and the trust roots of `connect`. Source: the client's own code and our tests of each.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use url::Url;

use super::base::{BaseUrl, is_loopback};
use crate::connect::{
    Connector, PEER_GONE_AFTER, Resolver, RootsProblem, USER_AGENT, tls_config,
    tls_config_without_roots,
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

    /// Prepares to measure connections to the host that calls go to.
    ///
    /// # Errors
    /// [`RootsProblem`] where the trust roots cannot be read.
    pub fn connector(&self, resolver: &Resolver) -> Result<Connector, RootsProblem> {
        let ca_file = self.ca_file.as_deref();
        Connector::to_measure(
            self.base.url(),
            self.connect_deadline,
            ca_file,
            resolver.clone(),
        )
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientProblem {
    /// The trust roots could not be read.
    #[error(transparent)]
    Roots(#[from] RootsProblem),
    /// A service that is neither https nor on this machine.
    #[error("{0} must be https (http is for loopback only)")]
    NotHttps(Url),
    /// The client's own complaint.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

pub(super) fn build(
    settings: &Settings,
    resolver: Resolver,
) -> Result<reqwest::Client, ClientProblem> {
    let (encrypted, ca_file) = (settings.base.is_https(), settings.ca_file.as_deref());
    let builder = builder(settings.connect_deadline, resolver, encrypted, ca_file)?;
    finish(
        builder
            .https_only(encrypted)
            .pool_idle_timeout(settings.idle_timeout),
    )
}

/// A client for services other than the exchange, which see nothing of ours. It is set up as the one for the exchange, but
/// every request opens a connection of its own: a kept connection would go on showing the route that it began with.
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
    let is_https = |service: &Url| service.scheme() == "https";
    for service in services {
        let clear = service.scheme() == "http" && is_on_loopback(service);
        if !(is_https(service) || clear) {
            return Err(ClientProblem::NotHttps(service.clone()));
        }
    }
    let builder = builder(deadline, resolver, services.iter().any(is_https), ca_file)?;
    finish(
        builder
            .https_only(services.iter().all(is_https))
            .pool_max_idle_per_host(0),
    )
}

/// Whether a service is on this machine.
#[must_use]
pub fn is_on_loopback(service: &Url) -> bool {
    service.host().as_ref().is_some_and(is_loopback)
}

/// What every client of ours has in common.
fn builder(
    connect_deadline: Duration,
    resolver: Resolver,
    encrypted: bool,
    ca_file: Option<&Path>,
) -> Result<reqwest::ClientBuilder, RootsProblem> {
    let mut tls = if encrypted {
        tls_config(ca_file)?
    } else {
        tls_config_without_roots()
    };
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .tls_backend_preconfigured(tls)
        .connect_timeout(connect_deadline)
        .tcp_nodelay(true)
        .tcp_keepalive(PEER_GONE_AFTER)
        .tcp_user_timeout(PEER_GONE_AFTER)
        .user_agent(USER_AGENT)
        .dns_resolver(Arc::new(resolver)))
}

fn finish(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, ClientProblem> {
    builder
        .build()
        .map_err(|error| ClientProblem::Client(error.without_url()))
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
