//! The journal as the path of a call has it: questions go to the thread, and its answers come back.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use gateway::ledger::{
    Account, Attempt, Away, Begun, Boxed, Conclusion, Entry, Intent, Known, Ledger, Listing, Past,
    Settled, State, Ticket,
};
use tokio::sync::oneshot;

use crate::{
    command::{Ask, Command, Question, Said},
    notes::MOST_NOTES,
    recent,
    schema::Problem,
    shared::Shared,
    times::Times,
    writer::Writer,
};

/// How long a list, a look after open attempts, or the end of the process waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pages of the file that SQLite keeps in memory (`PRAGMA cache_size`).
const PAGES: usize = 4 << 20;
/// An entry that waits, with its names.
const ENTRY: usize = 1 << 10;

/// What the journal keeps, and how long it lets others wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long an answer is given again.
    pub replay: Duration,
    /// Bytes of all answers that are kept; beyond it the oldest go.
    pub answer_bytes: u64,
    /// How long names, ids of orders and their owners are kept after their attempt has ended, and after its order was seen
    /// open. This time and the next one count while a daemon has the journal open.
    pub kept: Duration,
    /// How long attempts are kept that hold nothing: cancellations, and what was not executed.
    pub kept_shortly: Duration,
    /// How many of each of the two are kept.
    pub most_kept_shortly: u64,
    /// How long somebody who begins or looks waits for the disk. [`Duration::MAX`]: as long as it takes, without a timer.
    pub wait: Duration,
    /// How many questions may wait.
    pub most_waiting: usize,
}

impl Default for Settings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            replay: Duration::from_secs(600),
            answer_bytes: 64 * 1024 * 1024,
            kept: 90 * DAY,
            kept_shortly: 7 * DAY,
            most_kept_shortly: 250_000,
            wait: Duration::from_millis(500),
            most_waiting: 1024,
        }
    }
}

impl Settings {
    /// Bytes that it holds at the worst: pages of the file, and what waits for the disk.
    #[must_use]
    pub const fn most_bytes(&self) -> usize {
        PAGES + (self.most_waiting + MOST_NOTES) * ENTRY + recent::BYTES
    }
}

/// The order journal of this process. Dropping it writes what waits, for a bounded time.
#[derive(Debug)]
pub struct Journal {
    commands: Sender<Command>,
    shared: Arc<Shared>,
    times: Times,
    wait: Duration,
    most_waiting: usize,
    thread: Option<JoinHandle<()>>,
    /// Ends with the thread.
    ended: Mutex<Receiver<()>>,
}

impl Journal {
    /// Opens the journal, and makes it where there is none. What another process left open is in doubt from now on. A disk
    /// that is full or cannot be written, and a damaged file, are no error here: orders are refused as long as that lasts.
    ///
    /// # Errors
    /// Another process has the file, or it is of a newer version or of another program.
    pub fn open(path: &Path, settings: Settings, times: Times) -> Result<Self, Problem> {
        Self::start(Some(path), settings, times)
    }

    /// A journal that ends with this value.
    ///
    /// # Errors
    /// The machine is out of memory, or of threads.
    pub fn in_memory(settings: Settings, times: Times) -> Result<Self, Problem> {
        Self::start(None, settings, times)
    }

    fn start(path: Option<&Path>, settings: Settings, times: Times) -> Result<Self, Problem> {
        let (commands, received) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let (wait, most_waiting) = (settings.wait, settings.most_waiting);
        let mut writer = Writer::new(
            path.map(Path::to_owned),
            settings,
            times.clone(),
            Arc::clone(&shared),
            commands.clone(),
        );
        writer.start()?;
        let (ends, ended) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                let _ends = ends;
                writer.run(&received);
            })?;
        Ok(Self {
            commands,
            shared,
            times,
            wait,
            most_waiting,
            thread: Some(thread),
            ended: Mutex::new(ended),
        })
    }

    /// How many transactions wrote something so far.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) const fn commands_of_test(&self) -> &Sender<Command> {
        &self.commands
    }

    async fn ask(&self, question: Question, wait: Duration) -> Result<Said, Away> {
        let waiting = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        if waiting >= self.most_waiting {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Away::Busy(waiting));
        }
        let (reply, replied) = oneshot::channel();
        let ask = Ask { question, reply };
        if self.commands.send(Command::Ask(ask)).is_err() {
            return Err(gone());
        }
        let replied = if wait == Duration::MAX {
            replied.await
        } else if let Ok(replied) = tokio::time::timeout(wait, replied).await {
            replied
        } else {
            let away = Away::Slow(wait);
            self.shared.slow(&away);
            let _ = self.commands.send(Command::Probe);
            return Err(away);
        };
        replied.unwrap_or_else(|_| Err(gone()))
    }

    async fn entries(&self, question: Question) -> Result<Vec<Entry>, Away> {
        match self.ask(question, self.patience()).await? {
            Said::Entries(entries) => Ok(entries),
            Said::Go(_) | Said::Known(_) | Said::WasOpen(_) | Said::Heard => Err(gone()),
        }
    }

    /// What is said of names while the disk does not answer: those that were begun of late may have been executed.
    fn of_late(&self, names: &[u64]) -> Option<Known> {
        self.shared.recent.knows(names).then(|| {
            Known::Unknown(Past {
                state: State::Unknown,
                begun_ms: 0,
                rid: String::new(),
                order_ids: Vec::new(),
            })
        })
    }

    fn patience(&self) -> Duration {
        self.wait.max(PATIENCE)
    }
}

