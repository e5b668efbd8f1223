//! A client of the exchange with a virtual key, by code of its own.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::UNIX_EPOCH,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::house::Issued;

/// Key and secret that were issued.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) secret: String,
}

impl Pair {
    pub(crate) fn of(issued: &Issued) -> Self {
        Self {
            key: issued.value("CRYPTO_PROXY_VIRTUAL_KEY"),
            secret: issued.value("CRYPTO_PROXY_VIRTUAL_SECRET"),
        }
    }

    pub(crate) fn sign(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// A signed request; `signed_params` is the string of the params that is signed.
    pub(crate) fn request(
        &self,
        method: &str,
        params: &str,
        signed_params: &str,
        nonce: u64,
    ) -> String {
        let sig = self.sign(&format!("{method}11{}{signed_params}{nonce}", self.key));
        let key = &self.key;
        format!(
            r#"{{"id":11,"method":"{method}","api_key":"{key}","params":{params},"nonce":{nonce},"sig":"{sig}"}}"#
        )
    }

    /// The login of a stream.
    pub(crate) fn login(&self, nonce: u64) -> String {
        let (key, sig) = (
            &self.key,
            self.sign(&format!("public/auth5{}{nonce}", self.key)),
        );
        format!(
            r#"{{"id":5,"method":"public/auth","api_key":"{key}","nonce":{nonce},"sig":"{sig}"}}"#
        )
    }
}

/// Milliseconds since 1970, never the same twice.
pub(crate) fn nonce() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    if last < now {
        now
    } else {
        LAST.fetch_add(1, Ordering::Relaxed) + 1
    }
}
