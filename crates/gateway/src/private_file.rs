//! Files of ours: written whole or not at all, and private from the first byte.
//!
//! Guarantees: a reader sees the old file or the new one, also after a power cut. The new file has its mode and its owner
//! before anything stands in it. Nothing is written through a link. Nothing is left beside the file if writing fails.
//!
//! And files that decide who may do what: they are read only where nobody but root and the daemon could have written them.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{OFlags, makedev},
    process::geteuid,
};

/// Who may own a file that decides who may do what: root, this process's user, and the daemon's.
#[derive(Clone, Copy, Debug)]
pub struct Trusted {
    own: u32,
    daemon: Option<u32>,
}

impl Trusted {
    /// Root and the user of this process.
    #[must_use]
    pub fn process() -> Self {
        Self {
            own: geteuid().as_raw(),
            daemon: None,
        }
    }

    /// The same. Root, who looks on behalf of the daemon, also trusts the daemon's user: the owner of its state directory.
    #[must_use]
    pub fn with_state(directory: Option<&Path>) -> Self {
        let process = Self::process();
        let owner = directory
            .filter(|_| process.own == 0)
            .and_then(|directory| fs::metadata(directory).ok())
            .map(|metadata| metadata.uid());
        Self {
            daemon: owner,
            ..process
        }
    }

    fn holds(self, uid: u32) -> bool {
        uid == 0 || uid == self.own || self.daemon == Some(uid)
    }
}

/// Why a file that decides who may do what is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// A directory, a fifo, a socket or a device.
    #[error("it is not a regular file, and it decides who may do what")]
    NotRegular,
    /// Somebody else's.
    #[error("it belongs to uid {uid}, who could change it, and it decides who may do what")]
    Foreign {
        /// Its owner.
        uid: u32,
        /// Whether every user may read it.
        public: bool,
    },
    /// Others may write it: the mode.
    #[error("users beside its owner can write it (mode {0:04o}), and it decides who may do what")]
    Writable(u32),
}

impl Distrust {
    /// What keeps a file from being taken, where reading it failed for that.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// What to do.
    #[must_use]
    pub fn remedy(self, path: &Path) -> String {
        let file = path.display();
        match self {
            Self::NotRegular => "put a regular file there".to_owned(),
            Self::Foreign { public: true, .. } => {
                format!("look at what it says; then chown root: {file}; chmod go-w {file}")
            }
            // Root's would not be readable for the daemon.
            Self::Foreign { .. } => format!(
                "look at what it says; then chown --reference={} {file}; chmod go-w {file}",
                directory_of(path).display()
            ),
            Self::Writable(_) => format!("look at what it says; then chmod go-w {file}"),
        }
    }
}

/// Opens a file that decides who may do what, for reading, and judges it. Links are followed unless `flags` say otherwise:
/// what counts is the file itself.
///
/// # Errors
/// What the file system says, or a [`Distrust`].
pub fn open_trusted(path: &Path, flags: OFlags, trusted: Trusted) -> io::Result<File> {
    // A fifo would keep us waiting for its writer.
    let flags = (flags | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)?;
    judge(&file, trusted)?;
    Ok(file)
}

/// Judges an open file that decides who may do what. Whether others can read it is not judged.
///
/// # Errors
/// What the file system says, or a [`Distrust`].
pub fn judge(file: &File, trusted: Trusted) -> io::Result<()> {
    let metadata = file.metadata()?;
    let (kind, mode) = (metadata.file_type(), metadata.mode() & 0o7777);
    // Whoever may write there leaves nothing to be read.
    if kind.is_char_device() && metadata.rdev() == makedev(1, 3) {
        return Ok(());
    }
    let fault = if !kind.is_file() {
        Distrust::NotRegular
    } else if !trusted.holds(metadata.uid()) {
        Distrust::Foreign {
            uid: metadata.uid(),
            public: mode & 0o004 != 0,
        }
    } else if mode & 0o022 != 0 {
        Distrust::Writable(mode)
    } else {
        return Ok(());
    };
    Err(io::Error::other(fault))
}

/// The directory that a file really lies in, and its mode, where every user could put another file in its place.
#[must_use]
pub fn open_directory_of(path: &Path) -> Option<(PathBuf, u32)> {
    let directory = directory_of(&fs::canonicalize(path).ok()?).to_owned();
    let mode = fs::metadata(&directory).ok()?.mode() & 0o7777;
    (mode & 0o1002 == 0o002).then_some((directory, mode))
}

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

    /// The file as a test wants it, and what is made of it.
    fn judged(path: &Path, trusted: Trusted) -> Option<Distrust> {
        let opened = open_trusted(path, OFlags::empty(), trusted);
        opened.err().map(|error| Distrust::of(&error).unwrap())
    }

    #[test]
    fn what_others_could_write_is_not_taken_and_what_they_can_read_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let link = directory.path().join("link");
        fs::write(&path, "x").unwrap();
        symlink(&path, &link).unwrap();
        for (mode, expected) in [
            (0o400, None),
            (0o600, None),
            (0o440, None),
            (0o444, None),
            (0o644, None),
            (0o755, None),
            (0o664, Some(Distrust::Writable(0o664))),
            (0o620, Some(Distrust::Writable(0o620))),
            (0o602, Some(Distrust::Writable(0o602))),
            (0o666, Some(Distrust::Writable(0o666))),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            for path in [&path, &link] {
                assert_eq!(judged(path, Trusted::process()), expected, "{mode:04o}");
            }
        }
    }

    #[test]
    fn what_is_no_file_is_not_taken_and_a_fifo_keeps_nobody_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        for (path, expected) in [
            (fifo.as_path(), Some(Distrust::NotRegular)),
            (directory.path(), Some(Distrust::NotRegular)),
            (Path::new("/dev/zero"), Some(Distrust::NotRegular)),
            (Path::new("/dev/null"), None),
        ] {
            assert_eq!(judged(path, Trusted::process()), expected, "{path:?}");
        }
    }

    #[test]
    fn a_strangers_file_is_not_taken_and_the_daemons_own_is_where_root_looks() {
        if !geteuid().is_root() {
            eprintln!("SKIPPED: only root can give a file away");
            return;
        }
        let (state, daemon, stranger) = (tempfile::tempdir().unwrap(), 64_321, 64_322);
        let path = state.path().join("a");
        fs::write(&path, "x").unwrap();
        std::os::unix::fs::chown(state.path(), Some(daemon), None).unwrap();
        let trusted = Trusted::with_state(Some(state.path()));
        for (uid, mode, trusted, taken) in [
            (0, 0o600, Trusted::process(), true),
            (daemon, 0o600, Trusted::process(), false),
            (daemon, 0o600, trusted, true),
            (daemon, 0o606, trusted, false),
            (stranger, 0o600, trusted, false),
            (stranger, 0o444, trusted, false),
        ] {
            std::os::unix::fs::chown(&path, Some(uid), None).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(judged(&path, trusted).is_none(), taken, "{uid} {mode:04o}");
        }
        let remedy = judged(&path, trusted).map(|fault| fault.remedy(Path::new("/f")));
        let expected = "look at what it says; then chown root: /f; chmod go-w /f";
        assert_eq!(remedy.unwrap(), expected);
    }

    #[test]
    fn a_directory_that_every_user_may_write_is_named_unless_it_is_sticky() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "x").unwrap();
        for (mode, open) in [(0o755, false), (0o777, true), (0o1777, false)] {
            fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(open_directory_of(&path).is_some(), open, "{mode:04o}");
        }
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
