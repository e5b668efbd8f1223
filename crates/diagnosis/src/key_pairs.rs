//! What became of the pair of key and secret since the start before this one, so that half a rotation is noticed.
//!
//! The history keeps the pair: the key's fingerprint, and the secret's number, found by a digest under a salt of this
//! installation. Guarantees: neither digest nor salt is ever printed; without a history nothing is noticed, and nothing
//! else is lost. Does not: say which half is wrong.

use tracing::Level;

use gateway::record::{CALL_TAG, TARGET};

/// What became of the pair since the start before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairChange {
    /// Another key beside the same secret: half a rotation, or the mending of one.
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

impl PairChange {
    /// What it is for the pair, when each half stayed or did not.
    #[must_use]
    pub const fn of(same_key: bool, same_secret: bool) -> Self {
        match (same_key, same_secret) {
            (true, true) => Self::Same,
            (false, true) => Self::KeyChanged,
            (true, false) => Self::SecretChanged,
            (false, false) => Self::Both,
        }
    }
}

/// One of the two that the exchange makes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The API key.
    Key,
    /// The API secret.
    Secret,
}

/// How the pair in use came about, seen from the pairs before it that were whole: accepted once, or of halves of which
/// none stood in a whole pair before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is the first that is known, and was never accepted.
    First,
    /// Calls were accepted with it.
    Proven,
    /// The other half of it stands in a whole pair, beside another: of the two pairs one at least is wrong.
    Half {
        /// The half that was replaced.
        replaced: Half,
        /// Whether calls were accepted with the whole pair: then it is this one that is wrong.
        worked: bool,
    },
    /// Both halves are new, since the same start; never accepted.
    Replaced,
    /// Both halves are new, since different starts: what was half a rotation in between may be mended. Never accepted.
    TwoStarts,
}

/// The pair in use and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairStory {
    /// How it came about.
    pub origin: Origin,
    /// Since when it is as it is, in milliseconds since 1970.
    pub since_ms: u64,
    /// The fingerprint of the key in the whole pair that holds a half of this one.
    pub beside: Option<String>,
}

/// What the memory tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairFacts {
    /// What became of the pair at this start.
    pub change: PairChange,
    /// Since when the pair is as it is, key and secret together, in milliseconds since 1970.
    pub since: u64,
    /// How it came about, over all starts that are known.
    pub origin: Origin,
    /// Whether the base URL changed since the last accepted call.
    pub asked_elsewhere: bool,
}

impl PairFacts {
    /// What is known without a memory: nothing before `now_ms`.
    #[must_use]
    pub const fn no_memory(now_ms: u64) -> Self {
        Self {
            change: PairChange::NoMemory,
            since: now_ms,
            origin: Origin::First,
            asked_elsewhere: false,
        }
    }
}

/// One line where the pair is not what it was.
pub(super) fn announce(facts: PairFacts, fingerprint: &str) {
    let half = match facts.change {
        PairChange::KeyChanged => "the API key changed and its secret did not",
        PairChange::SecretChanged => "the API secret changed and its key did not",
        PairChange::Both => {
            return announce_whole("key and secret changed since the last start", fingerprint);
        }
        PairChange::Same | PairChange::First | PairChange::NoMemory => return,
    };
    if !matches!(facts.origin, Origin::Half { .. }) {
        let rest = match facts.origin {
            Origin::Proven => "this pair was accepted before",
            Origin::First | Origin::Half { .. } | Origin::Replaced | Origin::TwoStarts => {
                "with the starts before, both halves are other ones than in the last whole pair"
            }
        };
        return announce_whole(&format!("{half} since the last start; {rest}"), fingerprint);
    }
    tracing::event!(target: TARGET, Level::WARN, "CRYPTO_EVENT" = "pair", "CRYPTO_KEY_FP" = %fingerprint,
        "CRYPTO_CAUSE" = "CP-HALF-ROTATED",
        "{CALL_TAG} event=pair key_fp={fingerprint}: {half} since the last start; the exchange makes them together, \
         so at least one of the two pairs was wrong; next: if calls are refused, copy both again from one creation");
}

fn announce_whole(what: &str, fingerprint: &str) {
    tracing::event!(target: TARGET, Level::INFO, "CRYPTO_EVENT" = "pair", "CRYPTO_KEY_FP" = %fingerprint,
        "{CALL_TAG} event=pair key_fp={fingerprint}: {what}");
}
