//! `support-bundle` as a process: what is in the tar and what never is, and that it is refused rather than written.

use std::{
    collections::BTreeMap,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use base64::Engine as _;
use rustix::process::Signal;
use sandbox::{Fault, Running};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    canary::Canaries,
    support::{Starting, command, environment_file, exchange_of, order},
};

const FILES: [&str; 6] = [
    "README.txt",
    "configuration.txt",
    "diagnosis.json",
    "diagnosis.txt",
    "history.json",
    "ticket.md",
];

struct Place {
    canaries: Canaries,
    exchange: Running,
    folder: TempDir,
}

/// How it ended, and what it said.
struct Ended {
    code: i32,
    said: String,
}

impl Place {
    async fn new() -> Self {
        let canaries = Canaries::random();
        let exchange = exchange_of(&canaries).await;
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("config.toml"), "").unwrap();
        std::fs::create_dir(folder.path().join("out")).unwrap();
        let place = Self {
            canaries,
            exchange,
            folder,
        };
        place.environment(&place.complete());
        place
    }

    fn complete(&self) -> String {
        environment_file(&self.canaries, &self.exchange)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn environment(&self, text: &str) {
        std::fs::write(self.path("crypto.env"), text).unwrap();
    }

    /// Runs it over the environment file, without what the daemon of this machine may keep.
    async fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = command();
        command
            .arg("support-bundle")
            .arg("--config")
            .arg(self.path("config.toml"));
        command
            .arg("--env-file")
            .arg(self.path("crypto.env"))
            .env("STATE_DIRECTORY", self.path("no-state"));
        self.ended(command.args(arguments).current_dir(self.path("out")))
            .await
    }

    async fn ended(&self, command: &mut tokio::process::Command) -> Ended {
        let output = command.output().await.expect("the binary starts");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        self.canaries
            .assert_absent(&said, "what support-bundle says");
        Ended {
            code: output.status.code().expect("an exit code"),
            said,
        }
    }

    /// What lies where bundles are written.
    fn written(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("out")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Opens the one bundle that was written: nothing in it is a secret, no byte is a control character.
    fn open(&self) -> BTreeMap<String, String> {
        let written = self.written();
        assert_eq!(written.len(), 1, "{written:?}");
        assert_eq!(
            std::fs::metadata(&written[0]).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        opened(&self.canaries, &written[0])
    }
}

fn opened(canaries: &Canaries, file: &Path) -> BTreeMap<String, String> {
    let bytes = std::fs::read(file).unwrap();
    canaries.assert_absent(&String::from_utf8_lossy(&bytes), "the bundle");
    let (mut files, mut archive) = (BTreeMap::new(), tar::Archive::new(bytes.as_slice()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        let name = entry
            .path()
            .unwrap()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert!(
            !text.contains(|char: char| char.is_control() && char != '\n'),
            "{name}: {text:?}"
        );
        files.insert(name, text);
    }
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), FILES);
    files
}

#[tokio::test]
async fn a_bundle_lists_its_files_and_says_what_to_do_next() {
    let place = Place::new().await;
    place
        .exchange
        .exchange()
        .script_always("private/get-open-orders", Fault::code(40101));
    // The comments and placeholders of the shipped file are no secrets.
    place.environment(
        &(include_str!("../../deploy/crypto.env.example").to_owned() + "\n" + &place.complete()),
    );
    let Ended { code, said } = place.run(&[]).await;
    assert_eq!(code, 0, "{said}");
    let files = place.open();
    assert!(FILES.iter().all(|name| said.contains(name)), "{said}");
    assert!(
        said.contains("/ticket.md") && said.contains("exchange's support"),
        "{said}"
    );
    assert!(
        said.contains("without a history") && said.contains("no-state"),
        "{said}"
    );
    let ticket = &files["ticket.md"];
    assert!(
        ticket.starts_with("# Private API calls are refused: private/get-open-orders, HTTP "),
        "{ticket}"
    );
    assert!(
        ticket.contains("| private/user-balance | ok | 200 | 0 |"),
        "{ticket}"
    );
    assert!(
        files["configuration.txt"].contains("Good: the daemon would start."),
        "{files:#?}"
    );
    let json: Value = serde_json::from_str(&files["diagnosis.json"]).unwrap();
    assert_eq!(json["conclusion"], "trouble");
    assert!(files["diagnosis.txt"].contains("CP-") && files["README.txt"].contains("ticket.md"));
    let history: Value = serde_json::from_str(&files["history.json"]).unwrap();
    assert_eq!(history["read"], false);
}

