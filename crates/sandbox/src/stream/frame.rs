//! Frames as the exchange writes them.
//!
//! Guarantees: `{"id","method","code","result"}` or `{"id","method","code","message"}`; a frame without id or method is
//! answered with id −1 and method `ERROR` [documents].

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    super::{authentication::ParsedCall, reply, settings::Refusal},
    channel::Channel,
};

/// What stands in the place of an id that was not sent.
pub(super) const NO_ID: &str = "-1";
/// What stands in the place of a method that was not sent.
pub(super) const NO_METHOD: &str = "ERROR";

#[derive(Serialize)]
struct Frame<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    method: &'a str,
    code: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
}

/// The answer to a frame. A result of `null` is left out.
pub(super) fn answer(asked: &ParsedCall, outcome: &Result<Value, Refusal>) -> Utf8Bytes {
    let (code, result) = match outcome {
        Ok(result) => (0, Some(result).filter(|result| !result.is_null())),
        Err(refusal) => (refusal.code, None),
    };
    let message = (code != 0).then(|| reply::message(code));
    text(&Frame {
        id: RawValue::from_string(asked.id.clone()).ok(),
        method: &asked.method,
        code,
        message,
        result,
    })
}

/// What a subscriber gets.
pub(super) fn push(id: &str, subscription: &str, channel: &Channel, data: &Value) -> Utf8Bytes {
    let mut result = channel.describe();
    if let Some(members) = result.as_object_mut() {
        members.insert("subscription".to_owned(), json!(subscription));
        members.insert("data".to_owned(), data.clone());
    }
    let id = RawValue::from_string(id.to_owned()).ok();
    text(&Frame {
        id,
        method: "subscribe",
        code: 0,
        message: None,
        result: Some(&result),
    })
}

/// A question for a sign of life.
pub(super) fn heartbeat(id: i64) -> Utf8Bytes {
    text(&Frame {
        id: RawValue::from_string(id.to_string()).ok(),
        method: "public/heartbeat",
        code: 0,
        message: None,
        result: None,
    })
}

fn text(frame: &Frame<'_>) -> Utf8Bytes {
    serde_json::to_string(frame).unwrap_or_default().into()
}
