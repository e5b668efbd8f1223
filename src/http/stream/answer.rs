//! Frames of ours, in the exchange's shape.
//!
//! Guarantees: `{"id","method","code","message"}` as the exchange writes it, and beside it `outcome`, the one word for what
//! became of a command; where that is in doubt also the order's name and how to find out. A code that says "not executed"
//! is never used for a command that may have been. Source: the wire contract, "Streams"; `crates/catalogue/data/errors.json`.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::http::exchange_v1;
use gateway::{
    auth::SignatureRejected,
    failure::Refusal,
    outcome::Outcome,
    stream::{UnansweredCommand, Unopened, Why},
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
/// The id is in use.
const DUPLICATE: i64 = 40006;
/// Not logged in.
pub(super) const UNAUTHORIZED: i64 = 40101;
/// Too much at once, or not now: certain not to have been sent.
const NOT_NOW: i64 = 42901;
/// No answer in time: it may have been executed.
const UNKNOWN: i64 = 40801;

/// A login that is in order.
pub(super) fn logged_in(echo: &ReplyTo) -> Utf8Bytes {
    format!(
        r#"{{"id":{},"method":"{}","code":0}}"#,
        echo.id, echo.method
    )
    .into()
}

/// Something refused, with this code.
pub(super) fn refused(echo: &ReplyTo, code: i64, message: &str) -> Utf8Bytes {
    frame(echo, code, message, Outcome::Refused, None, None)
}

/// A frame that is none.
pub(super) fn invalid(echo: &ReplyTo, invalid: InvalidFrame) -> Utf8Bytes {
    let code = match invalid {
        InvalidFrame::NotAnObject => BAD_REQUEST,
        InvalidFrame::Twice(_) | InvalidFrame::Member(_) => INVALID,
        InvalidFrame::Params(_) => ARGUMENT,
    };
    refused(echo, code, &format!("Proxy refused: {invalid}"))
}

/// Params that cannot be judged.
pub(super) fn invalid_params(echo: &ReplyTo, text: &str) -> Utf8Bytes {
    refused(echo, ARGUMENT, &format!("Proxy refused: {text}"))
}

/// Nothing that this stream offers.
pub(super) fn not_offered(echo: &ReplyTo) -> Utf8Bytes {
    refused(
        echo,
        NOT_AVAILABLE,
        "Proxy refused: this stream does not offer the method",
    )
}

/// A login that is not believed.
pub(super) fn not_believed(echo: &ReplyTo, refused: SignatureRejected) -> Utf8Bytes {
    self::refused(
        echo,
        exchange_v1::of_claim(refused).code,
        &format!("Proxy refused: {refused}"),
    )
}

/// The gateway said no.
pub(super) fn said_no(echo: &ReplyTo, refusal: &Refusal) -> Utf8Bytes {
    let code = match refusal {
        Refusal::Denied(_) => NOT_AVAILABLE,
        Refusal::IdInUse(_) => DUPLICATE,
        Refusal::AtCapacity { .. } | Refusal::SocketFull { .. } | Refusal::Draining => NOT_NOW,
    };
    refused(echo, code, &format!("Proxy refused: {refusal}"))
}

/// There is no upstream socket; the login failed by it.
pub(super) fn unopened(echo: &ReplyTo, unopened: &Unopened) -> Utf8Bytes {
    let code = match unopened {
        Unopened::LoginRefused(Some(code)) if *code != 0 => *code,
        Unopened::LoginRefused(_) | Unopened::Refused(_) | Unopened::Failed(_) => NOT_NOW,
    };
    frame(
        echo,
        code,
        &format!("Crypto.com API error: {unopened}"),
        Outcome::NotSent,
        None,
        None,
    )
}

/// A command that ended without an answer.
pub(super) fn doubt(doubt: &UnansweredCommand) -> Utf8Bytes {
    let code = if doubt.may_have_been_executed() {
        UNKNOWN
    } else {
        NOT_NOW
    };
    let message = match doubt.why {
        Why::Deadline(time) => format!("Crypto.com API timeout: no answer within {time:?}"),
        Why::SocketEnded => {
            "Crypto.com API error: the connection ended before an answer".to_owned()
        }
    };
    frame(
        &doubt.reply_to,
        code,
        &message,
        doubt.outcome,
        doubt.client_oid.as_deref(),
        doubt.find_out,
    )
}

fn frame(
    echo: &ReplyTo,
    code: i64,
    message: &str,
    outcome: Outcome,
    client_oid: Option<&str>,
    find_out: Option<&str>,
) -> Utf8Bytes {
    let mut text = format!(
        r#"{{"id":{},"method":"{}","code":{code}"#,
        echo.id, echo.method
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
