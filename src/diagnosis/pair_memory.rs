//! What became of the pair of key and secret since the start before this one, so that half a rotation is noticed.
//!
//! The history keeps the pair: the key's fingerprint, and the secret's number, found by a digest under a salt of this
//! installation. Guarantees: neither digest nor salt is ever printed; without a history nothing is noticed, and nothing
//! else is lost. Does not: say which half is wrong, or know whether the pair ever worked.

use tracing::Level;

use crate::gateway::record::{CALL_TAG, TARGET};

/// What became of the pair since the start before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another key beside the same secret: half a rotation.
    KeyChanged,
    /// Another secret beside the same key: half a rotation, or the mending of one.
    SecretChanged,
    /// Another key and another secret.
    Both,
    /// Nothing.
    Same,
    /// There was no start before, or its history is damaged.
    First,
    /// There is no history.
    NoMemory,
}

/// What the memory tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairFacts {
    /// What became of the pair at this start.
    pub change: Change,
    /// Since when the pair is as it is, key and secret together, in milliseconds since 1970.
    pub since: u64,
    /// Whether the key and the secret that stand together now came at different starts.
    pub came_apart: bool,
}

impl PairFacts {
    /// What is known without a memory: nothing before `now_ms`.
    #[must_use]
    pub const fn no_memory(now_ms: u64) -> Self {
        Self { change: Change::NoMemory, since: now_ms, came_apart: false }
    }
}

/// One line where the pair is not what it was.
pub(super) fn announce(facts: PairFacts, fingerprint: &str) {
    let half = match facts.change {
        Change::KeyChanged => "the API key changed and its secret did not",
        Change::SecretChanged => "the API secret changed and its key did not",
        Change::Both => {
            tracing::event!(target: TARGET, Level::INFO, "CRYPTO_EVENT" = "pair", "CRYPTO_KEY_FP" = %fingerprint,
                "{CALL_TAG} event=pair key_fp={fingerprint}: key and secret changed since the last start");
            return;
        }
        Change::Same | Change::First | Change::NoMemory => return,
    };
    tracing::event!(target: TARGET, Level::WARN, "CRYPTO_EVENT" = "pair", "CRYPTO_KEY_FP" = %fingerprint,
        "CRYPTO_CAUSE" = "CP-HALF-ROTATED",
        "{CALL_TAG} event=pair key_fp={fingerprint}: {half} since the last start; the exchange makes them together, \
         so at least one of the two pairs was wrong; next: if calls are refused, copy both again from one creation");
}
