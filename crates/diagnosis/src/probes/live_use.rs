//! Whether the live programs are using the one method whose budget is too small to share.
//!
//! The exchange allows `private/get-order-history` once per second and key, and that call belongs to the backend.
//! Guarantees: noting costs one comparison and one store in the path of a call; a probe that would stand in a live
//! call's way is not made, and its finding says so. Does not: see calls that are still under way, or reserve anything: a
//! program that asks for the first time in the very second of the probe may get a 42901.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::Probe;
use gateway::record::Reader;

/// Programs ask for it every few seconds, or not at all: who asked within this time will soon ask again.
const LATELY: Duration = Duration::from_secs(10);

/// When a live call of that method last ended. One that nobody notes anything on never stands in the way.
#[derive(Debug)]
pub struct LiveUse {
    began: Instant,
    /// Milliseconds from `began`, and one; 0: never.
    last: AtomicU64,
}

impl Default for LiveUse {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl LiveUse {
    /// Reads along with the records.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> Reader {
        let live = Arc::clone(self);
        Box::new(move |report| {
            if report.method.as_deref() == Probe::OrderHistory.method() {
                live.last.store(live.now_ms() + 1, Ordering::Relaxed);
            }
        })
    }

    /// Why this probe is not to be made now, if so.
    pub(super) fn forbids(&self, probe: Probe) -> Option<&'static str> {
        let last = self.last.load(Ordering::Relaxed);
        let lately = last > 0 && self.now_ms().saturating_sub(last - 1) < millis(LATELY);
        let reason = "a program called it in the last 10 s, and once per second is all that the key may; its record tells";
        (lately && probe == Probe::OrderHistory).then_some(reason)
    }

    fn now_ms(&self) -> u64 {
        millis(self.began.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
