//! The report as an operator reads it in a terminal or a pipe.
//!
//! Guarantees: findings in the order of the matrix, causes likeliest first, the one next step last. Does not: leave a
//! cause out because it is unlikely; only what a finding excludes stands apart.

use super::{
    Report,
    layout::{Page, Paint, Tone},
    millis, timestamp,
};
use crate::diagnosis::{
    causes::{Conclusion, Likelihood, Ranked, Standing},
    history::LastStart,
    probes::{Finding, Seen, Verdict},
};

pub(super) fn render(report: &Report<'_>, paint: Paint) -> String {
    let mut page = Page::new(paint);
    head(&mut page, report);
    page.title("Findings");
    report.findings.list.iter().for_each(|finding| finding_lines(&mut page, report, finding));
    causes(&mut page, report);
    ruled_out(&mut page, report);
    page.title("History");
    page.paragraph(2, &history(report));
    page.title("Result");
    let tone = if report.ranking.conclusion == Conclusion::Healthy { Tone::Good } else { Tone::Bad };
    page.entry(2, (report.ranking.conclusion.word(), tone), 14, result_words(report.ranking.conclusion));
    page.entry(2, ("next step", Tone::Title), 14, &report.ranking.next_step);
    page.finish()
}

fn head(page: &mut Page, report: &Report<'_>) {
    let (version, findings) = (env!("CARGO_PKG_VERSION"), report.findings);
    let (at, took) = (timestamp(findings.at_ms), millis(findings.took));
    page.paragraph(0, &format!("crypto-proxy {version} diagnose, {at}, {took} ms"));
    page.entry(0, ("credentials", Tone::Dim), 14, report.whose);
    for place in findings.credentials().into_iter().flat_map(|facts| &facts.looked_at) {
        page.paragraph(14, place);
    }
    if let Some(target) = &findings.target {
        page.entry(0, ("exchange", Tone::Dim), 14, &target.base);
    }
    if !report.problems.is_empty() {
        page.title("Configuration");
        report.problems.iter().for_each(|problem| page.paragraph(2, problem));
    }
}

fn finding_lines(page: &mut Page, report: &Report<'_>, finding: &Finding) {
    let expected = &report.findings.expected;
    let verdict = finding.verdict(expected);
    let tone = match verdict {
        Verdict::Good => Tone::Good,
        Verdict::Remark => Tone::Note,
        Verdict::Bad => Tone::Bad,
        Verdict::Skipped => Tone::Dim,
    };
    let took = if finding.took.is_zero() { String::new() } else { format!(", {} ms", millis(finding.took)) };
    let method = finding.probe.method().map(|method| format!("{method}: ")).unwrap_or_default();
    let words = format!("{method}{}{took}", finding.says(expected));
    let head = format!("{:<6}{}", verdict.word(), finding.probe.name());
    page.entry(2, (&head, tone), 23, &words);
    let flaws = if let Seen::Credentials(facts) = &finding.seen { facts.flaws.as_slice() } else { &[] };
    for found in flaws {
        page.paragraph(25, &format!("{} ({}): {}", found.name, found.place, found.text));
    }
}

fn causes(page: &mut Page, report: &Report<'_>) {
    let ranking = report.ranking;
    if ranking.causes.is_empty() {
        return;
    }
    page.title("Causes");
    for (position, ranked) in ranking.causes.iter().enumerate() {
        cause_lines(page, position + 1, ranked);
        if ranking.tied > 1 && position + 1 == ranking.tied {
            let codes: Vec<&str> = ranking.top().into_iter().map(|cause| cause.code()).collect();
            page.blank();
            page.paragraph(2, &format!("cannot be told apart from here: {}, in this order", codes.join(", ")));
        }
    }
}

fn cause_lines(page: &mut Page, number: usize, ranked: &Ranked) {
    if number > 1 {
        page.blank();
    }
    let likelihood = ranked.likelihood();
    let tone = if likelihood == Some(Likelihood::Possible) { Tone::Note } else { Tone::Bad };
    let word = likelihood.map(|likelihood| likelihood.to_string()).unwrap_or_default();
    let head = format!("{number}. {}", ranked.cause.code());
    page.entry(2, (&head, tone), head.chars().count() + 2, &word);
    page.paragraph(5, ranked.cause.sentence());
    ranked.pro.iter().for_each(|evidence| page.entry(5, ("for", Tone::Dim), 9, evidence));
    ranked.con.iter().for_each(|evidence| page.entry(5, ("against", Tone::Dim), 9, evidence));
    page.entry(5, ("then", Tone::Dim), 9, &ranked.next_step);
    page.entry(5, ("manual", Tone::Dim), 9, &ranked.cause.link());
}

fn ruled_out(page: &mut Page, report: &Report<'_>) {
    if report.ranking.ruled_out.is_empty() {
        return;
    }
    page.title("Ruled out");
    for ranked in &report.ranking.ruled_out {
        if let Standing::RuledOut(by) = &ranked.standing {
            page.paragraph(2, &format!("{}: ruled out by: {by}", ranked.cause.code()));
        }
    }
}

fn history(report: &Report<'_>) -> String {
    let past = report.past;
    let begins_ms = past.since_ms.unwrap_or(report.findings.at_ms);
    let mut parts = vec![format!("no history before {}", timestamp(begins_ms))];
    parts.extend(past.unread.clone());
    let event = |word: &str, event: &crate::diagnosis::causes::Event| {
        let from = event.address.map(|address| format!(" from {address}")).unwrap_or_default();
        format!("{word} {} {}{from}", timestamp(event.at_ms), event.method)
    };
    parts.extend(past.last_good.as_ref().map(|good| event("last good", good)));
    parts.extend(past.first_bad.as_ref().map(|bad| event("first bad", bad)));
    parts.extend(past.changes.iter().map(|change| format!("{} {}", timestamp(change.at_ms), change.what.describe())));
    parts.extend(past.last_start.as_ref().map(last_start));
    parts.extend(past.key_updated_ms.map(|updated| format!("key updated on the dashboard {}", timestamp(updated))));
    parts.join("; ")
}

/// What the daemon runs with, as far as its last start tells; without a stop it runs, or was killed.
fn last_start(start: &LastStart) -> String {
    let since = if start.stopped { "it stopped since" } else { "no stop is recorded since" };
    format!("the daemon's last start {} used key {}, {since}", timestamp(start.at_ms), start.key_fp)
}

const fn result_words(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Healthy => "everything that was asked is as it should be",
        Conclusion::Trouble => "see the causes above",
        Conclusion::Unreachable => "the exchange was not reached: the keys are no matter yet",
        Conclusion::Unusable => "there is no usable configuration: nothing was asked",
    }
}
