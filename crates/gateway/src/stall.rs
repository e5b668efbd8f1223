//! Whether the process stood still: frozen, suspended with its machine, or kept from running.
//!
//! Guarantees: what waited through a stall is not taken for something that its caller still wants. What was admitted
//! before it and not sent yet is never sent; what is read shortly after it is known to be possibly old. Time is that of
//! `CLOCK_BOOTTIME`, which goes on while a machine is suspended. Asking costs one reading of that clock (no system call).
//! Does not: know how old bytes are that the kernel kept; it assumes the worst for [`SETTLING`].

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::clock::uptime_ms;

/// From this length on a pause of the process is a stall; callers of the exchange's clients give up after 5 s.
pub const BOUND: Duration = Duration::from_secs(2);
/// What is read within this time after a stall may have waited through it.
pub const SETTLING: Duration = Duration::from_secs(1);
/// How often the watch shows that the process runs.
const EVERY: Duration = Duration::from_millis(100);

/// The watch.
#[derive(Debug, Default)]
pub struct StallWatch {
    /// When the process was last seen running, in milliseconds of the machine's uptime; 0 while nobody watches.
    seen_ms: AtomicU64,
    stalls: AtomicU64,
    last: Mutex<Option<Stall>>,
}

/// A stall that has ended.
#[derive(Clone, Copy, Debug)]
struct Stall {
    length: Duration,
    ended_ms: u64,
}

/// Goes stale when the process stalls after it was taken.
#[derive(Debug)]
pub(crate) struct Fresh {
    watch: Arc<StallWatch>,
    stalls: u64,
}

impl Fresh {
    /// Whether the process has run without a stall since.
    pub(crate) fn is_fresh(&self) -> bool {
        self.watch.observe(uptime_ms());
        self.watch.stalls.load(Ordering::Acquire) == self.stalls
    }
}

impl StallWatch {
    /// Looks every tenth of a second whether the process runs, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        self.seen_ms.store(uptime_ms(), Ordering::Release);
        let ticks = async {
            loop {
                tokio::time::sleep(EVERY).await;
                self.observe(uptime_ms());
            }
        };
        stop.run_until_cancelled(ticks).await;
        // From now on nobody says that the process runs; that is no stall.
        self.seen_ms.store(0, Ordering::Release);
    }

    /// Notes a stall of this length that ends now; for the watch, and for tests.
    pub fn note(&self, length: Duration) {
        self.note_at(length, uptime_ms());
    }

    /// How long the process stood still, where what is read now may have waited for that long.
    #[must_use]
    pub fn may_have_waited(&self) -> Option<Duration> {
        self.may_have_waited_at(uptime_ms())
    }

    /// For a call that is admitted now.
    pub(crate) fn fresh(self: &Arc<Self>) -> Fresh {
        Fresh {
            watch: Arc::clone(self),
            stalls: self.stalls.load(Ordering::Acquire),
        }
    }

    fn may_have_waited_at(&self, now_ms: u64) -> Option<Duration> {
        // A call may be the first to run after a stall, before the watch is.
        self.observe(now_ms);
        if self.stalls.load(Ordering::Acquire) == 0 {
            return None;
        }
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |ended_ms: u64| Duration::from_millis(now_ms.saturating_sub(ended_ms));
        last.filter(|stall| since(stall.ended_ms) < SETTLING)
            .map(|stall| stall.length)
    }

    fn observe(&self, now_ms: u64) {
        let seen_ms = self.seen_ms.load(Ordering::Acquire);
        if seen_ms == 0 {
            return;
        }
        let before = self.seen_ms.fetch_max(now_ms, Ordering::AcqRel);
        let gap = Duration::from_millis(now_ms.saturating_sub(before));
        if gap >= BOUND {
            self.note_at(gap, now_ms);
        }
    }

    fn note_at(&self, length: Duration, ended_ms: u64) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Stall { length, ended_ms });
        self.stalls.fetch_add(1, Ordering::AcqRel);
        tracing::warn!(
            "event=stall length_s={:.1} the proxy was not running; calls that waited for it and may change something \
             are refused for {} s, but for cancellations",
            length.as_secs_f64(),
            SETTLING.as_secs()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000;

    fn ms(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).unwrap()
    }

    fn watching() -> Arc<StallWatch> {
        let watch = StallWatch::default();
        watch.seen_ms.store(START, Ordering::Relaxed);
        Arc::new(watch)
    }

    #[test]
    fn a_gap_beyond_the_bound_is_a_stall_for_the_time_of_settling() {
        let watch = watching();
        let mut now = START;
        for _ in 0..50 {
            now += ms(BOUND) - 1;
            assert_eq!(watch.may_have_waited_at(now), None);
        }
        now += 20_000;
        let length = Some(Duration::from_secs(20));
        assert_eq!(
            watch.may_have_waited_at(now),
            length,
            "seen by a call before the watch runs"
        );
        assert_eq!(watch.may_have_waited_at(now + ms(SETTLING) - 1), length);
        assert_eq!(watch.may_have_waited_at(now + ms(SETTLING)), None);
    }

    #[test]
    fn what_was_admitted_before_a_stall_is_stale_after_it_for_ever() {
        let watch = Arc::new(StallWatch::default());
        let before = watch.fresh();
        assert!(before.is_fresh());
        watch.note(BOUND);
        assert!(!before.is_fresh());
        assert!(watch.fresh().is_fresh());
    }

    #[test]
    fn without_a_watch_there_is_no_stall() {
        let watch = StallWatch::default();
        assert_eq!(watch.may_have_waited_at(START), None);
        assert_eq!(watch.may_have_waited_at(START + 100_000), None);
    }

    #[test]
    fn the_clock_goes_forward() {
        let before = uptime_ms();
        assert!(before > 0 && uptime_ms() >= before);
    }
}
