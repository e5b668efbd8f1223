//! What goes over the wire to and from the exchange.
//!
//! Guarantees: the params of a request are the caller's bytes; an answer is read for its `code` only, whatever else it
//! holds. Does not: decide what an answer means for the call; that is `codes` and the gateway.

use std::{
    fmt,
    ops::{Range, RangeInclusive},
};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::json::Fields;

/// Answers nested deeper than this break common JSON parsers of callers, and are not passed on.
const MAX_ANSWER_DEPTH: u32 = 128;

/// A member of a signed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// `id`.
    Id,
    /// `method`.
    Method,
    /// `api_key`.
    ApiKey,
    /// `params`.
    Params,
    /// `nonce`.
    Nonce,
    /// `sig`.
    Sig,
}

impl Member {
    /// Every member, in the order of the vendor's documents.
    pub const ALL: [Self; 6] = [
        Self::Id,
        Self::Method,
        Self::ApiKey,
        Self::Params,
        Self::Nonce,
        Self::Sig,
    ];

    /// Its name in the request.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Method => "method",
            Self::ApiKey => "api_key",
            Self::Params => "params",
            Self::Nonce => "nonce",
            Self::Sig => "sig",
        }
    }
}

/// How a request is written: as the client wrote its own, where it had one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    order: [Member; 6],
    has_params: bool,
    quoted_id: bool,
}

impl Default for Layout {
    /// As documented.
    fn default() -> Self {
        Self {
            order: Member::ALL,
            has_params: true,
            quoted_id: false,
        }
    }
}

impl Layout {
    /// The members in the order in which a client wrote them, each at most once; those that must be there and are not
    /// follow.
    #[must_use]
    pub fn new(written: &[Member], quoted_id: bool) -> Self {
        let mut order = Member::ALL;
        let missing = Member::ALL
            .into_iter()
            .filter(|member| !written.contains(member));
        order
            .iter_mut()
            .zip(written.iter().copied().chain(missing))
            .for_each(|(slot, member)| *slot = member);
        Self {
            order,
            has_params: written.contains(&Member::Params),
            quoted_id,
        }
    }
}

/// What a request says before it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// How it is written.
    pub layout: Layout,
    /// Its `id`.
    pub id: u64,
    /// A method name of the closed grammar, which needs no escapes.
    pub method: &'a str,
    /// The caller's own JSON text.
    pub params: &'a str,
}

impl Request<'_> {
    /// The body of the signed request: `{"id","method","api_key","params","nonce","sig"}` (vendor documents), in the
    /// client's own layout. `api_key` is JSON-escaped here. Nonce and signature are left open.
    #[must_use]
    pub fn draft(self, api_key: &str) -> Draft {
        let mut body = Vec::with_capacity(self.params.len() + api_key.len() + SIG_DIGITS + 160);
        let (mut nonce, mut sig) = (0..0, 0..0);
        for member in self.layout.order {
            if member == Member::Params && !self.layout.has_params {
                continue;
            }
            body.extend_from_slice(if body.is_empty() { b"{\"" } else { b",\"" });
            body.extend_from_slice(member.name().as_bytes());
            body.extend_from_slice(b"\":");
            match member {
                Member::Id if self.layout.quoted_id => {
                    push_quoted(&mut body, itoa::Buffer::new().format(self.id))
                }
                Member::Id => push_number(&mut body, self.id),
                Member::Method => push_quoted(&mut body, self.method),
                Member::ApiKey => push_json_string(&mut body, api_key),
                Member::Params => body.extend_from_slice(self.params.as_bytes()),
                Member::Nonce => nonce = push_open(&mut body, NONCE_DIGITS),
                Member::Sig => {
                    body.push(b'"');
                    sig = push_open(&mut body, SIG_DIGITS);
                    body.push(b'"');
                }
            }
        }
        body.push(b'}');
        Draft { body, nonce, sig }
    }
}

