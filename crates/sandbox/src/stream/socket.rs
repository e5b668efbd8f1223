//! One socket, from its opening to its end.
//!
//! Guarantees: orders placed by a connection are entered with it, so that they can be cancelled with it [documents].

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{
    super::{
        FakeExchange,
        authentication::{self, ParsedCall},
        executed::Arrival,
        fault::{Action, Fault, When, WireStep},
        journal::Received,
        json::Json,
        lock,
        settings::{RateLimits, Refusal},
    },
    Instruction, Opening, Registration, Side,
    channel::Channel,
    frame::{self, NO_ID, NO_METHOD},
};

/// After our close frame the other side has this time for its own.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

type Stream = WebSocketStream<TcpStream>;

/// A sign of life that was asked for.
struct PendingHeartbeat {
    id: i64,
    until: Instant,
}

pub(super) struct Socket {
    opening: Opening,
    registration: Registration,
    api_key: Option<String>,
    budget: Budget,
    stream: Stream,
    asking: Option<PendingHeartbeat>,
    released: watch::Receiver<()>,
}

/// Whether a socket goes on.
enum Next {
    On,
    Close(u16, String),
    /// The connection ends without a word; by a reset, where so scripted.
    Cut {
        reset: bool,
    },
    Stall,
}

impl Socket {
    pub(super) async fn serve(opening: Opening, stream: Stream) {
        let (exchange, side) = (opening.exchange.clone(), opening.side);
        let (id, told, cut) = exchange.state.streams.enter(side);
        let released = exchange.state.released.subscribe();
        let budget = Budget::new(side, exchange.now_ms());
        let socket = Self {
            opening,
            registration: Registration { exchange, id },
            api_key: None,
            budget,
            stream,
            asking: None,
            released,
        };
        let _ = cut.run_until_cancelled(socket.run(told)).await;
    }

    async fn run(mut self, mut told: mpsc::Receiver<Instruction>) {
        let mut beat = Instant::now() + self.heartbeat_every();
        loop {
            let deadline = self
                .asking
                .as_ref()
                .map_or(beat, |asking| asking.until.min(beat));
            let next = tokio::select! {
                Some(told) = told.recv() => self.obey(told).await,
                message = self.stream.next() => match message {
                    Some(Ok(Message::Text(text))) => self.text(text).await,
                    // Libraries that log in with a binary frame are in use.
                    Some(Ok(Message::Binary(bytes))) => match Utf8Bytes::try_from(bytes) {
                        Ok(text) => self.text(text).await,
                        Err(_) => Next::Close(1007, "no text".to_owned()),
                    },
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Next::On,
                    Some(Ok(Message::Close(_))) => {
                        let _ = timeout(CLOSE_PATIENCE, self.stream.close(None)).await;
                        return;
                    }
                    Some(Err(_)) | None => return,
                },
                () = sleep_until(deadline) => {
                    if self.asking.as_ref().is_some_and(|asking| asking.until <= Instant::now()) {
                        Next::Close(1000, "no answer to the heartbeat".to_owned())
                    } else {
                        beat = Instant::now() + self.heartbeat_every();
                        self.ask().await
                    }
                }
            };
            match next {
                Next::On => {}
                Next::Close(code, reason) => return self.close(code, reason).await,
                Next::Cut { reset } => {
                    if reset {
                        let _ = self.stream.get_ref().set_zero_linger();
                    }
                    return;
                }
                Next::Stall => drop(self.released.changed().await),
            }
        }
    }

    fn exchange(&self) -> &FakeExchange {
        &self.opening.exchange
    }

    fn heartbeat_every(&self) -> Duration {
        Duration::from_millis(lock(&self.exchange().state.settings).heartbeat_ms.max(1))
    }

    async fn obey(&mut self, told: Instruction) -> Next {
        match told {
            Instruction::Send(text) => self.send(text).await,
            Instruction::Heartbeat => self.ask().await,
            Instruction::Close(code, reason) => Next::Close(code, reason),
            Instruction::Stall => Next::Stall,
        }
    }

    async fn send(&mut self, text: Utf8Bytes) -> Next {
        match self.stream.send(Message::Text(text)).await {
            Ok(()) => Next::On,
            Err(_) => Next::Cut { reset: false },
        }
    }

    async fn ask(&mut self) -> Next {
        if self.asking.is_some() {
            return Next::On;
        }
        let patience =
            Duration::from_millis(lock(&self.exchange().state.settings).heartbeat_answer_ms);
        let id = self.exchange().now_ms();
        self.asking = Some(PendingHeartbeat {
            id,
            until: Instant::now() + patience,
        });
        self.send(frame::heartbeat(id)).await
    }

