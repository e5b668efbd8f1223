//! A report line by line: each a text with a role. The one place that makes the words of a terminal.
//!
//! Guarantees: findings in the order of the matrix, causes likeliest first. The verdict and the next step come before
//! them. Does not: leave a cause out because it is unlikely; only what a finding excludes stands apart.

use super::{CauseLine, FindingLine, Report};
use crate::{
    causes::{Conclusion, Likelihood},
    probes::Grade,
};

/// What a line is for. It decides where the line stands and how it is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// What this report is.
    Opening,
    /// Where the facts come from.
    Source,
    /// More of the line before it.
    SourceDetail,
    /// The title of a section.
    Section,
    /// A plain line of a section.
    Plain,
    /// A finding that counts so.
    Finding(Grade),
    /// What is wrong with the pair as it was found.
    Flaw,
    /// A cause that is likely.
    LikelyCause,
    /// A cause that is only possible.
    PossibleCause,
    /// What a cause means.
    Meaning,
    /// Evidence for or against a cause, what to do about it, where to read about it.
    OfCause,
    /// Everything is as it should be.
    Healthy,
    /// Something is not.
    Unhealthy,
    /// The likeliest cause, and the one next step.
    Summary,
    /// An empty line.
    Gap,
}

/// One line, which may be wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) role: Role,
    /// What stands before the text, such as the name of a probe.
    pub(super) head: String,
    pub(super) text: String,
}

impl Line {
    fn new(role: Role, head: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            role,
            head: head.into(),
            text: text.into(),
        }
    }

    fn text(role: Role, text: impl Into<String>) -> Self {
        Self::new(role, "", text)
    }

    fn section(title: &str) -> Self {
        Self::new(Role::Section, title, "")
    }

    fn gap() -> Self {
        Self::text(Role::Gap, "")
    }
}

/// The lines of a report: what it comes to, what to do, and then the evidence.
pub(super) fn of(report: &Report) -> Vec<Line> {
    let mut lines = opening(report);
    lines.extend(sources(report));
    lines.push(Line::section("Findings"));
    for finding in &report.findings {
        lines.extend(finding_lines(finding));
    }
    lines.extend(causes(report));
    lines.extend(ruled_out(report));
    lines.push(Line::section("History"));
    lines.push(Line::text(Role::Plain, &report.history));
    lines
}

/// What somebody reads who reads no further.
fn opening(report: &Report) -> Vec<Line> {
    let Report {
        version,
        at,
        took_ms,
        ..
    } = report;
    let conclusion = Conclusion::of_word(&report.conclusion);
    let role = if conclusion == Some(Conclusion::Healthy) {
        Role::Healthy
    } else {
        Role::Unhealthy
    };
    let words = conclusion.map_or("", result_words);
    let title = format!("crypto-proxy {version} diagnose, {at}, {took_ms} ms");
    let mut lines = vec![
        Line::text(Role::Opening, title),
        Line::gap(),
        Line::new(role, &report.conclusion, words),
    ];
    if let Some(cause) = report.causes.first() {
        let likelihood = cause.likelihood.as_deref().unwrap_or_default();
        let text = format!("{} ({}, {likelihood})", cause.sentence, cause.code);
        lines.push(Line::new(Role::Summary, "cause", text));
    }
    lines.push(Line::new(Role::Summary, "next step", &report.next_step));
    if let Some(not_tried) = &report.not_tried {
        lines.push(Line::new(Role::Summary, "not tried", not_tried));
    }
    lines.push(Line::gap());
    lines
}

fn sources(report: &Report) -> Vec<Line> {
    let mut lines = vec![Line::new(
        Role::Source,
        "credentials",
        &report.credentials_of,
    )];
    for place in &report.looked_at {
        lines.push(Line::text(Role::SourceDetail, place));
    }
    if let Some(base) = &report.base_url {
        lines.push(Line::new(Role::Source, "exchange", base));
    }
    if !report.problems.is_empty() {
        lines.push(Line::section("Configuration"));
    }
    for problem in &report.problems {
        lines.push(Line::text(Role::Plain, problem));
    }
    lines
}

fn finding_lines(finding: &FindingLine) -> Vec<Line> {
    let method = match &finding.method {
        Some(method) => format!("{method}: "),
        None => String::new(),
    };
    let took = match finding.took_ms {
        0 => String::new(),
        took_ms => format!(", {took_ms} ms"),
    };
    // A word of another version is no finding that this one can judge.
    let verdict = Grade::of_word(&finding.verdict).unwrap_or(Grade::Skipped);
    let mut lines = vec![Line::new(
        Role::Finding(verdict),
        format!("{:<6}{}", finding.verdict, finding.probe),
        format!("{method}{}{took}", finding.says),
    )];
    for found in &finding.flaws {
        let text = format!("{} ({}): {}", found.name, found.place, found.text);
        lines.push(Line::text(Role::Flaw, text));
    }
    lines
}

fn causes(report: &Report) -> Vec<Line> {
    let mut lines = Vec::new();
    if !report.causes.is_empty() {
        lines.push(Line::section("Causes"));
    }
    let tied = &report.cannot_be_told_apart;
    for (position, cause) in report.causes.iter().enumerate() {
        if position > 0 {
            lines.push(Line::gap());
        }
        lines.extend(cause_lines(position + 1, cause));
        if !tied.is_empty() && position + 1 == tied.len() {
            let tied = tied.join(", ");
            let text = format!("these look the same from here: {tied}, in this order");
            lines.extend([Line::gap(), Line::text(Role::Plain, text)]);
        }
    }
    lines
}

fn cause_lines(number: usize, cause: &CauseLine) -> Vec<Line> {
    let likelihood = cause.likelihood.as_deref().unwrap_or_default();
    let role = if likelihood == Likelihood::Possible.to_string() {
        Role::PossibleCause
    } else {
        Role::LikelyCause
    };
    let mut lines = vec![
        Line::new(role, format!("{number}. {}", cause.code), likelihood),
        Line::text(Role::Meaning, &cause.sentence),
    ];
    for evidence in &cause.pro {
        lines.push(Line::new(Role::OfCause, "for", evidence));
    }
    for evidence in &cause.con {
        lines.push(Line::new(Role::OfCause, "against", evidence));
    }
    lines.push(Line::new(Role::OfCause, "then", &cause.next_step));
    lines.push(Line::new(Role::OfCause, "manual", &cause.manual));
    lines
}

fn ruled_out(report: &Report) -> Vec<Line> {
    let mut lines = Vec::new();
    for cause in &report.ruled_out {
        let Some(by) = &cause.ruled_out_by else {
            continue;
        };
        if lines.is_empty() {
            lines.push(Line::section("Ruled out"));
        }
        let text = format!("{}: ruled out by: {by}", cause.code);
        lines.push(Line::text(Role::Plain, text));
    }
    lines
}

const fn result_words(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Healthy => "all checks passed",
        Conclusion::Trouble => "something is wrong",
        Conclusion::Unreachable => "the exchange could not be reached, so the keys were not tried",
        Conclusion::Unusable => "the configuration cannot be used, so nothing was tested",
    }
}
