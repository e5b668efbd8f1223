//! What a daemon recorded, was restarted with, or was not: the whole way from its calls to the cause.

use std::net::SocketAddr;

use rustix::process::Signal;
use sandbox::{KeyState, Permission};
use serde_json::json;

use super::*;
use crate::support::{Process, client, order};

const READ: &str = "private/user-balance";
const CREATE: &str = "private/create-order";
const OTHER_KEY: &str = "an-invented-other-key";
const OTHER_SECRET: &str = "an-invented-other-secret-text";

/// A daemon that serves.
struct Daemon {
    process: Process,
    address: SocketAddr,
    token: String,
}

impl Daemon {
    async fn call(&self, method: &str, params: Value) {
        let request = client().post(format!("http://{}/proxy/private", self.address));
        let request = request
            .header("x-proxy-token", &self.token)
            .header("content-type", "application/json");
        let request = request.body(json!({ "method": method, "params": params }).to_string());
        request.send().await.expect("an answer");
    }

    async fn stop(self, canaries: &Canaries) {
        self.process.signal(Signal::TERM);
        let (status, lines) = self.process.ended().await;
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        lines
            .iter()
            .for_each(|line| canaries.assert_absent(line, "what the daemon wrote"));
    }
}

impl Place {
    /// Starts the daemon with this pair.
    async fn serve(&self, key: &str, secret: &str) -> Daemon {
        let mut command = command();
        command
            .arg("serve")
            .arg("--config")
            .arg(self.folder.path().join("config.toml"));
        command
            .env("CRYPTO_API_KEY", key)
            .env("CRYPTO_API_SECRET", secret);
        command
            .env("CRYPTO_PROXY_TOKEN", &self.canaries.token)
            .env("CRYPTO_REST_BASE", self.exchange.base_url());
        command
            .env("CRYPTO_PROXY_LISTEN", "127.0.0.1:0")
            .env("CRYPTO_PROXY__EGRESS__ENABLED", "false");
        command.env("STATE_DIRECTORY", self.folder.path().join("state"));
        let process = Process::start(&mut command);
        let address = process.address().await;
        Daemon {
            process,
            address,
            token: self.canaries.token.clone(),
        }
    }

    /// One run after the other, each with a pair, a read, and a stop.
    async fn runs(&self, pairs: &[(&str, &str)]) {
        for (key, secret) in pairs {
            let daemon = self.serve(key, secret).await;
            daemon.call(READ, json!({})).await;
            daemon.stop(&self.canaries).await;
        }
    }

    fn own(&self) -> (&str, &str) {
        (&self.canaries.key, &self.canaries.secret)
    }

    /// Another file than the daemon's; exit code and JSON.
    async fn diagnose_file(&self, file: &std::path::Path) -> (i32, Value) {
        let mut command = command();
        command.args(["diagnose", "--alone", "--json", "--config"]);
        command.arg(self.folder.path().join("config.toml"));
        command.arg("--env-file").arg(file);
        command.env("STATE_DIRECTORY", self.folder.path().join("state"));
        let output = command.output().await.expect("the binary starts");
        let out = String::from_utf8(output.stdout).unwrap();
        self.canaries.assert_absent(&out, "what diagnose says");
        let json = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        (output.status.code().expect("an exit code"), json)
    }

    /// The environment file with another pair.
    fn environment_of(&self, key: &str, secret: &str) -> String {
        let (own_key, own_secret) = self.own();
        self.environment()
            .replace(own_key, key)
            .replace(own_secret, secret)
    }
}

