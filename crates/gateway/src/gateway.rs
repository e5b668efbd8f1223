//! [`Gateway::relay`]: the story of a call: authenticate, permit, take a turn, sign and send, record.
//!
//! Guarantees: the stages come in that order and nowhere else. The relay runs in a task of its own, so that a caller who
//! hangs up does not cancel an order half way. A panic in it ends in an outcome by phase. The total deadline lives here,
//! because only here the phase is known. Does not: give an answer its HTTP shape.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    access::{Arrival, Peer},
    admission::{Admission, Place, UnreadAnswer, room, unread},
    auth::{Authenticator, Caller, Callers},
    clock::Clock,
    failure::{Ended, Failure, Refusal},
    observed::Observed,
    outcome::{Outcome, Progress},
    public_calls::PublicCalls,
    record::{CallRecord, Recorder, SigningLine},
    replay::ReplayGuard,
    signer::{PreparedCall, Signer},
    stall::StallWatch,
    stream::{Dialer, StreamOpener},
    upstream::{Reply, ReplyBody, Upstream},
};
use protocol::{call::Call, canonical::Dialect};

/// How calls are carried out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From arrival to answer; callers of the old proxy give up after 15 s.
    pub deadline: Duration,
    /// Calls under way at once; further ones are refused.
    pub max_in_flight: usize,
    /// Whether each signing leaves a line of its own (`CRYPTO_AUTH_DIAG`).
    pub signing_lines: bool,
    /// How `order_list[].exec_inst` lists are signed.
    pub dialect: Dialect,
}

impl Settings {
    /// Calls under way at once, with the cancellations for which each of so many callers has places of its own.
    #[must_use]
    pub const fn most_in_flight(&self, callers: usize) -> usize {
        self.max_in_flight + callers * room::OWN_FOR_CANCELS
    }

    /// Bytes of answers that may wait to be read by so many callers with so many connections; the longest has so many.
    #[must_use]
    pub const fn most_unread(connections: usize, callers: usize, longest: usize) -> usize {
        unread::MOST + callers * (unread::ALWAYS + longest) + connections * unread::SHORT
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(12),
            max_in_flight: 256,
            signing_lines: false,
            dialect: Dialect::Documented,
        }
    }
}

/// The parts a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    /// How calls are carried out.
    pub settings: Settings,
    /// Who may call.
    pub callers: Callers,
    /// Signs.
    pub signer: Signer,
    /// Sends.
    pub upstream: Upstream,
    /// Opens streams.
    pub dialer: Dialer,
    /// What is known from outside.
    pub observed: Arc<Observed>,
    /// Opens records.
    pub recorder: Arc<Recorder>,
    /// Remembers which signed requests were seen.
    pub replay: ReplayGuard,
    /// The time.
    pub clock: Clock,
}

/// The stages of a call, shared by every endpoint.
#[derive(Debug)]
pub struct Gateway {
    settings: Settings,
    authenticator: Authenticator,
    admission: Arc<Admission>,
    signer: Arc<Signer>,
    upstream: Arc<Upstream>,
    recorder: Arc<Recorder>,
    public_calls: PublicCalls,
    streams: StreamOpener,
    observed: Arc<Observed>,
    clock: Clock,
}

/// What became of a call, for an endpoint to put into its shape.
#[derive(Debug)]
pub struct Relayed {
    /// One word.
    pub outcome: Outcome,
    /// The answer, or why there is none.
    pub result: Result<Reply, Ended>,
    /// The names of the call's orders, where they may have to be looked for.
    pub client_oid: Option<String>,
    /// How to find out what became of it, where that is in doubt.
    pub find_out: Option<&'static str>,
    /// What a long answer takes of its caller's budget; to be kept until the answer was read.
    pub unread: Option<UnreadAnswer>,
}

impl Relayed {
    /// A defect of ours ended the call in the phase that this outcome tells.
    #[must_use]
    pub fn defect(outcome: Outcome) -> Self {
        Self {
            outcome,
            result: Err(Failure::Defect.into()),
            client_oid: None,
            find_out: None,
            unread: None,
        }
    }

