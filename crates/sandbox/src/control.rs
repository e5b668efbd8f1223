//! Control from another process, on the same port: what tests and the command line say over HTTP.
//!
//! | request | does |
//! | --- | --- |
//! | `POST /sandbox/script` | scripts faults; the body is a `ScriptCommand` |
//! | `POST /sandbox/state` | changes settings; the body is a `StateCommand` |
//! | `POST /sandbox/release` | lets every request that hangs now go on |
//! | `GET /sandbox/streams` | the open sockets: `[{"id","side","api_key","channels","cancels_on_disconnect","frames"}]` |
//! | `POST /sandbox/streams` | tells all of them something; the body is a `StreamsCommand` |
//! | `GET /sandbox/received` | `{"total":{"received","authenticated","executed"},"orders_placed","methods":{"private/…":{…}}}` |
//!
//! Guarantees: a command is carried out whole or answered 400 with the reason and not at all; unknown fields are
//! reasons. A command that was carried out answers 200 `{"ok":true}`.
//! Does not: ask who commands. A stand-in holds nothing of worth; serve it on loopback all the same.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    ApiKey, Canned, Dialect, FakeExchange, Fault, KeyState, Names, Permission, RateLimits, Refusal,
    Settings, Side, WireStep,
    reply::{self, Reply},
};

/// Carries out the command of `/sandbox/{command}`.
pub(super) fn handle(exchange: &FakeExchange, verb: &Method, command: &str, body: &Bytes) -> Reply {
    let done = match (verb, command) {
        (&Method::POST, "script") => {
            read(body).and_then(|command: ScriptCommand| command.carry_out(exchange))
        }
        (&Method::POST, "state") => {
            read(body).and_then(|command: StateCommand| command.carry_out(exchange))
        }
        (&Method::POST, "streams") => {
            read(body).map(|command: StreamsCommand| command.carry_out(exchange))
        }
        (&Method::GET, "streams") => {
            return reply::json(StatusCode::OK, &exchange.streams(), exchange.now_ms());
        }
        (&Method::POST, "release") => {
            exchange.release();
            Ok(())
        }
        (&Method::GET, "received") => {
            return reply::json(StatusCode::OK, &received(exchange), exchange.now_ms());
        }
        _ => {
            return answer(
                exchange,
                StatusCode::NOT_FOUND,
                &json!({ "error": "no such command" }),
            );
        }
    };
    match done {
        Ok(()) => answer(exchange, StatusCode::OK, &json!({ "ok": true })),
        Err(reason) => answer(
            exchange,
            StatusCode::BAD_REQUEST,
            &json!({ "error": reason }),
        ),
    }
}

fn answer(exchange: &FakeExchange, status: StatusCode, body: &Value) -> Reply {
    reply::json(status, body, exchange.now_ms())
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn received(exchange: &FakeExchange) -> Value {
    json!({
        "total": exchange.total(),
        "orders_placed": exchange.orders_placed(),
        "methods": exchange.all_counts(),
    })
}

/// `POST /sandbox/script`: faults, as JSON.
///
/// ```json
/// {"target": "private/create-order", "clear": true,
///  "once": [{"do": "cut", "when": "after"}, {"do": "pass", "delay_ms": 50}],
///  "seed": 7, "sometimes": [{"probability": 0.02, "do": "cut", "when": "late", "late_ms": 5000}],
///  "always": {"do": "reply", "status": 502, "content_type": "text/html", "headers": {"x": "y"}, "body": "<html>"}}
/// ```
///
/// `target`: a method, an echo path, or `*`. `clear` comes first, then `once` is queued, then `sometimes` and `always`
/// are set.
/// `do`: `pass`, `hang`, `cut`, `reset`, `code` (with `code`), `reply` (with `status`, `content_type`, `headers`, `body`
/// or `body_hex`), `wire` (with `steps`: `{"write": "…"}`, `{"write_hex": "…"}`, `{"pause_ms": 10}`, `"hang"`,
/// `"reset"`). `when`: `before` (the default) or `after` execution; `within` the answer (`cut`, `reset`); `late`: at once,
/// and executed `late_ms` after it came.
///
/// Guarantees: the same faults as the library's, nothing more. Does not: check that a target exists.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptCommand {
    target: String,
    #[serde(default)]
    clear: bool,
    #[serde(default)]
    once: Vec<FaultText>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    sometimes: Vec<FaultText>,
    always: Option<FaultText>,
}

