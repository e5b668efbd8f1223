//! The one place that reads the system's clock.
//!
//! Guarantees: everything that signs or measures takes its time from a [`Clock`], so that tests can step it. Does not:
//! correct the time; a skewed clock is a warning, never an adjustment of the nonce.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

/// A source of wall-clock time.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Set {
        wall: Arc<AtomicU64>,
        steady: Arc<AtomicU64>,
    },
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands where it was set last, in milliseconds since 1970.
    #[must_use]
    pub fn set_by(cell: Arc<AtomicU64>) -> Self {
        Self::stepped_by(Arc::clone(&cell), cell)
    }

    /// The same, where the time that passes is set apart from it: so that the clock can be put right or wrong.
    #[must_use]
    pub const fn stepped_by(wall: Arc<AtomicU64>, steady: Arc<AtomicU64>) -> Self {
        Self(Source::Set { wall, steady })
    }

    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System => system_ms(),
            Source::Set { wall, .. } => wall.load(Ordering::Relaxed),
        }
    }

    /// Milliseconds since some moment, which nobody who puts the clock right changes.
    #[must_use]
    pub fn steady_ms(&self) -> u64 {
        match &self.0 {
            Source::System => uptime_ms(),
            Source::Set { steady, .. } => steady.load(Ordering::Relaxed),
        }
    }
}

/// Milliseconds since the machine started, the time in which it was suspended included.
pub(crate) fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(now.tv_nsec / 1_000_000).unwrap_or(0)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn system_ms() -> u64 {
    // Before 1970 the clock is broken beyond signing; zero makes the exchange say 40102, which is the truth.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        })
}
