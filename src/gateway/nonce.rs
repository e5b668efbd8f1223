//! The nonce: milliseconds, strictly increasing per key.
//!
//! Guarantees: no two calls get the same nonce, whatever their concurrency and however the clock stands still or steps
//! back by up to 30 s. When the nonce runs further ahead of the clock than that, it restarts from the clock and says
//! so: a nonce outside the exchange's ±60 s window helps nobody. Source: the wire contract; an order without
//! `client_oid` takes the nonce as its name at the exchange (vendor documents), so one is never repeated.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far ahead of the clock the nonce may run, in milliseconds.
const MAX_AHEAD_MS: u64 = 30_000;

/// The nonces of one API key.
#[derive(Debug, Default)]
pub struct NonceSource {
    last: AtomicU64,
}

/// A nonce, and whether the sequence restarted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// Milliseconds since 1970, as signed and sent.
    pub value: u64,
    /// How far the sequence had run ahead of the clock, in milliseconds, if it restarted.
    pub restarted_from_ms_ahead: Option<u64>,
}

impl NonceSource {
    /// The next nonce at clock time `now_ms`.
    pub fn next(&self, now_ms: u64) -> Nonce {
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let nonce = after(last, now_ms);
            match self.last.compare_exchange_weak(last, nonce.value, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return nonce,
                Err(newer) => last = newer,
            }
        }
    }
}

fn after(last: u64, now_ms: u64) -> Nonce {
    let ahead = last.saturating_sub(now_ms);
    if ahead > MAX_AHEAD_MS {
        return Nonce { value: now_ms, restarted_from_ms_ahead: Some(ahead) };
    }
    Nonce { value: now_ms.max(last.saturating_add(1)), restarted_from_ms_ahead: None }
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
        assert_eq!(source.next(90_000), Nonce { value: 100_001, restarted_from_ms_ahead: None });
    }

    #[test]
    fn a_clock_that_steps_back_far_restarts_the_sequence_and_says_so() {
        let source = NonceSource::default();
        source.next(100_000);
        assert_eq!(source.next(40_000), Nonce { value: 40_000, restarted_from_ms_ahead: Some(60_000) });
        assert_eq!(source.next(40_000).value, 40_001);
    }

    #[test]
    fn threads_never_share_a_nonce() {
        let source = Arc::new(NonceSource::default());
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let source = Arc::clone(&source);
                thread::spawn(move || (0..3000).map(|_| source.next(7).value).collect::<Vec<_>>())
            })
            .collect();
        let all: HashSet<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.len(), 24_000);
    }
}