    async fn close(mut self, code: u16, reason: String) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        let _ = timeout(CLOSE_PATIENCE, async {
            let _ = self.stream.close(Some(frame)).await;
            while let Some(Ok(_)) = self.stream.next().await {}
        })
        .await;
    }

    /// Reads a frame, enters it in the journal, and does what it asks for, or what is scripted in its place.
    async fn text(&mut self, text: Utf8Bytes) -> Next {
        let json = Json::parse(text.as_bytes()).filter(|json| matches!(json, Json::Object(_)));
        let (asked, verdict) = self.judge(json.as_ref());
        let fault = lock(&self.exchange().state.script)
            .take(&asked.method)
            .unwrap_or_else(Fault::none);
        let sequence = self.enter(&asked, &text, verdict.is_ok());
        let arrival = Arrival {
            at_ms: self.exchange().now_ms(),
            is_frame: true,
        };
        if let When::Late(time) = fault.when
            && verdict.is_ok()
            && asked.method.starts_with("private/")
        {
            self.execute_after(time, asked.clone(), arrival, sequence);
        }
        if fault.when != When::After
            && let Some(next) = self.misbehave(&fault, &asked).await
        {
            return next;
        }
        let outcome = verdict.and_then(|()| self.perform(&asked, arrival));
        if outcome.is_ok() {
            self.exchange()
                .state
                .journal
                .mark_executed(sequence, &asked.method);
        }
        if fault.when == When::After
            && let Some(next) = self.misbehave(&fault, &asked).await
        {
            return next;
        }
        self.answer(&asked, outcome).await
    }

    fn enter(&self, asked: &ParsedCall, text: &Utf8Bytes, authenticated: bool) -> u64 {
        self.registration.with(|entry| entry.seen.frames += 1);
        self.exchange().state.journal.enter(Received {
            sequence: 0,
            method: asked.method.clone(),
            verb: "WS".to_owned(),
            query: None,
            body: text.clone().into(),
            headers: HeaderMap::new(),
            peer: self.opening.peer,
            authenticated: authenticated
                && (self.api_key.is_some() || asked.method == "public/auth"),
            executed: false,
        })
    }

    /// What a frame asks for, and whether it may.
    fn judge(&mut self, json: Option<&Json>) -> (ParsedCall, Result<(), Refusal>) {
        let mut asked = ParsedCall::nothing(NO_ID, NO_METHOD);
        let Some(json) = json else {
            return (asked, Err(Refusal::code(40001)));
        };
        let read = asked.read_frame(json);
        let now_ms = self.exchange().now_ms();
        let settings = lock(&self.opening.exchange.state.settings);
        let verdict = read.and_then(|sig| {
            if settings.rate_limits == RateLimits::On && !self.budget.admit(now_ms) {
                return Err(Refusal::code(42901));
            }
            match asked.method.as_str() {
                "public/auth" if self.opening.side == Side::User => {
                    authentication::log_in(&asked, &sig, &settings, self.opening.address, now_ms)
                }
                "public/respond-heartbeat" => Ok(()),
                "subscribe" | "unsubscribe" if self.opening.side == Side::Market => Ok(()),
                "subscribe" | "unsubscribe" => self
                    .api_key
                    .as_ref()
                    .map(|_| ())
                    .ok_or(Refusal::code(40101)),
                _ if self.opening.side == Side::Market => Err(Refusal::code(40002)),
                _ => authentication::command(&asked, self.api_key.as_deref(), &settings),
            }
        });
        (asked, verdict)
    }

    /// Sends the answer; after a subscription also the first data of each channel.
    async fn answer(&mut self, asked: &ParsedCall, outcome: Result<Value, Refusal>) -> Next {
        if asked.method == "public/respond-heartbeat" {
            return Next::On;
        }
        let mut next = self.send(frame::answer(asked, &outcome)).await;
        if asked.method == "subscribe" && outcome.is_ok() {
            for text in self.begin(asked) {
                next = self.send(text).await;
            }
        }
        next
    }

    /// Enters the channels and takes their snapshots at one moment, so that no update is missed or comes twice.
    fn begin(&self, asked: &ParsedCall) -> Vec<Utf8Bytes> {
        let Ok(named) = self.named(asked) else {
            return Vec::new();
        };
        let now_ms = self.exchange().now_ms();
        let account = lock(&self.opening.exchange.state.account);
        let first = |(name, channel): &(String, Channel)| {
            channel
                .snapshot(&account, now_ms)
                .map(|data| frame::push(&asked.id, name, channel, &data))
        };
        let snapshots = named.iter().filter_map(first).collect();
        self.registration.with(|entry| {
            entry.channels.extend(named);
        });
        snapshots
    }

    /// Carries out a fault; `None` if it lets the frame go its usual way.
    async fn misbehave(&mut self, fault: &Fault, asked: &ParsedCall) -> Option<Next> {
        if !fault.delay.is_zero() {
            sleep(fault.delay).await;
        }
        match &fault.action {
            Action::Pass => None,
            Action::Hang => Some(Next::On),
            Action::Code(code) => Some(
                self.send(frame::answer(asked, &Err(Refusal::code(*code))))
                    .await,
            ),
            Action::Reply(canned) => {
                let text = String::from_utf8_lossy(&canned.body).into_owned();
                Some(self.send(text.into()).await)
            }
            Action::Wire(steps) => {
                let reset = steps.iter().any(|step| matches!(step, WireStep::Reset));
                Some(Next::Cut { reset })
            }
            Action::Half { reset } => {
                (fault.when == When::After).then_some(Next::Cut { reset: *reset })
            }
        }
    }

    /// Executes a call when this time has passed, whatever became of the socket.
    fn execute_after(&self, time: Duration, asked: ParsedCall, arrival: Arrival, sequence: u64) {
        let exchange = self.exchange().clone();
        tokio::spawn(async move {
            sleep(time).await;
            if exchange.execute(&asked, arrival).0.is_ok() {
                exchange
                    .state
                    .journal
                    .mark_executed(sequence, &asked.method);
            }
        });
    }

    fn perform(&mut self, asked: &ParsedCall, arrival: Arrival) -> Result<Value, Refusal> {
        match asked.method.as_str() {
            "public/auth" => {
                self.api_key = Some(asked.api_key.clone());
                self.registration
                    .with(|entry| entry.seen.api_key = Some(asked.api_key.clone()));
                Ok(Value::Null)
            }
            "public/respond-heartbeat" => {
                self.asking
                    .take_if(|asking| asking.id.to_string() == asked.id.trim_matches('"'));
                Ok(Value::Null)
            }
            "subscribe" => self.named(asked).map(|_| Value::Null),
            "unsubscribe" => self.unsubscribe(asked),
            "private/set-cancel-on-disconnect" => {
                self.registration
                    .with(|entry| entry.seen.cancels_on_disconnect = true);
                Ok(json!({ "scope": "CONNECTION" }))
            }
            "private/get-cancel-on-disconnect" => Ok(self
                .registration
                .with(|entry| entry.seen.cancels_on_disconnect)
                .filter(|is_set| *is_set)
                .map_or_else(|| json!({}), |_| json!({ "scope": "CONNECTION" }))),
            _ => {
                let (outcome, placed) = self.exchange().execute(asked, arrival);
                self.registration.with(|entry| entry.orders.extend(placed));
                outcome
            }
        }
    }

    /// Every channel that is named, or the refusal of all.
    fn named(&self, asked: &ParsedCall) -> Result<Vec<(String, Channel)>, Refusal> {
        let named = asked.params.items("channels").iter().map(|name| {
            let name = name.as_text()?;
            Some((name.to_owned(), Channel::parse(name, self.opening.side)?))
        });
        let channels: Option<Vec<_>> = named.collect();
        channels
            .filter(|channels| !channels.is_empty())
            .ok_or(Refusal::code(10004))
    }

    /// With cancel-on-disconnect, leaving a channel of the user's counts as a loss of the connection [documents].
    fn unsubscribe(&self, asked: &ParsedCall) -> Result<Value, Refusal> {
        let named = self.named(asked)?;
        let orders = self.registration.with(|entry| {
            for (name, _) in &named {
                entry.channels.remove(name);
            }
            entry
                .seen
                .cancels_on_disconnect
                .then(|| std::mem::take(&mut entry.orders))
        });
        if let Some(orders) = orders.flatten() {
            self.exchange().cancel_orders(&orders);
        }
        Ok(Value::Null)
    }
}

