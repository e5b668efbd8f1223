//! [`Gateway::relay`]: the story of a call: authenticate, permit, take a turn, write down, sign and send, record.
//!
//! Guarantees: the stages come in that order and nowhere else. The relay runs in a task of its own, so that a caller who
//! hangs up does not cancel an order half way. A panic in it ends in an outcome by phase. The total deadline lives here,
//! because only here the phase is known. Does not: give an answer its HTTP shape.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    access::{Arrival, Peer},
    admission::{Admission, Place, room, unread},
    auth::{Authenticator, Caller, Callers},
    clock::Clock,
    failure::{Failure, Refusal},
    journal::Journal,
    ledger::{self, Account, Attempt, Cleared, Intent, Ledger, Listing, Ticket},
    nonce::Turn,
    observed::Observed,
    outcome::{Outcome, Progress},
    policy::{Permit, Permitted as _},
    public_calls::PublicCalls,
    reconcile::Reconciler,
    record::{CallRecord, Recorder, SigningLine},
    replay::ReplayGuard,
    signer::Signer,
    stall::StallWatch,
    stream::{Dialer, StreamOpener},
    upstream::{Reply, ReplyBody, Upstream},
};
use protocol::{
    call::{Call, RequestId, kept_name},
    canonical::Dialect,
};

mod relayed;

