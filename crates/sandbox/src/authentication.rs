//! Who asks for what, and may they: the checks every request meets before anything is done.
//!
//! Guarantees: nothing here changes anything, so a request can be judged before it is decided whether to act on it.
//! Order of the checks: method known, body readable, method as in the path, key, key state, signature, nonce,
//! address, permission. Where the exchange's documents are silent about the order, this is ours.
//! Does not: rate limits (they change state) and everything about params but their signature.

use std::net::IpAddr;

use http::{HeaderMap, Method, header::CONTENT_TYPE};

use super::{
    json::Json,
    settings::{ApiKey, KeyState, Permission, Refusal, Settings},
    signature::Signed,
};
use catalogue::methods::{self, Class, MethodInfo, Verb};

/// The exchange's tolerance for a nonce, either way [documents].
const NONCE_WINDOW_MS: u64 = 60_000;

/// A request for a method of the exchange, as it arrived.
pub(super) struct Request<'a> {
    pub(super) verb: &'a Method,
    pub(super) method: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) address: IpAddr,
}

/// What was asked, as far as it could be read.
#[derive(Clone, Debug)]
pub(super) struct ParsedCall {
    /// The id as JSON text, to be echoed as it was sent; `-1` where there is none (public GETs).
    pub(super) id: String,
    pub(super) method: String,
    pub(super) api_key: String,
    pub(super) nonce: i64,
    pub(super) params: Json,
}

/// What was asked, and whether it may be done.
pub(super) struct Judged {
    pub(super) asked: ParsedCall,
    pub(super) verdict: Result<&'static MethodInfo, Refusal>,
}

impl Judged {
    /// Whether a key was needed, and everything about it found in order.
    pub(super) fn is_authenticated(&self) -> bool {
        self.verdict.is_ok_and(|info| info.class != Class::Public)
    }
}

/// Reads and checks a request.
pub(super) fn judge(request: &Request<'_>, settings: &Settings, now_ms: i64) -> Judged {
    let mut asked = ParsedCall::unsigned(request);
    let verdict = check(request, &mut asked, settings, now_ms);
    Judged { asked, verdict }
}

fn check(
    request: &Request<'_>,
    asked: &mut ParsedCall,
    settings: &Settings,
    now_ms: i64,
) -> Result<&'static MethodInfo, Refusal> {
    let info = methods::find(request.method).filter(|info| info.verb == verb(request.verb));
    let info = info
        .filter(|info| info.verb.is_some())
        .ok_or(Refusal::code(40002))?;
    if info.verb == Some(Verb::Get) {
        return Ok(info);
    }
    let envelope = envelope(request)?;
    let sig = asked.read_envelope(&envelope)?;
    if info.class != Class::Public {
        authenticate(asked, envelope.member("params"), sig, settings, now_ms)?;
        authorize(asked, info, settings, request.address)?;
    }
    Ok(info)
}

fn verb(verb: &Method) -> Option<Verb> {
    match *verb {
        Method::GET => Some(Verb::Get),
        Method::POST => Some(Verb::Post),
        _ => None,
    }
}

fn envelope(request: &Request<'_>) -> Result<Json, Refusal> {
    let content_type = request
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let is_json = content_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    let envelope =
        Json::parse(request.body).filter(|json| is_json && matches!(json, Json::Object(_)));
    envelope.ok_or(Refusal::code(40001))
}

impl ParsedCall {
    fn unsigned(request: &Request<'_>) -> Self {
        let query = url::form_urlencoded::parse(request.query.as_bytes());
        let params = query
            .map(|(name, value)| (name.into_owned(), Json::Text(value.into_owned())))
            .collect();
        Self {
            id: "-1".to_owned(),
            method: request.method.to_owned(),
            api_key: String::new(),
            nonce: 0,
            params: Json::Object(params),
        }
    }

    /// Nothing, under this id and method.
    pub(super) fn nothing(id: &str, method: &str) -> Self {
        let (api_key, params) = (String::new(), Json::Object(Vec::new()));
        Self {
            id: id.to_owned(),
            method: method.to_owned(),
            api_key,
            nonce: 0,
            params,
        }
    }

    /// Takes what a frame of a stream says; returns the signature (empty where there is none). Subscriptions may come
    /// without an id [seen in the field].
    pub(super) fn read_frame(&mut self, frame: &Json) -> Result<String, Refusal> {
        let malformed = Refusal::code(40003);
        let id = frame
            .member("id")
            .filter(|id| integer(id).is_some())
            .and_then(Json::scalar_text);
        let Some(method) = frame.text("method") else {
            return Err(malformed);
        };
        let needs_id = !matches!(method, "subscribe" | "unsubscribe");
        if let (None, true) = (&id, needs_id) {
            return Err(malformed);
        }
        method.clone_into(&mut self.method);
        self.id = id.unwrap_or_else(|| "-1".to_owned());
        if let Some(params) = frame.member("params") {
            self.params = params.clone();
        }
        self.nonce = frame.member("nonce").and_then(integer).unwrap_or_default();
        frame
            .text("api_key")
            .unwrap_or_default()
            .clone_into(&mut self.api_key);
        Ok(frame.text("sig").unwrap_or_default().to_owned())
    }

