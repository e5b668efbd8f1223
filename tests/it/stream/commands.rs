//! Frames of a client that is logged in: judged, sent once, recorded once.

use std::time::Duration;

use catalogue::methods::Class;
use gateway::policy::Policy;
use sandbox::{Canned, Fault, Side};
use serde_json::{Value, json};

use super::{CREATE, at_exchange, create, order, records, subscribe};
use crate::support::{
    TestProxy,
    stream::{Socket, streaming},
};

/// The preset `read`.
fn read_only() -> Policy {
    Policy {
        allow_classes: [Class::Read].into(),
        ..Policy::default()
    }
}

fn batch(id: u64, params: Value) -> Value {
    json!({ "id": id, "method": "private/batch-order-request", "params": params })
}

#[tokio::test]
async fn an_order_is_sent_once_and_recorded_once() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    let answer = socket.ask(create(7, "mine-1")).await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!(7), &json!(0)));
    assert_eq!(answer["result"]["client_oid"], "mine-1");
    assert_eq!(proxy.exchange().orders_placed(), 1);
    let found = records(&proxy, &["method=private/create-order"]);
    assert_eq!(found.len(), 1, "{found:?}");
    for part in [
        "event=call OK",
        "caller=bot",
        "door=ws stream=",
        " id=7 nonce=17",
        "code=0 outcome=answered",
        "client_oid=mine-1",
    ] {
        assert!(found[0].contains(part), "{part}: {}", found[0]);
    }
}

#[tokio::test]
async fn what_goes_on_is_id_method_params_and_nonce_as_they_were_sent() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    let params = r#"{ "b" : 1.50,"a":["\u0041"] }"#;
    let text = format!(
        r#"{{"api_key":"x","sig":"y","extra":{{"method":"z"}},"params":{params},"nonce":"9","method":"private/user-balance","id":"7"}}"#
    );
    socket.send_text(&text).await;
    assert_eq!(socket.next().await["id"], "7");
    let received = proxy.exchange().received().pop().unwrap();
    let expected =
        format!(r#"{{"id":"7","method":"private/user-balance","params":{params},"nonce":"9"}}"#);
    assert_eq!(String::from_utf8_lossy(&received.body), expected);
}

#[tokio::test]
async fn a_caller_who_may_read_cannot_trade_by_a_frame_a_batch_or_a_method_nobody_knows() {
    let proxy = TestProxy::builder().streams(read_only()).start().await;
    let mut socket = Socket::bot(&proxy).await;
    let before = proxy.exchange().total().received;
    let attempts = [
        create(5, "a"),
        batch(
            5,
            json!({ "instrument_name": "BTC_USD", "creates": [order("a")] }),
        ),
        batch(5, json!({ "cancels": [{ "client_oid": "a" }] })),
        json!({ "id": 5, "method": "private/create-order-list", "params": { "order_list": [order("a")] } }),
        json!({ "id": 5, "method": "private/advanced/create-order", "params": order("a") }),
        json!({ "id": 5, "method": "private/cancel-all-orders" }),
        json!({ "id": 5, "method": "private/close-position", "params": {} }),
        json!({ "id": 5, "method": "private/set-cancel-on-disconnect", "params": { "scope": "CONNECTION" } }),
        json!({ "id": 5, "method": "private/create-withdrawal", "params": {} }),
        json!({ "id": 5, "method": "private/not-invented-yet", "params": {} }),
        json!({ "id": 5, "method": "public/create-order", "params": order("a") }),
    ];
    for frame in &attempts {
        let answer = socket.ask(frame.clone()).await;
        assert_eq!(
            (&answer["id"], &answer["method"]),
            (&json!(5), &frame["method"])
        );
        assert_eq!(
            (&answer["code"], &answer["outcome"]),
            (&json!(40002), &json!("refused")),
            "{frame}"
        );
    }
    let doubled =
        r#"{"id":5,"method":"private/user-balance","method":"private/create-order","params":{}}"#;
    let escaped = r#"{"id":5,"method":"private\/create-order","params":{}}"#;
    for (text, code) in [(doubled, 40003), (escaped, 40002)] {
        socket.send_text(text).await;
        assert_eq!(socket.next().await["code"], code, "{text}");
    }
    assert_eq!(
        proxy.exchange().total().received,
        before,
        "nothing of it went on"
    );
    assert_eq!(
        records(&proxy, &["door=ws", "outcome=refused"]).len() + proxy.refusals_counted(),
        attempts.len() + 2,
        "and each has a record, or is counted"
    );
    let answer = socket
        .ask(json!({ "id": 6, "method": "private/user-balance" }))
        .await;
    assert_eq!(answer["code"], 0, "reading it may");
}

