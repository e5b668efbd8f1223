//! The recorder over starts, in directories of its own, with a clock that the test sets.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use rusqlite::Connection;
use tempfile::TempDir;

use super::{questions::NOTICED_WITHIN_MS, *};
use crate::{
    key_pairs::{Half, Origin, PairChange},
    lines::Lines,
};
use catalogue::methods::Class;
use gateway::{
    observed::{ClockSkew, Outbound},
    outcome::Outcome,
    secret::{ApiKey, ApiSecret, Credentials},
};

mod broken;
mod kept;
mod starts;
mod timeline;

const READ: &str = "private/user-balance";
const CREATE: &str = "private/create-order";

/// A state directory and a clock. It listens, because a callsite that is first met by a thread without a subscriber can
/// stay mute for the test beside it.
struct Installation {
    dir: TempDir,
    now_ms: Arc<AtomicU64>,
    _lines: Lines,
}

impl Installation {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            now_ms: Arc::new(AtomicU64::new(1_000_000)),
            _lines: Lines::listen(),
        }
    }

    fn clock(&self) -> Clock {
        Clock::set_by(Arc::clone(&self.now_ms))
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(FILE_NAME)
    }

    fn start(&self, settings: Settings) -> (History, PairFacts) {
        History::open(
            Some(self.dir.path()),
            settings,
            start("key-one", "secret-one"),
            &self.clock(),
        )
    }

    fn questions(&self) -> Questions {
        Questions::open(&self.file()).unwrap()
    }

    fn sql(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }

    fn kinds(&self) -> Vec<String> {
        self.questions()
            .changes(&Filter::default())
            .unwrap()
            .into_iter()
            .map(|row| row.kind)
            .collect()
    }
}

fn start(key: &str, secret: &str) -> Start {
    let credentials = Credentials {
        key: ApiKey::new(key.into()),
        secret: ApiSecret::new(secret.into()),
    };
    Start {
        credentials,
        base_url: "https://api.crypto.com/exchange/v1".into(),
        configuration: "0011".into(),
    }
}

/// The report of a call that ended as told.
fn report(method: &'static str, status: u16, code: Option<i64>) -> CallReport {
    CallReport {
        rid: "0193545b1f6e7c398f6b1f6e7c398f6b".into(),
        caller: "default".into(),
        stream: None,
        method: Some(method.into()),
        class: Some(if method == CREATE {
            Class::Trade
        } else {
            Class::Read
        }),
        id: 1,
        nonce: None,
        params_string_len: 0,
        string_to_sign_len: None,
        key_fingerprint: "5f3a0000".into(),
        peer: None,
        outbound: None,
        skew: None,
        status,
        code,
        outcome: Outcome::Answered,
        why: None,
        client_oid: Some("invented-order-name".into()),
        media_type: None,
        scrubbed: false,
        waited: Duration::ZERO,
        exchange: Duration::from_millis(20),
        total: Duration::from_millis(21),
    }
}

fn from(address: &str, report: CallReport) -> CallReport {
    CallReport {
        outbound: Some(Outbound {
            address: address.parse().unwrap(),
            seen: std::time::Instant::now(),
        }),
        ..report
    }
}

impl History {
    /// Hands over a call that ends now.
    fn call(&self, report: CallReport) {
        self.sink().unwrap().record(&Arc::new(report));
    }
}

#[tokio::test]
async fn a_call_is_kept_with_what_the_line_says_and_nothing_more() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    history.call(from("203.0.113.7", report(READ, 401, Some(40101))));
    here.now_ms.fetch_add(1, Relaxed);
    history.call(CallReport {
        outcome: Outcome::NotSent,
        why: Some("connect"),
        ..report(CREATE, 502, None)
    });
    history.flush().await;
    let calls = here.questions().calls(&Filter::default()).unwrap();
    let expected = CallRow {
        ms: 1_000_000,
        rid: "0193545b1f6e7c398f6b1f6e7c398f6b".into(),
        caller: "default".into(),
        method: Some(READ.into()),
        code: Some(40101),
        status: 401,
        outcome: "answered".into(),
        why: None,
        verdict: Some("auth".into()),
        exchange_ms: 20,
        total_ms: 21,
        key_fp: "5f3a0000".into(),
        address: Some("203.0.113.7".into()),
        nonce: None,
        sent_id: report(READ, 401, Some(40101))
            .nonce
            .map(|_| report(READ, 401, None).id),
    };
    assert_eq!((calls.len(), &calls[0]), (2, &expected));
    assert_eq!(
        (calls[1].why.as_deref(), calls[1].verdict.as_deref()),
        (Some("connect"), Some("failed"))
    );
    history.close().await;
    let bytes = everything(here.dir.path());
    for part in [&b"invented-order-name"[..], b"key-one", b"secret-one"] {
        assert!(!bytes.windows(part.len()).any(|window| window == part));
    }
}

