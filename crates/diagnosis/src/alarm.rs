//! Three alarms from the records: a method that is refused after it was accepted, no private call accepted any more, and
//! calls that the exchange answers with errors of its own.
//!
//! Reads along, off the path of the calls; drift of the address and a clock that is off are said where they are measured
//! (`egress`, `hint`). Guarantees: one line when an alarm begins and one when it ends, however many calls fail in
//! between; a method that never worked raises nothing beside those that do; bounded by the catalogue of methods. Does
//! not: say why, which is for the hints and the diagnosis, or count calls that never reached the exchange.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tracing::Level;

use crate::verdict::{Objection, Verdict};
use gateway::record::{CALL_TAG, CallReport, TARGET};

#[cfg(test)]
mod tests;

/// So many refused calls in a row, of one method, are as telling as refusals of two methods.
const CALLS: u32 = 3;
const METHODS: usize = 2;

/// One event with the line and its fields; a macro because an event's level is part of its place in the code.
macro_rules! emit {
    ($level:expr, $alarm:expr, $state:expr, $method:expr, $report:expr, $words:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            "CRYPTO_EVENT" = "alarm",
            "CRYPTO_ALARM" = $alarm,
            "CRYPTO_ALARM_STATE" = $state,
            "CRYPTO_RID" = &*$report.rid,
            "CRYPTO_METHOD" = $method,
            "CRYPTO_CODE" = $report.code,
            "CRYPTO_KEY_FP" = &*$report.key_fingerprint,
            "{CALL_TAG} event=alarm alarm={} state={} method={} code={} rid={} key_fp={}: {}",
            $alarm,
            $state,
            $method,
            $report.code.map_or_else(|| "none".to_owned(), |code| code.to_string()),
            $report.rid,
            $report.key_fingerprint,
            $words
        )
    };
}

/// The alarms that stand, for whoever asks.
#[derive(Debug, Default)]
pub struct ActiveAlarms(Mutex<Active>);

#[derive(Clone, Debug, Default)]
struct Active {
    all: bool,
    down: bool,
    methods: BTreeSet<String>,
}

impl ActiveAlarms {
    /// Whether no private call is accepted any more.
    #[must_use]
    pub fn all_refused(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// Whether the exchange answers private calls with errors of its own.
    #[must_use]
    pub fn exchange_down(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).down
    }

    /// The methods that are refused after they were accepted.
    #[must_use]
    pub fn refused_methods(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .methods
            .iter()
            .cloned()
            .collect()
    }

