//! One bounded table of values, an entry for each source.
//!
//! Everything that counts what a source does is kept here: rate limit, guesses, slots, rejections and usage. An IPv6
//! source is its /64, because whoever has one address of it has 2⁶⁴ of them. A mapped IPv4 address is that address. The
//! loopback addresses are one source, because every program here has all 2²⁴ of them, and so are unix sockets, because one
//! user may have thousands of uids. The number of entries has a hard cap, which keyed rate limiters do not offer; a source
//! that finds the table full shares one more entry with all others that do.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use gateway::access::Peer;

/// Sources that are told apart at once.
pub(crate) const MAX_SOURCES: usize = 1024;

/// Values by source.
#[derive(Debug)]
pub(crate) struct PerPeer<V> {
    entries: HashMap<Peer, Entry<V>>,
    /// What the sources share that found the table full.
    rest: Option<V>,
}

#[derive(Debug)]
struct Entry<V> {
    /// The address of the source that came first, for people; a uid only where no other came, lest one is blamed for all.
    first: Peer,
    value: V,
}

impl<V> Default for PerPeer<V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            rest: None,
        }
    }
}

impl<V> PerPeer<V> {
    /// The value of a source, if it has an entry of its own.
    pub(crate) fn get(&self, peer: &Peer) -> Option<&V> {
        self.entries.get(&source(peer)).map(|entry| &entry.value)
    }

    /// The value of a source, made with `new` where there is none; the shared one if the table is full.
    pub(crate) fn entry(&mut self, peer: &Peer, new: impl FnOnce() -> V) -> &mut V {
        if !self.has_room_for(peer) {
            return self.shared(new);
        }
        let entry = self.entries.entry(source(peer)).or_insert_with(|| Entry {
            first: peer.clone(),
            value: new(),
        });
        if matches!(peer, Peer::Unix { .. }) && entry.first != *peer {
            entry.first = UNIX;
        }
        &mut entry.value
    }

    /// The value that sources without an entry of their own share.
    pub(crate) fn shared(&mut self, new: impl FnOnce() -> V) -> &mut V {
        self.rest.get_or_insert_with(new)
    }

    /// Whether a source has an entry of its own, or can get one.
    pub(crate) fn has_room_for(&self, peer: &Peer) -> bool {
        self.entries.len() < MAX_SOURCES || self.entries.contains_key(&source(peer))
    }

    /// Forgets a source.
    pub(crate) fn remove(&mut self, peer: &Peer) {
        self.entries.remove(&source(peer));
    }

    /// Forgets the sources whose value `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.entries.retain(|_, entry| keep(&entry.value));
    }

    /// Every value.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        let own = self.entries.values().map(|entry| &entry.value);
        own.chain(&self.rest)
    }

    /// Every value with the address of its source that came first; the shared one has none.
    pub(crate) fn into_values(self) -> impl Iterator<Item = (Option<Peer>, V)> {
        let own = self.entries.into_values();
        own.map(|entry| (Some(entry.first), entry.value))
            .chain(self.rest.map(|value| (None, value)))
    }
}

/// Every unix socket.
const UNIX: Peer = Peer::Unix { uid: None };

/// What a peer counts as.
pub(crate) fn source(peer: &Peer) -> Peer {
    match peer {
        Peer::Unix { .. } => UNIX,
        Peer::Ip(address) => Peer::Ip(match address.to_canonical() {
            address if address.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        }),
    }
}

/// Locks counts. They are whole after every step, so a panic under the lock spoils nothing.
pub(crate) fn lock<T>(counts: &Mutex<T>) -> MutexGuard<'_, T> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A source in a log line; `None` are all that found the table full.
pub(crate) fn name(source: Option<&Peer>) -> String {
    source.map_or_else(|| "many further sources".to_owned(), Peer::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    fn table(sources: u32) -> PerPeer<u32> {
        let mut table = PerPeer::default();
        for number in 0..sources {
            let peer = Peer::Ip(Ipv4Addr::from_bits(number).into());
            *table.entry(&peer, || 0) += number + 1;
        }
        table
    }

    #[test]
    fn a_source_is_an_address_an_ipv6_network_this_machine_or_its_sockets() {
        let uid = |uid| Peer::Unix { uid };
        for (one, other, same) in [
            (ip("192.0.2.1"), ip("192.0.2.2"), false),
            (ip("192.0.2.1"), ip("::ffff:192.0.2.1"), true),
            (ip("2001:db8::1"), ip("2001:db8::ffff:1"), true),
            (ip("2001:db8::1"), ip("2001:db8:0:1::1"), false),
            (uid(Some(1)), uid(Some(1)), true),
            (uid(Some(1)), uid(Some(2)), true),
            (uid(Some(1)), uid(None), true),
            (ip("127.0.0.1"), ip("127.255.255.254"), true),
            (ip("127.0.0.1"), ip("::1"), true),
            (ip("::ffff:127.9.9.9"), ip("127.0.0.1"), true),
            (ip("::1"), ip("::2"), false),
            (uid(None), ip("127.0.0.1"), false),
        ] {
            let mut table = PerPeer::default();
            *table.entry(&one, || 0) += 1;
            assert_eq!(table.get(&other).is_some(), same, "{one} and {other}");
        }
    }

    #[test]
    fn a_full_table_gives_the_others_one_entry_together() {
        let mut table = table(5000);
        assert_eq!(table.values().count(), MAX_SOURCES + 1);
        assert!(!table.has_room_for(&ip("203.0.113.1")) && table.has_room_for(&ip("0.0.0.1")));
        table.remove(&ip("0.0.0.0"));
        assert!(table.get(&ip("0.0.0.0")).is_none() && table.has_room_for(&ip("203.0.113.1")));
        table.retain(|value| *value == 2);
        assert_eq!(table.values().count(), 2);
        let names: Vec<_> = table
            .into_values()
            .map(|(peer, _)| name(peer.as_ref()))
            .collect();
        assert_eq!(names, ["0.0.0.1", "many further sources"]);
    }

    #[test]
    fn a_network_is_shown_by_the_address_that_came_first() {
        let mut table = PerPeer::default();
        *table.entry(&ip("2001:db8::7"), || 0) += 1;
        *table.entry(&ip("2001:db8::8"), || 0) += 1;
        assert_eq!(
            table.into_values().collect::<Vec<_>>(),
            [(Some(ip("2001:db8::7")), 2)]
        );
    }

    #[test]
    fn a_user_is_named_only_where_no_other_came() {
        for (uids, shown) in [([1, 1], "unix-socket/uid-1"), ([1, 2], "unix-socket")] {
            let mut table = PerPeer::default();
            for uid in uids {
                *table.entry(&Peer::Unix { uid: Some(uid) }, || 0) += 1;
            }
            let all: Vec<_> = table.into_values().collect();
            assert_eq!(all.len(), 1);
            assert_eq!((name(all[0].0.as_ref()), all[0].1), (shown.to_owned(), 2));
        }
    }
}
