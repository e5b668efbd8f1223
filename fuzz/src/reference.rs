//! What the documents say, read by other code than the product's: simple, strict, and without regard to speed.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// The documented params string. The maps of `serde_json` are sorted.
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

/// The members of an object, each as it stands.
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// `None`: it is no JSON object.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The last of this name, as most readers take it; `null` is none.
    pub(crate) fn last(&self, wanted: &str) -> Option<&'a str> {
        let mut all = self.0.iter().rev();
        let (_, value) = all.find(|(name, _)| name == wanted)?;
        Some(value.get()).filter(|text| *text != "null")
    }

    /// The last of this name, where it is a text.
    pub(crate) fn text(&self, wanted: &str) -> Option<String> {
        serde_json::from_str(self.last(wanted)?).ok()
    }

    /// How often it is there.
    pub(crate) fn count(&self, wanted: &str) -> usize {
        self.0.iter().filter(|(name, _)| name == wanted).count()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(All).map(Self)
    }
}

/// `private/` and one to three parts of lower-case letters, digits and hyphens, each beginning with a letter.
pub(crate) fn is_private_method(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("private/") else {
        return false;
    };
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_lowercase())
            && part
                .chars()
                .all(|c| c == '-' || c.is_ascii_digit() || c.is_ascii_lowercase())
    };
    rest.split('/').count() <= 3 && rest.split('/').all(is_part)
}

/// A request's head.
pub(crate) struct Head<'a> {
    pub(crate) path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Head<'a> {
    /// The head that the bytes begin with; `None` where it is not written as strictly as any client writes it.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
        let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let is_plain = |line: &str| line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let mut lines = text.split("\r\n");
        let first = lines.next().filter(|line| is_plain(line))?;
        let target = first.split_once(' ')?.1.strip_suffix(" HTTP/1.1")?;
        let path = target
            .split('?')
            .next()
            .filter(|path| path.starts_with('/'))?;
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').filter(|_| is_plain(line))?;
            let is_name = |c: char| c == '-' || c.is_ascii_alphanumeric();
            if name.is_empty() || !name.chars().all(is_name) {
                return None;
            }
            headers.push((name, value.trim()));
        }
        Some(Self { path, headers })
    }

    fn all(&self, wanted: &str) -> Vec<&'a str> {
        let all = self.headers.iter();
        all.filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| *value)
            .collect()
    }

    /// Whether it names one host, and one that nobody can make his own.
    pub(crate) fn names_a_host_of_ours(&self) -> bool {
        let hosts = self.all("host");
        let [host] = hosts.as_slice() else {
            return false;
        };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port),
            _ => (*host, "1"),
        };
        let literal = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let is_name = ["localhost", "host.docker.internal"]
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name));
        (is_name
            || name.parse::<std::net::Ipv4Addr>().is_ok()
            || literal.is_some_and(|name| name.parse::<std::net::Ipv6Addr>().is_ok()))
            && port.parse::<u16>().is_ok()
    }

    /// Whether it shows this token, and nothing else in its place.
    pub(crate) fn shows(&self, token: &str) -> bool {
        self.all("x-proxy-token") == [token]
    }

    /// Whether a browser says that a page made it ask.
    pub(crate) fn is_of_a_page(&self) -> bool {
        !self.all("origin").is_empty()
    }
}
