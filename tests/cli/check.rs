//! `check`: the loader of `serve`, without network.

use std::{
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Stdio,
};

use rustix::{
    fs::OFlags,
    process::{Pid, Signal, kill_process},
    termios::{LocalModes, tcgetattr},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    canary::Canaries,
    support::{PATIENCE, Process, command, terminal},
};

/// Checks an environment file; the exit code, and what was written.
async fn check(canaries: &Canaries, environment: &str) -> (Option<i32>, Vec<String>) {
    check_with(canaries, environment, &[]).await
}

async fn check_with(
    canaries: &Canaries,
    environment: &str,
    arguments: &[&str],
) -> (Option<i32>, Vec<String>) {
    let directory = tempfile::TempDir::new().unwrap();
    let (file, config) = (
        directory.path().join("crypto.env"),
        directory.path().join("config.toml"),
    );
    std::fs::write(&file, environment).unwrap();
    std::fs::write(&config, "").unwrap();
    let process = Process::start(
        command()
            .arg("check")
            .arg("--config")
            .arg(&config)
            .arg("--env-file")
            .arg(&file)
            // What listens on this machine is no matter here.
            .arg("--may-be-taken")
            .args(arguments),
    );
    let (status, lines) = process.ended().await;
    lines
        .iter()
        .for_each(|line| canaries.assert_absent(line, "what check says"));
    (status.code(), lines)
}

#[tokio::test]
async fn a_complete_file_is_good_and_its_secrets_are_not_shown() {
    let canaries = Canaries::random();
    let environment = format!(
        "CRYPTO_API_KEY={}\nCRYPTO_API_SECRET={}\nCRYPTO_PROXY_TOKEN={}\nCRYPTO_REST_BASE=http://127.0.0.1:9/v1\n",
        canaries.key, canaries.secret, canaries.token
    );
    let (code, lines) = check(&canaries, &environment).await;
    assert_eq!(code, Some(0), "{lines:#?}");
}

