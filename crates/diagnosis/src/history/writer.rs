//! The one thread that writes: gathers for a second, writes one batch, says what is lost.
//!
//! Guarantees: what is handed over is in the file a second later, or counted as lost; a file that cannot be written
//! (full, read-only, taken away, damaged) costs the calls of that time and nothing else, is tried again with each batch,
//! and is said once when it begins and once when it is over. Changes are kept back until they can be written.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    Entry, HistoryEvent, Settings, Shared,
    schema::Problem,
    start::{self, Beginning, Start},
    store::{Batch, Store},
};
use gateway::clock::Clock;

/// What is handed over waits at most so long.
const GATHER: Duration = Duration::from_secs(1);
/// Entries of one transaction.
pub(super) const MAX_BATCH: usize = 20_000;
/// Changes that are kept back while the file cannot be written.
const MAX_KEPT_BACK: usize = 256;

/// What somebody waits for.
pub(super) enum WriterCommand {
    /// Everything handed over so far is written, or lost.
    Flush(oneshot::Sender<()>),
    /// The same, and the daemon stops.
    Close(oneshot::Sender<()>),
}

/// The thread's own.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) settings: Settings,
    pub(super) start: Start,
    pub(super) clock: Clock,
    pub(super) shared: Arc<Shared>,
    pub(super) store: Option<Store>,
    /// Whether the start of this process is in the file.
    pub(super) beginning: Beginning,
    pub(super) kept_back: Vec<(u64, HistoryEvent)>,
    /// Calls lost since it was said that calls are lost.
    pub(super) losing: Option<u64>,
}

impl Writer {
    /// Writes until everybody who could hand something over is gone, or somebody closes.
    pub(super) fn run(mut self, entries: &Receiver<Entry>, asks: &Receiver<WriterCommand>) {
        while let Ok(first) = entries.recv() {
            self.gather();
            self.shared.waiting.store(0, Ordering::Relaxed);
            let asked: Vec<WriterCommand> = asks.try_iter().collect();
            let closing = asked
                .iter()
                .any(|ask| matches!(ask, WriterCommand::Close(_)));
            let mut first = Some(first);
            loop {
                let batch = self.batch(
                    first
                        .take()
                        .into_iter()
                        .chain(entries.try_iter())
                        .take(MAX_BATCH),
                );
                let full = batch.calls.len() + batch.events.len() >= MAX_BATCH;
                self.write(batch);
                if !full {
                    break;
                }
            }
            if closing {
                self.stop();
                self.store = None;
            }
            for WriterCommand::Flush(done) | WriterCommand::Close(done) in asked {
                let _ = done.send(());
            }
            if closing {
                return;
            }
        }
    }

    /// Lets more come, so that a second's calls share one transaction.
    fn gather(&self) {
        let due = Instant::now() + GATHER;
        while !self.shared.hurry.swap(false, Ordering::Acquire) {
            let Some(left) = due
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
            else {
                return;
            };
            thread::park_timeout(left);
        }
    }

    fn batch(&mut self, entries: impl Iterator<Item = Entry>) -> Batch {
        let mut batch = Batch {
            calls: Vec::new(),
            events: std::mem::take(&mut self.kept_back),
        };
        for entry in entries {
            match entry {
                Entry::Call(ms, report) => batch.calls.push((ms, report)),
                Entry::Event(ms, event) => batch.events.push((ms, event)),
                Entry::Wake => {}
            }
        }
        batch
    }

    fn stop(&mut self) {
        let mut batch = self.batch(std::iter::empty());
        let now_ms = self.clock.now_ms();
        if let Some(lost) = self.losing.filter(|lost| *lost > 0) {
            batch.events.push((now_ms, HistoryEvent::Lost(lost)));
        }
        batch.events.push((now_ms, HistoryEvent::Stop));
        self.write(batch);
    }

    pub(super) fn write(&mut self, batch: Batch) {
        let overflowed = self.shared.lost.swap(0, Ordering::Relaxed);
        if batch.calls.is_empty() && batch.events.is_empty() && overflowed == 0 {
            return;
        }
        let counted = batch.events.iter().map(|(_, event)| event.calls());
        let calls = u64::try_from(batch.calls.len()).unwrap_or(u64::MAX) + counted.sum::<u64>();
        match self.attempt(&batch) {
            Ok(()) if overflowed == 0 => self.say_whole(),
            Ok(()) => self.say_losing(overflowed, "more calls come than are written"),
            Err(problem) => {
                self.store = None;
                self.say_losing(overflowed + calls, &problem.to_string());
                self.kept_back = batch.events;
                // A refused token more or less is not worth keeping back for; refused calls are counted as lost.
                self.kept_back.retain(|(_, event)| {
                    !matches!(
                        event,
                        HistoryEvent::Refused { .. } | HistoryEvent::RefusedCalls(_)
                    )
                });
                self.kept_back.truncate(MAX_KEPT_BACK);
            }
        }
    }

    fn attempt(&mut self, batch: &Batch) -> Result<(), Problem> {
        let now_ms = self.clock.now_ms();
        if let Some(store) = &self.store
            && !store.is_at(&self.path)
        {
            self.store = None;
            tracing::info!(
                "the history's file was taken away; a new one begins where that is possible"
            );
        }
        let mut store = match self.store.take() {
            Some(store) => store,
            None => {
                let mut store = Store::open(&self.path, self.settings)?;
                start::begin(&mut store, &self.start, now_ms, self.beginning)?;
                self.beginning = Beginning::FileAgain;
                store
            }
        };
        store
            .write(batch, now_ms)
            .inspect_err(|problem| set_aside_if_damaged(&self.path, problem))?;
        self.store = Some(store);
        Ok(())
    }

    fn say_losing(&mut self, calls: u64, why: &str) {
        if self.losing.is_none() {
            tracing::warn!(
                "the history loses calls ({why}): calls go on, and what is lost is counted"
            );
        }
        *self.losing.get_or_insert(0) += calls;
        *self.shared.losing() = Some(why.to_owned());
    }

    /// A batch was written whole.
    fn say_whole(&mut self) {
        let Some(lost) = self.losing.take() else {
            return;
        };
        *self.shared.losing() = None;
        tracing::info!("the history is written again; calls that are missing in it: {lost}");
        let batch = Batch {
            calls: Vec::new(),
            events: vec![(self.clock.now_ms(), HistoryEvent::Lost(lost))],
        };
        if lost > 0
            && let Err(problem) = self.attempt(&batch)
        {
            self.store = None;
            self.kept_back = batch.events;
            self.say_losing(0, &problem.to_string());
        }
    }
}

fn set_aside_if_damaged(path: &std::path::Path, problem: &Problem) {
    if problem.is_damage() && super::schema::set_aside(path).is_ok() {
        tracing::warn!("the history is damaged ({problem}): it is set aside, and a new one begins");
    }
}
