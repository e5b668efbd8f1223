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
