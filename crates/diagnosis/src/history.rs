//! The flight recorder: what became of every call, and what changed when, in one SQLite file of the state directory.
//!
//! One thread writes batches; calls hand their report over a bounded queue and go on. Guarantees: no params, no bodies,
//! no order ids, no secret (a secret is a number and a digest under the salt of this
//! installation); files are 0600; a call never waits for the disk; what is lost is counted and said; calls that were
//! sent are kept apart from others, and refused ones without a record of their own are counted; the end of the process
//! at any moment costs the last second at most; changes, and per method the last good and the first bad call, outlive
//! the calls themselves. Does not: judge, or read along for anybody else. Schema and questions: `docs/operations.md`.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::{self, Thread},
    time::Duration,
};

use tokio::sync::{oneshot, watch};

use crate::key_pairs::{self, PairFacts};
use gateway::{
    clock::Clock,
    observed::Observed,
    record::{CallReport, FurtherRefusals, RecordSink},
};

mod milestone;
mod questions;
mod rotations;
mod schema;
mod start;
mod store;
mod timeline;
mod writer;

#[cfg(test)]
mod tests;

pub use milestone::{Milestone, Milestones, Streak, Trouble};
pub use questions::{
    Break, CallRow, ChangeRow, Filter, HourRow, LastStart, PairRow, Questions, RecentCall,
    RefusedCallsRow, RefusedRow,
};
pub use schema::Problem;
pub use start::Start;
pub use timeline::{Count, End, Span, Timeline};

use start::Beginning;
use store::Store;
use writer::{Writer, WriterCommand};

/// The file's name in the state directory.
pub const FILE_NAME: &str = "history.db";
/// Reports that may wait for the writer.
const QUEUE: usize = 16_384;

/// Reports that are held at the worst: those that wait, and those that are being written.
pub const MAX_HELD: usize = QUEUE + writer::MAX_BATCH;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether anything is kept at all.
    pub enabled: bool,
    /// Calls that are kept.
    pub max_calls: usize,
    /// How long they are kept.
    pub max_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            max_calls: 1_000_000,
            max_age: Duration::from_secs(90 * 86_400),
        }
    }
}

/// What happened, beside calls.
#[derive(Clone, Debug)]
enum HistoryEvent {
    /// Our outbound address was confirmed.
    Address(IpAddr),
    /// Requests were refused before a caller was known.
    Refused { why: &'static str, count: u64 },
    /// Calls were refused that have no record of their own.
    RefusedCalls(FurtherRefusals),
    /// So many calls are missing.
    Lost(u64),
    /// The daemon ends.
    Stop,
}

impl HistoryEvent {
    /// The calls that it stands for.
    const fn calls(&self) -> u64 {
        if let Self::RefusedCalls(further) = self {
            further.count
        } else {
            0
        }
    }
}

/// What is handed to the writer; times in milliseconds since 1970.
enum Entry {
    Call(u64, Arc<CallReport>),
    Event(u64, HistoryEvent),
    Wake,
}

/// What both sides see.
#[derive(Debug, Default)]
struct Shared {
    /// Calls that found no room.
    lost: AtomicU64,
    /// Handed over since the writer last looked.
    waiting: AtomicUsize,
    /// Whether the writer is not to wait for more.
    hurry: AtomicBool,
    /// Why calls are lost, while they are.
    losing: Mutex<Option<String>>,
}

impl Shared {
    fn losing(&self) -> MutexGuard<'_, Option<String>> {
        self.losing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where calls and changes are handed over. Cheap to clone; switched off, it takes everything and keeps nothing.
#[derive(Clone)]
pub struct History(Option<Arc<QueueHandle>>);

struct QueueHandle {
    path: PathBuf,
    entries: SyncSender<Entry>,
    asks: Mutex<mpsc::Sender<WriterCommand>>,
    writer: Thread,
    shared: Arc<Shared>,
    clock: Clock,
}

impl RecordSink for QueueHandle {
    fn record(&self, report: &Arc<CallReport>) {
        self.hand_over(Entry::Call(self.clock.now_ms(), Arc::clone(report)));
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "History(on)"
        } else {
            "History(off)"
        })
    }
}

impl History {
    /// One that keeps nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Opens the history in `dir`, and takes in what this daemon runs with. Reads and writes the file: for starts.
    #[must_use]
    pub fn open(
        dir: Option<&Path>,
        settings: Settings,
        start: Start,
        clock: &Clock,
    ) -> (Self, PairFacts) {
        let now_ms = clock.now_ms();
        let off = |why: &str| {
            tracing::info!(
                "no history is kept ({why}): what changed, half of the credentials too, is not noticed"
            );
            (Self::off(), PairFacts::no_memory(now_ms))
        };
        let Some(dir) = dir.filter(|_| settings.enabled) else {
            return off(if settings.enabled {
                "no state directory"
            } else {
                "history.enabled = false"
            });
        };
        if !dir.is_dir() {
            return off("the state directory is not there");
        }
        let mut writer = Writer {
            path: dir.join(FILE_NAME),
            settings,
            start,
            clock: clock.clone(),
            shared: Arc::default(),
            store: None,
            beginning: Beginning::Process,
            kept_back: Vec::new(),
            losing: None,
        };
        let facts = match first_look(&mut writer, now_ms) {
            Ok(facts) => facts,
            Err(Problem::Newer(version)) => return off(&Problem::Newer(version).to_string()),
            Err(problem) => {
                tracing::warn!(
                    "the history cannot be used ({problem}): calls go on, and it is tried again"
                );
                PairFacts::no_memory(now_ms)
            }
        };
        Self::spawn(writer).map_or_else(|error| off(&error.to_string()), |history| (history, facts))
    }

