//! The pair as it was found, and the code that signs with it: rows 1, 2, 3 and 31 of the catalogue.

use crate::{
    causes::{
        Cause,
        Likelihood::{Likely, Possible, VeryLikely},
        evidence::{Evidence, SUSPICIOUS},
        hypothesis::{Hypothesis, Topic::Pair},
    },
    probes::{Flaw, FlawFound, Probe, Seen},
    verdict::Objection,
};

fn says(found: &FlawFound) -> String {
    format!("{} ({}): {}", found.name, found.place, found.text)
}

fn flaws(evidence: &Evidence<'_>, kinds: &[Flaw]) -> Vec<String> {
    let facts = evidence
        .findings
        .credentials()
        .into_iter()
        .flat_map(|facts| &facts.flaws);
    facts
        .filter(|found| kinds.contains(&found.flaw))
        .map(says)
        .collect()
}

/// One hypothesis with all that speaks for it, where there is any.
fn hypothesis(
    cause: Cause,
    likelihood: crate::causes::Likelihood,
    because: Vec<String>,
) -> Option<Hypothesis> {
    if because.is_empty() {
        return None;
    }
    let hypothesis = Hypothesis::new(cause, Pair, likelihood);
    Some(because.into_iter().fold(hypothesis, Hypothesis::pro))
}

/// Row 31: whatever else is the matter.
pub(super) fn published(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    hypothesis(
        Cause::Published,
        VeryLikely,
        flaws(evidence, &[Flaw::Published]),
    )
    .into_iter()
    .collect()
}

/// Rows 1 and 3: there is no pair to sign with. A file that may not be read by this user says nothing about the pair.
pub(super) fn not_there(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let missing = hypothesis(
        Cause::NotConfigured,
        VeryLikely,
        flaws(evidence, &[Flaw::Missing]),
    );
    let half = hypothesis(
        Cause::MalformedPair,
        VeryLikely,
        flaws(evidence, &[Flaw::Half, Flaw::Malformed]),
    );
    missing.into_iter().chain(half).collect()
}

/// Row 3, as a suspicion: excluded by a signed success, now or before; below whatever says more than a length does.
pub(super) fn suspicious(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let because = flaws(evidence, &SUSPICIOUS);
    if because.is_empty() || evidence.target().is_none() {
        return Vec::new();
    }
    let before = || "calls were accepted with this pair before".to_owned();
    let accepted = evidence
        .acceptance()
        .or_else(|| evidence.worked())
        .or_else(|| evidence.has_worked().then(before));
    if let Some(accepted) = accepted {
        return vec![Hypothesis::ruled_out(Cause::MalformedPair, Pair, accepted)];
    }
    let likelihood = if evidence.looks_malformed() {
        Likely
    } else {
        Possible
    };
    hypothesis(Cause::MalformedPair, likelihood, because)
        .into_iter()
        .collect()
}

/// Our own signatures, against the documented ones.
pub(super) fn signing_code(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(Seen::SelfTest { right, wrong }) = evidence.findings.seen(Probe::SelfTest) else {
        return Vec::new();
    };
    if *wrong > 0 {
        let because = format!("{wrong} of {} signing test vectors fail", right + wrong);
        return vec![Hypothesis::new(Cause::SigningCode, Pair, VeryLikely).pro(because)];
    }
    if evidence.meeting(Objection::Refused).is_empty() {
        return Vec::new();
    }
    vec![Hypothesis::ruled_out(
        Cause::SigningCode,
        Pair,
        format!("all {right} signing test vectors pass"),
    )]
}

/// Row 2: already cleaned here; other readers of the same file may not be as careful.
pub(super) fn dirt(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let hypothesis = hypothesis(
        Cause::DirtyCredentials,
        Possible,
        flaws(evidence, &[Flaw::Dirt, Flaw::Quoted]),
    );
    let accepted = evidence
        .acceptance()
        .map(|accepted| format!("{accepted}, with what is left after cleaning"));
    hypothesis
        .map(|hypothesis| hypothesis.maybe_con(accepted))
        .into_iter()
        .collect()
}
