//! The one account of a stand-in: what it holds, its orders, its trades.
//!
//! Guarantees: limit and trigger orders rest until cancelled; market orders, and limit orders that may not rest, fill
//! at once at their price and move balances or positions; nothing costs a fee. A `client_oid` or `client_wid` is taken
//! once for good: across families and lists, by an amendment too, and longer than its order is remembered.
//! Every order that was placed, changed or cancelled is told once as a [`Change`], as it stood then; trades likewise.
//! Does not: match, trigger, expire or reserve anything; several keys share the account.

mod list;
mod order;
mod query;
mod transfer;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde_json::{Value, json};

pub(super) use self::order::Family;
use self::order::{Order, Side, Status, client_oid, required};
use super::{
    amount::Amount,
    authentication::ParsedCall,
    executed::{Deed, Executed},
    json::Json,
    market,
    settings::{Names, Refusal},
};

/// Beyond this many, the oldest order or trade is forgotten. Its name stays taken.
const MAX_KEPT: usize = if cfg!(test) { 1_000 } else { 100_000 };
const FIRST_ORDER_ID: u64 = 6_142_909_898_000_000_000;
const ACCOUNT_ID: &str = "52e7c00f-1324-4a6a-8f01-de445bde21a5";

/// Balances, positions, orders and trades.
pub(super) struct Account {
    balances: BTreeMap<String, Amount>,
    positions: BTreeMap<&'static str, Amount>,
    orders: BTreeMap<u64, Order>,
    /// Every name that was ever taken, and the order that took it.
    by_client_oid: HashMap<String, u64>,
    /// Whether names are taken once.
    pub(super) names: Names,
    /// Every `client_wid` that was ever taken.
    client_wids: HashSet<String>,
    trades: VecDeque<Value>,
    withdrawals: VecDeque<Value>,
    next_id: u64,
    placed: u64,
    /// What happened since it was last asked for: the streams tell it on.
    changes: Vec<Change>,
    /// What was executed since it was last asked for: for the record.
    deeds: Vec<Deed>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// An order, as the queries show it, and whether it is new.
    Order {
        id: u64,
        is_new: bool,
        family: Family,
        shown: Value,
    },
    /// A trade, as the queries show it.
    Trade(Value),
    /// Money moved without a trade.
    Balance,
}

impl Change {
    fn placed(order: &Order) -> Self {
        Self::order(order, true)
    }

    fn changed(order: &Order) -> Self {
        Self::order(order, false)
    }

    fn order(order: &Order, is_new: bool) -> Self {
        Self::Order {
            id: order.id,
            is_new,
            family: order.family,
            shown: order.describe(ACCOUNT_ID),
        }
    }

    /// The order that is new by it.
    pub(crate) fn placed_id(&self) -> Option<u64> {
        match self {
            Self::Order {
                id, is_new: true, ..
            } => Some(*id),
            Self::Order { .. } | Self::Trade(_) | Self::Balance => None,
        }
    }

    /// Whether it moved money or positions.
    pub(crate) fn moves_money(&self) -> bool {
        matches!(self, Self::Trade(_) | Self::Balance)
    }
}

impl Account {
    /// An account that holds these amounts; text that is no amount counts as nothing.
    pub(super) fn new(balances: &[(String, String)]) -> Self {
        let amount = |text: &String| Amount::parse(text).unwrap_or_default();
        Self {
            balances: balances
                .iter()
                .map(|(currency, text)| (currency.clone(), amount(text)))
                .collect(),
            positions: BTreeMap::new(),
            orders: BTreeMap::new(),
            by_client_oid: HashMap::new(),
            names: Names::Once,
            client_wids: HashSet::new(),
            trades: VecDeque::new(),
            withdrawals: VecDeque::new(),
            next_id: FIRST_ORDER_ID,
            placed: 0,
            changes: Vec::new(),
            deeds: Vec::new(),
        }
    }

