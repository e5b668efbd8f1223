//! Private probes, or a call, that were refused: rows 4 to 6, 8 to 13, 16, 19, 20, 27, 29 and 30 of the catalogue.
//!
//! Guarantees: a signed success in this run excludes what the exchange looks at for every call.

use std::net::IpAddr;

use gateway::observed::Expected;

use super::{budget_words, call::missing_permission, half_rotated_likelihood, named};
use crate::{
    causes::{
        Cause,
        Likelihood::{self, Likely, Possible, VeryLikely},
        evidence::Evidence,
        hypothesis::{Hypothesis, Topic::Refusal},
    },
    key_pairs::{Half, Origin},
    probes::{Environment, Flaw, Probe},
    verdict::Objection,
};

/// Row 16: the exchange names the nonce.
pub(super) fn nonce(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = evidence.meeting(Objection::Nonce);
    if refused.is_empty() {
        return Vec::new();
    }
    let clock = evidence.clock();
    if let Some(call) = evidence.call {
        return nonce_of_a_call(evidence, &clock, call.report.exchange.as_millis());
    }
    let hypothesis = |cause, likelihood| {
        Hypothesis::new(cause, Refusal, likelihood).pro(evidence.said(&refused))
    };
    if evidence.clock_is_out().is_some() {
        return vec![hypothesis(Cause::ClockSkew, VeryLikely).pro(clock)];
    }
    if evidence.clock_is_in().is_some() {
        return vec![
            hypothesis(Cause::StalledHost, Likely)
                .pro(format!("{clock}: the clock itself is fine")),
            Hypothesis::ruled_out(Cause::ClockSkew, Refusal, clock),
        ];
    }
    vec![
        hypothesis(Cause::ClockSkew, Likely),
        hypothesis(Cause::StalledHost, Possible),
    ]
}

/// Beside a call the clock is that of the answers before: one that has just stepped is not excluded by it.
fn nonce_of_a_call(evidence: &Evidence<'_>, clock: &str, took_ms: u128) -> Vec<Hypothesis> {
    let hypothesis =
        |cause, likelihood| Hypothesis::new(cause, Refusal, likelihood).pro(clock.to_owned());
    if evidence.clock_is_out().is_some() {
        return vec![hypothesis(Cause::ClockSkew, VeryLikely)];
    }
    let fine = evidence.clock_is_in().is_some();
    let stalled =
        hypothesis(Cause::StalledHost, Possible).pro(format!("the answer took {took_ms} ms"));
    if fine {
        return vec![stalled, hypothesis(Cause::ClockSkew, Possible)];
    }
    vec![hypothesis(Cause::ClockSkew, Likely), stalled]
}

/// Rows 9, 10 and 11: the exchange names the address.
pub(super) fn address(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = evidence.meeting(Objection::Address);
    if refused.is_empty() {
        return Vec::new();
    }
    let hypothesis =
        |cause| Hypothesis::new(cause, Refusal, VeryLikely).pro(evidence.said(&refused));
    let mut hypotheses = Vec::new();
    let ipv4 = evidence.findings.outbound(Probe::Outbound);
    let ipv4_listed =
        ipv4.and_then(|ip| crate::probes::is_expected(&evidence.findings.expected, ip));
    if evidence.leaves_by_ipv6() && ipv4_listed != Some(false) {
        let because = "calls go to an IPv6 address of the exchange";
        let mut by_ipv6 = hypothesis(Cause::LeavesByIpv6).pro(because);
        if let (Some(ip), Some(true)) = (ipv4, ipv4_listed) {
            by_ipv6 = by_ipv6.pro(format!(
                "CRYPTO_EXPECTED_IP names {ip}, which is not the way out in use"
            ));
        }
        hypotheses.push(by_ipv6);
    }
    if let Some(moved) = evidence.moved() {
        hypotheses.push(hypothesis(Cause::IpDrift).pro(moved));
    }
    let mut not_listed = hypothesis(Cause::IpNotListed).pro(evidence.whereabouts());
    if evidence.is_listed() == Some(true) {
        not_listed = not_listed.con("CRYPTO_EXPECTED_IP names it; the exchange says otherwise");
    }
    hypotheses.push(not_listed);
    if let Some(accepted) = evidence.acceptance() {
        let because =
            format!("{accepted}, others were refused for their address: it may alternate");
        hypotheses.push(Hypothesis::new(Cause::Intermittent, Refusal, Likely).pro(because));
    }
    hypotheses
}

