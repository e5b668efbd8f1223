//! A signed request counts once: also after a crash.
//!
//! Guarantees: within a run, no signature of a virtual key is admitted twice while its nonce is within the window, in
//! whatever order nonces come; what had to be forgotten is refused by its nonce. The one exception is the very same
//! request from the very same peer, which is told from others: clients sign by the millisecond, so two of one key make the
//! same read; and a client that lost the answer to an order sends its bytes again, and may learn of the first. After a restart
//! every nonce up to the mark on disk is refused, and none is admitted that the mark does not cover. The mark is
//! written some seconds ahead, in a thread of its own. So a call waits for the disk only where its nonce runs ahead of
//! our clock by more than that. If the disk does not answer, signed requests are refused, and nothing else is. Without
//! a state directory there is no mark, and nonces from before the start are refused. When that was, is counted back
//! from the present clock by the time that passed: a clock that was wrong at the start locks nobody out once it is
//! right. Does not: verify signatures.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{clock::Clock, virtual_key::VirtualKey};
use protocol::caller_request::SIGNATURE_BYTES;

mod marks;
#[cfg(test)]
mod tests;

use marks::{HighWaterMarks, Writer};

/// How far a client's clock may be from ours, in milliseconds: the exchange's own rule (vendor documents).
pub const WINDOW_MS: u64 = 60_000;
/// Signatures of one key that are remembered at most: two minutes of more than 500 a second.
pub const REMEMBERED: usize = 1 << 16;
/// Signatures of one key that are remembered though the window has passed them, should the clock step back.
const KEPT: usize = 1 << 14;
/// Stretches of forgotten nonces that are told apart. More of them only refuse more.
const STRETCHES: usize = 8;
/// From here on it is a step of the clock, and nothing that two clocks differ by.
const STEP_MS: u64 = 1000;
/// From here on it is said that the clock stepped back; what is less is within what clocks are adjusted by.
const STEP_BACK_MS: u64 = 30_000;
/// A mark further ahead of the clock than any run writes it: one of the two was or is wrong.
const INCREDIBLE_MS: u64 = WINDOW_MS + marks::AHEAD_MS;

type SignatureBytes = [u8; SIGNATURE_BYTES];

/// A keyed digest of a request and of where it came from: equal for the same one from the same peer. Signatures do not bind
/// the structure of a request, so that equal ones do not show the same read; of what may change something, the journal of
/// orders knows the structure.
pub(crate) type Same = u64;

/// Whether an admitted request was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It was not.
    First,
    /// The same one was, from the same peer.
    Again,
}

/// Why a request with a good signature is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// Its signature was seen before, or may have been.
    Seen,
    /// Its nonce is not above the mark that this run began with, or above what had to be forgotten.
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
    /// By the clock of then, and by the steady one.
    opened_ms: u64,
    opened_steady_ms: u64,
    floor: Floor,
    memory: Mutex<Memory>,
    /// The last mark could not be written.
    refusing: AtomicBool,
    writer: Option<Writer>,
}

/// What is known of the runs before this one.
#[derive(Debug)]
enum Floor {
    /// They left no mark: nonces from before the start are refused.
    NoMark,
    /// They left a mark that cannot be read: so are those of the minute after it.
    Unreadable,
    Marks(HighWaterMarks),
}

#[derive(Debug, Default)]
struct Memory {
    closed: bool,
    /// Where the clock stood at most, until a step back of it is said.
    latest_ms: u64,
    keys: HashMap<VirtualKey, Remembered>,
}

