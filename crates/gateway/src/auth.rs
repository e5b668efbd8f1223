//! Credential shown → [`Caller`]: a proxy token, or a signature in the exchange's own form with a key that we issued.
//!
//! Guarantees, tokens: a token is compared digest against digest in constant time, with every known digest, so that timing
//! tells neither its length nor its beginning. A token that may diagnose opens no API, and no caller's token opens the
//! diagnosis.
//!
//! Guarantees, signatures: an unknown key and a wrong signature cost the same work and get the same answer; the clock's
//! window is judged before any key is looked up; what may change something, and a login, counts once: who sends the former
//! again from where it came can learn of the first copy, and have nothing sent. Signatures are
//! compared in constant time, against every dialect that a documented client may have signed, for the client's
//! signature only. Does not: judge what the request asks for, or bind it to its structure. The exchange's scheme signs
//! `{"a":"1b2"}` and `{"a":"1","b":"2"}` alike. So what is allowed is decided on the parsed call, and remote clients
//! need an encrypted connection.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

use serde_json::value::RawValue;
use zeroize::Zeroizing;

pub use crate::policy::Caller;
use crate::{
    access::{AccessRules, Arrival, Peer},
    clock::Clock,
    replay::{Counted, NotAdmitted, ReplayGuard, Same, WINDOW_MS},
    secret::TokenDigest,
    virtual_key::{CallerId, ID_BYTES, MASTER_BYTES, MasterKey, Verifier, VirtualKey},
};
use protocol::{
    call::{Effect, Method},
    caller_request::{CallerSignature, SIGNATURE_BYTES},
    canonical,
    client_dialects::{self, ClientDialect},
};

mod rejected;

pub use self::rejected::{NotBelieved, SignatureRejected};

/// The shortest token, in bytes. A shorter one could be guessed: nobody starts with one, and it opens nothing, whatever
/// digest stands in a file.
pub const MIN_TOKEN_BYTES: usize = 16;
/// The longest token header that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// The holder of a virtual key.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// The caller that it was issued to.
    pub caller: Arc<Caller>,
    /// Verifies its signatures.
    pub verifier: Verifier,
}

/// Someone who may diagnose.
#[derive(Debug)]
struct Diagnosing {
    name: Arc<str>,
    access: AccessRules,
}

