//! A diagnosis, for people and for programs.
//!
//! A [`Diagnosis`] is typed. A [`Report`] is the same in words: it travels as JSON, and a terminal shows it line by line,
//! each a text with a role. Guarantees: text and JSON have the same words, wherever the diagnosis was made; each cause has
//! its place in the operator's manual. Does not: print, decide about colour, or trust what it was read from: unsafe
//! characters are taken out where it is shown.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use text::time::rfc3339;

use super::{
    causes::{Change, Conclusion, Event, Past, Ranked, Ranking, Standing},
    doubt::Doubt,
    history::LastStart,
    probes::{Finding, Findings, Seen},
};
use gateway::observed::Expected;

mod lines;
mod terminal;

pub use terminal::Paint;

/// What a run of the probes saw, and what it comes to.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What the probes saw.
    pub findings: Findings,
    /// What stands behind it.
    pub ranking: Ranking,
    /// What was known from before.
    pub past: Past,
    /// Whose credentials were used, in words.
    pub whose: String,
    /// What the loader of the configuration complains about.
    pub problems: Vec<String>,
}

impl Conclusion {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Trouble => "trouble",
            Self::Unreachable => "unreachable",
            Self::Unusable => "unusable",
        }
    }

    /// The conclusion of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [
            Self::Healthy,
            Self::Trouble,
            Self::Unreachable,
            Self::Unusable,
        ];
        all.into_iter().find(|conclusion| conclusion.word() == word)
    }
}

/// A diagnosis in words: what travels from the daemon to the command that asked it, and what both show.
///
/// Members that are missing are empty, and members that are not known are passed over: the daemon and the command may be
/// of different versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The version of the program that looked.
    pub version: String,
    /// When, in UTC.
    pub at: String,
    /// How long it took.
    pub took_ms: u64,
    /// Whose credentials were used.
    pub credentials_of: String,
    /// Where they were looked for.
    pub looked_at: Vec<String>,
    /// Where calls go.
    pub base_url: Option<String>,
    /// What the loader of the configuration complains about.
    pub problems: Vec<String>,
    /// What the probes saw, in the order of the matrix.
    pub findings: Vec<FindingLine>,
    /// The word for what the run comes to.
    pub conclusion: String,
    /// The calls that may have been executed, oldest first.
    pub in_doubt: Vec<DoubtLine>,
    /// Why it is not known whether calls are in doubt, where it is not.
    pub in_doubt_unread: Option<String>,
    /// The causes that stand, likeliest first.
    pub causes: Vec<CauseLine>,
    /// The codes of those at the top that cannot be told apart, where there are several.
    pub cannot_be_told_apart: Vec<String>,
    /// The causes that a finding excludes.
    pub ruled_out: Vec<CauseLine>,
    /// Since when there is a history, in UTC.
    pub history_since: Option<String>,
    /// Why the history could not be read, where it could not.
    pub history_unread: Option<String>,
    /// The last private call that was accepted.
    pub last_good: Option<EventLine>,
    /// The first one that was refused since.
    pub first_bad: Option<EventLine>,
    /// What changed, oldest first.
    pub changes: Vec<ChangeLine>,
    /// The last start of a daemon that the history knows.
    pub daemon_last_start: Option<StartLine>,
    /// What the history knows, in one paragraph.
    pub history: String,
    /// The one next step.
    pub next_step: String,
    /// What a good run leaves open.
    pub not_tried: Option<String>,
}

/// A finding in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindingLine {
    /// The probe.
    pub probe: String,
    /// The method that it calls.
    pub method: Option<String>,
    /// The word for how it counts.
    pub verdict: String,
    /// What it saw.
    pub says: String,
    /// How long it took.
    pub took_ms: u64,
    /// The HTTP status of an answer.
    pub http_status: Option<u16>,
    /// The exchange's code.
    pub code: Option<i64>,
    /// What is wrong with the pair as it was found.
    pub flaws: Vec<FlawLine>,
}

