//! `GET /diag/crypto-auth` and `POST /diag/run`: why do calls fail, asked of the running daemon.
//!
//! Guarantees: opened by a token with the `diagnose` right alone, which opens nothing else; it is checked before anything
//! of the request is looked at, and a caller's token is answered as any wrong one is, so that nothing is learned from it.
//! A GET starts no probe. No body is read. Nothing here is a call: there is no record, but a run leaves its own line.
//! Answers are not to be stored. Does not: let anybody trade, or change anything.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderValue, Request, header};

use super::{
    AppState,
    reply::{self, detail},
    request::{place_of, request_id, source_of},
    verdict::settle,
};
use crate::http::{proxy_api, rejections::Refused};
use diagnosis::{
    causes::Symptom,
    runner::{Asked, Asker, OperatorInput},
};
use gateway::access::{Arrival, Peer};

mod answer;

const OFF: &str = "The diagnosis is switched off: set CRYPTO_PROXY_DIAG_TOKEN and restart (a caller issued with \
                   --diagnose opens it, too), or run `sudo crypto-proxy diagnose --alone` on the host";
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Characters of a fingerprint.
const FINGERPRINT: usize = 8;

/// Why nothing is told.
#[derive(Clone, Copy)]
enum Refusal {
    Origin,
    Off,
    Token,
}

/// `GET /diag/crypto-auth`: what is known, without asking anybody.
pub(super) async fn known(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    unstored(match authenticate(&app, &request).await {
        Ok(_) => answer::known(&app).await,
        Err(refused) => refused,
    })
}

/// `POST /diag/run`: the probes, now.
pub(super) async fn run(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    let name = match authenticate(&app, &request).await {
        Ok(name) => name,
        Err(refused) => return unstored(refused),
    };
    let input = match operator_input(request.uri().query().unwrap_or_default()) {
        Ok(input) => input,
        Err(Unreadable { name, message }) => {
            return unstored(reply::detail_at("query", &["query", name], message));
        }
    };
    let rid = request_id(&request);
    unstored(match app.runner.ask(Asker { rid, name }, input).await {
        Asked::Diagnosed(diagnosis) => answer::diagnosed(&app, &diagnosis),
        Asked::TooSoon { wait } => answer::too_soon(&app, wait).await,
        Asked::Stopping => {
            let mut response = detail(503, "The proxy is stopping; nothing was probed");
            reply::set_retry_after(&mut response, 1);
            response
        }
        Asked::Defect => detail(
            500,
            "The diagnosis ended in a defect; the log names the place",
        ),
    })
}

/// The name of the caller that may diagnose, by exactly one token header; else the answer, which may have to wait.
fn authenticate<'a>(
    app: &'a AppState,
    request: &Request<Body>,
) -> impl Future<Output = Result<Arc<str>, Response>> + use<'a> {
    let (source, place) = (source_of(request), place_of(request));
    let was_shown = request.headers().contains_key(proxy_api::TOKEN);
    let judged = judge(app, request, &source);
    async move {
        match judged {
            Ok(name) => {
                settle(app, &source, place.as_ref(), Some(&name)).await;
                drop(app.guesses.presence(&source, &name));
                Ok(name)
            }
            Err(refusal) => {
                let answer = refuse(app, &source, refusal);
                if was_shown && matches!(refusal, Refusal::Token) {
                    settle(app, &source, place.as_ref(), None).await;
                }
                Err(answer)
            }
        }
    }
}

fn judge(app: &AppState, request: &Request<Body>, source: &Peer) -> Result<Arc<str>, Refusal> {
    if request.headers().contains_key(header::ORIGIN) {
        return Err(Refusal::Origin);
    }
    let callers = app.gateway.authenticator().callers();
    if !callers.has_diagnosing() {
        return Err(Refusal::Off);
    }
    let arrival = Arrival {
        source,
        now_ms: app.runner.now_ms(),
    };
    let shown = proxy_api::token(request.headers());
    shown
        .and_then(|token| callers.authenticate_diagnosing(token.as_bytes(), arrival))
        .ok_or(Refusal::Token)
}

