//! Names of what came to nothing are free: the same order is sent anew, by its caller's wish alone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use gateway::connect::Resolver;
use sandbox::{FakeExchange, Fault, Settings};
use serde_json::json;

use super::{DOORS, Door, doors, order, orders_sent};
use crate::support::{TestProxy, contract::ORDER};

#[tokio::test]
async fn what_the_exchange_refused_is_sent_anew() {
    let proxy = doors().start().await;
    let mut sent = 0;
    for door in DOORS {
        for code in [306, 42901, 40101, 40103] {
            let params = order(&format!("{door:?}-{code}"));
            proxy.exchange().script(ORDER, Fault::code(code));
            let refused = door.ask(&proxy, ORDER, &params).await;
            refused.assert_is("answered", "");
            assert_eq!(door.code(&refused), Some(code));
            let placed = door.ask(&proxy, ORDER, &params).await;
            placed.assert_is("answered", "");
            assert_eq!((door.code(&placed), placed.replayed), (Some(0), None));
            sent += 2;
            assert_eq!(orders_sent(&proxy), sent, "{door:?} {code}");
        }
    }
    assert_eq!(proxy.exchange().orders_placed(), 16);
}

#[tokio::test]
async fn a_name_that_nobody_here_used_is_the_exchanges_business() {
    let proxy = doors().start().await;
    for door in DOORS {
        let params = order(&format!("elsewhere-{door:?}"));
        // Placed without the proxy; and so it stays, however often it is asked for.
        for _ in 0..2 {
            proxy.exchange().script(ORDER, Fault::code(204));
            let told = door.ask(&proxy, ORDER, &params).await;
            told.assert_is("answered", "");
            assert_eq!(door.code(&told), Some(204), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_duplicate_after_not_sent_may_have_been_executed() {
    let canaries = TestProxy::builder().canaries().clone();
    let exchange = FakeExchange::new(Settings::with_key(&canaries.key, &canaries.secret));
    let running = exchange.start().await.unwrap();
    let port = running.addr().port();
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let resolver = Resolver::with_lookup(Arc::new(move |_| {
        let is_down = down.load(Ordering::Relaxed);
        Box::pin(async move {
            if is_down {
                Err(std::io::ErrorKind::NotFound.into())
            } else {
                Ok(vec![[127, 0, 0, 1].into()])
            }
        })
    }));
    let withdrawal =
        json!({ "client_wid": "wid-1", "currency": "USD", "amount": "1", "address": "x" });
    for (method, params, code) in [
        (ORDER, order("again-1"), 204),
        (ORDER, order("again-2"), 40006),
        ("private/create-withdrawal", withdrawal, 40006),
    ] {
        // Its connections are its own.
        let resolver = resolver.clone();
        let proxy = TestProxy::builder_with(canaries.clone())
            .base(format!("http://localhost:{port}/exchange/v1"))
            .policy(|policy| {
                policy.allow_methods = ["private/create-withdrawal".into()].into();
            })
            .plan(move |plan| plan.resolver = resolver)
            .start()
            .await;
        is_down.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            let told = Door::Backend.ask(&proxy, method, &params).await;
            told.assert_is("not_sent", "dns");
        }
        is_down.store(false, Ordering::Relaxed);
        exchange.script_always("private/get-order-detail", Fault::code(50001));
        exchange.script_always("private/get-withdrawal-history", Fault::code(50001));
        exchange.script(method, Fault::code(code));
        let before = exchange.count(method);
        let told = Door::Backend.ask(&proxy, method, &params).await;
        told.assert_is("unknown", "inconclusive_answer");
        let told = Door::Backend.ask(&proxy, method, &params).await;
        told.assert_is("unknown", "in_doubt");
        assert_eq!(exchange.count(method), before + 1, "{method} {code}");
        let in_doubt = proxy.gateway.ledger().in_doubt();
        assert_eq!(in_doubt, 1, "it is looked after");
    }
}
