//! What an answer to an order tells of each of its legs.
//!
//! Guarantees: only what stands there. Sources: vendor documents; a single order has `result.order_id`; a list has an array
//! (`result`, or `result.result_list`) whose entries bear `index`, `code` and ids; a group has one `list_id`; a batch is not
//! documented, and read like a list below `result.creates`. An outer code of 0 can hide a leg that was refused.

use std::collections::BTreeMap;

use serde_json::Value;

/// What an answer tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrdersInAnswer {
    /// The exchange's id of the whole.
    pub list_id: Option<String>,
    /// The exchange's id of the one order, or of the withdrawal.
    pub order_id: Option<String>,
    /// Code and order id of each leg that has an entry of its own, by its number from 0.
    pub legs: BTreeMap<usize, LegInAnswer>,
}

/// One leg's own entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegInAnswer {
    /// Its code.
    pub code: Option<i64>,
    /// The exchange's id of its order.
    pub order_id: Option<String>,
}

impl OrdersInAnswer {
    /// Reads the body of an answer.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let result = answer.get("result").unwrap_or(&Value::Null);
        let list = [
            Some(result),
            result.get("result_list"),
            result.get("creates"),
        ];
        let legs = list.into_iter().flatten().find_map(Value::as_array);
        Self {
            list_id: id(result, "list_id"),
            order_id: id(result, "order_id").or_else(|| id(result, "id")),
            legs: legs
                .into_iter()
                .flatten()
                .enumerate()
                .map(|(place, leg)| (index(leg).unwrap_or(place), LegInAnswer::read(leg)))
                .collect(),
        }
    }
}

impl LegInAnswer {
    fn read(leg: &Value) -> Self {
        let code = leg.get("code");
        Self {
            code: code.and_then(|code| {
                code.as_i64()
                    .or_else(|| code.as_str().and_then(|text| text.parse().ok()))
            }),
            order_id: id(leg, "order_id"),
        }
    }
}

/// The text of a member; the exchange writes some numbers as texts and some as numbers.
#[must_use]
pub fn text(object: &Value, member: &str) -> Option<String> {
    let value = object.get(member)?;
    let number = || value.as_number().map(ToString::to_string);
    value.as_str().map(str::to_owned).or_else(number)
}

fn index(leg: &Value) -> Option<usize> {
    usize::try_from(leg.get("index")?.as_u64()?).ok()
}

/// An id is a number or a text; none is empty or 0.
fn id(object: &Value, name: &str) -> Option<String> {
    text(object, name).filter(|id| !id.is_empty() && id != "0" && id.len() <= 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_documented_shape_is_read() {
        let read = |text: &str| OrdersInAnswer::read(text.as_bytes());
        let one = read(r#"{"code":0,"result":{"order_id":"575","client_oid":"a"}}"#);
        assert_eq!(one.order_id.as_deref(), Some("575"));
        let group = read(r#"{"code":0,"result":{"list_id":6498090546073120100}}"#);
        assert_eq!(group.list_id.as_deref(), Some("6498090546073120100"));
        let entry =
            r#"[{"index":1,"code":"306","message":"no"},{"index":0,"code":0,"order_id":"7"}]"#;
        for list in [
            format!(r#"{{"code":0,"result":{entry}}}"#),
            format!(r#"{{"code":0,"result":{{"result_list":{entry}}}}}"#),
            format!(r#"{{"code":0,"result":{{"cancels":[],"creates":{entry}}}}}"#),
        ] {
            let legs = read(&list).legs;
            assert_eq!(legs[&0].order_id.as_deref(), Some("7"), "{list}");
            assert_eq!((legs[&1].code, &legs[&1].order_id), (Some(306), &None));
        }
    }

    #[test]
    fn what_is_no_answer_tells_nothing() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"result":null}"#,
            r#"{"result":{"order_id":"0"}}"#,
        ] {
            let read = OrdersInAnswer::read(body.as_bytes());
            assert_eq!(read, OrdersInAnswer::default(), "{body}");
        }
    }
}
