//! One order: read from params, shown as the exchange shows it.
//!
//! Guarantees: an order that could be read has an instrument, a side, a type and the numbers that its type needs, all
//! above zero.
//! Does not: know the account; duplicates and balances are checked where the order is placed.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::{
    amount::Amount,
    executed::Deed,
    json::Json,
    market::{self, Instrument},
    settings::Refusal,
};

/// Longest `client_oid`, in characters [documents].
const MAX_CLIENT_OID: usize = 36;

/// Which family of methods an order belongs to: each sees its own only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `private/…`
    Plain,
    /// `private/advanced/…`
    Advanced,
}

impl Family {
    pub(super) fn of(method: &str) -> Self {
        if method.starts_with("private/advanced/") {
            Self::Advanced
        } else {
            Self::Plain
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Side {
    Buy,
    Sell,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Buy => "BUY",
            Self::Sell => "SELL",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    Active,
    Filled,
    Canceled,
}

/// An order's place in a group (OCO, OTO, OTOCO).
#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub(super) list_id: u64,
    pub(super) contingency: &'static str,
    /// From one.
    pub(super) number: usize,
}

/// One order.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Given by the account.
    pub(super) id: u64,
    pub(super) client_oid: String,
    /// Whether the caller gave that name.
    pub(super) is_named: bool,
    pub(super) family: Family,
    pub(super) leg: Option<Leg>,
    pub(super) instrument: &'static Instrument,
    pub(super) side: Side,
    pub(super) kind: String,
    time_in_force: String,
    exec_inst: Vec<String>,
    pub(super) quantity: Amount,
    /// What it is worth per piece: its own limit, or the market's price.
    pub(super) price: Amount,
    ref_price: Option<Amount>,
    pub(super) status: Status,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
}

impl Order {
    /// Reads the params of a new order; `default_oid` names it where the caller does not.
    pub(super) fn read(
        params: &Json,
        family: Family,
        default_oid: String,
        now_ms: i64,
    ) -> Result<Self, Refusal> {
        let instrument =
            market::find(required(params, "instrument_name")?).ok_or(Refusal::code(209))?;
        let side = match required(params, "side")? {
            "BUY" => Side::Buy,
            "SELL" => Side::Sell,
            _ => return Err(Refusal::code(220)),
        };
        let kind = kind(params, family)?;
        let price = price(params, kind)?.unwrap_or_else(|| instrument.price());
        let (time_in_force, exec_inst) = (time_in_force(params)?, exec_inst(params));
        if exec_inst.iter().any(|inst| inst == "POST_ONLY") && time_in_force != "GOOD_TILL_CANCEL" {
            return Err(Refusal::code(43005));
        }
        let client_oid = client_oid(params)?;
        Ok(Self {
            id: 0,
            is_named: client_oid.is_some(),
            client_oid: client_oid.unwrap_or(default_oid),
            family,
            leg: None,
            instrument,
            side,
            kind: kind.to_owned(),
            time_in_force,
            exec_inst,
            quantity: quantity(params, kind, side, price)?,
            price,
            ref_price: ref_price(params, kind)?,
            status: Status::Active,
            created_ms: now_ms,
            updated_ms: now_ms,
        })
    }

    /// Whether it is done the moment it is placed: nothing rests on this market but plain limit and trigger orders.
    pub(super) fn fills_at_once(&self) -> bool {
        self.kind == "MARKET" || (self.kind == "LIMIT" && self.time_in_force != "GOOD_TILL_CANCEL")
    }

    /// Whether it borrows: its cost is then not taken from what the account has.
    pub(super) fn is_on_margin(&self) -> bool {
        self.instrument.is_perpetual() || self.exec_inst.iter().any(|inst| inst == "MARGIN_ORDER")
    }

    /// Price times quantity; `None` beyond any amount.
    pub(super) fn value(&self) -> Option<Amount> {
        self.price.times(self.quantity)
    }

    /// The order as the record of what was executed has it.
    pub(super) fn deed(&self) -> Deed {
        Deed {
            client_oid: self.is_named.then(|| self.client_oid.clone()),
            order_id: Some(self.id.to_string()),
            instrument: Some(self.instrument.name.to_owned()),
            side: Some(self.side.name().to_owned()),
            quantity: Some(self.quantity.to_string()),
        }
    }

