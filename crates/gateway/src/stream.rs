//! The authenticated WebSocket: one socket to the exchange for each client's socket, opened after it and ended with it.
//!
//! Guarantees: the login is signed here and never shown. A command goes out only for a [`StreamPermit`], once, and leaves one
//! record, however it ends: by its answer, by its deadline, or with the socket. What was not handed to the socket before its
//! call ended is never sent. Nothing is sent again, and no socket is opened again. Frames of the exchange, its close reason
//! too, are searched for our secrets before anybody sees them. Everything that waits is bounded. Does not: talk to the
//! client, or answer the exchange's heartbeats once the client can. A dead client must look dead to the exchange, because its
//! orders may depend on that.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    failure::Refusal,
    journal::{Entry, Journal, Told},
    ledger::{Cleared, Ticket},
    outcome::{Phase, Progress},
    policy::{ChannelPermit, StreamPermit},
    record::CallRecord,
    redact::Scrubber,
};
use crate::{
    access::Peer,
    admission::{Admission, Place},
    auth::Caller,
};
use protocol::{
    call::Call,
    frame::{Frame, Heading, ReplyTo},
};

mod base;
mod beginning;
mod open;
mod pending;
mod slots;
mod websocket;

pub use base::{StreamBase, StreamBaseProblem};
use beginning::{Beginning, Begun, Next, Waiting};
use open::{BUFFER, UpstreamSocket};
pub use open::{Dialer, StreamOpener, Unopened, config};
use pending::{Command, Commands};
pub use pending::{UnansweredCommand, Why};
pub use slots::{CallerSlot, Slot, Slots};
pub use websocket::{
    Incoming, Limits, MAX_WAITING_OF_ALL, Overflow, Queued, WaitingOfAll, WebSocket, may_be_sent,
};

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The account: after a login.
    User,
    /// The market: nothing of an account.
    Market,
}

impl Side {
    /// Its name, which is also the last part of its URL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Market => "market",
        }
    }
}

/// How streams behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the exchange's streams are; `None`: there are none beside this base URL.
    pub base: Option<StreamBase>,
    /// After connecting, the exchange asks for this time before the first frame (vendor documents: 1 s).
    pub settle: Duration,
    /// The longest frame of the exchange that is passed on, in bytes.
    pub max_upstream_bytes: usize,
    /// The longest frame of a client that is read, in bytes.
    pub max_frame_bytes: usize,
    /// Frames that may wait for a client that reads slowly, and their bytes; beyond either it is closed.
    pub max_waiting: Limits,
    /// Commands of one socket that may wait for their answers.
    pub max_commands: usize,
    /// Sockets at once.
    pub max_sockets: usize,
    /// Sockets of one caller at once.
    pub max_per_caller: usize,
    /// Sockets at once whose caller is not known yet.
    pub max_unauthenticated: usize,
    /// A socket without a valid login is closed after this time.
    pub login_deadline: Duration,
    /// How often a client is asked by a ping whether it is there.
    pub ping_every: Duration,
    /// A client or an exchange that was not heard for this time is given up; three heartbeats of the exchange.
    pub silence: Duration,
}

impl Settings {
    /// Market sockets at once whose caller is not known: a quarter of all, so that callers always find slots.
    #[must_use]
    pub const fn max_anonymous(&self) -> usize {
        self.max_sockets.div_ceil(4)
    }

    /// Bytes that all sockets hold at the worst, without the longest frames of the exchange, whom we trust that far: what
    /// waits on all of them, and on each two buffers either way, a client's frame that is being read, and one on its way.
    #[must_use]
    pub const fn most_bytes(&self) -> usize {
        let of_one = 4 * BUFFER + 2 * self.max_frame_bytes;
        MAX_WAITING_OF_ALL + self.max_sockets * of_one
    }

