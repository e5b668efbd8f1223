//! Calls in doubt: they may have been executed, and nobody knows yet.
//!
//! The order journal knows them, durably, and the daemon finds out about them by itself. [`Doubts`] is the view of them for
//! those who are to be told. Guarantees: what ended `unknown` before somebody asks is in the answer; calls under way are no
//! doubts; where the journal does not answer in time, that is told. However many ask, the journal has one question of
//! theirs at a time. Does not: keep anything, or end a doubt.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use catalogue::methods::{self, Class, ClientId};
use gateway::{
    clock::Clock,
    ledger::{Away, Entry, Kind, Ledger, LegEnd, Listing, State},
};

mod overdue;
#[cfg(test)]
mod tests;

/// Attempts that are listed at once, the newest.
const MAX: usize = 256;
/// How long somebody who asks waits for the journal's disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// A call in doubt, one for each of its orders of which nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// When it began, in milliseconds since 1970.
    pub ms: u64,
    /// Its request id.
    pub rid: String,
    /// Who made it.
    pub caller: String,
    /// The method.
    pub method: String,
    /// The name of the order or withdrawal, where it has one; of a cancellation that of its order.
    pub name: Option<String>,
    /// Whether the daemon finds out by itself.
    pub is_asked: bool,
}

impl Doubt {
    /// What is in doubt of these entries of the journal, oldest first. What has only begun is under way.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Vec<Self> {
        let mut doubts = Vec::new();
        for entry in entries.iter().rev() {
            if entry.state != State::Unknown {
                continue;
            }
            let legs = entry.legs.iter().enumerate();
            for (number, leg) in legs.filter(|(_, leg)| leg.end == LegEnd::Open) {
                // Of a list of cancellations each leg has its order.
                let target = entry.targets.get(number).or_else(|| entry.targets.first());
                let own = leg.leg.name.as_ref();
                let own = own.map(|(kind, name)| (*kind, name.as_str()));
                doubts.push(Self {
                    ms: entry.begun_ms,
                    caller: entry.caller.clone(),
                    ..Self::about(&entry.method, &entry.rid, own, target.map(String::as_str))
                });
            }
        }
        doubts
    }

    /// What is in doubt of a call: its own name, or the order that it is about. When it began, and who made it, is left open.
    #[must_use]
    pub fn about(method: &str, rid: &str, own: Option<(Kind, &str)>, target: Option<&str>) -> Self {
        let kind = own.map(|(kind, _)| kind);
        Self {
            ms: 0,
            rid: rid.to_owned(),
            caller: String::new(),
            method: method.to_owned(),
            name: own.map(|(_, name)| name).or(target).map(str::to_owned),
            is_asked: is_asked(method, kind, target),
        }
    }

    /// What tells what became of it, for people.
    fn look_at(&self) -> String {
        let for_its_name = |what: &str, field: &str| match &self.name {
            Some(name) => format!("{what}, for {field} {name}"),
            None => format!("{what}, for one of its time and amount"),
        };
        match &*self.method {
            "private/create-withdrawal" => {
                return for_its_name("private/get-withdrawal-history", "client_wid");
            }
            "private/fiat/fiat-create-withdraw" => {
                return for_its_name("private/fiat/fiat-withdraw-history", "client_wid");
            }
            "private/create-subaccount-transfer" => {
                return "private/get-transactions and the balances of both accounts".to_owned();
            }
            "private/close-position" | "private/create-isolated-margin-transfer" => {
                return "private/get-positions".to_owned();
            }
            _ => {}
        }
        let class = methods::find(&self.method).map(|info| info.class);
        if class != Some(Class::Trade) {
            return format!("what {} would have changed", self.method);
        }
        let family = if self.method.starts_with("private/advanced/") {
            "private/advanced/"
        } else {
            "private/"
        };
        match &self.name {
            Some(name) if self.is_amendment() => format!("{family}get-order-detail, for {name}"),
            Some(name) if self.is_asked => {
                format!("{family}get-order-detail, for client_oid {name}")
            }
            _ => format!("{family}get-open-orders and {family}get-order-history"),
        }
    }

    /// How the operator ends it, by what is there.
    fn resolve(&self) -> String {
        let executed = if methods::cancels_orders(&self.method) {
            "nothing of it is open any more"
        } else if self.is_amendment() {
            "the order is as this call asked for"
        } else {
            "it is there"
        };
        format!(
            "`sudo crypto-proxy orders resolve {} --executed --why TEXT` if {executed}, and with `--never-arrived` if not",
            self.rid
        )
    }

    fn is_amendment(&self) -> bool {
        is_amendment(&self.method)
    }

    /// What is being done, and what is left for the operator, in words.
    #[must_use]
    pub fn question(&self) -> String {
        let (look_at, resolve) = (self.look_at(), self.resolve());
        if !self.is_asked {
            return format!(
                "the proxy cannot find out by itself what became of this {}: look at {look_at}, then end the doubt: {resolve}",
                self.method
            );
        }
        let before = if self.is_new_order() {
            "; do not place it again under another client_oid before that"
        } else {
            ""
        };
        format!(
            "wait some minutes: the proxy asks the exchange by itself ({look_at}){before}. What is in doubt an hour later \
             stays so: look there, and end it: {resolve}"
        )
    }

    fn is_new_order(&self) -> bool {
        let new = [ClientId::NewOrder, ClientId::NewOrders, ClientId::Batch];
        methods::find(&self.method).is_some_and(|info| new.contains(&info.client_id))
    }
}

