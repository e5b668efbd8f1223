//! What a good run leaves open. The one place that says it.

use std::fmt;

use catalogue::methods::Class;

/// What no probe tries of a key, because that would change something, and no accepted call has shown either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untried {
    /// Whether it may trade, and whether it may withdraw.
    TradingAndWithdrawal,
    /// Whether it may withdraw.
    Withdrawal,
    /// Whether it may trade.
    Trading,
}

impl Untried {
    /// What is left, where calls of these classes were accepted; nothing where there is nothing left.
    #[must_use]
    pub fn beside(accepted: impl Fn(Class) -> bool) -> Option<Self> {
        match (accepted(Class::Trade), accepted(Class::Transfer)) {
            (false, false) => Some(Self::TradingAndWithdrawal),
            (true, false) => Some(Self::Withdrawal),
            (false, true) => Some(Self::Trading),
            (true, true) => None,
        }
    }
}

impl fmt::Display for Untried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::TradingAndWithdrawal => "trade or withdraw",
            Self::Withdrawal => "withdraw",
            Self::Trading => "trade",
        };
        write!(f, "whether the key may {what}: no probe changes anything")
    }
}