/// A flaw of the pair in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlawLine {
    /// The word for it.
    pub flaw: String,
    /// The variable.
    pub name: String,
    /// File and line, or variable.
    pub place: String,
    /// What the loader says of it.
    pub text: String,
}

/// A call that is remembered, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventLine {
    /// When, in UTC.
    pub at: String,
    /// Its method.
    pub method: String,
    /// Our address then.
    pub address: Option<String>,
}

/// A call in doubt, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DoubtLine {
    /// When it ended without a conclusive answer, in UTC.
    pub at: String,
    /// The name of its order, where it has one.
    pub name: Option<String>,
    /// Its method.
    pub method: String,
    /// Who made it.
    pub caller: String,
    /// Its request id.
    pub rid: String,
    /// What to ask the exchange.
    pub question: String,
}

impl DoubtLine {
    /// A doubt in words.
    #[must_use]
    pub fn of(doubt: &Doubt) -> Self {
        Self {
            at: rfc3339(doubt.ms),
            name: doubt.name.clone(),
            method: doubt.method.clone(),
            caller: doubt.caller.clone(),
            rid: doubt.rid.clone(),
            question: doubt.question(),
        }
    }
}

/// A change in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeLine {
    /// When, in UTC.
    pub at: String,
    /// What changed.
    pub what: String,
}

/// A start of a daemon in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartLine {
    /// When, in UTC.
    pub at: String,
    /// The fingerprint of the key that it started with.
    pub key_fingerprint: String,
    /// Whether it has stopped since.
    pub stopped: bool,
}

/// A cause in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CauseLine {
    /// Its stable code.
    pub code: String,
    /// What it means.
    pub sentence: String,
    /// How likely it is, where it stands.
    pub likelihood: Option<String>,
    /// What excludes it, where it does not.
    pub ruled_out_by: Option<String>,
    /// What speaks for it.
    #[serde(rename = "for")]
    pub pro: Vec<String>,
    /// What speaks against it.
    #[serde(rename = "against")]
    pub con: Vec<String>,
    /// What to do if it is this one.
    pub next_step: String,
    /// Its place in the operator's manual.
    pub manual: String,
}

impl Report {
    /// A diagnosis in words.
    #[must_use]
    pub fn of(diagnosis: &Diagnosis) -> Self {
        let Diagnosis {
            findings,
            ranking,
            past,
            whose,
            problems,
        } = diagnosis;
        let tied: Vec<String> = ranking
            .top()
            .into_iter()
            .map(|cause| cause.code().to_owned())
            .collect();
        let looked_at = findings.credentials().map(|facts| facts.looked_at.clone());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: rfc3339(findings.at_ms),
            took_ms: millis(findings.took),
            credentials_of: whose.clone(),
            looked_at: looked_at.unwrap_or_default(),
            base_url: findings.target.as_ref().map(|target| target.base.clone()),
            problems: problems.clone(),
            findings: findings
                .list
                .iter()
                .map(|finding| finding_line(finding, &findings.expected))
                .collect(),
            conclusion: ranking.conclusion.word().to_owned(),
            in_doubt: past.in_doubt.iter().map(DoubtLine::of).collect(),
            in_doubt_unread: past.in_doubt_unread.clone(),
            causes: ranking.causes.iter().map(cause_line).collect(),
            cannot_be_told_apart: if tied.len() > 1 { tied } else { Vec::new() },
            ruled_out: ranking.ruled_out.iter().map(cause_line).collect(),
            history_since: past.since_ms.map(rfc3339),
            history_unread: past.unread.clone(),
            last_good: past.last_good.as_ref().map(event_line),
            first_bad: past.first_bad.as_ref().map(event_line),
            changes: past.changes.iter().map(change_line).collect(),
            daemon_last_start: past.last_start.as_ref().map(start_line),
            history: history(past, findings.at_ms),
            next_step: ranking.next_step.clone(),
            not_tried: ranking.untried.map(|untried| untried.to_string()),
        }
    }

    /// For a terminal or a pipe: lines of at most so many columns, as far as words allow.
    #[must_use]
    pub fn text(&self, paint: Paint, columns: usize) -> String {
        terminal::render(&lines::of(self), paint, columns)
    }
}