/// The thread is gone, or answers something else: a mistake of ours, after which nothing is sent.
fn gone() -> Away {
    Away::Unwritable("its thread has ended".to_owned())
}

impl Ledger for Journal {
    fn begin(&self, intent: Intent) -> Boxed<'_, Result<Begun, Away>> {
        let asked_up = self.times.now().up_ms;
        let names = self.shared.recent.hashes(&intent);
        Box::pin(async move {
            let to_be_sent = intent.to_be_sent;
            let asked = self.ask(Question::Begin(Box::new(intent)), self.wait).await;
            let begun = match asked {
                Ok(Said::Go(given)) => {
                    // Its time counts from when it was asked for, not from when the disk had it.
                    let up_ms = self.times.now().up_ms.saturating_sub(asked_up);
                    let left = to_be_sent.saturating_sub(Duration::from_millis(up_ms));
                    let (attempt, is_again) = given.take();
                    Begun::Go(Ticket::written(attempt, left, is_again))
                }
                Ok(Said::Known(Some(known))) => Begun::Known(known),
                Ok(Said::Known(None) | Said::Entries(_) | Said::WasOpen(_) | Said::Heard) => {
                    return Err(gone());
                }
                Err(away) => return self.of_late(&names).map(Begun::Known).ok_or(away),
            };
            self.shared.recent.note(names);
            Ok(begun)
        })
    }

    fn look(&self, intent: Intent) -> Boxed<'_, Result<Option<Known>, Away>> {
        let names = self.shared.recent.hashes(&intent);
        Box::pin(async move {
            match self.ask(Question::Look(Box::new(intent)), self.wait).await {
                Ok(Said::Known(known)) => Ok(known),
                Ok(Said::Go(_) | Said::Entries(_) | Said::WasOpen(_) | Said::Heard) => Err(gone()),
                Err(away) => self.of_late(&names).map(Some).ok_or(away),
            }
        })
    }

    fn note(&self, intent: Intent) -> Ticket {
        let ticket = Ticket::written(intent.attempt, intent.to_be_sent, false);
        if self.shared.notes.enter(intent.attempt) {
            let _ = self.commands.send(Command::Note(Box::new(intent)));
        }
        ticket
    }

    fn conclude(&self, attempt: Attempt, conclusion: Conclusion) {
        if self.shared.notes.was_let_go(attempt) {
            return;
        }
        let _ = self.commands.send(Command::Conclude(attempt, conclusion));
    }

    fn due(&self, account: Arc<Account>, most: usize) -> Boxed<'_, Result<Vec<Entry>, Away>> {
        Box::pin(self.entries(Question::Due(account, most)))
    }

    fn are_open(&self, account: Arc<Account>, orders: Vec<String>) -> Boxed<'_, Result<(), Away>> {
        Box::pin(async move {
            let question = Question::AreOpen(account, orders);
            self.ask(question, self.patience()).await.map(drop)
        })
    }

    fn settle(&self, attempt: Attempt, settled: Settled) -> Boxed<'_, Result<bool, Away>> {
        Box::pin(async move {
            match self
                .ask(Question::Settle(attempt, settled), self.patience())
                .await?
            {
                Said::WasOpen(was_open) => Ok(was_open),
                Said::Go(_) | Said::Known(_) | Said::Entries(_) | Said::Heard => Err(gone()),
            }
        })
    }

    fn list(&self, listing: Listing) -> Boxed<'_, Result<Vec<Entry>, Away>> {
        Box::pin(self.entries(Question::List(listing)))
    }

    fn in_doubt(&self) -> usize {
        self.shared.in_doubt.load(Ordering::Relaxed)
    }

    fn away(&self) -> Option<Away> {
        self.shared.away()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Close);
        // A disk that hangs must not keep the process from ending: what was not written is in doubt at the next start.
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}
