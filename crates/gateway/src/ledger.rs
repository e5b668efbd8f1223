//! The journal of everything that changes money: what is to be sent is written down before it is sent, and what became of
//! it afterwards. The names in it are used once.
//!
//! [`Ledger`] is what the path of a call asks of it; the crate `ledger` implements it on a database. Guarantees: an attempt goes
//! only with a [`Ticket`], which `begin` gives out once the journal holds the attempt durably, or `note` for a cancellation,
//! which must not wait. A ticket is good for a bounded time, counted by a clock that includes suspended time. Whatever
//! happens to a call (a panic, the end of the process), its row says at least that it may have been executed. Does not: decide
//! who may call, or ask the exchange.

use std::{borrow::Cow, fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use crate::{clock::uptime_ms, policy::Permitted};
use catalogue::methods;
use protocol::{
    call::{Call, Effect},
    wire,
};

/// A future in a box: the journal is behind a trait object.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One attempt to do something at the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(pub Uuid);

impl Attempt {
    /// A fresh one.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for Attempt {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-256 of method and params as they were parsed: spaces, the order of members and the call's `id` do not count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

/// What a name names. Names of different kinds never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An order, by its `client_oid`.
    Order,
    /// A change of an order, by the new `client_oid`.
    Amendment,
    /// A withdrawal, by its `client_wid`.
    Withdrawal,
    /// A request for a quote or a deal, by its own id.
    Otc,
    /// Anything, by the caller's idempotency key.
    Key,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Order,
        Self::Amendment,
        Self::Withdrawal,
        Self::Otc,
        Self::Key,
    ];

    /// Its word in the file and in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Amendment => "amendment",
            Self::Withdrawal => "withdrawal",
            Self::Otc => "otc",
            Self::Key => "key",
        }
    }

    /// The kind of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Whose journal: names of one account never meet those of another. It outlives the account's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// Where the exchange is: `production`, `uat`, or the host of another base URL.
    pub environment: Arc<str>,
    /// Its name here.
    pub name: Arc<str>,
}

/// One thing that an attempt creates or changes: an order of a list has one of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// The name that it takes; `None`: it has none, and is found by its attempt alone.
    pub name: Option<(Kind, String)>,
    /// The instrument.
    pub instrument: Option<String>,
}

impl Leg {
    /// Whether the exchange can be asked what became of it, by an attempt of this method. A name that is kept as its digest,
    /// because it is too long for one, is none there. Of fiat and of deals the exchange tells no names. What has no name is
    /// told by the orders that it is about.
    #[must_use]
    pub fn can_be_found(&self, method: &str) -> bool {
        match &self.name {
            Some((_, name)) if name.starts_with("sha256:") => false,
            Some((Kind::Order | Kind::Amendment, _)) => true,
            Some((Kind::Withdrawal, _)) => method == "private/create-withdrawal",
            Some((Kind::Otc | Kind::Key, _)) => false,
            None => methods::cancels_orders(method) || method.ends_with("/amend-order"),
        }
    }
}

/// What is about to be sent.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Whose.
    pub account: Arc<Account>,
    /// Who asks for it.
    pub caller: Arc<str>,
    /// The method.
    pub method: Cow<'static, str>,
    /// What exactly; zeros for a cancellation, which nobody compares with another.
    pub digest: Digest,
    /// This attempt.
    pub attempt: Attempt,
    /// The request id of the call, to find its record.
    pub rid: Arc<str>,
    /// What it creates or changes; at least one. All of it is begun, or nothing is.
    pub legs: Vec<Leg>,
    /// Names of existing orders that it is about (`client_oid`, `order_id` of a cancellation or amendment).
    pub targets: Vec<String>,
    /// How long from now on it may be sent.
    pub to_be_sent: Duration,
    /// How long from now on anything of it can still be executed, where nothing else becomes known.
    pub alive: Duration,
}

impl Intent {
    /// Whether all that it does is to take orders back: it must not wait for the disk, and may be sent again.
    #[must_use]
    pub fn takes_back(&self) -> bool {
        methods::cancels_orders(&self.method)
    }

