//! From the macro to the sink: what is kept, what is dropped, and what is said about it.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use tracing::{Level, dispatcher::with_default, info, warn};

use super::{Dropped, Line, RECORD_TARGET, Settings, Sink, Telemetry, capture, resolve};

/// Far more than any test takes; only a defect waits that long.
const LONG: Duration = Duration::from_secs(30);

/// The one line that `event` logs.
pub(super) fn logged(event: impl FnOnce()) -> Line {
    let (dispatch, captured) = capture(Level::TRACE);
    with_default(&dispatch, event);
    let mut lines = captured.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// What reached the sink.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that says when the writer came to it, and holds the writer there until the test opens it.
struct Gate {
    came: mpsc::Sender<()>,
    open: mpsc::Receiver<()>,
    written: Written,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.came.send(());
        let _ = self.open.recv();
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logging whose writer is held in the sink with a first line; dropping `opener` lets it go.
struct Blocked {
    telemetry: Telemetry,
    opener: mpsc::Sender<()>,
    came: mpsc::Receiver<()>,
    written: Written,
}

fn blocked(queue_lines: usize) -> Blocked {
    let ((came, has_come), (opener, open), written) =
        (mpsc::channel(), mpsc::channel(), Written::default());
    let telemetry = telemetry(
        queue_lines,
        Gate {
            came,
            open,
            written: written.clone(),
        },
    );
    with_default(&telemetry.dispatch(), || info!("held"));
    has_come.recv().unwrap();
    Blocked {
        telemetry,
        opener,
        came: has_come,
        written,
    }
}

fn telemetry(queue_lines: usize, out: impl Write + Send + 'static) -> Telemetry {
    Telemetry::with_writer(
        Settings {
            sink: Sink::Stderr,
            level: Level::INFO,
            queue_lines,
        },
        out,
    )
    .unwrap()
}

fn log(telemetry: &Telemetry, records: u32, others: u32) {
    with_default(&telemetry.dispatch(), || {
        (0..others).for_each(|number| info!("other {number}"));
        (0..records).for_each(|number| info!(target: RECORD_TARGET, "record {number}"));
    });
}

#[test]
fn auto_is_the_journal_only_where_systemd_connected_it() {
    assert_eq!(resolve(Sink::Auto, true), Sink::Journal);
    assert_eq!(resolve(Sink::Auto, false), Sink::Stderr);
    assert_eq!(resolve(Sink::Json, true), Sink::Json);
    assert_eq!(resolve(Sink::Journal, false), Sink::Journal);
}

#[test]
fn lines_arrive_in_order() {
    let written = Written::default();
    let telemetry = telemetry(1000, written.clone());
    log(&telemetry, 0, 500);
    assert_eq!(telemetry.flush(LONG), 0);
    assert_eq!(
        written.lines(),
        (0..500)
            .map(|number| format!("<6>other {number}"))
            .collect::<Vec<_>>()
    );
}

#[test]
fn json_is_written_where_it_is_asked_for() {
    let written = Written::default();
    let settings = Settings {
        sink: Sink::Json,
        level: Level::INFO,
        queue_lines: 1,
    };
    let telemetry = Telemetry::with_writer(settings, written.clone()).unwrap();
    with_default(&telemetry.dispatch(), || info!("CRYPTO_CODE" = 7, "done"));
    assert_eq!(telemetry.flush(LONG), 0);
    let line: serde_json::Value = serde_json::from_str(&written.lines()[0]).unwrap();
    assert_eq!(
        (line["msg"].as_str(), line["crypto_code"].as_u64()),
        (Some("done"), Some(7))
    );
}

#[test]
fn lines_that_find_their_queue_full_are_counted_and_the_log_says_so() {
    let Blocked {
        telemetry,
        opener,
        written,
        ..
    } = blocked(3);
    log(&telemetry, 5, 10);
    let dropped = Dropped {
        records: 2,
        others: 7,
    };
    assert_eq!(telemetry.dropped(), dropped);
    drop(opener);
    assert_eq!(telemetry.flush(LONG), 0);
    let lines = written.lines();
    let said: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("dropped"))
        .collect();
    assert_eq!(said.len(), 1, "{lines:?}");
    assert!(
        said[0].starts_with("<4>dropped 9 log lines (2 of them call records) since 2"),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 1 + 3 + 3 + 1, "{lines:?}");
    assert_eq!(telemetry.dropped(), dropped);
}

#[test]
fn lines_dropped_while_the_log_says_so_are_said_before_the_writer_rests() {
    let Blocked {
        telemetry,
        opener,
        came,
        written,
    } = blocked(1);
    log(&telemetry, 0, 3);
    opener.send(()).unwrap();
    came.recv().unwrap();
    log(&telemetry, 0, 4);
    drop(opener);
    assert_eq!(telemetry.flush(LONG), 0);
    let lines = written.lines();
    assert_eq!(lines.len(), 1 + 1 + 2, "{lines:?}");
    let said = |count: u32| {
        lines
            .iter()
            .any(|line| line.contains(&format!("dropped {count} log lines")))
    };
    assert!(said(2) && said(4), "{lines:?}");
}

#[test]
fn chatter_pushes_no_record_out() {
    let Blocked {
        telemetry,
        opener,
        written,
        ..
    } = blocked(4);
    log(&telemetry, 4, 1000);
    drop(opener);
    assert_eq!(telemetry.flush(LONG), 0);
    assert_eq!(telemetry.dropped().records, 0);
    assert_eq!(
        written
            .lines()
            .iter()
            .filter(|line| line.contains("record "))
            .count(),
        4
    );
}

#[test]
fn neither_queue_starves_the_other() {
    let Blocked {
        telemetry,
        opener,
        written,
        ..
    } = blocked(100);
    log(&telemetry, 100, 100);
    drop(opener);
    assert_eq!(telemetry.flush(LONG), 0);
    let lines = written.lines();
    let in_the_first_half = |kind: &str| {
        lines
            .iter()
            .take(101)
            .filter(|line| line.contains(kind))
            .count()
    };
    assert_eq!(
        (in_the_first_half("record"), in_the_first_half("other")),
        (50, 50)
    );
}

#[test]
fn flush_gives_up_at_its_limit_and_says_what_is_lost() {
    let Blocked {
        telemetry, opener, ..
    } = blocked(3);
    log(&telemetry, 1, 5);
    let (start, limit) = (Instant::now(), Duration::from_millis(20));
    let (held, waiting, dropped) = (1, 4, 2);
    assert_eq!(telemetry.flush(limit), held + waiting + dropped);
    assert!(start.elapsed() >= limit);
    drop(opener);
}

#[test]
fn flush_waits_for_the_line_that_is_being_written() {
    let Blocked {
        telemetry,
        opener,
        written,
        ..
    } = blocked(3);
    assert_eq!(telemetry.flush(Duration::ZERO), 1);
    drop(opener);
    assert_eq!(telemetry.flush(LONG), 0);
    assert_eq!(written.lines(), ["<6>held"]);
}

#[test]
fn the_writer_ends_after_the_last_line_when_nobody_can_log_any_more() {
    let Blocked {
        telemetry,
        opener,
        came,
        written,
    } = blocked(3);
    log(&telemetry, 1, 1);
    drop((telemetry, opener));
    // Ends only when the writer has let its sink go.
    assert_eq!(came.iter().count(), 2);
    assert_eq!(written.lines().len(), 3);
}

/// A sink that fails at its first line, in its own way.
struct FailsOnce<F>(Option<F>, Written);

impl<F: FnOnce() -> io::Error> Write for FailsOnce<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .take()
            .map_or_else(|| self.1.write(bytes), |fail| Err(fail()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn costs_one_line_and_is_said(fail: fn() -> io::Error) {
    let written = Written::default();
    let telemetry = telemetry(10, FailsOnce(Some(fail), written.clone()));
    with_default(&telemetry.dispatch(), || {
        info!("lost");
        assert_eq!(telemetry.flush(LONG), 1);
        warn!("kept");
        assert_eq!(telemetry.flush(LONG), 0);
    });
    let lines = written.lines();
    assert_eq!(
        (lines.len(), lines[0].as_str()),
        (2, "<4>kept"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("<4>dropped 1 log lines (0 of them call records) since "),
        "{lines:?}"
    );
    assert_eq!(
        telemetry.dropped(),
        Dropped {
            records: 0,
            others: 1
        }
    );
}

#[test]
fn a_sink_that_fails_costs_the_line_and_is_said_when_it_works_again() {
    costs_one_line_and_is_said(|| io::ErrorKind::BrokenPipe.into());
}

#[test]
fn a_sink_that_panics_costs_the_line_and_not_the_writer() {
    costs_one_line_and_is_said(|| panic!("a defect of the sink"));
}

#[test]
fn a_panic_is_logged_with_its_place_and_without_its_payload() {
    let (dispatch, captured) = capture(Level::INFO);
    let previous = std::panic::take_hook();
    super::install_panic_hook();
    let place = with_default(&dispatch, || {
        let _ = std::panic::catch_unwind(|| panic!("canary {}", 7));
        format!("event=panic location={}:{}", file!(), line!() - 1)
    });
    std::panic::set_hook(previous);
    let lines = captured.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].text(), lines[0].level()),
        (place.as_str(), Level::ERROR)
    );
    assert!(
        lines[0]
            .fields()
            .all(|(_, value)| !value.contains("canary"))
    );
}
