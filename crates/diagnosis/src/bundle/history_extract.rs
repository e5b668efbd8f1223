//! What the history says, as far as it may leave this machine.
//!
//! Guarantees: read only; changes, marks, pairs by fingerprint and number, counts per hour and single calls, bounded; a
//! single call has what the exchange finds it by, and neither caller nor orders; methods that the catalogue does not know
//! are counted, not named; callers are counted unless their names were asked for. A history that cannot be read is a fact,
//! not a failure. Does not: judge.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};
use text::time::rfc3339_ms as time;

use crate::{
    causes::Past,
    doubt::Doubt,
    history::{
        Break, CallRow, ChangeRow, Filter, HourRow, Milestones, PairRow, Problem, Questions,
        RefusedRow,
    },
};
use catalogue::methods;

/// How far back calls are counted.
pub(super) const COUNTED_MS: u64 = 48 * HOUR_MS;
/// Changes that are taken, the newest.
const MAX_CHANGES: u64 = 500;
/// Changes that are taken of those between a good call and a bad one, the newest.
const MAX_BETWEEN: usize = 50;
/// Single calls that were not good, the newest.
const MAX_CALLS: u64 = 50;
const HOUR_MS: u64 = 3_600_000;
/// What stands for a method that a caller may have made up.
const UNKNOWN: &str = "(not in the catalogue)";

/// Whether callers, whose names the operator chose, are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerNames {
    /// Only how many there are.
    Counted,
    /// They are.
    Shown,
}

/// The history's file, and what was read of it.
#[derive(Clone, Debug)]
pub struct HistoryExtract {
    /// The file.
    pub file: String,
    /// What it holds, or why it could not be read.
    pub contents: Result<HistoryContents, String>,
    /// Calls that may have been executed, as the order journal knows them; only their times and methods are told.
    pub in_doubt: Vec<Doubt>,
    /// Why the order journal could not be read, where it could not.
    pub in_doubt_unread: Option<String>,
}

/// What a history holds.
#[derive(Clone, Debug, Default)]
pub struct HistoryContents {
    /// When it begins, in milliseconds since 1970.
    pub begins_ms: Option<u64>,
    /// What changed, oldest first.
    pub changes: Vec<ChangeRow>,
    /// The marks of each method of the catalogue.
    pub marks: Vec<(String, Milestones)>,
    /// When methods of the catalogue went bad.
    pub breaks: Vec<Break>,
    /// Calls per hour.
    pub hours: Vec<HourRow>,
    /// Keys and secrets that stood together.
    pub pairs: Vec<PairRow>,
    /// Requests without a known caller, by the hour.
    pub refused: Vec<RefusedRow>,
    /// Callers and how often they called.
    pub callers: Vec<(String, u64)>,
    /// Single calls that the exchange saw or may have seen, oldest first: what was not good lately, and the calls that the
    /// marks are of.
    pub single_calls: Vec<CallRow>,
}

