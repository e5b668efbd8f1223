//! The five incidents that this project exists for, replayed: what an operator reads, from the first log line to the
//! next step. `cargo test --test cli incidents -- --nocapture` prints it.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use rustix::process::Signal;
use sandbox::{ApiKey, FakeExchange, Permission, Running, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    canary::Canaries,
    support::{CREATE, Process, client, command, exchange_of, order},
};

const BALANCE: &str = "private/user-balance";
const OPEN_ORDERS: &str = "private/get-open-orders";
const HISTORY: &str = "private/get-order-history";

/// One incident: an exchange, a daemon's files, and what an operator has read so far.
struct Incident {
    canaries: Canaries,
    exchange: Running,
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    read: String,
}

/// The daemon as it runs at the moment.
struct Serving {
    process: Process,
    address: SocketAddr,
}

impl Incident {
    async fn new(title: &str) -> Self {
        let canaries = Canaries::random();
        let exchange = exchange_of(&canaries).await;
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        std::fs::write(folder.path().join("config.toml"), "").unwrap();
        let environment = vec![
            ("CRYPTO_API_KEY", canaries.key.clone()),
            ("CRYPTO_API_SECRET", canaries.secret.clone()),
            ("CRYPTO_PROXY_TOKEN", canaries.token.clone()),
            ("CRYPTO_REST_BASE", exchange.base_url()),
            ("CRYPTO_PROXY_LISTEN", "127.0.0.1:0".to_owned()),
        ];
        Self {
            canaries,
            exchange,
            folder,
            environment,
            read: format!("\n======== {title}\n"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The operator writes a value into the environment file.
    fn set(&mut self, name: &'static str, value: &str) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
    }

    fn write_environment(&self) -> PathBuf {
        let line = |(name, value): &(&str, String)| format!("{name}={value}\n");
        let path = self.path("crypto.env");
        std::fs::write(&path, self.environment.iter().map(line).collect::<String>()).unwrap();
        path
    }

    /// Starts the daemon as the unit does: with what stands in the environment file.
    async fn serve(&self) -> Serving {
        self.write_environment();
        let mut command = command();
        command
            .arg("serve")
            .arg("--config")
            .arg(self.path("config.toml"));
        command
            .env("STATE_DIRECTORY", self.path("state"))
            .envs(self.environment.iter().cloned());
        let process = Process::start(&mut command);
        let address = process.address().await;
        Serving { process, address }
    }

    /// A call as the backend makes it; the HTTP status that the exchange answered with.
    async fn call(&self, serving: &Serving, method: &str, params: Value) -> u64 {
        let request = client().post(format!("http://{}/proxy/private", serving.address));
        let request = request
            .header("x-proxy-token", &self.canaries.token)
            .header("content-type", "application/json");
        let body = json!({ "method": method, "params": params }).to_string();
        let answer = request.body(body).send().await.expect("an answer");
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        answer["status"].as_u64().expect("a status")
    }

    /// Stops the daemon; the operator reads the lines that hold one of these words.
    async fn read_journal(&mut self, serving: Serving, words: &[&str]) -> Vec<String> {
        serving.process.signal(Signal::TERM);
        let (_, lines) = serving.process.ended().await;
        lines
            .iter()
            .for_each(|line| self.canaries.assert_absent(line, "the journal"));
        let lines: Vec<String> = lines
            .into_iter()
            .filter(|line| words.iter().any(|word| line.contains(word)))
            .collect();
        self.read
            .push_str("\n$ journalctl -u crypto-proxy.service | grep CRYPTO_AUTH_DIAG\n");
        lines
            .iter()
            .for_each(|line| writeln!(self.read, "{line}").unwrap());
        lines
    }

    /// The operator runs a command; its exit code and what it says.
    async fn run(&mut self, arguments: &[&str]) -> (i32, String) {
        let file = self.write_environment();
        let mut command = command();
        command
            .args(arguments)
            .env("STATE_DIRECTORY", self.path("state"));
        command
            .arg("--config")
            .arg(self.path("config.toml"))
            .arg("--env-file")
            .arg(file);
        let output = command.output().await.expect("the binary starts");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        self.canaries.assert_absent(&text, "what a command says");
        write!(
            self.read,
            "\n$ sudo crypto-proxy {}\n{text}",
            arguments.join(" ")
        )
        .unwrap();
        (output.status.code().expect("an exit code"), text)
    }

    /// The operator asks the history; what it says.
    async fn ask_history(&mut self) -> String {
        let mut command = command();
        let output = command
            .arg("history")
            .env("STATE_DIRECTORY", self.path("state"))
            .output()
            .await;
        let text = String::from_utf8(output.expect("the binary starts").stdout).unwrap();
        self.canaries.assert_absent(&text, "the history");
        write!(self.read, "\n$ sudo crypto-proxy history\n{text}").unwrap();
        text
    }

    /// What `diagnose` says: its exit code, its text, and the same as JSON.
    async fn diagnose(&mut self, further: &[&str]) -> (i32, String, Value) {
        let arguments: Vec<&str> = ["diagnose", "--alone"]
            .into_iter()
            .chain(further.iter().copied())
            .collect();
        let (code, text) = self.run(&arguments).await;
        let read = self.read.len();
        let (_, json) = self.run(&[&arguments[..], &["--json"]].concat()).await;
        self.read.truncate(read);
        (
            code,
            text,
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}")),
        )
    }
}

impl Drop for Incident {
    fn drop(&mut self) {
        println!("{}", self.read);
    }
}

fn tied(diagnosis: &Value) -> Vec<&str> {
    let tied = diagnosis["cannot_be_told_apart"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let tied: Vec<&str> = tied.collect();
    if tied.is_empty() {
        vec![diagnosis["causes"][0]["code"].as_str().unwrap_or_default()]
    } else {
        tied
    }
}

fn line<'l>(lines: &'l [String], parts: &[&str]) -> &'l str {
    let found = lines
        .iter()
        .find(|line| parts.iter().all(|part| line.contains(part)));
    found.unwrap_or_else(|| panic!("no line with {parts:?} in {lines:#?}"))
}

#[tokio::test]
async fn a_every_private_call_is_40101_and_the_secret_stood_beside_another_key_before() {
    let mut incident =
        Incident::new("(a) every private call is 40101, and nothing seems wrong here").await;
    let before = incident.serve().await;
    assert_eq!(incident.call(&before, BALANCE, json!({})).await, 200);
    incident.read_journal(before, &[]).await;
    // A new key was created and copied into the file; its secret was not.
    let key = Canaries::random().key;
    incident
        .exchange
        .exchange()
        .change(|settings| settings.put_key(ApiKey::new(&key, "an-invented-new-secret")));
    incident.set("CRYPTO_API_KEY", &key);
    let serving = incident.serve().await;
    for method in [BALANCE, OPEN_ORDERS, HISTORY] {
        assert_eq!(incident.call(&serving, method, json!({})).await, 401);
    }
    let lines = incident.read_journal(serving, &["CRYPTO_AUTH_DIAG"]).await;
    line(
        &lines,
        &["event=pair", "the API key changed and its secret did not"],
    );
    line(
        &lines,
        &[
            "event=hint",
            "CP-HALF-ROTATED",
            "copy key and secret again, both from one creation",
        ],
    );
    let (code, text, diagnosis) = incident.diagnose(&[]).await;
    assert_eq!(
        (code, tied(&diagnosis)),
        (1, vec!["CP-HALF-ROTATED"]),
        "{text}"
    );
    assert_eq!(
        diagnosis["causes"][0]["likelihood"], "very likely",
        "{text}"
    );
    assert!(
        text.contains("copy key and secret again, both from one creation"),
        "{text}"
    );
}

#[tokio::test]
async fn b_a_developer_has_another_pair_than_the_daemon_and_one_method_seems_to_work() {
    let mut incident =
        Incident::new("(b) .env.local holds another pair, and one method \"works\"").await;
    let local = incident.path(".env.local");
    std::fs::write(
        &local,
        "CRYPTO_API_KEY=invented-local-key\nCRYPTO_API_SECRET=invented-local-secret-0123456789\n",
    )
    .unwrap();
    let serving = incident.serve().await;
    // The program asks the daemon for one method, and signs the others by itself.
    assert_eq!(incident.call(&serving, HISTORY, json!({})).await, 200);
    let (code, text, diagnosis) = incident.diagnose(&["--symptom", "fails-elsewhere"]).await;
    assert_eq!(
        (code, tied(&diagnosis)),
        (1, vec!["CP-SIGNS-FOR-ITSELF"]),
        "{text}"
    );
    assert!(text.contains("USE_CRYPTO_PROXY=true"), "{text}");
    let path = local.display().to_string();
    let (code, text) = incident.run(&["check", "--env-file", &path]).await;
    assert!(code == 0 && text.contains("different pair"), "{text}");
    let lines = incident.read_journal(serving, &["event=call"]).await;
    assert_eq!(
        lines.len(),
        1,
        "the record shows the one call that came through here: {lines:#?}"
    );
    let text = incident.ask_history().await;
    assert!(text.contains(HISTORY) && !text.contains(BALANCE), "{text}");
}

#[tokio::test]
async fn c_reads_are_fine_and_orders_are_40101() {
    let mut incident = Incident::new("(c) reads are fine, orders are 40101").await;
    let Canaries { key, secret, .. } = incident.canaries.clone();
    let reads = ApiKey::new(&key, &secret).permissions([Permission::Read]);
    incident
        .exchange
        .exchange()
        .change(|settings| settings.put_key(reads));
    let serving = incident.serve().await;
    assert_eq!(incident.call(&serving, BALANCE, json!({})).await, 200);
    assert_eq!(
        incident.call(&serving, CREATE, order("incident-c")).await,
        401
    );
    let lines = incident.read_journal(serving, &["CRYPTO_AUTH_DIAG"]).await;
    line(
        &lines,
        &["event=hint", "CP-NO-TRADE-PERMISSION", "enable \"Trade\""],
    );
    let (code, text, diagnosis) = incident.diagnose(&[]).await;
    assert_eq!(
        (code, tied(&diagnosis)),
        (1, vec!["CP-NO-TRADE-PERMISSION"]),
        "{text}"
    );
    assert!(
        diagnosis["next_step"]
            .as_str()
            .unwrap()
            .contains("enable \"Trade\""),
        "{text}"
    );
}

#[tokio::test]
async fn d_it_worked_yesterday_nothing_changed_here_and_another_program_invents_headers() {
    let mut incident =
        Incident::new("(d) it worked yesterday, and another program sends invented headers").await;
    let serving = incident.serve().await;
    assert_eq!(incident.call(&serving, BALANCE, json!({})).await, 200);
    incident.read_journal(serving, &[]).await;
    let (code, text, _) = incident.diagnose(&[]).await;
    assert_eq!(
        code, 0,
        "with this pair, from this host, everything works: {text}"
    );
    let (code, text, diagnosis) = incident.diagnose(&["--symptom", "invented-headers"]).await;
    assert_eq!(
        (code, tied(&diagnosis)),
        (1, vec!["CP-INVENTED-SCHEME"]),
        "{text}"
    );
    assert!(text.contains("send plain calls to the proxy"), "{text}");
    // And where the key itself was edited at the exchange overnight: nothing here can tell edited from disabled.
    let Canaries { key, secret, .. } = incident.canaries.clone();
    incident
        .exchange
        .exchange()
        .change(|settings| settings.put_key(ApiKey::new(&key, &secret).disabled()));
    let (code, text, diagnosis) = incident.diagnose(&[]).await;
    assert_eq!(
        (code, tied(&diagnosis)),
        (1, vec!["CP-CHANGED-AT-EXCHANGE", "CP-KEY-DISABLED"]),
        "{text}"
    );
    assert!(
        diagnosis["ruled_out"]
            .to_string()
            .contains("CP-KEY-MISMATCH"),
        "{text}"
    );
}

#[tokio::test]
async fn e_a_sell_order_is_40101_after_the_outbound_address_moved() {
    let mut incident =
        Incident::new("(e) a sell order is 40101 after the outbound address moved").await;
    let (before, after): (IpAddr, IpAddr) = ([203, 0, 113, 7].into(), [198, 51, 100, 4].into());
    let service = || async {
        let settings = Settings {
            apparent_address: Some(before),
            ..Settings::default()
        };
        FakeExchange::new(settings).start().await.unwrap()
    };
    let services = [service().await, service().await];
    let urls: Vec<String> = services.iter().map(|service| service.url("/ip")).collect();
    std::fs::write(
        incident.path("config.toml"),
        format!("[egress]\nservices = {urls:?}\n"),
    )
    .unwrap();
    incident.set("CRYPTO_EXPECTED_IP", &before.to_string());
    let Canaries { key, secret, .. } = incident.canaries.clone();
    let exchange = incident.exchange.exchange().clone();
    exchange.change(|settings| {
        settings.put_key(ApiKey::new(&key, &secret).whitelist([before]));
        settings.apparent_address = Some(before);
        settings.unlisted = sandbox::Refusal::code(40101);
    });
    let serving = incident.serve().await;
    serving
        .process
        .written
        .wait(&["event=address", &before.to_string()])
        .await;
    assert_eq!(incident.call(&serving, BALANCE, json!({})).await, 200);
    for place in services.iter().map(Running::exchange).chain([&exchange]) {
        place.change(|settings| settings.apparent_address = Some(after));
    }
    let mut sell = order("incident-e");
    sell["side"] = json!("SELL");
    assert_eq!(incident.call(&serving, CREATE, sell).await, 401);
    // The line still shows the address as last measured; the measurement that it caused corrects the hint.
    serving
        .process
        .written
        .wait(&["event=hint", "corrects"])
        .await;
    let lines = incident.read_journal(serving, &["CRYPTO_AUTH_DIAG"]).await;
    line(
        &lines,
        &[
            "event=call",
            "FAIL",
            "CRYPTO_COM_OUTBOUND_IP: 203.0.113.7",
            "code=40101",
        ],
    );
    line(&lines, &["corrects", "198.51.100.4"]);
    let (code, text, diagnosis) = incident.diagnose(&[]).await;
    assert_eq!(code, 1, "{text}");
    assert!(tied(&diagnosis).contains(&"CP-IP-DRIFT"), "{text}");
    assert!(
        diagnosis["next_step"]
            .as_str()
            .unwrap()
            .contains("198.51.100.4"),
        "{text}"
    );
}
