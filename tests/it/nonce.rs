//! The nonce and the clock: a clock that stands, steps back, steps forward.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crypto_proxy::telemetry;
use futures_util::StreamExt as _;
use gateway::{access::Peer, auth::Caller, clock::Clock, policy::Policy};
use protocol::{
    call::{Call, RequestId},
    canonical::Dialect,
};
use sandbox::{FakeExchange, Settings};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tracing::Level;

use crate::support::{Answer, TestProxy, connection::order};

const BALANCE: &str = "private/user-balance";

/// A proxy whose clock the test sets.
struct Timed {
    proxy: TestProxy,
    clock: Arc<AtomicU64>,
    real_ms: u64,
}

impl Timed {
    /// The clock is `ahead` of the real one, by which the stand-in goes.
    async fn ahead(ahead: Duration) -> Self {
        let real_ms = Clock::system().now_ms();
        let clock = Arc::new(AtomicU64::new(real_ms + millis(ahead)));
        let set = Clock::set_by(Arc::clone(&clock));
        let proxy = TestProxy::builder()
            .plan(|plan| plan.clock = set)
            .start()
            .await;
        Self {
            proxy,
            clock,
            real_ms,
        }
    }

    fn step_back(&self, by: Duration) {
        self.clock.fetch_sub(millis(by), Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// A call, and the nonce that it went out with.
    async fn call(&self) -> (Answer, u64) {
        let answer = self.proxy.call(BALANCE, json!({})).await;
        let last = self
            .proxy
            .exchange()
            .received()
            .pop()
            .expect("the stand-in received it");
        (
            answer,
            last.json().expect("JSON")["nonce"]
                .as_u64()
                .expect("a nonce"),
        )
    }

    async fn accepted(&self) -> u64 {
        let (answer, nonce) = self.call().await;
        assert_eq!(answer.inner()["code"], 0, "{}", answer.text());
        nonce
    }

    fn warnings(&self) -> Vec<String> {
        self.proxy
            .texts()
            .into_iter()
            .filter(|text| text.contains("the clock stepped back"))
            .collect()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

#[tokio::test]
async fn a_clock_that_stands_still_gives_every_call_a_nonce_of_its_own() {
    let timed = Timed::ahead(Duration::ZERO).await;
    let mut nonces = Vec::new();
    for _ in 0..5 {
        nonces.push(timed.accepted().await - timed.real_ms);
    }
    assert_eq!(nonces, [0, 1, 2, 3, 4]);
}

// Fault 50, 10 s.
#[tokio::test]
async fn a_clock_that_steps_back_ten_seconds_does_not_lower_the_nonce() {
    let timed = Timed::ahead(Duration::ZERO).await;
    let before = timed.accepted().await;
    timed.step_back(Duration::from_secs(10));
    assert_eq!(
        [timed.accepted().await, timed.accepted().await],
        [before + 1, before + 2]
    );
    assert!(timed.warnings().is_empty());
}

// Fault 50, 60 s: the time service corrects a clock that was 30 s ahead and overshoots as much; the exchange takes both.
#[tokio::test]
async fn a_clock_that_steps_back_a_minute_restarts_the_nonce_and_one_line_warns() {
    let timed = Timed::ahead(Duration::from_secs(30)).await;
    timed.accepted().await;
    timed.step_back(Duration::from_secs(60));
    let restarted = timed.accepted().await;
    assert_eq!(restarted, timed.now_ms(), "from the clock");
    assert_eq!(timed.accepted().await, restarted + 1, "and on from there");
    let warnings = timed.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("step_ms=60000"), "{}", warnings[0]);
}

// Faults 40 and 51.
#[tokio::test]
async fn a_clock_an_hour_ahead_signs_as_it_stands_and_the_skew_shows_everywhere() {
    let timed = Timed::ahead(Duration::from_secs(3600)).await;
    for number in 0..3 {
        let (answer, nonce) = timed.call().await;
        assert_eq!(
            nonce,
            timed.now_ms() + number,
            "the proxy does not correct its clock"
        );
        assert_eq!(
            (answer.status, answer.outcome().as_str()),
            (200, "answered")
        );
        assert_eq!(answer.inner()["code"], 40102, "{}", answer.text());
        let records = timed
            .proxy
            .records_of(&answer.header("x-request-id").unwrap());
        let skew: Option<i64> = records[0]
            .field("CRYPTO_SKEW_MS")
            .map(|skew| skew.parse().unwrap());
        if number == 0 {
            assert_eq!(skew, None, "one answer is no estimate");
        } else {
            let skew = skew.expect("two answers are");
            assert!((-3_601_000..=-3_594_000).contains(&skew), "{skew}");
            assert!(
                records[0].text().contains(" skew_ms=-3"),
                "{}",
                records[0].text()
            );
        }
    }
    assert_eq!(
        timed.proxy.exchange().count(BALANCE),
        3,
        "nothing is sent again"
    );
    let ready = timed
        .proxy
        .send(crate::support::client().get(timed.proxy.url("/ready")))
        .await;
    assert_eq!(
        (ready.status, &ready.json()["ready"]),
        (200, &Value::Bool(true)),
        "a warning, never a refusal"
    );
    let warnings = ready.json()["warnings"].to_string();
    assert!(
        warnings.contains("the clock differs from the exchange's by 5 s or more"),
        "{warnings}"
    );
}

#[tokio::test]
async fn a_clock_in_order_is_no_warning() {
    let timed = Timed::ahead(Duration::ZERO).await;
    for _ in 0..3 {
        timed
            .clock
            .store(Clock::system().now_ms(), Ordering::Relaxed);
        timed.accepted().await;
    }
    let ready = timed
        .proxy
        .send(crate::support::client().get(timed.proxy.url("/ready")))
        .await;
    assert_eq!(ready.json(), json!({ "ready": true }));
}

/// Calls that skip the HTTP of our own door, so that tens of thousands take seconds.
struct Noisy<'p> {
    proxy: &'p TestProxy,
    caller: Caller,
}

impl<'p> Noisy<'p> {
    fn new(proxy: &'p TestProxy, name: &str) -> Self {
        let caller = Caller {
            name: name.into(),
            policy: Policy::default(),
        };
        Self { proxy, caller }
    }

    /// So many calls, 64 at once; how many came to each outcome.
    async fn call(&self, count: usize, method: &str) -> BTreeMap<&'static str, usize> {
        let mut outcomes = BTreeMap::new();
        let calls = (0..count).map(|_| self.one(method));
        let mut ended = futures_util::stream::iter(calls).buffer_unordered(64);
        while let Some(outcome) = ended.next().await {
            *outcomes.entry(outcome).or_default() += 1;
        }
        outcomes
    }

    async fn one(&self, method: &str) -> &'static str {
        let call = Call::parse(RequestId::BACKEND, method, None, Dialect::Documented);
        let record = self
            .proxy
            .gateway
            .recorder()
            .open("noisy".into(), Arc::clone(&self.caller.name));
        let source = Peer::Unix { uid: None };
        let relay = self
            .proxy
            .gateway
            .relay(record, &self.caller, &source, call.expect("a call"));
        relay.await.outcome.word()
    }
}

