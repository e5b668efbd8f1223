//! Frames of ours, in the exchange's shape.
//!
//! Guarantees: `{"id","method","code","message"}` as the exchange writes it, and beside it `outcome`, the one word for
//! what became of a command; where that is unknown also the order's name and how to find out. A code that says "not
//! executed" is never used for a command that may have been. Source: the wire contract, "Streams";
//! `crates/catalogue/data/errors.json`.
//!
//! Also why a socket ends, and what the client is told of that. A code that may not be sent is not, and a reason fits its
//! frame; who ended it is one of three words.

use std::borrow::Cow;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::http::exchange_v1;
use catalogue::{
    channels::is_plain,
    codes::{DUPLICATE_CLIENT_OID, DUPLICATE_REQUEST},
};
use gateway::{
    auth::SignatureRejected,
    failure::Refusal,
    outcome::Outcome,
    stream::{Incoming, UnansweredCommand, Unopened, Why, may_be_sent},
};
use protocol::frame::{InvalidFrame, ReplyTo};

/// The request is malformed.
pub(super) const BAD_REQUEST: i64 = 40001;
/// The method is not to be had here: unknown, or not for this caller. Not 40101, which client libraries take for the end of
/// the login and report to nobody who waits for this id.
const NOT_AVAILABLE: i64 = 40002;
/// The envelope is malformed.
const INVALID: i64 = 40003;
/// An argument is.
const ARGUMENT: i64 = 40004;
/// Not now, and nothing was sent.
const MAINTENANCE: i64 = 9_010_001;
/// Not logged in.
pub(super) const UNAUTHORIZED: i64 = 40101;
/// Too much at once, or not now: certain not to have been sent.
const NOT_NOW: i64 = 42901;
/// No answer in time: it may have been executed.
const UNKNOWN: i64 = 40801;

/// A login that is in order.
pub(super) fn logged_in(reply_to: &ReplyTo) -> Utf8Bytes {
    format!(
        r#"{{"id":{},"method":"{}","code":0}}"#,
        reply_to.id, reply_to.method
    )
    .into()
}

/// Something refused, with this code.
pub(super) fn refused(reply_to: &ReplyTo, code: i64, message: &str) -> Utf8Bytes {
    frame(reply_to, code, message, Outcome::Refused, None, None)
}

/// A frame that is none.
pub(super) fn invalid(reply_to: &ReplyTo, invalid: InvalidFrame) -> Utf8Bytes {
    let code = match invalid {
        InvalidFrame::NotAnObject => BAD_REQUEST,
        InvalidFrame::Twice(_) | InvalidFrame::Member(_) => INVALID,
        InvalidFrame::Params(_) => ARGUMENT,
    };
    refused(reply_to, code, &format!("Proxy refused: {invalid}"))
}

/// Params that cannot be judged.
pub(super) fn invalid_params(reply_to: &ReplyTo, text: &str) -> Utf8Bytes {
    refused(reply_to, ARGUMENT, &format!("Proxy refused: {text}"))
}

/// More frames than those get passed on who show no token.
pub(super) fn too_many_frames(reply_to: &ReplyTo) -> Utf8Bytes {
    refused(
        reply_to,
        NOT_NOW,
        "Proxy refused: more frames than one address may send without an X-Proxy-Token; nothing was sent, try again \
         shortly",
    )
}

/// Nothing that this stream offers.
pub(super) fn not_offered(reply_to: &ReplyTo) -> Utf8Bytes {
    refused(
        reply_to,
        NOT_AVAILABLE,
        "Proxy refused: this stream does not offer the method",
    )
}

/// Why a channel is none of the market's.
pub(super) fn not_of_the_market(channel: &str) -> String {
    if is_plain(channel) {
        format!(
            "{channel} is not a channel of the market; those of the account are on /exchange/v1/user"
        )
    } else {
        "a channel has characters that no channel has".to_owned()
    }
}

/// So many channels of a subscription that do not go on: why the first does not, and whether others do.
pub(super) fn refused_channels(
    reply_to: &ReplyTo,
    why: &str,
    count: usize,
    others_go_on: bool,
) -> Utf8Bytes {
    let more = match count - 1 {
        0 => String::new(),
        1 => "; one more channel is refused".to_owned(),
        more => format!("; {more} more channels are refused"),
    };
    let rest = if others_go_on {
        "the other channels were sent"
    } else {
        "nothing of this subscription was sent"
    };
    refused(
        reply_to,
        NOT_AVAILABLE,
        &format!("Proxy refused: {why}{more}; {rest}"),
    )
}

