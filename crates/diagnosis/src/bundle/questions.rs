//! The title of a ticket, and the questions to the exchange's support.
//!
//! Guarantees: only questions that the findings raise, and none that this side can answer; where several things look
//! alike from here, the question names them all. Does not: accuse.

use super::HistoryExtract;
use crate::{
    causes::Conclusion,
    probes::{Answer, Findings, Probe},
    report::Diagnosis,
    verdict::Objection,
};

/// The ticket's title.
pub(super) fn title(diagnosis: &Diagnosis, history: &HistoryExtract) -> String {
    match diagnosis.ranking.conclusion {
        Conclusion::Unreachable => "We cannot reach the API".to_owned(),
        Conclusion::Unusable => "We cannot make calls: our configuration is not usable".to_owned(),
        Conclusion::Trouble => match first_refusal(&diagnosis.findings) {
            Some((probe, answer)) => {
                format!(
                    "Private API calls are refused: {}, {}",
                    probe.method().unwrap_or_default(),
                    answer.describe()
                )
            }
            None => "API calls fail".to_owned(),
        },
        Conclusion::Healthy if still_bad(history).next().is_some() => {
            "API calls were refused; the test calls made now are accepted".to_owned()
        }
        Conclusion::Healthy => "API calls: our tests find no failure now".to_owned(),
    }
}

/// The questions, each a sentence or two.
pub(super) fn questions(diagnosis: &Diagnosis, history: &HistoryExtract) -> Vec<String> {
    let findings = &diagnosis.findings;
    let of_now = match diagnosis.ranking.conclusion {
        Conclusion::Unusable => Vec::new(),
        Conclusion::Unreachable => unreachable(findings),
        Conclusion::Trouble => refusals(findings),
        Conclusion::Healthy => past(history),
    };
    in_doubt(history).into_iter().chain(of_now).collect()
}

/// The calls in doubt that are asked for one by one.
const MAX_DOUBTS: usize = 10;

fn in_doubt(history: &HistoryExtract) -> Vec<String> {
    let nonce = |rid: &str| {
        let mut calls = history.contents.as_ref().ok()?.single_calls.iter();
        let nonce = calls.find(|call| call.rid == rid)?.nonce?;
        Some(format!(" with the nonce {nonce}"))
    };
    let asked = history.in_doubt.iter().take(MAX_DOUBTS).map(|doubt| {
        let (time, nonce) = (text::time::plain(doubt.ms), nonce(&doubt.rid).unwrap_or_default());
        format!(
            "Did you execute this {}? We sent it{nonce} at {time} UTC or some seconds later, and received no answer. The \
             sender adds the client_oid of the order.",
            doubt.method
        )
    });
    asked.collect()
}

fn unreachable(findings: &Findings) -> Vec<String> {
    let host = findings
        .target
        .as_ref()
        .map_or("the API", |target| target.host.as_str());
    let from = findings
        .our_address()
        .map(|address| format!(" from {address}"))
        .unwrap_or_default();
    vec![format!(
        "Can {host} be reached{from}? Do you block that address, its network or its region, or was there an outage at \
         the time of the tests?"
    )]
}

fn refusals(findings: &Findings) -> Vec<String> {
    let mut asked = Vec::new();
    let private: Vec<(Probe, Answer)> = answers(findings)
        .filter(|(probe, _)| *probe >= Probe::Balance)
        .collect();
    let named = |wanted: &dyn Fn(&Answer) -> bool| {
        let methods = private
            .iter()
            .filter(|(_, answer)| wanted(answer))
            .filter_map(|(probe, _)| probe.method());
        methods.collect::<Vec<_>>().join(", ")
    };
    let refused = named(&|answer| answer.verdict().is_about_the_key());
    let accepted = named(&|answer| answer.is_acceptance());
    if !refused.is_empty() {
        asked.push(format!(
            "Why did you refuse {refused}? The code can mean: a signature that does not match the key; a key that is \
             disabled, expired or in the mode \"Third-Party connection\"; a missing permission; an address that is not \
             on the whitelist."
        ));
        asked.push(
            "Is the API key with the fingerprint above active, when does it expire, which permissions and which mode \
             does it have, and when were they last changed?"
                .to_owned(),
        );
        asked.push(
            "From which address did these calls arrive, and is exactly that address on the key's whitelist?"
                .to_owned(),
        );
    }
    if !refused.is_empty() && !accepted.is_empty() {
        asked.push(format!(
            "Which permission does {refused} need that {accepted} does not?"
        ));
    }
    if private
        .iter()
        .any(|(_, answer)| answer.objection() == Some(Objection::Nonce))
    {
        asked.push(
            "Which time did you compare the nonce with? The table above has our measurement of the clock difference.".into(),
        );
    }
    if answers(findings)
        .any(|(_, answer)| !answer.is_json || answer.objection() == Some(Objection::Edge))
    {
        asked.push(
            "Which of your systems answered without an API code, and because of which rule?"
                .to_owned(),
        );
    }
    if asked.is_empty() {
        asked.push("What do your logs show for the calls in the table?".to_owned());
    }
    asked
}

fn past(history: &HistoryExtract) -> Vec<String> {
    let bad = still_bad(history).map(|broken| {
        let code = broken.bad.code.map_or_else(|| format!("HTTP {}", broken.bad.status), |code| format!("code {code}"));
        let (method, time) = (&broken.method, text::time::plain(broken.bad.ms));
        format!("Why did you answer {method} with {code} from {time} UTC on, although such calls are accepted now?")
    });
    bad.collect()
}

fn still_bad(history: &HistoryExtract) -> impl Iterator<Item = &crate::history::Break> {
    history
        .contents
        .iter()
        .flat_map(|contents| &contents.breaks)
        .filter(|broken| broken.recovered.is_none())
}

fn answers(findings: &Findings) -> impl Iterator<Item = (Probe, Answer)> {
    let findings = findings.list.iter();
    findings.filter_map(|finding| Some((finding.probe, finding.answer()?)))
}

fn first_refusal(findings: &Findings) -> Option<(Probe, Answer)> {
    answers(findings).find(|(probe, answer)| *probe >= Probe::Balance && !answer.is_acceptance())
}
