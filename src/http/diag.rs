//! `GET /diag/crypto-auth` and `POST /diag/run`: why do calls fail, asked of the running daemon.
//!
//! Guarantees: opened by a token with the `diagnose` right alone, which opens nothing else; it is checked before anything
//! of the request is looked at, and a caller's token is answered as any wrong one is, so that nothing is learned from it.
//! A GET starts no probe. No body is read. Nothing here is a call: there is no record, but a run leaves its own line.
//! Answers are not to be stored. Does not: let anybody trade, or change anything.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderValue, Request, header};
use serde_json::json;

use super::{
    AppState, reply,
    request::{request_id, source_of},
};
use crate::http::{proxy_api, rejections::Refused};
use diagnosis::runner::{Asked, Asker, OperatorInput};
use gateway::access::{Arrival, Peer};

mod answer;
mod operator_input;

use operator_input::Unreadable;

const OFF: &str = "The diagnosis is switched off: set CRYPTO_PROXY_DIAG_TOKEN and restart (a caller issued with \
                   --diagnose opens it, too), or run `sudo crypto-proxy diagnose --alone` on the host";
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Why nothing is told.
enum Refusal {
    Origin,
    Off,
    Token,
    Query(Unreadable),
}

/// `GET /diag/crypto-auth`: what is known, without asking anybody.
pub(super) async fn known(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    unstored(match authenticate(&app, &request) {
        Ok(_) => answer::known(&app),
        Err(refusal) => refuse(&app, &source_of(&request), refusal),
    })
}

/// `POST /diag/run`: the probes, now.
pub(super) async fn run(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    let (prepared, source) = (prepare(&app, &request), source_of(&request));
    let (asker, statement) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return unstored(refuse(&app, &source, refusal)),
    };
    unstored(match app.examination.ask(asker, statement).await {
        Asked::Diagnosed(diagnosis) => answer::diagnosed(&app, &diagnosis),
        Asked::TooSoon { wait } => answer::too_soon(&app, wait),
        Asked::Stopping => retry(detail(503, "The proxy is stopping; nothing was probed"), 1),
        Asked::Defect => detail(
            500,
            "The diagnosis ended in a defect; the log names the place",
        ),
    })
}

fn prepare(app: &AppState, request: &Request<Body>) -> Result<(Asker, OperatorInput), Refusal> {
    let name = authenticate(app, request)?;
    let statement =
        operator_input::read(request.uri().query().unwrap_or_default()).map_err(Refusal::Query)?;
    Ok((
        Asker {
            rid: request_id(request),
            name,
        },
        statement,
    ))
}

/// The name of whoever may diagnose, by exactly one token header.
fn authenticate(app: &AppState, request: &Request<Body>) -> Result<Arc<str>, Refusal> {
    if request.headers().contains_key(header::ORIGIN) {
        return Err(Refusal::Origin);
    }
    let callers = app.gateway.authenticator().callers();
    if !callers.has_diagnosing() {
        return Err(Refusal::Off);
    }
    let arrival = Arrival {
        source: &source_of(request),
        now_ms: app.examination.now_ms(),
    };
    let shown = proxy_api::token(request.headers());
    shown
        .and_then(|token| callers.authenticate_diagnosing(token.as_bytes(), arrival))
        .ok_or(Refusal::Token)
}

fn refuse(app: &AppState, source: &Peer, refusal: Refusal) -> Response {
    let counted = |refused, status, text| {
        app.tally.count(source, refused);
        detail(status, text)
    };
    match refusal {
        Refusal::Origin => counted(
            Refused::Origin,
            403,
            "Requests with an Origin header are not served here",
        ),
        Refusal::Off => counted(Refused::DiagnosisOff, 403, OFF),
        Refusal::Token => counted(Refused::Token, 401, "Invalid proxy token"),
        Refusal::Query(Unreadable { name, message }) => {
            let body =
                json!({ "detail": [{ "type": "query", "loc": ["query", name], "msg": message }] });
            reply::json_response(422, body.to_string().into_bytes())
        }
    }
}

fn detail(status: u16, text: &str) -> Response {
    reply::json_response(status, json!({ "detail": text }).to_string().into_bytes())
}

fn retry(mut response: Response, seconds: u64) -> Response {
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn unstored(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, NO_STORE);
    response
}
