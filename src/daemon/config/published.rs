//! The list of credentials that were published with the old system, by digest.
//!
//! Guarantees: no value stands in this project; a list that cannot be read fails a test, not a start.

use std::{collections::HashSet, sync::LazyLock};

use serde::Deserialize;
use sha2::{Digest, Sha256};

static LIST: LazyLock<Published> = LazyLock::new(Published::read);

/// Digests, SHA-256 in lower-case hex.
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
    fn read() -> Self {
        serde_json::from_str(include_str!("../../../data/published.json")).unwrap_or_default()
    }

    fn holds(&self, used: Use, digest: &str) -> bool {
        match used {
            Use::Key => self.api_keys.contains(digest),
            Use::Secret => self.api_secrets.contains(digest),
            Use::Token => self.proxy_tokens.contains(digest),
        }
    }
}

/// Whether the text was published, in this use.
pub(super) fn is_published(used: Use, text: &str) -> bool {
    LIST.holds(used, &hex::encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_and_its_entries_are_digests() {
        let all = [&LIST.proxy_tokens, &LIST.api_keys, &LIST.api_secrets];
        assert!(all.iter().all(|list| !list.is_empty()));
        assert!(all.into_iter().flatten().all(|digest| digest.len() == 64 && digest == &digest.to_lowercase()));
    }

    #[test]
    fn a_text_is_found_in_its_own_use_only() {
        let digest = hex::encode(Sha256::digest(b"invented"));
        let list = Published { api_keys: [digest.clone()].into(), ..Published::default() };
        assert!(list.holds(Use::Key, &digest));
        assert!(!list.holds(Use::Secret, &digest));
        assert!(!is_published(Use::Key, "invented"));
    }
}
