//! AccessRules of callers over streams: where from, until when, which instruments; and who sees the market.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crypto_proxy::server::Address;
use gateway::{
    access::AccessRules,
    clock::Clock,
    policy::{Instruments, Policy},
};
use serde_json::{Value, json};

use super::{CREATE, at_exchange, create, order, records, subscribe};
use crate::support::{
    TestProxy,
    stream::{KEY, Socket, connect, login, now_ms},
};

#[tokio::test]
async fn who_may_not_call_from_here_gets_no_stream_and_nothing_is_opened_for_them() {
    let limits = AccessRules {
        sources: vec!["192.0.2.0/24".parse().unwrap()],
        ..AccessRules::default()
    };
    let proxy = TestProxy::builder()
        .streams(Policy {
            access: limits,
            ..Policy::default()
        })
        .start()
        .await;
    let mut socket = Socket::open(&proxy, "user").await;
    let answer = socket.ask(login(KEY, 4, now_ms())).await;
    assert_eq!(
        (&answer["code"], &answer["outcome"]),
        (&json!(40002), &json!("refused")),
        "{answer}"
    );
    assert!(
        answer["message"].as_str().unwrap().contains("(sources)"),
        "{answer}"
    );
    assert_eq!(socket.close_code().await, 1008);
    assert_eq!(proxy.exchange().total().received, 0);
    assert_eq!(
        records(
            &proxy,
            &["method=public/auth", "outcome=refused", "why=source"]
        )
        .len(),
        1
    );
}

#[tokio::test]
async fn a_caller_whose_time_ends_is_refused_from_then_on_and_the_stream_ends() {
    let now = Arc::new(AtomicU64::new(now_ms()));
    let end = now.load(Ordering::Relaxed) + 30_000;
    let (limits, clock) = (
        AccessRules {
            expires_ms: Some(end),
            ..AccessRules::default()
        },
        Clock::set_by(Arc::clone(&now)),
    );
    let proxy = TestProxy::builder()
        .streams(Policy {
            access: limits,
            ..Policy::default()
        })
        .plan(|plan| {
            plan.clock = clock;
            plan.streams.ping_every = Duration::from_secs(2);
        });
    let proxy = proxy.start().await;
    let mut socket = Socket::bot(&proxy).await;
    assert_eq!(socket.ask(create(6, "before")).await["code"], 0);
    now.store(end, Ordering::Relaxed);
    for frame in [create(7, "after"), subscribe(&["user.order"])] {
        assert_eq!(socket.ask(frame.clone()).await["code"], 40002, "{frame}");
    }
    assert_eq!(
        socket.close_code().await,
        1008,
        "what it subscribed to ends, too"
    );
    assert_eq!(at_exchange(&proxy, CREATE), 1);
    assert_eq!(
        records(&proxy, &["outcome=refused", "why=expired"]).len(),
        2
    );
}

#[tokio::test]
async fn a_list_of_instruments_holds_for_orders_batches_and_channels() {
    let instruments = Some(Instruments::new(["BTC_USD".to_owned()]));
    let proxy = TestProxy::builder()
        .streams(Policy {
            instruments,
            ..Policy::default()
        })
        .start()
        .await;
    let mut socket = Socket::bot(&proxy).await;
    let of = |name: &str| {
        let mut order = order("a");
        order["instrument_name"] = name.into();
        order
    };
    let unnamed = {
        let mut order = order("a");
        order.as_object_mut().unwrap().remove("instrument_name");
        order
    };
    let batch = |params: Value| json!({ "id": 5, "method": "private/batch-order-request", "params": params });
    for refused in [
        json!({ "id": 5, "method": CREATE, "params": of("ETH_USD") }),
        batch(json!({ "instrument_name": "BTC_USD", "creates": [of("BTC_USD"), of("ETH_USD")] })),
        batch(json!({ "instrument_name": "BTC_USD", "creates": [unnamed] })),
        batch(json!({ "instrument_name": "ETH_USD", "creates": [of("BTC_USD")] })),
        batch(json!({ "instrument_name": "BTC_USD", "cancels": [{ "order_id": "1" }] })),
        subscribe(&["user.order.ETH_USD"]),
        subscribe(&["user.trade.ETH_USD"]),
    ] {
        assert_eq!(
            socket.ask(refused.clone()).await["code"],
            40002,
            "{refused}"
        );
    }
    assert_eq!(
        records(&proxy, &["outcome=refused", "why=instrument"]).len() + proxy.refusals_counted(),
        7
    );
    assert_eq!(
        (
            proxy.exchange().orders_placed(),
            at_exchange(&proxy, "subscribe")
        ),
        (0, 0)
    );
    for (allowed, id) in [
        (
            batch(json!({ "instrument_name": "BTC_USD", "creates": [of("BTC_USD")] })),
            5,
        ),
        (
            json!({ "id": 6, "method": "private/set-cancel-on-disconnect", "params": { "scope": "CONNECTION" } }),
            6,
        ),
        (subscribe(&["user.order.BTC_USD"]), 2),
        (subscribe(&["user.balance"]), 2),
    ] {
        socket.send(allowed.clone()).await;
        let answer = loop {
            let frame = socket.next().await;
            if frame["id"] == id {
                break frame;
            }
        };
        assert_eq!(answer["code"], 0, "{allowed}");
    }
}

#[tokio::test]
async fn cancels_of_a_batch_follow_orders_by_id() {
    let instruments = Some(Instruments {
        orders_by_id: true,
        ..Instruments::new(["BTC_USD".to_owned()])
    });
    let proxy = TestProxy::builder()
        .streams(Policy {
            instruments,
            ..Policy::default()
        })
        .start()
        .await;
    let mut socket = Socket::bot(&proxy).await;
    let params = json!({ "instrument_name": "BTC_USD", "cancels": [{ "order_id": "1" }] });
    let batch = json!({ "id": 5, "method": "private/batch-order-request", "params": params });
    let answer = socket.ask(batch).await;
    assert!(
        answer.get("outcome").is_none(),
        "it is the exchange's own: {answer}"
    );
    assert_eq!(at_exchange(&proxy, "private/batch-order-request"), 1);
}

#[tokio::test]
async fn beyond_this_machine_the_market_is_for_the_networks_of_public_calls_or_a_token() {
    for (networks, agreed) in [(&[][..], false), (&["127.0.0.1/32"][..], true)] {
        let networks: Vec<_> = networks
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
        let proxy = TestProxy::builder()
            .streams(Policy::default())
            .plan(move |plan| {
                plan.server.listen = vec![Address::Tcp(([0, 0, 0, 0], 0).into())];
                plan.http.exchange_v1.public_sources = networks;
            });
        let proxy = proxy.start().await;
        let address = ([127, 0, 0, 1], proxy.address().port()).into();
        let status = connect(address, "market", &[]).await.err();
        assert_eq!(status, (!agreed).then_some(403));
        assert_eq!(
            proxy.told_refusals("status=403 why=public_closed"),
            u64::from(!agreed)
        );
        let token = [("x-proxy-token", proxy.canaries.token.clone())];
        assert!(connect(address, "market", &token).await.is_ok());
    }
}
