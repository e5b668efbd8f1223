//! Names that were begun of late, in memory.
//!
//! Guarantees: bounded; a name that is open, or was begun within the time for which answers are given again, is known,
//! unless more than [`MOST`] came since. So whoever asks again while the disk does not answer is not told that nothing was
//! sent. Does not: know what became of it.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use gateway::ledger::{Account, Intent, Kind};

/// Names of one generation; two are kept.
const MOST: usize = 1 << 16;
/// What an entry takes in a table that is half full.
const ENTRY: usize = 20;

/// Bytes of both generations.
pub(crate) const BYTES: usize = 2 * MOST * ENTRY;

/// The names.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    hasher: RandomState,
    /// The younger generation first.
    names: Mutex<[HashSet<u64>; 2]>,
}

impl Recent {
    /// What a name of this caller is known by.
    pub(crate) fn hash(&self, account: &Account, caller: &str, name: &(Kind, String)) -> u64 {
        self.hasher.hash_one((account, caller, name))
    }

    /// The same for all names of an attempt.
    pub(crate) fn hashes(&self, intent: &Intent) -> Vec<u64> {
        let names = intent.legs.iter().filter_map(|leg| leg.name.as_ref());
        names
            .map(|name| self.hash(&intent.account, &intent.caller, name))
            .collect()
    }

    /// Whether one of these names was begun of late.
    pub(crate) fn knows(&self, hashes: &[u64]) -> bool {
        let names = self.lock();
        let mut hashes = hashes.iter();
        hashes.any(|hash| names.iter().any(|generation| generation.contains(hash)))
    }

    /// Takes names in.
    pub(crate) fn note(&self, hashes: impl IntoIterator<Item = u64>) {
        let [young, old] = &mut *self.lock();
        if young.len() >= MOST {
            *old = std::mem::take(young);
        }
        young.extend(hashes);
    }

    fn lock(&self) -> MutexGuard<'_, [HashSet<u64>; 2]> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_names_are_known_and_their_number_is_bounded() {
        let recent = Recent::default();
        let newest = 5 * MOST as u64;
        (0..newest).for_each(|hash| recent.note([hash]));
        assert!(recent.knows(&[newest, newest - 1]) && recent.knows(&[newest - MOST as u64]));
        assert!(!recent.knows(&[0]) && !recent.knows(&[]));
        let kept: usize = recent.lock().iter().map(HashSet::len).sum();
        assert!(kept <= 2 * MOST, "{kept}");
    }
}
