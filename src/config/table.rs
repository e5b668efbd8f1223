//! Every setting, declared once: its key, its variables, where its value goes, its bounds and its help.
//!
//! From this table come the known keys and their kinds, the checks of bounds, the rows of `check`, the suggestions for
//! mistyped keys, `deploy/config.toml` and the table in `docs/operations.md`. A default is the component's own: the field
//! that a setting writes to is also read for its default. To add a setting, add a field to a component and an entry here.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::json;
use tracing::Level;

use super::{
    items, names,
    report::{Origin, Problem, Problems, one_line},
};
use crate::{
    http, server,
    telemetry::{self, Sink},
};
use catalogue::channels;
use diagnosis::{egress, history, reach};
use gateway::{
    policy::Policy,
    stream::{self, StreamBase},
    upstream::{self, BaseUrl, DEFAULT_BASE},
};
use protocol::canonical::Dialect;

/// hyper refuses to work with less.
const LEAST_HEAD_BYTES: usize = 8192;
/// Services that answer with the caller's address as text.
const SERVICES: [&str; 3] = [
    "https://api64.ipify.org",
    "https://checkip.amazonaws.com",
    "https://ifconfig.me/ip",
];
const DAY: Duration = Duration::from_secs(86_400);

/// What the settings are read into: the components' own settings, and what can only be understood together with another
/// setting.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) upstream: upstream::Settings,
    pub(super) streams: stream::Settings,
    pub(super) gateway: gateway::Settings,
    pub(super) http: http::Settings,
    pub(super) server: server::Settings,
    pub(super) policy: Policy,
    pub(super) egress: egress::Settings,
    pub(super) reach: reach::Settings,
    pub(super) history: history::Settings,
    pub(super) orders: ledger::Settings,
    pub(super) log: telemetry::Settings,
    /// Whether the services of `egress` are asked.
    pub(super) egress_enabled: bool,
    pub(super) base_url: Option<String>,
    pub(super) allow_unknown_base: Option<String>,
    pub(super) stream_url: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) callers_file: Option<String>,
    pub(super) expected: Vec<String>,
}

impl Settings {
    /// Whether any connection needs trust roots.
    pub(super) fn is_encrypted(&self) -> bool {
        let services = &self.egress.services;
        let streams = self.streams.base.as_ref();
        self.upstream.base.is_https()
            || streams.is_some_and(StreamBase::is_wss)
            || services.iter().any(|service| service.scheme() == "https")
    }
}

impl Default for Settings {
    /// The defaults beside the real exchange. Lists are empty: their default items are read like any others.
    fn default() -> Self {
        let base = documented_base();
        Self {
            streams: stream::Settings::new(StreamBase::beside(&base)),
            upstream: upstream::Settings::new(base),
            gateway: gateway::Settings::default(),
            http: http::Settings::default(),
            server: server::Settings {
                listen: Vec::new(),
                ..server::Settings::default()
            },
            policy: Policy::default(),
            egress: egress::Settings::off(),
            reach: reach::Settings {
                enabled: true,
                ..reach::Settings::off()
            },
            history: history::Settings::default(),
            orders: ledger::Settings::default(),
            log: telemetry::Settings {
                sink: Sink::Auto,
                level: Level::INFO,
                queue_lines: 4096,
            },
            egress_enabled: true,
            base_url: Some(DEFAULT_BASE.to_owned()),
            allow_unknown_base: None,
            stream_url: None,
            ca_file: None,
            callers_file: None,
            expected: Vec::new(),
        }
    }
}

#[expect(clippy::expect_used, reason = "a constant, tested")]
fn documented_base() -> BaseUrl {
    BaseUrl::parse(DEFAULT_BASE, None).expect("the documented base is a base")
}

/// One setting.
pub(super) struct Setting {
    /// Its key in the configuration file; its name in the environment follows from it.
    pub(super) key: &'static str,
    /// Variables with names of their own that stand for it; the first one that is set wins.
    pub(super) variables: &'static [&'static str],
    /// What it holds, within which bounds, and where the value goes.
    pub(super) field: Field,
    /// Its comment in the sample file; empty where the comment of the setting above covers both.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a test makes the sample file from it")
    )]
    pub(super) help: &'static str,
}

