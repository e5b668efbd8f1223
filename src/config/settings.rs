//! Reads every setting of the table, then resolves what more than one of them decides.
//!
//! A value that cannot be used is a problem with its place and a remedy. Its default stands in for it, so that the rest
//! is checked as well. Every setting has a row with its effective value and its source.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use ::config::{Value, ValueKind};

use super::{
    credentials::{Exchange, Reach},
    limits,
    load::RawSettings,
    names,
    report::{Origin, Problems, Row},
    sources::{RunAs, Sources},
    table::{Field, Notes, SETTINGS, Setting, Settings, shown_list},
};
use crate::server::Address;
use gateway::{
    connect::is_public,
    observed::Expected,
    stream::StreamBase,
    upstream::{self, BaseUrl, BaseUrlProblem, DEFAULT_BASE},
};

/// The old proxy's callers give up after 15 s; an answer needs a moment to arrive.
const CALLERS_WAIT: Duration = Duration::from_millis(14_500);
/// cryptocom-exchange gives up after 5 s, and sends again.
const CLIENTS_WAIT: Duration = Duration::from_millis(4500);
/// What the shipped unit's `TimeoutStopSec=25` leaves the drain: the log is flushed and threads are ended after it.
const UNIT_WAITS: Duration = Duration::from_secs(25 - 5);
/// So many services must agree before an address counts.
const AGREEING: usize = 2;

const LISTEN: &str = "listen";
const BASE_URL: &str = "upstream.base_url";
const STREAM_URL: &str = "upstream.stream_url";
const SERVICES: &str = "egress.services";
const EXPECTED: &str = "egress.expected";

/// The settings, and what is shown of them.
pub(super) struct Loaded {
    pub(super) settings: Settings,
    /// The operator's statement about the key's whitelist.
    pub(super) expected: Expected,
    /// A row for every setting, in the order of the table.
    pub(super) rows: Vec<Row>,
}

/// Reads and resolves all settings.
pub(super) fn read(raw: &RawSettings, sources: &Sources, problems: &mut Problems) -> Loaded {
    let mut reader = Reader {
        raw,
        problems,
        rows: Vec::with_capacity(SETTINGS.len()),
    };
    let mut settings = Settings::default();
    for setting in SETTINGS {
        reader.read(setting, &mut settings);
    }
    resolve_listen(&mut reader, &mut settings);
    compare_ports(&mut reader, &settings, sources);
    settings.upstream.base = resolve_base(&mut reader, &settings);
    settings.upstream.ca_file = settings.ca_file.take().map(PathBuf::from);
    settings.streams.base = resolve_streams(&mut reader, &settings);
    resolve_watches(&mut reader, &mut settings);
    let expected = resolve_expected(&mut reader, &settings.expected);
    resolve_policy(&mut reader, &settings);
    compare(&mut reader, &settings);
    compare_exchange_api(&mut reader, &settings);
    compare_with_process(&mut reader, &settings, sources);
    let rows = reader.rows;
    Loaded {
        settings,
        expected,
        rows,
    }
}

/// Reads settings, and notes what it finds.
struct Reader<'a> {
    raw: &'a RawSettings,
    problems: &'a mut Problems,
    rows: Vec<Row>,
}

impl Reader<'_> {
    /// Reads one setting into the field that it names, and adds its row.
    fn read(&mut self, setting: &Setting, settings: &mut Settings) {
        let key = setting.key;
        let value = self.raw.find(key);
        let mut notes = self.about(key);
        if let Some(value) = value {
            take(setting, value, settings, &mut notes);
        } else if let Field::List { default, add } = setting.field {
            for item in default(settings) {
                add(settings, &item, &mut notes);
            }
        }
        let shown = match self.raw.find(key) {
            Some(value) if matches!(setting.field, Field::List { .. }) => {
                shown_list(&items_of(value))
            }
            _ => setting.shown(settings),
        };
        self.rows.push(Row::new(key, shown, self.raw.origin(key)));
    }

    /// Whether it was set.
    fn is_set(&self, key: &str) -> bool {
        self.raw.origin(key) != Origin::Default
    }

    /// Whether its value counts: it was set, and to something that can be read.
    fn is_effective(&self, key: &str) -> bool {
        self.is_set(key) && !self.problems.errors().any(|problem| problem.key == key)
    }

    /// Where the problems of a setting go.
    fn about<'b>(&'b mut self, key: &'b str) -> Notes<'b> {
        Notes {
            key,
            origin: self.raw.origin(key),
            problems: self.problems,
        }
    }

    /// Corrects the row of a setting, where the effective value is another than the one set.
    fn show(&mut self, key: &str, shown: &str) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.key == key) {
            shown.clone_into(&mut row.shown);
        }
    }
}

