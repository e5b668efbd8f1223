//! Files that are read by a user of another process and replaced in one step.
//!
//! Guarantees: a reader sees the old file or the new one, also after a power cut; a file in a directory belongs to the
//! directory's owner, so that what root writes into the daemon's state directory the daemon can read; a link that lies
//! there leads root nowhere.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::Problem;

/// Held as long as it lives; another process waits.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Waits until nobody else changes what stands beside this file.
pub(super) fn lock(beside: &Path) -> Result<Lock, Problem> {
    let path = with_ending(beside, "lock");
    let locked = || -> io::Result<File> {
        let file = open_lock(&path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    };
    locked()
        .map(|file| Lock { _file: file })
        .map_err(|error| Problem::Unwritable(path.clone(), error))
}

/// Only what we made ourselves is given away: what lies there may be a link that a stranger in the daemon made.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(no_follow());
    match options.clone().create_new(true).open(path) {
        Ok(file) => give_to_owner(&file, path).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

/// The flag that refuses a symbolic link.
pub(super) fn no_follow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

/// The text of a file, never that of a link; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, Problem> {
    let text = OpenOptions::new()
        .read(true)
        .custom_flags(no_follow())
        .open(path)
        .and_then(io::read_to_string);
    match text {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::Unreadable(path.to_owned(), error)),
    }
}

/// Replaces a file in one step.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), Problem> {
    let temporary = with_ending(path, "new");
    let written = || -> io::Result<()> {
        // Left by a process that died; we hold the lock.
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(mode)
            .open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        give_to_owner(&file, path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        parent(path).map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    written().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        Problem::Unwritable(path.to_owned(), error)
    })
}

/// Renames what is damaged, so that it can be looked at.
pub(super) fn set_aside(path: &Path) -> Result<(), Problem> {
    fs::rename(path, with_ending(path, "damaged"))
        .map_err(|error| Problem::Unwritable(path.to_owned(), error))
}

/// Makes a directory with this mode where there is none.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), Problem> {
    if path.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| Problem::Unwritable(path.to_owned(), error))
}

fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    let Some(directory) = parent(path) else {
        return Ok(());
    };
    let (directory, own) = (fs::metadata(directory)?, file.metadata()?);
    if (directory.uid(), directory.gid()) == (own.uid(), own.gid()) {
        return Ok(());
    }
    // Where it is the group alone that differs and we may not change it, the owner can read it all the same.
    fchown(file, Some(directory.uid()), Some(directory.gid())).or_else(|error| {
        if directory.uid() == own.uid() {
            Ok(())
        } else {
            Err(error)
        }
    })
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
