//! The types of things that must never be printed.
//!
//! Guarantees: no `Display`, no `Serialize`; `Debug` is a label; memory is wiped on drop. Only an API key has a
//! printable fingerprint. The text itself is visible inside `gateway` alone, to the signer and to the search that keeps it
//! out of answers; what that search prepares (`redact`) is a copy that lives as long as the process. A
//! [`redact::LeakSearch`] only ever says whether a secret stands in a text.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::redact;

/// The exchange's API key: identifies the account, sent with every call.
#[derive(Clone)]
pub struct ApiKey(SecretString);

/// The exchange's API secret: signs.
#[derive(Clone)]
pub struct ApiSecret(SecretString);

/// What a caller shows in `X-Proxy-Token`, kept as its SHA-256 only.
#[derive(Clone)]
pub struct TokenDigest([u8; 32]);

/// An API key and the secret that belongs to it.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The key.
    pub key: ApiKey,
    /// Its secret.
    pub secret: ApiSecret,
}

macro_rules! labelled {
    ($($name:ident => $label:literal),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($label)
            }
        }
    )+};
}
labelled!(ApiKey => "[API key]", ApiSecret => "[API secret]", TokenDigest => "[token digest]");

macro_rules! text_secret {
    ($($name:ident),+) => {$(
        impl $name {
            /// Takes the text over.
            #[must_use]
            pub fn new(text: String) -> Self {
                Self(SecretString::from(text))
            }

            #[expect(clippy::disallowed_methods, reason = "the one way out of the type, open to the gateway only")]
            pub(super) fn expose(&self) -> &str {
                self.0.expose_secret()
            }

            /// Its length in bytes; lengths may be shown.
            #[must_use]
            pub fn len(&self) -> usize {
                self.expose().len()
            }

            /// Whether there is no text at all.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether both hold the same text; takes the same time wherever they differ.
            #[must_use]
            pub fn equals(&self, other: &Self) -> bool {
                sha256(self.expose().as_bytes()).ct_eq(&sha256(other.expose().as_bytes())).into()
            }

            /// Whether it, or a part of it, stands in these bytes in any of the usual encodings.
            #[must_use]
            pub fn occurs_in(&self, bytes: &[u8]) -> bool {
                redact::occurs(self.expose(), bytes)
            }

            /// SHA-256 in lower-case hex, to compare with the list of published values; never to be printed.
            #[must_use]
            pub fn digest(&self) -> String {
                hex::encode(sha256(self.expose().as_bytes()))
            }
        }
    )+};
}
text_secret!(ApiKey, ApiSecret);

impl ApiKey {
    /// The first 8 hex characters of its SHA-256: safe to print, and enough to tell keys apart.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.digest().chars().take(8).collect()
    }
}

impl ApiSecret {
    /// HMAC-SHA256 under `salt` in lower-case hex: tells on this installation alone whether the secret is another one,
    /// and is no help in guessing it to who does not have the salt. Never to be printed.
    #[must_use]
    pub fn keyed_digest(&self, salt: &[u8]) -> String {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes keys of any length (RFC 2104)"
        )]
        let mut mac = Hmac::<Sha256>::new_from_slice(salt).expect("any length");
        mac.update(self.expose().as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

impl TokenDigest {
    /// The digest of a token.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(sha256(token))
    }

    /// Reads what [`TokenDigest::to_hex`] writes, and nothing else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).ok()?;
        Some(Self(digest)).filter(|digest| digest.to_hex() == text)
    }

    /// Lower-case hex, for the callers file: only the digest of a token of 256 random bits is fit to be written down.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Whether both are of the same token; constant time.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A signature: goes to the exchange, and to the self-test that compares it with the documented ones.
pub struct Signature(pub(crate) String);

impl Signature {
    /// The lower-case hex text, as the exchange takes it.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[signature]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_a_label_and_nothing_else() {
        let credentials = Credentials {
            key: ApiKey::new("invented-key".into()),
            secret: ApiSecret::new("invented-secret".into()),
        };
        assert_eq!(
            format!("{credentials:?}"),
            "Credentials { key: [API key], secret: [API secret] }"
        );
        assert_eq!(
            format!("{:?}", TokenDigest::of(b"invented")),
            "[token digest]"
        );
    }

    #[test]
    fn a_fingerprint_is_eight_hex_characters_of_the_sha256() {
        // printf %s token | sha256sum
        assert_eq!(ApiKey::new("token".into()).fingerprint(), "3c469e9d");
    }

    #[test]
    fn a_keyed_digest_is_the_hmac_of_the_secret_under_the_salt() {
        // printf %s invented-secret | openssl dgst -sha256 -hmac salt
        let digest = ApiSecret::new("invented-secret".into()).keyed_digest(b"salt");
        assert_eq!(
            digest,
            "e01ec0a5e5415b860c53d9a50ad5dc7581f30b9194729ea5034f80307c6bd01d"
        );
    }
}
