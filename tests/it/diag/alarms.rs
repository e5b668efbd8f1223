//! The alarms of the records: in the log once, in `/ready` and in the diagnosis for as long as they stand.

use super::*;

fn alarms(proxy: &TestProxy) -> Vec<String> {
    let lines = proxy
        .texts()
        .into_iter()
        .filter(|line| line.contains("event=alarm "));
    lines
        .map(|line| line.split(" code=").next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn calls_that_begin_to_be_refused_raise_each_alarm_once_until_one_is_accepted() {
    let proxy = builder().start().await;
    for method in [READ, "private/get-open-orders"] {
        assert_eq!(proxy.call_text(method, "{}").await.inner()["code"], 0);
    }
    proxy.exchange().script_always("*", Fault::code(40101));
    for method in [READ, "private/get-open-orders"].repeat(3) {
        assert_eq!(proxy.call_text(method, "{}").await.inner()["code"], 40101);
    }
    let all = proxy
        .wait_line(&[
            "event=alarm alarm=all_refused state=raised",
            "calls=2 methods=2",
            "crypto-proxy diagnose",
        ])
        .await;
    let fields = [
        "CRYPTO_EVENT",
        "CRYPTO_ALARM",
        "CRYPTO_ALARM_STATE",
        "CRYPTO_CODE",
    ]
    .map(|name| all.field(name));
    assert_eq!(
        fields,
        [
            Some("alarm"),
            Some("all_refused"),
            Some("raised"),
            Some("40101")
        ]
    );
    let ready = proxy.send(client().get(proxy.url("/ready"))).await;
    assert_eq!(
        (ready.status, &ready.json()["warnings"]),
        (200, &json!(["the exchange refuses every private call"]))
    );
    let standing = ask(&proxy, KNOWN).await.json()["alarms"].clone();
    let refused = json!(["private/get-open-orders", READ]);
    assert_eq!(
        (
            &standing["all_private_calls_refused"],
            &standing["refused_methods"]
        ),
        (&json!(true), &refused)
    );
    proxy.exchange().clear_script("*");
    proxy.call_text(READ, "{}").await;
    proxy
        .wait_line(&[
            "event=alarm alarm=all_refused state=ended",
            "after 6 refused calls",
        ])
        .await;
    proxy.call_text("private/get-open-orders", "{}").await;
    proxy
        .wait_line(&[
            "event=alarm alarm=method_refused state=ended method=private/get-open-orders",
            "after 3 refused",
        ])
        .await;
    let tag = "[CRYPTO_AUTH_DIAG] event=alarm alarm=";
    let expected = [
        "method_refused state=raised method=private/user-balance",
        "method_refused state=raised method=private/get-open-orders",
        "all_refused state=raised method=private/get-open-orders",
        "method_refused state=ended method=private/user-balance",
        "all_refused state=ended method=private/user-balance",
        "method_refused state=ended method=private/get-open-orders",
    ];
    assert_eq!(alarms(&proxy), expected.map(|line| format!("{tag}{line}")));
    assert_eq!(
        proxy.send(client().get(proxy.url("/ready"))).await.text(),
        r#"{"ready":true}"#
    );
}

#[tokio::test]
async fn the_probes_of_a_run_raise_no_alarm() {
    let proxy = builder().start().await;
    for method in [READ, "private/get-open-orders"] {
        proxy.call_text(method, "{}").await;
    }
    proxy.exchange().script_always("*", Fault::code(40101));
    assert_eq!(ask(&proxy, RUN).await.json()["test_result"], "trouble");
    proxy.settle().await;
    assert!(alarms(&proxy).is_empty(), "{:?}", alarms(&proxy));
}

#[tokio::test]
async fn an_outage_has_a_hint_an_alarm_and_a_warning_until_a_call_is_judged_again() {
    let proxy = builder().start().await;
    proxy.call_text(READ, "{}").await;
    proxy.exchange().script_always("*", Fault::code(50001));
    for _ in 0..3 {
        proxy.call_text(READ, "{}").await;
    }
    proxy
        .wait_line(&[
            "event=hint rid=",
            "code=50001 cause=CP-OUTAGE likelihood=\"likely\"",
        ])
        .await;
    proxy
        .wait_line(&[
            "event=alarm alarm=exchange_down state=raised",
            "calls=3 methods=1",
        ])
        .await;
    let ready = proxy.send(client().get(proxy.url("/ready"))).await;
    assert_eq!(
        (ready.status, &ready.json()["warnings"]),
        (
            200,
            &json!(["the exchange answers private calls with errors of its own"])
        )
    );
    let standing = ask(&proxy, KNOWN).await.json()["alarms"].clone();
    assert_eq!(standing["exchange_down"], true);
    // A refusal is a judgement, too.
    proxy.exchange().clear_script("*");
    proxy.exchange().script(READ, Fault::code(40101));
    proxy.call_text(READ, "{}").await;
    proxy
        .wait_line(&[
            "event=alarm alarm=exchange_down state=ended",
            "after 3 calls",
        ])
        .await;
    let ready = proxy.send(client().get(proxy.url("/ready"))).await;
    assert_eq!(ready.text(), r#"{"ready":true}"#);
}
