//! Files of ours: written whole or not at all, and private from the first byte.
//!
//! Guarantees: a reader sees the old file or the new one, also after a power cut. The new file has its mode and its owner
//! before anything stands in it. Nothing is written through a link. Nothing is left beside the file if writing fails.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::Path,
};

/// Who a new file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The user of this process.
    Process,
    /// The owner of the directory, so that the daemon can read what root writes into its state directory.
    Directory,
}

/// Replaces a file in one step, by way of `NAME.new` beside it. When this returns, a crash does not undo it. Whoever may
/// write the file at the same time has to be kept away by a lock.
///
/// # Errors
/// What the file system says; the old file, if there was one, is as it was.
pub fn replace(path: &Path, bytes: &[u8], mode: u32, owner: Owner) -> io::Result<()> {
    let directory = directory_of(path);
    // Before anything is written: a directory that cannot be synced would report a failure of what is there already.
    let opened = File::open(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    // Left by a process that died. A random name would never be found again, and may hold a key.
    let _ = fs::remove_file(&new);
    let written =
        write_new(&new, bytes, mode, owner, directory).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written?;
    opened.sync_all()
}

fn write_new(
    new: &Path,
    bytes: &[u8],
    mode: u32,
    owner: Owner,
    directory: &Path,
) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(new)?;
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(mode))?;
    if owner == Owner::Directory {
        give_to_owner_of(directory, &file)?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a file to the owner of the directory that it is in.
///
/// # Errors
/// What the file system says. It is no error where the group alone cannot be changed: the owner can read the file anyway.
pub fn give_to_owner_of(directory: &Path, file: &File) -> io::Result<()> {
    let (directory, own) = (fs::metadata(directory)?, file.metadata()?);
    if (directory.uid(), directory.gid()) == (own.uid(), own.gid()) {
        return Ok(());
    }
    match fchown(file, Some(directory.uid()), Some(directory.gid())) {
        Err(error) if directory.uid() != own.uid() => Err(error),
        _ => Ok(()),
    }
}

/// The directory that a file is in; of a bare name the current one.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        for (text, mode) in [("one", 0o600), ("another", 0o640)] {
            replace(&path, text.as_bytes(), mode, Owner::Directory).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_what_it_points_to_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (victim, link) = (directory.path().join("victim"), directory.path().join("a"));
        fs::write(&victim, "kept").unwrap();
        symlink(&victim, &link).unwrap();
        replace(&link, b"new", 0o600, Owner::Process).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
    }

    #[test]
    fn what_a_process_that_died_left_is_gone_after_the_next_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(directory.path().join("a.new"), "half").unwrap();
        replace(&path, b"whole", 0o600, Owner::Process).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_may_be_written_and_not_read_gets_a_file_or_an_error_and_never_both() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o300)).unwrap();
        // Root may read it all the same.
        let written = replace(&path, b"whole", 0o600, Owner::Process).is_ok();
        assert_eq!(path.exists(), written);
    }

    #[test]
    fn an_error_is_the_systems_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("no/such");
        let error = replace(&path, b"", 0o600, Owner::Process).unwrap_err();
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"new", 0o600, Owner::Process).is_err());
        assert!(
            replace(
                &directory.path().join("no/such"),
                b"",
                0o600,
                Owner::Process
            )
            .is_err()
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
