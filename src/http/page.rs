//! The status page: what works now, what changed, and the likeliest cause, as one page of HTML without a script.
//!
//! Guarantees: made of typed values that were gathered before; every text from outside loses its control characters and
//! is escaped by the template; no params, no amounts, no order ids, nothing secret; its style is its own and named by a
//! digest in the [`policy`](Style::policy), and nothing else may load. Does not: read a file or ask anybody, except in
//! [`RecentHistory::read`]; decide who may see it.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use askama::Template;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use diagnosis::{
    causes::{Cause, Conclusion, Likelihood},
    hint::Given,
    probes::{Environment, Probe, Target},
    reach::Reachability,
    report::Diagnosis,
};
use gateway::observed::{ClockSkew, Expected, Observed};

mod chart;
mod facts;
mod findings;
mod headline;
mod matrix;
mod recent;
#[cfg(test)]
mod tests;
mod text;

pub use headline::Health;
pub use recent::RecentHistory;
pub use text::{Moment, Text, TextPart};

use chart::Chart;
use facts::Fact;
use findings::DiagnosisShown;
use headline::Headline;
use matrix::MethodRow;
use recent::{ChangeShown, FailureShown};

static STYLE: LazyLock<Style> = LazyLock::new(|| Style::new(include_str!("templates/status.css")));

/// What does not change while a daemon runs, and whether it is stopping.
#[derive(Clone, Debug, Default)]
pub struct DaemonFacts {
    /// The fingerprint of the API key in use.
    pub fingerprint: Option<String>,
    /// The key's name on the dashboard, as the operator gave it.
    pub label: Option<String>,
    /// Where the pair was read.
    pub source: Option<String>,
    /// Where calls go.
    pub target: Option<Target>,
    /// Since when this daemon runs, in milliseconds since 1970; `None`: no daemon shows this.
    pub up_since_ms: Option<u64>,
    /// What the operator should know, from the configuration.
    pub warnings: Vec<String>,
}

/// What was observed of our address, the clock and the connection, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// The confirmed outbound address, and when it was confirmed, in milliseconds since 1970.
    pub address: Option<(IpAddr, u64)>,
    /// The operator's statement about the whitelist.
    pub expected: Expected,
    /// The exchange's clock against ours.
    pub skew: Option<ClockSkew>,
    /// Whether the last attempts to reach the exchange all failed.
    pub unreachable: bool,
    /// How the connection to the exchange was measured last, where it is watched.
    pub reach: Option<Arc<Reachability>>,
}

impl Observations {
    /// What the cells hold now.
    #[must_use]
    pub fn of(observed: &Observed, now_ms: u64) -> Self {
        let age_ms = |age: std::time::Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let address = observed
            .outbound()
            .map(|seen| (seen.address, now_ms.saturating_sub(age_ms(seen.age()))));
        Self {
            address,
            expected: observed.expected().clone(),
            skew: observed.skew().estimate(),
            unreachable: observed.is_unreachable(),
            reach: None,
        }
    }

    /// With the last measurement of the connection to the exchange.
    #[must_use]
    pub fn reached(self, reach: Option<Arc<Reachability>>) -> Self {
        Self { reach, ..self }
    }

    /// What one run of the probes saw.
    #[must_use]
    pub fn of_diagnosis(diagnosis: &Diagnosis) -> Self {
        let findings = &diagnosis.findings;
        Self {
            address: findings
                .outbound(Probe::Outbound)
                .map(|address| (address, findings.at_ms)),
            expected: findings.expected.clone(),
            skew: findings.skew(),
            unreachable: diagnosis.ranking.conclusion == Conclusion::Unreachable,
            // The run's own findings stand on the page, with their times.
            reach: None,
        }
    }

    /// The address, where the operator does not name it.
    fn drift(&self) -> Option<IpAddr> {
        let (address, _) = self.address?;
        (diagnosis::probes::is_expected(&self.expected, address) == Some(false)).then_some(address)
    }
}

/// What was said of a call that failed lately.
#[derive(Clone, Debug)]
pub struct HintShown {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The method of the call.
    pub method: String,
    /// The likeliest cause.
    pub cause: Cause,
    /// How likely it is.
    pub likelihood: Likelihood,
    /// Causes that are not excluded.
    pub alternatives: Vec<Cause>,
    /// What to do next.
    pub next: String,
}

impl HintShown {
    /// A hint, seen from now.
    #[must_use]
    pub fn of(given: &Given, now_ms: u64) -> Self {
        let age_ms = u64::try_from(given.age().as_millis()).unwrap_or(u64::MAX);
        Self {
            at_ms: now_ms.saturating_sub(age_ms),
            method: given.method.clone(),
            cause: given.hint.cause,
            likelihood: given.hint.likelihood,
            alternatives: given.hint.alternatives.clone(),
            next: given.hint.next.clone(),
        }
    }
}