    /// The defaults, for streams at this base.
    #[must_use]
    pub const fn new(base: Option<StreamBase>) -> Self {
        Self {
            base,
            settle: Duration::from_secs(1),
            max_upstream_bytes: 1 << 20,
            max_frame_bytes: 64 << 10,
            max_waiting: Limits {
                frames: 1024,
                bytes: 512 << 10,
                stall: Duration::from_secs(10),
            },
            max_commands: 64,
            max_sockets: 512,
            max_per_caller: 64,
            max_unauthenticated: 64,
            login_deadline: Duration::from_secs(10),
            ping_every: Duration::from_secs(20),
            silence: Duration::from_secs(90),
        }
    }
}

/// A frame on its way out; a command's is sent only while its call is alive.
#[derive(Debug)]
struct Outgoing {
    text: Utf8Bytes,
    progress: Option<Arc<Progress>>,
    /// Used up when it is sent.
    ticket: Option<Ticket>,
}

impl Queued for Outgoing {
    fn size(&self) -> usize {
        self.text.len()
    }

    fn into_text(self) -> Option<Utf8Bytes> {
        let sent = match self.progress {
            Some(progress) if !progress.reach(Phase::Sent) => None,
            _ => Some(self.text),
        };
        drop(self.ticket);
        sent
    }
}

/// Nothing was signed, so there is nothing that a frame could echo; no text frame holds this.
const NO_SIGNATURE: &str = "\0 no signature \0";

/// What happens on an open session.
#[derive(Debug)]
pub enum Event {
    /// A frame to be passed on.
    Frame(Utf8Bytes),
    /// The same, and it is the answer to a command.
    Answer(Utf8Bytes),
    /// A command that ended without an answer; the client must learn of it.
    Overdue(UnansweredCommand),
    /// A command that was refused after all.
    Refused(ReplyTo, Refusal),
    /// The exchange closed the socket, with this code and reason where it gave one.
    Closed(Option<(u16, String)>),
    /// The socket is lost; nobody knows what the exchange did about it.
    Lost(&'static str),
}

/// An open socket to the exchange, with the commands that wait for their answers.
#[derive(Debug)]
pub struct Session {
    admission: Arc<Admission>,
    journal: Arc<Journal>,
    beginning: Beginning,
    socket: UpstreamSocket,
    commands: Commands,
    max_commands: usize,
    scrubber: Arc<Scrubber>,
    login_signature: String,
    /// Commands ended before they were sent, and the client is not told yet.
    has_stale: bool,
    /// Heartbeats of the exchange that the client has not answered.
    heartbeats: u8,
}

/// Heartbeats that may be answered late; the exchange closes after one.
const MAX_HEARTBEATS: u8 = 4;
/// A heartbeat has some 60 bytes; a longer frame is not read for one.
const MAX_HEARTBEAT_BYTES: usize = 256;

fn is_heartbeat(text: &str) -> bool {
    text.len() <= MAX_HEARTBEAT_BYTES
        && text.contains("heartbeat")
        && Heading::read(text).method.as_deref() == Some("public/heartbeat")
}

impl Session {
    /// Frames that may wait for the exchange before no more are taken from the client.
    const MAX_OUTGOING: usize = 16;

    /// Whether another frame may be handed over; otherwise the client is not read.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.socket.waiting() < Self::MAX_OUTGOING && self.socket.has_room()
    }

