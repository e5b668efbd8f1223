//! Replays within a run, across runs, and with a disk that does not take the mark.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::*;

const NOW: u64 = 1_700_000_000_000;

fn key(generation: u32) -> VirtualKey {
    VirtualKey::parse(&format!("cpvk_000102030405060708090a0b_{generation}")).unwrap()
}

struct Setup {
    cell: Arc<AtomicU64>,
    steady: Arc<AtomicU64>,
    clock: Clock,
    directory: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let (cell, steady) = (Arc::new(AtomicU64::new(NOW)), Arc::new(AtomicU64::new(0)));
        Self {
            clock: Clock::stepped_by(Arc::clone(&cell), Arc::clone(&steady)),
            cell,
            steady,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Time passes, or the clock is put right: nobody can tell from the clock alone.
    fn at(&self, ms: u64) -> &Self {
        let before = self.cell.swap(ms, Ordering::Relaxed);
        self.steady
            .fetch_add(ms.saturating_sub(before), Ordering::Relaxed);
        self
    }

    /// The clock is put right, or wrong, while this much time passes.
    fn step(&self, to_ms: u64, passed_ms: u64) {
        self.cell.store(to_ms, Ordering::Relaxed);
        self.steady.fetch_add(passed_ms, Ordering::Relaxed);
    }

    fn open(&self) -> ReplayGuard {
        ReplayGuard::open(Some(self.directory.path()), true, &self.clock)
    }

    fn without_disk(&self) -> ReplayGuard {
        ReplayGuard::open(None, true, &self.clock)
    }
}

async fn admit(guard: &ReplayGuard, nonce: u64, signature: u8) -> Result<Counted, NotAdmitted> {
    guard.admit(&key(1), nonce, &[signature; 32], None).await
}

#[tokio::test]
async fn a_signature_counts_once_whatever_its_nonce_says_and_nonces_may_come_in_any_order() {
    let setup = Setup::new();
    let guard = setup.without_disk();
    for (nonce, signature) in [(NOW + 9, 1), (NOW + 2, 2), (NOW + 9, 3), (NOW + 5, 4)] {
        assert_eq!(admit(&guard, nonce, signature).await, Ok(Counted::First));
    }
    // The signature is not injective: the same bytes may fit a request that is cut in other places.
    for (nonce, signature) in [(NOW + 9, 1), (NOW + 2, 2), (NOW + 7, 3)] {
        assert_eq!(
            admit(&guard, nonce, signature).await,
            Err(NotAdmitted::Seen)
        );
    }
    assert_eq!(
        guard.admit(&key(2), NOW + 9, &[1; 32], None).await,
        Ok(Counted::First),
        "another key"
    );
}

#[tokio::test]
async fn the_same_read_counts_again_within_its_window_and_nothing_else_of_that_signature() {
    let setup = Setup::new();
    let guard = setup.without_disk();
    let again = async |read| guard.admit(&key(1), NOW + 1, &[1; 32], read).await;
    for counted in [Counted::First, Counted::Again, Counted::Again] {
        assert_eq!(again(Some(7)).await, Ok(counted));
    }
    assert_eq!(again(Some(8)).await, Err(NotAdmitted::Seen), "another read");
    assert_eq!(again(None).await, Err(NotAdmitted::Seen), "a change");
    assert_eq!(again(Some(7)).await, Ok(Counted::Again));
    for read in [None, Some(7)] {
        let changed = guard.admit(&key(1), NOW + 1, &[2; 32], read).await;
        let expected = read.map_or(Ok(Counted::First), |_| Err(NotAdmitted::Seen));
        assert_eq!(changed, expected, "a read after a change");
    }
    guard.close().await;
    assert_eq!(
        again(Some(7)).await,
        Err(NotAdmitted::NoMark),
        "after the end"
    );
}

#[tokio::test]
async fn without_a_mark_nonces_from_before_the_start_are_refused() {
    let setup = Setup::new();
    let guard = setup.without_disk();
    assert_eq!(
        admit(&guard, NOW - 1, 1).await,
        Err(NotAdmitted::BeforeStart)
    );
    assert_eq!(admit(&guard, NOW, 1).await, Ok(Counted::First));
    let guard = setup.open();
    assert_eq!(
        admit(&guard, NOW - 1, 1).await,
        Err(NotAdmitted::BeforeStart)
    );
    assert_eq!(admit(&guard, NOW, 1).await, Ok(Counted::First));
}

/// Admits this many of key 1, all with one nonce.
async fn fill(guard: &ReplayGuard, nonce: u64, count: usize) {
    for number in 0..u64::try_from(count).unwrap() {
        let mut signature = [0; 32];
        signature[..8].copy_from_slice(&number.to_be_bytes());
        signature[8..16].copy_from_slice(&nonce.to_be_bytes());
        assert_eq!(
            guard.admit(&key(1), nonce, &signature, None).await,
            Ok(Counted::First)
        );
    }
}

#[tokio::test]
async fn a_clock_that_steps_back_refuses_what_was_seen_and_nobody_else() {
    let setup = Setup::new();
    let guard = setup.without_disk();
    assert_eq!(admit(&guard, NOW + 600_000, 1).await, Ok(Counted::First));
    setup.at(NOW + 5);
    assert_eq!(admit(&guard, NOW + 1, 2).await, Ok(Counted::First));
    setup.at(NOW + 900_000);
    assert_eq!(admit(&guard, NOW + 900_000, 3).await, Ok(Counted::First));
    setup.at(NOW + 600_000);
    assert_eq!(
        admit(&guard, NOW + 600_000, 1).await,
        Err(NotAdmitted::Seen)
    );
}

#[tokio::test]
async fn what_the_window_has_passed_makes_room_and_stays_refused_by_its_nonce() {
    let setup = Setup::new();
    let guard = setup.without_disk();
    fill(&guard, NOW + 1, KEPT + 1).await;
    setup.at(NOW + 1 + WINDOW_MS);
    assert_eq!(admit(&guard, NOW + WINDOW_MS, 1).await, Ok(Counted::First));
    let remembered = || guard.memory.lock().unwrap().keys[&key(1)].seen.len();
    assert_eq!(remembered(), KEPT + 2, "still within the window");
    setup.at(NOW + 2 + WINDOW_MS);
    assert_eq!(admit(&guard, NOW + WINDOW_MS, 2).await, Ok(Counted::First));
    assert_eq!(remembered(), KEPT + 1);
    setup.at(NOW + 5);
    assert_eq!(
        admit(&guard, NOW + 1, 3).await,
        Err(NotAdmitted::BeforeStart),
        "its like may have been forgotten"
    );
    assert_eq!(admit(&guard, NOW + 2, 4).await, Ok(Counted::First));
}

#[tokio::test]
async fn a_full_memory_refuses_rather_than_forgets() {
    let setup = Setup::new();
    let guard = setup.without_disk();
    fill(&guard, NOW + 1, REMEMBERED - 1).await;
    assert_eq!(admit(&guard, NOW + 1, 6).await, Ok(Counted::First));
    assert_eq!(admit(&guard, NOW + 1, 7).await, Err(NotAdmitted::TooMany));
    assert_eq!(admit(&guard, NOW + 1, 6).await, Err(NotAdmitted::Seen));
    assert_eq!(
        guard.admit(&key(2), NOW + 1, &[7; 32], None).await,
        Ok(Counted::First),
        "another key has its own memory"
    );
    setup.at(NOW + 2 + WINDOW_MS);
    assert_eq!(
        admit(&guard, NOW + 2 + WINDOW_MS, 7).await,
        Ok(Counted::First)
    );
}

#[tokio::test]
async fn after_a_crash_every_nonce_that_may_have_been_admitted_is_refused() {
    let setup = Setup::new();
    let guard = setup.open();
    // A client whose clock runs ahead, and one whose does not.
    assert_eq!(admit(&guard, NOW + 50_000, 1).await, Ok(Counted::First));
    assert_eq!(
        guard.admit(&key(2), NOW + 1, &[2; 32], None).await,
        Ok(Counted::First)
    );
    std::mem::forget(guard);
    let guard = setup.at(NOW + 100).open();
    assert_eq!(
        admit(&guard, NOW + 50_000, 1).await,
        Err(NotAdmitted::BeforeStart)
    );
    assert_eq!(
        guard.admit(&key(2), NOW + 1, &[2; 32], None).await,
        Err(NotAdmitted::BeforeStart)
    );
    // For the few seconds that were written ahead, and for the key that was ahead alone: a key of its own.
    assert_eq!(
        guard.admit(&key(2), NOW + 100, &[3; 32], None).await,
        Err(NotAdmitted::BeforeStart)
    );
    assert_eq!(
        guard.admit(&key(2), NOW + 6_101, &[3; 32], None).await,
        Ok(Counted::First)
    );
    assert_eq!(
        admit(&guard, NOW + 56_000, 3).await,
        Err(NotAdmitted::BeforeStart)
    );
    assert_eq!(admit(&guard, NOW + 56_001, 3).await, Ok(Counted::First));
}

#[tokio::test]
async fn after_an_orderly_end_nobody_is_refused_for_what_was_written_ahead() {
    let setup = Setup::new();
    let guard = setup.open();
    assert_eq!(admit(&guard, NOW + 1, 1).await, Ok(Counted::First));
    assert_eq!(
        guard.admit(&key(2), NOW + 40_000, &[2; 32], None).await,
        Ok(Counted::First)
    );
    setup.at(NOW + 1000);
    guard.close().await;
    assert_eq!(
        admit(&guard, NOW + 1000, 4).await,
        Err(NotAdmitted::NoMark),
        "nothing after the last mark"
    );
    let guard = setup.open();
    assert_eq!(
        admit(&guard, NOW + 1, 1).await,
        Err(NotAdmitted::BeforeStart)
    );
    assert_eq!(
        guard.admit(&key(2), NOW + 40_000, &[2; 32], None).await,
        Err(NotAdmitted::BeforeStart)
    );
    assert_eq!(admit(&guard, NOW + 1001, 3).await, Ok(Counted::First));
    assert_eq!(
        guard.admit(&key(2), NOW + 40_001, &[3; 32], None).await,
        Ok(Counted::First)
    );
}

#[tokio::test]
async fn a_disk_that_takes_no_mark_closes_the_door_for_signed_requests() {
    let setup = Setup::new();
    fs::remove_dir_all(setup.directory.path()).unwrap();
    let guard = setup.open();
    assert_eq!(admit(&guard, NOW + 1, 1).await, Err(NotAdmitted::NoMark));
    fs::create_dir(setup.directory.path()).unwrap();
    assert_eq!(admit(&guard, NOW + 2, 2).await, Ok(Counted::First));
    assert_eq!(
        admit(&guard, NOW + 1, 1).await,
        Err(NotAdmitted::Seen),
        "what was refused is not admitted later"
    );
}

#[tokio::test]
async fn a_mark_that_cannot_be_read_or_lies_far_ahead_refuses_for_a_minute_and_not_for_ever() {
    let setup = Setup::new();
    fs::write(marks::path(setup.directory.path()), "nonsense").unwrap();
    let guard = setup.open();
    assert_eq!(
        admit(&guard, NOW + WINDOW_MS, 1).await,
        Err(NotAdmitted::BeforeStart)
    );
    setup.at(NOW + 1000);
    assert_eq!(
        admit(&guard, NOW + WINDOW_MS + 1, 1).await,
        Ok(Counted::First)
    );
    drop(guard);
    let setup = Setup::new();
    marks::write(setup.directory.path(), &HighWaterMarks::at(NOW * 2)).unwrap();
    let guard = setup.open();
    assert_eq!(
        admit(&guard, NOW + WINDOW_MS, 1).await,
        Err(NotAdmitted::BeforeStart)
    );
    assert_eq!(
        admit(&guard, NOW + WINDOW_MS + 1, 1).await,
        Ok(Counted::First)
    );
    guard.close().await;
    let kept = marks::read(setup.directory.path()).unwrap().unwrap();
    assert!(
        kept.base_ms < NOW * 2,
        "it does not stand in the way of the next start"
    );
}

#[tokio::test]
async fn a_start_with_a_fast_clock_locks_nobody_out_once_the_clock_is_right() {
    const FAST_MS: u64 = 3_600_000;
    const WHILE_FAST: u64 = 90_000;
    type Before = fn(&Setup);
    let cases: [(&str, bool, Before); 4] = [
        ("no state directory", false, |_| {}),
        ("a first start", true, |_| {}),
        ("a start before, as fast", true, |setup| {
            let marks = HighWaterMarks::at(NOW + FAST_MS);
            marks::write(setup.directory.path(), &marks).unwrap();
        }),
        ("marks that cannot be read", true, |setup| {
            fs::write(marks::path(setup.directory.path()), "nonsense").unwrap();
        }),
    ];
    for (case, with_directory, before) in cases {
        let setup = Setup::new();
        before(&setup);
        setup.at(NOW + FAST_MS);
        let guard = if with_directory {
            setup.open()
        } else {
            setup.without_disk()
        };
        setup.at(NOW + FAST_MS + WHILE_FAST);
        let captured = NOW + FAST_MS + WHILE_FAST;
        assert_eq!(
            admit(&guard, captured, 1).await,
            Ok(Counted::First),
            "{case}"
        );
        setup.step(NOW + WHILE_FAST, 0);
        assert_eq!(
            admit(&guard, NOW + WHILE_FAST, 2).await,
            Ok(Counted::First),
            "{case}: the clock is right"
        );
        assert_eq!(guard.refused_for_ms(), 0, "{case}");
        assert_eq!(
            admit(&guard, NOW - 1, 3).await,
            Err(NotAdmitted::BeforeStart),
            "{case}: before the start by the clock that is right"
        );
        setup.at(captured);
        assert_eq!(
            admit(&guard, captured, 1).await,
            Err(NotAdmitted::Seen),
            "{case}: the hour in which it was captured comes"
        );
        // A crash: what was admitted with the right clock is not admitted again either.
        std::mem::forget(guard);
        if with_directory {
            let guard = setup.at(captured + 1000).open();
            for (nonce, signature) in [(captured, 1), (NOW + WHILE_FAST, 2)] {
                assert_eq!(
                    admit(&guard, nonce, signature).await,
                    Err(NotAdmitted::BeforeStart),
                    "{case}"
                );
            }
        }
    }
}

#[tokio::test]
async fn signatures_that_a_fast_clock_forgot_lock_their_own_time_and_not_all_before_it() {
    const FAST_MS: u64 = 3_600_000;
    let setup = Setup::new();
    setup.at(NOW + FAST_MS);
    let guard = setup.without_disk();
    let forgotten = NOW + FAST_MS + 1;
    fill(&guard, forgotten, KEPT + 1).await;
    setup.at(forgotten + 1 + WINDOW_MS);
    assert_eq!(
        admit(&guard, forgotten + WINDOW_MS, 1).await,
        Ok(Counted::First)
    );
    setup.step(NOW + 2 + WINDOW_MS, 0);
    assert_eq!(
        admit(&guard, NOW + 2 + WINDOW_MS, 2).await,
        Ok(Counted::First)
    );
    setup.at(forgotten);
    assert_eq!(
        admit(&guard, forgotten, 3).await,
        Err(NotAdmitted::BeforeStart),
        "its like was forgotten"
    );
}

#[tokio::test]
async fn a_start_behind_its_mark_says_for_how_long_signed_requests_are_refused() {
    let setup = Setup::new();
    marks::write(setup.directory.path(), &HighWaterMarks::at(NOW + 6000)).unwrap();
    let guard = setup.open();
    assert_eq!(guard.refused_for_ms(), 6000);
    setup.at(NOW + 6000);
    assert_eq!(guard.refused_for_ms(), 0);
    let setup = Setup::new();
    marks::write(setup.directory.path(), &HighWaterMarks::at(NOW * 2)).unwrap();
    assert_eq!(setup.open().refused_for_ms(), WINDOW_MS);
}

#[tokio::test]
async fn a_mark_counts_once_the_clock_of_a_machine_that_began_in_the_past_is_right() {
    let setup = Setup::new();
    marks::write(setup.directory.path(), &HighWaterMarks::at(NOW + 6000)).unwrap();
    let guard = setup.at(1000).open();
    assert_eq!(admit(&guard, 1000, 1).await, Err(NotAdmitted::BeforeStart));
    setup.at(NOW + 2000);
    assert_eq!(
        admit(&guard, NOW + 1, 2).await,
        Err(NotAdmitted::BeforeStart),
        "captured before the power went"
    );
    assert_eq!(admit(&guard, NOW + 6001, 3).await, Ok(Counted::First));
}

#[tokio::test]
async fn without_virtual_keys_nothing_is_written() {
    let setup = Setup::new();
    let guard = ReplayGuard::open(Some(setup.directory.path()), false, &setup.clock);
    assert_eq!(guard.memory.lock().unwrap().keys.len(), 0);
    assert_eq!(
        guard.writer.as_ref().unwrap().marks(),
        HighWaterMarks::default()
    );
    guard.close().await;
    assert_eq!(fs::read_dir(setup.directory.path()).unwrap().count(), 0);
    let guard = ReplayGuard::open(Some(setup.directory.path()), false, &setup.clock);
    assert_eq!(admit(&guard, NOW + 1, 1).await, Ok(Counted::First));
    assert_eq!(fs::read_dir(setup.directory.path()).unwrap().count(), 1);
}
