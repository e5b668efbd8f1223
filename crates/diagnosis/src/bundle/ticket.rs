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
    history::{CallRow, ChangeRow, Milestone},
    probes::{Environment, Finding, Probe, Seen, Target},
};
use gateway::observed::Expected;

/// Changes that are shown, the newest; `history.json` has more.
const MAX_CHANGES: usize = 40;
/// Single calls that are shown, the newest; `history.json` has more.
const MAX_CALLS: usize = 25;

/// Writes it.
pub(super) fn write(input: &BundleInput<'_>) -> String {
    let mut page = format!(
        "# {}\n\n",
        markdown::escaped(&questions::title(input.diagnosis, input.history))
    );
    markdown::table(&mut page, ["fact", "value"], &facts(input));
    to_be_added(&mut page, input);
    tested(&mut page, input);
    match &input.history.contents {
        Ok(contents) => past(&mut page, contents),
        Err(why) => section(
            &mut page,
            "Earlier calls",
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
            "API environment",
            findings
                .target
                .as_ref()
                .map_or_else(|| "not known".to_owned(), environment),
        ),
        ("API key", key),
        ("label of the API key", label),
        ("our public IPv4 address", says(Probe::Outbound)),
        ("our public IPv6 address", says(Probe::OutboundIpv6)),
        (
            "IP whitelist of the key, as we know it",
            whitelist(&findings.expected),
        ),
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
        Environment::FakeExchange => "a test server on the same machine, not the exchange",
        Environment::Other => "a host that your API documents do not name",
    };
    format!("{name}, {}", target.base)
}

fn whitelist(expected: &Expected) -> String {
    match expected {
        Expected::Unstated => "not known on our side".to_owned(),
        Expected::Any => "any address is allowed".to_owned(),
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
    if !input.history.in_doubt.is_empty() {
        lines.push(
            "- the client_oid of each order that is asked for below: `sudo crypto-proxy orders --open`"
                .to_owned(),
        );
    }
    if input.diagnosis.ranking.conclusion == Conclusion::Healthy {
        lines.push("- what failed, and when: the tests below found no failure".to_owned());
    }
    section(
        page,
        "To be added by the sender before this is sent",
        &lines,
    );
}

fn tested(page: &mut String, input: &BundleInput<'_>) {
    let findings = &input.diagnosis.findings;
    let _ = writeln!(
        page,
        "## What was tested\n\nNo test trades or moves funds. Each private call was sent once.\n"
    );
    let rows: Vec<[String; 7]> = findings
        .list
        .iter()
        .map(|finding| row(finding, &findings.expected))
        .collect();
    markdown::table(
        page,
        ["test", "method", "result", "HTTP", "code", "ms", "in words"],
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
        || "We have no record of a call.".to_owned(),
        |begins| format!("Our records begin at {} UTC.", time::plain(begins)),
    );
    section(
        page,
        "Last accepted call, first refused or failed call",
        &[begins],
    );
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
                "last accepted (UTC)",
                "first refused or failed (UTC)",
                "answer",
                "accepted again (UTC)",
            ],
            &rows,
        );
    }
    single_calls(page, contents);
    let _ = writeln!(page, "## What changed on our side, and when\n");
    let skipped = contents.changes.len().saturating_sub(MAX_CHANGES);
    let rows: Vec<[String; 4]> = contents
        .changes
        .iter()
        .skip(skipped)
        .map(change_row)
        .collect();
    if rows.is_empty() {
        let _ = writeln!(page, "We have no record of a change.\n");
    } else {
        markdown::table(page, ["when (UTC)", "what", "before", "after"], &rows);
    }
}

/// What the exchange can look up, and what we have in our own log of it.
fn single_calls(page: &mut String, contents: &HistoryContents) {
    if contents.single_calls.is_empty() {
        return;
    }
    let _ = writeln!(
        page,
        "## Single calls\n\nYou can find these calls in your logs by API key, method and nonce. \"id\" is the id in the \
         request. Each call was sent once. The time is that of the answer, or of the end of our wait. Without a code, \
         the HTTP status may be that of our own proxy. The request id is from our own log.\n"
    );
    let skipped = contents.single_calls.len().saturating_sub(MAX_CALLS);
    let rows: Vec<[String; 8]> = contents
        .single_calls
        .iter()
        .skip(skipped)
        .map(call_row)
        .collect();
    let head = [
        "time (UTC)",
        "method",
        "nonce",
        "id",
        "HTTP",
        "code",
        "from",
        "our request id",
    ];
    markdown::table(page, head, &rows);
}

fn call_row(call: &CallRow) -> [String; 8] {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    [
        time::rfc3339_ms(call.ms),
        call.method.clone().unwrap_or_default(),
        number(call.nonce),
        number(call.sent_id),
        call.status.to_string(),
        call.code.map(|code| code.to_string()).unwrap_or_default(),
        call.address.clone().unwrap_or_default(),
        call.rid.clone(),
    ]
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
            .map_or_else(|| "no record".to_owned(), place),
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
                "none".to_owned(),
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
                "- excluded: {} (reason: {}) ({code})",
                markdown::escaped(sentence),
                markdown::escaped(by)
            ));
        }
    }
    if let Some(Seen::SelfTest { right, wrong: 0 }) =
        &input.diagnosis.findings.seen(Probe::SelfTest)
    {
        lines.push(format!(
            "- excluded: a fault in our signing code (reason: all {right} documented test signatures are reproduced)"
        ));
    }
    section(page, "What is excluded, and why", &lines);
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
        section(page, "Possible causes, as far as we can see", &standing);
    }
}

fn asked(page: &mut String, input: &BundleInput<'_>) {
    let questions = questions::questions(input.diagnosis, input.history);
    let numbered = questions
        .iter()
        .enumerate()
        .map(|(at, text)| format!("{}. {}", at + 1, markdown::escaped(text)));
    let lines: Vec<String> = numbered.collect();
    let none = "(no question follows from the tests: the sender adds the question)".to_owned();
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
