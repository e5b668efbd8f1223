//! What somebody costs who is not known yet.

use std::time::{Duration, Instant};

use gateway::policy::Preset;

use crate::support::{
    PATIENCE, TestProxy, client,
    contract::READ,
    raw::Raw,
    signing::{Pair, Unsigned, told},
};

const HEAD: &str = "POST /exchange/v1/private/user-balance HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
/// Half of all places, for one source.
const PLACES: usize = 32;

#[tokio::test]
async fn bodies_of_unknown_senders_are_short_and_those_with_a_token_as_long_as_configured() {
    let proxy = TestProxy::builder()
        .caller("trader", Preset::Trade)
        .start()
        .await;
    let params = |length: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(length));
    let long = Unsigned::new(READ, &params(33 << 10)).body(&Pair::of("trader"));
    let answer = proxy.post_exchange(READ, long.clone()).await;
    assert_eq!((answer.status, told(&answer).1), (413, 40003));
    let chunked = proxy.send_chunked(&long).await;
    assert_eq!(chunked.status, 413);
    let request = client()
        .post(proxy.url(&format!("/exchange/v1/{READ}")))
        .header("content-type", "application/json");
    let answer = proxy
        .ask(
            request
                .header("x-proxy-token", &proxy.canaries.token)
                .body(long),
        )
        .await;
    assert_eq!(answer.status, 200);
    let fitting = Unsigned::new(READ, &params(31 << 10));
    assert_eq!(
        proxy.signed(&Pair::of("trader"), &fitting).await.status,
        200
    );
}

