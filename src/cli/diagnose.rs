//! `crypto-proxy diagnose`: why do calls fail, how sure is that, and what is the one next step?
//!
//! The running daemon is asked, unless `--alone` says otherwise: its credentials are the ones that matter. Guarantees: the
//! sources are read by the daemon's own loader, and the report says whose credentials they are; nothing secret is shown;
//! progress goes to a terminal's stderr only, colour to a terminal's stdout only. Exit codes: 0 healthy, 1 trouble, or no
//! daemon that answers, 64 usage, 69 the exchange was not reached, 78 configuration, or no token that the daemon takes.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use serde::Serialize;

use crate::config::{self, Inspection, Severity, Sources};
use diagnosis::{
    causes::{self, Conclusion, Past, Symptom},
    history::{Problem, Questions},
    history_summary::{recollect, recollect_beside},
    probes::{self, Finding, Findings, Plan, Probe, RUN_DEADLINE, Scope},
    report::{Diagnosis, Report},
};
use gateway::{clock::Clock, connect::Resolver, observed::Expected};

mod daemon;
mod endpoint;
mod html;
mod request;

use endpoint::DaemonEndpoint;

/// Whose credentials a run of this command uses.
const WHOSE: &str =
    "those of the sources below, read by this command; a running daemon may use others";

/// The same for files that are not the daemon's.
const WHOSE_OTHER: &str = "those of the files below";
/// The daemon's environment file is known by this name, wherever it stands.
const DAEMONS_FILE: &str = "crypto.env";

/// What to look at.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct SourceArguments {
    /// The configuration file, instead of /etc/crypto-proxy/config.toml
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// An environment file, instead of /etc/crypto.env; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(super) env_file: Vec<PathBuf>,
}

/// What it is told.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    sources: SourceArguments,
    /// Read the sources itself instead of asking the running daemon
    #[arg(long)]
    alone: bool,
    /// Address of the running daemon, such as http://127.0.0.1:9000 or unix:/run/…, if its settings do not name it
    #[arg(long, value_name = "URL", value_parser = endpoint::parse, conflicts_with = "alone")]
    url: Option<DaemonEndpoint>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also write the status page to a file (mode 0600); - is stdout, and nothing else is printed then
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    html: Option<PathBuf>,
    /// When the key was last updated, as the dashboard shows it, such as 2026-01-31T09:30:00Z; without a zone it is UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    key_updated: Option<u64>,
    /// What you see and this host cannot: only-flagged-orders (reduce_only, post_only), only-margin-orders,
    /// invented-headers (a program sends X-CAPI-… and the like), fails-elsewhere (a program fails, its calls are not in
    /// the record); may be given several times
    #[arg(long, value_name = "WORD", value_parser = symptom)]
    symptom: Vec<Symptom>,
    /// The history's file [default: history.db in $STATE_DIRECTORY or /var/lib/crypto-proxy]. With --alone only
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Also cancel an order that cannot exist, to see whether the key may trade; what it says is only a hint. With --alone
    /// only
    #[arg(long)]
    probe_trade: bool,
}

fn time(text: &str) -> Result<u64, String> {
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let civil = || {
        text.parse::<jiff::civil::DateTime>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
    };
    let at = zoned.or_else(|| civil().map(|zoned| zoned.timestamp()));
    let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    at.ok_or_else(|| "write it as 2026-01-31T09:30:00Z".to_owned())
}

fn symptom(word: &str) -> Result<Symptom, String> {
    let words = || Symptom::ALL.map(Symptom::word).join(", ");
    Symptom::of_word(word).ok_or_else(|| format!("one of {}", words()))
}