    /// As the order queries show it. One without a trigger has `0` and `NULL_VAL` for it, as libraries have seen.
    pub(super) fn describe(&self, account_id: &str) -> Value {
        let is_filled = self.status == Status::Filled;
        let filled = |amount: Amount| {
            if is_filled {
                amount.to_string()
            } else {
                "0".to_owned()
            }
        };
        let value = self.value().unwrap_or_default();
        let mut order = json!({
            "account_id": account_id,
            "order_id": self.id.to_string(),
            "client_oid": self.client_oid,
            "order_type": self.kind,
            "time_in_force": self.time_in_force,
            "side": self.side,
            "exec_inst": self.exec_inst,
            "quantity": self.quantity.to_string(),
            "limit_price": self.price.to_string(),
            "order_value": value.to_string(),
            "maker_fee_rate": "0",
            "taker_fee_rate": "0",
            "avg_price": filled(self.price),
            "cumulative_quantity": filled(self.quantity),
            "cumulative_value": filled(value),
            "cumulative_fee": "0",
            "status": self.status,
            "update_user_id": account_id,
            "order_date": &super::date(self.created_ms),
            "instrument_name": self.instrument.name,
            "fee_instrument_name": self.instrument.quote,
            "create_time": self.created_ms,
            "create_time_ns": super::nanoseconds(self.created_ms),
            "update_time": self.updated_ms,
            "reason": "0",
            "ref_price": self.ref_price.unwrap_or_default().to_string(),
            "ref_price_type": if self.ref_price.is_some() { "MARK_PRICE" } else { "NULL_VAL" },
        });
        if let (Some(members), Some(leg)) = (order.as_object_mut(), self.leg) {
            members.extend([
                ("list_id".to_owned(), json!(leg.list_id.to_string())),
                ("contingency_type".to_owned(), json!(leg.contingency)),
                ("leg_id".to_owned(), json!(leg.number.to_string())),
            ]);
        }
        order
    }
}

/// A member that must be there and not blank.
pub(super) fn required<'a>(params: &'a Json, name: &str) -> Result<&'a str, Refusal> {
    params.text(name).ok_or(Refusal::code(40004))
}

fn kind(params: &Json, family: Family) -> Result<&str, Refusal> {
    let kind = required(params, "type")?;
    match (kind, family) {
        ("LIMIT" | "MARKET", _) => Ok(kind),
        ("STOP_LOSS" | "STOP_LIMIT" | "TAKE_PROFIT" | "TAKE_PROFIT_LIMIT", Family::Advanced) => {
            Ok(kind)
        }
        ("STOP_LOSS" | "STOP_LIMIT" | "TAKE_PROFIT" | "TAKE_PROFIT_LIMIT", Family::Plain) => {
            Err(Refusal::code(140_001))
        }
        _ => Err(Refusal::code(218)),
    }
}

fn price(params: &Json, kind: &str) -> Result<Option<Amount>, Refusal> {
    if !kind.contains("LIMIT") {
        return Ok(None);
    }
    Amount::positive(required(params, "price")?)
        .map(Some)
        .ok_or(Refusal::code(308))
}

fn quantity(params: &Json, kind: &str, side: Side, price: Amount) -> Result<Amount, Refusal> {
    let invalid = Refusal::code(213);
    match params.text("notional") {
        Some(notional) if kind == "MARKET" && side == Side::Buy => Amount::positive(notional)
            .and_then(|notional| notional.over(price))
            .ok_or(invalid),
        _ => Amount::positive(required(params, "quantity")?).ok_or(invalid),
    }
}

fn ref_price(params: &Json, kind: &str) -> Result<Option<Amount>, Refusal> {
    if matches!(kind, "LIMIT" | "MARKET") {
        return Ok(None);
    }
    Amount::positive(required(params, "ref_price")?)
        .map(Some)
        .ok_or(Refusal::code(229))
}

/// The name that a caller gives to an order.
pub(super) fn client_oid(params: &Json) -> Result<Option<String>, Refusal> {
    name(params, "client_oid", MAX_CLIENT_OID)
}

/// A name that a caller gives. One of a wrong type is a bad request; one that is blank or too long an invalid argument.
/// The documents name no character that is not allowed.
pub(super) fn name(params: &Json, field: &str, longest: usize) -> Result<Option<String>, Refusal> {
    match params.member(field) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(text)) if text.trim().is_empty() || text.chars().count() > longest => {
            Err(Refusal::code(40004))
        }
        Some(Json::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::code(40001)),
    }
}

fn time_in_force(params: &Json) -> Result<String, Refusal> {
    match params.text("time_in_force").unwrap_or("GOOD_TILL_CANCEL") {
        known @ ("GOOD_TILL_CANCEL" | "IMMEDIATE_OR_CANCEL" | "FILL_OR_KILL") => {
            Ok(known.to_owned())
        }
        _ => Err(Refusal::code(221)),
    }
}

fn exec_inst(params: &Json) -> Vec<String> {
    let text = |json: &Json| json.as_text().map(str::to_owned);
    match params.member("exec_inst") {
        Some(Json::List(items)) => items.iter().filter_map(text).collect(),
        Some(other) => text(other).into_iter().collect(),
        None => Vec::new(),
    }
}
