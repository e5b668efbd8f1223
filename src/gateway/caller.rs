//! Credential shown → [`Caller`].
//!
//! Guarantees: the token is compared digest against digest in constant time, with every known digest, so that neither
//! its length nor its beginning can be guessed from timing. Does not: parse anything of the request.

use std::sync::Arc;

use super::{policy::Policy, secret::TokenDigest};

/// The longest token header that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// A program that may call us.
#[derive(Debug)]
pub struct Caller {
    /// Its name in records and refusals.
    pub name: Arc<str>,
    /// What it may do.
    pub policy: Policy,
}

/// Every caller we know.
#[derive(Debug, Default)]
pub struct Callers(Vec<(TokenDigest, Arc<Caller>)>);

impl Callers {
    /// The callers and the digests of their tokens.
    #[must_use]
    pub const fn new(callers: Vec<(TokenDigest, Arc<Caller>)>) -> Self {
        Self(callers)
    }

    /// The caller that this token belongs to.
    #[must_use]
    pub fn authenticate(&self, token: &[u8]) -> Option<Arc<Caller>> {
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let shown = TokenDigest::of(token);
        // No early end: the time does not tell which entry matched.
        self.0
            .iter()
            .fold(None, |found, (digest, caller)| if digest.equals(&shown) { Some(caller) } else { found })
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers() -> Callers {
        let entry = |name: &str, token: &str| {
            let caller = Caller { name: name.into(), policy: Policy::default() };
            (TokenDigest::of(token.as_bytes()), Arc::new(caller))
        };
        Callers::new(vec![entry("one", "invented-token-one"), entry("two", "invented-token-two")])
    }

    #[test]
    fn each_token_names_its_caller() {
        let name = |token: &str| callers().authenticate(token.as_bytes()).map(|caller| caller.name.to_string());
        assert_eq!(name("invented-token-one").as_deref(), Some("one"));
        assert_eq!(name("invented-token-two").as_deref(), Some("two"));
    }

    #[test]
    fn prefixes_empty_and_oversized_tokens_name_nobody() {
        for token in ["", "invented-token", "invented-token-one ", &"x".repeat(2000)] {
            assert!(callers().authenticate(token.as_bytes()).is_none(), "{token}");
        }
    }
}
