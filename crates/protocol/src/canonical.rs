//! Params text → params string, the part of the string to sign that depends on the params.
//!
//! Guarantees: pure. A result is returned only where every known implementation of the exchange's documents computes the
//! same string. So what we sign is what the exchange verifies. Everything else is refused with the place, the reason and
//! what to send instead. Source: the vendor's documented samples, and `crates/catalogue/data/vectors.json`, where seven
//! implementations were compared. Does not: sign, or ever try a second dialect after a refusal by the exchange.

use serde_json::value::RawValue;

use crate::json::{self, Members};

mod refusal;

pub use refusal::{Reason, Unsignable};

/// Containers at this level and deeper are printed as a whole by the documented Java sample and recursed into by
/// others: nothing that stands there can be signed safely.
const AMBIGUOUS_LEVEL: u8 = 3;

/// How the one list that is common in the field and ambiguous in the documents is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `order_list[].exec_inst` as a list is refused.
    #[default]
    Documented,
    /// `order_list[].exec_inst` as a list of strings is signed as their concatenation, as ccxt and the vendor's own
    /// client do. An operator's decision (`calls.order_list_exec_inst = "flat"`), never an automatic second try.
    FlatOrderListExecInst,
}

/// The params string of a params object.
///
/// # Errors
/// [`Unsignable`] where implementations of the documents disagree about the string, or the text is no JSON object.
pub fn params_string(params: &RawValue, dialect: Dialect) -> Result<String, Unsignable> {
    let mut out = String::with_capacity(params.get().len());
    if Kind::of(params) != Kind::Object {
        return Err(Reason::NotAnObject.into());
    }
    Writer {
        out: &mut out,
        dialect,
    }
    .object(params, 0, "")?;
    Ok(out)
}

/// The parts of the string to sign, in order; the signer feeds them to the MAC one after the other.
///
/// `method + id + api_key + params string + nonce` (vendor documents). The concatenation is not injective, which is why
/// policy judges the parsed call and never this text.
#[must_use]
pub fn string_to_sign<'a>(
    method: &'a str,
    id: &'a str,
    api_key: &'a str,
    params_string: &'a str,
    nonce: &'a str,
) -> [&'a str; 5] {
    [method, id, api_key, params_string, nonce]
}

/// What a JSON text is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    List,
    String,
    Number,
    Boolean,
    Null,
}

impl Kind {
    /// The text is valid JSON already, so its first byte decides.
    pub(super) fn of(raw: &RawValue) -> Self {
        match raw.get().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::List,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') => Self::Null,
            _ => Self::Number,
        }
    }
}

struct Writer<'o> {
    out: &'o mut String,
    dialect: Dialect,
}

impl Writer<'_> {
    /// `list` is the key of the list that this object is an element of, or empty.
    fn object(&mut self, raw: &RawValue, level: u8, list: &str) -> Result<(), Unsignable> {
        let Members(mut members) =
            serde_json::from_str(raw.get()).map_err(|_| Reason::BrokenString)?;
        for (position, (key, _)) in members.iter().enumerate() {
            if !key.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                return Err(Unsignable::from(Reason::KeyNotAscii).within_member(position));
            }
        }
        members.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        for (index, (key, value)) in members.iter().enumerate() {
            if index
                .checked_sub(1)
                .and_then(|before| members.get(before))
                .is_some_and(|(before, _)| before == key)
            {
                return Err(Unsignable::from(Reason::DuplicateKey).within_key(key));
            }
            self.out.push_str(key);
            self.member(key, value, level, list)
                .map_err(|refusal| refusal.within_key(key))?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        key: &str,
        value: &RawValue,
        level: u8,
        list: &str,
    ) -> Result<(), Unsignable> {
        match Kind::of(value) {
            Kind::List if key == "exec_inst" && list == "order_list" => {
                self.exec_inst_of_leg(value)
            }
            Kind::List => self.list(value, deeper(level)?, key),
            Kind::Object => self.object(value, deeper(level)?, ""),
            Kind::Number => self.number(value, Place::Member),
            Kind::Null => {
                self.out.push_str("null");
                Ok(())
            }
            Kind::String | Kind::Boolean => self.text(value),
        }
    }

    fn list(&mut self, raw: &RawValue, level: u8, key: &str) -> Result<(), Unsignable> {
        for (index, element) in elements(raw)?.into_iter().enumerate() {
            self.element(element, level, key)
                .map_err(|refusal| refusal.within_element(index))?;
        }
        Ok(())
    }

    fn element(&mut self, element: &RawValue, level: u8, key: &str) -> Result<(), Unsignable> {
        match Kind::of(element) {
            Kind::Object => self.object(element, deeper(level)?, key),
            Kind::List => self.list(element, deeper(level)?, ""),
            Kind::Number => self.number(element, Place::Element),
            Kind::Null => Err(Reason::NullInList.into()),
            Kind::String | Kind::Boolean => self.text(element),
        }
    }

    fn exec_inst_of_leg(&mut self, raw: &RawValue) -> Result<(), Unsignable> {
        let elements = elements(raw)?;
        let all_strings = elements
            .iter()
            .all(|element| Kind::of(element) == Kind::String);
        if self.dialect == Dialect::Documented || !all_strings {
            return Err(Reason::ExecInstListInOrderList.into());
        }
        elements
            .into_iter()
            .try_for_each(|element| self.text(element))
    }

    fn number(&mut self, raw: &RawValue, place: Place) -> Result<(), Unsignable> {
        check_number(raw.get(), place)?;
        self.out.push_str(raw.get());
        Ok(())
    }

    /// A string's decoded content, or a boolean's text.
    fn text(&mut self, raw: &RawValue) -> Result<(), Unsignable> {
        if Kind::of(raw) == Kind::Boolean {
            self.out.push_str(raw.get());
        } else {
            self.out
                .push_str(&json::text(raw).ok_or(Reason::BrokenString)?);
        }
        Ok(())
    }
}

fn deeper(level: u8) -> Result<u8, Unsignable> {
    if level + 1 >= AMBIGUOUS_LEVEL {
        Err(Reason::TooDeep.into())
    } else {
        Ok(level + 1)
    }
}

fn elements(raw: &RawValue) -> Result<Vec<&RawValue>, Unsignable> {
    serde_json::from_str(raw.get()).map_err(|_| Reason::BrokenString.into())
}

/// Where a number stands: decimals in lists are printed differently by the documented sample.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The value of a member of an object.
    Member,
    /// An element of a list.
    Element,
}

/// Decimals beyond this many significant digits do not survive a double.
const EXACT_DIGITS: usize = 15;

/// Checks the text of a JSON number.
///
/// Only texts pass that Java, JavaScript and Python print back unchanged (`crates/catalogue/data/vectors.json`), so that
/// the text can be signed as it stands. No number is converted, rounded or rewritten.
fn check_number(text: &str, place: Place) -> Result<(), Unsignable> {
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
mod tests;
