//! What is printed: calls, changes and counts of refused calls in one table, in the order of time; what changed in between,
//! in sentences.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};
use text::time::rfc3339_ms as time;

use super::Form;
use diagnosis::history::{Break, CallRow, ChangeRow, Milestone, RefusedCallsRow, Trouble};

/// Writes all of them, merged.
pub(super) fn table(
    out: &mut impl Write,
    form: Form,
    calls: &[CallRow],
    changes: &[ChangeRow],
    refused: &[RefusedCallsRow],
) -> io::Result<()> {
    let changes = changes.iter().map(|row| (row.ms, Line::Change(row)));
    let refused = refused
        .iter()
        .map(|row| (row.minute_ms, Line::RefusedCalls(row)));
    let calls = calls.iter().map(|row| (row.ms, Line::Call(row)));
    let mut lines: Vec<_> = changes.chain(refused).chain(calls).collect();
    lines.sort_by_key(|(ms, _)| *ms);
    if form == Form::Text && lines.is_empty() {
        return writeln!(out, "nothing on record");
    }
    for (ms, line) in &lines {
        match (form, line) {
            (Form::Json, _) => writeln!(out, "{}", json!(line))?,
            (Form::Text, Line::Call(row)) => writeln!(out, "{}", text::line(&call_text(row)))?,
            (Form::Text, Line::Change(row)) => {
                writeln!(out, "{}  -- {}", time(*ms), text::line(&row.describe()))?;
            }
            (Form::Text, Line::RefusedCalls(row)) => {
                writeln!(out, "{}  -- {}", time(*ms), text::line(&refused_text(row)))?;
            }
        }
    }
    Ok(())
}

fn refused_text(row: &RefusedCallsRow) -> String {
    let RefusedCallsRow {
        caller, why, count, ..
    } = row;
    format!("in this minute {count} further calls of {caller} were refused here: why={why}")
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

/// A row as JSON, with what it is.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Call(&'a CallRow),
    Change(&'a ChangeRow),
    RefusedCalls(&'a RefusedCallsRow),
}

/// Says where the history begins, if that is after what was asked for.
pub(super) fn beginning(
    out: &mut impl Write,
    begins_ms: Option<u64>,
    since_ms: Option<u64>,
) -> io::Result<()> {
    match begins_ms {
        None => writeln!(out, "no history yet"),
        Some(begins) if since_ms.is_none_or(|since| since < begins) => {
            writeln!(out, "no history before {}", time(begins))
        }
        Some(_) => Ok(()),
    }
}

/// Writes each break.
pub(super) fn breaks(out: &mut impl Write, form: Form, all: &[Break]) -> io::Result<()> {
    if form == Form::Json {
        return all
            .iter()
            .try_for_each(|broken| writeln!(out, "{}", break_json(broken)));
    }
    if all.is_empty() {
        return writeln!(out, "no bad call on record");
    }
    all.iter()
        .try_for_each(|broken| writeln!(out, "{}", text::line(&sentence(broken))))
}

fn sentence(broken: &Break) -> String {
    let good = broken.good.as_ref().map_or_else(
        || "never a good call on record".to_owned(),
        |good| {
            format!(
                "last good {} with key {} from {}",
                time(good.ms),
                good.key_fp,
                from(good)
            )
        },
    );
    let bad = &broken.bad;
    let kind = match broken.trouble {
        Trouble::Auth => "refused",
        Trouble::Failed => "failed",
    };
    let seen = match (bad.code, bad.why.as_deref()) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(why)) => why.to_owned(),
        (None, None) => format!("HTTP {}", bad.status),
    };
    let moved = broken
        .good
        .as_ref()
        .is_some_and(|good| good.address != bad.address || good.key_fp != bad.key_fp);
    let with = if moved {
        format!(" with key {} from {}", bad.key_fp, from(bad))
    } else {
        String::new()
    };
    let changes: Vec<String> = broken
        .changes
        .iter()
        .map(|change| match change.ms.checked_sub(bad.ms) {
            Some(after) if after > 0 => {
                format!("{}, noticed {after} ms after it", change.describe())
            }
            _ => format!("{} at {}", change.describe(), time(change.ms)),
        })
        .collect();
    let between = match (changes.is_empty(), broken.good.is_some()) {
        (true, _) => "nothing changed here".to_owned(),
        (false, true) => format!("between: {}", changes.join("; ")),
        (false, false) => format!("before it: {}", changes.join("; ")),
    };
    let now = broken.recovered.as_ref().map_or_else(
        || "still so".to_owned(),
        |good| format!("good again {}", time(good.ms)),
    );
    format!(
        "{}: {good}; first bad {} ({kind}, {seen}, rid {}){with}; {between}; {now}",
        broken.method,
        time(bad.ms),
        bad.rid
    )
}

fn from(mark: &Milestone) -> &str {
    mark.address.as_deref().unwrap_or("an unknown address")
}

fn break_json(broken: &Break) -> Value {
    json!({
        "method": broken.method,
        "trouble": broken.trouble.word(),
        "last_good": broken.good.as_ref().map(with_rid),
        "first_bad": with_rid(&broken.bad),
        "good_again": broken.recovered.as_ref().map(with_rid),
        "changes": broken.changes,
    })
}

/// A mark as JSON; here, on the machine itself, with the request id.
#[derive(Serialize)]
struct WithRid<'a> {
    rid: &'a str,
    #[serde(flatten)]
    mark: &'a Milestone,
}

const fn with_rid(mark: &Milestone) -> WithRid<'_> {
    let rid = mark.rid.as_str();
    WithRid { rid, mark }
}
