//! What Python's `str()` makes of a value that went through JSON.
//!
//! Guarantees: exact for ASCII; beyond it what Python would escape in a nested text is judged by kind (controls, format
//! characters, private use), and a wrong guess can only make a signature not fit. Numbers are printed by `json` and by
//! `str()` alike, but for an exponent of one digit, which some writers of JSON leave so. Source: CPython's documentation of `repr`.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use super::{MAX_DEPTH, elements, text};
use crate::canonical::{Kind, Members};

/// Appends `str(value)`.
pub(super) fn print(value: &RawValue, out: &mut String) -> Option<()> {
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
