//! Calls in doubt: they may have been executed, and their answer was lost.
//!
//! [`Doubts`] reads along with the records, and is full again after a start from what the history kept. Guarantees: a
//! doubt ends only by an answer that settles it, or after [`KEPT_MS`]; bounded; while there is none, a good call costs
//! one load. Does not: ask the exchange, or know of a call that was open when the process was killed.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use catalogue::methods::{self, Class, ClientId};
use gateway::{
    clock::Clock,
    failure::Failure,
    outcome::Outcome,
    record::{CallReport, RecordSink},
};
use protocol::call::find_out;

#[cfg(test)]
mod tests;

/// How long a doubt stands unanswered, in milliseconds: longer than a weekend, because nobody can end one by hand.
pub const KEPT_MS: u64 = 72 * 3_600_000;
/// Doubts that stand at once, the newest.
pub(crate) const MAX: usize = 256;
/// The exchange refuses a nonce that is more than 60 s old. From then on, and 5 s more, what is not there does not come.
const DEAD_AFTER_MS: u64 = 65_000;
/// The exchange's codes for an order that it does not know.
const NOT_FOUND: [i64; 2] = [40401, 212];
/// The exchange's code for a `client_oid` that it took before.
const DUPLICATE: i64 = 204;

/// A call in doubt, one for each order that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// When it ended without a conclusive answer, in milliseconds since 1970.
    pub ms: u64,
    /// Its request id.
    pub rid: String,
    /// Who made it.
    pub caller: String,
    /// The method.
    pub method: String,
    /// The name of the order or withdrawal, where it has one.
    pub name: Option<String>,
    /// Whether the caller chose that name. The documents contradict each other on the name of an order without one.
    pub is_own: bool,
}

impl Doubt {
    /// The doubts that a call leaves.
    pub(crate) fn left_by(report: &CallReport, ms: u64) -> Vec<Self> {
        let (Some(method), Outcome::Unknown) = (report.method.as_deref(), report.outcome) else {
            return Vec::new();
        };
        // A login is lost with its connection, and changes nothing.
        if method.starts_with("public/") || find_out(method).is_none() {
            return Vec::new();
        }
        // The earlier call has one already, however often its caller asks.
        if [Failure::Running, Failure::InDoubt]
            .iter()
            .any(|earlier| report.why == Some(earlier.code()))
        {
            return Vec::new();
        }
        let nonce = report.nonce.map(|nonce| nonce.to_string());
        let doubt = |name: Option<&str>| Self {
            ms,
            rid: report.rid.to_string(),
            caller: report.caller.to_string(),
            method: method.to_owned(),
            name: name.map(str::to_owned),
            is_own: name.is_some() && name != nonce.as_deref(),
        };
        match &report.client_oid {
            Some(names) => names.split(',').map(|name| doubt(Some(name))).collect(),
            None => vec![doubt(None)],
        }
    }

    /// The method that tells what became of it; `None` where no single one does.
    #[must_use]
    pub fn ask(&self) -> Option<&'static str> {
        let advanced = self.method.starts_with("private/advanced/");
        let info = methods::find(&self.method)?;
        match (info.class, &self.name) {
            (Class::Transfer, Some(_)) => Some("private/get-withdrawal-history"),
            (Class::Trade, _) if self.method == "private/close-position" => {
                Some("private/get-positions")
            }
            (Class::Trade, Some(_)) if advanced => Some("private/advanced/get-order-detail"),
            (Class::Trade, Some(_)) => Some("private/get-order-detail"),
            (Class::Trade, None) if advanced => Some("private/advanced/get-open-orders"),
            (Class::Trade, None) => Some("private/get-open-orders"),
            _ => None,
        }
    }

    /// What to ask the exchange, in words.
    #[must_use]
    pub fn question(&self) -> String {
        let Some(ask) = self.ask() else {
            return format!("look at what {} would have changed", self.method);
        };
        let Some(name) = &self.name else {
            return format!(
                "ask {ask} through the proxy: it tells what {} changed",
                self.method
            );
        };
        if !ask.ends_with("get-order-detail") {
            return format!("ask {ask} through the proxy, and look for client_wid {name}");
        }
        let not_found = if self.is_own {
            "\"not found\" counts from 65 s after the call on"
        } else {
            "\"not found\" proves nothing, because the call gave no client_oid and the exchange's documents contradict \
             each other on the name that it takes: look at private/get-order-history, too"
        };
        let before = if self.is_new_order() {
            "; do not place it again under another client_oid before that"
        } else {
            ""
        };
        format!(
            "ask {ask} through the proxy with client_oid {name}: it tells what became of the order ({not_found}){before}"
        )
    }

    /// Whether the answer to another call settles it.
    fn is_settled_by(&self, report: &CallReport, ms: u64) -> bool {
        let (Some(method), Outcome::Answered) = (report.method.as_deref(), report.outcome) else {
            return false;
        };
        let asked = self.ask() == Some(method);
        let late = ms >= self.ms.saturating_add(DEAD_AFTER_MS);
        let (good, code) = (report.code == Some(0), report.code.unwrap_or_default());
        let by_name = self
            .ask()
            .is_some_and(|ask| ask.ends_with("get-order-detail"));
        if !by_name {
            // A list has everything from then on.
            return asked && good && late;
        }
        if report.client_oid.is_none() || report.client_oid != self.name {
            return false;
        }
        let not_there = self.is_own && late && NOT_FOUND.contains(&code);
        // The same call again: done now, or the name was taken before.
        let taken = self.is_new_order() && code == DUPLICATE;
        let again = method == self.method && (good || taken);
        asked && (good || not_there) || again
    }

    fn is_new_order(&self) -> bool {
        let new = [ClientId::NewOrder, ClientId::NewOrders, ClientId::Batch];
        methods::find(&self.method).is_some_and(|info| new.contains(&info.client_id))
    }
}

/// Takes out the doubts that the answer to a call settles, or that are too old.
pub(crate) fn settle(open: &mut Vec<Doubt>, report: &CallReport, ms: u64) -> Vec<Doubt> {
    open.extract_if(.., |doubt| {
        doubt.is_settled_by(report, ms) || doubt.ms.saturating_add(KEPT_MS) < ms
    })
    .collect()
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

/// The doubts that are open.
pub struct Doubts {
    clock: Clock,
    /// How many, so that calls need no lock while there are none.
    count: AtomicUsize,
    open: Mutex<Vec<Doubt>>,
}

impl std::fmt::Debug for Doubts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doubts").finish_non_exhaustive()
    }
}

impl Doubts {
    /// Begins with what is known from before.
    #[must_use]
    pub fn new(open: Vec<Doubt>, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            count: AtomicUsize::new(open.len()),
            open: Mutex::new(open),
        })
    }

    /// All that are open, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Doubt> {
        let now_ms = self.clock.now_ms();
        let mut open = self.lock();
        open.retain(|doubt| doubt.ms.saturating_add(KEPT_MS) >= now_ms);
        self.count.store(open.len(), Ordering::Relaxed);
        open.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Doubt>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordSink for Doubts {
    fn record(&self, report: &Arc<CallReport>) {
        if report.outcome != Outcome::Unknown && self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now_ms = self.clock.now_ms();
        let mut open = self.lock();
        settle(&mut open, report, now_ms);
        open.extend(Doubt::left_by(report, now_ms));
        let surplus = open.len().saturating_sub(MAX);
        open.drain(..surplus);
        self.count.store(open.len(), Ordering::Relaxed);
    }
}
