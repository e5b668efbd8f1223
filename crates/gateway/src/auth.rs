//! Credential shown → [`Caller`].
//!
//! Guarantees: a token is compared digest against digest in constant time, with every known digest, so that neither its
//! length nor its beginning can be guessed from timing; a token that may diagnose opens no API door, and none of a
//! caller's opens the diagnosis. Does not: parse anything of the request.

pub mod signature;

use std::{collections::HashMap, sync::Arc};

use super::{
    policy::Policy,
    secret::TokenDigest,
    virtual_key::{Verifier, VirtualKey},
};
use crate::access::{AccessRules, Arrival};

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

/// Whoever signs with a virtual key.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The caller that it was issued to.
    pub caller: Arc<Caller>,
    /// Verifies its signatures.
    pub verifier: Verifier,
}

/// Whoever may diagnose.
#[derive(Debug)]
struct Diagnosing {
    name: Arc<str>,
    limits: AccessRules,
}

/// Everyone we know, by what they show.
#[derive(Debug, Default)]
pub struct Callers {
    tokens: Vec<(TokenDigest, Arc<Caller>)>,
    signing: HashMap<VirtualKey, Signing>,
    diagnosing: Vec<(TokenDigest, Arc<Diagnosing>)>,
}

impl Callers {
    /// The callers and the digests of their tokens.
    #[must_use]
    pub fn new(tokens: Vec<(TokenDigest, Arc<Caller>)>) -> Self {
        Self {
            tokens,
            ..Self::default()
        }
    }

    /// With one more virtual key.
    #[must_use]
    pub fn with_signing(mut self, key: VirtualKey, signing: Signing) -> Self {
        self.signing.insert(key, signing);
        self
    }

    /// With one more token.
    #[must_use]
    pub fn with_token(mut self, token: TokenDigest, caller: Arc<Caller>) -> Self {
        self.tokens.push((token, caller));
        self
    }

    /// With one more token that has the `diagnose` right, and the name of its owner.
    #[must_use]
    pub fn with_diagnosing(self, token: TokenDigest, name: impl Into<Arc<str>>) -> Self {
        self.with_diagnosing_within(AccessRules::default(), token, name)
    }

    /// The same, within limits of time and place.
    #[must_use]
    pub fn with_diagnosing_within(
        mut self,
        limits: AccessRules,
        token: TokenDigest,
        name: impl Into<Arc<str>>,
    ) -> Self {
        self.diagnosing.push((
            token,
            Arc::new(Diagnosing {
                name: name.into(),
                limits,
            }),
        ));
        self
    }

    /// The caller that this token belongs to.
    #[must_use]
    pub fn authenticate(&self, token: &[u8]) -> Option<Arc<Caller>> {
        find(&self.tokens, token)
    }

    /// The name of whoever may diagnose with this token, from there and now.
    #[must_use]
    pub fn authenticate_diagnosing(&self, token: &[u8], arrival: Arrival<'_>) -> Option<Arc<str>> {
        let found = find(&self.diagnosing, token)?;
        found
            .limits
            .admit(arrival)
            .is_ok()
            .then(|| Arc::clone(&found.name))
    }

    /// Whether anybody may diagnose at all.
    #[must_use]
    pub const fn has_diagnosing(&self) -> bool {
        !self.diagnosing.is_empty()
    }

    /// Whether anybody has a virtual key at all.
    #[must_use]
    pub fn has_signing(&self) -> bool {
        !self.signing.is_empty()
    }

    /// Who signs with this virtual key. A key is no secret: its signature has to be verified.
    #[must_use]
    pub fn signing(&self, key: &VirtualKey) -> Option<&Signing> {
        self.signing.get(key)
    }
}

/// No early end: the time does not tell which entry matched.
fn find<T: ?Sized>(known: &[(TokenDigest, Arc<T>)], token: &[u8]) -> Option<Arc<T>> {
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let shown = TokenDigest::of(token);
    known
        .iter()
        .fold(None, |found, (digest, owner)| {
            if digest.equals(&shown) {
                Some(owner)
            } else {
                found
            }
        })
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Peer;

    const HERE: Arrival<'static> = Arrival {
        source: &Peer::Unix { uid: None },
        now_ms: 999,
    };

    fn callers() -> Callers {
        let entry = |name: &str, token: &str| {
            let caller = Caller {
                name: name.into(),
                policy: Policy::default(),
            };
            (TokenDigest::of(token.as_bytes()), Arc::new(caller))
        };
        Callers::new(vec![
            entry("one", "invented-token-one"),
            entry("two", "invented-token-two"),
        ])
    }

    #[test]
    fn each_token_names_its_caller() {
        let name = |token: &str| {
            callers()
                .authenticate(token.as_bytes())
                .map(|caller| caller.name.to_string())
        };
        assert_eq!(name("invented-token-one").as_deref(), Some("one"));
        assert_eq!(name("invented-token-two").as_deref(), Some("two"));
    }

    #[test]
    fn prefixes_empty_and_oversized_tokens_name_nobody() {
        for token in [
            "",
            "invented-token",
            "invented-token-one ",
            &"x".repeat(2000),
        ] {
            assert!(
                callers().authenticate(token.as_bytes()).is_none(),
                "{token}"
            );
        }
    }

    #[test]
    fn a_token_of_one_right_is_none_of_the_other() {
        let callers =
            callers().with_diagnosing(TokenDigest::of(b"invented-token-three"), "operator");
        let diagnosing = |token: &[u8]| callers.authenticate_diagnosing(token, HERE);
        assert!(callers.authenticate(b"invented-token-three").is_none());
        assert!(diagnosing(b"invented-token-one").is_none());
        assert_eq!(
            diagnosing(b"invented-token-three").as_deref(),
            Some("operator")
        );
    }

    #[test]
    fn whoever_diagnoses_is_held_to_limits_too() {
        let limits = AccessRules {
            expires_ms: Some(1000),
            ..AccessRules::default()
        };
        let callers = callers().with_diagnosing_within(
            limits,
            TokenDigest::of(b"invented-token-three"),
            "operator",
        );
        assert!(
            callers
                .authenticate_diagnosing(b"invented-token-three", HERE)
                .is_some()
        );
        let later = Arrival {
            now_ms: 1000,
            ..HERE
        };
        assert!(
            callers
                .authenticate_diagnosing(b"invented-token-three", later)
                .is_none()
        );
    }
}
