//! Finding out what became of attempts that ended without an answer, by asking the exchange.
//!
//! Guarantees: it only reads. "Never arrived" is said of an order only where its caller gave it a name, nothing of the attempt
//! can arrive any more, and the exchange has it neither by its name, nor among the open orders, nor in the order history of
//! that time; and only within an hour, because nobody knows how long the exchange remembers a name. What is not decided stays
//! open. Of an order that the exchange called a duplicate it is never said. One question at a time, at the intervals of the
//! journal. Does not: guess. What has no name cannot be looked for, but for cancellations, which their orders tell of, and
//! amendments of orders that did not change since. Names go first: lists, which may be long, are read beside that. Some times
//! a day it tells the journal which orders are open, because no name is forgotten while its order may be.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Map, Value, json, value::to_raw_value};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Arrival, Peer},
    clock::Clock,
    ledger::{Account, Cleared, Entry, EntryLeg, Kind, Ledger, LegEnd, Settled},
    outcome::{Outcome, Progress},
    policy::{self, Caller, Permitted as _, Policy},
    signer::Signer,
    upstream::{OurOwn, Reply, ReplyBody, Upstream},
};
use catalogue::{codes, methods};
use protocol::{
    call::{Call, RequestId},
    canonical::Dialect,
    orders_in_answer::text,
};

mod lists;

