//! Who has a place among the connections.
//!
//! A connection is a stranger's until a request on it was authenticated. Strangers have a quarter of the places. When these
//! are full, a newcomer is let in nevertheless: of the source that holds most, the connection that came first is closed
//! in its favour. So whoever sends a request at once always gets in, however many half requests lie there. A connection
//! whose caller is known moves to the callers' places, of which each caller leaves as many free as it holds: one alone gets
//! half, and nobody fills them. Where there is none left for its caller, it stays in a stranger's place until its answer is
//! written. Its call may be under way, so it is never closed; of such places, too, each caller leaves as many free as it
//! has. One beyond that is told to leave before anything is done for it. Does not: know sockets, or what a request is.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    guesses::Presence,
    per_peer::{MAX_SOURCES, PerPeer},
};
use gateway::access::Peer;

/// Strangers have this part of all places. It is more than connect within the moment that a request takes to arrive, and
/// less than could hurt: callers keep the rest.
const STRANGERS: usize = 4;

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    for_strangers: usize,
    for_callers: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By the order in which they came.
    strangers: BTreeMap<u64, Stranger>,
    /// Those of them whose caller is not known.
    by_source: PerPeer<usize>,
    by_caller: HashMap<Arc<str>, usize>,
    by_callers: usize,
    /// Strangers' places whose caller is known.
    guests: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Stranger {
    source: Peer,
    /// Its caller, which is known, but has no place left among the callers', or is about to be.
    guest_of: Option<Arc<str>>,
    leave: Arc<Notify>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
    /// Once it is known: whose place among the callers' it has, or that it has none.
    caller: OnceLock<Option<Arc<str>>>,
    /// Keeps its caller known where it comes from.
    presence: OnceLock<Presence>,
}

/// How many of so many places are strangers'. Each may be a source of its own, and all of them have to fit into the table.
pub(crate) fn for_strangers(all: usize) -> usize {
    (all / STRANGERS).clamp(1, MAX_SOURCES)
}

impl Places {
    /// So many places in all.
    pub(crate) fn new(all: usize) -> Self {
        let for_strangers = for_strangers(all);
        Self {
            for_strangers,
            for_callers: all.saturating_sub(for_strangers),
            taken: Mutex::default(),
        }
    }

    /// So many places, all of them for strangers.
    pub(crate) fn of_strangers(all: usize) -> Self {
        Self {
            for_strangers: all.min(MAX_SOURCES),
            for_callers: 0,
            taken: Mutex::default(),
        }
    }

    /// How many strangers may have.
    pub(crate) const fn for_strangers(&self) -> usize {
        self.for_strangers
    }