/// Row 20 and the tier: the exchange names what it is about.
pub(super) fn tier_or_budget(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let mut hypotheses = Vec::new();
    for objection in [Objection::Tier, Objection::Budget] {
        let refused = evidence.meeting(objection);
        let method = refused.first().map(|(method, _)| *method);
        let (Some(method), Some((cause, likelihood))) = (method, named(objection)) else {
            continue;
        };
        let mut found = Hypothesis::new(cause, Refusal, likelihood)
            .pro(evidence.said(&refused))
            .of_method(method);
        if objection == Objection::Budget {
            found = found.maybe_pro(budget_words(method));
        }
        hypotheses.push(found);
    }
    hypotheses
}

/// Row 30: seen by the history, above whatever else may be.
pub(super) fn half_rotated(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(pair) = &evidence.past.pair else {
        return Vec::new();
    };
    if !evidence.all_refused() {
        return Vec::new();
    }
    let beside = pair
        .beside
        .as_ref()
        .map_or_else(|| "another key".to_owned(), |key| format!("key {key}"));
    let because = match pair.origin {
        Origin::Proven => {
            let accepted = "a call was accepted with this pair before";
            return vec![Hypothesis::ruled_out(Cause::HalfRotated, Refusal, accepted)];
        }
        Origin::TwoStarts => return at_two_starts(evidence),
        Origin::First | Origin::Replaced => return Vec::new(),
        Origin::Half {
            worked: true,
            replaced: Half::Key,
        } => format!("the secret is the one that calls were accepted with beside {beside}"),
        Origin::Half {
            worked: true,
            replaced: Half::Secret,
        } => "calls were accepted with this key beside another secret".to_owned(),
        Origin::Half {
            worked: false,
            replaced: Half::Key,
        } => format!(
            "the same secret stood beside {beside} before: one of the two pairs at least is wrong"
        ),
        Origin::Half {
            worked: false,
            replaced: Half::Secret,
        } => "the same key stood beside another secret before, and was never accepted".to_owned(),
    };
    let Some(mut likelihood) = half_rotated_likelihood(pair.origin) else {
        return Vec::new();
    };
    if evidence.call.is_some() {
        // One refused call is no proof that the pair never works.
        likelihood = likelihood.min(Likely);
    }
    let none =
        "the exchange makes key and secret together, and nothing was accepted with these two";
    vec![
        Hypothesis::new(Cause::HalfRotated, Refusal, likelihood)
            .pro(because)
            .pro(none),
    ]
}

/// Likely, but for an address, a base URL or a clock that says more.
fn unless_elsewhere(evidence: &Evidence<'_>) -> Likelihood {
    if evidence.points_elsewhere() {
        Possible
    } else {
        Likely
    }
}

/// Both halves are new, and did not come together: of one creation or not, the exchange answers alike.
fn at_two_starts(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let likelihood = unless_elsewhere(evidence);
    let because = "key and secret are both other ones than in the last whole pair, since two different starts; nothing \
                    was accepted with them";
    let hypothesis = |cause, likelihood| Hypothesis::new(cause, Refusal, likelihood).pro(because);
    vec![
        hypothesis(Cause::KeyMismatch, likelihood),
        hypothesis(Cause::KeyDisabled, likelihood),
        hypothesis(Cause::PairChanged, likelihood),
        hypothesis(Cause::HalfRotated, Possible)
            .con("the later half may have mended what the earlier one broke"),
    ]
}

/// Row 19, by the history: the pair worked at another base URL, which may be another environment.
pub(super) fn asked_elsewhere(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    if !evidence.all_refused() || !evidence.asked_elsewhere() {
        return Vec::new();
    }
    let because = "the base URL changed since the last accepted call";
    vec![Hypothesis::new(Cause::WrongEnvironment, Refusal, Likely).pro(because)]
}