use lists::{Lists, Unlisted};

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
/// What the methods of each family of orders begin with.
const PLAIN: &str = "private/";
const ADVANCED: &str = "private/advanced/";
/// States of an order that can still be filled (vendor documents).
const OPEN: [&str; 3] = ["NEW", "PENDING", "ACTIVE"];
/// How long after a start, or a look that failed, the journal is told which orders are open, and how often from then on.
const FIRST_TOLD_AFTER: Duration = Duration::from_secs(600);
const TOLD_EVERY: Duration = Duration::from_secs(6 * 3600);
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
    /// Those that have to be looked for in lists.
    unlisted: Unlisted,
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
            unlisted: Unlisted::default(),
        }
    }

    /// Looks after what is due, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.look_by_name() => {}
            () = self.look_in_lists() => {}
            () = self.tell_again() => {}
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
            // Another exchange, or another key's account, knows nothing of those of others.
            let due = self.ledger.due(Arc::clone(&self.account), AT_ONCE).await;
            self.look_after_all(&due.unwrap_or_default(), None).await;
        }
    }

    async fn look_after_all(&self, entries: &[Entry], lists: Option<&Lists>) {
        stream::iter(entries)
            .for_each_concurrent(SIDE_BY_SIDE, |entry| self.look_after(entry, lists))
            .await;
    }

    /// Tells the journal which orders are open, without end.
    async fn tell_again(&self) {
        let mut next = FIRST_TOLD_AFTER;
        loop {
            tokio::time::sleep(next).await;
            let told = self.tell_open().await;
            next = if told { TOLD_EVERY } else { FIRST_TOLD_AFTER };
        }
    }

    /// Tells the journal which orders are open, by their ids and names; `false` where the exchange or the journal did not
    /// answer.
    pub async fn tell_open(&self) -> bool {
        let mut open = Vec::new();
        for family in [PLAIN, ADVANCED] {
            let orders = self.orders(family, "get-open-orders", &Map::new()).await;
            let Some(orders) = orders else {
                return false;
            };
            for order in orders {
                let ids = ["order_id", "client_oid"];
                open.extend(ids.iter().filter_map(|id| text(&order, id)));
            }
        }
        let account = Arc::clone(&self.account);
        self.ledger.are_open(account, open).await.is_ok()
    }

    async fn look_after(&self, entry: &Entry, lists: Option<&Lists>) {
        let open = |(_, leg): &(usize, &EntryLeg)| leg.end == LegEnd::Open;
        for (number, leg) in entry.legs.iter().enumerate().filter(open) {
            let Some(end) = self.find(entry, number, leg, lists).await else {
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
    async fn find(
        &self,
        entry: &Entry,
        number: usize,
        leg: &EntryLeg,
        lists: Option<&Lists>,
    ) -> Option<LegEnd> {
        let found = match &leg.leg.name {
            Some((_, name)) if is_digest(name) => Found::Unsaid,
            Some((Kind::Order | Kind::Amendment, name)) => {
                let found = self.order(entry, leg, name).await;
                if found == Found::NotThere {
                    self.nowhere(entry, leg, name, lists).await
                } else {
                    found
                }
            }
            // Fiat has a history of its own, of which nobody knows whether it tells the name.
            Some((Kind::Withdrawal, name)) if entry.method == "private/create-withdrawal" => {
                self.withdrawal(entry, name).await
            }
            Some((Kind::Withdrawal, _)) => Found::Unsaid,
            Some((Kind::Otc | Kind::Key, _)) => Found::Unsaid,
            None if is_amendment(&entry.method) => self.unchanged(entry).await,
            None => return self.taken_back(entry, number, leg).await,
        };
        match found {
            Found::There(order_id) => Some(LegEnd::Executed { order_id }),
            // Where the exchange called the name a duplicate, it knows it, wherever that is.
            Found::NotThere if entry.code.is_some_and(codes::is_duplicate) => None,
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
        let Some((code, result)) = self.ask(family(entry), "get-order-detail", &params).await
        else {
            return Found::Unsaid;
        };
        match code {
            // Whatever else the exchange has by this name is no proof either way.
            0 if is_of(entry, leg, &result, name) => Found::There(text(&result, "order_id")),
            code if codes::is_not_found(code) => Found::NotThere,
            _ => Found::Unsaid,
        }
    }

    /// One page of orders.
    async fn orders(
        &self,
        family: &str,
        method: &str,
        params: &impl Serialize,
    ) -> Option<Vec<Value>> {
        let (0, mut result) = self.ask(family, method, params).await? else {
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
        let Some((0, result)) = self.ask(PLAIN, "get-withdrawal-history", &params).await else {
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

    /// Whether the order that an amendment is about is as it was before: then it did not arrive. Whether a change of the order
    /// is this one, nobody knows: another amendment changes it, and so does each trade.
    async fn unchanged(&self, entry: &Entry) -> Found {
        let mut is_there = false;
        for target in &entry.targets {
            for by in ["client_oid", "order_id"] {
                let Some((code, order)) = self.detail(entry, by, target).await else {
                    return Found::Unsaid;
                };
                if codes::is_not_found(code) {
                    continue;
                }
                let updated_ms = order.get("update_time").and_then(Value::as_u64);
                let is_before =
                    updated_ms.is_some_and(|updated_ms| updated_ms + AROUND_MS < entry.begun_ms);
                if code != 0 || text(&order, by).as_ref() != Some(target) || !is_before {
                    return Found::Unsaid;
                }
                is_there = true;
            }
        }
        if is_there {
            Found::NotThere
        } else {
            Found::Unsaid
        }
    }

    /// The code and what is said of an order by one of its names; `None` where nothing is said, or nobody can ask.
    async fn detail(&self, entry: &Entry, by: &str, target: &str) -> Option<(i64, Value)> {
        if is_digest(target) {
            return None;
        }
        let params = json!({ by: target });
        self.ask(family(entry), "get-order-detail", &params).await
    }

    /// What became of a cancellation: what it was about tells. Anything else without a name cannot be looked for.
    async fn taken_back(&self, entry: &Entry, number: usize, leg: &EntryLeg) -> Option<LegEnd> {
        if !methods::cancels_orders(&entry.method) {
            return None;
        }
        let names_orders = !entry.targets.is_empty() && !is_of_a_group(&entry.method);
        let is_done = if names_orders {
            // Of a list each leg has its order; else the names are those of one.
            let own = entry.targets.get(number).filter(|_| entry.legs.len() > 1);
            let meant = own.map_or(&entry.targets[..], std::slice::from_ref);
            self.are_closed(entry, meant).await?
        } else {
            self.is_none_open(entry, leg).await?
        };
        match is_done {
            true => Some(LegEnd::Executed { order_id: None }),
            false if entry.is_dead => Some(LegEnd::Refused { code: 0 }),
            false => None,
        }
    }

    /// Whether none of the orders of these names is open any more.
    async fn are_closed(&self, entry: &Entry, targets: &[String]) -> Option<bool> {
        for target in targets {
            let mut is_there = false;
            // It may be the caller's name or the exchange's id: both look alike where the name is a number.
            for by in ["client_oid", "order_id"] {
                let (code, order) = self.detail(entry, by, target).await?;
                match code {
                    0 if OPEN.contains(&text(&order, "status")?.as_str()) => return Some(false),
                    0 => is_there = true,
                    code if codes::is_not_found(code) => {}
                    _ => return None,
                }
            }
            // Its order may have been lost on the way, too, and come yet.
            if !is_there && !entry.is_dead {
                return None;
            }
        }
        Some(true)
    }

    /// Whether none of the orders is open that were there before it: of its instrument, or of the group that it names. `None`:
    /// that cannot be told yet.
    async fn is_none_open(&self, entry: &Entry, leg: &EntryLeg) -> Option<bool> {
        let params = of_instrument(leg.leg.instrument.as_deref());
        let orders = self
            .orders(family(entry), "get-open-orders", &params)
            .await?;
        // An order may have been lost on the way, too, and come yet.
        let mut is_said = entry.is_dead;
        for order in &orders {
            let created_ms = order.get("create_time").and_then(Value::as_u64);
            match (entry.targets.first(), created_ms) {
                (Some(group), _) if text(order, "list_id").as_ref() != Some(group) => {}
                (None, Some(created_ms)) if created_ms > entry.begun_ms + AROUND_MS => {}
                // Made about then: it may have come before or after, because the clocks differ.
                (None, Some(created_ms)) if created_ms + AROUND_MS >= entry.begun_ms => {
                    is_said = false;
                }
                _ => return Some(false),
            }
        }
        is_said.then_some(true)
    }

    /// Asks a read of the exchange, of this family of orders: its code and result.
    async fn ask(
        &self,
        family: &str,
        method: &str,
        params: &impl Serialize,
    ) -> Option<(i64, Value)> {
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

/// Whether a name is kept as its digest, because nothing as long is a name at the exchange.
fn is_digest(name: &str) -> bool {
    name.starts_with("sha256:")
}

fn is_amendment(method: &str) -> bool {
    method.ends_with("/amend-order")
}

fn is_advanced(method: &str) -> bool {
    method.starts_with(ADVANCED)
}

fn family(entry: &Entry) -> &'static str {
    if is_advanced(&entry.method) {
        ADVANCED
    } else {
        PLAIN
    }
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
