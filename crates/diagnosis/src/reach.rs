//! Whether the exchange is reached, and in which phase not, watched in the background: name, TCP, TLS, first byte.
//!
//! Measured at start, at every interval, and soon after a call failed to get its answer. Guarantees: over connections of
//! its own, on a thread of its own, one measurement at a time, each with a deadline; a change is said once, with its cause
//! and next step; nothing is signed, no record is written; a fault changes nothing in readiness, and a measurement that
//! reached the exchange ends what failed calls left there. Does not: stand in the path of a call, or say why a call that
//! reached the exchange was refused.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::probes::{self, PROBE_DEADLINE, Scope};
use gateway::{
    observed::Observed,
    record::{CALL_TAG, CallReport, RecordSink, TARGET},
};

mod measurement;
#[cfg(test)]
mod tests;

pub use measurement::{Fault, Measurement, Phase, Step};

/// Measurements that failed calls asked for are at least this far apart; so are those while a phase fails, so that its
/// end is not said an interval late.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// How the connection is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether it is.
    pub enabled: bool,
    /// Time between measurements.
    pub interval: Duration,
}

impl Settings {
    /// No watch.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            enabled: false,
            interval: Duration::from_secs(300),
        }
    }
}

/// Whether the exchange is reached, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachability {
    /// The last measurement.
    pub last: Measurement,
    /// When the first measurement began that came to the same, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Where the last measurement can be looked up.
#[derive(Debug, Default)]
pub struct Watched {
    enabled: bool,
    standing: ArcSwapOption<Reachability>,
}

impl Watched {
    /// Whether anybody measures.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether the exchange is reached; nothing before the first measurement has ended.
    #[must_use]
    pub fn standing(&self) -> Option<Arc<Reachability>> {
        self.standing.load_full()
    }
}

/// Asks for a measurement where a call could not reach the exchange.
struct Wanted(Arc<Notify>);

impl RecordSink for Wanted {
    fn record(&self, report: &Arc<CallReport>) {
        if connection_failed(report) {
            self.0.notify_one();
        }
    }
}

/// The watch, to be run as a task of its own.
#[derive(Debug)]
pub struct Watch {
    interval: Duration,
    plan: probes::Plan,
    observed: Arc<Observed>,
    wanted: Arc<Notify>,
    watched: Arc<Watched>,
}

impl Watch {
    /// Prepares to measure the connection of this plan; its scope and its deadline are the watch's own.
    #[must_use]
    pub fn new(settings: Settings, observed: Arc<Observed>, mut plan: probes::Plan) -> Self {
        let to_connect = plan
            .ready
            .as_ref()
            .map_or(PROBE_DEADLINE, |ready| ready.upstream.connect_deadline);
        plan.scope = Scope::Connection;
        // To connect, to ask for the first time, to ask for the first byte.
        plan.deadline = to_connect + PROBE_DEADLINE * 2;
        let watched = Watched {
            enabled: settings.enabled,
            ..Watched::default()
        };
        Self {
            interval: settings.interval,
            plan,
            observed,
            wanted: Arc::default(),
            watched: Arc::new(watched),
        }
    }

    /// Where the last measurement can be looked up.
    #[must_use]
    pub fn watched(&self) -> Arc<Watched> {
        Arc::clone(&self.watched)
    }

    /// The sink for records, where there is a watch: a failed connection asks for a measurement. One comparison for a call
    /// that failed and none for one that was answered; of many requests one waits.
    #[must_use]
    pub fn sink(&self) -> Option<Arc<dyn RecordSink>> {
        if self.watched.enabled {
            Some(Arc::new(Wanted(Arc::clone(&self.wanted))))
        } else {
            None
        }
    }

    /// Watches until `stop`, which ends a measurement that is under way; returns at once where the watch is off.
    pub async fn run(self, stop: CancellationToken) {
        if self.watched.enabled {
            stop.run_until_cancelled(self.watch(&stop)).await;
        }
    }

    async fn watch(&self, stop: &CancellationToken) {
        let mut triggered = None;
        loop {
            // Nothing where the thread died; the panic hook has said so, and the next turn comes.
            if let Some(findings) = probes::apart(self.plan.clone(), stop.clone()).await {
                let last = Measurement::of(&findings);
                if last.fault.is_none() {
                    // Without calls, nothing else would end it.
                    self.observed.note_reached();
                }
                self.watched.take(last);
            }
            self.next_turn(&mut triggered).await;
        }
    }

