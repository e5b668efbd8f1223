//! The daemon as a process of its own, in front of a stand-in exchange in this one.
//!
//! Everything that the process writes is searched for its secrets when it ends.

use std::{
    ffi::OsStr,
    fs::File,
    net::SocketAddr,
    os::fd::OwnedFd,
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use sandbox::{FakeExchange, Running, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::canary::Canaries;

pub(crate) mod house;

pub(crate) const CREATE: &str = "private/create-order";
/// Longer than anything a test waits for; reached only when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The exit code of a command, and what it wrote: to standard output, and to standard error.
pub(crate) async fn said(mut asked: Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = asked.output().await.expect("the binary starts");
    let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    (status.code().expect("an exit code"), out, err)
}

/// The binary under test, with an empty environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crypto-proxy"));
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What a process wrote, as it comes.
#[derive(Clone, Default)]
pub(crate) struct Written {
    lines: Arc<Mutex<Vec<String>>>,
    changed: Arc<watch::Sender<()>>,
}

impl Written {
    fn follow(&self, pipe: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        let written = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                written.lines.lock().unwrap().push(line);
                written.changed.send_replace(());
            }
        })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line that holds every part.
    pub(crate) async fn wait(&self, parts: &[&str]) -> String {
        let mut changed = self.changed.subscribe();
        let search = async {
            loop {
                let found = self
                    .lines()
                    .into_iter()
                    .find(|line| parts.iter().all(|part| line.contains(part)));
                if let Some(line) = found {
                    return line;
                }
                changed.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, search)
            .await
            .unwrap_or_else(|_| panic!("no line with {parts:?} in {:#?}", self.lines()))
    }
}

/// A stand-in exchange that knows this key.
pub(crate) async fn exchange_of(canaries: &Canaries) -> Running {
    let settings = Settings::with_key(&canaries.key, &canaries.secret);
    FakeExchange::new(settings).start().await.unwrap()
}

/// The environment file of a daemon with this key, in front of this exchange.
pub(crate) fn environment_file(canaries: &Canaries, exchange: &Running) -> String {
    let Canaries {
        key, secret, token, ..
    } = canaries;
    let base = exchange.base_url();
    format!(
        "CRYPTO_API_KEY={key}\nCRYPTO_API_SECRET={secret}\nCRYPTO_PROXY_TOKEN={token}\nCRYPTO_REST_BASE={base}\n"
    )
}

/// A process and what it writes to both of its outputs.
pub(crate) struct Process {
    child: Child,
    pub(crate) written: Written,
    readers: [JoinHandle<()>; 2],
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let written = Written::default();
        let readers = [
            written.follow(child.stdout.take().unwrap()),
            written.follow(child.stderr.take().unwrap()),
        ];
        Self {
            child,
            written,
            readers,
        }
    }

    /// Where the daemon says that it listens; the first address.
    pub(crate) async fn address(&self) -> SocketAddr {
        let line = self.written.wait(&[" listens on "]).await;
        let addresses = line.split(" listens on ").nth(1).expect("addresses");
        let first = addresses.split([',', ' ']).next();
        first.expect("an address").parse().expect("an address")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.id().try_into().unwrap()).unwrap();
        kill_process(id, signal).expect("a signal is delivered");
    }

    /// Whether it comes up to listen; then it is told to stop. And what it wrote.
    pub(crate) async fn comes_up(mut self) -> (bool, Vec<String>) {
        let written = self.written.clone();
        let up = tokio::select! {
            _ = written.wait(&[" listens on "]) => true,
            _ = self.child.wait() => false,
        };
        if up {
            self.signal(Signal::TERM);
        }
        (up, self.ended().await.1)
    }

    /// Waits for its end and for its last word.
    pub(crate) async fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("it does not end: {:#?}", self.written.lines()))
            .unwrap();
        for reader in self.readers {
            timeout(PATIENCE, reader)
                .await
                .expect("its outputs end with it")
                .unwrap();
        }
        (status, self.written.lines())
    }
}

/// `crypto-proxy serve` in front of a stand-in exchange.
pub(crate) struct Served {
    pub(crate) exchange: Running,
    pub(crate) canaries: Canaries,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    _directory: TempDir,
}

/// What a test may change before the daemon starts.
pub(crate) struct Starting {
    exchange: Running,
    pub(crate) canaries: Canaries,
    pub(crate) command: Command,
    directory: TempDir,
}

