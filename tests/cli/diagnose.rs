//! `diagnose --alone` and `smoke` as processes: exit codes, the right cause, and no secret in any output.

use std::{io::Read as _, net::IpAddr, process::Output};

use sandbox::{ApiKey, Canned, Fault, Refusal, Running};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    canary::Canaries,
    support::{command, environment_file, exchange_of, terminal},
};

mod past;

struct Place {
    canaries: Canaries,
    exchange: Running,
    folder: TempDir,
}

impl Place {
    async fn new() -> Self {
        let canaries = Canaries::random();
        let exchange = exchange_of(&canaries).await;
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("config.toml"), "").unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        Self {
            canaries,
            exchange,
            folder,
        }
    }

    fn environment(&self) -> String {
        environment_file(&self.canaries, &self.exchange)
    }

    /// Runs it over an environment file; exit code and stdout.
    async fn run(&self, arguments: &[&str], environment: &str) -> (i32, String) {
        let (config, file) = (
            self.folder.path().join("config.toml"),
            self.folder.path().join("crypto.env"),
        );
        std::fs::write(&file, environment).unwrap();
        let mut command = command();
        command
            .args(arguments)
            .arg("--config")
            .arg(config)
            .arg("--env-file")
            .arg(file);
        command.env("STATE_DIRECTORY", self.folder.path().join("state"));
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().await.expect("the binary starts");
        let (out, err) = (
            String::from_utf8(stdout).unwrap(),
            String::from_utf8(stderr).unwrap(),
        );
        self.canaries.assert_absent(&out, "what diagnose says");
        self.canaries
            .assert_absent(&err, "what diagnose says on stderr");
        assert!(
            !out.contains('\u{1b}') && !err.contains('\u{1b}'),
            "colour or progress in a pipe: {out}{err}"
        );
        (status.code().expect("an exit code"), out)
    }

    /// Exit 1, exactly these causes at the top, this likely, and a next step with these words.
    async fn says(&self, environment: &str, top: &[&str], likelihood: &str, next: &str) -> Value {
        let (code, _, json) = self.diagnose(environment).await;
        let mut tied: Vec<&str> = json["cannot_be_told_apart"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(Value::as_str)
            .collect();
        if tied.is_empty() {
            tied.extend(json["causes"][0]["code"].as_str());
        }
        assert_eq!((code, tied.as_slice()), (1, top), "{json:#}");
        assert_eq!(json["causes"][0]["likelihood"], likelihood, "{json:#}");
        assert!(
            json["next_step"].as_str().unwrap().contains(next),
            "{next}: {json:#}"
        );
        json
    }

    /// The same as JSON: exit code, the code of the first cause, and everything.
    async fn diagnose(&self, environment: &str) -> (i32, String, Value) {
        let (code, out) = self
            .run(&["diagnose", "--alone", "--json"], environment)
            .await;
        let json: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        let excluded: Vec<&Value> = json["ruled_out"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cause| &cause["code"])
            .collect();
        let named = json["causes"].as_array().unwrap();
        assert!(
            named
                .iter()
                .all(|cause| !excluded.contains(&&cause["code"])),
            "named and excluded: {json:#}"
        );
        (
            code,
            json["causes"][0]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            json,
        )
    }
}

#[tokio::test]
async fn a_healthy_exchange_exits_0_in_80_columns() {
    let place = Place::new().await;
    let (code, out) = place
        .run(&["diagnose", "--alone"], &place.environment())
        .await;
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("healthy") && out.contains("state/history.db: the file"),
        "{out}"
    );
    let first: Vec<&str> = out.lines().take(5).collect();
    assert!(
        first[2].starts_with("healthy") && first[3].starts_with("next step"),
        "the verdict and what to do come first: {out}"
    );
    assert!(
        out.lines()
            .all(|line| line.chars().count() <= 80 || line.contains('/')),
        "{out}"
    );
    let (code, out) = place.run(&["smoke"], &place.environment()).await;
    assert_eq!((code, out.matches("PASS ").count()), (0, 4), "{out}");
}

