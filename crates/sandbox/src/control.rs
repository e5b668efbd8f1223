//! Control from another process, on the same port: what tests and the command line say over HTTP.
//!
//! | request | does |
//! | --- | --- |
//! | `POST /sandbox/script` | scripts faults; the body is in `control/script.rs` |
//! | `POST /sandbox/state` | changes settings; the body is in `control/state.rs` |
//! | `POST /sandbox/release` | lets every request that hangs now go on |
//! | `GET /sandbox/streams` | the open sockets: `[{"id","side","api_key","channels","cancels_on_disconnect","frames"}]` |
//! | `POST /sandbox/streams` | tells all of them something; the body is in `control/streams.rs` |
//! | `GET /sandbox/received` | `{"total":{"received","authenticated","executed"},"orders_placed","methods":{"private/…":{…}}}` |
//!
//! Guarantees: a command is carried out whole or answered 400 with the reason and not at all; unknown fields are
//! reasons. A command that was carried out answers 200 `{"ok":true}`.
//! Does not: ask who commands. A stand-in holds nothing of worth; serve it on loopback all the same.

mod script;
mod state;
mod streams;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    FakeExchange,
    reply::{self, Reply},
};

/// Carries out the command of `/sandbox/{command}`.
pub(super) fn handle(stand_in: &FakeExchange, verb: &Method, command: &str, body: &Bytes) -> Reply {
    let done = match (verb, command) {
        (&Method::POST, "script") => {
            read(body).and_then(|order: script::Order| order.carry_out(stand_in))
        }
        (&Method::POST, "state") => {
            read(body).and_then(|change: state::Change| change.carry_out(stand_in))
        }
        (&Method::POST, "streams") => {
            read(body).map(|order: streams::Order| order.carry_out(stand_in))
        }
        (&Method::GET, "streams") => {
            return reply::json(StatusCode::OK, &stand_in.streams(), stand_in.now_ms());
        }
        (&Method::POST, "release") => {
            stand_in.release();
            Ok(())
        }
        (&Method::GET, "received") => {
            return reply::json(StatusCode::OK, &received(stand_in), stand_in.now_ms());
        }
        _ => {
            return answer(
                stand_in,
                StatusCode::NOT_FOUND,
                &json!({ "error": "no such command" }),
            );
        }
    };
    match done {
        Ok(()) => answer(stand_in, StatusCode::OK, &json!({ "ok": true })),
        Err(reason) => answer(
            stand_in,
            StatusCode::BAD_REQUEST,
            &json!({ "error": reason }),
        ),
    }
}

fn answer(stand_in: &FakeExchange, status: StatusCode, body: &Value) -> Reply {
    reply::json(status, body, stand_in.now_ms())
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn received(stand_in: &FakeExchange) -> Value {
    json!({
        "total": stand_in.total(),
        "orders_placed": stand_in.orders_placed(),
        "methods": stand_in.all_counts(),
    })
}
