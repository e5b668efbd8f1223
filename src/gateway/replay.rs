//! A signed request counts once: also after a crash.
//!
//! Guarantees: within a run, no signature of a virtual key is admitted twice while its nonce is within the window, in
//! whatever order nonces come; what had to be forgotten is refused by its nonce. After a restart every nonce up to the
//! mark on disk is refused, and none is admitted that the mark does not cover: it is written some seconds ahead, in a
//! thread of its own, so that a call waits for the disk only where its nonce runs ahead of our clock by more than that.
//! If the disk does not answer, signed requests are refused, and nothing else is. Without a state directory there is no
//! mark, and nonces from before the start are refused. Does not: verify signatures.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::{clock::Clock, virtual_key::VirtualKey};
use crate::exchange::client_body::SIGNATURE_BYTES;

mod file;
#[cfg(test)]
mod tests;
mod writer;

use file::Marks;
use writer::Writer;

/// How far a client's clock may be from ours, in milliseconds: the exchange's own rule (vendor documents).
pub const WINDOW_MS: u64 = 60_000;
/// Signatures that are remembered for one key: two minutes of more than 500 a second.
const REMEMBERED: usize = 1 << 16;

type Signature = [u8; SIGNATURE_BYTES];

/// Why a request with a good signature is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// Its signature was seen before, or may have been.
    Seen,
    /// Its nonce is not above the mark that this run began with.
    BeforeStart,
    /// More signatures of this key are within the window than can be remembered.
    TooMany,
    /// The mark cannot be written, or the daemon is ending.
    NoMark,
}

/// What was seen, and what may have been seen before this run.
#[derive(Debug)]
pub struct ReplayGuard {
    clock: Clock,
    floor: Marks,
    memory: Mutex<Memory>,
    writer: Option<Writer>,
}

#[derive(Debug, Default)]
struct Memory {
    closed: bool,
    keys: HashMap<VirtualKey, Remembered>,
}

/// What was seen of one key.
#[derive(Debug, Default)]
struct Remembered {
    seen: HashSet<Signature>,
    by_nonce: BTreeSet<(u64, Signature)>,
    /// The highest nonce whose signature was forgotten, because the window had passed it.
    forgotten: u64,
    highest: u64,
}

impl ReplayGuard {
    /// Begins where the last run ended. `signing`: whether there are virtual keys, so that the mark is kept ahead from
    /// the start; without any, nothing is written before the first signed request.
    #[must_use]
    pub fn open(state_dir: Option<&Path>, signing: bool, clock: &Clock) -> Self {
        let Some(directory) = state_dir else {
            if signing {
                tracing::warn!(
                    "there is no state directory: signed requests are protected from replay within this run only, and \
                     nonces from before the start are refused"
                );
            }
            return Self {
                clock: clock.clone(),
                floor: floor_without_mark(clock),
                memory: Mutex::default(),
                writer: None,
            };
        };
        let floor = read_floor(directory, clock);
        let writer = Writer::start(directory, floor.clone(), signing, clock.clone());
        Self { clock: clock.clone(), floor, memory: Mutex::default(), writer: Some(writer) }
    }

    /// Admits a request whose signature was verified and whose nonce is within the window, once.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub async fn admit(&self, key: &VirtualKey, nonce: u64, signature: &Signature) -> Result<(), NotAdmitted> {
        if nonce <= self.floor.of(key) {
            return Err(NotAdmitted::BeforeStart);
        }
        self.remember(key, nonce, signature)?;
        match &self.writer {
            Some(writer) if !writer.cover(key, nonce).await => Err(NotAdmitted::NoMark),
            Some(_) | None => Ok(()),
        }
    }

    /// Admits nothing further, and writes the mark as it is, so that a restart refuses nobody for nothing. Returns when
    /// the disk has it, which may be never.
    pub async fn close(&self) {
        let marks = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.closed = true;
            let base = self.floor.base_ms.max(self.clock.now_ms());
            let ahead = memory.keys.iter().map(|(key, remembered)| (*key, remembered.highest));
            Marks { base_ms: base, ahead: ahead.filter(|(_, highest)| *highest > base).collect() }
        };
        if let Some(writer) = &self.writer {
            writer.close(marks.and_not_less_ahead_than(&self.floor)).await;
        }
    }

    fn remember(&self, key: &VirtualKey, nonce: u64, signature: &Signature) -> Result<(), NotAdmitted> {
        let now_ms = self.clock.now_ms();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.closed {
            return Err(NotAdmitted::NoMark);
        }
        memory.keys.entry(*key).or_default().admit(nonce, signature, now_ms)
    }
}

impl Remembered {
    fn admit(&mut self, nonce: u64, signature: &Signature, now_ms: u64) -> Result<(), NotAdmitted> {
        while let Some((old, gone)) = self.by_nonce.pop_first() {
            if old.saturating_add(WINDOW_MS) >= now_ms {
                self.by_nonce.insert((old, gone));
                break;
            }
            self.seen.remove(&gone);
            // Should the clock step back, what it had passed is within the window again.
            self.forgotten = self.forgotten.max(old);
        }
        if nonce <= self.forgotten || self.seen.contains(signature) {
            return Err(NotAdmitted::Seen);
        }
        if self.seen.len() >= REMEMBERED {
            return Err(NotAdmitted::TooMany);
        }
        self.seen.insert(*signature);
        self.by_nonce.insert((nonce, *signature));
        self.highest = self.highest.max(nonce);
        Ok(())
    }
}

fn floor_without_mark(clock: &Clock) -> Marks {
    Marks::at(clock.now_ms().saturating_sub(1))
}

/// The mark that the last run left.
fn read_floor(directory: &Path, clock: &Clock) -> Marks {
    let latest = clock.now_ms().saturating_add(WINDOW_MS);
    match file::read(directory) {
        Ok(None) => floor_without_mark(clock),
        // A clock that was wrong must not lock everybody out until it is right: whatever was admitted and can be
        // shown again while our clock goes forward lies below this.
        Ok(Some(marks)) if marks.highest() > latest => {
            tracing::warn!(
                "the mark of the last run lies more than a minute ahead of the clock, which was or is wrong: signed \
                 requests are refused for up to a minute"
            );
            marks.at_most(latest)
        }
        Ok(Some(marks)) => marks,
        Err(error) => {
            tracing::warn!(
                %error,
                "the mark of the last run cannot be read ({}): signed requests are refused for a minute",
                file::path(directory).display()
            );
            Marks::at(latest)
        }
    }
}
