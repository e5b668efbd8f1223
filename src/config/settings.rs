//! Fills the settings that the components declare.
//!
//! Guarantees: every setting of the configuration file is read here once, with bounds; settings that contradict each
//! other are said with a remedy. Defaults are the components' own. Does not: invent a setting no component asks for.

use std::{path::PathBuf, time::Duration};

use tracing::Level;

use super::{
    credentials::Exchange,
    reader::Reader,
    sources::{RunAs, Sources},
};
use crate::{http, server, telemetry};
use diagnosis::{history, reach as way};
use gateway::{
    policy::Policy,
    stream,
    upstream::{self, BaseUrl, BaseUrlProblem, DEFAULT_BASE},
};
use protocol::canonical::Dialect;

mod egress;
mod listen;
mod policy;
mod reach;
mod streams;

pub(super) use egress::{egress, expected};
pub(super) use listen::reach;

/// Everything but the credentials.
pub(super) struct Settings {
    pub(super) upstream: upstream::Settings,
    pub(super) streams: stream::Settings,
    pub(super) pipeline: gateway::Settings,
    pub(super) http: http::Settings,
    pub(super) server: server::Settings,
    pub(super) policy: Policy,
    pub(super) callers_file: Option<String>,
    pub(super) reach: way::Settings,
    pub(super) history: history::Settings,
    pub(super) log: telemetry::Settings,
}

/// The old proxy's callers give up after 15 s; an answer needs a moment to arrive.
const CALLERS_WAIT: Duration = Duration::from_millis(14_500);
/// cryptocom-exchange gives up after 5 s, and sends again.
const CLIENTS_WAIT: Duration = Duration::from_millis(4500);
/// What the shipped unit's `TimeoutStopSec=25` leaves the drain: the log is flushed and threads are ended after it.
const UNIT_WAITS: Duration = Duration::from_secs(25 - 5);
/// Open files beside those of callers and of calls: listeners, the journal, name look-ups, connections turned away.
const OTHER_FILES: usize = 64;
/// Lines that each of the log's queues holds.
const QUEUE_LINES: usize = 4096;
const DAY: Duration = Duration::from_secs(86_400);

/// Reads them.
pub(super) fn read(reader: &mut Reader<'_>) -> Settings {
    let server = listen::server(reader);
    let http = listen::http(reader);
    let upstream = upstream(reader);
    let streams = streams::streams(reader, &upstream.base);
    let pipeline = pipeline(reader);
    let policy = policy::policy(reader);
    let callers_file = reader.text("callers.file");
    let reach = reach::watch_of_the_way(reader, exchange(&upstream.base));
    let history = history(reader);
    let log = log(reader);
    compare(reader, &upstream, &pipeline, &server);
    compare_door(reader, &upstream, http.exchange_v1.deadline);
    Settings {
        upstream,
        streams,
        pipeline,
        http,
        server,
        policy,
        callers_file,
        reach,
        history,
        log,
    }
}

/// Whether the exchange is a stand-in on this machine.
pub(super) const fn exchange(base: &BaseUrl) -> Exchange {
    if base.is_loopback() {
        Exchange::FakeExchange
    } else {
        Exchange::Real
    }
}

fn upstream(reader: &mut Reader<'_>) -> upstream::Settings {
    let default = upstream::Settings::new(base(reader));
    upstream::Settings {
        connect_deadline: reader.millis(
            "upstream.connect_deadline_ms",
            default.connect_deadline,
            100..=30_000,
        ),
        max_reply_bytes: reader.number(
            "upstream.max_reply_bytes",
            default.max_reply_bytes,
            4096..=64 << 20,
        ),
        ca_file: reader.text("upstream.ca_file").map(PathBuf::from),
        idle_timeout: reader.millis(
            "upstream.idle_timeout_ms",
            default.idle_timeout,
            1000..=600_000,
        ),
        base: default.base,
    }
}

fn base(reader: &mut Reader<'_>) -> BaseUrl {
    let key = "upstream.base_url";
    let text = reader.text(key).unwrap_or_else(|| DEFAULT_BASE.to_owned());
    let allowed = reader.text("upstream.allow_unknown_base");
    match BaseUrl::parse(&text, allowed.as_deref()) {
        Ok(base) => {
            reader.show(key, &base.to_string());
            warn_about_base(reader, &base, allowed.as_deref());
            base
        }
        Err(problem) => {
            // A URL may hold a password; only its host is shown.
            let shown = matches!(problem, BaseUrlProblem::NotHttps).then_some(text.as_str());
            reader.error(
                key,
                problem.to_string(),
                format!("the documented one is {DEFAULT_BASE}"),
                shown,
            );
            reader.show(key, "not usable");
            documented()
        }
    }
}

#[expect(clippy::expect_used, reason = "a constant, tested")]
fn documented() -> BaseUrl {
    BaseUrl::parse(DEFAULT_BASE, None).expect("the documented base is a base")
}

fn warn_about_base(reader: &mut Reader<'_>, base: &BaseUrl, allowed: Option<&str>) {
    let key = "upstream.base_url";
    if allowed == Some(base.host())
        && !upstream::DOCUMENTED_HOSTS.contains(&base.host())
        && !base.is_loopback()
    {
        let text = format!(
            "{} is not a host of the exchange, and could replay signed calls for a minute",
            base.host()
        );
        reader.warn(
            key,
            text,
            "keep upstream.allow_unknown_base only while it is meant",
        );
    } else if base.has_undocumented_path() {
        let text = format!("the path is not the documented one ({base})");
        reader.warn(key, text, format!("the documented one is {DEFAULT_BASE}"));
    }
}

