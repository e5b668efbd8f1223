//! Which number texts every implementation signs alike.
//!
//! Guarantees: accepts only texts that Java, JavaScript and Python print back unchanged (`crates/catalogue/data/vectors.json`), so that
//! the text can be signed as it stands. Does not: convert, round or rewrite a number.

use super::{Reason, Unsignable};

/// Where a number stands: decimals in lists are printed differently by the documented sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The value of a member of an object.
    Member,
    /// An element of a list.
    Element,
}

/// Decimals beyond this many significant digits do not survive a double.
const EXACT_DIGITS: usize = 15;

/// Checks the text of a JSON number.
pub(super) fn check(text: &str, place: Place) -> Result<(), Unsignable> {
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        return integer(text);
    }
    match place {
        Place::Element => Err(Reason::DecimalInList.into()),
        Place::Member if is_canonical_decimal(text) => Ok(()),
        Place::Member => Err(Reason::DecimalNotCanonical.into()),
    }
}

fn integer(text: &str) -> Result<(), Unsignable> {
    if text == "-0" {
        return Err(Reason::NegativeZero.into());
    }
    text.parse::<i64>()
        .map(drop)
        .map_err(|_| Reason::IntegerBeyondI64.into())
}

/// `-?(0|[1-9]\d*)\.\d*[1-9]`, at most 15 significant digits, no exponent, at least 0.0001 from zero.
fn is_canonical_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let Some((whole, fraction)) = unsigned.split_once('.') else {
        return false;
    };
    let digits_only = unsigned
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let significant = whole.trim_start_matches('0').len()
        + if whole == "0" {
            fraction.trim_start_matches('0').len()
        } else {
            fraction.len()
        };
    digits_only
        && !fraction.ends_with('0')
        && significant <= EXACT_DIGITS
        && unsigned.parse::<f64>().is_ok_and(|value| value >= 0.0001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_that_every_language_prints_alike_pass() {
        for text in [
            "0.1",
            "0.01",
            "-5.25",
            "0.0001",
            "50000.5",
            "123456789012.345",
            "-0.5",
        ] {
            assert!(check(text, Place::Member).is_ok(), "{text}");
        }
    }

    #[test]
    fn decimals_that_some_language_rewrites_are_refused() {
        for text in [
            "50000.00",
            "1.0",
            "1e5",
            "1E-7",
            "1.5e3",
            "0.00001",
            "0.00009",
            "1234567890123.4567",
            "-0.0",
        ] {
            assert!(check(text, Place::Member).is_err(), "{text}");
        }
        assert!(check("0.1", Place::Element).is_err());
    }

    #[test]
    fn integers_pass_within_i64_only() {
        for text in ["0", "-5", "9223372036854775807", "-9223372036854775808"] {
            assert!(check(text, Place::Element).is_ok(), "{text}");
        }
        for text in ["-0", "9223372036854775808", "18446744073709551616"] {
            assert!(check(text, Place::Member).is_err(), "{text}");
        }
    }
}
