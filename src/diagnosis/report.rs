//! A diagnosis, for people and for programs.
//!
//! Guarantees: made of typed findings and ranked causes alone, at most 80 columns where words allow, each cause with its
//! place in the operator's manual; the same facts as text and as JSON. Does not: print, or decide about colour.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    causes::{Change, Conclusion, Event, Past, Ranked, Ranking, Standing},
    probes::{Findings, Seen},
};

mod layout;
mod text;

pub use layout::Paint;

/// What is reported.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What the probes saw.
    pub findings: &'a Findings,
    /// What stands behind it.
    pub ranking: &'a Ranking,
    /// What was known from before.
    pub past: &'a Past,
    /// Whose credentials were used, in words.
    pub whose: &'a str,
    /// What the loader of the configuration complains about.
    pub problems: &'a [String],
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
}

impl Report<'_> {
    /// As text, in lines.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        text::render(self, paint)
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self { findings, ranking, past, whose, problems } = self;
        let tied: Vec<&str> = ranking.top().into_iter().map(|cause| cause.code()).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "at": timestamp(findings.at_ms),
            "took_ms": millis(findings.took),
            "credentials_of": whose,
            "base_url": findings.target.as_ref().map(|target| &target.base),
            "problems": problems,
            "findings": self.findings_json(),
            "conclusion": ranking.conclusion.word(),
            "causes": ranking.causes.iter().map(cause_json).collect::<Vec<_>>(),
            "cannot_be_told_apart": if tied.len() > 1 { tied } else { Vec::new() },
            "ruled_out": ranking.ruled_out.iter().map(cause_json).collect::<Vec<_>>(),
            "history_since": past.since_ms.map(timestamp),
            "history_unread": past.unread,
            "last_good": past.last_good.as_ref().map(event_json),
            "first_bad": past.first_bad.as_ref().map(event_json),
            "changes": past.changes.iter().map(change_json).collect::<Vec<_>>(),
            "daemon_last_start": past.last_start.as_ref().map(|start| {
                json!({ "at": timestamp(start.at_ms), "key_fingerprint": start.key_fp, "stopped": start.stopped })
            }),
            "next_step": ranking.next_step,
        })
    }

    fn findings_json(&self) -> Vec<Value> {
        let expected = &self.findings.expected;
        let shown = self.findings.list.iter().map(|finding| {
            let answer = if let Seen::Answered(answer) = &finding.seen { Some(answer) } else { None };
            let facts = if let Seen::Credentials(facts) = &finding.seen { facts.flaws.as_slice() } else { &[] };
            let flaws = facts.iter().map(|found| {
                json!({ "flaw": found.flaw.word(), "name": found.name, "place": found.place, "text": found.text })
            });
            let flaws: Vec<Value> = flaws.collect();
            json!({
                "probe": finding.probe.name(),
                "method": finding.probe.method(),
                "verdict": finding.verdict(expected).word(),
                "says": finding.says(expected),
                "took_ms": millis(finding.took),
                "http_status": answer.map(|answer| answer.status),
                "code": answer.and_then(|answer| answer.code),
                "flaws": flaws,
            })
        });
        shown.collect()
    }
}

fn event_json(event: &Event) -> Value {
    json!({ "at": timestamp(event.at_ms), "method": event.method, "address": event.address })
}

fn change_json(change: &Change) -> Value {
    json!({ "at": timestamp(change.at_ms), "what": change.what.describe() })
}

fn cause_json(ranked: &Ranked) -> Value {
    let ruled_out_by = if let Standing::RuledOut(by) = &ranked.standing { Some(by) } else { None };
    json!({
        "code": ranked.cause.code(),
        "sentence": ranked.cause.sentence(),
        "likelihood": ranked.likelihood().map(|likelihood| likelihood.to_string()),
        "ruled_out_by": ruled_out_by,
        "for": ranked.pro,
        "against": ranked.con,
        "next_step": ranked.next_step,
        "manual": ranked.cause.link(),
    })
}

fn timestamp(at_ms: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at_ms).unwrap_or_default()).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
