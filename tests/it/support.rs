//! The harness: a proxy in front of a stand-in exchange, and the checks that hold for every answer.
//!
//! Every request that goes through [`TestProxy`] is a leak test: answers and log lines are searched for the key, the
//! secret, the token and the call's signature, in every spelling, and every admitted call must leave exactly one record.

use std::{fmt::Debug, fs, panic::AssertUnwindSafe, path::Path, sync::Arc, time::Duration};

use crypto_proxy::{
    app::{Daemon, Drained},
    config::Config,
    http::Rejections,
    server::Address,
    telemetry::{self, Captured, Line},
};
use diagnosis::history::History;
use futures_util::FutureExt as _;
use gateway::{
    Gateway,
    auth::{Caller, Callers},
    policy::Policy,
    secret::{ApiKey, ApiSecret, Credentials, TokenDigest},
    upstream::BaseUrl,
};
use sandbox::{FakeExchange, Running, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{Dispatch, Level, dispatcher::DefaultGuard};

pub(crate) mod answer;
pub(crate) mod canary;
pub(crate) mod connection;
pub(crate) mod contract;
pub(crate) mod downstream;
pub(crate) mod raw;
pub(crate) mod signing;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod wire;

pub(crate) use answer::Answer;
use canary::Canaries;

/// Longer than anything a test waits for; reached only when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Change = Box<dyn FnOnce(&mut Config)>;

/// What a test may change before the proxy starts.
pub(crate) struct Builder {
    exchange: Settings,
    base: Option<String>,
    plan: Vec<Change>,
    policy: Policy,
    canaries: Canaries,
    capture: Option<(Dispatch, Captured)>,
}

impl Builder {
    /// Changes the stand-in's settings.
    pub(crate) fn exchange(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.exchange);
        self
    }

    /// Changes the plan of the proxy.
    pub(crate) fn plan(mut self, change: impl FnOnce(&mut Config) + 'static) -> Self {
        self.plan.push(Box::new(change));
        self
    }

    /// The secrets of this test.
    pub(crate) const fn canaries(&self) -> &Canaries {
        &self.canaries
    }

    /// Changes what the default caller may do.
    pub(crate) fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    /// Sends calls to this base URL in place of the stand-in's.
    pub(crate) fn base(mut self, base: impl Into<String>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Takes the lines from a dispatcher that further threads have as well.
    pub(crate) fn capture(mut self, dispatch: Dispatch, lines: Captured) -> Self {
        self.capture = Some((dispatch, lines));
        self
    }

    /// Starts both.
    pub(crate) async fn start(self) -> TestProxy {
        let (dispatch, lines) = self
            .capture
            .unwrap_or_else(|| telemetry::capture(Level::TRACE));
        let guard = tracing::dispatcher::set_default(&dispatch);
        let exchange = FakeExchange::new(self.exchange)
            .start()
            .await
            .expect("a free port");
        let base = self.base.unwrap_or_else(|| exchange.base_url());
        let mut plan = plan(&self.canaries, &base, self.policy);
        for change in self.plan {
            change(&mut plan);
        }
        let daemon = Daemon::bind(plan).await.expect("the proxy binds");
        let addresses = daemon.addresses();
        let (gateway, rejections, history) =
            (daemon.gateway(), daemon.rejections(), daemon.history());
        let stop = CancellationToken::new();
        let task = tokio::spawn(daemon.run(stop.clone()));
        TestProxy {
            exchange,
            addresses,
            gateway,
            rejections,
            stop,
            task,
            lines,
            canaries: self.canaries,
            history,
            _guard: guard,
        }
    }
}

fn plan(canaries: &Canaries, base: &str, policy: Policy) -> Config {
    let credentials = Credentials {
        key: ApiKey::new(canaries.key.clone()),
        secret: ApiSecret::new(canaries.secret.clone()),
    };
    let caller = Caller {
        name: "default".into(),
        policy,
    };
    let callers = Callers::new(vec![(
        TokenDigest::of(canaries.token.as_bytes()),
        Arc::new(caller),
    )]);
    let mut plan = Config::new(
        credentials,
        callers,
        BaseUrl::parse(base, None).expect("a base URL"),
    );
    plan.server.listen = vec![Address::Tcp(([127, 0, 0, 1], 0).into())];
    plan.gateway.signing_lines = true;
    // Hundreds of tests share the processors: the journal's thread may wait for one longer than a disk may.
    plan.orders.wait = Duration::from_secs(10);
    plan
}

/// A proxy that serves, with everything a test asks it.
pub(crate) struct TestProxy {
    exchange: Running,
    pub(crate) addresses: Vec<Address>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) rejections: Arc<Rejections>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Drained>,
    pub(crate) lines: Captured,
    pub(crate) canaries: Canaries,
    pub(crate) history: History,
    _guard: DefaultGuard,
}

