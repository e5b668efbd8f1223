//! One client's socket before frames are forwarded: who the client is, and its connection to the exchange.
//!
//! Guarantees: nothing is said to the exchange for a client that is not known.

use std::{
    future::{pending, poll_fn},
    sync::Arc,
    time::Duration,
};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::answer::{self, End};
use crate::{
    guesses::Presence,
    http::{AppState, exchange_v1::SourceSlot, rejections::Refused, verdict::settle},
    places::Place,
};
use gateway::{
    access::Peer,
    auth::{Caller, NotBelieved, SignatureRejected},
    failure::Refusal,
    policy,
    record::CallRecord,
    stream::{CallerSlot, Incoming, Session, Side, Slot, Unopened, WebSocket},
};
use protocol::frame::{Frame, ReplyTo, Request};

/// Frames that a client may send before its login is in order.
const MAX_FRAMES_BEFORE_LOGIN: usize = 8;
/// The longest frame of somebody who is not known: a login has some 300 bytes, a subscription to two hundred channels less
/// than this. A longer one is not parsed.
pub(super) const UNKNOWN_FRAME_BYTES: usize = 8 << 10;
/// After our close frame a client has this time for its own.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

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
    pub(super) caller: Option<Arc<Caller>>,
    pub(super) _slot: Slot,
    /// That of a market stream without a token.
    pub(super) _of_source: Option<SourceSlot>,
    /// A place of the clients that have not logged in; it is free again when the client has.
    pub(super) login: Option<Arc<Place>>,
}

/// A client that is known, or needs not be.
pub(super) struct Known {
    pub(super) caller: Option<Arc<Caller>>,
    /// The login that waits for its answer.
    pub(super) login: Option<ReplyTo>,
    _slot: Option<CallerSlot>,
    _presence: Option<Presence>,
}

/// Closes a client that was not forwarded for.
pub(super) async fn leave(client: Client, end: End) {
    leave_within(client, end, CLOSE_PATIENCE).await;
}

async fn leave_within(client: Client, end: End, patience: Duration) {
    client
        .close(
            end.code.map(|code| (code, end.reason.to_string())),
            patience,
        )
        .await;
}

