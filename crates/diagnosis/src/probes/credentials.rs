//! What is known of the pair before anything is sent: facts that the loader of the configuration hands in.
//!
//! Guarantees: redacted by construction: names, places and counts, and of an API key its fingerprint; no field holds a
//! credential. Does not: judge what the flaws mean for calls.

/// What can be wrong with a pair as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// There is none.
    Missing,
    /// The place where it may stand could not be read.
    Unreadable,
    /// A half of it is not there.
    Half,
    /// A half is cut short, or holds what no key or secret has.
    Malformed,
    /// A half is there that belongs to nothing, and is not used.
    SpareHalf,
    /// A half is suspiciously short.
    Short,
    /// The secret seems to stand in the key's place.
    Swapped,
    /// White space, a byte order mark or quotes were taken off.
    Dirt,
    /// Quotes that systemd takes off, and other readers of the file may not.
    Quoted,
    /// Anybody may have it.
    Published,
    /// A further pair that differs from the one in use.
    SecondPair,
}

impl Flaw {
    /// A word for machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Half => "half",
            Self::Malformed => "malformed",
            Self::SpareHalf => "spare_half",
            Self::Short => "short",
            Self::Swapped => "swapped",
            Self::Dirt => "dirt",
            Self::Quoted => "quoted",
            Self::Published => "published",
            Self::SecondPair => "second_pair",
        }
    }
}

/// A flaw, where it is, and what the loader says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlawFound {
    /// What it is.
    pub flaw: Flaw,
    /// The variable, or what stands for it.
    pub name: String,
    /// File and line, or variable.
    pub place: String,
    /// In words.
    pub text: String,
}

/// What the loader says of the pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFacts {
    /// Where it was looked for, one place each, in words.
    pub looked_at: Vec<String>,
    /// Where the pair stands: the file, or the process environment.
    pub source: Option<String>,
    /// The key's fingerprint.
    pub fingerprint: Option<String>,
    /// The key's name on the dashboard, as the operator gave it.
    pub label: Option<String>,
    /// What is wrong with it.
    pub flaws: Vec<FlawFound>,
}

impl CredentialFacts {
    /// The first flaw of these kinds.
    #[must_use]
    pub fn flaw(&self, kinds: &[Flaw]) -> Option<&FlawFound> {
        self.flaws.iter().find(|found| kinds.contains(&found.flaw))
    }
}
