//! How streams behave.
//!
//! Guarantees: the defaults keep to what the vendor documents ask for, and bound everything that waits.

use std::time::Duration;

use super::{Limits, StreamBase};

/// How streams behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the exchange's streams are; `None`: there are none beside this base URL.
    pub base: Option<StreamBase>,
    /// After connecting, the exchange asks for this time before the first frame (vendor documents: 1 s).
    pub settle: Duration,
    /// The longest frame of the exchange that is passed on, in bytes.
    pub max_upstream_bytes: usize,
    /// The longest frame of a client that is read, in bytes.
    pub max_frame_bytes: usize,
    /// Frames that may wait for a client that reads slowly, and their bytes; beyond either it is closed.
    pub max_waiting: Limits,
    /// Commands of one socket that may wait for their answers.
    pub max_commands: usize,
    /// Sockets at once.
    pub max_sockets: usize,
    /// Sockets of one caller at once.
    pub max_per_caller: usize,
    /// Sockets at once whose caller is not known yet.
    pub max_strangers: usize,
    /// A socket without a valid login is closed after this time.
    pub login_deadline: Duration,
    /// How often a client is asked by a ping whether it is there.
    pub ping_every: Duration,
    /// A client or an exchange that was not heard for this time is given up; three heartbeats of the exchange.
    pub silence: Duration,
}

impl Settings {
    /// Market sockets at once whose caller is not known: a quarter of all, so that callers always find places.
    #[must_use]
    pub const fn max_anonymous(&self) -> usize {
        self.max_sockets.div_ceil(4)
    }

    /// The defaults, for streams at this place.
    #[must_use]
    pub const fn new(base: Option<StreamBase>) -> Self {
        Self {
            base,
            settle: Duration::from_secs(1),
            max_upstream_bytes: 1 << 20,
            max_frame_bytes: 128 << 10,
            max_waiting: Limits {
                frames: 1024,
                bytes: 512 << 10,
                stall: Duration::from_secs(10),
            },
            max_commands: 64,
            max_sockets: 512,
            max_per_caller: 64,
            max_strangers: 64,
            login_deadline: Duration::from_secs(10),
            ping_every: Duration::from_secs(20),
            silence: Duration::from_secs(90),
        }
    }
}
