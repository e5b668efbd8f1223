//! Changing an order that rests.
//!
//! Guarantees: price and quantity of an open order change together or not at all. Does not: give the order another id,
//! though the exchange cancels and creates behind the scenes [documents].

use serde_json::{Value, json};

use super::{
    super::{amount::Amount, json::Json, settings::Refusal},
    Account, Change, Family, Status,
    order::required,
};

impl Account {
    pub(super) fn amend(
        &mut self,
        params: &Json,
        family: Family,
        now_ms: i64,
    ) -> Result<Value, Refusal> {
        let id = self.named_by(params, family)?.ok_or(Refusal::code(212))?;
        let price = Amount::positive(required(params, "new_price")?).ok_or(Refusal::code(308))?;
        let quantity =
            Amount::positive(required(params, "new_quantity")?).ok_or(Refusal::code(213))?;
        let order = self
            .orders
            .get_mut(&id)
            .filter(|order| order.status == Status::Active);
        let order = order.ok_or(Refusal::code(316))?;
        (order.price, order.quantity, order.updated_ms) = (price, quantity, now_ms);
        self.changes.push(Change::changed(order));
        Ok(json!({ "order_id": id.to_string(), "client_oid": order.client_oid }))
    }

    /// As for a cancellation; here `client_oid` may be the new name and `orig_client_oid` the one that is meant.
    fn named_by(&self, params: &Json, family: Family) -> Result<Option<u64>, Refusal> {
        match params.text("orig_client_oid") {
            Some(name) => Ok(self.by_client_oid.get(name).copied()),
            None => self.named(params, family),
        }
    }
}