    /// The same, to be sent until then: it may have waited.
    #[must_use]
    pub(crate) fn until(mut self, until: Instant) -> Self {
        let left = until.saturating_duration_since(Instant::now());
        self.to_be_sent = self.to_be_sent.min(left);
        self
    }

    /// Whether one of its legs has a name.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.legs.iter().any(|leg| leg.name.is_some())
    }
}

/// What `begin` answers.
#[derive(Debug)]
pub enum Begun {
    /// It is written down: go.
    Go(Ticket),
    /// The names are known already: nothing must be sent.
    Known(Known),
}

/// What is known of an attempt whose names are used again.
#[derive(Debug)]
pub enum Known {
    /// The same caller's same call ended with this answer, not long ago.
    Answered(Stored),
    /// The same caller's same call is under way.
    Running(Running),
    /// The same caller's same call may have been executed, and nobody knows yet.
    Unknown(Past),
    /// The same caller's same call was executed some time ago, or its answer is not kept.
    Used(Past),
    /// The same caller used the names for something else, or for several calls.
    Differs,
    /// Another caller uses one of the names.
    Taken,
}

impl Known {
    /// Whether the same call was made before, and may be answered instead of being refused.
    #[must_use]
    pub const fn is_of_the_same_call(&self) -> bool {
        matches!(
            self,
            Self::Answered(_) | Self::Running(_) | Self::Unknown(_) | Self::Used(_)
        )
    }
}

/// An answer of the exchange, as it was passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its HTTP status.
    pub status: u16,
    /// Its body: JSON.
    pub body: Bytes,
}

impl Stored {
    /// Its body for a call with another id, and the exchange's code in it.
    pub(crate) fn under(&self, id: u64) -> (Vec<u8>, Option<i64>) {
        let body = wire::with_id(&self.body, id);
        let code = wire::read_answer(&body).ok().and_then(|head| head.code);
        (body, code)
    }
}

/// An attempt, told to its own caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// What became of it.
    pub state: State,
    /// When it began, in milliseconds since 1970.
    pub begun_ms: u64,
    /// The request id of the call that made it.
    pub rid: String,
    /// The exchange's ids of its orders, as far as they are known.
    pub order_ids: Vec<String>,
}

/// What became of an attempt; the words are those of every channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It is written down, and has not ended.
    Begun,
    /// It ended before a byte of it left. Its names are free.
    NotSent,
    /// It may have been executed.
    Unknown,
    /// The exchange answered; what it executed has its names for good, and the names of what it refused are free.
    Answered,
    /// Nobody saw its answer, and it was found at the exchange.
    Executed,
    /// It never arrived at the exchange, and nothing of it can any more. Its names are free.
    NeverArrived,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Begun,
        Self::NotSent,
        Self::Unknown,
        Self::Answered,
        Self::Executed,
        Self::NeverArrived,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Answered => "answered",
            Self::Executed => "executed",
            Self::NeverArrived => "never_arrived",
        }
    }

    /// The state of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether nobody knows yet what became of it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Begun | Self::Unknown)
    }
}

/// An attempt that is under way in this process.
#[derive(Clone, Debug)]
pub struct Running(pub watch::Receiver<()>);

impl Running {
    /// Waits until it has ended; then the same question has another answer.
    pub async fn ended(mut self) {
        while self.0.changed().await.is_ok() {}
    }

    /// Whether it ends until then.
    pub(crate) async fn ended_by(self, until: Instant) -> bool {
        timeout_at(until, self.ended()).await.is_ok()
    }
}

/// The proof that an attempt is in the journal; whoever signs or sends it uses it up.
#[derive(Debug)]
#[must_use = "an attempt that is written down is sent, or concluded"]
pub struct Ticket {
    attempt: Attempt,
    /// When it must not be sent any more, in milliseconds of the machine's uptime.
    ends_ms: u64,
    is_again: bool,
    /// Told when the ticket is used up.
    beginning: Option<watch::Sender<()>>,
}

