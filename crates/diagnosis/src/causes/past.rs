//! What is known from before: values that a history fills, and that may be empty.
//!
//! Guarantees: no I/O; an empty past changes no verdict of the findings. Does not: hold params,
//! amounts or order ids, but for the names of calls in doubt.

use std::net::IpAddr;

use crate::{
    doubt::{Doubt, JournalAway},
    history::LastStart,
    key_pairs::{Origin, PairStory},
    verdict::{Objection, Verdict},
};
use catalogue::methods::Class;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The method that was called.
    pub method: String,
    /// Our address then, where it was known.
    pub address: Option<IpAddr>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The key, and its secret did not.
    Key,
    /// The secret, and its key did not.
    Secret,
    /// Both.
    Pair,
    /// The outbound address.
    Address {
        /// Before.
        from: IpAddr,
        /// After.
        to: IpAddr,
    },
    /// The base URL.
    Base,
    /// Another setting.
    Configuration,
    /// The version of this program.
    Version,
    /// The clock stepped.
    Clock,
    /// The daemon started.
    Start,
}

impl What {
    /// Whether calls before it say nothing about calls after it: another pair, another outbound address, another exchange.
    #[must_use]
    pub const fn is_a_new_beginning(&self) -> bool {
        matches!(
            self,
            Self::Key | Self::Secret | Self::Pair | Self::Address { .. } | Self::Base
        )
    }

    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Key => "the key changed and its secret did not".to_owned(),
            Self::Secret => "the secret changed and its key did not".to_owned(),
            Self::Pair => "key and secret changed".to_owned(),
            Self::Address { from, to } => format!("the outbound address moved from {from} to {to}"),
            Self::Base => "the base URL changed".to_owned(),
            Self::Configuration => "the configuration changed".to_owned(),
            Self::Version => "another version was installed".to_owned(),
            Self::Clock => "the clock stepped".to_owned(),
            Self::Start => "the daemon started".to_owned(),
        }
    }
}

/// A change, with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub what: What,
}

/// What became of the calls of one method since pair and address are as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodPast {
    /// The method.
    pub method: String,
    /// Its class, where the catalogue knows it.
    pub class: Option<Class>,
    /// Calls that the exchange took as authentic and permitted.
    pub accepted: u32,
    /// Calls whose key, permission or address it refused, by a code of its own.
    pub refused: u32,
    /// Those of them since its last accepted call that may be a permission's, because the exchange named neither address
    /// nor tier; 0 where reads and other methods fail alike, and it is not its own trouble.
    pub failing: u32,
    /// The code of the last call, where it is not 0 and the call is not long ago.
    pub last_code: Option<i64>,
}

impl MethodPast {
    /// What the exchange objects to by the code of the last call alone.
    #[must_use]
    pub fn objection(&self) -> Option<Objection> {
        // Of a code that says nothing by itself the status would decide: it is no status.
        self.last_code
            .and_then(|code| Verdict::of_answer(0, Some(code)).objection())
    }
}

/// What somebody says of calls that this program did not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// Only orders with `reduce_only` or `post_only` fail.
    OnlyFlaggedOrders,
    /// Only margin orders fail.
    OnlyMarginOrders,
    /// A program shows the exchange headers of a scheme of its own.
    InventedHeaders,
    /// A program fails, and its failing calls are not in our record.
    FailsElsewhere,
}

impl Symptom {
    /// Everything that can be said.
    pub const ALL: [Self; 4] = [
        Self::OnlyFlaggedOrders,
        Self::OnlyMarginOrders,
        Self::InventedHeaders,
        Self::FailsElsewhere,
    ];

    /// The word for it, on the command line and in a query.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OnlyFlaggedOrders => "only-flagged-orders",
            Self::OnlyMarginOrders => "only-margin-orders",
            Self::InventedHeaders => "invented-headers",
            Self::FailsElsewhere => "fails-elsewhere",
        }
    }

    /// What a word says.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|told| told.word() == word)
    }
}

/// What the history knows of the daemon's own pair, told beside another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonsOwn {
    /// The fingerprint of its key.
    pub key_fp: String,
    /// The last call that was accepted.
    pub last_good: Option<Event>,
    /// The first one that was refused since.
    pub first_bad: Option<Event>,
}

impl DaemonsOwn {
    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        let event = |event: &Event| (event.method.clone(), text::time::rfc3339(event.at_ms));
        match (&self.first_bad, &self.last_good) {
            (Some(bad), _) => {
                let (method, at) = event(bad);
                format!("the daemon's own pair is refused, too: {method} since {at}")
            }
            (None, Some(good)) => {
                let (method, at) = event(good);
                format!("the daemon's own pair works: {method} was accepted {at}")
            }
            (None, None) => "the daemon's own pair has not been used yet".to_owned(),
        }
    }

    /// Whether its last call that tells anything was accepted.
    #[must_use]
    pub const fn works(&self) -> bool {
        self.last_good.is_some() && self.first_bad.is_none()
    }
}

/// The past, as far as anybody knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Since when there is a history, in milliseconds since 1970; `None`: there is none.
    pub since_ms: Option<u64>,
    /// Why there is none, where one was looked for.
    pub unread: Option<String>,
    /// Why calls are missing in it by now, where they are.
    pub unwritten: Option<String>,
    /// How the pair in use came about; `None`: not known.
    pub pair: Option<PairStory>,
    /// The last private call that was accepted, with whatever pair.
    pub last_good: Option<Event>,
    /// The first one that was refused since.
    pub first_bad: Option<Event>,
    /// Changes, oldest first.
    pub changes: Vec<Change>,
    /// By method.
    pub methods: Vec<MethodPast>,
    /// How often calls were accepted again after refusals, within an hour.
    pub recoveries: u32,
    /// Calls that this proxy refused itself lately.
    pub refused_here: u32,
    /// Requests without a known caller lately that showed headers of a scheme that exists nowhere.
    pub foreign_scheme: u32,
    /// The fingerprint of the key that the running daemon uses, where it is another program than this.
    pub daemon_fingerprint: Option<String>,
    /// Whether the probes were made with that daemon's pair, and the fingerprint among the findings is the file's.
    pub probed_by_the_daemon: bool,
    /// The daemon's last start, where a history tells of it and this is another program.
    pub last_start: Option<LastStart>,
    /// Whether the daemon started with the key in use and another secret.
    pub daemon_has_another_secret: bool,
    /// What became of the daemon's own pair, where the pair in question is another one, of a file that is not the
    /// daemon's.
    pub daemons_own: Option<DaemonsOwn>,
    /// When the key was last updated, as the dashboard shows it, in milliseconds since 1970.
    pub key_updated_ms: Option<u64>,
    /// What somebody says.
    pub told: Vec<Symptom>,
    /// Calls that may have been executed, oldest first, as the order journal knows them.
    pub in_doubt: Vec<Doubt>,
    /// That the order journal takes no entry.
    pub journal_away: Option<JournalAway>,
    /// Why the order journal could not be read, where it could not.
    pub in_doubt_unread: Option<String>,
}

impl Past {
    /// How the pair in use came about, where that is known and no call was accepted with it.
    #[must_use]
    pub fn unproven(&self) -> Option<Origin> {
        self.pair
            .as_ref()
            .map(|pair| pair.origin)
            .filter(|origin| *origin != Origin::Proven)
    }

    /// The last accepted call with the pair as it is.
    #[must_use]
    pub fn good_with_this_pair(&self) -> Option<&Event> {
        self.last_good
            .as_ref()
            .filter(|_| self.unproven().is_none())
    }
}
