//! What goes over a stream's wire: a client's frame, parsed strictly; a frame of the exchange, read for its heading.
//!
//! Guarantees: a [`Frame`] is one JSON object whose known members stand in it once; what is sent on is built from the texts
//! that were parsed, and from no other member; one that is `null` is none. What was judged is what the exchange gets.
//! Source: the vendor's WebSocket pages. Does not: judge params, but for those of a subscription; the others are for
//! [`super::call::Call::parse_unsigned`].

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::call::{Ambiguous, Method, RequestId, check_subscription};
use crate::{
    caller_request::{CallerSignature, SIGNATURE_BYTES, SignatureMissing},
    json::{self, Fields, Members},
};

/// What a frame asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `public/auth`: the login.
    LogIn,
    /// `public/respond-heartbeat`: the client answers a heartbeat.
    RespondHeartbeat,
    /// `subscribe`.
    Subscribe,
    /// `unsubscribe`; on a socket that cancels on disconnect it cancels (vendor documents).
    Unsubscribe,
    /// A `private/…` method.
    Private(Method),
    /// Any other name of the grammar; nothing that a stream offers.
    Other,
}

/// A client's frame.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// What it asks for.
    pub request: Request,
    /// Its id, where it has one.
    pub id: Option<RequestId>,
    /// Its params, as they stand.
    pub params: Option<&'a RawValue>,
    /// Its nonce, where it has one; an order without `client_oid` may take it as its name at the exchange.
    pub nonce: Option<u64>,
    /// The key that a login shows.
    pub api_key: Option<Cow<'a, str>>,
    /// The signature that a login shows.
    pub sig: Option<Cow<'a, str>>,
    id_text: Option<&'a RawValue>,
    nonce_text: Option<&'a RawValue>,
    name: Cow<'static, str>,
}

/// What an answer to a frame repeats of it: the id and the method as they were sent, or, where there was none, what the
/// exchange puts in their place (vendor documents).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// JSON text.
    pub id: String,
    /// A name of the grammar, or `ERROR`.
    pub method: Cow<'static, str>,
}

impl Default for ReplyTo {
    fn default() -> Self {
        Self {
            id: "-1".to_owned(),
            method: Cow::Borrowed("ERROR"),
        }
    }
}

