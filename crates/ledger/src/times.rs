//! The times that the journal counts by, together, so that tests can step them and start the machine anew.

use std::{fmt, fs, time::Duration};

use gateway::clock::Clock;
use uuid::Uuid;

/// Where the boot's id stands.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Where the times come from.
#[derive(Clone)]
pub struct Times {
    clock: Clock,
    boot: Uuid,
}

impl Times {
    /// This machine's.
    #[must_use]
    pub fn system() -> Self {
        let id = fs::read_to_string(BOOT_ID).ok();
        let boot = id.and_then(|id| Uuid::try_parse(id.trim()).ok());
        // Of an unknown boot nothing is taken over: each start counts all lives anew, which is slow and safe.
        Self::of(Clock::system(), boot.unwrap_or_else(Uuid::new_v4))
    }

    /// This machine's, by this clock.
    #[must_use]
    pub fn by(clock: Clock) -> Self {
        Self {
            clock,
            ..Self::system()
        }
    }

    /// Those of a clock, in this boot of a machine.
    #[must_use]
    pub const fn of(clock: Clock, boot: Uuid) -> Self {
        Self { clock, boot }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            wall_ms: self.clock.now_ms(),
            up_ms: self.clock.steady_ms(),
            boot: self.boot,
        }
    }
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Times")
    }
}

/// One moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Milliseconds since 1970; somebody may put this clock right.
    pub(crate) wall_ms: u64,
    /// Milliseconds of the machine's uptime, suspended time included.
    pub(crate) up_ms: u64,
    /// Of which boot.
    pub(crate) boot: Uuid,
}

/// Whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
