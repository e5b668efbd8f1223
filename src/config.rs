//! Settings and credentials, read from their sources and checked: raw → [`Config`].
//!
//! Only a [`Config`] in which every value is valid leaves this module. All [`Problems`] are reported together, each with
//! its key, source and remedy. Nothing that can be printed (problems, report, `Debug`) holds a part of a key, a secret or
//! a token. Precedence, rising: defaults, the configuration file, `CRYPTO_PROXY__SECTION__KEY`, the variables with names
//! of their own. A file that exists and cannot be used is an error; the defaults never stand in for it. Nothing here
//! touches the network, changes the environment or writes a file.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    callers::CallerFiles,
    http,
    server::{self, Address},
    telemetry,
};
use diagnosis::{
    egress, history,
    probes::{CredentialFacts, Ready},
    reach, runner,
};
use gateway::{
    auth::{Caller, Callers},
    clock::Clock,
    connect::Resolver,
    observed::Expected,
    policy::Policy,
    redact::LeakSearch,
    secret::{Credentials, TokenDigest},
    stream::{self, StreamBase},
    upstream::{self, BaseUrl},
};

mod callers;
mod credentials;
mod env_file;
mod items;
mod limits;
mod load;
mod names;
mod normalize;
mod redact;
mod report;
mod secret_files;
mod settings;
mod sources;
mod table;
mod unit;
mod variables;

#[cfg(test)]
mod tests;

pub use self::{
    callers::PendingRevocations,
    credentials::DiagnosisToken,
    normalize::{KeyMatch, PastedKey},
    report::{CONFIGURATION_FILE, FileState, Origin, Problem, Problems, Report, Row, Severity},
    sources::{DEFAULT_CONFIG_FILE, DEFAULT_ENV_FILE, RunAs, Sources},
    unit::{EnvironmentFile, Unit},
};
use self::{
    credentials::{CredentialRules, Published},
    redact::Redactor,
    report::one_line,
    settings::Loaded,
    table::Settings,
    variables::{GuardedBy, Variables},
};

/// The name of the caller that the token of the environment belongs to.
pub const DEFAULT_CALLER: &str = "default";
/// The name of the caller that shows the diagnosis token.
pub const OPERATOR: &str = "operator";

/// Everything that the daemon is built from, valid. Nothing is opened, bound or started by it.
pub struct Config {
    /// The pair that signs.
    pub credentials: Credentials,
    /// The key's name on the exchange's dashboard, as the operator gave it.
    pub key_label: Option<String>,
    /// What the load found out about the pair, for a diagnosis.
    pub pair: CredentialFacts,
    /// Who may call, and what.
    pub callers: Callers,
    /// What must be stored about issued callers before the daemon serves.
    pub pending_revocations: Option<PendingRevocations>,
    /// How the exchange is reached.
    pub upstream: upstream::Settings,
    /// How streams behave.
    pub streams: stream::Settings,
    /// How calls are carried out.
    pub gateway: gateway::Settings,
    /// How the HTTP endpoints behave.
    pub http: http::Settings,
    /// How the listener behaves.
    pub server: server::Settings,
    /// How our outbound address is watched.
    pub egress: egress::Settings,
    /// How the connection to the exchange is watched.
    pub reach: reach::Settings,
    /// The addresses that the operator says are on the key's whitelist.
    pub expected: Expected,
    /// How often and how long the daemon diagnoses.
    pub runner: runner::Settings,
    /// Where the daemon may keep state.
    pub state_dir: Option<PathBuf>,
    /// How much history is kept.
    pub history: history::Settings,
    /// What the order journal keeps.
    pub orders: ledger::Settings,
    /// A digest of the effective settings, so that the history sees them change.
    pub configuration: String,
    /// Short warnings that stay in `GET /ready`. Anybody may read them: they hold no secret and no value.
    pub standing_warnings: Vec<String>,
    /// The time. Tests set another.
    pub clock: Clock,
    /// Names to addresses. Tests set another.
    pub resolver: Resolver,
    /// Where log lines go.
    pub log: telemetry::Settings,
    /// Problems that do not keep the daemon from starting.
    pub warnings: Vec<Problem>,
    /// Every effective setting with its source, redacted.
    pub report: Report,
}

impl fmt::Debug for Config {
    /// Shows the redacted report only: a credential may have been pasted into any setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// A daemon with every default, for these credentials, callers and exchange: nothing is watched, no state is kept.
    #[must_use]
    pub fn new(credentials: Credentials, callers: Callers, base: BaseUrl) -> Self {
        let defaults = Settings::default();
        let pair = CredentialFacts {
            fingerprint: Some(credentials.key.fingerprint()),
            ..CredentialFacts::default()
        };
        Self {
            credentials,
            key_label: None,
            pair,
            callers,
            pending_revocations: None,
            streams: stream::Settings::new(StreamBase::beside(&base)),
            upstream: upstream::Settings::new(base),
            gateway: defaults.gateway,
            http: defaults.http,
            server: server::Settings::default(),
            egress: egress::Settings::off(),
            reach: reach::Settings::off(),
            expected: Expected::Unstated,
            runner: runner::Settings::default(),
            state_dir: None,
            history: defaults.history,
            orders: defaults.orders,
            configuration: String::new(),
            standing_warnings: Vec::new(),
            clock: Clock::system(),
            resolver: Resolver::system(),
            log: defaults.log,
            warnings: Vec::new(),
            report: Report::default(),
        }
    }

