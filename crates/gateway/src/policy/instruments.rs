//! Which instruments a caller may act on, judged on the parsed params.
//!
//! Guarantees: what is named is what the exchange acts on: only methods that place orders or act on an instrument as a
//! whole, by a name in their params, count as bound to an instrument; every leg of a list is looked at. A call that acts
//! on orders by their ids cannot be bound, because the exchange takes an instrument beside an id for decoration: it is
//! refused, unless the operator allows ids. Any further member whose name speaks of instruments is held to the list.
//! Does not: hide anything: a read that names no instrument shows the whole account.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use catalogue::methods::Class;
use protocol::{call::Call, json::Members};

/// Longest name of an instrument.
const MAX_NAME_BYTES: usize = 64;
const NAME: &str = "instrument_name";
const LEGS: &str = "order_list";
/// What every member that names an instrument has in its own name.
const SPEAKS_OF_INSTRUMENTS: &str = "instrument";

/// Act on what `instrument_name` names.
const BY_NAME: [&str; 7] = [
    "private/create-order",
    "private/advanced/create-order",
    "private/cancel-all-orders",
    "private/advanced/cancel-all-orders",
    "private/close-position",
    "private/staking/stake",
    "private/staking/unstake",
];
/// Act on what `order_list[].instrument_name` names.
const BY_LEGS: [&str; 5] = [
    "private/create-order-list",
    "private/advanced/create-order-list",
    "private/advanced/create-oco",
    "private/advanced/create-oto",
    "private/advanced/create-otoco",
];
/// Its parts are judged as calls of their own; an instrument beside them binds none of them.
const BY_PARTS: &str = "private/batch-order-request";
/// Act on what both of these name.
const CONVERT: &str = "private/staking/convert";
const CONVERTED: [&str; 2] = ["from_instrument_name", "to_instrument_name"];

/// The instruments that a caller may act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruments {
    /// Their names, as the exchange writes them.
    pub names: BTreeSet<String>,
    /// Whether orders may be changed and cancelled by their ids, whichever instrument they are of.
    pub orders_by_id: bool,
}

/// Why a call is outside the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// It names an instrument that is not in the list.
    Named,
    /// It acts, and names no instrument where it has to.
    Unnamed,
    /// It acts on orders by their ids.
    ById,
    /// It acts, and cannot name an instrument.
    Unbound,
}

/// What binds a method to instruments.
enum Bound {
    Reads,
    ByMembers(&'static [&'static str]),
    ByLegs,
    ByParts,
    OwnOrders,
    ById,
    Not,
}

impl Instruments {
    /// These names, as the exchange writes them, and no ids.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: names.into_iter().collect(),
            orders_by_id: false,
        }
    }

    /// Whether a text can be the name of an instrument.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let known =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
        (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(known)
    }

    /// The reason why a call is outside the list, if it is.
    pub(super) fn judge(&self, call: &Call) -> Option<Unlisted> {
        let Some(members) = members(call.params.text()) else {
            return Some(Unlisted::Named);
        };
        if !members
            .iter()
            .all(|(key, value)| self.holds_all(key, value))
        {
            return Some(Unlisted::Named);
        }
        let (bound, otherwise) = match bound(call) {
            Bound::Reads | Bound::ByParts | Bound::OwnOrders => return None,
            Bound::ByMembers(keys) => {
                let named = keys.iter().all(|key| is_named(&members, key));
                (named, Unlisted::Unnamed)
            }
            Bound::ByLegs => (every_leg_is_named(&members), Unlisted::Unnamed),
            Bound::ById => (self.orders_by_id, Unlisted::ById),
            Bound::Not => (false, Unlisted::Unbound),
        };
        if bound { None } else { Some(otherwise) }
    }

    /// Whether every instrument that stands in this member, at any depth, is in the list.
    fn holds_all(&self, key: &str, value: &RawValue) -> bool {
        let speaks = key.to_ascii_lowercase().contains(SPEAKS_OF_INSTRUMENTS);
        match value.get().as_bytes().first() {
            Some(b'{') => members(value.get()).is_some_and(|members| {
                members
                    .iter()
                    .all(|(inner, value)| self.holds_all(&under(speaks, inner), value))
            }),
            Some(b'[') => elements(value)
                .is_some_and(|all| all.iter().all(|element| self.holds_all(key, element))),
            Some(b'n') => true,
            _ if !speaks => true,
            _ => serde_json::from_str::<String>(value.get())
                .is_ok_and(|name| self.names.contains(&name)),
        }
    }
}