/// Everyone we know, by what they show.
#[derive(Debug, Default)]
pub struct Callers {
    tokens: Vec<(TokenDigest, Arc<Caller>)>,
    holders: HashMap<VirtualKey, KeyHolder>,
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
    pub fn with_virtual_key(mut self, key: VirtualKey, holder: KeyHolder) -> Self {
        self.holders.insert(key, holder);
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

    /// The same, within these rules about time and source.
    #[must_use]
    pub fn with_diagnosing_within(
        mut self,
        access: AccessRules,
        token: TokenDigest,
        name: impl Into<Arc<str>>,
    ) -> Self {
        self.diagnosing.push((
            token,
            Arc::new(Diagnosing {
                name: name.into(),
                access,
            }),
        ));
        self
    }

    /// Whether there are several, who share what there is.
    #[must_use]
    pub(crate) fn are_several(&self) -> bool {
        let of_tokens = self.tokens.iter().map(|(_, caller)| caller);
        let mut names = of_tokens
            .chain(self.holders.values().map(|holder| &holder.caller))
            .map(|caller| &caller.name);
        let first = names.next();
        names.any(|name| Some(name) != first)
    }

    /// The caller that this token belongs to.
    #[must_use]
    pub fn authenticate(&self, token: &[u8]) -> Option<Arc<Caller>> {
        find(&self.tokens, token)
    }

    /// The name of the owner of a token that may diagnose, from there and now.
    #[must_use]
    pub fn authenticate_diagnosing(&self, token: &[u8], arrival: Arrival<'_>) -> Option<Arc<str>> {
        let found = find(&self.diagnosing, token)?;
        if found.access.admit(arrival).is_err() {
            return None;
        }
        Some(Arc::clone(&found.name))
    }

    /// Whether anybody may diagnose at all.
    #[must_use]
    pub const fn has_diagnosing(&self) -> bool {
        !self.diagnosing.is_empty()
    }

    /// Whether anybody has a virtual key at all.
    #[must_use]
    pub fn has_virtual_keys(&self) -> bool {
        !self.holders.is_empty()
    }

    /// The holder of this virtual key. A key is no secret: the signature must be verified.
    #[must_use]
    pub fn holder(&self, key: &VirtualKey) -> Option<&KeyHolder> {
        self.holders.get(key)
    }
}

/// No early end: the time does not tell which entry matched.
fn find<T: ?Sized>(known: &[(TokenDigest, Arc<T>)], token: &[u8]) -> Option<Arc<T>> {
    if !(MIN_TOKEN_BYTES..=MAX_TOKEN_BYTES).contains(&token.len()) {
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

/// The stage that finds out who calls: by a proxy token, or by a signature that is made with a virtual key.
#[derive(Debug)]
pub struct Authenticator {
    callers: Callers,
    replay: ReplayGuard,
    clock: Clock,
    digests: RandomState,
}

impl Authenticator {
    pub(crate) fn new(callers: Callers, replay: ReplayGuard, clock: Clock) -> Self {
        Self {
            callers,
            replay,
            clock,
            digests: RandomState::new(),
        }
    }

    /// Everyone we know; tokens are compared there.
    #[must_use]
    pub const fn callers(&self) -> &Callers {
        &self.callers
    }

    /// Remembers which signed requests were seen.
    #[must_use]
    pub const fn replay(&self) -> &ReplayGuard {
        &self.replay
    }

    /// Lets the signature of a login count, once: whoever repeats it would have a session.
    ///
    /// # Errors
    /// [`NotBelieved`].
    pub async fn log_in(&self, identified: Identified) -> Result<Arc<Caller>, NotBelieved> {
        self.count(identified, None, SignatureRejected::Replayed)
            .await
            .map(|(caller, _)| caller)
    }

    /// Whose signature this is; it does not count yet. All the work that a stranger can cause is here, and it grows with
    /// the length of the params, so that it may be done aside.
    ///
    /// # Errors
    /// [`SignatureRejected`], as long as nothing of what was seen before is asked.
    pub fn identify(&self, shown: &CallerSignature<'_>) -> Result<Identified, SignatureRejected> {
        if self.clock.now_ms().abs_diff(shown.nonce) > WINDOW_MS {
            return Err(SignatureRejected::Window);
        }
        if !shown.params.is_none_or(client_dialects::is_plausible) {
            return Err(SignatureRejected::Params);
        }
        let key = VirtualKey::parse(&shown.api_key);
        let holder = key.as_ref().and_then(|key| self.callers.holder(key));
        let verifier = holder.map_or(&*DECOY, |holder| &holder.verifier);
        let genuine = is_genuine(shown, verifier);
        let (Some(key), Some(holder), true) = (key, holder, genuine) else {
            return Err(SignatureRejected::Signature);
        };
        Ok(Identified {
            key,
            nonce: shown.nonce,
            signature: shown.signature,
            caller: Arc::clone(&holder.caller),
            read: self.read_of(shown),
        })
    }

    /// Lets the signature of a call that came from there count, once; that of a read as often as the same peer shows it. What
    /// may change something is a copy where the same peer shows it again.
    ///
    /// # Errors
    /// [`NotBelieved`] where it was seen before, or that cannot be known.
    pub async fn admit(
        &self,
        identified: Identified,
        source: &Peer,
    ) -> Result<Believed, NotBelieved> {
        let is_read = identified.read.is_some();
        let same = self.digests.hash_one((identified.read, source));
        let seen = if is_read {
            SignatureRejected::Replayed
        } else {
            SignatureRejected::Repeated
        };
        let (caller, counted) = self.count(identified, Some(same), seen).await?;
        let is_copy = counted == Counted::Again && !is_read;
        Ok(Believed { caller, is_copy })
    }

    async fn count(
        &self,
        identified: Identified,
        same: Option<Same>,
        seen: SignatureRejected,
    ) -> Result<(Arc<Caller>, Counted), NotBelieved> {
        let Identified {
            key,
            nonce,
            signature,
            caller,
            ..
        } = identified;
        match self.replay.admit(&key, nonce, &signature, same).await {
            Ok(counted) => Ok((caller, counted)),
            Err(reason) => Err(NotBelieved {
                why: match reason {
                    NotAdmitted::Seen => seen,
                    NotAdmitted::BeforeStart => SignatureRejected::BeforeStart,
                    NotAdmitted::TooMany => SignatureRejected::TooMany,
                    NotAdmitted::NoMark => SignatureRejected::NoMark,
                },
                caller: Some(Arc::clone(&caller.name)),
            }),
        }
    }

    /// A digest of what a request reads; nothing where it may change something.
    fn read_of(&self, shown: &CallerSignature<'_>) -> Option<u64> {
        let method = Method::parse(shown.method).ok()?;
        if !method.is_private() || method.effect() != Effect::Read {
            return None;
        }
        let params = shown.params.map(RawValue::get);
        Some(self.digests.hash_one((shown.method, shown.id, params)))
    }
}

/// Who made a signed call.
#[derive(Debug)]
pub struct Believed {
    /// Whose signature it is.
    pub caller: Arc<Caller>,
    /// Whether the same peer showed it before, and it may change something: nothing of it is sent.
    pub is_copy: bool,
}

/// A signature that is a caller's, and may have been seen before.
#[derive(Debug)]
pub struct Identified {
    key: VirtualKey,
    nonce: u64,
    signature: [u8; SIGNATURE_BYTES],
    caller: Arc<Caller>,
    read: Option<u64>,
}

impl Identified {
    /// Whose it is.
    #[must_use]
    pub const fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }
}

/// Whether the signature fits the params string of one of the dialects; each differing string is tried.
fn is_genuine(shown: &CallerSignature<'_>, verifier: &Verifier) -> bool {
    let mut tried: Vec<String> = Vec::with_capacity(ClientDialect::ALL.len());
    let mut genuine = false;
    for dialect in ClientDialect::ALL {
        let params = shown.params.map_or(Some(String::new()), |params| {
            client_dialects::params_string(params, dialect)
        });
        let Some(params) = params.filter(|params| !tried.contains(params)) else {
            continue;
        };
        let parts = canonical::string_to_sign(
            shown.method,
            shown.id,
            &shown.api_key,
            &params,
            shown.nonce_text,
        );
        genuine |= verifier.verify(&parts, &shown.signature);
        tried.push(params);
    }
    genuine
}

/// Verifies for unknown keys; made of random bytes that are not kept, so that no signature fits it.
static DECOY: LazyLock<Verifier> = LazyLock::new(|| {
    let mut bytes = Zeroizing::new([0; MASTER_BYTES]);
    // Without randomness it would still be a decoy: whatever fits it is refused for want of a caller.
    let _ = getrandom::fill(bytes.as_mut());
    let key = VirtualKey {
        id: CallerId::new([0; ID_BYTES]),
        generation: 1,
    };
    MasterKey::new(bytes).secret_of(&key).verifier()
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access::Peer, policy::Policy};

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
    fn an_unknown_key_and_a_wrong_signature_cost_the_same_and_too_many_params_cost_nothing() {
        use crate::virtual_key::verifications;
        let key = VirtualKey {
            id: CallerId::new([1; ID_BYTES]),
            generation: 1,
        };
        let caller = Arc::new(Caller {
            name: "one".into(),
            policy: Policy::default(),
        });
        let verifier = MasterKey::new(Zeroizing::new([7; MASTER_BYTES]))
            .secret_of(&key)
            .verifier();
        let callers = Callers::default().with_virtual_key(key, KeyHolder { caller, verifier });
        let clock = Clock::system();
        let replay = ReplayGuard::open(None, true, &clock);
        let authenticator = Authenticator::new(callers, replay, clock.clone());
        let nonce = clock.now_ms();
        let cost = |key: &str, params: &str| {
            let body = format!(
                r#"{{"id":1,"method":"private/x","api_key":"{key}","params":{params},"nonce":{nonce},"sig":"{}"}}"#,
                "00".repeat(32)
            );
            let body = protocol::caller_request::CallerRequest::parse(body.as_bytes()).unwrap();
            let before = verifications();
            let rejected = authenticator.identify(&body.signature().unwrap());
            (rejected.unwrap_err(), verifications() - before)
        };
        let unknown = VirtualKey {
            generation: 2,
            ..key
        };
        let nested = format!(r#"{{"a":[{}[]]}}"#, "[true,null],".repeat(2700));
        for (params, refused, times) in [
            ("{}", SignatureRejected::Signature, 1),
            (r#"{"a":true,"b":null}"#, SignatureRejected::Signature, 3),
            (&nested, SignatureRejected::Params, 0),
        ] {
            for key in [&key.to_string(), &unknown.to_string(), "nonsense"] {
                assert_eq!(cost(key, params), (refused, times), "{key}");
            }
        }
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
    fn prefixes_short_and_oversized_tokens_name_nobody() {
        let short = Arc::new(Caller {
            name: "short".into(),
            policy: Policy::default(),
        });
        let callers = callers()
            .with_token(TokenDigest::of(b"invented-15-byt"), Arc::clone(&short))
            .with_token(TokenDigest::of(b"invented-16-byte"), short);
        assert!(callers.authenticate(b"invented-16-byte").is_some());
        for token in [
            "",
            "invented-15-byt",
            "invented-token",
            "invented-token-one ",
            &"x".repeat(2000),
        ] {
            assert!(callers.authenticate(token.as_bytes()).is_none(), "{token}");
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