/// One sentence, wherever a good run is told.
#[tokio::test]
async fn what_no_probe_tries_is_said_by_diagnose_smoke_and_the_page() {
    const SAID: &str = "whether the key may trade or withdraw: no probe changes anything";
    let place = Place::new().await;
    for arguments in [
        &["diagnose", "--alone"][..],
        &["diagnose", "--alone", "--json"],
        &["diagnose", "--alone", "--html", "-"],
        &["smoke"],
        &["smoke", "--json"],
    ] {
        let (code, out) = place.run(arguments, &place.environment()).await;
        let flat = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            (code, flat.matches(SAID).count()),
            (0, 1),
            "{arguments:?}: {out}"
        );
    }
    let (_, out) = place
        .run(&["check", "--may-be-taken"], &place.environment())
        .await;
    assert!(
        out.contains("The key was not tried: `sudo crypto-proxy diagnose`"),
        "{out}"
    );
}

#[tokio::test]
async fn the_page_is_a_private_file_beside_the_report_or_stdout_alone() {
    let place = Place::new().await;
    place
        .exchange
        .exchange()
        .script_always("private/get-open-orders", Fault::code(40101));
    let file = place.folder.path().join("page.html");
    let arguments = ["diagnose", "--alone", "--html"];
    let (code, out) = place
        .run(
            &[&arguments[..], &[file.to_str().unwrap()]].concat(),
            &place.environment(),
        )
        .await;
    assert!(code == 1 && out.contains("next step"), "{out}");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
    let page = std::fs::read_to_string(&file).unwrap();
    place.canaries.assert_absent(&page, "the page");
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        page.contains("<title>TROUBLE")
            && page.contains("CP-METHOD-PERMISSION")
            && !page.contains("refresh\"")
    );
    let (code, out) = place
        .run(&[&arguments[..], &["-"]].concat(), &place.environment())
        .await;
    assert!(
        code == 1 && out.starts_with("<!DOCTYPE html>") && out.trim_end().ends_with("</html>"),
        "{out}"
    );
    let nowhere = place.folder.path().join("no/such/page.html");
    let (code, out) = place
        .run(
            &[&arguments[..], &[nowhere.to_str().unwrap()]].concat(),
            &place.environment(),
        )
        .await;
    assert_eq!((code, out.as_str()), (1, ""));
}

