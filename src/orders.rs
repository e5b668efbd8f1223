//! What people are told of the order journal, and how they decide an attempt by hand.
//!
//! Guarantees: whoever asks, a caller, a command or the daemon, sees the same words of one attempt. Nothing is decided by hand
//! that has ended, that runs, that can still arrive, or that the name does not tell from others. Does not: decide who may ask.

use std::{fs, time::Duration};

use serde::{Deserialize, Serialize};
use text::time::rfc3339_ms;

use diagnosis::doubt::Doubt;
use gateway::ledger::{Away, Entry, EntryLeg, Kind, Ledger, LegEnd, Listing, Settled, State};
use protocol::call::kept_name;

/// Attempts of one answer.
pub(crate) const MOST: usize = 1000;
/// Characters of a reason.
const MAX_WHY: usize = 500;

/// One attempt, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What became of it, in the words of every channel; `running`: a task works on it.
    pub(crate) state: String,
    pub(crate) method: String,
    /// The request id of its call.
    pub(crate) rid: String,
    pub(crate) begun: String,
    pub(crate) ended: Option<String>,
    /// The exchange's code, where it answered.
    pub(crate) code: Option<i64>,
    /// The exchange's ids, as far as they are known.
    pub(crate) order_ids: Vec<String>,
    pub(crate) list_id: Option<String>,
    pub(crate) legs: Vec<OrderLeg>,
    /// Names of existing orders that it is about.
    pub(crate) targets: Vec<String>,
    /// Whether anything of it can still be executed.
    pub(crate) can_still_arrive: bool,
    /// How long that lasts, in seconds.
    pub(crate) for_s: u64,
    /// How often the exchange was asked about it.
    pub(crate) looked_after: u32,
    /// Whether somebody decided it by hand.
    pub(crate) decided_by_hand: bool,
    /// For the operator alone: who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caller: Option<String>,
    /// For the operator alone: where the exchange is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<String>,
    /// For the operator alone: who decided it by hand, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by_hand: Option<String>,
}

/// One thing that it creates or changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderLeg {
    /// `order`, `amendment`, `withdrawal`, `otc` or `key`.
    pub(crate) kind: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) instrument: Option<String>,
    /// `executed`, `refused`, or `open`.
    pub(crate) state: String,
    pub(crate) code: Option<i64>,
    pub(crate) order_id: Option<String>,
}

impl Order {
    /// What its own caller sees.
    pub(crate) fn for_its_caller(entry: &Entry) -> Self {
        let legs: Vec<_> = entry.legs.iter().map(leg).collect();
        Self {
            state: word(entry.state).to_owned(),
            method: entry.method.clone(),
            rid: entry.rid.clone(),
            begun: rfc3339_ms(entry.begun_ms),
            ended: entry.ended_ms.map(rfc3339_ms),
            code: entry.code,
            order_ids: legs.iter().filter_map(|leg| leg.order_id.clone()).collect(),
            list_id: entry.list_id.clone(),
            legs,
            targets: entry.targets.clone(),
            can_still_arrive: !entry.is_dead,
            for_s: seconds(entry.alive),
            looked_after: entry.looked,
            decided_by_hand: entry.by_hand.is_some(),
            caller: None,
            environment: None,
            by_hand: None,
        }
    }

    /// What the operator sees.
    pub(crate) fn for_the_operator(entry: &Entry) -> Self {
        Self {
            caller: Some(entry.caller.clone()),
            environment: Some(entry.account.environment.to_string()),
            by_hand: entry.by_hand.clone(),
            ..Self::for_its_caller(entry)
        }
    }
}

impl Order {
    /// What is done about it, and what is left for the operator, where nobody knows what became of it.
    pub(crate) fn questions(&self) -> Vec<String> {
        if self.state != State::Unknown.word() {
            return Vec::new();
        }
        let legs = self.legs.iter().enumerate();
        let question = |(number, leg): (usize, &OrderLeg)| {
            let kind = leg.kind.as_deref().and_then(Kind::from_word);
            let target = self.targets.get(number).or_else(|| self.targets.first());
            let (own, target) = (kind.zip(leg.name.as_deref()), target.map(String::as_str));
            Doubt::about(&self.method, &self.rid, own, target).question()
        };
        let open = legs.filter(|(_, leg)| leg.state == "open");
        let mut questions: Vec<_> = open.map(question).collect();
        questions.dedup();
        questions
    }
}

/// The word of a state. Whoever asks while a task works on it is told so.
pub(crate) const fn word(state: State) -> &'static str {
    if matches!(state, State::Begun) {
        "running"
    } else {
        state.word()
    }
}

fn leg(leg: &EntryLeg) -> OrderLeg {
    let (kind, name) = leg.leg.name.clone().unzip();
    let (state, code, order_id) = match &leg.end {
        LegEnd::Open => ("open", None, None),
        LegEnd::Executed { order_id } => ("executed", None, order_id.clone()),
        // 0: none of the exchange's.
        LegEnd::Refused { code } => ("refused", Some(*code).filter(|code| *code != 0), None),
    };
    OrderLeg {
        kind: kind.map(|kind| kind.word().to_owned()),
        name,
        instrument: leg.leg.instrument.clone(),
        state: state.to_owned(),
        code,
        order_id,
    }
}

