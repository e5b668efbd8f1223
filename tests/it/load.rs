//! Many callers at once: nothing lost, nothing doubled, nothing mixed up, and `/health` answers whatever happens.
//!
//! `LOAD_CALLS` sets the number of calls through the door (5,000 where it is not set).

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use sandbox::Fault;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet};

use crate::support::{
    Answer, TestProxy,
    connection::{Connection, get, order},
    threaded,
};

const CALLERS: usize = 64;
const CREATE: &str = "private/create-order";
const BALANCE: &str = "private/user-balance";
const DETAIL: &str = "private/get-order-detail";

/// What the caller of this number asks for, in turn.
fn request(number: usize) -> (&'static str, Value) {
    match number % 4 {
        0 => (BALANCE, json!({})),
        1 => (DETAIL, json!({ "client_oid": format!("none-{number}") })),
        2 => (CREATE, order(&format!("load-{number}"))),
        _ => {
            let mut unnamed = order("");
            unnamed.as_object_mut().unwrap().remove("client_oid");
            (CREATE, unnamed)
        }
    }
}

/// Whether an answer belongs to the request of this number.
fn assert_belongs(number: usize, answer: &Answer) {
    assert_eq!(
        (answer.status, answer.outcome().as_str()),
        (200, "answered"),
        "{number}: {}",
        answer.text()
    );
    let inner = answer.inner();
    let (method, _) = request(number);
    assert_eq!(inner["method"], method, "{number}");
    match number % 4 {
        0 => assert!(inner["result"]["data"].is_array(), "{number}: {inner}"),
        1 => assert_ne!(inner["code"], 0, "{number}: there is no such order"),
        2 => assert_eq!(
            inner["result"]["client_oid"],
            format!("load-{number}"),
            "{inner}"
        ),
        _ => assert_eq!(inner["code"], 0, "{number}: {inner}"),
    }
}

// G5, and rule 6 of the house: one record per call.
#[test]
fn a_thousand_concurrent_calls_are_neither_lost_nor_doubled_nor_mixed_up() {
    let calls: usize = std::env::var("LOAD_CALLS")
        .ok()
        .and_then(|calls| calls.parse().ok())
        // However fast the machine: the nonce of a read may be a thousand milliseconds ahead, and further ones are refused.
        .unwrap_or(1000);
    let (runtime, proxy) =
        threaded(|builder| builder.plan(|plan| plan.gateway.signing_lines = false));
    let started = Instant::now();
    let answers = runtime.block_on(all_calls(&proxy, calls));
    let took = started.elapsed();
    assert_eq!(answers.len(), calls);
    assert_stand_in_saw_each_once(&proxy, &answers);
    assert_one_record_each(&proxy, &answers);
    println!(
        "{calls} calls by {CALLERS} callers took {took:?}, checking them {:?}",
        started.elapsed() - took
    );
}

