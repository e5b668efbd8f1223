//! `POST /exchange/v1/private/…`: who asks, for what, and on to the gateway.
//!
//! Guarantees: before the sender is known, bodies are read in a bounded number of slots, of bounded size and time, and what
//! would take long to verify is verified aside; a
//! verified caller, and nobody else, has exactly one record; path and body name the same method. The order of the
//! checks is that of the wire contract.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, HttpBody as _},
    response::Response,
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request};

use super::{
    UNVERIFIED_DEADLINE,
    answer::{self, Asked, Refusal},
};
use crate::{
    http::{
        AppState,
        proxy_api::{TOKEN, authenticate},
        reply,
        request::{
            self, BadKey, KnownCaller, idempotency_key, is_json, place_of, read_body, request_id,
            source_of,
        },
        verdict::settle,
    },
    places::Place,
};
use gateway::{
    Relayed,
    access::Peer,
    auth::{Believed, Caller, Identified, SignatureRejected},
    record::CallRecord,
};
use protocol::{
    call::{Call, RequestId},
    caller_request::{CallerRequest, id_in},
};

/// The longest body that is read of somebody who is not known yet; ten orders in a list have less than 8 KiB.
pub(crate) const UNVERIFIED_BYTES: usize = 32 << 10;
/// Up to this length a signed body is judged where it was read: it takes some tens of microseconds. A call has some
/// hundred bytes, an order with everything in it less than 1 KiB.
const SHORT_BYTES: usize = 1 << 10;
/// A body that arrives within this time takes no slot.
const WITH_ITS_HEAD: Duration = Duration::from_millis(250);

/// Serves one call.
pub(super) async fn relay(
    app: &Arc<AppState>,
    path: &str,
    asked: Asked,
    request: Request<Body>,
) -> Response {
    if request.headers().contains_key(TOKEN) {
        relay_with_token(app, path, asked, request).await
    } else {
        relay_signed(app, path, asked, request).await
    }
}

/// For whoever shows a token, which is checked before a byte of the body is read.
async fn relay_with_token(
    app: &Arc<AppState>,
    path: &str,
    asked: Asked,
    request: Request<Body>,
) -> Response {
    let source = source_of(&request);
    let Some(caller) = authenticate(app, &request).await else {
        return answer::refused(&asked, &Refusal::Token);
    };
    let record = open(app, &request, &caller);
    known(&asked.clone(), record, |mut record| async move {
        let key = key_of(request.headers());
        let is_json = is_json(request.headers());
        let settings = &app.settings;
        let read = read_body(request, settings.max_body_bytes, settings.body_deadline).await;
        let bytes = match read {
            Ok(bytes) if is_json => bytes,
            Ok(bytes) => {
                return end(&mut record, &asked.with_id_in(&bytes), &Refusal::NotJson);
            }
            Err(error) => return end(&mut record, &asked, &Refusal::Unread(error)),
        };
        match CallerRequest::parse(&bytes) {
            Ok(body) => {
                let asked_for = AskedFor {
                    body: &body,
                    key,
                    is_copy: false,
                };
                go_on(app, path, asked, record, &caller, &source, asked_for).await
            }
            Err(problem) => {
                let asked = asked.with_id_in(&bytes);
                end(&mut record, &asked, &Refusal::Body(problem))
            }
        }
    })
    .await
}

