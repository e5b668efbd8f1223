//! One word for what became of a call, and the phase that decides it.
//!
//! Guarantees: the response header, the body of our own envelopes, the log line and the journal field all take the word
//! from here. Source: the wire contract, "Outcomes".

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use crate::{clock::uptime_ms, secret::Signature, stall::Fresh};
use catalogue::codes;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// We chose not to try.
    Refused,
    /// We tried, and no byte of the signed call was handed to a connection.
    NotSent,
    /// Bytes may have left and no conclusive answer came: it may have executed.
    Unknown,
    /// A conclusive answer of the exchange, good or bad, was passed on.
    Answered,
}

impl Outcome {
    /// The outcome of a call that the exchange answered with this code.
    #[must_use]
    pub fn of_code(code: Option<i64>) -> Self {
        if code.is_some_and(codes::is_conclusive) {
            Self::Answered
        } else {
            Self::Unknown
        }
    }

    /// The word used on every channel.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Answered => "answered",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How far a call has come; only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// A caller is known; nothing was decided.
    Accepted,
    /// Allowed; a connection is being found.
    Connecting,
    /// Signed, and handed to a connection.
    Sent,
}

/// What is known of a call once it is signed.
#[derive(Debug)]
pub(crate) struct Signed {
    /// The nonce.
    pub(crate) nonce: u64,
    /// This call's signature, to be scrubbed from an answer that echoes it.
    pub(crate) signature: Signature,
    /// Length of the string that was signed, in bytes.
    pub(crate) string_to_sign_len: usize,
}

/// The phase of one call, shared by its relay, its record and its endpoint.
///
/// Once the call has ended it can no longer be sent: the code that hands its bytes to a connection asks first, so that
/// "not sent" stays true whatever threads do.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    /// The process has run ever since this moment, or the call is not sent.
    fresh: OnceLock<Fresh>,
    /// From this moment on it is not sent, in milliseconds of the machine's uptime; 0: there is none.
    until_ms: AtomicU64,
    /// What was signed, once it was.
    signed: OnceLock<Signed>,
}

/// Marks a call that has ended, beside its phase.
const ENDED: u8 = 0x80;