    /// Waits for the interval to pass, or for a failed call; `triggered` is when one last came through.
    async fn next_turn(&self, triggered: &mut Option<Instant>) {
        let wanted = async {
            self.wanted.notified().await;
            if let Some(last) = *triggered {
                time::sleep_until(last + AT_MOST_EVERY).await;
            }
        };
        let failing = self
            .watched
            .standing()
            .is_some_and(|standing| standing.last.fault.is_some());
        let interval = if failing {
            self.interval.min(AT_MOST_EVERY)
        } else {
            self.interval
        };
        if time::timeout(interval, wanted).await.is_ok() {
            *triggered = Some(Instant::now());
        }
    }
}

impl Watched {
    /// Keeps a measurement, and says what changed by it.
    fn take(&self, last: Measurement) {
        let before = self.standing();
        let same = before
            .as_ref()
            .filter(|before| before.last.comes_to() == last.comes_to());
        let since_ms = same.map_or(last.at_ms, |same| same.since_ms);
        if same.is_none() {
            write(&last, before.as_deref());
        }
        self.standing
            .store(Some(Arc::new(Reachability { last, since_ms })));
    }
}

/// The words of `Failure` for a call that was not answered because of the connection; a test compares them.
const CONNECTION_FAILURES: [&str; 9] = [
    "dns",
    "address_refused",
    "connect",
    "connect_deadline",
    "tls",
    "lost",
    "deadline",
    "redirected",
    "upgraded",
];

fn connection_failed(report: &CallReport) -> bool {
    report
        .why
        .is_some_and(|why| CONNECTION_FAILURES.contains(&why))
}

/// One event with the line and its fields; a macro because an event's level is part of its place in the code.
macro_rules! emit {
    ($level:expr, $measured:expr, $state:expr, $fault:expr, $words:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            "CRYPTO_EVENT" = "reach",
            "CRYPTO_REACH" = $state,
            "CRYPTO_PHASE" = $fault.map(|fault: &Fault| fault.phase.word()),
            "CRYPTO_CAUSE" = $fault.map(|fault: &Fault| fault.cause.code()),
            "CRYPTO_NAME_MS" = $measured.millis(Phase::Name),
            "CRYPTO_TCP_MS" = $measured.millis(Phase::Tcp),
            "CRYPTO_TLS_MS" = $measured.millis(Phase::Tls),
            "CRYPTO_FIRST_BYTE_MS" = $measured.millis(Phase::FirstByte),
            "{CALL_TAG} event=reach state={}{}: {}",
            $state,
            facts($measured),
            $words
        )
    };
}

/// Writes what a measurement changed; `before` is how it stood.
fn write(measured: &Measurement, before: Option<&Reachability>) {
    match &measured.fault {
        Some(fault) => emit!(Level::WARN, measured, "failed", Some(fault), failed(fault)),
        None => emit!(
            Level::INFO,
            measured,
            "reachable",
            None,
            reached(measured, before)
        ),
    }
}

fn failed(fault: &Fault) -> String {
    let Fault {
        phase,
        says,
        cause,
        not_excluded,
        next_step,
    } = fault;
    let others: Vec<&str> = not_excluded.iter().map(|other| other.code()).collect();
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("; not excluded: {}", others.join(", "))
    };
    format!(
        "{}; evidence: {}: {says}{others}; next: {next_step}",
        cause.sentence(),
        phase.shown()
    )
}

fn reached(measured: &Measurement, before: Option<&Reachability>) -> String {
    let failing = before.and_then(|before| Some((before, before.last.fault.as_ref()?)));
    failing.map_or_else(
        || "the exchange answers".to_owned(),
        |(before, fault)| {
            let seconds = measured.at_ms.saturating_sub(before.since_ms) / 1000;
            format!(
                "the exchange answers again, {seconds} s after {} was first seen to fail",
                fault.phase.shown()
            )
        },
    )
}

/// " phase=tcp cause=CP-NETWORK name_ms=2 tcp_ms=3000": what failed, and the phases that were made.
fn facts(measured: &Measurement) -> String {
    let fault = measured.fault.as_ref();
    let fault =
        fault.map(|fault| format!(" phase={} cause={}", fault.phase.word(), fault.cause.code()));
    let made = |phase: Phase| Some(format!(" {}_ms={}", phase.word(), measured.millis(phase)?));
    fault
        .into_iter()
        .chain(Phase::ALL.into_iter().filter_map(made))
        .collect()
}
