//! Takes off a credential what copying put on it.
//!
//! Guarantees: outer white space and carriage returns, byte order marks, zero-width characters and one layer of
//! matching quotes go, each with a word for the warning; anything left that is not printable ASCII is refused, because
//! no key, secret or token has it. Does not: show any of the text, or guess at what was meant.

use zeroize::Zeroizing;

/// What was taken off, in words.
pub(super) type Dirt = Vec<&'static str>;

/// Cleans a credential.
///
/// # Errors
/// What is wrong inside it.
pub(super) fn clean(raw: &str) -> Result<(Zeroizing<String>, Dirt), &'static str> {
    let mut dirt = Vec::new();
    let visible: Zeroizing<String> =
        Zeroizing::new(raw.chars().filter(|char| !is_invisible(*char)).collect());
    if visible.len() != raw.len() {
        dirt.push(if raw.contains('\u{feff}') {
            "a byte order mark"
        } else {
            "zero-width characters"
        });
    }
    let text = trimmed(&visible, &mut dirt);
    let inner = unquoted(text);
    let text = inner.map_or(text, |inner| {
        dirt.push("quotes");
        trimmed(inner, &mut dirt)
    });
    dirt.dedup();
    check(text)?;
    Ok((Zeroizing::new(text.to_owned()), dirt))
}

fn trimmed<'a>(text: &'a str, dirt: &mut Dirt) -> &'a str {
    let trimmed = text.trim();
    let outside = text.len() - trimmed.len();
    if outside > 0 {
        dirt.push(if text.ends_with('\r') {
            "a carriage return"
        } else {
            "white space"
        });
    }
    trimmed
}

fn unquoted(text: &str) -> Option<&str> {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

fn check(text: &str) -> Result<(), &'static str> {
    if text.chars().any(char::is_whitespace) {
        return Err("holds white space inside");
    }
    if text.chars().any(char::is_control) {
        return Err("holds control characters");
    }
    if text.is_ascii() {
        Ok(())
    } else {
        Err("holds characters outside ASCII")
    }
}

const fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{00ad}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(raw: &str) -> (String, Dirt) {
        let (text, dirt) = clean(raw).unwrap();
        (text.to_string(), dirt)
    }

    #[test]
    fn what_copying_puts_on_is_taken_off_and_named() {
        for (raw, dirt) in [
            ("invented", vec![]),
            (" invented\t", vec!["white space"]),
            ("invented\r", vec!["a carriage return"]),
            ("\u{feff}invented", vec!["a byte order mark"]),
            ("inven\u{200b}ted", vec!["zero-width characters"]),
            ("\"invented\"", vec!["quotes"]),
            ("'invented' ", vec!["white space", "quotes"]),
            ("\" invented\"", vec!["quotes", "white space"]),
        ] {
            assert_eq!(cleaned(raw), ("invented".to_owned(), dirt), "{raw:?}");
        }
    }

    #[test]
    fn one_layer_of_matching_quotes_and_no_more() {
        assert_eq!(cleaned("\"'invented'\"").0, "'invented'");
        assert_eq!(cleaned("\"invented'").0, "\"invented'");
        assert_eq!(cleaned("\"").0, "\"");
    }

    #[test]
    fn what_is_left_must_be_printable_ascii() {
        for raw in [
            "inven ted",
            "inven\nted",
            "inven\u{7}ted",
            "invent\u{e9}d",
            "a\u{a0}b",
        ] {
            assert!(clean(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn digits_are_not_taken_for_a_number() {
        assert_eq!(cleaned("007").0, "007");
        assert_eq!(cleaned("1e5").0, "1e5");
    }
}