/// What a setting holds, and where it goes.
pub(super) enum Field {
    Number {
        at: fn(&mut Settings) -> &mut usize,
        bounds: RangeInclusive<usize>,
    },
    /// A whole number of `unit`.
    Time {
        at: fn(&mut Settings) -> &mut Duration,
        unit: Duration,
        bounds: RangeInclusive<usize>,
    },
    Flag(fn(&mut Settings) -> &mut bool),
    /// Empty counts as not set.
    Text(fn(&mut Settings) -> &mut Option<String>),
    /// One of several words.
    Word(&'static dyn Choice),
    List {
        default: fn(&Settings) -> Vec<String>,
        /// Takes one item, and notes what is wrong with it.
        add: fn(&mut Settings, &str, &mut Notes<'_>),
    },
}

/// The kinds of values that the configuration file can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Flag,
    Text,
    /// A list of texts; one text stands for a list of one.
    List,
}

impl Kind {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Number => "a whole number without quotes",
            Self::Flag => "true or false, without quotes",
            Self::Text => "a text in quotes",
            Self::List => "a list of texts, as [\"one\", \"two\"]",
        }
    }
}

/// The words that a setting may hold, each with its value.
pub(super) trait Choice: Sync {
    /// All of them.
    fn words(&self) -> Vec<&'static str>;
    /// The word for the value that stands there now.
    fn current(&self, settings: &mut Settings) -> &'static str;
    /// Takes the value of a word, in any case; false where there is no such word.
    fn choose(&self, settings: &mut Settings, text: &str) -> bool;
}

struct Words<T: 'static> {
    field: fn(&mut Settings) -> &mut T,
    words: &'static [(&'static str, T)],
}

impl<T: Copy + PartialEq + Sync> Choice for Words<T> {
    fn words(&self) -> Vec<&'static str> {
        self.words.iter().map(|(word, _)| *word).collect()
    }

    fn current(&self, settings: &mut Settings) -> &'static str {
        let value = *(self.field)(settings);
        let found = self.words.iter().find(|(_, known)| *known == value);
        found.map_or("", |(word, _)| word)
    }

    fn choose(&self, settings: &mut Settings, text: &str) -> bool {
        let mut words = self.words.iter();
        let Some((_, value)) = words.find(|(word, _)| word.eq_ignore_ascii_case(text.trim()))
        else {
            return false;
        };
        *(self.field)(settings) = *value;
        true
    }
}

/// Where the problems of one setting go.
pub(super) struct Notes<'a> {
    pub(super) key: &'a str,
    pub(super) origin: Origin,
    pub(super) problems: &'a mut Problems,
}

impl Notes<'_> {
    pub(super) fn error(
        &mut self,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Problem {
        self.problems.error(self.key, &self.origin, text, remedy)
    }

    pub(super) fn warn(
        &mut self,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Problem {
        self.problems.warning(self.key, &self.origin, text, remedy)
    }

    /// The value of an item; what cannot be used is noted and left out.
    fn take<T>(&mut self, item: &str, parsed: Result<T, items::Unusable>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err((text, remedy)) => {
                self.error(text, remedy).show(item);
                None
            }
        }
    }
}

/// A method that a policy names; what the catalogue says against it is a warning.
fn method(item: &str, notes: &mut Notes<'_>) -> Option<String> {
    if channels::is_of_the_account(item.trim()) {
        return Some(item.trim().to_owned());
    }
    let method = notes.take(item, items::method(item))?;
    if let Some((text, remedy)) = items::doubt(&method) {
        notes.warn(text, remedy);
    }
    Some(method.as_str().to_owned())
}

const fn number(at: fn(&mut Settings) -> &mut usize, bounds: RangeInclusive<usize>) -> Field {
    Field::Number { at, bounds }
}

const fn millis(at: fn(&mut Settings) -> &mut Duration, bounds: RangeInclusive<usize>) -> Field {
    let unit = Duration::from_millis(1);
    Field::Time { at, unit, bounds }
}

const fn seconds(at: fn(&mut Settings) -> &mut Duration, bounds: RangeInclusive<usize>) -> Field {
    let unit = Duration::from_secs(1);
    Field::Time { at, unit, bounds }
}

const fn days(at: fn(&mut Settings) -> &mut Duration, bounds: RangeInclusive<usize>) -> Field {
    let unit = DAY;
    Field::Time { at, unit, bounds }
}

