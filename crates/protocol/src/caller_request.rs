//! A client's own signed request, `{"id","method","api_key","params","nonce","sig"}`, read as it stands.
//!
//! Guarantees: a member given twice, or one that the exchange does not document, is refused, so that what is read here
//! is all there is; the exact text of `id` and `params` is kept, and the order of the members with it. A member that is
//! `null` is none, as serializers write what is left out. Whether the
//! proof (`api_key`, `nonce`, `sig`) is there and well-formed is asked apart, because a caller with a token needs none.
//! Does not: verify anything. No error repeats the input.

use std::{borrow::Cow, fmt};

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::{
    call::RequestId,
    json::{self, Fields},
    wire::{Layout, Member},
};

/// Milliseconds since 1970 have 13 digits until the year 2286.
const MAX_NONCE_DIGITS: usize = 15;
/// Bytes of an HMAC-SHA256.
pub const SIGNATURE_BYTES: usize = 32;

/// A request in the exchange's own form.
pub struct CallerRequest<'a> {
    /// Its `id`, where it has one.
    pub id: Option<RequestId>,
    /// Its `method`, unchecked.
    pub method: Cow<'a, str>,
    /// Its `params`, an object, where it has any.
    pub params: Option<&'a RawValue>,
    /// How it is written.
    pub layout: Layout,
    id_text: &'a str,
    api_key: Option<&'a RawValue>,
    nonce: Option<&'a RawValue>,
    sig: Option<&'a RawValue>,
}

/// What a client signed, and its signature.
pub struct CallerSignature<'a> {
    /// The API key that it shows.
    pub api_key: Cow<'a, str>,
    /// `method`.
    pub method: &'a str,
    /// The digits of `id`; empty where there is none, as such a client signs nothing in its place.
    pub id: &'a str,
    /// `params`.
    pub params: Option<&'a RawValue>,
    /// The digits of `nonce`.
    pub nonce_text: &'a str,
    /// `nonce`, in milliseconds since 1970.
    pub nonce: u64,
    /// `sig`, decoded: upper-case and lower-case digits are the same signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Why a body is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Not UTF-8, or not JSON.
    #[error("the body is not valid JSON")]
    NotJson,
    /// JSON, but no object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// A member stands there twice.
    #[error("{0} stands twice in the body; send it once")]
    Repeated(&'static str),
    /// A member that is not documented.
    #[error("the body may hold id, method, api_key, params, nonce and sig, and nothing else")]
    Unknown,
    /// No `method`, or one that is no text.
    #[error("method must be a text such as \"private/create-order\"")]
    Method,
    /// `id` is there and no canonical number.
    #[error("id must be an integer from 0 to 9223372036854775807, without leading zeros")]
    Id,
    /// `params` is there and no object.
    #[error("params must be a JSON object; leave it out where a method takes none")]
    Params,
}

/// Why a request proves nothing, seen without any key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureMissing {
    /// `api_key` or `sig` is missing, or not what such a thing looks like.
    Signature,
    /// `nonce` is missing, or no number of milliseconds.
    Nonce,
}

