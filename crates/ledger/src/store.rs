//! The open journal: rows in and out, each batch in one transaction.
//!
//! Guarantees: after [`Store::roll_back`] nothing of the batch is in the file. What has ended goes after its time, a bounded
//! number of rows with each batch; what is open never goes. Does not: decide what becomes of an attempt; that is
//! `rules`.

use std::{collections::HashSet, path::Path, time::Duration};

use bytes::Bytes;
use gateway::ledger::{
    Account, Attempt, Digest, EntryLeg, Intent, Kind, Leg, LegEnd, Listing, State, Stored,
};
use rusqlite::{Connection, OptionalExtension, Params, params, types::Type};
use uuid::Uuid;

use crate::{
    Settings,
    rules::{Ended, Keep, Row},
    schema::{self, Identity, Problem},
    times::{Now, millis},
};

/// Rows that go with one batch, beside twice as many as it writes.
const TRIMMED_AT_ONCE: usize = 8;
/// What an attempt is kept for, as the file says it.
const NOTE: i64 = 1;
const LONG: i64 = 2;
const FREE: i64 = 3;
/// So often it is written down that an order was seen open.
const SEEN_EVERY_MS: i64 = 24 * 3_600_000;
/// For so long it counts which orders were open.
const TOLD_FOR_MS: i64 = 2 * SEEN_EVERY_MS;
/// Entries of one list.
const MOST_LISTED: usize = 1000;

type Result<T> = rusqlite::Result<T>;

/// The file, open.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) connection: Connection,
    identity: Option<Identity>,
    /// When it was opened, by the machine's uptime.
    opened_up: u64,
    /// How long daemons had had it open before.
    ran_before: u64,
    tally: Tally,
    /// The same as of the last commit.
    committed: Tally,
}

/// What is counted rather than asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Bytes of all answers.
    answers: u64,
    /// Attempts that are kept shortly: that took something back, and that hold nothing.
    notes: u64,
    free: u64,
    /// Whose open orders somebody told last, and when.
    told: Option<(i64, i64)>,
    /// Rows that the batch wrote.
    wrote: usize,
}

impl Store {
    /// Opens or makes the file; `None`: one in memory.
    pub(crate) fn open(path: Option<&Path>, now: Now) -> std::result::Result<Self, Problem> {
        let connection = match path {
            Some(path) => schema::open_or_make(path)?,
            None => schema::in_memory()?,
        };
        let identity = path.map(schema::identity).transpose()?;
        let mut store = Self {
            connection,
            identity,
            opened_up: now.up_ms,
            ran_before: 0,
            tally: Tally::default(),
            committed: Tally::default(),
        };
        let answers = "SELECT coalesce(sum(length(body)), 0) FROM answer";
        store.tally.answers = unsigned(store.one(answers, [])?);
        let kept = "SELECT count(*) FROM attempt WHERE keep = ?1 AND keep > 0";
        store.tally.notes = unsigned(store.one(kept, [NOTE])?);
        store.tally.free = unsigned(store.one(kept, [FREE])?);
        // What ended last tells how long the daemon had run by then.
        let ended = "SELECT coalesce(max(ended_ran), 0) FROM attempt INDEXED BY attempt_keep WHERE keep > 0 AND keep = ?";
        let mut ran = store.one("SELECT ran_ms FROM journal", [])?;
        for keep in [NOTE, LONG, FREE] {
            ran = ran.max(store.one(ended, [keep])?);
        }
        store.ran_before = unsigned(ran);
        store.committed = store.tally;
        Ok(store)
    }

    /// The file as it stands, only to be read.
    pub(crate) fn read(path: &Path, now: Now) -> std::result::Result<Self, Problem> {
        let connection = schema::open(path)?;
        connection.execute_batch("PRAGMA query_only = ON")?;
        Ok(Self {
            connection,
            identity: None,
            opened_up: now.up_ms,
            ran_before: 0,
            tally: Tally::default(),
            committed: Tally::default(),
        })
    }

    /// Whether the file that is open still stands at `path`; SQLite would go on writing to one that was deleted.
    pub(crate) fn is_at(&self, path: Option<&Path>) -> bool {
        path.is_none_or(|path| schema::identity(path).ok() == self.identity)
    }