/// Takes a value that was set, or notes why it cannot be used.
fn take(setting: &Setting, value: Value, settings: &mut Settings, notes: &mut Notes<'_>) {
    if let Field::List { add, .. } = setting.field {
        for item in items_of(value) {
            add(settings, &item, notes);
        }
        return;
    }
    let flag = value.clone().into_bool().ok();
    let text = value.into_string().unwrap_or_default();
    match &setting.field {
        Field::Number { at, bounds } => {
            if let Some(number) = number(&text, bounds, notes) {
                *at(settings) = number;
            }
        }
        Field::Time { at, unit, bounds } => {
            if let Some(number) = number(&text, bounds, notes) {
                *at(settings) = *unit * u32::try_from(number).unwrap_or(u32::MAX);
            }
        }
        Field::Flag(at) => match flag {
            Some(flag) => *at(settings) = flag,
            None => {
                notes
                    .error("is neither true nor false", "write one of them")
                    .show(&text);
            }
        },
        Field::Text(at) => {
            let text = text.trim();
            let given = if text.is_empty() {
                None
            } else {
                Some(text.to_owned())
            };
            *at(settings) = given;
        }
        Field::Word(choice) => {
            if !choice.choose(settings, &text) {
                let words = choice.words();
                let otherwise = format!("write one of {}", words.join(", "));
                let remedy = names::suggestion(&text, words, &otherwise);
                notes
                    .error("is not among the words known here", remedy)
                    .show(&text);
            }
        }
        Field::List { .. } => {}
    }
}

fn number(text: &str, bounds: &RangeInclusive<usize>, notes: &mut Notes<'_>) -> Option<usize> {
    if let Ok(number) = text.parse()
        && bounds.contains(&number)
    {
        return Some(number);
    }
    let (start, end) = (bounds.start(), bounds.end());
    let remedy = format!("write a whole number from {start} to {end}");
    notes
        .error("is out of bounds or no number", remedy)
        .show(text);
    None
}

