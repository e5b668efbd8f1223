//! Whether the exchange is reached, and in which phase not, watched in the background: name, TCP, TLS, first byte.
//!
//! Measured at start, at every interval, and soon after a call failed on the way. Guarantees: over connections of its own,
//! on a thread of its own, one measurement at a time, each with a deadline; a change is said once, with its cause and
//! next step; nothing is signed, no record is written, readiness hears nothing of it. Does not: stand in the path of a
//! call, or say why a call that reached the exchange was refused.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::probes::{self, PROBE_DEADLINE, Scope};
use gateway::record::{CallReport, Reader};

mod line;
mod measurement;
#[cfg(test)]
mod tests;

pub use measurement::{Fault, Measurement, Phase, Step};

/// Measurements that failed calls asked for are at least this far apart; so are those while a phase fails, so that its
/// end is not said an interval late.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// How the way is watched.
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

/// How the way stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The last measurement.
    pub last: Measurement,
    /// When the first measurement began that came to the same, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Where the last measurement can be looked up.
#[derive(Debug, Default)]
pub struct Watched {
    enabled: bool,
    standing: ArcSwapOption<Standing>,
}

impl Watched {
    /// Whether anybody measures.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// How the way stands; nothing before the first measurement has ended.
    #[must_use]
    pub fn standing(&self) -> Option<Arc<Standing>> {
        self.standing.load_full()
    }
}

/// The watch, to be run as a task of its own.
#[derive(Debug)]
pub struct Watch {
    interval: Duration,
    plan: probes::Plan,
    wanted: Arc<Notify>,
    watched: Arc<Watched>,
}

impl Watch {
    /// Prepares to measure the way of this plan; its scope and its deadline are the watch's own.
    #[must_use]
    pub fn new(settings: Settings, mut plan: probes::Plan) -> Self {
        let to_connect = plan
            .ready
            .as_ref()
            .map_or(PROBE_DEADLINE, |ready| ready.upstream.connect_deadline);
        plan.scope = Scope::Way;
        // To connect, to ask for the first time, to ask for the first byte.
        plan.deadline = to_connect + PROBE_DEADLINE * 2;
        let watched = Watched {
            enabled: settings.enabled,
            ..Watched::default()
        };
        Self {
            interval: settings.interval,
            plan,
            wanted: Arc::default(),
            watched: Arc::new(watched),
        }
    }

    /// Where the last measurement can be looked up.
    #[must_use]
    pub fn watched(&self) -> Arc<Watched> {
        Arc::clone(&self.watched)
    }

    /// Reads along with the records, where there is a watch: a failure on the way asks for a measurement. One comparison
    /// for a call that failed and none for one that was answered; of many requests one waits.
    #[must_use]
    pub fn reader(&self) -> Option<Reader> {
        let wanted = Arc::clone(&self.wanted);
        let reader: Reader = Box::new(move |report| {
            if failed_on_the_way(report) {
                wanted.notify_one();
            }
        });
        self.watched.enabled.then_some(reader)
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
                self.watched.take(Measurement::of(&findings));
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
            line::write(&last, before.as_deref());
        }
        self.standing
            .store(Some(Arc::new(Standing { last, since_ms })));
    }
}

/// The words of `Failure` for a call that was not answered because of the way; a test compares them.
const ON_THE_WAY: [&str; 9] = [
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

fn failed_on_the_way(report: &CallReport) -> bool {
    report.why.is_some_and(|why| ON_THE_WAY.contains(&why))
}