/// A login that is not believed.
pub(super) fn not_believed(reply_to: &ReplyTo, refused: SignatureRejected) -> Utf8Bytes {
    self::refused(
        reply_to,
        exchange_v1::of_claim(refused).code,
        &format!("Proxy refused: {refused}"),
    )
}

/// The gateway said no.
pub(super) fn said_no(reply_to: &ReplyTo, refusal: &Refusal) -> Utf8Bytes {
    let code = match refusal {
        Refusal::Denied(_) => NOT_AVAILABLE,
        // The second is of signed calls, and a command is none.
        Refusal::IdInUse(_) | Refusal::Repeated => DUPLICATE_REQUEST,
        Refusal::NameUsed | Refusal::NameDiffers | Refusal::NameTaken => DUPLICATE_CLIENT_OID,
        Refusal::Journal(_) => MAINTENANCE,
        Refusal::AtCapacity { .. }
        | Refusal::Unread { .. }
        | Refusal::SocketFull { .. }
        | Refusal::NonceAhead { .. }
        | Refusal::Stalled { .. }
        | Refusal::Draining => NOT_NOW,
    };
    refused(reply_to, code, &format!("Proxy refused: {refusal}"))
}

/// There is no upstream socket; the login failed by it.
pub(super) fn unopened(reply_to: &ReplyTo, unopened: &Unopened) -> Utf8Bytes {
    let code = match unopened {
        Unopened::LoginRefused(Some(code)) if *code != 0 => *code,
        Unopened::LoginRefused(_) | Unopened::Refused(_) | Unopened::Failed(_) => NOT_NOW,
    };
    frame(
        reply_to,
        code,
        &format!("Crypto.com API error: {unopened}"),
        Outcome::NotSent,
        None,
        None,
    )
}

/// A command that ended without an answer.
pub(super) fn unanswered(command: &UnansweredCommand) -> Utf8Bytes {
    let code = if command.may_have_been_executed() {
        UNKNOWN
    } else {
        NOT_NOW
    };
    let message = match &command.why {
        Why::Deadline(time) => format!("Crypto.com API timeout: no answer within {time:?}"),
        Why::TooLate => {
            "the proxy was not running while this waited to be sent; nothing was sent, send it again if you still want it"
                .to_owned()
        }
        Why::SocketEnded => {
            "Crypto.com API error: the connection ended before an answer".to_owned()
        }
        Why::Earlier(failure) => failure.to_string(),
    };
    frame(
        &command.reply_to,
        code,
        &message,
        command.outcome,
        command.client_oid.as_deref(),
        command.find_out,
    )
}

fn frame(
    reply_to: &ReplyTo,
    code: i64,
    message: &str,
    outcome: Outcome,
    client_oid: Option<&str>,
    find_out: Option<&str>,
) -> Utf8Bytes {
    let mut text = format!(
        r#"{{"id":{},"method":"{}","code":{code}"#,
        reply_to.id, reply_to.method
    );
    let members = [
        ("message", Some(message)),
        ("outcome", Some(outcome.word())),
        ("client_oid", client_oid),
        ("how_to_find_out", find_out),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            text.push_str(&format!(",\"{name}\":{}", Value::from(value)));
        }
    }
    text.push('}');
    debug_assert!(
        serde_json::from_str::<Value>(&text).is_ok(),
        "{}",
        json!(text)
    );
    text.into()
}

/// The longest reason that a close frame takes (RFC 6455).
const MAX_REASON: usize = 123;

/// Why a socket ends, and what the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    pub(super) const fn crowded() -> Self {
        Self::new(
            1008,
            "too many streams without a login: this one was the oldest; log in at once",
        )
    }

    pub(super) const fn outside() -> Self {
        Self::new(1008, "the caller may not call from there, or not any more")
    }

    pub(super) const fn too_long() -> Self {
        Self::new(
            1009,
            "the frame is too long (streams.max_frame_bytes; without a token or a login at most 8 KiB)",
        )
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
            Incoming::Broken(1009) => Self::too_long(),
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
