//! The connection to the exchange: rows 17, 21 and 26 of the catalogue, and maintenance.

use crate::{
    causes::{
        Cause,
        Likelihood::{Likely, Possible, VeryLikely},
        evidence::{Answered, Evidence},
        hypothesis::{Hypothesis, Topic::Connection},
    },
    probes::{Answer, Probe, Seen},
    verdict::Objection,
};
use gateway::failure::Failure;

/// Row 21: name, connection, TLS, in the order in which they fail.
pub(super) fn not_reached(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let seen = |probe| evidence.findings.seen(probe);
    let very =
        |cause, because: String| vec![Hypothesis::new(cause, Connection, VeryLikely).pro(because)];
    let said = |probe: Probe| {
        let found = evidence
            .findings
            .list
            .iter()
            .find(|finding| finding.probe == probe);
        found
            .map(|finding| finding.says(&evidence.findings.expected))
            .unwrap_or_default()
    };
    if matches!(seen(Probe::Name), Some(Seen::NotResolved(_))) {
        return very(Cause::NameNotResolved, said(Probe::Name));
    }
    if matches!(seen(Probe::Tcp), Some(Seen::NotConnected(_))) {
        return very(
            Cause::NotReached,
            format!("the name is resolved, TCP: {}", said(Probe::Tcp)),
        );
    }
    if matches!(
        seen(Probe::Tls),
        Some(Seen::NotSecured(_) | Seen::NotPrepared(_))
    ) {
        return very(
            Cause::NoTls,
            format!("TCP connects, TLS: {}", said(Probe::Tls)),
        );
    }
    let Some(Seen::Failed(failure)) = seen(Probe::Public) else {
        return private_call_lost(evidence);
    };
    // A redirect or a page is what a captive network answers, and what the edge answers too.
    let mut hypotheses = vec![
        Hypothesis::new(Cause::NotReached, Connection, Likely)
            .pro(format!("{}: {failure}", Probe::Public.name())),
    ];
    if matches!(failure, Failure::Redirected(_)) || failure.is_about_an_answer() {
        hypotheses.push(
            Hypothesis::new(Cause::EdgeBlocked, Connection, Likely)
                .pro("something answers in the exchange's place"),
        );
    }
    hypotheses
}

/// Public calls are answered, and a private one is not.
fn private_call_lost(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let failed = Probe::READS
        .iter()
        .find_map(|probe| match evidence.findings.seen(*probe) {
            Some(Seen::Failed(failure)) => {
                Some(format!("{}: {failure}", probe.method().unwrap_or_default()))
            }
            _ => None,
        });
    let Some(failed) = failed else {
        return Vec::new();
    };
    let hypothesis = Hypothesis::new(Cause::NotReached, Connection, Likely).pro(failed);
    vec![hypothesis.con("public calls are answered")]
}

/// What the exchange, or something in its place, answered.
fn with_the_public_one<'a>(evidence: &Evidence<'a>) -> Vec<Answered<'a>> {
    let public = evidence
        .findings
        .answer(Probe::Public)
        .and_then(|answer| Some((Probe::Public.method()?, answer)));
    public.into_iter().chain(evidence.answers()).collect()
}

/// Rows 17 and 26: what answers is not the exchange, or not under this path.
pub(super) fn answered_by_others(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let answers = with_the_public_one(evidence);
    let of = |wanted: fn(Answer) -> bool| -> Vec<Answered<'_>> {
        answers
            .iter()
            .filter(|(_, answer)| wanted(*answer))
            .copied()
            .collect()
    };
    let foreign = of(is_foreign);
    // A single call may name a method that is not known anywhere: it says nothing about the base URL.
    let wrong_base = if evidence.call.is_some() {
        Vec::new()
    } else {
        of(Answer::is_of_a_wrong_base)
    };
    let mut hypotheses = Vec::new();
    if let Some((method, accepted)) = of_one_method(evidence, &wrong_base) {
        let because = format!("{accepted}, so that the base URL is the exchange's");
        hypotheses.push(Hypothesis::ruled_out(
            Cause::WrongBase,
            Connection,
            because.clone(),
        ));
        let hypothesis = Hypothesis::new(Cause::MethodPermission, Connection, Likely)
            .pro(evidence.said(&wrong_base))
            .pro(because);
        hypotheses.push(hypothesis.of_method(method));
    } else if !wrong_base.is_empty() {
        let odd = evidence.target().filter(|target| target.odd_path);
        let odd =
            odd.map(|target| format!("{} is not the documented path /exchange/v1", target.base));
        let said = wrong_base.iter().any(|(_, answer)| answer.code.is_some()) || odd.is_some();
        let likelihood = if said { VeryLikely } else { Likely };
        hypotheses.push(
            Hypothesis::new(Cause::WrongBase, Connection, likelihood)
                .pro(evidence.said(&wrong_base))
                .maybe_pro(odd),
        );
    } else if !evidence.meeting(Objection::Refused).is_empty() {
        hypotheses.push(Hypothesis::ruled_out(
            Cause::WrongBase,
            Connection,
            "the exchange answers there in its own envelope",
        ));
    }
    if !foreign.is_empty() {
        let hypothesis =
            Hypothesis::new(Cause::EdgeBlocked, Connection, Likely).pro(evidence.said(&foreign));
        hypotheses.push(hypothesis.pro("an answer without a code is not the exchange's own"));
        hypotheses.push(
            Hypothesis::new(Cause::NotReached, Connection, Possible)
                .pro("a captive page on the way answers like that too"),
        );
    }
    hypotheses
}

/// The one private method that the exchange does not know, and the acceptance of another under the documented path.
fn of_one_method<'a>(
    evidence: &Evidence<'a>,
    wrong_base: &[Answered<'a>],
) -> Option<(&'a str, String)> {
    let [(method, answer)] = wrong_base else {
        return None;
    };
    let documented = evidence.target().is_some_and(|target| !target.odd_path);
    let by_the_exchange = Some(*method) != Probe::Public.method() && answer.code.is_some();
    if !documented || !by_the_exchange {
        return None;
    }
    Some((*method, evidence.acceptance()?))
}

/// Neither the exchange's envelope nor a path that is not known.
fn is_foreign(answer: Answer) -> bool {
    let down = answer.objection() == Some(Objection::Outage);
    answer.code.is_none() && !answer.is_of_a_wrong_base() && !down
}

/// Servers of the exchange, or what stands before them, answer that they cannot.
pub(super) fn outage(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let answers = with_the_public_one(evidence);
    let down = |(_, answer): &&Answered<'_>| answer.objection() == Some(Objection::Outage);
    let said: Vec<Answered<'_>> = answers.iter().filter(down).copied().collect();
    if said.is_empty() {
        return Vec::new();
    }
    // One call, or one method, may be special.
    let all = said.len() == answers.len() && evidence.call.is_none();
    let likelihood = if all { VeryLikely } else { Likely };
    let found = Hypothesis::new(Cause::Outage, Connection, likelihood).pro(evidence.said(&said));
    let others = answers.len() - said.len();
    vec![
        found.maybe_con(
            (others > 0).then(|| format!("other calls of this run are answered: {others}")),
        ),
    ]
}

/// The exchange says so itself.
pub(super) fn maintenance(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let said: Vec<Answered<'_>> = with_the_public_one(evidence)
        .into_iter()
        .filter(|(_, answer)| answer.objection() == Some(Objection::Maintenance))
        .collect();
    if said.is_empty() {
        return Vec::new();
    }
    vec![Hypothesis::new(Cause::Maintenance, Connection, VeryLikely).pro(evidence.said(&said))]
}
