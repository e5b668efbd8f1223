//! A report as plain words: what travels from the daemon to the command that asked it, and what both show.
//!
//! Guarantees: made of typed findings and ranked causes alone; text and JSON are two views of the same sheet, so that
//! what was asked over HTTP reads as what was looked at here; a sheet of another version can be read as long as it has
//! the names that both know. Does not: trust what it was read from; control characters are taken out where it is shown.

use serde::{Deserialize, Serialize};

use super::{Report, millis, terminal, timestamp};
use crate::{
    causes::{Change, Event, Ranked, Standing},
    history::LastStart,
    probes::{Finding, Seen},
};

/// A report in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sheet {
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
    pub findings: Vec<Line>,
    /// The word for what the run comes to.
    pub conclusion: String,
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
}

/// A finding in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
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

impl Sheet {
    pub(super) fn of(report: &Report<'_>) -> Self {
        let Report {
            findings,
            ranking,
            past,
            whose,
            problems,
        } = report;
        let tied: Vec<String> = ranking
            .top()
            .into_iter()
            .map(|cause| cause.code().to_owned())
            .collect();
        let looked_at = findings.credentials().map(|facts| facts.looked_at.clone());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: timestamp(findings.at_ms),
            took_ms: millis(findings.took),
            credentials_of: (*whose).to_owned(),
            looked_at: looked_at.unwrap_or_default(),
            base_url: findings.target.as_ref().map(|target| target.base.clone()),
            problems: problems.to_vec(),
            findings: findings
                .list
                .iter()
                .map(|finding| line(report, finding))
                .collect(),
            conclusion: ranking.conclusion.word().to_owned(),
            causes: ranking.causes.iter().map(cause_line).collect(),
            cannot_be_told_apart: if tied.len() > 1 { tied } else { Vec::new() },
            ruled_out: ranking.ruled_out.iter().map(cause_line).collect(),
            history_since: past.since_ms.map(timestamp),
            history_unread: past.unread.clone(),
            last_good: past.last_good.as_ref().map(event_line),
            first_bad: past.first_bad.as_ref().map(event_line),
            changes: past.changes.iter().map(change_line).collect(),
            daemon_last_start: past.last_start.as_ref().map(start_line),
            history: terminal::history(report),
            next_step: ranking.next_step.clone(),
        }
    }
}

fn line(report: &Report<'_>, finding: &Finding) -> Line {
    let expected = &report.findings.expected;
    let answer = if let Seen::Answered(answer) = &finding.seen {
        Some(answer)
    } else {
        None
    };
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
    Line {
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
        at: timestamp(event.at_ms),
        method: event.method.clone(),
        address,
    }
}

fn change_line(change: &Change) -> ChangeLine {
    ChangeLine {
        at: timestamp(change.at_ms),
        what: change.what.describe(),
    }
}

fn start_line(start: &LastStart) -> StartLine {
    StartLine {
        at: timestamp(start.at_ms),
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
