//! Private probes that were refused: rows 5, 6, 9 to 13, 16, 19, 20, 27, 29 and 30 of the catalogue.
//!
//! Guarantees: a signed success in this run excludes what the exchange looks at for every call.

use super::unexplained::all_refused;
use crate::{
    causes::{
        Cause, Kind,
        Likelihood::{Likely, Possible, VeryLikely},
        evidence::{Evidence, list},
        hypothesis::{Hypothesis, Topic::Refusal},
    },
    key_pairs::{Half, Origin},
    probes::Probe,
};

/// Row 16: the exchange names the nonce.
pub(super) fn nonce(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = case.meeting(Kind::Nonce);
    if refused.is_empty() {
        return Vec::new();
    }
    let claim = |cause, likelihood| Hypothesis::new(cause, Refusal, likelihood).pro(list(&refused));
    match (case.clock_is_out(), case.clock_is_in()) {
        (Some(skew), _) => vec![claim(Cause::ClockSkew, VeryLikely).pro(clock_words(skew))],
        (_, Some(skew)) => vec![
            claim(Cause::StalledHost, Likely)
                .pro(format!("{}: the clock itself is fine", clock_words(skew))),
            Hypothesis::ruled_out(Cause::ClockSkew, Refusal, clock_words(skew)),
        ],
        (None, None) => vec![
            claim(Cause::ClockSkew, Likely),
            claim(Cause::StalledHost, Possible),
        ],
    }
}

fn clock_words(skew: gateway::observed::ClockSkew) -> String {
    format!("the exchange's clock minus this host's: {skew} ms; 60000 ms are allowed")
}

/// Rows 9, 10 and 11: the exchange names the address.
pub(super) fn address(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = case.meeting(Kind::Address);
    if refused.is_empty() {
        return Vec::new();
    }
    let claim = |cause| Hypothesis::new(cause, Refusal, VeryLikely).pro(list(&refused));
    let mut claims = Vec::new();
    let ipv4 = case.findings.outbound(Probe::Outbound);
    let ipv4_listed = ipv4.and_then(|ip| crate::probes::is_expected(&case.findings.expected, ip));
    if case.leaves_by_ipv6() && ipv4_listed != Some(false) {
        let evidence = "calls go to an IPv6 address of the exchange";
        let listed = ipv4.filter(|_| ipv4_listed == Some(true));
        let listed = listed
            .map(|ip| format!("CRYPTO_EXPECTED_IP names {ip}, which is not the way out in use"));
        claims.push(claim(Cause::LeavesByIpv6).pro(evidence).maybe_pro(listed));
    }
    if let Some(moved) = case.moved() {
        claims.push(claim(Cause::IpDrift).pro(moved));
    }
    let doubt = (case.is_listed() == Some(true))
        .then_some("CRYPTO_EXPECTED_IP names it; the exchange says otherwise");
    claims.push(
        claim(Cause::IpNotListed)
            .pro(case.whereabouts())
            .maybe_con(doubt),
    );
    if let Some(accepted) = case.acceptance() {
        let evidence =
            format!("{accepted}, others were refused for their address: it may alternate");
        claims.push(Hypothesis::new(Cause::Intermittent, Refusal, Likely).pro(evidence));
    }
    claims
}

/// The exchange names the tier.
pub(super) fn tier(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = case.meeting(Kind::Tier);
    let method = refused.first().and_then(|(probe, _)| probe.method());
    let claim = |method| {
        Hypothesis::new(Cause::UserTier, Refusal, VeryLikely)
            .pro(list(&refused))
            .of_method(method)
    };
    method.map(claim).into_iter().collect()
}