    /// Takes the names of what an earlier stand-in executed, and goes on after its ids. The orders are not known here.
    pub(super) fn go_on_after(&mut self, executed: &[Executed]) {
        for entry in executed {
            let id = entry.order_id.as_ref().and_then(|id| id.parse().ok());
            let nonce = || entry.nonce.map(|nonce| nonce.to_string());
            if entry.method.ends_with("withdrawal") || entry.method.ends_with("withdraw") {
                self.client_wids.extend(entry.client_oid.clone());
            } else if let (Some(id), Some(name)) = (id, entry.client_oid.clone().or_else(nonce)) {
                self.by_client_oid.insert(name, id);
            }
            self.next_id = self.next_id.max(id.unwrap_or_default());
        }
    }

    /// How many orders were ever accepted.
    pub(super) fn placed(&self) -> u64 {
        self.placed
    }

    /// The order of this `client_oid`, as the queries show it.
    pub(super) fn order(&self, client_oid: &str) -> Option<Value> {
        self.orders
            .get(self.by_client_oid.get(client_oid)?)
            .map(|order| order.describe(ACCOUNT_ID))
    }

    /// Executes a call that was found in order. A method without behaviour here succeeds with an empty list.
    pub(super) fn execute(&mut self, asked: &ParsedCall, now_ms: i64) -> Result<Value, Refusal> {
        let params = &asked.params;
        let family = Family::of(&asked.method);
        match asked.method.as_str() {
            "private/create-order" | "private/advanced/create-order" => {
                self.create(asked, family, now_ms)
            }
            "private/create-order-list" | "private/advanced/create-order-list" => {
                list::create(self, asked, now_ms)
            }
            "private/advanced/create-oco" => list::create_group(self, asked, "OCO", 2, now_ms),
            "private/advanced/create-oto" => list::create_group(self, asked, "OTO", 2, now_ms),
            "private/advanced/create-otoco" => list::create_group(self, asked, "OTOCO", 3, now_ms),
            "private/advanced/cancel-oco" => list::cancel_group(self, params, "OCO", now_ms),
            "private/advanced/cancel-oto" => list::cancel_group(self, params, "OTO", now_ms),
            "private/advanced/cancel-otoco" => list::cancel_group(self, params, "OTOCO", now_ms),
            "private/amend-order" | "private/advanced/amend-order" => {
                self.amend(params, family, now_ms)
            }
            "private/cancel-order-list" | "private/advanced/cancel-order-list" => {
                Ok(list::cancel(self, list::legs(params)?, family, now_ms))
            }
            "private/batch-order-request" => list::batch(self, asked, now_ms),
            "private/cancel-order" | "private/advanced/cancel-order" => {
                self.cancel(params, family, now_ms)
            }
            "private/cancel-all-orders" | "private/advanced/cancel-all-orders" => {
                self.cancel_all(params, family, now_ms)
            }
            "private/create-withdrawal" => transfer::withdraw(self, params, now_ms),
            method if method.starts_with("public/") => market::answer(method, params, now_ms),
            _ => {
                transfer::note(self, asked)?;
                query::answer(self, asked, family, now_ms)
            }
        }
    }

    fn create(
        &mut self,
        asked: &ParsedCall,
        family: Family,
        now_ms: i64,
    ) -> Result<Value, Refusal> {
        let default_oid = self.default_oid(asked);
        let order = Order::read(&asked.params, family, default_oid, now_ms)?;
        let client_oid = order.client_oid.clone();
        let id = self.place(order)?;
        Ok(json!({ "order_id": id.to_string(), "client_oid": client_oid }))
    }

    /// What a nameless order is called: the nonce [documents]. A frame may have none; then it is something new.
    fn default_oid(&mut self, asked: &ParsedCall) -> String {
        match asked.nonce {
            0 => self.fresh_id().to_string(),
            nonce => nonce.to_string(),
        }
    }

    /// Checks that an order could be placed now.
    fn check(&self, order: &Order) -> Result<(), Refusal> {
        if self.names == Names::Once && self.by_client_oid.contains_key(&order.client_oid) {
            return Err(Refusal::code(204));
        }
        let value = order.value().ok_or(Refusal::code(314))?;
        let (currency, cost) = match order.side {
            Side::Buy => (order.instrument.quote, value),
            Side::Sell => (order.instrument.base, order.quantity),
        };
        if !order.is_on_margin() && self.balance(currency) < cost {
            return Err(Refusal::code(306));
        }
        Ok(())
    }

