//! Everything that a daemon is made of, as values.
//!
//! Guarantees: complete; nothing is opened, bound or started by it. Does not: know where its values come from.

use std::path::PathBuf;

use crate::{http, server};
use diagnosis::{egress, history, probes::CredentialFacts, reach, runner};
use gateway::{
    auth::Callers,
    clock::Clock,
    connect::Resolver,
    observed::Expected,
    secret::Credentials,
    stream::{self, StreamBase},
    upstream::{self, BaseUrl},
};

/// Everything a daemon is made of.
#[derive(Debug)]
pub struct Plan {
    /// The pair that signs.
    pub credentials: Credentials,
    /// What the loader says of it, for the diagnosis.
    pub pair: CredentialFacts,
    /// Who may call, and who may diagnose.
    pub callers: Callers,
    /// How the exchange is reached.
    pub upstream: upstream::Settings,
    /// How streams behave.
    pub streams: stream::Settings,
    /// How calls are carried out.
    pub pipeline: gateway::Settings,
    /// How the endpoints behave.
    pub http: http::Settings,
    /// How the listener behaves.
    pub server: server::Settings,
    /// How our outbound address is watched.
    pub egress: egress::Settings,
    /// How the connection to the exchange is watched.
    pub reach: reach::Settings,
    /// The operator's statement about the whitelist.
    pub expected: Expected,
    /// How often and how long it is diagnosed.
    pub examination: runner::Settings,
    /// Where the daemon may keep state.
    pub state_dir: Option<PathBuf>,
    /// How much of what happened is kept.
    pub history: history::Settings,
    /// A digest of the effective settings, so that the history sees them change.
    pub configuration: String,
    /// Warnings that stay in `/ready`.
    pub standing_warnings: Vec<String>,
    /// The time.
    pub clock: Clock,
    /// Names to addresses.
    pub resolver: Resolver,
}

impl Plan {
    /// A daemon with every default, for these credentials, callers and exchange: nothing is watched, no state.
    #[must_use]
    pub fn new(credentials: Credentials, callers: Callers, base: BaseUrl) -> Self {
        let fingerprint = Some(credentials.key.fingerprint());
        Self {
            credentials,
            pair: CredentialFacts {
                fingerprint,
                ..CredentialFacts::default()
            },
            callers,
            streams: stream::Settings::new(StreamBase::beside(&base)),
            upstream: upstream::Settings::new(base),
            pipeline: gateway::Settings::default(),
            http: http::Settings::default(),
            server: server::Settings::default(),
            egress: egress::Settings::off(),
            reach: reach::Settings::off(),
            expected: Expected::Unstated,
            examination: runner::Settings::default(),
            state_dir: None,
            history: history::Settings::default(),
            configuration: String::new(),
            standing_warnings: Vec::new(),
            clock: Clock::system(),
            resolver: Resolver::system(),
        }
    }
}
