//! Refusals of known callers, however many, cost no other call its record, are exactly counted, and stay explainable.

use std::{path::Path, sync::Arc, time::Instant};

use crypto_proxy::{config::Config, telemetry::Captured};
use diagnosis::history::{FILE_NAME, Filter, Questions};
use gateway::{
    access::AccessRules,
    auth::Caller,
    policy::{Policy, Preset},
    secret::TokenDigest,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    PATIENCE, TestProxy,
    connection::order,
    counted, each,
    stream::{Socket, streaming},
};

const CREATE: &str = "private/create-order";
const EXPIRED: &str = "cpt_invented-token-of-an-expired-caller";
/// Refusals for one reason that have a record of their own in ten seconds.
const RECORDED: usize = 20;

/// With a further caller whose time is over.
fn with_an_expired_caller(config: &mut Config) {
    let policy = Policy {
        allow_classes: Preset::Trade.classes().iter().copied().collect(),
        access: AccessRules {
            expires_ms: Some(1),
            ..AccessRules::default()
        },
        ..Policy::nothing()
    };
    let caller = Arc::new(Caller {
        name: "lapsed".into(),
        policy,
    });
    let digest = TokenDigest::of(EXPIRED.as_bytes());
    config.callers = std::mem::take(&mut config.callers).with_token(digest, caller);
}

async fn start(dir: &Path) -> TestProxy {
    let dir = dir.to_owned();
    let change = move |config: &mut Config| {
        config.state_dir = Some(dir);
        config.history.max_calls = 1000;
        with_an_expired_caller(config);
    };
    TestProxy::builder().plan(change).start().await
}

/// What the log says of a caller's refusals: those with a line of their own, and the sum of the others.
fn refusals(lines: &Captured, caller: &str) -> (usize, u64) {
    let texts = lines.lines();
    let texts: Vec<&str> = texts
        .iter()
        .map(|line| line.text())
        .filter(|text| text.contains(&format!(" caller={caller} ")))
        .collect();
    let is_refused = |text: &&&str| text.contains("event=call ") && text.contains("=refused");
    let own = texts.iter().filter(is_refused).count();
    (own, texts.iter().filter_map(|text| counted(text)).sum())
}

/// The issue's figure was 42,000 a second for 42 s; this is the same with a history of 1,000 calls.
#[tokio::test]
async fn the_records_of_orders_outlive_a_flood_of_refusals_which_are_exactly_counted() {
    const ORDERS: usize = 10;
    const FLOOD: usize = 4000;
    let dir = TempDir::new().unwrap();
    let proxy = start(dir.path()).await;
    let refused = proxy
        .request(CREATE, &order("lapsed-1"))
        .replace(&*proxy.canaries.token, EXPIRED);
    let (mut hostile, mut honest) = (proxy.connect().await, proxy.connect().await);
    let began = Instant::now();
    for number in 0..ORDERS {
        let request = proxy.request(CREATE, &order(&format!("kept-{number}")));
        honest.write(&request).await;
        assert_eq!(honest.answer().await.outcome(), "answered");
        for _ in 0..FLOOD / ORDERS {
            hostile.write(&refused).await;
            let answer = hostile.answer().await;
            assert_eq!((answer.status, answer.outcome().as_str()), (403, "refused"));
        }
    }
    let took = began.elapsed();
    let (_, lines) = proxy.stop().await;
    let (own, further) = refusals(&lines, "lapsed");
    let of_flood = |text: &&str| text.contains("caller=lapsed");
    let texts = lines.lines();
    let texts = texts.iter().map(|line| line.text()).filter(of_flood);
    let bytes: usize = texts.map(str::len).sum();
    let questions = Questions::open(&dir.path().join(FILE_NAME)).unwrap();
    let of = |caller: &str| Filter {
        caller: Some(caller.to_owned()),
        ..Filter::default()
    };
    let [orders, rows] = ["default", "lapsed"].map(|caller| questions.calls(&of(caller)).unwrap());
    println!(
        "{FLOOD} refusals in {took:?}: {bytes} bytes of log, {} rows, {} of {ORDERS} orders kept",
        rows.len(),
        orders.len()
    );
    assert_eq!(
        own as u64 + further,
        FLOOD as u64,
        "the log counts each once"
    );
    let windows = usize::try_from(took.as_secs()).unwrap() / 10 + 2;
    assert!(
        own <= RECORDED * windows,
        "{own} lines in {windows} windows"
    );
    assert!(bytes < 10_000 * windows, "{bytes} bytes");
    assert_eq!(orders.len(), ORDERS, "every order is in the history");
    let kept = |row: &diagnosis::history::CallRow| row.why.as_deref() == Some("expired");
    assert!(rows.len() == own && rows.iter().all(kept), "{rows:?}");
    let counted = questions.refused_calls(&of("lapsed")).unwrap();
    let sum: u64 = counted.iter().map(|row| row.count).sum();
    assert_eq!(sum, further, "and so does the history: {counted:?}");
    let all = questions.refused_here(0).unwrap();
    assert_eq!(all, FLOOD as u64);
}

