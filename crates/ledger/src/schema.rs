//! The file of the journal: how it is made and opened, and by whom.
//!
//! Guarantees: the file is 0600, and one process has it at a time. It appears whole, its entry in the directory synced. What
//! is committed survives a power cut as far as the disk keeps its word. A file that is damaged, of a newer version or not
//! ours is left as it is.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use gateway::{ledger::Away, private_file::directory_of};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use crate::log;

/// The version that `PRAGMA user_version` holds. Builds from before the first release wrote 1.
const VERSION: i64 = 2;
/// What `PRAGMA application_id` holds: `cplj`.
const APPLICATION: i64 = 0x6370_6c6a;
/// How long the process before us may take to let the file go.
const BUSY: Duration = Duration::from_secs(1);
/// What every file of SQLite's begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Whether the log stays as it is when the file is closed.
const KEEP_LOG: DbConfig = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
/// What the name of the log of changes ends with.
const LOG: &str = "-wal";
const SCHEMA: &str = include_str!("schema.sql");
/// Statements that are kept prepared: all of them.
const PREPARED: usize = 64;

/// Why the file of the journal is not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Another process has it.
    #[error("another process has the order journal open, and one at a time can have it")]
    InUse,
    /// Of a later version of this program.
    #[error(
        "the order journal is of version {0}, and this program knows {VERSION}: install the newer program again; \
         it is left as it is"
    )]
    Newer(i64),
    /// Of an earlier version, which this program cannot read.
    #[error(
        "the order journal is of version {0}, which builds from before the first release wrote, and this program knows \
         {VERSION}: install that build again, or move the file and what stands beside it away for a new journal to begin; a \
         new one knows no name that was used before; it is left as it is"
    )]
    Older(i64),
    /// A database of something else.
    #[error("the file is a database of another program, and no order journal: it is left as it is")]
    Foreign,
    /// There is none.
    #[error("there is no order journal yet: the daemon makes it at its first start")]
    Missing,
    /// It cannot be used now.
    #[error("{0}")]
    Away(#[from] Away),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            _ => Self::Away(away(&error)),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Away(unwritable(&error))
    }
}

impl From<Problem> for Away {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Away(away) => away,
            Problem::InUse
            | Problem::Newer(_)
            | Problem::Older(_)
            | Problem::Foreign
            | Problem::Missing => Self::Unwritable(problem.to_string()),
        }
    }
}

/// What an error of SQLite's means for those who wait.
pub(crate) fn away(error: &rusqlite::Error) -> Away {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Away::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Away::Damaged(error.to_string())
        }
        // The row that was read is not as this program writes it.
        None => Away::Damaged(error.to_string()),
        Some(_) => Away::Unwritable(error.to_string()),
    }
}

fn unwritable(error: &io::Error) -> Away {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    if full.contains(&error.kind()) {
        Away::Full
    } else {
        Away::Unwritable(error.to_string())
    }
}

/// What to do where the journal cannot be used.
#[must_use]
pub fn remedy(away: &Away, path: &Path) -> String {
    let file = path.display();
    match away {
        Away::Full => format!("make room on the disk of {file}; orders go on by themselves"),
        Away::Unwritable(_) => format!(
            "see that {file} and its directory belong to the daemon and can be written; orders go on by themselves"
        ),
        Away::Slow(_) | Away::Busy(_) => {
            "see what keeps the disk busy; orders go on by themselves".to_owned()
        }
        Away::Damaged(_) => format!(
            "stop the daemon and look at it with `sudo crypto-proxy ledger check`; then {}",
            replacement(path)
        ),
    }
}

/// What to do with a file that is damaged, once the daemon is stopped.
#[must_use]
pub fn replacement(path: &Path) -> String {
    let file = path.display();
    format!(
        "move {file} away, with the files beside it whose names begin with its name, and keep them; put a backup there, or \
         nothing: then a new journal begins. A backup does not know the names that were used since, and a new journal knows \
         none: make sure first that no program repeats an order"
    )
}

/// Which file a path names.
pub(crate) type Identity = (u64, u64);

/// The identity of the file at `path`.
pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|data| (data.dev(), data.ino()))
}

/// Whether there is no journal at `path`, nor anything of one.
#[must_use]
pub fn is_missing(path: &Path) -> bool {
    check_magic(path) == Err(Problem::Missing)
}

