//! Removes from a credential what copying added to it.
//!
//! Removed are outer white space, carriage returns, byte order marks, zero-width characters and one layer of matching
//! quotes, each with a word for the warning. What is left must be printable ASCII, because every key, secret and token
//! is. No part of the text is shown, and nothing is guessed. What is printable and looks wrong all the same, as a
//! placeholder does, is named by [`placeholder`], [`unusual_in_pair`] and [`unusual_in_token`].

use std::{collections::BTreeSet, fmt};

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
        let outer = text.replace(trimmed, "");
        let has = |kind: fn(char) -> bool| outer.contains(kind);
        removed.push(if has(|char| char == '\r') {
            "a carriage return"
        } else if has(is_no_break_space) {
            "a no-break space"
        } else if has(|char| char.is_control() && !"\t\n".contains(char)) {
            "a control character"
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

/// What no key, secret or token holds, the most telling first.
fn check(text: &str) -> Result<(), &'static str> {
    let has = |kind: fn(char) -> bool| text.contains(kind);
    let fault = if has(|char| char == '\u{1b}') {
        "holds an escape sequence of a terminal"
    } else if has(|char| char == '\n') {
        "holds a line break inside"
    } else if has(|char| char == '\r') {
        "holds a carriage return inside"
    } else if has(|char| char.is_control() && char != '\t') {
        "holds a control character"
    } else if has(is_no_break_space) {
        "holds a no-break space inside"
    } else if has(char::is_whitespace) && has(|char| char == '#') {
        "holds white space and a # inside: a comment needs a line of its own"
    } else if has(char::is_whitespace) {
        "holds white space inside"
    } else if has(is_typographic_quote) {
        "holds typographic quotes"
    } else if text.is_ascii() {
        return Ok(());
    } else {
        "holds characters outside ASCII"
    };
    Err(fault)
}

/// Characters that a reader does not see, and that stand in no key, secret or token.
fn is_invisible(char: char) -> bool {
    let is_separator = matches!(char, '\u{2028}' | '\u{2029}');
    let has_no_width = matches!(char, '\u{34f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}');
    has_no_width || !char.is_control() && !is_separator && text::is_unsafe(char)
}

const fn is_no_break_space(char: char) -> bool {
    matches!(char, '\u{a0}' | '\u{2007}' | '\u{202f}')
}

const fn is_typographic_quote(char: char) -> bool {
    matches!(
        char,
        '\u{ab}' | '\u{b4}' | '\u{bb}' | '\u{2018}'..='\u{201f}' | '\u{2032}'..='\u{2037}' | '\u{2039}' | '\u{203a}'
            | '\u{ff02}' | '\u{ff07}' | '\u{ff40}'
    )
}

/// Whether a value stands for one that nobody has put in: the words of samples and templates.
pub(super) fn placeholder(text: &str) -> bool {
    let first = text.chars().next();
    if text.chars().count() > 1 && text.chars().all(|char| Some(char) == first) {
        return true;
    }
    let is_bracketed = [('<', '>'), ('[', ']'), ('{', '}')]
        .into_iter()
        .any(|(open, close)| text.starts_with(open) && text.ends_with(close));
    let words = text.to_ascii_lowercase().replace(['-', '_', '.', ' '], "");
    let of_samples = [
        "placeholder",
        "changeme",
        "replaceme",
        "replacewith",
        "putyour",
        "pasteyour",
        "enteryour",
        "insertyour",
        "youra",
        "yourk",
        "yours",
        "yourt",
        "yourexchange",
        "keyhere",
        "secrethere",
        "tokenhere",
        "undefined",
    ];
    is_bracketed || of_samples.iter().any(|word| words.contains(word))
}

/// What is unusual in a key or a secret of the exchange, of which all known ones are letters, digits, `-` and `_`.
pub(super) fn unusual_in_pair(text: &str) -> Option<String> {
    let odd = text
        .chars()
        .filter(|char| !char.is_ascii_alphanumeric() && !"-_".contains(*char));
    let kinds: BTreeSet<_> = odd.map(name_of).collect();
    let kinds: Vec<_> = kinds.into_iter().collect();
    (!kinds.is_empty()).then(|| kinds.join(" and "))
}

/// What is unusual in a token, which may hold any character: what a copy leaves at its ends, or a shell's variable.
pub(super) fn unusual_in_token(text: &str) -> Option<&'static str> {
    let ends = [text.chars().next(), text.chars().next_back()];
    let mut at_ends = ends
        .into_iter()
        .flatten()
        .filter(|char| "\"'`;,".contains(*char));
    let is_variable = text.starts_with("${") || text.starts_with("$(");
    match at_ends.next() {
        Some(char) => Some(name_of(char)),
        None => is_variable.then(|| name_of('$')),
    }
}

/// A character's kind; the character itself would be a part of the value.
const fn name_of(char: char) -> &'static str {
    match char {
        '"' | '\'' | '`' => "a quote",
        '\\' => "a backslash",
        '$' => "a $ (no variable is expanded)",
        '#' => "a # (a comment needs a line of its own)",
        _ => "punctuation",
    }
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
