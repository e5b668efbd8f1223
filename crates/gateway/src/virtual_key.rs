//! Key and secret that *we* issue, for clients that sign what they send.
//!
//! A virtual key names a caller and a generation; its secret is derived from the installation's master key by HKDF, so
//! that nothing reversible is stored for a caller. Guarantees: a virtual secret opens nothing at the exchange; a
//! signature is compared in constant time; `Debug` shows no secret. Does not: know which callers and generations are
//! valid; that is for [`crate::auth::Callers`].

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::redact::LeakSearch;

/// What every virtual key begins with: shows what it is, and is refused as an API key of the exchange.
pub const KEY_PREFIX: &str = "cpvk_";
/// What every virtual secret begins with.
pub const SECRET_PREFIX: &str = "cpvs_";
/// Bytes of the master key.
pub const MASTER_BYTES: usize = 32;
/// Bytes of a caller's id.
pub const ID_BYTES: usize = 12;

/// Separates this use of the master key from any other, and this way of deriving from a later one.
const SALT: &[u8] = b"crypto-proxy virtual secret 1";

const CHECK_SALT: &[u8] = b"crypto-proxy master check 1";

/// The one secret that every virtual secret is derived from.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; MASTER_BYTES]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[master key]")
    }
}

/// A caller's id: random, made once, never given to another caller, also not to one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallerId([u8; ID_BYTES]);

/// The name that a client shows as its API key: `cpvk_<id>_<generation>`. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VirtualKey {
    /// Whose it is.
    pub id: CallerId,
    /// Which one of that caller's, counted up from 1.
    pub generation: u32,
}

/// A virtual secret as its owner has to write it down; shown once.
pub struct VirtualSecret(Zeroizing<String>);

impl fmt::Debug for VirtualSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[virtual secret]")
    }
}

/// What verifies the signatures of one virtual key.
#[derive(Clone)]
pub struct Verifier(Hmac<Sha256>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[verifier]")
    }
}

impl MasterKey {
    /// Takes the bytes over.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; MASTER_BYTES]>) -> Self {
        Self(bytes)
    }

    /// The secret that belongs to a virtual key.
    #[must_use]
    pub fn secret_of(&self, key: &VirtualKey) -> VirtualSecret {
        let mut bytes = Zeroizing::new([0; 32]);
        let info = [key.id.0.as_slice(), &key.generation.to_be_bytes()].concat();
        #[expect(
            clippy::expect_used,
            reason = "HKDF-SHA256 yields up to 8160 bytes (RFC 5869)"
        )]
        Hkdf::<Sha256>::new(Some(SALT), self.0.as_ref())
            .expand(&info, bytes.as_mut())
            .expect("32 bytes");
        let mut text = Zeroizing::new(String::with_capacity(SECRET_PREFIX.len() + 64));
        text.push_str(SECRET_PREFIX);
        text.push_str(&Zeroizing::new(hex::encode(bytes.as_ref())));
        VirtualSecret(text)
    }

    /// Looks for this key, as its file has it, in what is about to leave.
    pub fn add_to(&self, search: &mut LeakSearch) {
        search.add(&Zeroizing::new(hex::encode(self.0.as_ref())));
    }

    /// Tells this master key from every other, and nothing about it: 16 hex characters.
    #[must_use]
    pub fn check(&self) -> String {
        let mut bytes = [0; 8];
        #[expect(
            clippy::expect_used,
            reason = "HKDF-SHA256 yields up to 8160 bytes (RFC 5869)"
        )]
        Hkdf::<Sha256>::new(Some(CHECK_SALT), self.0.as_ref())
            .expand(&[], &mut bytes)
            .expect("8 bytes");
        hex::encode(bytes)
    }
}

impl CallerId {
    /// These bytes, which are random for a new caller.
    #[must_use]
    pub const fn new(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads 24 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; ID_BYTES];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes)).filter(|id| id.to_string() == text)
    }
}

