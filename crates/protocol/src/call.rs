//! One private API call, parsed and checked once.
//!
//! Guarantees: a [`Call`] exists only if its method is of the closed grammar and its params can be signed safely; the exact
//! text of the params is kept beside the canonical form. What was parsed is what is signed and sent, byte for byte. Does
//! not: judge whether anybody may make the call.

use std::{borrow::Cow, sync::LazyLock};

use serde_json::value::RawValue;

use crate::{
    canonical::{self, Dialect, Unsignable},
    json::{self, Members},
    wire::{self, Layout},
};
use catalogue::methods::{self, Class, ClientId, MethodInfo};

mod creation;
mod find_out;
mod unsigned;

pub use creation::{Creation, kept_name};
use find_out::find_out_nameless;
pub use find_out::{OrderIds, find_out};
pub use unsigned::Ambiguous;
pub(super) use unsigned::check_subscription;

/// Longest method name that is looked at; the longest of the catalogue has 44 characters.
const MAX_METHOD_BYTES: usize = 64;

#[expect(clippy::expect_used, reason = "two constant characters")]
static EMPTY_OBJECT: LazyLock<Box<RawValue>> =
    LazyLock::new(|| RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"));

/// What a call does at the exchange: the less there may be of it, the later it is refused when room becomes short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing.
    Read,
    /// It may change something.
    Change,
    /// It takes orders back.
    Cancel,
}

/// A method name of the grammar `(private|public)(/[a-z][a-z0-9-]*){1,3}`, with its catalogue entry if it has one.
///
/// The grammar is closed so that a method can be appended to the base URL as it stands: no dots, no escapes, no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    name: Name,
    private: bool,
}

#[derive(Clone, Debug)]
enum Name {
    Known(&'static MethodInfo),
    Unknown(Box<str>),
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Self::Known(info) => info.name,
            Self::Unknown(name) => name,
        }
    }
}

impl Method {
    /// Parses a method name.
    ///
    /// # Errors
    /// [`InvalidCall::Method`] for anything outside the grammar.
    pub fn parse(name: &str) -> Result<Self, InvalidCall> {
        let private = name.starts_with("private/");
        if let Some(info) = methods::find(name) {
            return Ok(Self {
                name: Name::Known(info),
                private,
            });
        }
        if !is_in_grammar(name) {
            return Err(InvalidCall::Method);
        }
        Ok(Self {
            name: Name::Unknown(name.into()),
            private,
        })
    }

    /// The name as sent to the exchange.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.name.as_str()
    }

    /// The name, borrowed for ever where the catalogue has it.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        match &self.name {
            Name::Known(info) => Cow::Borrowed(info.name),
            Name::Unknown(name) => Cow::Owned(name.to_string()),
        }
    }

    /// The catalogue's entry, or `None` for a method we do not know.
    #[must_use]
    pub const fn info(&self) -> Option<&'static MethodInfo> {
        match &self.name {
            Name::Known(info) => Some(info),
            Name::Unknown(_) => None,
        }
    }

    /// What it does at the exchange, in short.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self.info() {
            Some(info) if info.cancels_orders() => Effect::Cancel,
            Some(info) if info.class == Class::Read => Effect::Read,
            // Also what the catalogue does not know: it may change something.
            _ => Effect::Change,
        }
    }

    /// Whether it begins with `private/`.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.private
    }
}

fn is_in_grammar(name: &str) -> bool {
    let mut segments = name.split('/');
    let area = segments.next();
    let rest: Vec<&str> = segments.collect();
    name.len() <= MAX_METHOD_BYTES
        && matches!(area, Some("private" | "public"))
        && (1..=3).contains(&rest.len())
        && rest.into_iter().all(is_segment)
}

