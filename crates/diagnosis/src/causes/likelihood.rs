//! Three words for how likely a cause is, and no number.
//!
//! Guarantees: the same words in hints, reports and JSON. Does not: weigh anything.

use std::fmt;

/// How likely a cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likelihood {
    /// Nothing speaks against it.
    Possible,
    /// Something speaks for it.
    Likely,
    /// The exchange or our own measurement says so.
    VeryLikely,
}

impl fmt::Display for Likelihood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::VeryLikely => "very likely",
        })
    }
}
