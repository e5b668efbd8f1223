//! A key that an operator pasted, to be compared with the one that the sources hold.
//!
//! Guarantees: cleaned as a credential is on load; compared in constant time; has no `Display`, and a fingerprint only
//! where it does not begin as a secret does; wiped on drop. Does not: read it from anywhere.

use std::fmt;

use super::credentials::SECRET_PREFIX;
use crate::config::normalize;
use gateway::secret::{ApiKey, ApiSecret, Credentials};

/// What was pasted, which may be anything.
pub struct Pasted {
    as_key: ApiKey,
    as_secret: ApiSecret,
    begins_as_a_secret: bool,
}

/// What a pasted text is, beside a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// The pair's key.
    Key,
    /// The pair's secret, which has no business where a key is asked for.
    Secret,
    /// Something else.
    Other,
}

impl fmt::Debug for Pasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[pasted]")
    }
}

impl Pasted {
    /// Cleans a text; `None` where nothing is left.
    ///
    /// # Errors
    /// What is inside it that no key holds.
    pub fn read(raw: &str) -> Result<Option<Self>, &'static str> {
        let (text, _) = normalize::clean(raw)?;
        Ok((!text.is_empty()).then(|| Self {
            as_key: ApiKey::new(text.as_str().to_owned()),
            as_secret: ApiSecret::new(text.as_str().to_owned()),
            begins_as_a_secret: text.starts_with(SECRET_PREFIX),
        }))
    }

    /// What it is, beside this pair.
    #[must_use]
    pub fn beside(&self, pair: &Credentials) -> Likeness {
        // Both are compared, whatever the first says.
        match (
            self.as_key.equals(&pair.key),
            self.as_secret.equals(&pair.secret),
        ) {
            (true, _) => Likeness::Key,
            (false, true) => Likeness::Secret,
            (false, false) => Likeness::Other,
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

    const KEY: &str = "Kq7-invented-key";
    const SECRET: &str = "cxakp_invented-secret";

    fn beside(raw: &str) -> Likeness {
        let pair = Credentials {
            key: ApiKey::new(KEY.into()),
            secret: ApiSecret::new(SECRET.into()),
        };
        Pasted::read(raw).unwrap().unwrap().beside(&pair)
    }

    #[test]
    fn a_key_is_recognised_through_what_copying_put_on_it_and_a_secret_is_none() {
        for raw in [
            KEY,
            " Kq7-invented-key\r\n",
            "\"Kq7-invented-key\"",
            "\u{feff}Kq7-invented-key",
        ] {
            assert_eq!(beside(raw), Likeness::Key, "{raw:?}");
        }
        assert_eq!(beside(SECRET), Likeness::Secret);
        for raw in ["kq7-invented-key", "Kq7-invented-ke", "Kq7-invented-key1"] {
            assert_eq!(beside(raw), Likeness::Other, "{raw}");
        }
    }

    #[test]
    fn nothing_is_nothing_and_two_words_are_no_key() {
        for raw in ["", " \n", "\"\"", "\u{feff}"] {
            assert!(Pasted::read(raw).unwrap().is_none(), "{raw:?}");
        }
        assert!(Pasted::read("an-invented-key an-invented-secret").is_err());
    }

    #[test]
    fn only_what_can_be_a_key_has_a_fingerprint_and_debug_shows_nothing() {
        let pasted = Pasted::read(SECRET).unwrap().unwrap();
        assert_eq!(
            (pasted.fingerprint(), format!("{pasted:?}").as_str()),
            (None, "[pasted]")
        );
        assert!(Pasted::read(KEY).unwrap().unwrap().fingerprint().is_some());
    }
}