/// For whoever signs with a virtual key. Its time counts from here: a client that gives up repeats an order by itself.
async fn relay_signed(
    app: &Arc<AppState>,
    path: &str,
    asked: Asked,
    request: Request<Body>,
) -> Response {
    let arrived = Instant::now();
    let source = source_of(&request);
    let rid = request_id(&request);
    let place = place_of(&request);
    let is_json = is_json(request.headers());
    let key = key_of(request.headers());
    if is_long(&request) && app.exchange_v1.queue.are_full_for(&source) {
        return refuse(app, &source, &asked, &Refusal::Busy);
    }
    let bytes = match read_unverified(app, &source, request).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refuse(app, &source, &asked, &refusal),
    };
    if !is_json {
        let asked = asked.with_id_in(&bytes);
        return refuse(app, &source, &asked, &Refusal::NotJson);
    }
    let mut judged = None;
    if bytes.len() > SHORT_BYTES {
        match judge_aside(app, &source, &bytes).await {
            Ok(identified) => judged = Some(identified),
            Err((id, refusal)) => {
                app.rejections.count(&source, refusal.counted());
                let asked = asked.with_id(id);
                return disbelieve(app, &source, place.as_ref(), &asked, &refusal).await;
            }
        }
    }
    let body = match CallerRequest::parse(&bytes) {
        Ok(body) => body,
        Err(problem) => {
            let asked = asked.with_id_in(&bytes);
            return refuse(app, &source, &asked, &Refusal::Body(problem));
        }
    };
    let asked = asked.with_id(body.id);
    let identified = match judged {
        Some(identified) => Ok(identified),
        None => identify(app, &body),
    };
    // From here on the signature counts, and may wait for the disk: its connection is not closed for a newcomer.
    if let (Ok(identified), Some(place)) = (&identified, &place)
        && !place.stay(&identified.caller().name)
    {
        return refuse(app, &source, &asked, &Refusal::Busy);
    }
    let admitted = match identified {
        Ok(identified) => {
            let name = &identified.caller().name;
            settle(app, &source, place.as_ref(), Some(name)).await;
            app.gateway.authenticator().admit(identified, &source).await
        }
        Err(why) => Err(why.into()),
    };
    let Believed { caller, is_copy } = match admitted {
        Ok(believed) => believed,
        Err(refused) => {
            let refusal = Refusal::CallerSignature(refused.why);
            app.rejections.count_signed(&source, refused);
            return disbelieve(app, &source, place.as_ref(), &asked, &refusal).await;
        }
    };
    request::known(app, &source, place.as_ref(), &caller).await;
    let record = app
        .gateway
        .recorder()
        .open(rid, Arc::clone(&caller.name))
        .arrived(arrived);
    let record = record.at_endpoint(app.exchange_v1.deadline, answer::status);
    let late = arrived.elapsed() > app.exchange_v1.deadline / 2;
    let (body, caller, source) = (&body, &caller, &source);
    known(&asked.clone(), record, |mut record| async move {
        // What is left would not be enough for an answer in time, and nothing was sent yet.
        if late {
            end(&mut record, &asked, &Refusal::Late)
        } else {
            let asked_for = AskedFor { body, key, is_copy };
            go_on(app, path, asked, record, caller, source, asked_for).await
        }
    })
    .await
}

/// Whether its body will have to wait for the lane, as far as its head tells. Where that is full, the body is not read.
fn is_long(request: &Request<Body>) -> bool {
    request.body().size_hint().lower() > SHORT_BYTES as u64
}

fn identify(app: &AppState, body: &CallerRequest<'_>) -> Result<Identified, SignatureRejected> {
    app.gateway.authenticator().identify(&body.signature()?)
}

/// Who signed a long body. It is read and verified on a thread of the pool, one body at a time, so that strangers cannot
/// delay calls with it. Those that wait for their turn have places, half of them at most one source's.
async fn judge_aside(
    app: &Arc<AppState>,
    source: &Peer,
    bytes: &Bytes,
) -> Result<Identified, (Option<RequestId>, Refusal)> {
    let api = &app.exchange_v1;
    let busy = || (None, Refusal::Busy);
    let _place = api.queue.take(source).ok_or_else(busy)?;
    let lane = Arc::clone(&api.lane);
    let turn = lane.acquire_owned().await.map_err(|_| busy())?;
    let (app, bytes) = (Arc::clone(app), bytes.clone());
    let judging = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let body = CallerRequest::parse(&bytes)
            .map_err(|problem| (id_in(&bytes), Refusal::Body(problem)))?;
        identify(&app, &body).map_err(|refused| (body.id, Refusal::CallerSignature(refused)))
    });
    judging.await.unwrap_or_else(|_| Err(busy()))
}

fn open(app: &AppState, request: &Request<Body>, caller: &Caller) -> CallRecord {
    let record = app
        .gateway
        .recorder()
        .open(request_id(request), Arc::clone(&caller.name));
    record.at_endpoint(app.exchange_v1.deadline, answer::status)
}

