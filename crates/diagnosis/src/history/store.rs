//! The open file: writes batches of calls and events, each batch in one transaction.
//!
//! Guarantees: after an error nothing of the batch is in the file, and the store is not used again; calls beyond the
//! number and the age that are kept go, a bounded number with each batch, and those that were not sent push out no other;
//! refused ones that go are counted on; changes and marks stay. Does not: wait, retry
//! or count what is lost; that is the writer's.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use uuid::Uuid;

use super::{
    HistoryEvent, Settings,
    milestone::{self, Milestone, Milestones},
    schema::{self, Identity, Problem, query_all, signed, unsigned},
};
use crate::verdict::Verdict;
use gateway::{observed::ClockSkew, outcome::Outcome, record::CallReport};

/// Methods that marks are kept for; a caller can invent names.
const MAX_METHODS: usize = 512;
/// Changes that are kept: years of them, and an end to a service that starts and stops all night.
const MAX_CHANGES: i64 = 20_000;
/// Old calls that go with one batch, at least; more where a batch is larger, or the file would grow.
const TRIMMED_AT_ONCE: i64 = 4000;
/// Calls that were not sent, and counts of refusals, that are kept; where fewer calls are kept, so are of these.
const MAX_UNSENT: usize = 100_000;
/// A skew that moved by more than this, beyond its uncertainty, is a jump; in milliseconds.
const SKEW_JUMP_MS: u64 = 5000;

/// Words that are told apart.
const MAX_WORDS: usize = 4096;
/// From so many on it is worth looking for those that are no longer used.
const MANY: usize = MAX_WORDS / 2;
/// What stands for every further one.
const OTHER: &str = "(other)";

/// What is written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) calls: Vec<(u64, Arc<CallReport>)>,
    pub(super) events: Vec<(u64, HistoryEvent)>,
}

/// The file, open.
pub(super) struct Store {
    pub(super) connection: Connection,
    identity: Identity,
    settings: Settings,
    words: Words,
    marks: HashMap<String, Milestones>,
    skew: Option<i64>,
}

impl Store {
    /// Opens or makes the file; one that is damaged is set aside, which is said.
    pub(super) fn open(path: &Path, settings: Settings) -> Result<Self, Problem> {
        match Self::attempt(path, settings) {
            Err(problem) if problem.is_damage() => {
                schema::set_aside(path)?;
                tracing::warn!(
                    "the history is damaged ({problem}): it is set aside, and a new one begins"
                );
                Self::attempt(path, settings)
            }
            opened => opened,
        }
    }

    fn attempt(path: &Path, settings: Settings) -> Result<Self, Problem> {
        let connection = schema::open(path)?;
        let identity = schema::identity(path)?;
        let marks = milestone::load(&connection)?;
        let words = Words::load(&connection)?;
        let skew = state(&connection, "skew")?.and_then(|(value, _)| value.parse().ok());
        Ok(Self {
            connection,
            identity,
            settings,
            words,
            marks,
            skew,
        })
    }

    /// Whether the file that is open still stands at `path`; SQLite would go on writing to one that was deleted.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        schema::identity(path).is_ok_and(|identity| identity == self.identity)
    }

    /// Writes a batch.
    pub(super) fn write(&mut self, batch: &Batch, now_ms: u64) -> Result<(), Problem> {
        let Self {
            connection,
            settings,
            words,
            marks,
            skew,
            ..
        } = self;
        let transaction = connection.transaction()?;
        let mut touched = HashSet::new();
        let sent = |(_, report): &&(u64, Arc<CallReport>)| was_sent(report);
        write_calls(&transaction, words, "call", batch.calls.iter().filter(sent))?;
        let unsent = batch.calls.iter().filter(|call| !sent(call));
        write_calls(&transaction, words, "unsent_call", unsent)?;
        for (ms, report) in &batch.calls {
            note_method(&transaction, marks, &mut touched, *ms, report)?;
            note_skew(&transaction, skew, *ms, report.skew)?;
        }
        save_marks(&transaction, marks, &touched)?;
        for (ms, event) in &batch.events {
            write_event(&transaction, *ms, event)?;
        }
        trim(&transaction, *settings, batch.calls.len(), now_ms)?;
        transaction.commit()?;
        Ok(())
    }
}