/// Why a frame is none. No text repeats the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// Not one JSON object.
    #[error("a frame must be one JSON object")]
    NotAnObject,
    /// A member stands twice.
    #[error("{0} stands twice in the frame; send it once")]
    Twice(&'static str),
    /// A member that has to be there is not, or is of another kind.
    #[error("{0} is missing, or not of the documented kind")]
    Member(&'static str),
    /// A subscription's params that readers may read differently.
    #[error(transparent)]
    Params(#[from] Ambiguous),
}

/// The members that are read; every other one is dropped.
const MEMBERS: [&str; 6] = ["id", "method", "params", "nonce", "api_key", "sig"];

impl<'a> Frame<'a> {
    /// Parses a frame. There is something to reply to even where the frame is invalid.
    pub fn parse(text: &'a str) -> (ReplyTo, Result<Self, InvalidFrame>) {
        let mut reply_to = ReplyTo::default();
        let read = Self::read(text, &mut reply_to);
        (reply_to, read)
    }

    fn read(text: &'a str, reply_to: &mut ReplyTo) -> Result<Self, InvalidFrame> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let fields = Fields::read(text, MEMBERS).map_err(|_| InvalidFrame::NotAnObject)?;
        let repeated = fields.repeated;
        let [id_text, method, params, nonce_text, api_key, sig] = fields.null_is_none().values;
        let id = number("id", id_text);
        if let (Ok(Some(_)), Some(raw)) = (id, id_text)
            && repeated != Some("id")
        {
            raw.get().clone_into(&mut reply_to.id);
        }
        if let Some(name) = repeated {
            return Err(InvalidFrame::Twice(name));
        }
        let id = id?;
        let method = text_of("method", method)?.ok_or(InvalidFrame::Member("method"))?;
        let (request, name) = read_method(&method)?;
        reply_to.method = name.clone();
        if params.is_some_and(|params| !params.get().starts_with('{')) {
            return Err(InvalidFrame::Member("params"));
        }
        let nonce = number("nonce", nonce_text)?;
        let (api_key, sig) = (text_of("api_key", api_key)?, text_of("sig", sig)?);
        Ok(Self {
            request,
            id,
            params,
            nonce: nonce.map(RequestId::value),
            api_key,
            sig,
            id_text,
            nonce_text,
            name,
        })
    }

    /// The frame as it goes on to the exchange: id, method, params and nonce, nothing else.
    #[must_use]
    pub fn to_be_sent(&self) -> String {
        self.with_params(self.params.map(RawValue::get))
    }

    /// The same for a subscription of which these channels alone go on.
    #[must_use]
    pub fn to_be_sent_of(&self, channels: &[&str]) -> String {
        let params = self.params.map_or("{}", RawValue::get);
        // These params were read before (`channels`); of any others nothing but the channels would go on.
        let members = serde_json::from_str(params)
            .unwrap_or(Members(Vec::new()))
            .0;
        let mut out = format!("{{\"channels\":{}", serde_json::json!(channels));
        for (name, raw) in members.iter().filter(|(name, _)| name != "channels") {
            out.push_str(&format!(",{}:{raw}", serde_json::json!(name)));
        }
        out.push('}');
        self.with_params(Some(&out))
    }

    fn with_params(&self, params: Option<&str>) -> String {
        let length = params.map_or(0, str::len);
        let mut out = String::with_capacity(length + self.name.len() + 96);
        let mut member = |name: &str, text: &str| {
            out.push_str(if out.is_empty() { "{\"" } else { ",\"" });
            out.push_str(name);
            out.push_str("\":");
            out.push_str(text);
        };
        if let Some(id) = self.id_text {
            member("id", id.get());
        }
        // The grammar has no character that JSON escapes.
        member("method", &format!("\"{}\"", self.name));
        if let Some(params) = params {
            member("params", params);
        }
        if let Some(nonce) = self.nonce_text {
            member("nonce", nonce.get());
        }
        out.push('}');
        out
    }

    /// What a login signed, and its signature; nothing is verified yet. A login has no params; an empty object is none.
    ///
    /// # Errors
    /// [`SignatureMissing`] where a part of the proof is missing or malformed, or where there are params.
    pub fn signature(&self) -> Result<CallerSignature<'_>, SignatureMissing> {
        let api_key = self.api_key.clone().ok_or(SignatureMissing::Signature)?;
        let mut signature = [0; SIGNATURE_BYTES];
        let hex_digits = self.sig.as_deref().ok_or(SignatureMissing::Signature)?;
        hex::decode_to_slice(hex_digits, &mut signature)
            .map_err(|_| SignatureMissing::Signature)?;
        let has_params = self.params.is_some_and(|params| {
            serde_json::from_str(params.get()).map_or(true, |Members(members)| !members.is_empty())
        });
        let Some(id) = self.id_text.map(json::digits) else {
            return Err(SignatureMissing::Signature);
        };
        if has_params {
            return Err(SignatureMissing::Signature);
        }
        let (Some(nonce_text), Some(nonce)) = (self.nonce_text.map(json::digits), self.nonce)
        else {
            return Err(SignatureMissing::Nonce);
        };
        Ok(CallerSignature {
            api_key,
            method: &self.name,
            id,
            params: None,
            nonce_text,
            nonce,
            signature,
        })
    }

    /// The channels that a subscription names.
    ///
    /// # Errors
    /// [`InvalidFrame::Params`] where the params hold a key twice, or one that no subscription has;
    /// [`InvalidFrame::Member`] where the channels are no list of texts, or none.
    pub fn channels(&self) -> Result<Vec<Cow<'a, str>>, InvalidFrame> {
        let wrong = InvalidFrame::Member("params.channels");
        let params = self.params.ok_or(wrong)?;
        check_subscription(params)?;
        let Members(members) = serde_json::from_str(params.get()).map_err(|_| wrong)?;
        let mut named = members.iter().filter(|(name, _)| name == "channels");
        let (Some((_, raw)), None) = (named.next(), named.next()) else {
            return Err(wrong);
        };
        let texts: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong)?;
        let channels: Option<Vec<_>> = texts.into_iter().map(json::text).collect();
        channels
            .filter(|channels| !channels.is_empty())
            .ok_or(wrong)
    }
}

fn number(name: &'static str, raw: Option<&RawValue>) -> Result<Option<RequestId>, InvalidFrame> {
    raw.map(|raw| RequestId::parse(raw).map_err(|_| InvalidFrame::Member(name)))
        .transpose()
}

fn text_of<'a>(
    name: &'static str,
    raw: Option<&'a RawValue>,
) -> Result<Option<Cow<'a, str>>, InvalidFrame> {
    raw.map(|raw| json::text(raw).ok_or(InvalidFrame::Member(name)))
        .transpose()
}

fn read_method(name: &str) -> Result<(Request, Cow<'static, str>), InvalidFrame> {
    let known = |request, name| Ok((request, Cow::Borrowed(name)));
    match name {
        "public/auth" => known(Request::LogIn, "public/auth"),
        "public/respond-heartbeat" => known(Request::RespondHeartbeat, "public/respond-heartbeat"),
        "subscribe" => known(Request::Subscribe, "subscribe"),
        "unsubscribe" => known(Request::Unsubscribe, "unsubscribe"),
        _ => {
            let method = Method::parse(name).map_err(|_| InvalidFrame::Member("method"))?;
            let name = method.name();
            Ok((
                if method.is_private() {
                    Request::Private(method)
                } else {
                    Request::Other
                },
                name,
            ))
        }
    }
}

/// What a frame of the exchange says about itself; what is missing, doubtful or stands twice is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heading {
    /// The id that it repeats.
    pub id: Option<u64>,
    /// The method that it repeats.
    pub method: Option<String>,
    /// Its code.
    pub code: Option<i64>,
}

impl Heading {
    /// Reads it.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let Ok(Members(members)) = serde_json::from_str(text) else {
            return Self::default();
        };
        let one = |name: &str| {
            let mut all = members.iter().filter(|(key, _)| key == name);
            all.next()
                .map(|(_, value)| *value)
                .filter(|_| all.next().is_none())
        };
        Self {
            id: one("id")
                .and_then(|raw| RequestId::parse(raw).ok())
                .map(RequestId::value),
            method: one("method").and_then(json::text).map(Cow::into_owned),
            code: one("code").and_then(|raw| raw.get().trim_matches('"').parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests;
