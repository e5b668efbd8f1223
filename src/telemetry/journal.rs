//! Lines to systemd's journal, or to stderr while the journal does not take them.
//!
//! Guarantees: a line that the journal refuses goes to the fallback at once; the journal is tried again at most once a
//! second. Does not: keep the send from blocking (a stopped journald blocks it; that is what the writer's own thread
//! is for), or send the place in the source.

use std::{
    io,
    time::{Duration, Instant},
};

use log::kv::{self, Key, Source, Value, VisitSource};
use systemd_journal_logger::JournalLog;
use tracing::Level;

use super::{line::Line, queue::Output};

const IDENTIFIER: &str = "crypto-proxy";
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A connection to the journal: the one call that no unit test can make.
pub(super) trait Connection: Send {
    fn send(&self, record: &log::Record<'_>) -> io::Result<()>;
}

impl Connection for JournalLog {
    fn send(&self, record: &log::Record<'_>) -> io::Result<()> {
        self.journal_send(record)
    }
}

/// Connects to the journal of this machine.
pub(super) fn connect() -> io::Result<JournalLog> {
    Ok(JournalLog::empty()?.with_syslog_identifier(IDENTIFIER.to_owned()))
}

/// The journal, with something to fall back to.
pub(super) struct Journal<C, F, O> {
    connect: F,
    connection: Option<C>,
    failed_at: Option<Instant>,
    fallback: O,
}

impl<C: Connection, F: FnMut() -> io::Result<C>, O: Output> Journal<C, F, O> {
    /// Connects with the first line, on the writer's thread: the connection's own greeting may block.
    pub(super) fn new(connect: F, fallback: O) -> Self {
        Self {
            connect,
            connection: None,
            failed_at: None,
            fallback,
        }
    }

    fn try_send(&mut self, line: &Line) -> io::Result<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => (self.connect)()?,
        };
        send(&connection, line)?;
        self.connection = Some(connection);
        Ok(())
    }
}

impl<C: Connection, F: FnMut() -> io::Result<C> + Send, O: Output> Output for Journal<C, F, O> {
    fn write(&mut self, line: &Line, now: Instant) -> io::Result<()> {
        let rests = self
            .failed_at
            .is_some_and(|failed| now.duration_since(failed) < RETRY_AFTER);
        if !rests {
            if self.try_send(line).is_ok() {
                self.failed_at = None;
                return Ok(());
            }
            self.failed_at = Some(now);
        }
        self.fallback.write(line, now)
    }
}

fn send(connection: &impl Connection, line: &Line) -> io::Result<()> {
    connection.send(
        &log::Record::builder()
            .args(format_args!("{}", line.text()))
            .level(level_for_priority(line.level()))
            .target(line.target())
            .key_values(&Fields(line))
            .build(),
    )
}

/// The level that [`JournalLog`] documents to send as the priority we mean: it sends `Info` as 5 (notice), `Debug` as 6
/// (info) and `Trace` as 7 (debug), so ours are one step lower.
fn level_for_priority(level: Level) -> log::Level {
    match level {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Debug,
        Level::DEBUG | Level::TRACE => log::Level::Trace,
    }
}

struct Fields<'a>(&'a Line);

