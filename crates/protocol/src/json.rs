//! Reading JSON strictly, without losing its exact text: the members of one object, each value as it stands.
//!
//! Guarantees: nothing is converted; names are compared as decoded text, so that `"par\u0061ms"` is `params`. A reader of
//! JSON that takes a name twice disagrees with another one about which value counts; so each user here is told.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of one JSON object, in the order of the text, duplicates included.
pub struct Members<'a>(
    /// Name and value of each.
    pub Vec<(Cow<'a, str>, &'a RawValue)>,
);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor).map(Self)
    }
}

/// The members of one JSON object that are known by name, and what is wrong with the others.
pub struct Fields<'a, const N: usize> {
    /// The value of each known member, in the order of the names.
    pub values: [Option<&'a RawValue>; N],
    /// The known member that stands twice, if one does; of several the last one.
    pub repeated: Option<&'static str>,
    /// Whether there is a member of another name.
    pub unknown: bool,
    order: [usize; N],
    found: usize,
}

impl<'a, const N: usize> Fields<'a, N> {
    /// Reads the members of these names, and skips the values of all others. Nothing is allocated.
    ///
    /// # Errors
    /// The text is not one JSON object.
    pub fn read(text: &'a str, names: [&'static str; N]) -> Result<Self, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = FieldsSeed(names).deserialize(&mut json)?;
        json.end()?;
        Ok(fields)
    }

    /// Which of the names have a value, by their positions, in the order of the text.
    pub fn order(&self) -> impl Iterator<Item = usize> {
        let has_value = |position: &usize| matches!(self.values.get(*position), Some(Some(_)));
        self.order.into_iter().take(self.found).filter(has_value)
    }

    /// Takes members whose value is `null` for members that are not there, as clients mean them that write an `Option`.
    #[must_use]
    pub fn null_is_none(mut self) -> Self {
        for value in &mut self.values {
            if value.is_some_and(|raw| raw.get() == "null") {
                *value = None;
            }
        }
        self
    }
}

struct FieldsSeed<const N: usize>([&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for FieldsSeed<N> {
    type Value = Fields<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for FieldsSeed<N> {
    type Value = Fields<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields {
            values: [None; N],
            repeated: None,
            unknown: false,
            order: [0; N],
            found: 0,
        };
        while let Some(Key(key)) = map.next_key()? {
            let mut known = self.0.into_iter().zip(&mut fields.values).enumerate();
            let Some((position, (name, value))) = known.find(|(_, (name, _))| *name == key) else {
                map.next_value::<IgnoredAny>()?;
                fields.unknown = true;
                continue;
            };
            if value.replace(map.next_value()?).is_some() {
                fields.repeated = Some(name);
            } else if let Some(slot) = fields.order.get_mut(fields.found) {
                *slot = position;
                fields.found += 1;
            }
        }
        Ok(fields)
    }
}

/// A key, borrowed where it holds no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// The members of an object by their names; `None` where it is no object, or a name stands twice.
pub(crate) fn sorted(object: &RawValue) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    let Members(mut members) = serde_json::from_str(object.get()).ok()?;
    members.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    let repeated = members
        .windows(2)
        .any(|pair| matches!(pair, [(left, _), (right, _)] if left == right));
    if repeated { None } else { Some(members) }
}

/// The decoded text of a string, borrowed where it holds no escape; `None` for everything else, and for half a surrogate
/// pair.
#[must_use]
pub fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(raw.get()).ok().map(Cow::Owned),
    }
}

/// The digits of a number, with or without quotes around it.
pub(crate) fn digits(raw: &RawValue) -> &str {
    let text = raw.get();
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Fields<'_, 2> {
        Fields::read(text, ["a", "b"]).unwrap()
    }

    #[test]
    fn known_members_are_found_by_their_decoded_names_in_the_order_of_the_text() {
        let fields = read(r#" {"b":1,"\u0061":{ "x":2 }} "#);
        let values = fields.values.map(|value| value.map(RawValue::get));
        assert_eq!(values, [Some(r#"{ "x":2 }"#), Some("1")]);
        assert_eq!(fields.order().collect::<Vec<_>>(), [1, 0]);
        assert!(fields.repeated.is_none() && !fields.unknown);
    }

    #[test]
    fn members_that_stand_twice_and_unknown_ones_are_told() {
        let fields = read(r#"{"a":1,"c":[],"\u0061":2}"#);
        assert_eq!((fields.repeated, fields.unknown), (Some("a"), true));
        assert_eq!(fields.order().collect::<Vec<_>>(), [0]);
        for text in ["", "[]", "1", r#"{"a":1}x"#, r#"{"a":1"#, r#"{"\ud800":1}"#] {
            assert!(Fields::read(text, ["a"]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_is_decoded_only_where_it_has_escapes() {
        let text_of = |json: &str| {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            text(&raw).map(Cow::into_owned)
        };
        assert_eq!(text_of(r#""private/x""#).as_deref(), Some("private/x"));
        assert_eq!(text_of(r#""\u0041\"""#).as_deref(), Some("A\""));
        for other in [r#""\ud800""#, "7", "null", "{}"] {
            assert_eq!(text_of(other), None, "{other}");
        }
    }
}