impl Ticket {
    /// For whoever implements [`Ledger`]: only after the attempt is in the journal. Whether one of its names was used by an
    /// earlier attempt, which was not executed as far as anybody knows.
    pub fn written(attempt: Attempt, to_be_sent: Duration, is_again: bool) -> Self {
        let to_be_sent = u64::try_from(to_be_sent.as_millis()).unwrap_or(u64::MAX);
        Self {
            attempt,
            ends_ms: uptime_ms().saturating_add(to_be_sent),
            is_again,
            beginning: None,
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Whether one of its names was used before: where the exchange calls that name a duplicate, the earlier attempt may
    /// have been executed after all.
    #[must_use]
    pub(crate) const fn is_again(&self) -> bool {
        self.is_again
    }

    /// Those who wait for what is beginning learn of it when the ticket is used up.
    pub(crate) fn ends_beginning(mut self, beginning: watch::Sender<()>) -> Self {
        self.beginning = Some(beginning);
        self
    }

    /// When it must not be sent any more, in milliseconds of the machine's uptime.
    pub(crate) const fn ends_ms(&self) -> u64 {
        self.ends_ms
    }
}

/// What may be sent: it was permitted and, where it may change something, it is in the journal. The signer and the streams
/// take nothing else.
#[derive(Debug)]
pub struct Cleared<P> {
    permit: P,
    ticket: Option<Ticket>,
}

impl<P: Permitted> Cleared<P> {
    /// What needs no entry: reads, and cancellations, which go whether they can be written down or not. `None` for
    /// everything else.
    #[must_use]
    pub fn unwritten(permit: P) -> Option<Self> {
        let needs_entry = permit.call().effect() == Effect::Change;
        (!needs_entry).then_some(Self {
            permit,
            ticket: None,
        })
    }

    /// What is in the journal.
    #[must_use]
    pub const fn written(permit: P, ticket: Ticket) -> Self {
        Self {
            permit,
            ticket: Some(ticket),
        }
    }

    /// What was permitted.
    #[must_use]
    pub fn call(&self) -> &Call {
        self.permit.call()
    }

    /// The ticket, to be kept until the call is sent.
    pub(crate) fn into_ticket(self) -> Option<Ticket> {
        self.ticket
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// No byte of it left.
    NotSent,
    /// It may have been executed; from now on, it is dead after this time.
    Unknown {
        /// How long anything of it can still be executed.
        alive: Duration,
        /// The exchange's code, where it answered and left it open. One of a duplicate tells that something is there.
        code: Option<i64>,
        /// What the answer tells of legs all the same; open, or none, where it does not. At least one stays open.
        legs: Vec<LegEnd>,
    },
    /// The exchange answered with a code that says what became of it.
    Answered {
        /// The answer; `None` where it is too long to be kept.
        answer: Option<Stored>,
        /// The exchange's code.
        code: i64,
        /// What became of each leg, in their order.
        legs: Vec<LegEnd>,
        /// The exchange's id of the list.
        list_id: Option<String>,
    },
}

/// What became of one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEnd {
    /// It was executed: the name is used.
    Executed {
        /// The exchange's id.
        order_id: Option<String>,
    },
    /// It was not: the name is free.
    Refused {
        /// The exchange's code.
        code: i64,
    },
    /// Nobody knows: the answer does not tell of it.
    Open,
}

/// What looking after an attempt brought to light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing yet: ask again after this time.
    Not {
        /// How long.
        again: Duration,
    },
    /// One leg, by its number, is decided.
    Leg {
        /// From 0.
        leg: usize,
        /// [`LegEnd::Refused`] stands for "never arrived" here.
        end: LegEnd,
    },
    /// Somebody decided it by hand.
    ByHand {
        /// Whether it was executed.
        executed: bool,
        /// Who and why.
        why: String,
    },
}

/// Why the journal cannot be written or read now. What was asked for is not in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// The disk is full.
    #[error("the disk of the order journal is full")]
    Full,
    /// The file cannot be written.
    #[error("the order journal cannot be written ({0})")]
    Unwritable(String),
    /// It did not answer in time.
    #[error("the disk of the order journal did not answer within {} ms", .0.as_millis())]
    Slow(Duration),
    /// As much waits to be written as is kept.
    #[error("{0} entries of the order journal wait to be written already")]
    Busy(usize),
    /// The file is damaged.
    #[error("the order journal is damaged ({0})")]
    Damaged(String),
}

