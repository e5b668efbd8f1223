//! Guessing is slow: what a source pays for that gives wrong credentials.
//!
//! Guarantees: a source that gives more than [`FREE`] wrong credentials at once, or more than one in [`EACH`] for long,
//! waits for every further verdict, the longer the more were wrong, [`LONGEST`] at most. A right one waits as long as a
//! wrong one, so that nobody learns it from hanging up early, and it is never refused. A caller that was right from the
//! same source within [`REMEMBERED`] does not wait, so that a program in use does not pay for its neighbour. One table for
//! every endpoint and stream, because one secret opens several; its memory is bounded. While nobody guesses, a right
//! credential costs one atomic load. What a source is: [`crate::per_peer`]. Does not: wait itself, or refuse anybody.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::per_peer::{PerPeer, lock, source};
use gateway::access::Peer;

/// Wrong credentials of a source that cost nothing: slips, and a program with an old token that is started again.
const FREE: u32 = 10;
/// One wrong credential is forgotten after this time.
const EACH: Duration = Duration::from_secs(6);
/// The wait is this part of the time in which what is beyond will be forgotten: 100 ms for each wrong one.
const PART: u32 = 60;
/// The longest wait. A signed call has to be answered within 4 s, and is not begun after half of that.
const LONGEST: Duration = Duration::from_millis(1500);
/// A caller that was right is known at its source for this time after its last connection.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Sources at which one caller is known. A caller has a few; further ones wait.
const SOURCES_OF_A_CALLER: usize = 64;

/// Who gave wrong credentials, and who gave right ones.
#[derive(Debug)]
pub(crate) struct Guesses {
    began: Instant,
    /// No source waits after this, in milliseconds since `began`; 0: none waits.
    slow_until_ms: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// When all wrong credentials of a source are forgotten.
    forgotten: PerPeer<Instant>,
    /// Where callers were right.
    right: HashMap<Arc<str>, Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    source: Peer,
    /// Connections and streams that are open.
    open: usize,
    last: Instant,
}

/// A connection on which a caller was right, until it is dropped. The caller is known at its source for as long, and
/// for an hour after it.
#[derive(Debug)]
pub(crate) struct Presence {
    guesses: Arc<Guesses>,
    source: Peer,
    caller: Arc<str>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            slow_until_ms: AtomicU64::new(0),
            table: Mutex::default(),
        }
    }
}

impl Guesses {
    /// How long the verdict on a credential has to wait. `caller` is whose it is; `None`: it is wrong, and counts.
    pub(crate) fn judge(&self, source: &Peer, caller: Option<&Arc<str>>) -> Duration {
        if caller.is_some() && self.slow_until_ms.load(Ordering::Relaxed) == 0 {
            return Duration::ZERO;
        }
        self.judge_at(source, caller, Instant::now())
    }

    fn judge_at(&self, source: &Peer, caller: Option<&Arc<str>>, now: Instant) -> Duration {
        let mut table = lock(&self.table);
        if self.slow_until_ms.load(Ordering::Relaxed) <= self.ms(now) {
            self.slow_until_ms.store(0, Ordering::Relaxed);
        }
        if caller.is_some_and(|caller| table.is_known(source, caller, now)) {
            return Duration::ZERO;
        }
        let forgotten = table.forgotten(source, now);
        let wait = (beyond(*forgotten, now) / PART).min(LONGEST);
        if caller.is_none() {
            // What is beyond the longest wait would only make it last.
            *forgotten = ((*forgotten).max(now) + EACH).min(now + EACH * FREE + LONGEST * PART);
            let slow_for = beyond(*forgotten, now);
            if !slow_for.is_zero() {
                let until_ms = self.ms(now + slow_for) + 1;
                self.slow_until_ms.fetch_max(until_ms, Ordering::Relaxed);
            }
        }
        wait
    }

    /// Notes that a caller was right: for as long as what this returns lives, and for an hour after it. Only after its
    /// credential has waited, else a guess could be shown twice and its second verdict would come at once.
    pub(crate) fn presence(self: &Arc<Self>, source: &Peer, caller: &Arc<str>) -> Presence {
        let now = Instant::now();
        if let Some(known) = lock(&self.table).known(source, caller, now) {
            known.open += 1;
        }
        Presence {
            guesses: Arc::clone(self),
            source: source.clone(),
            caller: Arc::clone(caller),
        }
    }

