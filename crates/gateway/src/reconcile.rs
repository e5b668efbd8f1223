//! Finding out what became of attempts that ended without an answer, by asking the exchange.
//!
//! Guarantees: it only reads. "Never arrived" is said of an order only where its caller gave it a name, nothing of the attempt
//! can arrive any more, and the exchange has it neither by its name, nor among the open orders, nor in the order history of
//! that time; and only within an hour, because nobody knows how long the exchange remembers a name. What is not decided stays
//! open. One question at a time, at the intervals of the journal. Names go first: lists, which may be long, are read beside
//! that. Does not: look for what has no name.

use std::{
    collections::{HashMap, HashSet, hash_map},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Map, Value, json, value::to_raw_value};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Arrival, Peer},
    clock::Clock,
    ledger::{Account, Cleared, Entry, EntryLeg, Kind, Ledger, LegEnd, Listing, Settled},
    outcome::{Outcome, Progress},
    policy::{self, Caller, Permitted as _, Policy},
    signer::Signer,
    upstream::{OurOwn, Reply, ReplyBody, Upstream},
};
use catalogue::methods::{self, MethodInfo};
use protocol::{
    call::{Call, RequestId},
    canonical::Dialect,
    orders_in_answer::text,
};

/// How often the journal is asked what is due.
const EVERY: Duration = Duration::from_secs(1);
/// Attempts that are looked after in one round.
const AT_ONCE: usize = 64;
/// Of these, so many at a time; the exchange answers 30 questions about orders in 100 ms.
const SIDE_BY_SIDE: usize = 8;
/// From this age on an order that is not found may have been forgotten.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Where the clocks differ, an order may stand in the history a little beside its time, in milliseconds.
const AROUND_MS: u64 = 120_000;
const PATIENCE: Duration = Duration::from_secs(5);
/// The exchange's codes for an order that it does not know.
const NOT_FOUND: [i64; 2] = [40401, 212];
/// States of an order that can still be filled (vendor documents).
const OPEN: [&str; 3] = ["NEW", "PENDING", "ACTIVE"];
/// The exchange answers one question about the order history in a second (vendor documents).
const BETWEEN_PAGES: Duration = Duration::from_secs(1);
/// Pages of the order history that are read at a time: of an account that makes a hundred orders a second, those of four
/// minutes and more.
const MOST_PAGES: usize = 300;
/// Pages that are asked for again, of as many.
const MOST_FAILED_PAGES: usize = 5;
/// Attempts that are looked for in the same lists.
const MOST_IN_LISTS: usize = 1000;
/// The longest page of the order history (vendor documents).
const PAGE: usize = 100;

/// Looks after what is open.
#[derive(Debug)]
pub struct Reconciler {
    ledger: Arc<dyn Ledger>,
    account: Arc<Account>,
    signer: Arc<Signer>,
    upstream: Arc<Upstream>,
    clock: Clock,
    caller: Caller,
    /// Somebody has to be looked for in lists.
    lists_wanted: Notify,
}

/// Whose orders, and of which instrument.
type List = (bool, Option<String>);

/// Orders that were read for all who look for theirs in them.
struct Lists {
    from_ms: u64,
    until_ms: u64,
    /// Of all orders those of these names are kept.
    names: HashSet<String>,
    /// `None`: not all of them could be read.
    read: Mutex<HashMap<List, Option<Vec<Value>>>>,
}

impl Lists {
    fn around(entries: &[Entry]) -> Self {
        let begun = || entries.iter().map(|entry| entry.begun_ms);
        let names = entries.iter().flat_map(names);
        Self {
            from_ms: begun()
                .min()
                .map_or(0, |first| first.saturating_sub(AROUND_MS)),
            until_ms: begun()
                .max()
                .map_or(0, |last| last.saturating_add(AROUND_MS)),
            names: names.map(str::to_owned).collect(),
            read: Mutex::default(),
        }
    }
}

/// What the exchange says of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// It is there, with this id.
    There(Option<String>),
    /// It is not.
    NotThere,
    /// It did not say.
    Unsaid,
}