impl TestProxy {
    /// What a test may change before the proxy starts.
    pub(crate) fn builder() -> Builder {
        Self::builder_with(Canaries::random())
    }

    /// The same with the secrets of another one.
    pub(crate) fn builder_with(canaries: Canaries) -> Builder {
        Builder {
            exchange: Settings::with_key(&canaries.key, &canaries.secret),
            base: None,
            plan: Vec::new(),
            policy: Policy::default(),
            canaries,
            capture: None,
        }
    }

    /// A proxy with the defaults.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// The stand-in exchange.
    pub(crate) fn exchange(&self) -> &FakeExchange {
        self.exchange.exchange()
    }

    /// Where the stand-in exchange listens.
    pub(crate) fn exchange_address(&self) -> std::net::SocketAddr {
        self.exchange.addr()
    }

    /// The first TCP address.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        let tcp = |address: &Address| {
            if let Address::Tcp(address) = address {
                Some(*address)
            } else {
                None
            }
        };
        self.addresses.iter().find_map(tcp).expect("a TCP address")
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// A private call with the right token, as the backend makes it: a new connection each time.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Answer {
        self.post(&json!({ "method": method, "params": params }).to_string())
            .await
    }

    /// A body with the right token.
    pub(crate) async fn post(&self, body: &str) -> Answer {
        let request = client()
            .post(self.url("/proxy/private"))
            .header("x-proxy-token", &self.canaries.token);
        self.send(
            request
                .header("content-type", "application/json")
                .body(body.to_owned()),
        )
        .await
    }

    /// Any request; the checks that hold for every answer are made here.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = Answer::read(request.send().await.expect("an answer")).await;
        self.check(&answer);
        answer
    }

    /// Lets the proxy come to everything that callers have done so far, such as closing their connections.
    pub(crate) async fn settle(&self) {
        for _ in 0..3 {
            let health = client().get(self.url("/health")).send().await;
            assert_eq!(health.expect("an answer").status(), 200);
        }
    }

    /// What must hold for every answer.
    pub(crate) fn check(&self, answer: &Answer) {
        answer.check_shape();
        let rid = answer
            .header("x-request-id")
            .expect("every answer has a request id");
        // Of a caller's many refusals at once for one reason the first few have a record, and the others are counted.
        let is_counted =
            answer.is_of_a_door() && answer.outcome() == "refused" && self.refusals_counted() > 0;
        let records = self.records_of(&rid).len();
        if is_counted && records == 0 {
            return self.scan_lines();
        }
        let admitted = answer.is_of_a_door()
            && !matches!(answer.status, 401 | 403 | 405 | 421 | 503)
            || matches!(answer.status, 403 | 503) && answer.text().contains("\"rid\"");
        assert_eq!(
            records,
            usize::from(admitted),
            "records of {rid} for HTTP {}: {:?}",
            answer.status,
            self.texts()
        );
        self.canaries
            .assert_absent(&answer.head_and_body(), "an answer");
        self.scan_lines();
        // From here on the next few have a record again.
        self.gateway.recorder().log_refusals();
    }

    /// Every log line so far, searched for secrets and for this exchange's signatures.
    pub(crate) fn scan_lines(&self) {
        let signatures = self.signatures();
        for line in self.lines.lines() {
            let all = format!("{} {:?}", line.text(), line.fields().collect::<Vec<_>>());
            self.canaries.assert_absent(&all, "a log line");
            assert!(
                signatures.iter().all(|sig| !all.contains(sig.as_str())),
                "a signature in {all}"
            );
        }
    }

    fn signatures(&self) -> Vec<String> {
        let sig = |body: &[u8]| {
            Some(
                serde_json::from_slice::<Value>(body)
                    .ok()?
                    .get("sig")?
                    .as_str()?
                    .to_owned(),
            )
        };
        self.exchange()
            .received()
            .iter()
            .rev()
            .take(50)
            .filter_map(|received| sig(&received.body))
            .collect()
    }

    /// The `event=call` lines of a request.
    pub(crate) fn records_of(&self, rid: &str) -> Vec<Line> {
        let rid = format!(" rid={rid} ");
        let is_call =
            |line: &Line| line.text().contains("event=call ") && line.text().contains(&rid);
        self.lines.lines().into_iter().filter(is_call).collect()
    }

    /// Refused calls of known callers that have no line of their own.
    pub(crate) fn refusals_counted(&self) -> usize {
        let logged: u64 = self.texts().iter().filter_map(|text| counted(text)).sum();
        usize::try_from(logged + self.gateway.recorder().refusals_not_logged()).expect("a number")
    }

    /// Waits for a line that contains every part.
    pub(crate) async fn wait_line(&self, parts: &[&str]) -> Line {
        let wanted = |line: &Line| parts.iter().all(|part| line.text().contains(part));
        let line = self.lines.wait_for(wanted, PATIENCE).await;
        line.unwrap_or_else(|| panic!("no line with {parts:?} in {:#?}", self.texts()))
    }

    /// The texts of all lines.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.lines
            .lines()
            .iter()
            .map(|line| line.text().to_owned())
            .collect()
    }

    /// Stops the proxy as SIGTERM does and waits for its end.
    pub(crate) async fn stop(self) -> (Drained, Captured) {
        self.stop.cancel();
        let drained = tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it ends")
            .expect("it does not panic");
        (drained, self.lines)
    }
}

