//! What worked before and since when it does not, in this process, with the pair in use.
//!
//! Guarantees: bounded by the catalogue of methods; a call counts as accepted only if the exchange executed or refused
//! it on its merits, which it does after looking at key, signature and address. Does not: outlive the process, or count
//! calls that never reached the exchange.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::verdict::Verdict;
use catalogue::methods::Class;
use gateway::{observed::Outbound, record::CallReport};

/// A call that the exchange took as authentic and permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// When it ended.
    pub(crate) at: Instant,
    /// Our address then, as far as it was known and lately confirmed.
    pub(crate) address: Option<IpAddr>,
}

/// What became of a group of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The last one that was accepted.
    pub(crate) accepted: Option<Accepted>,
    /// The first one that was refused since, or since the start.
    pub(crate) failing_since: Option<Instant>,
    /// How many were refused since then.
    pub(crate) failures: u32,
    /// When a call was last accepted after refusals.
    pub(crate) recovered: Option<Instant>,
    /// How often, each time within an hour of the time before.
    pub(crate) recoveries: u32,
}

/// Changes between refused and accepted that are further apart have causes of their own.
const BURST: Duration = Duration::from_secs(3600);

impl Tally {
    fn accept(&mut self, accepted: Accepted) {
        if self.failures > 0 {
            self.recoveries = self.recoveries_until(accepted.at).saturating_add(1);
            self.recovered = Some(accepted.at);
        }
        (self.accepted, self.failing_since, self.failures) = (Some(accepted), None, 0);
    }

    /// How often a call was accepted after refusals, in the hour before `now`.
    pub(crate) fn recoveries_until(&self, now: Instant) -> u32 {
        let recent = self
            .recovered
            .is_some_and(|last| now.saturating_duration_since(last) <= BURST);
        if recent { self.recoveries } else { 0 }
    }

    fn refuse(&mut self, at: Instant) {
        self.failing_since.get_or_insert(at);
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether a call of this group was accepted after `start`.
    #[must_use]
    fn accepted_after(&self, start: Option<Instant>) -> bool {
        matches!((self.accepted, start), (Some(accepted), Some(start)) if accepted.at > start)
    }
}

/// What bears on one call: the groups that it belongs to, itself included, and the reads and trades beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrackRecord {
    /// Calls of the same method.
    pub(crate) method: Tally,
    /// Calls of the same class.
    pub(crate) class: Tally,
    /// Calls that read.
    pub(crate) reads: Tally,
    /// All private calls.
    pub(crate) all: Tally,
    /// Whether another method, which was accepted before, is refused since the last accepted call.
    pub(crate) others_lost: bool,
}

/// What fails while other calls are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alone {
    /// One method; others of its class are accepted since it fails.
    Method,
    /// A class; reads are accepted since it fails.
    ClassBesideReads,
    /// A class; other calls are.
    Class,
}

impl TrackRecord {
    /// What fails while other calls are accepted; `None` where nothing else was accepted since.
    #[must_use]
    pub(crate) fn alone(&self) -> Option<Alone> {
        if self.class.accepted_after(self.method.failing_since) {
            Some(Alone::Method)
        } else if self.reads.accepted_after(self.class.failing_since) {
            Some(Alone::ClassBesideReads)
        } else if self.all.accepted_after(self.class.failing_since) {
            Some(Alone::Class)
        } else {
            None
        }
    }
}

/// The tallies of the pair in use.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    key_fingerprint: Option<Arc<str>>,
    methods: HashMap<String, Tally>,
    classes: HashMap<Class, Tally>,
    all: Tally,
}

impl Tracker {
    /// Takes a report in, read at `now`. A key other than before starts everything over; returns whether it did.
    pub(crate) fn note(&mut self, report: &CallReport, now: Instant) -> bool {
        let replaced = self
            .key_fingerprint
            .as_ref()
            .is_some_and(|known| *known != report.key_fingerprint);
        if replaced {
            *self = Self::default();
        }
        self.key_fingerprint = Some(Arc::clone(&report.key_fingerprint));
        let verdict = Verdict::of(report);
        if verdict.is_accepted() {
            let address = outbound(report, now).map(|seen| seen.address);
            self.each(report, |tally| tally.accept(Accepted { at: now, address }));
        } else if verdict.is_about_the_key() {
            self.each(report, |tally| tally.refuse(now));
        }
        replaced
    }

    fn each(&mut self, report: &CallReport, change: impl Fn(&mut Tally)) {
        change(&mut self.all);
        if let (Some(class), Some(method)) = (report.class, report.method.as_ref()) {
            change(self.classes.entry(class).or_default());
            match self.methods.get_mut(&**method) {
                Some(tally) => change(tally),
                None => change(self.methods.entry(method.to_string()).or_default()),
            }
        }
    }

    /// What bears on a call.
    pub(crate) fn past_of(&self, report: &CallReport) -> TrackRecord {
        let class = |class: Class| self.classes.get(&class).copied().unwrap_or_default();
        let method = report
            .method
            .as_deref()
            .and_then(|method| self.methods.get(method));
        let lost = |tally: &Tally| {
            let fails_now = tally.failing_since >= self.all.failing_since;
            tally.accepted.is_some() && tally.failures > 0 && fails_now
        };
        TrackRecord {
            method: method.copied().unwrap_or_default(),
            class: report.class.map(class).unwrap_or_default(),
            reads: class(Class::Read),
            all: self.all,
            others_lost: self.methods.values().any(lost),
        }
    }
}

/// Two of the watch's usual intervals. Where the operator made the interval longer, the address is called unknown in
/// between; the measurement that each refusal asks for then corrects the hint.
const HOLDS: Duration = Duration::from_secs(600);

/// The address that a call left from, unless it was confirmed so long before `now` that it may have moved unnoticed.
pub(crate) fn outbound(report: &CallReport, now: Instant) -> Option<&Outbound> {
    report
        .outbound
        .as_ref()
        .filter(|seen| age(seen, now) <= HOLDS)
}

/// Time since an address was confirmed.
pub(crate) fn age(seen: &Outbound, now: Instant) -> Duration {
    now.saturating_duration_since(seen.seen)
}
