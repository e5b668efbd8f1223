//! Where a bundle is written.
//!
//! Guarantees: a new file of mode 0600 or nothing: what exists is never overwritten, a symbolic link is not followed, and
//! what could not be written to its end is taken away again. The directory is opened before anything else is done. Does
//! not: make directories.

use std::{
    ffi::OsString,
    fs::File,
    io::Write,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, fchmod, openat, unlinkat},
    io::Errno,
};

const OURS_ALONE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What the operator said: a directory, or a file in one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutputPath {
    directory: PathBuf,
    name: Option<OsString>,
}

impl OutputPath {
    /// A directory that is there, or a name that ends in `.tar`.
    pub(super) fn of(out: Option<&Path>) -> anyhow::Result<Self> {
        let here = Self {
            directory: ".".into(),
            name: None,
        };
        let Some(out) = out else { return Ok(here) };
        if out.is_dir() {
            return Ok(Self {
                directory: out.to_owned(),
                name: None,
            });
        }
        let name = out
            .file_name()
            .filter(|_| out.extension().is_some_and(|end| end == "tar"));
        let name = name.with_context(|| {
            format!(
                "{} is neither a directory nor a name ending in .tar",
                out.display()
            )
        })?;
        let directory = out.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok(Self {
            directory: directory.map_or(here.directory, Path::to_owned),
            name: Some(name.to_owned()),
        })
    }

    /// Opens the directory.
    pub(super) fn open(self) -> anyhow::Result<OutputDirectory> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = openat(CWD, &self.directory, flags, Mode::empty());
        let is_link = self.directory.is_symlink();
        let opened = opened.with_context(|| {
            let hint = if is_link {
                ": a symbolic link is not followed, name what it points to"
            } else {
                ""
            };
            format!(
                "cannot open the directory {}{hint}",
                self.directory.display()
            )
        })?;
        Ok(OutputDirectory { opened, path: self })
    }
}

/// An open directory.
#[derive(Debug)]
pub(super) struct OutputDirectory {
    opened: OwnedFd,
    path: OutputPath,
}

impl OutputDirectory {
    /// Writes a new file, named by the operator or so; its path.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        let name = self
            .path
            .name
            .clone()
            .unwrap_or_else(|| format!("{name}.tar").into());
        let path = self.path.directory.join(&name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(&self.opened, &name, flags, OURS_ALONE) {
            Ok(file) => File::from(file),
            Err(Errno::EXIST) => {
                anyhow::bail!("{} is there already and is not overwritten", path.display())
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot create {}", path.display()));
            }
        };
        fill(file, bytes).inspect_err(|_| {
            let _ = unlinkat(&self.opened, &name, AtFlags::empty());
        })?;
        Ok(path)
    }
}

fn fill(mut file: File, bytes: &[u8]) -> anyhow::Result<()> {
    // Whatever the umask is.
    fchmod(&file, OURS_ALONE).context("cannot set its mode")?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .context("cannot write it")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_place_is_a_directory_or_a_name_ending_in_tar() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = |directory: &Path, name: Option<&str>| OutputPath {
            directory: directory.into(),
            name: name.map(Into::into),
        };
        assert_eq!(OutputPath::of(None).unwrap(), wanted(Path::new("."), None));
        assert_eq!(
            OutputPath::of(Some(directory.path())).unwrap(),
            wanted(directory.path(), None)
        );
        assert_eq!(
            OutputPath::of(Some(Path::new("x.tar"))).unwrap(),
            wanted(Path::new("."), Some("x.tar"))
        );
        let file = directory.path().join("x.tar");
        assert_eq!(
            OutputPath::of(Some(&file)).unwrap(),
            wanted(directory.path(), Some("x.tar"))
        );
        for wrong in ["absent", "x.tgz", ".tar"] {
            assert!(
                OutputPath::of(Some(&directory.path().join(wrong))).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_file_is_new_private_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let output = OutputPath::of(Some(directory.path()))
            .unwrap()
            .open()
            .unwrap();
        let path = output.write("x", b"whole").unwrap();
        assert_eq!(
            (path.as_path(), std::fs::read(&path).unwrap().as_slice()),
            (&*directory.path().join("x.tar"), &b"whole"[..])
        );
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert!(
            output
                .write("x", b"other")
                .unwrap_err()
                .to_string()
                .contains("not overwritten")
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (
            directory.path().join("target"),
            directory.path().join("link"),
        );
        std::fs::create_dir(&target).unwrap();
        symlink(&target, &link).unwrap();
        assert!(
            OutputPath::of(Some(&link))
                .unwrap()
                .open()
                .unwrap_err()
                .to_string()
                .contains("symbolic link")
        );
        symlink(directory.path().join("elsewhere"), target.join("x.tar")).unwrap();
        let output = OutputPath::of(Some(&target)).unwrap().open().unwrap();
        output.write("x", b"never").unwrap_err();
        assert!(!directory.path().join("elsewhere").exists());
    }
}