impl fmt::Display for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl VirtualKey {
    /// Reads what a client shows; only the one way of writing a key is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, generation) = text.strip_prefix(KEY_PREFIX)?.split_once('_')?;
        let key = Self {
            id: CallerId::parse(id)?,
            generation: generation.parse().ok()?,
        };
        Some(key).filter(|key| key.generation > 0 && key.to_string() == text)
    }
}

impl fmt::Display for VirtualKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_PREFIX}{}_{}", self.id, self.generation)
    }
}

impl VirtualSecret {
    /// Looks for this secret in what is about to leave.
    pub fn add_to(&self, search: &mut LeakSearch) {
        search.add(&self.0);
    }

    /// The text, for the one time that it is given to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What verifies signatures made with it.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes keys of any length (RFC 2104)"
        )]
        let mac = Hmac::new_from_slice(self.0.as_bytes()).expect("any length");
        Verifier(mac)
    }
}

impl Verifier {
    /// Whether this is the signature of these parts, written one after the other. Constant time in the signature.
    #[must_use]
    pub fn verify(&self, parts: &[&str], signature: &[u8; 32]) -> bool {
        #[cfg(test)]
        VERIFICATIONS.set(verifications() + 1);
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part.as_bytes()));
        mac.verify_slice(signature).is_ok()
    }
}

#[cfg(test)]
thread_local! {
    static VERIFICATIONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Signatures that were computed on this thread.
#[cfg(test)]
pub(crate) fn verifications() -> u64 {
    VERIFICATIONS.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "cpvk_000102030405060708090a0b_7";

    fn master() -> MasterKey {
        MasterKey::new(Zeroizing::new([7; MASTER_BYTES]))
    }

    #[test]
    fn a_key_is_read_in_the_one_way_it_is_written() {
        assert_eq!(VirtualKey::parse(KEY).unwrap().to_string(), KEY);
        for other in [
            "cpvk_000102030405060708090a0b_0",
            "cpvk_000102030405060708090a0b_07",
            "cpvk_000102030405060708090a0b_+7",
            "cpvk_000102030405060708090A0B_7",
            "cpvk_000102030405060708090a_7",
            "cpvk_000102030405060708090a0b",
            "000102030405060708090a0b_7",
        ] {
            assert!(VirtualKey::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_secret_is_the_hkdf_of_master_id_and_generation() {
        // python3: hkdf-sha256 by hand with hmac, of 32 times 7, the salt above, and id + generation as info
        let secret = master().secret_of(&VirtualKey::parse(KEY).unwrap());
        assert_eq!(
            secret.reveal(),
            "cpvs_55c0b8a7ccfc9233bc72a2cb7a36c9fa769cabd9f9cc3fc1db7c99d6b469ced4"
        );
    }

    #[test]
    fn secrets_differ_by_master_caller_and_generation() {
        let secret = |master: &MasterKey, key: &str| {
            master
                .secret_of(&VirtualKey::parse(key).unwrap())
                .0
                .to_string()
        };
        let known = secret(&master(), KEY);
        assert_ne!(
            known,
            secret(&MasterKey::new(Zeroizing::new([8; MASTER_BYTES])), KEY)
        );
        assert_ne!(known, secret(&master(), "cpvk_000102030405060708090a0b_8"));
        assert_ne!(known, secret(&master(), "cpvk_000102030405060708090a0c_7"));
    }

    #[test]
    fn a_signature_counts_for_its_own_text_alone_and_debug_shows_nothing() {
        let secret = master().secret_of(&VirtualKey::parse(KEY).unwrap());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).unwrap();
        mac.update(b"private/user-balance1");
        let signature = mac.finalize().into_bytes().into();
        let verifier = secret.verifier();
        assert!(verifier.verify(&["private/user-balance", "1"], &signature));
        assert!(!verifier.verify(&["private/user-balance", "2"], &signature));
        let shown = format!("{secret:?} {verifier:?} {:?}", master());
        assert_eq!(shown, "[virtual secret] [verifier] [master key]");
    }
}