#[tokio::test]
async fn orders_that_were_refused_beside_reads_that_work_want_the_trade_permission() {
    let place = Place::new().await;
    let (key, secret) = place.own();
    let key_of_reads = ApiKey::new(key, secret).permissions([Permission::Read]);
    place
        .exchange
        .exchange()
        .change(|settings| settings.put_key(key_of_reads));
    let daemon = place.serve(key, secret).await;
    daemon.call(READ, json!({})).await;
    daemon.call(CREATE, order("past-cli-1")).await;
    daemon.stop(&place.canaries).await;
    let top = ["CP-NO-TRADE-PERMISSION"];
    let json = place
        .says(&place.environment(), &top, "likely", "enable \"Trade\"")
        .await;
    assert_eq!(json["last_good"]["method"], READ, "{json:#}");
}

#[tokio::test]
async fn half_a_rotation_is_named_and_one_that_was_mended_is_a_tie() {
    let place = Place::new().await;
    let (key, secret) = place.own();
    place.runs(&[(key, secret), (key, OTHER_SECRET)]).await;
    let half = place.environment_of(key, OTHER_SECRET);
    let json = place
        .says(
            &half,
            &["CP-HALF-ROTATED"],
            "very likely",
            "both from one creation",
        )
        .await;
    assert!(
        json["changes"]
            .to_string()
            .contains("the secret changed and its key did not"),
        "{json:#}"
    );
    place.runs(&[(OTHER_KEY, OTHER_SECRET)]).await;
    let mended = place.environment_of(OTHER_KEY, OTHER_SECRET);
    let tie = ["CP-KEY-MISMATCH", "CP-KEY-DISABLED", "CP-PAIR-CHANGED"];
    place
        .says(&mended, &tie, "likely", "create a new one")
        .await;
}

#[tokio::test]
async fn a_key_that_was_rotated_on_one_side_only() {
    // Here: the exchange does not know the new pair.
    let place = Place::new().await;
    place.runs(&[place.own(), (OTHER_KEY, OTHER_SECRET)]).await;
    let new = place.environment_of(OTHER_KEY, OTHER_SECRET);
    place
        .says(
            &new,
            &["CP-PAIR-CHANGED"],
            "likely",
            "compare the new key's state",
        )
        .await;
    // There: the pair that worked is no longer taken, and nothing changed here.
    let place = Place::new().await;
    place.runs(&[place.own()]).await;
    place.exchange.exchange().change(|settings| {
        settings.key_mut(&place.canaries.key).unwrap().state = KeyState::Disabled;
        settings.put_key(ApiKey::new(OTHER_KEY, OTHER_SECRET));
    });
    let tie = ["CP-CHANGED-AT-EXCHANGE", "CP-KEY-DISABLED"];
    let json = place
        .says(&place.environment(), &tie, "likely", "\"updated\" time")
        .await;
    assert!(
        json["ruled_out"].to_string().contains("CP-KEY-MISMATCH"),
        "{json:#}"
    );
}

#[tokio::test]
async fn a_daemon_that_was_not_restarted_after_the_file_changed() {
    let place = Place::new().await;
    place
        .exchange
        .exchange()
        .change(|settings| settings.put_key(ApiKey::new(OTHER_KEY, OTHER_SECRET)));
    let (key, secret) = place.own();
    let daemon = place.serve(key, secret).await;
    let new = place.environment_of(OTHER_KEY, OTHER_SECRET);
    let json = place
        .says(
            &new,
            &["CP-NOT-RESTARTED"],
            "very likely",
            "systemctl restart crypto-proxy",
        )
        .await;
    assert_eq!(json["daemon_last_start"]["stopped"], false, "{json:#}");
    daemon.stop(&place.canaries).await;
    let (code, cause, json) = place.diagnose(&new).await;
    assert_eq!(
        (code, cause.as_str()),
        (0, ""),
        "a stopped daemon is not to be restarted: {json:#}"
    );
    assert_eq!(json["daemon_last_start"]["stopped"], true, "{json:#}");
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_said_and_changes_nothing_else() {
    let place = Place::new().await;
    let (code, _, json) = place.diagnose(&place.environment()).await;
    let unread = json["history_unread"].as_str().unwrap();
    assert!(
        code == 0 && unread.contains("state/history.db") && unread.contains("No such file"),
        "{json:#}"
    );
    let other = place.folder.path().join("other.db");
    std::fs::write(
        &other,
        "no database at all, and long enough to be looked at".repeat(40),
    )
    .unwrap();
    let arguments = ["diagnose", "--alone", "--db", other.to_str().unwrap()];
    let (code, out) = place.run(&arguments, &place.environment()).await;
    let flat = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code, 0, "{out}");
    assert!(
        !flat.contains("no history before") && flat.contains("is not a database"),
        "{out}"
    );
}