#[tokio::test]
async fn a_batch_needs_what_its_orders_would_need_alone() {
    let policy = Policy {
        deny_methods: ["private/cancel-order".into()].into(),
        ..Policy::default()
    };
    let proxy = TestProxy::builder().streams(policy).start().await;
    let mut socket = Socket::bot(&proxy).await;
    let creates = json!({ "instrument_name": "BTC_USD", "creates": [order("a")] });
    assert_eq!(socket.ask(batch(5, creates)).await["code"], 0);
    for params in [
        json!({ "creates": [order("b")], "cancels": [{ "client_oid": "a" }] }),
        json!({ "creates": [order("b")], "amends": [] }),
        json!({ "creates": "b" }),
    ] {
        assert_eq!(
            socket.ask(batch(6, params.clone())).await["code"],
            40002,
            "{params}"
        );
    }
    assert_eq!(at_exchange(&proxy, "private/batch-order-request"), 1);
    assert_eq!(proxy.exchange().orders_placed(), 1);
    assert_eq!(
        records(&proxy, &["client_oid=a", "outcome=answered"]).len(),
        1
    );
}

#[tokio::test]
async fn whoever_trades_may_have_the_orders_of_the_connection_cancelled_with_it_and_no_others() {
    let set = |scope: &str| json!({ "id": 5, "method": "private/set-cancel-on-disconnect", "params": { "scope": scope } });
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    let refused = socket.ask(set("ACCOUNT")).await;
    let hint = "policy.allow_methods = [\"private/set-cancel-on-disconnect\"]";
    assert!(
        refused["message"].as_str().unwrap().contains(hint),
        "{refused}"
    );
    assert_eq!(socket.ask(set("CONNECTION")).await["code"], 0);
    assert!(proxy.exchange().streams()[0].cancels_on_disconnect);
}

#[tokio::test]
async fn subscribers_get_the_updates_of_orders_however_they_were_placed() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    assert_eq!(socket.ask(subscribe(&["user.order"])).await["code"], 0);
    assert_eq!(proxy.call(CREATE, order("by-rest")).await.status, 200);
    let update = socket.next().await;
    assert_eq!(
        (&update["id"], &update["result"]["data"][0]["client_oid"]),
        (&json!(-1), &json!("by-rest"))
    );
    socket.send(create(8, "by-stream")).await;
    let told = [socket.next().await, socket.next().await];
    assert!(
        told.iter()
            .any(|frame| frame["id"] == 8 && frame["code"] == 0),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|frame| frame["result"]["data"][0]["client_oid"] == "by-stream"),
        "{told:?}"
    );
}