/// What stands below a member that speaks of instruments speaks of them, too.
fn under(speaks: bool, inner: &str) -> String {
    if speaks {
        SPEAKS_OF_INSTRUMENTS.to_owned()
    } else {
        inner.to_owned()
    }
}

fn bound(call: &Call) -> Bound {
    let name = call.method.as_str();
    match call.method.info().map(|info| info.class) {
        // It acts on orders that were judged when this connection placed them.
        _ if call.guards_its_connection() => Bound::OwnOrders,
        Some(Class::Read | Class::Public) => Bound::Reads,
        _ if BY_NAME.contains(&name) => Bound::ByMembers(&[NAME]),
        _ if BY_LEGS.contains(&name) => Bound::ByLegs,
        _ if name == BY_PARTS => Bound::ByParts,
        _ if name == CONVERT => Bound::ByMembers(&CONVERTED),
        Some(Class::Trade) => Bound::ById,
        Some(Class::Products | Class::Transfer | Class::AccountAdmin) | None => Bound::Not,
    }
}

type Member<'a> = (std::borrow::Cow<'a, str>, &'a RawValue);

fn members(text: &str) -> Option<Vec<Member<'_>>> {
    serde_json::from_str(text)
        .ok()
        .map(|Members(members)| members)
}

fn elements(list: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(list.get()).ok()
}

