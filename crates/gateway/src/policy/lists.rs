//! What the lists of a policy may hold beside classes and names: three words for what callers are commonly given, and
//! several methods by the beginning of their names (`private/advanced/*`).
//!
//! Guarantees: the `diagnose` right is in no preset, nor is a method that the catalogue does not know. The grammar of
//! patterns is closed: characters of method names, and one `*` at the end. A pattern that allows does not stand for a method
//! that the catalogue does not know, nor for one beyond the caller's classes; such a method has to be named itself.

use std::fmt;

use catalogue::methods::Class;

const BEGINNING: &str = "private/";

/// What callers are commonly given, by one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Reads.
    Read,
    /// Reads and orders.
    Trade,
    /// Every private method of the catalogue: products, transfers, withdrawals and account settings as well.
    Full,
}

impl Preset {
    /// Every preset, from little to much.
    pub const ALL: [Self; 3] = [Self::Read, Self::Trade, Self::Full];

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Full => "full",
        }
    }

    /// The preset of this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The classes that it allows.
    #[must_use]
    pub const fn classes(self) -> &'static [Class] {
        match self {
            Self::Read => &[Class::Read],
            Self::Trade => &[Class::Read, Class::Trade],
            Self::Full => &[
                Class::Read,
                Class::Trade,
                Class::Products,
                Class::Transfer,
                Class::AccountAdmin,
            ],
        }
    }
}

/// The beginning of the names of private methods.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(String);

impl Pattern {
    /// Reads `private/…*`; `None` for everything else, a whole name included.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let beginning = text.strip_suffix('*')?;
        let rest = beginning.strip_prefix(BEGINNING)?;
        let known = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'/')
        };
        let orderly = rest.bytes().all(known) && !rest.starts_with('/') && !rest.contains("//");
        if !orderly {
            return None;
        }
        Some(Self(beginning.to_owned()))
    }

    /// Whether it stands for this method.
    #[must_use]
    pub fn matches(&self, method: &str) -> bool {
        method.starts_with(&self.0)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_beginning_and_one_star() {
        for text in [
            "private/*",
            "private/advanced/*",
            "private/get-*",
            "private/create-order*",
        ] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "*",
            "private*",
            "public/*",
            "private/*/x",
            "private/**",
            "private//*",
            "private/A*",
            "private/x",
            "",
        ] {
            assert!(Pattern::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn it_stands_for_what_begins_so() {
        let pattern = Pattern::parse("private/create-order*").unwrap();
        assert!(
            pattern.matches("private/create-order") && pattern.matches("private/create-order-list")
        );
        assert!(
            !pattern.matches("private/advanced/create-order") && !pattern.matches("private/create")
        );
    }
}
