//! [`Cleared`] → [`PreparedCall`] → `SignedCall`; the only module that signs with an API secret.
//!
//! Guarantees: `sig = lower-case hex of HMAC-SHA256(secret, method + id + api_key + params string + nonce)` (vendor
//! documents; every vector of `crates/catalogue/data/vectors.json` is a test). The MAC is fed piece by piece from a state
//! prepared once: no string to sign is ever built. What was permitted is what is signed, and the signed bytes are what is
//! sent. A call is signed when a connection takes it, not before: one that finds none costs no nonce.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{
    clock::Clock,
    failure::Refusal,
    ledger::Cleared,
    nonce::{NonceSource, Turn},
    outcome::Signed,
    policy::Permit,
    record::SigningLine,
    secret::{Credentials, Signature},
};
use protocol::{
    call::{Call, Effect},
    canonical, wire,
};

/// Credentials with their nonces, and the HMAC state prepared.
pub struct Signer {
    credentials: Credentials,
    fingerprint: String,
    mac: Hmac<Sha256>,
    nonces: Arc<NonceSource>,
}

/// A call that was cleared and has its turn, ready to be signed and sent once.
pub struct PreparedCall {
    signer: Arc<Signer>,
    cleared: Cleared<Permit>,
    turn: Turn,
    draft: wire::Draft,
    line: Option<SigningLine>,
}

/// A call that was permitted and signed, to be sent now.
pub(super) struct SignedCall {
    /// The request's body.
    pub(super) body: Bytes,
    /// What is known of it from now on.
    pub(super) signed: Signed,
}

/// A login of a stream, ready to be sent once. It gives access to everything that the key may do, so it is made for streams
/// only.
pub(super) struct LogIn {
    /// The nonce.
    pub(super) nonce: u64,
    /// The frame.
    pub(super) text: String,
    /// Its signature, to be scrubbed from frames that echo it.
    pub(super) signature: String,
    /// Length of the string that was signed, in bytes.
    pub(super) string_to_sign_len: usize,
}

/// The method of a login.
pub(super) const LOGIN: &str = "public/auth";

/// The id of a login; its answer repeats it.
pub(super) const LOGIN_ID: u64 = wire::LOGIN_ID;

impl PreparedCall {
    /// With the line that tells of its signature.
    #[must_use]
    pub(crate) fn with_line(mut self, line: SigningLine) -> Self {
        self.line = Some(line);
        self
    }

    /// The method, which is also the path below the base URL.
    #[must_use]
    pub(super) fn method(&self) -> Cow<'static, str> {
        self.cleared.call().method.name()
    }

    /// Length of the request's body in bytes.
    #[must_use]
    pub(super) fn body_len(&self) -> usize {
        self.draft.len()
    }

    /// Takes the nonce and signs; `None` where the body would not have the length that was announced.
    #[must_use]
    pub(super) fn sign(self) -> Option<SignedCall> {
        let (call, nonce) = (self.cleared.call(), self.turn.take());
        let (signature, string_to_sign_len) = self.signer.signature(
            call.method.as_str(),
            call.id.value(),
            call.params.canonical(),
            nonce,
        );
        let body = self.draft.signed(nonce, signature.as_str())?;
        if let Some(line) = self.line {
            line.write(nonce, string_to_sign_len, body.len());
        }
        Some(SignedCall {
            body: body.into(),
            signed: Signed {
                nonce,
                signature,
                string_to_sign_len,
            },
        })
    }
}

