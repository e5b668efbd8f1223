//! What is known, asked in the words of the rules: findings and past of a run, or a single call and those before it.
//!
//! Guarantees: every answer is drawn from a typed value. Does not: judge.

use std::{net::IpAddr, time::Instant};

use super::{Cause, Past, Place};
use crate::{
    key_pairs::PairFacts,
    probes::{Answer, Findings, Probe, Target, certainly_inside, certainly_outside, is_expected},
    tracker::{self, Accepted, TrackRecord},
    verdict::Objection,
};
use catalogue::methods::Class;
use gateway::{
    observed::{ClockSkew, Expected, Outbound},
    record::CallReport,
};

/// What is known of one case.
pub(super) struct Evidence<'a> {
    pub(super) findings: &'a Findings,
    pub(super) past: &'a Past,
}

impl<'a> Evidence<'a> {
    pub(super) const fn new(findings: &'a Findings, past: &'a Past) -> Self {
        Self { findings, past }
    }

    /// The documented reads that were answered.
    pub(super) fn answers(&self) -> Vec<(Probe, Answer)> {
        Probe::READS
            .iter()
            .filter_map(|probe| Some((*probe, self.findings.answer(*probe)?)))
            .collect()
    }

    /// The reads that met this objection.
    pub(super) fn meeting(&self, objection: Objection) -> Vec<(Probe, Answer)> {
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
        let family = if self.leaves_by_ipv6() {
            Probe::OutboundIpv6
        } else {
            Probe::Outbound
        };
        self.findings.outbound(family)
    }

    /// Whether calls to the exchange leave by IPv6.
    pub(super) fn leaves_by_ipv6(&self) -> bool {
        self.findings
            .peer()
            .is_some_and(|peer| peer.is_ipv6() && !peer.is_loopback())
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
        let moved = self.past.changes.iter().rev().find(|change| {
            change.at_ms > good.at_ms && matches!(change.what, super::What::Address { .. })
        });
        if let Some(change) = moved {
            return Some(format!(
                "{}, after the last accepted call",
                change.what.describe()
            ));
        }
        let (before, now) = (good.address?, self.outbound()?);
        // Of two families both may be ours at the same time.
        if before == now || before.is_ipv4() != now.is_ipv4() {
            return None;
        }
        Some(format!(
            "the last accepted call left from {before}, this one from {now}"
        ))
    }

    /// Whether the last accepted call went to another base URL.
    pub(super) fn asked_elsewhere(&self) -> bool {
        let Some(good) = &self.past.last_good else {
            return false;
        };
        self.past
            .changes
            .iter()
            .any(|change| change.at_ms > good.at_ms && change.what == super::What::Base)
    }

    /// Whether every read was refused without a reason.
    pub(super) fn all_refused(&self) -> bool {
        let refused = self.meeting(Objection::Refused).len();
        refused > 0 && refused == self.answers().len() && self.accepted().is_none()
    }

    /// Whether the operator's statement speaks against our address, and no accepted call speaks for it: one with this
    /// pair, from this very address, says more than a statement.
    pub(super) fn is_unlisted(&self) -> bool {
        let from = self
            .past
            .good_with_this_pair()
            .and_then(|good| good.address);
        let worked_here = from.is_some() && from == self.outbound() && self.moved().is_none();
        self.is_listed() == Some(false) && !worked_here
    }

    /// Whether the address, the base URL or the clock speaks for itself.
    pub(super) fn points_elsewhere(&self) -> bool {
        let address = self.moved().is_some() || self.is_unlisted();
        address || self.asked_elsewhere() || self.clock_is_out().is_some()
    }

    /// Where calls leave from, in words.
    pub(super) fn whereabouts(&self) -> String {
        let Some(address) = self.outbound() else {
            return "our address is not confirmed".to_owned();
        };
        match (&self.findings.expected, self.is_listed()) {
            (Expected::Any, _) => {
                format!("calls leave from {address}, and the key is said to be open to any address")
            }
            (_, Some(true)) => {
                format!("calls leave from {address}, which CRYPTO_EXPECTED_IP names")
            }
            (_, Some(false)) => {
                format!("calls leave from {address}, which CRYPTO_EXPECTED_IP does not name")
            }
            (_, None) => format!("calls leave from {address}"),
        }
    }

    /// What the next step for this cause may name.
    pub(super) fn place(&self, cause: Cause) -> Place<'a> {
        let over_ipv6 = cause == Cause::LeavesByIpv6;
        let address = if over_ipv6 {
            self.findings.outbound(Probe::OutboundIpv6)
        } else {
            self.outbound()
        };
        let default = Place::of_method("private/user-balance");
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
            host: self.target().map_or(default.host, |target| &target.host),
            source: source.unwrap_or(default.source),
            ..default
        }
    }
}

/// "private/a, private/b: HTTP 401, code 40101".
pub(super) fn list(answers: &[(Probe, Answer)]) -> String {
    let methods: Vec<&str> = answers
        .iter()
        .filter_map(|(probe, _)| probe.method())
        .collect();
    let answer = answers
        .first()
        .map(|(_, answer)| answer.describe())
        .unwrap_or_default();
    format!("{}: {answer}", methods.join(", "))
}

/// What is known beside the report of a single call.
#[derive(Clone, Debug)]
pub(crate) struct CallFacts {
    /// The operator's statement about the whitelist.
    pub(crate) expected: Expected,
    /// What became of the pair since the last start.
    pub(crate) pair: PairFacts,
    /// What worked before, this call included.
    pub(crate) past: TrackRecord,
    /// The time that ages are counted to.
    pub(crate) now: Instant,
}

/// A single call that an objection was made to, with what is known of it: nothing but what this process observed, and
/// what its last start remembered of the pair.
pub(super) struct CallEvidence<'a> {
    pub(super) objection: Objection,
    pub(super) facts: &'a CallFacts,
    pub(super) report: &'a CallReport,
}

impl CallEvidence<'_> {
    /// Where calls leave from, how sure that is, and whether it is expected.
    pub(super) fn whereabouts(&self) -> String {
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
    pub(super) fn outbound(&self) -> Option<&Outbound> {
        tracker::outbound(self.report, self.facts.now)
    }

    /// Whether our address is one that the operator named; `None` where either is not known.
    pub(super) fn is_expected(&self) -> Option<bool> {
        let Expected::Listed(listed) = &self.facts.expected else {
            return None;
        };
        self.outbound().map(|seen| listed.contains(&seen.address))
    }

    /// This host's clock against the exchange's, in words.
    pub(super) fn clock(&self) -> String {
        self.report.skew.map_or_else(
            || "the clock's skew is unknown".to_owned(),
            |skew| format!("clock {skew} ms"),
        )
    }

    /// How long ago a call was accepted.
    pub(super) fn ago(&self, accepted: Accepted) -> String {
        let ago = self.facts.now.saturating_duration_since(accepted.at);
        format!("{} s ago", ago.as_secs())
    }

    /// The class of the call, in a word.
    pub(super) fn class(&self) -> &'static str {
        self.report.class.map_or("private", Class::name)
    }

    /// Whether no private call was accepted since the start.
    pub(super) const fn never_worked(&self) -> bool {
        self.facts.past.all.accepted.is_none()
    }

    /// What the next step may name.
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            address: self.outbound().map(|seen| seen.address),
            listed: self.is_expected() == Some(true),
            ..Place::of_method(self.report.method.as_deref().unwrap_or("none"))
        }
    }
}
