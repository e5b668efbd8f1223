//! The `tracing` layer: which events become lines, and in which queue they wait.
//!
//! Guarantees: below WARN nothing of a dependency passes, whatever the level; records pass from INFO up, whatever the
//! level, because an order that left no line can never be explained; an event that is filtered out is never
//! formatted. Does not: record spans. They are disabled, so `#[instrument]` costs and says nothing.
//!
//! Tests keep lines in memory with [`capture`]: a line can be read as soon as the macro that logged it has returned, and
//! it passed the same filter and the same cleaning as in production. Such lines pass no queue, and none is dropped.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

use super::{
    line::{Line, Structure},
    queue::{Lane, Queues},
};

/// The target of records: the diagnostic lines about calls, which have a queue of their own.
///
/// After a `target:` the macros want braces round fields whose names are literals:
/// `info!(target: RECORD_TARGET, { "CRYPTO_CODE" = 0 }, "event=call code=0")`.
pub const RECORD_TARGET: &str = "crypto_proxy::record";

/// Takes formatted lines; must not block.
pub(super) trait Destination: Send + Sync + 'static {
    fn accept(&self, line: Line);
}

/// Turns events into lines.
pub(super) struct Intake<D> {
    level: Level,
    structure: Structure,
    destination: D,
}

impl<D: Destination> Intake<D> {
    pub(super) fn new(level: Level, structure: Structure, destination: D) -> Self {
        Self {
            level,
            structure,
            destination,
        }
    }

    pub(super) fn into_dispatch(self) -> Dispatch {
        Dispatch::new(Registry::default().with(self))
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        let is_record = level <= Level::INFO && metadata.target() == RECORD_TARGET;
        let is_urgent = level <= self.level && (level <= Level::WARN || is_ours(metadata.target()));
        metadata.is_event() && (is_urgent || is_record)
    }
}

impl<D: Destination, S: Subscriber> Layer<S> for Intake<D> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // Records pass from INFO up.
        Some(LevelFilter::from_level(self.level.max(Level::INFO)))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::of(event, self.structure);
        if !is_ours(line.target()) {
            let target = line.target();
            line.readable("target", format_args!("{target}"));
        }
        self.destination.accept(line);
    }
}

/// The crates whose lines are ours, by the names that targets begin with.
const OUR_CRATES: [&str; 8] = [
    "crypto_proxy",
    "crypto_proxy_catalogue",
    "crypto_proxy_diagnosis",
    "crypto_proxy_gateway",
    "crypto_proxy_ledger",
    "crypto_proxy_protocol",
    "crypto_proxy_sandbox",
    "crypto_proxy_text",
];

fn is_ours(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or(target);
    OUR_CRATES.contains(&krate)
}

/// The layer's end of the queues; when it goes, the writer ends after the last line.
pub(super) struct Feed {
    queues: Arc<Queues>,
}

impl Feed {
    pub(super) fn new(queues: Arc<Queues>) -> Self {
        Self { queues }
    }
}

impl Destination for Feed {
    fn accept(&self, line: Line) {
        let lane = if line.target() == RECORD_TARGET {
            Lane::Records
        } else {
            Lane::Others
        };
        self.queues.push(lane, line);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.queues.close();
    }
}

/// A dispatcher that keeps lines from `level` up, and the lines. A scope is per thread: give spawned tasks the
/// dispatcher with `tracing::instrument::WithSubscriber`.
#[must_use]
pub fn capture(level: Level) -> (Dispatch, Captured) {
    let captured = Captured(Arc::default());
    (
        Intake::new(level, Structure::Keep, captured.clone()).into_dispatch(),
        captured,
    )
}

/// The lines that were logged. Clones share them.
#[derive(Debug, Clone)]
pub struct Captured(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Vec<Line>>,
    arrived: Condvar,
    count: watch::Sender<usize>,
}

