//! Counts the refusals of known callers, so that a flood of them costs neither the log nor the history.
//!
//! Guarantees: in each window the first few refusals of a caller for one reason have a record of their own, like any call;
//! every further one is counted exactly. Memory is bounded: what finds the table full is counted under one name for each
//! reason. Does not: tell the time; a window ends when the counts are taken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Refusals of one caller for one reason that have a record of their own in each window: more than somebody makes by hand.
pub(super) const RECORDED: u32 = 20;
/// Pairs of caller and reason that are told apart in one window.
const MAX_PAIRS: usize = 1024;
/// What the callers share that find the table full.
const OTHERS: &str = "(other)";

/// Refusals of one caller for one reason beyond those that have a record of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FurtherRefusals {
    /// The caller's name.
    pub caller: Arc<str>,
    /// The stable word for the reason, as in a record.
    pub why: &'static str,
    /// How many.
    pub count: u64,
}

#[derive(Debug, Default)]
struct Counts {
    recorded: u32,
    further: u64,
}

/// The counts of the current window.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<(Arc<str>, &'static str), Counts>>);

impl Refusals {
    /// Counts one; whether it has a record of its own.
    pub(super) fn has_record(&self, caller: &Arc<str>, why: &'static str) -> bool {
        let mut pairs = self.lock();
        let mut pair = (Arc::clone(caller), why);
        if pairs.len() >= MAX_PAIRS && !pairs.contains_key(&pair) {
            pair.0 = OTHERS.into();
        }
        let counts = pairs.entry(pair).or_default();
        if counts.recorded < RECORDED {
            counts.recorded += 1;
            return true;
        }
        counts.further += 1;
        false
    }

    /// Begins another window; what was counted in the one before.
    pub(super) fn take(&self) -> Vec<FurtherRefusals> {
        let pairs = std::mem::take(&mut *self.lock());
        let further = pairs
            .into_iter()
            .filter(|(_, counts)| counts.further > 0)
            .map(|((caller, why), counts)| FurtherRefusals {
                caller,
                why,
                count: counts.further,
            });
        further.collect()
    }

    /// What is counted at the moment, over all callers and reasons.
    pub(super) fn further(&self) -> u64 {
        self.lock().values().map(|counts| counts.further).sum()
    }

    /// The counts are whole after every step, so a panic under the lock spoils nothing.
    fn lock(&self) -> MutexGuard<'_, HashMap<(Arc<str>, &'static str), Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_of_each_caller_and_reason_have_a_record_and_all_are_counted() {
        let refusals = Refusals::default();
        for _ in 0..2 {
            for (caller, why, times) in [
                ("a", "expired", 1000),
                ("a", "denied", 3),
                ("b", "expired", 21),
            ] {
                let recorded = (0..times).filter(|_| refusals.has_record(&caller.into(), why));
                assert_eq!(recorded.count(), times.min(20), "{caller} {why}");
            }
            assert_eq!(refusals.further(), 981);
            let mut taken = refusals.take();
            taken.sort_by(|one, other| one.caller.cmp(&other.caller));
            let further = |caller: &str, count| FurtherRefusals {
                caller: caller.into(),
                why: "expired",
                count,
            };
            assert_eq!(taken, [further("a", 980), further("b", 1)]);
        }
    }

    #[test]
    fn memory_is_bounded_and_the_sum_stays_exact() {
        let refusals = Refusals::default();
        let all = 10 * MAX_PAIRS as u64;
        let recorded =
            (0..all).filter(|number| refusals.has_record(&number.to_string().into(), "expired"));
        let recorded = recorded.count() as u64;
        assert_eq!(refusals.lock().len(), MAX_PAIRS + 1);
        let taken = refusals.take();
        assert_eq!((taken.len(), &*taken[0].caller), (1, OTHERS));
        assert_eq!(recorded + taken[0].count, all);
    }
}
