//! What a call creates, by which names, and which existing orders it is about.
//!
//! Guarantees: of the parsed call; a list and a batch have one [`Creation`] for each order. A name is kept whole, or as its
//! SHA-256 where it is longer than anything the exchange takes. [`Call::digest`] is the same for calls that mean the same: it
//! does not depend on spaces, escapes, or the order of members. Does not: know what became of a call.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{Call, InvalidCall, Params};
use crate::{
    canonical::Dialect,
    json::{self, Members},
    wire,
};
use catalogue::methods::ClientId;

/// The exchange takes 36 characters; a longer name is refused there, and need not be kept.
const MAX_NAME_BYTES: usize = 128;

/// One order, withdrawal or the like that a call creates or changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creation {
    /// The name that the caller gave it.
    pub name: Option<String>,
    /// The instrument.
    pub instrument: Option<String>,
}

impl Call {
    /// What it creates or changes, in its order; always at least one.
    #[must_use]
    pub fn creations(&self) -> Vec<Creation> {
        let client_id = self
            .method
            .info()
            .map_or(ClientId::None, |info| info.client_id);
        let params = &self.params.text;
        let whole = |name: Option<&str>| {
            // Read once: params may be long.
            let members = serde_json::from_str(params.get()).unwrap_or(Members(Vec::new()));
            Creation {
                name: name.and_then(|name| text_among(&members, name)),
                instrument: text_among(&members, "instrument_name"),
            }
        };
        match client_id {
            ClientId::None => vec![whole(None)],
            ClientId::NewOrder => vec![whole(Some("client_oid"))],
            ClientId::NewOrders => listed(params, "order_list"),
            ClientId::Batch => listed(params, "creates"),
            ClientId::ExistingOrder => vec![whole(self.new_name())],
            ClientId::Other(field) => vec![whole(Some(field))],
        }
    }

    /// The existing orders that it names, by whatever name; the method tells what is done to them.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let client_id = self.method.info().map(|info| info.client_id);
        match client_id {
            Some(ClientId::ExistingOrder) => ["client_oid", "orig_client_oid", "order_id"]
                .into_iter()
                .filter(|field| Some(*field) != self.new_name())
                .filter_map(|field| member_text(&self.params.text, field))
                .collect(),
            Some(ClientId::Batch) => named_in(&self.params.text, "cancels"),
            Some(ClientId::None) => {
                let group = member_text(&self.params.text, "list_id");
                let orders = named_in(&self.params.text, "order_list");
                group.into_iter().chain(orders).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The member that gives the order a new name, where an amendment has one: its `client_oid`, beside another name for the
    /// order that is meant (vendor documents). That of an advanced one is the order that is meant.
    fn new_name(&self) -> Option<&'static str> {
        let amends = self.method.as_str() == "private/amend-order";
        let text = |field| member_text(&self.params.text, field);
        let is_new = match text("orig_client_oid") {
            Some(old) => text("client_oid").is_some_and(|name| name != old),
            None => text("order_id").is_some(),
        };
        (amends && is_new).then_some("client_oid")
    }

    /// SHA-256 of method and params as they were understood.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut content = self.method.as_str().as_bytes().to_vec();
        push_plain(&mut content, &self.params.text);
        Sha256::digest(&content).into()
    }

    /// Whether it places one new order, by a method that has a place for its name.
    #[must_use]
    pub fn places_an_order(&self) -> bool {
        let client_id = self.method.info().map(|info| info.client_id);
        client_id == Some(ClientId::NewOrder)
    }

    /// The same call for a new order that bears this name; `None` where the method has no place for one, or it has one.
    ///
    /// # Errors
    /// [`InvalidCall::Params`], as for any params.
    pub fn named(&self, name: &str, dialect: Dialect) -> Result<Option<Self>, InvalidCall> {
        let field = match self.method.info().map(|info| info.client_id) {
            Some(ClientId::NewOrder) => "client_oid",
            Some(ClientId::Other(field)) => field,
            _ => return Ok(None),
        };
        let Ok(Members(members)) = serde_json::from_str(self.params.text()) else {
            return Ok(None);
        };
        let mut out = vec![b'{'];
        for (member, value) in &members {
            if member == field {
                if value.get() != "null" {
                    return Ok(None);
                }
                continue;
            }
            wire::push_json_string(&mut out, member);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
            out.push(b',');
        }
        wire::push_json_string(&mut out, field);
        out.push(b':');
        wire::push_json_string(&mut out, name);
        out.push(b'}');
        let text = String::from_utf8_lossy(&out).into_owned();
        let Ok(raw) = RawValue::from_string(text) else {
            return Ok(None);
        };
        Ok(Some(Self {
            params: Params::parse(Some(&raw), dialect)?,
            ..self.clone()
        }))
    }
}