fn finding_line(finding: &Finding, expected: &Expected) -> FindingLine {
    let answer = finding.answer();
    let flaws = if let Seen::Credentials(facts) = &finding.seen {
        facts.flaws.as_slice()
    } else {
        &[]
    };
    let flaws = flaws.iter().map(|found| FlawLine {
        flaw: found.flaw.word().to_owned(),
        name: found.name.clone(),
        place: found.place.clone(),
        text: found.text.clone(),
    });
    FindingLine {
        probe: finding.probe.name().to_owned(),
        method: finding.probe.method().map(str::to_owned),
        verdict: finding.grade(expected).word().to_owned(),
        says: finding.says(expected),
        took_ms: millis(finding.took),
        http_status: answer.map(|answer| answer.status),
        code: answer.and_then(|answer| answer.code),
        flaws: flaws.collect(),
    }
}

fn event_line(event: &Event) -> EventLine {
    let address = event.address.map(|address| address.to_string());
    EventLine {
        at: rfc3339(event.at_ms),
        method: event.method.clone(),
        address,
    }
}

fn change_line(change: &Change) -> ChangeLine {
    ChangeLine {
        at: rfc3339(change.at_ms),
        what: change.what.describe(),
    }
}

fn start_line(start: &LastStart) -> StartLine {
    StartLine {
        at: rfc3339(start.at_ms),
        key_fingerprint: start.key_fp.clone(),
        stopped: start.stopped,
    }
}

fn cause_line(ranked: &Ranked) -> CauseLine {
    let ruled_out_by = if let Standing::RuledOut(by) = &ranked.standing {
        Some(by.clone())
    } else {
        None
    };
    CauseLine {
        code: ranked.cause.code().to_owned(),
        sentence: ranked.cause.sentence().to_owned(),
        likelihood: ranked.likelihood().map(|likelihood| likelihood.to_string()),
        ruled_out_by,
        pro: ranked.pro.clone(),
        con: ranked.con.clone(),
        next_step: ranked.next_step.clone(),
        manual: ranked.cause.link(),
    }
}

/// What is known from before, in words.
fn history(past: &Past, now_ms: u64) -> String {
    // Where the history could not be read, nobody knows when it begins.
    let begins_ms = past
        .since_ms
        .or_else(|| past.unread.is_none().then_some(now_ms));
    let begins = begins_ms.map(|begins_ms| format!("no history before {}", rfc3339(begins_ms)));
    let mut parts: Vec<String> = begins.into_iter().chain(past.unread.clone()).collect();
    let event = |word: &str, event: &Event| {
        let from = event
            .address
            .map(|address| format!(" from {address}"))
            .unwrap_or_default();
        format!("{word} {} {}{from}", rfc3339(event.at_ms), event.method)
    };
    let unread = past.in_doubt_unread.as_ref();
    parts.extend(unread.map(|why| format!("whether calls are in doubt is not known ({why})")));
    parts.extend(past.last_good.as_ref().map(|good| event("last good", good)));
    parts.extend(past.first_bad.as_ref().map(|bad| event("first bad", bad)));
    parts.extend(
        past.changes
            .iter()
            .map(|change| format!("{} {}", rfc3339(change.at_ms), change.what.describe())),
    );
    parts.extend(past.last_start.as_ref().map(last_start));
    parts.extend(
        past.key_updated_ms
            .map(|updated| format!("key updated on the dashboard {}", rfc3339(updated))),
    );
    parts.join("; ")
}

/// What the daemon runs with, as far as its last start tells; without a stop it runs, or was killed.
fn last_start(start: &LastStart) -> String {
    let since = if start.stopped {
        "it stopped since"
    } else {
        "no stop is recorded since"
    };
    format!(
        "the daemon's last start {} used key {}, {since}",
        rfc3339(start.at_ms),
        start.key_fp
    )
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
