//! The changes of a history, typed.
//!
//! Guarantees: what was only seen for the first time is no change; a key and a secret of the same start are one. Does
//! not: tell what says nothing about refusals, such as a method first seen.

use crate::{
    causes::{Change, What},
    history::{ChangeRow, Filter, Problem, Questions},
    key_pairs,
};

/// Changes that are told.
const TOLD: usize = 40;

/// Every change that may accept_weak_token on refusals, oldest first; of the starts the last one.
pub(super) fn typed(history: &Questions) -> Result<Vec<Change>, Problem> {
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
pub(super) const fn of_the_pair(change: key_pairs::Change) -> Option<What> {
    match change {
        key_pairs::Change::KeyChanged => Some(What::Key),
        key_pairs::Change::SecretChanged => Some(What::Secret),
        key_pairs::Change::Both => Some(What::Pair),
        key_pairs::Change::Same | key_pairs::Change::First | key_pairs::Change::NoMemory => None,
    }
}

/// Since when calls tell of the pair, the address and the exchange in use; 0 for always.
pub(super) fn beginning(changes: &[Change]) -> u64 {
    changes
        .iter()
        .rev()
        .find(|change| change.what.is_a_new_beginning())
        .map_or(0, |change| change.at_ms)
}

/// The changes since the last accepted call, the newest.
pub(super) fn told(mut changes: Vec<Change>, good_ms: u64) -> Vec<Change> {
    changes.retain(|change| change.at_ms > good_ms);
    let surplus = changes.len().saturating_sub(TOLD);
    changes.drain(..surplus);
    changes
}
