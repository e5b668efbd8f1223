//! The order of causes, the tie at its top, and what a run comes to. The first of them is a hint.
//!
//! Guarantees: ordered by likelihood, then by the order of the rules; one next step. Does not: know any rule.

use super::{Cause, Likelihood, Past, Symptom, rules, untried::Untried};
use crate::{
    causes::{
        evidence::{CallFacts, Evidence, FailedCall},
        hypothesis::{Hypothesis, Standing},
    },
    probes::{Answer, Findings, Grade, Probe, Seen},
    verdict::Verdict,
};
use catalogue::methods::Class;
use gateway::record::CallReport;

/// One cause, weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The cause.
    pub cause: Cause,
    /// Whether it stands.
    pub standing: Standing,
    /// What speaks for it.
    pub pro: Vec<String>,
    /// What speaks against it.
    pub con: Vec<String>,
    /// What to do if it is this one.
    pub next_step: String,
}

/// What a run comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Everything that was asked is as it should be.
    Healthy,
    /// Something is not.
    Trouble,
    /// The exchange was not reached.
    Unreachable,
    /// There is nothing that could be asked with.
    Unusable,
}

/// The causes in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// What the run comes to.
    pub conclusion: Conclusion,
    /// Those that stand, likeliest first.
    pub causes: Vec<Ranked>,
    /// Those that would explain what is seen, and that a finding excludes.
    pub ruled_out: Vec<Ranked>,
    /// The first so many cannot be told apart from here; less than two where there is no tie.
    pub tied: usize,
    /// The one next step.
    pub next_step: String,
    /// What a good run leaves open; nothing where the run is not good.
    pub untried: Option<Untried>,
}

impl Ranking {
    /// The causes at the top that cannot be told apart; one where there is no tie.
    #[must_use]
    pub fn top(&self) -> Vec<Cause> {
        self.causes
            .iter()
            .take(self.tied.max(1))
            .map(|ranked| ranked.cause)
            .collect()
    }

    /// The likelihood of the first cause.
    #[must_use]
    pub fn likelihood(&self) -> Option<Likelihood> {
        self.causes.first().and_then(|ranked| ranked.likelihood())
    }
}

impl Ranked {
    /// How likely it is, where it stands.
    #[must_use]
    pub const fn likelihood(&self) -> Option<Likelihood> {
        match self.standing {
            Standing::Stands(likelihood) => Some(likelihood),
            Standing::RuledOut(_) => None,
        }
    }
}

const NOTHING_TO_DO: &str = "nothing to do here; where a program fails all the same, say what it shows: \
                             `sudo crypto-proxy diagnose --symptom fails-elsewhere` (docs/diagnosis.md)";
const UNUSABLE: &str = "put right what stands under Configuration; where a file is not readable by you, run it as root: \
                        `sudo crypto-proxy diagnose --alone`";
const UNEXPLAINED: &str = "no known cause explains this: run it again in a minute, then take the findings to the exchange's support";

/// Every rule over the evidence: the causes that stand, likeliest first, and those that are excluded.
fn weigh(evidence: &Evidence<'_>) -> (Vec<Hypothesis>, Vec<Hypothesis>) {
    let mut hypotheses: Vec<Hypothesis> = Vec::new();
    for hypothesis in rules::ALL.iter().flat_map(|rule| rule(evidence)) {
        match hypotheses
            .iter_mut()
            .find(|known| known.cause == hypothesis.cause)
        {
            // Two rules may put the same cause forward: the stronger word counts, with the evidence of both.
            Some(known) => known.join(hypothesis),
            None => hypotheses.push(hypothesis),
        }
    }
    let (mut standing, ruled_out): (Vec<Hypothesis>, Vec<Hypothesis>) = hypotheses
        .into_iter()
        .partition(|hypothesis| matches!(hypothesis.standing, Standing::Stands(_)));
    standing.sort_by_key(|hypothesis| std::cmp::Reverse(hypothesis.likelihood()));
    (standing, ruled_out)
}

