//! The very same signed bytes again, as a client library sends them that lost the answer.

use std::{net::Ipv4Addr, time::Duration};

use sandbox::Fault;
use serde_json::Value;
use tokio::join;

use super::{DETAIL, Told, doors, nameless, order, orders_sent};
use crate::support::{
    Answer, TestProxy, as_left_by_a_crash, client,
    contract::ORDER,
    signing::{Pair, Unsigned, told},
};

fn signed(params: &Value) -> (Unsigned, Pair) {
    (
        Unsigned::new(ORDER, &params.to_string()),
        Pair::of("signer"),
    )
}

async fn send(proxy: &TestProxy, (call, pair): &(Unsigned, Pair)) -> Told {
    let answer = proxy.post_exchange(ORDER, call.body(pair)).await;
    Told::of(proxy, answer)
}

#[tokio::test]
async fn a_named_order_gets_what_is_known_of_the_first() {
    let proxy = doors().start().await;
    let answered = signed(&order("answered"));
    let first = send(&proxy, &answered).await;
    first.assert_is("answered", "");
    let again = send(&proxy, &answered).await;
    again.assert_is("answered", "replayed");
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.replayed.as_deref(), Some("true"));

    let running = signed(&order("running"));
    let slow = Fault::none().after().delayed(Duration::from_millis(300));
    proxy.exchange().script(ORDER, slow);
    let second = async {
        proxy.exchange().wait_executed(ORDER, 2).await;
        send(&proxy, &running).await
    };
    let (first, again) = join!(send(&proxy, &running), second);
    again.assert_is("answered", "replayed");
    assert_eq!(again.text, first.text);

    proxy.exchange().script_always(DETAIL, Fault::code(50001));
    let lost = signed(&order("lost"));
    proxy.exchange().script(ORDER, Fault::cut_after());
    send(&proxy, &lost).await.assert_is("unknown", "lost");
    let again = send(&proxy, &lost).await;
    again.assert_is("unknown", "in_doubt");
    assert_eq!((again.status, &again.json()["code"]), (400, &40006.into()));
    assert_eq!(orders_sent(&proxy), 3);

    // Its first copy came to nothing: another one of it is not sent all the same, because a signature counts once.
    let refused = signed(&order("refused"));
    proxy.exchange().script(ORDER, Fault::code(306));
    send(&proxy, &refused).await.assert_is("answered", "");
    send(&proxy, &refused)
        .await
        .assert_is("refused", "repeated");
    assert_eq!(orders_sent(&proxy), 4);
}

#[tokio::test]
async fn an_order_without_a_name_stays_refused() {
    let proxy = doors().start().await;
    let call = signed(&nameless());
    send(&proxy, &call).await.assert_is("answered", "");
    let again = send(&proxy, &call).await;
    again.assert_is("refused", "repeated");
    assert_eq!((again.status, &again.json()["code"]), (400, &40006.into()));
    assert!(again.text.contains("find out what happened"), "{again:?}");
    assert_eq!(orders_sent(&proxy), 1);
}

#[tokio::test]
async fn whoever_recorded_it_learns_nothing_from_elsewhere_or_by_another_content_or_later() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().to_owned();
    let proxy = doors()
        .plan(|plan| plan.state_dir = Some(path))
        .start()
        .await;
    let mut params = order("recorded");
    params["quantity"] = "1".into();
    let call = signed(&params);
    let first = send(&proxy, &call).await;
    let order_id = first.json()["result"]["order_id"].to_string();
    let body = call.0.body(&call.1);
    let from = |address: Ipv4Addr, proxy: &TestProxy, body: String| {
        let client = reqwest::Client::builder()
            .no_proxy()
            .local_address(Some(address.into()))
            .build()
            .unwrap();
        client
            .post(proxy.url(&format!("/exchange/v1/{ORDER}")))
            .header("content-type", "application/json")
            .body(body)
    };
    let nothing = |answer: &Answer, expected: i64| {
        let (status, code, message) = told(answer);
        assert_eq!((status, code), (400, expected), "{message}");
        assert!(!message.contains(order_id.trim_matches('"')), "{message}");
        assert_eq!(answer.outcome(), "refused");
    };
    let elsewhere = from([127, 0, 0, 2].into(), &proxy, body.clone());
    nothing(&proxy.ask(elsewhere).await, 40006);
    // The same text to sign, cut elsewhere.
    let cut = body
        .replace(r#","quantity":"1""#, "")
        .replace(r#""price":"50000.00""#, r#""price":"50000.00quantity1""#);
    assert_ne!(cut, body);
    let cut = from([127, 0, 0, 1].into(), &proxy, cut);
    nothing(&proxy.ask(cut).await, 40006);
    // After a crash nobody knows any more from where it came.
    let copy = as_left_by_a_crash(directory.path());
    let path = copy.path().to_owned();
    let next = doors().plan(|plan| plan.state_dir = Some(path));
    let next = next.start().await;
    let later = client()
        .post(next.url(&format!("/exchange/v1/{ORDER}")))
        .header("content-type", "application/json");
    let answer = next.ask(later.body(body)).await;
    nothing(&answer, 40102);
    let (_, _, message) = told(&answer);
    assert!(message.contains("under the same name"), "{message}");
    assert_eq!((orders_sent(&proxy), orders_sent(&next)), (1, 0));
}
