//! What the newest calls say, method by method.
//!
//! Guarantees: what has no verdict counts for nothing; a method that is called so seldom that its calls are not among the
//! newest is known by its marks. Does not: read.

use std::collections::BTreeMap;

use super::{HOUR_MS, WEEK_MS};
use crate::{
    causes::MethodPast,
    history::{Milestones, RecentCall},
    verdict::{Objection, Verdict},
};
use catalogue::methods::{self, Class};

/// What a kept call says: the word that it was stored with, and of a refusal the answer.
fn verdict(call: &RecentCall) -> Verdict {
    match call.verdict.as_deref() {
        Some("good") => Verdict::Accepted,
        Some("auth") => Verdict::of_answer(call.status, call.code),
        _ => Verdict::NoEvidence,
    }
}

/// What became of the calls of each method since `since_ms`.
pub(super) fn by_method(
    recent: &[RecentCall],
    marks: &[(String, Milestones)],
    since_ms: u64,
    now_ms: u64,
) -> Vec<MethodPast> {
    let mut all: BTreeMap<&str, MethodCalls> = BTreeMap::new();
    for call in recent.iter().filter(|call| call.ms >= since_ms) {
        let Some(method) = call.method.as_deref() else {
            continue;
        };
        let tally = all.entry(method).or_insert_with(|| MethodCalls::of(method));
        tally.count(verdict(call), call.ms);
        tally.past.last_code = call
            .code
            .filter(|code| *code != 0 && call.ms >= now_ms.saturating_sub(HOUR_MS));
    }
    for (method, marks) in marks {
        all.entry(method)
            .or_insert_with(|| MethodCalls::of(method))
            .complete(marks, since_ms, now_ms);
    }
    let accepted_ms = all.values().filter_map(|tally| tally.accepted_ms).max();
    let mut all: Vec<MethodCalls> = all.into_values().collect();
    forget_what_failed_together(&mut all, accepted_ms);
    let says_something =
        |past: &MethodPast| past.accepted + past.refused > 0 || past.last_code.is_some();
    all.into_iter()
        .map(|tally| tally.past)
        .filter(says_something)
        .collect()
}

/// Where nothing was accepted since several methods began to fail, reads among them, it is no trouble of any of them.
fn forget_what_failed_together(all: &mut [MethodCalls], accepted_ms: Option<u64>) {
    let since_then = |tally: &MethodCalls| tally.past.failing > 0 && tally.failing_ms > accepted_ms;
    let together = all.iter().filter(|tally| since_then(tally));
    let reads = together
        .clone()
        .any(|tally| tally.past.class == Some(Class::Read));
    if together.count() > 1 && reads {
        all.iter_mut()
            .filter(|tally| since_then(tally))
            .for_each(|tally| tally.past.failing = 0);
    }
}

/// One method's calls, counted.
struct MethodCalls {
    past: MethodPast,
    accepted_ms: Option<u64>,
    /// Since when it fails.
    failing_ms: Option<u64>,
}

impl MethodCalls {
    fn of(method: &str) -> Self {
        let class = methods::find(method).map(|info| info.class);
        let past = MethodPast {
            method: method.to_owned(),
            class,
            accepted: 0,
            refused: 0,
            failing: 0,
            last_code: None,
        };
        Self {
            past,
            accepted_ms: None,
            failing_ms: None,
        }
    }

    fn count(&mut self, verdict: Verdict, ms: u64) {
        let past = &mut self.past;
        match verdict {
            Verdict::Accepted => {
                (past.accepted, past.failing) = (past.accepted.saturating_add(1), 0);
                (self.accepted_ms, self.failing_ms) = (Some(ms), None);
            }
            Verdict::Objection(Objection::Refused) => {
                (past.refused, past.failing) = (
                    past.refused.saturating_add(1),
                    past.failing.saturating_add(1),
                );
                self.failing_ms.get_or_insert(ms);
            }
            // By its own words for its address or the account's tier, not for a permission of the key.
            _ if verdict.is_about_the_key() => past.refused = past.refused.saturating_add(1),
            Verdict::Objection(_)
            | Verdict::Inconclusive
            | Verdict::NoEvidence
            | Verdict::RefusedHere => {}
        }
    }

    /// Adds what is known of calls that are not among the newest.
    fn complete(&mut self, marks: &Milestones, since_ms: u64, now_ms: u64) {
        let past = &mut self.past;
        let good_ms = marks
            .good
            .as_ref()
            .map(|good| good.ms)
            .filter(|ms| *ms >= since_ms);
        if past.accepted == 0 && good_ms.is_some() {
            (past.accepted, self.accepted_ms) = (1, good_ms);
        }
        let Some(bad) = &marks.auth.last else { return };
        let verdict = Verdict::of_answer(bad.status, bad.code);
        let lately_ms = since_ms.max(now_ms.saturating_sub(WEEK_MS));
        if past.refused > 0 || bad.ms < lately_ms || !verdict.is_about_the_key() {
            return;
        }
        past.refused = 1;
        if verdict == Verdict::Objection(Objection::Refused)
            && good_ms.is_none_or(|good_ms| good_ms < bad.ms)
        {
            past.failing = 1;
            self.failing_ms = marks.auth.first.as_ref().map(|first| first.ms);
        }
    }
}

/// How often calls of one method were accepted again after refusals, each time within an hour of the time before, up to
/// now: of the method with the most, because methods fail and recover together.
pub(super) fn recoveries(recent: &[RecentCall], since_ms: u64, now_ms: u64) -> u32 {
    let mut turns: BTreeMap<&str, Turns> = BTreeMap::new();
    for call in recent.iter().filter(|call| call.ms >= since_ms) {
        let Some(method) = call.method.as_deref() else {
            continue;
        };
        turns
            .entry(method)
            .or_default()
            .take(verdict(call), call.ms);
    }
    turns
        .into_values()
        .map(|turns| turns.until(now_ms))
        .max()
        .unwrap_or(0)
}

#[derive(Default)]
struct Turns {
    failing: bool,
    last_ms: u64,
    count: u32,
}

impl Turns {
    fn take(&mut self, verdict: Verdict, ms: u64) {
        if verdict.is_about_the_key() {
            self.failing = true;
        } else if verdict.is_accepted() && self.failing {
            self.count = self.until(ms).saturating_add(1);
            (self.failing, self.last_ms) = (false, ms);
        }
    }

    const fn until(&self, ms: u64) -> u32 {
        if ms.saturating_sub(self.last_ms) <= HOUR_MS {
            self.count
        } else {
            0
        }
    }
}
