//! What the path of a call does with the [`Ledger`]: each change is written down before it is sent, and concluded whatever
//! happens to it.
//!
//! Guarantees: an [`Entry`] is concluded once, by its answer or, when it is dropped, by the phase that its call reached. A
//! cancellation never waits for the disk, and waits, for a bounded time, for its own caller's orders of that name that are
//! still beginning, so that it does not overtake them. Whoever uses a name again learns what is known of it, and nothing is
//! sent. Does not: decide what may be sent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    clock::Clock,
    failure::{Failure, Refusal},
    ledger::{
        Account, Attempt, Away, Begun, Conclusion, Digest, Intent, Kind, Known, Ledger, Leg,
        LegEnd, Stored, Ticket,
    },
    observed::Observed,
    outcome::{Outcome, Progress},
    record::CallReport,
    upstream::{Reply, ReplyBody},
};
use catalogue::{codes, methods::ClientId};
use protocol::{
    call::{Call, Effect},
    orders_in_answer::OrdersInAnswer,
};

/// The exchange takes a nonce for this long (vendor documents).
const NONCE_LIVES: Duration = Duration::from_secs(60);
/// How far a nonce can be ahead of the clock: what calls may lead by, and a step back of the clock.
const MOST_AHEAD: Duration = Duration::from_secs(50);
/// For packets that are still under way, and for what is not known better.
const MARGIN: Duration = Duration::from_secs(5);
/// As far as the clock is taken to be wrong where nobody knows: beyond it the exchange refuses every call.
const UNKNOWN_SKEW: Duration = Duration::from_secs(60);
/// Whatever the clocks say: from then on nobody can tell any more whether it never arrived.
const MOST_ALIVE: Duration = Duration::from_secs(3600);
/// How long a cancellation waits for an order that is beginning; the disk has less.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longer answers are not kept to be given again; the exchange's answers to orders have some hundred bytes.
const MAX_KEPT_BYTES: usize = 16 << 10;
/// Questions about refused calls that one caller may have before the journal at once; its others wait for their turn, and
/// so nobody else does.
const LOOKS_OF_ONE: usize = 8;

/// The journal, as the path of a call uses it.
#[derive(Debug)]
pub(crate) struct Journal {
    ledger: Arc<dyn Ledger>,
    account: Arc<Account>,
    clock: Clock,
    observed: Arc<Observed>,
    beginning: Beginning,
    looks: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

/// What a caller is told of an earlier call of the same name.
#[derive(Debug)]
pub(crate) enum Told {
    /// Its answer, again.
    Again(Stored),
    /// That nobody knows yet.
    InDoubt(Failure),
}

impl Known {
    /// What its caller is told.
    ///
    /// # Errors
    /// [`Refusal`] where the name cannot be used for this call.
    pub(crate) fn told(self) -> Result<Told, Refusal> {
        Ok(match self {
            Self::Answered(stored) => Told::Again(stored),
            Self::Running(_) => Told::InDoubt(Failure::Running),
            Self::Unknown(_) => Told::InDoubt(Failure::InDoubt),
            Self::Used(_) => return Err(Refusal::NameUsed),
            Self::Differs => return Err(Refusal::NameDiffers),
            Self::Taken => return Err(Refusal::NameTaken),
        })
    }
}

/// An attempt that is written down and has not ended.
#[derive(Debug)]
pub(crate) struct Entry {
    ledger: Arc<dyn Ledger>,
    progress: Arc<Progress>,
    attempt: Attempt,
    legs: usize,
    /// Whether it is about no order that was there before.
    creates: bool,
    is_again: bool,
    /// As it was known before it was signed.
    skew: Duration,
    observed: Arc<Observed>,
    clock: Clock,
    is_concluded: bool,
}

impl Journal {
    pub(crate) fn new(
        ledger: Arc<dyn Ledger>,
        account: Arc<Account>,
        clock: Clock,
        observed: Arc<Observed>,
    ) -> Self {
        Self {
            ledger,
            account,
            clock,
            observed,
            beginning: Beginning::default(),
            looks: Mutex::default(),
        }
    }

