//! One call that was refused: what the exchange says itself, then what the calls before it say.
//!
//! The first rule that applies decides, because a hint is one line about one call. A call accepted after the failures
//! began rules out key, address and clock, because the exchange looks at them for every call; one accepted before shows
//! that the pair is right. What callers alone can bring about is never `very likely`. Each rule puts the likeliest
//! cause first; the others cannot be told from it, or come next.

use std::iter;

use super::{PATTERN, budget_words, half_rotated_likelihood, named};
use crate::{
    causes::{
        Cause,
        Likelihood::{self, Likely, Possible, VeryLikely},
        evidence::CallEvidence,
        hypothesis::{Hypothesis, Topic::Refusal},
    },
    key_pairs::{Half, Origin},
    probes::{certainly_inside, certainly_outside},
    verdict::Objection,
};
use catalogue::methods::Class;
use gateway::observed::Expected;

/// Said where nothing but the exchange's own word is known.
const SAYS_SO: &str = "the exchange says so";

/// A cause with the others that are not excluded.
fn beside(hypothesis: Hypothesis, others: &[Cause]) -> Vec<Hypothesis> {
    let others = others
        .iter()
        .map(|cause| Hypothesis::new(*cause, Refusal, Possible));
    iter::once(hypothesis).chain(others).collect()
}

const fn hypothesis(cause: Cause, likelihood: Likelihood) -> Hypothesis {
    Hypothesis::new(cause, Refusal, likelihood)
}

/// The exchange, or what stands before it, names the cause.
pub(super) fn named_by_the_exchange(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    let Some((cause, likelihood)) = named(call.objection) else {
        return Vec::new();
    };
    let found = hypothesis(cause, likelihood);
    let found = match call.objection {
        Objection::Address => found.pro(SAYS_SO).pro(call.whereabouts()),
        Objection::Budget => {
            let budget = call.report.method.as_deref().and_then(budget_words);
            found.pro(budget.unwrap_or_else(|| SAYS_SO.to_owned()))
        }
        Objection::Edge => found.pro(format!(
            "HTTP {} without a code of the exchange",
            call.report.status
        )),
        Objection::Tier | Objection::Maintenance | Objection::Refused | Objection::Nonce => {
            found.pro(SAYS_SO)
        }
    };
    vec![found]
}

/// The exchange names the nonce.
pub(super) fn nonce(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    if call.objection != Objection::Nonce {
        return Vec::new();
    }
    let skew = call.report.skew;
    if skew.is_some_and(certainly_outside) {
        return vec![hypothesis(Cause::ClockSkew, VeryLikely).pro(call.clock())];
    }
    if skew.is_some_and(certainly_inside) {
        // The skew is of the answers before: a clock that has just stepped is not excluded by it.
        let took = call.report.exchange.as_millis();
        let stalled = hypothesis(Cause::StalledHost, Possible)
            .pro(call.clock())
            .pro(format!("the answer took {took} ms"));
        return beside(stalled, &[Cause::ClockSkew]);
    }
    let clock = hypothesis(Cause::ClockSkew, Likely).pro(call.clock());
    beside(clock, &[Cause::StalledHost])
}

/// Refused and accepted in turns.
pub(super) fn in_turns(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    let recoveries = call.facts.past.method.recoveries_until(call.facts.now);
    if recoveries < PATTERN {
        return Vec::new();
    }
    let turns = hypothesis(Cause::Intermittent, Likely).pro(format!(
        "this method was accepted again {recoveries} times after refusals within the last hour"
    ));
    beside(turns, &[Cause::IpDrift])
}

/// Other methods of its class are accepted since it fails.
pub(super) fn this_method_alone(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    let past = &call.facts.past;
    if !past.class.accepted_after(past.method.failing_since) {
        return Vec::new();
    }
    let alone = hypothesis(Cause::MethodPermission, Likely).pro(format!(
        "other {} calls are accepted since it fails",
        call.class()
    ));
    beside(alone, params_string(call))
}

/// Other classes are accepted since its class fails.
pub(super) fn this_class_alone(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    let past = &call.facts.past;
    let others = if past.reads.accepted_after(past.class.failing_since) {
        "reads"
    } else if past.all.accepted_after(past.class.failing_since) {
        "other calls"
    } else {
        return Vec::new();
    };
    let permission = hypothesis(missing_permission(call.report.class), Likely).pro(format!(
        "{others} are accepted since {} calls fail",
        call.class()
    ));
    beside(permission, params_string(call))
}

/// On some days a wrong clock is answered with 40101.
pub(super) fn clock(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    if !call.report.skew.is_some_and(certainly_outside) {
        return Vec::new();
    }
    let clock = hypothesis(Cause::ClockSkew, Likely).pro(call.clock());
    beside(clock, &[Cause::KeyMismatch])
}

/// One half of the last whole pair was replaced: it was accepted before, or it is a new key beside the old secret.
pub(super) fn half_rotated(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    let origin = call.facts.pair.origin;
    let because = match origin {
        Origin::Half {
            replaced: Half::Key,
            worked: true,
        } => "the key changed and its secret did not, since calls were accepted",
        Origin::Half {
            replaced: Half::Secret,
            worked: true,
        } => "the secret changed and its key did not, since calls were accepted",
        Origin::Half {
            replaced: Half::Key,
            worked: false,
        } => "the same secret stood beside another key before",
        Origin::Half {
            replaced: Half::Secret,
            worked: false,
        }
        | Origin::First
        | Origin::Proven
        | Origin::Replaced
        | Origin::TwoStarts => return Vec::new(),
    };
    let (Some(likelihood), true) = (half_rotated_likelihood(origin), call.never_worked()) else {
        return Vec::new();
    };
    // One refused call is no proof that the pair never works.
    let half = hypothesis(Cause::HalfRotated, likelihood.min(Likely)).pro(because);
    beside(
        half,
        &[Cause::KeyMismatch, Cause::KeyDisabled, Cause::IpNotListed],
    )
}

