//! Signatures, checked as the exchange's documented Java sample does: the only sample that ships a verifying half.
//!
//! Guarantees: written from the documented rule and shares no code with the signer it is there to test; every vector
//! of `crates/catalogue/data/vectors.json` is run through it, the doubtful ones included.
//! Does not: refuse what a careful client would not send; it computes what the sample computes.

use std::cmp::Ordering;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{json::Json, settings::Dialect};

/// The parts of a call that its signature covers, and the signature.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) id: i64,
    pub(super) api_key: &'a str,
    pub(super) params: Option<&'a Json>,
    pub(super) nonce: i64,
    pub(super) sig: &'a str,
}

impl Signed<'_> {
    /// Whether `secret` made this signature.
    pub(super) fn is_by(&self, secret: &str, dialect: Dialect) -> bool {
        let Some(params) = params_string(self.params, dialect) else {
            return false;
        };
        let text = format!(
            "{}{}{}{}{}",
            self.method, self.id, self.api_key, params, self.nonce
        );
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
            return false;
        };
        mac.update(text.as_bytes());
        is_lower_hex(self.sig)
            && hex::decode(self.sig).is_ok_and(|sig| mac.verify_slice(&sig).is_ok())
    }
}

/// The params string, or `None` where the sample fails (a `null` in a list, a number beyond a double).
pub(super) fn params_string(params: Option<&Json>, dialect: Dialect) -> Option<String> {
    let mut out = String::new();
    if let Some(params) = params {
        append(&mut out, params, 0, dialect.max_level())?;
    }
    Some(out)
}

fn append(out: &mut String, value: &Json, level: usize, max_level: usize) -> Option<()> {
    match value {
        Json::List(_) | Json::Object(_) if level >= max_level => print(out, value),
        Json::Object(members) => append_members(out, members, level, max_level),
        Json::List(items) => items
            .iter()
            .try_for_each(|item| append(out, item, level + 1, max_level)),
        Json::Null => None,
        Json::Bool(_) | Json::Number(_) | Json::Text(_) => print(out, value),
    }
}

fn append_members(
    out: &mut String,
    members: &[(String, Json)],
    level: usize,
    max_level: usize,
) -> Option<()> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by(|(a, _), (b, _)| utf16_order(a, b));
    for (key, value) in members {
        out.push_str(key);
        match value {
            Json::Number(text) if is_double(text) => out.push_str(&plain(text)?),
            Json::List(_) | Json::Object(_) => append(out, value, level + 1, max_level)?,
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => print(out, value)?,
        }
    }
    Some(())
}

/// What Java's `toString` prints: `{k=v, k=v}` in the order sent, `[a, b]`, strings bare.
fn print(out: &mut String, value: &Json) -> Option<()> {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Json::Number(text) if is_double(text) => out.push_str(&double(text)?),
        Json::Number(text) => out.push_str(if text == "-0" { "0" } else { text }),
        Json::Text(text) => out.push_str(text),
        Json::List(items) => {
            out.push('[');
            print_separated(out, items, print)?;
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            print_separated(out, members, |out, (key, value)| {
                out.push_str(key);
                out.push('=');
                print(out, value)
            })?;
            out.push('}');
        }
    }
    Some(())
}

fn print_separated<T>(
    out: &mut String,
    items: &[T],
    print: impl Fn(&mut String, &T) -> Option<()>,
) -> Option<()> {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        print(out, item)?;
    }
    Some(())
}

/// Java compares keys by UTF-16 code unit, which differs from UTF-8 beyond the basic plane.
fn utf16_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

fn is_double(number: &str) -> bool {
    number.contains(['.', 'e', 'E'])
}

/// `new BigDecimal(d.toString()).stripTrailingZeros().toPlainString()`.
fn plain(number: &str) -> Option<String> {
    let value = finite(number)?;
    Some(if value == 0.0 {
        "0".to_owned()
    } else {
        value.to_string()
    })
}

/// `Double.toString(d)`.
fn double(number: &str) -> Option<String> {
    let value = finite(number)?;
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return Some(format!("{value:?}"));
    }
    let text = format!("{value:E}");
    Some(if text.contains('.') {
        text
    } else {
        text.replace('E', ".0E")
    })
}

fn finite(number: &str) -> Option<f64> {
    number.parse().ok().filter(|value: &f64| value.is_finite())
}

fn is_lower_hex(sig: &str) -> bool {
    sig.bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Vec<Value> {
        let file: Value = serde_json::from_str(catalogue::SIGNING_VECTORS).unwrap();
        file["vectors"].as_array().unwrap().clone()
    }

    fn params(vector: &Value) -> Option<Json> {
        vector["params_json"]
            .as_str()
            .map(|text| Json::parse(text.as_bytes()).unwrap())
    }

    /// Sent as a number or as a string of one.
    fn integer(value: &Value) -> i64 {
        value.to_string().trim_matches('"').parse().unwrap()
    }

    fn verifies(vector: &Value, secret: &str, dialect: Dialect, sig: &str) -> bool {
        let params = params(vector);
        let call = Signed {
            method: vector["method"].as_str().unwrap(),
            id: integer(&vector["id"]),
            api_key: vector["api_key"].as_str().unwrap(),
            params: params.as_ref(),
            nonce: integer(&vector["nonce"]),
            sig,
        };
        call.is_by(secret, dialect)
    }

    #[test]
    fn every_vector_verifies_as_the_documented_sample_does() {
        let mut checked = 0;
        for vector in vectors() {
            let Some(sig) = vector["signature"].as_str() else {
                continue;
            };
            let secret = vector["secret"].as_str().unwrap();
            let name = &vector["name"];
            assert_eq!(
                params_string(params(&vector).as_ref(), Dialect::Documented),
                vector["params_string"].as_str().map(str::to_owned),
                "{name}"
            );
            assert!(
                verifies(&vector, secret, Dialect::Documented, sig),
                "{name}"
            );
            assert!(
                !verifies(&vector, "another secret", Dialect::Documented, sig),
                "{name}"
            );
            assert!(
                !verifies(&vector, secret, Dialect::Documented, &sig.to_uppercase()),
                "{name} upper case"
            );
            checked += 1;
        }
        assert!(checked >= 60, "only {checked} vectors were checked");
    }

    #[test]
    fn the_flat_dialect_verifies_the_ambiguous_vectors() {
        let vector = vectors()
            .into_iter()
            .find(|vector| vector["name"] == "order-list-exec-inst")
            .unwrap();
        let secret = vector["secret"].as_str().unwrap();
        let flat = vector["signature_flat"].as_str().unwrap();
        assert!(verifies(&vector, secret, Dialect::Flat, flat));
        assert!(!verifies(&vector, secret, Dialect::Documented, flat));
    }

    #[test]
    fn a_null_in_a_list_never_verifies() {
        let json = Json::parse(br#"{"a":["1",null]}"#).unwrap();
        assert_eq!(params_string(Some(&json), Dialect::Documented), None);
    }
}