/// The exchange's budget for the frames of one socket: 150 a second on the user stream, 100 on the market stream, by
/// calendar second, and of the first second only the share that is left when the socket opens [documents].
struct Budget {
    per_second: u64,
    second: i64,
    left: u64,
}

impl Budget {
    fn new(side: Side, now_ms: i64) -> Self {
        let per_second = match side {
            Side::User => 150,
            Side::Market => 100,
        };
        let rest_ms = u64::try_from(1000 - now_ms.rem_euclid(1000)).unwrap_or_default();
        Self {
            per_second,
            second: now_ms.div_euclid(1000),
            left: per_second * rest_ms / 1000,
        }
    }

    /// Uses one frame; `false` when the second is spent.
    fn admit(&mut self, now_ms: i64) -> bool {
        let second = now_ms.div_euclid(1000);
        if second != self.second {
            (self.second, self.left) = (second, self.per_second);
        }
        let admitted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_second_is_shared_out_and_later_ones_are_whole() {
        let mut budget = Budget::new(Side::User, 10_900);
        assert_eq!((0..200).filter(|_| budget.admit(10_950)).count(), 15);
        assert_eq!((0..200).filter(|_| budget.admit(11_000)).count(), 150);
        let mut market = Budget::new(Side::Market, 10_000);
        assert_eq!((0..200).filter(|_| market.admit(10_999)).count(), 100);
    }
}
