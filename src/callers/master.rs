//! The master key: one file, 0600, or a credential of the unit.
//!
//! A file that others can read is refused. A key is made once, and never over an existing one. The mode of a credential is
//! not checked: systemd hands it to this service alone.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{CallerFiles, CallersError, MASTER_NAME, file};
use gateway::{
    private_file::{self, Trusted},
    virtual_key::{MASTER_BYTES, MasterKey},
};

/// Longest file that is read.
const MAX_BYTES: u64 = 1024;

/// A master key, and where it was found.
#[derive(Debug)]
pub struct Master {
    /// The key.
    pub key: MasterKey,
    /// Its file.
    pub path: PathBuf,
}

impl Master {
    /// Finds it; `None` where there is none.
    ///
    /// # Errors
    /// A file that cannot be read, that others can read, or that holds something else.
    pub fn find(files: &CallerFiles) -> Result<Option<Self>, CallersError> {
        for (path, guard) in candidates(files) {
            if let Some(key) = read(&path, guard, files.trusted())? {
                return Ok(Some(Self { key, path }));
            }
        }
        Ok(None)
    }

    /// Finds the one that callers were issued with.
    ///
    /// # Errors
    /// There is none, or it is another one.
    pub fn of_callers(files: &CallerFiles, check: Option<&str>) -> Result<Self, CallersError> {
        let looked_at = || {
            candidates(files)
                .map(|(path, _)| path.display().to_string())
                .collect::<Vec<_>>()
        };
        let master = Self::find(files)?
            .ok_or_else(|| CallersError::MasterMissing(looked_at().join(", ")))?;
        if check.is_some_and(|check| check != master.key.check()) {
            return Err(CallersError::MasterOther(master.path));
        }
        Ok(master)
    }

    /// Makes one in the state directory.
    pub(super) fn make(files: &CallerFiles) -> Result<Self, CallersError> {
        let directory = files
            .state_directory
            .as_ref()
            .ok_or(CallersError::NoStateDirectory)?;
        file::make_directory(directory, 0o700)?;
        Self::write(directory.join(MASTER_NAME))
    }

    /// Makes a new one where the one in use is, usable or not.
    pub(super) fn replace(files: &CallerFiles) -> Result<Self, CallersError> {
        match candidates(files).find(|(path, _)| path.exists()) {
            Some((path, Guard::Mode)) => Self::write(path),
            Some((path, Guard::Systemd)) => Err(CallersError::MasterElsewhere(path)),
            None => Self::make(files),
        }
    }

    fn write(path: PathBuf) -> Result<Self, CallersError> {
        let mut bytes = Zeroizing::new([0; MASTER_BYTES]);
        getrandom::fill(bytes.as_mut())
            .map_err(|error| CallersError::Unwritable(path.clone(), io::Error::other(error)))?;
        let mut text = Zeroizing::new(hex::encode(bytes.as_ref()));
        text.push('\n');
        file::replace(&path, &text, 0o600)?;
        Ok(Self {
            key: MasterKey::new(bytes),
            path,
        })
    }
}

/// Whether the mode of a file is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    Mode,
    Systemd,
}

/// Where a master key may be, in the order in which places count.
fn candidates(files: &CallerFiles) -> impl Iterator<Item = (PathBuf, Guard)> {
    let own = files
        .state_directory
        .as_ref()
        .map(|directory| directory.join(MASTER_NAME));
    let credential = files.credential.clone().map(|path| (path, Guard::Systemd));
    credential.into_iter().chain(
        files
            .origin
            .clone()
            .into_iter()
            .chain(own)
            .map(|path| (path, Guard::Mode)),
    )
}

fn read(path: &Path, guard: Guard, trusted: Trusted) -> Result<Option<MasterKey>, CallersError> {
    let unreadable = |error| CallersError::unreadable(path, error);
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(file::no_follow() | OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(unreadable)?,
    };
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if guard == Guard::Mode && mode & 0o077 != 0 {
        return Err(CallersError::MasterOpen(path.to_owned(), mode));
    }
    private_file::judge(&file, trusted).map_err(unreadable)?;
    let mut text = Zeroizing::new(String::with_capacity(
        usize::try_from(MAX_BYTES).unwrap_or(0),
    ));
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let mut bytes = Zeroizing::new([0; MASTER_BYTES]);
    let decoded = hex::decode_to_slice(text.trim_end(), bytes.as_mut());
    decoded.map_err(|_| CallersError::MasterMalformed(path.to_owned()))?;
    Ok(Some(MasterKey::new(bytes)))
}
