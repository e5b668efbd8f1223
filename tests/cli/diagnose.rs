//! `diagnose --alone` and `smoke` as processes: exit codes, the right cause, and no secret in any output.

use std::{net::IpAddr, process::Output};

use crypto_proxy::sandbox::{ApiKey, Canned, Fault, Refusal, Running, Settings, StandIn};
use serde_json::Value;
use tempfile::TempDir;

use crate::{canary::Canaries, support::command};

struct Place {
    canaries: Canaries,
    exchange: Running,
    folder: TempDir,
}

impl Place {
    async fn new() -> Self {
        let canaries = Canaries::random();
        let exchange = StandIn::new(Settings::with_key(&canaries.key, &canaries.secret)).start().await.unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("config.toml"), "").unwrap();
        Self { canaries, exchange, folder }
    }

    fn environment(&self) -> String {
        let Canaries { key, secret, token, .. } = &self.canaries;
        let base = self.exchange.base_url();
        format!(
            "CRYPTO_API_KEY={key}\nCRYPTO_API_SECRET={secret}\nCRYPTO_PROXY_TOKEN={token}\nCRYPTO_REST_BASE={base}\n"
        )
    }

    /// Runs it over an environment file; exit code and stdout.
    async fn run(&self, arguments: &[&str], environment: &str) -> (i32, String) {
        let (config, file) = (self.folder.path().join("config.toml"), self.folder.path().join("crypto.env"));
        std::fs::write(&file, environment).unwrap();
        let mut command = command();
        command.args(arguments).arg("--config").arg(config).arg("--env-file").arg(file);
        let Output { status, stdout, stderr } = command.output().await.expect("the binary starts");
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        self.canaries.assert_absent(&out, "what diagnose says");
        self.canaries.assert_absent(&err, "what diagnose says on stderr");
        assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "colour or progress in a pipe: {out}{err}");
        (status.code().expect("an exit code"), out)
    }

    /// The same as JSON: exit code, the code of the first cause, and everything.
    async fn diagnose(&self, environment: &str) -> (i32, String, Value) {
        let (code, out) = self.run(&["diagnose", "--alone", "--json"], environment).await;
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        (code, json["causes"][0]["code"].as_str().unwrap_or_default().to_owned(), json)
    }
}

#[tokio::test]
async fn a_healthy_exchange_exits_0_in_80_columns() {
    let place = Place::new().await;
    let (code, out) = place.run(&["diagnose", "--alone"], &place.environment()).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("healthy") && out.contains("no history before"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80 || line.contains('/')), "{out}");
    let (code, out) = place.run(&["smoke"], &place.environment()).await;
    assert_eq!((code, out.matches("PASS ").count()), (0, 4), "{out}");
}

#[tokio::test]
async fn the_page_is_a_private_file_beside_the_report_or_stdout_alone() {
    let place = Place::new().await;
    place.exchange.stand_in().script_always("private/get-open-orders", Fault::code(40101));
    let file = place.folder.path().join("page.html");
    let arguments = ["diagnose", "--alone", "--html"];
    let (code, out) = place.run(&[&arguments[..], &[file.to_str().unwrap()]].concat(), &place.environment()).await;
    assert!(code == 1 && out.contains("next step"), "{out}");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
    let page = std::fs::read_to_string(&file).unwrap();
    place.canaries.assert_absent(&page, "the page");
    assert_eq!(mode & 0o777, 0o600);
    assert!(page.contains("<title>TROUBLE") && page.contains("CP-METHOD-PERMISSION") && !page.contains("refresh\""));
    let (code, out) = place.run(&[&arguments[..], &["-"]].concat(), &place.environment()).await;
    assert!(code == 1 && out.starts_with("<!DOCTYPE html>") && out.trim_end().ends_with("</html>"), "{out}");
    let nowhere = place.folder.path().join("no/such/page.html");
    let (code, out) = place.run(&[&arguments[..], &[nowhere.to_str().unwrap()]].concat(), &place.environment()).await;
    assert_eq!((code, out.as_str()), (1, ""));
}

