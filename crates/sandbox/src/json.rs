//! JSON as the stand-in reads it: the text of every number and the order of every object kept.
//!
//! Guarantees: a number stays the text that was sent, a repeated key keeps its first place and its last value (as
//! Java's `LinkedHashMap` does), and depth is bounded, so no input can exhaust the stack.
//! Does not: write JSON, except for one scalar (`Json::scalar_text`), which is how an `id` is echoed.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Deeper documents are refused as unreadable.
const MAX_DEPTH: usize = 64;

/// One JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// The digits as they were sent.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole document; `None` if it is not JSON or nested too deep.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let raw: &RawValue = serde_json::from_slice(bytes).ok()?;
        read(raw.get(), 0)
    }

    /// The member of an object.
    pub(super) fn member(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        let found = members.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }

    /// A member that is a string or a number, as text; blank counts as absent.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        let text = self.member(key)?.as_scalar()?;
        (!text.trim().is_empty()).then_some(text)
    }

    /// What a string says.
    pub(super) fn as_text(&self) -> Option<&str> {
        let Self::Text(text) = self else {
            return None;
        };
        Some(text)
    }

    /// What a string says, or a number as it was sent.
    pub(super) fn as_scalar(&self) -> Option<&str> {
        let (Self::Text(text) | Self::Number(text)) = self else {
            return None;
        };
        Some(text)
    }

    /// A member that is a list; empty where there is none.
    pub(super) fn items(&self, key: &str) -> &[Self] {
        match self.member(key) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }

    /// A number or string as JSON text; `None` for anything else.
    pub(super) fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Number(text) => Some(text.clone()),
            Self::Text(text) => serde_json::to_string(text).ok(),
            Self::Null | Self::Bool(_) | Self::List(_) | Self::Object(_) => None,
        }
    }
}

fn read(text: &str, depth: usize) -> Option<Json> {
    if depth > MAX_DEPTH {
        return None;
    }
    match text.as_bytes().first()? {
        b'n' => Some(Json::Null),
        b't' => Some(Json::Bool(true)),
        b'f' => Some(Json::Bool(false)),
        b'"' => serde_json::from_str(text).ok().map(Json::Text),
        b'[' => list(text, depth),
        b'{' => object(text, depth),
        _ => Some(Json::Number(text.to_owned())),
    }
}

fn list(text: &str, depth: usize) -> Option<Json> {
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    items
        .into_iter()
        .map(|item| read(item.get(), depth + 1))
        .collect::<Option<_>>()
        .map(Json::List)
}

fn object(text: &str, depth: usize) -> Option<Json> {
    let Members(raw) = serde_json::from_str(text).ok()?;
    let mut places = HashMap::with_capacity(raw.len());
    let mut members: Vec<(String, Json)> = Vec::with_capacity(raw.len());
    for (key, value) in raw {
        let value = read(value.get(), depth + 1)?;
        match places
            .get(&key)
            .and_then(|place: &usize| members.get_mut(*place))
        {
            Some(member) => member.1 = value,
            None => {
                places.insert(key.clone(), members.len());
                members.push((key, value));
            }
        }
    }
    Some(Json::Object(members))
}

struct Members<'de>(Vec<(String, &'de RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_text_and_repeated_keys_their_place() {
        let json = Json::parse(br#" {"b":50000.00,"a":-0,"b":1E5} "#).unwrap();
        let number = |text: &str| Json::Number(text.into());
        assert_eq!(
            json,
            Json::Object(vec![
                ("b".into(), number("1E5")),
                ("a".into(), number("-0"))
            ])
        );
    }

    #[test]
    fn what_is_not_json_is_refused_without_harm() {
        for bad in ["", "{", "nul", "[1,]", "{\"a\":1}x", "\"\\ud800\"", "01"] {
            assert_eq!(Json::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Json::parse(b"\"\xff\""), None);
        assert_eq!(Json::parse("[".repeat(500_000).as_bytes()), None);
        assert_eq!(
            Json::parse(format!("{}{}", "[".repeat(500), "]".repeat(500)).as_bytes()),
            None
        );
    }
}
