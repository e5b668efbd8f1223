//! The ticket, in the form that an exchange's support can work with: who, from where, what was tried, since when, and
//! what is asked.
//!
//! Guarantees: readable alone, without the other files and without this program; everything from outside is escaped.
//! Does not: say which cause it is where the exchange's answers do not.

use std::fmt::Write as _;

use text::time;

use super::{BundleInput, history_extract::HistoryContents, markdown, questions};
use crate::{
    causes::{Conclusion, Standing},
    history::{ChangeRow, Milestone},
    probes::{Environment, Finding, Probe, Seen, Target},
};
use gateway::observed::Expected;

/// Changes that are shown, the newest; `history.json` has more.
const MAX_CHANGES: usize = 40;

/// Writes it.
pub(super) fn write(input: &BundleInput<'_>) -> String {
    let mut page = format!(
        "# {}\n\n",
        markdown::escaped(&questions::title(input.diagnosis, input.history))
    );
    markdown::table(&mut page, ["what", "value"], &facts(input));
    to_be_added(&mut page, input);
    tested(&mut page, input);
    match &input.history.contents {
        Ok(contents) => past(&mut page, contents),
        Err(why) => section(
            &mut page,
            "Before this",
            &[format!(
                "No history could be read ({}).",
                markdown::escaped(why)
            )],
        ),
    }
    ruled_out(&mut page, input);
    asked(&mut page, input);
    page
}

fn section(page: &mut String, title: &str, lines: &[String]) {
    let _ = writeln!(page, "## {title}\n");
    lines.iter().for_each(|line| {
        let _ = writeln!(page, "{line}");
    });
    page.push('\n');
}

fn facts(input: &BundleInput<'_>) -> Vec<[String; 2]> {
    let findings = &input.diagnosis.findings;
    let facts = findings.credentials();
    let says = |probe| {
        findings.finding(probe).map_or_else(
            || "not asked".to_owned(),
            |finding| finding.says(&findings.expected),
        )
    };
    let key = facts.and_then(|facts| facts.fingerprint.as_ref()).map_or_else(
        || "none could be read".to_owned(),
        |shown| format!("fingerprint {shown} (the first 8 hexadecimal characters of the SHA-256 of the key)"),
    );
    let label = facts
        .and_then(|facts| facts.label.clone())
        .unwrap_or_else(|| "not set".to_owned());
    let end = findings.at_ms + u64::try_from(findings.took.as_millis()).unwrap_or_default();
    let rows = [
        ("issue", input.issue.to_string()),
        (
            "tested (UTC)",
            format!("{} to {}", time::plain(findings.at_ms), time::plain(end)),
        ),
        (
            "environment",
            findings
                .target
                .as_ref()
                .map_or_else(|| "not known".to_owned(), environment),
        ),
        ("API key", key),
        ("label of the key", label),
        ("our address, IPv4", says(Probe::Outbound)),
        ("our address, IPv6", says(Probe::OutboundIpv6)),
        ("whitelist, as we know it", whitelist(&findings.expected)),
        ("clock", says(Probe::Clock)),
        (
            "program",
            format!("crypto-proxy {}", env!("CARGO_PKG_VERSION")),
        ),
        (
            "system",
            format!("{}; {}", input.system.os, input.system.kernel),
        ),
    ];
    rows.into_iter()
        .map(|(name, value)| [name.to_owned(), value])
        .collect()
}

fn environment(target: &Target) -> String {
    let name = match target.environment {
        Environment::Production => "production",
        Environment::Uat => "UAT sandbox",
        Environment::FakeExchange => "a stand-in on the same machine, not the exchange",
        Environment::Other => "a host that the documents do not name",
    };
    format!("{name}, {}", target.base)
}