/// Whether the exchange may have seen it.
fn was_sent(report: &CallReport) -> bool {
    matches!(report.outcome, Outcome::Answered | Outcome::Unknown)
}

fn write_calls<'c>(
    file: &Transaction<'_>,
    words: &mut Words,
    table: &str,
    calls: impl Iterator<Item = &'c (u64, Arc<CallReport>)>,
) -> rusqlite::Result<()> {
    let mut insert = file.prepare(&format!(
        "INSERT INTO {table} (ms, rid, caller, method, class, code, status, outcome, why, verdict, exchange_ms, total_ms, \
         key_fp, address, nonce, sent_id) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    ))?;
    for (ms, report) in calls {
        let address = report
            .outbound
            .as_ref()
            .map(|seen| seen.address.to_string());
        let mut word = |text: Option<&str>| text.map(|text| words.number(file, text)).transpose();
        let caller = word(Some(&report.caller))?;
        let method = word(report.method.as_deref())?;
        let class = word(report.class.map(catalogue::methods::Class::name))?;
        let outcome = word(Some(report.outcome.word()))?;
        let why = word(report.why)?;
        let verdict = word(milestone::stored_word(Verdict::of(report)))?;
        let key = word(Some(&report.key_fingerprint))?;
        let address = word(address.as_deref())?;
        let millis =
            |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let (exchange, total) = (millis(report.exchange), millis(report.total));
        let nonce = report.nonce.map(signed);
        let sent_id = nonce.map(|_| signed(report.id));
        let (ms, rid, code, status) = (signed(*ms), Rid(&report.rid), report.code, report.status);
        insert.execute(params![
            ms, rid, caller, method, class, code, status, outcome, why, verdict, exchange, total,
            key, address, nonce, sent_id
        ])?;
    }
    Ok(())
}

/// A request id of ours is a UUID, and takes 16 bytes in place of 32.
struct Rid<'a>(&'a str);

impl rusqlite::ToSql for Rid<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(match Uuid::try_parse(self.0) {
            Ok(uuid) if self.0 == uuid.simple().to_string() => uuid.as_bytes().to_vec().into(),
            _ => self.0.into(),
        })
    }
}

fn note_method(
    file: &Transaction<'_>,
    marks: &mut HashMap<String, Milestones>,
    touched: &mut HashSet<String>,
    ms: u64,
    report: &CallReport,
) -> rusqlite::Result<()> {
    let verdict = Verdict::of(report);
    let Some(method) = report
        .method
        .as_deref()
        .filter(|_| milestone::stored_word(verdict).is_some())
    else {
        return Ok(());
    };
    if !marks.contains_key(method) {
        if marks.len() >= MAX_METHODS {
            return Ok(());
        }
        change(file, ms, "method", None, Some(method))?;
    }
    marks
        .entry(method.to_owned())
        .or_default()
        .note(verdict, || Milestone::of(ms, report));
    touched.insert(method.to_owned());
    Ok(())
}

fn note_skew(
    file: &Transaction<'_>,
    known: &mut Option<i64>,
    ms: u64,
    skew: Option<ClockSkew>,
) -> rusqlite::Result<()> {
    let Some(skew) = skew else { return Ok(()) };
    let jumped = match *known {
        Some(known) => known.abs_diff(skew.offset_ms) > SKEW_JUMP_MS + skew.uncertainty_ms,
        None => skew.is_large(),
    };
    if jumped {
        let before = known.map(|known| known.to_string());
        let after = skew.offset_ms.to_string();
        change(file, ms, "skew", before.as_deref(), Some(&after))?;
        set_state(file, ms, "skew", &after)?;
    } else if known.is_none() {
        set_state(file, ms, "skew", &skew.offset_ms.to_string())?;
    }
    if jumped || known.is_none() {
        *known = Some(skew.offset_ms);
    }
    Ok(())
}

