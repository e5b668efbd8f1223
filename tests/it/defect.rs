//! A defect of ours in the middle of a call.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use gateway::{connect::Resolver, upstream::BaseUrl};
use serde_json::json;

use crate::support::{
    TestProxy,
    connection::{get, order},
};

// Fault 80. The look-up of the exchange's name is the one place on a call's way where a test can put code of its own.
#[tokio::test]
async fn a_panic_on_the_way_ends_in_an_outcome_and_the_daemon_lives_on() {
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lookups);
    let resolver = Resolver::with_lookup(Arc::new(move |name| {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { panic!("the payload of the panic, with {name}") })
    }));
    let proxy = TestProxy::builder()
        .plan(|plan| {
            plan.resolver = resolver;
            plan.upstream.base = BaseUrl::parse("http://localhost:9/exchange/v1", None).unwrap();
        })
        .start()
        .await;
    let mut kept = proxy.connect().await;
    for number in 1..=3 {
        kept.write(&proxy.request("private/create-order", &order("defect-1")))
            .await;
        let answer = kept.answer().await;
        proxy.check(&answer);
        assert_eq!(
            (answer.status, answer.outcome().as_str()),
            (500, "not_sent"),
            "{}",
            answer.text()
        );
        assert!(
            answer.inner()["error"]
                .as_str()
                .unwrap()
                .starts_with("Proxy error: "),
            "{}",
            answer.text()
        );
        assert_eq!(
            lookups.load(Ordering::Relaxed),
            number,
            "it was the look-up"
        );
        let records = proxy.records_of(&answer.header("x-request-id").unwrap());
        let expected = "response_status=500 outcome=not_sent why=defect client_oid=defect-1";
        assert!(
            records[0].text().contains(expected),
            "{}",
            records[0].text()
        );
    }
    kept.write(&get("/health")).await;
    assert_eq!(
        (kept.answer().await.status, proxy.gateway.in_flight()),
        (200, 0)
    );
    assert!(
        !proxy
            .texts()
            .iter()
            .any(|text| text.contains("payload of the panic"))
    );
    let refused = proxy.call("private/create-withdrawal", json!({})).await;
    assert_eq!(refused.status, 403, "and other calls are served");
}
