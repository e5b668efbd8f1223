//! A scene: a directory, a stand-in exchange, and the daemon in front of it, all by the binary under test.
//!
//! Guarantees: keys, secrets and tokens are invented, say so, and are the same in every run.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    http::{self, Answer, Request},
    process::{self, Env, Running, Said},
};

pub(crate) const KEY: &str = "invented-api-key-01";
pub(crate) const SECRET: &str = "invented-api-secret-of-the-transcript-01";
pub(crate) const TOKEN: &str = "invented-token-of-the-default-caller";
pub(crate) const DIAG_TOKEN: &str = "invented-token-of-the-diagnosis";

/// The scene.
pub(crate) struct House {
    folder: TempDir,
    _exchange: Running,
    exchange_at: SocketAddr,
}

/// A daemon that listens.
pub(crate) struct Daemon {
    pub(crate) process: Running,
    pub(crate) at: SocketAddr,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.toml"), "").unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        // As /etc is: the service's own user can read what is in it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let arguments = [
            "sandbox",
            "--listen",
            "127.0.0.1:0",
            "--env-file-out",
            "sandbox.env",
        ];
        let exchange = Running::start(folder.path(), &Env::new(), &arguments);
        let line = exchange.wait(&["stand-in exchange on http://"]);
        let at = line
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .unwrap();
        let house = Self {
            folder,
            _exchange: exchange,
            exchange_at: at.parse().unwrap(),
        };
        house.state(json!({ "keys": [{ "api_key": KEY, "api_secret": SECRET }] }));
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A file that its owner alone may read.
    pub(crate) fn write_private(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}/exchange/v1", self.exchange_at)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.exchange_at)
    }

    /// Two services that tell the address, by two names of this host.
    pub(crate) fn services(&self) -> String {
        format!(
            "http://{}/ip,http://localhost:{}/ip",
            self.exchange_at,
            self.exchange_at.port()
        )
    }

    /// Changes what the stand-in is.
    pub(crate) fn state(&self, change: Value) {
        self.control("/sandbox/state", &change);
    }

    /// Scripts faults.
    pub(crate) fn script(&self, order: Value) {
        self.control("/sandbox/script", &order);
    }

    /// Tells the open streams something.
    pub(crate) fn tell_streams(&self, order: Value) {
        self.control("/sandbox/streams", &order);
    }

    /// One fault for the next request of a method.
    pub(crate) fn once(&self, method: &str, fault: &str) {
        let fault: Value = serde_json::from_str(fault).unwrap();
        self.script(json!({ "target": method, "clear": true, "once": [fault] }));
    }

    fn control(&self, path: &str, body: &Value) {
        let answer = self.exchange(&Request::post(path).json(&body.to_string()));
        assert_eq!(answer.status(), 200, "{path} {body}: {}", answer.body);
    }

    fn exchange(&self, request: &Request) -> Answer {
        http::ask(self.exchange_at, request)
    }

    /// Waits until the stand-in has received so many calls of a method.
    pub(crate) fn received(&self, method: &str, count: u64) {
        let until = std::time::Instant::now() + process::PATIENCE;
        loop {
            let seen = self.count(method);
            if seen >= count {
                return;
            }
            assert!(std::time::Instant::now() < until, "{method}: {seen}");
            std::thread::yield_now();
        }
    }

    /// How many calls of a method the stand-in has received.
    pub(crate) fn count(&self, method: &str) -> u64 {
        let answer = self.exchange(&Request::get("/sandbox/received"));
        let seen: Value = serde_json::from_str(&answer.body).unwrap();
        seen["methods"][method]["received"].as_u64().unwrap_or(0)
    }

    /// What the daemon is given in these scenes.
    pub(crate) fn env(&self) -> Env {
        let base = self.base();
        pairs(&[
            ("CRYPTO_API_KEY", KEY),
            ("CRYPTO_API_SECRET", SECRET),
            ("CRYPTO_PROXY_TOKEN", TOKEN),
            ("CRYPTO_PROXY_DIAG_TOKEN", DIAG_TOKEN),
            ("CRYPTO_REST_BASE", &base),
            ("CRYPTO_PROXY_LISTEN", "127.0.0.1:0"),
            ("CRYPTO_PROXY__EGRESS__ENABLED", "false"),
            ("CRYPTO_PROXY__LISTENER__MAX_CONNECTIONS", "256"),
            ("CRYPTO_PROXY__CALLS__MAX_IN_FLIGHT", "64"),
            ("CRYPTO_PROXY__STREAMS__MAX_SOCKETS", "64"),
            ("STATE_DIRECTORY", "state"),
        ])
    }

    pub(crate) fn serve(&self, further: &[(&str, &str)]) -> Daemon {
        self.serve_with(with(self.env(), further))
    }

    pub(crate) fn serve_with(&self, env: Env) -> Daemon {
        let process = Running::start(
            self.folder.path(),
            &env,
            &["serve", "--config", "config.toml"],
        );
        let line = process.wait(&[" listens on "]);
        let at = line
            .split(" listens on ")
            .nth(1)
            .and_then(|rest| rest.split([',', ' ']).next())
            .unwrap();
        Daemon {
            at: at.parse().unwrap(),
            process,
        }
    }

    /// Runs a command to its end, with no environment but the state directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(&pairs(&[("STATE_DIRECTORY", "state")]), arguments)
    }

    pub(crate) fn run_with(&self, env: &Env, arguments: &[&str]) -> Said {
        process::run(self.folder.path(), env, arguments, None)
    }

    pub(crate) fn run_fed(&self, arguments: &[&str], stdin: &str) -> Said {
        process::run(
            self.folder.path(),
            &pairs(&[("STATE_DIRECTORY", "state")]),
            arguments,
            Some(stdin),
        )
    }

    /// Issues a caller; what stands in its file.
    pub(crate) fn issue(&self, name: &str, further: &[&str]) -> Issued {
        let out = format!("{name}.env");
        let arguments = [
            &[
                "caller",
                "add",
                name,
                "--config",
                "config.toml",
                "--out",
                &out,
            ],
            further,
        ]
        .concat();
        let said = self.run(&arguments);
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        Issued(fs::read_to_string(self.path(&out)).unwrap())
    }
}

/// The file of a caller that was issued.
pub(crate) struct Issued(pub(crate) String);

impl Issued {
    pub(crate) fn value(&self, name: &str) -> String {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} in {}", self.0))
            .to_owned()
    }
}

pub(crate) fn pairs(of: &[(&str, &str)]) -> Env {
    of.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// With further variables, which replace those of the same name.
pub(crate) fn with(mut env: Env, further: &[(&str, &str)]) -> Env {
    env.retain(|(name, _)| !further.iter().any(|(further, _)| further == name));
    env.extend(pairs(further));
    env
}

/// A listener on loopback whose queue is full: a connection to it is never made.
pub(crate) struct Silent {
    pub(crate) at: SocketAddr,
    _held: (TcpListener, Vec<std::net::TcpStream>),
}

impl Silent {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let at = listener.local_addr().unwrap();
        let wait = std::time::Duration::from_millis(200);
        let queued = (0..4)
            .filter_map(|_| std::net::TcpStream::connect_timeout(&at, wait).ok())
            .collect();
        Self {
            at,
            _held: (listener, queued),
        }
    }
}
