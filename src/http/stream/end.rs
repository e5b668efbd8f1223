//! Why a socket ends, and what the client is told.
//!
//! Guarantees: a code that may not be sent is not, and a reason fits its frame; who ended it is one of three words.

use std::borrow::Cow;

use gateway::stream::{Incoming, may_be_sent};

/// The longest reason that a close frame takes (RFC 6455).
const MAX_REASON: usize = 123;

/// Why a socket ends, and what the client is told.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// The close code; `None`: a close frame without one.
    pub(super) code: Option<u16>,
    /// Who ends it: `client`, `exchange` or `proxy`.
    pub(super) by: &'static str,
    /// Why, in words.
    pub(super) reason: Cow<'static, str>,
}

impl End {
    pub(super) const fn new(code: u16, reason: &'static str) -> Self {
        Self {
            code: Some(code),
            by: "proxy",
            reason: Cow::Borrowed(reason),
        }
    }

    pub(super) const fn draining() -> Self {
        Self::new(1012, "the proxy is stopping; connect again shortly")
    }

    pub(super) const fn outside() -> Self {
        Self::new(1008, "the caller may not call from there, or not any more")
    }

    /// What ends it when this comes from the client.
    pub(super) fn of_client(incoming: Incoming) -> Self {
        match incoming {
            Incoming::Closed(closed) => Self {
                by: "client",
                ..Self::passed_on(closed)
            },
            Incoming::Lost => Self {
                by: "client",
                ..Self::new(1001, "the client's connection was lost")
            },
            Incoming::Stalled => Self::new(1008, "the client takes nothing"),
            Incoming::Binary => Self::new(1003, "text frames only"),
            Incoming::Broken(1009) => {
                Self::new(1009, "the frame is too long (streams.max_frame_bytes)")
            }
            Incoming::Broken(code) => Self {
                code: Some(code),
                ..Self::new(code, "the WebSocket protocol was broken")
            },
            Incoming::Text(_) => Self::new(1011, "internal error"),
        }
    }

    pub(super) fn of_exchange(closed: Option<(u16, String)>) -> Self {
        Self {
            by: "exchange",
            ..Self::passed_on(closed)
        }
    }

    /// A code that may not be sent becomes 1011.
    fn passed_on(closed: Option<(u16, String)>) -> Self {
        let Some((code, mut reason)) = closed else {
            return Self {
                code: None,
                by: "",
                reason: Cow::Borrowed(""),
            };
        };
        while reason.len() > MAX_REASON {
            reason.pop();
        }
        Self {
            code: Some(if may_be_sent(code) { code } else { 1011 }),
            by: "",
            reason: Cow::Owned(reason),
        }
    }
}