impl Captured {
    /// Every line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lock().clone()
    }

    /// The first line, past or to come within `limit`, that is `wanted`.
    pub async fn wait_for(&self, wanted: impl Fn(&Line) -> bool, limit: Duration) -> Option<Line> {
        let mut count = self.0.count.subscribe();
        let search = async {
            loop {
                count.mark_unchanged();
                if let Some(line) = self.find(&wanted) {
                    return Some(line);
                }
                count.changed().await.ok()?;
            }
        };
        tokio::time::timeout(limit, search).await.ok().flatten()
    }

    /// The line of this number, counted from 0, once it is there; `None` if nothing can come any more.
    pub async fn line(&self, number: usize) -> Option<Line> {
        let mut count = self.0.count.subscribe();
        loop {
            count.mark_unchanged();
            if let Some(line) = self.lock().get(number).cloned() {
                return Some(line);
            }
            count.changed().await.ok()?;
        }
    }

    /// The same for tests without a runtime: blocks the thread.
    #[must_use]
    pub fn wait_blocking(&self, wanted: impl Fn(&Line) -> bool, limit: Duration) -> Option<Line> {
        let missing = |lines: &mut Vec<Line>| !lines.iter().any(&wanted);
        let waited = self
            .0
            .arrived
            .wait_timeout_while(self.lock(), limit, missing);
        let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        lines.iter().find(|line| wanted(line)).cloned()
    }

    fn find(&self, wanted: impl Fn(&Line) -> bool) -> Option<Line> {
        self.lock().iter().find(|line| wanted(line)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination for Captured {
    fn accept(&self, line: Line) {
        self.lock().push(line);
        self.0.arrived.notify_all();
        self.0.count.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use tracing::{debug, dispatcher::with_default, info, trace, warn};

    use super::*;

    #[test]
    fn dependencies_are_heard_from_warn_up_whatever_the_level() {
        let (dispatch, captured) = capture(Level::TRACE);
        with_default(&dispatch, || {
            info!(target: "hyper::proto", "no");
            debug!(target: "crypto_proxying", "no");
            trace!(target: "crypto_proxy", "yes");
            warn!(target: "hyper::proto", "yes");
        });
        let texts: Vec<_> = captured
            .lines()
            .iter()
            .map(|line| line.text().to_owned())
            .collect();
        assert_eq!(texts, ["yes", "yes target=hyper::proto"]);
    }

    #[test]
    fn an_info_line_of_each_of_our_crates_is_ours() {
        let crates = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/crates")).unwrap();
        let mut expected: Vec<_> = crates
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| format!("crypto_proxy_{name}"))
            .chain(["crypto_proxy".to_owned()])
            .collect();
        expected.sort();
        assert_eq!(expected, OUR_CRATES);

        let (dispatch, captured) = capture(Level::INFO);
        with_default(&dispatch, || {
            info!(target: "crypto_proxy::app", "daemon");
            info!(target: "crypto_proxy_gateway::record", "gateway");
            info!(target: "crypto_proxy_diagnosis::egress", "diagnosis");
            info!(target: "crypto_proxy_sandbox::server", "sandbox");
            info!(target: "crypto_proxy_catalogue", "catalogue");
            info!(target: "crypto_proxy_protocol", "protocol");
            info!(target: "crypto_proxy_other", "no");
        });
        let texts: Vec<_> = captured
            .lines()
            .iter()
            .map(|line| line.text().to_owned())
            .collect();
        assert_eq!(
            texts,
            [
                "daemon",
                "gateway",
                "diagnosis",
                "sandbox",
                "catalogue",
                "protocol"
            ]
        );
    }

    #[test]
    fn less_urgent_lines_than_the_level_are_not_even_formatted() {
        // As long as another one hears everything, the macros' own level check lets everything through.
        let _loud = capture(Level::TRACE);
        let (dispatch, captured) = capture(Level::ERROR);
        with_default(&dispatch, || {
            warn!("no {}", panics());
            warn!(target: "hyper", "no");
        });
        assert!(captured.lines().is_empty());
    }

    #[test]
    fn records_pass_from_info_up_whatever_the_level() {
        let (dispatch, captured) = capture(Level::ERROR);
        with_default(&dispatch, || {
            info!(target: RECORD_TARGET, "a record");
            warn!(target: RECORD_TARGET, "a failure");
            debug!(target: RECORD_TARGET, "no");
            info!(target: "crypto_proxy::recorder", "no");
            warn!("no");
        });
        let texts: Vec<_> = captured
            .lines()
            .iter()
            .map(|line| line.text().to_owned())
            .collect();
        assert_eq!(texts, ["a record", "a failure"]);
    }

    fn panics() -> u8 {
        panic!("formatted")
    }

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_line_past_or_to_come_is_found() {
        let (dispatch, captured) = capture(Level::INFO);
        with_default(&dispatch, || info!("CRYPTO_ID" = 1, "past"));
        let to_come = async { with_default(&dispatch, || info!("CRYPTO_ID" = 2, "to come")) };
        let wanted = |id: &'static str| {
            captured.wait_for(move |line| line.field("CRYPTO_ID") == Some(id), LIMIT)
        };
        let (past, coming, ()) = tokio::join!(wanted("1"), wanted("2"), to_come);
        assert_eq!(past.unwrap().text(), "past");
        assert_eq!(coming.unwrap().text(), "to come");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_never_comes_is_waited_for_no_longer_than_the_limit() {
        let (dispatch, captured) = capture(Level::INFO);
        with_default(&dispatch, || info!("another"));
        assert!(
            captured
                .wait_for(|line| line.text() == "never", LIMIT)
                .await
                .is_none()
        );
    }

    #[test]
    fn a_thread_can_wait_for_the_line_of_another() {
        let (dispatch, captured) = capture(Level::INFO);
        let other = std::thread::spawn(move || with_default(&dispatch, || info!("from there")));
        assert!(
            captured
                .wait_blocking(|line| line.text() == "from there", LIMIT)
                .is_some()
        );
        assert!(
            captured
                .wait_blocking(|line| line.text() == "never", Duration::ZERO)
                .is_none()
        );
        other.join().unwrap();
    }
}
