//! The nonce: milliseconds, strictly increasing per key.
//!
//! Guarantees: no two calls get the same nonce, whatever their concurrency and however many come in one millisecond. The clock
//! may stand still, or step back by up to 30 s. When it steps back further, the sequence restarts from it and says so, because
//! the exchange refuses a nonce outside its ±60 s window. The last 65,536 nonces are remembered and skipped. More than 1,000
//! calls a second, for longer than the exchange's budgets allow, run ahead of the clock and do not restart. Source: the wire
//! contract. An order without `client_oid` takes the nonce as its name at the exchange (vendor documents), so a nonce is never
//! repeated.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

/// How far the clock may step back before the sequence follows it, in milliseconds.
const MAX_STEP_BACK_MS: u64 = 30_000;
/// Nonces that are remembered, so that a sequence that restarted does not walk over them again.
const REMEMBERED: usize = 1 << 16;

/// The nonces of one API key.
#[derive(Debug, Default)]
pub struct NonceSource(Mutex<Sequence>);

#[derive(Debug, Default)]
struct Sequence {
    last: u64,
    latest_clock: u64,
    recent: VecDeque<u64>,
    /// What was given away before a restart and lies ahead of it.
    burnt: HashSet<u64>,
}

/// A nonce, and whether the sequence restarted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// Milliseconds since 1970, as signed and sent.
    pub value: u64,
    /// How far the clock had stepped back, in milliseconds, if the sequence restarted.
    pub restarted_after_step_ms: Option<u64>,
}

impl NonceSource {
    /// The next nonce at clock time `now_ms`.
    pub fn next(&self, now_ms: u64) -> Nonce {
        let mut sequence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let step = sequence.latest_clock.saturating_sub(now_ms);
        let mut restarted_after_step_ms = None;
        if step > MAX_STEP_BACK_MS {
            sequence.restart(now_ms);
            restarted_after_step_ms = Some(step);
        }
        sequence.latest_clock = sequence.latest_clock.max(now_ms);
        let value = sequence.take(now_ms);
        Nonce {
            value,
            restarted_after_step_ms,
        }
    }
}

impl Sequence {
    fn restart(&mut self, now_ms: u64) {
        self.burnt = self
            .recent
            .iter()
            .copied()
            .filter(|nonce| *nonce >= now_ms)
            .collect();
        self.last = 0;
        self.latest_clock = now_ms;
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
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc, thread};

    use super::*;

    #[test]
    fn a_standing_clock_still_gives_increasing_nonces() {
        let source = NonceSource::default();
        let values: Vec<u64> = (0..4).map(|_| source.next(1000).value).collect();
        assert_eq!(values, [1000, 1001, 1002, 1003]);
    }

    #[test]
    fn a_clock_that_steps_back_a_little_does_not_lower_the_nonce() {
        let source = NonceSource::default();
        source.next(100_000);
        assert_eq!(
            source.next(90_000),
            Nonce {
                value: 100_001,
                restarted_after_step_ms: None
            }
        );
    }

    #[test]
    fn a_clock_that_steps_back_far_restarts_the_sequence_and_says_so() {
        let source = NonceSource::default();
        source.next(100_000);
        assert_eq!(
            source.next(40_000),
            Nonce {
                value: 40_000,
                restarted_after_step_ms: Some(60_000)
            }
        );
        assert_eq!(source.next(40_000).value, 40_001);
    }

    #[test]
    fn a_restarted_sequence_skips_what_was_given_away_before() {
        let source = NonceSource::default();
        let before: Vec<u64> = (0..3).map(|_| source.next(100_000).value).collect();
        source.next(40_000);
        let after: Vec<u64> = (0..3).map(|_| source.next(100_000).value).collect();
        assert_eq!(
            (before, after),
            (
                vec![100_000, 100_001, 100_002],
                vec![100_003, 100_004, 100_005]
            )
        );
    }

    #[test]
    fn threads_never_share_a_nonce() {
        let source = Arc::new(NonceSource::default());
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let source = Arc::clone(&source);
                thread::spawn(move || (0..5000).map(|_| source.next(7).value).collect::<Vec<_>>())
            })
            .collect();
        let all: HashSet<u64> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(all.len(), 40_000);
    }
}
