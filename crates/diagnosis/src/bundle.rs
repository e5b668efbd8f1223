//! The support bundle: a ticket for the exchange's support, and the evidence beside it, in one tar.
//!
//! Guarantees: made of typed findings, of probes made for it and of counts, changes and single calls of the history, never
//! of stored traffic or journal lines: no params, amounts, instruments or order ids; of a single call there is what the
//! exchange finds it by (nonce, `id`, time, method), and our request id; a method that the catalogue does
//! not know is not named, because a caller may have made its name up; control characters from outside are stripped; every
//! file and the finished archive are searched for every secret, and on a hit there is no archive. Does not: write
//! anything to disk, or send it.

use std::{
    fs,
    io::{self, Read},
};

use serde_json::Value;
use tar::{Builder, EntryType, Header};
use uuid::Uuid;

use super::report::{Diagnosis, Paint, Report};
use gateway::redact::LeakSearch;

mod history_extract;
mod markdown;
mod questions;
#[cfg(test)]
mod tests;
mod ticket;

pub use history_extract::{CallerNames, HistoryContents, HistoryExtract, without_unknown_methods};

/// What a bundle is made of.
#[derive(Clone, Copy, Debug)]
pub struct BundleInput<'a> {
    /// The number that this side gives the issue.
    pub issue: Uuid,
    /// The diagnosis that was made for it.
    pub diagnosis: &'a Diagnosis,
    /// What was kept of the past.
    pub history: &'a HistoryExtract,
    /// Whether callers are named.
    pub caller_names: CallerNames,
    /// What this runs on.
    pub system: &'a System,
    /// The redacted configuration, as `check` prints it.
    pub configuration: &'a str,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFile {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What it holds.
    pub text: String,
}

/// A finished bundle, searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Its name, without `.tar`; the folder that its files are in.
    pub name: String,
    /// What is in it.
    pub files: Vec<BundleFile>,
    /// The archive.
    pub tar: Vec<u8>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A secret stands in a file.
    #[error("its file {0} contains a secret")]
    Leak(&'static str),
    /// The archive could not be made.
    #[error("the archive cannot be made: {0}")]
    Archive(#[from] io::Error),
}

/// Bytes of `os-release` that are read at most.
const MAX_BYTES: u64 = 16 * 1024;
const MAX_CHARS: usize = 120;
const ARCHIVE: &str = "(the archive itself)";

/// Makes the bundle, and looks for these secrets in it.
///
/// # Errors
/// [`PackError`].
pub fn pack(input: &BundleInput<'_>, leaks: &LeakSearch) -> Result<Bundle, PackError> {
    let files = files(input)?;
    if let Some(file) = files
        .iter()
        .find(|file| leaks.occurs_in(file.text.as_bytes()))
    {
        return Err(PackError::Leak(file.name));
    }
    let at_ms = input.diagnosis.findings.at_ms;
    let name = format!("crypto-proxy-support-{}", text::time::file_name(at_ms));
    let tar = tar(&name, &files, at_ms / 1000)?;
    if leaks.occurs_in(&tar) {
        Err(PackError::Leak(ARCHIVE))
    } else {
        Ok(Bundle { name, files, tar })
    }
}

fn files(input: &BundleInput<'_>) -> Result<Vec<BundleFile>, io::Error> {
    let BundleInput {
        diagnosis,
        history,
        configuration,
        ..
    } = input;
    let report = Report::of(diagnosis);
    let file = |name, about, text: String| BundleFile {
        name,
        about,
        text: text::lines(&text),
    };
    let json = |value: Value| {
        serde_json::to_string_pretty(&markdown::value(value)).map(|text| text + "\n")
    };
    let mut files = vec![
        file(
            "ticket.md",
            "the ticket: read it, complete it, send it",
            ticket::write(input),
        ),
        file(
            "diagnosis.json",
            "what the probes saw and what may stand behind it, for programs",
            json(serde_json::to_value(&report)?)?,
        ),
        file(
            "diagnosis.txt",
            "the same for people, as `crypto-proxy diagnose` prints it",
            report.text(Paint::Plain, 80),
        ),
        file(
            "history.json",
            "what changed and when, the last good and the first bad call of each method, single calls, calls per hour",
            json(history.json(diagnosis.findings.at_ms, input.caller_names))?,
        ),
        file(
            "configuration.txt",
            "every setting and its source, redacted, as `crypto-proxy check` prints it",
            (*configuration).to_owned(),
        ),
    ];
    files.push(file("README.txt", "this list", readme(input, &files)));
    Ok(files)
}

fn readme(input: &BundleInput<'_>, files: &[BundleFile]) -> String {
    let list: String = files
        .iter()
        .map(|file| format!("{:<18} {}\n", file.name, file.about))
        .collect();
    let callers = match input.caller_names {
        CallerNames::Counted => "How many callers there are is in it, not their names.",
        CallerNames::Shown => "The names of the callers are in it, as was asked for.",
    };
    format!(
        "Support bundle of crypto-proxy {}, issue {}\n\n{list}\nticket.md can be read alone: where the settings of this \
         machine are nobody's business, send only that.\n\nMade of typed facts and of probes that never trade. No key, \
         secret or token is in it: every file was\nsearched for each of them, plain and encoded, before it was written. \
         Nor are params, amounts, instruments\nor order ids. Single calls are named by nonce, id, time and method, and by our request id. An API key is named by its fingerprint: the first \
         8 hexadecimal characters of its\nSHA-256. A secret is a number that means nothing elsewhere.\n{callers}\nTimes are \
         UTC.\n",
        env!("CARGO_PKG_VERSION"),
        input.issue,
    )
}

/// One ustar archive in memory: regular files of mode 0600 in one folder, owned by 0:0, all with the same time, so that it
/// tells nothing of this machine but the contents. Not compressed: a support desk opens it with anything.
fn tar(folder: &str, files: &[BundleFile], mtime_s: u64) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let header = |kind: EntryType, mode: u32, size: usize| {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(mtime_s);
        header.set_size(size as u64);
        header
    };
    builder.append_data(
        &mut header(EntryType::Directory, 0o700, 0),
        format!("{folder}/"),
        io::empty(),
    )?;
    for BundleFile { name, text, .. } in files {
        let mut header = header(EntryType::Regular, 0o600, text.len());
        builder.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
    }
    builder.into_inner()
}

/// The operating system, as far as a support desk asks; not the name of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Its name and version, as it calls itself.
    pub os: String,
    /// Its kernel and the machine's architecture.
    pub kernel: String,
}

impl System {
    /// This one.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let release = ["/etc/os-release", "/usr/lib/os-release"]
            .into_iter()
            .find_map(read);
        let os = release
            .as_deref()
            .and_then(pretty_name)
            .unwrap_or_else(|| "not known".to_owned());
        let uname = rustix::system::uname();
        let parts = [uname.sysname(), uname.release(), uname.machine()]
            .map(|part| part.to_string_lossy().into_owned());
        Self {
            os,
            kernel: parts.join(" "),
        }
    }
}

fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

fn pretty_name(release: &str) -> Option<String> {
    let value = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name: String = value
        .trim()
        .trim_matches(['"', '\''])
        .chars()
        .take(MAX_CHARS)
        .collect();
    (!name.is_empty()).then_some(name)
}
