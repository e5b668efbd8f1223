//! What works now, method by method.
//!
//! Guarantees: the newest evidence decides, be it a call or a probe, and its age is said; what was not asked for a day is
//! not called working. Does not: take `private/get-account-summary` of a probe for evidence, as no document has it.

use std::collections::{BTreeMap, HashMap};

use super::{
    PageInput, RecentHistory,
    recent::{between, class, counted, said},
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
#[derive(Debug)]
pub(super) struct Sighting {
    /// When, in milliseconds since 1970.
    pub(super) ms: u64,
    pub(super) said: String,
    pub(super) by_probe: bool,
}

/// One hour of a method.
#[derive(Debug)]
pub(super) struct HourCell {
    pub(super) y: u64,
    pub(super) height: u64,
    pub(super) class: &'static str,
    pub(super) tells: String,
}

/// One method.
#[derive(Debug)]
pub(super) struct MethodRow {
    pub(super) method: String,
    pub(super) state: MethodState,
    pub(super) good: Option<Sighting>,
    pub(super) bad: Option<Sighting>,
    /// Since when it is as bad as it is, in milliseconds since 1970.
    pub(super) since_ms: Option<u64>,
    pub(super) cells: Vec<HourCell>,
}

/// The rows, the bad ones first, and how many more there are.
pub(super) fn rows(known: &PageInput<'_>) -> (Vec<MethodRow>, usize) {
    let mut evidence = BTreeMap::<&str, Evidence>::new();
    let recent = known.recent();
    for (method, milestones) in recent.into_iter().flat_map(|recent| &recent.milestones) {
        evidence
            .entry(method)
            .or_default()
            .note_milestones(milestones);
    }
    note_probes(known, &mut evidence);
    let hours = recent.map(hours).unwrap_or_default();
    let mut rows = Vec::new();
    for (method, evidence) in evidence {
        let hours = hours.get(method);
        let cells = (0..CELLS)
            .map(|hour| HourCell::of(recent, hour, hours.and_then(|hours| hours.get(&hour))))
            .collect();
        rows.push(evidence.row(method, cells, known.now_ms));
    }
    rows.sort_by_key(|row| row.state);
    let more = rows.len().saturating_sub(MAX_ROWS);
    rows.truncate(MAX_ROWS);
    (rows, more)
}

/// The newest of each kind that is known of a method.
#[derive(Default)]
struct Evidence {
    good: Option<Sighting>,
    bad: Option<Sighting>,
    kind: Option<Trouble>,
    since_ms: Option<u64>,
}

impl Evidence {
    fn note_milestones(&mut self, milestones: &Milestones) {
        let told = |milestone: &Milestone| Sighting {
            ms: milestone.ms,
            said: said(milestone.code, milestone.status, milestone.why.as_deref()),
            by_probe: false,
        };
        self.good = milestones.good.as_ref().map(told);
        for trouble in Trouble::ALL {
            let streak = milestones.streak(trouble);
            let Some(last) = &streak.last else { continue };
            if is_older(&self.bad, last.ms) {
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
        let good_ms = self.good.as_ref().map(|good| good.ms);
        let bad_ms = self.bad.as_ref().map(|bad| bad.ms);
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
        MethodRow {
            method: method.to_owned(),
            state,
            good: self.good,
            bad: self.bad,
            since_ms: if is_bad { self.since_ms } else { None },
            cells,
        }
    }
}

/// Whether nothing was seen, or something before this time.
fn is_older(seen: &Option<Sighting>, ms: u64) -> bool {
    seen.as_ref().is_none_or(|seen| seen.ms < ms)
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
        let ms = diagnosis.findings.at_ms;
        let told = Sighting {
            ms,
            said: finding.says(&diagnosis.findings.expected),
            by_probe: true,
        };
        if verdict.is_accepted() {
            if is_older(&entry.good, ms) {
                entry.good = Some(told);
            }
        } else if is_older(&entry.bad, ms) {
            // A budget or a malformed request says nothing of the key, and the probe was refused all the same.
            let trouble = Trouble::of(verdict).unwrap_or(Trouble::Auth);
            (entry.bad, entry.kind) = (Some(told), Some(trouble));
            entry.since_ms = entry.since_ms.or(Some(ms));
        }
    }
}

impl HourCell {
    /// Good ones are low and bad ones high, so that they differ without colour.
    fn of(recent: Option<&RecentHistory>, hour: u64, ends: Option<&BTreeMap<End, u64>>) -> Self {
        let worst = [
            End::Auth,
            End::Failed,
            End::Limited,
            End::RefusedHere,
            End::Good,
        ];
        let none = Self {
            y: 16,
            height: 2,
            class: "none",
            tells: String::new(),
        };
        let (Some(recent), Some(ends)) = (recent, ends) else {
            return none;
        };
        let Some(end) = worst.into_iter().find(|end| ends.contains_key(end)) else {
            return none;
        };
        let (y, height) = match end {
            End::Auth | End::Failed => (0, 18),
            End::Limited | End::RefusedHere => (5, 13),
            End::Good => (10, 8),
        };
        let span = recent.timeline.span;
        let time = between(
            span.start_ms(hour * PER_CELL),
            span.start_ms((hour + 1) * PER_CELL),
        );
        Self {
            y,
            height,
            class: class(end),
            tells: format!("{time}: {}", counted(ends)),
        }
    }
}

/// How the calls of each hour ended, by method.
fn hours(recent: &RecentHistory) -> HashMap<&str, BTreeMap<u64, BTreeMap<End, u64>>> {
    let mut methods = HashMap::<&str, BTreeMap<u64, BTreeMap<End, u64>>>::new();
    for count in &recent.timeline.counts {
        let Some(method) = count.method.as_deref() else {
            continue;
        };
        let hours = methods.entry(method).or_default();
        let ends = hours.entry(count.bucket / PER_CELL).or_default();
        *ends.entry(count.end).or_default() += count.calls;
    }
    methods
}