impl HistoryExtract {
    /// Reads the history, as it is now, and takes what the order journal has in doubt, or why it could not be read.
    #[must_use]
    pub fn read(file: &Path, now_ms: u64, in_doubt: Result<Vec<Doubt>, String>) -> Self {
        let (mut in_doubt, in_doubt_unread) = match in_doubt {
            Ok(doubts) => (doubts, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        for doubt in &mut in_doubt {
            doubt.method = shown(std::mem::take(&mut doubt.method));
        }
        let contents =
            Questions::open(file).and_then(|questions| HistoryContents::ask(&questions, now_ms));
        Self {
            file: file.display().to_string(),
            contents: contents.map_err(|problem| problem.to_string()),
            in_doubt,
            in_doubt_unread,
        }
    }

    /// All of it.
    pub(super) fn json(&self, now_ms: u64, names: CallerNames) -> Value {
        let doubt = |doubt: &Doubt| json!({ "time": time(doubt.ms), "method": doubt.method });
        let in_doubt: Vec<_> = self.in_doubt.iter().map(doubt).collect();
        let (contents, why) = match &self.contents {
            Ok(contents) => (Some(contents.json(now_ms, names)), None),
            Err(why) => (None, Some(why)),
        };
        json!({
            "file": self.file, "read": contents.is_some(), "why": why, "history": contents, "in_doubt": in_doubt,
            "in_doubt_unread": self.in_doubt_unread,
        })
    }
}

impl HistoryContents {
    fn ask(questions: &Questions, now_ms: u64) -> Result<Self, Problem> {
        let lately = Filter {
            since_ms: Some(now_ms.saturating_sub(COUNTED_MS)),
            ..Filter::default()
        };
        let newest = Filter {
            limit: Some(MAX_CHANGES),
            ..Filter::default()
        };
        let mut changes = questions.changes(&newest)?;
        changes.iter_mut().for_each(hide_unknown);
        let mut marks = questions.marks()?;
        marks.retain(|(method, _)| is_known(method));
        let mut breaks = questions.breaks(None)?;
        breaks.retain(|broken| is_known(&broken.method));
        for Break { changes, .. } in &mut breaks {
            changes.drain(..changes.len().saturating_sub(MAX_BETWEEN));
            changes.iter_mut().for_each(hide_unknown);
        }
        let single_calls = single_calls(questions, now_ms, &marks, &breaks)?;
        Ok(Self {
            single_calls,
            begins_ms: questions.begins_ms()?,
            changes,
            marks,
            breaks,
            hours: merged(questions.hours(&lately)?),
            pairs: questions.pairs()?,
            refused: hourly(questions.refused(&lately)?),
            callers: questions.callers(&lately)?,
        })
    }

    fn json(&self, now_ms: u64, names: CallerNames) -> Value {
        let callers: Vec<_> = self
            .callers
            .iter()
            .map(|(name, calls)| json!({ "name": name, "calls": calls }))
            .collect();
        json!({
            "begins": self.begins_ms.map(time),
            "counted_since": time(now_ms.saturating_sub(COUNTED_MS)),
            "changes": self.changes,
            "methods": self.marks.iter().map(marks_json).collect::<Vec<_>>(),
            "went_bad": self.breaks.iter().map(break_json).collect::<Vec<_>>(),
            "calls_per_hour": self.hours,
            "single_calls": self.single_calls.iter().map(call_json).collect::<Vec<_>>(),
            "pairs": self.pairs.iter().map(pair_json).collect::<Vec<_>>(),
            "refused_without_a_caller": self.refused.iter().map(refused_json).collect::<Vec<_>>(),
            "callers": self.callers.len(),
            "caller_names": if names == CallerNames::Shown { Value::Array(callers) } else { Value::Null },
        })
    }
}

/// What was not good lately; of each method the last good call beside it, and those that its breaks begin and end with.
fn single_calls(
    questions: &Questions,
    now_ms: u64,
    marks: &[(String, Milestones)],
    breaks: &[Break],
) -> Result<Vec<CallRow>, Problem> {
    let mut calls = questions.not_good(now_ms.saturating_sub(COUNTED_MS), MAX_CALLS)?;
    let good = marks.iter().filter_map(|(_, marks)| marks.good.as_ref());
    let of_breaks = breaks.iter().flat_map(|broken| {
        [
            broken.good.as_ref(),
            Some(&broken.bad),
            broken.recovered.as_ref(),
        ]
    });
    for mark in good.chain(of_breaks.flatten()) {
        calls.extend(questions.call_of(mark)?);
    }
    calls.sort_by(|one, other| (one.ms, &one.rid).cmp(&(other.ms, &other.rid)));
    calls.dedup_by(|one, other| one.rid == other.rid);
    for call in &mut calls {
        call.method = call.method.take().map(shown);
    }
    Ok(calls)
}

/// The past as the causes may know it for a bundle: methods that a caller may have made up are not named, nor are orders.
#[must_use]
pub fn without_unknown_methods(mut past: Past) -> Past {
    past.methods.retain(|of| is_known(&of.method));
    // They name orders and requests; the ticket asks for them by time and method.
    past.in_doubt.clear();
    for event in past
        .last_good
        .iter_mut()
        .chain(&mut past.first_bad)
        .filter(|event| !is_known(&event.method))
    {
        UNKNOWN.clone_into(&mut event.method);
    }
    past
}

/// A method as it may be named.
fn shown(method: String) -> String {
    if is_known(&method) {
        method
    } else {
        UNKNOWN.to_owned()
    }
}

fn is_known(method: &str) -> bool {
    methods::find(method).is_some()
}

/// A first call of a method names it.
fn hide_unknown(change: &mut ChangeRow) {
    if change.kind == "method" && !change.after.as_deref().is_some_and(is_known) {
        change.after = Some(UNKNOWN.to_owned());
    }
}

/// Unknown methods under one word; the rows of an hour stand beside each other.
fn merged(hours: Vec<HourRow>) -> Vec<HourRow> {
    let mut kept: Vec<HourRow> = Vec::new();
    for mut hour in hours {
        hour.method = hour.method.map(shown);
        let of_this_hour = kept
            .iter_mut()
            .rev()
            .take_while(|known| known.ms == hour.ms);
        let mut alike = of_this_hour.filter(|known| {
            known.method == hour.method && known.outcome == hour.outcome && known.code == hour.code
        });
        match alike.next() {
            Some(known) => known.calls += hour.calls,
            None => kept.push(hour),
        }
    }
    kept
}

/// Minutes to hours: a flood of refusals fills every minute.
fn hourly(minutes: Vec<RefusedRow>) -> Vec<RefusedRow> {
    let mut hours: BTreeMap<(u64, String), u64> = BTreeMap::new();
    for RefusedRow {
        minute_ms,
        why,
        count,
    } in minutes
    {
        *hours
            .entry((minute_ms / HOUR_MS * HOUR_MS, why))
            .or_default() += count;
    }
    hours
        .into_iter()
        .map(|((minute_ms, why), count)| RefusedRow {
            minute_ms,
            why,
            count,
        })
        .collect()
}

/// Neither who made it nor the names of its orders.
fn call_json(call: &CallRow) -> Value {
    json!({
        "time": time(call.ms), "request_id": call.rid, "method": call.method, "nonce": call.nonce, "id": call.sent_id,
        "http": call.status, "code": call.code, "outcome": call.outcome, "key_fp": call.key_fp, "address": call.address,
        "exchange_ms": call.exchange_ms,
    })
}

fn marks_json((method, marks): &(String, Milestones)) -> Value {
    json!({ "method": method, "last_good": marks.good, "auth": marks.auth, "failed": marks.failed })
}

fn break_json(broken: &Break) -> Value {
    json!({
        "method": broken.method, "trouble": broken.trouble.word(), "last_good": broken.good, "first_bad": broken.bad,
        "good_again": broken.recovered, "changes_between": broken.changes,
    })
}

fn pair_json(pair: &PairRow) -> Value {
    json!({
        "key_fp": pair.key_fp, "secret": format!("no. {}", pair.secret), "first": time(pair.first_ms),
        "last": time(pair.last_ms),
    })
}

fn refused_json(refused: &RefusedRow) -> Value {
    json!({ "hour": time(refused.minute_ms), "why": refused.why, "count": refused.count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_summed_by_the_hour() {
        let refused = |minute_ms, count| RefusedRow {
            minute_ms,
            why: "token".into(),
            count,
        };
        let hours = hourly(vec![refused(0, 1), refused(60_000, 2), refused(HOUR_MS, 4)]);
        assert_eq!(hours, [refused(0, 3), refused(HOUR_MS, 4)]);
    }

    #[test]
    fn methods_that_nobody_knows_are_counted_together() {
        let hour = |method: &str, calls| HourRow {
            ms: 0,
            method: Some(method.into()),
            outcome: "refused".into(),
            code: None,
            calls,
        };
        let hours = merged(vec![
            hour("private/an-invented-one", 1),
            hour("private/an-invented-two", 2),
        ]);
        assert_eq!(hours, [hour(UNKNOWN, 3)]);
    }
}
