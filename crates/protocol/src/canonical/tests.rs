//! The canonical form: documented samples, and what must never be signed.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn raw(text: &str) -> Box<RawValue> {
    serde_json::from_str(text).expect("test input is JSON")
}

fn documented(text: &str) -> Result<String, Unsignable> {
    params_string(&raw(text), Dialect::Documented)
}

fn reason(text: &str) -> Reason {
    documented(text).expect_err("must be refused").reason()
}

#[test]
fn keys_are_sorted_by_code_point_and_lists_keep_their_order() {
    assert_eq!(
        documented(r#"{"b":"1","B":"2","a_b":["z","y"],"aB":true}"#).unwrap(),
        "B2aBtruea_bzyb1"
    );
}

#[test]
fn escapes_are_resolved_before_signing() {
    assert_eq!(
        documented(r#"{"client_oid":"\u0041b\/c\n"}"#).unwrap(),
        "client_oidAb/c\n"
    );
    assert_eq!(documented(r#"{"\u0061":"1","b":"2"}"#).unwrap(), "a1b2");
}

#[test]
fn an_escaped_duplicate_is_still_a_duplicate() {
    assert_eq!(reason(r#"{"a":"1","\u0061":"2"}"#), Reason::DuplicateKey);
}

#[test]
fn levels_end_where_the_documented_sample_stops_recursing() {
    assert_eq!(documented(r#"{"a":{"b":{}}}"#).unwrap(), "ab");
    assert_eq!(reason(r#"{"a":{"b":{"c":{}}}}"#), Reason::TooDeep);
    assert_eq!(documented(r#"{"a":[["1"],[true,2]]}"#).unwrap(), "a1true2");
    assert_eq!(reason(r#"{"a":[[{}]]}"#), Reason::TooDeep);
    assert_eq!(reason(r#"{"order_list":[{"x":["1"]}]}"#), Reason::TooDeep);
}

#[test]
fn a_million_brackets_are_refused_without_recursion() {
    let deep = format!(
        "{{\"a\":{}{}}}",
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    assert_eq!(reason(&deep), Reason::TooDeep);
}

#[test]
fn lone_surrogates_are_refused_in_values_and_in_keys() {
    assert_eq!(reason(r#"{"a":"\ud800"}"#), Reason::BrokenString);
    assert_eq!(reason(r#"{"a":["\udc00x"]}"#), Reason::BrokenString);
    assert_eq!(reason(r#"{"\ud800":"a"}"#), Reason::BrokenString);
}

#[test]
fn control_characters_and_other_scripts_are_no_keys() {
    assert_eq!(reason("{\"a\\r\\nb\":\"1\"}"), Reason::KeyNotAscii);
    assert_eq!(reason(r#"{"é":"1"}"#), Reason::KeyNotAscii);
}

#[test]
fn the_flat_dialect_signs_lists_of_strings_in_order_list_legs_and_nothing_else() {
    let flat = |text| params_string(&raw(text), Dialect::FlatOrderListExecInst);
    assert_eq!(
        flat(r#"{"order_list":[{"exec_inst":["A","B"]}]}"#).unwrap(),
        "order_listexec_instAB"
    );
    assert!(flat(r#"{"order_list":[{"exec_inst":[1]}]}"#).is_err());
    assert!(flat(r#"{"leg_list":[{"exec_inst":["A"]}]}"#).is_err());
    assert!(flat(r#"{"order_list":[{"other":["A"]}]}"#).is_err());
}

#[test]
fn a_refusal_names_the_place_but_no_name_or_value_of_the_callers_invention() {
    let text = documented(r#"{"order_list":[{"price":1},{"price":50000.00}]}"#)
        .unwrap_err()
        .to_string();
    assert!(text.starts_with("params.order_list[1].price: "), "{text}");
    assert!(text.contains("send it as a string"), "{text}");
    let text = documented(r#"{"topsecretname":1e9}"#)
        .unwrap_err()
        .to_string();
    assert!(
        !text.contains("topsecret") && !text.contains("1e9"),
        "{text}"
    );
}

/// JSON of every kind, most of it objects, up to four levels deep.
fn json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zé\"\\\\]{0,6}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
        let object = proptest::collection::btree_map("[a-z]{1,3}", inner, 0..4);
        prop_oneof![1 => list, 3 => object.prop_map(|map| map.into_iter().collect::<Value>())]
    })
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(elements) => elements.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

proptest! {
    #[test]
    fn whatever_is_signed_was_an_object_and_carries_every_plain_string_of_it(value in json()) {
        let text = value.to_string();
        match documented(&text) {
            Ok(signed) => {
                prop_assert!(value.is_object());
                prop_assert!(strings(&value).iter().all(|string| signed.contains(string.as_str())), "{text} as {signed}");
            }
            Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
        }
    }

    #[test]
    fn flat_string_objects_are_the_sorted_concatenation(map in proptest::collection::btree_map("[a-z_]{1,8}", "[ -~é]{0,12}", 0..8)) {
        let expected: String = map.iter().map(|(key, value)| format!("{key}{value}")).collect();
        let text = serde_json::to_string(&map).unwrap();
        prop_assert_eq!(documented(&text).unwrap(), expected);
    }
}

#[test]
fn decimals_that_every_language_prints_alike_pass() {
    for text in [
        "0.1",
        "0.01",
        "-5.25",
        "0.0001",
        "50000.5",
        "123456789012.345",
        "-0.5",
    ] {
        assert!(check_number(text, Place::Member).is_ok(), "{text}");
    }
}

#[test]
fn decimals_that_some_language_rewrites_are_refused() {
    for text in [
        "50000.00",
        "1.0",
        "1e5",
        "1E-7",
        "1.5e3",
        "0.00001",
        "0.00009",
        "1234567890123.4567",
        "-0.0",
    ] {
        assert!(check_number(text, Place::Member).is_err(), "{text}");
    }
    assert!(check_number("0.1", Place::Element).is_err());
}

#[test]
fn integers_pass_within_i64_only() {
    for text in ["0", "-5", "9223372036854775807", "-9223372036854775808"] {
        assert!(check_number(text, Place::Element).is_ok(), "{text}");
    }
    for text in ["-0", "9223372036854775808", "18446744073709551616"] {
        assert!(check_number(text, Place::Member).is_err(), "{text}");
    }
}