    fn change(&self, change: impl FnOnce(&mut Active)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Refusals since something was last accepted.
#[derive(Clone, Copy, Debug)]
struct Streak {
    since: Instant,
    calls: u32,
}

impl Streak {
    const fn new(since: Instant) -> Self {
        Self { since, calls: 0 }
    }
}

/// One method with the pair in use.
#[derive(Debug, Default)]
struct Method {
    accepted: Option<Instant>,
    refused: Option<Streak>,
}

/// All private calls since one of them was last accepted.
#[derive(Debug)]
struct Outage {
    streak: Streak,
    methods: BTreeSet<String>,
    /// Whether a method was refused that had worked, or nothing ever did: others may just lack a permission.
    is_new: bool,
    is_raised: bool,
}

impl Outage {
    const fn new(since: Instant) -> Self {
        Self {
            streak: Streak::new(since),
            methods: BTreeSet::new(),
            is_new: true,
            is_raised: false,
        }
    }

    /// Counts a call; whether the alarm begins with it.
    fn count(&mut self, method: &str) -> bool {
        self.streak.calls = self.streak.calls.saturating_add(1);
        if self.is_raised {
            return false;
        }
        self.methods.insert(method.to_owned());
        let many = self.methods.len() >= METHODS || self.streak.calls >= CALLS;
        self.is_raised = many && self.is_new;
        self.is_raised
    }
}

/// The reader of the records that raises alarms, to be run as a task of its own.
#[derive(Debug, Default)]
pub struct Alarms {
    key_fingerprint: Option<Arc<str>>,
    methods: HashMap<String, Method>,
    accepted: Option<Instant>,
    outage: Option<Outage>,
    /// Calls that the exchange answered with errors of its own since it last judged one.
    down: Option<Outage>,
    standing: Arc<ActiveAlarms>,
}

impl Alarms {
    /// Where the alarms that stand can be looked up.
    #[must_use]
    pub fn standing(&self) -> Arc<ActiveAlarms> {
        Arc::clone(&self.standing)
    }

    /// Reads until the channel closes.
    pub async fn run(mut self, mut reports: mpsc::Receiver<Arc<CallReport>>) {
        while let Some(report) = reports.recv().await {
            self.read(&report, Instant::now());
        }
    }

    fn read(&mut self, report: &CallReport, now: Instant) {
        // Methods that the catalogue does not know would let callers fill the memory.
        let (Some(method), Some(_)) = (report.method.as_deref(), report.class) else {
            return;
        };
        if self
            .key_fingerprint
            .as_ref()
            .is_some_and(|known| *known != report.key_fingerprint)
        {
            // Another pair: what the one before was used to says nothing about it.
            self.standing.change(|stand| *stand = Active::default());
            *self = Self {
                standing: self.standing(),
                ..Self::default()
            };
        }
        self.key_fingerprint = Some(Arc::clone(&report.key_fingerprint));
        let verdict = Verdict::of(report);
        if verdict.is_accepted() || verdict.is_refusal() {
            self.judged(method, report, now);
        }
        if verdict.objection() == Some(Objection::Outage) {
            self.fail(method, report, now);
        } else if verdict.is_accepted() {
            self.accept(method, report, now);
        } else if verdict.is_refusal() {
            let turned = self.refuse_method(method, report, now);
            self.refuse_all(method, report, turned, now);
        }
    }

    fn accept(&mut self, method: &str, report: &CallReport, now: Instant) {
        let known = self.methods.entry(method.to_owned()).or_default();
        let (refused, accepted) = (known.refused.take(), known.accepted.replace(now));
        self.accepted = Some(now);
        // A method that never worked raised nothing.
        if let (Some(streak), Some(_)) = (refused, accepted) {
            self.standing.change(|stand| {
                stand.methods.remove(method);
            });
            write_ended(METHOD, method, report, streak, now);
        }
        if let Some(outage) = self.outage.take().filter(|outage| outage.is_raised) {
            self.standing.change(|stand| stand.all = false);
            write_ended(ALL, method, report, outage.streak, now);
        }
    }

    fn fail(&mut self, method: &str, report: &CallReport, now: Instant) {
        let down = self.down.get_or_insert_with(|| Outage::new(now));
        if down.count(method) {
            self.standing.change(|stand| stand.down = true);
            let words = format!(
                "the exchange answers private calls with errors of its own: calls={} methods={}; {NEXT}",
                down.streak.calls,
                down.methods.len()
            );
            emit!(Level::WARN, DOWN, "raised", method, report, words);
        }
    }

    fn judged(&mut self, method: &str, report: &CallReport, now: Instant) {
        if let Some(down) = self.down.take().filter(|down| down.is_raised) {
            self.standing.change(|stand| stand.down = false);
            let seconds = now.saturating_duration_since(down.streak.since).as_secs();
            let words = format!(
                "the exchange judges calls again, after {} calls in {seconds} s",
                down.streak.calls
            );
            emit!(Level::INFO, DOWN, "ended", method, report, words);
        }
    }

    /// Whether this is the first refusal after accepted calls of the method.
    fn refuse_method(&mut self, method: &str, report: &CallReport, now: Instant) -> bool {
        let known = self.methods.entry(method.to_owned()).or_default();
        let streak = known.refused.get_or_insert(Streak::new(now));
        streak.calls = streak.calls.saturating_add(1);
        let (Some(accepted), 1) = (known.accepted, streak.calls) else {
            return false;
        };
        self.standing.change(|stand| {
            stand.methods.insert(method.to_owned());
        });
        write_method(method, report, now.saturating_duration_since(accepted));
        true
    }

    fn refuse_all(&mut self, method: &str, report: &CallReport, turned: bool, now: Instant) {
        let never = self.accepted.is_none();
        let outage = self.outage.get_or_insert_with(|| Outage {
            is_new: false,
            ..Outage::new(now)
        });
        outage.is_new |= turned || never;
        if outage.count(method) {
            let last = self
                .accepted
                .map(|accepted| now.saturating_duration_since(accepted));
            write_all(report, outage.streak.calls, outage.methods.len(), last);
            self.standing.change(|stand| stand.all = true);
        }
    }
}

/// A method is refused after it was accepted.
const METHOD: &str = "method_refused";
/// The exchange answers with errors of its own.
const DOWN: &str = "exchange_down";
/// No private call is accepted any more.
const ALL: &str = "all_refused";

const NEXT: &str = "next: `sudo crypto-proxy diagnose`";

/// Writes that a method is refused that was accepted `ago`.
fn write_method(method: &str, report: &CallReport, ago: Duration) {
    let words = format!(
        "refused for the first time since it was accepted {} s ago; {NEXT}",
        ago.as_secs()
    );
    emit!(Level::WARN, METHOD, "raised", method, report, words);
}

/// Writes that nothing is accepted any more; `last` is how long ago something was.
fn write_all(report: &CallReport, calls: u32, methods: usize, last: Option<Duration>) {
    let since = last.map_or_else(
        || "none was ever accepted since the start".to_owned(),
        |last| format!("the last one was accepted {} s ago", last.as_secs()),
    );
    let method = report.method.as_deref().unwrap_or("none");
    let words = format!(
        "every private call is refused: calls={calls} methods={methods}, and {since}; {NEXT}"
    );
    emit!(Level::WARN, ALL, "raised", method, report, words);
}

/// Writes that an alarm is over: a call was accepted again.
fn write_ended(alarm: &str, method: &str, report: &CallReport, streak: Streak, now: Instant) {
    let seconds = now.saturating_duration_since(streak.since).as_secs();
    let words = format!(
        "accepted again, after {} refused calls in {seconds} s",
        streak.calls
    );
    emit!(Level::INFO, alarm, "ended", method, report, words);
}
