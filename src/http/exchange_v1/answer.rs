//! This API's shape of every answer: the exchange's own bytes, or `{"id","method","code","message"}` of ours.
//!
//! Guarantees: an answer of the exchange goes on as it came, but for one case: where it leaves open what became of a call
//! that changes something, clients repeat the call by themselves (50001, 408, 5xx), so they are told our own `unknown`.
//! That is 400 with code 40006, which no tested client repeats, whatever its retry policy says; `not_sent` and refusals
//! may be repeated, and are harmless. The outcome is the same in the answer and in the record; so is the status, but in
//! that one case, where the record has the exchange's.
//!
//! What this API refuses by itself has one value per row of the wire contract, and one table of statuses and codes. Every
//! status goes with a code for which no tested client takes the call for executed; texts never echo the input.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::http::{
    rejections::Refused,
    reply,
    request::{BadKey, BodyError},
    waiting::{self, Held},
};
use catalogue::codes::{DUPLICATE_CLIENT_OID, DUPLICATE_REQUEST};
use gateway::{
    Ended, Relayed, UnreadAnswer,
    auth::SignatureRejected,
    failure::{Failure, Refusal as GatewayRefusal},
    outcome::Outcome,
    upstream::{Reply, ReplyBody},
};
use protocol::{
    call::{InvalidCall, Method, RequestId},
    caller_request::{InvalidRequest, id_in},
    wire,
};

/// What stands in the place of a method that is none; the exchange says so in the same case.
const NO_METHOD: &str = "ERROR";
/// A browser that was led here must not run what somebody may have put into an answer that is no JSON.
const NO_SCRIPTS: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
const NO_GUESSING: HeaderValue = HeaderValue::from_static("nosniff");

/// What an answer refers to.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    id: Option<RequestId>,
    method: Option<Method>,
}

impl Asked {
    /// Before the body was read: the path alone.
    pub(super) fn by_path(path: &str) -> Self {
        Self {
            id: None,
            method: Method::parse(path).ok(),
        }
    }

    /// With the id that stood in the body.
    pub(super) const fn with_id(mut self, id: Option<RequestId>) -> Self {
        self.id = id;
        self
    }

    /// With the id that stands in this body, which need not be a request.
    pub(super) fn with_id_in(self, body: &[u8]) -> Self {
        self.with_id(id_in(body))
    }

    /// The method, if the path names one.
    pub(super) const fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }
}

/// The status of an answer without one of the exchange's: what the gateway would say, fitted to what clients repeat.
pub(super) const fn status(of_the_gateway: u16, outcome: Outcome) -> u16 {
    match (outcome, of_the_gateway) {
        // The caller has gone; nobody is told.
        (_, 499) => 499,
        (Outcome::Unknown, _) => 400,
        (Outcome::NotSent, _) => 503,
        // No room, or stopping: the status that goes with the code.
        (Outcome::Refused, 503) => 429,
        // A name that is in use: the exchange's own status for it.
        (Outcome::Refused, 409 | 422) => 400,
        (Outcome::Refused | Outcome::Answered, status) => status,
    }
}

/// What became of a call.
pub(super) fn relayed(asked: &Asked, relayed: &mut Relayed) -> Response {
    let unread = relayed.unread.take();
    let relayed = &*relayed;
    let mut response = match &relayed.result {
        Ok(reply) if relayed.outcome == Outcome::Unknown && relayed.find_out.is_some() => ours(
            asked,
            status(reply.status, relayed.outcome),
            DUPLICATE_REQUEST,
            &unknown(&left_open(reply), relayed),
        ),
        Ok(reply) => passed_on(reply, unread),
        Err(ended) => ours(
            asked,
            status(ended.status(), relayed.outcome),
            code(ended, relayed),
            &text(ended, relayed),
        ),
    };
    reply::set_outcome(&mut response, relayed.outcome);
    reply::set_names(&mut response, relayed);
    response
}

/// What became of a public call.
pub(super) fn relayed_public(asked: &Asked, result: &Result<Reply, Ended>, held: Held) -> Response {
    match result {
        Ok(reply) => with_body(reply, held.own(reply.raw.clone())),
        Err(Ended::Refused(_)) => {
            let text = "too many public calls are under way, or the proxy is stopping; nothing was sent, try again shortly";
            let mut response = ours(asked, 429, RATE_LIMITED, text);
            reply::set_outcome(&mut response, Outcome::Refused);
            response
        }
        Err(Ended::Failed(failure)) => ours(asked, 503, MAINTENANCE, &failure.to_string()),
    }
}

