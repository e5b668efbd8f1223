//! CallerSignature → [`Caller`]: who signed a request in the exchange's own form, with a key that we issued.
//!
//! Guarantees: an unknown key and a wrong signature cost the same work and get the same answer; the clock's window is
//! judged before any key is looked up; a request counts once. Signatures are compared in constant time, against every
//! rendering that a documented client may have signed, for the client's signature only. Does not: judge what the
//! request asks for, or bind it to its structure: the exchange's scheme signs `{"a":"1b2"}` and `{"a":"1","b":"2"}`
//! alike, so that what is allowed is decided on the parsed call, and remote clients need an encrypted connection.

use std::sync::{Arc, LazyLock};

use zeroize::Zeroizing;

use crate::{
    auth::Caller,
    gateway::Gateway,
    replay::{NotAdmitted, WINDOW_MS},
    virtual_key::{CallerId, ID_BYTES, MASTER_BYTES, MasterKey, Verifier, VirtualKey},
};
use protocol::{
    caller_request::{CallerSignature, SignatureMissing},
    canonical,
    client_dialects::{self, ClientDialect},
};

/// Why a claim is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SignatureRejected {
    /// No such key, or another signature; the two are not told apart.
    #[error(
        "authentication failed: the proxy knows no such API key, or the signature is not of its secret"
    )]
    Signature,
    /// No usable nonce, or one too far from our clock.
    #[error("the nonce differs from the proxy's clock by more than 60 seconds")]
    Window,
    /// This very signature was seen before.
    #[error("this signed request was seen before; sign anew, with a new nonce")]
    Replayed,
    /// The nonce is not above what the last run may have seen, or what had to be forgotten.
    #[error(
        "the nonce is not above those that may have been used before the proxy restarted, or its clock stepped back; \
         sign anew in a moment"
    )]
    BeforeStart,
    /// More requests within the window than can be remembered.
    #[error(
        "more signed requests of this key within two minutes than the proxy can remember; wait a little"
    )]
    TooMany,
    /// Nothing can be promised about replays at the moment.
    #[error(
        "the proxy cannot write down which requests it has seen, and so takes no signed ones; its log says why"
    )]
    NoMark,
}

impl SignatureRejected {
    /// A stable word for counts and lines.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Window => "nonce",
            Self::Replayed => "replayed",
            Self::BeforeStart => "before_start",
            Self::TooMany => "replay_memory",
            Self::NoMark => "replay_mark",
        }
    }
}

impl From<SignatureMissing> for SignatureRejected {
    fn from(unclaimed: SignatureMissing) -> Self {
        match unclaimed {
            SignatureMissing::Signature => Self::Signature,
            SignatureMissing::Nonce => Self::Window,
        }
    }
}

impl From<NotAdmitted> for SignatureRejected {
    fn from(refused: NotAdmitted) -> Self {
        match refused {
            NotAdmitted::Seen => Self::Replayed,
            NotAdmitted::BeforeStart => Self::BeforeStart,
            NotAdmitted::TooMany => Self::TooMany,
            NotAdmitted::NoMark => Self::NoMark,
        }
    }
}

impl Gateway {
    /// Who signed this, if anybody whom we gave a key; counts once.
    ///
    /// # Errors
    /// [`SignatureRejected`].
    pub async fn verify(
        &self,
        claim: &CallerSignature<'_>,
    ) -> Result<Arc<Caller>, SignatureRejected> {
        if self.clock().now_ms().abs_diff(claim.nonce) > WINDOW_MS {
            return Err(SignatureRejected::Window);
        }
        let key = VirtualKey::parse(&claim.api_key);
        let signing = key.as_ref().and_then(|key| self.callers().signing(key));
        let verifier = signing.map_or(&*DECOY, |signing| &signing.verifier);
        let genuine = is_genuine(claim, verifier);
        let (Some(key), Some(signing), true) = (key, signing, genuine) else {
            return Err(SignatureRejected::Signature);
        };
        self.replay()
            .admit(&key, claim.nonce, &claim.signature)
            .await?;
        Ok(Arc::clone(&signing.caller))
    }
}

/// Whether the signature fits one of the renderings; each differing one is tried.
fn is_genuine(claim: &CallerSignature<'_>, verifier: &Verifier) -> bool {
    let mut tried: Vec<String> = Vec::with_capacity(ClientDialect::ALL.len());
    let mut genuine = false;
    for rendering in ClientDialect::ALL {
        let params = claim.params.map_or(Some(String::new()), |params| {
            client_dialects::params_string(params, rendering)
        });
        let Some(params) = params.filter(|params| !tried.contains(params)) else {
            continue;
        };
        let parts = canonical::string_to_sign(
            claim.method,
            claim.id,
            &claim.api_key,
            &params,
            claim.nonce_text,
        );
        genuine |= verifier.verify(&parts, &claim.signature);
        tried.push(params);
    }
    genuine
}

/// Verifies for keys that nobody has; made of random bytes that nobody knows, so that nothing fits it.
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
