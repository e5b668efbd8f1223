//! What is known, asked in the words of the rules: findings and past of a run, or of a single call and those before it.
//!
//! Guarantees: every answer is drawn from a typed value. Does not: judge.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Cause, Event, Past, Place};
use crate::{
    egress::Reading,
    key_pairs::{Origin, PairFacts, PairStory},
    probes::{
        Answer, CredentialFacts, Finding, Findings, Flaw, FlawFound, Probe, Seen, Target,
        certainly_inside, certainly_outside, is_expected,
    },
    tracker::{self, TrackRecord},
    verdict::Objection,
};
use gateway::{
    observed::{ClockSkew, Expected},
    record::CallReport,
};

/// So many changes between refused and accepted are a pattern.
const PATTERN: u32 = 2;
/// What makes the loader doubt a pair that it could load.
pub(super) const SUSPICIOUS: [Flaw; 3] = [Flaw::Swapped, Flaw::Short, Flaw::Odd];
/// The method that a next step names where none is known to fail.
const FIRST_METHOD: &str = "private/user-balance";

/// A method that was called, and its answer.
pub(super) type Answered<'a> = (&'a str, Answer);

/// What is known of one case: all that a run found and the history tells, or what this process knows when a call fails.
pub(super) struct Evidence<'a> {
    pub(super) findings: &'a Findings,
    pub(super) past: &'a Past,
    /// The call that failed, where it is about one. Then findings and past hold no more than what is known live.
    pub(super) call: Option<&'a FailedCall<'a>>,
}

/// A call that failed, and what this process knows beside its report: the clock and the address as last measured, the
/// calls before, and what became of the pair since the last start.
pub(super) struct FailedCall<'a> {
    pub(super) report: &'a CallReport,
    pub(super) track: TrackRecord,
    asked_elsewhere: bool,
    now: Instant,
    findings: Findings,
    past: Past,
}

impl<'a> FailedCall<'a> {
    pub(super) fn new(facts: CallFacts, report: &'a CallReport) -> Self {
        let track = facts.track;
        let finding = |probe, seen| Finding {
            probe,
            seen,
            took: Duration::ZERO,
        };
        let StartFacts {
            target,
            credentials,
        } = facts.start;
        let mut list = vec![
            finding(Probe::Credentials, Seen::Credentials(credentials)),
            finding(Probe::Clock, Seen::Clock(report.skew)),
        ];
        // An address that was confirmed long ago may have moved unnoticed.
        if let Some(seen) = tracker::outbound(report, facts.now) {
            let confirmed = Reading::Confirmed {
                address: seen.address,
                voices: 0,
                others: Vec::new(),
            };
            let family = Probe::outbound_of(seen.address.is_ipv6());
            list.push(finding(family, Seen::Outbound(confirmed)));
        }
        let findings = Findings {
            at_ms: 0,
            took: Duration::ZERO,
            target,
            expected: facts.expected,
            list,
        };
        let last_good = track.all.accepted.map(|accepted| Event {
            at_ms: 0,
            method: String::new(),
            address: accepted.address,
        });
        let origin = if last_good.is_some() {
            Origin::Proven
        } else {
            facts.pair.origin
        };
        let past = Past {
            pair: Some(PairStory {
                origin,
                since_ms: facts.pair.since,
                beside: None,
            }),
            last_good,
            recoveries: track.method.recoveries_until(facts.now),
            ..Past::default()
        };
        Self {
            report,
            track,
            asked_elsewhere: facts.pair.asked_elsewhere,
            now: facts.now,
            findings,
            past,
        }
    }

    pub(super) fn method(&self) -> &str {
        self.report.method.as_deref().unwrap_or("none")
    }

    /// How long ago something happened, in words.
    pub(super) fn ago(&self, at: Instant) -> String {
        let ago = self.now.saturating_duration_since(at);
        format!("{} s ago", ago.as_secs())
    }
}

impl<'a> Evidence<'a> {
    pub(super) const fn of_a_run(findings: &'a Findings, past: &'a Past) -> Self {
        Self {
            findings,
            past,
            call: None,
        }
    }

    pub(super) const fn of_a_call(call: &'a FailedCall<'a>) -> Self {
        Self {
            findings: &call.findings,
            past: &call.past,
            call: Some(call),
        }
    }