/// A refusal of the API itself.
pub(super) fn refused(asked: &Asked, refusal: &Refusal) -> Response {
    let told = refusal.told();
    let mut response = ours(asked, told.status, told.code, &refusal.to_string());
    reply::set_outcome(&mut response, Outcome::Refused);
    let headers = response.headers_mut();
    if let Refusal::Verb(verbs) = refusal {
        headers.insert(header::ALLOW, HeaderValue::from_static(verbs));
    }
    if let Refusal::Unread(_) = refusal {
        // The rest of the body still arrives, and nobody will read it.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

const RATE_LIMITED: i64 = 42901;
const MAINTENANCE: i64 = 9_010_001;
const USER_TIER_INVALID: i64 = 10005;
const INTERNAL: i64 = 50001;
const UNAUTHORIZED: i64 = 40101;
const INVALID_NONCE: i64 = 40102;

/// The code that tells why there is no answer; the outcome comes first, because clients decide by it what to repeat.
fn code(ended: &Ended, relayed: &Relayed) -> i64 {
    match (relayed.outcome, ended) {
        (Outcome::Unknown | Outcome::Answered, _) => DUPLICATE_REQUEST,
        (Outcome::NotSent, _) => MAINTENANCE,
        (Outcome::Refused, Ended::Refused(GatewayRefusal::Denied(_))) => USER_TIER_INVALID,
        (
            Outcome::Refused,
            Ended::Refused(GatewayRefusal::IdInUse(_) | GatewayRefusal::Repeated),
        ) => DUPLICATE_REQUEST,
        (
            Outcome::Refused,
            Ended::Refused(
                GatewayRefusal::NameUsed | GatewayRefusal::NameDiffers | GatewayRefusal::NameTaken,
            ),
        ) => DUPLICATE_CLIENT_OID,
        (Outcome::Refused, Ended::Refused(GatewayRefusal::Journal(_))) => MAINTENANCE,
        (
            Outcome::Refused,
            Ended::Refused(
                GatewayRefusal::AtCapacity { .. }
                | GatewayRefusal::Unread { .. }
                | GatewayRefusal::SocketFull { .. }
                | GatewayRefusal::NonceAhead { .. }
                | GatewayRefusal::Stalled { .. }
                | GatewayRefusal::Draining,
            ),
        ) => RATE_LIMITED,
        (Outcome::Refused, Ended::Failed(_)) => INTERNAL,
    }
}

fn text(ended: &Ended, relayed: &Relayed) -> String {
    let why = match ended {
        Ended::Refused(refusal) => refusal.to_string(),
        Ended::Failed(Failure::Defect) => format!("Proxy error: {}", Failure::Defect),
        Ended::Failed(failure) => failure.to_string(),
    };
    match relayed.outcome {
        Outcome::Refused | Outcome::Answered => format!("Proxy refused: {why}"),
        Outcome::NotSent => format!("Not sent: {why}; it may be sent again"),
        Outcome::Unknown => unknown(&why, relayed),
    }
}

fn unknown(why: &str, relayed: &Relayed) -> String {
    let oid = relayed
        .client_oid
        .as_ref()
        .map_or_else(String::new, |oid| format!("; client_oid {oid}"));
    let find_out = relayed
        .find_out
        .map_or_else(String::new, |text| format!("; {text}"));
    format!("UNKNOWN OUTCOME, this call may have been executed: {why}{oid}{find_out}")
}

/// What the exchange said without saying what became of the call.
fn left_open(reply: &Reply) -> String {
    let code = reply.code().map_or_else(
        || "without a code".to_owned(),
        |code| format!("and code {code}"),
    );
    format!("the exchange answered with status {} {code}", reply.status)
}

fn ours(asked: &Asked, status: u16, code: i64, message: &str) -> Response {
    let mut body = Vec::with_capacity(message.len() + 120);
    body.extend_from_slice(b"{\"id\":");
    let id = asked
        .id
        .map_or_else(|| "-1".to_owned(), |id| id.value().to_string());
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(b",\"method\":");
    wire::push_json_string(
        &mut body,
        asked.method.as_ref().map_or(NO_METHOD, Method::as_str),
    );
    body.extend_from_slice(b",\"code\":");
    body.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
    body.extend_from_slice(b",\"message\":");
    wire::push_json_string(&mut body, message);
    body.push(b'}');
    let mut response = reply::json_response(status, body);
    if code == RATE_LIMITED {
        reply::set_retry_after(&mut response, 1);
    }
    response
}

/// Status, content type and bytes as they came.
fn passed_on(reply: &Reply, unread: Option<UnreadAnswer>) -> Response {
    let bytes = reply.raw.clone();
    match unread {
        Some(unread) => with_body(reply, waiting::own(bytes, unread)),
        None => with_body(reply, bytes),
    }
}

fn with_body(reply: &Reply, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.extend(
        reply
            .content_type
            .clone()
            .map(|value| (header::CONTENT_TYPE, value)),
    );
    if let ReplyBody::Text { .. } = reply.body {
        headers.insert(
            HeaderName::from_static("content-security-policy"),
            NO_SCRIPTS,
        );
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_GUESSING);
    }
    response
}

/// A request that no call could be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A browser's request from another site.
    #[error(
        "requests with an Origin header are not served here: they come from a page in a browser; a program leaves Origin out"
    )]
    CrossSite,
    /// A browser's request that another site made it send.
    #[error(
        "a page of another site made your browser send this (Sec-Fetch-Site), and pages must not spend calls here; \
         nothing was sent; call from a program, or open the address yourself"
    )]
    OtherSite,
    /// A `Host` that we do not serve.
    #[error("this Host is not served; allowed_hosts names the ones that are")]
    Misdirected,
    /// No such path.
    #[error(
        "there is no such method here; paths are /exchange/v1/private/… and /exchange/v1/public/…"
    )]
    NoSuchMethod,
    /// A path of this API under another base.
    #[error(
        "this API is below /exchange/v1/ and nowhere else: give your client a base URL that ends in /exchange/v1 \
         (http://<this host>/exchange/v1)"
    )]
    WrongBase,
    /// A wrong verb; the ones that are taken.
    #[error("Method Not Allowed: this path takes {0}")]
    Verb(&'static str),
    /// An `X-Proxy-Token` that is not ours.
    #[error("Invalid proxy token")]
    Token,
    /// A signature that is not believed.
    #[error("{0}")]
    CallerSignature(SignatureRejected),
    /// Too many bodies of unknown senders are being read.
    #[error("too many requests are being read; nothing was sent, try again shortly")]
    Busy,
    /// Half of the time for the answer had passed before the request could be believed.
    #[error("the request took too long to arrive or to be noted; nothing was sent, try again")]
    Late,
    /// The body could not be read.
    #[error("{}", why_unread(*.0))]
    Unread(BodyError),
    /// The body does not say that it is JSON.
    #[error("Content-Type must be application/json")]
    NotJson,
    /// The idempotency key is none.
    #[error("{0}")]
    Key(BadKey),
    /// The body is no request.
    #[error("{0}")]
    Body(InvalidRequest),
    /// Path and body name different methods.
    #[error("the method in the body is not the one in the path")]
    Disagree,
    /// No call can be made of it.
    #[error("{0}")]
    Invalid(InvalidCall),
    /// Public calls are not relayed for this source.
    #[error(
        "public calls are not relayed for this address: beyond this machine nothing authenticates them, so \
         public.sources must list the networks that they may come from"
    )]
    PublicClosed,
    /// The source has spent its budget of public calls.
    #[error(
        "more public calls than public.calls_per_s allows for one address; nothing was sent, try again shortly"
    )]
    PublicBudget,
    /// Too many bytes of answers wait to be read.
    #[error(
        "too many bytes of earlier answers to strangers have not been read yet; nothing was changed, read them and try \
         again shortly"
    )]
    UnreadAnswers,
    /// The query is longer than anything documented, or holds what no query may hold.
    #[error("the query is too long, or not percent-encoded")]
    Query,
}