/// How many refusals of a known caller a line counts.
pub(crate) fn counted(text: &str) -> Option<u64> {
    let (_, counted) = text.split_once("event=refused caller=")?;
    counted.rsplit_once(" count=")?.1.parse().ok()
}

/// A runtime with threads, and a proxy on it whose lines are taken from all of them.
pub(crate) fn threaded(change: impl FnOnce(Builder) -> Builder) -> (Runtime, TestProxy) {
    let (dispatch, lines) = telemetry::capture(Level::INFO);
    let of_thread = dispatch.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&of_thread)))
        .enable_all()
        .build()
        .unwrap();
    let proxy = runtime.block_on(change(TestProxy::builder().capture(dispatch, lines)).start());
    (runtime, proxy)
}

/// What the next process finds after a crash of the one that writes to this directory: it goes on, and nobody learns of it.
pub(crate) fn as_left_by_a_crash(directory: &Path) -> TempDir {
    let copy = TempDir::new().expect("a directory");
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        // A socket is no state.
        if !entry.file_type().expect("a type").is_file() {
            continue;
        }
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    copy
}

/// Checks every row of a table. A wrong row does not hide the rest: the end names each of them.
pub(crate) async fn each<Row: Debug>(
    rows: impl IntoIterator<Item = Row>,
    check: impl AsyncFn(Row),
) {
    let mut wrong = Vec::new();
    for row in rows {
        let name = format!("{row:?}").chars().take(200).collect::<String>();
        if AssertUnwindSafe(check(row)).catch_unwind().await.is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "wrong rows:\n{}", wrong.join("\n"));
}

/// A client that keeps no connection, as the backend.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(PATIENCE);
    builder
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}
