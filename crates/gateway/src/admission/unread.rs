//! The bytes of answers that wait for callers to read them.
//!
//! Guarantees: answers to reads are read from the exchange only where there is room for them: others wait there until their
//! time is over, or their caller is gone. One caller leaves as many bytes free as it holds, and a small part each may
//! always have, so that nobody is kept out by what others hold. What changes something and what cancels have budgets of
//! their own, and never wait: an answer that came is not left behind; another call is refused instead, before it is sent.
//! Does not: count answers of up to 16 KiB, of which there are as many as connections, so that most calls cost nothing here.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::Place;
use crate::{failure::Refusal, outcome::Progress, upstream::AnswerRoom};
use protocol::call::Effect;

/// Bytes of each kind that may wait. Reads hold at most [`ALWAYS`] and one answer more of each caller, and the others what
/// was sent before.
const fn budget_of(kind: Effect) -> usize {
    match kind {
        Effect::Read => 48 << 20,
        Effect::Change | Effect::Cancel => 16 << 20,
    }
}

/// All of them together.
pub(crate) const MOST: usize =
    budget_of(Effect::Read) + budget_of(Effect::Change) + budget_of(Effect::Cancel);

/// A caller who holds less has room whatever the others hold.
pub(crate) const ALWAYS: usize = 1 << 20;

/// An answer up to this length is not counted.
pub(crate) const SHORT: usize = 16 << 10;

/// The bytes of all callers.
#[derive(Debug)]
pub(crate) struct Unread {
    /// Whether several callers share them.
    shared: bool,
    /// All together; mostly none, which costs no lock.
    bytes: AtomicUsize,
    held: Mutex<Held>,
    /// Some of them were read.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    all: Bytes,
    by_caller: HashMap<Arc<str>, Bytes>,
}

/// By what their calls do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes {
    reads: usize,
    changes: usize,
    cancels: usize,
}

impl Bytes {
    const fn of(self, kind: Effect) -> usize {
        match kind {
            Effect::Read => self.reads,
            Effect::Change => self.changes,
            Effect::Cancel => self.cancels,
        }
    }

    const fn of_mut(&mut self, kind: Effect) -> &mut usize {
        match kind {
            Effect::Read => &mut self.reads,
            Effect::Change => &mut self.changes,
            Effect::Cancel => &mut self.cancels,
        }
    }
}

/// What an answer holds until it was read, or nobody will read it any more.
#[derive(Debug)]
pub struct UnreadAnswer {
    unread: Arc<Unread>,
    kind: Effect,
    caller: Arc<str>,
    bytes: usize,
}

/// Where the answer to a call goes while it comes.
#[derive(Debug)]
pub(crate) struct Coming<'a> {
    unread: Arc<Unread>,
    kind: Effect,
    caller: Arc<str>,
    progress: &'a Progress,
    held: Option<UnreadAnswer>,
    waits: bool,
    was_left: bool,
}

impl Unread {
    /// For one caller, or for several.
    pub(super) fn new(shared: bool) -> Self {
        Self {
            shared,
            bytes: AtomicUsize::new(0),
            held: Mutex::default(),
            freed: Notify::new(),
        }
    }

    /// Refuses a call whose caller leaves so much unread that its answer might find no room.
    pub(super) fn judge(&self, caller: &Arc<str>, kind: Effect) -> Result<(), Refusal> {
        if self.bytes.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let held = self.lock();
        let own = held.of(caller, kind);
        if self.has_room(kind, own, held.all.of(kind)) {
            return Ok(());
        }
        Err(Refusal::Unread { mib: own >> 20 })
    }

    /// Whether there is room for one more answer, however long, of a caller who holds its own of all bytes.
    const fn has_room(&self, kind: Effect, own: usize, all: usize) -> bool {
        let free = budget_of(kind).saturating_sub(all);
        own < ALWAYS || if self.shared { own < free } else { free > 0 }
    }

