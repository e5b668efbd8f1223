//! How a finding reads, and whether it is good.
//!
//! Guarantees: one line per finding, of typed values alone. Does not: lay anything out.

use std::net::IpAddr;

use super::{Finding, Flaw, Probe, Seen};
use crate::egress::Reading;
use gateway::{
    connect::Unresolved,
    observed::{ClockSkew, Expected},
};

/// How a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Worth knowing, and no trouble by itself.
    Remark,
    /// Trouble.
    Bad,
    /// Not made.
    Skipped,
}

impl Verdict {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Remark => "note",
            Self::Bad => "BAD",
            Self::Skipped => "-",
        }
    }

    /// The verdict of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Good, Self::Remark, Self::Bad, Self::Skipped]
            .into_iter()
            .find(|verdict| verdict.word() == word)
    }
}

/// The exchange refuses a nonce that is further off than this, in milliseconds.
const NONCE_WINDOW_MS: u64 = 60_000;

/// Whether a skew certainly makes the exchange refuse.
pub(crate) const fn certainly_outside(skew: ClockSkew) -> bool {
    skew.offset_ms.unsigned_abs() > NONCE_WINDOW_MS + skew.uncertainty_ms
}

/// Whether a skew certainly does not.
pub(crate) const fn certainly_inside(skew: ClockSkew) -> bool {
    skew.offset_ms.unsigned_abs() + skew.uncertainty_ms < NONCE_WINDOW_MS
}

impl Finding {
    /// How it counts.
    #[must_use]
    pub fn verdict(&self, expected: &Expected) -> Verdict {
        let only_a_remark = matches!(self.probe, Probe::Summary | Probe::CancelUnknown);
        match &self.seen {
            Seen::Skipped(_) => Verdict::Skipped,
            Seen::Credentials(facts) => {
                let remarks = [
                    Flaw::SpareHalf,
                    Flaw::Short,
                    Flaw::Swapped,
                    Flaw::Dirt,
                    Flaw::Quoted,
                    Flaw::SecondPair,
                ];
                let bad = facts
                    .flaws
                    .iter()
                    .any(|found| !remarks.contains(&found.flaw));
                choose(bad, !facts.flaws.is_empty())
            }
            Seen::SelfTest { wrong, .. } => choose(*wrong > 0, false),
            Seen::Resolved(_) | Seen::Connected(_) | Seen::Secured => Verdict::Good,
            Seen::NotResolved(_) | Seen::NotConnected | Seen::NotSecured | Seen::NotPrepared(_) => {
                Verdict::Bad
            }
            Seen::Answered(answer) => {
                let good = if self.probe == Probe::Public {
                    answer.code == Some(0)
                } else {
                    answer.is_acceptance()
                };
                choose(!good && !only_a_remark, !good)
            }
            Seen::Failed(_) => choose(!only_a_remark, true),
            Seen::Clock(skew) => choose(
                skew.is_some_and(certainly_outside),
                skew.is_none_or(ClockSkew::is_large),
            ),
            Seen::Outbound(Reading::Confirmed { address, .. }) => {
                choose(false, is_expected(expected, *address) == Some(false))
            }
            Seen::Outbound(_) => choose(false, self.probe == Probe::Outbound),
        }
    }

    /// What it saw, in words.
    #[must_use]
    pub fn says(&self, expected: &Expected) -> String {
        match &self.seen {
            Seen::Credentials(facts) => {
                let fingerprint = facts.fingerprint.as_deref().unwrap_or("none");
                let label = facts
                    .label
                    .as_ref()
                    .map(|label| format!(" ({label})"))
                    .unwrap_or_default();
                let source = facts
                    .source
                    .as_ref()
                    .map(|source| format!(" from {source}"))
                    .unwrap_or_default();
                format!(
                    "key fingerprint {fingerprint}{label}{source}, remarks: {}",
                    facts.flaws.len()
                )
            }
            Seen::SelfTest { right, wrong } => {
                format!("{right} signing vectors as they must be, {wrong} otherwise")
            }
            Seen::Resolved(addresses) => join(addresses),
            Seen::NotResolved(None) => "not resolved in time".to_owned(),
            Seen::NotResolved(Some(Unresolved::Nothing)) => {
                "the name service knows no address".to_owned()
            }
            Seen::NotResolved(Some(Unresolved::Refused(address))) => {
                format!("resolved to {address}, which is no public address")
            }
            Seen::Connected(address) => format!("connected to {address}"),
            Seen::NotConnected => "no connection".to_owned(),
            Seen::Secured => "verified".to_owned(),
            Seen::NotSecured => "no verified session".to_owned(),
            Seen::NotPrepared(reason) => reason.clone(),
            Seen::Answered(answer) => answer.describe(),
            Seen::Failed(failure) => failure.to_string(),
            Seen::Clock(Some(skew)) => format!("the exchange's minus this host's: {skew} ms"),
            Seen::Clock(None) => "not known: no two answers agree".to_owned(),
            Seen::Outbound(reading) => outbound(reading, expected),
            Seen::Skipped(reason) => format!("not made: {reason}"),
        }
    }
}

const fn choose(bad: bool, remark: bool) -> Verdict {
    match (bad, remark) {
        (true, _) => Verdict::Bad,
        (false, true) => Verdict::Remark,
        (false, false) => Verdict::Good,
    }
}

/// Whether the operator names an address; `None` where nothing was said.
pub fn is_expected(expected: &Expected, address: IpAddr) -> Option<bool> {
    match expected {
        Expected::Unstated => None,
        Expected::Any => Some(true),
        Expected::Listed(listed) => Some(listed.contains(&address)),
    }
}

fn outbound(reading: &Reading, expected: &Expected) -> String {
    match reading {
        Reading::Confirmed {
            address, voices, ..
        } => {
            let stated = match is_expected(expected, *address) {
                None => "",
                Some(true) => ", as CRYPTO_EXPECTED_IP says",
                Some(false) => ", which CRYPTO_EXPECTED_IP does not name",
            };
            format!("{address}, {voices} services agree{stated}")
        }
        Reading::Unconfirmed(address) => {
            format!("{address} unconfirmed: compare with the cloud console")
        }
        Reading::Disagreement(addresses) => format!("services disagree: {}", join(addresses)),
        Reading::Silence => "no service answered".to_owned(),
    }
}

fn join(addresses: &[IpAddr]) -> String {
    addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
