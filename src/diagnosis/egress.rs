//! Which address the exchange sees us from, watched in the background.

use std::time::Duration;

use url::Url;

/// How our outbound address is watched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Services that answer with the caller's address as text; empty switches the watch off. At least two must agree.
    pub services: Vec<Url>,
    /// Time between measurements.
    pub interval: Duration,
    /// One service must answer within this time.
    pub deadline: Duration,
}
/// Stub.
#[derive(Debug)]
pub struct Watch;
/// Stub.
#[derive(Debug)]
pub struct Trigger;
impl Watch {
    /// Stub.
    /// # Errors
    /// Stub.
    pub fn new(
        _: Settings,
        _: std::sync::Arc<crate::gateway::observed::Observed>,
        _: crate::gateway::upstream::Resolver,
        _: Option<&std::path::Path>,
    ) -> Result<Self, crate::gateway::upstream::ClientProblem> {
        Ok(Self)
    }
    /// Stub.
    pub fn trigger(&self) -> Trigger {
        Trigger
    }
    /// Stub.
    pub async fn run(self, shutdown: tokio_util::sync::CancellationToken) {
        shutdown.cancelled().await
    }
}