    fn spawn(writer: Writer) -> std::io::Result<Self> {
        let (entries, receiver) = mpsc::sync_channel(QUEUE);
        let (asks, asked) = mpsc::channel();
        let (path, shared, clock) = (
            writer.path.clone(),
            Arc::clone(&writer.shared),
            writer.clock.clone(),
        );
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let thread = thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || writer.run(&receiver, &asked));
            })?;
        let writer = thread.thread().clone();
        Ok(Self(Some(Arc::new(QueueHandle {
            path,
            entries,
            asks: Mutex::new(asks),
            writer,
            shared,
            clock,
        }))))
    }

    /// Opens it for questions, where a history is kept. Reads the disk: not for the path of a call.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn questions(&self) -> Result<Option<Questions>, Problem> {
        self.0
            .as_ref()
            .map(|queue| Questions::open(&queue.path))
            .transpose()
    }

    /// The sink for records, where a history is kept.
    #[must_use]
    pub fn sink(&self) -> Option<Arc<dyn RecordSink>> {
        let queue = Arc::clone(self.0.as_ref()?);
        Some(queue)
    }

    /// Notes requests that were refused before a caller was known, by a stable word for why.
    pub fn refused(&self, why: &'static str, count: u64) {
        self.note(HistoryEvent::Refused { why, count });
    }

    /// Notes calls that were refused and have no record of their own.
    pub fn refused_calls(&self, further: FurtherRefusals) {
        self.note(HistoryEvent::RefusedCalls(further));
    }

    /// Notes every confirmed address until the watch ends; for a task of its own.
    pub async fn follow_address(
        self,
        observed: Arc<Observed>,
        mut confirmed: watch::Receiver<Option<tokio::time::Instant>>,
    ) {
        while self.0.is_some() && confirmed.changed().await.is_ok() {
            if let Some(outbound) = observed.outbound() {
                self.note(HistoryEvent::Address(outbound.address));
            }
        }
    }

    /// Why calls are lost at the moment, where they are.
    #[must_use]
    pub fn losing(&self) -> Option<String> {
        let queue = self.0.as_ref()?;
        queue.shared.losing().clone()
    }

    /// Waits until everything handed over so far is written, or lost.
    pub async fn flush(&self) {
        self.ask(WriterCommand::Flush).await;
    }

    /// Writes what is left and the stop; what is handed over later is not kept.
    pub async fn close(&self) {
        self.ask(WriterCommand::Close).await;
    }

    fn note(&self, event: HistoryEvent) {
        if let Some(queue) = &self.0 {
            queue.hand_over(Entry::Event(queue.clock.now_ms(), event));
        }
    }

    async fn ask(&self, ask: impl FnOnce(oneshot::Sender<()>) -> WriterCommand) {
        let Some(queue) = &self.0 else { return };
        let (done, wait) = oneshot::channel();
        let sent = queue
            .asks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(ask(done));
        if sent.is_ok() {
            queue.hurry();
            // Where there is no room, the writer is not waiting for anything.
            let _ = queue.entries.try_send(Entry::Wake);
            let _ = wait.await;
        }
    }
}

impl QueueHandle {
    /// Never waits: where there is no room, one more is lost. Most calls wake nobody: the writer sleeps by the clock.
    fn hand_over(&self, entry: Entry) {
        match self.entries.try_send(entry) {
            Ok(()) if self.shared.waiting.fetch_add(1, Ordering::Relaxed) == QUEUE / 2 => {
                self.hurry()
            }
            Err(TrySendError::Full(Entry::Call(..))) => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Full(Entry::Event(_, event))) => {
                self.shared.lost.fetch_add(event.calls(), Ordering::Relaxed);
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn hurry(&self) {
        self.shared.hurry.store(true, Ordering::Release);
        self.writer.unpark();
    }
}

fn first_look(writer: &mut Writer, now_ms: u64) -> Result<PairFacts, Problem> {
    let mut store = Store::open(&writer.path, writer.settings)?;
    let facts = start::begin(&mut store, &writer.start, now_ms, Beginning::Process)?;
    writer.beginning = Beginning::FileAgain;
    writer.store = Some(store);
    key_pairs::announce(facts, &writer.start.credentials.key.fingerprint());
    Ok(facts)
}
