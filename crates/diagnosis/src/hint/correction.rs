//! Hints that may have assumed the wrong address, until a measurement tells.
//!
//! Guarantees: bounded; each hint is corrected at most once, and only by an address that was confirmed. Does not:
//! measure; the watch does, when asked.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use tokio::time::Instant;

use super::line;
use crate::{
    causes::{Cause, Likelihood, named},
    verdict::Objection,
};
use gateway::{
    observed::{Expected, Observed},
    record::CallReport,
};

/// So many hints are named in a correction; further ones are only counted.
const NAMED: usize = 8;
/// So many hints wait in a group; the newest do.
const KEPT: usize = 64;
/// Groups; an address that moves more often within one measurement is not worth more.
const GROUPS: usize = 8;

/// The hints that wait for a measurement.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// One for each address that hints assumed, each family, and each objection of the exchange.
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    objection: Objection,
    assumed: Option<IpAddr>,
    /// Whether the calls left by IPv6, where that is known.
    by_ipv6: Option<bool>,
    /// The calls, and when each was given its hint; the oldest first.
    calls: VecDeque<(Arc<str>, Instant)>,
}

impl Waiting {
    /// Notes a hint that was given now, if another address than it assumed would explain the failure.
    pub(super) fn add(&mut self, report: &CallReport, objection: Objection, now: Instant) {
        let assumed = report.outbound.as_ref().map(|seen| seen.address);
        let by_ipv6 = report.left_by_ipv6();
        let call = (Arc::clone(&report.rid), now);
        let same = |group: &&mut Group| {
            let of = (group.assumed, group.by_ipv6, group.objection);
            of == (assumed, by_ipv6, objection)
        };
        if let Some(group) = self.groups.iter_mut().find(same) {
            group.calls.push_back(call);
            if group.calls.len() > KEPT {
                group.calls.pop_front();
            }
        } else if self.groups.len() < GROUPS {
            self.groups.push(Group {
                objection,
                assumed,
                by_ipv6,
                calls: VecDeque::from([call]),
            });
        }
    }

    /// Corrects the hints that assumed another address than the one that a measurement begun at `began` confirmed.
    pub(super) fn settle(&mut self, observed: &Observed, began: Instant) {
        let Some(now) = observed.outbound().map(|seen| seen.address) else {
            return;
        };
        self.groups.retain_mut(|group| {
            // An address of the other family says nothing of where these calls left from.
            let same_family = group.by_ipv6.is_none_or(|by_ipv6| now.is_ipv6() == by_ipv6);
            if same_family && group.assumed != Some(now) {
                group.correct(now, observed.expected());
                return false;
            }
            // For a call that failed after the measurement began, the address may yet turn out to have moved.
            group.calls.retain(|(_, at)| *at > began);
            !group.calls.is_empty()
        });
    }
}

impl Group {
    fn correct(&self, now: IpAddr, expected: &Expected) {
        let Some((cause, likelihood)) = self.verdict(now, expected) else {
            return;
        };
        let named: Vec<&str> = self
            .calls
            .iter()
            .take(NAMED)
            .map(|(rid, _)| &**rid)
            .collect();
        let further = match self.calls.len().saturating_sub(NAMED) {
            0 => String::new(),
            count if self.calls.len() < KEPT => format!(" and {count} more"),
            count => format!(" and at least {count} more"),
        };
        let (first, rids) = (
            named.first().copied().unwrap_or_default(),
            named.join(",") + &further,
        );
        line::write_correction(
            &rids,
            first,
            cause,
            likelihood,
            &line::Moved {
                now,
                before: self.assumed,
                expected,
            },
        );
    }

    /// What the confirmed address says about the failures; `None` where it says nothing.
    fn verdict(&self, now: IpAddr, expected: &Expected) -> Option<(Cause, Likelihood)> {
        let unexpected = matches!(expected, Expected::Listed(listed) if !listed.contains(&now));
        if let Some(named) = named(self.objection) {
            return Some(named);
        }
        if self.assumed.is_some() {
            return Some((Cause::IpDrift, Likelihood::Likely));
        }
        // An address that merely became known explains nothing by itself.
        if unexpected {
            return Some((Cause::IpNotListed, Likelihood::Likely));
        }
        None
    }
}