    /// The documented reads that were answered; the call that failed, where it is about one.
    pub(super) fn answers(&self) -> Vec<Answered<'a>> {
        if let Some(call) = self.call {
            let answer = Answer {
                status: call.report.status,
                code: call.report.code,
                is_json: call.report.code.is_some(),
            };
            return vec![(call.method(), answer)];
        }
        Probe::READS
            .iter()
            .filter_map(|probe| Some((probe.method()?, self.findings.answer(*probe)?)))
            .collect()
    }

    /// Those of them that met this objection.
    pub(super) fn meeting(&self, objection: Objection) -> Vec<Answered<'a>> {
        self.answers()
            .into_iter()
            .filter(|(_, answer)| answer.objection() == Some(objection))
            .collect()
    }

    /// A read that was accepted; a signed success. What the cancellation of nothing says is unproven, and excludes
    /// nothing.
    pub(super) fn accepted(&self) -> Option<Probe> {
        let reads = Probe::ALL
            .iter()
            .filter(|probe| (Probe::Balance..=Probe::OrderHistory).contains(*probe));
        reads.copied().find(|probe| {
            self.findings
                .answer(*probe)
                .is_some_and(Answer::is_acceptance)
        })
    }

    /// Whether a read of this method was accepted in this run.
    pub(super) fn accepts(&self, method: &str) -> bool {
        let mut reads = Probe::READS
            .iter()
            .chain([&Probe::Summary])
            .filter(|probe| probe.method() == Some(method));
        reads.any(|probe| {
            self.findings
                .answer(*probe)
                .is_some_and(Answer::is_acceptance)
        })
    }

    /// "private/… was accepted in this run", for what that excludes.
    pub(super) fn acceptance(&self) -> Option<String> {
        let method = self.accepted()?.method()?;
        Some(format!("{method} was accepted in this run"))
    }

    pub(super) fn target(&self) -> Option<&'a Target> {
        self.findings.target.as_ref()
    }

    /// The outbound address that calls use.
    pub(super) fn outbound(&self) -> Option<IpAddr> {
        self.findings
            .outbound(Probe::outbound_of(self.leaves_by_ipv6()))
    }

    /// Whether calls to the exchange leave by IPv6: those of a run, or this one.
    pub(super) fn leaves_by_ipv6(&self) -> bool {
        self.call.map_or_else(
            || self.findings.leaves_by_ipv6(),
            |call| call.report.left_by_ipv6() == Some(true),
        )
    }

    /// Whether the operator names our address; `None` where either is not known.
    pub(super) fn is_listed(&self) -> Option<bool> {
        if self.findings.expected == Expected::Any {
            return Some(true);
        }
        self.outbound()
            .and_then(|address| is_expected(&self.findings.expected, address))
    }

    pub(super) fn clock_is_out(&self) -> Option<ClockSkew> {
        self.findings.skew().filter(|skew| certainly_outside(*skew))
    }

    pub(super) fn clock_is_in(&self) -> Option<ClockSkew> {
        self.findings.skew().filter(|skew| certainly_inside(*skew))
    }

    /// The last change of address since the last accepted call, or a last accepted call from elsewhere.
    pub(super) fn moved(&self) -> Option<String> {
        let good = self.past.last_good.as_ref()?;
        // Of two families both may be ours at the same time.
        let moved = self.past.changes.iter().rev().find(|change| {
            let super::What::Address { from, to } = change.what else {
                return false;
            };
            change.at_ms > good.at_ms && from.is_ipv4() == to.is_ipv4()
        });
        if let Some(change) = moved {
            return Some(format!(
                "{}, after the last accepted call",
                change.what.describe()
            ));
        }
        let (before, now) = (good.address?, self.outbound()?);
        if before == now || before.is_ipv4() != now.is_ipv4() {
            return None;
        }
        Some(format!(
            "the last accepted call left from {before}, this one from {now}"
        ))
    }

    /// That calls go to the exchange over IPv6, and the last accepted one left by IPv4. That the host has addresses of both
    /// families says nothing.
    pub(super) fn family_changed(&self) -> Option<String> {
        let before = self.past.last_good.as_ref()?.address?;
        (before.is_ipv4() && self.leaves_by_ipv6())
            .then(|| format!("the last accepted call left by IPv4, from {before}"))
    }

    /// Whether the last accepted call went to another base URL.
    pub(super) fn asked_elsewhere(&self) -> bool {
        let Some(good) = &self.past.last_good else {
            // Of a call the past begins with this process, but for what the start found.
            return self.call.is_some_and(|call| call.asked_elsewhere);
        };
        self.past
            .changes
            .iter()
            .any(|change| change.at_ms > good.at_ms && change.what == super::What::Base)
    }

    /// Whether all that is asked is refused without a reason: every read of a run, or the calls of this process of
    /// which the failed one is a part. Then the cause is one that the exchange looks at for every call.
    pub(super) fn all_refused(&self) -> bool {
        let refused = self.meeting(Objection::Refused).len();
        if let Some(call) = self.call {
            return refused > 0 && call.track.alone().is_none() && !self.in_turns();
        }
        refused > 0 && refused == self.answers().len() && self.accepted().is_none()
    }

    /// Whether calls are refused and accepted in turns.
    pub(super) const fn in_turns(&self) -> bool {
        self.past.recoveries >= PATTERN
    }

    /// Whether calls are known to have been accepted with this pair.
    pub(super) fn has_worked(&self) -> bool {
        let proven = self
            .past
            .pair
            .as_ref()
            .is_some_and(|pair| pair.origin == Origin::Proven);
        proven || self.past.good_with_this_pair().is_some()
    }

    /// What was accepted with this pair before, in words. Of the method that failed, where it is about one.
    pub(super) fn worked(&self) -> Option<String> {
        if !self.has_worked() {
            return None;
        }
        if let Some(call) = self.call {
            if let Some(accepted) = call.track.method.accepted {
                let ago = call.ago(accepted.at);
                return Some(format!("this method was accepted {ago} with the same key"));
            }
            if call.track.others_lost {
                return Some("a method that was accepted before is refused, too".to_owned());
            }
            if self.past.last_good.is_some() {
                return None;
            }
            return Some("calls were accepted with this pair before this start, none since".into());
        }
        let method = self
            .past
            .last_good
            .as_ref()
            .map_or("a call", |good| good.method.as_str());
        Some(format!("{method} was accepted with this pair before"))
    }

    /// Whether the operator's statement speaks against our address, and no accepted call speaks for it: one with this
    /// pair, from this very address, says more than a statement.
    pub(super) fn is_unlisted(&self) -> bool {
        self.is_listed() == Some(false) && !self.worked_from_here()
    }

    /// Whether a call with this pair was accepted from this very address.
    pub(super) fn worked_from_here(&self) -> bool {
        let from = self
            .past
            .good_with_this_pair()
            .and_then(|good| good.address);
        from.is_some() && from == self.outbound() && self.moved().is_none()
    }

    /// Whether the loader's doubt about the halves of the pair explains the refusals, because nothing says more.
    pub(super) fn looks_malformed(&self) -> bool {
        let facts = self.findings.credentials();
        let doubtful = facts.is_some_and(|facts| facts.flaw(&SUSPICIOUS).is_some());
        let half = matches!(self.past.unproven(), Some(Origin::Half { .. }));
        let known_better = half || self.has_worked() || self.points_elsewhere();
        doubtful && self.all_refused() && !known_better
    }

    /// Whether the address, the base URL or the clock speaks for itself.
    pub(super) fn points_elsewhere(&self) -> bool {
        let address = self.moved().is_some() || self.is_unlisted();
        address
            || self.family_changed().is_some()
            || self.asked_elsewhere()
            || self.clock_is_out().is_some()
    }

    /// Where calls leave from, in words; beside a call also how sure that is.
    pub(super) fn whereabouts(&self) -> String {
        let seen = self.call.and_then(|call| {
            let seen = call.report.outbound.as_ref()?;
            Some((seen.address, tracker::age(seen, call.now).as_secs()))
        });
        let Some(address) = self.outbound() else {
            return match seen {
                Some((before, age)) => format!(
                    "our address is unknown: not confirmed since {age} s ago, when it was {before}"
                ),
                None if self.call.is_some() => "our address is unknown".to_owned(),
                None => "our address is not confirmed".to_owned(),
            };
        };
        let stated = match (&self.findings.expected, self.is_listed()) {
            (Expected::Any, _) => ", and the key is said to be open to any address",
            (_, Some(true)) => ", which CRYPTO_EXPECTED_IP names",
            (_, Some(false)) => ", which CRYPTO_EXPECTED_IP does not name",
            (_, None) => "",
        };
        let age = seen.map(|(_, age)| format!(" (confirmed {age} s ago)"));
        format!(
            "calls leave from {address}{stated}{}",
            age.unwrap_or_default()
        )
    }

    /// This host's clock against the exchange's, in words.
    pub(super) fn clock(&self) -> String {
        self.findings.skew().map_or_else(
            || "the clock's skew is unknown".to_owned(),
            |skew| format!("{}; 60,000 ms are allowed", skew.describe()),
        )
    }

    /// How these answers read as evidence. A hint stands beside the line of its call, which has method and code.
    pub(super) fn said(&self, answers: &[Answered<'_>]) -> String {
        let Some(call) = self.call else {
            return list(answers);
        };
        if call.report.code.is_none() {
            return format!("HTTP {}", call.report.status);
        }
        if !self.meeting(Objection::Outage).is_empty() {
            return "the exchange answers that something of its own failed".to_owned();
        }
        if self.meeting(Objection::Refused).is_empty() {
            return "the exchange says so".to_owned();
        }
        if self.past.last_good.is_none() {
            return "no private call was accepted since the start".to_owned();
        }
        "the exchange does not say why".to_owned()
    }

    /// What the next step for this cause may name.
    pub(super) fn place(&self, cause: Cause) -> Place<'a> {
        let over_ipv6 = cause == Cause::LeavesByIpv6;
        let address = if over_ipv6 {
            self.findings.outbound(Probe::OutboundIpv6)
        } else {
            self.outbound()
        };
        let method = self.call.map_or(FIRST_METHOD, FailedCall::method);
        let default = Place::of_method(method);
        let facts = self.findings.credentials();
        let flawed = facts.and_then(|facts| {
            facts
                .flaws
                .iter()
                .find(|found| found.place.starts_with('/'))
        });
        let flawed = flawed.map(|found| {
            found
                .place
                .rsplit_once(':')
                .map_or(&*found.place, |(path, _)| path)
        });
        let source = facts.and_then(|facts| facts.source.as_deref()).or(flawed);
        let named =
            matches!(self.findings.expected, Expected::Listed(_)) && self.is_listed() == Some(true);
        Place {
            address,
            listed: named && !over_ipv6,
            by_ipv6: self.leaves_by_ipv6(),
            host: self.target().map_or(default.host, |target| &target.host),
            source: source.unwrap_or(default.source),
            doubt: self.past.in_doubt.first(),
            journal: self.past.journal_away.as_ref().map(|away| &*away.remedy),
            ..default
        }
    }
}

