//! Why a signed request is not taken, in words that repeat nothing of it.

use std::sync::Arc;

use protocol::caller_request::SignatureMissing;

/// A signed request that is not taken, and whose it is, where its signature was a caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotBelieved {
    /// Why.
    pub why: SignatureRejected,
    /// The caller's name; of nobody in particular where the signature is not believed at all.
    pub caller: Option<Arc<str>>,
}

impl<T: Into<SignatureRejected>> From<T> for NotBelieved {
    fn from(why: T) -> Self {
        Self {
            why: why.into(),
            caller: None,
        }
    }
}

/// Why a signed request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SignatureRejected {
    /// No such key, or another signature; the two are not told apart.
    #[error(
        "authentication failed: the proxy knows no such API key, or the signature is not of its secret"
    )]
    Signature,
    /// No usable nonce, or one too far from our clock.
    #[error("the nonce differs from the proxy's clock by more than 60 seconds")]
    Window,
    /// More params than any client has reason to sign; said before any key is looked up.
    #[error(
        "params hold more than 1024 values, or are nested more than 8 levels deep; nothing was sent, send fewer in one \
         request or show an X-Proxy-Token"
    )]
    Params,
    /// This very signature of a read or a login was seen before, and not of the same read from the same peer.
    #[error(
        "this signed request was seen before, perhaps because two programs with one key signed in the same millisecond; \
         sign anew, with a new nonce"
    )]
    Replayed,
    /// This very signature was seen before, of something that may have changed something.
    #[error(
        "this signed request was seen before, and what may change something counts once; this copy was not sent; find \
         out what happened to the first before you sign again"
    )]
    Repeated,
    /// The nonce is not above what the last run may have seen, or what had to be forgotten.
    #[error(
        "the nonce is not above those that may have been used before the proxy restarted, or its clock stepped back; \
         sign anew in a moment, an order under the same name: if its first copy was sent, you are told what became of it"
    )]
    BeforeStart,
    /// More requests within the window than can be remembered.
    #[error(
        "more signed requests of this key within two minutes than the proxy can remember; wait a little"
    )]
    TooMany,
    /// Nothing can be promised about replays at the moment.
    #[error(
        "the proxy cannot write down which requests it has seen, and so takes no signed ones; its log says why"
    )]
    NoMark,
}

impl SignatureRejected {
    /// A stable word for counts and lines.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Window => "nonce",
            Self::Params => "params_size",
            Self::Replayed => "replayed",
            Self::Repeated => "repeated",
            Self::BeforeStart => "before_start",
            Self::TooMany => "replay_memory",
            Self::NoMark => "replay_mark",
        }
    }
}

impl From<SignatureMissing> for SignatureRejected {
    fn from(missing: SignatureMissing) -> Self {
        match missing {
            SignatureMissing::Signature => Self::Signature,
            SignatureMissing::Nonce => Self::Window,
        }
    }
}
