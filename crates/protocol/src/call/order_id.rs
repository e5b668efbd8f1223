//! The names by which the orders of a call can be found again when its outcome is unknown.
//!
//! Guarantees: an id that could forge a log line or a header, or is longer than anything the exchange takes, is not
//! repeated. Does not: invent an id; an order without a `client_oid` takes the nonce at the exchange (vendor
//! documents), and only the stage that knows the nonce can say so.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::canonical::Members;
use catalogue::methods::ClientId;

/// The exchange takes 36 characters; ids of ours to repeat are bounded a little wider.
const MAX_ID_BYTES: usize = 64;
/// The exchange takes ten orders in a list.
const MAX_IDS: usize = 10;

/// What is known of the orders that a call places or names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderIds {
    /// The caller's ids in the order of the call, each safe to log.
    pub client_oids: Vec<String>,
    /// Whether some order is new and has no id of the caller's, so that the exchange takes the nonce for it.
    pub takes_nonce: bool,
}

impl OrderIds {
    /// Reads them from a params object; what cannot be read is left out.
    #[must_use]
    pub fn read(client_id: ClientId, params: &RawValue) -> Self {
        let mut ids = Self::default();
        match client_id {
            ClientId::None => {}
            ClientId::NewOrder => ids.new_order(params),
            ClientId::NewOrders => ids.new_orders(params, "order_list"),
            ClientId::Batch => ids.new_orders(params, "creates"),
            ClientId::ExistingOrder => {
                ["client_oid", "orig_client_oid"]
                    .iter()
                    .for_each(|field| ids.named(params, field));
            }
            ClientId::Other(field) => ids.named(params, field),
        }
        ids
    }

    /// One line that names every order: the caller's ids, and the nonce where the exchange takes it.
    #[must_use]
    pub fn describe(&self, nonce: u64) -> Option<String> {
        let mut line = self.client_oids.join(",");
        if self.takes_nonce {
            let _ = write!(line, "{}{nonce}", if line.is_empty() { "" } else { "," });
        }
        (!line.is_empty()).then_some(line)
    }

    /// The caller's ids alone, before there is a nonce.
    #[must_use]
    pub fn describe_named(&self) -> Option<String> {
        (!self.client_oids.is_empty()).then(|| self.client_oids.join(","))
    }

    fn new_order(&mut self, order: &RawValue) {
        match member(order, "client_oid") {
            Some(id) if id.get() != "null" => self.push(id),
            _ => self.takes_nonce = true,
        }
    }

    fn new_orders(&mut self, params: &RawValue, list: &str) {
        let list = member(params, list)
            .and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list.get()).ok());
        for order in list.unwrap_or_default().into_iter().take(MAX_IDS) {
            self.new_order(order);
        }
    }

    fn named(&mut self, params: &RawValue, field: &str) {
        if let Some(id) = member(params, field).filter(|id| id.get() != "null") {
            self.push(id);
        }
    }

    fn push(&mut self, id: &RawValue) {
        let text = serde_json::from_str::<String>(id.get()).unwrap_or_else(|_| id.get().to_owned());
        let safe = (1..=MAX_ID_BYTES).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        if safe {
            self.client_oids.push(text);
        }
    }
}

fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let Members(members) = serde_json::from_str(object.get()).ok()?;
    members
        .into_iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(client_id: ClientId, params: &str) -> OrderIds {
        let raw: Box<RawValue> = serde_json::from_str(params).unwrap();
        OrderIds::read(client_id, &raw)
    }

    #[test]
    fn a_new_order_without_an_id_takes_the_nonce() {
        assert_eq!(
            read(ClientId::NewOrder, r#"{"side":"BUY"}"#)
                .describe(17)
                .as_deref(),
            Some("17")
        );
        assert_eq!(
            read(ClientId::NewOrder, r#"{"client_oid":"mine-1"}"#)
                .describe(17)
                .as_deref(),
            Some("mine-1")
        );
    }

    #[test]
    fn null_is_no_id() {
        assert_eq!(
            read(ClientId::NewOrder, r#"{"client_oid":null}"#)
                .describe(17)
                .as_deref(),
            Some("17")
        );
    }

    #[test]
    fn an_order_id_is_the_exchanges_name_and_no_client_oid() {
        assert_eq!(
            read(ClientId::ExistingOrder, r#"{"order_id":"575"}"#),
            OrderIds::default()
        );
    }

    #[test]
    fn every_leg_of_a_list_is_named() {
        let ids = read(
            ClientId::NewOrders,
            r#"{"order_list":[{"client_oid":"a"},{"side":"BUY"},{"client_oid":"b"}]}"#,
        );
        assert_eq!(ids.describe(17).as_deref(), Some("a,b,17"));
    }

    #[test]
    fn cancelling_names_the_order_and_never_the_nonce() {
        let ids = read(
            ClientId::ExistingOrder,
            r#"{"client_oid":"new","orig_client_oid":"old","order_id":"575"}"#,
        );
        assert_eq!(ids.describe(17).as_deref(), Some("new,old"));
        assert_eq!(
            read(ClientId::ExistingOrder, r#"{"client_oid":null}"#).describe(17),
            None
        );
        assert_eq!(read(ClientId::ExistingOrder, "{}").describe(17), None);
    }

    #[test]
    fn ids_that_could_forge_a_line_are_not_repeated() {
        for id in ["a\\r\\nb", "a b", "é", ""] {
            let ids = read(ClientId::NewOrder, &format!(r#"{{"client_oid":"{id}"}}"#));
            assert!(ids.client_oids.is_empty() && !ids.takes_nonce, "{id}");
        }
        let long = format!(r#"{{"client_oid":"{}"}}"#, "x".repeat(65));
        assert!(read(ClientId::NewOrder, &long).client_oids.is_empty());
    }
}