/// "private/a, private/b: HTTP 401, code 40101".
fn list(answers: &[Answered<'_>]) -> String {
    let methods: Vec<&str> = answers.iter().map(|(method, _)| *method).collect();
    let answer = answers
        .first()
        .map(|(_, answer)| answer.describe())
        .unwrap_or_default();
    format!("{}: {answer}", methods.join(", "))
}

/// What is known beside the report of a call that failed.
#[derive(Clone, Debug)]
pub(crate) struct CallFacts {
    /// The operator's statement about the whitelist.
    pub(crate) expected: Expected,
    /// What became of the pair since the last start.
    pub(crate) pair: PairFacts,
    /// What worked before, this call included.
    pub(crate) track: TrackRecord,
    /// The time that ages are counted to.
    pub(crate) now: Instant,
    /// What the start told.
    pub(crate) start: StartFacts,
}

/// What the start told of the pair, and where calls go, as far as it bears on a call that was signed.
#[derive(Clone, Debug, Default)]
pub(crate) struct StartFacts {
    target: Option<Target>,
    credentials: CredentialFacts,
}

impl StartFacts {
    /// Of what the loader says of the pair, whatever makes it suspicious. The rest is for a diagnosis.
    pub(crate) fn new(target: Option<Target>, loaded: &CredentialFacts) -> Self {
        let bears =
            |found: &&FlawFound| SUSPICIOUS.contains(&found.flaw) || found.flaw == Flaw::SecondPair;
        let credentials = CredentialFacts {
            source: loaded.source.clone(),
            flaws: loaded.flaws.iter().filter(bears).cloned().collect(),
            ..CredentialFacts::default()
        };
        Self {
            target,
            credentials,
        }
    }

    /// Another pair is in use by now.
    pub(crate) fn forget_the_pair(&mut self) {
        self.credentials = CredentialFacts::default();
    }
}
