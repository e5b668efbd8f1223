//! The open journal: rows in and out, each batch in one transaction.
//!
//! Guarantees: after [`Store::roll_back`] nothing of the batch is in the file. What has ended goes after its time, a bounded
//! number of rows with each batch; what is open never goes. Does not: decide what becomes of an attempt; that is
//! `rules`.

use std::{collections::HashSet, path::Path, time::Duration};

use bytes::Bytes;
use gateway::ledger::{Account, Attempt, Intent, Kind, LegEnd, Listing, Stored};
use rusqlite::{Connection, OptionalExtension, Params, params};

use crate::{
    Settings,
    rules::{Keep, Row},
    schema::{self, Identity, Problem},
    times::{Now, millis},
};

/// What an attempt is kept for, as the file says it.
const NOTE: i64 = 1;
const LONG: i64 = 2;
const FREE: i64 = 3;
/// So often it is written down that an order was seen open.
const SEEN_EVERY_MS: i64 = 24 * 3_600_000;
/// Entries of one list.
const MOST_LISTED: usize = 1000;

mod retention;
mod rows;

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
        ids.into_iter()
            .map(|id| rows::row(&self.connection, id))
            .collect()
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
        id.map(|id| rows::row(&self.connection, id)).transpose()
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
        ids.map(|id| rows::row(&self.connection, id?)).collect()
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
             looked = ?9, look_up = ?10, ended_ms = ?11, ended_up = ?12, keep = ?13, ended_ran = ?14, begun_ms = ?15 WHERE id = ?1",
            params![
                row.id, row.state.word(), row.code, row.list_id, row.by_hand, row.boot.as_bytes(), signed(row.life_ms),
                signed(row.dead_up), row.looked, row.look_up.map(signed), row.ended.map(|ended| signed(ended.wall_ms)),
                row.ended.map(|ended| signed(ended.up_ms)), keep, ended_ran,
                signed(row.begun_ms)
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
        retention::trim(self, settings, now)
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
