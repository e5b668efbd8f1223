//! Percent-encoding of one part of a path, read strictly.

/// The text that is written there; `None` where it is empty, an escape is broken, or it is no UTF-8.
pub(super) fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_escapes_are_read_and_everything_else_is_no_name() {
        for (written, name) in [
            ("plain-1.2_~", Some("plain-1.2_~")),
            ("a%2Fb%2fc", Some("a/b/c")),
            ("a+b", Some("a+b")),
            ("%c3%A4", Some("ä")),
            ("%25", Some("%")),
            ("", None),
            ("%", None),
            ("%2", None),
            ("%2g", None),
            ("%+1", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(written).as_deref(), name, "{written}");
        }
    }
}
