//! The marks on disk: up to which nonce a signed request may have been admitted, and the thread that keeps them ahead of
//! the nonces that are admitted.
//!
//! Guarantees: a nonce counts as covered only when the disk has a mark at or above it. The base is renewed every two seconds
//! and lies four to six seconds ahead, so that a disk that stalls for less is not noticed. A disk that fails is logged once,
//! and once more when it is back. A crash leaves the old marks or the new ones.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    clock::Clock,
    private_file::{self, Owner, Trusted},
    virtual_key::VirtualKey,
};

const NAME: &str = "replay.json";
const VERSION: u32 = 1;
/// Far more than a mark for every key of a large installation.
const MAX_BYTES: u64 = 1 << 20;

/// Nonces up to these may have been admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HighWaterMarks {
    /// Of every key, in milliseconds since 1970.
    pub(super) base_ms: u64,
    /// Of single keys, whose clients' clocks run ahead of ours.
    pub(super) ahead: HashMap<VirtualKey, u64>,
}

impl HighWaterMarks {
    pub(super) fn at(base_ms: u64) -> Self {
        Self {
            base_ms,
            ahead: HashMap::new(),
        }
    }

    /// The mark of one key.
    pub(super) fn of(&self, key: &VirtualKey) -> u64 {
        self.ahead
            .get(key)
            .map_or(self.base_ms, |ahead| self.base_ms.max(*ahead))
    }

    pub(super) fn highest(&self) -> u64 {
        self.ahead.values().copied().fold(self.base_ms, u64::max)
    }

    pub(super) fn at_most(mut self, latest: u64) -> Self {
        self.base_ms = self.base_ms.min(latest);
        self.ahead
            .values_mut()
            .for_each(|mark| *mark = latest.min(*mark));
        self
    }

    /// Raises the marks of single keys to what they were.
    pub(super) fn and_not_less_ahead_than(mut self, before: &Self) -> Self {
        before
            .ahead
            .iter()
            .for_each(|(key, mark)| self.raise(*key, *mark));
        self
    }

    /// Raises the mark of one key.
    pub(super) fn raise(&mut self, key: VirtualKey, mark: u64) {
        if mark > self.of(&key) {
            self.ahead.insert(key, mark);
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    base_ms: u64,
    ahead: BTreeMap<String, u64>,
}

/// Where the marks are.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// Reads the marks, if any were ever written.
pub(super) fn read(directory: &Path) -> io::Result<Option<HighWaterMarks>> {
    let path = path(directory);
    let file = match private_file::open_trusted(&path, OFlags::empty(), Trusted::process()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if file.metadata()?.len() > MAX_BYTES {
        return Err(damaged("it is too large"));
    }
    let stored: Stored =
        serde_json::from_str(&io::read_to_string(file)?).map_err(|_| damaged("it is damaged"))?;
    if stored.version != VERSION {
        return Err(damaged("another version wrote it"));
    }
    let mark = |(key, mark): (String, u64)| Some((VirtualKey::parse(&key)?, mark));
    let ahead: Option<HashMap<_, _>> = stored.ahead.into_iter().map(mark).collect();
    Ok(Some(HighWaterMarks {
        base_ms: stored.base_ms,
        ahead: ahead.ok_or_else(|| damaged("it is damaged"))?,
    }))
}

/// Writes the marks; when this returns, a crash does not undo it.
pub(super) fn write(directory: &Path, marks: &HighWaterMarks) -> io::Result<()> {
    let ahead = marks
        .ahead
        .iter()
        .map(|(key, mark)| (key.to_string(), *mark))
        .collect();
    let text = serde_json::to_vec(&Stored {
        version: VERSION,
        base_ms: marks.base_ms,
        ahead,
    })?;
    private_file::replace(&path(directory), &text, 0o600, Owner::Process)
}

fn damaged(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// How far ahead marks are written, in milliseconds: also for how long clients may be refused after a crash.
pub(super) const AHEAD_MS: u64 = 6000;
/// Below this distance a mark is written anew before it is reached.
const NEAR_MS: u64 = 3000;
/// How often the base is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(2);
/// What a request whose nonce is not covered may wait for the disk.
const PATIENCE: Duration = Duration::from_secs(1);

enum Request {
    Cover(VirtualKey, u64),
    Close(HighWaterMarks),
}

/// The thread, as its users see it.
#[derive(Debug)]
pub(super) struct Writer {
    orders: mpsc::Sender<Request>,
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
            && self.orders.send(Request::Cover(*key, nonce)).is_err()
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
        let _ = self.orders.send(Request::Close(marks));
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
    fn run(mut self, orders: &mpsc::Receiver<Request>) {
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
                    Request::Cover(key, nonce) => {
                        self.eager = true;
                        wanted.raise(key, nonce.saturating_add(AHEAD_MS));
                    }
                    // Where nobody ever signed there is nothing to write.
                    Request::Close(last) if self.eager => return self.write(last),
                    Request::Close(_) => return,
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
        match write(&self.directory, &marks) {
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
            let path = path(&self.directory);
            tracing::error!(
                %error,
                "the mark of signed requests cannot be written ({}): they are refused until it can",
                path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const KEY: &str = "cpvk_000102030405060708090a0b_7";

    #[test]
    fn marks_come_back_as_they_were_written_and_are_for_the_daemon_alone() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), None);
        let mut marks = HighWaterMarks::at(17);
        marks.raise(VirtualKey::parse(KEY).unwrap(), 99);
        write(directory.path(), &marks).unwrap();
        assert_eq!(read(directory.path()).unwrap(), Some(marks));
        assert_eq!(
            fs::metadata(path(directory.path()))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_of_marks_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        for text in [
            "",
            "{}",
            "{\"version\":2,\"base_ms\":1,\"ahead\":{}}",
            "{\"version\":1,\"base_ms\":1,\"ahead\":{\"x\":1}}",
        ] {
            fs::write(path(directory.path()), text).unwrap();
            assert_eq!(
                read(directory.path()).unwrap_err().kind(),
                ErrorKind::InvalidData,
                "{text}"
            );
        }
    }

    #[test]
    fn a_mark_counts_for_its_key_and_never_below_the_base() {
        let (one, other) = (
            VirtualKey::parse(KEY).unwrap(),
            VirtualKey::parse(&KEY.replace("_7", "_8")).unwrap(),
        );
        let mut marks = HighWaterMarks::at(50);
        marks.raise(one, 40);
        assert!(marks.ahead.is_empty());
        marks.raise(one, 70);
        assert_eq!(
            (marks.of(&one), marks.of(&other), marks.highest()),
            (70, 50, 70)
        );
        assert_eq!(marks.at_most(60).of(&one), 60);
    }
}
