//! What the thread that has the file is told and asked, and what it answers.
//!
//! Guarantees: a [`Given`] that nobody takes is concluded as not sent.

use std::sync::{Arc, mpsc::Sender};

use gateway::ledger::{Account, Attempt, Away, Conclusion, Entry, Intent, Known, Listing, Settled};
use tokio::sync::oneshot;

#[cfg(test)]
use crate::store::Store;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    Ask(Ask),
    Note(Box<Intent>),
    Conclude(Attempt, Conclusion),
    /// Somebody gave up waiting: see whether the disk is back.
    Probe,
    /// Write what waits, and end.
    Close,
    /// Do this to the open file, for a test.
    #[cfg(test)]
    Test(TestCommand),
}

#[cfg(test)]
pub(crate) struct TestCommand(pub(crate) Box<dyn FnOnce(&Store) + Send>);

#[cfg(test)]
impl std::fmt::Debug for TestCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestCommand")
    }
}

/// Something that somebody waits for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) question: Question,
    pub(crate) reply: oneshot::Sender<Result<Said, Away>>,
}

#[derive(Debug)]
pub(crate) enum Question {
    Begin(Box<Intent>),
    Look(Box<Intent>),
    Due(Arc<Account>, usize),
    AreOpen(Arc<Account>, Vec<String>),
    Settle(Attempt, Settled),
    List(Listing),
}

/// What is answered, to each question its own.
#[derive(Debug)]
pub(crate) enum Said {
    Go(Given),
    /// `None`: the names are free.
    Known(Option<Known>),
    Entries(Vec<Entry>),
    WasOpen(bool),
    Heard,
}

/// An attempt that is on the disk, on its way to whoever asked. Where nobody takes it, it is not sent.
#[derive(Debug)]
pub(crate) struct Given {
    attempt: Attempt,
    is_again: bool,
    commands: Option<Sender<Command>>,
}

impl Given {
    /// One that goes back by these commands.
    pub(crate) const fn new(attempt: Attempt, is_again: bool, commands: Sender<Command>) -> Self {
        Self {
            attempt,
            is_again,
            commands: Some(commands),
        }
    }

    /// The attempt, and whether one of its names was used before.
    pub(crate) fn take(mut self) -> (Attempt, bool) {
        self.commands = None;
        (self.attempt, self.is_again)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if let Some(commands) = self.commands.take() {
            let _ = commands.send(Command::Conclude(self.attempt, Conclusion::NotSent));
        }
    }
}