fn whitelist(expected: &Expected) -> String {
    match expected {
        Expected::Unstated => "not stated here".to_owned(),
        Expected::Any => "open to any address".to_owned(),
        Expected::Listed(list) => list
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn to_be_added(page: &mut String, input: &BundleInput<'_>) {
    let mut lines = vec!["- the account (its UID or e-mail address, as you know it)".to_owned()];
    if input
        .diagnosis
        .findings
        .credentials()
        .is_none_or(|facts| facts.label.is_none())
    {
        lines.push("- the label of the key, as the dashboard shows it".to_owned());
    }
    let in_doubt = input.history.contents.as_ref();
    if in_doubt.is_ok_and(|contents| !contents.in_doubt.is_empty()) {
        lines.push(
            "- the client_oid of each order that is asked for below: `crypto-proxy history --outcome unknown`"
                .to_owned(),
        );
    }
    if input.diagnosis.ranking.conclusion == Conclusion::Healthy {
        lines.push(
            "- what was seen to fail, and when: the probes below found no failure".to_owned(),
        );
    }
    section(page, "To be added by the sender", &lines);
}

fn tested(page: &mut String, input: &BundleInput<'_>) {
    let findings = &input.diagnosis.findings;
    let _ = writeln!(
        page,
        "## What was tested\n\nNothing here trades or moves funds; each private call was sent once.\n"
    );
    let rows: Vec<[String; 7]> = findings
        .list
        .iter()
        .map(|finding| row(finding, &findings.expected))
        .collect();
    markdown::table(
        page,
        [
            "probe", "method", "result", "HTTP", "code", "ms", "in words",
        ],
        &rows,
    );
}

fn row(finding: &Finding, expected: &Expected) -> [String; 7] {
    let answer = finding.answer();
    let took = if finding.took.is_zero() {
        String::new()
    } else {
        finding.took.as_millis().to_string()
    };
    [
        finding.probe.name().to_owned(),
        finding.probe.method().unwrap_or_default().to_owned(),
        finding.grade(expected).word().to_owned(),
        answer
            .map(|answer| answer.status.to_string())
            .unwrap_or_default(),
        answer
            .and_then(|answer| answer.code)
            .map(|code| code.to_string())
            .unwrap_or_default(),
        took,
        in_words(finding, expected),
    ]
}

/// Where the pair stands on this machine is nobody else's business.
fn in_words(finding: &Finding, expected: &Expected) -> String {
    let Seen::Credentials(facts) = &finding.seen else {
        return finding.says(expected);
    };
    let flaws: Vec<&str> = facts.flaws.iter().map(|found| found.flaw.word()).collect();
    let flaws = if flaws.is_empty() {
        "none".to_owned()
    } else {
        flaws.join(", ")
    };
    format!("remarks: {flaws}")
}

fn past(page: &mut String, contents: &HistoryContents) {
    let begins = contents.begins_ms.map_or_else(
        || "No call is on record.".to_owned(),
        |begins| format!("On record since {} UTC.", time::plain(begins)),
    );
    section(page, "Last good, first bad", &[begins]);
    let rows: Vec<[String; 5]> = contents
        .breaks
        .iter()
        .map(broken_row)
        .chain(good_rows(contents))
        .collect();
    if !rows.is_empty() {
        markdown::table(
            page,
            [
                "method",
                "last good (UTC)",
                "first bad (UTC)",
                "answered",
                "good again (UTC)",
            ],
            &rows,
        );
    }
    let _ = writeln!(page, "## What changed on our side, and when\n");
    let skipped = contents.changes.len().saturating_sub(MAX_CHANGES);
    let rows: Vec<[String; 4]> = contents
        .changes
        .iter()
        .skip(skipped)
        .map(change_row)
        .collect();
    if rows.is_empty() {
        let _ = writeln!(page, "Nothing on record.\n");
    } else {
        markdown::table(page, ["when (UTC)", "what", "before", "after"], &rows);
    }
}

fn broken_row(broken: &crate::history::Break) -> [String; 5] {
    let seen = |mark: &Milestone| {
        let code = mark
            .code
            .map(|code| format!(", code {code}"))
            .unwrap_or_default();
        let why = mark
            .why
            .as_ref()
            .map(|why| format!(", {why}"))
            .unwrap_or_default();
        format!("HTTP {}{code}{why}", mark.status)
    };
    [
        broken.method.clone(),
        broken
            .good
            .as_ref()
            .map_or_else(|| "never on record".to_owned(), place),
        place(&broken.bad),
        seen(&broken.bad),
        broken
            .recovered
            .as_ref()
            .map_or_else(|| "not yet".to_owned(), place),
    ]
}

/// Methods that never went bad.
fn good_rows(contents: &HistoryContents) -> impl Iterator<Item = [String; 5]> {
    let never = |method: &str| !contents.breaks.iter().any(|broken| broken.method == method);
    contents
        .marks
        .iter()
        .filter(move |(method, _)| never(method))
        .filter_map(|(method, marks)| {
            let good = marks.good.as_ref()?;
            Some([
                method.clone(),
                place(good),
                "never on record".to_owned(),
                String::new(),
                String::new(),
            ])
        })
}

/// When, with which key, from where.
fn place(mark: &Milestone) -> String {
    let from = mark
        .address
        .as_ref()
        .map(|address| format!(" from {address}"))
        .unwrap_or_default();
    format!("{}, key {}{from}", time::plain(mark.ms), mark.key_fp)
}

fn change_row(row: &ChangeRow) -> [String; 4] {
    let [before, after] = row.values();
    [time::plain(row.ms), row.kind.clone(), before, after]
}

fn ruled_out(page: &mut String, input: &BundleInput<'_>) {
    let ranking = &input.diagnosis.ranking;
    let mut lines: Vec<String> = Vec::new();
    for ranked in &ranking.ruled_out {
        if let Standing::RuledOut(by) = &ranked.standing {
            let (sentence, code) = (ranked.cause.sentence(), ranked.cause.code());
            lines.push(format!(
                "- not that {}: {} ({code})",
                markdown::escaped(sentence),
                markdown::escaped(by)
            ));
        }
    }
    if let Some(Seen::SelfTest { right, wrong: 0 }) =
        &input.diagnosis.findings.seen(Probe::SelfTest)
    {
        lines.push(format!(
            "- not the signing code: all {right} signing vectors pass"
        ));
    }
    section(page, "What was ruled out, and by what", &lines);
    let standing = ranking.causes.iter().map(|ranked| {
        let likelihood = ranked
            .likelihood()
            .map(|likelihood| likelihood.to_string())
            .unwrap_or_default();
        format!(
            "- {likelihood}: {} ({})",
            markdown::escaped(ranked.cause.sentence()),
            ranked.cause.code()
        )
    });
    let standing: Vec<String> = standing.collect();
    if !standing.is_empty() {
        section(
            page,
            "What it may be, as far as can be seen from here",
            &standing,
        );
    }
}

fn asked(page: &mut String, input: &BundleInput<'_>) {
    let questions = questions::questions(input.diagnosis, input.history);
    let numbered = questions
        .iter()
        .enumerate()
        .map(|(at, text)| format!("{}. {}", at + 1, markdown::escaped(text)));
    let lines: Vec<String> = numbered.collect();
    let none = "Nothing follows from what was found: say what you would like to know.".to_owned();
    section(
        page,
        "What we ask you",
        if lines.is_empty() {
            std::slice::from_ref(&none)
        } else {
            &lines
        },
    );
}