/// Ranks what may stand behind the findings.
#[must_use]
pub fn rank(findings: &Findings, past: &Past) -> Ranking {
    let evidence = Evidence::of_a_run(findings, past);
    let (standing, ruled_out) = weigh(&evidence);
    let tied = standing.first().map_or(0, |first| {
        let like_first = |hypothesis: &&Hypothesis| {
            hypothesis.topic == first.topic && hypothesis.likelihood() == first.likelihood()
        };
        standing.iter().take_while(like_first).count()
    });
    let conclusion = conclude(findings, past, &standing);
    let causes: Vec<Ranked> = standing
        .into_iter()
        .map(|hypothesis| ranked(hypothesis, &evidence))
        .collect();
    let ruled_out = ruled_out
        .into_iter()
        .map(|hypothesis| ranked(hypothesis, &evidence))
        .collect();
    let without = match conclusion {
        Conclusion::Healthy => NOTHING_TO_DO,
        Conclusion::Unusable => UNUSABLE,
        Conclusion::Trouble | Conclusion::Unreachable => UNEXPLAINED,
    };
    let next_step = causes
        .first()
        .map_or_else(|| without.to_owned(), |first| first.next_step.clone());
    Ranking {
        conclusion,
        causes,
        ruled_out,
        tied,
        next_step,
        untried: if conclusion == Conclusion::Healthy {
            untried(findings, past)
        } else {
            None
        },
    }
}

/// What neither a probe nor a call in the record has shown. The cancellation of nothing counts as a try.
fn untried(findings: &Findings, past: &Past) -> Option<Untried> {
    let cancel = findings.answer(Probe::CancelUnknown);
    Untried::beside(|class| {
        let mut of_class = past.methods.iter().filter(|past| past.class == Some(class));
        let recorded = of_class.any(|past| past.accepted > 0 && past.failing == 0);
        recorded || class == Class::Trade && cancel.is_some_and(Answer::is_acceptance)
    })
}

/// What most likely stands behind a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The likeliest cause.
    pub cause: Cause,
    /// How likely it is.
    pub likelihood: Likelihood,
    /// What speaks for it, in a few words.
    pub evidence: String,
    /// Causes that cannot be told from it, or that come next.
    pub alternatives: Vec<Cause>,
    /// The one thing to do next.
    pub next: String,
}

/// What a diagnosis of nothing but this call, and of what this process knows, would put first. `None` where it is no
/// failure that a hint explains.
pub(crate) fn explain(facts: CallFacts, report: &CallReport) -> Option<Hint> {
    Verdict::of(report).objection()?;
    let call = FailedCall::new(facts, report);
    let evidence = Evidence::of_a_call(&call);
    let (standing, _) = weigh(&evidence);
    let (likeliest, others) = standing.split_first()?;
    Some(Hint {
        cause: likeliest.cause,
        likelihood: likeliest.likelihood()?,
        evidence: likeliest.pro.join(", "),
        alternatives: others.iter().map(|other| other.cause).collect(),
        next: next_step(likeliest, &evidence),
    })
}

fn next_step(hypothesis: &Hypothesis, evidence: &Evidence<'_>) -> String {
    let mut place = evidence.place(hypothesis.cause);
    if let Some(method) = &hypothesis.method {
        place.method = method;
    }
    hypothesis.cause.next_step(&place)
}

fn ranked(hypothesis: Hypothesis, evidence: &Evidence<'_>) -> Ranked {
    let next_step = next_step(&hypothesis, evidence);
    Ranked {
        cause: hypothesis.cause,
        standing: hypothesis.standing,
        pro: hypothesis.pro,
        con: hypothesis.con,
        next_step,
    }
}

fn conclude(findings: &Findings, past: &Past, standing: &[Hypothesis]) -> Conclusion {
    let bad = |finding: &&crate::probes::Finding| finding.grade(&findings.expected) == Grade::Bad;
    if findings.target.is_none() {
        return Conclusion::Unusable;
    }
    let unreached = [Probe::Name, Probe::Tcp, Probe::Tls];
    let no_connection = findings
        .list
        .iter()
        .filter(bad)
        .any(|finding| unreached.contains(&finding.probe));
    let no_answer = |probe: Probe| matches!(findings.seen(probe), Some(Seen::Failed(failure)) if !failure.is_about_an_answer());
    if no_connection || no_answer(Probe::Public) {
        return Conclusion::Unreachable;
    }
    // What one call was refused for, by its content or by our own policy, is worth telling and no trouble of the key.
    // So is what anybody can send; what the operator says is meant.
    let is_told = past.told.contains(&Symptom::InventedHeaders);
    let of_a_call = |cause: Cause| {
        matches!(cause, Cause::OrderItself | Cause::RefusedHere)
            || cause == Cause::InventedScheme && !is_told
    };
    let likely = |hypothesis: &Hypothesis| {
        hypothesis.likelihood() >= Some(Likelihood::Likely) && !of_a_call(hypothesis.cause)
    };
    let likely = standing.iter().any(likely);
    let trouble = likely || findings.list.iter().any(|finding| bad(&finding));
    if trouble {
        Conclusion::Trouble
    } else {
        Conclusion::Healthy
    }
}
