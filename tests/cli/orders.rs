//! `orders` and `ledger check`: the order journal, asked through the running daemon and in its file.

use std::{
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::Path,
};

use gateway::{
    clock::Clock,
    ledger::{Account, Attempt, Conclusion, Digest, Intent, Kind, Ledger as _, Leg},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use std::{sync::Arc, time::Duration};

use crate::support::{CREATE, Served, Starting, command, order, said};

const NEWEST: &str = "0192f0c0a1b27c3d8e4f5a6b7c8d9e0f";

async fn run(state: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut asked = command();
    asked.args(arguments).arg("--state-dir").arg(state);
    said(asked).await
}

async fn serve(state: &TempDir) -> Served {
    Starting::new()
        .await
        .env("STATE_DIRECTORY", state.path())
        .serve()
        .await
}

async fn stop(served: Served) {
    served.process.signal(Signal::TERM);
    assert_eq!(served.ended().await.0.code(), Some(0));
}

/// A journal with open attempts: of these names and request ids, and how long each is alive.
async fn left_open(state: &Path, attempts: &[(Option<&str>, &str, Duration)]) {
    let path = state.join(ledger::FILE_NAME);
    let times = ledger::Times::by(Clock::system());
    let journal = ledger::Journal::open(&path, ledger::Settings::default(), times).unwrap();
    for (name, rid, alive) in attempts {
        let attempt = Attempt::new();
        let intent = Intent {
            account: Arc::new(Account {
                environment: "invented.example".into(),
                name: "default".into(),
            }),
            caller: "default".into(),
            method: CREATE.into(),
            digest: Digest([7; 32]),
            attempt,
            rid: (*rid).into(),
            legs: vec![Leg {
                name: name.map(|name| (Kind::Order, name.to_owned())),
                instrument: Some("BTC_USD".to_owned()),
            }],
            targets: Vec::new(),
            to_be_sent: Duration::from_secs(1),
            alive: *alive,
        };
        drop(journal.begin(intent).await.unwrap());
        let unknown = Conclusion::Unknown {
            alive: *alive,
            code: None,
            legs: Vec::new(),
        };
        journal.conclude(attempt, unknown);
    }
}

#[tokio::test]
async fn the_running_daemon_and_its_file_say_the_same() {
    let state = TempDir::new().unwrap();
    let served = serve(&state).await;
    let (code, out, err) = run(state.path(), &["orders"]).await;
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "no order on record\n", "")
    );
    served.call(CREATE, order("cli-1")).await.unwrap().unwrap();
    let socket = state.path().join("control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let asked = async || {
        let (code, out, err) = run(state.path(), &["orders", "--name", "cli-1", "--json"]).await;
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        serde_json::from_str::<Value>(out.trim()).expect("one line of JSON")
    };
    let of_daemon = asked().await;
    assert_eq!(
        (&of_daemon["state"], &of_daemon["caller"]),
        (&json!("answered"), &json!("default"))
    );
    let (code, out, _) = run(state.path(), &["orders", "--open"]).await;
    assert_eq!((code, out.as_str()), (0, "no order is open\n"));
    let (code, out, _) = run(state.path(), &["orders", "--name", "nobodys"]).await;
    assert_eq!((code, out.as_str()), (1, "no order on record\n"));
    // The daemon has the file, and is not asked to look millions of rows over.
    let (code, _, err) = run(state.path(), &["ledger", "check"]).await;
    assert!(code == 78 && err.contains("while no daemon runs"), "{err}");

    stop(served).await;
    assert!(!socket.exists(), "the socket ends with the daemon");
    assert_eq!(asked().await, of_daemon);
    let (code, out, _) = run(state.path(), &["orders", "--caller", "default"]).await;
    assert!(
        code == 0
            && out.contains("answered       private/create-order  cli-1")
            && out.contains("order_id="),
        "{out}"
    );
    let (code, out, err) = run(state.path(), &["ledger", "check"]).await;
    assert!(
        code == 0 && out.contains("attempts  1, ") && out.ends_with("is in order\n"),
        "{out}{err}"
    );
}

#[tokio::test]
async fn a_dead_daemons_socket_is_replaced_and_a_live_ones_is_not() {
    let state = TempDir::new().unwrap();
    let killed = serve(&state).await;
    killed.process.signal(Signal::KILL);
    killed.ended().await;
    let socket = state.path().join("control.sock");
    assert!(socket.exists());
    let (code, out, _) = run(state.path(), &["orders"]).await;
    assert_eq!(
        (code, out.as_str()),
        (0, "no order on record\n"),
        "from the file"
    );
    let next = serve(&state).await;
    assert_eq!(run(state.path(), &["orders"]).await.0, 0);
    stop(next).await;

    let _alive = UnixListener::bind(&socket).unwrap();
    let inode = std::fs::metadata(&socket).unwrap().ino();
    let other = serve(&state).await;
    other
        .process
        .written
        .wait(&["control.sock: cannot listen here"])
        .await;
    stop(other).await;
    assert_eq!(std::fs::metadata(&socket).unwrap().ino(), inode);
}