/// Row 20: the exchange names the budget; who used it up it does not say.
pub(super) fn budget(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = case.meeting(Kind::Budget);
    let Some(method) = refused.first().and_then(|(probe, _)| probe.method()) else {
        return Vec::new();
    };
    let info = catalogue::methods::find(method).map(|info| info.rate_limit);
    let limit = info.map(|limit| {
        format!(
            "its budget is {} per {} ms ({})",
            limit.limit, limit.window_ms, limit.scope
        )
    });
    vec![
        Hypothesis::new(Cause::RateLimit, Refusal, Likely)
            .pro(list(&refused))
            .maybe_pro(limit)
            .of_method(method),
    ]
}

/// Row 30: seen by the history, above whatever else may be.
pub(super) fn half_rotated(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(pair) = case.past.pair.as_ref().filter(|_| all_refused(case)) else {
        return Vec::new();
    };
    let beside = pair.beside.as_deref().unwrap_or("another");
    let (likelihood, evidence) = match pair.origin {
        Origin::Proven => {
            let accepted = "a call was accepted with this pair before";
            return vec![Hypothesis::ruled_out(Cause::HalfRotated, Refusal, accepted)];
        }
        Origin::TwoStarts => return at_two_starts(case),
        Origin::First | Origin::Replaced => return Vec::new(),
        Origin::Half {
            worked: true,
            replaced: Half::Key,
        } => (
            VeryLikely,
            format!("the secret is the one that calls were accepted with beside key {beside}"),
        ),
        Origin::Half {
            worked: true,
            replaced: Half::Secret,
        } => (
            VeryLikely,
            "calls were accepted with this key beside another secret".to_owned(),
        ),
        Origin::Half {
            worked: false,
            replaced: Half::Key,
        } => (
            Likely,
            format!(
                "the same secret stood beside key {beside} before: one of the two pairs at least is wrong"
            ),
        ),
        // A secret that follows a key mends as often as it breaks, where the pair before never worked.
        Origin::Half {
            worked: false,
            replaced: Half::Secret,
        } => (
            Possible,
            "the same key stood beside another secret before, and was never accepted".to_owned(),
        ),
    };
    let none =
        "the exchange makes key and secret together, and nothing was accepted with these two";
    vec![
        Hypothesis::new(Cause::HalfRotated, Refusal, likelihood)
            .pro(evidence)
            .pro(none),
    ]
}

/// Both halves are new, and did not come together: of one creation or not, the exchange answers alike.
fn at_two_starts(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let likelihood = if points_elsewhere(case) {
        Possible
    } else {
        Likely
    };
    let evidence = "key and secret are both other ones than in the last whole pair, since two different starts; nothing \
                    was accepted with them";
    let claim = |cause, likelihood| Hypothesis::new(cause, Refusal, likelihood).pro(evidence);
    vec![
        claim(Cause::KeyMismatch, likelihood),
        claim(Cause::KeyDisabled, likelihood),
        claim(Cause::PairChanged, likelihood),
        claim(Cause::HalfRotated, Possible)
            .con("the later half may have mended what the earlier one broke"),
    ]
}

/// Whether the address, the base URL or the clock speaks for itself.
pub(super) fn points_elsewhere(case: &Evidence<'_>) -> bool {
    let address = case.moved().is_some() || case.is_listed() == Some(false);
    address || case.asked_elsewhere() || case.clock_is_out().is_some()
}

/// Row 19, by the history: the pair worked at another base URL, which may be another environment.
pub(super) fn asked_elsewhere(case: &Evidence<'_>) -> Vec<Hypothesis> {
    if !all_refused(case) || !case.asked_elsewhere() {
        return Vec::new();
    }
    let evidence = "the base URL changed since the last accepted call";
    vec![Hypothesis::new(Cause::WrongEnvironment, Refusal, Likely).pro(evidence)]
}

/// Row 5 of the probe matrix: on some days a wrong clock is answered with 40101.
pub(super) fn clock(case: &Evidence<'_>) -> Vec<Hypothesis> {
    if !all_refused(case) {
        return Vec::new();
    }
    if let Some(skew) = case.clock_is_out() {
        return vec![Hypothesis::new(Cause::ClockSkew, Refusal, Likely).pro(clock_words(skew))];
    }
    let fine = case
        .clock_is_in()
        .map(|skew| Hypothesis::ruled_out(Cause::ClockSkew, Refusal, clock_words(skew)));
    fine.into_iter().collect()
}