    /// With what helps to find out about the call, which is kept only where its outcome is unknown.
    fn in_doubt(mut self, client_oid: Option<String>, find_out: Option<&'static str>) -> Self {
        if self.outcome == Outcome::Unknown {
            (self.client_oid, self.find_out) = (client_oid, find_out);
        }
        self
    }
}

impl Gateway {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            settings,
            callers,
            signer,
            upstream,
            dialer,
            observed,
            recorder,
            replay,
            clock,
        } = parts;
        let are_several = callers.are_several();
        let admission = Admission::new(settings.max_in_flight, are_several, clock.clone());
        let admission = Arc::new(admission);
        let signer = if are_several { signer.shared() } else { signer };
        let (signer, upstream) = (Arc::new(signer), Arc::new(upstream));
        Arc::new(Self {
            authenticator: Authenticator::new(callers, replay, clock.clone()),
            public_calls: PublicCalls::new(Arc::clone(&admission), Arc::clone(&upstream)),
            streams: StreamOpener::new(
                dialer,
                Arc::clone(&signer),
                Arc::clone(&admission),
                Arc::clone(&observed),
                settings.deadline,
            ),
            settings,
            admission,
            signer,
            upstream,
            recorder,
            observed,
            clock,
        })
    }

    /// Carries out a call of an authenticated caller that came from there: decides, signs, sends, records.
    pub async fn relay(
        self: &Arc<Self>,
        mut record: CallRecord,
        caller: &Caller,
        source: &Peer,
        call: Call,
    ) -> Relayed {
        record.describe(&call);
        let (orders, find_out) = (call.order_ids(), call.find_out());
        record.report.client_oid = orders.describe_named();
        let progress = record.progress();
        // Counted before we look whether the gateway drains, so that whoever awaits the drain cannot miss this call.
        let counted = self.admission.count_call();
        let limit = record.limit(self.settings.deadline);
        let admitted = self.admission.admit(caller, source, call, limit, &progress);
        let (permit, room) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return refuse(record, refusal),
        };
        if let Some(length) = room.waited {
            record.waited_through(length);
        }
        let turn = match self.signer.turn(&self.clock, permit.call(), &caller.name) {
            Ok(turn) => turn,
            Err(refusal) => return refuse(record, refusal),
        };
        record.admit();
        let mut prepared = self.signer.prepare(permit, turn, orders);
        if self.settings.signing_lines {
            prepared = prepared.with_line(SigningLine::of(&record.report));
        }
        let gateway = Arc::clone(self);
        // Boxed, because the future is large and spawning moves it.
        let task = self.admission.calls().spawn(Box::pin(async move {
            let relayed = gateway.carry_out(record, prepared, find_out, &room).await;
            drop(room);
            relayed
        }));
        drop(counted);
        // A caller that hangs up drops this future: what is not sent by then must not be sent any more.
        let gone = LeavesWhenDropped(&self.admission, &progress);
        let ended = task.await;
        drop(gone);
        // A panic has unwound the record by now, which wrote the line; all that is left is to tell the caller.
        ended.unwrap_or_else(|_| {
            let named = progress
                .signed()
                .and_then(|signed| signed.client_oid.clone());
            Relayed::defect(progress.outcome_without_answer()).in_doubt(named, find_out)
        })
    }

    async fn carry_out(
        &self,
        mut record: CallRecord,
        prepared: PreparedCall,
        find_out: Option<&'static str>,
        place: &Place,
    ) -> Relayed {
        let progress = record.progress();
        if progress.has_ended() {
            record.ended(499, "caller_gone");
            return Relayed::defect(Outcome::Refused);
        }
        let limit = record.limit(self.settings.deadline);
        let deadline = Instant::from_std(record.opened()) + limit;
        let (sent, sent_ms) = (Instant::now(), self.clock.now_ms());
        record.report.waited = record.opened().elapsed();
        let mut answer = self.admission.coming_to(place, &progress);
        let sending = self.upstream.send(prepared, &progress, &mut answer);
        let result = tokio::time::timeout_at(deadline, sending).await;
        let result = result.unwrap_or_else(|_| {
            Err(if answer.waits() {
                Failure::OthersUnread
            } else {
                Failure::Deadline(limit)
            })
        });
        record.report.exchange = sent.elapsed();
        self.observe(&result, sent_ms);
        if answer.was_left() {
            record.ended(499, "caller_gone");
            return Relayed::defect(progress.outcome_without_answer());
        }
        let mut relayed = conclude(record, result, find_out);
        if let Ok(reply) = &relayed.result {
            relayed.unread = answer.came(reply.raw.len());
        }
        relayed
    }

    fn observe(&self, result: &Result<Reply, Failure>, sent_ms: u64) {
        let reached = match result {
            Ok(_) => true,
            Err(failure) => failure.is_about_an_answer(),
        };
        self.observed.note_attempt(reached);
        // Only answers in the exchange's own envelope tell the exchange's time; an edge may answer from a cache.
        if let Ok(Reply {
            date_ms: Some(date_ms),
            body: ReplyBody::Json { .. },
            ..
        }) = result
        {
            let now_ms = self.clock.now_ms();
            self.observed.skew().note(*date_ms, sent_ms, now_ms);
        }
    }

    /// Finds out who calls.
    #[must_use]
    pub const fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Opens records.
    #[must_use]
    pub const fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Relays public calls.
    #[must_use]
    pub const fn public_calls(&self) -> &PublicCalls {
        &self.public_calls
    }

    /// Opens streams.
    #[must_use]
    pub const fn streams(&self) -> &StreamOpener {
        &self.streams
    }

    /// What is known from outside.
    #[must_use]
    pub const fn observed(&self) -> &Arc<Observed> {
        &self.observed
    }

    /// How calls are carried out.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Something that arrives now, from there.
    #[must_use]
    pub fn arrival<'a>(&self, source: &'a Peer) -> Arrival<'a> {
        self.admission.arrival(source)
    }

    /// Watches for stalls of the process: what waited through one is refused.
    #[must_use]
    pub fn stalls(&self) -> &Arc<StallWatch> {
        self.admission.stalls()
    }

    /// Where the tasks of streams run, so that the drain waits for them.
    #[must_use]
    pub fn sockets(&self) -> &TaskTracker {
        self.admission.sockets()
    }

    /// From now on new calls are refused; those under way go on.
    pub fn drain(&self) {
        self.admission.drain();
    }

    /// Resolves once [`Gateway::drain`] was called.
    pub async fn draining(&self) {
        self.admission.draining().await;
    }

    /// Whether [`Gateway::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.admission.is_draining()
    }

    /// Waits until no call is under way and every stream is closed; only after [`Gateway::drain`].
    pub async fn drained(&self) {
        self.admission.drained().await;
    }

    /// Whether calls were refused lately because the nonce is ahead of the clock.
    #[must_use]
    pub fn is_nonce_ahead(&self) -> bool {
        self.signer.is_ahead(&self.clock)
    }

    /// Calls under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.admission.calls().len()
    }
}

