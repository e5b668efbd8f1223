//! `POST /sandbox/streams`: what every open socket is told, as JSON.
//!
//! `{"do":"close","code":1013,"reason":"restarting"}`, `{"do":"cut"}`, `{"do":"stall"}` (until released),
//! `{"do":"heartbeat"}`, `{"do":"publish","channel":"ticker.BTC_USD","data":[…]}`, `{"do":"text","side":"user","text":"…"}`.
//!
//! Guarantees: the same as the library's calls, nothing more. Does not: choose one socket.

use serde::Deserialize;
use serde_json::Value;

use super::super::{FakeExchange, Side};

/// The body of the command.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Order {
    Close {
        code: u16,
        #[serde(default)]
        reason: String,
    },
    Cut,
    Stall,
    Heartbeat,
    Publish {
        channel: String,
        data: Value,
    },
    Text {
        side: Side,
        text: String,
    },
}

impl Order {
    pub(super) fn carry_out(self, stand_in: &FakeExchange) {
        match self {
            Self::Close { code, reason } => stand_in.close_streams(code, &reason),
            Self::Cut => stand_in.cut_streams(),
            Self::Stall => stand_in.stall_streams(),
            Self::Heartbeat => stand_in.send_heartbeats(),
            Self::Publish { channel, data } => drop(stand_in.publish(&channel, &data)),
            Self::Text { side, text } => stand_in.send_text(side, &text),
        }
    }
}