impl<'a> CallerRequest<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// [`InvalidRequest`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, InvalidRequest> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidRequest::NotJson)?;
        let fields =
            Fields::read(text, Member::ALL.map(Member::name)).map_err(|_| not_an_object(text))?;
        let fields = fields.null_is_none();
        if let Some(name) = fields.repeated {
            return Err(InvalidRequest::Repeated(name));
        }
        if fields.unknown {
            return Err(InvalidRequest::Unknown);
        }
        let order: Vec<Member> = fields
            .order()
            .filter_map(|position| Member::ALL.get(position).copied())
            .collect();
        let [id, method, api_key, params, nonce, sig] = fields.values;
        let method = method.and_then(json::text).ok_or(InvalidRequest::Method)?;
        if params.is_some_and(|params| !params.get().starts_with('{')) {
            return Err(InvalidRequest::Params);
        }
        let parsed = id
            .map(RequestId::parse)
            .transpose()
            .map_err(|_| InvalidRequest::Id)?;
        let layout = Layout::new(&order, id.is_some_and(|id| id.get().starts_with('"')));
        Ok(Self {
            id: parsed,
            method,
            params,
            layout,
            id_text: id.map_or("", json::digits),
            api_key,
            nonce,
            sig,
        })
    }

    /// What the client signed, and its signature; nothing is verified yet.
    ///
    /// # Errors
    /// [`SignatureMissing`] where a part of the proof is missing or malformed.
    pub fn signature(&self) -> Result<CallerSignature<'_>, SignatureMissing> {
        let api_key = self
            .api_key
            .and_then(json::text)
            .ok_or(SignatureMissing::Signature)?;
        let mut signature = [0; SIGNATURE_BYTES];
        let hex_digits = self
            .sig
            .and_then(json::text)
            .ok_or(SignatureMissing::Signature)?;
        hex::decode_to_slice(hex_digits.as_bytes(), &mut signature)
            .map_err(|_| SignatureMissing::Signature)?;
        let (nonce_text, nonce) = self
            .nonce
            .and_then(read_nonce)
            .ok_or(SignatureMissing::Nonce)?;
        let Self {
            method,
            id_text,
            params,
            ..
        } = self;
        Ok(CallerSignature {
            api_key,
            method,
            id: id_text,
            params: *params,
            nonce_text,
            nonce,
            signature,
        })
    }
}

/// The id of a body that is no request, for the answer to it: where it is an object with one usable id.
#[must_use]
pub fn id_in(bytes: &[u8]) -> Option<RequestId> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fields = Fields::read(text, [Member::Id.name()]).ok()?;
    if fields.repeated.is_some() {
        return None;
    }
    let [id] = fields.values;
    RequestId::parse(id?).ok()
}

impl fmt::Debug for CallerRequest<'_> {
    /// Neither params nor a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerRequest")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CallerSignature<'_> {
    /// Neither params nor a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerSignature")
            .field("nonce", &self.nonce)
            .finish_non_exhaustive()
    }
}

fn not_an_object(text: &str) -> InvalidRequest {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) if !text.trim_start().starts_with('{') => InvalidRequest::NotAnObject,
        Ok(_) | Err(_) => InvalidRequest::NotJson,
    }
}