#[tokio::test]
async fn a_recorded_past_that_is_good_is_healthy() {
    let place = Place::new().await;
    place.runs(&[place.own(), place.own()]).await;
    let (code, cause, json) = place.diagnose(&place.environment()).await;
    assert_eq!((code, cause.as_str()), (0, ""), "{json:#}");
    assert_eq!(
        (&json["first_bad"], &json["changes"]),
        (&Value::Null, &json!([])),
        "{json:#}"
    );
}

#[tokio::test]
async fn a_file_that_is_not_the_daemons_is_another_pair_and_not_its_past() {
    let place = Place::new().await;
    let (key, secret) = place.own();
    let daemon = place.serve(key, secret).await;
    daemon.call(READ, json!({})).await;
    daemon.stop(&place.canaries).await;
    let local = place.folder.path().join(".env.local");
    let daemons = place.environment();
    let without_token = |text: String| -> String {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("CRYPTO_PROXY_TOKEN="));
        lines.flat_map(|line| [line, "\n"]).collect()
    };
    // As a program's file is: a pair, and no token. Half a rotation is what it looked like.
    for (key, secret) in [
        (OTHER_KEY, OTHER_SECRET),
        (key, OTHER_SECRET),
        (OTHER_KEY, secret),
    ] {
        std::fs::write(&local, without_token(place.environment_of(key, secret))).unwrap();
        let (code, json) = place.diagnose_file(&local).await;
        assert_eq!(
            (code, &json["causes"][0]["code"]),
            (1, &json!("CP-SIGNS-FOR-ITSELF")),
            "{json:#}"
        );
        let because = json["causes"][0]["for"].to_string();
        for part in [
            "another pair than the daemon",
            "the daemon's own pair works: private/user-balance was accepted",
        ] {
            assert!(because.contains(part), "{part}: {json:#}");
        }
        assert!(
            json["credentials_of"]
                .as_str()
                .unwrap()
                .contains("another pair"),
            "{json:#}"
        );
        for invented in [
            "CP-HALF-ROTATED",
            "CP-PAIR-CHANGED",
            "CP-NOT-RESTARTED",
            "CRYPTO_PROXY_TOKEN",
        ] {
            assert!(!json.to_string().contains(invented), "{invented}: {json:#}");
        }
        assert_eq!(
            (&json["changes"], &json["problems"]),
            (&json!([]), &json!([]))
        );
    }
    // Another pair that works is healthy, and the same pair is the daemon's own.
    place
        .exchange
        .exchange()
        .change(|settings| settings.put_key(ApiKey::new(OTHER_KEY, OTHER_SECRET)));
    std::fs::write(
        &local,
        without_token(place.environment_of(OTHER_KEY, OTHER_SECRET)),
    )
    .unwrap();
    let (code, json) = place.diagnose_file(&local).await;
    assert_eq!((code, &json["causes"]), (0, &json!([])), "{json:#}");
    assert!(
        json["credentials_of"]
            .as_str()
            .unwrap()
            .contains("another pair"),
        "{json:#}"
    );
    std::fs::write(&local, without_token(daemons)).unwrap();
    let (code, json) = place.diagnose_file(&local).await;
    assert_eq!(
        (code, &json["last_good"]["method"]),
        (0, &json!(READ)),
        "{json:#}"
    );
}
