//! Amounts of money and of things: exact decimals.
//!
//! Guarantees: no rounding but toward zero at the twelfth decimal, and `None` instead of an overflow.
//! Does not: know currencies, ticks or lot sizes.

use std::fmt;

const DECIMALS: usize = 12;
const SCALE: i128 = 1_000_000_000_000;

/// A decimal with twelve places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amount(i128);

impl Amount {
    pub(super) const ZERO: Self = Self(0);

    /// Reads plain decimal text: no exponent, at most twelve decimals.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || whole.len() > 18
            || decimals.len() > DECIMALS
            || !all_digits(whole)
            || !all_digits(decimals)
        {
            return None;
        }
        let units = format!("{whole}{decimals:0<DECIMALS$}")
            .parse::<i128>()
            .ok()?;
        Some(Self(if negative { -units } else { units }))
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
        self.0
            .checked_mul(other.0)
            .map(|product| Self(product / SCALE))
    }

    pub(super) fn over(self, other: Self) -> Option<Self> {
        self.0.checked_mul(SCALE)?.checked_div(other.0).map(Self)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, decimals) = (
            self.0.unsigned_abs() / SCALE.unsigned_abs(),
            self.0.unsigned_abs() % SCALE.unsigned_abs(),
        );
        let decimals = format!("{decimals:0>DECIMALS$}");
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            decimals => write!(f, "{sign}{whole}.{decimals}"),
        }
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