impl ScriptCommand {
    fn carry_out(self, exchange: &FakeExchange) -> Result<(), String> {
        let once: Vec<_> = self
            .once
            .into_iter()
            .map(FaultText::fault)
            .collect::<Result<_, _>>()?;
        let sometimes: Vec<_> = self
            .sometimes
            .into_iter()
            .map(FaultText::drawn)
            .collect::<Result<_, _>>()?;
        if sometimes
            .iter()
            .map(|(probability, _)| probability)
            .sum::<f64>()
            > 1.0
        {
            return Err("the probabilities are more than 1 together".to_owned());
        }
        let always = self.always.map(FaultText::fault).transpose()?;
        if self.clear {
            exchange.clear_script(&self.target);
        }
        for fault in once {
            exchange.script(&self.target, fault);
        }
        if !sometimes.is_empty() {
            exchange.script_sometimes(&self.target, self.seed, sometimes);
        }
        if let Some(fault) = always {
            exchange.script_always(&self.target, fault);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultText {
    r#do: FaultStep,
    #[serde(default)]
    when: WhenText,
    late_ms: Option<u64>,
    probability: Option<f64>,
    #[serde(default)]
    delay_ms: u64,
    code: Option<i64>,
    status: Option<u16>,
    content_type: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_hex: Option<String>,
    #[serde(default)]
    steps: Vec<WireStepText>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WhenText {
    #[default]
    Before,
    After,
    Within,
    Late,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FaultStep {
    Pass,
    Hang,
    Cut,
    Reset,
    Code,
    Reply,
    Wire,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireStepText {
    Write(String),
    WriteHex(String),
    PauseMs(u64),
    Hang,
    Reset,
}

impl FaultText {
    /// One that is drawn.
    fn drawn(mut self) -> Result<(f64, Fault), String> {
        let probability = self.probability.take().ok_or("probability is missing")?;
        if !(0.0..=1.0).contains(&probability) {
            return Err("a probability is from 0 to 1".to_owned());
        }
        Ok((probability, self.fault()?))
    }

    fn fault(self) -> Result<Fault, String> {
        if self.probability.is_some() {
            return Err("probability belongs to sometimes".to_owned());
        }
        let (when, late_ms) = (self.when, self.late_ms);
        let (is_pass, delay) = (
            matches!(self.r#do, FaultStep::Pass),
            Duration::from_millis(self.delay_ms),
        );
        let fault = match (self.r#do, when) {
            (FaultStep::Cut, WhenText::Within) => Fault::cut_within(),
            (FaultStep::Reset, WhenText::Within) => Fault::reset_within(),
            (_, WhenText::Within) => {
                return Err("only cut and reset are within an answer".to_owned());
            }
            (step, _) => self.whole(step)?,
        };
        let fault = match (when, late_ms) {
            (WhenText::Late, _) if is_pass => {
                return Err("a pass is not late: say delay_ms".to_owned());
            }
            (WhenText::Late, Some(ms)) => fault.executed_late(Duration::from_millis(ms)),
            (WhenText::Late, None) => return Err("late_ms is missing".to_owned()),
            (_, Some(_)) => return Err("late_ms belongs to when late".to_owned()),
            (WhenText::After, None) => fault.after(),
            (WhenText::Before | WhenText::Within, None) => fault,
        };
        Ok(fault.delayed(delay))
    }

    /// A fault that is not within an answer.
    fn whole(self, step: FaultStep) -> Result<Fault, String> {
        Ok(match step {
            FaultStep::Pass => Fault::none(),
            FaultStep::Hang => Fault::hang_before(),
            FaultStep::Cut => Fault::cut_before(),
            FaultStep::Reset => Fault::reset_before(),
            FaultStep::Code => Fault::code(self.code.ok_or("code is missing")?),
            FaultStep::Reply => Fault::reply(self.reply()?),
            FaultStep::Wire => Fault::wire(
                self.steps
                    .into_iter()
                    .map(WireStepText::read)
                    .collect::<Result<Vec<_>, _>>()?,
            ),
        })
    }

    fn reply(self) -> Result<Canned, String> {
        let body = match (self.body, self.body_hex) {
            (None, Some(digits)) => unhex(&digits)?,
            (Some(text), None) => text.into(),
            (None, None) => Bytes::new(),
            (Some(_), Some(_)) => return Err("body and body_hex exclude each other".to_owned()),
        };
        let (content_type, headers) = (self.content_type, self.headers.into_iter().collect());
        Ok(Canned {
            status: self.status.unwrap_or(200),
            content_type,
            headers,
            body,
        })
    }
}

impl WireStepText {
    fn read(self) -> Result<WireStep, String> {
        Ok(match self {
            Self::Write(text) => WireStep::Write(text.into()),
            Self::WriteHex(digits) => WireStep::Write(unhex(&digits)?),
            Self::PauseMs(pause_ms) => WireStep::Pause(Duration::from_millis(pause_ms)),
            Self::Hang => WireStep::Hang,
            Self::Reset => WireStep::Reset,
        })
    }
}

fn unhex(digits: &str) -> Result<Bytes, String> {
    hex::decode(digits)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

/// `POST /sandbox/state`: settings, as JSON. What is not named stays as it is.
///
/// ```json
/// {"apparent_address": "203.0.113.7", "clock_offset_ms": 90000, "rate_limits": "on", "names": "once",
///  "dialect": "documented", "heartbeat_ms": 30000, "heartbeat_answer_ms": 5000,
///  "unlisted": {"code": 40101}, "forbidden": {"code": 40101, "http_status": 403},
///  "keys": [{"api_key": "k", "api_secret": "s", "permissions": ["read", "trade", "withdraw"],
///            "whitelist": ["203.0.113.7"], "state": "active"}]}
/// ```
///
/// `apparent_address`: `peer` is the address a caller connects from. `keys`: a known key is changed, an unknown one
/// is added and needs its secret. An empty `whitelist` means any address.
///
/// Guarantees: all of it takes effect at once, or none. Does not: remove a key; disable it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateCommand {
    apparent_address: Option<String>,
    clock_offset_ms: Option<i64>,
    rate_limits: Option<RateLimits>,
    names: Option<Names>,
    dialect: Option<Dialect>,
    heartbeat_ms: Option<u64>,
    heartbeat_answer_ms: Option<u64>,
    unlisted: Option<Refusal>,
    forbidden: Option<Refusal>,
    #[serde(default)]
    keys: Vec<KeyChange>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyChange {
    api_key: String,
    api_secret: Option<String>,
    permissions: Option<Vec<Permission>>,
    whitelist: Option<Vec<IpAddr>>,
    state: Option<KeyState>,
}

impl StateCommand {
    fn carry_out(self, exchange: &FakeExchange) -> Result<(), String> {
        let mut done = Ok(());
        exchange.change(|settings| {
            let mut changed = settings.clone();
            done = self.apply(&mut changed);
            if done.is_ok() {
                *settings = changed;
            }
        });
        done
    }

    fn apply(self, settings: &mut Settings) -> Result<(), String> {
        if let Some(address) = self.apparent_address {
            settings.apparent_address = match address.as_str() {
                "peer" => None,
                address => Some(
                    address
                        .parse()
                        .map_err(|_| "apparent_address is no address".to_owned())?,
                ),
            };
        }
        settings.clock_offset_ms = self.clock_offset_ms.unwrap_or(settings.clock_offset_ms);
        settings.rate_limits = self.rate_limits.unwrap_or(settings.rate_limits);
        settings.names = self.names.unwrap_or(settings.names);
        settings.dialect = self.dialect.unwrap_or(settings.dialect);
        settings.heartbeat_ms = self.heartbeat_ms.unwrap_or(settings.heartbeat_ms);
        settings.heartbeat_answer_ms = self
            .heartbeat_answer_ms
            .unwrap_or(settings.heartbeat_answer_ms);
        settings.unlisted = self.unlisted.unwrap_or(settings.unlisted);
        settings.forbidden = self.forbidden.unwrap_or(settings.forbidden);
        self.keys
            .into_iter()
            .try_for_each(|key| key.apply(settings))
    }
}

impl KeyChange {
    fn apply(self, settings: &mut Settings) -> Result<(), String> {
        let mut key = match (settings.key(&self.api_key), self.api_secret) {
            (Some(known), None) => known.clone(),
            (Some(known), Some(api_secret)) => ApiKey {
                api_secret,
                ..known.clone()
            },
            (None, Some(api_secret)) => ApiKey::new(&self.api_key, &api_secret),
            (None, None) => return Err("a new key needs its api_secret".to_owned()),
        };
        key.permissions = self.permissions.map_or(key.permissions, |permissions| {
            permissions.into_iter().collect()
        });
        key.whitelist = self.whitelist.unwrap_or(key.whitelist);
        key.state = self.state.unwrap_or(key.state);
        settings.put_key(key);
        Ok(())
    }
}

/// `POST /sandbox/streams`: what every open socket is told, as JSON.
///
/// `{"do":"close","code":1013,"reason":"restarting"}`, `{"do":"cut"}`, `{"do":"stall"}` (until released),
/// `{"do":"heartbeat"}`, `{"do":"publish","channel":"ticker.BTC_USD","data":[…]}`, `{"do":"text","side":"user","text":"…"}`.
///
/// Guarantees: the same as the library's calls, nothing more. Does not: choose one socket.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
enum StreamsCommand {
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

impl StreamsCommand {
    fn carry_out(self, exchange: &FakeExchange) {
        match self {
            Self::Close { code, reason } => exchange.close_streams(code, &reason),
            Self::Cut => exchange.cut_streams(),
            Self::Stall => exchange.stall_streams(),
            Self::Heartbeat => exchange.send_heartbeats(),
            Self::Publish { channel, data } => drop(exchange.publish(&channel, &data)),
            Self::Text { side, text } => exchange.send_text(side, &text),
        }
    }
}
