//! The status page: what works now, what changed, and the likeliest cause, as one page of HTML without a script.
//!
//! Guarantees: made of typed values that were gathered before; every text from outside loses its control characters and is
//! escaped by the template; no params, no amounts, no order ids but those of calls in doubt, nothing secret; its style is
//! its own and named by a digest in the [`policy`](Style::policy), and nothing else may load. Does not: read a file or ask
//! anybody, except in [`RecentHistory::read`]; decide who may see it.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use askama::Template;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use diagnosis::{
    causes::{Conclusion, Likelihood, Standing},
    doubt::{Doubt, JournalAway},
    hint::Given,
    history::End,
    probes::{Environment, Grade, Target},
    reach::Reachability,
    report::Diagnosis,
};
use gateway::observed::{ClockSkew, Expected, Observed};

mod chart;
mod facts;
mod headline;
mod matrix;
mod recent;
#[cfg(test)]
mod tests;
mod text;

pub use headline::Health;
pub use recent::RecentHistory;
pub(super) use text::{PageEscaper, TextPart};

use chart::Chart;
use facts::Fact;
use headline::Headline;
use matrix::MethodRow;
use text::Moment;

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
    pub fn of(observed: &Observed, reach: Option<Arc<Reachability>>, now_ms: u64) -> Self {
        let age_ms = |age: std::time::Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let address = observed
            .outbound()
            .map(|seen| (seen.address, now_ms.saturating_sub(age_ms(seen.age()))));
        Self {
            address,
            expected: observed.expected().clone(),
            skew: observed.skew().estimate(),
            unreachable: observed.is_unreachable(),
            reach,
        }
    }

    /// What one run of the probes saw.
    #[must_use]
    pub fn of_diagnosis(diagnosis: &Diagnosis) -> Self {
        let findings = &diagnosis.findings;
        Self {
            address: findings
                .our_address()
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

/// Everything the page is made of.
#[derive(Clone, Copy, Debug)]
pub struct PageInput<'a> {
    /// The daemon and its key.
    pub about: &'a DaemonFacts,
    /// The last diagnosis.
    pub diagnosis: Option<&'a Diagnosis>,
    /// The last hints, newest first.
    pub hints: &'a [Given],
    /// What is known from outside.
    pub outside: &'a Observations,
    /// The calls that may have been executed, oldest first.
    pub in_doubt: &'a [Doubt],
    /// Why there may be others, where the order journal could not be read.
    pub in_doubt_unread: Option<&'a str>,
    /// That the order journal takes no entry.
    pub journal_away: Option<&'a JournalAway>,
    /// What the history says, `None` where none is kept; or why it cannot be read.
    pub history: &'a Result<Option<RecentHistory>, String>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

impl<'a> PageInput<'a> {
    fn recent(&self) -> Option<&'a RecentHistory> {
        self.history.as_ref().ok()?.as_ref()
    }
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
pub struct StatusPage<'a> {
    known: PageInput<'a>,
    place: PageForm,
    version: &'static str,
    headline: Headline,
    rows: Vec<MethodRow>,
    more_methods: usize,
    charts: Vec<Chart>,
    facts: Vec<Fact>,
    memory: String,
}

impl<'a> StatusPage<'a> {
    /// Puts together what is known.
    #[must_use]
    pub fn of(known: PageInput<'a>, place: PageForm) -> Self {
        let (rows, more_methods) = matrix::rows(&known);
        Self {
            place,
            version: env!("CARGO_PKG_VERSION"),
            headline: Headline::of(&known, &rows),
            charts: known
                .recent()
                .map(|recent| Chart::both(recent, known.now_ms))
                .unwrap_or_default(),
            facts: facts::list(&known),
            memory: memory(&known),
            rows,
            more_methods,
            known,
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
            .unwrap_or_else(|error| ::text::line(&error.to_string()))
    }

    fn at(&self, ms: u64) -> Moment {
        Moment::at(ms, self.known.now_ms)
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

const fn environment(target: &Target) -> &'static str {
    match target.environment {
        Environment::Production => "production",
        Environment::Uat => "UAT",
        Environment::FakeExchange => "stand-in",
        Environment::Other => "other host",
    }
}

/// The word for a finding, and its class in the style sheet.
const fn grade(grade: Grade) -> (&'static str, &'static str) {
    match grade {
        Grade::Good => ("ok", "is-good"),
        Grade::Remark => ("note", "is-note"),
        Grade::Bad => ("BAD", "is-bad"),
        Grade::Skipped => ("not made", "is-quiet"),
    }
}

fn memory(known: &PageInput<'_>) -> String {
    match known.history {
        Ok(None) => "No history is kept: what happened before is not known here.".to_owned(),
        Err(why) => format!("The history cannot be read: {why}."),
        Ok(Some(recent)) => match recent.begins_ms {
            Some(begins_ms) => {
                let begins = Moment::at(begins_ms, known.now_ms).whole();
                format!("No history before {begins}.")
            }
            None => "The history is empty.".to_owned(),
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
