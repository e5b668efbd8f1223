//! The pair as it was found, and the code that signs with it: rows 1, 2, 3 and 31 of the catalogue.

use super::{refusal::points_elsewhere, unexplained::all_refused};
use crate::{
    causes::{
        Cause, Kind,
        Likelihood::{Likely, Possible, VeryLikely},
        evidence::Evidence,
        hypothesis::{Hypothesis, Topic::Pair},
    },
    key_pairs::Origin,
    probes::{Flaw, FlawFound, Probe, Seen},
};

fn says(found: &FlawFound) -> String {
    format!("{} ({}): {}", found.name, found.place, found.text)
}

fn flaws(case: &Evidence<'_>, kinds: &[Flaw]) -> Vec<String> {
    let facts = case
        .findings
        .credentials()
        .into_iter()
        .flat_map(|facts| &facts.flaws);
    facts
        .filter(|found| kinds.contains(&found.flaw))
        .map(says)
        .collect()
}

/// One claim with all evidence, where there is any.
fn claim(
    cause: Cause,
    likelihood: crate::causes::Likelihood,
    evidence: Vec<String>,
) -> Option<Hypothesis> {
    let none = evidence.is_empty();
    let claim = evidence
        .into_iter()
        .fold(Hypothesis::new(cause, Pair, likelihood), Hypothesis::pro);
    (!none).then_some(claim)
}

/// Row 31: whatever else is the matter.
pub(super) fn published(case: &Evidence<'_>) -> Vec<Hypothesis> {
    claim(
        Cause::Published,
        VeryLikely,
        flaws(case, &[Flaw::Published]),
    )
    .into_iter()
    .collect()
}

/// Rows 1 and 3: there is no pair to sign with. A file that may not be read by this user says nothing about the pair.
pub(super) fn not_there(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let missing = claim(
        Cause::NotConfigured,
        VeryLikely,
        flaws(case, &[Flaw::Missing]),
    );
    let half = claim(
        Cause::MalformedPair,
        VeryLikely,
        flaws(case, &[Flaw::Half, Flaw::Malformed]),
    );
    missing.into_iter().chain(half).collect()
}

/// Row 3, as a suspicion: excluded by a signed success, now or before; below whatever says more than a length does.
pub(super) fn suspicious(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let evidence = flaws(case, &[Flaw::Swapped, Flaw::Short]);
    if evidence.is_empty() || case.target().is_none() {
        return Vec::new();
    }
    let before = || {
        case.past
            .good_with_this_pair()
            .map(|good| format!("{} was accepted with this pair before", good.method))
    };
    if let Some(accepted) = case.acceptance().or_else(before) {
        return vec![Hypothesis::ruled_out(Cause::MalformedPair, Pair, accepted)];
    }
    let half = matches!(case.past.unproven(), Some(Origin::Half { .. }));
    let alone = all_refused(case) && !half && !points_elsewhere(case);
    claim(
        Cause::MalformedPair,
        if alone { Likely } else { Possible },
        evidence,
    )
    .into_iter()
    .collect()
}

/// Our own signatures, against the documented ones.
pub(super) fn signing_code(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(Seen::SelfTest { right, wrong }) = case.findings.seen(Probe::SelfTest) else {
        return Vec::new();
    };
    if *wrong > 0 {
        let evidence = format!(
            "{wrong} of {} signing vectors come out otherwise",
            right + wrong
        );
        return vec![Hypothesis::new(Cause::SigningCode, Pair, VeryLikely).pro(evidence)];
    }
    if case.meeting(Kind::Refused).is_empty() {
        return Vec::new();
    }
    vec![Hypothesis::ruled_out(
        Cause::SigningCode,
        Pair,
        format!("all {right} signing vectors come out as documented"),
    )]
}

/// Row 2: already cleaned here; other readers of the same file may not be as careful.
pub(super) fn dirt(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let claimed = claim(
        Cause::DirtyCredentials,
        Possible,
        flaws(case, &[Flaw::Dirt, Flaw::Quoted]),
    );
    let accepted = case
        .acceptance()
        .map(|accepted| format!("{accepted}, with what is left after cleaning"));
    claimed
        .map(|claim| claim.maybe_con(accepted))
        .into_iter()
        .collect()
}
