//! Amounts of money and of things: exact decimals.
//!
//! Guarantees: no rounding but toward zero at the twelfth decimal, and `None` instead of an overflow.
//! Does not: know currencies, ticks or lot sizes.

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};

/// Places behind the point.
const DECIMALS: u32 = 12;

/// A decimal with twelve places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amount(Decimal);

impl Amount {
    pub(super) const ZERO: Self = Self(Decimal::ZERO);

    /// Reads plain decimal text: no exponent, at most 18 digits before the point and twelve behind it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = !whole.is_empty() && all_digits(whole) && all_digits(decimals);
        if !is_plain || whole.len() > 18 || decimals.len() > DECIMALS as usize {
            return None;
        }
        text.parse().ok().map(Self)
    }

    /// Reads text that must be above zero.
    pub(super) fn positive(text: &str) -> Option<Self> {
        Self::parse(text).filter(|amount| *amount > Self::ZERO)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        self.0.checked_mul(other.0).map(Self::cut)
    }

    pub(super) fn over(self, other: Self) -> Option<Self> {
        self.0.checked_div(other.0).map(Self::cut)
    }

    fn cut(exact: Decimal) -> Self {
        Self(exact.round_dp_with_strategy(DECIMALS, RoundingStrategy::ToZero))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_the_way_in_and_out() {
        for (text, shown) in [
            ("0", "0"),
            ("50000.50", "50000.5"),
            ("0.000000000001", "0.000000000001"),
            ("-1.20", "-1.2"),
        ] {
            assert_eq!(Amount::parse(text).unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "-",
            ".",
            "1e5",
            "+1",
            "1.0000000000001",
            "1,5",
            "NaN",
            "9999999999999999999",
            "1.-2",
        ] {
            assert_eq!(Amount::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn products_and_quotients_are_exact_or_refused() {
        let amount = |text| Amount::parse(text).unwrap();
        assert_eq!(
            amount("50000.5").times(amount("0.01")),
            Some(amount("500.005"))
        );
        assert_eq!(amount("100").over(amount("50000")), Some(amount("0.002")));
        assert_eq!(amount("1").over(Amount::ZERO), None);
        assert_eq!(
            amount("999999999999999999").times(amount("999999999999999999")),
            None
        );
    }
}