/// Clients write it as a number or as its digits in quotes.
fn read_nonce(raw: &RawValue) -> Option<(&str, u64)> {
    let text = json::digits(raw);
    let plain = text.len() <= MAX_NONCE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || text.starts_with('0') {
        return None;
    }
    Some((text, text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIG: &str = "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff";

    fn problem(body: &str) -> InvalidRequest {
        CallerRequest::parse(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_request_is_read_in_any_order_with_its_exact_texts() {
        let body = format!(
            r#"{{ "sig":"{}", "params":{{ "b":"\u0041" , "a":0.10 }},"nonce":"1700000000001","id":9223372036854775807,
            "api_key":"k\u0065y","method":"private\/x" }}"#,
            SIG.to_uppercase()
        );
        let body = CallerRequest::parse(body.as_bytes()).unwrap();
        let claim = body.signature().unwrap();
        assert_eq!(
            body.id.map(RequestId::value),
            Some(9_223_372_036_854_775_807)
        );
        assert_eq!(
            body.params.map(RawValue::get),
            Some(r#"{ "b":"\u0041" , "a":0.10 }"#)
        );
        assert_eq!(
            (claim.method, claim.id, &*claim.api_key),
            ("private/x", "9223372036854775807", "key")
        );
        assert_eq!(
            (claim.nonce, claim.nonce_text),
            (1_700_000_000_001, "1700000000001")
        );
        assert_eq!(hex::encode(claim.signature), SIG);
    }

    #[test]
    fn each_wrong_body_has_its_own_reason() {
        assert_eq!(problem(""), InvalidRequest::NotJson);
        assert_eq!(problem(r#"{"method":"m""#), InvalidRequest::NotJson);
        assert_eq!(problem(r#"{"method":"m"}{}"#), InvalidRequest::NotJson);
        assert_eq!(
            CallerRequest::parse(b"{\"method\":\"\xff\"}").unwrap_err(),
            InvalidRequest::NotJson
        );
        assert_eq!(problem("[]"), InvalidRequest::NotAnObject);
        assert_eq!(problem("{}"), InvalidRequest::Method);
        assert_eq!(problem(r#"{"method":7}"#), InvalidRequest::Method);
        assert_eq!(
            problem(r#"{"method":"m","extra":1}"#),
            InvalidRequest::Unknown
        );
        assert_eq!(problem(r#"{"method":"m","id":"007"}"#), InvalidRequest::Id);
        for params in ["[]", "\"x\"", "1"] {
            assert_eq!(
                problem(&format!(r#"{{"method":"m","params":{params}}}"#)),
                InvalidRequest::Params
            );
        }
        for member in ["id", "method", "api_key", "params", "nonce", "sig"] {
            let escaped = format!("\\u{:04x}{}", u32::from(member.as_bytes()[0]), &member[1..]);
            let body = format!(r#"{{"{member}":1,"{escaped}":1}}"#);
            assert_eq!(problem(&body), InvalidRequest::Repeated(member), "{body}");
        }
    }

    #[test]
    fn the_id_of_what_is_no_request_is_found_where_it_is_one() {
        for (body, id) in [
            (r#"{"id":7,"extra":1}"#, Some(7)),
            (r#"{"method":7,"params":[],"id":"8"}"#, Some(8)),
            (r#"{"id":1,"id":2}"#, None),
            (r#"{"id":-1}"#, None),
            (r#"{"id":null}"#, None),
            (r#"{"id":7"#, None),
            ("[7]", None),
        ] {
            assert_eq!(id_in(body.as_bytes()).map(RequestId::value), id, "{body}");
        }
    }

    #[test]
    fn a_member_that_is_null_is_none() {
        let body =
            r#"{"id":null,"method":"m","api_key":null,"params": null ,"nonce":null,"sig":null}"#;
        let body = CallerRequest::parse(body.as_bytes()).unwrap();
        assert!(body.id.is_none() && body.params.is_none());
        assert_eq!(body.layout, Layout::new(&[Member::Method], false));
        assert_eq!(body.signature().err(), Some(SignatureMissing::Signature));
        assert_eq!(problem(r#"{"method":null}"#), InvalidRequest::Method);
        let twice = r#"{"method":"m","params":null,"params":null}"#;
        assert_eq!(problem(twice), InvalidRequest::Repeated("params"));
    }

    #[test]
    fn a_proof_that_is_missing_or_malformed_is_told_from_one_that_is_there() {
        let shown = |rest: &str| {
            let body = format!(r#"{{"method":"m"{rest}}}"#);
            CallerRequest::parse(body.as_bytes())
                .unwrap()
                .signature()
                .map(|shown| shown.nonce)
        };
        assert_eq!(shown(""), Err(SignatureMissing::Signature));
        assert_eq!(
            shown(&format!(r#","sig":"{SIG}","nonce":1"#)),
            Err(SignatureMissing::Signature)
        );
        for sig in ["", "00", &SIG.replace("00", "0x"), &format!("{SIG}00")] {
            let refused = shown(&format!(r#","api_key":"k","nonce":1,"sig":"{sig}""#));
            assert_eq!(refused, Err(SignatureMissing::Signature), "{sig}");
        }
        for nonce in [
            "null",
            "1.5",
            "-1",
            "0",
            "\"\"",
            "\"01\"",
            "1e3",
            "1234567890123456",
            "\"+1\"",
            "[1]",
        ] {
            let refused = shown(&format!(r#","api_key":"k","nonce":{nonce},"sig":"{SIG}""#));
            assert_eq!(refused, Err(SignatureMissing::Nonce), "{nonce}");
        }
        assert_eq!(
            shown(&format!(r#","api_key":"k","nonce":17,"sig":"{SIG}""#)),
            Ok(17)
        );
    }

    #[test]
    fn debug_shows_no_signature_and_no_params() {
        let body = format!(
            r#"{{"method":"m","params":{{"a":"marker"}},"api_key":"marker","nonce":1,"sig":"{SIG}"}}"#
        );
        let body = CallerRequest::parse(body.as_bytes()).unwrap();
        let shown = format!("{body:?} {:?}", body.signature().unwrap());
        assert!(
            !shown.contains("marker") && !shown.contains("00ff"),
            "{shown}"
        );
    }
}