fn pipeline(reader: &mut Reader<'_>) -> gateway::Settings {
    let default = gateway::Settings::default();
    let words = [
        ("refuse", Dialect::Documented),
        ("flat", Dialect::FlatOrderListExecInst),
    ];
    gateway::Settings {
        deadline: reader.millis("calls.deadline_ms", default.deadline, 500..=60_000),
        max_in_flight: reader.number("calls.max_in_flight", default.max_in_flight, 1..=65_536),
        dialect: reader.choice(
            "calls.order_list_exec_inst",
            &words,
            ("refuse", default.dialect),
        ),
        signing_lines: reader.flag("calls.signing_lines", default.signing_lines),
    }
}

fn history(reader: &mut Reader<'_>) -> history::Settings {
    let default = history::Settings::default();
    let days = usize::try_from(default.max_age.as_secs() / DAY.as_secs()).unwrap_or(90);
    let days = reader.number("history.max_age_days", days, 1..=3650);
    history::Settings {
        enabled: reader.flag("history.enabled", default.enabled),
        max_calls: reader.number("history.max_calls", default.max_calls, 1000..=100_000_000),
        max_age: DAY * u32::try_from(days).unwrap_or(u32::MAX),
    }
}

fn log(reader: &mut Reader<'_>) -> telemetry::Settings {
    let sinks = [
        ("auto", telemetry::Sink::Auto),
        ("journal", telemetry::Sink::Journal),
        ("stderr", telemetry::Sink::Stderr),
        ("json", telemetry::Sink::Json),
    ];
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    telemetry::Settings {
        sink: reader.choice("log.sink", &sinks, ("auto", telemetry::Sink::Auto)),
        level: reader.choice("log.level", &levels, ("info", Level::INFO)),
        queue_lines: reader.number("log.queue_lines", QUEUE_LINES, 16..=1 << 20),
    }
}

/// What no single setting can tell.
fn compare(
    reader: &mut Reader<'_>,
    upstream: &upstream::Settings,
    pipeline: &gateway::Settings,
    server: &server::Settings,
) {
    let key = "calls.deadline_ms";
    let deadline = pipeline.deadline.as_millis();
    if pipeline.deadline >= server.drain_deadline {
        let text = format!(
            "{deadline} ms is not less than listener.drain_deadline_ms: a stop would cut calls"
        );
        reader.error(key, text, "raise listener.drain_deadline_ms above it", None);
    }
    if server.drain_deadline > UNIT_WAITS {
        let text = format!(
            "is more than the {} ms that the unit's TimeoutStopSec=25 leaves: systemd would kill the daemon amid calls",
            UNIT_WAITS.as_millis()
        );
        let remedy = "lower it, or raise TimeoutStopSec= to at least 5 s above it (systemctl edit crypto-proxy)";
        reader.warn("listener.drain_deadline_ms", text, remedy);
    }
    if upstream.connect_deadline >= pipeline.deadline {
        let text = "is not less than calls.deadline_ms: a slow connection would leave no time for the call";
        reader.error("upstream.connect_deadline_ms", text, "lower it", None);
    }
    if pipeline.deadline > CALLERS_WAIT {
        let text = format!(
            "{deadline} ms: callers of the old proxy give up after 15 s, before our answer"
        );
        reader.warn(
            key,
            text,
            "keep it at 14500 or below, unless every caller waits longer",
        );
    }
    if server.max_connections < pipeline.max_in_flight {
        let text = "is less than calls.max_in_flight, which can then not be reached";
        reader.warn(
            "listener.max_connections",
            text,
            "raise it, or lower calls.max_in_flight",
        );
    }
}

/// Clients of the exchange-shaped door send again by themselves when they gave up waiting.
fn compare_door(reader: &mut Reader<'_>, upstream: &upstream::Settings, deadline: Duration) {
    let key = "exchange_v1.deadline_ms";
    if deadline > CLIENTS_WAIT {
        let text = "is more than clients wait: cryptocom-exchange gives up after 5 s and places the order again";
        reader.warn(
            key,
            text,
            "keep it at 4500 or below, unless every client waits longer",
        );
    }
    if upstream.connect_deadline >= deadline {
        let text = "is not more than upstream.connect_deadline_ms: a slow connection would leave no time for the call";
        reader.warn(key, text, "raise it, or lower upstream.connect_deadline_ms");
    }
}

/// Whether the process may have as many files open as the settings allow connections.
pub(super) fn compare_with_process(
    reader: &mut Reader<'_>,
    settings: &Settings,
    sources: &Sources,
) {
    let key = "listener.max_connections";
    let (callers, calls) = (
        settings.server.max_connections,
        settings.pipeline.max_in_flight,
    );
    // A stream takes two: the client's connection and its own to the exchange.
    let streams = 2 * settings.streams.max_sockets;
    let needed = (callers + calls + streams + OTHER_FILES) as u64;
    let Some(limit) = sources.open_files.filter(|limit| *limit < needed) else {
        return;
    };
    let needs = format!(
        "with calls.max_in_flight and streams.max_sockets this takes up to {needed} open files, and "
    );
    let remedy = "lower it, or raise LimitNOFILE= of the unit (systemctl edit crypto-proxy)";
    if sources.run_as == RunAs::Daemon {
        reader.warn(key, format!("{needs}this process may have {limit}"), remedy);
    } else if reader.is_set(key) {
        // A shell's limit is mostly below the unit's, whose own defaults fit; only a setting is worth a word.
        let text = format!(
            "{needs}this shell may have {limit}: a daemon started by systemd has the unit's LimitNOFILE= \
                            (8192 as shipped) instead"
        );
        reader.warn(key, text, remedy);
    }
}
