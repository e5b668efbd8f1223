//! Hints that may have assumed the wrong address, until a measurement tells.
//!
//! Guarantees: bounded; each hint is corrected at most once, and only by an address that was confirmed. Does not:
//! measure; the watch does, when asked.

use std::{net::IpAddr, sync::Arc};

use tokio::time::Instant;

use super::{cause::Cause, judgement::Likelihood, kind::Kind, line};
use crate::gateway::{
    observed::{Expected, Observed},
    record::CallReport,
};

/// So many hints are named in a correction; further ones are only counted.
const NAMED: usize = 8;

/// The hints that wait for a measurement.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// One for each address that hints assumed, and for each objection of the exchange.
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    kind: Kind,
    assumed: Option<IpAddr>,
    last: Instant,
    named: Vec<Arc<str>>,
    further: usize,
}

impl Waiting {
    /// Notes a hint that was given now, if another address than it assumed would explain the failure.
    pub(super) fn add(&mut self, report: &CallReport, kind: Kind, now: Instant) {
        let assumed = report.outbound.as_ref().map(|seen| seen.address);
        let rid = Arc::clone(&report.rid);
        let same = |group: &&mut Group| group.assumed == assumed && group.kind == kind;
        if let Some(group) = self.groups.iter_mut().find(same) {
            group.last = now;
            if group.named.len() < NAMED { group.named.push(rid) } else { group.further += 1 }
        } else if self.groups.len() < NAMED {
            self.groups.push(Group { kind, assumed, last: now, named: vec![rid], further: 0 });
        }
    }

    /// Corrects the hints that assumed another address than the one that a measurement begun at `began` confirmed.
    pub(super) fn settle(&mut self, observed: &Observed, began: Instant) {
        let Some(now) = observed.outbound().map(|seen| seen.address) else { return };
        self.groups.retain(|group| {
            if group.assumed != Some(now) {
                group.correct(now, observed.expected());
                return false;
            }
            // Measured while the calls still failed: the address may yet turn out to have moved.
            group.last > began
        });
    }
}

impl Group {
    fn correct(&self, now: IpAddr, expected: &Expected) {
        let Some((cause, likelihood)) = self.verdict(now, expected) else { return };
        let further = if self.further > 0 { format!(" and {} more", self.further) } else { String::new() };
        let first = self.named.first().map(|rid| &**rid).unwrap_or_default();
        let rids = format!("{}{further}", self.named.join(","));
        line::write_correction(&rids, first, cause, likelihood, &line::Moved { now, before: self.assumed, expected });
    }

    /// What the confirmed address says about the failures; `None` where it says nothing.
    fn verdict(&self, now: IpAddr, expected: &Expected) -> Option<(Cause, Likelihood)> {
        let unexpected = matches!(expected, Expected::Listed(listed) if !listed.contains(&now));
        if self.kind == Kind::Address {
            return Some((Cause::IpNotListed, Likelihood::VeryLikely));
        }
        // An address that merely became known explains nothing by itself.
        (self.assumed.is_some() || unexpected).then_some((Cause::IpDrift, Likelihood::Likely))
    }
}
