//! Several orders in one call: lists, and groups that stand or fall together.
//!
//! Guarantees: of a list each order is accepted or refused alone; of a group (OCO, OTO, OTOCO) all or none.
//! Does not: cancel one leg when another fills: nothing resting here ever fills.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    super::{authentication::Asked, json::Json, reply, settings::Refusal},
    Account, Family,
    order::Order,
};

/// Most orders in one list [documents].
const MAX_LIST: usize = 10;

impl Account {
    pub(super) fn create_list(&mut self, asked: &Asked, now_ms: i64) -> Result<Value, Refusal> {
        let legs = read_legs(asked, now_ms)?;
        let results = legs.into_iter().enumerate().map(|(index, leg)| self.list_entry(index, leg));
        Ok(results.collect())
    }

    fn list_entry(&mut self, index: usize, leg: Result<Order, Refusal>) -> Value {
        let client_oid = leg.as_ref().map(|order| order.client_oid.clone()).unwrap_or_default();
        match leg.and_then(|order| self.place(order)) {
            Ok(id) => json!({ "code": 0, "index": index, "client_oid": client_oid, "order_id": id.to_string() }),
            Err(Refusal { code, .. }) => {
                json!({ "code": code, "index": index, "client_oid": client_oid, "message": reply::message(code) })
            }
        }
    }

    /// Cancels each order of a list for itself.
    pub(super) fn cancel_list(&mut self, params: &Json, family: Family, now_ms: i64) -> Result<Value, Refusal> {
        let legs = legs(params)?;
        let results = legs.iter().enumerate().map(|(index, leg)| match self.cancel(leg, family, now_ms) {
            Ok(mut canceled) => {
                if let Some(members) = canceled.as_object_mut() {
                    members.extend([("code".to_owned(), 0.into()), ("index".to_owned(), index.into())]);
                }
                canceled
            }
            Err(Refusal { code, .. }) => json!({ "code": code, "index": index, "message": reply::message(code) }),
        });
        Ok(results.collect())
    }

    pub(super) fn create_group(&mut self, asked: &Asked, size: usize, now_ms: i64) -> Result<Value, Refusal> {
        let legs: Vec<_> = read_legs(asked, now_ms)?.into_iter().collect::<Result<_, _>>()?;
        let names: BTreeSet<_> = legs.iter().map(|leg| leg.client_oid.as_str()).collect();
        if legs.len() != size {
            return Err(Refusal::code(40004));
        }
        if names.len() != size {
            return Err(Refusal::code(204));
        }
        legs.iter().try_for_each(|leg| self.check(leg))?;
        let list_id = self.fresh_id();
        for mut leg in legs {
            leg.list_id = Some(list_id);
            self.place(leg)?;
        }
        Ok(json!({ "list_id": list_id.to_string() }))
    }
}

fn read_legs(asked: &Asked, now_ms: i64) -> Result<Vec<Result<Order, Refusal>>, Refusal> {
    let legs = legs(&asked.params)?;
    let family = Family::of(&asked.method);
    let read = |(index, leg)| Order::read(leg, family, format!("{}_{index}", asked.nonce), now_ms);
    Ok(legs.iter().enumerate().map(read).collect())
}

fn legs(params: &Json) -> Result<&[Json], Refusal> {
    let legs = params.items("order_list");
    if legs.is_empty() || legs.len() > MAX_LIST {
        return Err(Refusal::code(40004));
    }
    Ok(legs)
}
