//! What callers met, as the record has it: rows 7, 9, 12, 14, 15, 18, 20, 22 to 25, 27, 28, 29 and 32 of the
//! catalogue.
//!
//! Guarantees: what callers alone can bring about is `likely` at most.

use super::named;
use crate::{
    causes::{
        Cause,
        Likelihood::{Likely, Possible, VeryLikely},
        MethodPast, Symptom,
        evidence::Evidence,
        hypothesis::{
            Hypothesis,
            Topic::{self, Calls, Here},
        },
    },
    probes::{Answer, Probe},
    verdict::Objection,
};
use catalogue::methods::Class;

/// Codes that are about the order itself.
const OF_THE_ORDER: [i64; 6] = [306, 308, 213, 315, 40004, 220];
/// Trigger orders on the method that no longer takes them.
const API_DISABLED: i64 = 140_001;

/// Doubts that are named one by one.
const NAMED: usize = 8;

/// Money may be at stake: before every other cause.
pub(super) fn in_doubt(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let doubts = &evidence.past.in_doubt;
    if doubts.is_empty() {
        return Vec::new();
    }
    let mut found = Hypothesis::new(Cause::InDoubt, Topic::Doubt, VeryLikely);
    for doubt in doubts.iter().take(NAMED) {
        let name = doubt.name.as_deref().unwrap_or("an order without a name");
        let time = text::time::rfc3339(doubt.ms);
        found = found.pro(format!(
            "{name}: {} of {}, begun at {time}, had no conclusive answer (rid {})",
            doubt.method, doubt.caller, doubt.rid
        ));
    }
    let more = doubts.len().saturating_sub(NAMED);
    if more > 0 {
        found = found.pro(format!("and {more} more"));
    }
    vec![found]
}

/// No order goes, whatever the exchange says of other calls.
pub(super) fn journal_away(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(away) = &evidence.past.journal_away else {
        return Vec::new();
    };
    vec![Hypothesis::new(Cause::JournalAway, Here, VeryLikely).pro(away.why.clone())]
}

/// Row 23.
pub(super) fn not_restarted(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let here = evidence
        .findings
        .credentials()
        .and_then(|facts| facts.fingerprint.as_deref());
    let (Some(here), Some(daemon)) = (here, evidence.past.daemon_fingerprint.as_deref()) else {
        return Vec::new();
    };
    let because = match (here == daemon, evidence.past.daemon_has_another_secret) {
        (false, _) => format!("the file's key has fingerprint {here}, the daemon's {daemon}"),
        (true, true) => format!("beside key {here} the file has another secret than the daemon"),
        (true, false) => return Vec::new(),
    };
    let start = "the daemon's is the pair of its last start, and no stop is recorded since";
    let start = evidence.past.last_start.as_ref().map(|_| start);
    let refused = evidence.accepted().is_none() && !evidence.answers().is_empty();
    let hypothesis = |likelihood| {
        Hypothesis::new(Cause::NotRestarted, Calls, likelihood)
            .pro(because)
            .maybe_pro(start)
    };
    vec![match (refused, evidence.past.probed_by_the_daemon) {
        (false, _) => hypothesis(VeryLikely),
        // What was refused is what a restart replaces.
        (true, true) => hypothesis(VeryLikely)
            .pro("what was refused in this run is the daemon's pair, not the file's"),
        // A daemon that still works with the old pair is not to be restarted into one that is refused.
        (true, false) => hypothesis(Possible)
            .con("the file's pair is not accepted either: put that right before a restart"),
    }]
}

/// Row 28, by a file that is not the daemon's: its pair is refused, and it is not the daemon's.
pub(super) fn another_pair(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = evidence.accepted().is_none() && !evidence.answers().is_empty();
    let (Some(own), true) = (&evidence.past.daemons_own, refused) else {
        return Vec::new();
    };
    let because = format!(
        "the file holds another pair than the daemon, whose key is {}",
        own.key_fp
    );
    let found =
        |likelihood| Hypothesis::new(Cause::SignsForItself, Calls, likelihood).pro(because.clone());
    vec![if own.works() {
        found(VeryLikely).pro(own.describe())
    } else {
        found(Possible).con(own.describe())
    }]
}