fn is_segment(segment: &str) -> bool {
    segment
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The `id` of a call: 0 … 2^63−1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// The id of every call through the proxy API (wire contract).
    pub const BACKEND: Self = Self(1);

    /// Parses an integer or a canonical digit string (`"42"`, not `"007"`).
    ///
    /// # Errors
    /// [`InvalidCall::Id`] for anything else: implementations disagree about the text to sign.
    pub fn parse(raw: &RawValue) -> Result<Self, InvalidCall> {
        let digits = json::digits(raw);
        if digits != "0" && digits.starts_with(['0', '-', '+']) {
            return Err(InvalidCall::Id);
        }
        match digits.parse() {
            Ok(value) if i64::try_from(value).is_ok() => Ok(Self(value)),
            _ => Err(InvalidCall::Id),
        }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// Params: the exact text, and the canonical form of the same text.
#[derive(Clone, Debug)]
pub struct Params {
    text: Box<RawValue>,
    canonical: String,
}

impl Params {
    /// Checks and keeps a params object; `None` stands for `{}`, which signs alike.
    ///
    /// # Errors
    /// [`InvalidCall::Params`] where the params cannot be signed safely.
    pub fn parse(raw: Option<&RawValue>, dialect: Dialect) -> Result<Self, InvalidCall> {
        let text = raw.unwrap_or(&EMPTY_OBJECT).to_owned();
        let canonical = canonical::params_string(&text, dialect)?;
        Ok(Self { text, canonical })
    }

    /// The bytes as the caller sent them.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.get()
    }

    /// The params string of the same bytes.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// A private call that can be signed.
#[derive(Clone, Debug)]
pub struct Call {
    /// The `id` that goes to the exchange.
    pub id: RequestId,
    /// The method.
    pub method: Method,
    /// The params.
    pub params: Params,
    /// How the request is written.
    pub layout: Layout,
    /// The caller's own name for it, which does not go to the exchange.
    key: Option<Box<str>>,
}

impl Call {
    /// Parses a call; the only code that checks everything about it.
    ///
    /// # Errors
    /// [`InvalidCall`], with the reason and the remedy in its text.
    pub fn parse(
        id: RequestId,
        method: &str,
        params: Option<&RawValue>,
        dialect: Dialect,
    ) -> Result<Self, InvalidCall> {
        let (method, params) = (Method::parse(method)?, Params::parse(params, dialect)?);
        Ok(Self {
            id,
            method,
            params,
            layout: Layout::default(),
            key: None,
        })
    }

    /// The same call, under this idempotency key of its caller's.
    #[must_use]
    pub fn under_key(self, key: Option<&str>) -> Self {
        Self {
            key: key.map(Box::from),
            ..self
        }
    }

    /// Its caller's idempotency key.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The same call, written as the client wrote its own.
    #[must_use]
    pub fn written_as(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }

    /// What it does at the exchange, in short.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.method.effect()
    }

    /// What its request says.
    #[must_use]
    pub fn request(&self) -> wire::Request<'_> {
        wire::Request {
            layout: self.layout,
            id: self.id.value(),
            method: self.method.as_str(),
            params: self.params.text(),
        }
    }

    /// How to find out what became of this call, where that is in doubt; `None` for reads.
    #[must_use]
    pub fn find_out(&self) -> Option<&'static str> {
        let method = self.method.as_str();
        let advice = find_out(method)?;
        let places_orders = matches!(
            self.method.info().map(|info| info.client_id),
            Some(ClientId::NewOrder | ClientId::NewOrders | ClientId::Batch)
        );
        let has_name = || self.params.text().contains("\"client_oid\"");
        Some(if places_orders && !has_name() {
            find_out_nameless(method)
        } else {
            advice
        })
    }

    /// The names by which the orders of this call can be found again.
    #[must_use]
    pub fn order_ids(&self) -> OrderIds {
        let client_id = self
            .method
            .info()
            .map_or(ClientId::None, |info| info.client_id);
        OrderIds::read(client_id, &self.params.text)
    }

    /// Parses a command of a stream. It has no params string: a signature over it would be none that the exchange takes.
    ///
    /// # Errors
    /// [`InvalidCall`], with the reason in its text.
    pub fn parse_unsigned(
        id: RequestId,
        method: Method,
        params: Option<&RawValue>,
    ) -> Result<Self, InvalidCall> {
        let text = params.unwrap_or(&EMPTY_OBJECT).to_owned();
        unsigned::check(&text)?;
        Ok(Self {
            id,
            method,
            params: Params {
                text,
                canonical: String::new(),
            },
            layout: Layout::default(),
            key: None,
        })
    }

    /// Whether it asks the exchange to cancel this connection's own orders when the connection ends, and for nothing else
    /// (vendor documents: `scope` is CONNECTION).
    #[must_use]
    pub fn guards_its_connection(&self) -> bool {
        let is_scope = |(name, value): &(Cow<'_, str>, &RawValue)| {
            name == "scope"
                && serde_json::from_str::<String>(value.get())
                    .is_ok_and(|scope| scope == "CONNECTION")
        };
        self.method.as_str() == "private/set-cancel-on-disconnect"
            && serde_json::from_str(self.params.text())
                .is_ok_and(|Members(members)| !members.is_empty() && members.iter().all(is_scope))
    }

    /// The orders that a batch creates and cancels, each as the call that would do it alone; none for other methods.
    ///
    /// # Errors
    /// [`Ambiguous::Batch`] where the batch is not of the documented shape.
    pub fn parts(&self) -> Result<Vec<Self>, InvalidCall> {
        if self.method.as_str() != "private/batch-order-request" {
            return Ok(Vec::new());
        }
        let wrong = InvalidCall::Ambiguous(Ambiguous::Batch);
        let Members(members) =
            serde_json::from_str(self.params.text()).map_err(|_| wrong.clone())?;
        let mut parts = Vec::new();
        for (name, raw) in members {
            let method = match &*name {
                "instrument_name" => continue,
                "creates" => "private/create-order",
                "cancels" => "private/cancel-order",
                _ => return Err(wrong),
            };
            let items: Vec<&RawValue> =
                serde_json::from_str(raw.get()).map_err(|_| wrong.clone())?;
            for item in items {
                parts.push(Self::parse_unsigned(
                    self.id,
                    Method::parse(method)?,
                    Some(item),
                )?);
            }
        }
        Ok(parts)
    }
}

