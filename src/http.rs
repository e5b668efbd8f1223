//! The endpoints: what callers and operators reach over HTTP.
//!
//! Each endpoint turns a request into a call and renders what the gateway answers in its own shape. Here is decided only
//! what an HTTP request may look like. The wire contract is `docs/contract.md`; each of its rows is a test.

use std::{sync::Arc, time::Duration};

use crate::{guesses::Guesses, places::Places};
use diagnosis::{
    alarm::ActiveAlarms, doubt::Doubts, hint::HintReader, reach::Watched, runner::DiagnosisRunner,
};
use gateway::Gateway;
pub use gateway::access::Peer;

mod diag;
mod exchange_v1;
mod health;
mod orders;
pub mod page;
mod proxy_api;
mod rejections;
mod reply;
mod request;
mod router;
mod status_page;
mod stream;
mod verdict;
mod waiting;

pub(crate) use exchange_v1::UNVERIFIED_BYTES;
pub use exchange_v1::{ExchangeApi, Settings as ExchangeApiSettings};
pub use rejections::{Refused, Rejections};
pub use request::RequestIds;
pub use router::Front;
pub use status_page::StatusPages;
pub(crate) use waiting::FOR_STRANGERS;

/// How the endpoints behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names that `Host` may hold beside IP literals, `localhost` and `host.docker.internal`.
    pub allowed_hosts: Vec<String>,
    /// Origins of pages that may open streams, exactly as browsers write them, beside this service's own.
    pub allowed_origins: Vec<String>,
    /// The longest request body in bytes.
    pub max_body_bytes: usize,
    /// A request body must be complete after this time.
    pub body_deadline: Duration,
    /// How the exchange-shaped API behaves.
    pub exchange_v1: ExchangeApiSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body_bytes: 64 << 10,
            body_deadline: Duration::from_secs(5),
            exchange_v1: ExchangeApiSettings::default(),
        }
    }
}

/// What the endpoints work with.
#[derive(Debug)]
pub struct AppState {
    /// What authenticates, permits, signs and sends calls.
    pub gateway: Arc<Gateway>,
    /// How the endpoints behave.
    pub settings: Settings,
    /// What the exchange-shaped API remembers.
    pub exchange_v1: ExchangeApi,
    /// Counts what is refused before a caller is known.
    pub rejections: Arc<Rejections>,
    /// Who gives wrong credentials, and has to wait for the verdict.
    pub(crate) guesses: Arc<Guesses>,
    /// Sockets whose login is still to come.
    pub(crate) logins: Arc<Places>,
    /// Names requests.
    pub request_ids: RequestIds,
    /// What the operator should know, from the configuration: short texts without anything secret, for `/ready`.
    pub standing_warnings: Vec<String>,
    /// Runs diagnoses, and keeps the last one.
    pub runner: Arc<DiagnosisRunner>,
    /// The last hints, and those to single calls.
    pub hints: Arc<HintReader>,
    /// What the status page is made from.
    pub status: StatusPages,
    /// The alarms that stand.
    pub alarms: Arc<ActiveAlarms>,
    /// The calls that may have been executed.
    pub doubts: Arc<Doubts>,
    /// How the connection to the exchange was measured last.
    pub reach: Arc<Watched>,
}