#[tokio::test]
async fn a_wrong_secret_exits_1_and_declares_the_tie() {
    let place = Place::new().await;
    let other = ApiKey::new(&place.canaries.key, "an-invented-other-secret");
    place.exchange.stand_in().change(|settings| settings.put_key(other));
    let (code, first, json) = place.diagnose(&place.environment()).await;
    assert_eq!((code, first.as_str()), (1, "CP-KEY-MISMATCH"), "{json:#}");
    let tie = json["cannot_be_told_apart"].as_array().unwrap();
    assert!(tie.contains(&"CP-KEY-DISABLED".into()), "{json:#}");
    assert_eq!(json["causes"][0]["manual"], "docs/diagnosis.md#cp-key-mismatch");
    let (code, out) = place.run(&["smoke"], &place.environment()).await;
    assert_eq!((code, out.matches("PASS ").count(), out.matches("FAIL ").count()), (1, 1, 3), "{out}");
}

#[tokio::test]
async fn an_unlisted_address_is_named_as_40103_and_stands_in_the_tie_as_40101() {
    for (refusal, first) in [(40103, "CP-IP-NOT-LISTED"), (40101, "CP-KEY-MISMATCH")] {
        let place = Place::new().await;
        let key = ApiKey::new(&place.canaries.key, &place.canaries.secret).whitelist([IpAddr::from([8, 8, 4, 4])]);
        place.exchange.stand_in().change(|settings| {
            settings.put_key(key);
            settings.unlisted = Refusal::code(refusal);
        });
        let (code, cause, json) = place.diagnose(&place.environment()).await;
        assert_eq!((code, cause.as_str()), (1, first), "{json:#}");
        assert!(json["causes"].to_string().contains("CP-IP-NOT-LISTED"), "{json:#}");
    }
}

#[tokio::test]
async fn a_clock_a_base_an_edge_a_budget_and_quotes_each_have_their_cause() {
    let place = Place::new().await;
    let exchange = place.exchange.stand_in();
    exchange.change(|settings| settings.clock_offset_ms = 90_000);
    assert_eq!(place.diagnose(&place.environment()).await.1, "CP-CLOCK-SKEW");
    exchange.change(|settings| settings.clock_offset_ms = 0);
    let wrong = place.environment().replace("/exchange/v1", "/v2");
    assert_eq!(place.diagnose(&wrong).await.1, "CP-WRONG-BASE");
    exchange.script_always("*", Fault::reply(Canned::html(403, "<html>")));
    assert_eq!(place.diagnose(&place.environment()).await.1, "CP-EDGE-BLOCKED");
    exchange.clear_script("*");
    exchange.script_always("private/get-order-history", Fault::code(42901));
    assert_eq!(place.diagnose(&place.environment()).await.1, "CP-RATE-LIMIT");
    exchange.clear_script("private/get-order-history");
    let secret = &place.canaries.secret;
    let quoted = place.environment().replace(secret, &format!("\"{secret}\""));
    let (code, cause, json) = place.diagnose(&quoted).await;
    assert_eq!((code, cause.as_str()), (0, "CP-DIRTY-CREDENTIALS"), "{json:#}");
}

#[tokio::test]
async fn an_exchange_that_is_not_there_exits_69() {
    let place = Place::new().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = closed.local_addr().unwrap().to_string();
    drop(closed);
    let environment = place.environment().replace(&place.exchange.addr().to_string(), &gone);
    let (code, cause, json) = place.diagnose(&environment).await;
    assert_eq!((code, cause.as_str()), (69, "CP-NETWORK"), "{json:#}");
    assert_eq!(place.run(&["smoke"], &environment).await.0, 69);
}

#[tokio::test]
async fn half_a_pair_exits_78_and_says_what_can_be_said() {
    let place = Place::new().await;
    let half = place.environment().replace("CRYPTO_API_SECRET", "UNRELATED");
    let (code, cause, json) = place.diagnose(&half).await;
    assert_eq!((code, cause.as_str()), (78, "CP-MALFORMED-PAIR"), "{json:#}");
    assert_eq!(place.exchange.stand_in().total().received, 0, "nothing was asked");
}

#[tokio::test]
async fn a_time_that_is_none_is_a_usage_error() {
    let output = command().args(["diagnose", "--alone", "--key-updated", "yesterday"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(64));
}
