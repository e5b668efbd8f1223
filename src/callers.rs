//! The callers that `crypto-proxy caller` issued: the file, the revocations, the master key.
//!
//! Nobody can impersonate a caller with what the file holds: a token is stored as the SHA-256 of 256 random bits, and a
//! virtual secret is derived from the master key when it is needed. A revoked generation does not come back with an older
//! copy of the file, because the state directory remembers it, nor with an older state directory, because the file does
//! not list it. If both are restored, both forget. Every file is replaced in one step, and edits wait for each other. A
//! running daemon is not reached: it reads everything at its start.

use std::{fmt, io, path::PathBuf};

use gateway::private_file::{Distrust, Trusted};

mod edit;
mod entry;
mod file;
mod master;
mod revocations;

pub use self::{
    edit::{Edit, Issued, IssuedToken},
    entry::{Entry, Generation, Rights},
    file::{Anonymous, CallerText, Fault, FileText, GenerationText},
    master::Master,
    revocations::{Revocation, Revocations},
};

/// The name of the file, beside the configuration file unless `callers.file` names another.
pub const FILE_NAME: &str = "callers.toml";
/// The name of the marks in the state directory.
pub const REVOCATIONS_NAME: &str = "callers.marks";
/// The name of the master key, in the state directory, among the unit's credentials, or beside the configuration file.
pub const MASTER_NAME: &str = "callers.master";
/// What every token that we issue begins with: shows what it is, and is refused as a credential of the exchange.
pub const TOKEN_PREFIX: &str = "cpt_";

/// Where the files of the callers are.
#[derive(Clone)]
pub struct CallerFiles {
    /// The callers.
    pub file: PathBuf,
    /// Whether the file was named by the operator, and so has to be there.
    pub named: bool,
    /// Where the marks are, and the master key unless it is elsewhere.
    pub state_directory: Option<PathBuf>,
    /// The master key among the unit's credentials, which counts first.
    pub credential: Option<PathBuf>,
    /// Where the unit's credential may come from, for an inspection on behalf of the daemon; counts next.
    pub origin: Option<PathBuf>,
}

/// Why the callers cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum CallersError {
    /// A file that cannot be read.
    #[error("{0}: cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// A file that cannot be written.
    #[error("{0}: cannot be written: {1} (run as root: sudo)")]
    Unwritable(PathBuf, io::Error),
    /// A callers file with faults.
    #[error("{0}: {faults}", faults = list(.1))]
    Faulty(PathBuf, Vec<Fault>),
    /// A file that others could have written.
    #[error("{0}: {1}")]
    Distrusted(PathBuf, Distrust),
    /// No revocations, though there are callers: they are written before the first one.
    #[error("{0}: is missing, so it is not known which callers of the callers file were revoked")]
    RevocationsMissing(PathBuf),
    /// Revocations that are not understood.
    #[error("{0}: these marks are not understood: {1}")]
    Revocations(PathBuf, String),
    /// A master key that others can read.
    #[error("{0}: others can read this master key (mode {1:04o})")]
    MasterOpen(PathBuf, u32),
    /// A file that is no master key.
    #[error("{0}: this is not a master key (64 hexadecimal digits)")]
    MasterMalformed(PathBuf),
    /// No master key, though there are callers that need it.
    #[error("there is no master key, and the virtual secrets of these callers need it")]
    MasterMissing(String),
    /// Another master key than the one that the callers were issued with.
    #[error("{0}: another master key than the one that the callers were issued with")]
    MasterOther(PathBuf),
    /// A master key that systemd hands over, and that cannot be replaced here.
    #[error("{0}: a credential")]
    MasterElsewhere(PathBuf),
    /// Nowhere to keep the revocations and the master key.
    #[error("there is no state directory: set STATE_DIRECTORY")]
    NoStateDirectory,
    /// A name that is taken.
    #[error("there is a caller {0} already")]
    Exists(String),
    /// A name that no caller has.
    #[error("there is no caller {0}")]
    Unknown(String),
    /// A second rotation before the end of the first.
    #[error(
        "a rotation of {0} is under way: end it first (crypto-proxy caller rotate {0} --finish)"
    )]
    Rotating(String),
    /// No rotation to be ended.
    #[error("no rotation of {0} is under way")]
    NotRotating(String),
    /// What was asked for is no caller: what is wrong, and what to do.
    #[error("{0}")]
    Unfit(String, String),
}

