//! One call that was refused without a reason, beside the calls of this process before it: rows 7, 8, 12 and 13 of the
//! catalogue, without a probe.
//!
//! A call accepted after the failures began rules out key, address and clock, because the exchange looks at them for
//! every call. What callers alone can bring about is never `very likely`.

use crate::{
    causes::{
        Cause,
        Likelihood::{Likely, Possible},
        evidence::{Evidence, FailedCall},
        hypothesis::{Hypothesis, Topic::Refusal},
    },
    tracker::Alone,
    verdict::Objection,
};
use catalogue::methods::Class;

/// The call, where the exchange does not say why it was refused.
fn refused<'a>(evidence: &Evidence<'a>) -> Option<&'a FailedCall<'a>> {
    if evidence.meeting(Objection::Refused).is_empty() {
        return None;
    }
    evidence.call
}

/// Others are accepted since this method, or its class, fails.
pub(super) fn alone(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(call) = refused(evidence).filter(|_| !evidence.in_turns()) else {
        return Vec::new();
    };
    let class = call.report.class.map_or("private", Class::name);
    let (cause, because) = match call.track.alone() {
        None => return Vec::new(),
        Some(Alone::Method) => (
            Cause::MethodPermission,
            format!("other {class} calls are accepted since it fails"),
        ),
        Some(Alone::ClassBesideReads) => (
            missing_permission(evidence),
            format!("reads are accepted since {class} calls fail"),
        ),
        Some(Alone::Class) => (
            missing_permission(evidence),
            format!("other calls are accepted since {class} calls fail"),
        ),
    };
    let mut hypotheses = vec![Hypothesis::new(cause, Refusal, Likely).pro(because)];
    hypotheses.extend(params_string(call));
    hypotheses
}

/// Other methods were accepted before, this one never.
pub(super) fn never_accepted(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(call) = refused(evidence).filter(|_| evidence.all_refused()) else {
        return Vec::new();
    };
    let (Some(last), None) = (call.track.all.accepted, call.track.method.accepted) else {
        return Vec::new();
    };
    let cause = if call.track.class.accepted.is_none() {
        missing_permission(evidence)
    } else {
        Cause::MethodPermission
    };
    let because = format!(
        "other calls were accepted, last {}; this method never yet",
        call.ago(last.at)
    );
    let mut hypotheses = [cause, Cause::ChangedAtExchange, Cause::IpNotListed]
        .map(|cause| Hypothesis::new(cause, Refusal, Possible).pro(because.clone()))
        .to_vec();
    hypotheses.extend(params_string(call));
    hypotheses
}

/// The permission that would be missing; a run is about reads.
pub(super) const fn missing_permission(evidence: &Evidence<'_>) -> Cause {
    let Some(call) = evidence.call else {
        return Cause::NoReadPermission;
    };
    match call.report.class {
        Some(Class::Read) => Cause::NoReadPermission,
        Some(Class::Trade) => Cause::NoTradePermission,
        Some(Class::Public | Class::Products | Class::Transfer | Class::AccountAdmin) | None => {
            Cause::MethodPermission
        }
    }
}

/// A signature with params can be wrong where one without is right.
fn params_string(call: &FailedCall<'_>) -> Option<Hypothesis> {
    if call.report.params_string_len == 0 {
        return None;
    }
    Some(Hypothesis::new(Cause::ParamsString, Refusal, Possible).pro("the call had params"))
}
