//! Public methods: relayed unsigned, for those who may, within bounds.

use http::Method;
use sandbox::{Canned, Fault};
use serde_json::json;

use tokio::io::AsyncReadExt;

use crate::support::{
    Answer, PATIENCE, TestProxy, client,
    contract::refusing_address,
    downstream::Downstream,
    signing::{Pair, Unsigned, told},
    wire::{Script, Step, Wire, reply},
};

const TICKERS: &str = "public/get-tickers";
const RATE: &str = "public/staking/get-conversion-rate";

async fn get(proxy: &TestProxy, path: &str) -> Answer {
    proxy
        .ask(client().get(proxy.url(&format!("/exchange/v1/{path}"))))
        .await
}

#[tokio::test]
async fn a_public_method_is_relayed_with_its_query_as_it_came_and_without_the_clients_headers() {
    let wire = Wire::start(vec![Script::plain(vec![
        Step::Request,
        Step::Write(reply::good()),
        Step::Fin,
    ])])
    .await;
    let proxy = TestProxy::builder().base(wire.base()).start().await;
    let query = "instrument_name=BTC_USD&b=%e6%97%A5+x&a=1&&c";
    let request = client().get(proxy.url(&format!("/exchange/v1/{TICKERS}?{query}")));
    let answer = proxy
        .ask(
            request
                .header("cookie", "a=b")
                .header("x-custom", "mine")
                .header("user-agent", "x"),
        )
        .await;
    assert_eq!(
        (answer.status, answer.json()["code"].clone()),
        (200, json!(0))
    );
    let head = wire.requests()[0].head.to_ascii_lowercase();
    assert!(
        head.starts_with(
            &format!("get /exchange/v1/{TICKERS}?{query} http/1.1\r\n").to_ascii_lowercase()
        ),
        "{head}"
    );
    assert!(
        !head.contains("cookie")
            && !head.contains("x-custom")
            && !head.contains("\r\nuser-agent: x\r\n"),
        "{head}"
    );
    assert!(wire.requests()[0].body.is_empty());
}

