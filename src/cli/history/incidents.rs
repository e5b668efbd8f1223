//! What changed in between, in sentences.

use std::io::{self, Write};

use serde_json::json;

use super::{Form, rows};
use diagnosis::history::{Break, Milestone, Trouble, time};

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
            .try_for_each(|broken| writeln!(out, "{}", as_json(broken)));
    }
    if all.is_empty() {
        return writeln!(out, "no bad call on record");
    }
    all.iter()
        .try_for_each(|broken| writeln!(out, "{}", sentence(broken)))
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
        .map(|change| format!("{} at {}", rows::describe(change), time(change.ms)))
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

fn as_json(broken: &Break) -> serde_json::Value {
    let mark = |mark: Option<&Milestone>| {
        mark.map(|mark| {
            json!({
                "time": time(mark.ms), "rid": mark.rid, "key_fp": mark.key_fp, "address": mark.address,
                "http": mark.status, "code": mark.code, "outcome": mark.outcome, "why": mark.why,
            })
        })
    };
    json!({
        "method": broken.method,
        "trouble": broken.trouble.word(),
        "last_good": mark(broken.good.as_ref()),
        "first_bad": mark(Some(&broken.bad)),
        "good_again": mark(broken.recovered.as_ref()),
        "changes": broken.changes.iter().map(rows::change_json).collect::<Vec<_>>(),
    })
}
