//! What callers are commonly given: three words, from little to much.
//!
//! Guarantees: the `diagnose` right is in none of them, nor is a method that the catalogue does not know.

use catalogue::methods::Class;

/// What callers are commonly given, by one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Reads.
    Read,
    /// Reads and orders.
    Trade,
    /// Every private method of the catalogue: products, transfers, withdrawals and account settings as well.
    Full,
}

impl Preset {
    /// Every preset, from little to much.
    pub const ALL: [Self; 3] = [Self::Read, Self::Trade, Self::Full];

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Full => "full",
        }
    }

    /// The preset of this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The classes that it allows.
    #[must_use]
    pub const fn classes(self) -> &'static [Class] {
        match self {
            Self::Read => &[Class::Read],
            Self::Trade => &[Class::Read, Class::Trade],
            Self::Full => &[
                Class::Read,
                Class::Trade,
                Class::Products,
                Class::Transfer,
                Class::AccountAdmin,
            ],
        }
    }
}