fn everything(dir: &Path) -> Vec<u8> {
    fs::read_dir(dir)
        .unwrap()
        .flat_map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

#[tokio::test]
async fn questions_are_answered_by_time_method_caller_and_outcome() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    for (ms, method, caller) in [
        (1, READ, "a"),
        (2, CREATE, "a"),
        (3, READ, "b"),
        (4, READ, "a"),
    ] {
        here.now_ms.store(ms, Relaxed);
        history.call(CallReport {
            caller: caller.into(),
            ..report(method, 200, Some(0))
        });
    }
    history.flush().await;
    let ask = |filter: Filter| -> Vec<u64> {
        here.questions()
            .calls(&filter)
            .unwrap()
            .iter()
            .map(|row| row.ms)
            .collect()
    };
    assert_eq!(ask(Filter::default()), [1, 2, 3, 4]);
    assert_eq!(
        ask(Filter {
            since_ms: Some(2),
            until_ms: Some(3),
            ..Filter::default()
        }),
        [2, 3]
    );
    assert_eq!(
        ask(Filter {
            method: Some(READ.into()),
            limit: Some(2),
            ..Filter::default()
        }),
        [3, 4]
    );
    assert_eq!(
        ask(Filter {
            caller: Some("a".into()),
            method: Some(READ.into()),
            ..Filter::default()
        }),
        [1, 4]
    );
    assert_eq!(
        ask(Filter {
            outcome: Some("unknown".into()),
            ..Filter::default()
        }),
        [0; 0]
    );
    // A text that looks like SQL is a text.
    assert_eq!(
        ask(Filter {
            method: Some("x' OR 1=1 --".into()),
            ..Filter::default()
        }),
        [0; 0]
    );
}

#[tokio::test]
async fn the_files_are_for_their_owner_alone_and_the_program_of_sqlite_reads_them() {
    let here = Installation::new();
    fs::write(here.file(), "").unwrap();
    fs::set_permissions(here.file(), PermissionsExt::from_mode(0o644)).unwrap();
    let (history, _) = here.start(Settings::default());
    history.call(report(READ, 200, Some(0)));
    history.flush().await;
    let modes = |end: &str| {
        fs::metadata(format!("{}{end}", here.file().display()))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!([modes(""), modes("-wal"), modes("-shm")], [0o600; 3]);
    let sql = "SELECT time || ' ' || method || ' ' || rid FROM calls";
    let row: String = here.sql().query_row(sql, [], |row| row.get(0)).unwrap();
    let stored: Vec<u8> = here
        .sql()
        .query_row("SELECT rid FROM call", [], |row| row.get(0))
        .unwrap();
    assert_eq!(
        stored.len(),
        16,
        "an id of ours takes no more room than it must"
    );
    assert_eq!(
        row,
        "1970-01-01T00:16:40.000Z private/user-balance 0193545b1f6e7c398f6b1f6e7c398f6b"
    );
}

#[tokio::test]
async fn refused_tokens_are_counted_by_minute() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    for (ms, count) in [(60_000, 3), (119_999, 4), (120_000, 1)] {
        here.now_ms.store(ms, Relaxed);
        history.refused("token", count);
    }
    history.flush().await;
    let refused = here.questions().refused(&Filter::default()).unwrap();
    let refused: Vec<_> = refused
        .into_iter()
        .map(|row| (row.minute_ms, row.why, row.count))
        .collect();
    assert_eq!(
        refused,
        [(60_000, "token".into(), 7), (120_000, "token".into(), 1)]
    );
}
