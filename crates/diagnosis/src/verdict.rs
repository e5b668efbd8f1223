//! What one call says about key, permission and address: the only place where a code, a status and an outcome are
//! classified for a diagnosis.
//!
//! The exchange's code decides; the HTTP status counts only where the code is not about the request's content. Whether a
//! call may have executed is another question: its outcome answers it. Sources: the exchange's error table
//! (`catalogue::codes`), `docs/log-lines.md` ("Which failures get a hint") and CP-NO-TRADE-PERMISSION in
//! `docs/diagnosis.md` (403 with a code is a refusal, in the history too).

use catalogue::{
    codes::{self, Category},
    methods::Class,
};
use gateway::{
    outcome::Outcome,
    record::{CallReport, INCONCLUSIVE},
};

#[cfg(test)]
pub(crate) mod tests;

/// What a call says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The exchange took it as authentic and permitted, and executed it or refused it on its merits.
    Accepted,
    /// Something other than the call's content is wrong, and a cause can be named.
    Objection(Objection),
    /// No conclusive answer, or none: the connection, or the exchange itself.
    Inconclusive,
    /// Nothing: the request was malformed, or its method needs no key.
    NoEvidence,
    /// The proxy refused it; the exchange was not asked.
    RefusedHere,
}

/// What the exchange, or what stands before it, objects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// Authentication failed, or the call is forbidden; the exchange does not say why.
    Refused,
    /// The nonce is off.
    Nonce,
    /// The address is not on the whitelist.
    Address,
    /// The account's tier.
    Tier,
    /// Too many calls.
    Budget,
    /// Maintenance.
    Maintenance,
    /// The exchange's own trouble: an error of its servers, or of what stands before them, with or without a code.
    Outage,
    /// HTTP 401 or 403 without a code: not from the exchange itself.
    Edge,
}

impl Verdict {
    /// What a call that ended says.
    #[must_use]
    pub fn of(report: &CallReport) -> Self {
        let verdict = match report.outcome {
            Outcome::Refused => return Self::RefusedHere,
            _ if report.class == Some(Class::Public) => return Self::NoEvidence,
            Outcome::NotSent => return Self::Inconclusive,
            Outcome::Unknown | Outcome::Answered => Self::of_answer(report.status, report.code),
        };
        // A conclusive code of a call whose end is not known contradicts itself; the gateway reports no such call.
        if verdict == Self::Accepted && report.outcome == Outcome::Unknown {
            return Self::Inconclusive;
        }
        // Where the exchange did not answer, the status is ours.
        if verdict == Self::Objection(Objection::Outage) && report.why != Some(INCONCLUSIVE) {
            return Self::Inconclusive;
        }
        verdict
    }

    /// What an answer says, by its HTTP status and the exchange's code.
    #[must_use]
    pub fn of_answer(status: u16, code: Option<i64>) -> Self {
        let forbidden = matches!(status, 401 | 403);
        let Some(code) = code else {
            return match status {
                401 | 403 => Self::Objection(Objection::Edge),
                500.. => Self::Objection(Objection::Outage),
                _ => Self::Inconclusive,
            };
        };
        let objection = match code {
            40101 | 10002 => Objection::Refused,
            40102 | 10007 => Objection::Nonce,
            40103 | 10003 => Objection::Address,
            40104 | 10005 => Objection::Tier,
            42901 | 10006 => Objection::Budget,
            9_010_001 => Objection::Maintenance,
            _ => {
                return match codes::find(code).map(|info| info.category) {
                    Some(Category::Ok | Category::Business) => Self::Accepted,
                    _ if forbidden => Self::Objection(Objection::Refused),
                    Some(Category::Request) => Self::NoEvidence,
                    Some(Category::Auth) => Self::Objection(Objection::Refused),
                    Some(Category::RateLimit) => Self::Objection(Objection::Budget),
                    Some(Category::Indeterminate) => Self::Objection(Objection::Outage),
                    None => Self::Inconclusive,
                };
            }
        };
        Self::Objection(objection)
    }

    /// What is objected to; a hint explains exactly these calls.
    #[must_use]
    pub const fn objection(self) -> Option<Objection> {
        match self {
            Self::Objection(objection) => Some(objection),
            Self::Accepted | Self::Inconclusive | Self::NoEvidence | Self::RefusedHere => None,
        }
    }

    /// Whether the exchange took the call as authentic and permitted, whatever it then said.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted)
    }

    /// Whether the objection is to who calls, from where, or when: not to how often, and no announced pause. Alarms and
    /// the history count these as refused.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        match self {
            Self::Objection(objection) => match objection {
                Objection::Refused
                | Objection::Nonce
                | Objection::Address
                | Objection::Tier
                | Objection::Edge => true,
                Objection::Budget | Objection::Maintenance | Objection::Outage => false,
            },
            Self::Accepted | Self::Inconclusive | Self::NoEvidence | Self::RefusedHere => false,
        }
    }

    /// Whether the exchange itself refused the key, its permissions, or where it is used from. A page of the edge and a
    /// nonce say nothing about these.
    #[must_use]
    pub const fn is_about_the_key(self) -> bool {
        matches!(
            self,
            Self::Objection(Objection::Refused | Objection::Address | Objection::Tier)
        )
    }
}

impl Objection {
    /// Whether another address than assumed would explain it.
    #[must_use]
    pub const fn may_be_the_address(self) -> bool {
        matches!(self, Self::Refused | Self::Address)
    }
}