    /// What is to be written down of a call that has this time to be sent; `None` for reads.
    pub(crate) fn intent(
        &self,
        call: &Call,
        report: &CallReport,
        to_be_sent: Duration,
    ) -> Option<Intent> {
        let digest = match call.effect() {
            Effect::Read => return None,
            Effect::Change => Digest(call.digest()),
            Effect::Cancel => Digest([0; 32]),
        };
        let targets = call.targets();
        Some(Intent {
            account: Arc::clone(&self.account),
            caller: Arc::clone(&report.caller),
            method: call.method.name(),
            digest,
            attempt: Attempt::new(),
            rid: Arc::clone(&report.rid),
            legs: legs(call, &targets),
            targets,
            to_be_sent,
            alive: (to_be_sent + MOST_AHEAD + NONCE_LIVES + self.skew() + MARGIN).min(MOST_ALIVE),
        })
    }

    /// Writes an attempt down; or says what is known of its names, where they were used before.
    ///
    /// # Errors
    /// [`Away`]: it must not be sent.
    pub(crate) async fn begin(
        &self,
        intent: Intent,
        progress: &Arc<Progress>,
    ) -> Result<Result<(Ticket, Entry), Known>, Away> {
        let creates = intent.targets.is_empty();
        let entry = |ticket: &Ticket, legs| Entry {
            ledger: Arc::clone(&self.ledger),
            progress: Arc::clone(progress),
            attempt: ticket.attempt(),
            legs,
            creates,
            is_again: ticket.is_again(),
            skew: self.skew(),
            observed: Arc::clone(&self.observed),
            clock: self.clock.clone(),
            is_concluded: false,
        };
        let legs = intent.legs.len();
        if intent.takes_back() {
            self.beginning.wait_for(&intent).await;
            let ticket = self.ledger.note(intent);
            progress.only_until(ticket.ends_ms());
            let entry = entry(&ticket, legs);
            return Ok(Ok((ticket, entry)));
        }
        let beginning = self.beginning.enter(&intent);
        match self.ledger.begin(intent).await? {
            Begun::Go(ticket) => {
                progress.only_until(ticket.ends_ms());
                let entry = entry(&ticket, legs);
                Ok(Ok((ticket.ends_beginning(beginning), entry)))
            }
            Begun::Known(known) => Ok(Err(known)),
        }
    }

    /// The same, once what is under way with these names has ended, and until then at most. What ended without using them up
    /// leaves them to this attempt.
    ///
    /// # Errors
    /// [`Away`]: it must not be sent.
    pub(crate) async fn begin_after_others(
        &self,
        intent: Intent,
        progress: &Arc<Progress>,
        until: Instant,
    ) -> Result<Result<(Ticket, Entry), Known>, Away> {
        loop {
            match self.begin(intent.clone().until(until), progress).await? {
                Err(Known::Running(running)) if running.clone().ended_by(until).await => {}
                begun => return Ok(begun),
            }
        }
    }

    /// What is known of the names of a call that is refused, once what is under way with them has ended, and until then at
    /// most. `None`: its caller made no such call, or nothing came of it.
    ///
    /// # Errors
    /// [`Away`]: nobody knows.
    pub(crate) async fn look(
        &self,
        intent: &Intent,
        until: Instant,
    ) -> Result<Option<Known>, Away> {
        if !intent.has_names() {
            return Ok(None);
        }
        loop {
            let known = {
                let turn = self.turn_of(&intent.caller).acquire_owned();
                let turn = timeout_at(until, turn).await;
                let Ok(Ok(_turn)) = turn else {
                    return Err(Away::Busy(LOOKS_OF_ONE));
                };
                self.ledger.look(intent.clone()).await?
            };
            match known {
                Some(Known::Running(running)) if running.clone().ended_by(until).await => {}
                known => return Ok(known.filter(Known::is_of_the_same_call)),
            }
        }
    }

    /// The callers are those of the configuration: they are few.
    fn turn_of(&self, caller: &Arc<str>) -> Arc<Semaphore> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(Semaphore::new(LOOKS_OF_ONE));
        Arc::clone(looks.entry(Arc::clone(caller)).or_insert_with(fresh))
    }

    /// The journal itself.
    pub(crate) const fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// Whose it is.
    pub(crate) const fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// How far the clock may be wrong.
    fn skew(&self) -> Duration {
        skew(&self.observed, &self.clock)
    }
}

/// How far the clock may be wrong; what it jumped by since the exchange answered last is part of it.
fn skew(observed: &Observed, clock: &Clock) -> Duration {
    let most_ms = observed.skew().most_ms(clock.now_ms());
    most_ms.map_or(UNKNOWN_SKEW, Duration::from_millis)
}