/// Calls leave from elsewhere than the last accepted one did, or than the operator expects.
pub(super) fn address_moved(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    let Some(now) = call.outbound().map(|seen| seen.address) else {
        return Vec::new();
    };
    let last = call.facts.past.all.accepted;
    let before = last.and_then(|accepted| accepted.address);
    let moved = before.filter(|before| *before != now);
    let unexpected = before.is_none() && call.is_expected() == Some(false);
    if moved.is_none() && !unexpected {
        return Vec::new();
    }
    let unproven = call.never_worked() && call.facts.pair.origin != Origin::Proven;
    let other = if unproven {
        Cause::KeyMismatch
    } else {
        Cause::ChangedAtExchange
    };
    let drift = hypothesis(Cause::IpDrift, Likely)
        .pro(call.whereabouts())
        .maybe_pro(moved.map(|before| format!("the last accepted one left from {before}")));
    beside(drift, &[other, Cause::KeyDisabled])
}

/// Calls were accepted with this key: this method among them, or others alone.
pub(super) fn worked_before(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    let past = &call.facts.past;
    let Some(last) = past.all.accepted else {
        return Vec::new();
    };
    let Some(same) = past.method.accepted else {
        let cause = if past.class.accepted.is_none() {
            missing_permission(call.report.class)
        } else {
            Cause::MethodPermission
        };
        let never = hypothesis(cause, Possible).pro(format!(
            "other calls were accepted, last {}; this method never yet",
            call.ago(last)
        ));
        let others = [Cause::ChangedAtExchange, Cause::IpNotListed];
        return beside(never, &[&others[..], params_string(call)].concat());
    };
    let unmoved =
        same.address.is_some() && same.address == call.outbound().map(|seen| seen.address);
    let changed = hypothesis(
        Cause::ChangedAtExchange,
        if unmoved { Likely } else { Possible },
    )
    .pro(format!(
        "this method was accepted {} with the same key",
        call.ago(same)
    ))
    .pro(call.whereabouts());
    beside(changed, &[Cause::KeyDisabled, Cause::IpNotListed])
}

/// Key and secret changed at the same start.
pub(super) fn pair_changed(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    if call.facts.pair.origin != Origin::Replaced {
        return Vec::new();
    }
    let changed = hypothesis(Cause::PairChanged, Possible)
        .pro("key and secret changed at the same start, and nothing was accepted since");
    let others = [Cause::KeyMismatch, Cause::KeyDisabled];
    beside(changed, &[others, address_and_permission(call)].concat())
}

/// Key and secret of different starts: of one creation where the later one mended what the earlier one broke, and not
/// to be told from here.
pub(super) fn mixed_pair(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    let address_and_permission = address_and_permission(call);
    match call.facts.pair.origin {
        Origin::Half {
            replaced: Half::Secret,
            worked: false,
        } => {
            let half = hypothesis(Cause::HalfRotated, Possible)
                .pro("the secret changed and its key did not: half a rotation, or one mended");
            let others = [Cause::KeyMismatch, Cause::KeyDisabled];
            beside(half, &[others, address_and_permission].concat())
        }
        Origin::TwoStarts => {
            let mismatch = hypothesis(Cause::KeyMismatch, Possible).pro(
                "key and secret both changed, at different starts, and nothing was accepted since",
            );
            let [first, second] = address_and_permission;
            beside(
                mismatch,
                &[
                    Cause::KeyDisabled,
                    Cause::PairChanged,
                    first,
                    second,
                    Cause::HalfRotated,
                ],
            )
        }
        Origin::First | Origin::Proven | Origin::Half { .. } | Origin::Replaced => Vec::new(),
    }
}

/// Nothing was accepted in this process, and nothing is known to have changed.
pub(super) fn nothing_known(call: &CallEvidence<'_>) -> Vec<Hypothesis> {
    let (cause, known) = if call.facts.pair.origin == Origin::Proven {
        (
            Cause::ChangedAtExchange,
            "calls were accepted with this pair before this start, none since",
        )
    } else {
        (
            Cause::KeyMismatch,
            "no private call was accepted since the start",
        )
    };
    let likelihood = if call.is_expected() == Some(true) {
        Likely
    } else {
        Possible
    };
    let likeliest = hypothesis(cause, likelihood)
        .pro(known)
        .pro(call.whereabouts())
        .pro(call.clock());
    // What the operator stated makes an address cause less likely and never excludes it, so it stays in the list.
    let [first, second] = address_and_permission(call);
    beside(likeliest, &[Cause::KeyDisabled, first, second])
}

const fn missing_permission(class: Option<Class>) -> Cause {
    match class {
        Some(Class::Read) => Cause::NoReadPermission,
        Some(Class::Trade) => Cause::NoTradePermission,
        Some(Class::Public | Class::Products | Class::Transfer | Class::AccountAdmin) | None => {
            Cause::MethodPermission
        }
    }
}

/// A signature with params can be wrong where one without is right.
const fn params_string(call: &CallEvidence<'_>) -> &'static [Cause] {
    if call.report.params_string_len > 0 {
        &[Cause::ParamsString]
    } else {
        &[]
    }
}

/// The permission first where the operator's statement speaks against the address.
fn address_and_permission(call: &CallEvidence<'_>) -> [Cause; 2] {
    let permission = missing_permission(call.report.class);
    if call.is_expected() == Some(true) || call.facts.expected == Expected::Any {
        [permission, Cause::IpNotListed]
    } else {
        [Cause::IpNotListed, permission]
    }
}
