//! What is remembered of every caller beside the callers file, so that an older copy of the file brings nothing back.
//!
//! Revocations only become stricter: the newest generation and the lowest valid one only rise, and an end only comes
//! nearer. A caller that somebody deleted from the file by hand does not count as revoked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CallerFiles, CallersError, Entry, file};
use gateway::virtual_key::CallerId;

/// The lowest valid generation of a caller that is revoked.
const NONE_VALID: u32 = u32::MAX;
const HEAD: &str = "# Which generations of callers were revoked. Written by crypto-proxy; keep it with the master key.\n";

/// What is remembered of one caller.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The newest generation that was ever issued.
    pub newest: u32,
    /// The lowest one that is valid.
    pub lowest: u32,
    /// A rotation: generations below this one end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<u32>,
    /// When they do, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// Every caller that there ever was, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations(BTreeMap<String, Revocation>);

impl Revocation {
    /// The same, or what is stricter.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let (mine, theirs) = (self.ending(), other.ending());
        // Of two rotations the later one counts; of one rotation the earlier end.
        let ending = match (mine, theirs) {
            (Some((below, until)), Some((other_below, other_until))) if below == other_below => {
                Some((below, until.min(other_until)))
            }
            (mine, theirs) => mine.max(theirs),
        };
        Self {
            newest: self.newest.max(other.newest),
            lowest: self.lowest.max(other.lowest),
            below: ending.map(|(below, _)| below),
            until_ms: ending.map(|(_, until)| until),
        }
    }

    /// Until when a generation is valid: `Err` where it is not any more, `Ok(None)` where no end is set.
    ///
    /// # Errors
    /// The generation was revoked, or its end has come.
    pub fn validity(self, generation: u32, now_ms: u64) -> Result<Option<u64>, NotValid> {
        if generation < self.lowest {
            return Err(NotValid);
        }
        match self.ending() {
            Some((below, until)) if generation < below && until <= now_ms => Err(NotValid),
            Some((below, until)) if generation < below => Ok(Some(until)),
            _ => Ok(None),
        }
    }

    fn ending(self) -> Option<(u32, u64)> {
        self.below.zip(self.until_ms)
    }
}

/// A generation that is not valid any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotValid;

impl Revocations {
    /// Reads them; none where there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or not understood: then it is not known what was revoked.
    pub fn read(files: &CallerFiles) -> Result<Self, CallersError> {
        let path = files.revocations()?;
        let text = file::read(&path, files.trusted())?.unwrap_or_default();
        Self::parse(&text).map_err(|error| CallersError::Revocations(path, error))
    }

    /// Reads what belongs to a callers file with callers in it. They are written before the first caller is, so they are
    /// never missing by nature.
    ///
    /// # Errors
    /// As [`Self::read`], and where there is no file.
    pub fn of_callers(files: &CallerFiles) -> Result<Self, CallersError> {
        let path = files.revocations()?;
        let read = Self::read(files)?;
        // A directory that may not be entered has failed above.
        if matches!(path.try_exists(), Ok(false)) {
            return Err(CallersError::RevocationsMissing(path));
        }
        Ok(read)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let revocations: BTreeMap<String, Revocation> =
            toml::from_str(text).map_err(|error| error.message().replace('\n', ", "))?;
        match revocations.keys().find(|id| CallerId::parse(id).is_none()) {
            Some(id) => Err(format!("{id} is not an id")),
            None => Ok(Self(revocations)),
        }
    }

