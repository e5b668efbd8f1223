//! What a door refuses by itself, before there is a call for the gateway: classified once, rendered by each door.
//!
//! Guarantees: one value per row of the wire contract; texts never echo the input.

use protocol::call::InvalidCall;

/// A request that no call could be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No valid token; the same for wrong, empty, missing, repeated and oversized ones.
    Unauthorized,
    /// A `Host` that we do not serve.
    Misdirected,
    /// A browser's request from another site.
    CrossSite,
    /// The body is longer than the limit.
    TooLong,
    /// The body did not arrive in time.
    TooSlow,
    /// The body broke off, or its framing is broken.
    Broken,
    /// The body is not what this door takes.
    Invalid(Invalid),
}

/// Why a body is refused, in the shape that callers of the old proxy know (one entry of `detail`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    /// A stable word.
    pub(super) kind: &'static str,
    /// Where, below `body`.
    pub(super) field: Option<&'static str>,
    /// What is wrong, and what to send instead.
    pub(super) message: String,
}

impl Invalid {
    pub(super) fn body(kind: &'static str, message: &str) -> Self {
        Self {
            kind,
            field: None,
            message: message.to_owned(),
        }
    }

    pub(super) fn field(kind: &'static str, field: &'static str, message: &str) -> Self {
        Self {
            kind,
            field: Some(field),
            message: message.to_owned(),
        }
    }
}

impl From<InvalidCall> for Invalid {
    fn from(invalid: InvalidCall) -> Self {
        let message = invalid.to_string();
        match invalid {
            InvalidCall::Method => Self {
                kind: "method_grammar",
                field: Some("method"),
                message,
            },
            InvalidCall::Id => Self {
                kind: "id_grammar",
                field: Some("id"),
                message,
            },
            InvalidCall::Params(_) | InvalidCall::Ambiguous(_) => Self {
                kind: "params_not_signable",
                field: Some("params"),
                message,
            },
        }
    }
}

impl Refusal {
    /// The HTTP status.
    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::CrossSite => 403,
            Self::TooSlow => 408,
            Self::TooLong => 413,
            Self::Misdirected => 421,
            Self::Invalid(_) => 422,
            Self::Broken => 400,
        }
    }

    /// A stable word for records.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized => "token",
            Self::CrossSite => "origin",
            Self::TooSlow => "body_deadline",
            Self::TooLong => "body_too_long",
            Self::Misdirected => "host",
            Self::Invalid(invalid) => invalid.kind,
            Self::Broken => "body_broken",
        }
    }

    /// The text of `detail`; an invalid body has a list in its place.
    pub(super) const fn detail(&self) -> &'static str {
        match self {
            Self::Unauthorized => "Invalid proxy token",
            Self::CrossSite => "Requests with an Origin header are not served here",
            Self::TooSlow => "The body did not arrive in time (listener.body_deadline_ms)",
            Self::TooLong => "The body is too long (listener.max_body_bytes)",
            Self::Misdirected => "This Host is not served; allowed_hosts names the ones that are",
            Self::Invalid(_) => "Invalid body",
            Self::Broken => "The body broke off",
        }
    }
}
