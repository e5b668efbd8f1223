//! What the page takes from the history, in one reading; and how its changes and failures are shown.
//!
//! Guarantees: bounded, whatever the history holds: one pass over the last day, and the newest few of everything else.
//! Does not: keep the history open.

use std::collections::BTreeMap;

use super::{Moment, Text};
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

    pub(super) fn changes_shown(&self, now_ms: u64) -> Vec<ChangeShown> {
        let shown = self
            .changes
            .iter()
            .enumerate()
            .map(|(position, row)| ChangeShown {
                number: position + 1,
                at: Moment::at(row.ms, now_ms),
                what: Text::of(row.describe()),
                is_marked: row.ms >= self.timeline.span.from_ms,
            });
        shown.collect()
    }

    pub(super) fn failures_shown(&self, now_ms: u64) -> Vec<FailureShown> {
        self.failures
            .iter()
            .map(|row| FailureShown::of(row, now_ms))
            .collect()
    }
}

/// A change.
#[derive(Debug)]
pub(super) struct ChangeShown {
    /// The number beside its mark on the time axis; 1 is the newest.
    pub(super) number: usize,
    pub(super) at: Moment,
    pub(super) what: Text,
    /// Whether it is on the axis.
    pub(super) is_marked: bool,
}

/// A call that did not end well.
#[derive(Debug)]
pub(super) struct FailureShown {
    pub(super) at: Moment,
    pub(super) method: Text,
    pub(super) caller: Text,
    pub(super) code: Text,
    pub(super) end: &'static str,
    pub(super) class: &'static str,
    pub(super) outcome: Text,
    pub(super) rid: Text,
}

impl FailureShown {
    fn of(row: &CallRow, now_ms: u64) -> Self {
        let end = End::of(row.verdict.as_deref(), &row.outcome);
        Self {
            at: Moment::at(row.ms, now_ms),
            method: Text::of(row.method.as_deref().unwrap_or("(not understood)")),
            caller: Text::of(&row.caller),
            code: Text::of(said(row.code, row.status, row.why.as_deref())),
            end: words(end),
            class: class(end),
            outcome: Text::of(&row.outcome),
            rid: Text::of(&row.rid),
        }
    }
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
