//! Every effective setting, redacted, with where it came from.
//!
//! Guarantees: of a credential a row says presence, length, source and name, and of an API key its fingerprint; never
//! any part of the text. Does not: lay anything out; that is the command line's.

use sha2::{Digest, Sha256};

use super::problem::Origin;
use crate::config::redact::Withheld;

/// One effective setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The setting, or the credential.
    pub key: String,
    /// Its effective value, fit to be shown.
    pub shown: String,
    /// Where it came from.
    pub source: Origin,
}

impl Row {
    /// Of what was looked at: whether it is a file that could be read.
    #[must_use]
    pub fn is_a_file_that_was_read(&self) -> bool {
        self.source != Origin::Default && self.shown == READ
    }
}

/// What is said of a file that could be read.
pub(super) const READ: &str = "read";

/// What the daemon makes of its sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was looked at, in rising precedence for settings and falling for credentials.
    pub sources: Vec<Row>,
    /// The credentials and the caller's token.
    pub credentials: Vec<Row>,
    /// The callers that were issued.
    pub callers: Vec<Row>,
    /// The settings.
    pub settings: Vec<Row>,
}

impl Report {
    /// Tells whether two sets of effective settings are the same: the first 16 hex characters of a SHA-256.
    #[must_use]
    pub fn digest(&self) -> String {
        let rows = self
            .settings
            .iter()
            .chain(&self.callers)
            .map(|row| format!("{}={}\n", row.key, row.shown));
        let digest = rows
            .fold(Sha256::new(), |digest, row| digest.chain_update(row))
            .finalize();
        hex::encode(digest).chars().take(16).collect()
    }

    pub(super) fn withhold(&mut self, withheld: &Withheld) {
        let rows = self
            .sources
            .iter_mut()
            .chain(&mut self.credentials)
            .chain(&mut self.callers)
            .chain(&mut self.settings);
        for row in rows.filter(|row| row.source != Origin::Default) {
            withheld.apply(&mut row.shown);
            withheld.apply_to(&mut row.source);
        }
    }
}
