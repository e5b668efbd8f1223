//! The support bundle: a ticket for the exchange's support, and the evidence beside it, in one tar.
//!
//! Guarantees: made of typed findings, of probes made for it and of counts and changes of the history, never of stored
//! traffic or journal lines: no params, amounts, instruments, order ids or request ids; a method that the catalogue does
//! not know is not named, because a caller may have made its name up; control characters from outside are stripped; every
//! file and the finished archive are searched for every secret, and on a hit there is no archive. Does not: write
//! anything to disk, or send it.

use serde_json::Value;
use uuid::Uuid;

use super::report::{Paint, Report};
use gateway::secret::LeakSearch;

mod archive;
mod ask;
mod plain;
mod record;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod ticket;

pub use record::{CallerNames, Kept, Record, without_unknown_methods};
pub use system::System;

/// What a bundle is made of.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The number that this side gives the issue.
    pub issue: Uuid,
    /// The diagnosis that was made for it.
    pub report: Report<'a>,
    /// What was kept of the past.
    pub record: &'a Record,
    /// Whether callers are named.
    pub caller_names: CallerNames,
    /// What this runs on.
    pub system: &'a System,
    /// The redacted configuration, as `check` prints it.
    pub configuration: &'a str,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
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
    pub files: Vec<File>,
    /// The archive.
    pub tar: Vec<u8>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A secret stands in a file.
    #[error("a secret stands in its file {0}")]
    Leak(&'static str),
    /// The archive could not be made.
    #[error("the archive cannot be made: {0}")]
    Archive(#[from] std::io::Error),
}

const ARCHIVE: &str = "(the archive itself)";

/// Makes the bundle, and looks for these secrets in it.
///
/// # Errors
/// [`Refusal`].
pub fn pack(material: &Material<'_>, leaks: &LeakSearch) -> Result<Bundle, Refusal> {
    let files = files(material)?;
    if let Some(file) = files
        .iter()
        .find(|file| leaks.occurs_in(file.text.as_bytes()))
    {
        return Err(Refusal::Leak(file.name));
    }
    let at_ms = material.report.findings.at_ms;
    let name = format!("crypto-proxy-support-{}", plain::compact_time(at_ms));
    let tar = archive::tar(&name, &files, at_ms / 1000)?;
    if leaks.occurs_in(&tar) {
        Err(Refusal::Leak(ARCHIVE))
    } else {
        Ok(Bundle { name, files, tar })
    }
}

fn files(material: &Material<'_>) -> Result<Vec<File>, std::io::Error> {
    let Material {
        report,
        record,
        configuration,
        ..
    } = material;
    let file = |name, about, text: String| File {
        name,
        about,
        text: plain::lines(&text),
    };
    let json =
        |value: Value| serde_json::to_string_pretty(&plain::value(value)).map(|text| text + "\n");
    let mut files = vec![
        file(
            "ticket.md",
            "the ticket: read it, complete it, send it",
            ticket::write(material),
        ),
        file(
            "diagnosis.json",
            "what the probes saw and what may stand behind it, for programs",
            json(report.json())?,
        ),
        file(
            "diagnosis.txt",
            "the same for people, as `crypto-proxy diagnose` prints it",
            report.text(Paint::Plain),
        ),
        file(
            "history.json",
            "what changed and when, the last good and the first bad call of each method, calls per hour",
            json(record.json(report.findings.at_ms, material.caller_names))?,
        ),
        file(
            "configuration.txt",
            "every setting and its source, redacted, as `crypto-proxy check` prints it",
            (*configuration).to_owned(),
        ),
    ];
    files.push(file("README.txt", "this list", readme(material, &files)));
    Ok(files)
}

fn readme(material: &Material<'_>, files: &[File]) -> String {
    let list: String = files
        .iter()
        .map(|file| format!("{:<18} {}\n", file.name, file.about))
        .collect();
    let callers = match material.caller_names {
        CallerNames::Counted => "How many callers there are is in it, not their names.",
        CallerNames::Shown => "The names of the callers are in it, as was asked for.",
    };
    format!(
        "Support bundle of crypto-proxy {}, issue {}\n\n{list}\nticket.md can be read alone: where the settings of this \
         machine are nobody's business, send only that.\n\nMade of typed facts and of probes that never trade. No key, \
         secret or token is in it: every file was\nsearched for each of them, plain and encoded, before it was written. \
         Nor are params, amounts, instruments,\norder ids or request ids. An API key is named by its fingerprint: the first \
         8 hexadecimal characters of its\nSHA-256. A secret is a number that means nothing elsewhere.\n{callers}\nTimes are \
         UTC.\n",
        env!("CARGO_PKG_VERSION"),
        material.issue,
    )
}
