//! What to ask the exchange when nobody knows whether a call was executed, and by which names its orders can be found.
//!
//! Guarantees: plain orders and advanced ones are looked for where the exchange keeps them; a call that names an existing
//! order or moves funds is never described as a new order; reads need no advice, because they can be repeated. An id is not
//! repeated if it could forge a log line or a header, or is longer than anything the exchange takes. Does not: invent an id.
//! Whether an order without a `client_oid` takes the nonce or the id at the exchange is contradictory in its documents: it
//! has no name here.

use serde_json::value::RawValue;

use crate::json::Members;
use catalogue::methods::{self, Class, ClientId};

/// The exchange takes 36 characters; ids of ours to repeat are bounded a little wider.
const MAX_ID_BYTES: usize = 64;
/// The exchange takes ten orders in a list.
const MAX_IDS: usize = 10;

/// What is known of the orders that a call places or names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderIds {
    /// The caller's ids in the order of the call, each safe to log.
    pub client_oids: Vec<String>,
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

    /// One line that names every order that has a name.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        if self.client_oids.is_empty() {
            return None;
        }
        Some(self.client_oids.join(","))
    }

    fn new_order(&mut self, order: &RawValue) {
        self.named(order, "client_oid");
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

const NEW_ORDER: &str = "the order may have been executed: wait a few seconds, then ask private/get-order-detail with \
                         its client_oid; never place it again under another client_oid before that";
const NEW_ADVANCED_ORDER: &str = "the order may have been executed: wait a few seconds, then ask \
                                  private/advanced/get-order-detail with its client_oid; never place it again under \
                                  another client_oid before that";
const NAMELESS_ORDER: &str = "the order may have been executed, and has no client_oid by which it could be asked for: wait a \
                              few seconds, then look for it in private/get-open-orders and private/get-order-history; never \
                              place it again before that";
const NAMELESS_ADVANCED_ORDER: &str = "the order may have been executed, and has no client_oid by which it could be asked \
                                       for: wait a few seconds, then look for it in private/advanced/get-open-orders and \
                                       private/advanced/get-order-history; never place it again before that";
const EXISTING_ORDER: &str = "the order may have been changed or cancelled: ask private/get-order-detail for it before \
                              anything else is done with it";
const EXISTING_ADVANCED_ORDER: &str = "the order may have been changed or cancelled: ask \
                                       private/advanced/get-order-detail for it before anything else is done with it";
const ANYTHING_ELSE: &str =
    "it may have been executed: look at what it would have changed before it is sent again";

/// How to find out what became of a call of this method; `None` for reads.
#[must_use]
pub fn find_out(method: &str) -> Option<&'static str> {
    let info = methods::find(method);
    if info.is_some_and(|info| info.class == Class::Read) {
        return None;
    }
    let advanced = method.starts_with("private/advanced/");
    Some(
        match (info.map_or(ClientId::None, |info| info.client_id), advanced) {
            (ClientId::NewOrder | ClientId::NewOrders | ClientId::Batch, false) => NEW_ORDER,
            (ClientId::NewOrder | ClientId::NewOrders | ClientId::Batch, true) => {
                NEW_ADVANCED_ORDER
            }
            (ClientId::ExistingOrder, false) => EXISTING_ORDER,
            (ClientId::ExistingOrder, true) => EXISTING_ADVANCED_ORDER,
            (ClientId::None | ClientId::Other(_), _) => ANYTHING_ELSE,
        },
    )
}

/// The same for new orders that have no names.
#[must_use]
pub(super) fn find_out_nameless(method: &str) -> &'static str {
    if method.starts_with("private/advanced/") {
        NAMELESS_ADVANCED_ORDER
    } else {
        NAMELESS_ORDER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(client_id: ClientId, params: &str) -> OrderIds {
        let raw: Box<RawValue> = serde_json::from_str(params).unwrap();
        OrderIds::read(client_id, &raw)
    }

    #[test]
    fn a_new_order_is_named_by_its_caller_alone() {
        let named = |params| read(ClientId::NewOrder, params).describe();
        let mine = r#"{"client_oid":"mine-1"}"#;
        assert_eq!(named(mine).as_deref(), Some("mine-1"));
        for nameless in [r#"{"side":"BUY"}"#, r#"{"client_oid":null}"#] {
            assert_eq!(named(nameless), None, "{nameless}");
        }
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
        assert_eq!(ids.describe().as_deref(), Some("a,b"));
    }

    #[test]
    fn cancelling_names_the_order() {
        let ids = read(
            ClientId::ExistingOrder,
            r#"{"client_oid":"new","orig_client_oid":"old","order_id":"575"}"#,
        );
        assert_eq!(ids.describe().as_deref(), Some("new,old"));
        assert_eq!(
            read(ClientId::ExistingOrder, r#"{"client_oid":null}"#).describe(),
            None
        );
        assert_eq!(read(ClientId::ExistingOrder, "{}").describe(), None);
    }

    #[test]
    fn ids_that_could_forge_a_line_are_not_repeated() {
        for id in ["a\\r\\nb", "a b", "é", ""] {
            let ids = read(ClientId::NewOrder, &format!(r#"{{"client_oid":"{id}"}}"#));
            assert!(ids.client_oids.is_empty(), "{id}");
        }
        let long = format!(r#"{{"client_oid":"{}"}}"#, "x".repeat(65));
        assert!(read(ClientId::NewOrder, &long).client_oids.is_empty());
    }

    #[test]
    fn each_kind_of_call_has_its_own_advice_and_reads_have_none() {
        let advice = |name| find_out(name);
        assert_eq!(advice("private/create-order-list"), Some(NEW_ORDER));
        assert_eq!(
            advice("private/advanced/create-oco"),
            Some(NEW_ADVANCED_ORDER)
        );
        assert_eq!(advice("private/cancel-order"), Some(EXISTING_ORDER));
        assert_eq!(
            advice("private/advanced/cancel-order"),
            Some(EXISTING_ADVANCED_ORDER)
        );
        for name in [
            "private/cancel-all-orders",
            "private/create-withdrawal",
            "private/not-invented-yet",
        ] {
            assert_eq!(advice(name), Some(ANYTHING_ELSE), "{name}");
        }
        for name in ["private/get-order-detail", "private/user-balance"] {
            assert_eq!(advice(name), None, "{name}");
        }
    }
}
