//! Facts and a failed call → the likeliest cause.
//!
//! Guarantees: a pure function. Never a verdict beyond the evidence: what the exchange does not tell apart stays apart
//! in name only, and is listed as alternatives; what callers alone can bring about is never `very likely`. The order of
//! `RULES` is the precedence. Does not: know anything that was not observed in this process or remembered from its last
//! start.

use std::time::Instant;

use super::tracker::{self, Accepted, TrackRecord};
use crate::{
    causes::{Cause, Likelihood, Place},
    key_pairs::PairFacts,
    probes::{certainly_inside, certainly_outside},
    verdict::{Objection, Verdict},
};
use catalogue::methods;
use gateway::{
    observed::{Expected, Outbound},
    record::CallReport,
};

mod refusal;
#[cfg(test)]
pub(crate) mod tests;

/// What is known beside the report itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The operator's statement about the whitelist.
    pub expected: Expected,
    /// What became of the pair since the last start.
    pub pair: PairFacts,
    /// What worked before, this call included.
    pub past: TrackRecord,
    /// The time that ages are counted to.
    pub now: Instant,
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

/// A finding, before the next step is filled in.
struct Judgement(Cause, Likelihood, String, Vec<Cause>);

/// Judges a failed call. `None` where it is no failure that a hint explains.
#[must_use]
pub fn judge(facts: &Facts, report: &CallReport) -> Option<Hint> {
    let case = Evidence { facts, report };
    let Judgement(cause, likelihood, evidence, alternatives) =
        match Verdict::of(report).objection()? {
            Objection::Refused => refusal::judge(&case),
            Objection::Nonce => case.nonce(),
            Objection::Address => case.address(),
            Objection::Tier => Judgement(
                Cause::UserTier,
                Likelihood::VeryLikely,
                "the exchange says so".into(),
                vec![],
            ),
            Objection::Budget => case.budget(),
            Objection::Maintenance => Judgement(
                Cause::Maintenance,
                Likelihood::VeryLikely,
                "the exchange says so".into(),
                vec![],
            ),
            Objection::Edge => {
                let evidence = format!("HTTP {} without a code of the exchange", report.status);
                Judgement(Cause::EdgeBlocked, Likelihood::Likely, evidence, vec![])
            }
        };
    let address = case.outbound().map(|seen| seen.address);
    let listed = case.is_expected() == Some(true);
    let place = Place {
        address,
        listed,
        ..Place::of_method(report.method.as_deref().unwrap_or("none"))
    };
    Some(Hint {
        next: cause.next_step(&place),
        cause,
        likelihood,
        evidence,
        alternatives,
    })
}

/// One failed call with what is known of it.
struct Evidence<'a> {
    facts: &'a Facts,
    report: &'a CallReport,
}

impl Evidence<'_> {
    fn nonce(&self) -> Judgement {
        match self.report.skew {
            Some(skew) if certainly_outside(skew) => Judgement(
                Cause::ClockSkew,
                Likelihood::VeryLikely,
                self.clock(),
                vec![],
            ),
            Some(skew) if certainly_inside(skew) => {
                let evidence = format!(
                    "{}, the answer took {} ms",
                    self.clock(),
                    self.report.exchange.as_millis()
                );
                Judgement(
                    Cause::StalledHost,
                    Likelihood::Possible,
                    evidence,
                    vec![Cause::ClockSkew],
                )
            }
            _ => Judgement(
                Cause::ClockSkew,
                Likelihood::Likely,
                self.clock(),
                vec![Cause::StalledHost],
            ),
        }
    }

    fn address(&self) -> Judgement {
        let evidence = format!("the exchange says so, {}", self.whereabouts());
        Judgement(Cause::IpNotListed, Likelihood::VeryLikely, evidence, vec![])
    }

    fn budget(&self) -> Judgement {
        let known = self
            .report
            .method
            .as_deref()
            .and_then(methods::find)
            .map(|info| info.rate_limit);
        let evidence = known.map_or_else(
            || "the exchange says so".to_owned(),
            |limit| {
                format!(
                    "its budget is {} per {} ms ({})",
                    limit.limit, limit.window_ms, limit.scope
                )
            },
        );
        Judgement(Cause::RateLimit, Likelihood::Likely, evidence, vec![])
    }

    /// Where calls leave from, how sure that is, and whether it is expected.
    fn whereabouts(&self) -> String {
        let Some(seen) = &self.report.outbound else {
            return "our address is unknown".to_owned();
        };
        let age = tracker::age(seen, self.facts.now).as_secs();
        if self.outbound().is_none() {
            return format!(
                "our address is unknown: not confirmed since {age} s ago, when it was {}",
                seen.address
            );
        }
        let expected = match self.is_expected() {
            Some(true) => ", which CRYPTO_EXPECTED_IP names",
            Some(false) => ", which CRYPTO_EXPECTED_IP does not name",
            None => "",
        };
        format!(
            "calls leave from {}{expected} (confirmed {age} s ago)",
            seen.address
        )
    }

    /// Our address, unless it was confirmed so long ago that it may have moved unnoticed.
    fn outbound(&self) -> Option<&Outbound> {
        tracker::outbound(self.report, self.facts.now)
    }

    /// Whether our address is one that the operator named; `None` where either is not known.
    fn is_expected(&self) -> Option<bool> {
        let Expected::Listed(listed) = &self.facts.expected else {
            return None;
        };
        self.outbound().map(|seen| listed.contains(&seen.address))
    }

    fn clock(&self) -> String {
        self.report.skew.map_or_else(
            || "the clock's skew is unknown".to_owned(),
            |skew| format!("clock {skew} ms"),
        )
    }

    /// How long ago a call was accepted.
    fn ago(&self, accepted: Accepted) -> String {
        format!(
            "{} s ago",
            self.facts
                .now
                .saturating_duration_since(accepted.at)
                .as_secs()
        )
    }
}
