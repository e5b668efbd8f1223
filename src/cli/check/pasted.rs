//! Reads a pasted key: at a prompt that does not show it, or from a pipe.
//!
//! Guarantees: on a terminal the echo is off before the prompt appears and back on whatever happens: input, its end,
//! an error, Ctrl-C, SIGTERM, a hang-up; what was typed ahead is thrown away with it. Bytes stand in one buffer, which
//! is wiped; no buffered reader keeps a copy. Does not: look at what it read.

use std::{
    io::{self, IsTerminal, Stdin},
    os::fd::AsFd,
};

use rustix::{
    io::Errno,
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr},
};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// The longest input, in bytes; keys are far shorter.
const MAX_BYTES: usize = 1024;

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
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
pub(super) fn read(prompt: &str) -> Result<Zeroizing<String>, Unread> {
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
