//! Calls and changes in one table, in the order of time.

use std::io::{self, Write};

use serde_json::json;

use super::Form;
use diagnosis::history::{CallRow, ChangeRow, time};

/// Writes both, merged.
pub(super) fn table(
    out: &mut impl Write,
    form: Form,
    calls: &[CallRow],
    changes: &[ChangeRow],
) -> io::Result<()> {
    let (mut calls, mut changes) = (calls.iter().peekable(), changes.iter().peekable());
    if form == Form::Text && calls.peek().is_none() && changes.peek().is_none() {
        return writeln!(out, "nothing on record");
    }
    loop {
        let change = changes.next_if(|change| calls.peek().is_none_or(|call| change.ms <= call.ms));
        match (change, form) {
            (Some(row), Form::Text) => writeln!(out, "{}  -- {}", time(row.ms), describe(row))?,
            (Some(row), Form::Json) => writeln!(out, "{}", change_json(row))?,
            (None, _) => {
                let Some(row) = calls.next() else {
                    return Ok(());
                };
                match form {
                    Form::Text => writeln!(out, "{}", call_text(row))?,
                    Form::Json => writeln!(out, "{}", call_json(row))?,
                }
            }
        }
    }
}

/// A change in words.
pub(super) fn describe(row: &ChangeRow) -> String {
    let (before, after) = (row.before.as_deref(), row.after.as_deref().unwrap_or("?"));
    let unit = if row.kind == "skew" { " ms" } else { "" };
    match (row.kind.as_str(), before) {
        ("start", _) => format!("start of version {after}"),
        ("stop", _) => "stop".to_owned(),
        ("gap", since) => format!("gap since {}: {after}", since.unwrap_or("?")),
        ("method", _) => format!("first call of {after}"),
        ("lost", _) => format!("{after} calls are missing: the history could not be written"),
        (kind, None) => format!("{kind} {}{after}{unit}", number(kind)),
        (kind, Some(before)) => {
            format!("{kind} {0}{before}{unit} → {0}{after}{unit}", number(kind))
        }
    }
}

/// A secret is shown by its number on this installation.
fn number(kind: &str) -> &'static str {
    if kind == "secret" { "no. " } else { "" }
}

fn call_text(row: &CallRow) -> String {
    let code = row
        .code
        .map_or_else(|| "-".to_owned(), |code| code.to_string());
    let method = row.method.as_deref().unwrap_or("-");
    let why = row
        .why
        .as_deref()
        .map_or_else(String::new, |why| format!(" why={why}"));
    let address = row.address.as_deref().unwrap_or("-");
    format!(
        "{}  {method:<32} {:<8} code={code} http={}{why} ms={}/{} caller={} key={} from={address} rid={}",
        time(row.ms),
        row.outcome,
        row.status,
        row.exchange_ms,
        row.total_ms,
        row.caller,
        row.key_fp,
        row.rid
    )
}

fn call_json(row: &CallRow) -> serde_json::Value {
    json!({
        "type": "call", "time": time(row.ms), "rid": row.rid, "caller": row.caller, "method": row.method,
        "code": row.code, "http": row.status, "outcome": row.outcome, "why": row.why, "verdict": row.verdict,
        "exchange_ms": row.exchange_ms, "total_ms": row.total_ms, "key_fp": row.key_fp, "address": row.address,
    })
}

/// A change as JSON.
pub(super) fn change_json(row: &ChangeRow) -> serde_json::Value {
    json!({ "type": "change", "time": time(row.ms), "kind": row.kind, "before": row.before, "after": row.after })
}