    /// For the answer to the call that has this place, and has come so far.
    pub(crate) fn coming<'a>(
        self: &Arc<Self>,
        place: &Place,
        progress: &'a Progress,
    ) -> Coming<'a> {
        Coming {
            unread: Arc::clone(self),
            kind: place.kind,
            caller: Arc::clone(&place.caller),
            progress,
            held: None,
            waits: false,
            was_left: false,
        }
    }

    /// Whoever waits looks whether its caller is still there. Nobody does where nothing is held.
    pub(super) fn look_who_is_left(&self) {
        if self.bytes.load(Ordering::Relaxed) > 0 {
            self.freed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn of(&self, caller: &str, kind: Effect) -> usize {
        self.by_caller
            .get(caller)
            .copied()
            .unwrap_or_default()
            .of(kind)
    }

    fn add(&mut self, caller: &Arc<str>, kind: Effect, bytes: usize) {
        *self.all.of_mut(kind) += bytes;
        let own = self.by_caller.entry(Arc::clone(caller)).or_default();
        *own.of_mut(kind) += bytes;
    }

    fn take_away(&mut self, caller: &Arc<str>, kind: Effect, bytes: usize) {
        *self.all.of_mut(kind) -= bytes;
        if let Some(own) = self.by_caller.get_mut(caller) {
            *own.of_mut(kind) -= bytes;
            if *own == Bytes::default() {
                self.by_caller.remove(caller);
            }
        }
    }
}

impl AnswerRoom for Coming<'_> {
    async fn reach(&mut self, bytes: usize, longest: usize) -> bool {
        if bytes > SHORT && self.held.is_none() {
            self.waits = true;
            self.held = self.room_for(longest).await;
            self.waits = false;
            self.was_left = self.held.is_none();
        }
        !self.was_left
    }
}

impl Coming<'_> {
    /// Holds so many bytes. Those of a read wait until there is room; `None` where its caller is gone meanwhile.
    async fn room_for(&self, bytes: usize) -> Option<UnreadAnswer> {
        let unread = &self.unread;
        loop {
            let mut freed = pin!(unread.freed.notified());
            freed.as_mut().enable();
            {
                let mut held = unread.lock();
                let (own, all) = (held.of(&self.caller, self.kind), held.all.of(self.kind));
                if self.kind != Effect::Read || unread.has_room(self.kind, own, all) {
                    held.add(&self.caller, self.kind, bytes);
                    unread.bytes.fetch_add(bytes, Ordering::Relaxed);
                    return Some(UnreadAnswer {
                        unread: Arc::clone(unread),
                        kind: self.kind,
                        caller: Arc::clone(&self.caller),
                        bytes,
                    });
                }
            }
            if self.progress.has_ended() {
                return None;
            }
            freed.await;
        }
    }

    /// Whether it waits for room.
    pub(crate) const fn waits(&self) -> bool {
        self.waits
    }

    /// Whether its caller was gone before there was room, so that it was left at the exchange.
    pub(crate) const fn was_left(&self) -> bool {
        self.was_left
    }

    /// What an answer that came with so many bytes holds from now on.
    pub(crate) fn came(self, bytes: usize) -> Option<UnreadAnswer> {
        let mut answer = self.held?;
        let spare = answer.bytes.saturating_sub(bytes);
        answer.bytes -= spare;
        answer.unread.free(&answer.caller, answer.kind, spare);
        Some(answer)
    }
}

impl Unread {
    fn free(&self, caller: &Arc<str>, kind: Effect, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.lock().take_away(caller, kind, bytes);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.freed.notify_waiters();
    }
}

impl Drop for UnreadAnswer {
    fn drop(&mut self) {
        self.unread.free(&self.caller, self.kind, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    fn coming<'a>(
        unread: &Arc<Unread>,
        caller: &str,
        kind: Effect,
        progress: &'a Progress,
    ) -> Coming<'a> {
        Coming {
            unread: Arc::clone(unread),
            kind,
            caller: caller.into(),
            progress,
            held: None,
            waits: false,
            was_left: false,
        }
    }

    /// An answer of one MiB, if there is room for it now.
    fn answer(unread: &Arc<Unread>, caller: &str, kind: Effect) -> Option<UnreadAnswer> {
        let progress = Progress::default();
        let mut coming = coming(unread, caller, kind, &progress);
        coming.reach(MIB, MIB).now_or_never()?;
        coming.came(MIB)
    }

    fn fill(unread: &Arc<Unread>, caller: &str, kind: Effect) -> Vec<UnreadAnswer> {
        let answers = std::iter::from_fn(|| {
            unread.judge(&caller.into(), kind).ok()?;
            answer(unread, caller, kind)
        });
        answers.take(999).collect()
    }

