//! Keeps the marks on disk ahead of the nonces that are admitted, in a thread of its own.
//!
//! Guarantees: a nonce counts as covered only when the disk has a mark at or above it; the base is renewed every two
//! seconds and lies four to six seconds ahead, so that a disk that stalls for less is not noticed. A disk that fails is
//! said once, and said again when it is back.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use tokio::sync::watch;

use super::file::{self, HighWaterMarks};
use crate::{clock::Clock, virtual_key::VirtualKey};

/// How far ahead marks are written, in milliseconds: also for how long clients may be refused after a crash.
pub(super) const AHEAD_MS: u64 = 6000;
/// Below this distance a mark is written anew before it is reached.
const NEAR_MS: u64 = 3000;
/// How often the base is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(2);
/// What a request whose nonce is not covered may wait for the disk.
const PATIENCE: Duration = Duration::from_secs(1);

enum Order {
    Cover(VirtualKey, u64),
    Close(HighWaterMarks),
}

/// The thread, as its users see it.
#[derive(Debug)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    written: watch::Receiver<HighWaterMarks>,
}

impl Writer {
    /// Starts it. `eager`: it keeps the base ahead before anybody asks.
    pub(super) fn start(
        directory: &Path,
        floor: HighWaterMarks,
        eager: bool,
        clock: Clock,
    ) -> Self {
        let (orders, received) = mpsc::channel();
        let (tell, written) = watch::channel(HighWaterMarks::default());
        let task = Task {
            directory: directory.to_owned(),
            marks: floor,
            eager,
            clock,
            failing: false,
            tell,
        };
        let lines = tracing::dispatcher::get_default(Clone::clone);
        let run = move || tracing::dispatcher::with_default(&lines, || task.run(&received));
        let started = thread::Builder::new()
            .name("replay-marks".to_owned())
            .spawn(run);
        if let Err(error) = started {
            // Its channel is closed with it: nothing is ever covered.
            tracing::error!(%error, "no thread for the marks of signed requests: they are all refused");
        }
        Self { orders, written }
    }

    /// Whether the disk has a mark at or above this nonce; waits for it where it has not.
    pub(super) async fn cover(&self, key: &VirtualKey, nonce: u64) -> bool {
        let mark = self.written.borrow().of(key);
        if mark < nonce.saturating_add(NEAR_MS)
            && self.orders.send(Order::Cover(*key, nonce)).is_err()
        {
            return false;
        }
        if mark >= nonce {
            return true;
        }
        let mut written = self.written.clone();
        let covered = written.wait_for(|marks| marks.of(key) >= nonce);
        matches!(tokio::time::timeout(PATIENCE, covered).await, Ok(Ok(_)))
    }

    /// Writes these marks as the last ones, and returns when the thread is done.
    pub(super) async fn close(&self, marks: HighWaterMarks) {
        let _ = self.orders.send(Order::Close(marks));
        let mut written = self.written.clone();
        while written.changed().await.is_ok() {}
    }
}

#[cfg(test)]
impl Writer {
    /// What the disk has.
    pub(super) fn marks(&self) -> HighWaterMarks {
        self.written.borrow().clone()
    }
}

struct Task {
    directory: PathBuf,
    /// What the disk has, or had when this run began.
    marks: HighWaterMarks,
    eager: bool,
    clock: Clock,
    failing: bool,
    tell: watch::Sender<HighWaterMarks>,
}

impl Task {
    fn run(mut self, orders: &mpsc::Receiver<Order>) {
        if self.eager {
            self.renew(self.marks.clone());
        }
        loop {
            let next = match orders.recv_timeout(RENEWED_EVERY) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut wanted = self.marks.clone();
            for order in next.into_iter().chain(orders.try_iter()) {
                match order {
                    Order::Cover(key, nonce) => {
                        self.eager = true;
                        wanted.raise(key, nonce.saturating_add(AHEAD_MS));
                    }
                    // Where nobody ever signed there is nothing to say.
                    Order::Close(last) if self.eager => return self.write(last),
                    Order::Close(_) => return,
                }
            }
            if self.eager {
                self.renew(wanted);
            }
        }
    }

    /// Writes these marks with a base that lies ahead, and without those that the base has passed.
    fn renew(&mut self, mut wanted: HighWaterMarks) {
        let base = self.clock.now_ms().saturating_add(AHEAD_MS);
        wanted.base_ms = wanted.base_ms.max(base);
        let base = wanted.base_ms;
        wanted.ahead.retain(|_, mark| *mark > base);
        if wanted != *self.tell.borrow() {
            self.write(wanted);
        }
    }

    fn write(&mut self, marks: HighWaterMarks) {
        match file::write(&self.directory, &marks) {
            Ok(()) => self.written(marks),
            Err(error) => self.failed(&error),
        }
    }

    fn written(&mut self, marks: HighWaterMarks) {
        if std::mem::take(&mut self.failing) {
            tracing::warn!("the mark of signed requests can be written again");
        }
        self.marks = marks.clone();
        self.tell.send_replace(marks);
    }

    fn failed(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let path = file::path(&self.directory);
            tracing::error!(
                %error,
                "the mark of signed requests cannot be written ({}): they are refused until it can",
                path.display()
            );
        }
    }
}