/// The items of a list; a text is split at commas and white space.
fn items_of(value: Value) -> Vec<String> {
    if let ValueKind::Array(items) = value.kind {
        return items
            .into_iter()
            .filter_map(|item| item.into_string().ok())
            .collect();
    }
    let text = value.into_string().unwrap_or_default();
    let items = text.split(|char: char| char == ',' || char.is_whitespace());
    items
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Who can reach these addresses.
pub(super) fn reach(listen: &[Address]) -> Reach {
    if listen.iter().all(Address::is_local) {
        Reach::Local
    } else {
        Reach::Beyond
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

/// An address that sends clear text over a network is a warning at every start.
fn resolve_listen(reader: &mut Reader<'_>, settings: &mut Settings) {
    let server = &mut settings.server;
    server.listen.dedup();
    let reported = reader
        .problems
        .errors()
        .any(|problem| problem.key == LISTEN);
    if server.listen.is_empty() && !reported {
        let remedy = "write [\"127.0.0.1:9000\"], or remove it";
        reader.about(LISTEN).error("names no address", remedy);
    }
    for address in server.listen.iter().filter(|address| !address.is_local()) {
        let text = format!("tokens and orders travel in clear text to {address}");
        let remedy = "keep that network private, or listen on loopback";
        reader.about(LISTEN).warn(text, remedy).ready =
            Some("listens beyond loopback, in clear text");
    }
    let is_socket = |address: &Address| matches!(address, Address::Unix(_));
    if server.socket_group.is_some() && !server.listen.iter().any(is_socket) {
        let text = "there is no unix socket to listen on";
        reader
            .about("listener.socket_group")
            .warn(text, "add unix:/run/… to listen");
    }
}

/// Addresses that cannot be listened on beside each other, or by the unit's user.
fn compare_ports(reader: &mut Reader<'_>, settings: &Settings, sources: &Sources) {
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in &settings.server.listen {
        if let Address::Tcp(address) = address
            && address.port() != 0
        {
            all.push(*address);
        }
    }
    let part = all.iter().find_map(|part| {
        let whole = all.iter().find(|whole| is_part(*part, **whole));
        whole.map(|whole| (part, whole))
    });
    if let Some((part, whole)) = part {
        let text = format!("{part} is part of {whole}, which stands here, too");
        let remedy = format!("keep {whole} alone");
        reader.about(LISTEN).error(text, remedy);
    }
    let on_behalf = sources.run_as == RunAs::Root;
    let unit = sources.unit.as_ref().filter(|_| on_behalf);
    if unit.is_some_and(|unit| unit.has_own_user && !unit.may_bind_low_ports)
        && let Some(low) = all
            .iter()
            .find(|address| address.port() < first_port_of_all())
    {
        let text = format!("{low}: the unit's own user may not listen on such a port");
        let remedy = format!("take a port from {} on", first_port_of_all());
        reader.about(LISTEN).error(text, remedy);
    }
}

/// Whether the kernel refuses the one where the other is listened on. By default `[::]` takes IPv4, too.
fn is_part(part: SocketAddr, whole: SocketAddr) -> bool {
    let same_family = part.is_ipv4() == whole.is_ipv4();
    part != whole
        && part.port() == whole.port()
        && whole.ip().is_unspecified()
        && (same_family || whole.is_ipv6() && kernel_says("net/ipv6/bindv6only") != Some(1))
}

/// From this port on everybody may listen.
pub(super) fn first_port_of_all() -> u16 {
    kernel_says("net/ipv4/ip_unprivileged_port_start").unwrap_or(1024)
}

fn kernel_says(name: &str) -> Option<u16> {
    let said = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    said.trim().parse().ok()
}

fn resolve_base(reader: &mut Reader<'_>, settings: &Settings) -> BaseUrl {
    let text = settings.base_url.as_deref().unwrap_or(DEFAULT_BASE);
    let allowed = settings.allow_unknown_base.as_deref();
    match BaseUrl::parse(text, allowed) {
        Ok(base) => {
            reader.show(BASE_URL, &base.to_string());
            warn_about_base(reader, &base, allowed);
            base
        }
        Err(problem) => {
            let remedy = format!("the documented one is {DEFAULT_BASE}");
            let mut notes = reader.about(BASE_URL);
            let error = notes.error(problem.to_string(), remedy);
            // A URL may hold a password; only its host is shown.
            if matches!(problem, BaseUrlProblem::NotHttps) {
                error.show(text);
            }
            reader.show(BASE_URL, "not usable");
            settings.upstream.base.clone()
        }
    }
}

fn warn_about_base(reader: &mut Reader<'_>, base: &BaseUrl, allowed: Option<&str>) {
    if allowed == Some(base.host())
        && !upstream::DOCUMENTED_HOSTS.contains(&base.host())
        && !base.is_loopback()
    {
        let text = format!(
            "{} is not a host of the exchange, and could replay signed calls for a minute",
            base.host()
        );
        reader.about(BASE_URL).warn(
            text,
            "keep upstream.allow_unknown_base only while it is meant",
        );
    } else if base.has_undocumented_path() {
        let text = format!("the path is not the documented one ({base})");
        reader
            .about(BASE_URL)
            .warn(text, format!("the documented one is {DEFAULT_BASE}"));
    }
}

fn resolve_streams(reader: &mut Reader<'_>, settings: &Settings) -> Option<StreamBase> {
    let base = &settings.upstream.base;
    let Some(text) = &settings.stream_url else {
        let beside = StreamBase::beside(base);
        // Not the URL itself: what was pasted into the base URL would be shown by it.
        let shown = if beside.is_some() {
            "beside upstream.base_url"
        } else {
            "none: no streams"
        };
        reader.show(STREAM_URL, shown);
        return beside;
    };
    match StreamBase::parse(text, base, settings.allow_unknown_base.as_deref()) {
        Ok(named) => {
            reader.show(STREAM_URL, &named.to_string());
            Some(named)
        }
        Err(problem) => {
            // A URL may hold a password, so it is not shown.
            let remedy = "leave it out to take the documented one";
            reader.about(STREAM_URL).error(problem.to_string(), remedy);
            reader.show(STREAM_URL, "not usable");
            None
        }
    }
}

/// A stand-in on this machine does not see our outbound address, and would count the measurements of the connection among
/// what it is asked: beside one, both watches are off unless they are switched on.
fn resolve_watches(reader: &mut Reader<'_>, settings: &mut Settings) {
    let real = exchange(&settings.upstream.base) == Exchange::Real;
    if !real && !reader.is_effective("reach.enabled") {
        settings.reach.enabled = false;
        reader.show("reach.enabled", "false");
    }
    if !real && !reader.is_set(SERVICES) {
        settings.egress.services.clear();
        reader.show(SERVICES, &shown_list(&[]));
        if !reader.is_effective("egress.enabled") {
            settings.egress_enabled = false;
            reader.show("egress.enabled", "false");
        }
    }
    let egress = &mut settings.egress;
    if !settings.egress_enabled {
        egress.services.clear();
    } else if egress.services.len() < AGREEING {
        let count = egress.services.len();
        let text = format!("{count} of them: no address is ever confirmed, two must agree");
        let remedy = "name at least two, or set egress.enabled = false";
        reader.about(SERVICES).warn(text, remedy);
    }
    if egress.deadline >= egress.interval {
        let text = "is not less than egress.interval_s";
        reader.about("egress.deadline_ms").error(text, "lower it");
    }
}

/// The operator's statement about the key's whitelist.
fn resolve_expected(reader: &mut Reader<'_>, items: &[String]) -> Expected {
    if items.is_empty() {
        return Expected::Unstated;
    }
    if items.iter().any(|item| item.eq_ignore_ascii_case("any")) {
        if items.len() > 1 {
            let remedy = "write either any or the addresses";
            reader
                .about(EXPECTED)
                .error("holds any beside addresses", remedy);
        }
        return Expected::Any;
    }
    let addresses = items
        .iter()
        .filter_map(|item| expected_address(reader, item));
    Expected::Listed(addresses.collect())
}

fn expected_address(reader: &mut Reader<'_>, text: &str) -> Option<IpAddr> {
    let Ok(address) = text.parse::<IpAddr>() else {
        let remedy = "write single addresses, as on the key's whitelist, or any";
        reader
            .about(EXPECTED)
            .error("is no IP address", remedy)
            .show(text);
        return None;
    };
    if !is_public(address) {
        let text = format!("{address} is not a public address: the exchange never sees it");
        reader.about(EXPECTED).warn(
            text,
            "write the address that the exchange sees, as on the key's whitelist",
        );
    }
    Some(address)
}

fn resolve_policy(reader: &mut Reader<'_>, settings: &Settings) {
    let policy = &settings.policy;
    for name in policy.allow_methods.intersection(&policy.deny_methods) {
        let text = format!("{name} is allowed and denied: denial counts");
        reader
            .about("policy.allow_methods")
            .warn(text, "remove it from one of the two");
    }
}

/// Settings that do not fit each other.
fn compare(reader: &mut Reader<'_>, settings: &Settings) {
    let (upstream, gateway, server) = (&settings.upstream, &settings.gateway, &settings.server);
    let key = "calls.deadline_ms";
    let deadline = gateway.deadline.as_millis();
    if gateway.deadline >= server.drain_deadline {
        let text = format!(
            "{deadline} ms is not less than listener.drain_deadline_ms: a stop would cut calls"
        );
        reader
            .about(key)
            .error(text, "raise listener.drain_deadline_ms above it");
    }
    if server.drain_deadline > UNIT_WAITS {
        let text = format!(
            "is more than the {} ms that the unit's TimeoutStopSec=25 leaves: systemd would kill the daemon amid calls",
            UNIT_WAITS.as_millis()
        );
        let remedy = "lower it, or raise TimeoutStopSec= to at least 5 s above it (systemctl edit crypto-proxy)";
        reader
            .about("listener.drain_deadline_ms")
            .warn(text, remedy);
    }
    if upstream.connect_deadline >= gateway.deadline {
        let text = "is not less than calls.deadline_ms: a slow connection would leave no time for the call";
        reader
            .about("upstream.connect_deadline_ms")
            .error(text, "lower it");
    }
    if gateway.deadline > CALLERS_WAIT {
        let text = format!(
            "{deadline} ms: callers of the old proxy give up after 15 s, before our answer"
        );
        reader.about(key).warn(
            text,
            "keep it at 14500 or below, unless every caller waits longer",
        );
    }
    if server.max_connections < gateway.max_in_flight {
        let text = "is less than calls.max_in_flight, which can then not be reached";
        reader
            .about("listener.max_connections")
            .warn(text, "raise it, or lower calls.max_in_flight");
    }
}

/// Clients of the exchange-shaped API send again by themselves when they gave up waiting.
fn compare_exchange_api(reader: &mut Reader<'_>, settings: &Settings) {
    let key = "exchange_v1.deadline_ms";
    let (upstream, deadline) = (&settings.upstream, settings.http.exchange_v1.deadline);
    if deadline > CLIENTS_WAIT {
        let text = "is more than clients wait: cryptocom-exchange gives up after 5 s and places the order again";
        reader.about(key).warn(
            text,
            "keep it at 4500 or below, unless every client waits longer",
        );
    }
    if upstream.connect_deadline >= deadline {
        let text = "is not more than upstream.connect_deadline_ms: a slow connection would leave no time for the call";
        reader
            .about(key)
            .warn(text, "raise it, or lower upstream.connect_deadline_ms");
    }
}

/// Whether the process may have as many open files and as much memory as the settings allow it to take.
fn compare_with_process(reader: &mut Reader<'_>, settings: &Settings, sources: &Sources) {
    compare_open_files(reader, settings, sources);
    compare_memory(reader, settings, sources);
}

fn compare_open_files(reader: &mut Reader<'_>, settings: &Settings, sources: &Sources) {
    let key = "listener.max_connections";
    let needed = limits::files(settings) as u64;
    let Some(limit) = sources.open_files.filter(|limit| *limit < needed) else {
        return;
    };
    let needs = format!(
        "with calls.max_in_flight and streams.max_sockets this takes up to {needed} open files, and "
    );
    let remedy = "lower it, or raise LimitNOFILE= of the unit (systemctl edit crypto-proxy)";
    if sources.run_as == RunAs::Daemon {
        reader
            .about(key)
            .warn(format!("{needs}this process may have {limit}"), remedy);
    } else if reader.is_set(key) {
        // A shell's limit is mostly below the unit's, whose own defaults fit; only a setting is worth a word.
        let text = format!(
            "{needs}this shell may have {limit}: a daemon started by systemd has the unit's LimitNOFILE= \
                            (8192 as shipped) instead"
        );
        reader.about(key).warn(text, remedy);
    }
}

/// A shell's limit says nothing about the daemon's.
fn compare_memory(reader: &mut Reader<'_>, settings: &Settings, sources: &Sources) {
    let needed = limits::bytes(settings) as u64;
    if sources.run_as != RunAs::Daemon {
        return;
    }
    let Some(limit) = sources.memory.filter(|limit| *limit < needed) else {
        return;
    };
    let text = format!(
        "with the other limits this takes up to {} MiB of memory at the worst, and this process may have {}: the \
         kernel would kill it",
        needed.div_ceil(1 << 20),
        limit >> 20
    );
    let remedy = "lower it, calls.max_in_flight, streams.max_sockets or listener.max_body_bytes, or raise MemoryMax= \
                  (systemctl edit crypto-proxy)";
    reader.about("listener.max_connections").warn(text, remedy);
}

#[cfg(test)]
mod tests {
    use super::{super::items, *};

    #[test]
    fn everything_but_loopback_and_unix_is_beyond() {
        for (text, beyond) in [
            ("127.0.0.1:1", Reach::Local),
            ("127.9.9.9:1", Reach::Local),
            ("[::1]:1", Reach::Local),
            ("[::ffff:127.0.0.1]:1", Reach::Local),
            ("unix:/run/x", Reach::Local),
            ("0.0.0.0:1", Reach::Beyond),
            ("[::]:1", Reach::Beyond),
            ("172.31.31.131:9000", Reach::Beyond),
        ] {
            assert_eq!(reach(&[items::address(text).unwrap()]), beyond, "{text}");
        }
    }
}
