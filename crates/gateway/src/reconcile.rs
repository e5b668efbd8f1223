//! Finding out what became of attempts that ended without an answer, by asking the exchange.
//!
//! Guarantees: it only reads. "Never arrived" is said of an order only where its caller gave it a name, nothing of the attempt
//! can arrive any more, and the exchange has it neither by its name, nor among the open orders, nor in the order history of
//! that time; and only within an hour, because nobody knows how long the exchange remembers a name. What is not decided stays
//! open. One question at a time, at the intervals of the journal. Does not: look for what has no name.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json, value::RawValue};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Arrival, Peer},
    clock::Clock,
    ledger::{Cleared, Entry, EntryLeg, Kind, Ledger, LegEnd, Settled},
    outcome::{Outcome, Progress},
    policy::{self, Caller, Permitted as _, Policy},
    signer::Signer,
    upstream::{OurOwn, Reply, ReplyBody, Upstream},
};
use protocol::{
    call::{Call, RequestId},
    canonical::Dialect,
};

/// How often the journal is asked what is due.
const EVERY: Duration = Duration::from_secs(1);
/// Attempts that are looked after in one round.
const AT_ONCE: usize = 16;
/// From this age on an order that is not found may have been forgotten.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Where the clocks differ, an order may stand in the history a little beside its time.
const AROUND: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(5);
/// The exchange's codes for an order that it does not know.
const NOT_FOUND: [i64; 2] = [40401, 212];
/// The longest page of the order history (vendor documents).
const PAGE: usize = 100;

/// Looks after what is open.
#[derive(Debug)]
pub struct Reconciler {
    ledger: Arc<dyn Ledger>,
    signer: Arc<Signer>,
    upstream: Arc<Upstream>,
    clock: Clock,
    caller: Caller,
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
        signer: Arc<Signer>,
        upstream: Arc<Upstream>,
        clock: Clock,
    ) -> Self {
        Self {
            ledger,
            signer,
            upstream,
            clock,
            caller: Caller {
                name: "crypto-proxy".into(),
                policy: Policy::default(),
            },
        }
    }

    /// Looks after what is due, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if self.ledger.in_doubt() == 0 {
                continue;
            }
            // Where the journal does not answer, the next round asks again.
            for entry in self.ledger.due(AT_ONCE).await.unwrap_or_default() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.look_after(&entry) => {}
                }
            }
        }
    }

    async fn look_after(&self, entry: &Entry) {
        let open = |(_, leg): &(usize, &EntryLeg)| leg.end == LegEnd::Open;
        for (number, leg) in entry.legs.iter().enumerate().filter(open) {
            let Some(end) = self.find(entry, leg).await else {
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
    async fn find(&self, entry: &Entry, leg: &EntryLeg) -> Option<LegEnd> {
        let found = match &leg.leg.name {
            Some((Kind::Order | Kind::Amendment, name)) => {
                let found = self.order(entry, &json!({ "client_oid": name })).await;
                if found == Found::NotThere {
                    self.nowhere(entry, leg, name).await
                } else {
                    found
                }
            }
            Some((Kind::Withdrawal, name)) => self.withdrawal(entry, name).await,
            Some((Kind::Otc | Kind::Key, _)) => Found::Unsaid,
            None => return self.taken_back(entry).await,
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

    /// An order by its name or id.
    async fn order(&self, entry: &Entry, params: &Value) -> Found {
        let Some((code, result)) = self.ask(entry, "get-order-detail", params).await else {
            return Found::Unsaid;
        };
        match code {
            0 => Found::There(text(&result, "order_id")),
            code if NOT_FOUND.contains(&code) => Found::NotThere,
            _ => Found::Unsaid,
        }
    }

    /// Whether an order that is not found by its name stands in a list: the open orders, or the history of its time.
    async fn nowhere(&self, entry: &Entry, leg: &EntryLeg, name: &str) -> Found {
        if !self.is_surely_dead(entry) {
            return Found::NotThere;
        }
        let instrument = leg.leg.instrument.as_deref();
        let mut open = json!({});
        let around = u64::try_from(AROUND.as_millis()).unwrap_or(u64::MAX);
        let mut past = json!({
            "start_time": entry.begun_ms.saturating_sub(around),
            "end_time": entry.begun_ms + around,
            "limit": PAGE,
        });
        for params in [&mut open, &mut past] {
            if let (Some(instrument), Some(params)) = (instrument, params.as_object_mut()) {
                params.insert("instrument_name".to_owned(), json!(instrument));
            }
        }
        for (method, params, is_whole) in [
            ("get-open-orders", open, usize::MAX),
            ("get-order-history", past, PAGE),
        ] {
            let Some((0, result)) = self.ask(entry, method, &params).await else {
                return Found::Unsaid;
            };
            let Some(orders) = result.get("data").and_then(Value::as_array) else {
                return Found::Unsaid;
            };
            let meant = |order: &&Value| text(order, "client_oid").as_deref() == Some(name);
            if let Some(order) = orders.iter().find(meant) {
                return Found::There(text(order, "order_id"));
            }
            // A page that is full does not show all.
            if orders.len() >= is_whole {
                return Found::Unsaid;
            }
        }
        Found::NotThere
    }

    /// A withdrawal by its name.
    async fn withdrawal(&self, entry: &Entry, name: &str) -> Found {
        let around = u64::try_from(AROUND.as_millis()).unwrap_or(u64::MAX);
        let params = json!({
            "start_ts": entry.begun_ms.saturating_sub(around),
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

    /// What became of a cancellation: its targets tell. What has neither a name nor a target cannot be looked for.
    async fn taken_back(&self, entry: &Entry) -> Option<LegEnd> {
        let is_cancellation = catalogue::methods::find(&entry.method)
            .is_some_and(catalogue::methods::MethodInfo::cancels_orders);
        let (true, [target, ..]) = (is_cancellation, &entry.targets[..]) else {
            return None;
        };
        let of = if target.bytes().all(|byte| byte.is_ascii_digit()) && target.len() > 12 {
            "order_id"
        } else {
            "client_oid"
        };
        let params = json!({ of: target });
        let (code, result) = self.ask(entry, "get-order-detail", &params).await?;
        let status = text(&result, "status");
        match (code, status.as_deref()) {
            (0, Some("ACTIVE" | "NEW" | "PENDING")) if entry.is_dead => {
                Some(LegEnd::Refused { code: 0 })
            }
            (0, Some("ACTIVE" | "NEW" | "PENDING") | None) => None,
            (0, Some(_)) => Some(LegEnd::Executed { order_id: None }),
            // There is nothing that it could have taken back.
            (code, _) if NOT_FOUND.contains(&code) && entry.is_dead => {
                Some(LegEnd::Refused { code })
            }
            _ => None,
        }
    }

    /// Asks a read of the exchange, of the same family of orders: its code and result.
    async fn ask(&self, entry: &Entry, method: &str, params: &Value) -> Option<(i64, Value)> {
        let is_advanced = entry.method.starts_with("private/advanced/");
        let family = if is_advanced && method != "get-withdrawal-history" {
            "private/advanced/"
        } else {
            "private/"
        };
        let params = RawValue::from_string(params.to_string()).ok()?;
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

fn text(object: &Value, member: &str) -> Option<String> {
    match object.get(member)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
