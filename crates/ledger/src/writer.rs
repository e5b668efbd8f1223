//! The one thread that has the file: takes what waits, judges and writes it in one transaction, and answers once the disk
//! has it.
//!
//! Guarantees: nobody gets a `Go` before its attempt is on the disk; a `Go` that nobody took is concluded as not sent. What
//! became of an attempt is never lost while the process lives: it waits here until the disk takes it, and whoever asks in
//! the meantime is told. An entry that the file refuses fails alone. After a failure the next batch tries again.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use gateway::ledger::{
    Attempt, Away, Conclusion, Entry, Intent, Known, Listing, Running, Settled, State, Stored,
};
use rusqlite::ErrorCode;
use tokio::sync::{oneshot, watch};

use crate::{
    Settings,
    recent::Recent,
    rules::{self, Row, Verdict},
    schema::{self, Problem, remedy},
    store::Store,
    times::{Now, Times, millis},
};

/// Entries of one transaction.
const MOST_TOGETHER: usize = 256;
/// Cancellations that wait for a disk that takes nothing; further ones go without a trace here.
pub(crate) const MOST_NOTES: usize = 4096;
/// While the disk takes nothing, it is tried again so often.
const RETRY: Duration = Duration::from_secs(1);

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
    Due(usize),
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
}

/// An attempt that is on the disk, on its way to whoever asked. Where nobody takes it, it is not sent.
#[derive(Debug)]
pub(crate) struct Given {
    attempt: Attempt,
    is_again: bool,
    commands: Option<Sender<Command>>,
}

impl Given {
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

/// What others see of the thread.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Questions that wait.
    pub(crate) waiting: AtomicUsize,
    /// Attempts that are open, and no task of this process works on them.
    pub(crate) in_doubt: AtomicUsize,
    /// Transactions that wrote something.
    pub(crate) commits: AtomicU64,
    away: Mutex<Option<Away>>,
    /// Names of attempts of late, for those who ask while the disk does not answer.
    pub(crate) recent: Recent,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn away(&self) -> Option<Away> {
        self.lock().clone()
    }

    /// Remembers it, unless something else keeps it away already, and says so: the thread waits for the disk.
    pub(crate) fn slow(&self, away: &Away) {
        let mut known = self.lock();
        if known.is_none() {
            *known = Some(away.clone());
            drop(known);
            log(away, None);
        }
    }
}

/// What is known of an attempt, and not written yet.
#[derive(Debug, Default)]
struct Waiting {
    note: Option<Row>,
    conclusions: Vec<(Conclusion, Now)>,
}

/// The thread's own.
pub(crate) struct Writer {
    /// `None`: in memory.
    pub(crate) path: Option<PathBuf>,
    pub(crate) settings: Settings,
    pub(crate) times: Times,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: Sender<Command>,
    store: Option<Store>,
    /// Attempts that tasks of this process work on; whoever waits for their end waits for the sender to go.
    live: HashMap<Attempt, watch::Sender<()>>,
    /// The others that are open.
    doubtful: HashSet<Attempt>,
    waiting: BTreeMap<Attempt, Waiting>,
    notes: usize,
    damaged: Option<Away>,
    /// Whether a commit failed: what it wrote may be in the file all the same.
    unsure: bool,
}

impl Writer {
    pub(crate) fn new(
        path: Option<PathBuf>,
        settings: Settings,
        times: Times,
        shared: Arc<Shared>,
        commands: Sender<Command>,
    ) -> Self {
        Self {
            path,
            settings,
            times,
            shared,
            commands,
            store: None,
            live: HashMap::new(),
            doubtful: HashSet::new(),
            waiting: BTreeMap::new(),
            notes: 0,
            damaged: None,
            unsure: false,
        }
    }

