//! Removes from a credential what copying added to it.
//!
//! Removed are outer white space, carriage returns, byte order marks, zero-width characters and one layer of matching
//! quotes, each with a word for the warning. What is left must be printable ASCII, because every key, secret and token
//! is. No part of the text is shown, and nothing is guessed.

use std::fmt;

use zeroize::Zeroizing;

use crate::callers;
use gateway::{
    secret::{ApiKey, ApiSecret, Credentials},
    virtual_key,
};

/// What the exchange's secrets begin with; a key does not.
pub(super) const SECRET_PREFIX: &str = "cxakp_";
/// What everything begins with that this proxy issues.
pub(super) const ISSUED_PREFIXES: [&str; 3] = [
    virtual_key::KEY_PREFIX,
    virtual_key::SECRET_PREFIX,
    callers::TOKEN_PREFIX,
];

/// What was removed, in words.
pub(super) type Removed = Vec<&'static str>;

/// Cleans a credential.
///
/// # Errors
/// What is wrong inside it.
pub(super) fn clean(raw: &str) -> Result<(Zeroizing<String>, Removed), &'static str> {
    let mut removed = Vec::new();
    let visible: Zeroizing<String> =
        Zeroizing::new(raw.chars().filter(|char| !is_invisible(*char)).collect());
    if visible.len() != raw.len() {
        removed.push(if raw.contains('\u{feff}') {
            "a byte order mark"
        } else {
            "zero-width characters"
        });
    }
    let text = trimmed(&visible, &mut removed);
    let inner = unquoted(text);
    let text = inner.map_or(text, |inner| {
        removed.push("quotes");
        trimmed(inner, &mut removed)
    });
    removed.dedup();
    check(text)?;
    Ok((Zeroizing::new(text.to_owned()), removed))
}

fn trimmed<'a>(text: &'a str, removed: &mut Removed) -> &'a str {
    let trimmed = text.trim();
    let outside = text.len() - trimmed.len();
    if outside > 0 {
        removed.push(if text.ends_with('\r') {
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

/// A key that an operator pasted, to be compared with the one that the sources hold. It may be any text.
///
/// It is compared in constant time and wiped on drop. It has no `Display`, and a fingerprint only where it does not
/// begin as a secret does.
pub struct PastedKey {
    as_key: ApiKey,
    as_secret: ApiSecret,
    begins_as_a_secret: bool,
}

/// What a pasted text is, beside a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMatch {
    /// The pair's key.
    Key,
    /// The pair's secret, which has no business where a key is asked for.
    Secret,
    /// Something else.
    Other,
}

impl fmt::Debug for PastedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[pasted]")
    }
}

impl PastedKey {
    /// Cleans a text; `None` where nothing is left.
    ///
    /// # Errors
    /// What is inside it that no key holds.
    pub fn read(raw: &str) -> Result<Option<Self>, &'static str> {
        let (text, _) = clean(raw)?;
        Ok((!text.is_empty()).then(|| Self {
            as_key: ApiKey::new(text.as_str().to_owned()),
            as_secret: ApiSecret::new(text.as_str().to_owned()),
            begins_as_a_secret: text.starts_with(SECRET_PREFIX),
        }))
    }

    /// What it is, beside this pair.
    #[must_use]
    pub fn beside(&self, pair: &Credentials) -> KeyMatch {
        // Both are compared, whatever the first says.
        match (
            self.as_key.equals(&pair.key),
            self.as_secret.equals(&pair.secret),
        ) {
            (true, _) => KeyMatch::Key,
            (false, true) => KeyMatch::Secret,
            (false, false) => KeyMatch::Other,
        }
    }

    /// Whether it begins as the exchange's secrets do, and its keys do not.
    #[must_use]
    pub const fn begins_as_a_secret(&self) -> bool {
        self.begins_as_a_secret
    }

    /// The fingerprint of the key; `None` where it may be a secret, which has none.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        (!self.begins_as_a_secret).then(|| self.as_key.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(raw: &str) -> (String, Removed) {
        let (text, removed) = clean(raw).unwrap();
        (text.to_string(), removed)
    }

    #[test]
    fn what_copying_puts_on_is_taken_off_and_named() {
        for (raw, removed) in [
            ("invented", vec![]),
            (" invented\t", vec!["white space"]),
            ("invented\r", vec!["a carriage return"]),
            ("\u{feff}invented", vec!["a byte order mark"]),
            ("inven\u{200b}ted", vec!["zero-width characters"]),
            ("\"invented\"", vec!["quotes"]),
            ("'invented' ", vec!["white space", "quotes"]),
            ("\" invented\"", vec!["quotes", "white space"]),
        ] {
            assert_eq!(cleaned(raw), ("invented".to_owned(), removed), "{raw:?}");
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

    const KEY: &str = "Kq7-invented-key";
    const SECRET: &str = "cxakp_invented-secret";

    fn beside(raw: &str) -> KeyMatch {
        let pair = Credentials {
            key: ApiKey::new(KEY.into()),
            secret: ApiSecret::new(SECRET.into()),
        };
        PastedKey::read(raw).unwrap().unwrap().beside(&pair)
    }

    #[test]
    fn a_key_is_recognised_through_what_copying_put_on_it_and_a_secret_is_none() {
        for raw in [
            KEY,
            " Kq7-invented-key\r\n",
            "\"Kq7-invented-key\"",
            "\u{feff}Kq7-invented-key",
        ] {
            assert_eq!(beside(raw), KeyMatch::Key, "{raw:?}");
        }
        assert_eq!(beside(SECRET), KeyMatch::Secret);
        for raw in ["kq7-invented-key", "Kq7-invented-ke", "Kq7-invented-key1"] {
            assert_eq!(beside(raw), KeyMatch::Other, "{raw}");
        }
    }

    #[test]
    fn nothing_is_nothing_and_two_words_are_no_key() {
        for raw in ["", " \n", "\"\"", "\u{feff}"] {
            assert!(PastedKey::read(raw).unwrap().is_none(), "{raw:?}");
        }
        assert!(PastedKey::read("an-invented-key an-invented-secret").is_err());
    }

    #[test]
    fn only_what_can_be_a_key_has_a_fingerprint_and_debug_shows_nothing() {
        let pasted = PastedKey::read(SECRET).unwrap().unwrap();
        assert_eq!(
            (pasted.fingerprint(), format!("{pasted:?}").as_str()),
            (None, "[pasted]")
        );
        assert!(
            PastedKey::read(KEY)
                .unwrap()
                .unwrap()
                .fingerprint()
                .is_some()
        );
    }
}
