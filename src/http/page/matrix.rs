//! What works now, method by method.
//!
//! Guarantees: the newest evidence decides, be it a call or a probe, and its age is said; what was not asked for a day is
//! not called working. Does not: take `private/get-account-summary` of a probe for evidence, as no document has it.

use std::collections::{BTreeMap, HashMap};

use super::{
    Moment, PageInput, RecentHistory, Text,
    recent::{class, said, words},
    text::DAY_MS,
};
use diagnosis::{
    history::{End, Milestone, Milestones, Trouble},
    probes::{Probe, Seen},
    verdict::Verdict,
};

/// Methods that are shown; a caller can invent names.
const MAX_ROWS: usize = 40;
/// Quarters of an hour in one cell of a row.
const PER_CELL: u64 = 4;
const CELLS: u64 = 24;

/// Whether a method works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MethodState {
    /// The exchange refuses it: key, signature, nonce, address or permission.
    Refused,
    /// Nobody knows what became of it, or nothing was sent.
    Failing,
    /// It was bad when it was last asked, more than a day ago.
    WasBad,
    /// It works.
    Works,
    /// It worked when it was last asked, more than a day ago.
    Worked,
    /// Nobody has asked, or what came says nothing.
    Unknown,
}

impl MethodState {
    pub(super) const fn is_bad(self) -> bool {
        matches!(self, Self::Refused | Self::Failing)
    }

    /// In words.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Failing => "no answer",
            Self::WasBad => "was bad",
            Self::Works => "works",
            Self::Worked => "worked",
            Self::Unknown => "not known",
        }
    }

    /// Its class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Refused | Self::Failing => "is-bad",
            Self::WasBad => "is-note",
            Self::Works => "is-good",
            Self::Worked | Self::Unknown => "is-quiet",
        }
    }
}

/// A good or bad moment of a method.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) at: Moment,
    pub(super) said: Text,
    pub(super) by_probe: bool,
}

/// One hour of a method.
#[derive(Debug)]
pub(super) struct HourCell {
    pub(super) x: u64,
    pub(super) y: u64,
    pub(super) height: u64,
    pub(super) class: &'static str,
    pub(super) tells: String,
}

/// One method.
#[derive(Debug)]
pub(super) struct MethodRow {
    pub(super) method: Text,
    pub(super) state: MethodState,
    pub(super) good: Option<Sighting>,
    pub(super) bad: Option<Sighting>,
    /// Since when it is as bad as it is.
    pub(super) since: Option<Moment>,
    pub(super) cells: Vec<HourCell>,
}

/// The rows, the bad ones first, and how many more there are.
pub(super) fn rows(known: &PageInput<'_>) -> (Vec<MethodRow>, usize) {
    let mut evidence = BTreeMap::<&str, Evidence>::new();
    let recent = known.memory.recent();
    for (method, milestones) in recent.into_iter().flat_map(|recent| &recent.milestones) {
        evidence
            .entry(method)
            .or_default()
            .note_milestones(milestones);
    }
    note_probes(known, &mut evidence);
    let mut cells = recent
        .map(|recent| cells(recent, known.now_ms))
        .unwrap_or_default();
    let row = |(method, evidence): (&str, Evidence)| {
        let cells = cells
            .remove(method)
            .unwrap_or_else(|| (0..CELLS).map(HourCell::empty).collect());
        evidence.row(method, cells, known.now_ms)
    };
    let mut rows: Vec<MethodRow> = evidence.into_iter().map(row).collect();
    rows.sort_by_key(|row| row.state);
    let more = rows.len().saturating_sub(MAX_ROWS);
    rows.truncate(MAX_ROWS);
    (rows, more)
}

/// The newest of each kind that is known of a method: when, what was said, whether a probe asked.
#[derive(Default)]
struct Evidence {
    good: Option<(u64, String, bool)>,
    bad: Option<(u64, String, bool)>,
    kind: Option<Trouble>,
    since_ms: Option<u64>,
}

impl Evidence {
    fn note_milestones(&mut self, milestones: &Milestones) {
        let told = |milestone: &Milestone| {
            (
                milestone.ms,
                said(milestone.code, milestone.status, milestone.why.as_deref()),
                false,
            )
        };
        self.good = milestones.good.as_ref().map(told);
        for trouble in Trouble::ALL {
            let streak = milestones.streak(trouble);
            let Some(last) = &streak.last else { continue };
            if self.bad.as_ref().is_none_or(|(ms, ..)| *ms < last.ms) {
                self.bad = Some(told(last));
                self.kind = Some(trouble);
                self.since_ms = streak
                    .first
                    .as_ref()
                    .filter(|_| streak.after.is_none())
                    .map(|first| first.ms);
            }
        }
    }