    fn ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let now = Instant::now();
        if let Some(known) = lock(&self.guesses.table).known(&self.source, &self.caller, now) {
            known.open = known.open.saturating_sub(1);
        }
    }
}

impl Table {
    /// When all wrong credentials of a source are forgotten.
    fn forgotten(&mut self, source: &Peer, now: Instant) -> &mut Instant {
        if !self.forgotten.has_room_for(source) {
            self.forgotten.retain(|forgotten| *forgotten > now);
        }
        self.forgotten.entry(source, || now)
    }

    /// Whether a caller was right from there of late; this time counts, too.
    fn is_known(&mut self, source: &Peer, caller: &str, now: Instant) -> bool {
        let place = place_of(source);
        let known = self.right.get_mut(caller);
        let known = known.and_then(|known| known.iter_mut().find(|one| one.source == place));
        let Some(known) = known.filter(|one| one.is_of_late(now)) else {
            return false;
        };
        known.last = now;
        true
    }

    /// Notes that a caller was right from there. Where it is known at too many sources, the one that is longest ago is
    /// forgotten, and nothing noted where all of them are in use.
    fn known(&mut self, source: &Peer, caller: &Arc<str>, now: Instant) -> Option<&mut Known> {
        let all = self.right.entry(Arc::clone(caller)).or_default();
        let place = place_of(source);
        let found = match all.iter().position(|one| one.source == place) {
            Some(found) => found,
            None => {
                if all.len() >= SOURCES_OF_A_CALLER {
                    let unused = all.iter().enumerate().filter(|(_, one)| one.open == 0);
                    let (oldest, _) = unused.min_by_key(|(_, one)| one.last)?;
                    all.swap_remove(oldest);
                }
                all.push(Known {
                    source: place,
                    open: 0,
                    last: now,
                });
                all.len() - 1
            }
        };
        let known = all.get_mut(found)?;
        known.last = now;
        Some(known)
    }
}

impl Known {
    fn is_of_late(&self, now: Instant) -> bool {
        self.open > 0 || now.saturating_duration_since(self.last) < REMEMBERED
    }
}

/// Where a caller is known. Unlike for what costs, users of unix sockets are told apart: the kernel vouches for them.
fn place_of(peer: &Peer) -> Peer {
    match peer {
        Peer::Unix { .. } => peer.clone(),
        Peer::Ip(_) => source(peer),
    }
}