    fn refused(unread: &Unread, caller: &str, kind: Effect) -> Option<Refusal> {
        unread.judge(&caller.into(), kind).err()
    }

    #[test]
    fn every_caller_leaves_as_much_room_as_it_holds() {
        let unread = Arc::new(Unread::new(true));
        let callers = ["a", "b", "c", "d"];
        let held = callers.map(|caller| fill(&unread, caller, Effect::Read));
        assert_eq!(held.each_ref().map(Vec::len), [24, 12, 6, 3]);
        let unread_mib = |mib| Some(Refusal::Unread { mib });
        assert_eq!(refused(&unread, "a", Effect::Read), unread_mib(24));
        assert_eq!(refused(&unread, "d", Effect::Read), unread_mib(3));
        assert_eq!(refused(&unread, "e", Effect::Read), None);
        drop(held);
        assert_eq!(fill(&unread, "e", Effect::Read).len(), 24);
        assert!(unread.lock().by_caller.is_empty());
        assert_eq!(unread.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn reads_take_no_room_of_what_changes_something() {
        let unread = Arc::new(Unread::new(true));
        let _reads = fill(&unread, "a", Effect::Read);
        for kind in [Effect::Change, Effect::Cancel] {
            let own = fill(&unread, "a", kind);
            assert_eq!(own.len(), 8);
            assert!(refused(&unread, "b", kind).is_none());
            // What was sent before is taken whatever there is.
            let more: Vec<_> = (0..20)
                .map(|_| answer(&unread, "a", kind).unwrap())
                .collect();
            let its_own = Refusal::Unread { mib: 28 };
            assert_eq!(refused(&unread, "a", kind), Some(its_own));
            assert_eq!(fill(&unread, "b", kind).len(), 1, "nobody else is kept out");
            drop(more);
        }
    }

    #[test]
    fn a_lone_caller_has_it_all_and_the_longest_answer_comes_where_nothing_else_waits() {
        let unread = Arc::new(Unread::new(false));
        assert_eq!(fill(&unread, "a", Effect::Read).len(), 48);
        let longest = 2 * budget_of(Effect::Read);
        let progress = Progress::default();
        let mut one = coming(&unread, "a", Effect::Read, &progress);
        assert!(one.reach(longest, longest).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_long_answer_waits_until_others_were_read_and_a_short_one_does_not() {
        let unread = Arc::new(Unread::new(true));
        let mut held = fill(&unread, "a", Effect::Read);
        let progress = Progress::default();
        let mut waiting = coming(&unread, "a", Effect::Read, &progress);
        assert!(waiting.reach(SHORT, MIB).now_or_never().is_some());
        {
            let mut reach = pin!(waiting.reach(SHORT + 1, MIB));
            assert!(reach.as_mut().now_or_never().is_none());
            held.pop();
            assert!(reach.await);
        }
        assert_eq!(unread.lock().all.reads, 24 * MIB);
        let kept = waiting.came(2 * SHORT).unwrap();
        assert_eq!(
            unread.lock().all.reads,
            23 * MIB + 2 * SHORT,
            "the rest is given back"
        );
        drop((held, kept));
        assert_eq!(unread.lock().all, Bytes::default());
    }

    #[tokio::test]
    async fn an_answer_whose_caller_is_gone_waits_no_longer() {
        let unread = Arc::new(Unread::new(true));
        let held = fill(&unread, "a", Effect::Read);
        let progress = Progress::default();
        let mut left = coming(&unread, "a", Effect::Read, &progress);
        {
            let mut reach = pin!(left.reach(MIB, MIB));
            assert!(reach.as_mut().now_or_never().is_none());
            progress.end();
            unread.look_who_is_left();
            assert!(!reach.await);
        }
        assert!(left.was_left() && left.came(MIB).is_none());
        drop(held);
        assert_eq!(unread.lock().all, Bytes::default());
    }

    #[test]
    fn however_many_callers_leave_answers_unread_another_has_room_for_its_own() {
        let unread = Arc::new(Unread::new(true));
        let names = (0..12).map(|number| number.to_string());
        let held: Vec<_> = names
            .map(|name| fill(&unread, &name, Effect::Read))
            .collect();
        assert!(held.iter().all(|held| !held.is_empty()));
        let most = budget_of(Effect::Read) + 12 * (ALWAYS + MIB);
        assert!(unread.lock().all.reads <= most);
    }
}