/// The body's part in the answer to an order, without the harness's look at every line so far.
async fn order_quietly(proxy: &TestProxy) -> Value {
    let body = json!({ "method": "private/create-order", "params": order("after-the-noise") });
    let request = crate::support::client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", &proxy.canaries.token)
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = Answer::read(request.send().await.expect("an answer")).await;
    answer.inner()
}

/// How far the exchange's clock must be from the real one, to stand where the proxy's does.
fn offset_to(clock: &AtomicU64) -> i64 {
    clock.load(Ordering::Relaxed).cast_signed() - Clock::system().now_ms().cast_signed()
}

// Row 2 of issue 10: 5,600 calls a second for 30 s were 139 s of nonces; the exchange takes 60 s.
#[tokio::test]
async fn an_outage_costs_no_nonce_and_the_next_order_is_taken_at_once() {
    const CALLS: usize = 61_000;
    let reserved = TcpSocket::new_v4().expect("a socket");
    reserved
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let address = reserved.local_addr().expect("an address");
    let clock = Arc::new(AtomicU64::new(Clock::system().now_ms()));
    let set = Clock::set_by(Arc::clone(&clock));
    let (dispatch, lines) = telemetry::capture(Level::ERROR);
    let proxy = TestProxy::builder()
        .capture(dispatch, lines)
        .base(format!("http://{address}/exchange/v1"))
        .plan(|plan| plan.clock = set)
        .start()
        .await;
    let outcomes = Noisy::new(&proxy, "noisy").call(CALLS, BALANCE).await;
    assert_eq!(outcomes, BTreeMap::from([("not_sent", CALLS)]));

    let listener = reserved.listen(64).expect("the exchange comes back");
    let canaries = &proxy.canaries;
    let back = FakeExchange::new(Settings::with_key(&canaries.key, &canaries.secret));
    back.change(|settings| settings.clock_offset_ms = offset_to(&clock));
    let _running = back.serve(listener).expect("it serves");
    let answer = order_quietly(&proxy).await;
    assert_eq!(answer["code"], 0, "{answer}");
    let sent = back
        .received()
        .pop()
        .expect("an order")
        .json()
        .expect("JSON");
    assert_eq!(
        sent["nonce"],
        clock.load(Ordering::Relaxed),
        "calls that were not sent took no nonce"
    );
}

