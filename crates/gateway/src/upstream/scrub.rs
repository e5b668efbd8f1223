//! Overwrites our own secrets in an answer before anybody sees it.
//!
//! The exchange may echo a request in `original` when it refuses it. Guarantees: the API key, the API secret and this
//! call's signature never leave in an answer, plain or JSON-escaped; lengths are kept, so JSON stays JSON.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use protocol::wire;

/// What stands in the place of what was overwritten.
const FILLER: u8 = b'*';

/// Characters of a signature that are looked for.
const SIGNATURE_BEGINNING: usize = 16;

/// Searches for the secrets of one pair of credentials.
pub(crate) struct Scrubber {
    needles: Vec<memmem::Finder<'static>>,
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scrubber")
    }
}

impl Scrubber {
    pub(crate) fn new(secrets: [&str; 2]) -> Self {
        let mut texts: Vec<Vec<u8>> = secrets
            .iter()
            .flat_map(|secret| spellings(secret))
            .collect();
        texts.sort();
        texts.dedup();
        Self {
            needles: texts
                .iter()
                .map(|text| memmem::Finder::new(text).into_owned())
                .collect(),
        }
    }

    /// The answer without secrets, and whether there was one in it.
    ///
    /// The signature is looked for by its beginning, which is too long to stand there by chance: preparing a search
    /// costs by the length of what is searched for, and this one is prepared for each call.
    pub(crate) fn scrub(&self, answer: Bytes, signature: &str) -> (Bytes, bool) {
        let beginning =
            memmem::Finder::new(signature.get(..SIGNATURE_BEGINNING).unwrap_or(signature));
        if self
            .needles
            .iter()
            .chain([&beginning])
            .all(|needle| needle.find(&answer).is_none())
        {
            return (answer, false);
        }
        let (signature, beginning) = (memmem::Finder::new(signature), &beginning);
        let needles = || self.needles.iter().chain([&signature, beginning]);
        let mut clean = BytesMut::from(answer);
        for needle in needles() {
            let length = needle.needle().len();
            let hits: Vec<usize> = needle.find_iter(&clean).collect();
            for start in hits {
                clean
                    .iter_mut()
                    .skip(start)
                    .take(length)
                    .for_each(|byte| *byte = FILLER);
            }
        }
        (clean.freeze(), true)
    }
}

/// A secret as it stands, and as JSON writes it.
fn spellings(secret: &str) -> [Vec<u8>; 2] {
    let mut json = Vec::new();
    wire::push_json_string(&mut json, secret);
    let inner = json
        .get(1..json.len().saturating_sub(1))
        .unwrap_or_default()
        .to_vec();
    [secret.as_bytes().to_vec(), inner]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrub(answer: &'static str) -> (String, bool) {
        let scrubber = Scrubber::new(["key-invented", "secret\"invented"]);
        let (bytes, scrubbed) = scrubber.scrub(Bytes::from_static(answer.as_bytes()), "00ff00ff");
        (String::from_utf8(bytes.to_vec()).unwrap(), scrubbed)
    }

    #[test]
    fn an_echoed_request_loses_key_and_signature_and_stays_json() {
        let (text, scrubbed) =
            scrub(r#"{"original":"api_key=key-invented&sig=00ff00ff","again":"key-invented"}"#);
        assert!(scrubbed);
        assert_eq!(
            text,
            r#"{"original":"api_key=************&sig=********","again":"************"}"#
        );
    }

    #[test]
    fn a_secret_is_found_plain_and_escaped() {
        assert_eq!(
            scrub(r#"{"a":"secret\"invented"}"#),
            (format!(r#"{{"a":"{}"}}"#, "*".repeat(16)), true)
        );
        assert_eq!(scrub("secret\"invented").0, "*".repeat(15));
    }

    #[test]
    fn an_answer_without_secrets_is_the_same_bytes() {
        let answer = Bytes::from_static(b"{\"code\":0}");
        let (same, scrubbed) =
            Scrubber::new(["key-invented", "secret-invented"]).scrub(answer.clone(), "00ff");
        assert!(!scrubbed && same.as_ptr() == answer.as_ptr());
    }
}
