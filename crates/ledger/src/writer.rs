//! The one thread that has the file: takes what waits, judges and writes it in one transaction, and answers once the disk
//! has it.
//!
//! Guarantees: nobody gets a `Go` before its attempt is on the disk; a `Go` that nobody took is concluded as not sent. What
//! became of an attempt is never lost while the process lives: it waits here until the disk takes it, and whoever asks in
//! the meantime is told. An entry that the file refuses fails alone. After a failure the next batch tries again.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use gateway::ledger::{Attempt, Away, Conclusion, Intent, State, Stored};
use tokio::sync::watch;

#[cfg(test)]
use crate::command::TestCommand;
use crate::{
    Settings,
    command::{Ask, Command, Given, Question, Said},
    judge::{Judged, Live, Waiting, alone, judge, known, verdict, write_waiting},
    rules::{self, Row},
    schema::{self, Problem},
    shared::{self, Shared},
    store::Store,
    times::{Now, Times},
};

/// Entries of one transaction.
const MOST_TOGETHER: usize = 256;
/// While the disk takes nothing, it is tried again so often.
const RETRY: Duration = Duration::from_secs(1);
/// What nobody waits for is written together with the next order, or after this time: an order then costs one sync of the
/// disk, and waits for nobody else's.
const BEHIND: Duration = Duration::from_millis(20);

/// The thread's own.
pub(crate) struct Writer {
    /// `None`: in memory.
    pub(crate) path: Option<PathBuf>,
    pub(crate) settings: Settings,
    pub(crate) times: Times,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: Sender<Command>,
    store: Option<Store>,
    /// Attempts that tasks of this process work on.
    live: Live,
    /// The others that are open.
    doubtful: HashSet<Attempt>,
    waiting: BTreeMap<Attempt, Waiting>,
    /// When that is to be written, whoever asks for something or not.
    write_by: Option<Instant>,
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
            live: Live::new(),
            doubtful: HashSet::new(),
            waiting: BTreeMap::new(),
            write_by: None,
            notes: 0,
            damaged: None,
            unsure: false,
        }
    }

    /// Answers and writes until it is told to end.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let left = |by: Instant| by.saturating_duration_since(Instant::now());
            let patience = if self.shared.lock().is_some() {
                Some(RETRY)
            } else {
                self.write_by.map(left)
            };
            let first = match patience {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(patience) => commands.recv_timeout(patience),
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
                self.close();
                return;
            }
        }
    }

    /// Takes what waits, writes and answers it; whether somebody says that this is the end.
    fn turn(&mut self, first: Option<Command>, commands: &Receiver<Command>) -> bool {
        let now = self.times.now();
        let mut asks = Vec::new();
        let mut is_last = false;
        let mut can_wait = first.is_some() && self.shared.lock().is_none();
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
                Command::Probe => can_wait = false,
                Command::Close => is_last = true,
                #[cfg(test)]
                Command::Test(TestCommand(run)) => {
                    if let Some(store) = &self.store {
                        run(store);
                    }
                }
            }
        }
        if can_wait && asks.is_empty() && !is_last && self.waits_behind() {
            self.tell_doubts();
        } else {
            self.write_by = None;
            self.answer(asks, now);
        }
        is_last
    }

    fn close(mut self) {
        let Some(store) = self.store.take() else {
            return;
        };
        if store.is_at(self.path.as_deref())
            && let Err(error) = store.close()
        {
            // It is as if this process had been killed.
            tracing::warn!("the order journal is not closed in order ({error})");
        }
    }

    /// Whether what waits can be written a little later.
    fn waits_behind(&mut self) -> bool {
        if self.waiting.is_empty() {
            return true;
        }
        let now = Instant::now();
        let by = *self.write_by.get_or_insert(now + BEHIND);
        now < by && self.waiting.len() < MOST_TOGETHER
    }

    fn note(&mut self, intent: &Intent, now: Now) {
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
            store.mark_open()?;
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
            let used = store.names_of_late(self.settings.replay, now)?.into_iter();
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
        self.shared.notes.leave(std::mem::take(&mut self.notes));
        for attempt in ended {
            self.doubtful.remove(&attempt);
        }
        if wrote {
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
            if self.shared.lock().take().is_some() {
                let let_go = self.shared.notes.take_let_go();
                tracing::info!(
                    "the order journal is written again: orders go on; cancellations that are not in it: {let_go}"
                );
            }
        }
        let said = |judged| match judged {
            Judged::Begun(attempt, is_again) => {
                Said::Go(Given::new(attempt, is_again, self.commands.clone()))
            }
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
            Question::Due(..) | Question::AreOpen(..) | Question::Settle(..) => Err(away.clone()),
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
            shared::log(away, self.path.as_deref());
        }
    }
}
