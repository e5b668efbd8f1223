//! 422: every body that is no call, and every call that cannot be signed, said in the shape that callers know.

use serde_json::{Value, json};

use crate::support::{Answer, TestProxy, client, contract::READ, each};

/// Stands in every wrong input, and must not stand in anything that leaves.
const MARKER: &str = "MARKER7391";

fn assert_refused(proxy: &TestProxy, answer: &Answer, kind: &str, location: &[&str]) {
    assert_eq!(answer.status, 422, "{}", answer.text());
    let detail = &answer.json()["detail"];
    assert_eq!(
        (&detail[0]["type"], &detail[0]["loc"]),
        (&json!(kind), &json!(location))
    );
    let names: Vec<&String> = detail[0].as_object().unwrap().keys().collect();
    assert_eq!(
        (detail.as_array().unwrap().len(), names.len()),
        (1, 3),
        "{detail}"
    );
    proxy.assert_outcome(answer, "refused", Some(kind));
    assert!(
        !answer.head_and_body().contains(MARKER),
        "{}",
        answer.text()
    );
    assert!(
        proxy.texts().iter().all(|line| !line.contains(MARKER)),
        "{:?}",
        proxy.texts()
    );
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn each_wrong_body_is_told_where_and_why_and_never_echoed() {
    let proxy = TestProxy::start().await;
    let whole: [(&str, &str, &[&str]); 16] = [
        ("", "missing", &["body"]),
        ("MARKER7391", "json_invalid", &["body"]),
        (r#"{"method":"MARKER7391""#, "json_invalid", &["body"]),
        (
            r#"{"method":"private/user-balance"}MARKER7391"#,
            "json_invalid",
            &["body"],
        ),
        (
            r#"{"method":"private/user-balance","n":NaN}"#,
            "json_invalid",
            &["body"],
        ),
        ("\"MARKER7391\"", "dict_type", &["body"]),
        (r#"["MARKER7391"]"#, "dict_type", &["body"]),
        ("null", "dict_type", &["body"]),
        (r#"{"MARKER7391":1}"#, "missing", &["body", "method"]),
        (r#"{"method":null}"#, "string_type", &["body", "method"]),
        (
            r#"{"method":["MARKER7391"]}"#,
            "string_type",
            &["body", "method"],
        ),
        (
            r#"{"method":"a","params":null}"#,
            "dict_type",
            &["body", "params"],
        ),
        (
            r#"{"method":"a","params":["MARKER7391"]}"#,
            "dict_type",
            &["body", "params"],
        ),
        (
            r#"{"method":"a","params":"MARKER7391"}"#,
            "dict_type",
            &["body", "params"],
        ),
        (
            r#"{"method":"a","params":0}"#,
            "dict_type",
            &["body", "params"],
        ),
        (
            r#"{"method":"MARKER7391","method":"private/user-balance"}"#,
            "duplicate_field",
            &["body", "method"],
        ),
    ];
    each(whole, async |(body, kind, location)| {
        assert_refused(&proxy, &proxy.post(body).await, kind, location);
    })
    .await;
}

#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_the_body() {
    let proxy = TestProxy::start().await;
    let marked = |marks: &str| format!("{marks}{{\"method\":\"private/user-balance\"}}");
    let twice = proxy.post(&marked("\u{feff}\u{feff}")).await;
    assert_refused(&proxy, &twice, "json_invalid", &["body"]);
    let once = proxy.post(&marked("\u{feff}")).await;
    assert_eq!(once.status, 200, "{}", once.text());
}

#[tokio::test]
async fn a_body_that_is_not_utf8_is_refused() {
    let proxy = TestProxy::start().await;
    let request = client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", &proxy.canaries.token);
    let request = request
        .header("content-type", "application/json")
        .body(&b"{\"method\":\"MARKER7391\xff\"}"[..]);
    assert_refused(
        &proxy,
        &proxy.send(request).await,
        "json_invalid",
        &["body"],
    );
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let proxy = TestProxy::start().await;
    let rows = [
        None,
        Some(""),
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("MARKER7391"),
    ];
    each(rows, async |kind| {
        let request = client()
            .post(proxy.url("/proxy/private"))
            .header("x-proxy-token", &proxy.canaries.token);
        let request = kind.into_iter().fold(request, |request, kind| {
            request.header("content-type", kind)
        });
        let answer = proxy
            .send(request.body(r#"{"method":"private/user-balance"}"#))
            .await;
        assert_refused(&proxy, &answer, "content_type", &["body"]);
        assert_eq!(
            answer.json()["detail"][0]["msg"],
            "Content-Type must be application/json"
        );
    })
    .await;
}

#[tokio::test]
async fn no_method_outside_the_grammar_reaches_the_exchange() {
    let proxy = TestProxy::start().await;
    let long = "a".repeat(32 << 10);
    let methods = [
        "",
        "private",
        "private/",
        "/private/x",
        "../../x",
        "private/../public/x",
        "private/./x",
        "private/%2e%2e/x",
        "private/%2Fx",
        "//evil",
        "private//x",
        "https://MARKER7391/private/x",
        "private/x?MARKER7391",
        "private/x#y",
        "private/x\u{0}",
        "private/x\r\nMARKER7391: y",
        "private/x\n",
        "private\\x",
        "private/x\\..\\y",
        "private/\u{ff0e}\u{ff0e}/x",
        "private/\u{2024}\u{2024}/x",
        "private/\u{202e}x",
        "private/X",
        " private/user-balance",
        "private/user-balance ",
        "user/x",
        "private/a/b/c/d",
        &format!("private/{long}"),
    ];
    each(methods, async |method| {
        let answer = proxy.call(method, json!({})).await;
        assert_refused(&proxy, &answer, "method_grammar", &["body", "method"]);
        let message = answer.json()["detail"][0]["msg"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(message.contains("private/create-order"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn params_that_cannot_be_signed_safely_are_refused_with_what_to_send_instead() {
    let proxy = TestProxy::start().await;
    let cases = [
        (r#"{"MARKER7391":1,"MARKER7391":2}"#, "send it once"),
        (r#"{"a":[[["MARKER7391"]]]}"#, "send a flatter form"),
        (r#"{"a":18446744073709551616}"#, "send it as a string"),
        (r#"{"price":50000.00}"#, "send it as a string"),
        (r#"{"price":1e-5}"#, "send it as a string"),
        (r#"{"n":-0}"#, "send 0, or a string"),
        (r#"{"a":[1.5]}"#, "send them as strings"),
        (r#"{"a":[null]}"#, "leave the element out"),
        (r#"{"MARKER7391é":1}"#, "use the documented names"),
        (
            "{\"MARKER7391\\r\\nevent=call\":1}",
            "use the documented names",
        ),
        (r#"{"a":"MARKER7391\ud800"}"#, "send whole characters"),
        (
            r#"{"order_list":[{"exec_inst":["MARKER7391"]}]}"#,
            "send it as a string such as",
        ),
    ];
    each(cases, async |(params, remedy)| {
        let answer = proxy.call_text(READ, params).await;
        assert_refused(&proxy, &answer, "params_not_signable", &["body", "params"]);
        let message = answer.json()["detail"][0]["msg"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            message.starts_with("params") && message.contains(remedy),
            "{params}: {message}"
        );
    })
    .await;
}

#[tokio::test]
async fn params_nested_without_end_are_refused_without_harm() {
    let proxy = TestProxy::start().await;
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(25_000), "]".repeat(25_000));
    let answer = proxy.call_text(READ, &deep).await;
    assert_eq!((answer.status, proxy.upstream_requests()), (422, 0));
    assert_eq!(proxy.call_text(READ, "{}").await.status, 200);
}

#[tokio::test]
async fn a_refusal_names_the_place_by_documented_names_only() {
    let proxy = TestProxy::start().await;
    let message = |answer: Answer| {
        answer.json()["detail"][0]["msg"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let known = message(
        proxy
            .call_text(READ, r#"{"order_list":[{},{"price":1.50}]}"#)
            .await,
    );
    assert!(known.starts_with("params.order_list[1].price: "), "{known}");
    let unknown = message(
        proxy
            .call(
                "private/user-balance",
                json!({ "MARKER7391": Value::from(1e-9) }),
            )
            .await,
    );
    assert!(
        !unknown.contains(MARKER) && unknown.starts_with("params.("),
        "{unknown}"
    );
}
