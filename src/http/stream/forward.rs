//! Frames in both directions, until one side ends.
//!
//! Guarantees: every frame of the client is parsed and judged before anything goes on; what the client sends while the
//! exchange takes nothing is left unread; what the exchange sends while the client takes nothing is bounded, and then the
//! client is closed, not buffered. What became of its commands is said before any end. Heartbeats of the exchange
//! go to the client, whose answer goes back: a dead client must look dead to the exchange. When the daemon stops, commands
//! under way get their answers, then the client is told 1012.
//! Does not: send anything twice, or open anything again; reconnecting is the client's business.

use std::{borrow::Cow, future::poll_fn, sync::Arc, task::Poll};

use tokio::time::{Instant, interval_at};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    answer::{self, End},
    socket::{CLOSE_PATIENCE, Client, Socket},
};
use crate::http::rejections::Refused as Counted;
use gateway::{
    auth::Caller,
    failure::Refusal,
    policy,
    stream::{Event, Incoming, Session, Side},
};
use protocol::{
    call::{Call, Method},
    frame::{Frame, InvalidFrame, ReplyTo, Request},
};

/// Frames beyond the rate limit that are answered, before their socket is closed.
const MAX_TOO_MANY: u32 = 32;
const TOO_SLOW: &str = "the client reads too slowly (streams.max_waiting_bytes)";

/// A frame that is refused: status and word for the record, and what the client is told.
struct Refused {
    status: u16,
    why: &'static str,
    told: Utf8Bytes,
}

impl Refused {
    fn invalid(reply_to: &ReplyTo, invalid: InvalidFrame) -> Self {
        Self {
            status: 422,
            why: "frame_invalid",
            told: answer::invalid(reply_to, invalid),
        }
    }

    fn not_offered(reply_to: &ReplyTo) -> Self {
        Self {
            status: 403,
            why: "not_offered",
            told: answer::not_offered(reply_to),
        }
    }
}

enum Next {
    Client(Incoming),
    Exchange(Event),
}

/// What went through, for the line at the end.
#[derive(Debug, Default)]
struct Counts {
    from_client: u64,
    commands: u64,
    refused: u64,
    from_exchange: u64,
    unanswered: usize,
}

pub(super) struct Forwarder<'s> {
    socket: &'s Socket,
    caller: Option<Arc<Caller>>,
    client: Client,
    session: Session,
    early: Option<Incoming>,
    counts: Counts,
    too_many: u32,
    /// Whose turn it is first, so that neither side can starve the other.
    exchange_first: bool,
}

impl<'s> Forwarder<'s> {
    pub(super) fn new(
        socket: &'s Socket,
        caller: Option<Arc<Caller>>,
        client: Client,
        session: Session,
        early: Option<Incoming>,
    ) -> Self {
        Self {
            socket,
            caller,
            client,
            session,
            early,
            counts: Counts::default(),
            too_many: 0,
            exchange_first: false,
        }
    }

    pub(super) async fn run(mut self, opened: Instant) {
        let end = match self.early.take() {
            Some(incoming) => self.on_incoming(incoming).await.err(),
            None => None,
        };
        let end = match end {
            Some(end) => end,
            None => self.forward().await,
        };
        if end.by == "proxy" {
            self.give_up(499, "closed");
        }
        self.log_end(&end, opened);
        self.finish(end).await;
    }

