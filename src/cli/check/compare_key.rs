//! `check --compare-key`: is the key on the exchange's dashboard the key that is configured here?
//!
//! Guarantees: same or different, and fingerprints of keys; nothing else of what was pasted, not even its length.
//! A secret that was pasted in the key's place is recognised where the sources hold it, and gets no fingerprint. Exit
//! codes: 0 same, 1 different, 64 nothing usable was given, 78 no pair in the sources. Does not: ask the exchange.

use std::{
    io::{self, IsTerminal, Stdin, Write},
    os::fd::AsFd,
    path::Path,
    process::ExitCode,
};

use rustix::{
    io::Errno,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr},
};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::paragraph;
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
    let text = match read_pasted(PROMPT) {
        Ok(text) => text,
        Err(Unread::Stopped(signal)) => return ExitCode::from(SIGNALLED + signal),
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
        paragraph(out, &format!("{place}: {found}"), 0, 4)?;
    }
    let answer = conclude(&likeness, places.len());
    paragraph(out, verdict(answer, is_secret, given), 0, 4)?;
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

/// The longest input, in bytes; keys are far shorter.
const MAX_BYTES: usize = 1024;

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
enum Unread {
    /// A signal came first.
    #[error("stopped")]
    Stopped(u8),
    /// Longer than any key.
    #[error("what was given is far too long to be a key")]
    TooLong,
    /// No text.
    #[error("what was given is not UTF-8")]
    NotText,
    /// The terminal or the pipe.
    #[error("it cannot be read: {0}")]
    Failed(#[from] io::Error),
}

/// Where a text ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Line,
    Input,
}

/// Reads a line from the terminal, or everything from what else stdin is.
///
/// On a terminal the echo is off before the prompt appears, and on again whatever happens: input, its end, an error,
/// Ctrl-C, SIGTERM, a hang-up. What was typed ahead is thrown away with it. The bytes stand in one buffer, which is
/// wiped; no buffered reader keeps a copy.
fn read_pasted(prompt: &str) -> Result<Zeroizing<String>, Unread> {
    let stdin = io::stdin();
    let bytes = if stdin.is_terminal() {
        read_hidden(prompt)?
    } else {
        read_bytes(&stdin, End::Input)?
    };
    if bytes.len() > MAX_BYTES {
        return Err(Unread::TooLong);
    }
    std::str::from_utf8(&bytes)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| Unread::NotText)
}

fn read_hidden(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let read = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut quit = signal(SignalKind::quit())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        // Caught and left alone: a stopped process would leave the shell without an echo.
        let _stop = signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?;
        let _quiet = Quiet::new(io::stdin())?;
        anstream::eprint!("{prompt}");
        let line = tokio::task::spawn_blocking(|| read_bytes(&io::stdin(), End::Line));
        tokio::select! {
            line = line => line.map_err(io::Error::other)?,
            _ = interrupt.recv() => Err(Unread::Stopped(2)),
            _ = quit.recv() => Err(Unread::Stopped(3)),
            _ = terminate.recv() => Err(Unread::Stopped(15)),
            _ = hangup.recv() => Err(Unread::Stopped(1)),
        }
    });
    // The reader may still wait for a line that nobody wants any more.
    runtime.shutdown_background();
    if read.is_err() {
        anstream::eprintln!();
    }
    read
}

/// At most one byte more than allowed.
fn read_bytes(from: &Stdin, end: End) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let mut buffer = Zeroizing::new(vec![0; MAX_BYTES + 1]);
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match rustix::io::read(from, room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(Unread::Failed(error.into())),
        }
        let at_end = filled.checked_sub(1).and_then(|last| buffer.get(last)) == Some(&b'\n');
        if end == End::Line && at_end {
            break;
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

/// A terminal without echo, for as long as this lives.
struct Quiet<T: AsFd> {
    terminal: T,
    before: Termios,
}

impl<T: AsFd> Quiet<T> {
    fn new(terminal: T) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // The end of the line is shown, and the kernel's line editing and Ctrl-C stay as they are.
        quiet
            .local_modes
            .insert(LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for Quiet<T> {
    fn drop(&mut self) {
        // Flush: a second line that was pasted must not reach the shell.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
