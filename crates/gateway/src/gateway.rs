//! [`Gateway::relay`]: the stages of a call, in order, recorded once.
//!
//! Guarantees: policy, room, nonce, signature, exchange, in that order and nowhere else; the relay runs in a task of its
//! own, so that a caller who hangs up does not cancel an order half way, and a panic in it ends in an outcome by phase;
//! the total deadline lives here, because only here the phase is known. Does not: give an answer its HTTP shape.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    clock::Clock,
    failure::{Failure, Refusal},
    nonce::NonceSource,
    observed::Observed,
    outcome::Outcome,
    policy::{self, Permit},
    record::{self, CallRecord, Recorder},
    replay::ReplayGuard,
    signer::Signer,
    upstream::{Reply, ReplyBody, Upstream},
};
use crate::{
    access::{Arrival, Peer},
    auth::{Caller, Callers},
    public_calls,
    stream::{Dialer, Slots},
};
use catalogue::codes;
use protocol::{call::Call, canonical::Dialect};

mod streamed;

/// How calls are carried out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From the door to the answer; callers of the old proxy give up after 15 s.
    pub deadline: Duration,
    /// Calls under way at once; further ones are refused.
    pub max_in_flight: usize,
    /// Whether each signing leaves a line of its own (`CRYPTO_AUTH_DIAG`).
    pub signing_lines: bool,
    /// How `order_list[].exec_inst` lists are signed.
    pub dialect: Dialect,
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

/// Every door's way to the exchange.
#[derive(Debug)]
pub struct Gateway {
    parts: Parts,
    nonces: NonceSource,
    room: Arc<Semaphore>,
    public_room: Semaphore,
    relays: TaskTracker,
    sockets: TaskTracker,
    slots: Slots,
    draining: CancellationToken,
}

/// What became of a call, for a door to put into its shape.
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

/// Why there is no answer to pass on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// We chose not to try.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// We tried.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Ended {
    /// The HTTP status that tells the caller.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::Failed(failure) => failure.status(),
        }
    }

    /// A stable word for records.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Failed(failure) => failure.code(),
        }
    }
}