/// What was seen of one key.
#[derive(Debug, Default)]
struct Remembered {
    /// With each signature what it was for, and from where; nothing for a login.
    seen: HashMap<SignatureBytes, Option<Same>>,
    by_nonce: BTreeSet<(u64, SignatureBytes)>,
    /// From where to where signatures were forgotten, which the window had passed. Apart from each other by more than a
    /// window: so a time that a wrong clock ran through is not the time before it.
    forgotten: Vec<(u64, u64)>,
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
            return Self::with(Floor::NoMark, clock);
        };
        let floor = read_floor(directory, clock);
        let guard = Self::with(floor, clock);
        // What is no credible mark is not carried on: it would block every later start.
        let carried_on = guard.credible_floor(clock.now_ms()).into_owned();
        let writer = Writer::start(directory, carried_on, signing, clock.clone());
        Self {
            writer: Some(writer),
            ..guard
        }
    }

    fn with(floor: Floor, clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            opened_ms: clock.now_ms(),
            opened_steady_ms: clock.steady_ms(),
            floor,
            memory: Mutex::default(),
            refusing: AtomicBool::new(false),
            writer: None,
        }
    }

    /// Admits a request whose signature was verified and whose nonce is within the window, once; the `same` again and
    /// again, and says so. `same` is nothing for a login.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub async fn admit(
        &self,
        key: &VirtualKey,
        nonce: u64,
        signature: &SignatureBytes,
        same: Option<Same>,
    ) -> Result<Counted, NotAdmitted> {
        if nonce <= self.mark_of_the_last_run(key) {
            return Err(NotAdmitted::BeforeStart);
        }
        let counted = self.remember(key, nonce, signature, same)?;
        let Some(writer) = &self.writer else {
            return Ok(counted);
        };
        let covered = writer.cover(key, nonce).await;
        self.refusing.store(!covered, Ordering::Relaxed);
        if covered {
            Ok(counted)
        } else {
            Err(NotAdmitted::NoMark)
        }
    }

    /// Whether the last signed request was refused because its mark could not be written.
    #[must_use]
    pub fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// For how long requests that are signed now are still refused, because the last run may have admitted their like.
    #[must_use]
    pub fn refused_for_ms(&self) -> u64 {
        let now_ms = self.clock.now_ms();
        self.credible_floor(now_ms).base_ms.saturating_sub(now_ms)
    }

    /// Admits nothing further, and writes the mark as it is, so that a restart refuses nobody for nothing. Returns when
    /// the disk has it, which may be never.
    pub async fn close(&self) {
        let marks = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.closed = true;
            let now_ms = self.clock.now_ms();
            let base = self.credible_floor(now_ms).base_ms.max(now_ms);
            let ahead = memory
                .keys
                .iter()
                .map(|(key, remembered)| (*key, remembered.highest));
            HighWaterMarks {
                base_ms: base,
                ahead: ahead.filter(|(_, highest)| *highest > base).collect(),
            }
        };
        if let Some(writer) = &self.writer {
            writer
                .close(marks.and_not_less_ahead_than(&self.credible_floor(self.clock.now_ms())))
                .await;
        }
    }

    /// Up to where the last run may have admitted requests of this key.
    ///
    /// A clock that was wrong must not lock everybody out until it is right. While the mark is not credible, we take
    /// all that was admitted, and could be replayed while our clock goes forward, to lie below the start's window. If
    /// our clock was the wrong one, the mark counts again as soon as the clock is right.
    fn mark_of_the_last_run(&self, key: &VirtualKey) -> u64 {
        self.credible_floor(self.clock.now_ms()).of(key)
    }

    fn credible_floor(&self, now_ms: u64) -> Cow<'_, HighWaterMarks> {
        let opened_ms = self.opened_by_the_clock_of(now_ms);
        let with_window_ms = opened_ms.saturating_add(WINDOW_MS);
        match &self.floor {
            Floor::NoMark => Cow::Owned(HighWaterMarks::at(opened_ms.saturating_sub(1))),
            Floor::Unreadable => Cow::Owned(HighWaterMarks::at(with_window_ms)),
            Floor::Marks(marks) if is_credible(marks, now_ms) => Cow::Borrowed(marks),
            Floor::Marks(marks) => Cow::Owned(marks.clone().at_most(with_window_ms)),
        }
    }

    /// When this run began, by the clock as it is now.
    fn opened_by_the_clock_of(&self, now_ms: u64) -> u64 {
        let clock = &self.clock;
        let open_for_ms = clock.steady_ms().saturating_sub(self.opened_steady_ms);
        let opened_ms = now_ms.saturating_sub(open_for_ms);
        // Two clocks are never read in one moment.
        if opened_ms.abs_diff(self.opened_ms) < STEP_MS {
            self.opened_ms
        } else {
            opened_ms
        }
    }

    fn remember(
        &self,
        key: &VirtualKey,
        nonce: u64,
        signature: &SignatureBytes,
        same: Option<Same>,
    ) -> Result<Counted, NotAdmitted> {
        let now_ms = self.clock.now_ms();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.closed {
            return Err(NotAdmitted::NoMark);
        }
        memory.follow(now_ms);
        memory
            .keys
            .entry(*key)
            .or_default()
            .admit(nonce, signature, same, now_ms)
    }
}