    /// Answers and writes until it is told to end.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let first = if self.waiting.is_empty() && self.shared.lock().is_none() {
                commands.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                commands.recv_timeout(RETRY)
            };
            let first = match first {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Command::Close),
            };
            let is_last = self.turn(first, commands);
            if is_last {
                // What was given to somebody who is gone came back.
                self.turn(None, commands);
                return;
            }
        }
    }

    /// Takes what waits, writes and answers it; whether somebody says that this is the end.
    fn turn(&mut self, first: Option<Command>, commands: &Receiver<Command>) -> bool {
        let now = self.times.now();
        let mut asks = Vec::new();
        let mut is_last = false;
        let waiting = first.into_iter().chain(commands.try_iter());
        for command in waiting.take(MOST_TOGETHER) {
            match command {
                Command::Ask(ask) => {
                    self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                    // Whoever gave up waiting wants nothing to be begun.
                    if !ask.reply.is_closed() {
                        asks.push(ask);
                    }
                }
                Command::Note(intent) => self.note(&intent, now),
                Command::Conclude(attempt, conclusion) => self.conclude(attempt, conclusion, now),
                Command::Probe => {}
                Command::Close => is_last = true,
                #[cfg(test)]
                Command::Test(TestCommand(run)) => {
                    if let Some(store) = &self.store {
                        run(store);
                    }
                }
            }
        }
        self.answer(asks, now);
        is_last
    }

    fn note(&mut self, intent: &Intent, now: Now) {
        if self.notes >= MOST_NOTES {
            return;
        }
        self.notes += 1;
        self.live.insert(intent.attempt, watch::Sender::new(()));
        self.waiting.entry(intent.attempt).or_default().note = Some(Row::begin(intent, true, now));
    }

    fn conclude(&mut self, attempt: Attempt, conclusion: Conclusion, now: Now) {
        let was_live = self.live.remove(&attempt).is_some();
        if !was_live && !self.doubtful.contains(&attempt) {
            // It has ended, or was never begun here.
            return;
        }
        match &conclusion {
            Conclusion::Unknown { .. } => {
                self.doubtful.insert(attempt);
            }
            Conclusion::Answered { .. } => {
                self.doubtful.remove(&attempt);
            }
            Conclusion::NotSent if was_live => {}
            // Somebody said already that it may have been executed.
            Conclusion::NotSent => return,
        }
        let waiting = self.waiting.entry(attempt).or_default();
        // Of several that say "perhaps", the last one counts.
        waiting
            .conclusions
            .retain(|(conclusion, _)| !matches!(conclusion, Conclusion::Unknown { .. }));
        waiting.conclusions.push((conclusion, now));
    }

    /// Writes what waits, and answers those who ask.
    fn answer(&mut self, asks: Vec<Ask>, now: Now) {
        let written = match self.open(now) {
            Ok(mut store) => {
                let written = self.write(&mut store, &asks, now);
                if let Err(away) = &written {
                    store.roll_back();
                    self.went_wrong(away);
                }
                self.store = Some(store);
                written
            }
            Err(away) => {
                self.went_wrong(&away);
                Err(away)
            }
        };
        self.tell_doubts();
        match written {
            Ok(said) => {
                for (ask, said) in asks.into_iter().zip(said) {
                    // Where nobody takes it, what was given goes back by itself.
                    let _ = ask.reply.send(said);
                }
            }
            Err(away) => {
                for ask in asks {
                    let said = self.without_writing(&ask.question, &away, now);
                    let _ = ask.reply.send(said);
                }
            }
        }
    }

    /// The open file.
    fn open(&mut self, now: Now) -> Result<Store, Away> {
        if let Some(away) = &self.damaged {
            return Err(away.clone());
        }
        if self.store.is_none() {
            self.begin(now)?;
        }
        if self.unsure {
            self.take_over(now)?;
        }
        match self.store.take() {
            Some(store) if store.is_at(self.path.as_deref()) => Ok(store),
            store => {
                self.store = store;
                let why = "its file was taken away while it was in use; put it back, or start the daemon again for a \
                           new one";
                Err(Away::Unwritable(why.to_owned()))
            }
        }
    }

    /// Opens the file for the first time, before the thread begins: who starts the daemon sees what is wrong.
    pub(crate) fn start(&mut self) -> Result<(), Problem> {
        let now = self.times.now();
        match self.begin(now).and_then(|()| Ok(self.take_over(now)?)) {
            Err(Problem::Away(away)) => self.went_wrong(&away),
            begun => begun?,
        }
        self.tell_doubts();
        Ok(())
    }

    fn begin(&mut self, now: Now) -> Result<(), Problem> {
        self.store = Some(Store::open(self.path.as_deref(), now)?);
        self.unsure = true;
        Ok(())
    }

    /// What is open and no task of this process works on is in doubt: what another process left, for one.
    fn take_over(&mut self, now: Now) -> Result<(), Away> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        let mut take_over = || -> rusqlite::Result<_> {
            store.begin()?;
            let mut rows = store.open_rows()?;
            rows.retain(|row| {
                !self.live.contains_key(&row.attempt) && !self.waiting.contains_key(&row.attempt)
            });
            for row in &mut rows {
                row.outlive(now);
                store.save(row, None)?;
                let recent = &self.shared.recent;
                let names = row.legs.iter().filter_map(|leg| leg.leg.name.as_ref());
                recent.note(names.map(|name| recent.hash(&row.account, &row.caller, name)));
            }
            let since_ms = now.wall_ms.saturating_sub(millis(self.settings.replay));
            let used = store.names_since(since_ms)?.into_iter();
            let recent = &self.shared.recent;
            recent.note(used.map(|(account, caller, kind, name)| {
                recent.hash(&account, &caller, &(kind, name))
            }));
            store.commit()?;
            Ok(rows)
        };
        match take_over() {
            Ok(rows) => {
                self.doubtful.extend(rows.iter().map(|row| row.attempt));
                self.unsure = false;
                Ok(())
            }
            Err(error) => {
                store.roll_back();
                Err(schema::away(&error))
            }
        }
    }

    fn tell_doubts(&self) {
        let doubts = self.doubtful.len();
        self.shared.in_doubt.store(doubts, Ordering::Relaxed);
    }

    fn write(
        &mut self,
        store: &mut Store,
        asks: &[Ask],
        now: Now,
    ) -> Result<Vec<Result<Said, Away>>, Away> {
        let mut begun = Vec::new();
        let mut ended = Vec::new();
        let mut in_one = || -> rusqlite::Result<_> {
            store.begin()?;
            for waiting in &self.waiting {
                // What the file refuses for what it is would be refused for ever.
                let _ = alone(write_waiting(store, waiting))?;
            }
            let mut judged = Vec::with_capacity(asks.len());
            for ask in asks {
                let one = alone(judge(
                    store,
                    &mut self.live,
                    &ask.question,
                    &self.settings,
                    now,
                ))?;
                match one {
                    Ok(Judged::Begun(attempt, _)) => begun.push(attempt),
                    Ok(Judged::Settled(attempt, State::Executed | State::NeverArrived)) => {
                        ended.push(attempt)
                    }
                    _ => {}
                }
                judged.push(one);
            }
            if self.shared.lock().is_some() {
                store.probe(now)?;
            }
            store.trim(&self.settings, now)?;
            self.unsure = true;
            let wrote = store.commit()?;
            self.unsure = false;
            Ok((judged, wrote))
        };
        let (judged, wrote) = match in_one() {
            Ok(done) => done,
            Err(error) => {
                for attempt in begun {
                    self.live.remove(&attempt);
                }
                return Err(schema::away(&error));
            }
        };
        self.waiting.clear();
        self.notes = 0;
        for attempt in ended {
            self.doubtful.remove(&attempt);
        }
        if wrote {
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
            if self.shared.lock().take().is_some() {
                tracing::info!("the order journal is written again: orders go on");
            }
        }
        let said = |judged| match judged {
            Judged::Begun(attempt, is_again) => Said::Go(Given {
                attempt,
                is_again,
                commands: Some(self.commands.clone()),
            }),
            Judged::Settled(..) => Said::WasOpen(true),
            Judged::Said(said) => said,
        };
        Ok(judged.into_iter().map(|one| one.map(said)).collect())
    }

    /// What can be said of what stands in the file and of what waits to be written.
    fn without_writing(&self, question: &Question, away: &Away, now: Now) -> Result<Said, Away> {
        let Some(store) = &self.store else {
            return Err(away.clone());
        };
        let failed = |error: rusqlite::Error| schema::away(&error);
        match question {
            Question::Begin(intent) | Question::Look(intent) => {
                let mut holders = store.holders(intent).map_err(failed)?;
                holders.iter_mut().for_each(|row| self.catch_up(row));
                holders.retain(|row| row.holds_one_of(intent));
                let verdict = verdict(&self.live, intent, &holders, &self.settings, now);
                let known = known(&self.live, verdict, |row| {
                    match self.unwritten_answer(row) {
                        None => store.answer(row.id),
                        answer => Ok(answer),
                    }
                })
                .map_err(failed)?;
                match (question, known) {
                    (Question::Begin(_), None) => Err(away.clone()),
                    (_, known) => Ok(Said::Known(known)),
                }
            }
            Question::List(listing) => {
                let mut rows = store.list(listing).map_err(failed)?;
                rows.iter_mut().for_each(|row| self.catch_up(row));
                rows.retain(|row| !listing.open || row.state.is_open());
                let entries = rows.into_iter().map(|row| row.entry(now));
                Ok(Said::Entries(entries.collect()))
            }
            Question::Due(_) | Question::Settle(..) => Err(away.clone()),
        }
    }

    fn catch_up(&self, row: &mut Row) {
        if let Some(waiting) = self.waiting.get(&row.attempt) {
            for (conclusion, at) in &waiting.conclusions {
                row.conclude(conclusion, *at);
            }
        }
    }

    fn unwritten_answer(&self, row: &Row) -> Option<Stored> {
        let waiting = self.waiting.get(&row.attempt)?;
        let mut conclusions = waiting.conclusions.iter();
        conclusions.find_map(|(conclusion, _)| rules::answer(conclusion).cloned())
    }

    fn went_wrong(&mut self, away: &Away) {
        if matches!(away, Away::Damaged(_)) {
            self.damaged = Some(away.clone());
        }
        let before = self.shared.lock().replace(away.clone());
        if before.as_ref() != Some(away) {
            log(away, self.path.as_deref());
        }
    }
}