    /// Takes what the envelope says; returns the signature (empty where there is none).
    fn read_envelope<'a>(&mut self, envelope: &'a Json) -> Result<&'a str, Refusal> {
        let malformed = Refusal::code(40003);
        let id = envelope.member("id").ok_or(malformed)?;
        integer(id).ok_or(malformed)?;
        self.id = id.scalar_text().ok_or(malformed)?;
        self.params = match envelope.member("params") {
            None => Json::Object(Vec::new()),
            Some(params @ Json::Object(_)) => params.clone(),
            Some(_) => return Err(malformed),
        };
        if envelope.text("method") != Some(&self.method) {
            return Err(malformed);
        }
        self.nonce = envelope
            .member("nonce")
            .and_then(integer)
            .unwrap_or_default();
        envelope
            .text("api_key")
            .unwrap_or_default()
            .clone_into(&mut self.api_key);
        Ok(envelope.text("sig").unwrap_or_default())
    }
}

/// An integer, or a string of one: both are seen in the documents.
fn integer(value: &Json) -> Option<i64> {
    value.as_scalar()?.parse().ok()
}

/// Whether a login on the user stream is in order: as any call, but nothing is permitted by it yet.
pub(super) fn log_in(
    asked: &ParsedCall,
    sig: &str,
    settings: &Settings,
    address: IpAddr,
    now_ms: i64,
) -> Result<(), Refusal> {
    authenticate(asked, None, sig, settings, now_ms)?;
    is_listed(asked, settings, address)
}

/// Whether a frame of a socket that logged in with `api_key` may be carried out; it bears no signature.
pub(super) fn command(
    asked: &ParsedCall,
    api_key: Option<&str>,
    settings: &Settings,
) -> Result<(), Refusal> {
    let info = methods::find(&asked.method)
        .filter(|info| info.class != Class::Public)
        .ok_or(Refusal::code(40002))?;
    let key = api_key
        .and_then(|key| settings.key(key))
        .filter(|key| key.state == KeyState::Active);
    let key = key.ok_or(Refusal::code(40101))?;
    if is_permitted(key, info) {
        Ok(())
    } else {
        Err(settings.forbidden)
    }
}

fn is_listed(asked: &ParsedCall, settings: &Settings, address: IpAddr) -> Result<(), Refusal> {
    let key = settings.key(&asked.api_key).ok_or(Refusal::code(40101))?;
    let listed = key.whitelist.is_empty() || key.whitelist.contains(&address);
    if listed {
        Ok(())
    } else {
        Err(settings.unlisted)
    }
}

fn authenticate(
    asked: &ParsedCall,
    params: Option<&Json>,
    sig: &str,
    settings: &Settings,
    now_ms: i64,
) -> Result<(), Refusal> {
    let id = asked
        .id
        .trim_matches('"')
        .parse()
        .map_err(|_| Refusal::code(40003))?;
    let ParsedCall {
        method,
        api_key,
        nonce,
        ..
    } = asked;
    let key = settings
        .key(api_key)
        .filter(|key| key.state == KeyState::Active)
        .ok_or(Refusal::code(40101))?;
    let signed = Signed {
        method,
        id,
        api_key,
        params,
        nonce: *nonce,
        sig,
    };
    if !signed.is_by(&key.api_secret, settings.dialect) {
        return Err(Refusal::code(40101));
    }
    if nonce.abs_diff(now_ms) > NONCE_WINDOW_MS {
        return Err(Refusal::code(40102));
    }
    Ok(())
}

fn authorize(
    asked: &ParsedCall,
    info: &MethodInfo,
    settings: &Settings,
    address: IpAddr,
) -> Result<(), Refusal> {
    is_listed(asked, settings, address)?;
    let key = settings.key(&asked.api_key).ok_or(Refusal::code(40101))?;
    if !is_permitted(key, info) {
        return Err(settings.forbidden);
    }
    Ok(())
}

fn is_permitted(key: &ApiKey, info: &MethodInfo) -> bool {
    key.permissions.contains(&match info.class {
        Class::Public => return true,
        Class::Read => Permission::Read,
        Class::Transfer if info.name == "private/create-isolated-margin-transfer" => {
            Permission::Trade
        }
        Class::Trade | Class::Products | Class::AccountAdmin => Permission::Trade,
        Class::Transfer => Permission::Withdraw,
    })
}