/// Whether the daemon can find out by itself.
fn is_asked(method: &str, kind: Option<Kind>, target: Option<&str>) -> bool {
    match kind {
        Some(Kind::Order | Kind::Amendment) => true,
        Some(Kind::Withdrawal) => method == "private/create-withdrawal",
        Some(Kind::Otc | Kind::Key) => false,
        None => methods::cancels_orders(method) || is_amendment(method) && target.is_some(),
    }
}

fn is_amendment(method: &str) -> bool {
    method.ends_with("/amend-order")
}

/// "1 call is in doubt", for whoever reads it: no name.
#[must_use]
pub fn count_words(count: usize) -> String {
    if count == 1 {
        "1 call is in doubt: it may have been executed".to_owned()
    } else {
        format!("{count} calls are in doubt: they may have been executed")
    }
}

/// That the order journal takes no entry: orders are refused, and not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalAway {
    /// Why, in words.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// What to do where the journal is away, in words.
pub type Remedy = Box<dyn Fn(&Away) -> String + Send + Sync>;

/// How many calls are in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// So many, as far as is known.
    pub calls: usize,
    /// Whether the journal answered in time; else there may be more.
    pub is_certain: bool,
}

/// The calls in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Oldest first; where the journal did not answer, those that were listed last.
    pub doubts: Arc<[Doubt]>,
    /// Why there may be others, where the journal did not answer.
    pub unread: Option<String>,
}

/// The calls in doubt, as the order journal knows them.
pub struct Doubts {
    ledger: Arc<dyn Ledger>,
    remedy: Remedy,
    clock: Clock,
    counted: Mutex<Option<(Instant, Count)>>,
    listed: Mutex<Option<(Instant, Listed)>>,
}

impl fmt::Debug for Doubts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doubts").finish_non_exhaustive()
    }
}

impl Doubts {
    /// Those of this journal.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, remedy: Remedy, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            remedy,
            clock,
            counted: Mutex::default(),
            listed: Mutex::default(),
        })
    }

    /// Why the journal takes no entry now, and what to do.
    #[must_use]
    pub fn away(&self) -> Option<JournalAway> {
        let away = self.ledger.away()?;
        Some(JournalAway {
            why: away.to_string(),
            remedy: (self.remedy)(&away),
        })
    }

    /// How many there are now.
    pub async fn count(&self) -> Count {
        let asked = Instant::now();
        let mut counted = self.counted.lock().await;
        // An answer to a question that was put after this one serves this one, too.
        if let Some((since, count)) = *counted
            && since >= asked
        {
            return count;
        }
        let since = Instant::now();
        // The empty list is answered after what was said before is counted.
        let answer = tokio::time::timeout(PATIENCE, self.ledger.list(Listing::default())).await;
        let count = Count {
            calls: self.ledger.in_doubt(),
            is_certain: matches!(answer, Ok(Ok(_))),
        };
        *counted = Some((since, count));
        count
    }

    /// All of them now.
    pub async fn list(&self) -> Listed {
        let asked = Instant::now();
        let mut listed = self.listed.lock().await;
        if let Some((since, list)) = &*listed
            && *since >= asked
        {
            return list.clone();
        }
        let since = Instant::now();
        let open = Listing {
            open: true,
            most: MAX,
            ..Listing::default()
        };
        let answer = tokio::time::timeout(PATIENCE, self.ledger.list(open)).await;
        let unread = match answer {
            Ok(Ok(entries)) => {
                let list = Listed {
                    doubts: Doubt::of(&entries).into(),
                    unread: None,
                };
                *listed = Some((since, list.clone()));
                return list;
            }
            Ok(Err(away)) => away.to_string(),
            Err(_) => format!(
                "the order journal did not answer within {} s",
                PATIENCE.as_secs()
            ),
        };
        let last = listed.take();
        let list = Listed {
            doubts: last.map_or_else(Arc::default, |(_, last)| last.doubts),
            unread: Some(unread),
        };
        *listed = Some((since, list.clone()));
        list
    }
}
