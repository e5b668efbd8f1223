//! What the history remembers, in the words of the causes.
//!
//! Guarantees: bounded work, however many calls are kept: marks, changes and the newest calls; counts are of the time
//! since pair, address and base are as they are, because what was before says nothing about now. Does not: judge, or
//! write anything.

use super::{
    causes::{Change, DaemonsOwn, Event, Past, What},
    history::{ChangeRow, Filter, LastStart, Milestone, Milestones, Problem, Questions},
};
use crate::key_pairs::PairChange;
use gateway::secret::Credentials;

mod calls;
#[cfg(test)]
mod tests;

/// The newest calls that are looked at.
const CALLS: u32 = 20_000;
/// Calls from before say little about now.
const WEEK_MS: u64 = 7 * 86_400_000;
/// What "lately" means.
const HOUR_MS: u64 = 3_600_000;

/// Why a request without a known caller was refused, where it would have been a call: not what asks for a page or a
/// diagnosis, not what is no HTTP, and not public calls.
const WOULD_HAVE_BEEN_CALLS: [&str; 11] = [
    "token",
    "origin",
    "body",
    "unverified",
    "signature",
    "nonce",
    "replayed",
    "repeated",
    "before_start",
    "replay_memory",
    "replay_mark",
];

/// What the endpoints call headers of a scheme that exists nowhere. Such a request is counted for its refusal, too.
pub const FOREIGN_SCHEME: &str = "foreign_scheme";

/// The past of the pair in use, as a history knows it at `now_ms`, in milliseconds since 1970.
///
/// `in_use` is the pair that this program signs with, where it is another program than the daemon; without it, the pair
/// that the daemon last started with is meant. A pair that the daemon did not start with counts as changed now.
///
/// # Errors
/// [`Problem`] where the history cannot be read.
pub fn recollect(
    history: &Questions,
    now_ms: u64,
    in_use: Option<&Credentials>,
) -> Result<Past, Problem> {
    let marks = history.marks()?;
    let unlike = in_use.map_or(Ok(PairChange::Same), |pair| history.compare_pair(pair))?;
    let mut changes = typed(history)?;
    changes.extend(of_the_pair(unlike).map(|what| Change {
        at_ms: now_ms,
        what,
    }));
    let last_good = marks
        .iter()
        .filter_map(|(method, marks)| Some((method, marks.good.as_ref()?)));
    let last_good = last_good
        .max_by_key(|(_, good)| good.ms)
        .map(|(method, good)| of_mark(method, good));
    let good_ms = last_good.as_ref().map_or(0, |good| good.at_ms);
    let pair = history.pair_story(in_use, now_ms)?;
    let recent = history.recent(now_ms.saturating_sub(WEEK_MS), CALLS)?;
    let last_start = history.last_start()?.filter(|_| in_use.is_some());
    let running = last_start.as_ref().filter(|start| !start.stopped);
    Ok(Past {
        since_ms: history.begins_ms()?,
        first_bad: first_bad(history, &marks, good_ms)?,
        methods: calls::by_method(&recent, &marks, beginning(&changes), now_ms),
        recoveries: calls::recoveries(
            &recent,
            pair.as_ref().map_or(0, |pair| pair.since_ms),
            now_ms,
        ),
        refused_here: refused_here(history, now_ms)?,
        foreign_scheme: unknown_refused(history, now_ms, &[FOREIGN_SCHEME])?,
        daemon_fingerprint: running.map(|start: &LastStart| start.key_fp.clone()),
        daemon_has_another_secret: running.is_some() && unlike == PairChange::SecretChanged,
        changes: told(changes, good_ms),
        last_start,
        last_good,
        pair,
        ..Past::default()
    })
}

/// The past of a pair of a file that is not the daemon's. Another pair than the daemon's has none here: what the daemon
/// was started with, what it was refused and what changed is not about it.
///
/// # Errors
/// [`Problem`] where the history cannot be read.
pub fn recollect_beside(
    history: &Questions,
    now_ms: u64,
    pair: &Credentials,
) -> Result<Past, Problem> {
    let (unlike, last_start) = (history.compare_pair(pair)?, history.last_start()?);
    let Some(start) = last_start.filter(|_| of_the_pair(unlike).is_some()) else {
        return recollect(history, now_ms, Some(pair));
    };
    let own = recollect(history, now_ms, None)?;
    Ok(Past {
        since_ms: own.since_ms,
        daemons_own: Some(DaemonsOwn {
            key_fp: start.key_fp,
            last_good: own.last_good,
            first_bad: own.first_bad,
        }),
        ..Past::default()
    })
}

