//! Name, TCP and TLS to the exchange, each by itself, for probes: the client does not tell them apart in time.
//!
//! Guarantees: the same name service, the same choice of addresses and the same trust roots as for calls; nothing is
//! sent beyond the handshake. Does not: keep the connection, or know a deadline other than that for connecting.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    client::{ClientProblem, Settings},
    resolver::{Resolver, Unresolved},
    roots,
};

/// What one step came to, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// What it came to.
    pub result: T,
    /// How long it took.
    pub took: Duration,
}

/// The steps, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The addresses that would be connected to; `None` within the result: not within the deadline.
    pub name: Step<Result<Vec<IpAddr>, Option<Unresolved>>>,
    /// The address that was connected to, if one was.
    pub tcp: Option<Step<Option<IpAddr>>>,
    /// Whether a verified TLS session was made; `None` where it did not come to it, or the base is http.
    pub tls: Option<Step<bool>>,
}

impl Steps {
    /// Measures them.
    ///
    /// # Errors
    /// [`ClientProblem`] where the trust roots cannot be read.
    pub async fn measure(settings: &Settings, resolver: &Resolver) -> Result<Self, ClientProblem> {
        let connector = settings
            .base
            .is_https()
            .then(|| connector(settings))
            .transpose()?;
        let (host, end) = (
            settings.base.host(),
            Instant::now() + settings.connect_deadline,
        );
        let left = || end.saturating_duration_since(Instant::now());
        let name = timed(timeout(left(), resolver.addresses(host))).await;
        let found = name
            .result
            .map_err(|_| None)
            .and_then(|found| found.map_err(Some));
        let name = Step {
            result: found,
            took: name.took,
        };
        let Ok(addresses) = &name.result else {
            return Ok(Self {
                name,
                tcp: None,
                tls: None,
            });
        };
        let opened = timed(timeout(left(), open(addresses, settings.base.port()))).await;
        let (stream, address) = opened.result.ok().flatten().unzip();
        let tcp = Some(Step {
            result: address,
            took: opened.took,
        });
        let tls = match (stream, connector) {
            (Some(stream), Some(connector)) => {
                Some(shake_hands(&connector, host, stream, left()).await)
            }
            _ => None,
        };
        Ok(Self { name, tcp, tls })
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> Step<T> {
    let began = Instant::now();
    let result = work.await;
    Step {
        result,
        took: began.elapsed(),
    }
}

async fn open(addresses: &[IpAddr], port: u16) -> Option<(TcpStream, IpAddr)> {
    for address in addresses {
        if let Ok(stream) = TcpStream::connect(SocketAddr::new(*address, port)).await {
            return Some((stream, *address));
        }
    }
    None
}

async fn shake_hands(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
    deadline: Duration,
) -> Step<bool> {
    let Ok(name) = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()) else {
        return Step {
            result: false,
            took: Duration::ZERO,
        };
    };
    let shaken = timed(timeout(deadline, connector.connect(name, stream))).await;
    Step {
        result: matches!(shaken.result, Ok(Ok(_))),
        took: shaken.took,
    }
}

/// What makes verified TLS sessions, with the trust roots of calls.
pub(crate) fn connector(settings: &Settings) -> Result<TlsConnector, ClientProblem> {
    let mut store = rustls::RootCertStore::empty();
    let pem = roots::read_text(settings.ca_file.as_deref())?;
    // As the HTTP client does: a certificate that cannot be used is passed over.
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[expect(clippy::expect_used, reason = "ring knows the default versions")]
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring");
    Ok(TlsConnector::from(Arc::new(
        builder.with_root_certificates(store).with_no_client_auth(),
    )))
}
