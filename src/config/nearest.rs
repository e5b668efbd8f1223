//! The known name that a mistyped one is nearest to.
//!
//! Guarantees: no suggestion is better than a far-fetched one: at most a third of the characters may differ.

use std::cmp::min;

/// Names as close as this are taken for a slip of the fingers.
pub(super) const SLIP: usize = 2;

/// The nearest of `known`, and how many characters lie between.
pub(super) fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<(&'a str, usize)> {
    let lower = name.to_lowercase();
    let candidates = known
        .into_iter()
        .map(|known| (known, distance(&lower, &known.to_lowercase())));
    candidates
        .min_by_key(|(_, distance)| *distance)
        .filter(|(_, distance)| distance * 3 <= name.chars().count())
}

/// `did you mean X?`, or the fallback.
pub(super) fn suggestion<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    nearest(name, known).map_or_else(
        || otherwise.to_owned(),
        |(near, _)| format!("did you mean {near}?"),
    )
}

/// Levenshtein's distance, in characters.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (above, a) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        let mut next = vec![before];
        for (b, up) in right.chars().zip(row.iter().skip(1)) {
            let cell = min(min(up + 1, before + 1), diagonal + usize::from(a != b));
            diagonal = *up;
            before = cell;
            next.push(cell);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_changes() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("kitten", "sitting", 3),
            ("token", "tokken", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_typo_is_recognised_and_a_stranger_is_not() {
        let known = ["CRYPTO_PROXY_TOKEN", "CRYPTO_PROXY_LISTEN"];
        assert_eq!(
            nearest("CRYPTO_PROXY_TOKKEN", known),
            Some(("CRYPTO_PROXY_TOKEN", 1))
        );
        assert_eq!(nearest("something_else", known), None);
        assert_eq!(suggestion("listn", ["listen"], "-"), "did you mean listen?");
    }
}