fn of_mark(method: &str, mark: &Milestone) -> Event {
    let address = mark
        .address
        .as_ref()
        .and_then(|address| address.parse().ok());
    Event {
        at_ms: mark.ms,
        method: method.to_owned(),
        address,
    }
}

/// The first refusal since the last accepted call: among the calls after it, or where those are gone, by the marks.
fn first_bad(
    history: &Questions,
    marks: &[(String, Milestones)],
    good_ms: u64,
) -> Result<Option<Event>, Problem> {
    let kept = history.first_refused(good_ms, CALLS)?.map(|call| {
        let address = call.address.and_then(|address| address.parse().ok());
        Event {
            at_ms: call.ms,
            method: call.method.unwrap_or_default(),
            address,
        }
    });
    let marked = marks
        .iter()
        .filter_map(|(method, marks)| Some(of_mark(method, marks.auth.first.as_ref()?)));
    let marked = marked.filter(|bad| bad.at_ms > good_ms);
    Ok(kept.into_iter().chain(marked).min_by_key(|bad| bad.at_ms))
}

/// Calls that the proxy refused itself within the last hour, with a known caller or without.
fn refused_here(history: &Questions, now_ms: u64) -> Result<u32, Problem> {
    let known = history.refused_here(now_ms.saturating_sub(HOUR_MS))?;
    let known = u32::try_from(known).unwrap_or(u32::MAX);
    let unknown = unknown_refused(history, now_ms, &WOULD_HAVE_BEEN_CALLS)?;
    Ok(known.saturating_add(unknown))
}

/// Requests without a known caller that were refused within the last hour, for one of these reasons.
fn unknown_refused(history: &Questions, now_ms: u64, why: &[&str]) -> Result<u32, Problem> {
    let rows = history.refused(&Filter {
        since_ms: Some(now_ms.saturating_sub(HOUR_MS)),
        ..Filter::default()
    })?;
    let counted = rows.iter().filter(|row| why.contains(&row.why.as_str()));
    let all = counted.fold(0_u64, |sum, row| sum.saturating_add(row.count));
    Ok(u32::try_from(all).unwrap_or(u32::MAX))
}

/// Changes that are told.
const TOLD: usize = 40;

/// Every change that may have to do with refusals, oldest first; of the starts the last one.
fn typed(history: &Questions) -> Result<Vec<Change>, Problem> {
    let rows = history.changes(&Filter::default())?;
    let mut all: Vec<Change> = Vec::new();
    for row in &rows {
        let Some(what) = what(row) else { continue };
        match (all.last_mut(), &what) {
            // The key of a start stands before its secret.
            (Some(last), What::Secret) if last.at_ms == row.ms && last.what == What::Key => {
                last.what = What::Pair
            }
            _ => all.push(Change {
                at_ms: row.ms,
                what,
            }),
        }
    }
    let last_start_ms = all
        .iter()
        .rev()
        .find(|change| change.what == What::Start)
        .map(|change| change.at_ms);
    all.retain(|change| change.what != What::Start || Some(change.at_ms) == last_start_ms);
    Ok(all)
}

fn what(row: &ChangeRow) -> Option<What> {
    if row.kind == "start" {
        return Some(What::Start);
    }
    let (before, after) = (row.before.as_deref()?, row.after.as_deref()?);
    match row.kind.as_str() {
        "key" => Some(What::Key),
        "secret" => Some(What::Secret),
        "address" => Some(What::Address {
            from: before.parse().ok()?,
            to: after.parse().ok()?,
        }),
        "base_url" => Some(What::Base),
        "configuration" => Some(What::Configuration),
        "version" => Some(What::Version),
        "skew" => Some(What::Clock),
        _ => None,
    }
}

/// What another pair than the daemon's is.
const fn of_the_pair(change: PairChange) -> Option<What> {
    match change {
        PairChange::KeyChanged => Some(What::Key),
        PairChange::SecretChanged => Some(What::Secret),
        PairChange::Both => Some(What::Pair),
        PairChange::Same | PairChange::First | PairChange::NoMemory => None,
    }
}

/// Since when calls tell of the pair, the address and the exchange in use; 0 for always.
fn beginning(changes: &[Change]) -> u64 {
    changes
        .iter()
        .rev()
        .find(|change| change.what.is_a_new_beginning())
        .map_or(0, |change| change.at_ms)
}

/// The changes since the last accepted call, the newest.
fn told(mut changes: Vec<Change>, good_ms: u64) -> Vec<Change> {
    changes.retain(|change| change.at_ms > good_ms);
    let surplus = changes.len().saturating_sub(TOLD);
    changes.drain(..surplus);
    changes
}
