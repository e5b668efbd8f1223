//! The readings of a text in which a secret could stand: as it is, without percent signs, without backslashes.
//!
//! Guarantees: linear in the length of the text; wiped, because a text that is searched may hold a secret. Does not:
//! know what is looked for.

use zeroize::Zeroizing;

/// A text, read in several ways.
pub(super) struct Readings {
    /// In lower case.
    pub(super) folded: Vec<Zeroizing<Vec<u8>>>,
    /// In the standard alphabet of base64, without the white space that breaks its lines.
    pub(super) base64: Vec<Zeroizing<Vec<u8>>>,
}

impl Readings {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut plain = vec![Zeroizing::new(bytes.to_vec())];
        if bytes.contains(&b'\\') {
            plain.push(without_backslashes(bytes));
        }
        let decoded = plain
            .iter()
            .filter(|text| text.contains(&b'%'))
            .map(|text| percent_decoded(text));
        let decoded: Vec<_> = decoded.collect();
        plain.extend(decoded);
        let folded = plain
            .iter()
            .map(|text| Zeroizing::new(text.to_ascii_lowercase()))
            .collect();
        Self {
            folded,
            base64: plain.iter().map(|text| as_base64(text)).collect(),
        }
    }
}

/// `%41` → `A`; what is no escape stays.
fn percent_decoded(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(number);
        let escaped = escaped.and_then(|number| u8::try_from(number).ok());
        decoded.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    decoded
}

/// `\u0041` → `A`, and of every other pair the second character, as Markdown and JSON have it.
fn without_backslashes(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            decoded.push(*first);
            continue;
        }
        let digits = after.strip_prefix(b"u").and_then(|digits| digits.get(..4));
        if let Some(byte) = digits
            .and_then(number)
            .and_then(|number| u8::try_from(number).ok())
        {
            decoded.push(byte);
            rest = after.get(5..).unwrap_or_default();
        } else if let Some((second, after)) = after.split_first() {
            decoded.push(*second);
            rest = after;
        }
    }
    decoded
}

/// Hexadecimal digits as a number.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        Some(number * 16 + char::from(*digit).to_digit(16)?)
    })
}

fn as_base64(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let bytes = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    let standard = bytes.map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        _ => *byte,
    });
    Zeroizing::new(standard.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_what_is_none_stays() {
        assert_eq!(percent_decoded(b"%41%zz%4").as_slice(), b"A%zz%4");
        assert_eq!(
            without_backslashes(br#"\u0041\"\\\_\u20ac\"#).as_slice(),
            br#"A"\_u20ac"#
        );
        assert_eq!(as_base64(b"a-_\r\n b").as_slice(), b"a+/b");
    }
}
