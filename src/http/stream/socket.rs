//! The life of one client's socket: whose it is, the way to the exchange, the pump, the end.
//!
//! Guarantees: nothing is said to the exchange for a client that is not known; a client that leaves while its upstream socket
//! is being opened leaves nothing behind; whatever ends one of the two sockets ends the other, with its code where it had
//! one. One line tells the opening, one the end.

use std::{future::poll_fn, sync::Arc};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Utf8Bytes, protocol::Role},
};

use super::{super::AppState, answer, end::End};
use crate::http::{rejections::Refused, stream::forward::Forwarder};
use gateway::{
    access::Peer,
    auth::{Caller, SignatureRejected},
    failure::Refusal,
    policy,
    record::CallRecord,
    stream::{
        self, CallerSlot, Incoming, Session, Side, Slot, UnauthenticatedSlot, Unopened, WebSocket,
    },
};
use protocol::frame::{Frame, ReplyTo, Request};

/// Frames that a client may send before its login is in order.
const MAX_FRAMES_BEFORE_LOGIN: usize = 8;

/// The client's end.
pub(super) type Client = WebSocket<TokioIo<Upgraded>, Utf8Bytes>;

/// A socket that was agreed on.
pub(super) struct Socket {
    pub(super) app: Arc<AppState>,
    pub(super) side: Side,
    /// The request id of its opening.
    pub(super) rid: Arc<str>,
    /// Where the client is.
    pub(super) source: Peer,
    caller: Option<Arc<Caller>>,
    _place: Slot,
    stranger: Option<UnauthenticatedSlot>,
}

/// A client that is known, or needs not be.
struct Known {
    caller: Option<Arc<Caller>>,
    /// The login that waits for its answer.
    login: Option<ReplyTo>,
    _place: Option<CallerSlot>,
}

impl Socket {
    pub(super) fn new(
        app: Arc<AppState>,
        side: Side,
        rid: Arc<str>,
        source: Peer,
        caller: Option<Arc<Caller>>,
        (place, stranger): (Slot, Option<UnauthenticatedSlot>),
    ) -> Self {
        Self {
            app,
            side,
            rid,
            source,
            caller,
            _place: place,
            stranger,
        }
    }