impl fmt::Debug for PreparedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedCall")
            .field("method", &self.method())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Prepares to sign with these credentials.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes keys of any length (RFC 2104)"
        )]
        let mac = Hmac::new_from_slice(credentials.secret.expose().as_bytes()).expect("any length");
        Self {
            fingerprint: credentials.key.fingerprint(),
            credentials,
            mac,
            nonces: Arc::default(),
        }
    }

    /// The same for several callers, of whom none may use up what the nonce can be ahead of the clock.
    pub(crate) fn shared(self) -> Self {
        Self {
            nonces: Arc::new(NonceSource::new(true)),
            ..self
        }
    }

    /// A turn for this call of this caller.
    ///
    /// # Errors
    /// [`Refusal::NonceAhead`].
    pub fn turn(&self, clock: &Clock, call: &Call, caller: &Arc<str>) -> Result<Turn, Refusal> {
        self.nonces.turn(clock, call.effect(), caller)
    }

    /// A turn for a login of a stream, on which orders may wait.
    pub(super) fn turn_to_log_in(&self, clock: &Clock, caller: &Arc<str>) -> Result<Turn, Refusal> {
        self.nonces.turn(clock, Effect::Change, caller)
    }

    /// Whether calls were refused lately because the nonce is ahead of the clock.
    pub(crate) fn is_ahead(&self, clock: &Clock) -> bool {
        self.nonces.is_ahead(clock)
    }

    /// The API key's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What must never appear in an answer that is passed on: the API key and the API secret.
    pub(super) fn never_to_be_passed_on(&self) -> [&str; 2] {
        [
            self.credentials.key.expose(),
            self.credentials.secret.expose(),
        ]
    }

    /// Prepares what was cleared, to be signed when it is sent.
    #[must_use]
    pub fn prepare(self: &Arc<Self>, cleared: Cleared<Permit>, turn: Turn) -> PreparedCall {
        let draft = cleared
            .call()
            .request()
            .draft(self.credentials.key.expose());
        PreparedCall {
            signer: Arc::clone(self),
            cleared,
            turn,
            draft,
            line: None,
        }
    }

    /// Signs a login: `public/auth`, id 1, no params (vendor documents).
    #[must_use]
    pub(super) fn log_in(&self, turn: Turn) -> LogIn {
        let nonce = turn.take();
        let (Signature(signature), string_to_sign_len) = self.signature(LOGIN, LOGIN_ID, "", nonce);
        let text = wire::login_frame(self.credentials.key.expose(), nonce, &signature);
        LogIn {
            nonce,
            text,
            signature,
            string_to_sign_len,
        }
    }

    /// The signature of these parts, and the length of the string that they make. It signs without a permit, for the
    /// self-test; nothing that is signed here can be sent.
    #[must_use]
    pub(crate) fn signature(
        &self,
        method: &str,
        id: u64,
        params_string: &str,
        nonce: u64,
    ) -> (Signature, usize) {
        let (mut id_text, mut nonce_text) = (itoa::Buffer::new(), itoa::Buffer::new());
        let parts = canonical::string_to_sign(
            method,
            id_text.format(id),
            self.credentials.key.expose(),
            params_string,
            nonce_text.format(nonce),
        );
        let mut mac = self.mac.clone();
        parts.iter().for_each(|part| mac.update(part.as_bytes()));
        let signature = Signature(in_hex(&mac.finalize().into_bytes()));
        (signature, parts.iter().map(|part| part.len()).sum())
    }
}

/// As `hex::encode` does, which takes five times as long, because it collects characters one by one.
fn in_hex(bytes: &[u8]) -> String {
    let mut digits = vec![0; bytes.len() * 2];
    // The length is right, and digits are UTF-8; an empty signature would have no place in a request.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    String::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{ApiKey, ApiSecret};

    #[test]
    fn the_documented_sample_signs_as_documented() {
        let credentials = Credentials {
            key: ApiKey::new("token".into()),
            secret: ApiSecret::new("secretKey".into()),
        };
        let (signature, length) = Signer::new(credentials).signature(
            "private/get-order-detail",
            11,
            "order_id53287421324",
            1_587_846_358_253,
        );
        assert_eq!(
            signature.as_str(),
            "02ef0a52c9428e5d3dcc5dd24d534ca39ef73f35acd3f6945f139a2364ef67a9"
        );
        assert_eq!(length, 24 + 2 + 5 + 19 + 13);
        assert_eq!(format!("{signature:?}"), "[signature]");
    }
}