/// Runs it.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    if !arguments.alone {
        return daemon::run(arguments);
    }
    let scope = if arguments.probe_trade {
        Scope::WithCancel
    } else {
        Scope::Full
    };
    let local = match LocalRun::at(arguments.sources, scope) {
        Ok(local) => local,
        Err(problem) => return super::fail(1, &problem),
    };
    let db = arguments.db.unwrap_or_else(super::history::default_file);
    let (in_doubt, in_doubt_unread) = match super::history::doubts_beside(&db) {
        Ok(doubts) => (doubts, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let past = Past {
        in_doubt,
        in_doubt_unread,
        key_updated_ms: arguments.key_updated,
        told: arguments.symptom,
        ..local.past(&db)
    };
    let diagnosis = local.diagnosis(past);
    if let Some(target) = &arguments.html {
        if let Err(problem) = html::write(target, &diagnosis, &db) {
            return super::fail(1, &problem);
        }
        if target == Path::new("-") {
            return local.exit_code(diagnosis.ranking.conclusion);
        }
    }
    let report = Report::of(&diagnosis);
    let shown = show(&report, &report, arguments.json);
    super::after_writing(shown, local.exit_code(diagnosis.ranking.conclusion))
}

/// Prints a report, as the words or as the object.
fn show(report: &Report, json: &impl Serialize, as_json: bool) -> io::Result<()> {
    if as_json {
        return super::print_json(json);
    }
    let text = report.text(super::paint(), super::columns(80));
    io::stdout().lock().write_all(text.as_bytes())
}

/// The exit code of a conclusion.
fn conclude(conclusion: Conclusion) -> ExitCode {
    match conclusion {
        Conclusion::Healthy => ExitCode::SUCCESS,
        Conclusion::Trouble => ExitCode::FAILURE,
        Conclusion::Unreachable => ExitCode::from(super::UNREACHABLE),
        Conclusion::Unusable => ExitCode::from(super::CONFIGURATION),
    }
}

/// What was found with the sources of this process.
pub(super) struct LocalRun {
    pub(super) examined: Inspection,
    pub(super) findings: Findings,
    /// Whether only files were named that are not the daemon's.
    of_another: bool,
}

impl LocalRun {
    /// Loads the sources and makes the probes.
    pub(super) fn at(sources: SourceArguments, scope: Scope) -> anyhow::Result<Self> {
        let of_another = !sources.env_file.is_empty()
            && !sources
                .env_file
                .iter()
                .any(|file| file.ends_with(DAEMONS_FILE));
        let sources = Sources::from_process(sources.config).of_the_unit(sources.env_file);
        let examined = config::inspect(&sources);
        let probing = examined.probing.as_ref();
        let plan = Plan {
            facts: examined.pair.clone(),
            ready: probing.map(|probing| probing.ready.clone()),
            expected: probing.map_or(Expected::Unstated, |probing| probing.expected.clone()),
            scope,
            deadline: RUN_DEADLINE,
            clock: Clock::system(),
            resolver: Resolver::system(),
            live: Arc::default(),
        };
        let runtime = super::runtime()?;
        let shown = io::stderr().is_terminal();
        let findings = runtime.block_on(probes::run(&plan, &|finding| {
            if shown {
                show_progress(finding)
            }
        }));
        if shown {
            anstream::eprint!("\r\u{1b}[K");
        }
        // A look-up that hangs in the system's resolver must not keep us.
        runtime.shutdown_background();
        Ok(Self {
            examined,
            findings,
            of_another,
        })
    }

    /// What stands behind it, with what is known from before.
    pub(super) fn diagnosis(&self, past: Past) -> Diagnosis {
        let findings = self.findings.clone();
        let ranking = causes::rank(&findings, &past);
        let whose = match &past.daemons_own {
            Some(own) => format!(
                "{WHOSE_OTHER}: another pair than the daemon's (key {}); {}",
                own.key_fp,
                own.describe()
            ),
            None => WHOSE.to_owned(),
        };
        Diagnosis {
            findings,
            ranking,
            past,
            whose,
            problems: self.problems(),
        }
    }

    /// What the daemon's history knows of this pair; where it cannot be read, why.
    pub(super) fn past(&self, path: &Path) -> Past {
        let pair = self
            .examined
            .probing
            .as_ref()
            .map(|probing| &probing.ready.credentials);
        let now_ms = self.findings.at_ms;
        let read = Questions::open(path).and_then(|history| match pair {
            Some(pair) if self.of_another => recollect_beside(&history, now_ms, pair),
            _ => recollect(&history, now_ms, pair),
        });
        read.unwrap_or_else(|problem| {
            let denied = matches!(&problem, Problem::File(error) if error.kind() == io::ErrorKind::PermissionDenied);
            let remedy = if denied { "; it is for root: sudo crypto-proxy diagnose --alone" } else { "" };
            Past { unread: Some(format!("{}: {problem}{remedy}", path.display())), ..Past::default() }
        })
    }

    /// What the loader complains about, where the daemon would not start. Of a file that is not the daemon's nobody starts
    /// one, and it needs nothing but a pair.
    pub(super) fn problems(&self) -> Vec<String> {
        if self.is_enough() {
            return Vec::new();
        }
        let errors = self
            .examined
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        errors.map(ToString::to_string).collect()
    }

    /// The exit code of a conclusion; what the daemon cannot start with is never good.
    pub(super) fn exit_code(&self, conclusion: Conclusion) -> ExitCode {
        if self.examined.config.is_none() && !self.is_enough() {
            return ExitCode::from(super::CONFIGURATION);
        }
        conclude(conclusion)
    }

    /// Whether there is all that a file needs that is not the daemon's: a pair to probe with.
    const fn is_enough(&self) -> bool {
        self.of_another && self.examined.probing.is_some()
    }
}

fn show_progress(finding: &Finding) {
    let of = Probe::ALL.len();
    let number = Probe::ALL
        .iter()
        .position(|probe| *probe == finding.probe)
        .map_or(of, |position| position + 1);
    anstream::eprint!("\r\u{1b}[K{number}/{of} {}", finding.probe.name());
}