    /// Serves it to its end.
    pub(super) async fn run(mut self, upgrade: OnUpgrade) {
        let settings = self.app.gateway.streams().settings().clone();
        let Ok(Ok(upgraded)) = timeout(settings.login_deadline, upgrade).await else {
            return;
        };
        let config = stream::config(settings.max_frame_bytes, settings.max_upstream_bytes);
        let stream =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config))
                .await;
        let mut client = WebSocket::new(stream, settings.max_waiting);
        let opened = Instant::now();
        let known = match self
            .who(&mut client, opened + settings.login_deadline)
            .await
        {
            Ok(known) => known,
            Err(end) => return self.leave(client, end).await,
        };
        self.stranger = None;
        let name: &str = known.caller.as_ref().map_or("none", |caller| &caller.name);
        tracing::info!(
            "event=stream what=opened side={} stream={} caller={name} from={}",
            self.side.name(),
            self.rid,
            self.source
        );
        match self.open_upstream(&mut client, &known).await {
            Ok((session, early)) => {
                if let Some(echo) = &known.login {
                    // The queue is empty but for what was refused before.
                    let _ = client.push(answer::logged_in(echo));
                }
                Forwarder::new(&self, known.caller.clone(), client, session, early)
                    .run(opened)
                    .await;
            }
            Err(end) => {
                tracing::warn!(
                    "event=stream what=failed side={} stream={} caller={name} why=\"{}\"",
                    self.side.name(),
                    self.rid,
                    end.reason
                );
                self.leave(client, end).await;
            }
        }
    }

    async fn leave(&self, client: Client, end: End) {
        client
            .close(
                end.code.map(|code| (code, end.reason.to_string())),
                crate::http::stream::forward::CLOSE_PATIENCE,
            )
            .await;
    }

    /// Whose socket it is.
    async fn who(&self, client: &mut Client, until: Instant) -> Result<Known, End> {
        if let Some(caller) = &self.caller {
            self.admit(caller).map_err(|_| End::outside())?;
            return self.with_place(Arc::clone(caller), None);
        }
        if self.side == Side::Market {
            return Ok(Known {
                caller: None,
                login: None,
                _place: None,
            });
        }
        let (caller, echo) = self.log_in(client, until).await?;
        let refused = echo.clone();
        if let Err(refusal) = self.admit(&caller) {
            let _ = client.push(answer::said_no(&refused, &refusal));
            return Err(End::outside());
        }
        self.with_place(caller, Some(echo)).inspect_err(|end| {
            let _ = client.push(answer::refused(&refused, 42901, &end.reason));
        })
    }

    /// Whether the caller may have a stream from here and now; if not, that is on the record.
    fn admit(&self, caller: &Caller) -> Result<(), Refusal> {
        self.is_within_limits(caller).inspect_err(|refusal| {
            let mut record = self.record(&caller.name);
            record.report.method = Some("public/auth".into());
            record.ended(refusal.status(), refusal.code());
        })
    }

    /// Whether the caller may call from here and now.
    pub(super) fn is_within_limits(&self, caller: &Caller) -> Result<(), Refusal> {
        policy::admit_stream(caller, self.app.gateway.arrival(&self.source))
            .map_err(Refusal::Denied)
    }

    fn with_place(&self, caller: Arc<Caller>, login: Option<ReplyTo>) -> Result<Known, End> {
        match self.app.gateway.streams().slots().take_for(&caller.name) {
            Some(place) => Ok(Known {
                caller: Some(caller),
                login,
                _place: Some(place),
            }),
            None => Err(End::new(
                1008,
                "too many streams of this caller (streams.max_per_caller)",
            )),
        }
    }

    /// Waits for a login that is in order.
    async fn log_in(
        &self,
        client: &mut Client,
        until: Instant,
    ) -> Result<(Arc<Caller>, ReplyTo), End> {
        for _ in 0..MAX_FRAMES_BEFORE_LOGIN {
            let incoming = tokio::select! {
                incoming = poll_fn(|cx| client.poll(cx, true)) => incoming,
                () = sleep_until(until) => return Err(End::new(1008, "no login in time (streams.login_deadline_ms)")),
                () = self.app.gateway.draining() => return Err(End::draining()),
            };
            let Incoming::Text(text) = incoming else {
                return Err(End::of_client(incoming));
            };
            let (echo, frame) = Frame::parse(&text);
            let told = match frame {
                Ok(frame) if frame.request == Request::LogIn => {
                    match self.verify(&frame, &echo).await {
                        Ok(caller) => return Ok((caller, echo)),
                        Err(told) => told,
                    }
                }
                Ok(_) => answer::refused(&echo, answer::UNAUTHORIZED, "Authentication failure"),
                Err(invalid) => answer::invalid(&echo, invalid),
            };
            let _ = client.push(told);
        }
        Err(End::new(1008, "no valid login"))
    }

    /// Verifies a login; the answer where it is not in order.
    pub(super) async fn verify(
        &self,
        frame: &Frame<'_>,
        echo: &ReplyTo,
    ) -> Result<Arc<Caller>, Utf8Bytes> {
        let verified = match frame.signature() {
            Ok(claim) => self.app.gateway.authenticator().verify(&claim).await,
            Err(unclaimed) => Err(unclaimed.into()),
        };
        verified.map_err(|refused| {
            self.app
                .tally
                .count(&self.source, Refused::Signature(refused));
            answer::not_believed(echo, refused)
        })
    }

    /// The caller is settled: a token decides for itself, a second login must be the same caller's.
    pub(super) async fn log_in_again(
        &self,
        frame: &Frame<'_>,
        echo: &ReplyTo,
        caller: &Caller,
    ) -> Utf8Bytes {
        if self.caller.is_some() {
            return answer::logged_in(echo);
        }
        match self.verify(frame, echo).await {
            Ok(again) if again.name == caller.name => answer::logged_in(echo),
            Ok(_) => answer::not_believed(echo, SignatureRejected::Signature),
            Err(told) => told,
        }
    }

    /// Opens the upstream socket while the client is watched; also what the client said meanwhile.
    async fn open_upstream(
        &self,
        client: &mut Client,
        known: &Known,
    ) -> Result<(Session, Option<Incoming>), End> {
        let gateway = &self.app.gateway;
        let opening = async {
            match &known.caller {
                Some(caller) if self.side == Side::User => {
                    gateway.streams().open_user(self.record(&caller.name)).await
                }
                _ => gateway
                    .streams()
                    .open_market()
                    .await
                    .map_err(Unopened::from),
            }
        };
        let mut opening = std::pin::pin!(opening);
        let mut early = None;
        let opened = loop {
            tokio::select! {
                opened = &mut opening => break opened,
                incoming = poll_fn(|cx| client.poll(cx, early.is_none())) => {
                    if !matches!(incoming, Incoming::Text(_)) {
                        return Err(End::of_client(incoming));
                    }
                    early = Some(incoming);
                },
                () = gateway.draining() => return Err(End::draining()),
            }
        };
        opened.map(|session| (session, early)).map_err(|unopened| {
            if let Some(echo) = &known.login {
                let _ = client.push(answer::unopened(echo, &unopened));
            }
            let code = if matches!(unopened, Unopened::LoginRefused(_)) {
                1011
            } else {
                1013
            };
            End {
                code: Some(code),
                by: "proxy",
                reason: unopened.to_string().into(),
            }
        })
    }

    /// The record of something that this socket asks for.
    pub(super) fn record(&self, caller: &Arc<str>) -> CallRecord {
        let rid = self.app.request_ids.next().simple().to_string();
        let mut record = self
            .app
            .gateway
            .recorder()
            .open(rid.into(), Arc::clone(caller));
        record.report.stream = Some(Arc::clone(&self.rid));
        record
    }
}