fn legs(call: &Call, targets: &[String]) -> Vec<Leg> {
    if call.method.as_str().ends_with("/cancel-order-list") && !targets.is_empty() {
        // Each of its orders is cancelled or not by itself.
        return vec![Leg::default(); targets.len()];
    }
    let client_id = call.method.info().map(|info| info.client_id);
    let named = |name: String| match client_id {
        Some(ClientId::Other("client_wid")) => (Kind::Withdrawal, name),
        // Requests for quotes and deals have names of their own.
        Some(ClientId::Other(field)) => (Kind::Otc, format!("{field}:{name}")),
        Some(ClientId::ExistingOrder) => (Kind::Amendment, name),
        _ => (Kind::Order, name),
    };
    let mut legs: Vec<_> = call
        .creations()
        .into_iter()
        .map(|creation| Leg {
            name: creation.name.map(named),
            instrument: creation.instrument,
        })
        .collect();
    if let ([only], Some(key)) = (&mut legs[..], call.key())
        && only.name.is_none()
    {
        only.name = Some((Kind::Key, key.to_owned()));
    } else if legs.len() > 1 {
        name_the_rest(&mut legs, call.key());
    }
    legs
}

/// A list is one unit. Where one of its orders has no name, the list's own, which the key or the first named order gives it,
/// stands in: or the list could be sent again once the named ones were refused. No key holds a blank.
fn name_the_rest(legs: &mut [Leg], key: Option<&str>) {
    let first = legs.iter().find_map(|leg| leg.name.as_ref());
    let list = match (key, first) {
        (Some(key), _) => format!("list {key}"),
        (None, Some((_, name))) => format!("list of {name}"),
        (None, None) => return,
    };
    for (number, leg) in legs.iter_mut().enumerate() {
        leg.name
            .get_or_insert_with(|| (Kind::Key, format!("{list} {number}")));
    }
}

impl Entry {
    /// Concludes it with an answer; what the caller is told of it.
    pub(crate) fn answered(self, reply: &Reply) -> Outcome {
        let (Some(code), ReplyBody::Json { bytes, .. }) = (reply.code(), &reply.body) else {
            return Outcome::Unknown;
        };
        self.told(reply.status, code, bytes)
    }

    /// The same for the answer to a command of a stream, which has no status of its own.
    pub(crate) fn answered_on_stream(self, code: i64, body: &Bytes) -> Outcome {
        let status = codes::find(code).and_then(|info| info.http_status);
        self.told(status.unwrap_or(200), code, body)
    }

    fn told(mut self, status: u16, code: i64, body: &Bytes) -> Outcome {
        let answer = (body.len() <= MAX_KEPT_BYTES).then(|| Stored {
            status,
            body: body.clone(),
        });
        let orders = OrdersInAnswer::read(body);
        // Where an earlier attempt is said to have come to nothing, a duplicate tells that it may have been executed.
        let of_legs = orders.legs.values().filter_map(|leg| leg.code);
        let duplicate = of_legs
            .chain([code])
            .find(|code| codes::is_duplicate(*code));
        if let Some(duplicate) = duplicate.filter(|_| self.is_again) {
            return self.unclear(duplicate, &orders);
        }
        if !codes::is_conclusive(code) {
            return self.unclear(code, &orders);
        }
        let legs = ends(&orders, code, self.legs);
        // Of one nobody knows yet: it is looked after, and the names of all are kept meanwhile.
        if legs.contains(&LegEnd::Open) {
            return self.unclear(code, &orders);
        }
        self.conclude(Conclusion::Answered {
            answer,
            code,
            legs,
            list_id: orders.list_id,
        });
        Outcome::Answered
    }

    /// Its caller is not told what became of it, and the journal keeps what the answer tells all the same: an order that got
    /// an id is there.
    fn unclear(mut self, code: i64, orders: &OrdersInAnswer) -> Outcome {
        let legs = has_ids(orders, self.legs, self.creates);
        let conclusion = if legs.contains(&LegEnd::Open) {
            Conclusion::Unknown {
                alive: self.alive(),
                code: Some(code),
                legs,
            }
        } else {
            Conclusion::Answered {
                answer: None,
                code,
                legs,
                list_id: orders.list_id.clone(),
            }
        };
        self.conclude(conclusion);
        Outcome::Unknown
    }

