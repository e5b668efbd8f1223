//! What stands at a start of the daemon, compared with what stood before.
//!
//! Guarantees: each change has its time and both values; a secret is known by its number and a keyed digest, so that
//! the same secret beside another key is seen however long ago; a run that ended without a stop (`kill -9`, a power
//! cut) leaves a gap that is named. Does not: say what a change means; that is for the hints and the diagnosis.

use rusqlite::{OptionalExtension, Transaction, params};
use text::time::rfc3339_ms;

use super::{
    rotations,
    schema::{Problem, signed},
    store::{self, Store, change, compare},
};
use crate::key_pairs::{Origin, PairChange, PairFacts};
use gateway::secret::Credentials;

/// What this daemon runs with.
#[derive(Debug)]
pub struct Start {
    /// The pair that signs; kept for a file that can be used only later.
    pub credentials: Credentials,
    /// The exchange.
    pub base_url: String,
    /// A digest of the effective settings.
    pub configuration: String,
}

/// Whether a beginning is of a process, or of a file that could not be used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    Process,
    FileAgain,
}

/// Takes in what this daemon runs with.
pub(super) fn begin(
    store: &mut Store,
    start: &Start,
    now_ms: u64,
    beginning: Beginning,
) -> Result<PairFacts, Problem> {
    let transaction = store.connection.transaction()?;
    if beginning == Beginning::Process {
        note_gap(&transaction, now_ms)?;
        change(
            &transaction,
            now_ms,
            "start",
            None,
            Some(env!("CARGO_PKG_VERSION")),
        )?;
    }
    compare(&transaction, now_ms, "version", env!("CARGO_PKG_VERSION"))?;
    let base_since_ms = compare(&transaction, now_ms, "base_url", &start.base_url)?;
    compare(&transaction, now_ms, "configuration", &start.configuration)?;
    let mut facts = note_pair(&transaction, &start.credentials, now_ms)?;
    let accepted_ms = rotations::accepted(&transaction)?.into_iter().max();
    facts.asked_elsewhere = accepted_ms.is_some_and(|accepted_ms| accepted_ms < base_since_ms);
    transaction.commit()?;
    Ok(facts)
}

fn note_gap(file: &Transaction<'_>, now_ms: u64) -> rusqlite::Result<()> {
    let last = "SELECT kind FROM change WHERE kind IN ('start', 'stop') ORDER BY id DESC LIMIT 1";
    let last: Option<String> = file.query_row(last, [], |row| row.get(0)).optional()?;
    if last.as_deref() != Some("start") {
        return Ok(());
    }
    let known = "SELECT max((SELECT coalesce(max(ms), 0) FROM call), (SELECT coalesce(max(ms), 0) FROM unsent_call), \
                 (SELECT coalesce(max(ms), 0) FROM change))";
    let known: i64 = file.query_row(known, [], |row| row.get(0))?;
    let since = rfc3339_ms(known.unsigned_abs());
    change(
        file,
        now_ms,
        "gap",
        Some(&since),
        Some("the run before ended without a stop; its last second may be missing"),
    )
}

fn note_pair(
    file: &Transaction<'_>,
    credentials: &Credentials,
    now_ms: u64,
) -> Result<PairFacts, Problem> {
    let key = credentials.key.fingerprint();
    let digest = credentials.secret.keyed_digest(&salt(file, now_ms)?);
    let number = match store::secret_number(file, &digest)? {
        Some(number) => number,
        None => {
            file.execute(
                "INSERT INTO secret (digest, since_ms) VALUES (?1, ?2)",
                params![digest, signed(now_ms)],
            )?;
            file.last_insert_rowid()
        }
    };
    let secret = number.to_string();
    let before = store::state(file, "key")?.zip(store::state(file, "secret")?);
    let what = match before {
        None => PairChange::First,
        Some(((known_key, _), (known_secret, _))) => {
            PairChange::of(known_key == key, known_secret == secret)
        }
    };
    let key_since = compare(file, now_ms, "key", &key)?;
    let secret_since = compare(file, now_ms, "secret", &secret)?;
    file.execute(
        "INSERT INTO pair (key_fp, secret, first_ms, last_ms) VALUES (?1, ?2, ?3, ?3) \
         ON CONFLICT DO UPDATE SET last_ms = excluded.last_ms",
        params![key, number, signed(now_ms)],
    )?;
    let origin =
        rotations::story_of(file, None, now_ms)?.map_or(Origin::First, |story| story.origin);
    Ok(PairFacts {
        change: what,
        since: key_since.max(secret_since),
        origin,
        asked_elsewhere: false,
    })
}

/// The random bytes of this installation, made at its first start.
fn salt(file: &Transaction<'_>, now_ms: u64) -> Result<[u8; 32], Problem> {
    if let Some(salt) = store::salt(file)? {
        return Ok(salt);
    }
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|_| std::io::Error::other("no random numbers"))?;
    file.execute(
        "INSERT INTO installation (since_ms, salt) VALUES (?1, ?2)",
        params![signed(now_ms), salt],
    )?;
    Ok(salt)
}
