//! Which pairs of key and secret stood here one after the other, and how the last one came about.
//!
//! A key and a secret of one creation may arrive at two starts: half a rotation that was mended. So a pair is compared
//! with the last *whole* one, not with the one before it. Guarantees: bounded by the newest pairs; a secret is a number.
//! Does not: say that a pair is right; only an accepted call does.

use rusqlite::Connection;

use super::{
    schema::{Problem, query_all, signed, unsigned},
    store,
};
use crate::key_pairs::{Half, Origin, PairChange, PairStory};
use gateway::secret::Credentials;

/// Pairs that are looked back at.
const MAX_STRETCHES: u64 = 256;
/// The number of a secret that never stood here.
const NEVER_SEEN: &str = "never seen";

/// A time with one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    since_ms: u64,
    key_fp: String,
    secret: String,
}

impl Stretch {
    fn same_key(&self, other: &Self) -> bool {
        self.key_fp == other.key_fp
    }

    fn same_secret(&self, other: &Self) -> bool {
        self.secret == other.secret
    }

    fn same_pair(&self, other: &Self) -> bool {
        self.same_key(other) && self.same_secret(other)
    }

    fn shares_one_half(&self, other: &Self) -> bool {
        self.same_key(other) != self.same_secret(other)
    }
}

/// How the pair in use came about: this one, seen at `now_ms`, or the one that the daemon last started with.
pub(super) fn story_of(
    file: &Connection,
    in_use: Option<&Credentials>,
    now_ms: u64,
) -> Result<Option<PairStory>, Problem> {
    let mut stretches = stretches(file)?;
    if let Some(credentials) = in_use {
        let seen = seen(file, credentials, now_ms)?;
        if !stretches.last().is_some_and(|last| last.same_pair(&seen)) {
            stretches.push(seen);
        }
    }
    Ok(story(&stretches, &accepted(file)?))
}

/// What a start with this pair would change.
pub(super) fn compare(file: &Connection, credentials: &Credentials) -> Result<PairChange, Problem> {
    let seen = seen(file, credentials, 0)?;
    let stretches = stretches(file)?;
    Ok(stretches.last().map_or(PairChange::First, |last| {
        PairChange::of(last.same_key(&seen), last.same_secret(&seen))
    }))
}

fn seen(file: &Connection, credentials: &Credentials, since_ms: u64) -> rusqlite::Result<Stretch> {
    let secret = secret_number(file, credentials)?;
    Ok(Stretch {
        since_ms,
        key_fp: credentials.key.fingerprint(),
        secret,
    })
}

/// Times at which calls were accepted, as far as marks tell: bounded by the methods.
pub(super) fn accepted(file: &Connection) -> Result<Vec<u64>, Problem> {
    let names = "'good', 'auth_before', 'auth_after', 'failed_before', 'failed_after'";
    let select = format!("SELECT ms FROM mark WHERE mark IN ({names})");
    query_all(file, &select, [], |row| unsigned(row, 0))
}

fn secret_number(file: &Connection, credentials: &Credentials) -> rusqlite::Result<String> {
    let Some(salt) = store::salt(file)? else {
        return Ok(NEVER_SEEN.to_owned());
    };
    let digest = credentials.secret.keyed_digest(&salt);
    let number = store::secret_number(file, &digest)?;
    Ok(number.map_or_else(|| NEVER_SEEN.to_owned(), |number| number.to_string()))
}

/// The pairs from the changes, oldest first; what changed at the same time changed together.
fn stretches(file: &Connection) -> Result<Vec<Stretch>, Problem> {
    let select = "SELECT ms, kind, before, after FROM (SELECT * FROM change WHERE kind IN ('key', 'secret') \
                  ORDER BY id DESC LIMIT ?1) ORDER BY id";
    let row = |row: &rusqlite::Row<'_>| {
        Ok((
            unsigned(row, 0)?,
            row.get::<_, String>(1)? == "key",
            row.get::<_, Option<String>>(2)?,
            row.get::<_, Option<String>>(3)?,
        ))
    };
    let rows = query_all(file, select, [signed(MAX_STRETCHES)], row)?;
    // What stood before the oldest row that is left; where none is left of a kind, what holds now always did.
    let oldest = |of_key: bool, kind: &str| match rows.iter().find(|row| row.1 == of_key) {
        Some((_, _, before, _)) => Ok(before.clone()),
        None => store::state(file, kind).map(|state| state.map(|(value, _)| value)),
    };
    let (mut key, mut secret) = (oldest(true, "key")?, oldest(false, "secret")?);
    let mut all: Vec<Stretch> = Vec::new();
    push(&mut all, 0, key.as_ref(), secret.as_ref());
    for (ms, of_key, _, after) in rows {
        *(if of_key { &mut key } else { &mut secret }) = after;
        push(&mut all, ms, key.as_ref(), secret.as_ref());
    }
    Ok(all)
}

fn push(all: &mut Vec<Stretch>, since_ms: u64, key: Option<&String>, secret: Option<&String>) {
    let (Some(key_fp), Some(secret)) = (key, secret) else {
        return;
    };
    // The second half of the same start.
    all.pop_if(|last| last.since_ms == since_ms);
    all.push(Stretch {
        since_ms,
        key_fp: key_fp.clone(),
        secret: secret.clone(),
    });
}