fn log(away: &Away, path: Option<&Path>) {
    let path = path.unwrap_or_else(|| "memory".as_ref());
    tracing::error!(
        "{away}: orders are refused, cancellations and reads go on; {}",
        remedy(away, path)
    );
}

/// What a question came to, before it is committed.
enum Judged {
    Begun(Attempt, bool),
    /// It was open, and is now in this state.
    Settled(Attempt, State),
    Said(Said),
}

/// An entry that the file refuses for what it is fails alone; whatever else goes wrong, goes wrong for the whole batch.
fn alone<T>(done: rusqlite::Result<T>) -> rusqlite::Result<Result<T, Away>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(error) if is_of_one(&error) => {
            tracing::error!("the order journal does not take or give one entry ({error})");
            Ok(Err(schema::away(&error)))
        }
        Err(error) => Err(error),
    }
}

fn is_of_one(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    let refused = matches!(
        code,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    );
    // No code: the row that was read is not as this program writes it.
    refused || code.is_none()
}

fn write_waiting(
    store: &mut Store,
    (attempt, waiting): (&Attempt, &Waiting),
) -> rusqlite::Result<()> {
    if let Some(note) = &waiting.note {
        store.insert(note)?;
    }
    if waiting.conclusions.is_empty() {
        return Ok(());
    }
    let Some(mut row) = store.find(*attempt)? else {
        return Ok(());
    };
    let mut changed = false;
    let mut answer = None;
    for (conclusion, at) in &waiting.conclusions {
        if row.conclude(conclusion, *at) {
            changed = true;
            answer = rules::answer(conclusion);
        }
    }
    if changed {
        store.save(&row, answer)?;
    }
    Ok(())
}