/// Ends a call when the future that waits for it is dropped.
struct LeavesWhenDropped<'a>(&'a Admission, &'a Progress);

impl Drop for LeavesWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

fn refuse(mut record: CallRecord, refusal: Refusal) -> Relayed {
    record.ended(refusal.status(), refusal.code());
    Relayed {
        outcome: Outcome::Refused,
        result: Err(refusal.into()),
        client_oid: None,
        find_out: None,
        unread: None,
    }
}

fn conclude(
    mut record: CallRecord,
    result: Result<Reply, Failure>,
    find_out: Option<&'static str>,
) -> Relayed {
    match &result {
        Ok(reply) => {
            record.report.scrubbed = reply.scrubbed;
            record.report.peer = reply.peer;
            if let ReplyBody::Text { media_type, .. } = &reply.body {
                record.report.media_type.clone_from(media_type);
            }
            let code = reply.code();
            record.answered(reply.status, code, Outcome::of_code(code));
        }
        Err(failure) => record.ended(failure.status(), failure.code()),
    }
    let outcome = record.report.outcome;
    let client_oid = record.report.client_oid.clone();
    let relayed = Relayed {
        outcome,
        result: result.map_err(Ended::from),
        client_oid: None,
        find_out: None,
        unread: None,
    };
    relayed.in_doubt(client_oid, find_out)
}
