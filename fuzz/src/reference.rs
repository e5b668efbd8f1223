//! What the documents sign for params, read by other code than the product's: `serde_json` values, whose maps are sorted.

use serde_json::Value;

/// The documented params string.
pub(crate) fn params_string(value: &Value) -> String {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| format!("{key}{}", params_string(value)))
            .collect(),
        Value::Array(elements) => elements.iter().map(params_string).collect(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