/// The existing orders that the items of a list name, by one name each.
fn named_in(params: &RawValue, list: &str) -> Vec<String> {
    let name =
        |item: &RawValue| member_text(item, "order_id").or_else(|| member_text(item, "client_oid"));
    items(params, list).into_iter().filter_map(name).collect()
}

fn listed(params: &RawValue, list: &str) -> Vec<Creation> {
    let one = |order: &RawValue| Creation {
        name: member_text(order, "client_oid"),
        instrument: member_text(order, "instrument_name")
            .or_else(|| member_text(params, "instrument_name")),
    };
    let mut creations: Vec<_> = items(params, list).into_iter().map(one).collect();
    if creations.is_empty() {
        creations.push(Creation::default());
    }
    creations
}

fn items<'a>(params: &'a RawValue, list: &str) -> Vec<&'a RawValue> {
    member(params, list)
        .and_then(|list| serde_json::from_str(list.get()).ok())
        .unwrap_or_default()
}

fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    // Most that are asked for are not there, and long params are read once less.
    if !object.get().contains(name) && !object.get().contains('\\') {
        return None;
    }
    let Members(members) = serde_json::from_str(object.get()).ok()?;
    let mut members = members.into_iter();
    members
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
        .filter(|value| value.get() != "null")
}

fn member_text(object: &RawValue, name: &str) -> Option<String> {
    text_of(member(object, name)?)
}

fn text_among(Members(members): &Members<'_>, name: &str) -> Option<String> {
    let found = members.iter().find(|(key, _)| key == name)?;
    text_of(found.1)
}

/// The text of a member, a number as it is written; `None` for `null` and the empty text.
fn text_of(value: &RawValue) -> Option<String> {
    if value.get() == "null" {
        return None;
    }
    let text = json::text(value).unwrap_or(Cow::Borrowed(value.get()));
    if text.is_empty() {
        return None;
    }
    Some(kept_name(&text).into_owned())
}

/// A name as it is kept: whole, or as its SHA-256 where it is longer than anything the exchange takes.
#[must_use]
pub fn kept_name(name: &str) -> Cow<'_, str> {
    if name.len() > MAX_NAME_BYTES {
        Cow::Owned(format!("sha256:{}", hex::encode(Sha256::digest(name))))
    } else {
        Cow::Borrowed(name)
    }
}