#[tokio::test]
async fn what_is_open_is_decided_by_hand_once_and_only_when_nothing_of_it_can_arrive() {
    let (dead, alive) = (Duration::ZERO, Duration::from_secs(3600));
    let state = TempDir::new().unwrap();
    left_open(
        state.path(),
        &[
            (Some("dead-1"), "rid-1", dead),
            (Some("alive-1"), "rid-2", alive),
            (None, NEWEST, dead),
        ],
    )
    .await;
    let resolve = async |name: &str, became: &str, why: &str| {
        run(
            state.path(),
            &["orders", "resolve", name, became, "--why", why],
        )
        .await
    };
    let (code, out, _) = run(state.path(), &["orders", "--open"]).await;
    assert_eq!((code, out.matches(" unknown ").count()), (0, 3), "{out}");
    assert!(out.contains(&format!("rid {NEWEST}")), "{out}");
    assert!(out.contains("it can still arrive for "), "{out}");
    // What is to be done about each, by its kind.
    let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for says in [
        "the proxy asks the exchange by itself (private/get-order-detail, for client_oid alive-1)",
        "look at private/get-open-orders and private/get-order-history, then end the doubt",
        &format!("orders resolve {NEWEST} --executed --why TEXT"),
    ] {
        assert!(words.contains(says), "{says}: {out}");
    }

    for (name, why, code, said) in [
        ("alive-1", "a reason", 1, "it can still arrive for "),
        ("nobodys", "a reason", 1, "no attempt has this name"),
        ("dead-1", "  ", 64, "the reason must be one line"),
    ] {
        let refused = resolve(name, "--executed", why).await;
        assert!(
            refused.0 == code && refused.2.contains(said),
            "{name}: {refused:?}"
        );
    }
    let (code, out, err) =
        resolve("dead-1", "--never-arrived", "seen on the exchange's page").await;
    assert!(
        code == 0 && out.starts_with("dead-1 is never_arrived now: its names are free"),
        "{out}{err}"
    );
    assert!(out.contains(": seen on the exchange's page"), "{out}");
    let (code, _, err) = resolve("dead-1", "--executed", "another").await;
    assert!(
        code == 1 && err.contains("it is not open: it is never_arrived"),
        "{err}"
    );
    // One without a name is named by its request id.
    let (code, out, err) = resolve(NEWEST, "--executed", "it is there").await;
    assert!(
        code == 0 && out.contains("is executed now: it has no name") && !out.contains(": open"),
        "{out}{err}"
    );
    let (_, out, _) = run(state.path(), &["orders", "--open", "--json"]).await;
    assert_eq!(out.lines().count(), 1, "{out}");
}

#[tokio::test]
async fn a_running_daemon_decides_as_the_file_does() {
    let state = TempDir::new().unwrap();
    left_open(state.path(), &[(None, NEWEST, Duration::ZERO)]).await;
    let served = serve(&state).await;
    let arguments = [
        "orders",
        "resolve",
        NEWEST,
        "--executed",
        "--why",
        "it is there",
    ];
    let (code, out, err) = run(state.path(), &arguments).await;
    assert!(code == 0 && out.contains("is executed now"), "{out}{err}");
    served
        .process
        .written
        .wait(&["event=order_decided", "became=executed", "it is there"])
        .await;
    let (code, _, err) = run(state.path(), &arguments).await;
    assert!(
        code == 1 && err.contains("no attempt has this name"),
        "{err}"
    );
    stop(served).await;
}

#[tokio::test]
async fn a_damaged_journal_is_said_to_be_and_one_that_is_not_there_is_not_made() {
    let state = TempDir::new().unwrap();
    for arguments in [&["orders"][..], &["ledger", "check"]] {
        let (code, _, err) = run(state.path(), arguments).await;
        assert!(
            code == 78 && err.contains("there is no order journal yet"),
            "{err}"
        );
    }
    let file = state.path().join(ledger::FILE_NAME);
    assert!(!file.exists());
    // Where only its log is there, it was taken away.
    let log = state.path().join("ledger.db-wal");
    std::fs::write(&log, "of late").unwrap();
    let (code, _, err) = run(state.path(), &["orders"]).await;
    assert!(
        code == 78 && err.contains("is damaged") && err.contains("put a backup there"),
        "{err}"
    );
    assert!(!file.exists());
    std::fs::remove_file(&log).unwrap();
    let damaged = "no database at all, and long enough to be looked at".repeat(40);
    std::fs::write(&file, &damaged).unwrap();
    let (code, out, _) = run(state.path(), &["ledger", "check"]).await;
    assert!(
        code == 1 && out.contains("is damaged") && out.contains("put a backup there"),
        "{out}"
    );
    assert!(
        !out.contains("ledger check"),
        "not what was just done: {out}"
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        damaged,
        "it is left as it is"
    );
}

#[tokio::test]
async fn a_daemon_that_has_the_journal_and_no_socket_is_told_apart_from_one_that_can_be_asked() {
    let state = TempDir::new().unwrap();
    let file = state.path().join(ledger::FILE_NAME);
    let times = ledger::Times::system();
    let _held = ledger::Journal::open(&file, ledger::Settings::default(), times).unwrap();
    let (code, _, err) = run(state.path(), &["orders"]).await;
    assert!(
        code == 78
            && err.contains("does not answer at control.sock")
            && err.contains("its log says why"),
        "{err}"
    );
}
