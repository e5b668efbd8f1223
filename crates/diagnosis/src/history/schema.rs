//! The file of the history: how it is opened, who may read it, and its tables.
//!
//! Guarantees: the file and what SQLite puts beside it are 0600; what is no database of ours is set aside, never
//! overwritten; a file of a newer version is left alone. The tables are described in `docs/operations.md`.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, Row};
use serde::Serializer;

/// What the exchange finds a call by: its nonce, and the `id` of its body. Added to files of an earlier build, whose programs
/// pass it over.
const NAMES_OF_CALLS: &str = "BEGIN IMMEDIATE;
ALTER TABLE call ADD COLUMN nonce INTEGER;
ALTER TABLE call ADD COLUMN sent_id INTEGER;
ALTER TABLE unsent_call ADD COLUMN nonce INTEGER;
ALTER TABLE unsent_call ADD COLUMN sent_id INTEGER;
COMMIT;";

/// The version that `PRAGMA user_version` holds.
pub(super) const VERSION: i64 = 2;
/// How long another program, say `sqlite3`, may hold the file.
const BUSY: Duration = Duration::from_secs(1);
/// What every file of SQLite's begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Version 1, and what made it version 2.
pub(super) const SCHEMA: &str = include_str!("schema.sql");
const UNSENT: &str = include_str!("unsent.sql");

/// Why the history cannot be used at the moment.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The directory or the file.
    #[error("the file cannot be used: {0}")]
    File(#[from] io::Error),
    /// SQLite.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// Not a file of SQLite's.
    #[error("the file is not a database")]
    Foreign,
    /// Of a later version of this program.
    #[error("its version is {0}, and this program knows {VERSION}")]
    Newer(i64),
    /// Of an earlier version, and not to be written here.
    #[error(
        "its version is {0}, and this program reads {VERSION}: the daemon's next start brings it up to date"
    )]
    Older(i64),
}

impl Problem {
    /// Whether the file itself is damaged.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Foreign => true,
            Self::Database(error) => {
                matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
                )
            }
            Self::File(_) | Self::Newer(_) | Self::Older(_) => false,
        }
    }
}

/// Which file a path names.
pub(super) type Identity = (u64, u64);

/// The identity of the file at `path`.
pub(super) fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|data| (data.dev(), data.ino()))
}

/// Opens the file for writing, and makes it where there is none.
pub(super) fn open(path: &Path) -> Result<Connection, Problem> {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match fs::set_permissions(&file, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    // SQLite gives what it puts beside the file the mode of the file.
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    check_magic(&mut file)?;
    drop(file);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION {
        return Err(Problem::Newer(version));
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // Survives the end of the process at any moment; a power cut may cost the last seconds, never the file.
    connection
        .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 8388608;")?;
    if version < VERSION {
        let begun = if version == 0 { SCHEMA } else { "" };
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {begun} {UNSENT} PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    if !names_calls(&connection)? {
        connection.execute_batch(NAMES_OF_CALLS)?;
    }
    Ok(connection)
}

/// Whether calls have what the exchange finds them by; those of an earlier build have not.
pub(super) fn names_calls(file: &Connection) -> rusqlite::Result<bool> {
    let select = "SELECT 1 FROM pragma_table_info('unsent_call') WHERE name = 'nonce'";
    let found = file.query_row(select, [], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

/// SQLite takes a file that is shorter than its header for an empty one, and overwrites it.
fn check_magic(file: &mut fs::File) -> Result<(), Problem> {
    let mut start = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    if start.is_empty() || start == MAGIC {
        Ok(())
    } else {
        Err(Problem::Foreign)
    }
}

/// Sets a damaged file aside; one that was set aside before is deleted.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    for end in ["-wal", "-shm"] {
        match fs::remove_file(beside(path, end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, beside(path, ".damaged"))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// SQLite's integers have a sign.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Every row of an answer.
pub(super) fn query_all<T>(
    file: &Connection,
    select: &str,
    values: impl Params,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Problem> {
    let mut select = file.prepare(select)?;
    let rows = select.query_map(values, row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The same, back again.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

/// Writes a time as people read it.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands a reference over"
)]
pub(super) fn as_time<S: Serializer>(ms: &u64, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&text::time::rfc3339_ms(*ms))
}