const fn list(
    default: fn(&Settings) -> Vec<String>,
    add: fn(&mut Settings, &str, &mut Notes<'_>),
) -> Field {
    Field::List { default, add }
}

fn none(_: &Settings) -> Vec<String> {
    Vec::new()
}

fn strings(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// A setting that variables with names of their own stand for as well.
const fn setting_with(
    key: &'static str,
    variables: &'static [&'static str],
    field: Field,
    help: &'static str,
) -> Setting {
    Setting {
        key,
        variables,
        field,
        help,
    }
}

const fn setting(key: &'static str, field: Field, help: &'static str) -> Setting {
    setting_with(key, &[], field, help)
}

impl Setting {
    /// What the configuration file may hold for it.
    pub(super) const fn kind(&self) -> Kind {
        match self.field {
            Field::Number { .. } | Field::Time { .. } => Kind::Number,
            Field::Flag(_) => Kind::Flag,
            Field::Text(_) | Field::Word(_) => Kind::Text,
            Field::List { .. } => Kind::List,
        }
    }

    /// Its value, as the rows show it; of a list the default items.
    pub(super) fn shown(&self, settings: &mut Settings) -> String {
        match &self.field {
            Field::Number { at, .. } => at(settings).to_string(),
            Field::Time { at, unit, .. } => {
                (at(settings).as_millis() / unit.as_millis()).to_string()
            }
            Field::Flag(at) => at(settings).to_string(),
            Field::Text(at) => match at(settings) {
                Some(text) => one_line(text),
                None => "not set".to_owned(),
            },
            Field::Word(choice) => choice.current(settings).to_owned(),
            Field::List { default, .. } => shown_list(&default(settings)),
        }
    }

    /// The variable `CRYPTO_PROXY__SECTION__KEY` that stands for it.
    pub(super) fn variable(&self) -> String {
        let name = self.key.to_uppercase().replace('.', "__");
        format!("{}{name}", names::SETTING_PREFIX)
    }
}

/// A list as the configuration file would show it.
pub(super) fn shown_list(items: &[String]) -> String {
    let items = items.iter().map(|item| json!(one_line(item)).to_string());
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// The setting of a key, if there is such a one.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Every variable with a name of its own that stands for a setting.
pub(super) fn named_variables() -> impl Iterator<Item = &'static str> {
    SETTINGS
        .iter()
        .flat_map(|setting| setting.variables)
        .copied()
}

/// The sections of the configuration file, in its order.
pub(super) fn sections() -> Vec<&'static str> {
    let sections = SETTINGS
        .iter()
        .filter_map(|setting| setting.key.split_once('.'));
    let mut sections: Vec<&str> = sections.map(|(section, _)| section).collect();
    sections.dedup();
    sections
}

/// Whether a variable means something to us.
pub(super) fn is_ours(name: &str) -> bool {
    names::is_secret(name)
        || names::is_file_of_secret(name)
        || named_variables().any(|known| known == name)
        || SETTINGS.iter().any(|setting| setting.variable() == name)
        || [names::LABEL, names::CONFIG, names::OF_THE_BACKEND].contains(&name)
}

/// Whether the daemon reads a variable itself.
pub(super) fn is_read_by_daemon(name: &str) -> bool {
    is_ours(name) && name != names::OF_THE_BACKEND
}