    fn place(&mut self, mut order: Order) -> Result<u64, Refusal> {
        self.check(&order)?;
        let id = self.fresh_id();
        order.id = id;
        if order.fills_at_once() {
            order.status = Status::Filled;
            self.fill(&order);
        }
        self.by_client_oid.insert(order.client_oid.clone(), id);
        self.changes.push(Change::placed(&order));
        self.deeds.push(order.deed());
        self.orders.insert(id, order);
        self.placed += 1;
        self.forget_oldest();
        Ok(id)
    }

    fn forget_oldest(&mut self) {
        if self.orders.len() > MAX_KEPT {
            self.orders.pop_first();
        }
        self.trades.truncate(MAX_KEPT);
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn fill(&mut self, order: &Order) {
        let (value, instrument) = (order.value().unwrap_or_default(), order.instrument);
        let signed = match order.side {
            Side::Buy => order.quantity,
            Side::Sell => Amount::ZERO.minus(order.quantity),
        };
        if instrument.is_perpetual() {
            let position = self.positions.entry(instrument.name).or_default();
            *position = position.plus(signed);
        } else {
            let paid = if order.side == Side::Buy {
                Amount::ZERO.minus(value)
            } else {
                value
            };
            self.add(instrument.base, signed);
            self.add(instrument.quote, paid);
        }
        let trade = trade(order, self.fresh_id());
        self.changes.push(Change::Trade(trade.clone()));
        self.trades.push_front(trade);
    }

    fn balance(&self, currency: &str) -> Amount {
        self.balances.get(currency).copied().unwrap_or_default()
    }

    fn add(&mut self, currency: &str, amount: Amount) {
        let balance = self.balances.entry(currency.to_owned()).or_default();
        *balance = balance.plus(amount);
    }

    fn cancel(&mut self, params: &Json, family: Family, now_ms: i64) -> Result<Value, Refusal> {
        let id = self.named(params, family)?.ok_or(Refusal::code(212))?;
        let order = self.cancel_open(id, now_ms).ok_or(Refusal::code(316))?;
        Ok(json!({ "order_id": id.to_string(), "client_oid": order.client_oid }))
    }

    /// Cancels an order and tells of it; `None` where none of this id is open.
    fn cancel_open(&mut self, id: u64, now_ms: i64) -> Option<&Order> {
        let order = self.orders.get_mut(&id)?;
        if order.status != Status::Active {
            return None;
        }
        (order.status, order.updated_ms) = (Status::Canceled, now_ms);
        self.changes.push(Change::changed(order));
        Some(order)
    }

    fn cancel_all(&mut self, params: &Json, family: Family, now_ms: i64) -> Result<Value, Refusal> {
        let open = self.open(family, params.text("instrument_name"));
        let ids: Vec<u64> = open.map(|order| order.id).collect();
        self.cancel_these(&ids, now_ms);
        Ok(Value::Null)
    }

    /// The order that `order_id` or `client_oid` names, if there is one; naming none is an error of the caller's.
    fn named(&self, params: &Json, family: Family) -> Result<Option<u64>, Refusal> {
        let id = match (params.text("order_id"), params.text("client_oid")) {
            (Some(order_id), _) => order_id.parse().ok(),
            (None, Some(client_oid)) => self.by_client_oid.get(client_oid).copied(),
            (None, None) => return Err(Refusal::code(40004)),
        };
        Ok(self.of_family(id, family))
    }

    /// Price, quantity and name change together or not at all. The order keeps its id, though the exchange cancels and
    /// creates behind the scenes [documents]; it is found by its old name too, which stays taken.
    fn amend(&mut self, params: &Json, family: Family, now_ms: i64) -> Result<Value, Refusal> {
        let id = self
            .to_be_amended(params, family)?
            .ok_or(Refusal::code(212))?;
        let price = Amount::positive(required(params, "new_price")?).ok_or(Refusal::code(308))?;
        let quantity =
            Amount::positive(required(params, "new_quantity")?).ok_or(Refusal::code(213))?;
        let order = self
            .orders
            .get_mut(&id)
            .filter(|order| order.status == Status::Active);
        let order = order.ok_or(Refusal::code(316))?;
        let new_name = match family {
            Family::Plain => client_oid(params)?,
            Family::Advanced => None,
        };
        if let Some(name) = &new_name {
            if self.by_client_oid.contains_key(name) {
                return Err(Refusal::code(204));
            }
            self.by_client_oid.insert(name.clone(), id);
            (order.client_oid, order.is_named) = (name.clone(), true);
        }
        (order.price, order.quantity, order.updated_ms) = (price, quantity, now_ms);
        self.changes.push(Change::changed(order));
        self.deeds.push(Deed {
            client_oid: new_name,
            ..order.deed()
        });
        Ok(json!({ "order_id": id.to_string(), "client_oid": order.client_oid }))
    }

    /// The order that an amendment means: `order_id` before `orig_client_oid`. Of a plain one `client_oid` is the new
    /// name, of an advanced one the order that is meant [documents].
    fn to_be_amended(&self, params: &Json, family: Family) -> Result<Option<u64>, Refusal> {
        let id = match (params.text("order_id"), params.text("orig_client_oid")) {
            (None, Some(name)) => self.by_client_oid.get(name).copied(),
            (None, None) if family == Family::Plain => return Err(Refusal::code(40004)),
            _ => return self.named(params, family),
        };
        Ok(self.of_family(id, family))
    }

    fn of_family(&self, id: Option<u64>, family: Family) -> Option<u64> {
        id.filter(|id| {
            self.orders
                .get(id)
                .is_some_and(|order| order.family == family)
        })
    }

    /// What was executed since the last time.
    pub(crate) fn take_deeds(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds)
    }

