//! The trust roots of every connection.
//!
//! Guarantees: read from one named file, by default the system's bundle at its usual place; the environment
//! (`SSL_CERT_FILE`) has no say. Does not: add roots of its own.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::OFlags;
use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::untrusted::NamesIssuer;
use crate::private_file::{self, Distrust, Trusted};

/// Where distributions keep their bundle: Debian and Ubuntu, Amazon Linux and Fedora, SUSE, Alpine.
const USUAL_PLACES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why the trust roots could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RootsProblem {
    /// None of the usual places has a bundle.
    #[error(
        "no certificate bundle at any usual place; install ca-certificates, or set upstream.ca_file"
    )]
    NoBundle,
    /// The file cannot be read.
    #[error("{0}: cannot be read: {1}")]
    NotReadable(PathBuf, io::Error),
    /// Others could change whom we trust.
    #[error("{0}: {1}; {fix}", fix = .1.remedy(.0))]
    Distrusted(PathBuf, Distrust),
    /// The file holds no certificate.
    #[error("{0}: holds no PEM certificate")]
    NoCertificate(PathBuf),
}

/// Whether there are trust roots that can be used, as every encrypted connection needs them.
///
/// # Errors
/// [`RootsProblem`], as a connection would meet it.
pub fn check_roots(file: Option<&Path>) -> Result<(), RootsProblem> {
    roots(file).map(drop)
}

/// How TLS is spoken with hosts whose certificates these roots have signed: TLS 1.2 and 1.3.
pub(crate) fn tls_config(file: Option<&Path>) -> Result<ClientConfig, RootsProblem> {
    Ok(config(roots(file)?))
}

/// The same for a probe, whose errors say who signed a certificate that is refused.
pub(super) fn tls_config_of_a_probe(file: Option<&Path>) -> Result<ClientConfig, RootsProblem> {
    let roots = roots(file)?;
    let mut config = config(roots.clone());
    let ring = Arc::clone(config.crypto_provider());
    // It fails for want of roots alone, and there are some; the plain verifier would stay.
    if let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), ring).build()
    {
        let names_issuer = Arc::new(NamesIssuer(verifier));
        config.dangerous().set_certificate_verifier(names_issuer);
    }
    Ok(config)
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, RootsProblem> {
    let path = match file {
        Some(path) => path.to_owned(),
        None => USUAL_PLACES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or(RootsProblem::NoBundle)?,
    };
    let pem = read(&path).map_err(|error| match Distrust::of(&error) {
        Some(distrust) => RootsProblem::Distrusted(path.clone(), distrust),
        None => RootsProblem::NotReadable(path.clone(), error),
    })?;
    let Ok(certificates) = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()
    else {
        return Err(RootsProblem::NoCertificate(path));
    };
    let mut roots = RootCertStore::empty();
    // Bundles of distributions hold certificates that this library cannot use; the others count all the same.
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(RootsProblem::NoCertificate(path));
    }
    Ok(roots)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    private_file::open_trusted(path, OFlags::empty(), Trusted::process())?.read_to_end(&mut pem)?;
    Ok(pem)
}

/// The same for connections that are not encrypted: trusts nobody.
pub(crate) fn tls_config_without_roots() -> ClientConfig {
    config(RootCertStore::empty())
}

fn config(roots: RootCertStore) -> ClientConfig {
    let ring = rustls::crypto::ring::default_provider();
    // A client of reqwest looks for the provider of the process, too. A second call finds it installed.
    let _ = ring.clone().install_default();
    #[expect(clippy::expect_used, reason = "ring knows rustls' default versions")]
    let builder = ClientConfig::builder_with_provider(Arc::new(ring))
        .with_safe_default_protocol_versions()
        .expect("ring");
    builder.with_root_certificates(roots).with_no_client_auth()
}
