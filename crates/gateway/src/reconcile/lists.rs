//! Orders that are not found by their names, looked for in the lists of the exchange.

use std::{
    collections::{HashMap, HashSet, hash_map},
    mem,
    sync::{Mutex as StdMutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::{Mutex, Notify};

use super::{
    AROUND_MS, AT_ONCE, EVERY, Found, PAGE, Reconciler, family, is_advanced, is_of, of_instrument,
};
use crate::ledger::{Entry, EntryLeg};
use protocol::orders_in_answer::text;

/// The exchange answers one question about the order history in a second (vendor documents).
const BETWEEN_PAGES: Duration = Duration::from_secs(1);
/// Pages of the order history that are read at a time: of an account that makes a hundred orders a second, those of four
/// minutes and more.
const MOST_PAGES: usize = 300;
/// Pages that are asked for again, of as many.
const MOST_FAILED_PAGES: usize = 5;
/// Attempts that wait to be looked for; the journal names the others again.
const MOST_UNLISTED: usize = 1000;

/// Attempts that wait to be looked for in lists: those that cannot arrive any more, and are not found by their names.
#[derive(Debug, Default)]
pub(super) struct Unlisted {
    waiting: StdMutex<Vec<Entry>>,
    added: Notify,
}

impl Unlisted {
    fn add(&self, entry: &Entry) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = waiting.iter().any(|known| known.attempt == entry.attempt);
        if !is_known && waiting.len() < MOST_UNLISTED {
            waiting.push(entry.clone());
            self.added.notify_one();
        }
    }

    async fn take(&self) -> Vec<Entry> {
        self.added.notified().await;
        mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whose orders, and of which instrument.
type List = (bool, Option<String>);

/// Orders that were read for all who look for theirs in them.
pub(super) struct Lists {
    from_ms: u64,
    until_ms: u64,
    /// Of the history, orders of these names are kept.
    names: HashSet<String>,
    /// `None`: not all of them could be read.
    read: Mutex<HashMap<List, Option<Vec<Value>>>>,
}

impl Lists {
    fn around(entries: &[Entry]) -> Self {
        let begun = || entries.iter().map(|entry| entry.begun_ms);
        let (first, last) = (begun().min(), begun().max());
        let legs = entries.iter().flat_map(|entry| &entry.legs);
        let names = legs.filter_map(|leg| leg.leg.name.as_ref());
        Self {
            from_ms: first.map_or(0, |first| first.saturating_sub(AROUND_MS)),
            until_ms: last.map_or(0, |last| last.saturating_add(AROUND_MS)),
            names: names.map(|(_, name)| name.clone()).collect(),
            read: Mutex::default(),
        }
    }
}

impl Reconciler {
    /// Looks for what is not found by its name and cannot arrive any more, without end. A list of many pages takes minutes,
    /// so all who have to be looked for share it.
    pub(super) async fn look_in_lists(&self) {
        loop {
            let entries = self.unlisted.take().await;
            let lists = Lists::around(&entries);
            for some in entries.chunks(AT_ONCE) {
                self.look_after_all(some, Some(&lists)).await;
                if lists.read.lock().await.values().any(Option::is_none) {
                    break;
                }
                // So many questions in a second are within what the exchange answers.
                tokio::time::sleep(EVERY).await;
            }
        }
    }

    /// Whether an order that is not found by its name stands in a list: the open orders, or the history of its time.
    pub(super) async fn nowhere(
        &self,
        entry: &Entry,
        leg: &EntryLeg,
        name: &str,
        lists: Option<&Lists>,
    ) -> Found {
        if !self.is_surely_dead(entry) {
            return Found::NotThere;
        }
        let Some(lists) = lists else {
            self.unlisted.add(entry);
            return Found::Unsaid;
        };
        let instrument = &leg.leg.instrument;
        let list = (is_advanced(&entry.method), instrument.clone());
        let mut read = lists.read.lock().await;
        let orders = match read.entry(list) {
            hash_map::Entry::Occupied(read) => read.into_mut(),
            hash_map::Entry::Vacant(unread) => {
                let orders = self.all_orders(entry, instrument.as_deref(), lists).await;
                unread.insert(orders)
            }
        };
        let Some(orders) = orders else {
            return Found::Unsaid;
        };
        let named = |order: &&Value| text(order, "client_oid").as_deref() == Some(name);
        let mut named = orders.iter().filter(named).peekable();
        if named.peek().is_none() {
            return Found::NotThere;
        }
        match named.find(|order| is_of(entry, leg, order, name)) {
            Some(order) => Found::There(text(order, "order_id")),
            None => Found::Unsaid,
        }
    }

    /// The open orders and those of the history around these attempts; `None` where that is not all of them.
    async fn all_orders(
        &self,
        entry: &Entry,
        instrument: Option<&str>,
        lists: &Lists,
    ) -> Option<Vec<Value>> {
        let mut params = of_instrument(instrument);
        let mut all = self
            .orders(family(entry), "get-open-orders", &params)
            .await?;
        params.insert("limit".to_owned(), PAGE.into());
        params.insert("start_time".to_owned(), lists.from_ms.into());
        let mut until_ms = lists.until_ms;
        let mut failed = 0;
        for page in 0..MOST_PAGES {
            if page > 0 {
                tokio::time::sleep(BETWEEN_PAGES).await;
            }
            params.insert("end_time".to_owned(), until_ms.into());
            let page = self.orders(family(entry), "get-order-history", &params);
            let Some(orders) = page.await else {
                // A caller's own question may have been in the same second.
                failed += 1;
                if failed > MOST_FAILED_PAGES {
                    return None;
                }
                continue;
            };
            let created = orders
                .iter()
                .map(|order| order.get("create_time")?.as_u64());
            let oldest_ms = created.collect::<Option<Vec<_>>>()?.into_iter().min();
            let is_last = orders.len() < PAGE;
            let named = |order: &Value| {
                text(order, "client_oid").is_some_and(|name| lists.names.contains(&name))
            };
            all.extend(orders.into_iter().filter(named));
            // The newest come first. Others may have been made in the same millisecond as the oldest of this page.
            match oldest_ms {
                Some(oldest_ms) if !is_last && oldest_ms + 1 < until_ms => until_ms = oldest_ms + 1,
                _ if is_last => return Some(all),
                _ => return None,
            }
        }
        None
    }
}
