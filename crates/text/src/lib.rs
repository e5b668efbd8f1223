//! Text that is safe to show, and times as text: once, for every surface that people read.
//!
//! A text from outside must not move a cursor, start a line of its own, hide a part of itself, or turn the order in which
//! the rest is read. One list says which characters could, [`is_unsafe`]; every filter is made of it.

pub mod time;

/// Whether a character could be more, or less, than what the reader sees.
///
/// These are control characters (C0, DEL and C1), line and paragraph separators, marks that set the direction of writing,
/// characters without width, and those that only annotate or tag others. Source: Unicode, the categories Cc, Zl and Zp,
/// and of Cf and the default-ignorable characters those that no text of ours needs.
#[must_use]
pub const fn is_unsafe(given: char) -> bool {
    matches!(
        given,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}' // soft hyphen
            | '\u{61c}' // Arabic letter mark
            | '\u{180e}' // Mongolian vowel separator
            | '\u{200b}'..='\u{200f}' // zero width, marks of direction
            | '\u{2028}'..='\u{202e}' // separators, embeddings and overrides of direction
            | '\u{2060}'..='\u{206f}' // word joiner, isolates, deprecated format characters
            | '\u{feff}' // byte order mark
            | '\u{fff9}'..='\u{fffb}' // interlinear annotation
            | '\u{e0000}'..='\u{e0fff}' // tags, variation selectors beyond the plane
    )
}

/// The text in one line, without unsafe characters.
#[must_use]
pub fn line(text: &str) -> String {
    text.chars().filter(|given| !is_unsafe(*given)).collect()
}

/// The text without unsafe characters; its line feeds stay.
#[must_use]
pub fn lines(text: &str) -> String {
    text.chars()
        .filter(|given| *given == '\n' || !is_unsafe(*given))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_hides_or_turns_text_around_survives() {
        for (hostile, harmless) in [
            ("a\u{1b}[31mb\r\u{7}\0", "a[31mb"),
            ("C1\u{85}\u{9b}2J\u{7f}", "C12J"),
            ("turned\u{202e}\u{202a}\u{202d}around", "turnedaround"),
            ("isolated\u{2066}\u{2067}\u{2068}\u{2069}", "isolated"),
            ("marks\u{200e}\u{200f}\u{61c}", "marks"),
            ("width\u{200b}\u{200c}\u{200d}\u{2060}\u{ad}", "width"),
            ("\u{feff}mark", "mark"),
            ("separators\u{2028}\u{2029}", "separators"),
            ("tags\u{e0001}\u{e0041}\u{e007f}", "tags"),
            ("notes\u{fff9}\u{fffa}\u{fffb}", "notes"),
        ] {
            assert_eq!(line(hostile), harmless);
        }
    }

    #[test]
    fn every_control_character_is_unsafe() {
        for given in '\0'..=char::MAX {
            assert!(!given.is_control() || is_unsafe(given), "{given:?}");
        }
    }

    #[test]
    fn text_in_any_writing_is_kept() {
        for text in [
            "plain ~",
            "Zürich ✓ → …",
            "שלום עולם",
            "مرحبا",
            "日本語",
            "🙂",
        ] {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn lines_keep_their_ends_and_nothing_else() {
        assert_eq!(lines("a\n\tb\r\n\u{202e}"), "a\nb\n");
    }
}
