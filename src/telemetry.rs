//! Takes the lines that the program logs with `tracing` to the journal, to stderr, or to JSON on stderr.
//!
//! Guarantees: logging never blocks a caller. A line is formatted on the caller's thread, put into a bounded queue and
//! written by one thread that alone owns the sink; a full queue costs the line, is counted exactly, and is said in the
//! log as soon as there is room. Records (the one diagnostic line per call) have a queue of their own, so that chatter
//! cannot push them out. The order within a queue is kept; between the two queues it is not. Nothing that was logged
//! can start a second line or reach a terminal as an escape sequence.
//!
//! A field whose name begins with `CRYPTO_` is structure only (a journal field, a JSON key); any other field is
//! appended to the message. So a message alone must be readable: whoever greps sees nothing else.
//!
//! Does not: read `RUST_LOG`, record spans, take lines from the `log` crate, rotate files, or decide what may be
//! logged. Dependencies are heard from WARN up whatever the level, because below it they may print request data.

mod console;
mod journal;
mod layer;
mod line;
mod queue;

#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    sync::Arc,
    thread,
    time::Duration,
};

use tracing::{Dispatch, Level};

use self::{
    console::{Console, Format},
    journal::Journal,
    layer::{Feed, Intake},
    line::Structure,
    queue::{Output, Queues, WRITER_THREAD},
};
pub use self::{
    layer::{Captured, RECORD_TARGET, capture},
    line::Line,
    queue::Dropped,
};

/// Where lines go, how many, and how many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Where lines go.
    pub sink: Sink,
    /// The least urgent level of our own lines that is kept. Records are kept from INFO up whatever this says: they are
    /// what an order can be explained by afterwards.
    pub level: Level,
    /// How many lines each of the two queues holds; at least one.
    pub queue_lines: usize,
}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// The journal when systemd connected our stderr to it, else stderr.
    Auto,
    /// The journal; whatever it does not take goes to stderr.
    Journal,
    /// Text on stderr: with the `<N>` priority where systemd reads it, else with a time and a level.
    Stderr,
    /// One JSON object per line on stderr.
    Json,
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The operating system gave no thread.
    #[error("start the thread that writes log lines")]
    Thread(#[source] io::Error),
    /// Something in this process logs already.
    #[error("take over logging: another subscriber is installed")]
    AlreadyInstalled,
}

/// Logging that runs: its dispatcher, its counters, and how to flush it. Clones share everything.
#[derive(Debug, Clone)]
pub struct Telemetry {
    dispatch: Dispatch,
    queues: Arc<Queues>,
}

/// Starts logging as `settings` say, for the whole process.
///
/// # Errors
///
/// When there is no thread to be had, or when logging is installed already. A journal that does not answer is no
/// error: lines go to stderr until it does.
pub fn install(settings: Settings) -> Result<Telemetry, InstallError> {
    let sink = resolve(
        settings.sink,
        systemd_journal_logger::connected_to_journal(),
    );
    let telemetry = Telemetry::start(settings, structure(sink), output(sink))?;
    tracing::dispatcher::set_global_default(telemetry.dispatch())
        .map_err(|_| InstallError::AlreadyInstalled)?;
    Ok(telemetry)
}

impl Telemetry {
    /// Starts logging into `out` without installing anything: JSON for [`Sink::Json`], else text with `<N>` priorities.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn with_writer(
        settings: Settings,
        out: impl Write + Send + 'static,
    ) -> Result<Self, InstallError> {
        let format = if settings.sink == Sink::Json {
            Format::Json
        } else {
            Format::Prefixed
        };
        Self::start(
            settings,
            structure(settings.sink),
            Box::new(Console::new(format, out)),
        )
    }

    fn start(
        settings: Settings,
        structure: Structure,
        output: Box<dyn Output>,
    ) -> Result<Self, InstallError> {
        let queues = Arc::new(Queues::new(settings.queue_lines));
        let dispatch =
            Intake::new(settings.level, structure, Feed::new(Arc::clone(&queues))).into_dispatch();
        let drained = Arc::clone(&queues);
        thread::Builder::new()
            .name(WRITER_THREAD.to_owned())
            .spawn(move || queue::write_until_closed(&drained, output))
            .map_err(InstallError::Thread)?;
        Ok(Self { dispatch, queues })
    }

    /// What `tracing` is given to log here, for the process or for one scope. The writer ends with its last clone.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// How many lines reached no sink since the start.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.queues.dropped()
    }

    /// Waits until every line is written, but no longer than `limit`; returns how many lines are lost if the process
    /// ends now: those that still wait, and those that were dropped without the log saying so.
    #[must_use = "the number of lost lines should be said somewhere"]
    pub fn flush(&self, limit: Duration) -> u64 {
        self.queues.flush(limit)
    }
}

fn structure(sink: Sink) -> Structure {
    match sink {
        Sink::Journal | Sink::Json => Structure::Keep,
        Sink::Auto | Sink::Stderr => Structure::Skip,
    }
}

fn output(sink: Sink) -> Box<dyn Output> {
    match sink {
        Sink::Auto | Sink::Stderr => Box::new(stderr()),
        Sink::Json => Box::new(Console::new(Format::Json, io::stderr())),
        Sink::Journal => Box::new(Journal::new(journal::connect, stderr())),
    }
}

fn resolve(sink: Sink, connected_to_journal: bool) -> Sink {
    match (sink, connected_to_journal) {
        (Sink::Auto, true) => Sink::Journal,
        (Sink::Auto, false) => Sink::Stderr,
        (chosen, _) => chosen,
    }
}

fn stderr() -> Console<io::Stderr> {
    let stderr = io::stderr();
    let format = Format::of_stderr(
        systemd_journal_logger::connected_to_journal(),
        stderr.is_terminal(),
        std::env::var_os("NO_COLOR").is_some(),
    );
    Console::new(format, stderr)
}

/// Replaces the process's panic hook, which prints payloads, by one error line that says where it happened.
///
/// Never its payload, which may hold whatever was being worked on. It does not end the process, or print a backtrace.
///
/// Wants no logging: a panic before there is any is said on stderr, and so is one of the writer itself, whose line
/// would come back to it. So it is installed first, before anything reads a secret.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    let (file, line) = info
        .location()
        .map_or(("unknown", 0), |place| (place.file(), place.line()));
    if tracing::dispatcher::has_been_set() && thread::current().name() != Some(WRITER_THREAD) {
        tracing::error!(
            "CRYPTO_EVENT" = "panic",
            "event=panic location={file}:{line}"
        );
    } else {
        // Nothing is left to do if stderr is gone as well.
        let _ = writeln!(io::stderr(), "<3>event=panic location={file}:{line}");
    }
}