impl Socket {
    /// Finds out whose socket it is.
    pub(super) async fn identify(&self, client: &mut Client, until: Instant) -> Result<Known, End> {
        if let Some(caller) = &self.caller {
            self.admit(caller).map_err(|_| End::outside())?;
            return self.with_slot(Arc::clone(caller), None);
        }
        if self.side == Side::Market {
            return Ok(Known {
                caller: None,
                login: None,
                _slot: None,
                _presence: None,
            });
        }
        let (caller, reply_to) = self.log_in(client, until).await?;
        let refused = reply_to.clone();
        if let Err(refusal) = self.admit(&caller) {
            let _ = client.push(answer::said_no(&refused, &refusal));
            return Err(End::outside());
        }
        self.with_slot(caller, Some(reply_to)).inspect_err(|end| {
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

    fn with_slot(&self, caller: Arc<Caller>, login: Option<ReplyTo>) -> Result<Known, End> {
        match self.app.gateway.streams().slots().take_for(&caller.name) {
            Some(slot) => Ok(Known {
                _presence: Some(self.app.guesses.presence(&self.source, &caller.name)),
                caller: Some(caller),
                login,
                _slot: Some(slot),
            }),
            None => {
                let end = End::new(
                    1008,
                    "too many streams of this caller (streams.max_per_caller)",
                );
                self.log_failed(&caller.name, &end);
                Err(end)
            }
        }
    }

    /// One line for a known client whose stream does not come about.
    pub(super) fn log_failed(&self, name: &str, end: &End) {
        tracing::warn!(
            "event=stream what=failed side={} stream={} caller={name} why=\"{}\"",
            self.side.name(),
            self.rid,
            end.reason
        );
    }

    /// Counts something refused of a client that is not known.
    fn count(&self, refused: Refused) {
        self.app.rejections.count(&self.source, refused);
    }

    /// Waits for a login that is in order.
    async fn log_in(
        &self,
        client: &mut Client,
        until: Instant,
    ) -> Result<(Arc<Caller>, ReplyTo), End> {
        for _ in 0..MAX_FRAMES_BEFORE_LOGIN {
            let incoming = tokio::select! {
                // Who logs in at once does, whoever comes.
                biased;
                incoming = poll_fn(|cx| client.poll(cx, true)) => incoming,
                () = self.has_to_leave() => return Err(End::crowded()),
                () = sleep_until(until) => {
                    self.count(Refused::Login);
                    return Err(End::new(1008, "no login in time (streams.login_deadline_ms)"));
                }
                () = self.app.gateway.draining() => return Err(End::draining()),
            };
            let Incoming::Text(text) = incoming else {
                return Err(End::of_client(incoming));
            };
            if text.len() > UNKNOWN_FRAME_BYTES {
                return Err(End::too_long());
            }
            let (reply_to, frame) = Frame::parse(&text);
            let told = match frame {
                Ok(frame) if frame.request == Request::LogIn => {
                    let verified = tokio::select! {
                        biased;
                        verified = self.verify(&frame) => verified,
                        () = self.has_to_leave() => return Err(End::crowded()),
                    };
                    match verified {
                        Ok(caller) => return Ok((caller, reply_to)),
                        Err(why) => {
                            let told = answer::not_believed(&reply_to, why);
                            if why == SignatureRejected::Replayed {
                                // Client libraries give the answer to nobody who waits, but for 40101: they see the end.
                                let _ = client.push(told);
                                return Err(End::new(
                                    1008,
                                    "this login was seen before; connect and sign anew",
                                ));
                            }
                            told
                        }
                    }
                }
                Ok(_) => {
                    self.count(Refused::Login);
                    answer::refused(&reply_to, answer::UNAUTHORIZED, "Authentication failure")
                }
                Err(invalid) => {
                    self.count(Refused::Body);
                    answer::invalid(&reply_to, invalid)
                }
            };
            let _ = client.push(told);
        }
        Err(End::new(1008, "no valid login"))
    }

    /// Closes a client that gets no stream. It has a slot until it is gone: so it is waited for only while it has one of the
    /// few places of those that log in, and nobody else needs that.
    pub(super) async fn turn_away(&self, client: Client, end: End) {
        let waits = self.login.is_some() && end != End::crowded();
        let patience = if waits {
            CLOSE_PATIENCE
        } else {
            Duration::ZERO
        };
        tokio::select! {
            biased;
            () = leave_within(client, end, patience) => {}
            () = self.has_to_leave() => {}
        }
    }

    /// Waits until the place is needed for somebody else.
    async fn has_to_leave(&self) {
        match &self.login {
            Some(place) => place.is_needed().await,
            None => pending().await,
        }
    }

    /// Verifies a login; why it is not in order, which is counted, and waited for as long as somebody guesses.
    async fn verify(&self, frame: &Frame<'_>) -> Result<Arc<Caller>, SignatureRejected> {
        match self.identify_and_admit(frame).await {
            Ok(caller) => Ok(caller),
            Err(refused) => {
                let why = refused.why;
                self.app.rejections.count_signed(&self.source, refused);
                if why == SignatureRejected::Signature {
                    settle(&self.app, &self.source, None, None).await;
                }
                Err(why)
            }
        }
    }

    async fn identify_and_admit(&self, frame: &Frame<'_>) -> Result<Arc<Caller>, NotBelieved> {
        let authenticator = self.app.gateway.authenticator();
        let identified = authenticator.identify(&frame.signature()?)?;
        let name = &identified.caller().name;
        // From here on the signature counts: whose place is not kept has left before, or leaves now.
        if self.login.as_ref().is_some_and(|place| !place.known(name)) {
            pending::<()>().await;
        }
        settle(&self.app, &self.source, None, Some(name)).await;
        authenticator.log_in(identified).await
    }

    /// The caller is settled: a token decides for itself, a second login must be the same caller's.
    pub(super) async fn log_in_again(
        &self,
        frame: &Frame<'_>,
        reply_to: &ReplyTo,
        caller: &Caller,
    ) -> Utf8Bytes {
        if self.caller.is_some() {
            return answer::logged_in(reply_to);
        }
        match self.verify(frame).await {
            Ok(again) if again.name == caller.name => answer::logged_in(reply_to),
            Ok(other) => {
                let why = SignatureRejected::Signature;
                let refused = NotBelieved {
                    why,
                    caller: Some(Arc::clone(&other.name)),
                };
                self.app.rejections.count_signed(&self.source, refused);
                answer::not_believed(reply_to, why)
            }
            Err(why) => answer::not_believed(reply_to, why),
        }
    }

    /// Opens the upstream socket while the client is watched; also what the client said meanwhile.
    pub(super) async fn open_upstream(
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
            if let Some(reply_to) = &known.login {
                let _ = client.push(answer::unopened(reply_to, &unopened));
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
