//! The search for secrets in everything that leaves: answers, support bundles, texts about the configuration.
//!
//! Guarantees of [`LeakSearch`]: a secret is found whole and in part: any 16 bytes in a row, or fewer on request. It is
//! found in any case, in hexadecimal, in both alphabets and all three alignments of base64, percent-encoded, and with
//! backslashes as in JSON and Markdown. What is prepared for the search is wiped. Does not: find what was encrypted,
//! compressed or encoded twice, or a text of fewer than 8 bytes, which could not be told apart from a word.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

mod readings;
mod scrubber;

use readings::Readings;
pub(crate) use scrubber::Scrubber;

/// Bytes in a row that count as a part: more than words that tokens are made of have in common with a text.
const PIECE: usize = 16;
/// Shorter texts are not looked for.
const SHORTEST: usize = 8;

/// Secrets to be looked for in what is about to leave the process.
pub struct LeakSearch {
    secrets: Vec<Zeroizing<String>>,
    too_short: usize,
    piece: usize,
}

impl Default for LeakSearch {
    /// Finds any 16 bytes in a row.
    fn default() -> Self {
        Self::for_pieces_of(PIECE)
    }
}

impl fmt::Debug for LeakSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeakSearch")
    }
}

impl LeakSearch {
    /// Finds any so many bytes in a row; fewer than 8 tell nothing.
    #[must_use]
    pub fn for_pieces_of(piece: usize) -> Self {
        Self {
            secrets: Vec::new(),
            too_short: 0,
            piece: piece.max(SHORTEST),
        }
    }

    /// Looks for this text as well.
    pub fn add(&mut self, secret: &str) {
        if secret.is_empty() || self.secrets.iter().any(|known| known.as_str() == secret) {
            return;
        }
        if secret.len() < SHORTEST {
            self.too_short += 1;
        } else {
            self.secrets.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// Looks for everything that another search looks for as well.
    pub fn join(&mut self, other: Self) {
        other.secrets.iter().for_each(|secret| self.add(secret));
        self.too_short += other.too_short;
    }

    /// How many texts are too short to be looked for.
    #[must_use]
    pub const fn too_short(&self) -> usize {
        self.too_short
    }

    /// Whether any of them, or a part of it, stands in these bytes.
    #[must_use]
    pub fn occurs_in(&self, bytes: &[u8]) -> bool {
        let secrets = self.secrets.iter().map(|secret| secret.as_str());
        occurs_in_pieces(secrets, self.piece, bytes)
    }
}

/// Whether this text, or a part of it, stands in these bytes.
pub(crate) fn occurs(secret: &str, bytes: &[u8]) -> bool {
    occurs_in_pieces(std::iter::once(secret), PIECE, bytes)
}

fn occurs_in_pieces<'s>(
    secrets: impl Iterator<Item = &'s str>,
    piece: usize,
    bytes: &[u8],
) -> bool {
    let (mut folded, mut exact) = (Needles::default(), Needles::default());
    for secret in secrets.filter(|secret| secret.len() >= SHORTEST) {
        let lower = Zeroizing::new(secret.to_ascii_lowercase().into_bytes());
        folded.take_pieces(&lower, piece);
        for text in [
            secret.as_bytes(),
            &lower,
            &Zeroizing::new(secret.to_ascii_uppercase().into_bytes()),
        ] {
            folded.take_pieces(Zeroizing::new(hex::encode(text)).as_bytes(), piece * 2);
        }
        for shift in 0..3 {
            let text = secret.as_bytes().get(shift..).unwrap_or_default();
            let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(text));
            // The last character may depend on what follows.
            let certain = encoded
                .as_bytes()
                .get(..text.len() * 4 / 3)
                .unwrap_or_default();
            exact.take_pieces(certain, piece * 4 / 3);
        }
    }
    let (folded, exact) = (folded.ready(), exact.ready());
    let readings = Readings::of(bytes);
    readings.folded.iter().any(|text| folded.stand_in(text))
        || readings.base64.iter().any(|text| exact.stand_in(text))
}

/// What is looked for, and the beginnings of it in order: most positions of a text begin like nothing of it.
#[derive(Default)]
struct Needles {
    all: Vec<Zeroizing<Vec<u8>>>,
    beginnings: Zeroizing<Vec<[u8; SHORTEST]>>,
}

