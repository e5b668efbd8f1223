//! How clients render the params that they sign: the documented way, and the ways of the Python clients.
//!
//! For verifying a *client's* signature only, where all that is at stake is whether the client knows the secret that we
//! issued; what goes to the exchange is signed by `canonical`, which refuses whatever implementations disagree about.
//! Guarantees: pure; at most three renderings; bounded depth. Source: the vendor's samples, and the code of
//! cryptocom-exchange 2.8.0 and ccxt 4.5.90, whose own signatures are the tests. Does not: judge params.

use serde_json::value::RawValue;

use super::canonical::{Kind, Members};

mod python;

/// Containers nested deeper than this are rendered by nobody; what the exchange documents has three levels.
const MAX_DEPTH: u8 = 8;
/// From this level on the Python clients print whole values.
const PRINTED_LEVEL: u8 = 3;

/// A way of turning params into text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientDialect {
    /// Recursion down to the scalars, `true`, `null`: the documents, ccxt for JavaScript, the vendor's own client.
    Documented,
    /// Python's `str()` of values, with `null` for `None`: the documented Python sample and cryptocom-exchange.
    Python,
    /// The same, with `None` for `None`: ccxt for Python.
    PythonNone,
}

impl ClientDialect {
    /// Every way, the most common one first.
    pub const ALL: [Self; 3] = [Self::Documented, Self::Python, Self::PythonNone];
}

/// Params as they are signed in this way; `None` where they cannot be rendered, so that no signature fits them.
#[must_use]
pub fn params_string(params: &RawValue, rendering: ClientDialect) -> Option<String> {
    let mut out = String::with_capacity(params.get().len());
    match rendering {
        ClientDialect::Documented => documented(params, 0, &mut out)?,
        ClientDialect::Python => in_python(params, 0, "null", &mut out)?,
        ClientDialect::PythonNone => in_python(params, 0, "None", &mut out)?,
    }
    Some(out)
}

fn documented(value: &RawValue, depth: u8, out: &mut String) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match Kind::of(value) {
        Kind::Object => {
            for (key, value) in sorted(value)? {
                out.push_str(&key);
                documented(value, depth + 1, out)?;
            }
        }
        Kind::List => elements(value)?
            .into_iter()
            .try_for_each(|element| documented(element, depth + 1, out))?,
        Kind::String => out.push_str(&text(value)?),
        Kind::Number | Kind::Boolean | Kind::Null => out.push_str(value.get()),
    }
    Some(())
}

/// `none` is the word for `None` as a value; in a list only one of the clients has one, `null`.
fn in_python(object: &RawValue, level: u8, none: &str, out: &mut String) -> Option<()> {
    if level >= PRINTED_LEVEL {
        return python::print(object, out);
    }
    for (key, value) in sorted(object)? {
        out.push_str(&key);
        match Kind::of(value) {
            Kind::Null => out.push_str(none),
            Kind::List => {
                for element in elements(value)? {
                    match Kind::of(element) {
                        Kind::Object => in_python(element, level + 1, none, out)?,
                        Kind::Null => out.push_str("null"),
                        Kind::List | Kind::String | Kind::Number | Kind::Boolean => {
                            python::print(element, out)?
                        }
                    }
                }
            }
            Kind::Object | Kind::String | Kind::Number | Kind::Boolean => {
                python::print(value, out)?
            }
        }
    }
    Some(())
}

/// The members by their names; none where a name stands twice, because readers disagree about which one counts.
fn sorted(object: &RawValue) -> Option<Vec<(std::borrow::Cow<'_, str>, &RawValue)>> {
    let Members(mut members) = serde_json::from_str(object.get()).ok()?;
    members.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    let repeated = members
        .windows(2)
        .any(|pair| matches!(pair, [(left, _), (right, _)] if left == right));
    (!repeated).then_some(members)
}

fn elements(list: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(list.get()).ok()
}

fn text(string: &RawValue) -> Option<std::borrow::Cow<'_, str>> {
    match string
        .get()
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    {
        Some(plain) if !plain.contains('\\') => Some(plain.into()),
        _ => serde_json::from_str::<String>(string.get())
            .ok()
            .map(Into::into),
    }
}

#[cfg(test)]
mod tests;