/// The nonces that a request has room for, in milliseconds: from 2001 to 2286. All have as many digits, so that the length
/// of a request is known before it is signed.
pub const NONCES: RangeInclusive<u64> = 1_000_000_000_000..=9_999_999_999_999;
const NONCE_DIGITS: usize = 13;
/// HMAC-SHA256 in hex.
const SIG_DIGITS: usize = 64;

/// The body of a request that is complete but for nonce and signature.
#[derive(Debug)]
pub struct Draft {
    body: Vec<u8>,
    nonce: Range<usize>,
    sig: Range<usize>,
}

impl Draft {
    /// The length of the body in bytes, now and once it is signed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Never: a request has at least its brackets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The body with this nonce and this signature; `None` where they do not have the length that was announced.
    #[must_use]
    pub fn signed(mut self, nonce: u64, signature: &str) -> Option<Vec<u8>> {
        fill(
            &mut self.body,
            self.nonce,
            itoa::Buffer::new().format(nonce),
        )?;
        fill(&mut self.body, self.sig, signature)?;
        Some(self.body)
    }
}

/// Leaves so many bytes open; where they are.
fn push_open(out: &mut Vec<u8>, length: usize) -> Range<usize> {
    let start = out.len();
    out.resize(start + length, b'0');
    start..out.len()
}

fn fill(body: &mut [u8], place: Range<usize>, text: &str) -> Option<()> {
    let place = body
        .get_mut(place)
        .filter(|place| place.len() == text.len())?;
    place.copy_from_slice(text.as_bytes());
    Some(())
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a text that needs no escapes.
fn push_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// The id of a login frame: the first on its socket.
pub const LOGIN_ID: u64 = 1;

/// The frame that logs a stream in: `{"id","method","api_key","nonce","sig"}` (vendor documents).
#[must_use]
pub fn login_frame(api_key: &str, nonce: u64, signature: &str) -> String {
    let mut key = Vec::with_capacity(api_key.len() + 2);
    push_json_string(&mut key, api_key);
    let key = String::from_utf8_lossy(&key);
    format!(
        r#"{{"id":{LOGIN_ID},"method":"public/auth","api_key":{key},"nonce":{nonce},"sig":"{signature}"}}"#
    )
}

/// Appends `text` as a JSON string, quotes included.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    // A string always serialises, and a Vec takes every byte.
    let _ = serde_json::to_writer(out, text);
}

/// What an answer's JSON says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// The exchange's `code`; `None` where there is none, it is no number, or several contradict each other.
    pub code: Option<i64>,
}

/// JSON by its type, but nothing that may be passed on as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedAnswer {
    /// Not UTF-8.
    #[error("the answer is not UTF-8")]
    NotUtf8,
    /// Not JSON: cut short, NaN, a byte order mark, anything after the end.
    #[error("the answer is not valid JSON")]
    NotJson,
    /// Nested beyond what callers can parse.
    #[error("the answer is nested too deeply")]
    TooDeep,
}

/// Checks that bytes are JSON which may be passed on as they are, and reads the `code`.
///
/// # Errors
/// [`MalformedAnswer`] where they are not.
pub fn read_answer(bytes: &[u8]) -> Result<AnswerHead, MalformedAnswer> {
    let text = std::str::from_utf8(bytes).map_err(|_| MalformedAnswer::NotUtf8)?;
    if is_too_deep(bytes) {
        return Err(MalformedAnswer::TooDeep);
    }
    if text.trim_start().starts_with('{') {
        let codes: Codes = serde_json::from_str(text).map_err(|_| MalformedAnswer::NotJson)?;
        return Ok(AnswerHead { code: codes.0 });
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| MalformedAnswer::NotJson)?;
    Ok(AnswerHead { code: None })
}

/// Whether it is nested too deeply. Brackets that are few are not counted: the search for them costs a tenth of that.
fn is_too_deep(bytes: &[u8]) -> bool {
    let opened = memchr::memchr2_iter(b'{', b'[', bytes);
    opened.take(MAX_ANSWER_DEPTH as usize + 1).count() > MAX_ANSWER_DEPTH as usize
        && depth(bytes) > MAX_ANSWER_DEPTH
}