/// Every caller keeps its connection and makes one call after the other.
async fn all_calls(proxy: &TestProxy, calls: usize) -> Vec<(usize, Answer)> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let requests: Vec<_> = (caller..calls)
            .step_by(CALLERS)
            .map(|number| (number, request(number)))
            .collect();
        let texts: Vec<_> = requests
            .iter()
            .map(|(number, (method, params))| (*number, proxy.request(method, params)))
            .collect();
        let address = proxy.address();
        callers.spawn(async move {
            let mut connection = Connection::tcp(address).await;
            let mut answers = Vec::new();
            for (number, text) in texts {
                connection.write(&text).await;
                let answer = connection.answer().await;
                assert_belongs(number, &answer);
                answers.push((number, answer));
            }
            answers
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

fn assert_stand_in_saw_each_once(proxy: &TestProxy, answers: &[(usize, Answer)]) {
    let received = proxy.exchange().received();
    assert_eq!(received.len(), answers.len(), "neither lost nor doubled");
    assert!(
        received.iter().all(|received| received.authenticated),
        "every signature and nonce was in order"
    );
    let bodies: Vec<Value> = received
        .iter()
        .map(|received| received.json().unwrap())
        .collect();
    let nonces: HashSet<u64> = bodies
        .iter()
        .map(|body| body["nonce"].as_u64().unwrap())
        .collect();
    assert_eq!(nonces.len(), answers.len(), "every nonce is used once");
    let oids: HashSet<&str> = bodies
        .iter()
        .filter_map(|body| body["params"]["client_oid"].as_str())
        .collect();
    let named = answers
        .iter()
        .filter(|(number, _)| matches!(number % 4, 1 | 2))
        .count();
    assert_eq!(oids.len(), named, "every caller's id arrived once");
    let orders = answers.iter().filter(|(number, _)| number % 4 >= 2).count();
    assert_eq!(proxy.exchange().orders_placed(), orders as u64);
}

fn assert_one_record_each(proxy: &TestProxy, answers: &[(usize, Answer)]) {
    let mut expected: HashSet<String> = answers
        .iter()
        .map(|(_, answer)| answer.header("x-request-id").unwrap())
        .collect();
    assert_eq!(
        expected.len(),
        answers.len(),
        "every request has an id of its own"
    );
    let lines = proxy.lines.lines();
    for line in lines
        .iter()
        .filter(|line| line.field("CRYPTO_EVENT") == Some("call"))
    {
        let rid = line.field("CRYPTO_RID").unwrap();
        assert!(
            expected.remove(rid),
            "a second record, or one of no call: {}",
            line.text()
        );
    }
    assert!(
        expected.is_empty(),
        "{} calls without a record",
        expected.len()
    );
    let texts: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {:?}", line.text(), line.fields().collect::<Vec<_>>()))
        .collect();
    let answered = answers.iter().map(|(_, answer)| answer.head_and_body());
    proxy.canaries.assert_absent_in_all(
        texts.into_iter().chain(answered),
        "a line or an answer of the load",
    );
}

/// Orders that the exchange has received and does not answer; `total` have come to it by then.
async fn hold(
    proxy: &TestProxy,
    name: &str,
    orders: usize,
    total: usize,
) -> Vec<Connection<TcpStream>> {
    proxy.exchange().script_always("*", Fault::hang_after());
    let mut held = Vec::new();
    for number in 0..orders {
        let mut caller = proxy.connect().await;
        caller
            .write(&proxy.request(CREATE, &order(&format!("{name}-{number}"))))
            .await;
        held.push(caller);
    }
    proxy.exchange().wait_received(CREATE, total as u64).await;
    assert_eq!(proxy.gateway.in_flight(), orders);
    held
}

async fn let_go(proxy: &TestProxy, held: Vec<Connection<TcpStream>>) {
    proxy.exchange().clear_script("*");
    proxy.exchange().release();
    for mut caller in held {
        assert_eq!(caller.answer().await.outcome(), "answered");
    }
}

/// How long `count` such requests take, each on a connection of its own.
async fn times(proxy: &TestProxy, count: usize, request: &str, status: u16) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let asked = Instant::now();
        let mut caller = proxy.connect().await;
        caller.write(request).await;
        let answer = caller.answer().await;
        times.push(asked.elapsed());
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    times
}

/// The median must keep the limit; the slowest may be ten times slower, because this machine runs other tests as well.
fn assert_quick(what: &str, limit: Duration, mut times: Vec<Duration>) {
    times.sort();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{what}: median {median:?}, slowest of {} {slowest:?}",
        times.len()
    );
    assert!(median < limit, "{what}: median {median:?}");
    assert!(slowest < limit * 10, "{what}: slowest {slowest:?}");
}

// `/health` is never behind the in-flight limit, and never behind the exchange.
#[test]
fn health_answers_at_once_while_the_exchange_hangs_and_the_house_is_full() {
    const FULL: usize = 256;
    let (runtime, proxy) =
        threaded(|builder| builder.plan(|plan| assert_eq!(plan.gateway.max_in_flight, FULL)));
    runtime.block_on(async {
        let held = hold(&proxy, "held", FULL, FULL).await;
        let times = times(&proxy, 500, &get("/health"), 200).await;
        assert_eq!(proxy.gateway.in_flight(), FULL, "all the while");
        let_go(&proxy, held).await;
        assert_quick(
            "/health with 256 calls under way",
            Duration::from_millis(50),
            times,
        );
    });
}

// Fault 67 and G7.
#[test]
fn calls_beyond_the_limit_are_refused_at_once_and_room_comes_back() {
    const LIMIT: usize = 8;
    let (runtime, proxy) =
        threaded(|builder| builder.plan(|plan| plan.gateway.max_in_flight = LIMIT));
    let one_more = proxy.request(CREATE, &order("one-more"));
    runtime.block_on(async {
        for round in 1..=3 {
            let held = hold(&proxy, &format!("room-{round}"), LIMIT, round * LIMIT).await;
            let times = times(&proxy, 100, &one_more, 503).await;
            let refused = proxy.call(CREATE, order("one-more")).await;
            assert_eq!(
                (refused.status, refused.outcome().as_str()),
                (503, "refused")
            );
            assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
            let_go(&proxy, held).await;
            assert_eq!(
                proxy.call(BALANCE, json!({})).await.outcome(),
                "answered",
                "room comes back"
            );
            assert_quick(
                "a refusal for want of room",
                Duration::from_millis(10),
                times,
            );
        }
    });
    assert_eq!(
        proxy.exchange().count(CREATE),
        3 * LIMIT as u64,
        "what is refused is not sent"
    );
    assert!(
        proxy
            .texts()
            .iter()
            .any(|text| text.contains("response_status=503 outcome=refused why=no_room"))
    );
}
