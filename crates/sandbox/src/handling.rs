//! One request, from its bytes to its answer.
//!
//! Guarantees: a request is read whole, judged and entered in the journal before anything is done about it; a fault
//! that strikes before execution leaves everything as it was; a call is executed at most once, and its caller hanging
//! up does not undo it.
//! Does not: touch the connection; what goes over the wire as bare bytes is carried out by `server.rs`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
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
    executed::Arrival,
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
    call: Arc<Call>,
    peer: SocketAddr,
    head: Parts,
    fault: Fault,
    released: watch::Receiver<()>,
}

/// What is executed of it: now, or late.
struct Call {
    exchange: FakeExchange,
    target: String,
    address: IpAddr,
    arrival: Arrival,
    judged: Judged,
    sequence: u64,
}

impl Visit {
    /// Judges the request and enters it in the journal. Who waits for that entry may release at once, so the release
    /// is watched from before it.
    fn new(exchange: FakeExchange, head: Parts, body: Bytes, peer: SocketAddr) -> Self {
        let path = head.uri.path();
        let target = path.strip_prefix(BASE_PATH).unwrap_or(path).to_owned();
        let arrival = Arrival {
            at_ms: exchange.now_ms(),
            is_frame: false,
        };
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
            call: Arc::new(Call {
                exchange,
                target,
                address,
                arrival,
                judged,
                sequence,
            }),
            peer,
            head,
            fault,
            released,
        }
    }

    async fn answer(mut self) -> Answer {
        if let When::Late(time) = self.fault.when {
            self.call.clone().execute_after(time);
        }
        if self.fault.when != When::After
            && let Some(answer) = self.misbehave().await
        {
            return answer;
        }
        let Call {
            exchange,
            target,
            address,
            ..
        } = self.call.as_ref();
        if let Some(side) = Side::of(target) {
            return match Opening::agree(exchange, side, &self.head, self.peer, *address) {
                (Some(opening), reply) => Answer::Stream(reply, opening),
                (None, reply) => Answer::Http(reply),
            };
        }
        let reply = self.call.execute();
        if self.fault.when == When::After
            && let Some(answer) = self.misbehave().await
        {
            return answer;
        }
        if let Action::Half { reset } = self.fault.action {
            return Answer::Wire(half(reply, reset).await, self.released);
        }
        Answer::Http(reply)
    }

    /// Carries out the fault; `None` if it lets the request go its usual way.
    async fn misbehave(&mut self) -> Option<Answer> {
        if !self.fault.delay.is_zero() {
            tokio::time::sleep(self.fault.delay).await;
        }
        let now_ms = self.call.exchange.now_ms();
        match &self.fault.action {
            Action::Pass | Action::Half { .. } => None,
            Action::Hang => {
                let _ = self.released.changed().await;
                (self.fault.when != When::After)
                    .then(|| Answer::Wire(Vec::new(), self.released.clone()))
            }
            Action::Code(code) => Some(Answer::Http(reply::refused(
                &self.call.judged.asked,
                Refusal::code(*code),
                now_ms,
            ))),
            Action::Reply(canned) => Some(Answer::Http(reply::canned(canned, now_ms))),
            Action::Wire(steps) => Some(Answer::Wire(steps.clone(), self.released.clone())),
        }
    }
}

/// An answer up to the middle of its body, as it goes over the wire.
async fn half(reply: Reply, reset: bool) -> Vec<WireStep> {
    let (head, body) = reply.into_parts();
    let body = body.collect().await.unwrap_or_default().to_bytes();
    let mut bytes = format!(
        "HTTP/1.1 {}\r\ncontent-length: {}\r\n",
        head.status,
        body.len()
    )
    .into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body.slice(..body.len() / 2));
    let mut steps = vec![WireStep::Write(bytes.into())];
    if reset {
        steps.push(WireStep::Reset);
    }
    steps
}

impl Call {
    /// Executes it when this time has passed, while the process lives.
    fn execute_after(self: Arc<Self>, time: Duration) {
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            drop(self.execute());
        });
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
        let outcome = self.perform();
        if outcome.is_ok() {
            self.exchange
                .state
                .journal
                .mark_executed(self.sequence, &self.target);
        }
        reply::outcome(&self.judged.asked, &outcome, now_ms)
    }

    fn perform(&self) -> Result<Value, Refusal> {
        let info = self.judged.verdict?;
        let ParsedCall { api_key, .. } = &self.judged.asked;
        let enforced = lock(&self.exchange.state.settings).rate_limits == RateLimits::On;
        let mut limits = lock(&self.exchange.state.limits);
        if enforced && !limits.admit(info, api_key, &self.address.to_string(), Instant::now()) {
            return Err(Refusal::code(42901));
        }
        drop(limits);
        self.exchange.execute(&self.judged.asked, self.arrival).0
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