/// Row 5 of the probe matrix: on some days a wrong clock is answered with 40101.
pub(super) fn clock(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    if !evidence.all_refused() {
        return Vec::new();
    }
    if evidence.clock_is_out().is_some() {
        return vec![Hypothesis::new(Cause::ClockSkew, Refusal, Likely).pro(evidence.clock())];
    }
    if evidence.clock_is_in().is_some() {
        return vec![Hypothesis::ruled_out(
            Cause::ClockSkew,
            Refusal,
            evidence.clock(),
        )];
    }
    Vec::new()
}

/// Rows 9 and 10, where the exchange answers an unlisted address with 40101.
pub(super) fn address_unsaid(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    if !evidence.all_refused() {
        return Vec::new();
    }
    let refused = evidence.said(&evidence.meeting(Objection::Refused));
    let mut hypotheses = Vec::new();
    if let Some(moved) = evidence.moved() {
        hypotheses.push(
            Hypothesis::new(Cause::IpDrift, Refusal, Likely)
                .pro(moved)
                .pro(evidence.whereabouts()),
        );
    }
    hypotheses.extend(family_unsaid(evidence));
    let family = evidence.family_changed();
    if family.is_some() || evidence.is_unlisted() {
        hypotheses.push(
            Hypothesis::new(Cause::IpNotListed, Refusal, Likely)
                .maybe_pro(family)
                .pro(evidence.whereabouts())
                .pro(refused),
        );
    }
    hypotheses
}

/// Row 11, where the exchange does not say that it is the address: a whitelist holds the address of one family.
fn family_unsaid(evidence: &Evidence<'_>) -> Option<Hypothesis> {
    if !evidence.leaves_by_ipv6()
        || evidence.is_listed() == Some(true)
        || evidence.worked_from_here()
    {
        return None;
    }
    let expected = &evidence.findings.expected;
    let ipv4 = evidence.findings.outbound(Probe::Outbound);
    let listed = ipv4.and_then(|ipv4| crate::probes::is_expected(expected, ipv4));
    let because = "calls go to an IPv6 address of the exchange";
    let found = |likelihood| Hypothesis::new(Cause::LeavesByIpv6, Refusal, likelihood).pro(because);
    if let (Some(ipv4), Some(true)) = (ipv4, listed) {
        return Some(found(Likely).pro(format!(
            "CRYPTO_EXPECTED_IP names {ipv4}, which is not the way out in use"
        )));
    }
    if listed == Some(false) {
        return None;
    }
    if let Some(changed) = evidence.family_changed() {
        return Some(found(Likely).pro(changed));
    }
    // Where nobody asks over IPv4, as beside a single call, the statement itself tells.
    let only_ipv4 = matches!(expected, Expected::Listed(all) if all.iter().all(IpAddr::is_ipv4));
    Some(if only_ipv4 {
        found(Likely).pro("CRYPTO_EXPECTED_IP names IPv4 addresses alone")
    } else {
        found(Possible)
    })
}

/// Rows 5 and 6: what changed since it worked, here or at the exchange.
pub(super) fn before_and_after(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    if !evidence.all_refused() {
        return Vec::new();
    }
    if let Some(worked) = evidence.worked() {
        let likelihood = unless_elsewhere(evidence);
        let good_ms = evidence.past.good_with_this_pair().map(|good| good.at_ms);
        let updated = evidence
            .past
            .key_updated_ms
            .filter(|updated| good_ms.is_some_and(|good_ms| *updated > good_ms));
        let updated =
            updated.map(|_| "the dashboard shows the key updated after the last accepted call");
        let whereabouts = evidence.call.map(|_| evidence.whereabouts());
        let hypothesis =
            |cause, likelihood| Hypothesis::new(cause, Refusal, likelihood).pro(worked.clone());
        return vec![
            hypothesis(Cause::ChangedAtExchange, likelihood)
                .maybe_pro(updated)
                .maybe_pro(whereabouts),
            hypothesis(Cause::KeyDisabled, likelihood),
            Hypothesis::ruled_out(Cause::KeyMismatch, Refusal, worked),
        ];
    }
    if evidence.past.unproven() != Some(Origin::Replaced) {
        return Vec::new();
    }
    let because = "key and secret changed at the same start, and nothing was accepted since";
    vec![Hypothesis::new(Cause::PairChanged, Refusal, Likely).pro(because)]
}

