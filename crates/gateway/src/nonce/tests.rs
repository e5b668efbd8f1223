//! The sequence alone: steps of the clock, threads, turns and leads.

use std::{collections::HashSet, thread};

use super::*;

/// A moment that a request has room for.
const T: u64 = 1_790_000_000_000;

struct Timed {
    source: Arc<NonceSource>,
    cell: Arc<AtomicU64>,
    clock: Clock,
}

impl Timed {
    fn new() -> Self {
        let cell = Arc::new(AtomicU64::new(T));
        Self {
            source: Arc::default(),
            clock: Clock::set_by(Arc::clone(&cell)),
            cell,
        }
    }

    fn at(&self, ms: u64) -> &Self {
        self.cell.store(ms, Ordering::Relaxed);
        self
    }

    fn shared() -> Self {
        Self {
            source: Arc::new(NonceSource::new(true)),
            ..Self::new()
        }
    }

    fn turn(&self, kind: Effect) -> Result<Turn, Refusal> {
        self.source.turn(&self.clock, kind, &"one".into())
    }

    /// How many calls of this kind a caller sends until one is refused.
    fn sent_by(&self, caller: &str, kind: Effect) -> usize {
        let caller = caller.into();
        let sent = std::iter::from_fn(|| {
            let turn = self.source.turn(&self.clock, kind, &caller).ok()?;
            Some(turn.take())
        });
        sent.take(100_000).count()
    }

    fn next(&self, kind: Effect) -> Option<u64> {
        self.turn(kind).ok().map(Turn::take)
    }

    fn three(&self) -> Vec<u64> {
        (0..3).filter_map(|_| self.next(Effect::Read)).collect()
    }

    /// How many calls of this kind get a turn at once, and are sent.
    fn as_many_as_may(&self, kind: Effect) -> usize {
        std::iter::from_fn(|| self.next(kind)).take(100_000).count()
    }
}

#[test]
fn a_standing_clock_still_gives_increasing_nonces() {
    assert_eq!(Timed::new().three(), [T, T + 1, T + 2]);
}

#[test]
fn a_clock_that_steps_back_a_little_does_not_lower_the_nonce_and_is_nobodys_lead() {
    let timed = Timed::new();
    timed.next(Effect::Read);
    assert_eq!(timed.at(T - 30_000).next(Effect::Read), Some(T + 1));
    assert_eq!(timed.at(T - 15_000).next(Effect::Read), Some(T + 2));
    assert_eq!(timed.at(T + 10).next(Effect::Read), Some(T + 10));
}

#[test]
fn a_clock_that_steps_back_far_restarts_the_sequence() {
    let timed = Timed::new();
    timed.next(Effect::Read);
    let back = T - 60_000;
    assert_eq!(timed.at(back).three(), [back, back + 1, back + 2]);
}

#[test]
fn a_restarted_sequence_skips_what_was_given_away_before() {
    let timed = Timed::new();
    assert_eq!(timed.three(), [T, T + 1, T + 2]);
    timed.at(T - 60_000).next(Effect::Read);
    assert_eq!(timed.at(T).three(), [T + 3, T + 4, T + 5]);
}

#[test]
fn threads_never_share_a_nonce() {
    let timed = Arc::new(Timed::new());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let timed = Arc::clone(&timed);
            thread::spawn(move || {
                let nonces = (0..2000).filter_map(|_| timed.next(Effect::Cancel));
                nonces.collect::<Vec<_>>()
            })
        })
        .collect();
    let all: HashSet<u64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(all.len(), 16_000);
}

#[test]
fn a_turn_that_is_not_used_costs_no_nonce() {
    let timed = Timed::new();
    for _ in 0..100_000 {
        drop(timed.turn(Effect::Read).unwrap());
    }
    assert_eq!(timed.next(Effect::Read), Some(T));
}

#[test]
fn reads_stop_before_orders_and_orders_before_cancels() {
    let timed = Timed::new();
    assert_eq!(timed.as_many_as_may(Effect::Read), 1_001);
    assert_eq!(timed.as_many_as_may(Effect::Change), 9_000);
    assert_eq!(timed.as_many_as_may(Effect::Cancel), 10_000);
    timed.at(T + 500);
    assert_eq!(
        [Effect::Read, Effect::Change, Effect::Cancel].map(|kind| timed.as_many_as_may(kind)),
        [0, 0, 500],
        "the clock makes room"
    );
}