#[tokio::test]
async fn for_programs_it_is_one_object_with_the_same_rows_and_problems() {
    let canaries = Canaries::random();
    let (key, token) = (&canaries.key, &canaries.token);
    let environment = format!("CRYPTO_API_KEY={key}\nCRYPTO_PROXY_TOKEN={token}\n");
    let (code, lines) = check_with(&canaries, &environment, &["--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&lines.join("\n")).unwrap();
    assert_eq!((code, &told["would_start"]), (Some(78), &false.into()));
    let errors: Vec<_> = told["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|problem| problem["severity"] == "error")
        .map(|problem| (&problem["key"], problem["remedy"].is_string()))
        .collect();
    assert_eq!(errors, [(&"CRYPTO_API_SECRET".into(), true)], "{told:#}");
    let rows = told["report"]["settings"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["key"] == "listen"), "{told:#}");
}

#[tokio::test]
async fn a_file_without_a_secret_is_what_serve_would_refuse_as_well() {
    let canaries = Canaries::random();
    let (key, token) = (&canaries.key, &canaries.token);
    let (code, lines) = check(
        &canaries,
        &format!("CRYPTO_API_KEY={key}\nCRYPTO_PROXY_TOKEN={token}\n"),
    )
    .await;
    assert_eq!(code, Some(78), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains("CRYPTO_API_SECRET")),
        "{lines:#?}"
    );
}

/// A pair that belongs to nobody but its canaries.
fn pair_of(canaries: &Canaries) -> String {
    format!(
        "CRYPTO_API_KEY={}\nCRYPTO_API_SECRET={}\n",
        canaries.key, canaries.secret
    )
}

/// Pipes a text into `check --compare-key`; exit code, and what was written to both outputs.
async fn compare(
    canaries: &[&Canaries],
    environments: &[String],
    given: &[u8],
) -> (Option<i32>, String) {
    let directory = tempfile::TempDir::new().unwrap();
    let config = directory.path().join("config.toml");
    std::fs::write(&config, "").unwrap();
    let mut command = command();
    command
        .args(["check", "--compare-key", "--config"])
        .arg(&config);
    for (number, environment) in environments.iter().enumerate() {
        let file = directory.path().join(format!("{number}.env"));
        std::fs::write(&file, environment).unwrap();
        command.arg("--env-file").arg(file);
    }
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who needs no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(given).await;
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let written = [output.stdout, output.stderr].concat();
    let written = String::from_utf8(written).unwrap();
    canaries
        .iter()
        .for_each(|canaries| canaries.assert_absent(&written, "what compare-key says"));
    (output.status.code(), written)
}

#[tokio::test]
async fn a_piped_key_is_the_same_whatever_copying_put_on_it() {
    let canaries = Canaries::random();
    for given in [
        format!("{}\n", canaries.key),
        format!("\u{feff} \"{}\"\r\n", canaries.key),
        canaries.key.clone(),
    ] {
        let (code, written) = compare(&[&canaries], &[pair_of(&canaries)], given.as_bytes()).await;
        assert!(
            code == Some(0) && written.contains("Same:") && written.contains("fingerprint "),
            "{written}"
        );
    }
}

#[tokio::test]
async fn another_key_is_different_and_both_have_their_fingerprints() {
    let (ours, theirs) = (Canaries::random(), Canaries::random());
    let (code, written) =
        compare(&[&ours, &theirs], &[pair_of(&ours)], theirs.key.as_bytes()).await;
    assert!(
        code == Some(1) && written.contains("Different:"),
        "{written}"
    );
    assert_eq!(written.matches("fingerprint ").count(), 2, "{written}");
}

#[tokio::test]
async fn a_pasted_secret_is_called_so_and_has_no_fingerprint() {
    let (ours, theirs) = (Canaries::random(), Canaries::random());
    let without_prefix = pair_of(&ours).replace(&ours.secret, &ours.token);
    for (environment, given) in [
        (pair_of(&ours), &ours.secret),
        (without_prefix, &ours.token),
    ] {
        let (code, written) = compare(&[&ours], &[environment], given.as_bytes()).await;
        assert!(
            code == Some(1) && written.contains("that is the secret, not the key"),
            "{written}"
        );
        assert_eq!(
            written.matches("fingerprint ").count(),
            1,
            "of the configured key alone: {written}"
        );
    }
    let (code, written) = compare(
        &[&ours, &theirs],
        &[pair_of(&ours)],
        theirs.secret.as_bytes(),
    )
    .await;
    assert!(
        code == Some(1) && written.contains("begins as a secret does"),
        "{written}"
    );
    assert_eq!(written.matches("fingerprint ").count(), 1, "{written}");
}

#[tokio::test]
async fn what_stands_elsewhere_in_the_sources_has_no_fingerprint_either() {
    let (ours, theirs) = (Canaries::random(), Canaries::random());
    let second = pair_of(&theirs).replace("CRYPTO_API", "CRYPTOCOM_API");
    let environment = format!(
        "{}{second}CRYPTO_PROXY_TOKEN={}\n",
        pair_of(&ours),
        ours.token
    );
    for given in [&ours.token, &theirs.key] {
        let (code, written) = compare(
            &[&ours, &theirs],
            std::slice::from_ref(&environment),
            given.as_bytes(),
        )
        .await;
        assert!(
            code == Some(1) && written.contains("stands elsewhere in the same sources"),
            "{written}"
        );
        assert_eq!(
            written.matches("fingerprint ").count(),
            1,
            "of the configured key alone: {written}"
        );
    }
}

#[tokio::test]
async fn nothing_too_much_and_what_is_no_key_exit_64() {
    let canaries = Canaries::random();
    let both = format!("{} {}", canaries.key, canaries.secret);
    for given in ["", " \n", &"k".repeat(5000), &both] {
        let (code, written) = compare(&[&canaries], &[pair_of(&canaries)], given.as_bytes()).await;
        assert!(
            code == Some(64) && written.contains("no key to compare"),
            "{written}"
        );
        assert!(
            !written.contains("5000") && !written.contains("1024"),
            "no length: {written}"
        );
    }
    assert_eq!(
        compare(&[&canaries], &[pair_of(&canaries)], b"\xff\xfe")
            .await
            .0,
        Some(64)
    );
}

#[tokio::test]
async fn without_a_pair_there_is_nothing_to_compare_with() {
    let canaries = Canaries::random();
    let half = format!("CRYPTO_API_KEY={}\n", canaries.key);
    let (code, written) = compare(&[&canaries], &[half], canaries.key.as_bytes()).await;
    assert!(
        code == Some(78) && written.contains("no complete pair"),
        "{written}"
    );
}

#[tokio::test]
async fn of_several_files_each_is_answered() {
    let (ours, theirs) = (Canaries::random(), Canaries::random());
    let (one, other, none) = (pair_of(&ours), pair_of(&theirs), String::new());
    let all = [&ours, &theirs];
    for (files, code, parts) in [
        (
            [one.clone(), one.clone()],
            0,
            [
                "0.env: CRYPTO_API_KEY, key fingerprint",
                "1.env: CRYPTO_API_KEY, key",
            ],
        ),
        ([one.clone(), other], 1, ["the same key", "another key"]),
        ([one, none], 78, ["the same key", "1.env: no complete pair"]),
    ] {
        let (seen, written) = compare(&all, &files, ours.key.as_bytes()).await;
        let written = written.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(seen, Some(code), "{written}");
        assert!(parts.iter().all(|part| written.contains(part)), "{written}");
    }
}

fn echoes(terminal: impl AsFd) -> bool {
    tcgetattr(terminal)
        .unwrap()
        .local_modes
        .contains(LocalModes::ECHO)
}

/// Starts it on a terminal and waits for its prompt.
async fn prompted(slave: &OwnedFd, file: &Path) -> tokio::process::Child {
    let mut command = command();
    command
        .args(["check", "--compare-key", "--env-file"])
        .arg(file)
        .stdin(slave.try_clone().unwrap());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"Enter: ") {
        let read =
            tokio::time::timeout(PATIENCE, child.stderr.as_mut().unwrap().read(&mut byte)).await;
        assert_eq!(
            read.expect("a prompt").unwrap(),
            1,
            "{}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend(byte);
    }
    child
}

#[tokio::test]
async fn what_is_typed_at_the_prompt_is_not_echoed_and_the_terminal_is_left_as_it_was() {
    let canaries = Canaries::random();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("crypto.env");
    std::fs::write(&file, pair_of(&canaries)).unwrap();
    let (mut typed, slave) = terminal();
    assert!(echoes(&slave));
    let child = prompted(&slave, &file).await;
    assert!(!echoes(&slave), "the echo is off before anybody is asked");
    typed
        .write_all(format!("{}\n", canaries.key).as_bytes())
        .unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(echoes(&slave));
    rustix::fs::fcntl_setfl(&typed, OFlags::NONBLOCK).unwrap();
    let mut shown = Vec::new();
    let _ = typed.read_to_end(&mut shown);
    canaries.assert_absent(&String::from_utf8_lossy(&shown), "what the terminal shows");
    assert_eq!(shown, b"\r\n", "the end of the line alone");
}

#[tokio::test]
async fn the_echo_comes_back_when_the_prompt_is_interrupted() {
    let canaries = Canaries::random();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("crypto.env");
    std::fs::write(&file, pair_of(&canaries)).unwrap();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let (_typed, slave) = terminal();
        let mut child = prompted(&slave, &file).await;
        let id = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
        let status = tokio::time::timeout(PATIENCE, child.wait())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(status.code(), Some(128 + signal.as_raw()));
        assert!(echoes(&slave), "{signal:?}");
    }
}

