//! The nonce: milliseconds, strictly increasing per key, never far ahead of the clock.
//!
//! Guarantees: no two calls get the same nonce, whatever their concurrency and however many come in one millisecond. A
//! number is taken when a connection takes the call, so a call that is not sent costs none. Every call needs a [`Turn`]
//! before that: no turns are given out beyond the lead that its kind may have, so reads stop before orders, and orders
//! before cancels. Of several callers each leaves so much of the reads' lead free that the others' calls of every kind go
//! on, whatever its own do: twice what it holds for a read, as much for what changes something, and half for a cancel.
//! The clock may stand still, or step back by up to 30 s. When it steps back further, the sequence restarts from it and
//! says so, because the exchange refuses a nonce outside its ±60 s window. The last 65,536 nonces are remembered and
//! skipped. Source: the wire contract. An order without `client_oid` may take the nonce as its name at the exchange
//! (the vendor's documents contradict each other), so a nonce is never repeated.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{clock::Clock, failure::Refusal, record::TARGET};
use protocol::{call::Effect, wire::NONCES};

/// How far the clock may step back before the sequence follows it, in milliseconds.
const MAX_STEP_BACK_MS: u64 = 30_000;
/// Nonces that are remembered, so that a sequence that restarted does not walk over them again.
const REMEMBERED: usize = 1 << 16;
/// The leads of reads, of what changes something and of cancels, in milliseconds. The longest and the longest step back
/// stay within the exchange's 60 s together. A second is a thousand calls at once, above all that the exchange allows.
const MAX_LEAD_MS: [u64; 3] = [1_000, 10_000, 20_000];
/// From this lead on it is counted who calls; one of several callers alone comes to twice as much.
const COUNTED_FROM_MS: u64 = 250;
/// A line about refusals is repeated after this time, if there are any still.
const LINE_EVERY_MS: u64 = 60_000;
/// For so long after a refusal the nonce counts as ahead of the clock.
const LATELY_MS: u64 = 10_000;

/// The word of the log for the calls that are refused.
const fn words(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "reads",
        Effect::Change => "orders",
        Effect::Cancel => "cancels",
    }
}

/// The nonces of one API key.
#[derive(Debug, Default)]
pub(crate) struct NonceSource {
    /// Whether several callers share it.
    shared: bool,
    sequence: Mutex<Sequence>,
    /// Turns that are given out and not over.
    waiting: AtomicU64,
}

#[derive(Debug, Default)]
struct Sequence {
    last: u64,
    latest_clock: u64,
    /// How far the clock stepped back, until it is where it was: no call is to blame for this lead.
    stepped_back_ms: u64,
    recent: VecDeque<u64>,
    /// What was given away before a restart and lies ahead of it.
    burnt: HashSet<u64>,
    /// What was given away ahead of the clock, and to whom.
    lead: VecDeque<(u64, Arc<str>)>,
    /// How much of the lead each caller has, with its turns that came while there was one.
    held: HashMap<Arc<str>, u64>,
    /// Calls by caller, since the lead has been worth counting.
    callers: HashMap<Arc<str>, u64>,
    refused_ms: Option<u64>,
    /// When a line said it last, by kind.
    said_ms: [Option<u64>; 3],
}

/// The right of one call to a nonce, which it takes when it is sent, or never.
#[derive(Debug)]
pub struct Turn {
    nonces: Arc<NonceSource>,
    clock: Clock,
    /// Whose it is, where several share the nonces: nobody counts what the only one holds.
    caller: Option<Arc<str>>,
    /// Whether it is among what its caller holds.
    is_held: bool,
}

impl Turn {
    /// The nonce.
    pub(crate) fn take(mut self) -> u64 {
        let now_ms = now_ms(&self.clock);
        let mut sequence = self.nonces.lock();
        sequence.follow(now_ms);
        let nonce = sequence.take(now_ms);
        if let Some(caller) = self.caller.take() {
            if nonce > now_ms {
                if !self.is_held {
                    sequence.hold(&caller);
                }
                sequence.lead.push_back((nonce, caller));
            } else if self.is_held {
                sequence.let_go(&caller);
            }
        }
        drop(sequence);
        nonce
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.nonces.waiting.fetch_sub(1, Ordering::AcqRel);
        if let Some(caller) = self.caller.take()
            && self.is_held
        {
            self.nonces.lock().let_go(&caller);
        }
    }
}

impl NonceSource {
    /// For one caller, or for several.
    pub(crate) fn new(shared: bool) -> Self {
        Self {
            shared,
            ..Self::default()
        }
    }