#[test]
fn no_caller_takes_the_lead_away_from_the_others() {
    let timed = Timed::shared();
    let read = |caller| timed.sent_by(caller, Effect::Read);
    assert_eq!(["noisy", "other", "third"].map(read), [335, 222, 148]);
    // However often it calls again.
    for ms in 1..500 {
        timed.at(T + ms).sent_by("noisy", Effect::Read);
        if ms % 10 == 0 {
            let turn = timed
                .source
                .turn(&timed.clock, Effect::Read, &"quiet".into());
            turn.unwrap().take();
        }
    }
    timed.at(T + 20_000);
    assert_eq!(timed.sent_by("noisy", Effect::Change), 501);
    assert_eq!(timed.sent_by("other", Effect::Change), 250);
    assert_eq!(timed.sent_by("other", Effect::Cancel), 83, "and out");
    timed.at(T + 60_000);
    timed.turn(Effect::Read).unwrap();
    assert!(timed.source.lock().held.is_empty());
}

#[test]
fn no_kind_of_calls_of_one_caller_takes_the_lead_of_any_kind_away_from_the_others() {
    for noisy in [Effect::Read, Effect::Change, Effect::Cancel] {
        for quiet in [Effect::Read, Effect::Change, Effect::Cancel] {
            let timed = Timed::shared();
            assert!(timed.sent_by("noisy", noisy) > 100);
            assert!(timed.sent_by("quiet", quiet) > 10, "{noisy:?} {quiet:?}");
        }
    }
    let timed = Timed::shared();
    let all = [Effect::Read, Effect::Change, Effect::Cancel];
    let sent = all.map(|kind| timed.sent_by("one", kind));
    assert!(sent.iter().all(|sent| *sent > 100), "its own: {sent:?}");
}

#[test]
fn turns_that_are_given_out_are_held_by_their_caller_until_they_are_over() {
    let timed = Timed::shared();
    let turns: Vec<_> = std::iter::from_fn(|| timed.turn(Effect::Read).ok()).collect();
    assert_eq!(turns.len(), 335);
    assert_eq!(timed.sent_by("other", Effect::Read), 223);
    drop(turns);
    assert_eq!(timed.at(T + 10_000).sent_by("one", Effect::Read), 335);
}

#[test]
fn a_restart_of_the_sequence_is_nobodys_lead() {
    let timed = Timed::shared();
    timed.sent_by("noisy", Effect::Read);
    assert_eq!(timed.at(T - 60_000).sent_by("noisy", Effect::Read), 335);
}

#[test]
fn turns_that_are_given_out_count_before_they_are_taken() {
    let timed = Timed::new();
    let turns: Vec<Turn> = std::iter::from_fn(|| timed.turn(Effect::Read).ok())
        .take(100_000)
        .collect();
    assert_eq!(turns.len(), 1_001);
    drop(turns);
    assert!(timed.turn(Effect::Read).is_ok());
}

#[test]
fn the_longest_lead_after_the_longest_step_back_is_within_the_exchanges_window() {
    let timed = Timed::new();
    timed.next(Effect::Cancel);
    let back = T - MAX_STEP_BACK_MS;
    timed.at(back);
    timed.as_many_as_may(Effect::Cancel);
    let last = timed.source.lock().last;
    assert!((40_000..60_000).contains(&(last - back)), "{last}");
}

#[test]
fn the_nonce_counts_as_ahead_for_a_while_after_a_refusal() {
    let timed = Timed::new();
    timed.as_many_as_may(Effect::Read);
    assert!(timed.source.is_ahead(&timed.clock));
    timed.at(T + LATELY_MS);
    assert!(!timed.source.is_ahead(&timed.clock));
}

#[test]
fn a_clock_far_off_still_gives_nonces_that_a_request_has_room_for() {
    let timed = Timed::new();
    assert_eq!(timed.at(0).next(Effect::Read), Some(*NONCES.start()));
    timed.at(u64::MAX).as_many_as_may(Effect::Cancel);
    assert!(NONCES.contains(&timed.source.lock().last));
}