/// The methods of a class that fail now, as far as the record and the probes of this run tell.
fn failing<'a>(evidence: &'a Evidence<'_>, class: Class) -> Vec<&'a MethodPast> {
    let of_class = evidence
        .past
        .methods
        .iter()
        .filter(|past| past.class == Some(class) && past.failing > 0);
    of_class
        .filter(|past| !evidence.accepts(&past.method))
        .collect()
}

/// Whether a trade is accepted now.
fn trades(evidence: &Evidence<'_>) -> bool {
    let mut trades = evidence
        .past
        .methods
        .iter()
        .filter(|past| past.class == Some(Class::Trade));
    trades.any(|past| past.accepted > 0 && past.failing == 0)
}

fn how_often(past: &MethodPast) -> String {
    let before = if past.accepted > 0 {
        "and was accepted before"
    } else {
        "and never accepted"
    };
    let times = if past.failing == 1 {
        "once".to_owned()
    } else {
        format!("{} times", past.failing)
    };
    format!("{} was refused {times} {before}", past.method)
}

/// Row 7: reads are accepted, and every trade is refused.
pub(super) fn trades_refused(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let refused = failing(evidence, Class::Trade);
    let (Some(first), Some(reads), false) =
        (refused.first(), evidence.acceptance(), trades(evidence))
    else {
        return probed(evidence);
    };
    let cancel = evidence.findings.answer(Probe::CancelUnknown);
    let doubt = cancel.filter(|answer| answer.is_acceptance());
    let doubt = doubt.map(|answer| {
        format!(
            "a cancellation of nothing got {}, which is unproven",
            answer.describe()
        )
    });
    let worked = refused.iter().find(|past| past.accepted > 0);
    let changed = worked.map(|past| {
        Hypothesis::new(Cause::ChangedAtExchange, Calls, Possible).pro(how_often(past))
    });
    let hypothesis = Hypothesis::new(Cause::NoTradePermission, Calls, Likely)
        .pro(how_often(first))
        .pro(reads)
        .maybe_con(doubt);
    let alone = Hypothesis::new(Cause::SignsForItself, Calls, Possible)
        .pro("a program may sign its orders itself");
    [Some(hypothesis), changed, Some(alone)]
        .into_iter()
        .flatten()
        .collect()
}

/// What the cancellation of nothing says stays possible: it is unproven.
fn probed(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(cancel) = evidence.findings.answer(Probe::CancelUnknown) else {
        return Vec::new();
    };
    let (Some(reads), true) = (
        evidence.acceptance(),
        Answer::objection(cancel).is_some() && cancel.code.is_some(),
    ) else {
        return Vec::new();
    };
    let because = format!("a cancellation of nothing got {}", cancel.describe());
    vec![
        Hypothesis::new(Cause::NoTradePermission, Calls, Possible)
            .pro(because)
            .pro(reads),
    ]
}

/// Row 27.
pub(super) fn in_turns(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    // Of a call that the exchange refused with its reason, that reason counts.
    let says_why = evidence.call.is_some() && evidence.meeting(Objection::Refused).is_empty();
    if !evidence.in_turns() || says_why {
        return Vec::new();
    }
    let recoveries = evidence.past.recoveries;
    let because =
        format!("calls were accepted again {recoveries} times after refusals within an hour");
    let hypothesis =
        |cause, likelihood| Hypothesis::new(cause, Calls, likelihood).pro(because.clone());
    vec![
        hypothesis(Cause::Intermittent, Likely),
        hypothesis(Cause::IpDrift, Possible),
    ]
}

/// Rows 12 and 29: in the record some methods are refused and others are not, and it is no split by class.
pub(super) fn single_methods(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(accepted) = evidence.acceptance() else {
        return Vec::new();
    };
    let of_trades = if trades(evidence) {
        failing(evidence, Class::Trade)
    } else {
        Vec::new()
    };
    let found: Vec<&MethodPast> = of_trades
        .into_iter()
        .chain(failing(evidence, Class::Read))
        .collect();
    let names: Vec<&str> = found.iter().map(|past| past.method.as_str()).collect();
    let because = found
        .iter()
        .map(|past| how_often(past))
        .collect::<Vec<_>>()
        .join("; ");
    let hypothesis = |cause, likelihood| {
        Hypothesis::new(cause, Calls, likelihood)
            .pro(because.clone())
            .pro(accepted.clone())
    };
    match names.as_slice() {
        [] => Vec::new(),
        [method] => vec![hypothesis(Cause::MethodPermission, Likely).of_method(*method)],
        [method, ..] => vec![
            hypothesis(Cause::SomeMethods, Likely),
            hypothesis(Cause::MethodPermission, Possible).of_method(*method),
            hypothesis(Cause::Intermittent, Possible),
        ],
    }
}

