//! The callers file as text, and the files beside it on the disk.
//!
//! An unknown field is a fault with its line. What was read and not changed is written with the same meaning; comments
//! are not kept. `entry` judges what the fields say.
//!
//! A reader sees the old file or the new one, also after a power cut. A file belongs to the owner of its directory, so
//! that the daemon can read what root writes into the state directory. Symbolic links there are not followed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::CallersError;
use gateway::private_file::{self, Owner, Trusted, directory_of, give_to_owner_of};

/// The version of the file's form.
const VERSION: u32 = 1;
const HEAD: &str = "\
# The callers of crypto-proxy. Written by `crypto-proxy caller`, which does not keep comments. Policies may be edited by
# hand: preset, allow, deny, instruments, orders_by_id, sources, uids, expires (docs/callers.md); see with
# `crypto-proxy check` what the daemon makes of it, then systemctl restart crypto-proxy. To take a caller's access away:
# `crypto-proxy caller revoke NAME`, not by hand. Nothing in here is secret.

";

/// What the file says.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileText {
    version: u32,
    /// Tells the master key that callers were issued with from every other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_check: Option<String>,
    /// The callers, and where they stand in the text that was read.
    #[serde(default, rename = "caller", skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Spanned<CallerText>>,
}

/// What it says of a caller.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CallerText {
    /// Its name.
    pub name: String,
    /// Its id: 24 hexadecimal digits, never used again.
    pub id: String,
    /// When it was added.
    pub created: String,
    /// What it may do, by a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Classes, methods and patterns that are allowed as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Classes, methods and patterns that are denied, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// The instruments it may act on; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruments: Option<Vec<String>>,
    /// Whether it may act on orders by their ids in spite of a list of instruments.
    #[serde(default, skip_serializing_if = "is_false")]
    pub orders_by_id: bool,
    /// Addresses and networks it may call from; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// Uids that may call over a unix socket; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uids: Option<Vec<u32>>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Whether it may diagnose, and nothing else.
    #[serde(default, skip_serializing_if = "is_false")]
    pub diagnose: bool,
    /// Its generations: one, or two during a rotation.
    #[serde(default, rename = "generation")]
    pub generations: Vec<GenerationText>,
}

/// What it says of a generation.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationText {
    /// Counted up from 1.
    pub number: u32,
    /// SHA-256 of its token.
    pub token_sha256: String,
    /// When it was issued.
    pub issued: String,
    /// When it ends, where a newer one was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Something that is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line of the caller, or of the place.
    pub line: usize,
    /// What it is about.
    pub key: String,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// How key and remedy read where they name a caller, for a reader who must not learn the name.
    pub anonymous: Option<Anonymous>,
}

/// A key and a remedy that name no caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anonymous {
    /// What it is about.
    pub key: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    /// A fault that names no caller.
    pub(super) fn new(line: usize, key: &str, text: &str, remedy: &str) -> Self {
        Self {
            line,
            key: key.to_owned(),
            text: text.to_owned(),
            remedy: remedy.to_owned(),
            anonymous: None,
        }
    }

    /// A fault of a caller, or of one setting of it; `remedy` is made with the caller's name.
    pub fn about_caller(
        line: usize,
        name: &str,
        setting: Option<&str>,
        text: &str,
        remedy: impl Fn(&str) -> String,
    ) -> Self {
        let setting = setting.map_or_else(String::new, |setting| format!(": {setting}"));
        Self {
            line,
            key: format!("caller {name}{setting}"),
            text: text.to_owned(),
            remedy: remedy(name),
            anonymous: Some(Anonymous {
                key: format!("a caller{setting}"),
                remedy: remedy("NAME"),
            }),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl FileText {
    /// An empty one.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            version: VERSION,
            master_check: None,
            callers: Vec::new(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The first thing that is wrong with its form.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let file: Self = toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let text = error.message().replace('\n', ", ");
            vec![Fault::new(line, "callers file", &text, "correct this line")]
        })?;
        if file.version != VERSION {
            let text = format!("version {} is not known here", file.version);
            let remedy = "a newer crypto-proxy wrote it: use that one";
            return Err(vec![Fault::new(1, "version", &text, remedy)]);
        }
        Ok(file)
    }

    /// The text, with its head.
    ///
    /// # Errors
    /// Where it cannot be written as TOML, which would be a defect.
    pub fn render(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self).map(|text| format!("{HEAD}{text}"))
    }

    /// What it says of a caller.
    ///
    /// # Errors
    /// [`CallersError::Unknown`].
    pub fn find(&mut self, name: &str) -> Result<&mut CallerText, CallersError> {
        self.callers
            .iter_mut()
            .map(Spanned::get_mut)
            .find(|caller| caller.name == name)
            .ok_or_else(|| CallersError::Unknown(name.to_owned()))
    }
}

/// The line of a text in which this byte stands, counted from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.get(..offset).unwrap_or_default().matches('\n').count()
}

/// Waits until no other process changes what stands beside this file; none does before the lock is closed.
pub(super) fn lock(beside: &Path) -> Result<File, CallersError> {
    let path = with_ending(beside, "lock");
    let locked = || -> io::Result<File> {
        let file = open_lock(&path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    };
    locked().map_err(|error| CallersError::Unwritable(path.clone(), error))
}

/// Only what we made ourselves is given away: what lies there may be a link that a stranger in the daemon made.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(no_follow());
    match options.clone().create_new(true).open(path) {
        Ok(file) => give_to_owner_of(directory_of(path), &file).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

/// The flag that refuses a symbolic link.
pub(super) fn no_follow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

/// The text of a file that nobody else can write, never that of a link; `None` where there is none.
pub(super) fn read(path: &Path, trusted: Trusted) -> Result<Option<String>, CallersError> {
    let text =
        private_file::open_trusted(path, OFlags::NOFOLLOW, trusted).and_then(io::read_to_string);
    match text {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CallersError::unreadable(path, error)),
    }
}

/// Replaces a file in one step.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), CallersError> {
    private_file::replace(path, text.as_bytes(), mode, Owner::Directory)
        .map_err(|error| CallersError::Unwritable(path.to_owned(), error))
}

/// Renames a damaged file, so that it can be inspected.
pub(super) fn set_aside(path: &Path) -> Result<(), CallersError> {
    fs::rename(path, with_ending(path, "damaged"))
        .map_err(|error| CallersError::Unwritable(path.to_owned(), error))
}

/// Makes a directory with this mode where there is none.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), CallersError> {
    if path.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| CallersError::Unwritable(path.to_owned(), error))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