/// Opens the file for this process alone, and makes it where there is none.
pub(crate) fn open_or_make(path: &Path) -> Result<Connection, Problem> {
    match open(path) {
        Err(Problem::Missing) => {
            make(path)?;
            open(path)
        }
        opened => opened,
    }
}

/// Opens the file for this process alone.
pub(crate) fn open(path: &Path) -> Result<Connection, Problem> {
    check_magic(path)?;
    let log = beside(path, LOG);
    let has_log = fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    for file in [path, &*log] {
        match fs::set_permissions(file, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // Whoever closes it without the word that it is closed leaves the log as it is.
    connection.set_db_config(KEEP_LOG, true)?;
    // Before anything is read: the journal of changes is then in no memory that another process could share.
    connection.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))?;
    let application: i64 = pragma(&connection, "application_id")?;
    let version: i64 = pragma(&connection, "user_version")?;
    if application != APPLICATION {
        return Err(Problem::Foreign);
    }
    if version > VERSION {
        return Err(Problem::Newer(version));
    }
    if version < VERSION {
        return Err(Problem::Older(version));
    }
    let select = "SELECT is_open FROM journal";
    if !has_log && connection.query_row(select, [], |row| row.get(0))? {
        let why = "its log of changes (-wal) is not there, and holds what was written last";
        return Err(Away::Damaged(why.to_owned()).into());
    }
    if let Some(why) = log::damage(&log)? {
        return Err(Away::Damaged(why.to_owned()).into());
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    settle_in(&connection)?;
    if has_log {
        // The log begins anew: what a power cut left of its last commit behind it is not the log's any more, and no damage
        // at the next look. A disk that is full cannot do it, and does no harm yet.
        let _ = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
    } else {
        connection.set_db_config(KEEP_LOG, false)?;
    }
    Ok(connection)
}

/// From now on the file and its log belong together, until [`close`]. The file itself says so, not only its log.
pub(crate) fn mark_open(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(KEEP_LOG, true)?;
    if connection.execute("UPDATE journal SET is_open = 1 WHERE is_open = 0", [])? > 0 {
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(())
}

/// Takes all of the log into the file, and the log away. Where that fails, both stay.
pub(crate) fn close(connection: Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE journal SET is_open = 0", [])?;
    connection.set_db_config(KEEP_LOG, false)?;
    connection.close().map_err(|(_, error)| error)
}

/// A journal that ends with the process.
pub(crate) fn in_memory() -> Result<Connection, Problem> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    settle_in(&connection)?;
    Ok(connection)
}

fn settle_in(connection: &Connection) -> rusqlite::Result<()> {
    // FULL: a commit returns once the disk has it.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -4096; \
         PRAGMA temp_store = MEMORY;",
    )?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // Without it each statement is prepared anew for each value, to be planned by statistics that nobody collects.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Makes it under another name: what stands at `path` is whole, and two who make it at once get one file.
fn make(path: &Path) -> Result<(), Problem> {
    let directory = directory_of(path);
    let new = tempfile::Builder::new()
        .prefix(".ledger-")
        .tempfile_in(directory)
        // Its text would have the name in it, and be another one each time.
        .map_err(|error| io::Error::from(error.kind()))?;
    let connection = Connection::open(new.path())?;
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
    ))?;
    connection.close().map_err(|(_, error)| error)?;
    match new.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error.error.into());
        }
        _ => {}
    }
    File::open(directory)?.sync_all()?;
    Ok(())
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Result<T, Problem> {
    let select = format!("PRAGMA {name}");
    Ok(connection.query_row(&select, [], |row| row.get(0))?)
}

/// SQLite takes a file that is shorter than its header for an empty one, and would begin anew.
fn check_magic(path: &Path) -> Result<(), Problem> {
    let mut start = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && beside(path, LOG).exists() => {
            let why = "it is not there, and its log of changes (-wal) is".to_owned();
            return Err(Away::Damaged(why).into());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Problem::Missing),
        opened => opened?.take(MAGIC.len() as u64).read_to_end(&mut start)?,
    };
    if start == MAGIC {
        Ok(())
    } else {
        let why = "its head is not that of a database".to_owned();
        Err(Away::Damaged(why).into())
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
