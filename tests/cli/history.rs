//! `history` and `fingerprint`: read what a daemon left behind, and the key's name without the key.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    canary::Canaries,
    support::{Starting, command, order, said},
};

const READ: &str = "private/user-balance";

async fn ask(db: &Path, arguments: &[&str], canaries: &Canaries) -> (i32, String, String) {
    let mut asked = command();
    asked.arg("history").arg("--db").arg(db).args(arguments);
    let (code, out, err) = said(asked).await;
    canaries.assert_absent(&format!("{out}{err}"), "what history says");
    (code, out, err)
}

#[tokio::test]
async fn what_a_daemon_kept_can_be_asked_for_while_it_runs_and_after_it_was_killed() {
    let state = TempDir::new().unwrap();
    let served = Starting::new()
        .await
        .env("STATE_DIRECTORY", state.path())
        .serve()
        .await;
    let canaries = served.canaries.clone();
    for _ in 0..2 {
        served.call(READ, json!({})).await.unwrap().unwrap();
    }
    served
        .exchange()
        .script("private/create-order", sandbox::Fault::code(40101));
    served
        .call("private/create-order", order("history-cli-1"))
        .await
        .unwrap()
        .unwrap();
    served.process.signal(Signal::TERM);
    assert_eq!(served.ended().await.0.code(), Some(0));
    let db = state.path().join("history.db");

    let (code, out, err) = ask(&db, &[], &canaries).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("no history before 20"), "{out}");
    assert_eq!(
        out.matches(READ).count(),
        3,
        "two calls, and the first of that method: {out}"
    );
    assert!(
        out.contains("private/create-order             answered code=40101"),
        "{out}"
    );

    let (code, out, _) = ask(
        &db,
        &["--method", READ, "--limit", "1", "--json"],
        &canaries,
    )
    .await;
    let row: Value = serde_json::from_str(out.trim()).expect("one line of JSON");
    assert_eq!(
        (code, &row["type"], &row["outcome"]),
        (0, &json!("call"), &json!("answered"))
    );

    let (code, out, _) = ask(&db, &["--changes"], &canaries).await;
    assert!(
        code == 0
            && out.contains("-- key ")
            && out.contains("-- secret no. 1")
            && !out.contains("code="),
        "{out}"
    );

    let (code, out, _) = ask(&db, &["--between"], &canaries).await;
    assert_eq!(code, 1, "orders still fail: {out}");
    assert!(
        out.contains("private/create-order: never a good call on record; first bad "),
        "{out}"
    );
    let (code, out, _) = ask(&db, &["--between", "--method", READ], &canaries).await;
    assert!(code == 0 && out.contains("no bad call on record"), "{out}");

    let (code, out, _) = ask(
        &db,
        &["--since", "2000-01-01", "--until", "2000-01-02"],
        &canaries,
    )
    .await;
    assert!(
        code == 0 && out.contains("no history before") && out.contains("nothing on record"),
        "{out}"
    );
}

#[tokio::test]
async fn a_run_that_was_killed_is_a_gap() {
    let state = TempDir::new().unwrap();
    let start = async || {
        Starting::new()
            .await
            .env("STATE_DIRECTORY", state.path())
            .serve()
            .await
    };
    let killed = start().await;
    killed.process.signal(Signal::KILL);
    killed.ended().await;
    let next = start().await;
    let canaries = next.canaries.clone();
    // The daemon has the file open; nobody is in the other's way.
    let (code, out, _) = ask(&state.path().join("history.db"), &["--changes"], &canaries).await;
    assert!(code == 0 && out.contains("-- gap since 20"), "{out}");
    next.process.signal(Signal::TERM);
    next.ended().await;
}

#[tokio::test]
async fn what_cannot_be_read_exits_78_and_what_is_not_understood_64() {
    let canaries = Canaries::random();
    let dir = TempDir::new().unwrap();
    let absent = dir.path().join("absent.db");
    let (code, _, err) = ask(&absent, &[], &canaries).await;
    assert!(
        code == 78 && err.contains("absent.db") && err.contains("sudo"),
        "{err}"
    );
    assert_eq!(err.matches("No such file").count(), 1, "{err}");
    let other = dir.path().join("other.db");
    std::fs::write(
        &other,
        "no database at all, and long enough to be looked at".repeat(40),
    )
    .unwrap();
    assert_eq!(ask(&other, &[], &canaries).await.0, 78);
    for wrong in [
        &["--since", "yesterday"][..],
        &["--outcome", "good"],
        &["--changes", "--between"],
        &["surplus"],
    ] {
        assert_eq!(ask(&absent, wrong, &canaries).await.0, 64, "{wrong:?}");
    }
}

#[tokio::test]
async fn the_fingerprint_is_shown_with_label_and_source_and_nothing_else() {
    let canaries = Canaries::random();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("crypto.env");
    let run = async |text: String| {
        std::fs::write(&file, text).unwrap();
        let output = command()
            .arg("fingerprint")
            .arg("--env-file")
            .arg(&file)
            .output()
            .await
            .unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        canaries.assert_absent(&format!("{out}{err}"), "what fingerprint says");
        (output.status.code(), out)
    };
    let (key, secret) = (&canaries.key, &canaries.secret);
    let pair = format!("CRYPTO_API_KEY={key}\nCRYPTO_API_SECRET={secret}\n");
    let (code, out) = run(format!("{pair}CRYPTO_API_KEY_LABEL=desk\n")).await;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 3), "{out}");
    assert!(
        lines[0].starts_with("fingerprint ") && lines[0].len() == "fingerprint ".len() + 8,
        "{out}"
    );
    assert_eq!(lines[1], "label       desk");
    assert!(
        lines[2].starts_with("source      CRYPTO_API_KEY, ") && lines[2].contains("crypto.env:1"),
        "{out}"
    );
    assert_eq!(run(String::new()).await, (Some(78), String::new()));
}