    /// A place for a newcomer, and the source of the connection that was told to leave for it. `None` where nobody can
    /// be told to leave.
    pub(crate) fn enter(self: &Arc<Self>, source: &Peer) -> Option<(Arc<Place>, Option<Peer>)> {
        let mut taken = self.lock();
        let left = if taken.strangers.len() < self.for_strangers {
            None
        } else {
            Some(taken.close_one()?)
        };
        let (number, leave) = (taken.next, Arc::new(Notify::new()));
        taken.next += 1;
        *taken.by_source.entry(source, || 0) += 1;
        let stranger = Stranger {
            source: source.clone(),
            guest_of: None,
            leave: Arc::clone(&leave),
        };
        taken.strangers.insert(number, stranger);
        let place = Place {
            places: Arc::clone(self),
            number,
            leave,
            caller: OnceLock::new(),
            presence: OnceLock::new(),
        };
        Some((Arc::new(place), left))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Tells the first of the fullest source to leave, whose caller is not known.
    fn close_one(&mut self) -> Option<Peer> {
        let most = self.by_source.values().max().copied();
        let is_of_fullest = |stranger: &Stranger| {
            stranger.guest_of.is_none() && self.by_source.get(&stranger.source).copied() == most
        };
        let (number, _) = self.strangers.iter().find(|(_, one)| is_of_fullest(one))?;
        let stranger = self.remove(*number)?;
        stranger.leave.notify_one();
        Some(stranger.source)
    }

    fn remove(&mut self, number: u64) -> Option<Stranger> {
        let stranger = self.strangers.remove(&number)?;
        match &stranger.guest_of {
            None => self.leave_source(&stranger.source),
            Some(caller) => leave(&mut self.guests, caller),
        }
        Some(stranger)
    }

    fn leave_source(&mut self, source: &Peer) {
        let held = self.by_source.entry(source, || 1);
        *held -= 1;
        if *held == 0 {
            self.by_source.remove(source);
        }
    }

    /// Moves a connection to its caller's places, or lets it stay as a guest: whose place it has then, or none of the
    /// callers'. Where neither is left, it is told to leave, if it was not before.
    fn make_known(
        &mut self,
        number: u64,
        caller: &Arc<str>,
        places: &Places,
    ) -> Option<Option<Arc<str>>> {
        let held = self.by_caller.get(caller).copied().unwrap_or(0);
        if held < places.for_callers - self.by_callers {
            self.remove(number);
            *self.by_caller.entry(Arc::clone(caller)).or_default() += 1;
            self.by_callers += 1;
            return Some(Some(Arc::clone(caller)));
        }
        if self.stay(number, caller, places.for_strangers) {
            return Some(None);
        }
        self.remove(number)?.leave.notify_one();
        None
    }

    /// Lets a connection stay where it is, until it ends; whether it was still there, and its caller has no more such
    /// places than are left.
    fn stay(&mut self, number: u64, caller: &Arc<str>, all: usize) -> bool {
        let guests: usize = self.guests.values().sum();
        let held = self.guests.get(caller).copied().unwrap_or(0);
        let Some(stranger) = self.strangers.get_mut(&number) else {
            return false;
        };
        if stranger.guest_of.is_some() {
            return true;
        }
        if held >= all.saturating_sub(guests) {
            return false;
        }
        stranger.guest_of = Some(Arc::clone(caller));
        let source = stranger.source.clone();
        *self.guests.entry(Arc::clone(caller)).or_default() += 1;
        self.leave_source(&source);
        true
    }

    fn leave_caller(&mut self, caller: &str) {
        self.by_callers -= 1;
        leave(&mut self.by_caller, caller);
    }
}

/// One place of a caller's less.
fn leave(by_caller: &mut HashMap<Arc<str>, usize>, caller: &str) {
    if let Some(held) = by_caller.get_mut(caller) {
        *held -= 1;
        if *held == 0 {
            by_caller.remove(caller);
        }
    }
}

impl Place {
    /// Notes whose the connection is: the caller of its first request that was authenticated. Where it is told to leave,
    /// because its caller has too many, it is not known.
    pub(crate) fn known(&self, caller: &Arc<str>) -> bool {
        let mut taken = self.places.lock();
        if self.is_known() {
            return true;
        }
        let whose = taken.make_known(self.number, caller, &self.places);
        whose.is_some_and(|whose| self.caller.set(whose).is_ok())
    }

    /// Keeps what keeps its caller known where it comes from.
    pub(crate) fn keep(&self, presence: impl FnOnce() -> Presence) {
        self.presence.get_or_init(presence);
    }

    /// Keeps the connection while a request is judged whose signature is good: it is not told to leave any more. Whether
    /// it was not told before, and its caller has not too many such places.
    pub(crate) fn stay(&self, caller: &Arc<str>) -> bool {
        let places = &self.places;
        self.is_known()
            || places
                .lock()
                .stay(self.number, caller, places.for_strangers)
    }

    /// Whether a request on this connection was authenticated.
    pub(crate) fn is_known(&self) -> bool {
        self.caller.get().is_some()
    }

    /// Whether it is among the callers' places: such a connection is kept for further requests, and never told to leave.
    pub(crate) fn is_callers(&self) -> bool {
        matches!(self.caller.get(), Some(Some(_)))
    }

