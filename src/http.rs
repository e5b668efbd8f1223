//! The doors: what callers and operators reach over HTTP.
//!
//! Each door turns a request into a call and the gateway's word on it into its own shape; nothing is decided here but
//! what an HTTP request may look like. The wire contract is `docs/contract.md`; each of its rows is a test.

use std::{sync::Arc, time::Duration};

use crate::gateway::pipeline::Gateway;

mod host;
mod layers;
mod operations;
mod private;
mod refusal;
mod reply;
mod request;
mod router;
mod stream;
mod tally;

pub use layers::Front;
pub use request::{RequestIds, Source};
pub use stream::Logins;
pub use tally::{Refused, Tally};

/// How the doors behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names that `Host` may hold beside IP literals, `localhost` and `host.docker.internal`.
    pub allowed_hosts: Vec<String>,
    /// The longest request body in bytes.
    pub max_body_bytes: usize,
    /// A request body must be complete after this time.
    pub body_deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allowed_hosts: Vec::new(), max_body_bytes: 128 << 10, body_deadline: Duration::from_secs(5) }
    }
}

/// What the doors work with.
#[derive(Debug)]
pub struct Doors {
    /// The way to the exchange.
    pub gateway: Arc<Gateway>,
    /// How the doors behave.
    pub settings: Settings,
    /// Counts what is refused before a caller is known.
    pub tally: Arc<Tally>,
    /// Names requests.
    pub request_ids: RequestIds,
    /// The logins that streams were opened with.
    pub logins: Logins,
    /// What the operator should know, from the configuration: short texts without anything secret, for `/ready`.
    pub standing_warnings: Vec<String>,
}
