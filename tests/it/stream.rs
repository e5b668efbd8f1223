//! The streams: logins, commands, records, and what becomes of both ends.

mod callers;
mod commands;
mod ends;
mod limits;
mod load;
mod opening;

use serde_json::{Value, json};

use crate::support::TestProxy;

const CREATE: &str = "private/create-order";

/// A limit order that rests.
fn order(client_oid: &str) -> Value {
    json!({ "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "50000", "quantity": "0.01",
            "client_oid": client_oid })
}

fn create(id: u64, client_oid: &str) -> Value {
    json!({ "id": id, "method": CREATE, "params": order(client_oid), "nonce": 17 })
}

fn subscribe(channels: &[&str]) -> Value {
    json!({ "id": 2, "method": "subscribe", "params": { "channels": channels } })
}

/// The records of commands that came by streams.
fn records(proxy: &TestProxy, parts: &[&str]) -> Vec<String> {
    proxy.scan_lines();
    let is_one = |text: &String| {
        text.contains("event=call ") && parts.iter().all(|part| text.contains(part))
    };
    proxy.texts().into_iter().filter(is_one).collect()
}

/// How many frames for this method came to the stand-in.
fn at_exchange(proxy: &TestProxy, method: &str) -> u64 {
    proxy.exchange().count(method)
}