/// Every setting, in the order of the sample file and of what `check` shows: key, kind with field and bounds, help.
pub(super) static SETTINGS: &[Setting] = &[
    setting_with(
        "listen",
        &["CRYPTO_PROXY_LISTEN"],
        list(
            |_| strings(&server::Settings::default().listen),
            |s, item, notes| {
                s.server
                    .listen
                    .extend(notes.take(item, items::address(item)))
            },
        ),
        "Where callers reach the daemon: addresses with a port, or unix:/run/... for sockets. \
         An address beyond loopback sends tokens and orders in clear text over that network: \
         set one only if you accept that. Short: CRYPTO_PROXY_LISTEN",
    ),
    setting(
        "allowed_hosts",
        list(none, |s, item, notes| {
            s.http
                .allowed_hosts
                .extend(notes.take(item, items::host(item)))
        }),
        "Names that callers may use for this machine (the Host header), beside IP addresses, \
         localhost and host.docker.internal. Names alone: no scheme, no port.",
    ),
    setting_with(
        "upstream.base_url",
        &["CRYPTO_REST_BASE", "EXCHANGE_CUSTOM_BASE_URL"],
        Field::Text(|s| &mut s.base_url),
        "The exchange to sign for: https://api.crypto.com/exchange/v1, its test exchange \
         https://uat-api.3ona.co/exchange/v1, or a stand-in on loopback. Short: \
         CRYPTO_REST_BASE",
    ),
    setting(
        "upstream.allow_unknown_base",
        Field::Text(|s| &mut s.allow_unknown_base),
        "One further host that signed calls may go to. Whoever runs it can replay them for a \
         minute.",
    ),
    setting(
        "upstream.connect_deadline_ms",
        millis(|s| &mut s.upstream.connect_deadline, 100..=30_000),
        "Name, TCP and TLS must be done after this time; less than calls.deadline_ms.",
    ),
    setting(
        "upstream.max_reply_bytes",
        number(|s| &mut s.upstream.max_reply_bytes, 4096..=64 << 20),
        "The largest answer that is passed on, in bytes.",
    ),
    setting(
        "upstream.ca_file",
        Field::Text(|s| &mut s.ca_file),
        "The trust roots as PEM. Empty takes the system's own bundle; the environment \
         (SSL_CERT_FILE) is ignored.",
    ),
    setting(
        "upstream.idle_timeout_ms",
        millis(|s| &mut s.upstream.idle_timeout, 1000..=600_000),
        "Connections to the exchange are closed when they were idle for this time.",
    ),
    setting(
        "upstream.stream_url",
        Field::Text(|s| &mut s.stream_url),
        "The exchange's streams, where /user and /market are appended. Empty takes the \
         documented place beside base_url (wss://stream.crypto.com/exchange/v1), or the same \
         host and port for a stand-in on loopback. Another host has to be named by \
         allow_unknown_base, because whoever runs it gets logins with your key.",
    ),
    setting(
        "streams.max_sockets",
        number(|s| &mut s.streams.max_sockets, 0..=65_536),
        "WebSockets at once, and those of one caller. Each takes two open files.",
    ),
    setting(
        "streams.max_per_caller",
        number(|s| &mut s.streams.max_per_caller, 1..=65_536),
        "",
    ),
    setting(
        "streams.max_commands",
        number(|s| &mut s.streams.max_commands, 1..=4096),
        "Commands of one socket that may wait for their answers.",
    ),
    setting(
        "streams.max_frame_bytes",
        number(|s| &mut s.streams.max_frame_bytes, 1024..=4 << 20),
        "The longest frame of a client that is read, and of the exchange that is passed on, \
         in bytes.",
    ),
    setting(
        "streams.max_message_bytes",
        number(|s| &mut s.streams.max_upstream_bytes, 4096..=64 << 20),
        "",
    ),
    setting(
        "streams.max_waiting_bytes",
        number(|s| &mut s.streams.max_waiting.bytes, 16 << 10..=1 << 30),
        "Bytes that may wait for a client that reads slowly (beside what the kernel \
         holds, and always one message); beyond it the client is closed (1008), and its \
         upstream socket with it.",
    ),
    setting(
        "streams.login_deadline_ms",
        millis(|s| &mut s.streams.login_deadline, 100..=60_000),
        "A user stream without a valid login is closed after this time.",
    ),
    setting(
        "calls.deadline_ms",
        millis(|s| &mut s.gateway.deadline, 500..=60_000),
        "From a call's arrival to our answer. The old proxy's callers give up after 15 s, so \
         stay below 14500; less than listener.drain_deadline_ms.",
    ),
    setting(
        "calls.max_in_flight",
        number(|s| &mut s.gateway.max_in_flight, 1..=65_536),
        "Calls under way at once; further ones are refused with 503.",
    ),
    setting(
        "calls.order_list_exec_inst",
        Field::Word(&Words {
            field: |s| &mut s.gateway.dialect,
            words: &[
                ("refuse", Dialect::Documented),
                ("flat", Dialect::FlatOrderListExecInst),
            ],
        }),
        "exec_inst as a list inside order_list: the documents do not say how it is signed. \
         \"refuse\" says so to the caller, \"flat\" signs the concatenated items, as the \
         exchange's own client does.",
    ),
    setting_with(
        "calls.signing_lines",
        &["CRYPTO_AUTH_DIAG"],
        Field::Flag(|s| &mut s.gateway.signing_lines),
        "One line per signature in the log, nothing secret in it. Short: CRYPTO_AUTH_DIAG",
    ),
    setting(
        "listener.max_connections",
        number(|s| &mut s.server.max_connections, 8..=65_536),
        "Connections at once: a quarter for those whose caller is not known yet, the rest for callers.",
    ),
    setting(
        "listener.first_request_deadline_ms",
        millis(|s| &mut s.server.first_request_deadline, 100..=120_000),
        "The head of a connection's first request must be complete after this time.",
    ),
    setting(
        "listener.idle_deadline_ms",
        millis(|s| &mut s.server.idle_deadline, 1000..=3_600_000),
        "A kept connection is closed when no further request came for this time; above the \
         callers' own idle time.",
    ),
    setting(
        "listener.max_headers",
        number(|s| &mut s.server.max_headers, 16..=1024),
        "Headers in one request, and the bytes of its head.",
    ),
    setting(
        "listener.max_head_bytes",
        number(|s| &mut s.server.max_head_bytes, LEAST_HEAD_BYTES..=1 << 20),
        "",
    ),
    setting(
        "listener.max_body_bytes",
        number(|s| &mut s.http.max_body_bytes, 1024..=16 << 20),
        "The longest request body in bytes, and the time in which it must arrive.",
    ),
    setting(
        "listener.body_deadline_ms",
        millis(|s| &mut s.http.body_deadline, 100..=60_000),
        "",
    ),
    setting(
        "listener.allowed_origins",
        list(none, |s, item, notes| {
            s.http
                .allowed_origins
                .extend(notes.take(item, items::origin(item)))
        }),
        "Pages whose scripts may open streams, as their browser writes it into Origin: \
         https://page.example, with the port where it is not the usual one. Programs need no \
         entry. Every script of such a page can open market streams from that browser's machine.",
    ),
    setting(
        "listener.drain_deadline_ms",
        millis(|s| &mut s.server.drain_deadline, 1000..=300_000),
        "After the signal to stop, calls under way have this time to end; more than \
         calls.deadline_ms, and at most 20000 as long as the unit says TimeoutStopSec=25.",
    ),
    setting(
        "listener.socket_group",
        Field::Text(|s| &mut s.server.socket_group),
        "The group that may connect to unix sockets; empty leaves the daemon's own.",
    ),
    setting(
        "exchange_v1.deadline_ms",
        millis(|s| &mut s.http.exchange_v1.deadline, 500..=60_000),
        "For clients of the exchange (ccxt, cryptocom-exchange, cdcx): from a call's \
         arrival to our answer. Some of them give up after 5 s and send the order again by \
         themselves, so stay below 4500.",
    ),
    setting(
        "public.sources",
        list(none, |s, item, notes| {
            s.http
                .exchange_v1
                .public_sources
                .extend(notes.take(item, items::network(item)))
        }),
        "Public methods (prices, instruments) below /exchange/v1/public/ need no key, and \
         nothing authenticates who asks. Without networks here they are relayed while the \
         daemon listens on this machine alone, and for nobody otherwise; with networks, for \
         those alone: [\"192.0.2.0/24\"].",
    ),
    setting(
        "public.calls_per_s",
        number(|s| &mut s.http.exchange_v1.public_calls_per_s, 1..=10_000),
        "Public calls in a second from one address.",
    ),
    setting(
        "policy.allow_classes",
        list(none, |s, item, notes| {
            s.policy
                .allow_classes
                .extend(notes.take(item, items::class(item)))
        }),
        "What callers may do. Classes: read, trade, products, transfer, account-admin. Read \
         and trade are allowed by default. These are allowed as well:",
    ),
    setting(
        "policy.deny_classes",
        list(none, |s, item, notes| {
            s.policy
                .deny_classes
                .extend(notes.take(item, items::class(item)))
        }),
        "These are denied, even if allowed elsewhere:",
    ),
    setting(
        "policy.allow_methods",
        list(none, |s, item, notes| {
            s.policy.allow_methods.extend(method(item, notes))
        }),
        "Single methods, as \"private/create-withdrawal\", and channels of the account that are \
         not known here, as \"user.something-new\"; denial beats allowance.",
    ),
    setting(
        "policy.deny_methods",
        list(none, |s, item, notes| {
            s.policy.deny_methods.extend(method(item, notes))
        }),
        "",
    ),
    setting(
        "callers.file",
        Field::Text(|s| &mut s.callers_file),
        "Further callers, each with a token, a virtual key and a policy of its own: \
         crypto-proxy caller add (docs/callers.md). Empty takes callers.toml beside this \
         file, which may be absent; a file that is named here must exist.",
    ),
    setting(
        "egress.enabled",
        Field::Flag(|s| &mut s.egress_enabled),
        "Watches the address that the exchange sees. Off with a stand-in, unless \
         services are named.",
    ),
    setting(
        "egress.services",
        list(
            |_| strings(&SERVICES),
            |s, item, notes| {
                s.egress
                    .services
                    .extend(notes.take(item, items::service(item)))
            },
        ),
        "Services that answer with the caller's address as text. At least two must agree.",
    ),
    setting(
        "egress.interval_s",
        seconds(|s| &mut s.egress.interval, 30..=86_400),
        "Seconds between measurements, and the time one service has.",
    ),
    setting(
        "egress.deadline_ms",
        millis(|s| &mut s.egress.deadline, 100..=30_000),
        "",
    ),
    setting_with(
        "egress.expected",
        &["CRYPTO_EXPECTED_IP", "AWS_INSTANCE_IP"],
        list(none, |s, item, _| s.expected.push(item.to_owned())),
        "The addresses on the key's whitelist, as you entered them, or \"any\". Short: \
         CRYPTO_EXPECTED_IP",
    ),
    setting(
        "reach.enabled",
        Field::Flag(|s| &mut s.reach.enabled),
        "Measures how long name, TCP, TLS and the first byte of a public answer take, and \
         says once when one of them fails. Off beside a stand-in, unless it is switched on.",
    ),
    setting(
        "reach.interval_s",
        seconds(|s| &mut s.reach.interval, 30..=86_400),
        "Seconds between measurements; another is made soon after a call failed to connect, \
         once a minute at most.",
    ),
    setting(
        "orders.add_client_oid",
        Field::Flag(|s| &mut s.gateway.add_client_oid),
        "Gives each order without a client_oid one, so that the proxy can find out what became of it. \
         The order at the exchange then bears that name.",
    ),
    setting(
        "orders.replay_s",
        seconds(|s| &mut s.orders.replay, 0..=86_400),
        "Seconds for which an order that is sent again under its name gets the first answer again; \
         afterwards the name is used up.",
    ),
    setting(
        "history.enabled",
        Field::Flag(|s| &mut s.history.enabled),
        "Keeps the result of every call (no params, no answers) and what changed when, in \
         the state directory, for crypto-proxy history and the diagnosis.",
    ),
    setting(
        "history.max_calls",
        number(|s| &mut s.history.max_calls, 1000..=100_000_000),
        "Calls beyond this number or this age are deleted; changes, and the last good and \
         first bad call of each method, are kept. 1,000,000 calls take about 70 MB.",
    ),
    setting(
        "history.max_age_days",
        days(|s| &mut s.history.max_age, 1..=3650),
        "",
    ),
    setting(
        "log.sink",
        Field::Word(&Words {
            field: |s| &mut s.log.sink,
            words: &[
                ("auto", Sink::Auto),
                ("journal", Sink::Journal),
                ("stderr", Sink::Stderr),
                ("json", Sink::Json),
            ],
        }),
        "\"journal\", \"stderr\" (text), \"json\" (on stderr), or \"auto\": the journal under \
         systemd, else stderr.",
    ),
    setting(
        "log.level",
        Field::Word(&Words {
            field: |s| &mut s.log.level,
            words: &[
                ("error", Level::ERROR),
                ("warn", Level::WARN),
                ("info", Level::INFO),
                ("debug", Level::DEBUG),
                ("trace", Level::TRACE),
            ],
        }),
        "\"error\", \"warn\", \"info\", \"debug\" or \"trace\". No level shows anything \
         secret, and none silences the one line per call.",
    ),
    setting(
        "log.queue_lines",
        number(|s| &mut s.log.queue_lines, 16..=1 << 20),
        "Lines that may wait while the log is slow; further ones are counted and dropped.",
    ),
];