    fn conclude(&mut self, conclusion: Conclusion) {
        self.is_concluded = true;
        self.ledger.conclude(self.attempt, conclusion);
    }

    /// How long anything of it can still be executed. The clock may have jumped before it was signed, and back since.
    fn alive(&self) -> Duration {
        let ahead = self
            .progress
            .signed()
            .map_or(0, |signed| signed.nonce.saturating_sub(self.clock.now_ms()));
        let skew = self.skew.max(skew(&self.observed, &self.clock));
        let ahead = Duration::from_millis(ahead).min(MOST_ALIVE);
        (ahead + NONCE_LIVES + skew + MARGIN).min(MOST_ALIVE)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.is_concluded {
            return;
        }
        // Nothing of it is sent from here on, whatever still holds it.
        let conclusion = if self.progress.end() == Outcome::Unknown {
            Conclusion::Unknown {
                alive: self.alive(),
                code: None,
                legs: Vec::new(),
            }
        } else {
            Conclusion::NotSent
        };
        self.conclude(conclusion);
    }
}

/// Which legs got an id, by whatever answer. That of an order that was there before is its own, and tells nothing.
fn has_ids(orders: &OrdersInAnswer, legs: usize, creates: bool) -> Vec<LegEnd> {
    let id_of = |leg| match orders.legs.get(&leg) {
        Some(told) => told.order_id.as_ref(),
        None => orders.order_id.as_ref().filter(|_| legs == 1),
    };
    let end = |leg| match id_of(leg).filter(|_| creates) {
        Some(order_id) => LegEnd::Executed {
            order_id: Some(order_id.clone()),
        },
        None => LegEnd::Open,
    };
    (0..legs).map(end).collect()
}

/// What an answer with a conclusive code says of each leg.
fn ends(orders: &OrdersInAnswer, code: i64, legs: usize) -> Vec<LegEnd> {
    let executed = |order_id: &Option<String>| LegEnd::Executed {
        order_id: order_id.clone(),
    };
    (0..legs)
        .map(|leg| match orders.legs.get(&leg) {
            Some(told) if told.order_id.is_some() => executed(&told.order_id),
            Some(told) => match told.code {
                Some(0) => executed(&None),
                Some(code) if codes::is_conclusive(code) => LegEnd::Refused { code },
                _ => LegEnd::Open,
            },
            None if legs == 1 && orders.order_id.is_some() => executed(&orders.order_id),
            // Of a group all or none is executed.
            None if legs > 1 && orders.list_id.is_some() => executed(&None),
            None if code != 0 => LegEnd::Refused { code },
            None if legs == 1 => executed(&None),
            None => LegEnd::Open,
        })
        .collect()
}

/// Who asks, for which order, and who is told when it has begun.
type Begins = (Arc<str>, String, watch::Receiver<()>);

/// Orders that are being written down or wait for a connection. Two may have one name: the second learns of the first.
#[derive(Debug, Default)]
struct Beginning(Mutex<Vec<Begins>>);

impl Beginning {
    /// Notes that the orders of an attempt begin, until the sender is dropped.
    fn enter(&self, intent: &Intent) -> watch::Sender<()> {
        let (sender, receiver) = watch::channel(());
        // What has no name is waited for by those who mean everything.
        let name = |leg: &Leg| match &leg.name {
            Some((_, name)) => name.clone(),
            None => intent.attempt.0.to_string(),
        };
        let mut beginning = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have begun; what is left is few, because calls under way are.
        beginning.retain(|(_, _, receiver)| receiver.has_changed().is_ok());
        let legs = intent.legs.iter();
        beginning.extend(legs.map(|leg| (Arc::clone(&intent.caller), name(leg), receiver.clone())));
        sender
    }

    /// Waits until none of the orders that an attempt is about is beginning, or all of its caller's where it names none.
    async fn wait_for(&self, intent: &Intent) {
        let waited_for: Vec<_> = {
            let beginning = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_meant = |(caller, name, _): &&Begins| {
                *caller == intent.caller
                    && (intent.targets.is_empty() || intent.targets.contains(name))
            };
            let meant = beginning.iter().filter(is_meant);
            meant.map(|(_, _, receiver)| receiver.clone()).collect()
        };
        let all_begun = async {
            for mut receiver in waited_for {
                while receiver.changed().await.is_ok() {}
            }
        };
        let _ = timeout(PATIENCE, all_begun).await;
    }
}

#[cfg(test)]
mod tests;
