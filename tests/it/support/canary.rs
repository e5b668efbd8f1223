//! Secrets made for one test, and the search for them in everything that leaves the process.

use std::collections::HashSet;

use base64::Engine as _;
use uuid::Uuid;

/// Pieces of this length already count as a leak.
const PIECE: usize = 8;

/// The secrets of one test: random, and of letters that no hexadecimal number has, so that nothing else can look like
/// them; request ids and fingerprints did, once in a thousand runs.
#[derive(Clone, Debug)]
pub(crate) struct Canaries {
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) diagnosis: String,
    needles: Vec<String>,
}

impl Canaries {
    pub(crate) fn random() -> Self {
        let letter = |digit: char| {
            char::from(b'g' + u8::try_from(digit.to_digit(16).expect("hex")).expect("small"))
        };
        let random = || {
            Uuid::new_v4()
                .simple()
                .to_string()
                .chars()
                .map(letter)
                .collect::<String>()
        };
        let (key, secret) = (random(), format!("cxakp_{}", random()));
        let (token, diagnosis) = (random(), random());
        let needles = [&key, &secret, &token, &diagnosis]
            .into_iter()
            .flat_map(|secret| spellings(secret))
            .collect();
        Self {
            key,
            secret,
            token,
            diagnosis,
            needles,
        }
    }

    /// Fails if any piece of any secret stands in `text`.
    pub(crate) fn assert_absent(&self, text: &str, place: &str) {
        let found = self
            .needles
            .iter()
            .find(|needle| text.contains(needle.as_str()));
        assert!(found.is_none(), "a secret in {place}: {text}");
    }

    /// The same for a great many texts: only where the beginning of a needle stands is looked at closely.
    pub(crate) fn assert_absent_in_all(
        &self,
        texts: impl IntoIterator<Item = String>,
        place: &str,
    ) {
        let beginnings: HashSet<&[u8]> = self
            .needles
            .iter()
            .map(|needle| &needle.as_bytes()[..PIECE])
            .collect();
        for text in texts {
            if text
                .as_bytes()
                .windows(PIECE)
                .any(|window| beginnings.contains(window))
            {
                self.assert_absent(&text, place);
            }
        }
    }
}

/// Every piece of the secret as it stands, and of its hex, URL-escaped and (at each alignment) base64 spellings.
fn spellings(secret: &str) -> Vec<String> {
    let random_part = secret.trim_start_matches("cxakp_");
    let hex: String = random_part
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let encode = |shift: usize| {
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(&random_part[shift..])
    };
    let escaped: String = random_part
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    let mut needles = pieces(random_part, PIECE);
    needles.extend(pieces(&hex, PIECE * 2));
    // The text in front decides which of three alignments shows.
    (0..3).for_each(|shift| needles.extend(pieces(&encode(shift), PIECE * 2)));
    needles.extend(pieces(&escaped, PIECE * 3));
    needles
}

fn pieces(text: &str, length: usize) -> Vec<String> {
    (0..=text.len().saturating_sub(length))
        .map(|start| text[start..start + length].to_owned())
        .collect()
}

#[test]
fn the_search_finds_every_spelling_and_every_piece() {
    let canaries = Canaries::random();
    let secret = canaries.secret.trim_start_matches("cxakp_").to_owned();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(format!("u:{}", canaries.token));
    for text in [&secret, &secret[5..13], &hex, &base64, &canaries.key[..8]] {
        let searched =
            std::panic::catch_unwind(|| canaries.assert_absent(&format!("x {text} y"), "a test"));
        assert!(searched.is_err(), "{text}");
        let all = || ["nothing".to_owned(), format!("x {text} y")];
        let searched = std::panic::catch_unwind(|| canaries.assert_absent_in_all(all(), "a test"));
        assert!(searched.is_err(), "{text}");
    }
    canaries.assert_absent("nothing of it", "a test");
    canaries.assert_absent_in_all(["nothing of it".to_owned()], "a test");
}