    /// One line per warning, for the log at every start.
    #[must_use]
    pub fn startup_warnings(&self) -> Vec<String> {
        self.warnings.iter().map(ToString::to_string).collect()
    }
}

/// What the sources hold, usable or not.
#[derive(Debug)]
pub struct Inspection {
    /// The configuration, where nothing keeps the daemon from starting.
    pub config: Option<Config>,
    /// Errors and warnings.
    pub problems: Problems,
    /// Every effective setting with its source, redacted; defaults stand in for what cannot be used.
    pub report: Report,
    /// What the load found out about the pair, for a diagnosis.
    pub pair: CredentialFacts,
    /// What a diagnosis probes with. It is present also where only a caller's token is missing.
    pub probing: Option<Probing>,
    /// The API key where it is usable, whatever else is wrong.
    pub key: Option<KeyFacts>,
    /// Every secret of these sources, to search for in what is about to leave the process.
    pub leaks: LeakSearch,
    /// Whether nothing was found: no readable file and no variable of ours.
    pub found_nothing: bool,
    /// Where the running daemon is found.
    pub endpoint: DaemonEndpoint,
    /// The files that hold the issued callers.
    pub caller_files: CallerFiles,
    redactor: Redactor,
}

impl Inspection {
    /// Adds what else keeps the daemon from starting, about a setting; nothing of a credential is shown by it.
    pub fn refuse(&mut self, setting: &str, text: &str, remedy: &str) {
        let row = self.report.settings.iter().find(|row| row.key == setting);
        let origin = row.map_or(Origin::Default, |row| row.source.clone());
        self.problems.error(setting, &origin, text, remedy);
        self.redactor.apply_to_problems(&mut self.problems);
        self.config = None;
    }

    /// Counts the callers instead of naming them.
    pub fn forget_caller_names(&mut self) {
        redact::forget_caller_names(&mut self.report, &mut self.problems);
    }
}

/// Where a running daemon listens, and the token that opens its diagnosis.
#[derive(Clone, Debug)]
pub struct DaemonEndpoint {
    /// Where it listens.
    pub listen: Vec<Address>,
    /// The diagnosis token, if a usable one is configured.
    pub token: Option<DiagnosisToken>,
}

/// What a diagnosis without a daemon probes with.
pub struct Probing {
    /// The pair, how the exchange is reached, and the services that tell our address.
    pub ready: Ready,
    /// The operator's statement about the whitelist.
    pub expected: Expected,
}

impl fmt::Debug for Probing {
    /// Nothing of it: a credential may have been pasted into any setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probing").finish_non_exhaustive()
    }
}

/// What may be shown of an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its name on the exchange's dashboard, as the operator gave it.
    pub label: Option<String>,
    /// The variable that holds it, and where that stands.
    pub source: (String, Origin),
}

/// Loads the configuration.
///
/// # Errors
/// [`Problems`], errors and warnings, where there is at least one error.
pub fn load(sources: &Sources) -> Result<Config, Problems> {
    let inspection = inspect(sources);
    inspection.config.ok_or(inspection.problems)
}

/// Loads the configuration, and keeps everything else that was found.
#[must_use]
pub fn inspect(sources: &Sources) -> Inspection {
    inspect_with(Published::list(), sources)
}