#[tokio::test]
async fn channels_are_judged_as_the_methods_that_show_the_same() {
    let policy = Policy {
        deny_methods: ["private/user-balance".into()].into(),
        allow_methods: ["user.allowed".into()].into(),
        ..Policy::default()
    };
    let proxy = TestProxy::builder().streams(policy).start().await;
    let mut socket = Socket::bot(&proxy).await;
    for channels in [
        &["user.balance"][..],
        &["ticker.BTC_USD"],
        &["user.unheard"],
        &["user.unheard", "user.balance", "ticker.BTC_USD"],
    ] {
        let answer = socket.ask(subscribe(channels)).await;
        assert_eq!(answer["code"], 40002, "{channels:?}");
        let named = channels[0];
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(named), "{named}: {message}");
        assert!(
            message.ends_with("nothing of this subscription was sent"),
            "{message}"
        );
        assert_eq!(
            message.contains("2 more channels are refused"),
            channels.len() == 3
        );
    }
    for odd in [
        json!({}),
        json!({ "channels": [] }),
        json!({ "channels": "user.order" }),
    ] {
        let frame = json!({ "id": 2, "method": "subscribe", "params": odd });
        assert_eq!(socket.ask(frame).await["code"], 40003);
    }
    assert_eq!(at_exchange(&proxy, "subscribe"), 0);
    assert_eq!(socket.ask(subscribe(&["user.order"])).await["code"], 0);
    // Allowed by its name, it goes on; the stand-in has no such channel, and says so itself.
    let unheard = socket.ask(subscribe(&["user.allowed"])).await;
    assert!(unheard.get("outcome").is_none(), "not ours: {unheard}");
    assert_eq!(at_exchange(&proxy, "subscribe"), 2);
    let mut market = Socket::open(&proxy, "market").await;
    let settlement = market.ask(subscribe(&["settlement"])).await;
    assert!(
        settlement.get("outcome").is_none(),
        "it went on: {settlement}"
    );
    let refused = market
        .ask(subscribe(&["ticker.BTC_USD", "user.order"]))
        .await;
    assert_eq!(refused["code"], 40002);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("user.order") && message.contains("/exchange/v1/user"),
        "{message}"
    );
    assert_eq!(market.next().await["code"], 0, "its neighbour goes on");
    assert_eq!(at_exchange(&proxy, "subscribe"), 4);
}

#[tokio::test]
async fn a_channel_that_is_refused_does_not_refuse_its_neighbours() {
    let deny_methods = ["private/user-balance".into()].into();
    let policy = Policy {
        deny_methods,
        ..Policy::default()
    };
    let proxy = TestProxy::builder().streams(policy).start().await;
    let mut socket = Socket::bot(&proxy).await;
    for channels in [
        &["user.order", "user.balance"][..],
        &["ticker.BTC_USD", "user.order", "user.unheard"],
    ] {
        let refusal = socket.ask(subscribe(channels)).await;
        assert_eq!(
            (&refusal["code"], &refusal["outcome"]),
            (&json!(40002), &json!("refused")),
            "{refusal}"
        );
        let message = refusal["message"].as_str().unwrap();
        assert!(
            message.ends_with("the other channels were sent"),
            "{message}"
        );
        let answer = socket.next().await;
        assert_eq!(
            (&answer["id"], &answer["code"]),
            (&json!(2), &json!(0)),
            "{answer}"
        );
        let received = proxy.exchange().received_from(0);
        let sent = received.iter().rfind(|one| one.method == "subscribe");
        let sent = sent.unwrap().json().unwrap();
        assert_eq!(sent["params"], json!({ "channels": ["user.order"] }));
    }
}

#[tokio::test]
async fn an_id_that_is_in_use_is_refused_and_the_command_that_has_it_goes_on() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    proxy
        .exchange()
        .script(CREATE, Fault::delay(Duration::from_millis(300)));
    socket.send(create(7, "first")).await;
    proxy.exchange().wait_received(CREATE, 1).await;
    let refused = socket.ask(create(7, "second")).await;
    assert_eq!(
        (&refused["code"], &refused["outcome"]),
        (&json!(40006), &json!("refused"))
    );
    assert_eq!(socket.next().await["result"]["client_oid"], "first");
    assert_eq!(
        socket.ask(create(7, "third")).await["code"],
        0,
        "once it is answered the id is free"
    );
    assert_eq!(at_exchange(&proxy, CREATE), 2);
    assert_eq!(
        records(&proxy, &["method=private/create-order", "why=id_in_use"]).len(),
        1
    );
}

