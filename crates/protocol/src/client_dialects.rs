//! How clients render the params that they sign: the documented way, and the ways of the Python clients.
//!
//! For verifying a *client's* signature only, where all that is at stake is whether the client knows the secret that we
//! issued; what goes to the exchange is signed by `canonical`, which refuses whatever implementations disagree about.
//! Guarantees: pure; at most three dialects; bounded depth, and a bounded number of values. Source: the vendor's samples,
//! and the code of cryptocom-exchange 2.8.0 and ccxt 4.5.90, whose own signatures are the tests. Does not: judge params.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::{
    canonical::Kind,
    json::{Members, sorted, text},
};

/// Containers nested deeper than this are rendered by nobody; what the exchange documents has three levels.
const MAX_DEPTH: u8 = 8;
/// Params with more values than this are rendered by nobody; ten orders in a list have less than two hundred.
const MAX_VALUES: usize = 1024;
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

/// Whether params are small enough to be rendered: by depth and number of values, in one pass that stops at the limit.
/// Rendering reads a text once for each level around it, so that this bounds what a stranger's request costs.
#[must_use]
pub fn is_plausible(params: &RawValue) -> bool {
    let (mut depth, mut values) = (0, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in params.get().bytes() {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' => depth -= 1,
            b',' => values += 1,
            _ => continue,
        }
        if depth > MAX_DEPTH || values > MAX_VALUES {
            return false;
        }
    }
    true
}

/// Params as they are signed in this way; `None` where they cannot be rendered, so that no signature fits them.
#[must_use]
pub fn params_string(params: &RawValue, dialect: ClientDialect) -> Option<String> {
    let mut out = String::with_capacity(params.get().len());
    match dialect {
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
        return python_str(object, out);
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
                            python_str(element, out)?
                        }
                    }
                }
            }
            Kind::Object | Kind::String | Kind::Number | Kind::Boolean => python_str(value, out)?,
        }
    }
    Some(())
}

fn elements(list: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(list.get()).ok()
}

/// Appends what Python's `str()` makes of a value that went through JSON.
///
/// Exact for ASCII. Beyond it, what Python escapes in a nested text is judged by kind (controls, format characters, private
/// use); a wrong guess can only make a signature not fit. `json` and `str()` print numbers alike, but for an exponent of one
/// digit, which some writers of JSON leave so. Source: CPython's documentation of `repr`.
fn python_str(value: &RawValue, out: &mut String) -> Option<()> {
    match Kind::of(value) {
        Kind::String => {
            out.push_str(&text(value)?);
            Some(())
        }
        Kind::Object | Kind::List | Kind::Number | Kind::Boolean | Kind::Null => {
            repr(value, 0, out)
        }
    }
}

fn repr(value: &RawValue, depth: u8, out: &mut String) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match Kind::of(value) {
        Kind::Object => repr_dict(value, depth, out)?,
        Kind::List => {
            out.push('[');
            for (index, element) in elements(value)?.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                repr(element, depth + 1, out)?;
            }
            out.push(']');
        }
        Kind::String => repr_str(&text(value)?, out),
        Kind::Number => push_number(value.get(), out),
        Kind::Boolean => out.push_str(if value.get() == "true" {
            "True"
        } else {
            "False"
        }),
        Kind::Null => out.push_str("None"),
    }
    Some(())
}

/// In the order in which the members stand: `json` writes a dictionary as it was built.
fn repr_dict(value: &RawValue, depth: u8, out: &mut String) -> Option<()> {
    let Members(members) = serde_json::from_str(value.get()).ok()?;
    out.push('{');
    for (index, (key, value)) in members.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        repr_str(key, out);
        out.push_str(": ");
        repr(value, depth + 1, out)?;
    }
    out.push('}');
    Some(())
}

fn repr_str(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for next in text.chars() {
        match next {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            next if next == quote => out.extend(['\\', next]),
            next if is_printable(next) => out.push(next),
            next => push_escape(next, out),
        }
    }
    out.push(quote);
}

/// `str()` writes at least two digits of an exponent.
fn push_number(text: &str, out: &mut String) {
    match text
        .split_once("e-")
        .filter(|(_, exponent)| exponent.len() == 1)
    {
        Some((mantissa, exponent)) => out.extend([mantissa, "e-0", exponent]),
        None => out.push_str(text),
    }
}

fn push_escape(next: char, out: &mut String) {
    // Writing to a String does not fail.
    let _ = match u32::from(next) {
        code @ ..=0xff => write!(out, "\\x{code:02x}"),
        code @ ..=0xffff => write!(out, "\\u{code:04x}"),
        code => write!(out, "\\U{code:08x}"),
    };
}

fn is_printable(next: char) -> bool {
    let format = matches!(next, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(next, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    let private = matches!(next, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
    next == ' ' || !(next.is_control() || next.is_whitespace() || format || private)
}

#[cfg(test)]
mod tests;