/// Whether a member is there and a text; that it is in the list was seen before.
fn is_named(members: &[Member<'_>], key: &str) -> bool {
    members
        .iter()
        .any(|(known, value)| known == key && value.get().starts_with('"'))
}

fn every_leg_is_named(params: &[Member<'_>]) -> bool {
    let legs = params
        .iter()
        .find(|(key, _)| key == LEGS)
        .and_then(|(_, list)| elements(list))
        .unwrap_or_default();
    let named = |leg: &&RawValue| members(leg.get()).is_some_and(|leg| is_named(&leg, NAME));
    !legs.is_empty() && legs.iter().all(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalogue::methods;
    use protocol::{call::RequestId, canonical::Dialect};

    fn judge(orders_by_id: bool, method: &str, params: &str) -> Option<Unlisted> {
        let raw: Box<RawValue> = serde_json::from_str(params).unwrap();
        let call =
            Call::parse(RequestId::BACKEND, method, Some(&raw), Dialect::Documented).unwrap();
        let names = ["BTC_USD", "ETH_USD"].map(str::to_owned);
        Instruments {
            orders_by_id,
            ..Instruments::new(names)
        }
        .judge(&call)
    }

    #[test]
    fn an_order_names_a_listed_instrument_or_is_refused() {
        for method in BY_NAME {
            assert_eq!(
                judge(false, method, r#"{"instrument_name":"BTC_USD"}"#),
                None,
                "{method}"
            );
            for (params, reason) in [
                (r#"{"instrument_name":"DOGE_USD"}"#, Unlisted::Named),
                (r#"{"instrument_name":"btc_usd"}"#, Unlisted::Named),
                (
                    r#"{"instrument_name":["BTC_USD","DOGE_USD"]}"#,
                    Unlisted::Named,
                ),
                (r#"{"instrument_name":["BTC_USD"]}"#, Unlisted::Unnamed),
                (r#"{"instrument_name":7}"#, Unlisted::Named),
                (r#"{"instrument_name":null}"#, Unlisted::Unnamed),
                (r#"{"Instrument_name":"BTC_USD"}"#, Unlisted::Unnamed),
                (r#"{"x":{"instrument_name":"BTC_USD"}}"#, Unlisted::Unnamed),
                ("{}", Unlisted::Unnamed),
            ] {
                assert_eq!(
                    judge(true, method, params),
                    Some(reason),
                    "{method} {params}"
                );
            }
        }
    }

    #[test]
    fn escapes_and_further_members_do_not_get_another_instrument_in() {
        let method = "private/create-order";
        assert_eq!(
            judge(false, method, r#"{"instrument\u005fname":"BTC\u005fUSD"}"#),
            None
        );
        for params in [
            r#"{"instrument\u005fname":"DOGE_USD"}"#,
            r#"{"instrument_name":"BTC_USD","INSTRUMENT_NAME":"DOGE_USD"}"#,
            r#"{"instrument_name":"BTC_USD","instrumentName":"DOGE_USD"}"#,
            r#"{"instrument_name":"BTC_USD","x":{"instrument":{"y":"DOGE_USD"}}}"#,
            r#"{"instrument_name":"BTC_USD","x":[{"instrument_name":"DOGE_USD"}]}"#,
        ] {
            assert_eq!(
                judge(true, method, params),
                Some(Unlisted::Named),
                "{params}"
            );
        }
    }

    #[test]
    fn every_leg_of_a_list_is_looked_at() {
        let leg = |name: &str| format!(r#"{{"instrument_name":"{name}"}}"#);
        for method in BY_LEGS {
            let list = |legs: &[String]| {
                judge(
                    true,
                    method,
                    &format!(r#"{{"order_list":[{}]}}"#, legs.join(",")),
                )
            };
            assert_eq!(list(&[leg("BTC_USD"), leg("ETH_USD")]), None, "{method}");
            assert_eq!(
                list(&[leg("BTC_USD"), leg("DOGE_USD")]),
                Some(Unlisted::Named),
                "{method}"
            );
            assert_eq!(
                list(&[leg("BTC_USD"), "{}".into()]),
                Some(Unlisted::Unnamed),
                "{method}"
            );
            assert_eq!(list(&[]), Some(Unlisted::Unnamed), "{method}");
            assert_eq!(
                judge(true, method, r#"{"instrument_name":"BTC_USD"}"#),
                Some(Unlisted::Unnamed),
                "{method}"
            );
        }
    }

    #[test]
    fn what_acts_on_orders_by_id_is_refused_unless_ids_are_allowed() {
        for method in [
            "private/cancel-order",
            "private/amend-order",
            "private/cancel-order-list",
            "private/advanced/cancel-oco",
        ] {
            let named = r#"{"order_id":"1","instrument_name":"BTC_USD"}"#;
            assert_eq!(
                judge(false, method, named),
                Some(Unlisted::ById),
                "{method}"
            );
            assert_eq!(judge(true, method, named), None, "{method}");
            let other = r#"{"order_id":"1","instrument_name":"DOGE_USD"}"#;
            assert_eq!(
                judge(true, method, other),
                Some(Unlisted::Named),
                "{method}"
            );
        }
    }

    #[test]
    fn what_acts_without_an_instrument_or_is_unknown_is_refused() {
        for method in [
            "private/create-withdrawal",
            "private/change-account-leverage",
            "private/otc/request-deal",
            "private/new-thing",
        ] {
            assert_eq!(
                judge(true, method, r#"{"instrument_name":"BTC_USD"}"#),
                Some(Unlisted::Unbound),
                "{method}"
            );
        }
        let convert = |to: &str| {
            let params = format!(r#"{{"from_instrument_name":"ETH_USD"{to}}}"#);
            judge(true, CONVERT, &params)
        };
        assert_eq!(convert(r#","to_instrument_name":"BTC_USD""#), None);
        assert_eq!(
            convert(r#","to_instrument_name":"CDCETH""#),
            Some(Unlisted::Named)
        );
        assert_eq!(convert(""), Some(Unlisted::Unnamed));
    }

    #[test]
    fn reads_are_of_the_whole_account_but_name_no_other_instrument() {
        for method in [
            "private/get-open-orders",
            "private/user-balance",
            "private/get-order-detail",
        ] {
            assert_eq!(judge(false, method, "{}"), None);
            assert_eq!(judge(false, method, r#"{"order_id":"1"}"#), None);
            assert_eq!(
                judge(false, method, r#"{"instrument_name":"DOGE_USD"}"#),
                Some(Unlisted::Named)
            );
        }
    }

    #[test]
    fn every_method_that_is_bound_is_in_the_catalogue_and_acts() {
        for method in BY_NAME
            .into_iter()
            .chain(BY_LEGS)
            .chain([CONVERT, BY_PARTS])
        {
            let class = methods::find(method).unwrap().class;
            assert!(matches!(class, Class::Trade | Class::Products), "{method}");
        }
    }
}