/// Appends a value in the one form of everything that means the same: members in the order of their names, no spaces,
/// strings with the fewest escapes. Numbers stay as they are written.
fn push_plain(out: &mut Vec<u8>, value: &RawValue) {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Some(members) = json::sorted(value) else {
                out.extend_from_slice(text.as_bytes());
                return;
            };
            out.push(b'{');
            for (name, value) in members {
                wire::push_json_string(out, &name);
                out.push(b':');
                push_plain(out, value);
                out.push(b',');
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else {
                out.extend_from_slice(text.as_bytes());
                return;
            };
            out.push(b'[');
            for item in items {
                push_plain(out, item);
                out.push(b',');
            }
            out.push(b']');
        }
        // Nothing is escaped: it is written like this.
        Some(b'"') if !text.contains('\\') => out.extend_from_slice(text.as_bytes()),
        Some(b'"') => match json::text(value) {
            Some(decoded) => wire::push_json_string(out, &decoded),
            None => out.extend_from_slice(text.as_bytes()),
        },
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::RequestId;

    fn call(method: &str, params: &str) -> Call {
        let raw: Box<RawValue> = serde_json::from_str(params).unwrap();
        Call::parse(RequestId::BACKEND, method, Some(&raw), Dialect::Documented).unwrap()
    }

    fn creation(name: Option<&str>, instrument: Option<&str>) -> Creation {
        Creation {
            name: name.map(str::to_owned),
            instrument: instrument.map(str::to_owned),
        }
    }

    #[test]
    fn every_order_of_a_call_is_one_creation() {
        for (method, params, expected) in [
            (
                "private/create-order",
                r#"{"client_oid":"a","instrument_name":"BTC_USD"}"#,
                vec![creation(Some("a"), Some("BTC_USD"))],
            ),
            (
                "private/create-order",
                r#"{"client_oid":null,"side":"BUY"}"#,
                vec![creation(None, None)],
            ),
            (
                "private/create-order",
                r#"{"client_oid":""}"#,
                vec![creation(None, None)],
            ),
            (
                "private/create-order",
                r#"{"client_oid":17}"#,
                vec![creation(Some("17"), None)],
            ),
            (
                "private/create-order-list",
                r#"{"order_list":[{"client_oid":"a","instrument_name":"X"},{"side":"BUY"}]}"#,
                vec![creation(Some("a"), Some("X")), creation(None, None)],
            ),
            (
                "private/amend-order",
                r#"{"client_oid":"new","orig_client_oid":"old"}"#,
                vec![creation(Some("new"), None)],
            ),
            (
                "private/amend-order",
                r#"{"client_oid":"old"}"#,
                vec![creation(None, None)],
            ),
            (
                "private/amend-order",
                r#"{"client_oid":"old","orig_client_oid":"old"}"#,
                vec![creation(None, None)],
            ),
            (
                "private/advanced/amend-order",
                r#"{"client_oid":"old","order_id":"575"}"#,
                vec![creation(None, None)],
            ),
            (
                "private/cancel-order",
                r#"{"client_oid":"old"}"#,
                vec![creation(None, None)],
            ),
            (
                "private/create-withdrawal",
                r#"{"client_wid":"w"}"#,
                vec![creation(Some("w"), None)],
            ),
            ("private/staking/stake", "{}", vec![creation(None, None)]),
        ] {
            assert_eq!(
                call(method, params).creations(),
                expected,
                "{method} {params}"
            );
        }
    }

    #[test]
    fn existing_orders_are_targets_by_whatever_name() {
        for (method, params, expected) in [
            (
                "private/cancel-order",
                r#"{"client_oid":"a"}"#,
                &["a"] as &[_],
            ),
            ("private/cancel-order", r#"{"order_id":"575"}"#, &["575"]),
            (
                "private/amend-order",
                r#"{"client_oid":"new","orig_client_oid":"old"}"#,
                &["old"],
            ),
            ("private/amend-order", r#"{"client_oid":"old"}"#, &["old"]),
            (
                "private/advanced/amend-order",
                r#"{"client_oid":"old","order_id":"575"}"#,
                &["old", "575"],
            ),
            ("private/create-order", r#"{"client_oid":"a"}"#, &[]),
            ("private/cancel-all-orders", "{}", &[]),
            (
                "private/cancel-order-list",
                r#"{"order_list":[{"order_id":"575"},{"client_oid":"a"}]}"#,
                &["575", "a"],
            ),
            (
                "private/advanced/cancel-oco",
                r#"{"list_id":"64"}"#,
                &["64"],
            ),
        ] {
            assert_eq!(
                call(method, params).targets(),
                expected,
                "{method} {params}"
            );
        }
    }

    #[test]
    fn what_means_the_same_has_the_same_digest() {
        let digest = |params| call("private/create-order", params).digest();
        assert_eq!(
            digest(r#"{ "b" : [ "\u0041" ], "a":{"d":1,"c":2} }"#),
            digest(r#"{"a":{"c":2,"d":1},"b":["A"]}"#)
        );
        // These sign alike, and mean something else.
        assert_ne!(digest(r#"{"a":"1b2"}"#), digest(r#"{"a":"1","b":"2"}"#));
        assert_ne!(digest(r#"{"a":"1"}"#), digest(r#"{"a":1}"#));
        assert_ne!(digest("{}"), call("private/amend-order", "{}").digest());
    }

    #[test]
    fn a_name_is_put_in_where_there_is_none() {
        let named = |method, params| {
            let named = call(method, params).named("cp-1", Dialect::Documented);
            named.unwrap().map(|call| call.params.text().to_owned())
        };
        assert_eq!(
            named("private/create-order", r#"{ "side":"BUY" }"#).as_deref(),
            Some(r#"{"side":"BUY","client_oid":"cp-1"}"#)
        );
        assert_eq!(
            named("private/create-order", r#"{"client_oid":null}"#).as_deref(),
            Some(r#"{"client_oid":"cp-1"}"#)
        );
        assert_eq!(
            named("private/create-withdrawal", "{}").as_deref(),
            Some(r#"{"client_wid":"cp-1"}"#)
        );
        for (method, params) in [
            ("private/create-order", r#"{"client_oid":"mine"}"#),
            ("private/create-order-list", r#"{"order_list":[]}"#),
            ("private/cancel-order", "{}"),
        ] {
            assert_eq!(named(method, params), None, "{method} {params}");
        }
    }

    #[test]
    fn a_name_that_no_exchange_takes_is_kept_as_its_digest() {
        let long = format!(r#"{{"client_oid":"{}"}}"#, "x".repeat(50_000));
        let creations = call("private/create-order", &long).creations();
        let name = creations[0].name.as_deref().unwrap();
        assert!(name.starts_with("sha256:") && name.len() == 71, "{name}");
    }
}
