//! What the diagnosis answers: the report of a run, what the background knows, and the last hints, in one object.
//!
//! Guarantees: the names of the old proxy's answer stand in it (`timestamp_utc`, `server_time_epoch`, `outbound_ip`,
//! `credentials_status`, `test_result`, `findings`, `causes`); nothing secret, as in the report; an object of the same
//! names before any run. Does not: hold params, amounts or answers of the exchange.

use std::time::Duration;

use axum::response::Response;
use serde_json::{Value, json};
use text::time::rfc3339;

use crate::http::{AppState, reply};
use diagnosis::{
    doubt::{Doubt, Listed},
    hint::Given,
    reach::{Phase, Reachability, Step, Watched},
    report::{Diagnosis, DoubtLine, Report},
};
use gateway::observed::{ClockSkew, Expected, Observed};

const NEXT_BEFORE_ANY_RUN: &str =
    "nothing was probed since the start: `sudo crypto-proxy diagnose`, or POST /diag/run";

/// The last diagnosis, or what there is without one.
pub(super) async fn known(app: &AppState) -> Response {
    match app.runner.last().await {
        Some(diagnosis) => diagnosed(app, &diagnosis),
        None => ok(app, not_run(app).await, "not_run"),
    }
}

/// A diagnosis.
pub(super) fn diagnosed(app: &AppState, diagnosis: &Diagnosis) -> Response {
    let report = Report::of(diagnosis);
    let result = report.conclusion.clone();
    ok(app, report, &result)
}

/// The last run is too short a time ago.
pub(super) async fn too_soon(app: &AppState, wait: Duration) -> Response {
    // Rounded up: who comes back after so many seconds is not sent away again.
    let seconds = wait.as_millis().div_ceil(1000);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    let last = app.runner.last().await;
    let last = last.map(|last| rfc3339(last.findings.at_ms));
    let text = format!(
        "Five runs begin in five minutes at most; the next one in {seconds} s. GET /diag/crypto-auth has the last"
    );
    let body = json!({ "detail": text, "retry_after_s": seconds, "last_at": last });
    let mut response = reply::json_response(429, body.to_string().into_bytes());
    reply::set_retry_after(&mut response, seconds);
    response
}

async fn not_run(app: &AppState) -> Report {
    let Listed { doubts, unread } = app.doubts.list().await;
    let away = app.doubts.away();
    let before_any_run = away.map_or_else(|| NEXT_BEFORE_ANY_RUN.to_owned(), |away| away.remedy);
    Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        credentials_of: app.runner.whose().to_owned(),
        conclusion: "not_run".to_owned(),
        in_doubt: doubts.iter().map(DoubtLine::of).collect(),
        in_doubt_unread: unread,
        next_step: doubts.first().map_or(before_any_run, Doubt::question),
        ..Report::default()
    }
}

fn ok(app: &AppState, report: Report, result: &str) -> Response {
    let (now_ms, observed) = (app.runner.now_ms(), app.gateway.observed());
    let facts = app.runner.facts();
    let hints: Vec<Value> = app.hints.list().iter().map(hint).collect();
    let mut body = json!({
        "timestamp_utc": rfc3339(now_ms),
        "server_time_epoch": now_ms / 1000,
        "outbound_ip": observed.outbound().map(|seen| seen.address),
        "credentials_status": credentials_status(app),
        "key_fingerprint": facts.fingerprint,
        "key_label": facts.label,
        "test_result": result,
        "running": app.runner.is_running(),
        "background": background(app, observed),
        "alarms": alarms(app),
        "hints": hints,
    });
    if let (Value::Object(body), Ok(Value::Object(report))) =
        (&mut body, serde_json::to_value(report))
    {
        body.extend(report);
    }
    reply::json_response(200, body.to_string().into_bytes())
}

/// A daemon without a pair does not start.
fn credentials_status(app: &AppState) -> &'static str {
    if app.runner.facts().flaws.is_empty() {
        "configured"
    } else {
        "configured, with remarks"
    }
}

fn background(app: &AppState, observed: &Observed) -> Value {
    let outbound = observed.outbound();
    let expected = match observed.expected() {
        Expected::Unstated => json!("unstated"),
        Expected::Any => json!("any"),
        Expected::Listed(listed) => json!(listed),
    };
    let skew = observed.skew().estimate();
    json!({
        "outbound": {
            "address": outbound.as_ref().map(|seen| seen.address),
            "age_s": outbound.as_ref().map(|seen| seen.age().as_secs()),
            "expected": expected,
            "drift": observed.drift().is_some(),
        },
        "clock": {
            "skew_ms": skew.map(|skew| skew.offset_ms),
            "uncertainty_ms": skew.map(|skew| skew.uncertainty_ms),
            "off": skew.is_some_and(ClockSkew::is_large),
        },
        "exchange": { "unreachable": observed.is_unreachable() },
        "reachability": reachability(&app.reach, app.runner.now_ms()),
    })
}

fn reachability(watched: &Watched, now_ms: u64) -> Value {
    let standing = watched.standing();
    let last = standing.as_deref().map(|standing| &standing.last);
    let fault = last.and_then(|last| last.fault.as_ref());
    json!({
        "watched": watched.is_enabled(),
        "at": last.map(|last| rfc3339(last.at_ms)),
        "age_s": last.map(|last| now_ms.saturating_sub(last.at_ms) / 1000),
        "reachable": last.map(|_| fault.is_none()),
        "since": standing.as_ref().map(|standing| rfc3339(standing.since_ms)),
        "failed_phase": fault.map(|fault| fault.phase.word()),
        "cause": fault.map(|fault| fault.cause.code()),
        "next_step": fault.map(|fault| &fault.next_step),
        "phases": standing.as_deref().map(phases),
    })
}

fn phases(standing: &Reachability) -> Value {
    let shown = |step: &Step| match step {
        Step::Took(_) => json!({ "ms": step.millis() }),
        Step::Failed(_, says) => json!({ "ms": step.millis(), "failed": says }),
        Step::NotMade(reason) => json!({ "not_made": reason }),
    };
    let named = |(phase, step): &(Phase, Step)| (phase.word().to_owned(), shown(step));
    Value::Object(standing.last.steps.iter().map(named).collect())
}

fn alarms(app: &AppState) -> Value {
    json!({
        "all_private_calls_refused": app.alarms.all_refused(),
        "exchange_down": app.alarms.exchange_down(),
        "refused_methods": app.alarms.refused_methods(),
        "order_journal_away": app.doubts.away().map(|away| away.why),
        "address_drift": app.gateway.observed().drift().is_some(),
        "clock_off": app.gateway.observed().skew().estimate().is_some_and(ClockSkew::is_large),
    })
}

fn hint(given: &Given) -> Value {
    let Given {
        rid,
        method,
        code,
        hint,
        ..
    } = given;
    let others: Vec<&str> = hint.alternatives.iter().map(|other| other.code()).collect();
    json!({
        "age_s": given.age().as_secs(),
        "rid": &**rid,
        "method": method,
        "code": code,
        "cause": hint.cause.code(),
        "likelihood": hint.likelihood.to_string(),
        "sentence": hint.cause.sentence(),
        "evidence": hint.evidence,
        "not_excluded": others,
        "next_step": hint.next,
    })
}
