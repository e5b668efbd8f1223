//! What this door refuses by itself, and the one table of the statuses and codes that tell the client.
//!
//! Guarantees: one value per row of the wire contract; every status goes with a code for which no tested client takes
//! the call for executed; texts never echo the input.

use crate::http::{refusal as door, rejections::Refused};
use gateway::auth::SignatureRejected;
use protocol::{call::InvalidCall, caller_request::InvalidRequest};

/// A request that no call could be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A browser's request from another site.
    #[error("requests with an Origin header are not served here")]
    CrossSite,
    /// A `Host` that we do not serve.
    #[error("this Host is not served; allowed_hosts names the ones that are")]
    Misdirected,
    /// No such path.
    #[error(
        "there is no such method here; paths are /exchange/v1/private/… and /exchange/v1/public/…"
    )]
    NoSuchMethod,
    /// A wrong verb; the ones that are taken.
    #[error("Method Not Allowed: this path takes {0}")]
    Verb(&'static str),
    /// An `X-Proxy-Token` that is not ours.
    #[error("Invalid proxy token")]
    Token,
    /// A signature that is not believed.
    #[error("{0}")]
    CallerSignature(SignatureRejected),
    /// Too many bodies of unknown senders are being read.
    #[error("too many requests are being read; nothing was sent, try again shortly")]
    Busy,
    /// Half of the time for the answer had passed before the request could be believed.
    #[error("the request took too long to arrive or to be noted; nothing was sent, try again")]
    Late,
    /// The body is longer than the limit.
    #[error("the body is too long (listener.max_body_bytes; without a token at most 32 KiB)")]
    TooLong,
    /// The body did not arrive in time.
    #[error(
        "the body did not arrive in time (listener.body_deadline_ms; without a token at most 2 s)"
    )]
    TooSlow,
    /// The body broke off.
    #[error("the body broke off")]
    Broken,
    /// The body does not say that it is JSON.
    #[error("Content-Type must be application/json")]
    NotJson,
    /// The body is no request.
    #[error("{0}")]
    Body(InvalidRequest),
    /// Path and body name different methods.
    #[error("the method in the body is not the one in the path")]
    Disagree,
    /// No call can be made of it.
    #[error("{0}")]
    Invalid(InvalidCall),
    /// Public calls are not relayed for this source.
    #[error(
        "public calls are not relayed for this address: beyond this machine nothing authenticates them, so \
         public.sources must list the networks that they may come from"
    )]
    PublicClosed,
    /// The source has spent its budget of public calls.
    #[error(
        "more public calls than public.calls_per_s allows for one address; nothing was sent, try again shortly"
    )]
    PublicBudget,
    /// The query is longer than anything documented, or holds what no query may hold.
    #[error("the query is too long, or not percent-encoded")]
    Query,
}

/// How a refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Told {
    /// The HTTP status.
    pub(super) status: u16,
    /// The exchange's code.
    pub(in crate::http) code: i64,
    /// A stable word for records.
    pub(super) word: &'static str,
}

const fn told(status: u16, code: i64, word: &'static str) -> Told {
    Told { status, code, word }
}

/// The same for a signature that is not believed, over whichever door it came.
pub(in crate::http) const fn of_claim(refused: SignatureRejected) -> Told {
    match refused {
        SignatureRejected::Signature | SignatureRejected::Replayed => {
            told(401, 40101, refused.code())
        }
        SignatureRejected::Window | SignatureRejected::BeforeStart => {
            told(400, 40102, refused.code())
        }
        SignatureRejected::TooMany => told(429, 42901, refused.code()),
        SignatureRejected::NoMark => told(503, 9_010_001, refused.code()),
    }
}

impl Refusal {
    /// Status, code and word: the one table.
    pub(super) const fn told(&self) -> Told {
        match self {
            Self::CrossSite => told(403, 10005, "origin"),
            Self::Misdirected => told(421, 40003, "host"),
            Self::NoSuchMethod => told(404, 40002, "no_such_method"),
            Self::Verb(_) => told(405, 40003, "verb"),
            Self::Token => told(401, 40101, "token"),
            Self::CallerSignature(refused) => of_claim(*refused),
            Self::Busy => told(429, 42901, "unverified"),
            Self::Late => told(429, 42901, "late"),
            Self::TooLong => told(413, 40003, "body_too_long"),
            Self::TooSlow => told(400, 40003, "body_deadline"),
            Self::Broken => told(400, 40003, "body_broken"),
            Self::NotJson => told(400, 40003, "content_type"),
            Self::Body(_) => told(400, 40003, "body"),
            Self::Disagree => told(400, 40003, "path_and_body"),
            Self::Invalid(InvalidCall::Method) => told(400, 40002, "method_grammar"),
            Self::Invalid(InvalidCall::Id) => told(400, 40003, "id_grammar"),
            Self::Invalid(InvalidCall::Params(_)) => told(400, 40004, "params_not_signable"),
            Self::Invalid(InvalidCall::Ambiguous(_)) => told(400, 40004, "params_ambiguous"),
            Self::PublicClosed => told(403, 10005, "public_closed"),
            Self::PublicBudget => told(429, 42901, "public_budget"),
            Self::Query => told(400, 40004, "query"),
        }
    }

    /// What is counted of it where no caller is known.
    pub(super) const fn counted(&self) -> Refused {
        match self {
            Self::CrossSite => Refused::Origin,
            Self::Misdirected => Refused::Host,
            Self::Token => Refused::Token,
            Self::CallerSignature(refused) => Refused::Signature(*refused),
            Self::Busy => Refused::Unverified,
            Self::PublicClosed => Refused::PublicClosed,
            Self::PublicBudget => Refused::PublicBudget,
            Self::TooLong
            | Self::TooSlow
            | Self::Broken
            | Self::NotJson
            | Self::Body(_)
            | Self::Late => Refused::Body,
            Self::NoSuchMethod
            | Self::Verb(_)
            | Self::Disagree
            | Self::Invalid(_)
            | Self::Query => Refused::Body,
        }
    }
}

impl From<door::Refusal> for Refusal {
    /// What can come of reading a body; the rest does not come from there.
    fn from(refusal: door::Refusal) -> Self {
        match refusal {
            door::Refusal::TooLong => Self::TooLong,
            door::Refusal::TooSlow => Self::TooSlow,
            door::Refusal::Unauthorized => Self::Token,
            door::Refusal::Misdirected => Self::Misdirected,
            door::Refusal::CrossSite => Self::CrossSite,
            door::Refusal::Broken | door::Refusal::Invalid(_) => Self::Broken,
        }
    }
}
