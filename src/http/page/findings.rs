//! The last diagnosis as the page shows it: findings, causes with what speaks for and against them, what is ruled out.
//!
//! Guarantees: the words are those of the report. Does not: rank or leave out anything.

use super::{Moment, Text, TextPart};
use diagnosis::{
    causes::{Likelihood, Ranked, Standing},
    probes::{Finding, Grade},
    report::Diagnosis,
};

/// What the page shows of the last diagnosis.
#[derive(Debug)]
pub(super) struct DiagnosisShown {
    pub(super) at: Moment,
    pub(super) whose: Text,
    pub(super) problems: Vec<Text>,
    pub(super) findings: Vec<FindingShown>,
    pub(super) causes: Vec<CauseShown>,
    pub(super) tied: Vec<&'static str>,
    pub(super) ruled_out: Vec<(&'static str, Text)>,
}

/// A finding.
#[derive(Debug)]
pub(super) struct FindingShown {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    pub(super) word: &'static str,
    pub(super) class: &'static str,
    pub(super) says: Text,
    pub(super) took_ms: Option<u128>,
}

/// A cause that stands.
#[derive(Debug)]
pub(super) struct CauseShown {
    pub(super) code: &'static str,
    pub(super) anchor: String,
    pub(super) sentence: &'static str,
    pub(super) likelihood: String,
    pub(super) class: &'static str,
    pub(super) pro: Vec<Text>,
    pub(super) con: Vec<Text>,
    pub(super) step: Vec<TextPart>,
    pub(super) manual: String,
}

pub(super) fn shown(diagnosis: &Diagnosis, now_ms: u64) -> DiagnosisShown {
    let (ranking, findings) = (&diagnosis.ranking, &diagnosis.findings);
    let tied = if ranking.tied > 1 {
        ranking.top()
    } else {
        Vec::new()
    };
    let ruled_out = ranking
        .ruled_out
        .iter()
        .filter_map(|ranked| match &ranked.standing {
            Standing::RuledOut(by) => Some((ranked.cause.code(), Text::of(by))),
            Standing::Stands(_) => None,
        });
    DiagnosisShown {
        at: Moment::at(findings.at_ms, now_ms),
        whose: Text::of(&diagnosis.whose),
        problems: diagnosis.problems.iter().map(Text::of).collect(),
        findings: findings
            .list
            .iter()
            .map(|found| finding(found, diagnosis))
            .collect(),
        causes: ranking.causes.iter().map(cause).collect(),
        tied: tied.into_iter().map(|cause| cause.code()).collect(),
        ruled_out: ruled_out.collect(),
    }
}

fn finding(found: &Finding, diagnosis: &Diagnosis) -> FindingShown {
    let verdict = found.grade(&diagnosis.findings.expected);
    let (word, class) = match verdict {
        Grade::Good => ("ok", "is-good"),
        Grade::Remark => ("note", "is-note"),
        Grade::Bad => ("BAD", "is-bad"),
        Grade::Skipped => ("not made", "is-quiet"),
    };
    FindingShown {
        name: found.probe.name(),
        method: found.probe.method().unwrap_or_default(),
        word,
        class,
        says: Text::of(found.says(&diagnosis.findings.expected)),
        took_ms: Some(found.took.as_millis()).filter(|_| !found.took.is_zero()),
    }
}

fn cause(ranked: &Ranked) -> CauseShown {
    let likelihood = ranked.likelihood();
    CauseShown {
        code: ranked.cause.code(),
        anchor: anchor(ranked.cause.code()),
        sentence: ranked.cause.sentence(),
        likelihood: likelihood
            .map(|likelihood| likelihood.to_string())
            .unwrap_or_default(),
        class: if likelihood == Some(Likelihood::Possible) {
            "is-note"
        } else {
            "is-bad"
        },
        pro: ranked.pro.iter().map(Text::of).collect(),
        con: ranked.con.iter().map(Text::of).collect(),
        step: TextPart::all(&ranked.next_step),
        manual: ranked.cause.link(),
    }
}

/// Where a cause stands on the page.
pub(super) fn anchor(code: &str) -> String {
    code.to_ascii_lowercase()
}
