//! `check --compare-key`: is the key on the exchange's dashboard the key that is configured here?
//!
//! It shows same or different, and fingerprints of keys; nothing else of what was pasted, not even its length. A secret
//! that was pasted in the key's place is recognised where the sources hold it, and gets no fingerprint. Exit codes: 0 same,
//! 1 different, 64 nothing usable was given, 78 no pair in the sources. The exchange is not asked.

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

use super::Page;
use crate::config::{self, FilePair, KeyMatch, PastedKey, Sources};

const PROMPT: &str =
    "Paste the API key that the exchange's dashboard shows (it stays hidden), then Enter: ";
/// Ended by a signal: 128 and its number, as a shell has it.
const SIGNALLED: u8 = 128;

/// A source of credentials, and its pair.
struct ComparedSource<'a> {
    /// `None`: whatever the daemon would take.
    file: Option<&'a Path>,
    pair: Option<FilePair>,
}

/// What was given.
struct GivenKey {
    pasted: PastedKey,
    /// Whether it is among the credentials of the sources at all.
    elsewhere: bool,
}

/// What the comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Same,
    Different,
    NoPair,
}

impl Comparison {
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
    let compared = compared(sources);
    // Before anybody is asked to paste anything.
    if compared.iter().all(|source| source.pair.is_none()) {
        let problem = anyhow::anyhow!(
            "there is no complete pair to compare with; `crypto-proxy check` says why"
        );
        return super::super::fail(super::super::CONFIGURATION, &problem);
    }
    let text = match read_pasted(PROMPT) {
        Ok(text) => text,
        Err(InputError::Stopped(signal)) => return ExitCode::from(SIGNALLED + signal),
        Err(problem) => return nothing_to_compare(&problem.to_string()),
    };
    let pasted = match PastedKey::read(&text) {
        Ok(Some(pasted)) => pasted,
        Ok(None) => return nothing_to_compare("nothing was given"),
        Err(inside) => return nothing_to_compare(&format!("what was given {inside}")),
    };
    let elsewhere = config::inspect(sources).leaks.occurs_in(text.as_bytes());
    let given = GivenKey { pasted, elsewhere };
    match write_comparison(&given, &compared, &mut Page::of_stdout()) {
        Ok(comparison) => ExitCode::from(comparison.code()),
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
fn compared(sources: &Sources) -> Vec<ComparedSource<'_>> {
    if sources.env_files.len() < 2 {
        return vec![ComparedSource {
            file: None,
            pair: config::pair_of_sources(sources),
        }];
    }
    let files = sources.env_files.iter();
    files
        .map(|file| ComparedSource {
            file: Some(file),
            pair: config::pair_of_file(file),
        })
        .collect()
}

/// Writes what each place holds beside what was given.
fn write_comparison(
    given: &GivenKey,
    compared: &[ComparedSource<'_>],
    page: &mut Page<impl Write>,
) -> io::Result<Comparison> {
    let GivenKey { pasted, elsewhere } = given;
    let pairs = compared.iter().filter_map(|source| source.pair.as_ref());
    let matches_found: Vec<KeyMatch> = pairs.map(|pair| pasted.beside(&pair.credentials)).collect();
    let (is_key, is_secret) = (
        matches_found.contains(&KeyMatch::Key),
        matches_found.contains(&KeyMatch::Secret),
    );
    // Only the place where they stand tells the token and other secrets from a key.
    let may_be_shown = !is_secret && (is_key || !elsewhere);
    if let Some(fingerprint) = pasted.fingerprint().filter(|_| may_be_shown) {
        page.paragraph(
            &format!("what was given: key fingerprint {fingerprint}"),
            0,
            4,
        )?;
    }
    for ComparedSource { file, pair } in compared {
        let source = file.map_or_else(
            || "configured here".to_owned(),
            |file| file.display().to_string(),
        );
        let found = pair.as_ref().map_or_else(
            || "no complete pair".to_owned(),
            |pair| describe(pasted, pair),
        );
        page.paragraph(&format!("{source}: {found}"), 0, 4)?;
    }
    let comparison = conclude(&matches_found, compared.len());
    page.paragraph(verdict(comparison, is_secret, given), 0, 4)?;
    Ok(comparison)
}

fn describe(pasted: &PastedKey, FilePair { name, credentials }: &FilePair) -> String {
    let word = match pasted.beside(credentials) {
        KeyMatch::Key => "the same key",
        KeyMatch::Secret => "what was given is its SECRET, not its key",
        KeyMatch::Other => "another key",
    };
    format!(
        "{name}, key fingerprint {}: {word}",
        credentials.key.fingerprint()
    )
}

fn conclude(matches_found: &[KeyMatch], compared: usize) -> Comparison {
    if matches_found
        .iter()
        .any(|matches_found| *matches_found != KeyMatch::Key)
    {
        return Comparison::Different;
    }
    if matches_found.len() == compared {
        Comparison::Same
    } else {
        Comparison::NoPair
    }
}

const fn verdict(comparison: Comparison, is_secret: bool, given: &GivenKey) -> &'static str {
    match comparison {
        Comparison::Same => "Same: the key that was given is the one configured here.",
        Comparison::NoPair => "Same where there is a pair; not every file has one.",
        Comparison::Different if is_secret => {
            "Different: that is the secret, not the key. It must not be pasted anywhere; the key is the shorter text \
             that the dashboard goes on showing."
        }
        Comparison::Different if given.pasted.begins_as_a_secret() => {
            "Different: what was given begins as a secret does, and is none that is configured here. Give the key, which \
             the dashboard goes on showing."
        }
        Comparison::Different if given.elsewhere => {
            "Different: what was given is not the key in use, and stands elsewhere in the same sources: a second pair, or \
             the token. `crypto-proxy check` names them."
        }
        Comparison::Different => {
            "Different: what was given is not the key configured here. Configure the pair that the dashboard shows, key \
             and secret from one creation, or compare with the other keys there."
        }
    }
}

/// The longest input, in bytes; keys are far shorter.
const MAX_BYTES: usize = 1024;

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
enum InputError {
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
enum ReadUntil {
    Line,
    Input,
}

/// Reads a line from the terminal, or everything from what else stdin is.
///
/// On a terminal the echo is off before the prompt appears, and on again whatever happens: input, its end, an error,
/// Ctrl-C, SIGTERM, a hang-up. What was typed ahead is thrown away with it. The bytes stand in one buffer, which is
/// wiped; no buffered reader keeps a copy.
fn read_pasted(prompt: &str) -> Result<Zeroizing<String>, InputError> {
    let stdin = io::stdin();
    let bytes = if stdin.is_terminal() {
        read_hidden(prompt)?
    } else {
        read_bytes(&stdin, ReadUntil::Input)?
    };
    if bytes.len() > MAX_BYTES {
        return Err(InputError::TooLong);
    }
    std::str::from_utf8(&bytes)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| InputError::NotText)
}

fn read_hidden(prompt: &str) -> Result<Zeroizing<Vec<u8>>, InputError> {
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
        let _quiet = EchoOff::new(io::stdin())?;
        anstream::eprint!("{prompt}");
        let line = tokio::task::spawn_blocking(|| read_bytes(&io::stdin(), ReadUntil::Line));
        tokio::select! {
            line = line => line.map_err(io::Error::other)?,
            _ = interrupt.recv() => Err(InputError::Stopped(2)),
            _ = quit.recv() => Err(InputError::Stopped(3)),
            _ = terminate.recv() => Err(InputError::Stopped(15)),
            _ = hangup.recv() => Err(InputError::Stopped(1)),
        }
    });
    // The reader may still wait for a line that is not wanted any more.
    runtime.shutdown_background();
    if read.is_err() {
        anstream::eprintln!();
    }
    read
}

/// At most one byte more than allowed.
fn read_bytes(from: &Stdin, until: ReadUntil) -> Result<Zeroizing<Vec<u8>>, InputError> {
    let mut buffer = Zeroizing::new(vec![0; MAX_BYTES + 1]);
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match rustix::io::read(from, room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(InputError::Failed(error.into())),
        }
        let at_end = filled.checked_sub(1).and_then(|last| buffer.get(last)) == Some(&b'\n');
        if until == ReadUntil::Line && at_end {
            break;
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

/// A terminal without echo, for as long as this lives.
struct EchoOff<T: AsFd> {
    terminal: T,
    before: Termios,
}

impl<T: AsFd> EchoOff<T> {
    fn new(terminal: T) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut without_echo = before.clone();
        without_echo.local_modes.remove(LocalModes::ECHO);
        // The end of the line is shown, and the kernel's line editing and Ctrl-C stay as they are.
        without_echo
            .local_modes
            .insert(LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Flush, &without_echo)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for EchoOff<T> {
    fn drop(&mut self) {
        // Flush: a second line that was pasted must not reach the shell.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