/// What a source gave beyond what costs nothing, as the time in which that is forgotten.
fn beyond(forgotten: Instant, now: Instant) -> Duration {
    let level = forgotten.saturating_duration_since(now);
    level.saturating_sub(EACH * (FREE - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::per_peer::MAX_SOURCES;

    fn ip(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    fn numbered(number: u32) -> Peer {
        Peer::Ip(std::net::Ipv4Addr::from_bits(number).into())
    }

    fn name(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    /// Gives wrong credentials until the wait is the longest; all waits in milliseconds.
    fn guess(guesses: &Guesses, source: &Peer, now: Instant) -> Vec<u128> {
        let wait = |_| guesses.judge_at(source, None, now).as_millis();
        (0..40).map(wait).collect()
    }

    #[test]
    fn after_ten_slips_every_verdict_waits_ever_longer_and_at_most_one_and_a_half_seconds() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let waits = guess(&guesses, &ip("192.0.2.1"), now);
        assert_eq!(waits[..13], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200, 300]);
        assert_eq!((waits[24], waits[39]), (1500, 1500));
        let right = |source: &str, after_s| {
            let now = now + Duration::from_secs(after_s);
            guesses.judge_at(&ip(source), Some(&name("backend")), now)
        };
        assert_eq!(right("192.0.2.1", 0), LONGEST, "as long as a wrong one");
        assert_eq!(right("192.0.2.2", 0), Duration::ZERO, "nobody else's");
        let waits = [30, 60, 95, 96].map(|after_s| right("192.0.2.1", after_s).as_millis());
        assert_eq!(waits, [1100, 600, 16, 0]);
    }

    #[test]
    fn one_wrong_credential_in_six_seconds_never_waits_and_one_a_second_does() {
        for (every_s, waits) in [(6, false), (1, true)] {
            let (guesses, now) = (Guesses::default(), Instant::now());
            let last = (0..1000).map(|number| {
                let now = now + Duration::from_secs(every_s * number);
                guesses.judge_at(&ip("192.0.2.1"), None, now)
            });
            assert_eq!(last.last() > Some(Duration::ZERO), waits, "{every_s}");
        }
    }

    #[test]
    fn a_caller_that_was_right_there_does_not_wait_and_everybody_else_does() {
        let (guesses, now) = (Arc::new(Guesses::default()), Instant::now());
        let unix = |uid| Peer::Unix { uid: Some(uid) };
        drop(guesses.presence(&ip("127.0.0.1"), &name("backend")));
        drop(guesses.presence(&unix(1), &name("backend")));
        guess(&guesses, &ip("127.0.0.2"), now);
        guess(&guesses, &unix(2), now);
        guess(&guesses, &ip("192.0.2.1"), now);
        for (source, caller, waits) in [
            (ip("127.0.0.1"), "backend", false),
            (ip("127.9.9.9"), "backend", false),
            (ip("127.0.0.1"), "another", true),
            (ip("192.0.2.1"), "backend", true),
            (unix(1), "backend", false),
            (unix(2), "backend", true),
            (unix(1), "another", true),
        ] {
            let wait = guesses.judge_at(&source, Some(&name(caller)), now);
            assert_eq!(!wait.is_zero(), waits, "{caller} from {source}");
        }
    }

    #[test]
    fn a_caller_is_known_for_an_hour_after_its_last_connection() {
        let guesses = Arc::new(Guesses::default());
        let (here, backend) = (ip("192.0.2.1"), name("backend"));
        let open = guesses.presence(&here, &backend);
        let waits_after = |after_s| {
            let now = Instant::now() + Duration::from_secs(after_s);
            guess(&guesses, &here, now);
            !guesses.judge_at(&here, Some(&backend), now).is_zero()
        };
        assert!(!waits_after(100_000), "a connection is open");
        drop(open);
        // The verdict of a moment ago counted, too: it was of later.
        lock(&guesses.table).right.clear();
        drop(guesses.presence(&here, &backend));
        assert!(!waits_after(3500));
        assert!(!waits_after(7000), "it was right meanwhile");
        assert!(waits_after(11_000));
    }

    #[test]
    fn while_nobody_is_slow_a_right_credential_takes_no_lock() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let here = ip("192.0.2.1");
        let is_slow = || guesses.slow_until_ms.load(Ordering::Relaxed) > 0;
        for _ in 1..FREE {
            guesses.judge_at(&here, None, now);
        }
        assert!(!is_slow());
        let held = lock(&guesses.table);
        assert_eq!(guesses.judge(&here, Some(&name("backend"))), Duration::ZERO);
        drop(held);
        guess(&guesses, &here, now);
        assert!(is_slow());
        let later = now + EACH * 17;
        guesses.judge_at(&here, Some(&name("backend")), later);
        assert!(!is_slow(), "and again, once it is over");
    }

    #[test]
    fn memory_is_bounded_and_what_is_beyond_shares_one_wait_and_is_not_refused() {
        let (guesses, now) = (Arc::new(Guesses::default()), Instant::now());
        for number in 0..3000 {
            guesses.judge_at(&numbered(number), None, now);
        }
        let sources = || lock(&guesses.table).forgotten.values().count();
        assert_eq!(sources(), MAX_SOURCES + 1);
        let backend = name("backend");
        assert_eq!(
            guesses.judge_at(&numbered(5000), Some(&backend), now),
            LONGEST
        );
        assert_eq!(
            guesses.judge_at(&numbered(5), Some(&backend), now),
            Duration::ZERO
        );
        // Whose time is over leaves its entry to the next one.
        assert!(
            guesses
                .judge_at(&numbered(5000), None, now + EACH)
                .is_zero()
        );
        assert_eq!(sources(), 2);
        for number in 0..1000 {
            drop(guesses.presence(&numbered(number), &backend));
        }
        assert_eq!(
            lock(&guesses.table).right[&backend].len(),
            SOURCES_OF_A_CALLER
        );
        assert!(lock(&guesses.table).is_known(&numbered(999), &backend, Instant::now()));
    }
}