/// The same answer with this `id` in the place of the one that it bears; as it is where it bears none.
#[must_use]
pub fn with_id(answer: &[u8], id: u64) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer);
    let Ok(Fields {
        values: [Some(old)],
        ..
    }) = Fields::read(&text, ["id"])
    else {
        return answer.to_vec();
    };
    let start = old.get().as_ptr() as usize - text.as_ptr() as usize;
    let (before, rest) = text.split_at(start);
    let after = rest.split_at(old.get().len()).1;
    let is_quoted = old.get().starts_with('"');
    let quote = if is_quoted { "\"" } else { "" };
    format!("{before}{quote}{id}{quote}{after}").into_bytes()
}

/// The deepest nesting of brackets outside strings. Exact for valid JSON, and bounded work for anything else.
fn depth(bytes: &[u8]) -> u32 {
    let (mut depth, mut deepest) = (0_u32, 0);
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut rest),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn skip_string(rest: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(rest.next()),
            _ => {}
        }
    }
}

/// The `code` of an object; the exchange sends it as a number or as a string of digits (vendor documents).
struct Codes(Option<i64>);

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CodesVisitor)
    }
}

struct CodesVisitor;

impl<'de> Visitor<'de> for CodesVisitor {
    type Value = Codes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Codes, A::Error> {
        let mut code = None;
        let mut contradicted = false;
        while let Some(name) = map.next_key::<AnswerMember>()? {
            if matches!(name, AnswerMember::Code) {
                let value = number(map.next_value::<&RawValue>()?);
                contradicted |= code.is_some_and(|earlier| earlier != value);
                code = Some(value);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Codes(code.flatten().filter(|_| !contradicted)))
    }
}

fn number(raw: &RawValue) -> Option<i64> {
    raw.get().trim_matches('"').parse().ok()
}

/// Whether a member is the `code`; lone surrogates and the like in other names are the exchange's business.
enum AnswerMember {
    Code,
    Other,
}

impl<'de> Deserialize<'de> for AnswerMember {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = AnswerMember;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }
            fn visit_bytes<E: serde::de::Error>(self, name: &[u8]) -> Result<AnswerMember, E> {
                Ok(if name == b"code" {
                    AnswerMember::Code
                } else {
                    AnswerMember::Other
                })
            }
        }
        // As bytes, because as text a lone surrogate would be an error.
        deserializer.deserialize_bytes(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<i64> {
        read_answer(text.as_bytes()).unwrap().code
    }

    /// The signed request, with `SIG` in place of its signature.
    fn signed(request: Request<'_>, key: &str) -> String {
        let sig = "f".repeat(SIG_DIGITS);
        let body = request.draft(key).signed(1_790_000_000_000, &sig).unwrap();
        String::from_utf8(body).unwrap().replace(&sig, "SIG")
    }

    #[test]
    fn the_request_carries_the_callers_params_untouched() {
        let request = Request {
            layout: Layout::default(),
            id: 1,
            method: "private/x",
            params: "{ \"b\":\"\\u0041\", \"a\":1 }",
        };
        let body = signed(request, "key\"invented");
        let expected = r#"{"id":1,"method":"private/x","api_key":"key\"invented","params":{ "b":"\u0041", "a":1 },"nonce":1790000000000,"sig":"SIG"}"#;
        assert_eq!(body, expected);
    }

    #[test]
    fn what_does_not_have_the_announced_length_is_no_signed_request() {
        let request = Request {
            layout: Layout::default(),
            id: 1,
            method: "private/x",
            params: "{}",
        };
        let signed = |nonce, sig: &str| {
            request
                .draft("key")
                .signed(nonce, sig)
                .map(|body| body.len())
        };
        let sig = "f".repeat(SIG_DIGITS);
        let length = Some(request.draft("key").len());
        assert_eq!(signed(*NONCES.start(), &sig), length);
        assert_eq!(signed(*NONCES.end(), &sig), length);
        assert_eq!(signed(*NONCES.start() - 1, &sig), None);
        assert_eq!(signed(*NONCES.end() + 1, &sig), None);
        assert_eq!(signed(*NONCES.start(), &sig[1..]), None);
    }

    #[test]
    fn the_request_is_written_in_the_clients_own_layout() {
        use Member::{ApiKey, Id, Method, Nonce, Params, Sig};
        let written = |layout| {
            let request = Request {
                layout,
                id: 1,
                method: "private/x",
                params: "{}",
            };
            signed(request, "key-invented")
        };
        assert_eq!(
            written(Layout::new(&[Sig, Nonce, Params, ApiKey, Method, Id], true)),
            r#"{"sig":"SIG","nonce":1790000000000,"params":{},"api_key":"key-invented","method":"private/x","id":"1"}"#
        );
        assert_eq!(
            written(Layout::new(&[Method, Nonce], false)),
            r#"{"method":"private/x","nonce":1790000000000,"id":1,"api_key":"key-invented","sig":"SIG"}"#
        );
    }

    #[test]
    fn a_code_may_be_a_number_or_a_digit_string_and_stand_twice_if_alike() {
        assert_eq!(code(r#"{"code":0,"result":{"code":7}}"#), Some(0));
        assert_eq!(code(r#"{"result":[],"code":"40101"}"#), Some(40101));
        assert_eq!(code(r#"{"code":0,"code":0}"#), Some(0));
    }

    #[test]
    fn no_code_or_a_doubtful_one_is_none() {
        for text in [
            r#"{"id":1}"#,
            r#"{"code":0,"code":306}"#,
            r#"{"code":null}"#,
            r#"{"code":1.5}"#,
            "[]",
            "\"x\"",
        ] {
            assert_eq!(code(text), None, "{text}");
        }
        assert_eq!(code(r#"{"code":null,"code":0}"#), None);
    }

    #[test]
    fn an_answer_that_is_given_again_bears_the_id_of_the_call_that_asks() {
        let with_id = |text: &str| String::from_utf8(with_id(text.as_bytes(), 42)).unwrap();
        assert_eq!(
            with_id(r#"{ "id" : -7, "result":{"id":1},"code":0}"#),
            r#"{ "id" : 42, "result":{"id":1},"code":0}"#
        );
        assert_eq!(with_id(r#"{"code":0,"id":"7"}"#), r#"{"code":0,"id":"42"}"#);
        for without in [r#"{"code":0}"#, "[]", "no JSON"] {
            assert_eq!(with_id(without), without);
        }
    }

    #[test]
    fn what_is_no_json_is_told_from_what_is_too_deep() {
        let malformed = |bytes: &[u8]| read_answer(bytes).unwrap_err();
        for bytes in [
            &b""[..],
            b"{\"code\":0",
            b"{\"a\":NaN}",
            b"\xef\xbb\xbf{}",
            b"{}x",
            b"{\"code\":0}{}",
        ] {
            assert_eq!(malformed(bytes), MalformedAnswer::NotJson, "{bytes:?}");
        }
        assert_eq!(malformed(b"{\"a\":\"\xff\"}"), MalformedAnswer::NotUtf8);
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(malformed(deep.as_bytes()), MalformedAnswer::TooDeep);
        assert!(read_answer(br#"{"a":"[[[[\"[[[[","code":0}"#).is_ok());
        for (levels, is_deep) in [(127, false), (128, true)] {
            let text = format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
            assert_eq!(is_too_deep(text.as_bytes()), is_deep, "{levels}");
            let flat = format!("{{\"a\":[{}[]]}}", "[],".repeat(levels));
            assert!(!is_too_deep(flat.as_bytes()));
        }
    }
}
