//! One request, from its bytes to its answer.
//!
//! Guarantees: a request is read whole, judged and entered in the journal before anything is done about it; a fault
//! that strikes before execution leaves everything as it was; a call is executed at most once, and its caller hanging
//! up does not undo it.
//! Does not: touch the connection; what goes over the wire as bare bytes is carried out by `server.rs`.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use bytes::Bytes;
use http::{Method, StatusCode, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    FakeExchange,
    authentication::{self, Judged, ParsedCall, Request},
    control,
    fault::{Action, Fault, When, WireStep},
    journal::Received,
    lock,
    reply::{self, Reply},
    settings::{RateLimits, Refusal},
    stream::{Opening, Side},
};

/// Where the methods of the exchange stand.
pub(super) const BASE_PATH: &str = "/exchange/v1/";
const CONTROL_PATH: &str = "/sandbox/";
/// The address echoes: three services that can be scripted apart.
const ECHOES: [&str; 3] = ["/ip", "/ip/2", "/ip/3"];
const MAX_BODY: usize = 1 << 20;
/// A script may hold an answer that is as long as any.
const MAX_COMMAND: usize = 16 << 20;

/// What the connection is to do.
pub(super) enum Answer {
    Http(Reply),
    /// Bare steps in place of an answer, then the end of the connection; and the release that a hang waits for.
    Wire(Vec<WireStep>, watch::Receiver<()>),
    /// The agreement to a stream, which is served once the answer is out.
    Stream(Reply, Box<Opening>),
}

/// Reads a request and answers it.
pub(super) async fn handle(
    exchange: FakeExchange,
    peer: SocketAddr,
    request: hyper::Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    let limit = if head.uri.path().starts_with(CONTROL_PATH) {
        MAX_COMMAND
    } else {
        MAX_BODY
    };
    let Ok(body) = Limited::new(body, limit).collect().await else {
        return Answer::Http(reply::text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body too long\n",
            exchange.now_ms(),
        ));
    };
    let body = body.to_bytes();
    if let Some(command) = head.uri.path().strip_prefix(CONTROL_PATH) {
        return Answer::Http(control::handle(&exchange, &head.method, command, &body));
    }
    Visit::new(exchange, head, body, peer).answer().await
}

/// One request that is no control request.
struct Visit {
    exchange: FakeExchange,
    target: String,
    address: IpAddr,
    peer: SocketAddr,
    head: Parts,
    judged: Judged,
    sequence: u64,
    fault: Fault,
    released: watch::Receiver<()>,
}

impl Visit {
    /// Judges the request and enters it in the journal. Who waits for that entry may release at once, so the release
    /// is watched from before it.
    fn new(exchange: FakeExchange, head: Parts, body: Bytes, peer: SocketAddr) -> Self {
        let path = head.uri.path();
        let target = path.strip_prefix(BASE_PATH).unwrap_or(path).to_owned();
        let (judged, address) = judge(&exchange, &head, &target, &body, peer);
        let released = exchange.state.released.subscribe();
        let fault = lock(&exchange.state.script)
            .take(&target)
            .unwrap_or_else(Fault::none);
        let sequence = exchange.state.journal.enter(Received {
            sequence: 0,
            method: target.clone(),
            verb: head.method.to_string(),
            query: head.uri.query().map(str::to_owned),
            body,
            headers: head.headers.clone(),
            peer,
            authenticated: judged.is_authenticated(),
            executed: false,
        });
        Self {
            exchange,
            target,
            address,
            peer,
            head,
            judged,
            sequence,
            fault,
            released,
        }
    }

    async fn answer(mut self) -> Answer {
        if self.fault.when == When::Before
            && let Some(answer) = self.misbehave().await
        {
            return answer;
        }
        if let Some(side) = Side::of(&self.target) {
            return match Opening::agree(&self.exchange, side, &self.head, self.peer, self.address) {
                (Some(opening), reply) => Answer::Stream(reply, opening),
                (None, reply) => Answer::Http(reply),
            };
        }
        let reply = self.execute();
        if self.fault.when == When::After
            && let Some(answer) = self.misbehave().await
        {
            return answer;
        }
        Answer::Http(reply)
    }

    /// Carries out the fault; `None` if it lets the request go its usual way.
    async fn misbehave(&mut self) -> Option<Answer> {
        if !self.fault.delay.is_zero() {
            tokio::time::sleep(self.fault.delay).await;
        }
        let now_ms = self.exchange.now_ms();
        match &self.fault.action {
            Action::Pass => None,
            Action::Hang => {
                let _ = self.released.changed().await;
                (self.fault.when == When::Before)
                    .then(|| Answer::Wire(Vec::new(), self.released.clone()))
            }
            Action::Code(code) => Some(Answer::Http(reply::refused(
                &self.judged.asked,
                Refusal::code(*code),
                now_ms,
            ))),
            Action::Reply(canned) => Some(Answer::Http(reply::canned(canned, now_ms))),
            Action::Wire(steps) => Some(Answer::Wire(steps.clone(), self.released.clone())),
        }
    }

    fn execute(&self) -> Reply {
        let now_ms = self.exchange.now_ms();
        if ECHOES.contains(&self.target.as_str()) {
            return reply::text(StatusCode::OK, format!("{}\n", self.address), now_ms);
        }
        if self.target.starts_with('/') {
            let refusal = Refusal {
                code: 10004,
                http_status: Some(404),
            };
            return reply::refused(&self.judged.asked, refusal, now_ms);
        }
        let outcome = self.perform(now_ms);
        if outcome.is_ok() {
            self.exchange
                .state
                .journal
                .mark_executed(self.sequence, &self.target);
        }
        reply::outcome(&self.judged.asked, &outcome, now_ms)
    }

    fn perform(&self, now_ms: i64) -> Result<Value, Refusal> {
        let info = self.judged.verdict?;
        let ParsedCall { api_key, .. } = &self.judged.asked;
        let enforced = lock(&self.exchange.state.settings).rate_limits == RateLimits::On;
        let mut limits = lock(&self.exchange.state.limits);
        if enforced && !limits.admit(info, api_key, &self.address.to_string(), Instant::now()) {
            return Err(Refusal::code(42901));
        }
        drop(limits);
        self.exchange.execute(&self.judged.asked, now_ms).0
    }
}

fn judge(
    exchange: &FakeExchange,
    head: &Parts,
    target: &str,
    body: &Bytes,
    peer: SocketAddr,
) -> (Judged, IpAddr) {
    let now_ms = exchange.now_ms();
    let settings = lock(&exchange.state.settings);
    let address = settings
        .apparent_address
        .unwrap_or_else(|| peer.ip().to_canonical());
    let request = Request {
        verb: &head.method,
        method: target,
        query: head
            .uri
            .query()
            .filter(|_| head.method == Method::GET)
            .unwrap_or_default(),
        headers: &head.headers,
        body,
        address,
    };
    (authentication::judge(&request, &settings, now_ms), address)
}