/// Answers a known caller, also where we have a defect.
async fn known<F>(
    asked: &Asked,
    record: CallRecord,
    serve: impl FnOnce(CallRecord) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let progress = record.progress();
    let served = AssertUnwindSafe(serve(record)).catch_unwind().await;
    let defect = || {
        answer::relayed(
            asked,
            &mut Relayed::defect(progress.outcome_without_answer()),
        )
    };
    let mut response = served.unwrap_or_else(|_| defect());
    response.extensions_mut().insert(KnownCaller);
    response
}

/// Reads a body before anybody is known. One that comes with its head needs no slot: slow ones cannot keep it out, and
/// connections bound what arrives meanwhile.
async fn read_unverified(
    app: &AppState,
    source: &Peer,
    request: Request<Body>,
) -> Result<Bytes, Refusal> {
    let bytes = app.settings.max_body_bytes.min(UNVERIFIED_BYTES);
    let deadline = app.settings.body_deadline.min(UNVERIFIED_DEADLINE);
    let mut reading = pin!(read_body(request, bytes, deadline));
    let read = match tokio::time::timeout(WITH_ITS_HEAD, &mut reading).await {
        Ok(read) => read,
        Err(_) => {
            let _slot = app.exchange_v1.slots.take(source).ok_or(Refusal::Busy)?;
            reading.await
        }
    };
    read.map_err(Refusal::Unread)
}

/// What a caller asks for.
struct AskedFor<'a> {
    body: &'a CallerRequest<'a>,
    key: Result<Option<String>, BadKey>,
    /// Whether the very same signed bytes came before.
    is_copy: bool,
}

/// With a caller who is known: what is asked for, and what becomes of it.
async fn go_on(
    app: &Arc<AppState>,
    path: &str,
    asked: Asked,
    mut record: CallRecord,
    caller: &Caller,
    source: &Peer,
    AskedFor { body, key, is_copy }: AskedFor<'_>,
) -> Response {
    let asked = asked.with_id(body.id);
    let call = read_call(app, path, body).and_then(|call| {
        let key = key.map_err(Refusal::Key)?;
        Ok(call.under_key(key.as_deref()))
    });
    match call {
        Ok(call) => {
            let rid = Arc::clone(&record.report.rid);
            let mut relayed = if is_copy {
                Box::pin(app.gateway.repeat(record, caller, call)).await
            } else {
                app.gateway.relay(record, caller, source, call).await
            };
            let mut response = answer::relayed(&asked, &mut relayed);
            reply::set_hint(&mut response, &app.hints, &rid, &relayed);
            response
        }
        Err(refusal) => end(&mut record, &asked, &refusal),
    }
}

/// Kept, because the body takes the request.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, BadKey> {
    idempotency_key(headers).map(|key| key.map(str::to_owned))
}

fn read_call(app: &AppState, path: &str, body: &CallerRequest<'_>) -> Result<Call, Refusal> {
    if body.method != path {
        return Err(Refusal::Disagree);
    }
    // A client that sends no id cannot miss its own in the answer.
    let id = body.id.unwrap_or(RequestId::BACKEND);
    let dialect = app.gateway.settings().dialect;
    let call = Call::parse(id, &body.method, body.params, dialect).map_err(Refusal::Invalid)?;
    Ok(call.written_as(body.layout))
}

/// Refuses a caller who is known, on the record.
fn end(record: &mut CallRecord, asked: &Asked, refusal: &Refusal) -> Response {
    let told = refusal.told();
    record.ended(told.status, told.word);
    answer::refused(asked, refusal)
}

/// Refuses somebody who is not known; a wrong signature is a guess.
async fn disbelieve(
    app: &AppState,
    source: &Peer,
    place: Option<&Arc<Place>>,
    asked: &Asked,
    refusal: &Refusal,
) -> Response {
    if matches!(
        refusal,
        Refusal::CallerSignature(SignatureRejected::Signature)
    ) {
        settle(app, source, place, None).await;
    }
    answer::refused(asked, refusal)
}

/// Refuses somebody who is not known, and counts it.
fn refuse(app: &AppState, source: &Peer, asked: &Asked, refusal: &Refusal) -> Response {
    app.rejections.count(source, refusal.counted());
    answer::refused(asked, refusal)
}