/// How the last of them came about.
fn story(stretches: &[Stretch], accepted: &[u64]) -> Option<PairStory> {
    let mut whole: Vec<(Origin, &Stretch)> = Vec::new();
    let mut found = None;
    let mut previous = None;
    for (position, stretch) in stretches.iter().enumerate() {
        let until_ms = stretches
            .get(position + 1)
            .map_or(u64::MAX, |next| next.since_ms);
        let proven = accepted
            .iter()
            .any(|ms| (stretch.since_ms..until_ms).contains(ms));
        let (origin, beside) = if proven {
            (Origin::Proven, None)
        } else {
            came_about(&whole, previous, stretch)
        };
        if !matches!(origin, Origin::Half { .. }) {
            whole.retain(|(_, known)| !known.same_pair(stretch));
            whole.push((origin, stretch));
        }
        let beside = beside.map(|other| other.key_fp.clone());
        found = Some(PairStory {
            origin,
            since_ms: stretch.since_ms,
            beside,
        });
        previous = Some(stretch);
    }
    found
}

/// How a pair that was not accepted itself came about, and the whole pair that it shares a half with.
fn came_about<'s>(
    whole: &[(Origin, &'s Stretch)],
    previous: Option<&Stretch>,
    pair: &Stretch,
) -> (Origin, Option<&'s Stretch>) {
    let Some((origin, last)) = whole.last() else {
        return (Origin::First, None);
    };
    if last.same_pair(pair) {
        return (*origin, None);
    }
    if whole.iter().any(|(_, known)| known.same_pair(pair)) {
        return (Origin::Replaced, None);
    }
    let sharing = || {
        whole
            .iter()
            .rev()
            .filter(|(_, known)| known.shares_one_half(pair))
    };
    let worked = sharing().find(|(origin, _)| *origin == Origin::Proven);
    if let Some((origin, known)) = worked.or_else(|| sharing().next()) {
        let replaced = if known.same_secret(pair) {
            Half::Key
        } else {
            Half::Secret
        };
        return (
            Origin::Half {
                replaced,
                worked: *origin == Origin::Proven,
            },
            Some(known),
        );
    }
    let at_once = previous.is_none_or(|before| !before.same_key(pair) && !before.same_secret(pair));
    (
        if at_once {
            Origin::Replaced
        } else {
            Origin::TwoStarts
        },
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "K1S1* K2S1": pairs one after the other; a star where a call was accepted.
    fn origin(tale: &str) -> (Origin, Option<String>) {
        let (mut stretches, mut accepted) = (Vec::new(), Vec::new());
        for (since_ms, pair) in (0..).step_by(10).zip(tale.split(' ')) {
            if pair.ends_with('*') {
                accepted.push(since_ms + 5);
            }
            let (key, secret) = pair.trim_end_matches('*').split_at(2);
            stretches.push(Stretch {
                since_ms,
                key_fp: key.into(),
                secret: secret.into(),
            });
        }
        let story = story(&stretches, &accepted).unwrap();
        (story.origin, story.beside)
    }

    fn half(replaced: Half, worked: bool, beside: &str) -> (Origin, Option<String>) {
        (Origin::Half { replaced, worked }, Some(beside.to_owned()))
    }

    #[test]
    fn one_half_that_was_replaced_is_half_a_rotation_however_often() {
        assert_eq!(origin("K1S1* K2S1"), half(Half::Key, true, "K1"));
        assert_eq!(origin("K1S1* K1S2"), half(Half::Secret, true, "K1"));
        assert_eq!(origin("K1S1* K2S1 K3S1"), half(Half::Key, true, "K1"));
        assert_eq!(origin("K1S1 K2S1"), half(Half::Key, false, "K1"));
        assert_eq!(origin("K1S1 K1S2"), half(Half::Secret, false, "K1"));
    }

    #[test]
    fn both_halves_at_two_starts_may_be_of_one_creation() {
        for tale in [
            "K1S1* K1S2 K2S2",
            "K1S1* K2S1 K2S2",
            "K1S1 K1S2 K2S2",
            "K1S1 K2S1 K2S2",
        ] {
            assert_eq!(origin(tale), (Origin::TwoStarts, None), "{tale}");
        }
        assert_eq!(origin("K1S1* K2S2"), (Origin::Replaced, None));
    }

    #[test]
    fn a_secret_that_stood_beside_another_key_in_a_whole_pair_is_half_a_rotation_however_long_ago()
    {
        assert_eq!(origin("K1S1* K2S2* K3S1"), half(Half::Key, true, "K1"));
        assert_eq!(origin("K1S1 K2S2 K3S1"), half(Half::Key, false, "K1"));
        assert_eq!(origin("K1S1* K2S2 K3S2"), half(Half::Key, false, "K2"));
        assert_eq!(origin("K1S1* K1S2 K2S2 K3S2"), half(Half::Key, false, "K2"));
        // The pair that worked tells more than the one that did not.
        assert_eq!(origin("K1S1* K2S2 K1S2"), half(Half::Secret, true, "K1"));
    }

    #[test]
    fn a_pair_that_was_accepted_is_right_whatever_came_before_and_after() {
        for tale in [
            "K1S1*",
            "K1S1 K1S2*",
            "K1S1* K2S1 K1S1",
            "K1S1* K1S2 K2S2*",
            "K1S1* K1S2* K1S2",
        ] {
            assert_eq!(origin(tale), (Origin::Proven, None), "{tale}");
        }
        assert_eq!(origin("K1S1"), (Origin::First, None));
        assert_eq!(origin("K1S1* K2S2 K2S1 K2S2"), (Origin::Replaced, None));
        assert_eq!(
            origin("K1S1* K2S2* K1S1"),
            (Origin::Replaced, None),
            "back to a pair that may be revoked"
        );
    }
}