impl Memory {
    /// Notes where the clock stands, and says once that it stepped back.
    fn follow(&mut self, now_ms: u64) {
        let step_ms = self.latest_ms.saturating_sub(now_ms);
        if step_ms > STEP_BACK_MS {
            tracing::warn!(
                "the clock stepped back by {} s: signed requests are admitted by the clock as it is now; next: check the \
                 host's time service; if callers sign over a network that others can read, rotate them \
                 (crypto-proxy caller rotate), because what they signed for the time ahead may be shown again after a restart",
                step_ms / 1000
            );
            self.latest_ms = now_ms;
        }
        self.latest_ms = self.latest_ms.max(now_ms);
    }
}

impl Remembered {
    fn admit(
        &mut self,
        nonce: u64,
        signature: &SignatureBytes,
        same: Option<Same>,
        now_ms: u64,
    ) -> Result<Counted, NotAdmitted> {
        self.forget(now_ms);
        if let Some(first) = self.seen.get(signature) {
            if same.is_some() && *first == same {
                return Ok(Counted::Again);
            }
            return Err(NotAdmitted::Seen);
        }
        if self.may_have_forgotten(nonce) {
            return Err(NotAdmitted::BeforeStart);
        }
        if self.seen.len() >= REMEMBERED {
            return Err(NotAdmitted::TooMany);
        }
        self.seen.insert(*signature, same);
        self.by_nonce.insert((nonce, *signature));
        self.highest = self.highest.max(nonce);
        Ok(Counted::First)
    }

    /// Forgets what the window has passed, as far as there is not room to keep it.
    fn forget(&mut self, now_ms: u64) {
        while self.seen.len() > KEPT {
            match self.by_nonce.first().copied() {
                Some((nonce, signature)) if nonce.saturating_add(WINDOW_MS) < now_ms => {
                    self.by_nonce.pop_first();
                    self.seen.remove(&signature);
                    // Should the clock step back, what it had passed is within the window again.
                    self.forget_nonce(nonce);
                }
                Some(_) | None => return,
            }
        }
    }

    /// Nonces come here in order, but for those after a step back.
    fn forget_nonce(&mut self, nonce: u64) {
        let full = self.forgotten.len() >= STRETCHES;
        let near = |(from, to): &&mut (u64, u64)| {
            from.saturating_sub(WINDOW_MS) <= nonce && nonce <= to.saturating_add(WINDOW_MS)
        };
        let stretch = match self.forgotten.iter_mut().find(near) {
            Some(near) => Some(near),
            None if full => self.forgotten.last_mut(),
            None => None,
        };
        if let Some((from, to)) = stretch {
            *from = nonce.min(*from);
            *to = nonce.max(*to);
        } else {
            self.forgotten.push((nonce, nonce));
        }
    }

    fn may_have_forgotten(&self, nonce: u64) -> bool {
        self.forgotten
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&nonce))
    }
}

/// Whether a run whose clock was like ours can have written them.
fn is_credible(marks: &HighWaterMarks, now_ms: u64) -> bool {
    marks.highest() <= now_ms.saturating_add(INCREDIBLE_MS)
}

/// The mark that the last run left.
fn read_floor(directory: &Path, clock: &Clock) -> Floor {
    match marks::read(directory) {
        Ok(None) => Floor::NoMark,
        Ok(Some(marks)) => {
            if !is_credible(&marks, clock.now_ms()) {
                tracing::warn!(
                    "the mark of the last run lies more than a minute ahead of the clock, which was or is wrong: \
                     signed requests are refused for up to a minute"
                );
            }
            Floor::Marks(marks)
        }
        Err(error) => {
            tracing::warn!(
                %error,
                "the mark of the last run cannot be read ({}): signed requests are refused for a minute",
                marks::path(directory).display()
            );
            Floor::Unreadable
        }
    }
}