impl Source for Fields<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        self.0.fields().try_for_each(|(name, value)| {
            visitor.visit_pair(Key::from_str(name), Value::from(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
    };

    use tracing::{debug, error, info, warn};

    use super::*;
    use crate::telemetry::tests::logged;

    /// Where a line went, and how it looked there.
    #[derive(Debug, PartialEq)]
    enum Seen {
        Journal(log::Level, String, Vec<(String, String)>),
        Fallback(String),
    }

    struct Recorder(mpsc::Sender<Seen>);

    impl Connection for Recorder {
        fn send(&self, record: &log::Record<'_>) -> io::Result<()> {
            let mut fields = Pairs(Vec::new());
            record
                .key_values()
                .visit(&mut fields)
                .map_err(io::Error::other)?;
            self.0
                .send(Seen::Journal(
                    record.level(),
                    record.args().to_string(),
                    fields.0,
                ))
                .map_err(io::Error::other)
        }
    }

    impl Output for Recorder {
        fn write(&mut self, line: &Line, _: Instant) -> io::Result<()> {
            self.0
                .send(Seen::Fallback(line.text().to_owned()))
                .map_err(io::Error::other)
        }
    }

    struct Pairs(Vec<(String, String)>);

    impl<'kvs> VisitSource<'kvs> for Pairs {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
            self.0.push((key.to_string(), value.to_string()));
            Ok(())
        }
    }

    fn journal(seen: &mpsc::Sender<Seen>) -> impl Output {
        let connected = seen.clone();
        Journal::new(
            move || Ok(Recorder(connected.clone())),
            Recorder(seen.clone()),
        )
    }

    fn sent(event: impl FnOnce()) -> Seen {
        let (sender, seen) = mpsc::channel();
        journal(&sender)
            .write(&logged(event), Instant::now())
            .unwrap();
        seen.recv().unwrap()
    }

    #[test]
    fn structured_fields_travel_beside_the_message() {
        let seen = sent(|| {
            info!(
                "CRYPTO_METHOD" = "private/x",
                "CRYPTO_CODE" = 0,
                port = 80,
                "done"
            )
        });
        let fields = [("CRYPTO_METHOD", "private/x"), ("CRYPTO_CODE", "0")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(
            seen,
            Seen::Journal(
                log::Level::Debug,
                "done port=80".to_owned(),
                fields.to_vec()
            )
        );
    }

    #[test]
    fn levels_are_those_that_the_crate_sends_as_the_priority_meant() {
        let level = |event: fn()| match sent(event) {
            Seen::Journal(level, ..) => level,
            Seen::Fallback(text) => panic!("not sent: {text}"),
        };
        assert_eq!(level(|| error!("3")), log::Level::Error);
        assert_eq!(level(|| warn!("4")), log::Level::Warn);
        assert_eq!(level(|| info!("6")), log::Level::Debug);
        assert_eq!(level(|| debug!("7")), log::Level::Trace);
    }

    #[test]
    fn a_journal_that_fails_is_replaced_by_the_fallback_and_tried_again_once_a_second() {
        let (sender, seen) = mpsc::channel();
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&attempts);
        let connected = sender.clone();
        let connect = move || match counted.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(Recorder(connected.clone())),
        };
        let mut journal = Journal::new(connect, Recorder(sender));
        let start = Instant::now();
        let after_ms = [0, 1, 999, 1000, 1999, 2000, 2001];
        for ms in after_ms {
            journal
                .write(&logged(|| info!("{ms}")), start + Duration::from_millis(ms))
                .unwrap();
        }
        let to_journal: Vec<bool> = seen
            .try_iter()
            .map(|seen| matches!(seen, Seen::Journal(..)))
            .collect();
        assert_eq!(to_journal, [false, false, false, false, false, true, true]);
        assert_eq!(attempts.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_connection_that_refuses_a_line_loses_none() {
        let (sender, seen) = mpsc::channel();
        let refuses = Cell::new(true);
        let connect = move || {
            let to = if refuses.replace(false) {
                mpsc::channel().0
            } else {
                sender.clone()
            };
            Ok(Recorder(to))
        };
        let (fallback, fallen) = mpsc::channel();
        let mut journal = Journal::new(connect, Recorder(fallback));
        let start = Instant::now();
        journal.write(&logged(|| info!("a")), start).unwrap();
        journal
            .write(&logged(|| info!("b")), start + RETRY_AFTER)
            .unwrap();
        assert_eq!(
            fallen.try_iter().collect::<Vec<_>>(),
            [Seen::Fallback("a".to_owned())]
        );
        assert_eq!(seen.try_iter().count(), 1);
    }
}
