//! The last look at every text before it leaves: does it show a part of a credential?
//!
//! Guarantees: no text that went through here holds eight characters in a row of a credential variable's value, in
//! whatever case and however they got there (a secret pasted into the wrong setting, as a name, or as a host). Does not: replace care; texts about
//! credentials show lengths only to begin with.

use zeroize::Zeroizing;

/// Characters in a row that count as a part.
const PART: usize = 8;
const INSTEAD: &str = "(withheld: would show a part of a credential)";

/// What must not be shown.
#[derive(Default)]
pub(super) struct Withheld(Vec<Zeroizing<Vec<char>>>);

impl Withheld {
    pub(super) fn add(&mut self, secret: &str) {
        let chars: Vec<char> = secret.trim().to_lowercase().chars().collect();
        if chars.len() >= PART {
            self.0.push(Zeroizing::new(chars));
        }
    }

    /// Replaces the text if it shows a part.
    pub(super) fn apply(&self, text: &mut String) {
        let lower = Zeroizing::new(text.to_lowercase());
        let parts = self.0.iter().flat_map(|secret| secret.windows(PART));
        if parts.map(|part| Zeroizing::new(part.iter().collect::<String>())).any(|part| lower.contains(part.as_str())) {
            INSTEAD.clone_into(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> String {
        let mut withheld = Withheld::default();
        withheld.add("invented-secret");
        withheld.add("short");
        let mut text = text.to_owned();
        withheld.apply(&mut text);
        text
    }

    #[test]
    fn eight_characters_in_a_row_are_too_many() {
        for text in ["see invented-secret", "nted-sec", "INVENTED", "https://invented/"] {
            assert_eq!(after(text), INSTEAD, "{text}");
        }
        for text in ["invente", "nted-se cret", "short"] {
            assert_eq!(after(text), text);
        }
    }
}