    /// Merges these into the file, and gives what stands there then. A directory that is not there is made.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn store(&self, files: &CallerFiles) -> Result<Self, CallersError> {
        let path = files.revocations()?;
        path.parent()
            .map_or(Ok(()), |directory| file::make_directory(directory, 0o700))?;
        let _lock = file::lock(&path)?;
        let before = Self::read(files)?;
        let mut merged = before.clone();
        merged.merge(self);
        if merged != before || !path.exists() {
            let text = toml::to_string(&merged.0)
                .map_err(|error| CallersError::Revocations(path.clone(), error.to_string()))?;
            file::replace(&path, &format!("{HEAD}{text}"), 0o600)?;
        }
        Ok(merged)
    }

    /// What is remembered of a caller.
    #[must_use]
    pub fn of(&self, id: CallerId) -> Revocation {
        self.0.get(&id.to_string()).copied().unwrap_or_default()
    }

    /// Remembers of a caller what is stricter.
    pub fn merge_one(&mut self, id: CallerId, revocation: Revocation) {
        let known = self.0.entry(id.to_string()).or_default();
        *known = known.stricter(revocation);
    }

    /// Remembers that a caller is revoked for good.
    pub fn revoke(&mut self, id: CallerId) {
        self.merge_one(
            id,
            Revocation {
                lowest: NONE_VALID,
                ..Revocation::default()
            },
        );
    }

    /// Remembers what the entry of a caller says.
    pub fn merge_entry(&mut self, entry: &Entry) {
        let numbers = || entry.generations.iter().map(|generation| generation.number);
        let (Some(lowest), Some(newest)) = (numbers().min(), numbers().max()) else {
            return;
        };
        let until_ms = entry
            .generations
            .iter()
            .filter_map(|generation| generation.until_ms)
            .max();
        self.merge_one(
            entry.id,
            Revocation {
                newest,
                lowest,
                below: until_ms.map(|_| newest),
                until_ms,
            },
        );
    }

    fn merge(&mut self, other: &Self) {
        for (id, revocation) in &other.0 {
            let known = self.0.entry(id.clone()).or_default();
            *known = known.stricter(*revocation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocation(newest: u32, lowest: u32, ending: Option<(u32, u64)>) -> Revocation {
        Revocation {
            newest,
            lowest,
            below: ending.map(|(below, _)| below),
            until_ms: ending.map(|(_, until)| until),
        }
    }

    #[test]
    fn of_two_marks_the_stricter_holds_whichever_comes_first() {
        for (one, other, expected) in [
            (
                revocation(1, 1, None),
                revocation(3, 2, None),
                revocation(3, 2, None),
            ),
            (
                revocation(3, 1, None),
                revocation(1, NONE_VALID, None),
                revocation(3, NONE_VALID, None),
            ),
            (
                revocation(2, 1, Some((2, 500))),
                revocation(1, 1, None),
                revocation(2, 1, Some((2, 500))),
            ),
            (
                revocation(2, 1, Some((2, 500))),
                revocation(2, 1, Some((2, 900))),
                revocation(2, 1, Some((2, 500))),
            ),
            (
                revocation(2, 1, Some((2, 500))),
                revocation(3, 2, Some((3, 900))),
                revocation(3, 2, Some((3, 900))),
            ),
        ] {
            assert_eq!(
                (one.stricter(other), other.stricter(one)),
                (expected, expected)
            );
        }
    }

    #[test]
    fn a_generation_ends_with_its_rotation_and_with_its_revocation() {
        let rotating = revocation(3, 2, Some((3, 500)));
        assert_eq!(rotating.validity(1, 100), Err(NotValid));
        assert_eq!(rotating.validity(2, 499), Ok(Some(500)));
        assert_eq!(rotating.validity(2, 500), Err(NotValid));
        assert_eq!(rotating.validity(3, 900), Ok(None));
        assert_eq!(
            revocation(3, NONE_VALID, None).validity(3, 0),
            Err(NotValid)
        );
        assert_eq!(Revocation::default().validity(1, 0), Ok(None));
    }

    #[test]
    fn marks_that_are_not_understood_are_no_marks() {
        assert_eq!(Revocations::parse(""), Ok(Revocations::default()));
        for text in [
            "x",
            "[000102030405060708090a0b]\nnewest = 1",
            "[abc]\nnewest = 1\nlowest = 1",
            "a = 1",
        ] {
            assert!(Revocations::parse(text).is_err(), "{text}");
        }
    }
}
