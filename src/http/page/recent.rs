//! What the page takes from the history, in one reading; and the words for it.
//!
//! Guarantees: bounded, whatever the history holds: one pass over the last day, and the newest few of everything else.
//! Does not: keep the history open.

use std::collections::BTreeMap;

use text::time::rfc3339_ms;

use catalogue::codes;
use diagnosis::history::{
    CallRow, ChangeRow, End, Filter, Milestones, Problem, Questions, Span, Timeline,
};

/// Failures that are shown, and with them so many calls that say nothing of the credentials.
const FAILURES: usize = 12;
const OTHERS: usize = 4;
/// Changes that are shown.
const CHANGES: usize = 15;
/// Rows that are looked at for them: methods seen for the first time are changes as well.
const CHANGE_ROWS: u64 = 400;

/// What the history says of the last day.
#[derive(Clone, Debug)]
pub struct RecentHistory {
    pub(super) begins_ms: Option<u64>,
    pub(super) timeline: Timeline,
    pub(super) milestones: Vec<(String, Milestones)>,
    /// Newest first.
    pub(super) changes: Vec<ChangeRow>,
    pub(super) failures: Vec<CallRow>,
    pub(super) refused: BTreeMap<String, u64>,
}

impl RecentHistory {
    /// Reads it. Up to a million calls are counted: not for a thread that serves.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn read(history: &Questions, now_ms: u64) -> Result<Self, Problem> {
        let timeline = Timeline::read(history, Span::last_day(now_ms))?;
        let mut failures = timeline.newest(history, &[End::Auth, End::Failed], FAILURES)?;
        let others = [End::Limited, End::RefusedHere];
        failures.extend(timeline.newest(history, &others, OTHERS)?);
        failures.sort_by_key(|call| std::cmp::Reverse(call.ms));
        let mut changes = history.changes(&Filter {
            limit: Some(CHANGE_ROWS),
            ..Filter::default()
        })?;
        // What is missing here should be known, too.
        changes.retain(|change| change.is_change() || change.kind == "lost");
        changes.reverse();
        changes.truncate(CHANGES);
        let mut refused = BTreeMap::new();
        for row in history.refused(&Filter {
            since_ms: Some(timeline.span.from_ms),
            ..Filter::default()
        })? {
            *refused.entry(row.why).or_default() += row.count;
        }
        Ok(Self {
            begins_ms: history.begins_ms()?,
            timeline,
            milestones: history.marks()?,
            changes,
            failures,
            refused,
        })
    }
}

/// How a call of the history ended.
pub(super) fn end(row: &CallRow) -> End {
    End::of(row.verdict.as_deref(), &row.outcome)
}

/// What was answered, in a few words: the code with its name, or why there is none.
pub(super) fn said(code: Option<i64>, status: u16, why: Option<&str>) -> String {
    match (code, why) {
        (Some(code), _) => match codes::find(code).and_then(|info| info.name.as_deref()) {
            Some(name) => format!("{code} {name}"),
            None => code.to_string(),
        },
        (None, Some(why)) => format!("HTTP {status}, {why}"),
        (None, None) => format!("HTTP {status}, no code"),
    }
}

/// How an end is called on the page.
pub(super) const fn words(end: End) -> &'static str {
    match end {
        End::Good => "good",
        End::Auth => "refused by the exchange",
        End::Failed => "no conclusive answer",
        End::Limited => "limit or malformed",
        End::RefusedHere => "refused here",
    }
}

/// Its class in the style sheet.
pub(super) const fn class(end: End) -> &'static str {
    match end {
        End::Good => "good",
        End::Auth => "auth",
        End::Failed => "failed",
        End::Limited => "limited",
        End::RefusedHere => "here",
    }
}

/// How many calls ended how.
pub(super) fn counted(ends: &BTreeMap<End, u64>) -> String {
    let counts: Vec<String> = ends
        .iter()
        .map(|(end, calls)| format!("{calls} {}", words(*end)))
        .collect();
    counts.join(", ")
}

/// From one time of the day to another, in UTC.
pub(super) fn between(from_ms: u64, until_ms: u64) -> String {
    format!("{}–{}", clock(from_ms), clock(until_ms))
}

/// The time of the day in UTC, to the minute.
pub(super) fn clock(ms: u64) -> String {
    rfc3339_ms(ms).get(11..16).unwrap_or_default().to_owned()
}
