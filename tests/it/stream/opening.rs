//! Who may open a stream, and how.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crypto_proxy::http::Refused;
use futures_util::SinkExt;
use gateway::{
    auth::SignatureRejected, connect::Resolver, policy::Policy, stream::StreamBase,
    upstream::BaseUrl,
};
use sandbox::{Fault, Side};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use super::{at_exchange, create, records, subscribe};
use crate::support::{
    TestProxy,
    stream::{KEY, Socket, login, now_ms, secret_of, signed_login, streaming},
    tls::Authority,
};

#[tokio::test]
async fn a_login_with_a_virtual_key_is_answered_by_us_and_the_exchange_sees_our_own() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    assert_eq!(socket.ask(create(7, "mine")).await["code"], 0);
    let open = proxy.exchange().streams();
    assert_eq!(
        (open.len(), open[0].api_key.as_deref()),
        (1, Some(proxy.canaries.key.as_str()))
    );
    for received in proxy.exchange().received() {
        let all = format!(
            "{} {:?}",
            String::from_utf8_lossy(&received.body),
            received.headers
        );
        assert!(
            !all.contains("cpvk_") && !all.contains(&secret_of(KEY)),
            "{all}"
        );
    }
    assert_eq!(
        records(
            &proxy,
            &[
                "method=public/auth",
                "OK",
                "caller=bot",
                "door=ws",
                "outcome=answered"
            ]
        )
        .len(),
        1
    );
}

#[tokio::test]
async fn a_token_in_the_opening_is_a_login_and_a_wrong_one_opens_nothing() {
    let proxy = streaming(|_| {}).await;
    let token = |token: &str| [("x-proxy-token", token.to_owned())];
    let mut socket = Socket::try_open(&proxy, "user", &token(&proxy.canaries.token))
        .await
        .ok()
        .unwrap();
    assert_eq!(socket.ask(create(7, "mine")).await["code"], 0);
    let whatever =
        json!({ "id": 8, "method": "public/auth", "api_key": "x", "sig": "y", "nonce": 1 });
    assert_eq!(
        socket.ask(whatever).await,
        json!({ "id": 8, "method": "public/auth", "code": 0 })
    );
    assert_eq!(
        at_exchange(&proxy, "public/auth"),
        1,
        "the client's own goes no further"
    );
    for side in ["user", "market"] {
        assert_eq!(
            Socket::try_open(&proxy, side, &token("wrong-invented"))
                .await
                .err(),
            Some(401)
        );
    }
    assert_eq!(proxy.rejections.counted(Refused::Token), 2);
}

#[tokio::test]
async fn wrong_late_and_replayed_logins_are_refused_and_nothing_goes_before_one() {
    let proxy = streaming(|_| {}).await;
    let good = login(KEY, 4, now_ms());
    let mut first = Socket::open(&proxy, "user").await;
    assert_eq!(first.ask(good.clone()).await["code"], 0);
    let mut again = Socket::open(&proxy, "user").await;
    let refused = again.ask(good).await;
    assert_eq!(refused["code"], 40102, "no authentication failure");
    let (code, reason) = again.end().await.expect("at once, not after 10 s");
    assert_eq!(code, 1008, "{reason}");
    assert!(reason.contains("seen before"), "{reason}");
    let mut socket = Socket::open(&proxy, "user").await;
    for (frame, code) in [
        (signed_login(KEY, "invented", 5, now_ms()), 40101),
        (
            signed_login(
                "cpvk_ff0102030405060708090a0b_1",
                &secret_of(KEY),
                5,
                now_ms(),
            ),
            40101,
        ),
        (login(KEY, 5, now_ms() - 61_000), 40102),
        (create(6, "before"), 40101),
        (subscribe(&["user.order"]), 40101),
    ] {
        let answer = socket.ask(frame.clone()).await;
        assert_eq!(
            (&answer["code"], &answer["id"]),
            (&json!(code), &frame["id"]),
            "{frame}"
        );
    }
    for (refused, times) in [
        (SignatureRejected::Replayed, 1),
        (SignatureRejected::Signature, 2),
        (SignatureRejected::Window, 1),
    ] {
        assert_eq!(
            proxy.rejections.counted(Refused::Signature(refused)),
            times,
            "{refused:?}"
        );
    }
    assert_eq!(proxy.told_refusals("status=400 why=replayed"), 1);
    let named = proxy.texts();
    assert!(
        named
            .iter()
            .any(|line| line.contains("why=replayed") && line.ends_with(" caller=bot")),
        "{named:?}"
    );
    socket.log_in(KEY).await;
    assert_eq!(at_exchange(&proxy, super::CREATE), 0);
    assert_eq!(
        proxy.exchange().streams().len(),
        2,
        "only a login opens an upstream socket"
    );
}