/// Rounded up: what is not over yet is not said to be.
fn seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

/// Which attempts to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) open: bool,
    pub(crate) name: Option<String>,
    pub(crate) caller: Option<String>,
    pub(crate) most: usize,
}

/// Lists attempts for the operator, the newest first.
///
/// # Errors
/// The journal does not answer.
pub(crate) async fn listed(ledger: &dyn Ledger, wanted: Wanted) -> Result<Vec<Order>, Away> {
    let listing = Listing {
        caller: wanted.caller,
        name: wanted.name.map(|name| kept_name(&name).into_owned()),
        open: wanted.open,
        most: wanted.most.min(MOST),
    };
    let entries = ledger.list(listing).await?;
    Ok(entries.iter().map(Order::for_the_operator).collect())
}

/// What somebody decides by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    /// A name of the attempt, or its request id.
    pub(crate) name: String,
    /// Whether it was executed; else it never arrived.
    pub(crate) executed: bool,
    /// Why.
    pub(crate) why: String,
}

/// Why nothing was decided by hand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecided {
    #[error("the reason must be one line of 1 to {MAX_WHY} characters")]
    Why,
    #[error("no attempt has this name, and none that is open has this request id")]
    NotFound,
    #[error("it is not open: it is {state} (rid {rid}), and what has ended stays as it is")]
    Ended { state: &'static str, rid: String },
    #[error("the daemon works on it now (rid {0}): it ends by itself")]
    Running(String),
    #[error(
        "it can still arrive for {for_s} s (rid {rid}): decide it after that; until then the daemon looks after it"
    )]
    Alive { for_s: u64, rid: String },
    #[error("several open attempts have this name; give the rid of the one that you mean: {}", .0.join(", "))]
    Several(Vec<String>),
    #[error("{0}; nothing was decided")]
    Away(#[from] Away),
}

impl Undecided {
    /// The HTTP status that says so.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Why => 422,
            Self::NotFound => 404,
            Self::Ended { .. } | Self::Running(_) | Self::Alive { .. } | Self::Several(_) => 409,
            Self::Away(_) => 503,
        }
    }
}

/// Ends an open attempt by hand; what it is then.
///
/// # Errors
/// [`Undecided`]: nothing was changed.
pub(crate) async fn decide(
    ledger: &dyn Ledger,
    decision: &Decision,
    who: &str,
) -> Result<Order, Undecided> {
    let why = decision.why.trim();
    if why.is_empty() || why.chars().count() > MAX_WHY || why.contains(char::is_control) {
        return Err(Undecided::Why);
    }
    let named = |open| Listing {
        name: Some(kept_name(&decision.name).into_owned()),
        open,
        most: MOST,
        ..Listing::default()
    };
    let open = ledger.list(named(true)).await?;
    let entry = match &open[..] {
        [entry] => entry,
        [] => {
            let ended = ledger.list(named(false)).await?;
            return Err(ended.first().map_or(Undecided::NotFound, has_ended));
        }
        several => {
            let rids = several.iter().map(|entry| entry.rid.clone());
            return Err(Undecided::Several(rids.collect()));
        }
    };
    let rid = entry.rid.clone();
    if entry.state == State::Begun {
        return Err(Undecided::Running(rid));
    }
    if !entry.is_dead {
        let for_s = seconds(entry.alive);
        return Err(Undecided::Alive { for_s, rid });
    }
    let by_hand = Settled::ByHand {
        executed: decision.executed,
        why: format!("{who}: {why}"),
    };
    let was_open = ledger.settle(entry.attempt, by_hand).await?;
    // What it is now; names that never arrived are found as well.
    let listing = Listing {
        name: Some(kept_name(&decision.name).into_owned()),
        most: MOST,
        ..Listing::default()
    };
    let now = ledger.list(listing).await?;
    let now = now.into_iter().find(|now| now.attempt == entry.attempt);
    match now {
        Some(now) if !was_open => Err(has_ended(&now)),
        Some(now) => Ok(Order::for_the_operator(&now)),
        // It was named by its request id, by which what has ended is not found.
        None => {
            let mut now = Order::for_the_operator(entry);
            let (state, leg) = if decision.executed {
                (State::Executed, "executed")
            } else {
                (State::NeverArrived, "refused")
            };
            state.word().clone_into(&mut now.state);
            for open in now.legs.iter_mut().filter(|leg| leg.state == "open") {
                leg.clone_into(&mut open.state);
            }
            now.decided_by_hand = true;
            now.by_hand = Some(format!("{who}: {why}"));
            Ok(now)
        }
    }
}

fn has_ended(entry: &Entry) -> Undecided {
    Undecided::Ended {
        state: word(entry.state),
        rid: entry.rid.clone(),
    }
}

/// The name of a user of this machine, or its number.
pub(crate) fn user(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let id = uid.to_string();
    let mut rows = users.lines().map(|row| row.split(':').collect::<Vec<_>>());
    let row = rows.find(|row| row.get(2) == Some(&&*id));
    let name = row.and_then(|row| row.first().map(|name| (*name).to_owned()));
    name.unwrap_or_else(|| format!("uid {uid}"))
}