/// One attempt as it stands in the journal, for those who look after it or list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The attempt.
    pub attempt: Attempt,
    /// Whose.
    pub account: Account,
    /// Who asked for it.
    pub caller: String,
    /// The method.
    pub method: String,
    /// The request id of its call.
    pub rid: String,
    /// What became of it.
    pub state: State,
    /// The exchange's code, where it answered.
    pub code: Option<i64>,
    /// When it began, in milliseconds since 1970.
    pub begun_ms: u64,
    /// When it ended, likewise.
    pub ended_ms: Option<u64>,
    /// Whether nothing of it can be executed any more.
    pub is_dead: bool,
    /// How long anything of it can still be executed, where it is open.
    pub alive: Duration,
    /// How often somebody looked after it.
    pub looked: u32,
    /// The exchange's id of the list.
    pub list_id: Option<String>,
    /// Who decided it by hand, and why.
    pub by_hand: Option<String>,
    /// What it creates or changes.
    pub legs: Vec<EntryLeg>,
    /// Names of existing orders that it is about.
    pub targets: Vec<String>,
}

/// One leg of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryLeg {
    /// Its name and instrument.
    pub leg: Leg,
    /// What became of it.
    pub end: LegEnd,
}

/// Which entries to list; the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only those of this caller.
    pub caller: Option<String>,
    /// Only those with a leg of this name (of whatever kind), or with this id of the exchange's; of those that are open, also
    /// the ones of this request id.
    pub name: Option<String>,
    /// Only those of which nobody knows what became of them.
    pub open: bool,
    /// At most so many.
    pub most: usize,
}

/// The journal. Several tasks may ask at once.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Writes an attempt down, and answers once the disk has it; or says what is known of its names. Dropping the future
    /// gives the attempt up: it is concluded as not sent when it turns out to be written.
    ///
    /// # Errors
    /// [`Away`]: the attempt must not be sent, and its names are as before.
    fn begin(&self, intent: Intent) -> Boxed<'_, Result<Begun, Away>>;

    /// What is known of the names of an attempt that is not begun; `None`: nothing that keeps them from being used.
    ///
    /// # Errors
    /// [`Away`].
    fn look(&self, intent: Intent) -> Boxed<'_, Result<Option<Known>, Away>>;

    /// Notes a cancellation, without waiting: whether it can be written or not, it goes.
    fn note(&self, intent: Intent) -> Ticket;

    /// Writes down what became of an attempt, without waiting. An attempt that has ended stays as it is.
    fn conclude(&self, attempt: Attempt, conclusion: Conclusion);

    /// Attempts of this account that are open and that it is time to look after, the longest waiting first, at most so many.
    /// What the exchange cannot be asked for is not among them.
    ///
    /// # Errors
    /// [`Away`].
    fn due(&self, account: Arc<Account>, most: usize) -> Boxed<'_, Result<Vec<Entry>, Away>>;

    /// Tells which orders of this account are open at the exchange, by their ids and names: all of them. As long as nobody
    /// tells, no name of an order is forgotten, however old it is.
    ///
    /// # Errors
    /// [`Away`].
    fn are_open(&self, account: Arc<Account>, orders: Vec<String>) -> Boxed<'_, Result<(), Away>>;

    /// Writes down what looking after an attempt brought to light; whether the attempt was open.
    ///
    /// # Errors
    /// [`Away`].
    fn settle(&self, attempt: Attempt, settled: Settled) -> Boxed<'_, Result<bool, Away>>;

    /// Lists attempts.
    ///
    /// # Errors
    /// [`Away`].
    fn list(&self, listing: Listing) -> Boxed<'_, Result<Vec<Entry>, Away>>;

    /// How many attempts are open that no task of this process is working on.
    fn in_doubt(&self) -> usize;

    /// Why it takes no orders now, as far as is known.
    fn away(&self) -> Option<Away>;
}