#[tokio::test]
async fn a_report_has_the_width_and_the_colour_of_its_terminal() {
    let canaries = Canaries::random();
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("crypto.env");
    std::fs::write(&file, pair_of(&canaries)).unwrap();
    let (mut seen, slave) = terminal();
    let mut size = rustix::termios::tcgetwinsize(&slave).unwrap();
    size.ws_col = 72;
    rustix::termios::tcsetwinsize(&slave, size).unwrap();
    let mut checking = command();
    checking.current_dir(&directory).env("TERM", "xterm");
    checking.args(["check", "--env-file", "crypto.env"]);
    let mut child = checking.stdout(Stdio::from(slave)).spawn().unwrap();
    drop(checking);
    // It ends with an error when nobody holds the other side any more.
    let shown = tokio::task::spawn_blocking(move || {
        let mut shown = Vec::new();
        let _ = seen.read_to_end(&mut shown);
        String::from_utf8(shown).unwrap()
    });
    let shown = tokio::time::timeout(PATIENCE, shown)
        .await
        .unwrap()
        .unwrap();
    child.wait().await.unwrap();
    let plain = anstream::adapter::strip_str(&shown).to_string();
    let longest = plain.lines().map(|line| line.chars().count()).max();
    assert!(
        longest.is_some_and(|longest| (60..=72).contains(&longest)),
        "{plain}"
    );
    assert!(shown.contains("\u{1b}[1mRead\u{1b}[0m"), "{shown}");
    canaries.assert_absent(&shown, "what the terminal shows");
}