    /// From now on the file and its log belong together, until it is closed.
    pub(crate) fn mark_open(&self) -> Result<()> {
        schema::mark_open(&self.connection)
    }

    /// Closes it in order.
    pub(crate) fn close(self) -> Result<()> {
        schema::close(self.connection)
    }

    pub(crate) fn begin(&mut self) -> Result<()> {
        self.tally.wrote = 0;
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])
            .map(drop)
    }

    /// Commits the batch; whether it wrote anything, which then is on the disk.
    pub(crate) fn commit(&mut self) -> Result<bool> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.committed = self.tally;
        Ok(self.tally.wrote > 0)
    }

    pub(crate) fn roll_back(&mut self) {
        // SQLite has done so by itself where it could not go on.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.tally = self.committed;
    }

    /// Writes something, to find out whether that is possible.
    pub(crate) fn probe(&mut self, now: Now) -> Result<()> {
        self.write(
            "UPDATE journal SET written_ms = ?1, ran_ms = ?2",
            [signed(now.wall_ms), self.ran(now.up_ms)],
        )
    }

    /// How long daemons had the file open in all, at this time of this one's.
    fn ran(&self, up_ms: u64) -> i64 {
        signed(self.ran_before + up_ms.saturating_sub(self.opened_up))
    }

    /// The attempts that hold one of the names of what somebody wants to begin.
    pub(crate) fn holders(&self, intent: &Intent) -> Result<Vec<Row>> {
        let names = intent.legs.iter().filter_map(|leg| leg.name.as_ref());
        let mut ids = HashSet::new();
        for (kind, name) in names {
            ids.extend(self.optional::<i64>(
                "SELECT leg.attempt FROM leg JOIN account ON account.id = leg.account \
                 WHERE leg.name = ?1 AND leg.state < 2 AND leg.kind = ?2 AND account.environment = ?3 AND account.name = ?4",
                params![name, kind.word(), intent.account.environment, intent.account.name],
            )?);
        }
        ids.into_iter().map(|id| self.row(id)).collect()
    }

    /// Whether one of these names was used by an attempt that was not sent, or never arrived, as far as we know.
    pub(crate) fn were_released(&self, intent: &Intent) -> Result<bool> {
        for (kind, name) in intent.legs.iter().filter_map(|leg| leg.name.as_ref()) {
            let found = self.optional::<i64>(
                "SELECT 1 FROM leg INDEXED BY leg_unsent WHERE name = ?1 AND kind = ?2 AND state = 2 AND code = 0 \
                 AND account = (SELECT id FROM account WHERE environment = ?3 AND name = ?4) LIMIT 1",
                params![
                    name,
                    kind.word(),
                    intent.account.environment,
                    intent.account.name
                ],
            )?;
            if found.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One attempt, by its own name.
    pub(crate) fn find(&self, attempt: Attempt) -> Result<Option<Row>> {
        let id = self.optional::<i64>(
            "SELECT id FROM attempt WHERE attempt = ?",
            [attempt.0.as_bytes()],
        )?;
        id.map(|id| self.row(id)).transpose()
    }

    /// Whose names were used up within this time.
    pub(crate) fn names_of_late(
        &self,
        time: Duration,
        now: Now,
    ) -> Result<Vec<(Account, String, Kind, String)>> {
        let mut select = self.connection.prepare(
            "SELECT account.environment, account.name, attempt.caller, leg.kind, leg.name \
             FROM attempt INDEXED BY attempt_keep JOIN leg ON leg.attempt = attempt.id \
             JOIN account ON account.id = leg.account \
             WHERE attempt.keep = 2 AND attempt.keep > 0 AND attempt.ended_ran >= ?1 AND leg.name IS NOT NULL AND leg.state < 2",
        )?;
        let names = select.query_map([self.ran(now.up_ms) - signed(millis(time))], |row| {
            let account = Account {
                environment: row.get::<_, String>(0)?.into(),
                name: row.get::<_, String>(1)?.into(),
            };
            let kind = Kind::from_word(&row.get::<_, String>(3)?).unwrap_or(Kind::Order);
            Ok((account, row.get(2)?, kind, row.get(4)?))
        })?;
        names.collect()
    }

    /// Those that are open.
    pub(crate) fn open_rows(&self) -> Result<Vec<Row>> {
        self.rows(
            "SELECT id FROM attempt INDEXED BY attempt_open WHERE ended_ms IS NULL",
            [],
        )
    }

    /// Those of an account that it is time to look after, the longest waiting first.
    pub(crate) fn due(&self, account: &Account, most: usize, now: Now) -> Result<Vec<Row>> {
        let Some(account) = self.account_id(account)? else {
            return Ok(Vec::new());
        };
        self.rows(
            "SELECT id FROM attempt INDEXED BY attempt_open WHERE ended_ms IS NULL AND account = ?1 AND look_up <= ?2 \
             ORDER BY look_up LIMIT ?3",
            [account, signed(now.up_ms), signed_size(most)],
        )
    }

    /// Those that somebody asks for, the newest first.
    pub(crate) fn list(&self, listing: &Listing) -> Result<Vec<Row>> {
        let Listing {
            caller,
            name,
            open,
            most,
        } = listing;
        let most = signed_size((*most).min(MOST_LISTED));
        if let Some(name) = name {
            return self.rows(
                "SELECT id FROM attempt WHERE id IN (\
                   SELECT attempt FROM leg WHERE name = ?1 AND state < 2 \
                   UNION SELECT attempt FROM (SELECT attempt FROM leg INDEXED BY leg_released \
                     WHERE name = ?1 AND state = 2 ORDER BY attempt DESC LIMIT 1000) \
                   UNION SELECT attempt FROM leg WHERE order_id = ?1 \
                   UNION SELECT id FROM attempt INDEXED BY attempt_open WHERE ended_ms IS NULL AND rid = ?1) \
                 AND (?2 IS NULL OR caller = ?2) AND (?3 = 0 OR ended_ms IS NULL) ORDER BY id DESC LIMIT ?4",
                params![name, caller, open, most],
            );
        }
        if *open {
            return self.rows(
                "SELECT id FROM attempt INDEXED BY attempt_open WHERE ended_ms IS NULL \
                 AND (?1 IS NULL OR caller = ?1) ORDER BY id DESC LIMIT ?2",
                params![caller, most],
            );
        }
        match caller {
            Some(caller) => self.rows(
                "SELECT id FROM attempt INDEXED BY attempt_caller WHERE caller = ?1 ORDER BY id DESC LIMIT ?2",
                params![caller, most],
            ),
            None => self.rows("SELECT id FROM attempt ORDER BY id DESC LIMIT ?1", [most]),
        }
    }

    /// The answer of an attempt, where it is kept.
    pub(crate) fn answer(&self, id: i64) -> Result<Option<Stored>> {
        self.connection
            .prepare_cached("SELECT status, body FROM answer WHERE attempt = ?")?
            .query_row([id], |row| {
                Ok(Stored {
                    status: row.get(0)?,
                    body: Bytes::from(row.get::<_, Vec<u8>>(1)?),
                })
            })
            .optional()
    }

    fn rows(&self, select: &str, values: impl Params) -> Result<Vec<Row>> {
        let mut select = self.connection.prepare_cached(select)?;
        let ids = select.query_map(values, |row| row.get::<_, i64>(0))?;
        ids.map(|id| self.row(id?)).collect()
    }

    fn row(&self, id: i64) -> Result<Row> {
        let mut select = self.connection.prepare_cached(
            "SELECT a.attempt, c.environment, c.name, a.caller, a.method, a.digest, a.rid, a.state, a.is_note, a.code, \
             a.list_id, a.by_hand, a.begun_ms, a.boot, a.life_ms, a.dead_up, a.looked, a.look_up, a.ended_ms, a.ended_up, \
             EXISTS (SELECT 1 FROM answer WHERE answer.attempt = a.id) \
             FROM attempt a JOIN account c ON c.id = a.account WHERE a.id = ?",
        )?;
        let legs = self.legs(id)?;
        let targets = self.targets(id)?;
        select.query_row([id], |row| {
            let text = |column| row.get::<_, String>(column);
            let number = |column| row.get::<_, i64>(column).map(unsigned);
            let (ended_ms, ended_up) = (
                row.get::<_, Option<i64>>(18)?,
                row.get::<_, Option<i64>>(19)?,
            );
            Ok(Row {
                id,
                attempt: Attempt(Uuid::from_bytes(row.get(0)?)),
                account: Account {
                    environment: text(1)?.into(),
                    name: text(2)?.into(),
                },
                caller: text(3)?,
                method: text(4)?,
                digest: Digest(row.get(5)?),
                rid: text(6)?,
                state: State::from_word(&text(7)?).ok_or_else(|| unknown_word(7))?,
                is_note: row.get(8)?,
                code: row.get(9)?,
                list_id: row.get(10)?,
                by_hand: row.get(11)?,
                begun_ms: number(12)?,
                boot: Uuid::from_bytes(row.get(13)?),
                life_ms: number(14)?,
                dead_up: number(15)?,
                looked: row.get(16)?,
                look_up: row.get::<_, Option<i64>>(17)?.map(unsigned),
                ended: ended_ms.zip(ended_up).map(|(wall_ms, up_ms)| Ended {
                    wall_ms: unsigned(wall_ms),
                    up_ms: unsigned(up_ms),
                }),
                legs,
                targets,
                is_kept: row.get(20)?,
            })
        })
    }

    fn legs(&self, id: i64) -> Result<Vec<EntryLeg>> {
        let mut select = self.connection.prepare_cached(
            "SELECT kind, name, instrument, state, code, order_id FROM leg WHERE attempt = ? ORDER BY number",
        )?;
        let legs = select.query_map([id], |row| {
            let kind = row.get::<_, Option<String>>(0)?;
            let name = row.get::<_, Option<String>>(1)?;
            let kind = kind
                .map(|kind| Kind::from_word(&kind).ok_or_else(|| unknown_word(0)))
                .transpose()?;
            let end = match row.get::<_, i64>(3)? {
                0 => LegEnd::Open,
                1 => LegEnd::Executed {
                    order_id: row.get(5)?,
                },
                2 => LegEnd::Refused {
                    code: row.get::<_, Option<i64>>(4)?.unwrap_or_default(),
                },
                _ => return Err(unknown_word(3)),
            };
            Ok(EntryLeg {
                leg: Leg {
                    name: kind.zip(name),
                    instrument: row.get(2)?,
                },
                end,
            })
        })?;
        legs.collect()
    }

    fn targets(&self, id: i64) -> Result<Vec<String>> {
        let mut select = self
            .connection
            .prepare_cached("SELECT name FROM target WHERE attempt = ? ORDER BY number")?;
        let targets = select.query_map([id], |row| row.get(0))?;
        targets.collect()
    }

    /// Writes an attempt that begins. Where the file refuses it (its own name is there already), nothing of it is written.
    pub(crate) fn insert(&mut self, row: &Row) -> Result<()> {
        let account = self.account(&row.account)?;
        // First what can be refused.
        self.write(
            "INSERT INTO attempt (attempt, account, caller, method, digest, rid, state, is_note, begun_ms, boot, life_ms, \
             dead_up) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                row.attempt.0.as_bytes(), account, row.caller, row.method, row.digest.0, row.rid, row.state.word(),
                row.is_note, signed(row.begun_ms), row.boot.as_bytes(), signed(row.life_ms), signed(row.dead_up)
            ],
        )?;
        let id = self.connection.last_insert_rowid();
        for (number, leg) in row.legs.iter().enumerate() {
            let name = leg.leg.name.as_ref();
            let kind = name.map(|(kind, _)| kind.word());
            let name = name.map(|(_, name)| name);
            self.write(
                "INSERT INTO leg (attempt, number, account, kind, name, instrument) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id, signed_size(number), account, kind, name, leg.leg.instrument],
            )?;
        }
        for (number, target) in row.targets.iter().enumerate() {
            self.write(
                "INSERT INTO target (attempt, number, name) VALUES (?1, ?2, ?3)",
                params![id, signed_size(number), target],
            )?;
        }
        Ok(())
    }

    /// Writes what changed of an attempt, and the answer that it brought.
    pub(crate) fn save(&mut self, row: &Row, answer: Option<&Stored>) -> Result<()> {
        let keep = match row.keep() {
            Keep::Open => 0,
            Keep::Note => NOTE,
            Keep::Long => LONG,
            Keep::Free => FREE,
        };
        let ended_ran = row.ended.map(|ended| self.ran(ended.up_ms));
        self.write(
            "UPDATE attempt SET state = ?2, code = ?3, list_id = ?4, by_hand = ?5, boot = ?6, life_ms = ?7, dead_up = ?8, \
             looked = ?9, look_up = ?10, ended_ms = ?11, ended_up = ?12, keep = ?13, ended_ran = ?14 WHERE id = ?1",
            params![
                row.id, row.state.word(), row.code, row.list_id, row.by_hand, row.boot.as_bytes(), signed(row.life_ms),
                signed(row.dead_up), row.looked, row.look_up.map(signed), row.ended.map(|ended| signed(ended.wall_ms)),
                row.ended.map(|ended| signed(ended.up_ms)), keep, ended_ran
            ],
        )?;
        for (number, leg) in row.legs.iter().enumerate() {
            let (state, code, order_id) = match &leg.end {
                LegEnd::Open => continue,
                LegEnd::Executed { order_id } => (1, None, order_id.as_ref()),
                LegEnd::Refused { code } => (2, Some(code), None),
            };
            self.write(
                "UPDATE leg SET state = ?3, code = ?4, order_id = ?5 WHERE attempt = ?1 AND number = ?2",
                params![row.id, signed_size(number), state, code, order_id],
            )?;
        }
        match keep {
            NOTE => self.tally.notes += 1,
            FREE => self.tally.free += 1,
            _ => {}
        }
        // Where nothing holds a name, nobody is given the answer again.
        if let Some(answer) = answer.filter(|_| keep == LONG) {
            self.write(
                "INSERT INTO answer (attempt, status, body) VALUES (?1, ?2, ?3)",
                params![row.id, answer.status, &*answer.body],
            )?;
            self.tally.answers += answer.body.len() as u64;
        }
        Ok(())
    }

    fn account(&mut self, account: &Account) -> Result<i64> {
        if let Some(id) = self.account_id(account)? {
            return Ok(id);
        }
        self.write(
            "INSERT INTO account (environment, name) VALUES (?1, ?2)",
            [&*account.environment, &*account.name],
        )?;
        Ok(self.connection.last_insert_rowid())
    }

    fn account_id(&self, account: &Account) -> Result<Option<i64>> {
        self.optional(
            "SELECT id FROM account WHERE environment = ?1 AND name = ?2",
            [&*account.environment, &*account.name],
        )
    }

    /// Which orders of an account are open: what is known of them is kept from now on as if they had ended now.
    pub(crate) fn are_open(
        &mut self,
        account: &Account,
        orders: &[String],
        now: Now,
    ) -> Result<()> {
        let account = self.account(account)?;
        let ran = self.ran(now.up_ms);
        for order in orders {
            self.write(
                "UPDATE attempt SET ended_ran = ?1 WHERE account = ?2 AND keep = 2 AND ended_ran < ?3 AND id IN (\
                   SELECT attempt FROM leg WHERE order_id = ?4 \
                   UNION SELECT attempt FROM leg WHERE name = ?4 AND state < 2)",
                params![ran, account, ran - SEEN_EVERY_MS, order],
            )?;
        }
        self.probe(now)?;
        self.tally.told = Some((account, ran));
        Ok(())
    }

    /// Lets go what has had its time: of what there is too much, the oldest.
    pub(crate) fn trim(&mut self, settings: &Settings, now: Now) -> Result<()> {
        if self.tally.wrote == 0 {
            return Ok(());
        }
        let most = TRIMMED_AT_ONCE + 2 * self.tally.wrote;
        let ran = self.ran(now.up_ms);
        let since = |kept| ran - signed(millis(kept));
        self.trim_answers(settings, since(settings.replay), most)?;
        for keep in [NOTE, FREE] {
            let too_many = self.kept(keep).saturating_sub(settings.most_kept_shortly);
            let too_many = usize::try_from(too_many).unwrap_or(usize::MAX).min(most);
            for (before, most) in [(i64::MAX, too_many), (since(settings.kept_shortly), most)] {
                for (id, _) in self.ended(keep, before, most)? {
                    self.forget(id)?;
                    *self.kept(keep) -= 1;
                }
            }
        }
        // An order may rest for longer than names are kept: what may still be open is not forgotten.
        if let Some((told, at)) = self.tally.told
            && ran - at <= TOLD_FOR_MS
        {
            for (id, account) in self.ended(LONG, since(settings.kept), most)? {
                if account == told {
                    self.forget(id)?;
                } else {
                    self.write("UPDATE attempt SET ended_ran = ?1 WHERE id = ?2", [ran, id])?;
                }
            }
        }
        Ok(())
    }

    /// How many are kept for this.
    const fn kept(&mut self, keep: i64) -> &mut u64 {
        if keep == NOTE {
            &mut self.tally.notes
        } else {
            &mut self.tally.free
        }
    }

    fn trim_answers(&mut self, settings: &Settings, since: i64, most: usize) -> Result<()> {
        for _ in 0..most {
            let oldest = self
                .connection
                .prepare_cached(
                    "SELECT answer.id, length(body), ended_ran FROM answer \
                     JOIN attempt ON attempt.id = answer.attempt ORDER BY answer.id LIMIT 1",
                )?
                .query_row([], |row| {
                    let bytes = row.get::<_, i64>(1).map(unsigned)?;
                    Ok((row.get::<_, i64>(0)?, bytes, row.get::<_, i64>(2)?))
                })
                .optional()?;
            let Some((id, bytes, ended_ran)) = oldest else {
                break;
            };
            if ended_ran >= since && self.tally.answers <= settings.answer_bytes {
                break;
            }
            self.write("DELETE FROM answer WHERE id = ?", [id])?;
            self.tally.answers = self.tally.answers.saturating_sub(bytes);
        }
        Ok(())
    }

    /// Those that are kept for this and ended before then, with their accounts; the oldest first.
    fn ended(&self, keep: i64, before: i64, most: usize) -> Result<Vec<(i64, i64)>> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, account FROM attempt INDEXED BY attempt_keep \
             WHERE keep > 0 AND keep = ?1 AND ended_ran < ?2 ORDER BY ended_ran LIMIT ?3",
        )?;
        let ended = select.query_map([keep, before, signed_size(most)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        ended.collect()
    }

    fn forget(&mut self, id: i64) -> Result<()> {
        let select = "SELECT length(body) FROM answer WHERE attempt = ?";
        if let Some(bytes) = self.optional(select, [id])? {
            self.write("DELETE FROM answer WHERE attempt = ?", [id])?;
            self.tally.answers = self.tally.answers.saturating_sub(unsigned(bytes));
        }
        for delete in [
            "DELETE FROM leg WHERE attempt = ?",
            "DELETE FROM target WHERE attempt = ?",
            "DELETE FROM attempt WHERE id = ?",
        ] {
            self.write(delete, [id])?;
        }
        Ok(())
    }

    fn write(&mut self, statement: &str, values: impl Params) -> Result<()> {
        let changed = self.connection.prepare_cached(statement)?.execute(values)?;
        self.tally.wrote += changed;
        Ok(())
    }

    fn one(&self, select: &str, values: impl Params) -> Result<i64> {
        self.connection
            .prepare_cached(select)?
            .query_row(values, |row| row.get(0))
    }

    fn optional<T: rusqlite::types::FromSql>(
        &self,
        select: &str,
        values: impl Params,
    ) -> Result<Option<T>> {
        self.connection
            .prepare_cached(select)?
            .query_row(values, |row| row.get(0))
            .optional()
    }
}

fn unknown_word(column: usize) -> rusqlite::Error {
    let why = "a word that this program does not know";
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}

/// SQLite's integers have a sign.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn signed_size(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    value.unsigned_abs()
}
