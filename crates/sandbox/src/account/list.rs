//! Several orders in one call: lists, batches, and groups that stand or fall together.
//!
//! Guarantees: of a list or batch each order is accepted or refused alone, cancellations first; of a group (OCO, OTO,
//! OTOCO) all or none. The answer to a batch is our guess: the documents show none.
//! Does not: cancel one leg when another fills: nothing resting here ever fills.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    super::{authentication::ParsedCall, json::Json, reply, settings::Refusal},
    Account, Family, Status,
    order::{Leg, Order, required},
};

/// Most orders in one list [documents].
const MAX_LIST: usize = 10;

pub(super) fn create(
    account: &mut Account,
    asked: &ParsedCall,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let legs = read_legs(account, asked, now_ms)?;
    let results = legs
        .into_iter()
        .enumerate()
        .map(|(index, leg)| entry(account, index, leg));
    Ok(results.collect())
}

fn entry(account: &mut Account, index: usize, leg: Result<Order, Refusal>) -> Value {
    let client_oid = leg
        .as_ref()
        .map(|order| order.client_oid.clone())
        .unwrap_or_default();
    match leg.and_then(|order| account.place(order)) {
        Ok(id) => {
            json!({ "code": 0, "index": index, "client_oid": client_oid, "order_id": id.to_string() })
        }
        Err(Refusal { code, .. }) => {
            json!({ "code": code, "index": index, "client_oid": client_oid, "message": reply::message(code) })
        }
    }
}

/// Cancels each of these orders by itself.
pub(super) fn cancel(account: &mut Account, named: &[Json], family: Family, now_ms: i64) -> Value {
    let one = |(index, params): (usize, &Json)| match account.cancel(params, family, now_ms) {
        Ok(mut done) => {
            if let Some(members) = done.as_object_mut() {
                members.extend([
                    ("code".to_owned(), json!(0)),
                    ("index".to_owned(), json!(index)),
                ]);
            }
            done
        }
        Err(Refusal { code, .. }) => {
            json!({ "code": code, "index": index, "message": reply::message(code) })
        }
    };
    named.iter().enumerate().map(one).collect()
}

/// Cancellations, then creations; not atomic [documents].
pub(super) fn batch(
    account: &mut Account,
    asked: &ParsedCall,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let (cancels, creates) = (asked.params.items("cancels"), asked.params.items("creates"));
    if cancels.is_empty() && creates.is_empty() || creates.len() > MAX_LIST {
        return Err(Refusal::code(40004));
    }
    let cancelled = cancel(account, cancels, Family::Plain, now_ms);
    let default_oid = account.default_oid(asked);
    let legs = read_each(creates, Family::Plain, &default_oid, now_ms);
    let created: Value = legs
        .into_iter()
        .enumerate()
        .map(|(index, leg)| entry(account, index, leg))
        .collect();
    Ok(json!({ "cancels": cancelled, "creates": created }))
}

pub(super) fn create_group(
    account: &mut Account,
    asked: &ParsedCall,
    contingency: &'static str,
    size: usize,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let legs: Vec<_> = read_legs(account, asked, now_ms)?
        .into_iter()
        .collect::<Result<_, _>>()?;
    let names: BTreeSet<_> = legs.iter().map(|leg| leg.client_oid.as_str()).collect();
    if legs.len() != size {
        return Err(Refusal::code(40004));
    }
    if names.len() != size {
        return Err(Refusal::code(204));
    }
    legs.iter().try_for_each(|leg| account.check(leg))?;
    let list_id = account.fresh_id();
    for (number, mut leg) in (1..).zip(legs) {
        leg.leg = Some(Leg {
            list_id,
            contingency,
            number,
        });
        account.place(leg)?;
    }
    Ok(json!({ "list_id": list_id.to_string() }))
}

/// Cancels what is open of a group of this kind. No result tells of it [documents].
pub(super) fn cancel_group(
    account: &mut Account,
    params: &Json,
    contingency: &str,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let list_id = required(params, "list_id")?;
    let list_ids = [list_id];
    let legs: Vec<_> = of_lists(account, &list_ids)
        .filter(|(leg, _)| leg.contingency == contingency)
        .map(|(_, order)| (order.id, order.status))
        .collect();
    if legs.is_empty() {
        return Err(Refusal::code(212));
    }
    let open: Vec<u64> = legs
        .into_iter()
        .filter(|(_, status)| *status == Status::Active)
        .map(|(id, _)| id)
        .collect();
    if open.is_empty() {
        return Err(Refusal::code(316));
    }
    account.cancel_these(&open, now_ms);
    Ok(Value::Null)
}

/// The orders of these groups, leg by leg.
pub(super) fn of_lists<'a>(
    account: &'a Account,
    list_ids: &[&str],
) -> impl Iterator<Item = (Leg, &'a Order)> {
    account.orders.values().filter_map(move |order| {
        let leg = order.leg?;
        list_ids
            .contains(&leg.list_id.to_string().as_str())
            .then_some((leg, order))
    })
}

fn read_legs(
    account: &mut Account,
    asked: &ParsedCall,
    now_ms: i64,
) -> Result<Vec<Result<Order, Refusal>>, Refusal> {
    let legs = legs(&asked.params)?;
    let (family, default_oid) = (Family::of(&asked.method), account.default_oid(asked));
    Ok(read_each(legs, family, &default_oid, now_ms))
}

fn read_each(
    legs: &[Json],
    family: Family,
    default_oid: &str,
    now_ms: i64,
) -> Vec<Result<Order, Refusal>> {
    let read = |(index, leg)| Order::read(leg, family, format!("{default_oid}_{index}"), now_ms);
    legs.iter().enumerate().map(read).collect()
}

/// The orders of a list, which is neither empty nor too long.
pub(super) fn legs(params: &Json) -> Result<&[Json], Refusal> {
    let legs = params.items("order_list");
    if legs.is_empty() || legs.len() > MAX_LIST {
        return Err(Refusal::code(40004));
    }
    Ok(legs)
}