/// Why a call cannot be made at all. The text says what to send instead and never echoes the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCall {
    /// The method is outside the grammar.
    #[error(
        "method must look like \"private/create-order\": lower-case letters, digits and hyphens in one to three parts \
         after \"private/\""
    )]
    Method,
    /// The id is no canonical number.
    #[error("id must be an integer from 0 to 9223372036854775807, without leading zeros")]
    Id,
    /// The params cannot be signed safely.
    #[error(transparent)]
    Params(#[from] Unsignable),
    /// The params of a stream's command would not be read alike by everybody.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> Option<u64> {
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        RequestId::parse(&raw).ok().map(RequestId::value)
    }

    #[test]
    fn every_method_of_the_catalogue_is_in_the_grammar() {
        for method in methods::all() {
            assert!(is_in_grammar(method.name), "{}", method.name);
        }
    }

    #[test]
    fn path_tricks_are_outside_the_grammar() {
        let long = format!("private/{}", "a".repeat(65_536));
        for name in [
            "",
            "private",
            "private/",
            "/private/x",
            "../../x",
            "private/../public/x",
            "private/%2e%2e/x",
            "//evil",
            "private/x?y",
            "private/x#",
            "private/x\0",
            "private/x\r\n",
            "private\\x",
            "private/ｘ",
            "private//x",
            "private/X",
            "private/x y",
            "private/x.y",
            "https://evil/x",
            "private/-x",
            "private/a/b/c/d",
            "user/x",
            "private/x/",
            &long,
        ] {
            assert_eq!(Method::parse(name), Err(InvalidCall::Method), "{name:?}");
        }
    }

    #[test]
    fn unknown_methods_of_the_grammar_parse_without_a_catalogue_entry() {
        let method = Method::parse("private/not-invented-yet").unwrap();
        assert!(method.is_private() && method.info().is_none());
    }

    #[test]
    fn ids_are_canonical_numbers_or_digit_strings() {
        assert_eq!(id("0"), Some(0));
        assert_eq!(id("\"42\""), Some(42));
        assert_eq!(id("9223372036854775807"), Some(9_223_372_036_854_775_807));
        for refused in [
            "\"007\"",
            "9223372036854775808",
            "-1",
            "1.0",
            "1e3",
            "\"\"",
            "\"+1\"",
            "null",
            "[]",
            "\"00\"",
        ] {
            assert_eq!(id(refused), None, "{refused}");
        }
    }

    #[test]
    fn absent_params_are_an_empty_object() {
        let params = Params::parse(None, Dialect::Documented).unwrap();
        assert_eq!((params.text(), params.canonical()), ("{}", ""));
    }

    #[test]
    fn the_exact_text_is_kept() {
        let text = "{ \"b\" : \"\\u0041\",\n \"a\":0.1 }";
        let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
        let params = Params::parse(Some(&raw), Dialect::Documented).unwrap();
        assert_eq!((params.text(), params.canonical()), (text, "a0.1bA"));
    }

    proptest! {
        #[test]
        fn a_parsed_method_never_leaves_the_base_url(name in "(private|public)(/[a-z][a-z0-9%?#.-]{0,6}){0,4}") {
            if let Ok(method) = Method::parse(&name) {
                let base = url::Url::parse("https://api.example/exchange/v1/").unwrap();
                let joined = base.join(method.as_str()).unwrap();
                prop_assert_eq!(joined.as_str(), format!("https://api.example/exchange/v1/{name}"));
            }
        }
    }
}