#[tokio::test]
async fn a_command_without_an_answer_is_told_to_be_unknown_and_a_late_answer_is_passed_on() {
    let proxy = streaming(|plan| plan.gateway.deadline = Duration::from_millis(500)).await;
    let mut socket = Socket::bot(&proxy).await;
    proxy.exchange().script(CREATE, Fault::hang_after());
    let told = socket.ask(create(7, "where")).await;
    assert_eq!(
        (&told["id"], &told["code"], &told["outcome"]),
        (&json!(7), &json!(40801), &json!("unknown"))
    );
    assert_eq!(told["client_oid"], "where");
    assert!(
        told["how_to_find_out"]
            .as_str()
            .unwrap()
            .contains("private/get-order-detail"),
        "{told}"
    );
    let found = records(&proxy, &["method=private/create-order"]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("outcome=unknown why=deadline client_oid=where"),
        "{}",
        found[0]
    );
    proxy.exchange().send_text(
        Side::User,
        r#"{"id":7,"method":"private/create-order","code":0}"#,
    );
    assert_eq!(socket.next().await["code"], 0);
    assert_eq!(
        records(&proxy, &["method=private/create-order"]).len(),
        1,
        "still one record"
    );
}

#[tokio::test]
async fn an_answer_is_told_from_a_confirmation_that_repeats_the_same_id() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    proxy.exchange().script(
        CREATE,
        Fault::reply(Canned::json(
            200,
            r#"{"id":2,"method":"subscribe","code":0}"#,
        )),
    );
    socket.send(create(2, "mine")).await;
    assert_eq!(socket.next().await["method"], "subscribe");
    assert!(
        records(&proxy, &["method=private/create-order"]).is_empty(),
        "it is no answer to the order"
    );
    proxy
        .exchange()
        .send_text(Side::User, r#"{"id":2,"code":"306","message":"x"}"#);
    assert_eq!(socket.next().await["code"], "306");
    assert_eq!(
        records(
            &proxy,
            &[
                "method=private/create-order",
                "code=306",
                "outcome=answered"
            ]
        )
        .len(),
        1
    );
}

#[tokio::test]
async fn our_key_our_secret_and_the_signature_of_our_login_never_come_back() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    let login = proxy
        .exchange()
        .received()
        .into_iter()
        .find(|it| it.method == "public/auth")
        .unwrap();
    let sig = login.json().unwrap()["sig"].as_str().unwrap().to_owned();
    let (key, secret) = (&proxy.canaries.key, &proxy.canaries.secret);
    let echo = json!({ "id": -1, "method": "ERROR", "code": 40001, "original": format!("{key} {secret} {sig}") });
    proxy.exchange().send_text(Side::User, &echo.to_string());
    let told = socket.next().await;
    assert_eq!(told["code"], 40001);
    let original = told["original"].as_str().unwrap();
    assert!(
        !original.contains(key.as_str())
            && !original.contains(secret.as_str())
            && !original.contains(&sig),
        "{told}"
    );
    assert!(
        original.bytes().all(|byte| matches!(byte, b'*' | b' ')),
        "{told}"
    );
}

#[tokio::test]
async fn frames_that_are_none_are_answered_as_the_exchange_does_and_leave_a_record() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    for (text, code) in [
        ("[]", 40001),
        ("{", 40001),
        ("{}", 40003),
        (r#"{"method":"private/x"}"#, 40003),
    ] {
        socket.send_text(text).await;
        let answer = socket.next().await;
        assert_eq!(
            (&answer["code"], &answer["id"]),
            (&json!(code), &json!(-1)),
            "{text}"
        );
    }
    let twice = r#"{"id":9,"method":"private/create-order","params":{"a":{"b":1,"b":2}}}"#;
    socket.send_text(twice).await;
    assert_eq!(socket.next().await["code"], 40004);
    assert_eq!(records(&proxy, &["door=ws", "outcome=refused"]).len(), 5);
}

