//! `40101` and its like, of which the exchange says nothing more.
//!
//! Guarantees: the first rule that applies decides. A call accepted after the failures began rules out key, address and
//! clock, because the exchange looks at them for every call; one accepted before shows that the pair is right.

use super::{Case, Finding, certainly_outside};
use crate::{
    diagnosis::{
        causes::{
            Cause,
            Likelihood::{Likely, Possible},
        },
        pair_memory::Change,
    },
    exchange::methods::Class,
    gateway::observed::Expected,
};

/// So many changes between refused and accepted are a pattern.
const PATTERN: u32 = 2;

type Rule = fn(&Case<'_>) -> Option<Finding>;

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
    came_apart,
];

/// Judges a call that was refused without a reason.
pub(super) fn judge(case: &Case<'_>) -> Finding {
    RULES.iter().find_map(|rule| rule(case)).unwrap_or_else(|| nothing_known(case))
}

fn in_turns(case: &Case<'_>) -> Option<Finding> {
    let recoveries = case.facts.past.method.recoveries_until(case.facts.now);
    let evidence = || format!("this method was accepted again {recoveries} times after refusals within the last hour");
    (recoveries >= PATTERN).then(|| Finding(Cause::Intermittent, Likely, evidence(), vec![Cause::IpDrift]))
}

fn this_method_alone(case: &Case<'_>) -> Option<Finding> {
    let past = &case.facts.past;
    if !past.class.accepted_after(past.method.failing_since) {
        return None;
    }
    let evidence = format!("other {} calls are accepted since it fails", case.class());
    Some(Finding(Cause::MethodPermission, Likely, evidence, case.params_string()))
}

fn this_class_alone(case: &Case<'_>) -> Option<Finding> {
    let past = &case.facts.past;
    let cause = missing_permission(case.report.class);
    if past.reads.accepted_after(past.class.failing_since) {
        let evidence = format!("reads are accepted since {} calls fail", case.class());
        return Some(Finding(cause, Likely, evidence, case.params_string()));
    }
    let evidence = || format!("other calls are accepted since {} calls fail", case.class());
    let others = past.all.accepted_after(past.class.failing_since);
    others.then(|| Finding(cause, Likely, evidence(), case.params_string()))
}

fn clock(case: &Case<'_>) -> Option<Finding> {
    let skew = case.report.skew.filter(|skew| certainly_outside(*skew))?;
    let evidence = format!("clock {skew} ms");
    Some(Finding(Cause::ClockSkew, Likely, evidence, vec![Cause::KeyMismatch]))
}

/// A new key beside the old secret. The other half, a new secret, is [`came_apart`]'s: it mends as often as it breaks.
fn half_rotated(case: &Case<'_>) -> Option<Finding> {
    let half = "the key changed at this start and its secret did not".to_owned();
    let alternatives = vec![Cause::KeyMismatch, Cause::KeyDisabled, Cause::IpNotListed];
    let applies = case.facts.pair.change == Change::KeyChanged && case.never_worked();
    applies.then_some(Finding(Cause::HalfRotated, Likely, half, alternatives))
}

fn address_moved(case: &Case<'_>) -> Option<Finding> {
    let address = case.outbound()?.address;
    let before = case.facts.past.all.accepted.and_then(|accepted| accepted.address);
    let worked_here = before == Some(address);
    let evidence = match before {
        Some(before) if !worked_here => format!("{}, the last accepted one left from {before}", case.whereabouts()),
        _ if case.is_expected() == Some(false) && !worked_here => case.whereabouts(),
        _ => return None,
    };
    let other = if case.never_worked() { Cause::KeyMismatch } else { Cause::ChangedAtExchange };
    Some(Finding(Cause::IpDrift, Likely, evidence, vec![other, Cause::KeyDisabled]))
}

fn worked_before(case: &Case<'_>) -> Option<Finding> {
    let past = &case.facts.past;
    let last = past.all.accepted?;
    let Some(same) = past.method.accepted else {
        let whole_class = past.class.accepted.is_none();
        let cause = if whole_class { missing_permission(case.report.class) } else { Cause::MethodPermission };
        let evidence = format!("other calls were accepted, last {}; this method never yet", case.ago(last));
        let alternatives = [vec![Cause::ChangedAtExchange, Cause::IpNotListed], case.params_string()].concat();
        return Some(Finding(cause, Possible, evidence, alternatives));
    };
    let unmoved = same.address.is_some() && same.address == case.outbound().map(|seen| seen.address);
    let likelihood = if unmoved { Likely } else { Possible };
    let evidence = format!("this method was accepted {} with the same key, {}", case.ago(same), case.whereabouts());
    Some(Finding(Cause::ChangedAtExchange, likelihood, evidence, vec![Cause::KeyDisabled, Cause::IpNotListed]))
}

fn pair_changed(case: &Case<'_>) -> Option<Finding> {
    let alternatives = [vec![Cause::KeyMismatch, Cause::KeyDisabled], case.address_and_permission()].concat();
    let evidence = "key and secret changed at this start, and nothing was accepted since".to_owned();
    (case.facts.pair.change == Change::Both).then_some(Finding(Cause::PairChanged, Possible, evidence, alternatives))
}

/// Key and secret of different starts. The memory cannot tell K1S1, K1S2 (broken) from K1S1, K2S1, K2S2 (mended): the
/// pair has come apart in both.
fn came_apart(case: &Case<'_>) -> Option<Finding> {
    let alternatives = [vec![Cause::KeyMismatch, Cause::KeyDisabled], case.address_and_permission()].concat();
    let evidence = if case.facts.pair.change == Change::SecretChanged {
        "the secret changed at this start and its key did not: half a rotation, or one mended".to_owned()
    } else {
        "key and secret came at different starts, and nothing was accepted since this one".to_owned()
    };
    case.facts.pair.came_apart.then_some(Finding(Cause::HalfRotated, Possible, evidence, alternatives))
}

/// Nothing was accepted in this process, and nothing is known to have changed.
fn nothing_known(case: &Case<'_>) -> Finding {
    let listed = case.is_expected() == Some(true);
    let likelihood = if listed { Likely } else { Possible };
    let evidence = format!("no private call was accepted since the start, {}, {}", case.whereabouts(), case.clock());
    // What the operator stated makes an address cause less likely and never excludes it, so it stays in the list.
    let alternatives = [vec![Cause::KeyDisabled], case.address_and_permission()].concat();
    Finding(Cause::KeyMismatch, likelihood, evidence, alternatives)
}

const fn missing_permission(class: Option<Class>) -> Cause {
    match class {
        Some(Class::Read) => Cause::NoReadPermission,
        Some(Class::Trade) => Cause::NoTradePermission,
        Some(Class::Public | Class::Products | Class::Transfer | Class::AccountAdmin) | None => Cause::MethodPermission,
    }
}

impl Case<'_> {
    fn class(&self) -> &'static str {
        self.report.class.map_or("private", Class::name)
    }

    fn never_worked(&self) -> bool {
        self.facts.past.all.accepted.is_none()
    }

    /// A signature with params can be wrong where one without is right.
    fn params_string(&self) -> Vec<Cause> {
        if self.report.params_string_len > 0 { vec![Cause::ParamsString] } else { vec![] }
    }

    /// The permission first where the operator's statement speaks against the address.
    fn address_and_permission(&self) -> Vec<Cause> {
        let permission = missing_permission(self.report.class);
        let address_unlikely = self.is_expected() == Some(true) || self.facts.expected == Expected::Any;
        if address_unlikely { vec![permission, Cause::IpNotListed] } else { vec![Cause::IpNotListed, permission] }
    }
}