    /// A turn for a call of this kind and caller.
    ///
    /// # Errors
    /// [`Refusal::NonceAhead`] where the nonce, once all who have a turn are sent, would be too far ahead of the clock.
    pub(crate) fn turn(
        self: &Arc<Self>,
        clock: &Clock,
        effect: Effect,
        caller: &Arc<str>,
    ) -> Result<Turn, Refusal> {
        let now_ms = now_ms(clock);
        let mut sequence = self.lock();
        sequence.follow(now_ms);
        let next = sequence.last.saturating_add(1).max(now_ms);
        let ahead_ms = next - now_ms + self.waiting.load(Ordering::Acquire);
        sequence.count(ahead_ms, caller);
        let [reads, changes, cancels] = MAX_LEAD_MS;
        let bound = match effect {
            Effect::Read => reads,
            Effect::Change => changes,
            Effect::Cancel => cancels,
        };
        sequence.forget_what_is_past(now_ms);
        let own = sequence.held.get(caller).copied().unwrap_or(0);
        let free_for_reads = (reads + sequence.stepped_back_ms).saturating_sub(ahead_ms);
        // All calls share one sequence: what is ahead for one kind is ahead for each.
        let is_fair = match effect {
            _ if !self.shared || own == 0 => true,
            Effect::Read => 2 * own <= free_for_reads,
            Effect::Change => own <= free_for_reads,
            Effect::Cancel => own <= 2 * free_for_reads,
        };
        if !is_fair || ahead_ms > bound + sequence.stepped_back_ms {
            sequence.refuse(effect, now_ms, ahead_ms);
            return Err(Refusal::NonceAhead { ahead_ms });
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let is_held = self.shared && ahead_ms > 0;
        if is_held {
            sequence.hold(caller);
        }
        drop(sequence);
        Ok(Turn {
            nonces: Arc::clone(self),
            clock: clock.clone(),
            caller: self.shared.then(|| Arc::clone(caller)),
            is_held,
        })
    }

    /// Whether calls were refused lately because the nonce was ahead of the clock.
    pub(crate) fn is_ahead(&self, clock: &Clock) -> bool {
        let now_ms = now_ms(clock);
        let refused_ms = self.lock().refused_ms;
        refused_ms.is_some_and(|then| now_ms.saturating_sub(then) < LATELY_MS)
    }

    fn lock(&self) -> MutexGuard<'_, Sequence> {
        self.sequence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock, as far as a request has room for it. One that is further off is refused by the exchange whatever it says.
fn now_ms(clock: &Clock) -> u64 {
    /// More than any lead, so that no nonce is too long.
    const ROOM_MS: u64 = 1_000_000;
    clock
        .now_ms()
        .clamp(*NONCES.start(), *NONCES.end() - ROOM_MS)
}

impl Sequence {
    /// Notes where the clock stands, and follows it where it stepped back far.
    fn follow(&mut self, now_ms: u64) {
        let step_ms = self.latest_clock.saturating_sub(now_ms);
        if step_ms > MAX_STEP_BACK_MS {
            self.restart(now_ms);
            tracing::warn!(
                step_ms,
                "the clock stepped back: the nonce restarts from the clock; check the host's time service"
            );
        }
        self.latest_clock = self.latest_clock.max(now_ms);
        self.stepped_back_ms = if now_ms < self.latest_clock {
            self.stepped_back_ms.max(step_ms)
        } else {
            0
        };
    }

    fn restart(&mut self, now_ms: u64) {
        self.burnt = self
            .recent
            .iter()
            .copied()
            .filter(|nonce| *nonce >= now_ms)
            .collect();
        for (_, caller) in std::mem::take(&mut self.lead) {
            self.let_go(&caller);
        }
        self.last = 0;
        self.latest_clock = now_ms;
        self.refused_ms = None;
        self.said_ms = [None; 3];
    }

    fn take(&mut self, now_ms: u64) -> u64 {
        let mut value = now_ms.max(self.last.saturating_add(1));
        while self.burnt.remove(&value) {
            value += 1;
        }
        self.last = value;
        if self.recent.len() >= REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
        value
    }

    fn hold(&mut self, caller: &Arc<str>) {
        *self.held.entry(Arc::clone(caller)).or_default() += 1;
    }

    fn let_go(&mut self, caller: &str) {
        if let Some(held) = self.held.get_mut(caller) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(caller);
            }
        }
    }

    /// What the clock has come to is nobody's lead any more.
    fn forget_what_is_past(&mut self, now_ms: u64) {
        while self.lead.front().is_some_and(|(nonce, _)| *nonce <= now_ms) {
            if let Some((_, caller)) = self.lead.pop_front() {
                self.let_go(&caller);
            }
        }
    }

    /// Counts whose calls come while the nonce is ahead.
    fn count(&mut self, ahead_ms: u64, caller: &Arc<str>) {
        if ahead_ms < COUNTED_FROM_MS {
            if !self.callers.is_empty() {
                self.callers.clear();
            }
        } else if let Some(calls) = self.callers.get_mut(caller) {
            *calls += 1;
        } else {
            self.callers.insert(Arc::clone(caller), 1);
        }
    }

    /// Notes a refusal; one line for each kind at the first, and after a while.
    fn refuse(&mut self, effect: Effect, now_ms: u64, ahead_ms: u64) {
        self.refused_ms = Some(now_ms);
        let [reads, changes, cancels] = &mut self.said_ms;
        let said_ms = match effect {
            Effect::Read => reads,
            Effect::Change => changes,
            Effect::Cancel => cancels,
        };
        if said_ms.is_some_and(|then| now_ms.saturating_sub(then) < LINE_EVERY_MS) {
            return;
        }
        *said_ms = Some(now_ms);
        let most = self.callers.iter().max_by_key(|(_, calls)| **calls);
        let (caller, calls) = most.map_or(("none", 0), |(caller, calls)| (&**caller, *calls));
        let refused = words(effect);
        tracing::event!(
            target: TARGET,
            tracing::Level::WARN,
            "CRYPTO_EVENT" = "nonce",
            "CRYPTO_CALLER" = caller,
            "{} event=nonce ahead_ms={ahead_ms} refused={refused} caller={caller} calls={calls}: more than 1,000 calls a \
             second, and a nonce is a millisecond; {refused} are refused until the clock has caught up; next: slow this caller, \
             which makes most calls",
            crate::record::CALL_TAG,
        );
    }
}

#[cfg(test)]
mod tests;