fn inspect_with(published: &Published, sources: &Sources) -> Inspection {
    let mut problems = Problems::default();
    let variables = secret_files::read(
        variables::read(sources, &mut problems),
        sources,
        &mut problems,
    );
    load::check_unknown(&variables, &mut problems);
    let raw = load::read(sources, &variables, &mut problems);
    let Loaded {
        settings,
        expected,
        rows,
    } = settings::read(&raw, sources, &mut problems);
    let rules = CredentialRules {
        published,
        exchange: settings::exchange(&settings.upstream.base),
        reach: settings::reach(&settings.server.listen),
        place: &sources.place_to_set_variables(),
    };
    let caller_files = callers::files(sources, settings.callers_file.as_deref());
    let mut issued = callers::load(caller_files.clone(), sources, &mut problems);
    let mut report = Report {
        sources: sources.describe(),
        credentials: Vec::new(),
        callers: issued.rows.clone(),
        settings: rows,
    };
    let found = credentials::load(
        &variables,
        rules,
        &issued,
        &mut report.credentials,
        &mut problems,
    );
    let probing = match &found.pair {
        Some(pair) if found.can_probe => Some(Probing {
            ready: Ready {
                credentials: pair.clone(),
                upstream: settings.upstream.clone(),
                egress: settings.egress.clone(),
            },
            expected: expected.clone(),
        }),
        _ => None,
    };
    let endpoint = DaemonEndpoint {
        listen: settings.server.listen.clone(),
        token: found.diagnosis,
    };
    report.credentials.extend(label_row(&variables));
    let roots = sources::Roots {
        file: settings.upstream.ca_file.as_deref(),
        origin: raw.origin("upstream.ca_file"),
        are_needed: settings.is_encrypted(),
    };
    sources::check_access(sources, roots.file, &mut problems);
    sources::check_roots(sources, &roots, &mut problems);
    sources::check_writers(sources, &caller_files, roots.file, &mut problems);
    let redactor = withhold(&variables, &mut problems, &mut report);
    let pair = credentials::pair_facts(&variables, &problems, &report, found.fingerprint);
    let key_label = pair.label.clone();
    let key = match &found.pair {
        Some(pair) => key_facts(pair, &report, key_label.clone()),
        None => None,
    };
    let pending_revocations = issued.pending_revocations.take();
    let mut leaks = redact::leaks(&variables);
    leaks.join(std::mem::take(&mut issued.leaks));
    let config = match found.pair {
        Some(credentials) if problems.allow_start() => {
            let diagnosing = endpoint.token.as_ref();
            let callers = callers_of_the_environment(found.token, diagnosing, settings.policy);
            let callers = issued.add_to(callers);
            let base = settings.upstream.base.clone();
            Some(Config {
                key_label,
                pair: pair.clone(),
                pending_revocations,
                upstream: settings.upstream,
                streams: settings.streams,
                gateway: settings.gateway,
                http: settings.http,
                server: settings.server,
                egress: settings.egress,
                reach: settings.reach,
                expected,
                state_dir: sources.state_directory.clone(),
                history: settings.history,
                orders: settings.orders,
                configuration: report.digest(),
                standing_warnings: problems.ready(),
                log: settings.log,
                warnings: problems.warnings().cloned().collect(),
                report: report.clone(),
                ..Config::new(credentials, callers, base)
            })
        }
        _ => None,
    };
    let found_nothing = variables.iter().next().is_none()
        && !report
            .sources
            .iter()
            .any(|row| row.file == Some(FileState::Read));
    Inspection {
        config,
        problems,
        report,
        pair,
        probing,
        key,
        leaks,
        found_nothing,
        endpoint,
        caller_files,
        redactor,
    }
}

fn key_facts(
    credentials: &Credentials,
    report: &Report,
    label: Option<String>,
) -> Option<KeyFacts> {
    let row = report.credentials.first()?;
    let source = (row.key.clone(), row.source.clone());
    Some(KeyFacts {
        fingerprint: credentials.key.fingerprint(),
        label,
        source,
    })
}

/// Without a token there is no default caller. Then others were issued, or the daemon does not start.
fn callers_of_the_environment(
    token: Option<TokenDigest>,
    diagnosing: Option<&DiagnosisToken>,
    policy: Policy,
) -> Callers {
    let caller = Arc::new(Caller {
        name: DEFAULT_CALLER.into(),
        policy,
    });
    let callers = Callers::new(token.map(|token| (token, caller)).into_iter().collect());
    match diagnosing {
        Some(shown) => callers.with_diagnosing(shown.digest(), OPERATOR),
        None => callers,
    }
}

fn label_row(variables: &Variables) -> Option<Row> {
    let variable = variables.find(names::LABEL)?;
    let shown = one_line(variable.value.trim());
    Some(Row::new(names::LABEL, shown, variable.origin.clone()))
}

fn withhold(variables: &Variables, problems: &mut Problems, report: &mut Report) -> Redactor {
    let mut redactor = Redactor::default();
    for (_, variable) in variables.iter().filter(|(name, _)| names::is_secret(name)) {
        redactor.add(&variable.value);
    }
    redactor.apply_to_problems(problems);
    redactor.apply_to_report(report);
    redactor
}

/// A pair and the variable it was found in.
#[derive(Debug)]
pub struct FilePair {
    /// The name of the key's variable.
    pub name: &'static str,
    /// The pair.
    pub credentials: Credentials,
}

/// Reads the first complete pair of one environment file, to compare it with another file's. [`inspect`] reports what is
/// wrong with it.
#[must_use]
pub fn pair_of_file(path: &Path) -> Option<FilePair> {
    let layer = variables::read_env_file(path, GuardedBy::Mode, &mut Problems::default())?;
    credentials::pair_of(&[layer])
}

/// Reads the pair that the daemon would take from these sources, whether it would start with it or not.
#[must_use]
pub fn pair_of_sources(sources: &Sources) -> Option<FilePair> {
    let mut problems = Problems::default();
    let variables = variables::read(sources, &mut problems);
    credentials::pair_of(&secret_files::read(variables, sources, &mut problems).layers)
}