#[tokio::test]
async fn a_flood_of_bodies_that_do_not_arrive_takes_a_bounded_number_of_places() {
    let proxy = TestProxy::builder()
        .caller("trader", Preset::Trade)
        .start()
        .await;
    let mut slow: Vec<Raw> = Vec::new();
    for _ in 0..PLACES {
        let mut raw = proxy.raw().await;
        raw.write(format!("{HEAD}content-length: 100\r\n\r\n{{").as_bytes())
            .await;
        slow.push(raw);
    }
    proxy.settle().await;
    let mut raw = proxy.raw().await;
    raw.write(format!("{HEAD}content-length: 100\r\n\r\n{{").as_bytes())
        .await;
    let answer = raw.answer().await;
    proxy.check_exchange(&answer);
    assert_eq!(
        (
            answer.status,
            told(&answer).1,
            answer.header("retry-after").as_deref()
        ),
        (429, 42901, Some("1"))
    );
    assert_eq!(proxy.told_refusals("status=429 why=unverified"), 1);
    // Whoever shows a token is known without a place, and a request that arrives whole needs none.
    assert_eq!(proxy.call_text(READ, "{}").await.status, 200);
    assert_eq!(
        proxy
            .signed(&Pair::of("trader"), &Unsigned::new(READ, "{}"))
            .await
            .status,
        200
    );
    for mut raw in slow {
        let answer = raw.answer().await;
        assert_eq!(
            (answer.status, told(&answer).1),
            (400, 40003),
            "given up after two seconds: {}",
            answer.text()
        );
    }
    assert_eq!(
        proxy
            .signed(&Pair::of("trader"), &Unsigned::new(READ, "{}"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_time_for_an_answer_counts_from_the_arrival_and_where_too_little_is_left_nothing_is_sent()
 {
    let builder = TestProxy::builder().caller("trader", Preset::Trade);
    let proxy = builder
        .plan(|plan| plan.http.exchange_v1.deadline = Duration::ZERO)
        .start()
        .await;
    let answer = proxy
        .signed(&Pair::of("trader"), &Unsigned::new(READ, "{}"))
        .await;
    assert_eq!(
        (answer.status, told(&answer).1, answer.outcome().as_str()),
        (429, 42901, "refused")
    );
    assert_eq!(proxy.exchange().total().received, 0);
    proxy
        .wait_line(&[
            "event=call FAIL",
            "caller=trader",
            "outcome=refused",
            "why=late",
        ])
        .await;
}

#[tokio::test]
async fn a_place_is_given_back_when_its_sender_leaves() {
    let builder = TestProxy::builder().caller("trader", Preset::Trade);
    let proxy = builder
        .plan(|plan| plan.http.body_deadline = PATIENCE)
        .start()
        .await;
    for _ in 0..3 {
        let mut slow: Vec<Raw> = Vec::new();
        for _ in 0..PLACES {
            let mut raw = proxy.raw().await;
            raw.write(format!("{HEAD}content-length: 100\r\n\r\n{{").as_bytes())
                .await;
            slow.push(raw);
        }
        proxy.settle().await;
        drop(slow);
        proxy.settle().await;
        assert_eq!(
            proxy
                .signed(&Pair::of("trader"), &Unsigned::new(READ, "{}"))
                .await
                .status,
            200
        );
    }
}

/// 32 KiB of nested lists, signed with a key that nobody has.
fn nested(number: usize) -> String {
    let pair = Pair::of("nobody").with_key(&format!("cpvk_{number:024x}_1"));
    let params = format!(r#"{{"a":[{}[]]}}"#, "[[[[[[]]]]]],".repeat(2400));
    Unsigned::new(READ, &params).body(&pair)
}

#[tokio::test]
async fn long_bodies_of_strangers_do_not_delay_whoever_is_known() {
    const STRANGERS: usize = 300;
    let proxy = TestProxy::builder()
        .caller("trader", Preset::Trade)
        .start()
        .await;
    let mut strangers = Vec::new();
    for number in 0..STRANGERS {
        let body = nested(number);
        let mut raw = proxy.raw().await;
        raw.write(format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())
            .await;
        strangers.push(raw);
    }
    let asked = Instant::now();
    assert_eq!(proxy.call_text(READ, "{}").await.status, 200);
    let call = Unsigned::new(READ, "{}");
    assert_eq!(proxy.signed(&Pair::of("trader"), &call).await.status, 200);
    assert!(asked.elapsed() < Duration::from_secs(2));
    let mut told_so = [0, 0];
    for mut raw in strangers {
        let answer = raw.answer().await;
        proxy.check_exchange(&answer);
        match told(&answer) {
            (400, 40004, _) => told_so[0] += 1,
            (429, 42901, _) => told_so[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told_so[0] + told_so[1], STRANGERS);
    let counted = proxy.told_refusals("status=400 why=params_size")
        + proxy.told_refusals("status=429 why=unverified");
    assert_eq!(counted, STRANGERS as u64);
    assert_eq!(proxy.upstream_requests(), 2);
}

#[tokio::test]
async fn a_long_list_of_orders_is_believed_like_a_short_call() {
    let proxy = TestProxy::builder()
        .caller("trader", Preset::Trade)
        .start()
        .await;
    let order = r#"{"instrument_name":"BTC_USD","side":"BUY","type":"LIMIT","price":"50000.5","quantity":"0.0123","client_oid":"NAME","exec_inst":"POST_ONLY","time_in_force":"GOOD_TILL_CANCEL"}"#;
    let orders: Vec<_> = (0..10)
        .map(|number| order.replace("NAME", &format!("a-name-of-an-order-{number}")))
        .collect();
    let params = format!(
        r#"{{"contingency_type":"LIST","order_list":[{}]}}"#,
        orders.join(",")
    );
    let call = Unsigned::new("private/create-order-list", &params);
    let pair = Pair::of("trader");
    assert!(call.body(&pair).len() > 1 << 10);
    let post = |pair: Pair| proxy.post_exchange(&call.method, call.body(&pair));
    let wrong = post(pair.with_wrong_secret()).await;
    let unknown = post(pair.with_key("cpvk_0f0102030405060708090a0b_1")).await;
    assert_eq!(told(&wrong), told(&unknown));
    assert_eq!(told(&wrong).1, 40101);
    let answer = proxy.signed(&pair, &call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let again = post(pair.clone()).await;
    assert_eq!(again.text(), answer.text(), "its orders have names");
    assert_eq!(again.header("x-proxy-replayed").as_deref(), Some("true"));
    assert_eq!(proxy.exchange().count("private/create-order-list"), 1);
}

impl TestProxy {
    async fn send_chunked(&self, body: &str) -> crate::support::Answer {
        let mut raw = self.raw().await;
        raw.write(
            format!(
                "{HEAD}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        )
        .await;
        tokio::time::timeout(Duration::from_secs(10), raw.answer())
            .await
            .expect("an answer")
    }
}