#[tokio::test]
async fn the_history_is_in_it_without_calls_callers_order_ids_and_invented_methods() {
    let state = TempDir::new().unwrap();
    let served = Starting::new()
        .await
        .env("STATE_DIRECTORY", state.path())
        .serve()
        .await;
    for _ in 0..3 {
        served
            .call("private/user-balance", json!({}))
            .await
            .unwrap()
            .unwrap();
    }
    served
        .call("private/get-my-invented-instrument", json!({}))
        .await
        .unwrap()
        .unwrap();
    served
        .exchange()
        .script("private/create-order", Fault::code(40101));
    served
        .call("private/create-order", order("bundle-oid-1"))
        .await
        .unwrap()
        .unwrap();
    let (canaries, base) = (served.canaries.clone(), served.exchange.base_url());
    served.process.signal(Signal::TERM);
    assert_eq!(served.ended().await.0.code(), Some(0));
    let history = rusqlite::Connection::open(state.path().join("history.db")).unwrap();
    history
        .execute_batch(
            "INSERT INTO change (ms, kind, after) VALUES (1, 'method', 'private/an-invented-instrument');
             INSERT INTO mark (method, mark, ms, rid, key_fp, status, outcome)
             VALUES ('private/an-invented-instrument', 'auth_first', 1, 'an-invented-rid', '5f3a09c1', 401, 'answered');",
        )
        .unwrap();
    drop(history);
    let out = TempDir::new().unwrap();
    let [config, environment, bundle] =
        ["config.toml", "crypto.env", "x.tar"].map(|name| out.path().join(name));
    std::fs::write(&config, "").unwrap();
    let pair = format!(
        "CRYPTO_API_KEY={}\nCRYPTO_API_SECRET={}\n",
        canaries.key, canaries.secret
    );
    std::fs::write(
        &environment,
        format!(
            "{pair}CRYPTO_PROXY_TOKEN={}\nCRYPTO_REST_BASE={base}\n",
            canaries.token
        ),
    )
    .unwrap();
    let run = async |more: &[&str]| {
        let mut command = command();
        command
            .args(["support-bundle", "--out"])
            .arg(&bundle)
            .arg("--config")
            .arg(&config);
        command
            .arg("--env-file")
            .arg(&environment)
            .arg("--state-dir")
            .arg(state.path())
            .args(more);
        let output = command.output().await.unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let files = opened(&canaries, &bundle);
        std::fs::remove_file(&bundle).unwrap();
        files
    };
    // The exchange went with its daemon; the past is in the bundle all the same.
    let files = run(&[]).await;
    let all = files.values().cloned().collect::<String>();
    for absent in [
        "bundle-oid-1",
        "BTC_USD",
        "50000.00",
        "invented-instrument",
        "invented-rid",
        "\"default\"",
    ] {
        assert!(!all.contains(absent), "{absent}: {all}");
    }
    let history: Value = serde_json::from_str(&files["history.json"]).unwrap();
    let history = &history["history"];
    let calls = |method: &str| {
        let hours = history["calls_per_hour"].as_array().unwrap();
        hours
            .iter()
            .filter(|hour| hour["method"] == method)
            .map(|hour| hour["calls"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(
        (
            calls("private/user-balance"),
            calls("private/create-order"),
            calls("(not in the catalogue)")
        ),
        (3, 1, 1)
    );
    assert_eq!(
        (&history["callers"], &history["caller_names"]),
        (&json!(1), &Value::Null)
    );
    assert!(
        history["changes"].to_string().contains("\"kind\":\"key\""),
        "{history:#}"
    );
    assert_eq!(history["went_bad"][0]["first_bad"]["code"], 40101);
    let ticket = &files["ticket.md"];
    assert_single_calls(&history["single_calls"], ticket);
    assert!(
        ticket.contains("| private/create-order | no record | 20"),
        "{ticket}"
    );
    let diagnosis = &files["diagnosis.txt"];
    assert!(
        diagnosis.contains("last good 20"),
        "the causes know the past: {diagnosis}"
    );
    let named = run(&["--with-caller-names"]).await;
    assert!(
        named["history.json"].contains("\"name\": \"default\""),
        "{named:#?}"
    );
}

/// The order that was refused, the last good read, and what the catalogue does not know without its name.
fn assert_single_calls(calls: &Value, ticket: &str) {
    let calls = calls.as_array().unwrap();
    let of = |method: &str| calls.iter().find(|call| call["method"] == method);
    for (method, code) in [("private/create-order", 40101), ("private/user-balance", 0)] {
        let call = of(method).unwrap();
        assert_eq!(call["code"], code, "{call}");
        let nonce = call["nonce"].as_u64().unwrap().to_string();
        let rid = call["request_id"].as_str().unwrap();
        assert_eq!((nonce.len(), rid.len()), (13, 32), "{call}");
        let row = ticket.lines().find(|line| line.contains(&nonce)).unwrap();
        assert!(row.contains(method) && row.contains(rid), "{row}");
        assert!(call.get("caller").is_none() && call.get("client_oid").is_none());
    }
    assert_eq!(calls.len(), 2, "{calls:#?}");
}

#[tokio::test]
async fn a_secret_in_a_path_is_refused_by_the_name_of_the_file_and_nothing_is_left() {
    let place = Place::new().await;
    let (second, third) = (Canaries::random(), Canaries::random());
    // What was replaced and left there, a half that is not used, a pair that is not, and what another program keeps there
    // are secrets as well.
    let more = format!(
        "CRYPTOCOM_API_KEY={}\nCRYPTOCOM_API_SECRET='{}'\nTELEGRAM_BOT_TOKEN={}\n",
        second.key, second.secret, second.token
    );
    let before = format!(
        "CRYPTO_API_SECRET={}\n# CRYPTO_API_KEY={}\nexport CRYPTO_PROXY_TOKEN=\"{}\"\n",
        third.secret, third.key, third.token
    );
    place.environment(&(before + &place.complete() + &more));
    let base64 = |text: &str| base64::engine::general_purpose::URL_SAFE.encode(format!("a:{text}"));
    let percent = |text: &str| {
        text.bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect::<String>()
    };
    let ours = &place.canaries;
    let planted = [
        ours.token.clone(),
        ours.key.to_uppercase(),
        hex::encode(&ours.secret),
        base64(&ours.secret),
        percent(&ours.token),
        second.key.clone(),
        second.secret[..22].to_owned(),
        second.token.clone(),
        third.key.clone(),
        third.secret.clone(),
        third.token.clone(),
    ];
    for secret in planted {
        let state = place.path(&secret);
        let Ended { code, said } = place.run(&["--state-dir", state.to_str().unwrap()]).await;
        assert!(
            code == 1
                && said.contains("its file diagnosis.json")
                && said.contains("no bundle is written"),
            "{code} {said}"
        );
        [&second, &third]
            .iter()
            .for_each(|more| more.assert_absent(&said, "what support-bundle says"));
        assert_eq!(place.written(), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn the_secrets_of_every_environment_file_are_looked_for() {
    let (place, other) = (Place::new().await, Canaries::random());
    let file = place.path("other.env");
    std::fs::write(
        &file,
        format!(
            "CRYPTO_API_KEY={}\nCRYPTO_API_SECRET={}\n",
            other.key, other.secret
        ),
    )
    .unwrap();
    let both = ["--env-file", file.to_str().unwrap()];
    let state = place.path(&other.secret);
    let ended = place
        .run(&[both[0], both[1], "--state-dir", state.to_str().unwrap()])
        .await;
    assert!(
        ended.code == 1 && ended.said.contains("its file diagnosis.json"),
        "{}",
        ended.said
    );
    let ended = place.run(&both).await;
    assert_eq!(ended.code, 0, "{}", ended.said);
    let configuration = &place.open()["configuration.txt"];
    assert!(
        configuration.contains("Pairs in the environment files"),
        "{configuration}"
    );
    other.assert_absent(configuration, "the configuration");
}

#[tokio::test]
async fn the_master_key_and_the_secrets_issued_from_it_are_looked_for() {
    let place = Place::new().await;
    let (issued, state) = (place.path("bot.env"), place.path("state"));
    let mut add = command();
    add.args(["caller", "add", "bot", "--out"])
        .arg(&issued)
        .arg("--config")
        .arg(place.path("config.toml"));
    let ended = place.ended(add.env("STATE_DIRECTORY", &state)).await;
    assert_eq!(ended.code, 0, "{}", ended.said);
    let issued = std::fs::read_to_string(issued).unwrap();
    let of_the_caller = issued
        .split("cpvs_")
        .nth(1)
        .and_then(|rest| rest.get(..64))
        .expect("a virtual secret");
    let files = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let is_master = |text: &String| text.trim().len() == 64 && hex::decode(text.trim()).is_ok();
    let master = files.into_iter().find(is_master).expect("the master key");
    for secret in [of_the_caller, master.trim()] {
        let mut bundle = command();
        bundle
            .arg("support-bundle")
            .arg("--config")
            .arg(place.path("config.toml"));
        bundle
            .arg("--env-file")
            .arg(place.path("crypto.env"))
            .env("STATE_DIRECTORY", &state);
        let ended = place
            .ended(
                bundle
                    .arg("--db")
                    .arg(place.path(secret))
                    .current_dir(place.path("out")),
            )
            .await;
        assert!(
            ended.code == 1 && ended.said.contains("no bundle is written"),
            "{}",
            ended.said
        );
        assert!(
            !ended.said.contains(secret) && place.written().is_empty(),
            "{}",
            ended.said
        );
    }
}

#[tokio::test]
async fn callers_are_named_in_no_file_of_it_unless_that_was_asked_for() {
    let place = Place::new().await;
    let (callers, state) = (place.path("callers.toml"), place.path("state"));
    for name in ["desk-seven", "desk-eight"] {
        let mut add = command();
        add.args([
            "caller",
            "add",
            name,
            "--expires",
            "2100-01-01T00:00:00Z",
            "--out",
        ])
        .arg(place.path(name));
        let ended = place
            .ended(
                add.arg("--config")
                    .arg(place.path("config.toml"))
                    .env("STATE_DIRECTORY", &state),
            )
            .await;
        assert_eq!(ended.code, 0, "{}", ended.said);
    }
    let good = std::fs::read_to_string(&callers).unwrap();
    let bundle = async |arguments: &[&str]| {
        let mut command = command();
        command
            .arg("support-bundle")
            .arg("--config")
            .arg(place.path("config.toml"))
            .args(arguments);
        command
            .arg("--env-file")
            .arg(place.path("crypto.env"))
            .env("STATE_DIRECTORY", &state);
        let ended = place.ended(command.current_dir(place.path("out"))).await;
        assert_eq!(ended.code, 0, "{}", ended.said);
        let files = place.open();
        std::fs::remove_file(&place.written()[0]).unwrap();
        files
    };
    let expired = good.replace("2100-01-01", "2020-01-01");
    let unusable = good.replace("2100-01-01", "at some time");
    for (text, section, problem) in [
        (&good, "Callers\n  issued = 2", "Good"),
        (&expired, "Callers\n  issued = 2", "a caller: has expired"),
        (
            &unusable,
            "Errors",
            "a caller: expires: is not a valid time",
        ),
    ] {
        std::fs::write(&callers, text).unwrap();
        let files = bundle(&[]).await;
        for (name, text) in &files {
            assert!(
                !text.contains("desk-seven") && !text.contains("desk-eight"),
                "{name}: {text}"
            );
        }
        let configuration = &files["configuration.txt"];
        assert!(
            configuration.contains(section) && configuration.contains(problem),
            "{configuration}"
        );
        let configuration = &bundle(&["--with-caller-names"]).await["configuration.txt"];
        assert!(
            configuration.contains("desk-seven") && configuration.contains("desk-eight"),
            "{configuration}"
        );
    }
}

#[tokio::test]
async fn a_label_is_withheld_where_it_is_a_secret_and_loses_its_control_characters() {
    let place = Place::new().await;
    place.environment(&format!(
        "{}CRYPTO_API_KEY_LABEL={}\n",
        place.complete(),
        place.canaries.secret
    ));
    assert_eq!(place.run(&[]).await.code, 0);
    let ticket = &place.open()["ticket.md"];
    assert!(
        ticket.contains("| label of the API key | (withheld: would show a part of a credential) |"),
        "{ticket}"
    );
    std::fs::remove_file(&place.written()[0]).unwrap();
    place.environment(&format!(
        "{}CRYPTO_API_KEY_LABEL=de\u{1b}[31msk\u{7}\u{202e}x|y\n",
        place.complete()
    ));
    assert_eq!(place.run(&[]).await.code, 0);
    let files = place.open();
    assert!(
        files["ticket.md"].contains("31msk"),
        "{}",
        files["ticket.md"]
    );
    assert!(files.values().all(|text| !text.contains('\u{202e}')));
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_a_bundle_within_the_deadline() {
    let place = Place::new().await;
    // It is connected to, and nobody ever answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = silent.local_addr().unwrap().to_string();
    place.environment(
        &place
            .complete()
            .replace(&place.exchange.addr().to_string(), &gone),
    );
    let began = Instant::now();
    let Ended { code, said } = place.run(&[]).await;
    assert!(
        code == 0 && began.elapsed() < Duration::from_secs(15),
        "{code} after {:?}: {said}",
        began.elapsed()
    );
    let ticket = &place.open()["ticket.md"];
    assert!(
        ticket.starts_with("# We cannot reach the API\n"),
        "{ticket}"
    );
    assert!(ticket.contains("Can 127.0.0.1 be reached"), "{ticket}");
}

#[tokio::test]
async fn a_broken_configuration_is_a_bundle_too_and_asks_nobody() {
    let place = Place::new().await;
    place.environment(
        &place
            .complete()
            .replace("CRYPTO_API_SECRET", "UNRELATED_NAME"),
    );
    let Ended { code, said } = place.run(&[]).await;
    assert!(
        code == 0 && said.contains("the configuration is not usable"),
        "{code} {said}"
    );
    let files = place.open();
    assert!(
        files["ticket.md"].contains("our configuration is not usable"),
        "{}",
        files["ticket.md"]
    );
    assert!(
        files["configuration.txt"].contains("incomplete pair"),
        "{}",
        files["configuration.txt"]
    );
    assert_eq!(place.exchange.exchange().total().received, 0);
}

#[tokio::test]
async fn where_nothing_at_all_can_be_read_it_exits_78() {
    let place = Place::new().await;
    let mut command = command();
    command
        .args(["support-bundle", "--config"])
        .arg(place.path("absent.toml"));
    command
        .arg("--env-file")
        .arg(place.path("absent.env"))
        .arg("--history")
        .arg(place.path("absent.db"));
    let Ended { code, said } = place.ended(command.current_dir(place.path("out"))).await;
    assert!(
        code == 78 && said.contains("nothing could be read") && said.contains("sudo"),
        "{code} {said}"
    );
    assert_eq!(place.written(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_is_there_already_is_not_overwritten_and_wrong_usage_exits_64() {
    let place = Place::new().await;
    let taken = place.path("out/taken.tar");
    std::fs::write(&taken, "older").unwrap();
    let Ended { code, said } = place.run(&["--out", "taken.tar"]).await;
    assert!(
        code == 1 && said.contains("not overwritten"),
        "{code} {said}"
    );
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "older");
    assert_eq!(place.run(&["--out", "absent/x.tar"]).await.code, 1);
    let damaged = place.path("damaged.db");
    std::fs::write(&damaged, "no database").unwrap();
    for wrong in [
        &["--out", "x.tgz"][..],
        &["--out", "absent"],
        &["--db", "a", "--state-dir", "b"],
        &["surplus"],
        &["--out"],
    ] {
        assert_eq!(place.run(wrong).await.code, 64, "{wrong:?}");
    }
    assert_eq!(place.written(), [taken], "nothing else");
    let ended = place
        .run(&["--history", damaged.to_str().unwrap(), "--out", "new.tar"])
        .await;
    assert!(
        ended.code == 0 && ended.said.contains("without a history"),
        "{}",
        ended.said
    );
}