impl Progress {
    /// Moves on to `phase`, never back; `false` if the call has ended before.
    ///
    /// What was admitted before the process stood still ends here instead of being sent.
    pub fn reach(&self, phase: Phase) -> bool {
        if phase == Phase::Sent && !self.may_have_been_sent() {
            self.end_if_stale();
        }
        let forward = |now: u8| (now & ENDED == 0).then_some(now.max(phase as u8));
        self.phase
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, forward)
            .is_ok()
    }

    /// Ends the call where it is: it is not sent any more.
    pub fn end(&self) -> Outcome {
        self.phase.fetch_or(ENDED, Ordering::AcqRel);
        self.outcome_without_answer()
    }

    /// Binds it to a process that runs: after a stall it is not sent any more.
    pub(crate) fn only_while(&self, fresh: Fresh) {
        let _ = self.fresh.set(fresh);
    }

    /// Bounds the time in which it may be sent, to a moment of the machine's uptime in milliseconds.
    pub(crate) fn only_until(&self, until_ms: u64) {
        self.until_ms.store(until_ms, Ordering::Release);
    }

    /// Whether it has ended: it is not sent any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.phase.load(Ordering::Acquire) & ENDED != 0
    }

    /// Whether it may not be sent any more. What was admitted before the process stood still ends here.
    pub(crate) fn is_over(&self) -> bool {
        self.end_if_stale();
        self.has_ended()
    }

    fn end_if_stale(&self) {
        let until_ms = self.until_ms.load(Ordering::Acquire);
        let is_late = until_ms != 0 && uptime_ms() >= until_ms;
        if is_late || self.fresh.get().is_some_and(|fresh| !fresh.is_fresh()) {
            self.end();
        }
    }

    /// Moves on to [`Phase::Sent`] with what was signed, which is known to whoever sees that phase; `false` as for `reach`.
    pub(crate) fn hand_over(&self, signed: Signed) -> bool {
        let _ = self.signed.set(signed);
        self.reach(Phase::Sent)
    }

    /// What was signed and handed over. A call that ended while it was being signed has used its nonce up, and shows none:
    /// nobody will ever find it at the exchange.
    pub(crate) fn signed(&self) -> Option<&Signed> {
        self.signed.get().filter(|_| self.may_have_been_sent())
    }

    /// The outcome of a call that ends here without an answer of the exchange.
    #[must_use]
    pub fn outcome_without_answer(&self) -> Outcome {
        match self.phase.load(Ordering::Acquire) & !ENDED {
            phase if phase >= Phase::Sent as u8 => Outcome::Unknown,
            phase if phase >= Phase::Connecting as u8 => Outcome::NotSent,
            _ => Outcome::Refused,
        }
    }

    /// Whether the signed bytes may have left.
    #[must_use]
    pub fn may_have_been_sent(&self) -> bool {
        self.outcome_without_answer() == Outcome::Unknown
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stall::{BOUND, StallWatch};

    #[test]
    fn the_phase_decides_and_never_goes_back() {
        let progress = Progress::default();
        assert_eq!(progress.outcome_without_answer(), Outcome::Refused);
        progress.reach(Phase::Connecting);
        assert_eq!(progress.outcome_without_answer(), Outcome::NotSent);
        progress.reach(Phase::Sent);
        progress.reach(Phase::Accepted);
        assert_eq!(progress.outcome_without_answer(), Outcome::Unknown);
    }

    #[test]
    fn a_stall_ends_what_is_not_sent_and_leaves_alone_what_is() {
        let watch = Arc::new(StallWatch::default());
        let [sent, waiting] = [(), ()].map(|()| {
            let progress = Progress::default();
            progress.only_while(watch.fresh());
            assert!(progress.reach(Phase::Connecting));
            progress
        });
        assert!(sent.reach(Phase::Sent));
        watch.note(BOUND);
        assert!(sent.reach(Phase::Sent) && !sent.has_ended());
        assert!(!waiting.reach(Phase::Sent) && waiting.has_ended());
        assert_eq!(waiting.outcome_without_answer(), Outcome::NotSent);
    }

    #[test]
    fn a_call_that_ends_while_it_is_signed_shows_no_nonce() {
        let signed = || Signed {
            nonce: 17,
            signature: Signature("invented".to_owned()),
            string_to_sign_len: 4,
        };
        for ended in [true, false] {
            let progress = Progress::default();
            assert!(progress.reach(Phase::Connecting));
            if ended {
                progress.end();
            }
            assert_eq!(progress.hand_over(signed()), !ended);
            let nonce = progress.signed().map(|signed| signed.nonce);
            assert_eq!(nonce, (!ended).then_some(17));
        }
    }

    #[test]
    fn a_call_whose_time_has_passed_is_not_sent() {
        let [passed, ahead] = [uptime_ms(), uptime_ms() + 60_000].map(|until_ms| {
            let progress = Progress::default();
            progress.only_until(until_ms);
            assert!(progress.reach(Phase::Connecting));
            progress
        });
        assert!(!passed.reach(Phase::Sent) && passed.has_ended());
        assert_eq!(passed.outcome_without_answer(), Outcome::NotSent);
        assert!(ahead.reach(Phase::Sent));
    }

    #[test]
    fn a_call_that_has_ended_can_no_longer_be_sent() {
        let progress = Progress::default();
        assert!(progress.reach(Phase::Connecting));
        assert_eq!(progress.end(), Outcome::NotSent);
        assert!(!progress.reach(Phase::Sent));
        assert_eq!(progress.outcome_without_answer(), Outcome::NotSent);
    }
}