#[tokio::test]
async fn the_id_of_an_overdue_command_is_in_use_until_its_late_answer() {
    let proxy = streaming(|plan| plan.gateway.deadline = Duration::from_millis(300)).await;
    let mut socket = Socket::bot(&proxy).await;
    proxy.exchange().script(CREATE, Fault::hang_after());
    assert_eq!(socket.ask(create(7, "late")).await["code"], 40801);
    let refused = socket.ask(create(7, "again")).await;
    assert_eq!(
        (&refused["code"], &refused["outcome"]),
        (&json!(40006), &json!("refused"))
    );
    for (late, code) in [
        (
            r#"{"id":7,"method":"private/user-balance","code":0}"#,
            40006,
        ),
        (LATE, 0),
    ] {
        proxy.exchange().send_text(Side::User, late);
        assert_eq!(socket.next().await["id"], 7);
        assert_eq!(
            socket.ask(create(7, "again")).await["code"],
            code,
            "after {late}"
        );
    }
    assert_eq!(
        records(&proxy, &["client_oid=again", "code=0 outcome=answered"]).len(),
        1
    );
}

const LATE: &str = r#"{"id":7,"method":"private/create-order","code":306}"#;

#[tokio::test]
async fn a_socket_on_which_too_many_commands_stay_without_an_answer_is_ended() {
    let proxy = streaming(|plan| {
        plan.gateway.deadline = Duration::from_millis(100);
        plan.streams.max_commands = 2;
    })
    .await;
    let mut socket = Socket::bot(&proxy).await;
    proxy.exchange().script_always(CREATE, Fault::hang_after());
    for id in 1..=3 {
        assert_eq!(
            socket.ask(create(id, &format!("lost-{id}"))).await["code"],
            40801
        );
    }
    let (code, reason) = socket.end().await.unwrap();
    assert!(
        code == 1011 && reason.contains("never answered"),
        "{code} {reason}"
    );
}

#[tokio::test]
async fn what_readers_would_read_differently_does_not_go_on_in_a_subscription_either() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::open(&proxy, "market").await;
    for params in [
        r#"{"channels":["ticker.BTC_USD"],"book_update_frequency":10,"book_update_frequency":100}"#,
        r#"{"channels":["ticker.BTC_USD"],"x":{"a":1,"a":2}}"#,
        r#"{"channels":["ticker.BTC_USD"],"Channels":["user.order"]}"#,
        r#"{"channels":["ticker.BTC_USD"],"chann\u0435ls":["user.order"]}"#,
        r#"{"channels":["ticker.BTC_USD"],"book_update_frequency":{"channels":["user.order"]}}"#,
    ] {
        for method in ["subscribe", "unsubscribe"] {
            socket
                .send_text(&format!(
                    r#"{{"id":2,"method":"{method}","params":{params}}}"#
                ))
                .await;
            let answer = socket.next().await;
            assert_eq!(
                (&answer["code"], &answer["outcome"]),
                (&json!(40004), &json!("refused")),
                "{params}"
            );
        }
    }
    assert_eq!(
        at_exchange(&proxy, "subscribe") + at_exchange(&proxy, "unsubscribe"),
        0
    );
    for (kind, frequency) in [
        ("book_subscription_type", "book_update_frequency"),
        ("bookSubscriptionType", "bookUpdateFrequency"),
    ] {
        let params =
            json!({ "channels": ["ticker.BTC_USD"], kind: "SNAPSHOT_AND_UPDATE", frequency: 10 });
        socket
            .send(json!({ "id": 3, "method": "subscribe", "params": params }))
            .await;
    }
    proxy.exchange().wait_received("subscribe", 2).await;
}
