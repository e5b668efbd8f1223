//! `{"method": string, "params": object = {}}`, with every way of being something else told apart.
//!
//! Guarantees: other fields are ignored; `method` or `params` given twice is refused, because readers of JSON disagree
//! about which one counts; nothing of the input is repeated in a message.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::http::reply::Invalid;
use protocol::json::{self, Fields};

/// What the caller asks for.
#[derive(Debug)]
pub(super) struct PrivateRequest<'a> {
    pub(super) method: Cow<'a, str>,
    pub(super) params: Option<&'a RawValue>,
}

/// Parses the body.
pub(super) fn parse(bytes: &[u8]) -> Result<PrivateRequest<'_>, Invalid> {
    if bytes.is_empty() {
        return Err(Invalid::body("missing", "Field required"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Invalid::body("json_invalid", "the body is not UTF-8"))?;
    let fields =
        Fields::read(text, ["method", "params"]).map_err(|error| not_an_object(text, &error))?;
    if let Some(field) = fields.repeated {
        return Err(Invalid::field(
            "duplicate_field",
            field,
            "stands twice in the body; send it once",
        ));
    }
    let [method, params] = fields.values;
    let method = method.ok_or_else(|| Invalid::field("missing", "method", "Field required"))?;
    Ok(PrivateRequest {
        method: json::text(method).ok_or_else(|| {
            Invalid::field("string_type", "method", "Input should be a valid string")
        })?,
        params: params.map(object).transpose()?,
    })
}

fn not_an_object(text: &str, error: &serde_json::Error) -> Invalid {
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Invalid::body("dict_type", "the body must be a JSON object");
    }
    let (line, column) = (error.line(), error.column());
    Invalid::body(
        "json_invalid",
        &format!("the body is not valid JSON (line {line}, column {column})"),
    )
}

fn object(raw: &RawValue) -> Result<&RawValue, Invalid> {
    if raw.get().starts_with('{') {
        return Ok(raw);
    }
    Err(Invalid::field(
        "dict_type",
        "params",
        "Input should be a JSON object; leave it out where a method takes none",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (&'static str, Option<&'static str>) {
        let invalid = parse(body.as_bytes()).unwrap_err();
        (invalid.kind, invalid.field)
    }

    #[test]
    fn method_and_params_are_taken_and_other_fields_ignored() {
        let request =
            parse(br#" {"x":[{}],"params":{ "a":1 },"method":"private\/x","id":7} "#).unwrap();
        assert_eq!(
            (&*request.method, request.params.map(RawValue::get)),
            ("private/x", Some(r#"{ "a":1 }"#))
        );
        assert!(
            parse(br#"{"method":"private/x"}"#)
                .unwrap()
                .params
                .is_none()
        );
    }

    #[test]
    fn each_wrong_body_has_its_own_reason() {
        assert_eq!(refused(""), ("missing", None));
        assert_eq!(refused("{"), ("json_invalid", None));
        assert_eq!(refused("[]"), ("dict_type", None));
        assert_eq!(refused("{}"), ("missing", Some("method")));
        assert_eq!(refused(r#"{"method":7}"#), ("string_type", Some("method")));
        assert_eq!(
            refused(r#"{"method":"\ud800"}"#),
            ("string_type", Some("method"))
        );
        for params in ["null", "[]", "7", "\"x\""] {
            assert_eq!(
                refused(&format!(r#"{{"method":"m","params":{params}}}"#)),
                ("dict_type", Some("params"))
            );
        }
        assert_eq!(
            refused(r#"{"method":"a","method":"b"}"#),
            ("duplicate_field", Some("method"))
        );
        assert_eq!(
            refused(r#"{"method":"a","params":{},"par\u0061ms":{}}"#),
            ("duplicate_field", Some("params"))
        );
    }
}