/// Rows 4, 8 and 19: what is left where nothing is known to have worked before. What cannot be told apart from here has
/// the same likelihood, in the order in which it is worth looking.
pub(super) fn nothing_else_known(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    if !evidence.all_refused() {
        return Vec::new();
    }
    let worked = evidence.has_worked();
    let listed = evidence.is_listed() == Some(true);
    let new = matches!(
        evidence.past.unproven(),
        Some(Origin::Half { .. } | Origin::Replaced | Origin::TwoStarts)
    );
    let better = new || evidence.points_elsewhere() || evidence.looks_malformed();
    let likelihood = if listed && !better && !worked {
        Likely
    } else {
        Possible
    };
    let refused = evidence.said(&evidence.meeting(Objection::Refused));
    let second = evidence
        .findings
        .credentials()
        .and_then(|facts| facts.flaw(&[Flaw::SecondPair]));
    let second = second.map(|found| format!("{}: {}", found.name, found.text));
    let hypothesis =
        |cause, likelihood| Hypothesis::new(cause, Refusal, likelihood).pro(refused.clone());
    let mut not_listed = hypothesis(Cause::IpNotListed, Possible);
    if listed {
        not_listed = not_listed.con(evidence.whereabouts());
    }
    let mut hypotheses = vec![not_listed];
    if !worked {
        let mut mismatch = hypothesis(Cause::KeyMismatch, likelihood);
        if evidence.call.is_some() {
            mismatch = mismatch.pro(evidence.whereabouts()).pro(evidence.clock());
        } else if evidence.outbound().is_some() {
            mismatch = mismatch.pro(evidence.whereabouts());
        }
        hypotheses.insert(0, mismatch.maybe_pro(second));
        hypotheses.insert(1, hypothesis(Cause::KeyDisabled, likelihood));
        hypotheses.push(hypothesis(missing_permission(evidence), likelihood));
        hypotheses.extend(environment(evidence, &refused, likelihood));
    }
    hypotheses
}

/// Row 19, by the host alone: production and UAT answer each other's keys like any unknown key.
fn environment(
    evidence: &Evidence<'_>,
    refused: &str,
    likelihood: Likelihood,
) -> Option<Hypothesis> {
    let target = evidence.target()?;
    let (likelihood, because) = match target.environment {
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
            .pro(because),
    )
}

/// Rows 12, 13 and 29: some reads are refused and others accepted.
pub(super) fn some_of_them(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = evidence.meeting(Objection::Refused);
    let (Some(accepted), false) = (evidence.acceptance(), refused.is_empty()) else {
        return Vec::new();
    };
    let excluded = [
        Cause::KeyMismatch,
        Cause::KeyDisabled,
        Cause::ClockSkew,
        Cause::NoReadPermission,
        Cause::IpNotListed,
    ];
    // Where the exchange itself names the address for another call, it may alternate: that stands.
    let recorded = evidence
        .past
        .methods
        .iter()
        .any(|past| past.objection() == Some(Objection::Address));
    let named = recorded || !evidence.meeting(Objection::Address).is_empty();
    let excluded = excluded
        .into_iter()
        .filter(|cause| *cause != Cause::IpNotListed || !named);
    let mut hypotheses: Vec<Hypothesis> = excluded
        .map(|cause| Hypothesis::ruled_out(cause, Refusal, accepted.clone()))
        .collect();
    let hypothesis = |cause, likelihood| {
        Hypothesis::new(cause, Refusal, likelihood)
            .pro(evidence.said(&refused))
            .pro(accepted.clone())
    };
    if let [(method, _)] = refused.as_slice() {
        hypotheses.push(hypothesis(Cause::MethodPermission, Likely).of_method(*method));
        if Some(*method) == Probe::OpenOrders.method() {
            let because = "it is the only probe with params";
            let doubt = "the signing test vectors pass";
            hypotheses.push(
                hypothesis(Cause::ParamsString, Likely)
                    .pro(because)
                    .con(doubt)
                    .of_method(*method),
            );
        }
        return hypotheses;
    }
    hypotheses.push(hypothesis(Cause::SomeMethods, Likely));
    hypotheses.push(hypothesis(Cause::Intermittent, Possible));
    hypotheses.push(hypothesis(Cause::MethodPermission, Possible));
    hypotheses
}
