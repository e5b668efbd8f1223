//! `check --compare-key`: is the key on the exchange's dashboard the key that is configured here?
//!
//! Guarantees: same or different, and fingerprints of keys; nothing else of what was pasted, not even its length.
//! A secret that was pasted in the key's place is recognised where the sources hold it, and gets no fingerprint. Exit
//! codes: 0 same, 1 different, 64 nothing usable was given, 78 no pair in the sources. Does not: ask the exchange.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use super::{layout, pasted};
use crate::config::{self, FilePair, Likeness, Pasted, Sources};

const PROMPT: &str =
    "Paste the API key that the exchange's dashboard shows (it stays hidden), then Enter: ";
/// Ended by a signal: 128 and its number, as a shell has it.
const SIGNALLED: u8 = 128;

/// Where a pair was looked for, and whether there is one.
struct Place<'a> {
    /// `None`: whatever the daemon would take.
    file: Option<&'a Path>,
    pair: Option<FilePair>,
}

/// What was given.
struct Given {
    pasted: Pasted,
    /// Whether it is among the credentials of the sources at all.
    elsewhere: bool,
}

/// What the comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Same,
    Different,
    NoPair,
}

impl Answer {
    const fn code(self) -> u8 {
        match self {
            Self::Same => 0,
            Self::Different => 1,
            Self::NoPair => super::super::CONFIGURATION,
        }
    }
}

/// Runs it.
pub(super) fn run(sources: &Sources) -> ExitCode {
    let places = places(sources);
    // Before anybody is asked to paste anything.
    if places.iter().all(|place| place.pair.is_none()) {
        let problem = anyhow::anyhow!(
            "there is no complete pair to compare with; `crypto-proxy check` says why"
        );
        return super::super::fail(super::super::CONFIGURATION, &problem);
    }
    let text = match pasted::read(PROMPT) {
        Ok(text) => text,
        Err(pasted::Unread::Stopped(signal)) => return ExitCode::from(SIGNALLED + signal),
        Err(problem) => return nothing_to_compare(&problem.to_string()),
    };
    let pasted = match Pasted::read(&text) {
        Ok(Some(pasted)) => pasted,
        Ok(None) => return nothing_to_compare("nothing was given"),
        Err(inside) => return nothing_to_compare(&format!("what was given {inside}")),
    };
    let elsewhere = config::examine(sources).leaks.occurs_in(text.as_bytes());
    let given = Given { pasted, elsewhere };
    match tell(&given, &places, &mut io::stdout().lock()) {
        Ok(answer) => ExitCode::from(answer.code()),
        Err(problem) => super::super::fail(super::super::CONFIGURATION, &problem.into()),
    }
}

fn nothing_to_compare(why: &str) -> ExitCode {
    super::super::fail(
        super::super::USAGE,
        &anyhow::anyhow!("no key to compare: {why}"),
    )
}

/// Each environment file where several are named, else what the daemon would take from all sources.
fn places(sources: &Sources) -> Vec<Place<'_>> {
    if sources.env_files.len() < 2 {
        return vec![Place {
            file: None,
            pair: config::pair_of_sources(sources),
        }];
    }
    let files = sources.env_files.iter();
    files
        .map(|file| Place {
            file: Some(file),
            pair: config::pair_of_file(file),
        })
        .collect()
}

/// Writes what each place holds beside what was given.
fn tell(given: &Given, places: &[Place<'_>], out: &mut impl Write) -> io::Result<Answer> {
    let Given { pasted, elsewhere } = given;
    let pairs = places.iter().filter_map(|place| place.pair.as_ref());
    let likeness: Vec<Likeness> = pairs.map(|pair| pasted.beside(&pair.credentials)).collect();
    let (is_key, is_secret) = (
        likeness.contains(&Likeness::Key),
        likeness.contains(&Likeness::Secret),
    );
    // The token and other secrets are told from a key by where they stand only.
    let may_be_shown = !is_secret && (is_key || !elsewhere);
    if let Some(fingerprint) = pasted.fingerprint().filter(|_| may_be_shown) {
        writeln!(out, "what was given: key fingerprint {fingerprint}")?;
    }
    for Place { file, pair } in places {
        let place = file.map_or_else(
            || "configured here".to_owned(),
            |file| file.display().to_string(),
        );
        let found = pair.as_ref().map_or_else(
            || "no complete pair".to_owned(),
            |pair| describe(pasted, pair),
        );
        layout::paragraph(out, &format!("{place}: {found}"), 0, 4)?;
    }
    let answer = conclude(&likeness, places.len());
    layout::paragraph(out, verdict(answer, is_secret, given), 0, 4)?;
    Ok(answer)
}

fn describe(pasted: &Pasted, FilePair { name, credentials }: &FilePair) -> String {
    let word = match pasted.beside(credentials) {
        Likeness::Key => "the same key",
        Likeness::Secret => "what was given is its SECRET, not its key",
        Likeness::Other => "another key",
    };
    format!(
        "{name}, key fingerprint {}: {word}",
        credentials.key.fingerprint()
    )
}

fn conclude(likeness: &[Likeness], places: usize) -> Answer {
    if likeness.iter().any(|likeness| *likeness != Likeness::Key) {
        return Answer::Different;
    }
    if likeness.len() == places {
        Answer::Same
    } else {
        Answer::NoPair
    }
}

const fn verdict(answer: Answer, is_secret: bool, given: &Given) -> &'static str {
    match answer {
        Answer::Same => "Same: the key that was given is the one configured here.",
        Answer::NoPair => "Same where there is a pair; not every file has one.",
        Answer::Different if is_secret => {
            "Different: that is the secret, not the key. It must not be pasted anywhere; the key is the shorter text \
             that the dashboard goes on showing."
        }
        Answer::Different if given.pasted.begins_as_a_secret() => {
            "Different: what was given begins as a secret does, and is none that is configured here. Give the key, which \
             the dashboard goes on showing."
        }
        Answer::Different if given.elsewhere => {
            "Different: what was given is not the key in use, and stands elsewhere in the same sources: a second pair, or \
             the token. `crypto-proxy check` names them."
        }
        Answer::Different => {
            "Different: what was given is not the key configured here. Configure the pair that the dashboard shows, key \
             and secret from one creation, or compare with the other keys there."
        }
    }
}