impl Gateway {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(parts.settings.max_in_flight)),
            public_room: Semaphore::new(public_calls::MAX_IN_FLIGHT),
            nonces: NonceSource::default(),
            relays: TaskTracker::new(),
            sockets: TaskTracker::new(),
            slots: Slots::new(parts.dialer.settings()),
            draining: CancellationToken::new(),
            parts,
        })
    }

    /// Who may call.
    #[must_use]
    pub const fn callers(&self) -> &Callers {
        &self.parts.callers
    }

    /// Opens records.
    #[must_use]
    pub const fn recorder(&self) -> &Arc<Recorder> {
        &self.parts.recorder
    }

    /// What is known from outside.
    #[must_use]
    pub const fn observed(&self) -> &Arc<Observed> {
        &self.parts.observed
    }

    /// Remembers which signed requests were seen.
    #[must_use]
    pub const fn replay(&self) -> &ReplayGuard {
        &self.parts.replay
    }

    /// The way to the exchange.
    pub(super) const fn upstream(&self) -> &Upstream {
        &self.parts.upstream
    }

    /// Room for public calls.
    pub(super) const fn public_room(&self) -> &Semaphore {
        &self.public_room
    }

    /// The time.
    pub(super) const fn clock(&self) -> &Clock {
        &self.parts.clock
    }

    /// How calls are carried out.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// From now on new calls are refused; those under way go on.
    pub fn drain(&self) {
        self.draining.cancel();
        self.relays.close();
        self.sockets.close();
    }

    /// Resolves once [`Gateway::drain`] was called.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Whether [`Gateway::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until no call is under way and every stream is closed; only after [`Gateway::drain`].
    pub async fn drained(&self) {
        self.relays.wait().await;
        self.sockets.wait().await;
    }

    /// Calls under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.relays.len()
    }

    /// Carries out a call that came from there: decides, signs, sends, records.
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
        // Counted before the door to draining is looked at, so that whoever awaits the drain cannot miss this call.
        let counted = self.relays.token();
        let (permit, room) = match self.admit(caller, source, call) {
            Ok(admitted) => admitted,
            Err(refusal) => return refuse(record, refusal),
        };
        let nonce = self.next_nonce();
        record.report.nonce = Some(nonce);
        record.report.client_oid = orders.describe(nonce);
        let named = record.report.client_oid.clone();
        let gateway = Arc::clone(self);
        // Boxed, because the future is large and spawning moves it.
        let task = self.relays.spawn(Box::pin(async move {
            let relayed = gateway.carry_out(record, permit, nonce, find_out).await;
            drop(room);
            relayed
        }));
        drop(counted);
        // A panic has unwound the record by now, which wrote the line; all that is left is to tell the caller.
        task.await.unwrap_or_else(|_| {
            Relayed::defect(progress.outcome_without_answer()).in_doubt(named, find_out)
        })
    }

    fn admit(
        &self,
        caller: &Caller,
        source: &Peer,
        call: Call,
    ) -> Result<(Permit, OwnedSemaphorePermit), Refusal> {
        let permit =
            policy::authorize(caller, self.now_at(source), call).map_err(Refusal::Denied)?;
        Ok((permit, self.make_room()?))
    }

    /// Where something arrives, and that it does so now.
    #[must_use]
    pub fn now_at<'a>(&self, source: &'a Peer) -> Arrival<'a> {
        Arrival {
            source,
            now_ms: self.parts.clock.now_ms(),
        }
    }

    fn make_room(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        let limit = self.parts.settings.max_in_flight;
        Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_| Refusal::AtCapacity { limit })
    }

    async fn carry_out(
        &self,
        mut record: CallRecord,
        permit: Permit,
        nonce: u64,
        find_out: Option<&'static str>,
    ) -> Relayed {
        let signed = self.parts.signer.sign(permit, nonce);
        record.report.string_to_sign_len = Some(signed.string_to_sign_len);
        if self.parts.settings.signing_lines {
            record::write_signing(&record.report, signed.body_len());
        }
        let limit = record.limit(self.parts.settings.deadline);
        let deadline = Instant::from_std(record.opened()) + limit;
        let (sent, sent_ms) = (Instant::now(), self.parts.clock.now_ms());
        record.report.waited = record.opened().elapsed();
        let progress = record.progress();
        let result =
            tokio::time::timeout_at(deadline, self.parts.upstream.send(signed, &progress)).await;
        let result = result.unwrap_or(Err(Failure::Deadline(limit)));
        record.report.exchange = sent.elapsed();
        self.observe(&result, sent_ms);
        conclude(record, result, find_out)
    }

    pub(super) fn next_nonce(&self) -> u64 {
        let nonce = self.nonces.next(self.parts.clock.now_ms());
        if let Some(step_ms) = nonce.restarted_after_step_ms {
            tracing::warn!(
                step_ms,
                "the clock stepped back: the nonce restarts from the clock; check the host's time service"
            );
        }
        nonce.value
    }

    fn observe(&self, result: &Result<Reply, Failure>, sent_ms: u64) {
        let observed = &self.parts.observed;
        observed.note_attempt(
            result
                .as_ref()
                .map_or_else(Failure::is_about_an_answer, |_| true),
        );
        // Only answers in the exchange's own envelope tell the exchange's time; an edge may answer from a cache.
        if let Ok(Reply {
            date_ms: Some(date_ms),
            body: ReplyBody::Json { .. },
            ..
        }) = result
        {
            observed
                .skew()
                .note(*date_ms, sent_ms, self.parts.clock.now_ms());
        }
    }
}

fn refuse(mut record: CallRecord, refusal: Refusal) -> Relayed {
    record.ended(refusal.status(), refusal.code());
    Relayed {
        outcome: Outcome::Refused,
        result: Err(refusal.into()),
        client_oid: None,
        find_out: None,
    }
}

fn conclude(
    mut record: CallRecord,
    result: Result<Reply, Failure>,
    find_out: Option<&'static str>,
) -> Relayed {
    match &result {
        Ok(reply) => {
            let conclusive = reply.code().is_some_and(codes::is_conclusive);
            let outcome = if conclusive {
                Outcome::Answered
            } else {
                Outcome::Unknown
            };
            record.report.scrubbed = reply.scrubbed;
            if let ReplyBody::Text { media_type, .. } = &reply.body {
                record.report.media_type.clone_from(media_type);
            }
            record.answered(reply.status, reply.code(), outcome);
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
    };
    relayed.in_doubt(client_oid, find_out)
}