    async fn forward(&mut self) -> End {
        let gateway = Arc::clone(&self.socket.app.gateway);
        let every = gateway.streams().settings().ping_every;
        let mut ticks = interval_at(Instant::now() + every, every);
        let mut draining = false;
        loop {
            if draining && self.session.in_flight() == 0 {
                return End::draining();
            }
            let done = tokio::select! {
                next = self.next() => match next {
                    Next::Client(incoming) => self.on_incoming(incoming).await,
                    Next::Exchange(event) => self.on_event(event),
                },
                _ = ticks.tick() => self.tick(),
                () = gateway.draining(), if !draining => {
                    draining = true;
                    Ok(())
                }
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn next(&mut self) -> Next {
        self.exchange_first = !self.exchange_first;
        let Self {
            client,
            session,
            exchange_first,
            ..
        } = self;
        poll_fn(|cx| {
            if *exchange_first && let Poll::Ready(event) = session.poll_event(cx) {
                return Poll::Ready(Next::Exchange(event));
            }
            if let Poll::Ready(incoming) = client.poll(cx, session.has_room()) {
                return Poll::Ready(Next::Client(incoming));
            }
            if *exchange_first {
                Poll::Pending
            } else {
                session.poll_event(cx).map(Next::Exchange)
            }
        })
        .await
    }

    fn tick(&mut self) -> Result<(), End> {
        let silence = self.socket.app.gateway.streams().settings().silence;
        if self.client.silent_for() > silence {
            return Err(End::new(1008, "nothing was heard from the client"));
        }
        if self.session.silent_for() > silence {
            return self.on_event(Event::Lost("silent"));
        }
        // Its frames are refused from then on; what the exchange sends by itself ends here.
        let outside = self
            .caller
            .as_ref()
            .is_some_and(|caller| self.socket.is_within_limits(caller).is_err());
        if outside && self.session.in_flight() == 0 {
            return Err(End::outside());
        }
        self.client.ping();
        Ok(())
    }

    fn push(&mut self, text: Utf8Bytes) -> Result<(), End> {
        self.client.push(text).map_err(|_| End::new(1008, TOO_SLOW))
    }

    /// What became of a command is let through beyond the limits, once: the client is closed by it.
    fn push_last(&mut self, text: Utf8Bytes) -> Result<(), End> {
        self.client.push(text.clone()).map_err(|_| {
            self.client.push_within_room(text);
            End::new(1008, TOO_SLOW)
        })
    }

    fn on_event(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Frame(text) => {
                self.counts.from_exchange += 1;
                self.push(text)
            }
            Event::Answer(text) => {
                self.counts.from_exchange += 1;
                self.push_last(text)
            }
            Event::Overdue(command) => {
                self.push_last(answer::unanswered(&command))?;
                let lost = "too many commands were never answered (streams.max_commands)";
                if self.session.has_lost_count() {
                    Err(End::new(1011, lost))
                } else {
                    Ok(())
                }
            }
            Event::Refused(reply_to, refusal) => {
                self.counts.refused += 1;
                self.push_last(answer::said_no(&reply_to, &refusal))
            }
            Event::Closed(closed) => {
                self.give_up(502, "closed");
                Err(End::of_exchange(closed))
            }
            Event::Lost(why) => {
                self.give_up(502, why);
                let reason = Cow::Owned(format!("the connection to the exchange is lost ({why})"));
                Err(End {
                    code: Some(1011),
                    by: "exchange",
                    reason,
                })
            }
        }
    }

    /// Tells the client of every command that will have no answer: beyond the limits of what waits, because they are few
    /// and the last that is said.
    fn give_up(&mut self, status: u16, why: &'static str) {
        for command in self.session.give_up(status, why) {
            self.counts.unanswered += 1;
            self.client.push_within_room(answer::unanswered(&command));
        }
    }

    fn log_end(&self, end: &End, opened: Instant) {
        let Counts {
            from_client,
            commands,
            refused,
            from_exchange,
            unanswered,
        } = self.counts;
        let name: &str = self.caller.as_ref().map_or("none", |caller| &caller.name);
        let code = end
            .code
            .map_or_else(|| "none".to_owned(), |code| code.to_string());
        tracing::info!(
            "event=stream what=closed side={} stream={} caller={name} by={} close_code={code} from_client={from_client} \
             commands={commands} refused={refused} from_exchange={from_exchange} unanswered={} open_s={} why={:?}",
            self.socket.side.name(),
            self.socket.rid,
            end.by,
            unanswered + self.session.in_flight(),
            opened.elapsed().as_secs(),
            end.reason,
        );
    }

    /// Closes both; the exchange at once, because orders may depend on the end of its connection.
    async fn finish(self, end: End) {
        let (upstream, reason, why) = match end.by {
            "client" => (
                end.code.unwrap_or(1000),
                "the client is gone",
                "caller_gone",
            ),
            _ => (1001, "the proxy ends this", "closed"),
        };
        let told = end.code.map(|code| (code, end.reason.into_owned()));
        tokio::join!(
            self.session.close(upstream, reason, why),
            self.client.close(told, CLOSE_PATIENCE)
        );
    }

    async fn on_incoming(&mut self, incoming: Incoming) -> Result<(), End> {
        let Incoming::Text(text) = incoming else {
            return Err(End::of_client(incoming));
        };
        self.counts.from_client += 1;
        let (reply_to, frame) = Frame::parse(&text);
        let answers_heartbeat = matches!(&frame, Ok(frame) if frame.request == Request::RespondHeartbeat
            && self.session.respond_heartbeat(frame));
        if answers_heartbeat {
            return Ok(());
        }
        let Socket { app, source, .. } = self.socket;
        if self.caller.is_none() && !app.exchange_v1.take_frame(source) {
            return self.refuse_too_many(&reply_to);
        }
        let done = match frame {
            Ok(frame) => self.on_frame(&frame, &reply_to).await,
            Err(invalid) => Err(Refused::invalid(&reply_to, invalid)),
        };
        match done {
            Ok(None) => Ok(()),
            Ok(Some(told)) => self.push(told),
            Err(refused) => self.refuse(&reply_to, refused),
        }
    }

    /// Refuses a frame beyond the rate limit of those without a token, and in the end its socket.
    fn refuse_too_many(&mut self, reply_to: &ReplyTo) -> Result<(), End> {
        let Socket { app, source, .. } = self.socket;
        app.rejections.count(source, Counted::Frames);
        self.counts.refused += 1;
        self.too_many += 1;
        if self.too_many > MAX_TOO_MANY {
            let reason = "too many frames without a token; connect again in a while, or show an X-Proxy-Token";
            return Err(End::new(1008, reason));
        }
        self.push(answer::too_many_frames(reply_to))
    }

    /// Lets a frame do what it may; what there is to tell the client at once.
    async fn on_frame(
        &mut self,
        frame: &Frame<'_>,
        reply_to: &ReplyTo,
    ) -> Result<Option<Utf8Bytes>, Refused> {
        match (&frame.request, self.caller.clone()) {
            // The exchange asked for no answer, or has one already.
            (Request::RespondHeartbeat, _) => {
                self.counts.refused += 1;
                Ok(None)
            }
            (Request::Subscribe | Request::Unsubscribe, caller) => {
                self.subscribe(frame, reply_to, caller.as_deref())?;
                Ok(None)
            }
            (Request::LogIn, Some(caller)) if self.socket.side == Side::User => {
                let socket = self.socket;
                Ok(Some(socket.log_in_again(frame, reply_to, &caller).await))
            }
            (Request::Private(method), Some(caller)) if self.socket.side == Side::User => {
                self.command(frame, method, reply_to, &caller)
            }
            (Request::LogIn | Request::Private(_) | Request::Other, _) => {
                Err(Refused::not_offered(reply_to))
            }
        }
    }

    /// Refuses a frame: an answer, and a record where the caller is known.
    fn refuse(&mut self, reply_to: &ReplyTo, refused: Refused) -> Result<(), End> {
        self.counts.refused += 1;
        if let Some(caller) = &self.caller {
            let mut record = self.socket.record(&caller.name);
            record.report.method = Some(reply_to.method.clone());
            record.ended(refused.status, refused.why);
        }
        self.push(refused.told)
    }

    fn subscribe(
        &mut self,
        frame: &Frame<'_>,
        reply_to: &ReplyTo,
        caller: Option<&Caller>,
    ) -> Result<(), Refused> {
        let channels = frame
            .channels()
            .map_err(|invalid| Refused::invalid(reply_to, invalid))?;
        let named = channels.iter().map(AsRef::as_ref);
        let (permit, refused) = match (self.socket.side, caller) {
            (Side::User, Some(caller)) => {
                let arrival = self.socket.app.gateway.arrival(&self.socket.source);
                let judged = policy::authorize_channels(caller, arrival, named);
                let refused = judged.refused.map(|(denied, count)| {
                    let refusal = Refusal::Denied(denied);
                    let (status, why) = (refusal.status(), refusal.code());
                    (status, why, refusal.to_string(), count)
                });
                (judged.permit, refused)
            }
            _ => {
                let judged = policy::of_the_market(named);
                let refused = judged.refused.map(|(foreign, count)| {
                    let Refused { status, why, .. } = Refused::not_offered(reply_to);
                    (status, why, answer::not_of_the_market(foreign), count)
                });
                (judged.permit, refused)
            }
        };
        let others_go_on = permit.is_some();
        if let Some(permit) = permit {
            self.session.subscribe(permit, frame);
        }
        let Some((status, why, text, count)) = refused else {
            return Ok(());
        };
        Err(Refused {
            status,
            why,
            told: answer::refused_channels(reply_to, &text, count, others_go_on),
        })
    }

    fn command(
        &mut self,
        frame: &Frame<'_>,
        method: &Method,
        reply_to: &ReplyTo,
        caller: &Caller,
    ) -> Result<Option<Utf8Bytes>, Refused> {
        self.counts.commands += 1;
        let id = frame
            .id
            .ok_or_else(|| Refused::invalid(reply_to, InvalidFrame::Member("id")))?;
        let call =
            Call::parse_unsigned(id, method.clone(), frame.params).map_err(|invalid| Refused {
                status: 422,
                why: "params_ambiguous",
                told: answer::invalid_params(reply_to, &invalid.to_string()),
            })?;
        let record = self.socket.record(&caller.name);
        let source = &self.socket.source;
        // The gateway notes its own refusals on the record.
        match self
            .session
            .command(caller, source, call, frame, reply_to, record)
        {
            Ok(()) => Ok(None),
            Err(refusal) => {
                self.counts.refused += 1;
                Ok(Some(answer::said_no(reply_to, &refusal)))
            }
        }
    }
}