/// Rows 9, 20, 24 and 25: codes that say it themselves.
pub(super) fn codes(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let hypothesis = |past: &MethodPast| {
        let code = past.last_code?;
        let lasts = |objection: &Objection| match objection {
            Objection::Budget => true,
            // A method that this run was accepted with is over it.
            Objection::Address | Objection::Tier => !evidence.accepts(&past.method),
            Objection::Refused
            | Objection::Nonce
            | Objection::Maintenance
            | Objection::Outage
            | Objection::Edge => false,
        };
        let cause = if code == API_DISABLED {
            Cause::TriggerOrders
        } else if let Some((cause, _)) = past.objection().filter(lasts).and_then(named) {
            cause
        } else if OF_THE_ORDER.contains(&code) {
            Cause::OrderItself
        } else {
            return None;
        };
        let because = format!("{} was answered with code {code}", past.method);
        let mut found = Hypothesis::new(cause, Calls, Likely)
            .pro(because)
            .of_method(past.method.as_str());
        if cause == Cause::IpNotListed {
            let doubt = evidence.acceptance().map(|accepted| {
                format!("{accepted}: the whitelist was mended since, or the address alternates")
            });
            found = found.pro(evidence.whereabouts()).maybe_con(doubt);
        }
        Some(found)
    };
    evidence
        .past
        .methods
        .iter()
        .filter_map(hypothesis)
        .collect()
}

/// Row 22.
pub(super) fn refused_here(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let calls = evidence.past.refused_here;
    if calls == 0 {
        return Vec::new();
    }
    let because = match calls {
        1 => "1 call was refused by the proxy itself".to_owned(),
        _ => format!("{calls} calls were refused by the proxy itself"),
    };
    vec![Hypothesis::new(Cause::RefusedHere, Here, Likely).pro(because)]
}

/// Row 32.
pub(super) fn not_recorded(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let Some(why) = &evidence.past.unwritten else {
        return Vec::new();
    };
    let because = format!("the history loses calls: {why}");
    vec![Hypothesis::new(Cause::NotRecorded, Here, VeryLikely).pro(because)]
}

/// Row 18, as the endpoints saw it.
pub(super) fn foreign_scheme(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let requests = evidence.past.foreign_scheme;
    if requests == 0 {
        return Vec::new();
    }
    let what = if requests == 1 { "request" } else { "requests" };
    let because =
        format!("{requests} {what} refused here within the last hour had X-CAPI-… headers");
    vec![Hypothesis::new(Cause::InventedScheme, Calls, Likely).pro(because)]
}

/// Rows 14, 15, 18 and 28: what somebody says of a program. It is weighed where the probes show that the pair is fine;
/// elsewhere it stands, below what they show.
pub(super) fn told(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let accepted = evidence.acceptance();
    let hypothesis = |told: &Symptom| {
        let (cause, said) = match told {
            Symptom::OnlyFlaggedOrders => (
                Cause::BooleanCase,
                "only reduce_only or post_only orders are said to fail",
            ),
            Symptom::OnlyMarginOrders => (
                Cause::MarginPermission,
                "only margin orders are said to fail",
            ),
            Symptom::InventedHeaders => (
                Cause::InventedScheme,
                "a program is said to show headers of its own scheme",
            ),
            Symptom::FailsElsewhere => (
                Cause::SignsForItself,
                "a program fails, and its calls are not in the record",
            ),
        };
        match &accepted {
            Some(accepted) => Hypothesis::new(cause, Calls, Likely)
                .pro(said)
                .pro(accepted.clone()),
            None => Hypothesis::new(cause, Calls, Possible)
                .pro(said)
                .con("no probe was accepted in this run: put that right first"),
        }
    };
    evidence.past.told.iter().map(hypothesis).collect()
}