    /// Waits until the place is needed for somebody else.
    pub(crate) async fn is_needed(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        match self.caller.get() {
            Some(Some(caller)) => taken.leave_caller(caller),
            Some(None) | None => drop(taken.remove(self.number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn ip(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    fn name(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    fn has_to_leave(place: &Place) -> bool {
        place.is_needed().now_or_never().is_some()
    }

    fn enter(places: &Arc<Places>, source: &str) -> Arc<Place> {
        places.enter(&ip(source)).unwrap().0
    }

    fn is_empty(places: &Places) -> bool {
        let taken = places.lock();
        taken.strangers.is_empty()
            && taken.by_source.values().next().is_none()
            && taken.by_caller.is_empty()
            && taken.guests.is_empty()
            && taken.by_callers == 0
    }

    #[test]
    fn a_newcomer_gets_in_and_the_first_of_the_fullest_source_leaves() {
        let places = Arc::new(Places::new(16));
        let quiet = enter(&places, "192.0.2.1");
        let noisy: Vec<_> = (1..=3)
            .map(|last| enter(&places, &format!("127.0.0.{last}")))
            .collect();
        let (newcomer, left) = places.enter(&ip("192.0.2.2")).unwrap();
        assert_eq!(left, Some(ip("127.0.0.1")));
        assert!(has_to_leave(&noisy[0]) && !has_to_leave(&noisy[1]) && !has_to_leave(&quiet));
        let many: Vec<_> = (0..1000).map(|_| enter(&places, "127.9.9.9")).collect();
        assert!(!has_to_leave(&quiet) && !has_to_leave(&newcomer));
        assert_eq!(many.iter().filter(|place| !has_to_leave(place)).count(), 2);
        assert_eq!(places.lock().strangers.len(), 4);
        drop((quiet, noisy, newcomer, many));
        assert!(is_empty(&places));
    }

    #[test]
    fn who_is_known_is_not_told_to_leave_whoever_comes() {
        let places = Arc::new(Places::new(16));
        let caller = enter(&places, "127.0.0.1");
        caller.known(&name("backend"));
        let strangers: Vec<_> = (0..1100).map(|_| enter(&places, "127.0.0.1")).collect();
        assert!(caller.is_callers() && !has_to_leave(&caller));
        assert_eq!(
            strangers.iter().filter(|place| has_to_leave(place)).count(),
            1096
        );
        drop((caller, strangers));
        assert!(is_empty(&places));
    }

    #[test]
    fn one_caller_gets_half_and_every_further_one_finds_places() {
        let places = Arc::new(Places::new(1024));
        let mut held = Vec::new();
        let mut take = |caller: &str| {
            let mut kept = 0;
            for _ in 0..1000 {
                let place = enter(&places, "127.0.0.1");
                place.known(&name(caller));
                // One beyond its share ends with its answer.
                if place.is_callers() {
                    kept += 1;
                    held.push(place);
                }
            }
            kept
        };
        let shares: Vec<_> = ["a", "b", "c", "d"].map(&mut take).into();
        assert_eq!(shares, [384, 192, 96, 48]);
        drop(held);
        assert!(is_empty(&places));
    }

    #[test]
    fn a_caller_beyond_its_share_leaves_strangers_places_and_others_get_in() {
        let places = Arc::new(Places::new(64));
        let mut kept = Vec::new();
        let mut take = |caller: &str| {
            let all: Vec<_> = (0..40).map(|_| enter(&places, "127.0.0.1")).collect();
            let known = all.into_iter().filter(|place| place.known(&name(caller)));
            let known: Vec<_> = known.collect();
            let guests = known.iter().filter(|place| !place.is_callers()).count();
            kept.extend(known);
            guests
        };
        assert_eq!(["greedy", "another"].map(&mut take), [8, 4]);
        let beyond = enter(&places, "127.0.0.1");
        assert!(!beyond.known(&name("greedy")) && has_to_leave(&beyond));
        assert!(!beyond.stay(&name("greedy")) && !beyond.is_known());
        let newcomer = enter(&places, "192.0.2.1");
        assert!(newcomer.known(&name("honest")));
        let mut guests = kept.iter().filter(|place| !place.is_callers());
        assert!(!guests.any(|place| has_to_leave(place)));
        drop((kept, beyond, newcomer));
        assert!(is_empty(&places));
    }

    #[test]
    fn who_is_kept_is_not_told_to_leave_and_moves_when_it_is_known() {
        let places = Arc::new(Places::new(8));
        let kept = enter(&places, "127.0.0.1");
        let late = enter(&places, "127.0.0.1");
        let backend = name("backend");
        assert!(kept.stay(&backend) && kept.stay(&backend));
        let newcomer = enter(&places, "127.0.0.1");
        assert!(!has_to_leave(&kept) && has_to_leave(&late) && !late.stay(&backend));
        kept.known(&name("backend"));
        assert!(kept.is_callers() && kept.stay(&backend));
        assert_eq!(places.lock().strangers.len(), 1);
        drop((kept, late, newcomer));
        assert!(is_empty(&places));
    }

    #[test]
    fn who_became_known_after_it_was_told_to_leave_has_a_callers_place() {
        let places = Arc::new(Places::new(4));
        let first = enter(&places, "127.0.0.1");
        let second = enter(&places, "127.0.0.1");
        first.known(&name("backend"));
        first.known(&name("another"));
        assert!(first.is_callers() && has_to_leave(&first));
        assert_eq!(places.lock().by_caller[&name("backend")], 1);
        drop((first, second));
        assert!(is_empty(&places));
    }
}