#[tokio::test]
async fn a_wrong_secret_exits_1_and_declares_the_tie() {
    let place = Place::new().await;
    let other = ApiKey::new(&place.canaries.key, "an-invented-other-secret");
    place
        .exchange
        .exchange()
        .change(|settings| settings.put_key(other));
    let tie = [
        "CP-KEY-MISMATCH",
        "CP-KEY-DISABLED",
        "CP-IP-NOT-LISTED",
        "CP-NO-READ-PERMISSION",
    ];
    let json = place
        .says(&place.environment(), &tie, "possible", "create a new one")
        .await;
    assert_eq!(
        json["causes"][0]["manual"],
        "docs/diagnosis.md#cp-key-mismatch"
    );
    let (code, out) = place.run(&["smoke"], &place.environment()).await;
    assert_eq!(
        (
            code,
            out.matches("PASS ").count(),
            out.matches("FAIL ").count()
        ),
        (1, 1, 3),
        "{out}"
    );
    let (code, out) = place.run(&["smoke", "--json"], &place.environment()).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    let passed: Vec<_> = told["probes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|probe| (probe["passed"].as_bool().unwrap(), &probe["code"]))
        .collect();
    assert_eq!((code, &told["conclusion"]), (1, &json!("trouble")), "{out}");
    assert_eq!(passed[0], (true, &json!(0)), "{out}");
    assert_eq!(passed[1..], [(false, &json!(40101)); 3], "{out}");
}

#[tokio::test]
async fn an_unlisted_address_is_named_as_40103_and_stands_in_the_tie_as_40101() {
    let tie = [
        "CP-KEY-MISMATCH",
        "CP-KEY-DISABLED",
        "CP-IP-NOT-LISTED",
        "CP-NO-READ-PERMISSION",
    ];
    for (refusal, top, likelihood, next) in [
        (
            40103,
            &["CP-IP-NOT-LISTED"][..],
            "very likely",
            "IP whitelist: add exactly",
        ),
        (40101, &tie, "possible", "create a new one"),
    ] {
        let place = Place::new().await;
        let key = ApiKey::new(&place.canaries.key, &place.canaries.secret)
            .whitelist([IpAddr::from([8, 8, 4, 4])]);
        place.exchange.exchange().change(|settings| {
            settings.put_key(key);
            settings.unlisted = Refusal::code(refusal);
        });
        place
            .says(&place.environment(), top, likelihood, next)
            .await;
    }
}

#[tokio::test]
async fn an_address_that_the_operator_does_not_name_stands_alone_as_40101() {
    let place = Place::new().await;
    let key = ApiKey::new(&place.canaries.key, &place.canaries.secret)
        .whitelist([IpAddr::from([8, 8, 4, 4])]);
    place.exchange.exchange().change(|settings| {
        settings.put_key(key);
        settings.unlisted = Refusal::code(40101);
    });
    place
        .exchange
        .exchange()
        .set_apparent_address(IpAddr::from([1, 1, 1, 1]));
    let second = place.exchange.exchange().start().await.unwrap();
    let services = format!(
        "CRYPTO_PROXY__EGRESS__SERVICES={},{}",
        place.exchange.url("/ip"),
        second.url("/ip")
    );
    let environment = format!(
        "{}CRYPTO_EXPECTED_IP=8.8.4.4\n{services}\n",
        place.environment()
    );
    place
        .says(
            &environment,
            &["CP-IP-NOT-LISTED"],
            "likely",
            "add exactly 1.1.1.1,",
        )
        .await;
}

#[tokio::test]
async fn a_clock_a_base_an_edge_a_budget_and_quotes_each_have_their_cause() {
    let place = Place::new().await;
    let exchange = place.exchange.exchange();
    for offset_ms in [90_000, -90_000] {
        exchange.change(|settings| settings.clock_offset_ms = offset_ms);
        place
            .says(
                &place.environment(),
                &["CP-CLOCK-SKEW"],
                "very likely",
                "timedatectl set-ntp true",
            )
            .await;
    }
    exchange.change(|settings| settings.clock_offset_ms = 0);
    let wrong = place.environment().replace("/exchange/v1", "/v2");
    place
        .says(
            &wrong,
            &["CP-WRONG-BASE"],
            "very likely",
            "CRYPTO_REST_BASE=https://api.crypto.com/exchange/v1",
        )
        .await;
    exchange.script_always("*", Fault::reply(Canned::html(403, "<html>")));
    place
        .says(
            &place.environment(),
            &["CP-EDGE-BLOCKED"],
            "likely",
            "another outbound address",
        )
        .await;
    exchange.clear_script("*");
    // An outage is no reputation, and has a cause: behind the edge, and by the exchange's own word.
    for outage in [
        Fault::reply(Canned::html(502, "<html>")),
        Fault::code(50001),
    ] {
        exchange.script_always("*", outage);
        let json = place
            .says(
                &place.environment(),
                &["CP-OUTAGE"],
                "very likely",
                "https://status.crypto.com",
            )
            .await;
        let others = json["causes"].to_string();
        assert!(!others.contains("CP-EDGE-BLOCKED"), "{json:#}");
        exchange.clear_script("*");
    }
    exchange.script_always("private/get-order-history", Fault::code(42901));
    let next = "method=private/get-order-history";
    place
        .says(&place.environment(), &["CP-RATE-LIMIT"], "likely", next)
        .await;
    exchange.clear_script("private/get-order-history");
    let secret = &place.canaries.secret;
    let quoted = place
        .environment()
        .replace(secret, &format!("\"{secret}\""));
    let (code, cause, json) = place.diagnose(&quoted).await;
    assert_eq!(
        (code, cause.as_str()),
        (0, "CP-DIRTY-CREDENTIALS"),
        "{json:#}"
    );
    assert!(
        json["next_step"]
            .as_str()
            .unwrap()
            .contains("correct the value in"),
        "{json:#}"
    );
}

#[tokio::test]
async fn a_name_that_is_not_resolved_exits_69() {
    let place = Place::new().await;
    // A label of 64 characters fits no question to a name server: nobody is asked.
    let host = format!("{}.invalid", "x".repeat(64));
    let base = format!("https://{host}/exchange/v1");
    let environment = place
        .environment()
        .replace(&place.exchange.base_url(), &base);
    let environment = format!("{environment}CRYPTO_PROXY__UPSTREAM__ALLOW_UNKNOWN_BASE={host}\n");
    let (code, cause, json) = place.diagnose(&environment).await;
    assert_eq!((code, cause.as_str()), (69, "CP-DNS"), "{json:#}");
    assert!(
        json["next_step"]
            .as_str()
            .unwrap()
            .contains(&format!("getent ahosts {host}")),
        "{json:#}"
    );
}

#[tokio::test]
async fn an_exchange_that_is_not_there_exits_69() {
    let place = Place::new().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = closed.local_addr().unwrap().to_string();
    drop(closed);
    let environment = place
        .environment()
        .replace(&place.exchange.addr().to_string(), &gone);
    let (code, cause, json) = place.diagnose(&environment).await;
    assert_eq!((code, cause.as_str()), (69, "CP-NETWORK"), "{json:#}");
    assert_eq!(place.run(&["smoke"], &environment).await.0, 69);
}

#[tokio::test]
async fn half_a_pair_exits_78_and_says_what_can_be_said() {
    let place = Place::new().await;
    let half = place
        .environment()
        .replace("CRYPTO_API_SECRET", "UNRELATED");
    let (code, cause, json) = place.diagnose(&half).await;
    assert_eq!(
        (code, cause.as_str()),
        (78, "CP-MALFORMED-PAIR"),
        "{json:#}"
    );
    assert_eq!(
        place.exchange.exchange().total().received,
        0,
        "nothing was asked"
    );
}

#[tokio::test]
async fn a_time_that_is_none_is_a_usage_error() {
    let output = command()
        .args(["diagnose", "--alone", "--key-updated", "yesterday"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
}

/// Runs it with both outputs on a terminal; its exit code, and everything that the terminal is sent.
async fn on_a_terminal(place: &Place, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let (mut shown, slave) = terminal();
    let reader = tokio::task::spawn_blocking(move || {
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        // The last one to leave a terminal makes the next reading fail.
        while let Ok(count @ 1..) = shown.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8(all).unwrap()
    });
    let (config, file) = (
        place.folder.path().join("config.toml"),
        place.folder.path().join("crypto.env"),
    );
    std::fs::write(&file, place.environment()).unwrap();
    let mut command = command();
    command
        .args(["diagnose", "--alone"])
        .arg("--config")
        .arg(config)
        .arg("--env-file")
        .arg(file);
    command
        .env("TERM", "xterm")
        .env("STATE_DIRECTORY", place.folder.path())
        .envs(environment.iter().copied());
    let status = command
        .stdout(slave.try_clone().unwrap())
        .stderr(slave)
        .status()
        .await
        .expect("the binary starts");
    drop(command);
    let shown = reader.await.unwrap();
    place
        .canaries
        .assert_absent(&shown, "what the terminal shows");
    (status.code(), shown)
}

#[tokio::test]
async fn a_terminal_sees_progress_and_colour_and_no_color_is_honoured() {
    let place = Place::new().await;
    let (code, shown) = on_a_terminal(&place, &[]).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.contains("/14 balance") && shown.contains("\u{1b}[32mhealthy"),
        "{shown:?}"
    );
    let (_, shown) = on_a_terminal(&place, &[("NO_COLOR", "1")]).await;
    let report = &shown[shown.find("crypto-proxy 0.").expect("a report")..];
    assert!(
        report.contains("healthy") && !report.contains('\u{1b}'),
        "{shown:?}"
    );
}
