//! `40101` and its like, of which the exchange says nothing more.
//!
//! Guarantees: the first rule that applies decides. A call accepted after the failures began rules out key, address and
//! clock, because the exchange looks at them for every call; one accepted before shows that the pair is right.

use super::{Evidence, Judgement, certainly_outside};
use crate::{
    causes::{
        Cause,
        Likelihood::{Likely, Possible},
    },
    key_pairs::{Half, Origin},
};
use catalogue::methods::Class;
use gateway::observed::Expected;

/// So many changes between refused and accepted are a pattern.
const PATTERN: u32 = 2;

type Rule = fn(&Evidence<'_>) -> Option<Judgement>;

/// In order of precedence.
const RULES: [Rule; 9] = [
    in_turns,
    this_method_alone,
    this_class_alone,
    clock,
    half_rotated,
    address_moved,
    worked_before,
    pair_changed,
    mixed_pair,
];

/// Judges a call that was refused without a reason.
pub(super) fn judge(case: &Evidence<'_>) -> Judgement {
    RULES
        .iter()
        .find_map(|rule| rule(case))
        .unwrap_or_else(|| nothing_known(case))
}

fn in_turns(case: &Evidence<'_>) -> Option<Judgement> {
    let recoveries = case.facts.past.method.recoveries_until(case.facts.now);
    let evidence = || {
        format!(
            "this method was accepted again {recoveries} times after refusals within the last hour"
        )
    };
    (recoveries >= PATTERN).then(|| {
        Judgement(
            Cause::Intermittent,
            Likely,
            evidence(),
            vec![Cause::IpDrift],
        )
    })
}

fn this_method_alone(case: &Evidence<'_>) -> Option<Judgement> {
    let past = &case.facts.past;
    if !past.class.accepted_after(past.method.failing_since) {
        return None;
    }
    let evidence = format!("other {} calls are accepted since it fails", case.class());
    Some(Judgement(
        Cause::MethodPermission,
        Likely,
        evidence,
        case.params_string(),
    ))
}

fn this_class_alone(case: &Evidence<'_>) -> Option<Judgement> {
    let past = &case.facts.past;
    let cause = missing_permission(case.report.class);
    if past.reads.accepted_after(past.class.failing_since) {
        let evidence = format!("reads are accepted since {} calls fail", case.class());
        return Some(Judgement(cause, Likely, evidence, case.params_string()));
    }
    let evidence = || format!("other calls are accepted since {} calls fail", case.class());
    let others = past.all.accepted_after(past.class.failing_since);
    others.then(|| Judgement(cause, Likely, evidence(), case.params_string()))
}

fn clock(case: &Evidence<'_>) -> Option<Judgement> {
    let skew = case.report.skew.filter(|skew| certainly_outside(*skew))?;
    let evidence = format!("clock {skew} ms");
    Some(Judgement(
        Cause::ClockSkew,
        Likely,
        evidence,
        vec![Cause::KeyMismatch],
    ))
}

/// One half of the last whole pair was replaced: it was accepted before, or it is a new key beside the old secret.
fn half_rotated(case: &Evidence<'_>) -> Option<Judgement> {
    let Origin::Half { replaced, worked } = case.facts.pair.origin else {
        return None;
    };
    let evidence = match (replaced, worked) {
        (Half::Key, true) => "the key changed and its secret did not, since calls were accepted",
        (Half::Secret, true) => "the secret changed and its key did not, since calls were accepted",
        (Half::Key, false) => "the same secret stood beside another key before",
        (Half::Secret, false) => return None,
    };
    let alternatives = vec![Cause::KeyMismatch, Cause::KeyDisabled, Cause::IpNotListed];
    case.never_worked().then(|| {
        Judgement(
            Cause::HalfRotated,
            Likely,
            evidence.to_owned(),
            alternatives,
        )
    })
}

fn address_moved(case: &Evidence<'_>) -> Option<Judgement> {
    let address = case.outbound()?.address;
    let before = case
        .facts
        .past
        .all
        .accepted
        .and_then(|accepted| accepted.address);
    let worked_here = before == Some(address);
    let evidence = match before {
        Some(before) if !worked_here => format!(
            "{}, the last accepted one left from {before}",
            case.whereabouts()
        ),
        _ if case.is_expected() == Some(false) && !worked_here => case.whereabouts(),
        _ => return None,
    };
    let unproven = case.never_worked() && case.facts.pair.origin != Origin::Proven;
    let other = if unproven {
        Cause::KeyMismatch
    } else {
        Cause::ChangedAtExchange
    };
    Some(Judgement(
        Cause::IpDrift,
        Likely,
        evidence,
        vec![other, Cause::KeyDisabled],
    ))
}

fn worked_before(case: &Evidence<'_>) -> Option<Judgement> {
    let past = &case.facts.past;
    let last = past.all.accepted?;
    let Some(same) = past.method.accepted else {
        let whole_class = past.class.accepted.is_none();
        let cause = if whole_class {
            missing_permission(case.report.class)
        } else {
            Cause::MethodPermission
        };
        let evidence = format!(
            "other calls were accepted, last {}; this method never yet",
            case.ago(last)
        );
        let alternatives = [
            vec![Cause::ChangedAtExchange, Cause::IpNotListed],
            case.params_string(),
        ]
        .concat();
        return Some(Judgement(cause, Possible, evidence, alternatives));
    };
    let unmoved =
        same.address.is_some() && same.address == case.outbound().map(|seen| seen.address);
    let likelihood = if unmoved { Likely } else { Possible };
    let evidence = format!(
        "this method was accepted {} with the same key, {}",
        case.ago(same),
        case.whereabouts()
    );
    Some(Judgement(
        Cause::ChangedAtExchange,
        likelihood,
        evidence,
        vec![Cause::KeyDisabled, Cause::IpNotListed],
    ))
}

fn pair_changed(case: &Evidence<'_>) -> Option<Judgement> {
    let alternatives = [
        vec![Cause::KeyMismatch, Cause::KeyDisabled],
        case.address_and_permission(),
    ]
    .concat();
    let evidence =
        "key and secret changed at the same start, and nothing was accepted since".to_owned();
    let replaced = case.facts.pair.origin == Origin::Replaced;
    replaced.then_some(Judgement(
        Cause::PairChanged,
        Possible,
        evidence,
        alternatives,
    ))
}

/// Key and secret of different starts: of one creation where the later one mended what the earlier one broke, and not
/// to be told from here.
fn mixed_pair(case: &Evidence<'_>) -> Option<Judgement> {
    let others = |first: [Cause; 2]| [first.to_vec(), case.address_and_permission()].concat();
    match case.facts.pair.origin {
        Origin::Half {
            replaced: Half::Secret,
            worked: false,
        } => {
            let evidence =
                "the secret changed and its key did not: half a rotation, or one mended".to_owned();
            Some(Judgement(
                Cause::HalfRotated,
                Possible,
                evidence,
                others([Cause::KeyMismatch, Cause::KeyDisabled]),
            ))
        }
        Origin::TwoStarts => {
            let evidence =
                "key and secret both changed, at different starts, and nothing was accepted since"
                    .to_owned();
            let alternatives = [
                others([Cause::KeyDisabled, Cause::PairChanged]),
                vec![Cause::HalfRotated],
            ]
            .concat();
            Some(Judgement(
                Cause::KeyMismatch,
                Possible,
                evidence,
                alternatives,
            ))
        }
        Origin::First | Origin::Proven | Origin::Half { .. } | Origin::Replaced => None,
    }
}

/// Nothing was accepted in this process, and nothing is known to have changed.
fn nothing_known(case: &Evidence<'_>) -> Judgement {
    let listed = case.is_expected() == Some(true);
    let likelihood = if listed { Likely } else { Possible };
    // What the operator stated makes an address cause less likely and never excludes it, so it stays in the list.
    let alternatives = [vec![Cause::KeyDisabled], case.address_and_permission()].concat();
    let (cause, known) = if case.facts.pair.origin == Origin::Proven {
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
    Judgement(
        cause,
        likelihood,
        format!("{known}, {}, {}", case.whereabouts(), case.clock()),
        alternatives,
    )
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

impl Evidence<'_> {
    fn class(&self) -> &'static str {
        self.report.class.map_or("private", Class::name)
    }

    fn never_worked(&self) -> bool {
        self.facts.past.all.accepted.is_none()
    }

    /// A signature with params can be wrong where one without is right.
    fn params_string(&self) -> Vec<Cause> {
        if self.report.params_string_len > 0 {
            vec![Cause::ParamsString]
        } else {
            vec![]
        }
    }

    /// The permission first where the operator's statement speaks against the address.
    fn address_and_permission(&self) -> Vec<Cause> {
        let permission = missing_permission(self.report.class);
        let address_unlikely =
            self.is_expected() == Some(true) || self.facts.expected == Expected::Any;
        if address_unlikely {
            vec![permission, Cause::IpNotListed]
        } else {
            vec![Cause::IpNotListed, permission]
        }
    }
}
