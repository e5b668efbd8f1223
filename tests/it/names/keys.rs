//! `Idempotency-Key`: a name for what has none.

use std::collections::HashSet;

use sandbox::{Canned, Fault, Permission, Settings};
use serde_json::{Value, json};

use super::{Door, nameless, orders_sent};
use crate::support::{
    Answer, TestProxy, client,
    contract::{ORDER, READ},
};

const WITHDRAWAL: &str = "private/create-withdrawal";
const TRANSFER: &str = "private/create-subaccount-transfer";

async fn permissive() -> TestProxy {
    let allow = [WITHDRAWAL.into(), TRANSFER.into()].into();
    TestProxy::builder()
        .exchange(permit)
        .policy(|policy| policy.allow_methods = allow)
        .start()
        .await
}

fn permit(settings: &mut Settings) {
    settings.keys[0].permissions =
        [Permission::Read, Permission::Trade, Permission::Withdraw].into();
}

async fn under(
    proxy: &TestProxy,
    door: Door,
    (method, params): (&str, &Value),
    keys: &[&str],
) -> Answer {
    let path = if door == Door::Token {
        format!("/exchange/v1/{method}")
    } else {
        "/proxy/private".to_owned()
    };
    let mut body = json!({ "method": method, "params": params });
    if door == Door::Token {
        body["id"] = json!(11);
    }
    let mut request = client()
        .post(proxy.url(&path))
        .header("x-proxy-token", &proxy.canaries.token)
        .header("content-type", "application/json");
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    let request = request.body(body.to_string());
    if door == Door::Token {
        proxy.ask(request).await
    } else {
        proxy.send(request).await
    }
}

/// What the stand-in was sent last, and took for signed.
fn last_sent(proxy: &TestProxy) -> Value {
    let received = proxy.exchange().received().pop().unwrap();
    assert!(received.authenticated, "{received:?}");
    received.json().unwrap()
}

#[tokio::test]
async fn a_key_gives_an_order_a_name_that_is_signed_and_sent() {
    let proxy = permissive().await;
    for (placed, door) in (1..).zip([Door::Backend, Door::Token]) {
        let order = (ORDER, &nameless());
        let bare = format!("key-{door:?}");
        let first = under(&proxy, door, order, &[&bare]).await;
        assert_eq!(first.outcome(), "answered", "{}", first.text());
        let name = last_sent(&proxy)["params"]["client_oid"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(name.starts_with("cp-") && name.len() <= 36, "{name}");
        assert!(proxy.exchange().order(&name).is_some());
        let again = under(&proxy, door, order, &[&format!("\"{bare}\"")]).await;
        assert_eq!(again.header("x-proxy-replayed").as_deref(), Some("true"));
        assert_eq!(again.text(), first.text());
        let mut other = nameless();
        other["price"] = json!("1");
        let differs = under(&proxy, door, (ORDER, &other), &[&bare]).await;
        let status = if door == Door::Backend { 422 } else { 400 };
        assert_eq!(
            (differs.status, differs.outcome().as_str()),
            (status, "refused")
        );
        assert!(proxy.record(&differs).text().contains("why=name_differs"));
        assert_eq!(orders_sent(&proxy), placed);
        // A read needs none.
        assert_eq!(
            under(&proxy, door, (READ, &json!({})), &[&bare])
                .await
                .outcome(),
            "answered"
        );
    }
}

#[tokio::test]
async fn a_key_guards_withdrawals_and_transfers() {
    let proxy = permissive().await;
    let done = |method: &str| {
        let body = format!(r#"{{"id":1,"method":"{method}","code":0}}"#);
        Fault::reply(Canned::json(200, body))
    };
    for (method, field, params) in [
        (
            WITHDRAWAL,
            Some("client_wid"),
            json!({ "currency": "USD", "amount": "1", "address": "x" }),
        ),
        (
            TRANSFER,
            None,
            json!({ "from": "a", "to": "b", "currency": "USD", "amount": "1" }),
        ),
    ] {
        proxy.exchange().script(method, done(method));
        let first = under(&proxy, Door::Backend, (method, &params), &["one"]).await;
        assert_eq!(first.outcome(), "answered", "{}", first.text());
        let sent = last_sent(&proxy);
        match field {
            Some(field) => assert!(sent["params"][field].as_str().unwrap().starts_with("cp-")),
            None => assert_eq!(sent["params"], params, "as it came"),
        }
        let again = under(&proxy, Door::Backend, (method, &params), &["one"]).await;
        assert_eq!(again.header("x-proxy-replayed").as_deref(), Some("true"));
        let mut other = params.clone();
        other["amount"] = json!("2");
        let differs = under(&proxy, Door::Backend, (method, &other), &["one"]).await;
        assert_eq!(differs.status, 422, "{}", differs.text());
        assert_eq!(proxy.exchange().count(method), 1);
        // Without a key it is another one each time.
        for _ in 0..2 {
            proxy.exchange().script(method, done(method));
            let told = under(&proxy, Door::Backend, (method, &params), &[]).await;
            assert_eq!(told.outcome(), "answered");
        }
        assert_eq!(proxy.exchange().count(method), 3);
    }
}

#[tokio::test]
async fn what_is_no_key_refuses_the_call() {
    let proxy = permissive().await;
    let long = "x".repeat(129);
    for keys in [
        &[""][..],
        &["\"\""],
        &["a b"],
        &[&long],
        &["one", "one"],
        &["one", "two"],
    ] {
        for (door, status) in [(Door::Backend, 422), (Door::Token, 400)] {
            let answer = under(&proxy, door, (ORDER, &nameless()), keys).await;
            assert_eq!(
                (answer.status, answer.outcome().as_str()),
                (status, "refused"),
                "{keys:?}"
            );
            assert!(proxy.record(&answer).text().contains("why=idempotency_key"));
        }
    }
    assert_eq!(orders_sent(&proxy), 0);
}

#[tokio::test]
async fn each_order_can_be_given_a_name() {
    let proxy = TestProxy::builder()
        .exchange(permit)
        .plan(|plan| plan.gateway.add_client_oid = true)
        .policy(|policy| policy.allow_methods = [WITHDRAWAL.into()].into())
        .start()
        .await;
    let mut names = HashSet::new();
    for _ in 0..3 {
        let placed = proxy.call(ORDER, nameless()).await;
        assert_eq!(placed.outcome(), "answered", "{}", placed.text());
        let name = last_sent(&proxy)["params"]["client_oid"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(name.starts_with("cp-") && name.len() <= 36, "{name}");
        names.insert(name);
    }
    assert_eq!((names.len(), orders_sent(&proxy)), (3, 3));
    let params = json!({ "currency": "USD", "amount": "1", "address": "x" });
    proxy.call(WITHDRAWAL, params.clone()).await;
    assert_eq!(last_sent(&proxy)["params"], params, "an order alone");
}
