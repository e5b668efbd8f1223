//! The two bounded queues between those who log and the one thread that writes, and that thread.
//!
//! Guarantees: putting a line in never waits for the writer; a line that finds its queue full is counted, exactly; each
//! queue keeps its order; while both hold lines they are served in turn, so that neither starves the other.
//! Does not: keep an order between the two queues, or touch a sink (the lock is never held while a line is written).
//!
//! The writer's thread owns the sink and alone may block on it; it outlives a sink that fails or panics, which costs that
//! one line. It does not know which sink it has.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::Level;

use super::line::{Line, Shape};

/// While lines keep being dropped, the log says so no more often than this.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// After it has written all there was, the writer rests this long before it asks to be woken: under load one look takes
/// many lines, and nobody pays for waking it for each.
const REST: Duration = Duration::from_millis(2);

/// Which queue a line waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Records,
    Others,
}

/// How many lines reached no sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records of calls.
    pub records: u64,
    /// All other lines.
    pub others: u64,
}

impl Dropped {
    /// Both together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.records + self.others
    }

    fn add(&mut self, lane: Lane) {
        match lane {
            Lane::Records => self.records += 1,
            Lane::Others => self.others += 1,
        }
    }
}

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Job {
    /// Write a line of this queue.
    Write(Lane, Line),
    /// Say that these lines were dropped, the first of them at this time.
    ReportDrops(Dropped, Timestamp),
}

#[derive(Debug)]
pub(super) struct Queues {
    capacity: usize,
    state: Mutex<State>,
    arrived: Condvar,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Line>,
    others: VecDeque<Line>,
    /// Whose turn it is not.
    served_records_last: bool,
    dropped: Dropped,
    /// The part of `dropped` that the log has not said yet, and when it began.
    unsaid: Dropped,
    unsaid_since: Option<Timestamp>,
    said_at: Option<Instant>,
    /// How many lines are lost if what the writer is doing now never ends.
    in_flight: u64,
    /// The last write failed: a drop_report would fail as well, and count itself for ever.
    failing: bool,
    /// The writer sleeps and must be woken.
    idle: bool,
    /// The writer has looked once more after its rest and may sleep.
    rested: bool,
    closed: bool,
}