fn list(faults: &[Fault]) -> String {
    let line = |fault: &Fault| {
        format!(
            "line {}: {}: {}; {}",
            fault.line, fault.key, fault.text, fault.remedy
        )
    };
    let lines: Vec<_> = faults.iter().map(line).collect();
    lines.join("; ")
}

impl CallersError {
    /// What kept a file from being read.
    fn unreadable(path: &std::path::Path, error: io::Error) -> Self {
        match Distrust::of(&error) {
            Some(distrust) => Self::Distrusted(path.to_owned(), distrust),
            None => Self::Unreadable(path.to_owned(), error),
        }
    }

    /// What to do, where more can be said than the text says.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Distrusted(path, distrust) => Some(distrust.remedy(path)),
            Self::RevocationsMissing(_) => Some(
                "restore it from a backup, or crypto-proxy caller revoke --all and issue them again"
                    .to_owned(),
            ),
            Self::Revocations(..) => {
                Some("restore the file from a backup, or revoke all and issue them again".to_owned())
            }
            Self::MasterOpen(..) => {
                Some("revoke all and issue them again, or chmod 600 it if nobody did".to_owned())
            }
            Self::MasterMissing(looked_at) => Some(format!(
                "looked at {looked_at}; restore it, or revoke all and issue them again"
            )),
            Self::MasterOther(_) => {
                Some("restore the right one, or revoke all and issue them again".to_owned())
            }
            Self::MasterElsewhere(_) => Some(
                "nobody has access any more, but replace the master key where the unit takes it from (LoadCredential=)"
                    .to_owned(),
            ),
            Self::Unknown(_) => Some("crypto-proxy caller list shows them".to_owned()),
            Self::Unfit(_, remedy) => Some(remedy.clone()),
            Self::Unreadable(..)
            | Self::Unwritable(..)
            | Self::Faulty(..)
            | Self::MasterMalformed(_)
            | Self::NoStateDirectory
            | Self::Exists(_)
            | Self::Rotating(_)
            | Self::NotRotating(_) => None,
        }
    }

    /// What is wrong and what to do, for whoever is told no more than this.
    #[must_use]
    pub fn with_remedy(self) -> anyhow::Error {
        match self.remedy() {
            Some(remedy) => anyhow::anyhow!("{self}; {remedy}"),
            None => self.into(),
        }
    }
}

impl fmt::Debug for CallerFiles {
    /// No path: a credential may have been pasted into one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerFiles").finish_non_exhaustive()
    }
}

impl CallerFiles {
    /// Reads the callers; none where there is no file, unless it was named.
    ///
    /// # Errors
    /// The file cannot be read, or has faults.
    pub fn read(&self) -> Result<(FileText, Vec<Entry>), CallersError> {
        if self.named && !self.file.exists() {
            return Err(CallersError::Unreadable(
                self.file.clone(),
                io::ErrorKind::NotFound.into(),
            ));
        }
        edit::read(self)
    }

    /// Who may own them.
    fn trusted(&self) -> Trusted {
        Trusted::with_state(self.state_directory.as_deref())
    }

    /// The path of the marks.
    ///
    /// # Errors
    /// [`CallersError::NoStateDirectory`].
    pub fn revocations(&self) -> Result<PathBuf, CallersError> {
        self.state_directory
            .as_ref()
            .map(|directory| directory.join(REVOCATIONS_NAME))
            .ok_or(CallersError::NoStateDirectory)
    }
}

#[cfg(test)]
mod tests;
