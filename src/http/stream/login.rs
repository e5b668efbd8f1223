//! A client's `public/auth`, verified: who signs with a virtual key that we issued.
//!
//! Guarantees: the signature is compared in constant time; a nonce more than 60 s off our clock is refused, and so is a login
//! that was shown before. What is remembered for that is bounded; beyond it logins are refused until some have expired.
//! Does not: tell an unknown key from a wrong signature.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    exchange::{
        call::RequestId,
        frame::{Echo, Frame},
    },
    gateway::{
        caller::{Caller, Callers},
        virtual_key::VirtualKey,
    },
};

/// As the exchange's own window for a nonce (vendor documents).
const WINDOW_MS: u64 = 60_000;
/// Logins that are remembered within the window.
const MAX_REMEMBERED: usize = 100_000;

/// Why a login is refused; the code that the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLogin {
    /// Unknown key, wrong signature, or shown before.
    Unauthorized,
    /// The nonce is off.
    Nonce,
    /// Too many logins are remembered.
    Full,
}

impl NoLogin {
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::Unauthorized => super::answer::UNAUTHORIZED,
            Self::Nonce => 40102,
            Self::Full => 42901,
        }
    }

    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Unauthorized => "Authentication failure",
            Self::Nonce => "INVALID_NONCE",
            Self::Full => "TOO_MANY_REQUESTS",
        }
    }
}

/// The logins of the last minutes.
#[derive(Debug, Default)]
pub struct Logins(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    all: HashSet<Shown>,
    by_nonce: VecDeque<(u64, Shown)>,
}

/// What makes a login itself: its key, id and nonce are what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shown {
    key: VirtualKey,
    id: u64,
    nonce: u64,
}

impl Logins {
    /// The caller whose virtual key signed this login.
    pub(super) fn verify(
        &self,
        callers: &Callers,
        frame: &Frame<'_>,
        echo: &Echo,
        now_ms: u64,
    ) -> Result<Arc<Caller>, NoLogin> {
        let (Some(api_key), Some(sig), Some(id), Some(nonce)) =
            (frame.api_key.as_deref(), frame.sig.as_deref(), frame.id.map(RequestId::value), frame.nonce)
        else {
            return Err(NoLogin::Unauthorized);
        };
        if frame.params.is_some_and(|params| !params.get().trim_matches(['{', '}', ' ']).is_empty()) {
            return Err(NoLogin::Unauthorized);
        }
        let key = VirtualKey::parse(api_key).ok_or(NoLogin::Unauthorized)?;
        let signing = callers.signing(&key).ok_or(NoLogin::Unauthorized)?;
        let mut signature = [0; 32];
        hex::decode_to_slice(sig, &mut signature).map_err(|_| NoLogin::Unauthorized)?;
        let parts = [&*echo.method, &id.to_string(), api_key, &nonce.to_string()];
        if !signing.verifier.verify(&parts, &signature) {
            return Err(NoLogin::Unauthorized);
        }
        if nonce.abs_diff(now_ms) > WINDOW_MS {
            return Err(NoLogin::Nonce);
        }
        self.remember(Shown { key, id, nonce }, now_ms)?;
        Ok(Arc::clone(&signing.caller))
    }

    fn remember(&self, shown: Shown, now_ms: u64) -> Result<(), NoLogin> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A nonce is refused by the window itself once it is this old; one ahead of the clock stays twice as long.
        while let Some((at, old)) = seen.by_nonce.front().copied()
            && at + 2 * WINDOW_MS < now_ms
        {
            seen.by_nonce.pop_front();
            seen.all.remove(&old);
        }
        if seen.all.len() >= MAX_REMEMBERED {
            return Err(NoLogin::Full);
        }
        if !seen.all.insert(shown) {
            return Err(NoLogin::Unauthorized);
        }
        seen.by_nonce.push_back((now_ms, shown));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;
    use zeroize::Zeroizing;

    use super::*;
    use crate::gateway::{caller::Signing, policy::Policy, virtual_key::MasterKey};

    const KEY: &str = "cpvk_000102030405060708090a0b_1";
    const NOW: u64 = 1_700_000_000_000;

    fn master() -> MasterKey {
        MasterKey::new(Zeroizing::new([7; 32]))
    }

    fn callers() -> Callers {
        let key = VirtualKey::parse(KEY).unwrap();
        let caller = Arc::new(Caller { name: "bot".into(), policy: Policy::default() });
        Callers::default().with_signing(key, Signing { caller, verifier: master().secret_of(&key).verifier() })
    }

    fn login(id: &str, nonce: u64, signed: &str) -> String {
        let secret = master().secret_of(&VirtualKey::parse(KEY).unwrap());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        let sig = hex::encode(mac.finalize().into_bytes());
        format!(r#"{{"id":{id},"method":"public/auth","api_key":"{KEY}","nonce":"{nonce}","sig":"{sig}"}}"#)
    }

    fn verify(logins: &Logins, text: &str, now_ms: u64) -> Result<String, NoLogin> {
        let (echo, frame) = Frame::parse(text);
        logins.verify(&callers(), &frame.unwrap(), &echo, now_ms).map(|caller| caller.name.to_string())
    }

    #[test]
    fn a_login_names_its_caller_once() {
        let logins = Logins::default();
        let text = login("\"11\"", NOW, &format!("public/auth11{KEY}{NOW}"));
        assert_eq!(verify(&logins, &text, NOW).as_deref(), Ok("bot"));
        assert_eq!(verify(&logins, &text, NOW + 1), Err(NoLogin::Unauthorized), "a replay");
        let again = login("11", NOW + 1, &format!("public/auth11{KEY}{}", NOW + 1));
        assert_eq!(verify(&logins, &again, NOW).as_deref(), Ok("bot"));
    }

    #[test]
    fn what_is_forgotten_is_out_of_the_window_by_then() {
        let logins = Logins::default();
        let ahead = NOW + WINDOW_MS;
        let text = login("1", ahead, &format!("public/auth1{KEY}{ahead}"));
        assert!(verify(&logins, &text, NOW).is_ok());
        for later in [NOW + 1, NOW + WINDOW_MS, NOW + 2 * WINDOW_MS] {
            assert_eq!(verify(&logins, &text, later), Err(NoLogin::Unauthorized));
        }
        assert_eq!(verify(&logins, &text, NOW + 2 * WINDOW_MS + 1), Err(NoLogin::Nonce));
    }

    #[test]
    fn other_texts_keys_and_times_are_refused() {
        let logins = Logins::default();
        let good = login("1", NOW, &format!("public/auth1{KEY}{NOW}"));
        assert_eq!(verify(&logins, &good, NOW + WINDOW_MS + 1), Err(NoLogin::Nonce));
        for bad in [
            login("2", NOW, &format!("public/auth1{KEY}{NOW}")),
            good.replace("a0b_1", "a0b_2"),
            good.replace("\"sig\":\"", "\"sig\":\"00"),
            good.replace("\"id\":1", "\"id\":1,\"params\":{\"a\":1}"),
            format!(r#"{{"id":1,"method":"public/auth","nonce":{NOW}}}"#),
        ] {
            assert_eq!(verify(&logins, &bad, NOW), Err(NoLogin::Unauthorized), "{bad}");
        }
        assert!(verify(&logins, &good, NOW).is_ok(), "none of them used it up");
    }
}