    fn row(self, method: &str, cells: Vec<HourCell>, now_ms: u64) -> MethodRow {
        let at = |seen: &Option<(u64, String, bool)>| seen.as_ref().map(|(ms, ..)| *ms);
        let (good_ms, bad_ms) = (at(&self.good), at(&self.bad));
        let is_old = |ms: Option<u64>| ms.is_none_or(|ms| now_ms.saturating_sub(ms) > DAY_MS);
        // Two that ended in the same millisecond: the streak knows which came last.
        let is_bad =
            bad_ms.is_some() && (bad_ms > good_ms || bad_ms == good_ms && self.since_ms.is_some());
        let state = match (is_bad, self.kind) {
            (true, _) if is_old(bad_ms) => MethodState::WasBad,
            (true, Some(Trouble::Failed)) => MethodState::Failing,
            (true, Some(Trouble::Auth) | None) => MethodState::Refused,
            (false, _) if good_ms.is_none() => MethodState::Unknown,
            (false, _) if is_old(good_ms) => MethodState::Worked,
            (false, _) => MethodState::Works,
        };
        let sight = |(ms, said, by_probe): (u64, String, bool)| Sighting {
            at: Moment::at(ms, now_ms),
            said: Text::of(said),
            by_probe,
        };
        let since = self
            .since_ms
            .filter(|_| is_bad)
            .map(|ms| Moment::at(ms, now_ms));
        MethodRow {
            method: Text::of(method),
            state,
            good: self.good.map(sight),
            bad: self.bad.map(sight),
            since,
            cells,
        }
    }
}

fn note_probes<'a>(known: &PageInput<'a>, evidence: &mut BTreeMap<&'a str, Evidence>) {
    let Some(diagnosis) = known.diagnosis else {
        return;
    };
    for finding in diagnosis
        .findings
        .list
        .iter()
        .filter(|finding| Probe::READS.contains(&finding.probe))
    {
        let Some(method) = finding.probe.method() else {
            continue;
        };
        let verdict = if let Seen::Answered(answer) = &finding.seen {
            answer.verdict()
        } else if let Seen::Failed(_) = &finding.seen {
            Verdict::Inconclusive
        } else {
            continue;
        };
        let entry = evidence.entry(method).or_default();
        let at_ms = diagnosis.findings.at_ms;
        let is_newer =
            |seen: &Option<(u64, String, bool)>| seen.as_ref().is_none_or(|(ms, ..)| *ms < at_ms);
        let told = (at_ms, finding.says(&diagnosis.findings.expected), true);
        if verdict.is_accepted() {
            if is_newer(&entry.good) {
                entry.good = Some(told);
            }
        } else if is_newer(&entry.bad) {
            // A budget or a malformed request says nothing of the key, and the probe was refused all the same.
            let trouble = Trouble::of(verdict).unwrap_or(Trouble::Auth);
            (entry.bad, entry.kind) = (Some(told), Some(trouble));
            entry.since_ms = entry.since_ms.or(Some(at_ms));
        }
    }
}

impl HourCell {
    const fn empty(hour: u64) -> Self {
        Self {
            x: hour * 10,
            y: 16,
            height: 2,
            class: "none",
            tells: String::new(),
        }
    }

    /// Good ones are low and bad ones high, so that they differ without colour.
    fn of(hour: u64, ends: &BTreeMap<End, u64>, span: (u64, u64), now_ms: u64) -> Self {
        let worst = [
            End::Auth,
            End::Failed,
            End::Limited,
            End::RefusedHere,
            End::Good,
        ];
        let Some(end) = worst.into_iter().find(|end| ends.contains_key(end)) else {
            return Self::empty(hour);
        };
        let (y, height) = match end {
            End::Auth | End::Failed => (0, 18),
            End::Limited | End::RefusedHere => (5, 13),
            End::Good => (10, 8),
        };
        let all: Vec<String> = ends
            .iter()
            .map(|(end, calls)| format!("{calls} {}", words(*end)))
            .collect();
        let from = Moment::at(span.0, now_ms);
        let until = Moment::at(span.1, now_ms);
        let clock = |moment: &Moment| moment.iso.get(11..16).unwrap_or_default().to_owned();
        let tells = format!("{}–{}: {}", clock(&from), clock(&until), all.join(", "));
        Self {
            x: hour * 10,
            y,
            height,
            class: class(end),
            tells,
        }
    }
}

/// The cells of every method.
fn cells(recent: &RecentHistory, now_ms: u64) -> HashMap<String, Vec<HourCell>> {
    let mut ends = HashMap::<&str, BTreeMap<u64, BTreeMap<End, u64>>>::new();
    for count in &recent.timeline.counts {
        let Some(method) = count.method.as_deref() else {
            continue;
        };
        let hours = ends.entry(method).or_default();
        *hours
            .entry(count.bucket / PER_CELL)
            .or_default()
            .entry(count.end)
            .or_default() += count.calls;
    }
    let span = recent.timeline.span;
    let cell = |hour: u64, hours: &BTreeMap<u64, BTreeMap<End, u64>>| match hours.get(&hour) {
        None => HourCell::empty(hour),
        Some(ends) => {
            let bounds = (
                span.start_ms(hour * PER_CELL),
                span.start_ms((hour + 1) * PER_CELL),
            );
            HourCell::of(hour, ends, bounds, now_ms)
        }
    };
    let row = |(method, hours): (&str, BTreeMap<u64, BTreeMap<End, u64>>)| {
        (
            method.to_owned(),
            (0..CELLS).map(|hour| cell(hour, &hours)).collect(),
        )
    };
    ends.into_iter().map(row).collect()
}
