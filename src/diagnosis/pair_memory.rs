//! Which key and which secret stood together at the last start, so that half a rotation is noticed.
//!
//! One small file in the state directory holds the key's fingerprint, a keyed digest of the secret under a salt of this
//! installation, and since when each is as it is. Guarantees: the file is 0600 and replaced whole; neither the digest
//! nor the salt is ever printed; a missing, unwritable or damaged file costs the memory and nothing else. Does not: say
//! which half is wrong, or know whether the pair ever worked.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};
use tracing::Level;

use crate::gateway::{
    clock::Clock,
    record::{CALL_TAG, TARGET},
    secret::Credentials,
};

/// The file's name in the state directory.
pub const FILE_NAME: &str = "pair.json";
const NEW_FILE_NAME: &str = "pair.json.new";
/// A file of ours has some 300 bytes.
const MAX_FILE_BYTES: u64 = 4096;

/// What became of the pair since the start before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another key beside the same secret: half a rotation.
    KeyChanged,
    /// Another secret beside the same key: half a rotation, or the mending of one.
    SecretChanged,
    /// Another key and another secret.
    Both,
    /// Nothing.
    Same,
    /// There was no start before, or its file is damaged.
    First,
    /// There is no directory to remember in.
    NoMemory,
}

/// What the memory tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairFacts {
    /// What became of the pair at this start.
    pub change: Change,
    /// Since when the pair is as it is, key and secret together, in milliseconds since 1970.
    pub since: u64,
    /// Whether the key and the secret that stand together now came at different starts.
    pub came_apart: bool,
}

impl PairFacts {
    /// What is known without a memory: nothing before `now_ms`.
    #[must_use]
    pub const fn no_memory(now_ms: u64) -> Self {
        Self { change: Change::NoMemory, since: now_ms, came_apart: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    salt: [u8; 32],
    key_fingerprint: String,
    secret_digest: String,
    key_since_ms: u64,
    secret_since_ms: u64,
}

/// Compares the pair with the one remembered in `dir`, and remembers this one. Reads and writes a file: for starts and
/// reloads.
#[must_use]
pub fn remember(dir: Option<&Path>, credentials: &Credentials, clock: &Clock) -> PairFacts {
    let now_ms = clock.now_ms();
    let Some(dir) = dir else {
        tracing::info!("no state directory: a change of half of the credentials will not be noticed");
        return PairFacts::no_memory(now_ms);
    };
    let remembered = match read(&dir.join(FILE_NAME)) {
        Ok(remembered) => remembered,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!("{FILE_NAME} in the state directory is damaged and starts anew");
            None
        }
        Err(error) => return forgetful(&error, now_ms),
    };
    let (memory, facts) = match compare(remembered, credentials, now_ms) {
        Ok(compared) => compared,
        Err(error) => return forgetful(&error, now_ms),
    };
    if let Err(error) = write(dir, &memory) {
        if facts.change == Change::First {
            return forgetful(&error, now_ms);
        }
        tracing::warn!("{FILE_NAME} in the state directory cannot be replaced ({error}): it keeps the pair before");
    }
    announce(facts, &memory);
    facts
}

fn forgetful(error: &io::Error, now_ms: u64) -> PairFacts {
    tracing::info!("the state directory cannot be used ({error}): a change of half of the credentials is not noticed");
    PairFacts::no_memory(now_ms)
}

fn compare(before: Option<Memory>, now: &Credentials, now_ms: u64) -> io::Result<(Memory, PairFacts)> {
    let key_fingerprint = now.key.fingerprint();
    let Some(before) = before else {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|_| io::Error::other("no random numbers"))?;
        let secret_digest = now.secret.keyed_digest(&salt);
        let memory = Memory { salt, key_fingerprint, secret_digest, key_since_ms: now_ms, secret_since_ms: now_ms };
        return Ok((memory, PairFacts { change: Change::First, since: now_ms, came_apart: false }));
    };
    let secret_digest = now.secret.keyed_digest(&before.salt);
    let change = match (key_fingerprint == before.key_fingerprint, secret_digest == before.secret_digest) {
        (true, true) => Change::Same,
        (false, true) => Change::KeyChanged,
        (true, false) => Change::SecretChanged,
        (false, false) => Change::Both,
    };
    let since = |changed, before_ms| if changed { now_ms } else { before_ms };
    let memory = Memory {
        salt: before.salt,
        key_since_ms: since(key_fingerprint != before.key_fingerprint, before.key_since_ms),
        secret_since_ms: since(secret_digest != before.secret_digest, before.secret_since_ms),
        key_fingerprint,
        secret_digest,
    };
    let facts = PairFacts {
        change,
        since: memory.key_since_ms.max(memory.secret_since_ms),
        came_apart: memory.key_since_ms != memory.secret_since_ms,
    };
    Ok((memory, facts))
}

/// One line where the pair is not what it was.
fn announce(facts: PairFacts, memory: &Memory) {
    let fingerprint = &memory.key_fingerprint;
    let half = match facts.change {
        Change::KeyChanged => "the API key changed and its secret did not",
        Change::SecretChanged => "the API secret changed and its key did not",
        Change::Both => {
            tracing::event!(target: TARGET, Level::INFO, "CRYPTO_EVENT" = "pair", "CRYPTO_KEY_FP" = %fingerprint,
                "{CALL_TAG} event=pair key_fp={fingerprint}: key and secret changed since the last start");
            return;
        }
        Change::Same | Change::First | Change::NoMemory => return,
    };
    tracing::event!(target: TARGET, Level::WARN, "CRYPTO_EVENT" = "pair", "CRYPTO_KEY_FP" = %fingerprint,
        "CRYPTO_CAUSE" = "CP-HALF-ROTATED",
        "{CALL_TAG} event=pair key_fp={fingerprint}: {half} since the last start; the exchange makes them together, \
         so at least one of the two pairs was wrong; next: if calls are refused, copy both again from one creation");
}

/// The file's content; `None` where there is no file, `InvalidData` where it is damaged.
fn read(path: &Path) -> io::Result<Option<Memory>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    // serde's own text could quote the file.
    serde_json::from_str(&text).map(Some).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn write(dir: &Path, memory: &Memory) -> io::Result<()> {
    let new = dir.join(NEW_FILE_NAME);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(serde_json::to_string(memory)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, dir.join(FILE_NAME))
}

#[cfg(test)]
mod tests;
