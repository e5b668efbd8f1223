//! Which token opens which door, and what everybody else is told.

use super::*;

const REFUSED: &str = r#"{"detail":"Invalid proxy token"}"#;

async fn with_tokens(proxy: &TestProxy, path: &str, tokens: &[&str]) -> Answer {
    let url = proxy.url(path);
    let bare = if path == KNOWN {
        client().get(url)
    } else {
        client().post(url)
    };
    let request = tokens.iter().fold(bare, |request, token| {
        request.header("x-proxy-token", *token)
    });
    let request = request.header("content-type", "application/json");
    let body = if path == KNOWN {
        ""
    } else {
        r#"{"method":"private/user-balance"}"#
    };
    proxy.send(request.body(body)).await
}

#[tokio::test]
async fn only_the_token_of_the_diagnosis_opens_it_and_it_opens_nothing_else() {
    let proxy = builder().start().await;
    let (api, diagnosis) = (
        proxy.canaries.token.as_str(),
        proxy.canaries.diagnosis.as_str(),
    );
    let cases: [&[&str]; 7] = [
        &[],
        &[""],
        &["wrong"],
        &[api],
        &[diagnosis, diagnosis],
        &[api, diagnosis],
        &[&diagnosis[1..]],
    ];
    for path in [KNOWN, RUN] {
        for tokens in cases {
            let answer = with_tokens(&proxy, path, tokens).await;
            assert_eq!(
                (answer.status, answer.text()),
                (401, REFUSED),
                "{path} {}",
                tokens.len()
            );
            let stored = answer.header("cache-control");
            assert_eq!(
                (stored.as_deref(), answer.headers.len()),
                (Some("no-store"), 6),
                "{:?}",
                answer.headers
            );
        }
    }
    let at_the_door = with_tokens(&proxy, "/proxy/private", &[diagnosis]).await;
    assert_eq!((at_the_door.status, at_the_door.text()), (401, REFUSED));
    assert_eq!(
        (
            proxy.told_refusals("status=401 why=token"),
            proxy.upstream_requests()
        ),
        (15, 0)
    );
    assert_eq!(with_tokens(&proxy, KNOWN, &[diagnosis]).await.status, 200);
    assert_eq!(
        with_tokens(&proxy, "/proxy/private", &[api]).await.status,
        200
    );
    assert!(told(&proxy).is_empty(), "{:?}", told(&proxy));
}

#[tokio::test]
async fn where_nobody_may_diagnose_the_answer_names_the_setting_whatever_is_shown() {
    let proxy = TestProxy::start().await;
    for path in [KNOWN, RUN] {
        for tokens in [&[][..], &["wrong"], &[proxy.canaries.token.as_str()]] {
            let answer = with_tokens(&proxy, path, tokens).await;
            assert_eq!(answer.status, 403);
            assert!(
                answer.text().contains("CRYPTO_PROXY_DIAG_TOKEN"),
                "{}",
                answer.text()
            );
        }
    }
    assert_eq!(proxy.told_refusals("status=403 why=diagnosis_off"), 6);
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn a_browser_on_another_site_and_a_rebound_name_open_nothing() {
    let proxy = builder().start().await;
    for path in [KNOWN, RUN] {
        let answer = proxy
            .send(request(&proxy, path).header("origin", "https://evil.example"))
            .await;
        assert_eq!((answer.status, answer.outcome().as_str()), (403, ""));
        let answer = proxy
            .send(request(&proxy, path).header("host", "evil.example"))
            .await;
        assert_eq!(answer.status, 421);
    }
    assert_eq!(proxy.told_refusals("status=403 why=origin"), 2);
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn wrong_verbs_are_405_and_what_cannot_be_read_is_422_before_anything_is_asked() {
    let proxy = builder().start().await;
    let token = &proxy.canaries.diagnosis;
    let wrong = proxy
        .send(client().get(proxy.url(RUN)).header("x-proxy-token", token))
        .await;
    assert_eq!(
        (wrong.status, wrong.header("allow").as_deref()),
        (405, Some("POST"))
    );
    assert_eq!(
        proxy
            .send(
                client()
                    .post(proxy.url(KNOWN))
                    .header("x-proxy-token", token)
            )
            .await
            .status,
        405
    );
    for query in [
        "?key_updated=yesterday-marker",
        "?file_key_fp=marker",
        "?probe_trade=marker",
    ] {
        let answer = ask(&proxy, &format!("{RUN}{query}")).await;
        assert!(
            answer.status == 422 && !answer.text().contains("marker"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn a_body_is_neither_needed_nor_read() {
    let proxy = builder().start().await;
    let answer = proxy
        .send(request(&proxy, RUN).body("x".repeat(1 << 20)))
        .await;
    assert_eq!(
        (answer.status, answer.header("connection").as_deref()),
        (200, Some("close"))
    );
}