impl Reconciler {
    pub(crate) fn new(
        ledger: Arc<dyn Ledger>,
        account: Arc<Account>,
        signer: Arc<Signer>,
        upstream: Arc<Upstream>,
        clock: Clock,
    ) -> Self {
        Self {
            ledger,
            account,
            signer,
            upstream,
            clock,
            caller: Caller {
                name: "crypto-proxy".into(),
                policy: Policy::default(),
            },
            lists_wanted: Notify::new(),
        }
    }

    /// Looks after what is due, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.look_by_name() => {}
            () = self.look_in_lists() => {}
        }
    }

    /// Looks after what is due, without end.
    async fn look_by_name(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.ledger.in_doubt() == 0 {
                continue;
            }
            // Where the journal does not answer, the next round asks again.
            let mut entries = self.ledger.due(AT_ONCE).await.unwrap_or_default();
            // Another exchange, or another key's account, knows nothing of them.
            entries.retain(|entry| entry.account == *self.account);
            let all = stream::iter(&entries);
            all.for_each_concurrent(SIDE_BY_SIDE, |entry| self.look_after(entry, None))
                .await;
        }
    }

    /// Looks for what is not found by its name and cannot arrive any more, without end. A list of many pages takes minutes,
    /// so all who have to be looked for share it.
    async fn look_in_lists(&self) {
        loop {
            self.lists_wanted.notified().await;
            let open = Listing {
                open: true,
                most: MOST_IN_LISTS,
                ..Listing::default()
            };
            let mut entries = self.ledger.list(open).await.unwrap_or_default();
            entries.retain(|entry| {
                entry.account == *self.account
                    && self.is_surely_dead(entry)
                    && names(entry).next().is_some()
            });
            let lists = Lists::around(&entries);
            for some in entries.chunks(AT_ONCE) {
                stream::iter(some)
                    .for_each_concurrent(SIDE_BY_SIDE, |entry| self.look_after(entry, Some(&lists)))
                    .await;
                // So many questions in a second are within what the exchange answers.
                tokio::time::sleep(EVERY).await;
                if lists.read.lock().await.values().any(Option::is_none) {
                    break;
                }
            }
        }
    }

    async fn look_after(&self, entry: &Entry, lists: Option<&Lists>) {
        let open = |(_, leg): &(usize, &EntryLeg)| leg.end == LegEnd::Open;
        for (number, leg) in entry.legs.iter().enumerate().filter(open) {
            let Some(end) = self.find(entry, leg, lists).await else {
                continue;
            };
            let word = match end {
                LegEnd::Executed { .. } => "executed",
                LegEnd::Refused { .. } => "never_arrived",
                LegEnd::Open => continue,
            };
            let settled = Settled::Leg { leg: number, end };
            if let Ok(true) = self.ledger.settle(entry.attempt, settled).await {
                tracing::info!(
                    "event=order_found_out rid={} caller={} method={} name={} became={word}",
                    entry.rid,
                    entry.caller,
                    entry.method,
                    leg.leg.name.as_ref().map_or("none", |(_, name)| name),
                );
            }
        }
    }

    /// What became of one leg; `None` where it cannot be told now.
    async fn find(&self, entry: &Entry, leg: &EntryLeg, lists: Option<&Lists>) -> Option<LegEnd> {
        let found = match &leg.leg.name {
            // Kept as its digest, because nothing as long is a name there.
            Some((_, name)) if name.starts_with("sha256:") => Found::Unsaid,
            Some((Kind::Order | Kind::Amendment, name)) => {
                let found = self.order(entry, leg, name).await;
                if found == Found::NotThere {
                    self.nowhere(entry, leg, name, lists).await
                } else {
                    found
                }
            }
            Some((Kind::Withdrawal, name)) => self.withdrawal(entry, name).await,
            Some((Kind::Otc | Kind::Key, _)) => Found::Unsaid,
            None => return self.taken_back(entry, leg).await,
        };
        match found {
            Found::There(order_id) => Some(LegEnd::Executed { order_id }),
            Found::NotThere if self.is_surely_dead(entry) => Some(LegEnd::Refused { code: 0 }),
            Found::NotThere | Found::Unsaid => None,
        }
    }

    /// Whether nothing of it can arrive any more, and the exchange still remembers what it knew.
    fn is_surely_dead(&self, entry: &Entry) -> bool {
        let age = self.clock.now_ms().saturating_sub(entry.begun_ms);
        entry.is_dead && Duration::from_millis(age) < REMEMBERED
    }

    /// An order by its name.
    async fn order(&self, entry: &Entry, leg: &EntryLeg, name: &str) -> Found {
        let params = json!({ "client_oid": name });
        let Some((code, result)) = self.ask(entry, "get-order-detail", &params).await else {
            return Found::Unsaid;
        };
        match code {
            // Whatever else the exchange has by this name is no proof either way.
            0 if is_of(entry, leg, &result, name) => Found::There(text(&result, "order_id")),
            code if NOT_FOUND.contains(&code) => Found::NotThere,
            _ => Found::Unsaid,
        }
    }

    /// Whether an order that is not found by its name stands in a list: the open orders, or the history of its time.
    async fn nowhere(
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
            self.lists_wanted.notify_one();
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

    /// The open orders and those of the history around the attempts of this round; `None` where that is not all of them.
    async fn all_orders(
        &self,
        entry: &Entry,
        instrument: Option<&str>,
        lists: &Lists,
    ) -> Option<Vec<Value>> {
        let mut params = of_instrument(instrument);
        let mut all = self.orders(entry, "get-open-orders", &params).await?;
        params.insert("limit".to_owned(), PAGE.into());
        params.insert("start_time".to_owned(), lists.from_ms.into());
        let mut until_ms = lists.until_ms;
        let mut failed = 0;
        for page in 0..MOST_PAGES {
            if page > 0 {
                tokio::time::sleep(BETWEEN_PAGES).await;
            }
            params.insert("end_time".to_owned(), until_ms.into());
            let Some(orders) = self.orders(entry, "get-order-history", &params).await else {
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

    /// One page of orders.
    async fn orders(
        &self,
        entry: &Entry,
        method: &str,
        params: &impl Serialize,
    ) -> Option<Vec<Value>> {
        let (0, mut result) = self.ask(entry, method, params).await? else {
            return None;
        };
        match result.get_mut("data")?.take() {
            Value::Array(orders) => Some(orders),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => None,
        }
    }

    /// A withdrawal by its name.
    async fn withdrawal(&self, entry: &Entry, name: &str) -> Found {
        let params = json!({
            "start_ts": entry.begun_ms.saturating_sub(AROUND_MS),
            "page_size": PAGE,
        });
        let Some((0, result)) = self.ask(entry, "get-withdrawal-history", &params).await else {
            return Found::Unsaid;
        };
        let Some(list) = result.get("withdrawal_list").and_then(Value::as_array) else {
            return Found::Unsaid;
        };
        let meant = |one: &&Value| text(one, "client_wid").as_deref() == Some(name);
        match list.iter().find(meant) {
            Some(one) => Found::There(text(one, "id")),
            None if list.len() < PAGE => Found::NotThere,
            None => Found::Unsaid,
        }
    }

    /// What became of a cancellation: what it was about tells. Anything else without a name cannot be looked for.
    async fn taken_back(&self, entry: &Entry, leg: &EntryLeg) -> Option<LegEnd> {
        let is_cancellation = methods::find(&entry.method).is_some_and(MethodInfo::cancels_orders);
        if !is_cancellation {
            return None;
        }
        let names_orders = !entry.targets.is_empty() && !is_of_a_group(&entry.method);
        let is_done = if names_orders {
            self.are_closed(entry).await?
        } else {
            self.is_none_open(entry, leg).await?
        };
        match is_done {
            true => Some(LegEnd::Executed { order_id: None }),
            false if entry.is_dead => Some(LegEnd::Refused { code: 0 }),
            false => None,
        }
    }

    /// Whether none of the orders that it names is open any more.
    async fn are_closed(&self, entry: &Entry) -> Option<bool> {
        for target in &entry.targets {
            // It may be the caller's name or the exchange's id: both look alike where the name is a number.
            for by in ["client_oid", "order_id"] {
                let params = json!({ by: target });
                let (code, order) = self.ask(entry, "get-order-detail", &params).await?;
                let is_open = match code {
                    0 => OPEN.contains(&text(&order, "status")?.as_str()),
                    code if NOT_FOUND.contains(&code) => false,
                    _ => return None,
                };
                if is_open {
                    return Some(false);
                }
            }
        }
        Some(true)
    }

    /// Whether none of the orders is open that were there before it: of its instrument, or of the group that it names.
    async fn is_none_open(&self, entry: &Entry, leg: &EntryLeg) -> Option<bool> {
        let params = of_instrument(leg.leg.instrument.as_deref());
        let orders = self.orders(entry, "get-open-orders", &params).await?;
        let is_meant = |order: &&Value| match entry.targets.first() {
            Some(group) => text(order, "list_id").as_ref() == Some(group),
            None => order
                .get("create_time")
                .and_then(Value::as_u64)
                .is_none_or(|created_ms| created_ms <= entry.begun_ms),
        };
        Some(!orders.iter().any(|order| is_meant(&order)))
    }

    /// Asks a read of the exchange, of the same family of orders: its code and result.
    async fn ask(
        &self,
        entry: &Entry,
        method: &str,
        params: &impl Serialize,
    ) -> Option<(i64, Value)> {
        let family = if is_advanced(&entry.method) && method != "get-withdrawal-history" {
            "private/advanced/"
        } else {
            "private/"
        };
        let params = to_raw_value(params).ok()?;
        let method = format!("{family}{method}");
        let call = Call::parse(
            RequestId::BACKEND,
            &method,
            Some(&params),
            Dialect::Documented,
        );
        let arrival = Arrival {
            source: &Peer::Unix { uid: None },
            now_ms: self.clock.now_ms(),
        };
        let permit = policy::authorize(&self.caller, arrival, call.ok()?).ok()?;
        let turn = self
            .signer
            .turn(&self.clock, permit.call(), &self.caller.name)
            .ok()?;
        let prepared = self.signer.prepare(Cleared::unwritten(permit)?, turn);
        let progress = Arc::new(Progress::default());
        let mut room = OurOwn;
        let asking = self.upstream.send(prepared, &progress, &mut room);
        let reply = tokio::time::timeout(PATIENCE, asking).await.ok()?.ok()?;
        let (code, bytes) = conclusive(&reply)?;
        let answer: Value = serde_json::from_slice(bytes).ok()?;
        Some((code, answer.get("result").cloned().unwrap_or_default()))
    }
}

/// Whether an order of the exchange's is that of a leg. One that was there long before may be another, of the same name, or
/// the clocks differ.
fn is_of(entry: &Entry, leg: &EntryLeg, order: &Value, name: &str) -> bool {
    if text(order, "client_oid").as_deref() != Some(name) {
        return false;
    }
    let time = |member| order.get(member).and_then(Value::as_u64);
    match leg.leg.name {
        // An order can have had its new name before it was changed.
        Some((Kind::Amendment, _)) => {
            time("update_time").is_some_and(|updated_ms| updated_ms >= entry.begun_ms)
        }
        _ => time("create_time").is_none_or(|created_ms| created_ms + AROUND_MS >= entry.begun_ms),
    }
}

/// Params that ask for the orders of one instrument, or of all.
fn of_instrument(instrument: Option<&str>) -> Map<String, Value> {
    let named = instrument.map(|name| ("instrument_name".to_owned(), name.into()));
    named.into_iter().collect()
}

/// The names of an attempt that are names at the exchange.
fn names(entry: &Entry) -> impl Iterator<Item = &str> {
    let names = entry.legs.iter().filter_map(|leg| leg.leg.name.as_ref());
    names.map(|(_, name)| &**name)
}

fn is_advanced(method: &str) -> bool {
    method.starts_with("private/advanced/")
}

/// Whether a cancellation names a group by its `list_id`.
fn is_of_a_group(method: &str) -> bool {
    ["cancel-oco", "cancel-oto", "cancel-otoco"]
        .iter()
        .any(|group| method.ends_with(group))
}

/// The code and the bytes of an answer that says something.
fn conclusive(reply: &Reply) -> Option<(i64, &[u8])> {
    match (&reply.body, reply.code()) {
        (ReplyBody::Json { bytes, .. }, Some(code))
            if Outcome::of_code(Some(code)) == Outcome::Answered =>
        {
            Some((code, bytes))
        }
        _ => None,
    }
}