fn judge(
    store: &mut Store,
    live: &mut HashMap<Attempt, watch::Sender<()>>,
    question: &Question,
    settings: &Settings,
    now: Now,
) -> rusqlite::Result<Judged> {
    let said = match question {
        Question::Begin(intent) => {
            let holders = store.holders(intent)?;
            let verdict = verdict(live, intent, &holders, settings, now);
            if matches!(verdict, Verdict::Fresh) {
                store.insert(&Row::begin(intent, false, now))?;
                live.insert(intent.attempt, watch::Sender::new(()));
                let is_again = store.were_released(intent)?;
                return Ok(Judged::Begun(intent.attempt, is_again));
            }
            Said::Known(known(live, verdict, |row| store.answer(row.id))?)
        }
        Question::Look(intent) => {
            let holders = store.holders(intent)?;
            let verdict = verdict(live, intent, &holders, settings, now);
            Said::Known(known(live, verdict, |row| store.answer(row.id))?)
        }
        Question::Due(most) => {
            let mut rows = store.due(*most, now)?;
            for row in &mut rows {
                row.look(now);
                store.save(row, None)?;
            }
            Said::Entries(rows.into_iter().map(|row| row.entry(now)).collect())
        }
        Question::Settle(attempt, settled) => {
            let mut row = match store.find(*attempt)? {
                // What a task works on ends by that task alone.
                Some(row) if !live.contains_key(attempt) => row,
                _ => return Ok(Judged::Said(Said::WasOpen(false))),
            };
            if !row.settle(settled, now) {
                return Ok(Judged::Said(Said::WasOpen(false)));
            }
            store.save(&row, None)?;
            return Ok(Judged::Settled(row.attempt, row.state));
        }
        Question::List(listing) => {
            let rows = store.list(listing)?;
            Said::Entries(rows.into_iter().map(|row| row.entry(now)).collect())
        }
    };
    Ok(Judged::Said(said))
}

fn verdict<'a>(
    live: &HashMap<Attempt, watch::Sender<()>>,
    intent: &Intent,
    holders: &'a [Row],
    settings: &Settings,
    now: Now,
) -> Verdict<'a> {
    let is_live = holders.iter().all(|row| live.contains_key(&row.attempt));
    rules::judge(intent, holders, is_live, now, settings.replay)
}

fn known(
    live: &HashMap<Attempt, watch::Sender<()>>,
    verdict: Verdict<'_>,
    answer: impl FnOnce(&Row) -> rusqlite::Result<Option<Stored>>,
) -> rusqlite::Result<Option<Known>> {
    Ok(Some(match verdict {
        Verdict::Fresh => return Ok(None),
        Verdict::Answered(row) => match answer(row)? {
            Some(answer) => Known::Answered(answer),
            None => Known::Used(row.past()),
        },
        Verdict::Running(row) => match live.get(&row.attempt) {
            Some(ends) => Known::Running(Running(ends.subscribe())),
            None => Known::Unknown(row.past()),
        },
        Verdict::Unknown(row) => Known::Unknown(row.past()),
        Verdict::Used(row) => Known::Used(row.past()),
        Verdict::Differs => Known::Differs,
        Verdict::Taken => Known::Taken,
    }))
}