/// How a refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Told {
    /// The HTTP status.
    pub(super) status: u16,
    /// The exchange's code.
    pub(in crate::http) code: i64,
    /// A stable word for records.
    pub(super) word: &'static str,
}

const fn told(status: u16, code: i64, word: &'static str) -> Told {
    Told { status, code, word }
}

/// The same for a signature that is not believed, whichever way it came.
pub(in crate::http) const fn of_claim(refused: SignatureRejected) -> Told {
    match refused {
        SignatureRejected::Signature => told(401, UNAUTHORIZED, refused.code()),
        SignatureRejected::Window
        | SignatureRejected::BeforeStart
        | SignatureRejected::Replayed => told(400, INVALID_NONCE, refused.code()),
        // Not 40102, after which clients sign anew by themselves: the first may have been executed.
        SignatureRejected::Repeated => told(400, DUPLICATE_REQUEST, refused.code()),
        SignatureRejected::Params => told(400, 40004, refused.code()),
        SignatureRejected::TooMany => told(429, 42901, refused.code()),
        SignatureRejected::NoMark => told(503, 9_010_001, refused.code()),
    }
}

impl Refusal {
    /// Status, code and word: the one table.
    pub(super) const fn told(&self) -> Told {
        match self {
            Self::CrossSite | Self::OtherSite => told(403, 10005, "origin"),
            Self::Misdirected => told(421, 40003, "host"),
            Self::NoSuchMethod => told(404, 40002, "no_such_method"),
            Self::WrongBase => told(404, 40002, "wrong_base"),
            Self::Verb(_) => told(405, 40003, "verb"),
            Self::Token => told(401, UNAUTHORIZED, "token"),
            Self::CallerSignature(refused) => of_claim(*refused),
            Self::Busy => told(429, 42901, "unverified"),
            Self::Late => told(429, 42901, "late"),
            Self::Unread(error @ BodyError::TooLong) => told(413, 40003, error.word()),
            Self::Unread(error) => told(400, 40003, error.word()),
            Self::NotJson => told(400, 40003, "content_type"),
            Self::Key(_) => told(400, 40003, "idempotency_key"),
            Self::Body(_) => told(400, 40003, "body"),
            Self::Disagree => told(400, 40003, "path_and_body"),
            Self::Invalid(InvalidCall::Method) => told(400, 40002, "method_grammar"),
            Self::Invalid(InvalidCall::Id) => told(400, 40003, "id_grammar"),
            Self::Invalid(InvalidCall::Params(_)) => told(400, 40004, "params_not_signable"),
            Self::Invalid(InvalidCall::Ambiguous(_)) => told(400, 40004, "params_ambiguous"),
            Self::PublicClosed => told(403, 10005, "public_closed"),
            Self::PublicBudget => told(429, 42901, "public_budget"),
            Self::UnreadAnswers => told(429, 42901, "unread"),
            Self::Query => told(400, 40004, "query"),
        }
    }