/// What the history says, or why it says nothing.
#[derive(Clone, Copy, Debug)]
pub enum HistoryState<'a> {
    /// None is kept.
    Off,
    /// It cannot be read, and why.
    Unread(&'a str),
    /// This.
    Read(&'a RecentHistory),
}

impl<'a> HistoryState<'a> {
    const fn recent(self) -> Option<&'a RecentHistory> {
        if let Self::Read(recent) = self {
            Some(recent)
        } else {
            None
        }
    }
}

/// Everything the page is made of.
#[derive(Clone, Copy, Debug)]
pub struct PageInput<'a> {
    /// The daemon and its key.
    pub about: &'a DaemonFacts,
    /// The last diagnosis.
    pub diagnosis: Option<&'a Diagnosis>,
    /// The last hints, newest first.
    pub hints: &'a [HintShown],
    /// What is known from outside.
    pub outside: &'a Observations,
    /// What the history says.
    pub memory: HistoryState<'a>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Where the page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageForm {
    /// In a browser, from the daemon: it asks again by itself.
    Served,
    /// In a file: it stays as it is, and carries its policy with it.
    File,
}

/// The page, ready to be rendered.
#[derive(Debug, Template)]
#[template(path = "status.html")]
pub struct StatusPage {
    place: PageForm,
    version: &'static str,
    made: Moment,
    environment: Option<(&'static str, Text)>,
    headline: Headline,
    rows: Vec<MethodRow>,
    more_methods: usize,
    charts: Vec<Chart>,
    facts: Vec<Fact>,
    diagnosed: Option<DiagnosisShown>,
    changes: Vec<ChangeShown>,
    failures: Vec<FailureShown>,
    memory: Text,
}

impl StatusPage {
    /// Puts together what is known.
    #[must_use]
    pub fn of(known: &PageInput<'_>, place: PageForm) -> Self {
        let now_ms = known.now_ms;
        let recent = known.memory.recent();
        let (rows, more_methods) = matrix::rows(known);
        let changes = recent
            .map(|recent| recent.changes_shown(now_ms))
            .unwrap_or_default();
        Self {
            place,
            version: env!("CARGO_PKG_VERSION"),
            made: Moment::at(now_ms, now_ms),
            environment: known.about.target.as_ref().map(environment),
            headline: Headline::of(known, &rows),
            charts: recent
                .map(|recent| Chart::both(recent, now_ms))
                .unwrap_or_default(),
            facts: facts::list(known),
            diagnosed: known
                .diagnosis
                .map(|diagnosis| findings::shown(diagnosis, now_ms)),
            failures: recent
                .map(|recent| recent.failures_shown(now_ms))
                .unwrap_or_default(),
            memory: memory(known),
            rows,
            more_methods,
            changes,
        }
    }

    /// How things stand.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.headline.health
    }

    /// As HTML; where the template cannot be filled, which nothing in it can cause, as the reason.
    #[must_use]
    pub fn html(&self) -> String {
        self.render()
            .unwrap_or_else(|error| Text::of(error.to_string()).to_string())
    }

    fn is_served(&self) -> bool {
        self.place == PageForm::Served
    }

    fn policy(&self) -> &'static str {
        Style::own().policy_of_a_file()
    }

    fn style(&self) -> &'static str {
        Style::own().sheet()
    }
}

fn environment(target: &Target) -> (&'static str, Text) {
    let word = match target.environment {
        Environment::Production => "production",
        Environment::Uat => "UAT",
        Environment::FakeExchange => "stand-in",
        Environment::Other => "other host",
    };
    (word, Text::of(&target.host))
}

fn memory(known: &PageInput<'_>) -> Text {
    match known.memory {
        HistoryState::Off => {
            Text::of("No history is kept: what happened before is not known here.")
        }
        HistoryState::Unread(why) => Text::of(format!("The history cannot be read: {why}.")),
        HistoryState::Read(recent) => match recent.begins_ms {
            Some(begins_ms) => Text::of(format!(
                "No history before {}.",
                Moment::at(begins_ms, known.now_ms).whole()
            )),
            None => Text::of("The history is empty."),
        },
    }
}

/// A style sheet, and the policy that lets a browser load it and nothing else.
///
/// The digest in the policy is that of the sheet as it stands in the page. No script, no font, no frame and no form is
/// allowed, and no image but the one in the browser's tab, which stands in the page itself.
#[derive(Debug)]
pub struct Style {
    sheet: &'static str,
    policy: String,
    policy_of_a_file: String,
}

impl Style {
    /// That of the page.
    #[must_use]
    pub fn own() -> &'static Self {
        &STYLE
    }

    fn new(sheet: &'static str) -> Self {
        let digest = STANDARD.encode(Sha256::digest(sheet));
        let policy_of_a_file = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
        );
        let policy = format!("{policy_of_a_file}; frame-ancestors 'none'");
        Self {
            sheet,
            policy,
            policy_of_a_file,
        }
    }

    /// The sheet, as it stands between the tags.
    #[must_use]
    pub const fn sheet(&self) -> &'static str {
        self.sheet
    }

    /// The `Content-Security-Policy` of an answer.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The same for a file; who may frame it can only be said in a header.
    #[must_use]
    pub fn policy_of_a_file(&self) -> &str {
        &self.policy_of_a_file
    }
}