#[tokio::test]
async fn an_answer_of_the_exchange_comes_back_as_it_came_however_long() {
    let proxy = TestProxy::start().await;
    let long = format!(r#"{{"code":0,"x":"{}"}}"#, "x".repeat(3 << 20));
    proxy.exchange().script(
        "public/get-instruments",
        Fault::reply(Canned::json(200, long.clone())),
    );
    let answer = get(&proxy, "public/get-instruments").await;
    assert_eq!((answer.status, answer.text() == long), (200, true));
    proxy.exchange().script(
        TICKERS,
        Fault::reply(Canned::new(503, "text/html", "<html>")),
    );
    let answer = get(&proxy, TICKERS).await;
    assert_eq!(
        (
            answer.status,
            answer.text(),
            answer.header("content-type").as_deref()
        ),
        (503, "<html>", Some("text/html"))
    );
    let too_long = format!(r#"{{"code":0,"x":"{}"}}"#, "x".repeat(5 << 20));
    proxy
        .exchange()
        .script(TICKERS, Fault::reply(Canned::json(200, too_long)));
    assert_eq!(told(&get(&proxy, TICKERS).await).1, 9_010_001);
}

#[tokio::test]
async fn only_methods_of_the_catalogue_are_relayed() {
    let proxy = TestProxy::start().await;
    for path in [
        "public/get-nothing",
        "public/auth",
        "public/../private/user-balance",
        "public/get-tickers/",
        "public/",
    ] {
        let mut raw = proxy.raw().await;
        raw.write(
            format!("GET /exchange/v1/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").as_bytes(),
        )
        .await;
        let answer = raw.answer().await;
        proxy.check_exchange(&answer);
        assert_eq!((answer.status, told(&answer).1), (404, 40002), "{path}");
    }
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn a_query_that_is_too_long_or_not_encoded_is_refused() {
    let proxy = TestProxy::start().await;
    let long = "x".repeat(2049);
    for query in [&*long, "a=\"", "a=<b>", "a='b'", "a={}", "a=\u{e9}"] {
        let mut raw = proxy.raw().await;
        raw.write(
            format!("GET /exchange/v1/{TICKERS}?{query} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                .as_bytes(),
        )
        .await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 400, "{query}");
        if !answer.body.is_empty() {
            assert_eq!(told(&answer).1, 40004, "{query}");
        }
    }
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn the_one_method_that_is_posted_goes_on_without_key_and_signature() {
    let wire = Wire::start(vec![Script::plain(vec![
        Step::Request,
        Step::Write(reply::good()),
        Step::Fin,
    ])])
    .await;
    let proxy = TestProxy::builder().base(wire.base()).start().await;
    let params = r#"{ "instrument_name":"CDCETH" }"#;
    let body = Unsigned {
        id: "77".to_owned(),
        ..Unsigned::new(RATE, params)
    }
    .body(&Pair::of("anybody"));
    assert_eq!(proxy.post_exchange(RATE, body).await.status, 200);
    let sent = String::from_utf8(wire.requests()[0].body.clone()).unwrap();
    assert_eq!(
        sent,
        format!(r#"{{"id":77,"method":"{RATE}","params":{params}}}"#)
    );
    let other = proxy
        .post_exchange(RATE, r#"{"method":"private/create-order","params":{}}"#)
        .await;
    assert_eq!((other.status, told(&other).1), (400, 40003));
    let verb = get(&proxy, RATE).await;
    assert_eq!(
        (verb.status, verb.header("allow").as_deref()),
        (405, Some("POST"))
    );
    assert_eq!(wire.begun(), 1);
}

#[tokio::test]
async fn each_source_has_a_budget() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.http.exchange_v1.public_calls_per_s = 1)
        .start()
        .await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let answer = get(&proxy, TICKERS).await;
        if answer.status == 429 {
            assert_eq!(
                (told(&answer).1, answer.header("retry-after").as_deref()),
                (42901, Some("1"))
            );
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&429), "{statuses:?}");
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(
        proxy.told_refusals("status=429 why=public_budget"),
        u64::try_from(refused).unwrap()
    );
    assert_eq!(
        proxy.upstream_requests(),
        u64::try_from(statuses.len() - refused).unwrap()
    );
}

#[tokio::test]
async fn where_networks_are_listed_public_calls_are_for_them_alone() {
    let listed = |networks: &'static [&'static str]| {
        let networks: Vec<_> = networks
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
        TestProxy::builder().plan(move |plan| plan.http.exchange_v1.public_sources = networks)
    };
    let proxy = listed(&["127.0.0.0/8"]).start().await;
    assert_eq!(get(&proxy, TICKERS).await.status, 200);
    let proxy = listed(&["192.0.2.0/24", "2001:db8::/32"]).start().await;
    let answer = get(&proxy, TICKERS).await;
    assert_eq!((answer.status, told(&answer).1), (403, 10005));
    assert!(
        told(&answer).2.contains("public.sources"),
        "{}",
        answer.text()
    );
    assert_eq!(
        (
            proxy.told_refusals("status=403 why=public_closed"),
            proxy.upstream_requests()
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn beyond_this_machine_public_calls_are_off_until_networks_are_listed() {
    use crypto_proxy::server::Address;
    let everywhere = || vec![Address::Tcp(([0, 0, 0, 0], 0).into())];
    let start = |networks: &[&str]| {
        let networks: Vec<_> = networks
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
        TestProxy::builder().plan(move |plan| {
            plan.server.listen = everywhere();
            plan.http.exchange_v1.public_sources = networks;
        })
    };
    for (networks, status) in [(&[][..], 403), (&["127.0.0.1/32"][..], 200)] {
        let proxy = start(networks).start().await;
        let port = proxy.address().port();
        let answer = proxy
            .ask(client().get(format!("http://127.0.0.1:{port}/exchange/v1/{TICKERS}")))
            .await;
        assert_eq!(answer.status, status, "{networks:?}");
    }
}

#[tokio::test]
async fn what_fails_on_the_way_is_told_and_counted() {
    let (_socket, address) = refusing_address();
    let proxy = TestProxy::builder()
        .base(format!("http://{address}/exchange/v1"))
        .start()
        .await;
    let answer = get(&proxy, TICKERS).await;
    let (status, code, message) = told(&answer);
    assert_eq!((status, code), (503, 9_010_001));
    assert!(message.contains("no connection"), "{message}");
    let (_, lines) = proxy.stop().await;
    let counted = |line: &crypto_proxy::telemetry::Line| {
        line.text() == "event=public count=1 failed=1 from=127.0.0.1"
    };
    assert!(lines.lines().iter().any(counted), "{:?}", lines.lines());
}

#[tokio::test]
async fn a_browsers_page_gets_nothing_and_a_head_request_neither() {
    let proxy = TestProxy::start().await;
    let url = proxy.url(&format!("/exchange/v1/{TICKERS}"));
    let answer = proxy
        .ask(client().get(&url).header("origin", "http://evil.example"))
        .await;
    assert_eq!((answer.status, told(&answer).1), (403, 10005));
    let head = client().request(Method::HEAD, &url).send().await.unwrap();
    assert_eq!(head.status(), 405);
    assert_eq!(proxy.upstream_requests(), 0);
}

// Issue 10, row 13: `<img src>` and no-cors requests carry no Origin.
#[tokio::test]
async fn what_another_site_makes_a_browser_fetch_is_refused_and_programs_and_people_are_served() {
    let proxy = TestProxy::start().await;
    let url = proxy.url(&format!("/exchange/v1/{TICKERS}"));
    for (site, served) in [
        (Some("cross-site"), false),
        (Some("same-site"), false),
        (Some("something-new"), false),
        (Some("same-origin"), true),
        (Some("none"), true),
        (None, true),
    ] {
        let mut request = client().get(&url);
        if let Some(site) = site {
            request = request
                .header("sec-fetch-site", site)
                .header("sec-fetch-mode", "no-cors")
                .header("sec-fetch-dest", "image");
        }
        let answer = proxy.ask(request).await;
        if served {
            assert_eq!(answer.status, 200, "{site:?}");
        } else {
            let (status, code, message) = told(&answer);
            assert_eq!((status, code), (403, 10005), "{site:?}");
            assert!(message.contains("another site"), "{message}");
        }
    }
    assert_eq!(proxy.upstream_requests(), 3);
    assert_eq!(proxy.told_refusals("status=403 why=origin"), 3);
}

// Issue 10, row 3: 126 such readers were an OOM kill in 2.8 s.
#[tokio::test]
async fn strangers_who_do_not_read_hold_bounded_bytes_and_the_next_are_refused() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.http.exchange_v1.public_calls_per_s = 10_000)
        .start()
        .await;
    let long = format!(r#"{{"code":0,"x":"{}"}}"#, "x".repeat((4 << 20) - 100));
    for _ in 0..8 {
        let fault = Fault::reply(Canned::json(200, long.clone()));
        proxy.exchange().script("public/get-instruments", fault);
    }
    let mut readers = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..130 {
        let mut reader = Downstream::connect_narrow(proxy.address()).await;
        reader
            .write("GET /exchange/v1/public/get-instruments HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            .await;
        let mut line = [0; 12];
        tokio::time::timeout(PATIENCE, reader.stream.read_exact(&mut line))
            .await
            .expect("an answer in time")
            .expect("an answer");
        statuses.push(String::from_utf8_lossy(&line[9..]).into_owned());
        readers.push(reader);
    }
    // 16 MiB for one source: four whole answers, and no fifth.
    let count = |status: &str| statuses.iter().filter(|one| *one == status).count();
    assert_eq!((count("200"), count("429")), (4, 126), "{statuses:?}");
    assert_eq!(
        proxy.call_text("private/user-balance", "{}").await.status,
        200
    );
    assert_eq!(proxy.told_refusals("status=429 why=unread"), 126);
    drop(readers);
    let mut answer = get(&proxy, TICKERS).await;
    for _ in 0..1000 {
        if answer.status == 200 {
            break;
        }
        answer = get(&proxy, TICKERS).await;
    }
    assert_eq!(answer.status, 200, "the bytes were given back");
}
