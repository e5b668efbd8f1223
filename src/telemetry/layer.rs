//! The `tracing` layer: which events become lines, and in which queue they wait.
//!
//! Guarantees: below WARN nothing of a dependency passes, whatever the level; records pass from INFO up, whatever the
//! level, because an order that left no line can never be explained; an event that is filtered out is never
//! formatted. Does not: record spans. They are disabled, so `#[instrument]` costs and says nothing.

use std::sync::Arc;

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
const OUR_CRATES: [&str; 6] = [
    "crypto_proxy",
    "crypto_proxy_catalogue",
    "crypto_proxy_diagnosis",
    "crypto_proxy_gateway",
    "crypto_proxy_protocol",
    "crypto_proxy_sandbox",
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

#[cfg(test)]
mod tests {
    use tracing::{debug, dispatcher::with_default, info, trace, warn};

    use super::*;
    use crate::telemetry::capture;

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
}