impl Needles {
    /// Every `length` bytes in a row, or the whole where it is shorter.
    fn take_pieces(&mut self, text: &[u8], length: usize) {
        let pieces = text.windows(length.min(text.len()).max(1));
        self.all
            .extend(pieces.map(|piece| Zeroizing::new(piece.to_vec())));
    }

    fn ready(mut self) -> Self {
        let beginnings = self
            .all
            .iter()
            .filter_map(|needle| needle.first_chunk().copied());
        self.beginnings = Zeroizing::new(beginnings.collect());
        self.beginnings.sort_unstable();
        self
    }

    fn stand_in(&self, text: &[u8]) -> bool {
        text.windows(SHORTEST).enumerate().any(|(at, window)| {
            let known = self
                .beginnings
                .binary_search_by(|beginning| beginning.as_slice().cmp(window))
                .is_ok();
            known
                && text
                    .get(at..)
                    .is_some_and(|rest| self.all.iter().any(|needle| rest.starts_with(needle)))
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE;

    use super::*;
    use crate::secret::{ApiKey, ApiSecret};

    const SECRET: &str = "Zr5/invented+secret_of-some~length\"1";

    fn occurs_in(text: &str) -> bool {
        let mut search = LeakSearch::default();
        search.add("another-invented-text");
        search.add(SECRET);
        let found = search.occurs_in(text.as_bytes());
        assert_eq!(
            ApiSecret::new(SECRET.into()).occurs_in(text.as_bytes()),
            found,
            "{text}"
        );
        assert_eq!(
            ApiKey::new(SECRET.into()).occurs_in(text.as_bytes()),
            found,
            "{text}"
        );
        found
    }

    fn percent(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        let json = serde_json::to_string(SECRET).unwrap();
        let unicode: String = SECRET
            .chars()
            .map(|char| format!("\\u{:04x}", u32::from(char)))
            .collect();
        let form: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        let markdown = SECRET.replace('_', "\\_").replace('~', "\\~");
        for text in [
            SECRET,
            &SECRET.to_uppercase(),
            &SECRET[3..19],
            &hex::encode(SECRET),
            &hex::encode_upper(SECRET),
        ] {
            assert!(occurs_in(&format!("a {text}.")), "{text}");
        }
        for text in [
            json,
            unicode,
            form,
            markdown,
            percent(SECRET),
            percent(&SECRET[9..27]),
            hex::encode(&SECRET[5..21]),
        ] {
            assert!(occurs_in(&format!("a\\n{text} b")), "{text}");
        }
        for text in [SECRET.to_lowercase(), SECRET.to_uppercase()] {
            assert!(occurs_in(&hex::encode(text)));
        }
    }

    #[test]
    fn a_secret_is_found_in_base64_at_every_alignment_and_across_lines() {
        for before in ["", "u", "u:", "user:"] {
            let whole = format!("{before}{SECRET}:and more");
            for encoded in [STANDARD_NO_PAD.encode(&whole), URL_SAFE.encode(&whole)] {
                assert!(occurs_in(&format!("Basic {encoded}")), "{encoded}");
                let lines: Vec<&str> = (0..encoded.len())
                    .step_by(20)
                    .map(|at| &encoded[at..encoded.len().min(at + 20)])
                    .collect();
                assert!(occurs_in(&lines.join("\r\n")), "{encoded}");
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        let other = "invented text of some length, with %41 and \\u0041 and \\";
        for text in [
            "",
            "invented",
            "Zr5/invented+se",
            other,
            &STANDARD_NO_PAD.encode(other),
            &hex::encode(other),
        ] {
            assert!(!occurs_in(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_words_hold_as_well_is_counted_and_not_looked_for() {
        let mut search = LeakSearch::default();
        ["", "secret", "secret2", "eight-ch"]
            .iter()
            .for_each(|text| search.add(text));
        assert_eq!(search.too_short(), 2);
        assert!(!search.occurs_in(b"secret2") && search.occurs_in(b"EIGHT-CH"));
        assert_eq!(format!("{search:?}"), "LeakSearch");
    }

    #[test]
    fn a_search_for_smaller_pieces_finds_eight_characters() {
        let mut search = LeakSearch::for_pieces_of(8);
        search.add(SECRET);
        assert!(search.occurs_in(&SECRET.as_bytes()[3..11]));
        assert!(!search.occurs_in(&SECRET.as_bytes()[3..10]));
    }
}