    /// What is counted of it where no caller is known.
    pub(super) const fn counted(&self) -> Refused {
        match self {
            Self::CrossSite | Self::OtherSite => Refused::Origin,
            Self::Misdirected => Refused::Host,
            Self::Token => Refused::Token,
            Self::CallerSignature(refused) => Refused::Signature(*refused),
            Self::Busy => Refused::Unverified,
            Self::PublicClosed => Refused::PublicClosed,
            Self::PublicBudget => Refused::PublicBudget,
            Self::Unread(_) | Self::NotJson | Self::Body(_) | Self::Late => Refused::Body,
            Self::UnreadAnswers => Refused::Unread,
            Self::NoSuchMethod
            | Self::WrongBase
            | Self::Verb(_)
            | Self::Key(_)
            | Self::Disagree
            | Self::Invalid(_)
            | Self::Query => Refused::Body,
        }
    }
}

const fn why_unread(error: BodyError) -> &'static str {
    match error {
        BodyError::TooLong => {
            "the body is too long (listener.max_body_bytes; without a token at most 32 KiB)"
        }
        BodyError::TooSlow => {
            "the body did not arrive in time (listener.body_deadline_ms; without a token at most 2 s)"
        }
        BodyError::Broken => "the body broke off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_executed_is_told_by_a_status_that_nobody_repeats() {
        for of_the_gateway in [500, 502, 503, 504] {
            assert_eq!(status(of_the_gateway, Outcome::Unknown), 400);
            assert_eq!(status(of_the_gateway, Outcome::NotSent), 503);
        }
        assert_eq!(status(503, Outcome::Refused), 429);
        assert_eq!(status(403, Outcome::Refused), 403);
    }
}
