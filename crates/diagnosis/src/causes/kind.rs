//! What the exchange objects to, by its own words: which failures are to be explained.
//!
//! Guarantees: the exchange's code decides, the HTTP status only where there is none that says more; what never reached
//! the exchange is not explained here, its record says why. Source: the exchange's documents, and the wire contract.

use catalogue::codes::{self, Category};
use gateway::{outcome::Outcome, record::CallReport};

/// What the exchange objected to, by its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
    /// HTTP 401 or 403 without a code: not from the exchange itself.
    Edge,
}

impl Kind {
    /// What a report's failure is, if it is one to be explained.
    #[must_use]
    pub fn of(report: &CallReport) -> Option<Self> {
        let reached = matches!(report.outcome, Outcome::Answered | Outcome::Unknown);
        reached
            .then(|| Self::of_answer(report.status, report.code))
            .flatten()
    }

    /// What an answer objects to, if it is something to be explained.
    #[must_use]
    pub fn of_answer(status: u16, code: Option<i64>) -> Option<Self> {
        let forbidden = matches!(status, 401 | 403);
        match code {
            None => forbidden.then_some(Self::Edge),
            Some(40101 | 10002) => Some(Self::Refused),
            Some(40102 | 10007) => Some(Self::Nonce),
            Some(40103 | 10003) => Some(Self::Address),
            Some(40104 | 10005) => Some(Self::Tier),
            Some(42901 | 10006) => Some(Self::Budget),
            Some(9_010_001) => Some(Self::Maintenance),
            // The code says what it is about: the order, not who sent it.
            Some(code) if matches!(category(code), Some(Category::Ok | Category::Business)) => None,
            Some(_) => forbidden.then_some(Self::Refused),
        }
    }

    /// Whether an answer shows that the exchange took the call as authentic and permitted, whatever it then said.
    #[must_use]
    pub fn is_acceptance(code: Option<i64>) -> bool {
        matches!(
            code.and_then(category),
            Some(Category::Ok | Category::Business)
        )
    }

    /// Whether another address than assumed would explain it.
    #[must_use]
    pub const fn may_be_the_address(self) -> bool {
        matches!(self, Self::Refused | Self::Address)
    }

    /// Whether the exchange refused the key, its permissions, or where it is used from.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::Address | Self::Tier)
    }
}

fn category(code: i64) -> Option<Category> {
    codes::find(code).map(|info| info.category)
}