// Row 2 of issue 10: a read-only caller at 4,600 calls a second made every order fail.
#[tokio::test]
async fn a_caller_that_reads_as_fast_as_it_can_costs_nobody_an_order() {
    const CALLS: usize = 12_000;
    let clock = Arc::new(AtomicU64::new(Clock::system().now_ms()));
    let set = Clock::set_by(Arc::clone(&clock));
    let (dispatch, lines) = telemetry::capture(Level::ERROR);
    let proxy = TestProxy::builder()
        .capture(dispatch, lines)
        .plan(|plan| plan.clock = set)
        .start()
        .await;
    let outcomes = Noisy::new(&proxy, "reader").call(CALLS, BALANCE).await;
    let answer = order_quietly(&proxy).await;
    assert_eq!(answer["code"], 0, "{answer}");
    let sent = proxy.exchange().received().pop().expect("an order");
    let ahead = sent.json().expect("JSON")["nonce"]
        .as_u64()
        .expect("a nonce")
        - clock.load(Ordering::Relaxed);
    assert!(ahead <= 10_000, "{ahead} ms ahead of the clock");
    assert_eq!(outcomes["answered"], 1_001, "{outcomes:?}");
}

// The refusal reaches every door, the log once, and `/ready`; turns that wait for a connection count as well.
#[tokio::test]
async fn reads_beyond_the_lead_are_refused_and_the_log_names_who_calls_most() {
    let clock = Arc::new(AtomicU64::new(Clock::system().now_ms()));
    let set = Clock::set_by(Arc::clone(&clock));
    let (dispatch, lines) = telemetry::capture(Level::INFO);
    let proxy = TestProxy::builder()
        .capture(dispatch, lines)
        .plan(|plan| plan.clock = set)
        .start()
        .await;
    let outcomes = Noisy::new(&proxy, "reader").call(1_200, BALANCE).await;
    assert_eq!(
        outcomes,
        BTreeMap::from([("answered", 1_001), ("refused", 199)])
    );

    let answer = proxy.call(BALANCE, json!({})).await;
    assert_eq!(
        (answer.status, answer.outcome().as_str()),
        (503, "refused"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    let said = answer.inner()["error"].as_str().expect("a text").to_owned();
    assert!(
        said.contains("1001 ms ahead of the clock") && said.contains("nothing was sent"),
        "{said}"
    );
    let record = proxy.record(&answer);
    assert_eq!(record.field("CRYPTO_WHY"), Some("nonce_ahead"));
    assert_eq!(record.field("CRYPTO_NONCE"), None);

    let mut events = proxy.texts();
    events.retain(|text| text.contains("event=nonce "));
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0].contains("ahead_ms=1001 refused=reads caller=reader calls="),
        "{events:?}"
    );
    let warnings = async || {
        let ready = crate::support::client().get(proxy.url("/ready"));
        let ready = proxy.send(ready).await;
        assert_eq!(ready.status, 200);
        ready.json()["warnings"].to_string()
    };
    let nonce = "the nonce is ahead of the clock";
    assert!(warnings().await.contains(nonce));

    clock.fetch_add(10_000, Ordering::Relaxed);
    let answer = proxy.call(BALANCE, json!({})).await;
    assert_eq!(answer.outcome(), "answered", "the clock made room");
    assert!(!warnings().await.contains(nonce));
}

// A call that no connection took is not signed, and nothing says that it was.
#[tokio::test]
async fn a_call_that_finds_no_connection_has_no_nonce_and_no_signing_line() {
    let reserved = TcpSocket::new_v4().expect("a socket");
    reserved
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let base = format!(
        "http://{}/exchange/v1",
        reserved.local_addr().expect("bound")
    );
    let proxy = TestProxy::builder().base(base).start().await;
    let mut nameless = order("");
    nameless
        .as_object_mut()
        .expect("an object")
        .remove("client_oid");
    let answer = proxy.call("private/create-order", nameless).await;
    assert_eq!(answer.outcome(), "not_sent");
    assert_eq!(answer.header("x-proxy-client-oid"), None);
    let record = proxy.record(&answer);
    assert_eq!(record.field("CRYPTO_NONCE"), None);
    assert_eq!(record.field("CRYPTO_CLIENT_OID"), None);
    let all = proxy.texts().concat();
    assert!(
        !all.contains("event=signing") && !all.contains("sts_len="),
        "{all}"
    );
}