/// Rows 9 and 10, where the exchange answers an unlisted address with 40101.
pub(super) fn address_unsaid(case: &Evidence<'_>) -> Vec<Hypothesis> {
    if !all_refused(case) {
        return Vec::new();
    }
    let refused = list(&case.meeting(Kind::Refused));
    let mut claims = Vec::new();
    if let Some(moved) = case.moved() {
        claims.push(
            Hypothesis::new(Cause::IpDrift, Refusal, Likely)
                .pro(moved)
                .pro(case.whereabouts()),
        );
    }
    if case.is_listed() == Some(false) {
        claims.push(
            Hypothesis::new(Cause::IpNotListed, Refusal, Likely)
                .pro(case.whereabouts())
                .pro(refused),
        );
    }
    claims
}

/// Rows 5 and 6: what changed since it worked, here or at the exchange.
pub(super) fn before_and_after(case: &Evidence<'_>) -> Vec<Hypothesis> {
    if !all_refused(case) {
        return Vec::new();
    }
    if let Some(good) = case.past.good_with_this_pair() {
        let worked = format!("{} was accepted with this pair before", good.method);
        let likelihood = if points_elsewhere(case) {
            Possible
        } else {
            Likely
        };
        let updated = case
            .past
            .key_updated_ms
            .filter(|updated| *updated > good.at_ms);
        let updated =
            updated.map(|_| "the dashboard shows the key updated after the last accepted call");
        let claim =
            |cause, likelihood| Hypothesis::new(cause, Refusal, likelihood).pro(worked.clone());
        return vec![
            claim(Cause::ChangedAtExchange, likelihood).maybe_pro(updated),
            claim(Cause::KeyDisabled, likelihood),
            Hypothesis::ruled_out(Cause::KeyMismatch, Refusal, worked),
        ];
    }
    let evidence = "key and secret changed at the same start, and nothing was accepted since";
    let replaced = case.past.unproven() == Some(Origin::Replaced);
    replaced
        .then(|| Hypothesis::new(Cause::PairChanged, Refusal, Likely).pro(evidence))
        .into_iter()
        .collect()
}

/// Rows 12, 13 and 29: some reads are refused and others accepted.
pub(super) fn some_of_them(case: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = case.meeting(Kind::Refused);
    let (Some(accepted), false) = (case.acceptance(), refused.is_empty()) else {
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
    let recorded = case
        .past
        .methods
        .iter()
        .any(|past| past.objection() == Some(Kind::Address));
    let named = recorded || !case.meeting(Kind::Address).is_empty();
    let excluded = excluded
        .into_iter()
        .filter(|cause| *cause != Cause::IpNotListed || !named);
    let mut claims: Vec<Hypothesis> = excluded
        .map(|cause| Hypothesis::ruled_out(cause, Refusal, accepted.clone()))
        .collect();
    let claim = |cause, likelihood| {
        Hypothesis::new(cause, Refusal, likelihood)
            .pro(list(&refused))
            .pro(accepted.clone())
    };
    if let [(probe, _)] = refused.as_slice() {
        let method = probe.method().unwrap_or_default();
        claims.push(claim(Cause::MethodPermission, Likely).of_method(method));
        if *probe == Probe::OpenOrders {
            let evidence = "it is the only probe with params";
            let doubt = "the signing vectors come out as documented";
            claims.push(
                claim(Cause::ParamsString, Likely)
                    .pro(evidence)
                    .con(doubt)
                    .of_method(method),
            );
        }
        return claims;
    }
    claims.push(claim(Cause::SomeMethods, Likely));
    claims.push(claim(Cause::Intermittent, Possible));
    claims.push(claim(Cause::MethodPermission, Possible));
    claims
}
