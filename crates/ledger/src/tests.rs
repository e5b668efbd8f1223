//! What the tests share: a journal whose clock, boot and file they hold.

mod behind;
mod damage;
mod disk;
mod kept;
mod killed;
mod life;
mod model;
mod names;

use std::{
    borrow::Cow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use gateway::{
    clock::Clock,
    ledger::{
        Account, Attempt, Away, Begun, Conclusion, Digest, Entry, Intent, Kind, Known, Ledger, Leg,
        LegEnd, Listing, Settled, State, Stored,
    },
};
use uuid::Uuid;

use crate::{
    Journal, Settings, Times,
    command::{Command, TestCommand},
    store::Store,
};

/// Some moment of 2026.
const WALL_MS: u64 = 1_780_000_000_000;
const ALIVE: Duration = Duration::from_secs(77);

/// A machine with a disk.
struct Machine {
    wall: Arc<AtomicU64>,
    up: Arc<AtomicU64>,
    boot: Uuid,
    settings: Settings,
    directory: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self {
            wall: Arc::new(AtomicU64::new(WALL_MS)),
            up: Arc::new(AtomicU64::new(1_000_000)),
            boot: Uuid::new_v4(),
            // However busy the machine is; the tests of slow disks set their own.
            settings: Settings {
                wait: Duration::MAX,
                ..Settings::default()
            },
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ledger.db")
    }

    fn times(&self) -> Times {
        let clock = Clock::stepped_by(Arc::clone(&self.wall), Arc::clone(&self.up));
        Times::of(clock, self.boot)
    }

    fn try_open(&self) -> Result<Journal, crate::Problem> {
        Journal::open(&self.file(), self.settings.clone(), self.times())
    }

    fn open(&self) -> Journal {
        self.try_open().unwrap()
    }

    fn pass(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.wall.fetch_add(ms, Ordering::Relaxed);
        self.up.fetch_add(ms, Ordering::Relaxed);
    }

    fn reboot(&mut self) {
        self.boot = Uuid::new_v4();
        self.up.store(20_000, Ordering::Relaxed);
    }
}

impl Journal {
    /// Does something to the open file, after everything before it and before everything after it.
    fn test(&self, run: impl FnOnce(&Store) + Send + 'static) {
        let (done, is_done) = mpsc::channel();
        let run = Box::new(move |store: &Store| {
            run(store);
            let _ = done.send(());
        });
        self.commands_of_test()
            .send(Command::Test(TestCommand(run)))
            .unwrap();
        is_done.recv().unwrap();
    }
}

fn account() -> Arc<Account> {
    Arc::new(Account {
        environment: "uat".into(),
        name: "main".into(),
    })
}

fn order(name: &str) -> Leg {
    Leg {
        name: Some((Kind::Order, name.to_owned())),
        instrument: Some("BTC_USD".to_owned()),
    }
}

/// An intent of this caller; its content is `content`.
fn intent(caller: &str, content: u8, names: &[&str]) -> Intent {
    Intent {
        account: account(),
        caller: caller.into(),
        method: Cow::Borrowed("private/create-order"),
        digest: Digest([content; 32]),
        attempt: Attempt::new(),
        rid: format!("rid-of-{caller}").into(),
        legs: names.iter().map(|name| order(name)).collect(),
        targets: Vec::new(),
        to_be_sent: Duration::from_secs(10),
        alive: ALIVE,
    }
}

/// The intent, made once more by another attempt.
fn again(intent: &Intent) -> Intent {
    Intent {
        attempt: Attempt::new(),
        ..intent.clone()
    }
}

fn executed(id: &str) -> LegEnd {
    LegEnd::Executed {
        order_id: Some(id.to_owned()),
    }
}

const REFUSED: LegEnd = LegEnd::Refused { code: 306 };
const UNKNOWN: Conclusion = Conclusion::Unknown {
    alive: ALIVE,
    code: None,
    legs: Vec::new(),
};

fn stored() -> Stored {
    Stored {
        status: 200,
        body: Bytes::from_static(b"{\"code\":0}"),
    }
}

fn answered(legs: Vec<LegEnd>) -> Conclusion {
    Conclusion::Answered {
        answer: Some(stored()),
        code: 0,
        legs,
        list_id: None,
    }
}

/// What came of it, in a word that tests compare.
fn word(known: &Known) -> &'static str {
    match known {
        Known::Answered(_) => "answered",
        Known::Running(_) => "running",
        Known::Unknown(_) => "unknown",
        Known::Used(_) => "used",
        Known::Differs => "differs",
        Known::Taken => "taken",
    }
}

async fn begin(journal: &Journal, intent: &Intent) -> &'static str {
    match journal.begin(intent.clone()).await.unwrap() {
        Begun::Go(ticket) => {
            assert_eq!(ticket.attempt(), intent.attempt);
            "go"
        }
        Begun::Known(known) => word(&known),
    }
}

async fn look(journal: &Journal, intent: &Intent) -> &'static str {
    let known = journal.look(again(intent)).await.unwrap();
    known.as_ref().map_or("free", word)
}

async fn all(journal: &Journal) -> Vec<Entry> {
    let listing = Listing {
        most: 1000,
        ..Listing::default()
    };
    journal.list(listing).await.unwrap()
}

async fn state(journal: &Journal, intent: &Intent) -> State {
    let all = all(journal).await;
    all.iter()
        .find(|entry| entry.attempt == intent.attempt)
        .unwrap()
        .state
}
