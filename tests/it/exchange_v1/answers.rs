//! What comes back: the exchange's own bytes, or our word on why there are none.

use std::time::Duration;

use gateway::policy::Preset;
use sandbox::{Canned, Fault};

use crate::support::{
    Answer, TestProxy,
    contract::{ORDER, READ, refusing_address},
    signing::{Pair, Unsigned, told},
    wire::{Script, Step, Wire},
};

/// What cryptocom-exchange 2.8.0 repeats by itself, up to five times.
const REPEATED_STATUSES: [u16; 6] = [408, 429, 500, 502, 503, 504];
const REPEATED_CODES: [i64; 6] = [40801, 42901, 10006, 50001, 120_009, 9_010_001];

async fn trading() -> (TestProxy, Pair) {
    (
        TestProxy::builder()
            .caller("trader", Preset::Trade)
            .start()
            .await,
        Pair::of("trader"),
    )
}

fn order(client_oid: &str) -> Unsigned {
    let params = r#"{"instrument_name":"BTC_USD","side":"BUY","type":"LIMIT","price":"1","quantity":"1","client_oid":"#;
    Unsigned::new(ORDER, &format!("{params}\"{client_oid}\"}}"))
}

fn assert_record(proxy: &TestProxy, answer: &Answer, outcome: &str) {
    let line = proxy.record(answer);
    let status = answer.status.to_string();
    assert_eq!(
        (answer.outcome().as_str(), line.field("CRYPTO_OUTCOME")),
        (outcome, Some(outcome)),
        "{}",
        line.text()
    );
    assert_eq!(
        line.field("CRYPTO_STATUS"),
        Some(&*status),
        "{}",
        line.text()
    );
}

#[tokio::test]
async fn status_content_type_and_bytes_of_the_exchange_are_passed_on_untouched() {
    let (proxy, pair) = trading().await;
    let odd = b"{ \"code\" : 306 ,\"code\":306, \"message\":\"\\u0041\", \"x\":1.0e5 }".to_vec();
    let cases = [
        (500, "application/json; charset=UTF-8", odd, "answered"),
        (
            400,
            "application/json",
            br#"{"code":"40101"}"#.to_vec(),
            "answered",
        ),
        (
            200,
            "application/problem+json",
            br#"{"id":1}"#.to_vec(),
            "unknown",
        ),
        (
            502,
            "text/html",
            b"<html>\xff\xfe</html>".to_vec(),
            "unknown",
        ),
        (429, "text/plain", Vec::new(), "unknown"),
    ];
    for (status, content_type, body, outcome) in cases {
        proxy.exchange().script(
            READ,
            Fault::reply(Canned::new(status, content_type, body.clone())),
        );
        let answer = proxy.signed(&pair, &Unsigned::new(READ, "{}")).await;
        assert_eq!((answer.status, &answer.body), (status, &body));
        assert_eq!(answer.header("content-type").as_deref(), Some(content_type));
        let closed = answer.header("content-security-policy").is_some();
        assert_eq!(
            closed,
            !content_type.contains("json"),
            "what is no JSON is nothing that a browser may run"
        );
        assert_record(&proxy, &answer, outcome);
    }
}

#[tokio::test]
async fn an_echo_of_the_request_leaves_without_our_key_and_signature() {
    let wire = Wire::start(vec![Script::plain(vec![Step::Request, Step::ReplyTo])]).await;
    let proxy = TestProxy::builder()
        .base(wire.base())
        .caller("trader", Preset::Trade)
        .start()
        .await;
    let answer = proxy
        .signed(&Pair::of("trader"), &Unsigned::new(READ, "{}"))
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.json()["original"]["api_key"],
        "*".repeat(proxy.canaries.key.len())
    );
    assert!(!answer.text().contains(&wire.requests()[0].signature()));
    assert!(proxy.record(&answer).text().contains(" scrubbed "));
}