fn refuse(app: &AppState, source: &Peer, refusal: Refusal) -> Response {
    let (refused, status, text) = match refusal {
        Refusal::Origin => (
            Refused::Origin,
            403,
            "Requests with an Origin header are not served here",
        ),
        Refusal::Off => (Refused::DiagnosisOff, 403, OFF),
        Refusal::Token => (Refused::Token, 401, "Invalid proxy token"),
    };
    app.rejections.count(source, refused);
    detail(status, text)
}

fn unstored(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// What cannot be used, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
struct Unreadable {
    name: &'static str,
    message: &'static str,
}

/// What the operator adds to a request for a run, in the query: `key_updated`, `file_key_fp` and `symptom`.
///
/// Each thing at most once and in one form only; others are refused, and nothing is repeated in a refusal. Nothing secret
/// is taken: a fingerprint is none.
fn operator_input(query: &str) -> Result<OperatorInput, Unreadable> {
    let mut input = OperatorInput::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "key_updated" if input.key_updated_ms.is_none() => {
                input.key_updated_ms =
                    Some(time(&value).ok_or_else(|| invalid("key_updated", TIME))?);
            }
            "file_key_fp" if input.file_fingerprint.is_none() => {
                let usable = value.len() == FINGERPRINT
                    && value
                        .bytes()
                        .all(|byte| b"0123456789abcdef".contains(&byte));
                let value = usable.then(|| value.into_owned());
                input.file_fingerprint = Some(value.ok_or_else(|| invalid("file_key_fp", PRINT))?);
            }
            "symptom" => {
                let told = Symptom::of_word(&value).filter(|told| !input.told.contains(told));
                input
                    .told
                    .push(told.ok_or_else(|| invalid("symptom", SYMPTOM))?);
            }
            _ => return Err(invalid("", KNOWN)),
        }
    }
    Ok(input)
}

const KNOWN: &str = "only key_updated and file_key_fp are known, each once, and symptom";
const TIME: &str = "write it as 2026-01-31T09:30:00Z";
const SYMPTOM: &str = "each of only-flagged-orders, only-margin-orders, invented-headers and fails-elsewhere may be given once";
const PRINT: &str = "the first 8 hex digits of the SHA-256 of a key, in lower case";

const fn invalid(name: &'static str, message: &'static str) -> Unreadable {
    Unreadable { name, message }
}

fn time(text: &str) -> Option<u64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .and_then(|at| u64::try_from(at.as_millisecond()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_fingerprint_and_symptoms_are_operator_input() {
        let query =
            "key_updated=2026-01-31T09%3A30%3A00Z&file_key_fp=0a1b2c3d&symptom=fails-elsewhere";
        let input = operator_input(query).unwrap();
        let expected = OperatorInput {
            key_updated_ms: Some(1_769_851_800_000),
            file_fingerprint: Some("0a1b2c3d".into()),
            told: vec![Symptom::FailsElsewhere],
        };
        assert_eq!(input, expected);
        assert_eq!(operator_input("").unwrap(), OperatorInput::default());
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        for query in [
            "key_updated=yesterday-marker",
            "key_updated=2026-01-31",
            "key_updated=1960-01-31T09:30:00Z",
            "file_key_fp=0A1B2C3D",
            "file_key_fp=marker",
            "file_key_fp=0a1b2c3d0a",
            "file_key_fp=0a1b2c3d&file_key_fp=0a1b2c3d",
            "symptom=marker",
            "symptom=fails-elsewhere&symptom=fails-elsewhere",
            "probe_trade=marker",
            "marker",
        ] {
            let refused = operator_input(query).unwrap_err();
            assert!(!refused.message.contains("marker"), "{query}: {refused:?}");
        }
    }
}
