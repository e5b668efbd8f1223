//! `POST /sandbox/script`: faults, as JSON.
//!
//! ```json
//! {"target": "private/create-order", "clear": true,
//!  "once": [{"do": "cut", "when": "after"}, {"do": "pass", "delay_ms": 50}],
//!  "always": {"do": "reply", "status": 502, "content_type": "text/html", "headers": {"x": "y"}, "body": "<html>"}}
//! ```
//!
//! `target`: a method, an echo path, or `*`. `clear` comes first, then `once` is queued, then `always` set.
//! `do`: `pass`, `hang`, `cut`, `reset`, `code` (with `code`), `reply` (with `status`, `content_type`, `headers`, `body`
//! or `body_hex`), `wire` (with `steps`: `{"write": "…"}`, `{"write_hex": "…"}`, `{"pause_ms": 10}`, `"hang"`,
//! `"reset"`). `when`: `before` (the default) or `after` execution.
//!
//! Guarantees: the same faults as the library's, nothing more. Does not: check that a target exists.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde::Deserialize;

use super::super::{Canned, FakeExchange, Fault, WireStep};

/// The body of the command.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    target: String,
    #[serde(default)]
    clear: bool,
    #[serde(default)]
    once: Vec<Plan>,
    always: Option<Plan>,
}

impl Order {
    pub(super) fn carry_out(self, stand_in: &FakeExchange) -> Result<(), String> {
        let once: Vec<_> = self
            .once
            .into_iter()
            .map(Plan::fault)
            .collect::<Result<_, _>>()?;
        let always = self.always.map(Plan::fault).transpose()?;
        if self.clear {
            stand_in.clear_script(&self.target);
        }
        for fault in once {
            stand_in.script(&self.target, fault);
        }
        if let Some(fault) = always {
            stand_in.script_always(&self.target, fault);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    r#do: FaultStep,
    #[serde(default)]
    when: Moment,
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
    steps: Vec<Step>,
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

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Moment {
    #[default]
    Before,
    After,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Write(String),
    WriteHex(String),
    PauseMs(u64),
    Hang,
    Reset,
}

impl Plan {
    fn fault(self) -> Result<Fault, String> {
        let (when, delay) = (self.when, Duration::from_millis(self.delay_ms));
        let fault = match self.r#do {
            FaultStep::Pass => Fault::none(),
            FaultStep::Hang => Fault::hang_before(),
            FaultStep::Cut => Fault::cut_before(),
            FaultStep::Reset => Fault::reset_before(),
            FaultStep::Code => Fault::code(self.code.ok_or("code is missing")?),
            FaultStep::Reply => Fault::reply(self.reply()?),
            FaultStep::Wire => Fault::wire(
                self.steps
                    .into_iter()
                    .map(Step::read)
                    .collect::<Result<Vec<_>, _>>()?,
            ),
        };
        let fault = fault.delayed(delay);
        Ok(match when {
            Moment::Before => fault.before(),
            Moment::After => fault.after(),
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

impl Step {
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
