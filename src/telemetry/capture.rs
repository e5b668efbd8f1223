//! Log lines kept in memory, for tests.
//!
//! Guarantees: a line can be read as soon as the macro that logged it has returned; it passed the same filter and the
//! same cleaning as in production. Does not: go through queues and writer, drop anything, or forget.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tracing::{Dispatch, Level};

use super::{
    layer::{Destination, Intake},
    line::{Line, Structure},
};

/// A dispatcher that keeps lines from `level` up, and the lines. A scope is per thread: give spawned tasks the
/// dispatcher with `tracing::instrument::WithSubscriber`.
#[must_use]
pub fn capture(level: Level) -> (Dispatch, Captured) {
    let captured = Captured(Arc::default());
    (
        Intake::new(level, Structure::Keep, captured.clone()).into_dispatch(),
        captured,
    )
}

/// The lines that were logged. Clones share them.
#[derive(Debug, Clone)]
pub struct Captured(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Vec<Line>>,
    arrived: Condvar,
    count: watch::Sender<usize>,
}

impl Captured {
    /// Every line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lock().clone()
    }

    /// The first line, past or to come within `limit`, that is `wanted`.
    pub async fn wait_for(&self, wanted: impl Fn(&Line) -> bool, limit: Duration) -> Option<Line> {
        let mut count = self.0.count.subscribe();
        let search = async {
            loop {
                count.mark_unchanged();
                if let Some(line) = self.find(&wanted) {
                    return Some(line);
                }
                count.changed().await.ok()?;
            }
        };
        tokio::time::timeout(limit, search).await.ok().flatten()
    }

    /// The line of this number, counted from 0, once it is there; `None` if nothing can come any more.
    pub async fn line(&self, number: usize) -> Option<Line> {
        let mut count = self.0.count.subscribe();
        loop {
            count.mark_unchanged();
            if let Some(line) = self.lock().get(number).cloned() {
                return Some(line);
            }
            count.changed().await.ok()?;
        }
    }

    /// The same for tests without a runtime: blocks the thread.
    #[must_use]
    pub fn wait_blocking(&self, wanted: impl Fn(&Line) -> bool, limit: Duration) -> Option<Line> {
        let missing = |lines: &mut Vec<Line>| !lines.iter().any(&wanted);
        let waited = self
            .0
            .arrived
            .wait_timeout_while(self.lock(), limit, missing);
        let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        lines.iter().find(|line| wanted(line)).cloned()
    }

    fn find(&self, wanted: impl Fn(&Line) -> bool) -> Option<Line> {
        self.lock().iter().find(|line| wanted(line)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination for Captured {
    fn accept(&self, line: Line) {
        self.lock().push(line);
        self.0.arrived.notify_all();
        self.0.count.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use tracing::{dispatcher::with_default, info};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_line_past_or_to_come_is_found() {
        let (dispatch, captured) = capture(Level::INFO);
        with_default(&dispatch, || info!("CRYPTO_ID" = 1, "past"));
        let to_come = async { with_default(&dispatch, || info!("CRYPTO_ID" = 2, "to come")) };
        let wanted = |id: &'static str| {
            captured.wait_for(move |line| line.field("CRYPTO_ID") == Some(id), LIMIT)
        };
        let (past, coming, ()) = tokio::join!(wanted("1"), wanted("2"), to_come);
        assert_eq!(past.unwrap().text(), "past");
        assert_eq!(coming.unwrap().text(), "to come");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_never_comes_is_waited_for_no_longer_than_the_limit() {
        let (dispatch, captured) = capture(Level::INFO);
        with_default(&dispatch, || info!("another"));
        assert!(
            captured
                .wait_for(|line| line.text() == "never", LIMIT)
                .await
                .is_none()
        );
    }

    #[test]
    fn a_thread_can_wait_for_the_line_of_another() {
        let (dispatch, captured) = capture(Level::INFO);
        let other = std::thread::spawn(move || with_default(&dispatch, || info!("from there")));
        assert!(
            captured
                .wait_blocking(|line| line.text() == "from there", LIMIT)
                .is_some()
        );
        assert!(
            captured
                .wait_blocking(|line| line.text() == "never", Duration::ZERO)
                .is_none()
        );
        other.join().unwrap();
    }
}
