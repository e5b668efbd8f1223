//! `/health`, `/ready` and, for programs, `/`: for supervisors and people, without a token.
//!
//! Guarantees: nothing secret, no times, no amounts; `/health` depends on nothing but this process. `/ready` is 503 only
//! when draining, when the last attempts to reach the exchange all failed, or when signed requests are refused because
//! the disk takes no mark of them. Calls in doubt (how many, and no name), an order journal that takes no entry (reads and
//! cancellations go), drift and skew are warnings under 200. What weakens a credential is for those who show a token: to a stranger it would say that guessing is worth while.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::Request;
use serde_json::json;

use super::{
    AppState,
    proxy_api::{TOKEN, authenticate},
    reply,
};
use diagnosis::doubt::count_words;
use gateway::observed::ClockSkew;

/// `GET /health`.
pub(super) async fn health() -> Response {
    reply::json_response(
        200,
        br#"{"status":"healthy","service":"crypto-proxy"}"#.to_vec(),
    )
}

/// `GET /` for programs.
pub(super) async fn root() -> Response {
    let body =
        json!({ "message": "Crypto.com Signer Proxy", "version": env!("CARGO_PKG_VERSION") });
    reply::json_response(200, body.to_string().into_bytes())
}

/// `GET /ready`.
pub(super) async fn ready(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    let shows_token = request.headers().contains_key(TOKEN);
    let is_known = shows_token && authenticate(&app, &request).await.is_some();
    let observed = app.gateway.observed();
    let mut because = Vec::new();
    if app.gateway.is_draining() {
        because.push("draining");
    }
    if observed.is_unreachable() {
        because.push("the last attempts to reach the exchange failed");
    }
    if app.gateway.authenticator().replay().is_refusing() {
        because.push(
            "signed requests are refused, because their mark cannot be written to the disk; the log says why",
        );
    }
    let mut warnings = Vec::new();
    let doubts = app.doubts.count().await;
    if doubts.calls > 0 {
        let count = count_words(doubts.calls);
        let which = if doubts.calls == 1 { "it" } else { "them" };
        warnings.push(format!(
            "{count}; `sudo crypto-proxy diagnose` names {which}"
        ));
    }
    if app.doubts.away().is_some() {
        warnings.push(
            "orders are refused and not sent, because the order journal takes no entry; cancellations and reads go; the \
             log and `sudo crypto-proxy diagnose` say why"
                .to_owned(),
        );
    }
    if !doubts.is_certain {
        warnings.push("the order journal does not answer: more calls may be in doubt".to_owned());
    }
    if is_known {
        warnings.extend(app.standing_warnings.iter().cloned());
    }
    if let Some(address) = observed.drift() {
        warnings.push(format!(
            "outbound address {address} is not among CRYPTO_EXPECTED_IP"
        ));
    }
    if observed.skew().estimate().is_some_and(ClockSkew::is_large) {
        warnings.push("the clock differs from the exchange's by 5 s or more".to_owned());
    }
    if app.gateway.is_nonce_ahead() {
        warnings.push(
            "calls are refused because the nonce is ahead of the clock: more than 1,000 calls a second; the log names \
             the caller who makes most"
                .to_owned(),
        );
    }
    let refused_for_ms = app.gateway.authenticator().replay().refused_for_ms();
    if refused_for_ms > 0 {
        warnings.push(format!(
            "signed requests are refused for {} s more, because the run before this one may have admitted their nonces; \
             if it is more than a few seconds, check the host's clock",
            refused_for_ms.div_ceil(1000)
        ));
    }
    if app.alarms.exchange_down() {
        warnings.push("the exchange answers private calls with errors of its own".to_owned());
    }
    if app.alarms.all_refused() {
        warnings.push("the exchange refuses every private call".to_owned());
    }
    let (status, mut body) = if because.is_empty() {
        (200, json!({ "ready": true }))
    } else {
        (503, json!({ "ready": false, "because": because }))
    };
    if let (false, Some(body)) = (warnings.is_empty(), body.as_object_mut()) {
        body.insert("warnings".to_owned(), json!(warnings));
    }
    reply::json_response(status, body.to_string().into_bytes())
}
