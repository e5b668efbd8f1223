//! [`Permit`] → [`SignedCall`]; the only module that signs with an API secret.
//!
//! Guarantees: `sig = lower-case hex of HMAC-SHA256(secret, method + id + api_key + params string + nonce)` (vendor
//! documents; every vector of `crates/catalogue/data/vectors.json` is a test). The MAC is fed piece by piece from a state prepared once:
//! no string to sign is ever built. What was permitted is what is signed, and the signed bytes are what is sent.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{nonce::NonceSource, policy::Permit, secret::Credentials};
use protocol::{canonical, wire};

/// Credentials with their nonces, and the HMAC state prepared.
pub struct Signer {
    credentials: Credentials,
    fingerprint: String,
    mac: Hmac<Sha256>,
    nonces: NonceSource,
}

/// A call that was permitted and signed, ready to be sent once.
pub struct SignedCall {
    /// The method, which is also the path below the base URL.
    pub(super) method: Cow<'static, str>,
    /// The request's body.
    pub(super) body: Bytes,
    /// This call's signature, to be scrubbed from an answer that echoes it.
    pub(super) signature: Signature,
    /// Length of the string that was signed, in bytes.
    pub string_to_sign_len: usize,
}

/// A login of a stream, ready to be sent once. It gives access to everything that the key may do, so it is made for streams only.
pub(super) struct LogIn {
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

/// A signature: goes to the exchange, and to the self-test that compares it with the documented ones.
pub struct Signature(String);

impl Signature {
    /// The lower-case hex text, as the exchange takes it.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl SignedCall {
    /// Length of the request's body in bytes.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.body.len()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[signature]")
    }
}

impl fmt::Debug for SignedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedCall")
            .field("method", &self.method)
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
            nonces: NonceSource::default(),
        }
    }

    /// The next nonce of this key at clock time `now_ms`.
    pub(crate) fn next_nonce(&self, now_ms: u64) -> u64 {
        let nonce = self.nonces.next(now_ms);
        if let Some(step_ms) = nonce.restarted_after_step_ms {
            tracing::warn!(
                step_ms,
                "the clock stepped back: the nonce restarts from the clock; check the host's time service"
            );
        }
        nonce.value
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

    /// Signs what was permitted.
    #[must_use]
    pub fn sign(&self, permit: Permit, nonce: u64) -> SignedCall {
        let call = permit.call();
        let (signature, string_to_sign_len) = self.signature(
            call.method.as_str(),
            call.id.value(),
            call.params.canonical(),
            nonce,
        );
        let body = call
            .request()
            .signed(self.credentials.key.expose(), nonce, signature.as_str());
        SignedCall {
            method: call.method.name(),
            body: body.into(),
            signature,
            string_to_sign_len,
        }
    }

    /// Signs a login: `public/auth`, id 1, no params (vendor documents).
    #[must_use]
    pub(super) fn log_in(&self, nonce: u64) -> LogIn {
        let (Signature(signature), string_to_sign_len) = self.signature(LOGIN, LOGIN_ID, "", nonce);
        let text = wire::login_frame(self.credentials.key.expose(), nonce, &signature);
        LogIn {
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
        let signature = Signature(hex::encode(mac.finalize().into_bytes()));
        (signature, parts.iter().map(|part| part.len()).sum())
    }
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
