//! `GET|POST /exchange/v1/public/…`: relayed unsigned, for those who may.
//!
//! Guarantees: methods of the catalogue only, each with its own verb; the query goes on as it came, within bounds; a rate
//! limit for each source, and a bound on what waits to be read (`http/waiting.rs`); no header of the client's, and of a
//! posted body only `id`, `method` and `params`. Nothing authenticates these calls: beyond this machine they are relayed
//! for listed networks alone. No record: there is no caller; they are counted.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{Method as HttpMethod, Request};
use ipnet::IpNet;

use super::{
    UNVERIFIED_DEADLINE,
    answer::{self, Asked, Refusal},
};
use crate::http::{
    AppState,
    request::{is_json, read_body, source_of},
};
use catalogue::methods::{Class, MethodInfo, Verb};
use gateway::{access::Peer, upstream::PublicCall};
use protocol::caller_request::CallerRequest;

/// The longest query; documented ones have some hundred characters.
const MAX_QUERY_BYTES: usize = 2048;
/// The longest body; the one documented has some two hundred characters.
const MAX_BODY_BYTES: usize = 4096;

/// Whom public calls are relayed for.
#[derive(Clone, Debug)]
pub(super) enum Audience {
    /// Everybody who reaches us.
    All,
    /// Those who come from these networks, or over a unix socket.
    Networks(Vec<IpNet>),
}

impl Audience {
    /// Listed networks count wherever we listen; without any, `local` decides.
    pub(super) fn new(networks: &[IpNet], local: bool) -> Self {
        if networks.is_empty() && local {
            Self::All
        } else {
            Self::Networks(networks.to_vec())
        }
    }

    pub(super) fn has(&self, source: &Peer) -> bool {
        match (self, source) {
            (Self::All, _) => true,
            (Self::Networks(networks), Peer::Ip(address)) => {
                let address = address.to_canonical();
                networks.iter().any(|network| network.contains(&address))
            }
            // Whoever may open the socket is on this machine, and in its group.
            (Self::Networks(_), Peer::Unix { .. }) => true,
        }
    }
}

/// Serves one call.
pub(super) async fn relay(
    app: &Arc<AppState>,
    mut asked: Asked,
    request: Request<Body>,
) -> Response {
    let source = source_of(&request);
    match attempt(app, &mut asked, &source, request).await {
        Ok(response) => response,
        Err(refusal) => {
            app.rejections.count(&source, refusal.counted());
            answer::refused(&asked, &refusal)
        }
    }
}

async fn attempt(
    app: &AppState,
    asked: &mut Asked,
    source: &Peer,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let api = &app.exchange_v1;
    if !api.serves_public(source) {
        return Err(Refusal::PublicClosed);
    }
    if !api.take_public(source) {
        return Err(Refusal::PublicBudget);
    }
    let info = asked
        .method()
        .and_then(|method| method.info())
        .filter(|info| info.class == Class::Public);
    let info = info.ok_or(Refusal::NoSuchMethod)?;
    check_verb(info, request.method())?;
    let query = request.uri().query().map(str::to_owned);
    if query.as_deref().is_some_and(|query| {
        query.len() > MAX_QUERY_BYTES || !query.bytes().all(may_stand_in_query)
    }) {
        return Err(Refusal::Query);
    }
    let body = if info.verb == Some(Verb::Post) {
        Some(read_posted(app, asked, source, info, request).await?)
    } else {
        None
    };
    let call = PublicCall {
        method: info.name,
        query: query.as_deref(),
        body,
    };
    let mut held = api.unread.hold(source).ok_or(Refusal::UnreadAnswers)?;
    let calls = app.gateway.public_calls();
    let result = calls.relay(call, api.deadline, &mut held).await;
    api.usage.count(source, result.is_err());
    if held.was_refused() {
        return Err(Refusal::UnreadAnswers);
    }
    Ok(answer::relayed_public(asked, &result, held))
}

fn check_verb(info: &MethodInfo, verb: &HttpMethod) -> Result<(), Refusal> {
    match info.verb {
        Some(Verb::Get) if verb == HttpMethod::GET => Ok(()),
        Some(Verb::Post) if verb == HttpMethod::POST => Ok(()),
        Some(Verb::Get) => Err(Refusal::Verb("GET")),
        Some(Verb::Post) => Err(Refusal::Verb("POST")),
        None => Err(Refusal::NoSuchMethod),
    }
}

/// What goes into a URL as it is: RFC 3986, but for the apostrophe, which URLs of http escape.
fn may_stand_in_query(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:@/?%".contains(&byte)
}

/// The body that goes on in place of the client's: its key and signature, should it send any, are nobody's business.
async fn read_posted(
    app: &AppState,
    asked: &mut Asked,
    source: &Peer,
    info: &MethodInfo,
    request: Request<Body>,
) -> Result<Bytes, Refusal> {
    let is_json = is_json(request.headers());
    let slot = app.exchange_v1.slots.take(source).ok_or(Refusal::Busy)?;
    let bytes = read_body(
        request,
        MAX_BODY_BYTES,
        app.settings.body_deadline.min(UNVERIFIED_DEADLINE),
    )
    .await
    .map_err(Refusal::Unread)?;
    drop(slot);
    *asked = asked.clone().with_id_in(&bytes);
    if !is_json {
        return Err(Refusal::NotJson);
    }
    let body = CallerRequest::parse(&bytes).map_err(Refusal::Body)?;
    if body.method != info.name {
        return Err(Refusal::Disagree);
    }
    let id = body
        .id
        .map(|id| format!("\"id\":{},", id.value()))
        .unwrap_or_default();
    let params = body
        .params
        .map(|params| format!(",\"params\":{}", params.get()))
        .unwrap_or_default();
    Ok(Bytes::from(format!(
        "{{{id}\"method\":\"{}\"{params}}}",
        info.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(networks: &[&str], local: bool, source: &str) -> bool {
        let networks: Vec<IpNet> = networks.iter().map(|text| text.parse().unwrap()).collect();
        let source = source.parse().map_or(Peer::Unix { uid: None }, Peer::Ip);
        Audience::new(&networks, local).has(&source)
    }

    #[test]
    fn on_this_machine_everybody_is_served_and_beyond_it_the_listed() {
        assert!(has(&[], true, "127.0.0.1") && has(&[], true, "unix"));
        assert!(
            !has(&[], false, "127.0.0.1")
                && !has(&[], false, "192.0.2.1")
                && has(&[], false, "unix")
        );
        let listed = ["192.0.2.0/24", "2001:db8::/32"];
        for (source, served) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("2001:db8::7", true),
            ("198.51.100.1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(
                (has(&listed, false, source), has(&listed, true, source)),
                (served, served),
                "{source}"
            );
        }
    }

    #[test]
    fn a_query_holds_nothing_that_a_url_would_have_to_escape() {
        for byte in 0..=255_u8 {
            let mut url = url::Url::parse("https://exchange.example/x").unwrap();
            let Ok(text) = std::str::from_utf8(std::slice::from_ref(&byte)) else {
                continue;
            };
            if may_stand_in_query(byte) {
                url.set_query(Some(text));
                assert_eq!(url.as_str(), format!("https://exchange.example/x?{text}"));
            }
        }
    }
}