impl Starting {
    pub(crate) async fn new() -> Self {
        Self::by(command()).await
    }

    /// Run by a command that is given the arguments of the binary.
    pub(crate) async fn by(mut command: Command) -> Self {
        let canaries = Canaries::random();
        let exchange = exchange_of(&canaries).await;
        let directory = TempDir::new().unwrap();
        let config = directory.path().join("config.toml");
        std::fs::write(&config, "").unwrap();
        command.args(["serve".as_ref(), "--config".as_ref(), config.as_os_str()]);
        command
            .env("CRYPTO_API_KEY", &canaries.key)
            .env("CRYPTO_API_SECRET", &canaries.secret);
        command
            .env("CRYPTO_PROXY_TOKEN", &canaries.token)
            .env("CRYPTO_REST_BASE", exchange.base_url());
        command.env("CRYPTO_PROXY_DIAG_TOKEN", &canaries.diagnosis);
        command
            .env("CRYPTO_PROXY_LISTEN", "127.0.0.1:0")
            .env("CRYPTO_PROXY__EGRESS__ENABLED", "false");
        Self {
            exchange,
            canaries,
            command,
            directory,
        }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) async fn serve(mut self) -> Served {
        let process = Process::start(&mut self.command);
        let address = process.address().await;
        Served {
            exchange: self.exchange,
            canaries: self.canaries,
            process,
            address,
            _directory: self.directory,
        }
    }
}

impl Served {
    pub(crate) async fn start() -> Self {
        Starting::new().await.serve().await
    }

    pub(crate) fn exchange(&self) -> &FakeExchange {
        self.exchange.exchange()
    }

    /// A call as the backend makes it: HTTP status, and the answer's body.
    pub(crate) fn call(
        &self,
        method: &str,
        params: Value,
    ) -> JoinHandle<Result<(u16, Value), reqwest::Error>> {
        let request = client().post(format!("http://{}/proxy/private", self.address));
        let request = request
            .header("x-proxy-token", &self.canaries.token)
            .header("content-type", "application/json");
        let request = request.body(json!({ "method": method, "params": params }).to_string());
        tokio::spawn(async move {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok((
                status,
                serde_json::from_slice(&response.bytes().await?).expect("JSON"),
            ))
        })
    }

    /// An order that the exchange has received and does not answer.
    pub(crate) async fn order_under_way(
        &self,
        oid: &str,
    ) -> JoinHandle<Result<(u16, Value), reqwest::Error>> {
        self.exchange().script(CREATE, sandbox::Fault::hang_after());
        let call = self.call(CREATE, order(oid));
        timeout(PATIENCE, self.exchange().wait_received(CREATE, 1))
            .await
            .expect("it is sent");
        call
    }

    pub(crate) async fn health(&self) -> u16 {
        let response = client()
            .get(format!("http://{}/health", self.address))
            .send()
            .await
            .expect("an answer");
        response.status().as_u16()
    }

    /// Waits for its end; nothing that it ever wrote holds a secret, and no call has two records.
    pub(crate) async fn ended(self) -> (ExitStatus, Vec<String>) {
        let (status, lines) = self.process.ended().await;
        for line in &lines {
            self.canaries.assert_absent(line, "what the process wrote");
            assert!(!line.contains("panicked"), "{line}");
        }
        let rids = records(&lines).map(|line| {
            line.split(" rid=")
                .nth(1)
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
        });
        let mut rids: Vec<&str> = rids.collect();
        let all = rids.len();
        rids.sort_unstable();
        rids.dedup();
        assert_eq!(rids.len(), all, "two records of one call: {lines:#?}");
        (status, lines)
    }
}

/// The lines that are records of calls.
pub(crate) fn records(lines: &[String]) -> impl Iterator<Item = &String> {
    lines.iter().filter(|line| line.contains("event=call "))
}

/// A client that keeps no connection, as the backend.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(PATIENCE);
    builder.tls_certs_only([]).build().expect("a client")
}

/// A limit order that the stand-in accepts.
pub(crate) fn order(client_oid: &str) -> Value {
    json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "50000.00", "quantity": "0.01",
        "client_oid": client_oid,
    })
}

/// A terminal: the side of whoever types, and the side of the program.
pub(crate) fn terminal() -> (File, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = rustix::fs::open(
        name.as_c_str(),
        OFlags::RDWR | OFlags::NOCTTY,
        Mode::empty(),
    )
    .unwrap();
    (File::from(master), slave)
}