/// One way to be refused, as often as one likes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A request, and whether the proxy stops.
    Request(&'static str, &'static str, bool),
    /// A request whose caller hangs up before its body is there.
    HangUp,
    /// A frame of a stream.
    Frame(&'static str),
}

#[tokio::test]
async fn every_way_to_be_refused_costs_a_few_lines_and_is_exactly_counted() {
    const TIMES: usize = 100;
    let withdrawal = r#"{"method":"private/create-withdrawal","params":{}}"#;
    let v1 = "/exchange/v1/private/create-withdrawal";
    let ways = [
        Way::Request("/proxy/private", withdrawal, false),
        Way::Request("/proxy/private", withdrawal, true),
        Way::Request("/proxy/private", "{}", false),
        Way::Request("/proxy/private", "no json", false),
        Way::Request(
            v1,
            r#"{"id":1,"method":"private/create-withdrawal","params":{}}"#,
            false,
        ),
        Way::Request(
            v1,
            r#"{"id":1,"method":"private/create-order","params":{}}"#,
            false,
        ),
        Way::Request(v1, "no json", false),
        Way::HangUp,
        Way::Frame(r#"{"id":1,"method":"private/create-withdrawal","params":{}}"#),
        Way::Frame(r#"{"id":1,"method":"private/create-order","params":{"a":{"b":1,"b":2}}}"#),
        Way::Frame(r#"{"id":1,"method":"subscribe","params":{"channels":["book.BTC_USD"]}}"#),
        Way::Frame("no json"),
    ];
    each(ways, async |way| {
        let began = Instant::now();
        let proxy = streaming(|_| {}).await;
        let mut caller = "default";
        match way {
            Way::Request(path, body, stopping) => {
                let head = proxy.head(body.len(), "").replace("/proxy/private", path);
                let mut connection = proxy.connect().await;
                connection
                    .write(&proxy.request("private/user-balance", &json!({})))
                    .await;
                assert_eq!(connection.answer().await.status, 200);
                if stopping {
                    proxy.gateway.drain();
                }
                for _ in 0..TIMES {
                    connection.write(&format!("{head}{body}")).await;
                    let answer = connection.answer().await;
                    assert_eq!(answer.outcome(), "refused", "{}", answer.text());
                }
            }
            Way::HangUp => {
                for _ in 0..TIMES {
                    let mut connection = proxy.connect().await;
                    connection
                        .write(&proxy.head(10, "expect: 100-continue\r\n"))
                        .await;
                    connection.wait_continue().await;
                }
                let all = async {
                    while proxy.refusals_counted() < TIMES - 2 * RECORDED {
                        proxy.settle().await;
                    }
                };
                tokio::time::timeout(PATIENCE, all).await.unwrap();
            }
            Way::Frame(text) => {
                caller = "bot";
                let mut socket = Socket::bot(&proxy).await;
                for _ in 0..TIMES {
                    socket.send_text(text).await;
                    assert_ne!(socket.next().await["code"], Value::from(0));
                }
            }
        }
        let windows = usize::try_from(began.elapsed().as_secs()).unwrap() / 10 + 2;
        proxy.scan_lines();
        let (_, lines) = proxy.stop().await;
        let (own, further) = refusals(&lines, caller);
        assert_eq!(own as u64 + further, TIMES as u64);
        assert!(
            own <= RECORDED * windows,
            "{own} lines in {windows} windows"
        );
    })
    .await;
}