    /// Commands that wait for their answers.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.commands.len()
    }

    /// Whether more commands stayed without an answer than ids can be remembered: the socket must end.
    #[must_use]
    pub fn has_lost_count(&self) -> bool {
        self.commands.are_beyond_memory()
    }

    /// Carries out a private command: decides, writes down, sends, and keeps the record until its end.
    ///
    /// # Errors
    /// [`Refusal`]; the record is concluded.
    pub fn command(
        &mut self,
        caller: &Caller,
        source: &Peer,
        call: Call,
        frame: &Frame<'_>,
        reply_to: &ReplyTo,
        mut record: CallRecord,
    ) -> Result<(), Refusal> {
        record.describe(&call);
        record.report.nonce = frame.nonce;
        let (id, find_out) = (call.id.value(), call.find_out());
        record.report.client_oid = call.order_ids().describe();
        let (progress, time) = (record.progress(), self.commands.deadline());
        let intent = self.journal.intent(&call, &record.report, time);
        let until = Instant::from_std(record.opened()) + time;
        let waiting = |intent| Waiting {
            id,
            progress: Arc::clone(&progress),
            intent,
            until,
        };
        let admitted = self.admit(caller, source, call, &progress);
        let counted = self.admission.count_call();
        match (admitted, intent) {
            (Ok((permit, room)), intent) => {
                record.admit();
                let command = Command::new(record, reply_to.clone(), find_out, Some(room), counted);
                self.commands.enter(id, command);
                let text = frame.to_be_sent();
                if let Some(intent) = intent {
                    let waiting = waiting(intent);
                    let permitted = beginning::Permitted {
                        waiting,
                        permit,
                        text,
                    };
                    self.beginning.write(&self.journal, permitted);
                } else if let Some(cleared) = Cleared::unwritten(permit) {
                    self.send(id, &progress, cleared, None, text);
                }
                Ok(())
            }
            (Err(refusal), Some(intent)) if intent.has_names() && !refusal.is_of_the_socket() => {
                let mut command = Command::new(record, reply_to.clone(), find_out, None, counted);
                command.waits_for_another = true;
                self.commands.enter(id, command);
                self.beginning.look(&self.journal, waiting(intent), refusal);
                Ok(())
            }
            (Err(refusal), _) => {
                record.ended(refusal.status(), refusal.code());
                Err(refusal)
            }
        }
    }

    fn admit(
        &self,
        caller: &Caller,
        source: &Peer,
        call: Call,
        progress: &Progress,
    ) -> Result<(StreamPermit, Place), Refusal> {
        let id = call.id.value();
        let limit = self.max_commands;
        if self.commands.holds(id) {
            return Err(Refusal::IdInUse(id));
        }
        if self.commands.len() >= limit {
            return Err(Refusal::SocketFull { limit });
        }
        let time = self.commands.deadline();
        self.admission
            .admit_streamed(caller, source, call, time, progress)
    }

    /// Spends what was cleared: what was allowed is what is sent.
    fn send(
        &mut self,
        id: u64,
        progress: &Arc<Progress>,
        cleared: Cleared<StreamPermit>,
        entry: Option<Entry>,
        text: String,
    ) {
        // Where its command has ended meanwhile, the entry ends here, and nothing is sent.
        let Some(command) = self.commands.of(id, progress) else {
            return;
        };
        let progress = command.begin(entry);
        progress.reach(Phase::Connecting);
        self.socket.push_within_room(Outgoing {
            text: text.into(),
            progress: Some(progress),
            ticket: cleared.into_ticket(),
        });
    }

    /// Goes on with a command that was written down, or not; what the client learns at once.
    fn go_on(&mut self, begun: Begun) -> Option<Event> {
        let Begun { id, progress, next } = begun;
        let known = match next {
            Next::Send(cleared, entry, text) => {
                self.send(id, &progress, cleared, Some(entry), text);
                return None;
            }
            Next::Wait(running, permitted) => {
                self.commands.of(id, &progress)?.waits_for_another = true;
                self.beginning.wait(running, permitted);
                return None;
            }
            // Its time may be over by now: then it is not written down. Until it is, the earlier call counts.
            Next::Write(permitted) => {
                self.commands.of(id, &progress)?;
                self.beginning.write(&self.journal, permitted);
                return None;
            }
            Next::Refused(refusal) => Err(refusal),
            Next::Known(known) => known.told(),
        };
        let command = self.commands.take_of(id, &progress)?;
        Some(match known {
            Ok(Told::Again(stored)) => {
                let (text, code) = stored.under(id);
                command.replayed(stored.status, code);
                Event::Answer(Utf8Bytes::try_from(text).unwrap_or_default())
            }
            Ok(Told::InDoubt(failure)) => Event::Overdue(command.in_doubt(failure)),
            Err(refusal) => Event::Refused(command.refused(&refusal), refusal),
        })
    }

    /// Subscribes to channels of the account, or leaves them.
    pub fn subscribe(&mut self, permit: ChannelPermit<'_>, frame: &Frame<'_>) {
        let text = match permit.spend() {
            None => frame.to_be_sent(),
            Some(channels) => frame.to_be_sent_of(&channels),
        };
        self.pass(text);
    }

    /// Passes the client's heartbeat answer on, once for each heartbeat of the exchange; whether there was one to answer.
    pub fn respond_heartbeat(&mut self, frame: &Frame<'_>) -> bool {
        if self.heartbeats == 0 {
            return false;
        }
        self.heartbeats -= 1;
        self.pass(frame.to_be_sent());
        true
    }

    fn pass(&mut self, text: String) {
        self.socket.push_within_room(Outgoing {
            text: text.into(),
            progress: None,
            ticket: None,
        });
    }

    /// What happens next. Cancel-safe: nothing is lost between two calls.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(unanswered) = self.commands.poll_overdue(cx) {
            return Poll::Ready(Event::Overdue(unanswered));
        }
        while let Poll::Ready(begun) = self.beginning.poll(cx) {
            if let Some(event) = self.go_on(begun) {
                return Poll::Ready(event);
            }
        }
        let polled = self.socket.poll(cx, true);
        self.has_stale |= self.socket.take_skipped();
        if polled.is_pending() && self.has_stale {
            if let Some(unanswered) = self.commands.take_stale() {
                return Poll::Ready(Event::Overdue(unanswered));
            }
            self.has_stale = false;
        }
        polled.map(|incoming| match incoming {
            Incoming::Text(text) => self.received(text),
            Incoming::Closed(closed) => Event::Closed(
                closed
                    .map(|(code, reason)| (code, self.clean(reason.into()).0.as_str().to_owned())),
            ),
            Incoming::Lost => Event::Lost("lost"),
            Incoming::Stalled => Event::Lost("stalled"),
            Incoming::Broken(_) => Event::Lost("malformed"),
        })
    }

    /// Scrubs a frame, and concludes the command that it answers.
    fn received(&mut self, text: Utf8Bytes) -> Event {
        let (text, scrubbed) = self.clean(text);
        if is_heartbeat(&text) {
            self.heartbeats = self.heartbeats.saturating_add(1).min(MAX_HEARTBEATS);
        }
        if self.commands.await_answers()
            && self
                .commands
                .answered(&Heading::read(&text), &text, scrubbed)
        {
            return Event::Answer(text);
        }
        Event::Frame(text)
    }

    /// What the exchange said, without our secrets, and whether there was one in it.
    fn clean(&self, text: Utf8Bytes) -> (Utf8Bytes, bool) {
        let (bytes, scrubbed) = self.scrubber.scrub(text.into(), &self.login_signature);
        if scrubbed {
            tracing::warn!(
                "event=stream a frame of the exchange held our key, secret or signature; they were overwritten"
            );
        }
        // Whole texts were overwritten by ASCII, so it is UTF-8 as before.
        (Utf8Bytes::try_from(bytes).unwrap_or_default(), scrubbed)
    }

    /// Ends every command that has no answer yet, and returns what the client must learn of each.
    pub fn give_up(&mut self, status: u16, why: &'static str) -> Vec<UnansweredCommand> {
        self.commands.give_up(status, why)
    }

    /// How long nothing was heard from the exchange.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.socket.silent_for()
    }

    /// Closes the socket with this code, within half a second. Commands without an answer end by their phase, with this
    /// word for the reason.
    pub async fn close(self, code: u16, reason: &'static str, why: &'static str) {
        let Self {
            mut commands,
            socket,
            ..
        } = self;
        drop(commands.give_up(499, why));
        socket
            .close(Some((code, reason.to_owned())), open::CLOSE_PATIENCE)
            .await;
    }
}
