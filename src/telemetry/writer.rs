//! The thread that owns the sink.
//!
//! Guarantees: it alone may block on the sink; it outlives a sink that fails or panics, which costs that one line.
//! Does not: know which sink it has.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use jiff::Timestamp;
use tracing::Level;

use super::{
    line::{Line, Shape},
    queue::{Dropped, Job, Queues},
};

/// The name of the writer's thread.
pub(super) const THREAD: &str = "telemetry";

/// Where the writer puts lines. May block.
pub(super) trait Output: Send {
    /// Writes one line; `now` is for those who must wait before they try again.
    fn write(&mut self, line: &Line, now: Instant) -> io::Result<()>;
}

/// Writes until the queues are closed and empty.
pub(super) fn run(queues: &Queues, mut output: Box<dyn Output>) {
    while let Some(job) = queues.next() {
        let written = match &job {
            Job::Write(_, line) => write(&mut *output, line),
            Job::Confess(dropped, since) => write(&mut *output, &confession(*dropped, *since)),
        };
        queues.done(&job, written);
    }
}

fn write(output: &mut dyn Output, line: &Line) -> bool {
    let attempt = catch_unwind(AssertUnwindSafe(|| output.write(line, Instant::now())));
    matches!(attempt, Ok(Ok(())))
}

fn confession(dropped: Dropped, since: Timestamp) -> Line {
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
