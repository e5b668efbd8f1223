//! Everything private is refused, and the exchange does not say why: rows 4, 8, 9 and 19 of the catalogue.
//!
//! Guarantees: what cannot be told apart from here has the same likelihood, in the order in which it is worth looking.

use super::refusal::points_elsewhere;
use crate::{
    causes::{
        Cause, Kind,
        Likelihood::{self, Likely, Possible},
        evidence::{Evidence, list},
        hypothesis::{Hypothesis, Topic::Refusal},
    },
    key_pairs::Origin,
    probes::{Environment, Flaw},
};

/// Whether every read was refused without a reason.
pub(super) fn all_refused(case: &Evidence<'_>) -> bool {
    let (refused, answers) = (case.meeting(Kind::Refused), case.answers());
    !refused.is_empty() && refused.len() == answers.len() && case.accepted().is_none()
}

/// What is left where nothing is known to have worked before.
pub(super) fn nothing_else_known(case: &Evidence<'_>) -> Vec<Hypothesis> {
    if !all_refused(case) {
        return Vec::new();
    }
    let worked = case.past.good_with_this_pair().is_some();
    let listed = case.is_listed() == Some(true);
    let new = matches!(
        case.past.unproven(),
        Some(Origin::Half { .. } | Origin::Replaced | Origin::TwoStarts)
    );
    let better = new || points_elsewhere(case);
    let likelihood = if listed && !better && !worked {
        Likely
    } else {
        Possible
    };
    let refused = list(&case.meeting(Kind::Refused));
    let second = case
        .findings
        .credentials()
        .and_then(|facts| facts.flaw(&[Flaw::SecondPair]));
    let second = second.map(|found| format!("{}: {}", found.name, found.text));
    let claim =
        |cause, likelihood| Hypothesis::new(cause, Refusal, likelihood).pro(refused.clone());
    let doubt = listed.then(|| case.whereabouts());
    let mut claims = vec![claim(Cause::IpNotListed, Possible).maybe_con(doubt)];
    if !worked {
        let mismatch = claim(Cause::KeyMismatch, likelihood)
            .maybe_pro(case.outbound().map(|_| case.whereabouts()));
        claims.insert(0, mismatch.maybe_pro(second));
        claims.insert(1, claim(Cause::KeyDisabled, likelihood));
        claims.push(claim(Cause::NoReadPermission, likelihood));
        claims.extend(environment(case, &refused, likelihood));
    }
    claims
}

/// Row 19, by the host alone: production and UAT answer each other's keys like any unknown key.
fn environment(case: &Evidence<'_>, refused: &str, likelihood: Likelihood) -> Option<Hypothesis> {
    let target = case.target()?;
    let (likelihood, evidence) = match target.environment {
        Environment::Uat => (
            likelihood,
            "calls go to UAT, where a key of production is not known",
        ),
        Environment::Production => (
            Possible,
            "calls go to production, where a key of UAT is not known",
        ),
        Environment::FakeExchange | Environment::Other => return None,
    };
    Some(
        Hypothesis::new(Cause::WrongEnvironment, Refusal, likelihood)
            .pro(refused)
            .pro(evidence),
    )
}