#[tokio::test]
async fn members_that_are_null_are_none_and_a_binary_frame_of_text_is_text() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::open(&proxy, "user").await;
    let mut with_null = login(KEY, 4, now_ms());
    with_null["params"] = json!(null);
    let binary = Message::binary(with_null.to_string());
    socket.stream.send(binary).await.unwrap();
    let answer = socket.next().await;
    assert_eq!(
        answer,
        json!({ "id": 4, "method": "public/auth", "code": 0 })
    );
    // As a client writes it whose request type has a field for everything.
    let mut order = create(7, "mine");
    for name in ["api_key", "sig", "nonce"] {
        order[name] = json!(null);
    }
    assert_eq!(socket.ask(order).await["code"], 0);
    let read = json!({ "id": 8, "method": "private/user-balance", "params": null });
    assert_eq!(socket.ask(read).await["code"], 0);
    let mut second = Socket::open(&proxy, "user").await;
    let mut wrong = signed_login(KEY, "invented", 5, now_ms());
    wrong["params"] = json!(null);
    assert_eq!(second.ask(wrong).await["code"], 40101);
}

#[tokio::test]
async fn a_login_that_fails_leaves_a_line_with_its_reason_and_the_caller_where_it_is_known() {
    let proxy = streaming(|plan| plan.streams.max_per_caller = 1).await;
    let _first = Socket::bot(&proxy).await;
    let mut second = Socket::open(&proxy, "user").await;
    let answer = second.ask(login(KEY, 9, now_ms())).await;
    assert_eq!(answer["code"], 42901);
    assert_eq!(second.close_code().await, 1008);
    proxy
        .wait_line(&[
            "event=stream what=failed side=user",
            "caller=bot",
            "streams.max_per_caller",
        ])
        .await;
    let mut stranger = Socket::open(&proxy, "user").await;
    for frame in ["nonsense", r#"{"id":1,"method":"private/user-balance"}"#] {
        stranger.send_text(frame).await;
        stranger.next().await;
    }
    for reason in ["status=400 why=body", "status=401 why=login"] {
        assert_eq!(proxy.told_refusals(reason), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_stranger_is_closed_after_too_many_frames_or_too_long_a_silence() {
    let proxy = streaming(|plan| plan.streams.login_deadline = Duration::from_millis(200)).await;
    let mut silent = Socket::open(&proxy, "user").await;
    assert_eq!(silent.close_code().await, 1008);
    let mut busy = Socket::open(&proxy, "user").await;
    for _ in 0..8 {
        busy.send_text("{}").await;
    }
    assert_eq!(busy.close_code().await, 1008);
    assert_eq!(proxy.exchange().total().received, 0);
}

#[tokio::test]
async fn nothing_is_said_to_the_exchange_before_the_time_it_asks_for() {
    let settle = Duration::from_millis(700);
    let proxy = streaming(move |plan| plan.streams.settle = settle).await;
    let mut socket = Socket::open(&proxy, "user").await;
    let asked = Instant::now();
    socket.send(login(KEY, 4, now_ms())).await;
    proxy.exchange().wait_streams(|open| open.len() == 1).await;
    proxy.exchange().wait_received("public/auth", 1).await;
    assert!(asked.elapsed() >= settle, "{:?}", asked.elapsed());
    assert_eq!(socket.next().await["code"], 0);
}

#[tokio::test]
async fn what_the_exchange_says_against_our_login_is_told_and_recorded() {
    let proxy = TestProxy::builder()
        .streams(Policy::default())
        .exchange(|settings| {
            let key = settings.keys[0]
                .clone()
                .whitelist(["203.0.113.9".parse().unwrap()]);
            settings.put_key(key);
        })
        .start()
        .await;
    let mut socket = Socket::open(&proxy, "user").await;
    let answer = socket.ask(login(KEY, 4, now_ms())).await;
    assert_eq!(
        (&answer["id"], &answer["code"], &answer["outcome"]),
        (&json!(4), &json!(40103), &json!("not_sent"))
    );
    assert_eq!(socket.close_code().await, 1011);
    assert_eq!(
        records(
            &proxy,
            &[
                "method=public/auth",
                "FAIL",
                "code=40103",
                "outcome=answered"
            ]
        )
        .len(),
        1
    );
    proxy.wait_line(&["event=hint", "40103"]).await;
}

#[tokio::test]
async fn an_exchange_that_cannot_be_reached_or_offers_no_stream_is_said() {
    let proxy = streaming(|_| {}).await;
    proxy.exchange().script("user", Fault::code(50001));
    let mut socket = Socket::open(&proxy, "user").await;
    let answer = socket.ask(login(KEY, 4, now_ms())).await;
    assert_eq!(
        (&answer["code"], &answer["outcome"]),
        (&json!(42901), &json!("not_sent"))
    );
    assert_eq!(socket.close_code().await, 1013);
    assert_eq!(
        records(
            &proxy,
            &["method=public/auth", "outcome=not_sent", "why=not_upgraded"]
        )
        .len(),
        1
    );
    let without = streaming(|plan| plan.streams.base = None).await;
    assert_eq!(
        Socket::try_open(&without, "market", &[]).await.err(),
        Some(404)
    );
}

#[tokio::test]
async fn a_program_that_names_the_host_it_dials_and_a_listed_page_open_a_stream() {
    let page = "https://page.example";
    let proxy = streaming(move |plan| plan.http.allowed_origins = vec![page.to_owned()]).await;
    let port = proxy.address().port();
    for side in ["user", "market"] {
        for (origin, refused) in [
            (format!("http://127.0.0.1:{port}"), None),
            (page.to_owned(), None),
            (format!("http://localhost:{port}"), Some(403)),
            (format!("http://127.0.0.1:{}", port ^ 1), Some(403)),
            ("http://page.example".to_owned(), Some(403)),
            ("null".to_owned(), Some(403)),
        ] {
            let opened = Socket::try_open(&proxy, side, &[("origin", origin.clone())]).await;
            assert_eq!(opened.err(), refused, "{side} {origin}");
        }
    }
    assert_eq!(proxy.rejections.counted(Refused::Origin), 8);
    let call = crate::support::client()
        .post(proxy.url("/proxy/private"))
        .header("origin", page);
    assert_eq!(proxy.send(call).await.status, 403, "streams alone");
    let mut socket = Socket::try_open(
        &proxy,
        "user",
        &[("origin", format!("http://127.0.0.1:{port}"))],
    )
    .await
    .ok()
    .unwrap();
    socket.log_in(KEY).await;
    assert_eq!(socket.ask(create(7, "mine")).await["code"], 0);
}

#[tokio::test]
async fn pages_and_foreign_hosts_open_nothing_and_a_plain_request_is_told_what_this_is() {
    let proxy = streaming(|_| {}).await;
    for side in ["user", "market"] {
        let origin = [("origin", "https://page.example".to_owned())];
        assert_eq!(
            Socket::try_open(&proxy, side, &origin).await.err(),
            Some(403)
        );
        let host = [("host", "rebound.example".to_owned())];
        assert_eq!(Socket::try_open(&proxy, side, &host).await.err(), Some(421));
        let url = proxy.url(&format!("/exchange/v1/{side}"));
        let answer = crate::support::client().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 400);
    }
    assert_eq!(proxy.exchange().total().received, 0);
}

#[tokio::test]
async fn the_market_is_there_without_a_login_and_offers_nothing_of_the_account() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::open(&proxy, "market").await;
    assert_eq!(
        socket.ask(subscribe(&["ticker.BTC_USD"])).await,
        json!({ "id": 2, "method": "subscribe", "code": 0 })
    );
    assert_eq!(socket.next().await["result"]["channel"], "ticker");
    for frame in [
        create(5, "mine"),
        subscribe(&["user.order"]),
        subscribe(&["USER.balance"]),
        login(KEY, 5, now_ms()),
        json!({ "id": 5, "method": "public/get-tickers" }),
    ] {
        let answer = socket.ask(frame.clone()).await;
        assert_eq!(
            (&answer["code"], &answer["outcome"]),
            (&json!(40002), &json!("refused")),
            "{frame}"
        );
    }
    proxy
        .exchange()
        .publish("ticker.BTC_USD", &json!([{ "a": "1" }]));
    assert_eq!(socket.next().await["result"]["data"][0]["a"], "1");
    let frames: u64 = proxy
        .exchange()
        .streams()
        .iter()
        .filter(|it| it.side == Side::Market)
        .map(|it| it.frames)
        .sum();
    assert_eq!(frames, 1, "only the subscription went on");
}

#[tokio::test]
async fn a_stream_over_tls_is_trusted_by_the_same_roots_as_calls_and_by_name() {
    for (authority_is_trusted, name, why) in [
        (true, "localhost", None),
        (false, "localhost", Some("(TLS)")),
        (true, "other.example", Some("(TLS)")),
    ] {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let trusted = if authority_is_trusted {
            authority.file()
        } else {
            stranger.file()
        };
        let exchange = TestProxy::builder()
            .streams(Policy::default())
            .start()
            .await;
        let port = tls_in_front_of(exchange.exchange_address(), authority.server(name)).await;
        let proxy = streaming(move |plan| {
            plan.streams.base = StreamBase::beside(
                &BaseUrl::parse(&format!("https://localhost:{port}/exchange/v1"), None).unwrap(),
            );
            plan.upstream.ca_file = Some(trusted);
        })
        .await;
        let mut socket = Socket::open(&proxy, "market").await;
        match why {
            None => assert_eq!(socket.ask(subscribe(&["ticker.BTC_USD"])).await["code"], 0),
            Some(why) => {
                assert_eq!(socket.close_code().await, 1013);
                proxy.wait_line(&["event=stream what=failed", why]).await;
            }
        }
    }
}

/// TLS at a port of its own, carried on to `to`.
async fn tls_in_front_of(to: SocketAddr, server: Arc<rustls::ServerConfig>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(Arc::clone(&server));
            tokio::spawn(async move {
                let Ok(mut secure) = acceptor.accept(stream).await else {
                    return;
                };
                let mut plain = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_name_that_resolves_inwards_is_not_dialled() {
    let authority = Authority::new();
    let trusted = authority.file();
    // Only the stream is dialled by name here; the base URL of calls is the stand-in's address.
    let proxy = streaming(move |plan| {
        let base = BaseUrl::parse("https://api.crypto.com/exchange/v1", None).unwrap();
        plan.streams.base = StreamBase::beside(&base);
        plan.resolver = Resolver::with_lookup(Arc::new(|_| {
            Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) })
        }));
        plan.upstream.ca_file = Some(trusted);
    })
    .await;
    let mut socket = Socket::open(&proxy, "market").await;
    assert_eq!(socket.close_code().await, 1013);
    proxy
        .wait_line(&["event=stream what=failed", "resolved to 127.0.0.1"])
        .await;
}

#[tokio::test]
async fn only_the_answer_to_our_login_counts_as_one() {
    let proxy = streaming(|_| {}).await;
    proxy.exchange().script("public/auth", Fault::hang_after());
    let mut socket = Socket::open(&proxy, "user").await;
    socket.send(login(KEY, 4, now_ms())).await;
    proxy.exchange().wait_received("public/auth", 1).await;
    for other in [
        r#"{"id":2,"method":"public/auth","code":40101}"#,
        r#"{"id":-1,"method":"subscribe","code":0,"result":{}}"#,
        r#"{"id":1,"method":"subscribe","code":40101}"#,
        r#"{"code":40101}"#,
        r#"{"id":1,"method":"public/auth","code":0}"#,
    ] {
        proxy.exchange().send_text(Side::User, other);
    }
    assert_eq!(
        socket.next().await,
        json!({ "id": 4, "method": "public/auth", "code": 0 })
    );
    assert_eq!(
        records(&proxy, &["method=public/auth", "code=0 outcome=answered"]).len(),
        1
    );
}