impl Queues {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            state: Mutex::default(),
            arrived: Condvar::new(),
            settled: Condvar::new(),
        }
    }

    /// Puts `line` in, or counts it as dropped.
    pub(super) fn push(&self, lane: Lane, line: Line) {
        let mut state = self.lock();
        let lines = state.lines(lane);
        if lines.len() >= self.capacity {
            return state.drop_line(lane, line.at);
        }
        lines.push_back(line);
        let wake = std::mem::take(&mut state.idle);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Waits for the next job; `None` once the queues are closed and empty. Every job must be reported to [`Self::done`].
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.next_job(Instant::now()) {
                state.rested = false;
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = if state.rested {
                self.sleep(state)
            } else {
                self.rest(state)
            };
        }
    }

    /// Waits a moment, in which nobody needs to wake us; only the end of the queues cuts it short.
    fn rest<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.rested = true;
        self.arrived
            .wait_timeout(state, REST)
            .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
    }

    /// Waits to be woken by the next line.
    fn sleep<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.idle = true;
        self.arrived
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends `job`. What was not written counts as dropped.
    pub(super) fn done(&self, job: &Job, written: bool) {
        let mut state = self.lock();
        state.in_flight = 0;
        state.failing = !written;
        match job {
            _ if written => {}
            Job::Write(lane, line) => state.drop_line(*lane, line.at),
            Job::ReportDrops(dropped, since) => state.unsay(*dropped, *since),
        }
        let settled = state.is_settled();
        drop(state);
        if settled {
            self.settled.notify_all();
        }
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.lock().dropped
    }

    /// Waits until nothing is left to write, but no longer than `limit`; returns the lines that are lost even so.
    pub(super) fn flush(&self, limit: Duration) -> u64 {
        let state = self.lock();
        let waited = self
            .settled
            .wait_timeout_while(state, limit, |state| !state.is_settled());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting() + state.in_flight + state.unsaid.total()
    }

    /// No line will follow.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lines(&mut self, lane: Lane) -> &mut VecDeque<Line> {
        match lane {
            Lane::Records => &mut self.records,
            Lane::Others => &mut self.others,
        }
    }

    fn drop_line(&mut self, lane: Lane, at: Timestamp) {
        self.dropped.add(lane);
        self.unsaid.add(lane);
        self.unsaid_since.get_or_insert(at);
    }

    fn unsay(&mut self, dropped: Dropped, since: Timestamp) {
        self.unsaid.records += dropped.records;
        self.unsaid.others += dropped.others;
        self.unsaid_since = Some(since);
    }

    fn next_job(&mut self, now: Instant) -> Option<Job> {
        let job = self.next_drop_report(now).or_else(|| self.next_line());
        self.in_flight = match &job {
            Some(Job::ReportDrops(dropped, _)) => dropped.total(),
            Some(Job::Write(..)) => 1,
            None => 0,
        };
        job
    }

    /// Due at once for the first drop, then once in [`NOTICE_EVERY`], and always before the writer rests.
    fn next_drop_report(&mut self, now: Instant) -> Option<Job> {
        let due = self.waiting() == 0
            || self
                .said_at
                .is_none_or(|said| now.duration_since(said) >= NOTICE_EVERY);
        if self.failing || !due {
            return None;
        }
        let since = self.unsaid_since.take()?;
        self.said_at = Some(now);
        Some(Job::ReportDrops(std::mem::take(&mut self.unsaid), since))
    }

    fn next_line(&mut self) -> Option<Job> {
        let lane = match (self.records.is_empty(), self.others.is_empty()) {
            (true, true) => return None,
            (false, true) => Lane::Records,
            (true, false) => Lane::Others,
            (false, false) if self.served_records_last => Lane::Others,
            (false, false) => Lane::Records,
        };
        self.served_records_last = lane == Lane::Records;
        self.lines(lane)
            .pop_front()
            .map(|line| Job::Write(lane, line))
    }

    fn waiting(&self) -> u64 {
        (self.records.len() + self.others.len()) as u64
    }

    fn is_settled(&self) -> bool {
        self.waiting() == 0
            && self.in_flight == 0
            && (self.failing || self.unsaid == Dropped::default())
    }
}

/// The name of the thread that writes.
pub(super) const WRITER_THREAD: &str = "telemetry";

/// Where the writer puts lines. May block.
pub(super) trait Output: Send {
    /// Writes one line; `now` is for those who must wait before they try again.
    fn write(&mut self, line: &Line, now: Instant) -> io::Result<()>;
}

/// Writes until the queues are closed and empty.
pub(super) fn write_until_closed(queues: &Queues, mut output: Box<dyn Output>) {
    while let Some(job) = queues.next() {
        let written = match &job {
            Job::Write(_, line) => write(&mut *output, line),
            Job::ReportDrops(dropped, since) => write(&mut *output, &drop_report(*dropped, *since)),
        };
        queues.done(&job, written);
    }
}

fn write(output: &mut dyn Output, line: &Line) -> bool {
    let attempt = catch_unwind(AssertUnwindSafe(|| output.write(line, Instant::now())));
    matches!(attempt, Ok(Ok(())))
}

fn drop_report(dropped: Dropped, since: Timestamp) -> Line {
    let Dropped { records, others: _ } = dropped;
    let total = dropped.total();
    let mut line = Line::new(Timestamp::now(), Level::WARN, module_path!());
    line.message(format_args!(
        "dropped {total} log lines ({records} of them call records) since {since:.3}"
    ));
    line.structured("CRYPTO_DROPPED", Shape::Bare, format_args!("{total}"));
    line.structured(
        "CRYPTO_DROPPED_RECORDS",
        Shape::Bare,
        format_args!("{records}"),
    );
    line
}
