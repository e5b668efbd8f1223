//! The trust roots for connections to the exchange.
//!
//! Guarantees: read from one named file, by default the system's bundle at its usual place; the environment
//! (`SSL_CERT_FILE`) has no say. Does not: add roots of its own.

use std::path::{Path, PathBuf};

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
    #[error("{0}: not readable by this process")]
    NotReadable(PathBuf, #[source] std::io::Error),
    /// The file holds no certificate.
    #[error("{0}: holds no PEM certificate")]
    NoCertificate(PathBuf),
}

pub(super) fn read(file: Option<&Path>) -> Result<Vec<reqwest::Certificate>, RootsProblem> {
    let path = place(file)?;
    let pem = read_from(&path)?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(RootsProblem::NoCertificate(path)),
    }
}

/// The same file as it stands, PEM.
pub(super) fn read_text(file: Option<&Path>) -> Result<Vec<u8>, RootsProblem> {
    read_from(&place(file)?)
}

fn read_from(path: &Path) -> Result<Vec<u8>, RootsProblem> {
    std::fs::read(path).map_err(|error| RootsProblem::NotReadable(path.to_owned(), error))
}

fn place(file: Option<&Path>) -> Result<PathBuf, RootsProblem> {
    match file {
        Some(path) => Ok(path.to_owned()),
        None => USUAL_PLACES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or(RootsProblem::NoBundle),
    }
}
