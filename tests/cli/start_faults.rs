//! What keeps `serve` from starting keeps `check` from calling it good, for the same reason, and nothing else does.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::PathBuf,
};

use sandbox::Running;
use tempfile::TempDir;

use crate::{
    canary::Canaries,
    support::{Process, Served, command, environment_file, exchange_of},
};

/// A folder that a daemon could start from, and what a row holds while it does.
struct Place {
    canaries: Canaries,
    exchange: Running,
    folder: TempDir,
    lines: Vec<String>,
    held: Vec<Box<dyn std::any::Any>>,
}

impl Place {
    async fn new() -> Self {
        let canaries = Canaries::random();
        let exchange = exchange_of(&canaries).await;
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.toml"), "").unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        let lines = environment_file(&canaries, &exchange);
        let mut place = Self {
            lines: lines.lines().map(str::to_owned).collect(),
            canaries,
            exchange,
            folder,
            held: Vec::new(),
        };
        place.set("CRYPTO_PROXY_LISTEN", "127.0.0.1:0");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.lines.push(format!("{name}={value}"));
    }

    fn unset(&mut self, name: &str) {
        let begin = format!("{name}=");
        self.lines.retain(|line| !line.starts_with(&begin));
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn hold(&mut self, held: impl std::any::Any) {
        self.held.push(Box::new(held));
    }

    /// Calls go by TLS, to where nobody speaks it: nothing is asked before it listens.
    fn tls(&mut self, ca_file: &str) {
        let base = format!("https://{}/exchange/v1", self.exchange.addr());
        self.set("CRYPTO_REST_BASE", &base);
        let file = self.path(ca_file).display().to_string();
        self.set("CRYPTO_PROXY__UPSTREAM__CA_FILE", &file);
    }

    fn socket(&mut self, name: &str) {
        let path = format!("unix:{}", self.path(name).display());
        self.set("CRYPTO_PROXY_LISTEN", &path);
    }

    async fn issue(&self) {
        let mut command = command();
        command.args(["caller", "add", "desk", "--out"]);
        command.arg(self.path("desk.env")).arg("--config");
        command.arg(self.path("config.toml"));
        command.env("STATE_DIRECTORY", self.path("state"));
        let (status, lines) = Process::start(&mut command).ended().await;
        assert_eq!(status.code(), Some(0), "{lines:#?}");
    }

    /// Whether the daemon starts, and what it says.
    async fn serve(&self) -> (bool, String) {
        let mut command = command();
        command.arg("serve").arg("--config");
        command.arg(self.path("config.toml"));
        for line in &self.lines {
            let (name, value) = line.split_once('=').unwrap();
            command.env(name, value);
        }
        command.env("STATE_DIRECTORY", self.path("state"));
        let (up, lines) = Process::start(&mut command).comes_up().await;
        (up, self.said(&lines))
    }

    /// Whether `check` calls it good, and what it says.
    async fn check(&self, further: &[&str]) -> (bool, String) {
        self.write("crypto.env", &(self.lines.join("\n") + "\n"), 0o600);
        let mut command = command();
        command.args(["check", "--config"]);
        command.arg(self.path("config.toml")).arg("--env-file");
        command.arg(self.path("crypto.env")).args(further);
        command.env("STATE_DIRECTORY", self.path("state"));
        let (status, lines) = Process::start(&mut command).ended().await;
        let said = self.said(&lines);
        assert!(matches!(status.code(), Some(0 | 78)), "{status}: {said}");
        assert_eq!(
            status.code() == Some(0),
            said.contains("Good: the daemon would start"),
            "{said}"
        );
        (status.code() == Some(0), said)
    }

    /// As one line: `check` breaks lines between words.
    fn said(&self, lines: &[String]) -> String {
        let said = lines.join(" ");
        self.canaries.assert_absent(&said, "what it says");
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// What a row plants.
type Plant = fn(&mut Place);

/// What is planted, and a word of the reason; none where the daemon starts all the same.
const FAULTS: &[(&str, Plant, Option<&str>)] = &[
    ("nothing", |_| {}, None),
    (
        "incomplete pair",
        |place| place.unset("CRYPTO_API_SECRET"),
        Some("incomplete pair"),
    ),
    (
        "no token",
        |place| place.unset("CRYPTO_PROXY_TOKEN"),
        Some("no caller could authenticate"),
    ),
    (
        "a wrong setting",
        |place| place.set("CRYPTO_PROXY__LOG__LEVEL", "loud"),
        Some("log.level"),
    ),
    (
        "a file that is no TOML",
        |place| place.write("config.toml", "listen = [", 0o644),
        Some("is not TOML"),
    ),
    (
        "a secret in a file that is not there",
        |place| {
            place.unset("CRYPTO_API_SECRET");
            place.set("CRYPTO_API_SECRET_FILE", "/nonexistent/secret");
        },
        Some("/nonexistent/secret"),
    ),
    // The connection to the exchange.
    (
        "a bundle that is not there",
        |place| place.tls("absent.pem"),
        Some("absent.pem: cannot be read: No such file"),
    ),
    (
        "a bundle that is a folder",
        |place| place.tls("state"),
        Some("it is not a regular file"),
    ),
    (
        "a bundle without a certificate",
        |place| {
            place.write("ca.pem", "no certificate\n", 0o644);
            place.tls("ca.pem");
        },
        Some("ca.pem: holds no PEM certificate"),
    ),
    (
        "a bundle that all can write",
        |place| {
            place.write("ca.pem", "no certificate\n", 0o666);
            place.tls("ca.pem");
        },
        Some("can write it (mode 0666)"),
    ),
    (
        "a bundle that is not there, and nothing is encrypted",
        |place| place.set("CRYPTO_PROXY__UPSTREAM__CA_FILE", "/nonexistent/ca.pem"),
        None,
    ),
    (
        "a service that is clear text",
        |place| place.set("CRYPTO_PROXY__EGRESS__SERVICES", "http://192.0.2.1/ip"),
        Some("egress.services"),
    ),
    // Where it listens.
    (
        "an address that another program listens on",
        |place| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            place.set(
                "CRYPTO_PROXY_LISTEN",
                &listener.local_addr().unwrap().to_string(),
            );
            place.hold(listener);
        },
        Some("cannot listen here; is another process"),
    ),
    (
        "two addresses of which one is part of the other",
        |place| {
            let port = free_port().port();
            place.set(
                "CRYPTO_PROXY_LISTEN",
                &format!("0.0.0.0:{port},127.0.0.1:{port}"),
            );
        },
        Some("is part of 0.0.0.0:"),
    ),
    (
        "an address that the machine does not have yet",
        |place| place.set("CRYPTO_PROXY_LISTEN", "192.0.2.1:0"),
        None,
    ),
    (
        "a socket in a folder that is not there",
        |place| place.socket("absent/x.sock"),
        Some("absent/x.sock: cannot listen on this socket"),
    ),
    (
        "a socket with a name that is too long",
        |place| place.socket(&"x".repeat(120)),
        Some("of at most 107 bytes"),
    ),
    (
        "a socket where a file is",
        |place| {
            place.write("x.sock", "", 0o600);
            place.socket("x.sock");
        },
        Some("x.sock: cannot listen on this socket"),
    ),
    (
        "a socket that another program listens on",
        |place| {
            place.hold(UnixListener::bind(place.path("x.sock")).unwrap());
            place.socket("x.sock");
        },
        Some("x.sock: cannot listen on this socket"),
    ),
    (
        "a socket that a dead program left",
        |place| {
            drop(UnixListener::bind(place.path("x.sock")).unwrap());
            place.socket("x.sock");
        },
        None,
    ),
    (
        "a group that is none",
        |place| {
            place.socket("x.sock");
            place.set("CRYPTO_PROXY__LISTENER__SOCKET_GROUP", "no-such-group");
        },
        Some("there is no group no-such-group"),
    ),
    // What it keeps.
    (
        "no state directory",
        |place| fs::remove_dir(place.path("state")).unwrap(),
        None,
    ),
    (
        "a history that is none",
        |place| place.write("state/history.db", "nonsense", 0o600),
        None,
    ),
    (
        "a history that is a folder",
        |place| fs::create_dir(place.path("state/history.db")).unwrap(),
        None,
    ),
    (
        "marks that are none",
        |place| place.write("state/replay.json", "nonsense", 0o600),
        None,
    ),
    (
        "a journal that is not there",
        |place| place.set("CRYPTO_PROXY__LOG__SINK", "journal"),
        None,
    ),
];

/// The same, of a daemon with an issued caller.
const FAULTS_OF_CALLERS: &[(&str, Plant, Option<&str>)] = &[
    ("nothing", |_| {}, None),
    (
        "a callers file that is none",
        |place| place.write("callers.toml", "nonsense", 0o644),
        Some("callers.toml"),
    ),
    (
        "no master key",
        |place| fs::remove_file(place.path("state/callers.master")).unwrap(),
        Some("master key"),
    ),
    (
        "a master key that is none",
        |place| place.write("state/callers.master", "nonsense", 0o600),
        Some("master key"),
    ),
    (
        "no marks of what was revoked",
        |place| fs::remove_file(place.path("state/callers.marks")).unwrap(),
        Some("callers.marks: is missing"),
    ),
    (
        "marks of what was revoked that are none",
        |place| place.write("state/callers.marks", "nonsense", 0o600),
        Some("callers.marks: these marks are not understood"),
    ),
];

/// The problems, without the settings before them.
fn end_of(checked: &str) -> &str {
    checked.split(" log.").last().unwrap_or_default()
}

async fn compare(rows: &[(&str, Plant, Option<&str>)], with_callers: bool) {
    let mut wrong = Vec::new();
    for (what, plant, reason) in rows {
        let mut place = Place::new().await;
        if with_callers {
            place.issue().await;
        }
        plant(&mut place);
        // What a start leaves behind must not help the other one.
        let (good, checked) = place.check(&[]).await;
        let (up, served) = place.serve().await;
        if good != up || up != reason.is_none() {
            wrong.push(format!(
                "{what}: check {good}, serve {up}\n{}\n{served}\n",
                end_of(&checked)
            ));
        }
        let lacks = |said: &str| reason.is_some_and(|reason| !said.contains(reason));
        if lacks(&checked) || lacks(&served) {
            wrong.push(format!(
                "{what}: {reason:?}\n{}\n{served}\n",
                end_of(&checked)
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows: {}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn check_is_good_where_serve_starts_and_names_the_reason_where_it_does_not() {
    compare(FAULTS, false).await;
}

#[tokio::test]
async fn check_judges_issued_callers_as_serve_does() {
    compare(FAULTS_OF_CALLERS, true).await;
}

#[tokio::test]
async fn the_running_daemon_is_no_obstacle_to_itself() {
    let served = Served::start().await;
    let mut place = Place::new().await;
    place.set("CRYPTO_PROXY_LISTEN", &served.address.to_string());
    let (good, said) = place.check(&[]).await;
    assert!(good, "{said}");
    let (up, said) = place.serve().await;
    assert!(!up && said.contains("is another process"), "{said}");
    assert_eq!(served.health().await, 200);
}

#[tokio::test]
async fn who_is_about_to_replace_another_program_says_so() {
    let mut place = Place::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    place.set("CRYPTO_PROXY_LISTEN", &address);
    let (good, said) = place.check(&["--may-be-taken"]).await;
    assert!(good, "{said}");
}