// Issue 10, row 13.
#[tokio::test]
async fn a_content_type_that_holds_our_key_or_is_no_plain_text_is_replaced() {
    let (proxy, pair) = trading().await;
    let key = proxy.canaries.key.clone();
    let octets = "application/octet-stream";
    for (content_type, passed_on, scrubbed) in [
        (
            "application/json; charset=utf-8".to_owned(),
            "application/json; charset=utf-8",
            false,
        ),
        (
            format!("application/json; a={key}"),
            "application/json",
            true,
        ),
        (
            format!("application/json; a={}", hex::encode(&key)),
            "application/json",
            true,
        ),
        (format!("text/{key}"), octets, true),
        (format!("text/{}", key.to_uppercase()), octets, true),
        (
            "application/json;\ta=1".to_owned(),
            "application/json",
            false,
        ),
        ("text/html; a=\u{e9}".to_owned(), octets, false),
        (format!("text/html; a={}", "x".repeat(300)), octets, false),
    ] {
        let body = r#"{"code":0}"#;
        proxy
            .exchange()
            .script(READ, Fault::reply(Canned::new(200, &content_type, body)));
        let answer = proxy.signed(&pair, &Unsigned::new(READ, "{}")).await;
        assert_eq!(
            (answer.status, answer.header("content-type").as_deref()),
            (200, Some(passed_on)),
            "{content_type}"
        );
        assert_eq!(answer.text(), body);
        assert_eq!(
            proxy.record(&answer).text().contains(" scrubbed"),
            scrubbed,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn our_own_unknown_is_told_by_a_status_and_a_code_that_no_tested_client_repeats() {
    let (proxy, pair) = trading().await;
    let faults = [
        Fault::cut_after(),
        Fault::reset_after(),
        Fault::reply(Canned::json(200, "{\"code\":0")),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        proxy.exchange().script(ORDER, fault);
        let oid = format!("mine-{number}");
        let answer = proxy.signed(&pair, &order(&oid)).await;
        let (status, code, message) = told(&answer);
        assert_eq!((status, code), (400, 40006));
        assert!(!REPEATED_STATUSES.contains(&status) && !REPEATED_CODES.contains(&code));
        for part in [
            "UNKNOWN OUTCOME",
            "may have been executed",
            &oid,
            "private/get-order-detail",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(answer.header("x-proxy-client-oid").as_deref(), Some(&*oid));
        assert_eq!(answer.json()["method"], ORDER);
        assert_record(&proxy, &answer, "unknown");
        assert_eq!(
            proxy.exchange().count(ORDER),
            u64::try_from(number).unwrap() + 1
        );
    }
}

#[tokio::test]
async fn an_answer_that_leaves_an_order_open_is_told_as_our_own_unknown_because_clients_would_repeat_the_order()
 {
    let (proxy, pair) = trading().await;
    let html = Canned::html(502, "<html>");
    let faults = [
        (Fault::code(50001).after(), "50001"),
        (Fault::code(40801).after(), "40801"),
    ];
    let faults = faults
        .into_iter()
        .chain([(Fault::reply(html).after(), "502 without a code")]);
    for (number, (fault, said)) in faults.enumerate() {
        proxy.exchange().script(ORDER, fault);
        let answer = proxy.signed(&pair, &order(&format!("open-{number}"))).await;
        let (status, code, message) = told(&answer);
        assert_eq!((status, code), (400, 40006));
        for part in [
            "UNKNOWN OUTCOME",
            said,
            &format!("open-{number}"),
            "private/get-order-detail",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let line = proxy.record(&answer);
        assert_eq!(
            (answer.outcome().as_str(), line.field("CRYPTO_OUTCOME")),
            ("unknown", Some("unknown"))
        );
        assert_eq!(
            line.field("CRYPTO_WHY"),
            Some("inconclusive_answer"),
            "{}",
            line.text()
        );
    }
    assert_eq!(proxy.exchange().orders_placed(), 3);
}

#[tokio::test]
async fn an_answer_comes_before_clients_give_up_and_send_again() {
    let default = crypto_proxy::http::ExchangeApiSettings::default();
    assert!(
        default.deadline <= Duration::from_millis(4500),
        "cryptocom-exchange waits 5 s"
    );
    let builder = TestProxy::builder().caller("trader", Preset::Trade);
    let proxy = builder
        .plan(|plan| plan.http.exchange_v1.deadline = Duration::from_millis(300))
        .start()
        .await;
    proxy.exchange().script(ORDER, Fault::hang_after());
    let answer = proxy.signed(&Pair::of("trader"), &order("late-1")).await;
    assert_eq!((told(&answer).0, told(&answer).1), (400, 40006));
    assert!(
        told(&answer).2.contains("no complete answer within 300ms"),
        "{}",
        answer.text()
    );
    assert_eq!(
        (
            proxy.exchange().count(ORDER),
            proxy.record(&answer).field("CRYPTO_WHY")
        ),
        (1, Some("deadline"))
    );
}

#[tokio::test]
async fn what_was_not_sent_may_be_sent_again() {
    let (_socket, address) = refusing_address();
    let base = format!("http://{address}/exchange/v1");
    let proxy = TestProxy::builder()
        .base(base)
        .caller("trader", Preset::Trade)
        .start()
        .await;
    let answer = proxy.signed(&Pair::of("trader"), &order("never-1")).await;
    let (status, code, message) = told(&answer);
    assert_eq!((status, code), (503, 9_010_001));
    assert!(message.starts_with("Not sent: "), "{message}");
    assert_eq!(answer.header("x-proxy-client-oid"), None);
    assert_record(&proxy, &answer, "not_sent");
}

#[tokio::test]
async fn without_room_and_while_stopping_a_call_is_refused_as_one_too_many() {
    let builder = TestProxy::builder()
        .caller("trader", Preset::Trade)
        .plan(|plan| plan.gateway.max_in_flight = 1);
    let proxy = builder.start().await;
    let pair = Pair::of("trader");
    proxy.exchange().script(ORDER, Fault::hang_after());
    let body = order("first-1").body(&pair);
    let request = crate::support::client().post(proxy.url(&format!("/exchange/v1/{ORDER}")));
    let first = tokio::spawn(
        request
            .header("content-type", "application/json")
            .body(body)
            .send(),
    );
    proxy.exchange().wait_received(ORDER, 1).await;
    let answer = proxy.signed(&pair, &order("second-1")).await;
    assert_eq!((told(&answer).0, told(&answer).1), (429, 42901));
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    assert_record(&proxy, &answer, "refused");
    proxy.gateway.drain();
    let answer = proxy.signed(&pair, &Unsigned::new(READ, "{}")).await;
    assert_eq!((told(&answer).0, told(&answer).1), (429, 42901));
    assert!(told(&answer).2.contains("stopping"), "{}", answer.text());
    proxy.exchange().release();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_known_caller_keeps_its_connection_and_nobody_else_does() {
    let (proxy, pair) = trading().await;
    let mut raw = proxy.raw().await;
    let request = |body: String| {
        format!(
            "POST /exchange/v1/{READ} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: \
             {}\r\n\r\n{body}",
            body.len()
        )
    };
    for _ in 0..2 {
        raw.write(request(Unsigned::new(READ, "{}").body(&pair)).as_bytes())
            .await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 200);
        proxy.check_exchange(&answer);
    }
    raw.write(request(Unsigned::new(READ, "{}").body(&pair.with_wrong_secret())).as_bytes())
        .await;
    assert_eq!(raw.answer().await.status, 401);
    assert!(raw.is_closed().await);
}