fn write_event(file: &Transaction<'_>, ms: u64, event: &HistoryEvent) -> rusqlite::Result<()> {
    match event {
        HistoryEvent::Address(address) => {
            compare(file, ms, "address", &address.to_string()).map(drop)
        }
        HistoryEvent::Stop => change(file, ms, "stop", None, Some(env!("CARGO_PKG_VERSION"))),
        HistoryEvent::Lost(calls) => change(file, ms, "lost", None, Some(&calls.to_string())),
        HistoryEvent::Refused { why, count } => file
            .execute(
                "INSERT INTO refused (minute_ms, why, count) VALUES (?1, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET count = count + excluded.count",
                params![signed(ms - ms % 60_000), why, signed(*count)],
            )
            .map(drop),
        HistoryEvent::RefusedCalls(refusals) => file
            .execute(
                "INSERT INTO refused_call (minute_ms, caller, why, count) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO UPDATE SET count = count + excluded.count",
                params![
                    signed(ms - ms % 60_000),
                    &*refusals.caller,
                    refusals.why,
                    signed(refusals.count)
                ],
            )
            .map(drop),
    }
}

/// Writes a change.
pub(super) fn change(
    file: &Transaction<'_>,
    ms: u64,
    kind: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> rusqlite::Result<()> {
    let row = params![signed(ms), kind, before, after];
    file.execute(
        "INSERT INTO change (ms, kind, before, after) VALUES (?1, ?2, ?3, ?4)",
        row,
    )
    .map(drop)
}

/// Takes a value for the one that holds now; a change where it was another. Since when it holds.
pub(super) fn compare(
    file: &Transaction<'_>,
    ms: u64,
    kind: &str,
    value: &str,
) -> rusqlite::Result<u64> {
    let before = state(file, kind)?;
    if let Some((_, since)) = before.as_ref().filter(|(before, _)| before == value) {
        return Ok(*since);
    }
    change(
        file,
        ms,
        kind,
        before.as_ref().map(|(before, _)| before.as_str()),
        Some(value),
    )?;
    set_state(file, ms, kind, value)?;
    Ok(ms)
}

/// What holds now, and since when.
pub(super) fn state(file: &Connection, kind: &str) -> rusqlite::Result<Option<(String, u64)>> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, unsigned(row, 1)?));
    file.query_row(
        "SELECT value, since_ms FROM state WHERE kind = ?1",
        [kind],
        row,
    )
    .optional()
}

/// The random bytes of this installation, once it has any.
pub(super) fn salt(file: &Connection) -> rusqlite::Result<Option<[u8; 32]>> {
    file.query_row("SELECT salt FROM installation", [], |row| row.get(0))
        .optional()
}

/// The number of the secret with this digest, where it stood here before.
pub(super) fn secret_number(file: &Connection, digest: &str) -> rusqlite::Result<Option<i64>> {
    let select = "SELECT id FROM secret WHERE digest = ?1";
    file.query_row(select, [digest], |row| row.get(0))
        .optional()
}

fn set_state(file: &Transaction<'_>, ms: u64, kind: &str, value: &str) -> rusqlite::Result<()> {
    let row = params![kind, value, signed(ms)];
    file.execute(
        "INSERT OR REPLACE INTO state (kind, value, since_ms) VALUES (?1, ?2, ?3)",
        row,
    )
    .map(drop)
}