    /// What happened since the last time.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Cancels these orders as far as they are open.
    pub(crate) fn cancel_these(&mut self, ids: &[u64], now_ms: i64) {
        for id in ids {
            self.cancel_open(*id, now_ms);
        }
    }

    /// The open orders of a family and, where one is named, of one instrument.
    fn open(&self, family: Family, instrument: Option<&str>) -> impl Iterator<Item = &Order> {
        self.orders.values().filter(move |order| {
            order.family == family
                && order.status == Status::Active
                && instrument.is_none_or(|name| order.instrument.name == name)
        })
    }

    /// The same as the queries show them: the first thing a subscriber gets.
    pub(crate) fn open_now(&self, family: Family, instrument: Option<&str>) -> Value {
        self.open(family, instrument)
            .map(|order| order.describe(ACCOUNT_ID))
            .collect()
    }

    /// The `data` of the balance query.
    pub(crate) fn balance_now(&self) -> Value {
        query::user_balance(self)
            .get_mut("data")
            .map(Value::take)
            .unwrap_or_default()
    }

    /// The `data` of the position query.
    pub(crate) fn positions_now(&self, now_ms: i64) -> Value {
        query::position_list(self, now_ms)
            .get_mut("data")
            .map(Value::take)
            .unwrap_or_default()
    }
}

fn trade(order: &Order, trade_id: u64) -> Value {
    json!({
        "account_id": ACCOUNT_ID,
        "event_date": date(order.created_ms),
        "journal_type": "TRADING",
        "side": order.side,
        "instrument_name": order.instrument.name,
        "traded_price": order.price.to_string(),
        "traded_quantity": order.quantity.to_string(),
        "fees": "0",
        "fee_instrument_name": order.instrument.quote,
        "order_id": order.id.to_string(),
        "client_oid": order.client_oid,
        "trade_id": trade_id.to_string(),
        "trade_match_id": trade_id.to_string(),
        "taker_side": "TAKER",
        "create_time": order.created_ms,
        "create_time_ns": nanoseconds(order.created_ms),
        "transact_time_ns": nanoseconds(order.created_ms),
        "fee_credits": "0",
        "match_count": "1",
        "match_index": "0",
    })
}

/// The day of a moment, as `YYYY-MM-DD`.
fn date(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|moment| moment.strftime("%F").to_string())
        .unwrap_or_default()
}

fn nanoseconds(ms: i64) -> String {
    format!("{ms}000000")
}