pub use relayed::Relayed;
use relayed::{conclude, refuse, tell};

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
    /// Whether each order without a name is given one.
    pub add_client_oid: bool,
    /// Whether we find out by ourselves what became of calls whose answers were lost; only tests that count what is sent
    /// can do without.
    pub find_out: bool,
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
            add_client_oid: false,
            find_out: true,
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
    /// Where what changes something is written down.
    pub ledger: Arc<dyn Ledger>,
    /// Whose.
    pub account: Arc<Account>,
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
    journal: Arc<Journal>,
    clock: Clock,
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
            ledger,
            account,
            clock,
        } = parts;
        let are_several = callers.are_several();
        let admission = Admission::new(settings.max_in_flight, are_several, clock.clone());
        let admission = Arc::new(admission);
        let signer = if are_several { signer.shared() } else { signer };
        let (signer, upstream) = (Arc::new(signer), Arc::new(upstream));
        let journal = Journal::new(ledger, account, clock.clone(), Arc::clone(&observed));
        let journal = Arc::new(journal);
        Arc::new(Self {
            authenticator: Authenticator::new(callers, replay, clock.clone()),
            public_calls: PublicCalls::new(Arc::clone(&admission), Arc::clone(&upstream)),
            streams: StreamOpener::new(
                dialer,
                Arc::clone(&signer),
                Arc::clone(&admission),
                Arc::clone(&observed),
                Arc::clone(&journal),
                settings.deadline,
            ),
            journal,
            settings,
            admission,
            signer,
            upstream,
            recorder,
            observed,
            clock,
        })
    }

    /// Carries out a call of an authenticated caller that came from there: decides, writes down, signs, sends, records.
    pub async fn relay(
        self: &Arc<Self>,
        mut record: CallRecord,
        caller: &Caller,
        source: &Peer,
        call: Call,
    ) -> Relayed {
        let (call, named) = self.described(&mut record, caller, call);
        let (names, find_out) = (record.report.client_oid.clone(), named.find_out);
        let (progress, limit) = (record.progress(), record.limit(self.settings.deadline));
        // Counted before we look whether the gateway drains, so that whoever awaits the drain cannot miss this call.
        let counted = self.admission.count_call();
        let admitted = self.admission.admit(caller, source, call, limit, &progress);
        let (permit, room) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return Box::pin(self.refuse(record, refusal, named)).await,
        };
        if let Some(length) = room.waited {
            record.waited_through(length);
        }
        let turn = match self.signer.turn(&self.clock, permit.call(), &caller.name) {
            Ok(turn) => turn,
            Err(refusal) => return Box::pin(self.refuse(record, refusal, named)).await,
        };
        record.admit();
        // Boxed, because the future is large and spawning moves it.
        let carried_out = Arc::clone(self).carry_out(record, permit, turn, named, room);
        let task = self.admission.calls().spawn(Box::pin(carried_out));
        drop(counted);
        // A caller that hangs up drops this future: what is not sent by then must not be sent any more.
        let gone = LeavesWhenDropped(&self.admission, &progress);
        let ended = task.await;
        drop(gone);
        // A panic has unwound the record by now, which wrote the line; all that is left is to tell the caller.
        ended.unwrap_or_else(|_| {
            Relayed::defect(progress.outcome_without_answer()).in_doubt(names, find_out)
        })
    }

    /// Answers a copy of a call that came before with what is known of it by its names, and refuses it where that is nothing:
    /// nothing of it is sent.
    pub async fn repeat(&self, mut record: CallRecord, caller: &Caller, call: Call) -> Relayed {
        let (_, named) = self.described(&mut record, caller, call);
        let _counted = self.admission.count_call();
        self.refuse(record, Refusal::Repeated, named).await
    }

    /// The call as it would be sent, which its record describes from now on.
    fn described(&self, record: &mut CallRecord, caller: &Caller, call: Call) -> (Call, Named) {
        let call = self.named(call, &caller.name);
        record.describe(&call);
        record.report.client_oid = call.order_ids().describe();
        let limit = record.limit(self.settings.deadline);
        let named = Named {
            intent: self.journal.intent(&call, &record.report, limit),
            id: call.id,
            find_out: call.find_out(),
            until: Instant::from_std(record.opened()) + limit,
        };
        (call, named)
    }

    /// The call with a name for its order, where its caller gave none and asked for one by an idempotency key, or all
    /// orders are to have one.
    fn named(&self, call: Call, caller: &str) -> Call {
        let name = match call.key() {
            Some(key) => name_of_key(caller, key),
            None if self.settings.add_client_oid && call.places_an_order() => {
                format!("cp-{}", Attempt::new().0.simple())
            }
            None => return call,
        };
        let named = call.named(&name, self.settings.dialect);
        named.ok().flatten().unwrap_or(call)
    }

    async fn carry_out(
        self: Arc<Self>,
        mut record: CallRecord,
        permit: Permit,
        turn: Turn,
        named: Named,
        place: Place,
    ) -> Relayed {
        let progress = record.progress();
        if progress.has_ended() {
            record.ended(499, "caller_gone");
            return Relayed::defect(Outcome::Refused);
        }
        let Named {
            intent, find_out, ..
        } = named;
        let written = match intent {
            None => None,
            Some(intent) => {
                let journal = &self.journal;
                match journal
                    .begin_after_others(intent, &progress, named.until)
                    .await
                {
                    Ok(Ok(written)) => Some(written),
                    Ok(Err(known)) => return tell(record, known, named.id, find_out),
                    Err(away) => return refuse(record, Refusal::Journal(away)),
                }
            }
        };
        let (ticket, entry) = written.unzip();
        let Some(cleared) = clear(permit, ticket) else {
            record.ended(500, "defect");
            return Relayed::defect(Outcome::Refused);
        };
        let mut prepared = self.signer.prepare(cleared, turn);
        if self.settings.signing_lines {
            prepared = prepared.with_line(SigningLine::of(&record.report));
        }
        let limit = record.limit(self.settings.deadline);
        let (sent, sent_ms) = (Instant::now(), self.clock.now_ms());
        record.report.waited = record.opened().elapsed();
        let mut answer = self.admission.coming_to(&place, &progress);
        let sending = self.upstream.send(prepared, &progress, &mut answer);
        let result = tokio::time::timeout_at(named.until, sending).await;
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
        let mut relayed = conclude(record, result, find_out, entry);
        if let Ok(reply) = &relayed.result {
            relayed.unread = answer.came(reply.raw.len());
        }
        relayed
    }

    /// Refuses a call. Where its names were used before, its caller learns what is known of them instead: an order that was
    /// executed is never called refused.
    async fn refuse(&self, record: CallRecord, refusal: Refusal, named: Named) -> Relayed {
        let known = match &named.intent {
            Some(intent) => self.journal.look(intent, named.until).await,
            None => Ok(None),
        };
        match known {
            Ok(Some(known)) => tell(record, known, named.id, named.find_out),
            Ok(None) => refuse(record, refusal),
            Err(away) => refuse(record, Refusal::Journal(away)),
        }
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

    /// Where what changes something is written down.
    #[must_use]
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        self.journal.ledger()
    }

    /// A caller's own attempts of a name: a `client_oid` or `client_wid`, an idempotency key, the exchange's id of an order,
    /// or the request id of an attempt that is open. The newest first, at most so many.
    ///
    /// # Errors
    /// [`Refusal`]: its access rules exclude it, too many ask at once, or the journal does not answer.
    pub async fn orders_of(
        &self,
        caller: &Caller,
        source: &Peer,
        name: &str,
        most: usize,
    ) -> Result<Vec<ledger::Entry>, Refusal> {
        let _place = self.admission.admit_question(caller, source)?;
        let mut found = Vec::new();
        // An order under an idempotency key bears a name that is made of it.
        for name in [
            kept_name(name).into_owned(),
            name_of_key(&caller.name, name),
        ] {
            let listing = Listing {
                caller: Some(caller.name.to_string()),
                name: Some(name),
                open: false,
                most,
            };
            let listed = self.ledger().list(listing).await;
            found.extend(listed.map_err(Refusal::Journal)?);
        }
        found.retain(|entry| entry.account == **self.journal.account());
        found.sort_by_key(|entry| Reverse((entry.begun_ms, entry.attempt)));
        found.truncate(most);
        Ok(found)
    }

    /// Looks after what is open in the journal.
    #[must_use]
    pub fn reconciler(&self) -> Reconciler {
        Reconciler::new(
            Arc::clone(self.journal.ledger()),
            Arc::clone(self.journal.account()),
            Arc::clone(&self.signer),
            Arc::clone(&self.upstream),
            self.clock.clone(),
        )
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

/// A call by its names, and what an answer to it needs.
struct Named {
    /// What is to be written down of it; `None` for reads.
    intent: Option<Intent>,
    id: RequestId,
    find_out: Option<&'static str>,
    until: Instant,
}

/// The name of the order that a caller places under this key: the same every time, and 35 characters of the 36 that the
/// exchange takes.
fn name_of_key(caller: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    for part in [caller, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    format!(
        "cp-{}",
        hex::encode(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
    )
}

/// What is permitted, and in the journal where that is asked for.
fn clear(permit: Permit, ticket: Option<Ticket>) -> Option<Cleared<Permit>> {
    match ticket {
        Some(ticket) => Some(Cleared::written(permit, ticket)),
        None => Cleared::unwritten(permit),
    }
}