fn save_marks(
    file: &Transaction<'_>,
    marks: &mut HashMap<String, Milestones>,
    touched: &HashSet<String>,
) -> rusqlite::Result<()> {
    let mut insert =
        file.prepare("INSERT INTO mark VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
    for method in touched {
        let Some(marks) = marks.get_mut(method) else {
            continue;
        };
        file.execute("DELETE FROM mark WHERE method = ?1", [method])?;
        for (name, mark) in marks.named() {
            let Some(mark) = mark else { continue };
            insert.execute(params![
                method,
                name,
                signed(mark.ms),
                mark.rid,
                mark.key_fp,
                mark.address,
                mark.status,
                mark.code,
                mark.outcome,
                mark.why
            ])?;
        }
    }
    Ok(())
}

fn trim(
    file: &Transaction<'_>,
    settings: Settings,
    written: usize,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let at_once = TRIMMED_AT_ONCE.max(i64::try_from(written).unwrap_or(i64::MAX).saturating_mul(2));
    let oldest_ms = signed(now_ms)
        .saturating_sub(i64::try_from(settings.max_age.as_millis()).unwrap_or(i64::MAX));
    let kept = |calls: usize| i64::try_from(calls).unwrap_or(i64::MAX);
    let max_unsent = kept(settings.max_calls.min(MAX_UNSENT));
    // Ids have no gaps but at the old end, so the newest tells where the oldest may be.
    let surplus = |table: &str| {
        format!(
            "id <= (SELECT max(id) FROM {table}) - ?1 AND id < (SELECT min(id) FROM {table}) + ?2"
        )
    };
    file.execute(
        &format!("DELETE FROM call WHERE {}", surplus("call")),
        [kept(settings.max_calls), at_once],
    )?;
    // A refused call that goes is one more of those without a row.
    let count_on = format!(
        "INSERT INTO refused_call (minute_ms, caller, why, count) \
         SELECT ms - ms % 60000, (SELECT word FROM word WHERE word.id = caller), (SELECT word FROM word WHERE word.id = why), \
         count(*) FROM unsent_call WHERE {} AND outcome = (SELECT id FROM word WHERE word = 'refused') GROUP BY 1, 2, 3 \
         ON CONFLICT DO UPDATE SET count = count + excluded.count",
        surplus("unsent_call")
    );
    file.execute(&count_on, [max_unsent, at_once])?;
    file.execute(
        &format!("DELETE FROM unsent_call WHERE {}", surplus("unsent_call")),
        [max_unsent, at_once],
    )?;
    for table in ["call", "unsent_call"] {
        let delete = format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE ms < ?1 ORDER BY ms LIMIT ?2)"
        );
        file.execute(&delete, [oldest_ms, at_once])?;
    }
    file.execute("DELETE FROM refused_call WHERE minute_ms < ?1", [oldest_ms])?;
    file.execute(
        "DELETE FROM refused_call WHERE id <= (SELECT max(id) FROM refused_call) - ?1",
        [kept(MAX_UNSENT)],
    )?;
    file.execute("DELETE FROM refused WHERE minute_ms < ?1", [oldest_ms])?;
    file.execute(
        "DELETE FROM change WHERE id <= (SELECT max(id) FROM change) - ?1",
        [MAX_CHANGES],
    )
    .map(drop)
}

/// The texts that calls repeat, each stored once and named by a number.
///
/// Bounded, in the file and in memory: a caller can invent method names, and beyond the bound they share one word. Words
/// that no call uses any more go when the file is opened, once there are many.
struct Words(HashMap<String, i64>);

impl Words {
    /// The words of the file.
    fn load(file: &Connection) -> Result<Self, Problem> {
        let all = read_words(file)?;
        if all.len() < MANY {
            return Ok(Self(all));
        }
        file.execute_batch(
            "DELETE FROM word WHERE id NOT IN (
                WITH kept AS (SELECT * FROM call UNION ALL SELECT * FROM unsent_call)
                SELECT caller FROM kept UNION SELECT method FROM kept WHERE method NOT NULL
                UNION SELECT class FROM kept WHERE class NOT NULL UNION SELECT outcome FROM kept
                UNION SELECT why FROM kept WHERE why NOT NULL UNION SELECT verdict FROM kept WHERE verdict NOT NULL
                UNION SELECT key_fp FROM kept UNION SELECT address FROM kept WHERE address NOT NULL)",
        )?;
        read_words(file).map(Self)
    }

    /// The number of a word, new or known.
    fn number(&mut self, file: &Connection, word: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.0.get(word) {
            return Ok(*number);
        }
        if self.0.len() >= MAX_WORDS && word != OTHER {
            return self.number(file, OTHER);
        }
        file.execute("INSERT INTO word (word) VALUES (?1)", params![word])?;
        let number = file.last_insert_rowid();
        self.0.insert(word.to_owned(), number);
        Ok(number)
    }
}

fn read_words(file: &Connection) -> Result<HashMap<String, i64>, Problem> {
    let words = query_all(file, "SELECT word, id FROM word", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(words.into_iter().collect())
}
