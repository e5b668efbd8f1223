//! The list of credentials that were published with the old system, by digest.
//!
//! Guarantees: no value stands in this project; a list that cannot be read fails a test, not a start.

use std::{collections::HashSet, sync::LazyLock};

use serde::Deserialize;
use sha2::{Digest, Sha256};

static LIST: LazyLock<Published> =
    LazyLock::new(|| Published::read(include_str!("published.json")));

/// Digests, SHA-256 in lower-case hex; passed about as a value, so that tests have a list of their own.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Published {
    proxy_tokens: HashSet<String>,
    api_keys: HashSet<String>,
    api_secrets: HashSet<String>,
}

/// What a text is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Key,
    Secret,
    Token,
}

impl Published {
    /// The list of this project.
    pub(super) fn list() -> &'static Self {
        &LIST
    }

    /// The list as it stands in a file.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Whether the text was published, in this use.
    pub(super) fn holds(&self, used: Use, text: &str) -> bool {
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        match used {
            Use::Key => self.api_keys.contains(&digest),
            Use::Secret => self.api_secrets.contains(&digest),
            Use::Token => self.proxy_tokens.contains(&digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_and_its_entries_are_digests() {
        let all = [&LIST.proxy_tokens, &LIST.api_keys, &LIST.api_secrets];
        assert!(all.iter().all(|list| !list.is_empty()));
        assert!(
            all.into_iter()
                .flatten()
                .all(|digest| digest.len() == 64 && digest == &digest.to_lowercase())
        );
    }

    #[test]
    fn a_text_is_found_in_its_own_use_only() {
        let digest = hex::encode(Sha256::digest(b"invented"));
        let list = Published {
            api_keys: [digest].into(),
            ..Published::default()
        };
        assert!(list.holds(Use::Key, "invented"));
        assert!(!list.holds(Use::Secret, "invented"));
        assert!(!list.holds(Use::Key, "invented "));
    }
}
