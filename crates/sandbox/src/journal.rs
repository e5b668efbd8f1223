//! What was received: the stand-in's own record, for tests that count.
//!
//! Guarantees: a request is entered when it was read to its end and before anything is done about it; counts are
//! exact however many requests came; kept requests are bounded in number and in bytes, the oldest leave first.
//! Does not: keep the control requests of `/sandbox/…`.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

const MAX_ENTRIES: usize = 100_000;
const MAX_BYTES: usize = 64 << 20;
/// Names come from outside: beyond this many, a new one is counted in the total only.
const MAX_NAMES: usize = 1_000;

/// One request that was read to its end.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its place in the order of arrival, from 0.
    pub sequence: u64,
    /// The method named by the path (`private/create-order`), or the whole path where it names none (`/ip/2`).
    pub method: String,
    /// The HTTP verb.
    pub verb: String,
    /// The query, as it came.
    pub query: Option<String>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// All headers.
    pub headers: HeaderMap,
    /// Where the connection came from.
    pub peer: SocketAddr,
    /// Whether key, signature, nonce, address and permission were in order.
    pub authenticated: bool,
    /// Whether it was executed and succeeded (code 0).
    pub executed: bool,
}

impl Received {
    /// The body as JSON; `None` if it is none.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// How many requests came, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Read to their end.
    pub received: u64,
    /// Of these, with key, signature, nonce, address and permission in order.
    pub authenticated: u64,
    /// Of these, executed with success.
    pub executed: u64,
}

pub(super) struct Journal {
    pages: Mutex<Pages>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Pages {
    entries: VecDeque<Received>,
    bytes: usize,
    by_method: BTreeMap<String, Counts>,
    total: Counts,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            pages: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Enters a request; its `sequence` is given here and returned.
    pub(super) fn enter(&self, received: Received) -> u64 {
        let sequence = self.pages().enter(received);
        self.changed.send_replace(());
        sequence
    }

    /// Notes that a request was executed.
    pub(super) fn mark_executed(&self, sequence: u64, method: &str) {
        self.pages().mark_executed(sequence, method);
        self.changed.send_replace(());
    }

    pub(super) fn entries(&self) -> Vec<Received> {
        self.pages().entries.iter().cloned().collect()
    }

    pub(super) fn entries_from(&self, sequence: u64) -> Vec<Received> {
        let pages = self.pages();
        let first = pages
            .entries
            .partition_point(|entry| entry.sequence < sequence);
        pages.entries.range(first..).cloned().collect()
    }

    pub(super) fn counts(&self, method: &str) -> Counts {
        self.pages()
            .by_method
            .get(method)
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn all_counts(&self) -> BTreeMap<String, Counts> {
        self.pages().by_method.clone()
    }

    pub(super) fn total(&self) -> Counts {
        self.pages().total
    }

    /// Resolves once the counts of a method satisfy `enough`.
    pub(super) async fn wait(&self, method: &str, enough: impl Fn(Counts) -> bool) {
        let mut changes = self.changed.subscribe();
        while !enough(self.counts(method)) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn enter(&mut self, mut received: Received) -> u64 {
        let sequence = self.total.received;
        received.sequence = sequence;
        let authenticated = u64::from(received.authenticated);
        self.count(&received.method, |counts| {
            counts.received += 1;
            counts.authenticated += authenticated;
        });
        self.bytes += weight(&received);
        self.entries.push_back(received);
        self.trim();
        sequence
    }

    fn mark_executed(&mut self, sequence: u64, method: &str) {
        self.count(method, |counts| counts.executed += 1);
        let first = self.entries.front().map_or(0, |entry| entry.sequence);
        let place = sequence
            .checked_sub(first)
            .and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            entry.executed = true;
        }
    }

    fn count(&mut self, method: &str, change: impl Fn(&mut Counts)) {
        change(&mut self.total);
        if let Some(counts) = self.by_method.get_mut(method) {
            change(counts);
        } else if self.by_method.len() < MAX_NAMES {
            change(self.by_method.entry(method.to_owned()).or_default());
        }
    }

    fn trim(&mut self) {
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= weight(&oldest);
        }
    }
}

fn weight(received: &Received) -> usize {
    received.body.len()
        + received
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, body: Bytes) -> Received {
        Received {
            sequence: 0,
            method: method.to_owned(),
            verb: "POST".to_owned(),
            query: None,
            body,
            headers: HeaderMap::new(),
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            authenticated: false,
            executed: false,
        }
    }

    #[test]
    fn the_oldest_requests_leave_and_are_still_counted() {
        let journal = Journal::new();
        let extra = 3;
        for _ in 0..MAX_ENTRIES + extra {
            journal.enter(request("m", Bytes::new()));
        }
        journal.mark_executed(0, "m");
        journal.mark_executed(5, "m");
        let kept = journal.entries();
        assert_eq!(
            (kept.len(), kept[0].sequence, journal.counts("m").executed),
            (MAX_ENTRIES, 3, 2)
        );
        assert_eq!(journal.total().received, (MAX_ENTRIES + extra) as u64);
        let executed: Vec<_> = kept
            .iter()
            .filter(|entry| entry.executed)
            .map(|entry| entry.sequence)
            .collect();
        assert_eq!(executed, [5]);
    }

    #[test]
    fn neither_large_bodies_nor_many_names_fill_the_memory() {
        let journal = Journal::new();
        let large = Bytes::from(vec![0; MAX_BYTES / 4]);
        for name in 0..MAX_NAMES + 10 {
            journal.enter(request(&name.to_string(), large.clone()));
        }
        assert_eq!(
            (journal.entries().len(), journal.all_counts().len()),
            (4, MAX_NAMES)
        );
        assert_eq!(journal.total().received, (MAX_NAMES + 10) as u64);
    }
}
