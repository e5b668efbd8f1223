//! `GET /` for a browser: who sees the page, what it says and what it never does.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto_proxy::{config::Config, http::Refused};
use gateway::{auth::Callers, secret::TokenDigest};
use http::HeaderValue;
use sandbox::Fault;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Answer, PATIENCE, TestProxy, client, contract::READ};

const TOKEN: &str = "an-invented-diagnosis-token";
const HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A token that opens the page beside those of the callers.
fn opened(plan: &mut Config) {
    let callers = std::mem::take(&mut plan.callers);
    plan.callers = callers.with_diagnosing(TokenDigest::of(TOKEN.as_bytes()), "operator");
}

async fn start() -> TestProxy {
    TestProxy::builder().plan(opened).start().await
}

fn basic(password: impl AsRef<[u8]>) -> HeaderValue {
    let pair = [b"operator:", password.as_ref()].concat();
    HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).unwrap()
}

/// Any request for the page, with the checks that hold for each of them.
async fn send(proxy: &TestProxy, request: reqwest::RequestBuilder) -> Answer {
    let answer = Answer::read(
        request
            .header("accept", HTML)
            .send()
            .await
            .expect("an answer"),
    )
    .await;
    proxy
        .canaries
        .assert_absent(&answer.head_and_body(), "the page");
    proxy.scan_lines();
    let shown = [
        TOKEN.to_owned(),
        STANDARD.encode(format!("operator:{TOKEN}")),
    ];
    for line in proxy.texts().iter().chain([&answer.head_and_body()]) {
        assert!(
            shown.iter().all(|shown| !line.contains(shown.as_str())),
            "{line}"
        );
    }
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("Basic ") && !line.contains("operator:"))
    );
    assert!(!answer.headers.contains_key("set-cookie"));
    answer
}

async fn ask(proxy: &TestProxy, authorization: &[HeaderValue]) -> Answer {
    let mut request = client().get(proxy.url("/"));
    for value in authorization {
        request = request.header("authorization", value);
    }
    send(proxy, request).await
}

async fn page(proxy: &TestProxy) -> Answer {
    ask(proxy, &[basic(TOKEN)]).await
}

const POLICY: &str = "default-src 'none'; style-src 'sha256-";

fn assert_page_headers(answer: &Answer, further: &[&str]) {
    let fixed = [
        ("cache-control", "no-store"),
        ("connection", "close"),
        ("content-type", "text/html; charset=utf-8"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ];
    for (name, value) in fixed {
        assert_eq!(answer.header(name).as_deref(), Some(value), "{name}");
    }
    let policy = answer.header("content-security-policy").expect("a policy");
    let digest = policy
        .strip_prefix(POLICY)
        .and_then(|rest| rest.split_once('\''));
    let (digest, rest) = digest.unwrap_or_else(|| panic!("{policy}"));
    assert_eq!(
        rest,
        "; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(STANDARD.decode(digest).map(|digest| digest.len()), Ok(32));
    let known = [
        "content-length",
        "content-security-policy",
        "date",
        "x-request-id",
    ];
    let known: Vec<&str> = fixed
        .iter()
        .map(|(name, _)| *name)
        .chain(known)
        .chain(further.iter().copied())
        .collect();
    let mut seen: Vec<&str> = answer
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    seen.retain(|name| !known.contains(name));
    assert_eq!(
        (seen, answer.headers.len()),
        (Vec::<&str>::new(), known.len()),
        "{:?}",
        answer.headers
    );
}

#[tokio::test]
async fn a_browser_with_the_token_sees_the_page_and_programs_see_json() {
    let proxy = start().await;
    let answer = page(&proxy).await;
    assert_eq!(answer.status, 200);
    assert_page_headers(&answer, &[]);
    assert!(
        answer
            .text()
            .contains("<title>NOTHING KNOWN · crypto-proxy</title>"),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("No history is kept"));
    for accept in ["*/*", "application/json"] {
        let answer = proxy
            .send(client().get(proxy.url("/")).header("accept", accept))
            .await;
        assert_eq!(
            (answer.status, answer.json()["message"].as_str()),
            (200, Some("Crypto.com Signer Proxy"))
        );
    }
    assert_eq!(
        proxy.upstream_requests(),
        0,
        "a page never asks the exchange"
    );
}

#[tokio::test]
async fn a_copy_stands_still_and_needs_the_token_as_well() {
    let proxy = start().await;
    let copy = |authorization| {
        client()
            .get(proxy.url("/?copy"))
            .header("authorization", authorization)
    };
    let answer = send(&proxy, copy(basic(TOKEN))).await;
    assert_eq!(answer.status, 200);
    assert_page_headers(&answer, &[]);
    assert!(
        !answer.text().contains("http-equiv=\"refresh")
            && answer.text().contains("Content-Security-Policy")
    );
    assert!(page(&proxy).await.text().contains("http-equiv=\"refresh"));
    assert_eq!(send(&proxy, copy(basic("wrong"))).await.status, 401);
}

#[tokio::test]
async fn head_has_the_same_headers_and_no_body_and_other_verbs_are_405() {
    let proxy = start().await;
    let length = page(&proxy).await.header("content-length");
    let head = send(
        &proxy,
        client()
            .head(proxy.url("/"))
            .header("authorization", basic(TOKEN)),
    )
    .await;
    assert_eq!(
        (head.status, head.body.len(), head.header("content-length")),
        (200, 0, length)
    );
    assert_page_headers(&head, &[]);
    for request in [
        client().post(proxy.url("/")),
        client().put(proxy.url("/")),
        client().delete(proxy.url("/")),
    ] {
        let request = request
            .header("authorization", basic(TOKEN))
            .header("accept", HTML);
        let answer = proxy.send(request).await;
        assert_eq!(
            (answer.status, answer.header("allow").as_deref()),
            (405, Some("GET,HEAD"))
        );
    }
}

#[tokio::test]
async fn without_the_token_there_is_a_prompt_and_what_is_needed_and_nothing_else() {
    let proxy = start().await;
    proxy.call(READ, json!({})).await;
    let answer = ask(&proxy, &[]).await;
    assert_eq!(answer.status, 401);
    assert_page_headers(&answer, &["www-authenticate"]);
    let prompt = answer.header("www-authenticate");
    assert_eq!(
        prompt.as_deref(),
        Some(r#"Basic realm="crypto-proxy", charset="UTF-8""#)
    );
    assert!(answer.text().contains("CRYPTO_PROXY_DIAG_TOKEN") && !answer.text().contains(READ));
    assert_eq!(
        proxy.rejections.counted(Refused::Page),
        0,
        "every browser begins so"
    );
}

#[tokio::test]
async fn every_wrong_credential_gets_the_same_401_and_is_counted() {
    let token = TOKEN.as_bytes();
    let encoded = STANDARD.encode(format!("operator:{TOKEN}"));
    let text = |text: String| HeaderValue::from_str(&text).unwrap();
    let cases: Vec<Vec<HeaderValue>> = vec![
        vec![basic("")],
        vec![basic("wrong")],
        vec![basic(&token[1..])],
        vec![basic([token, b" "].concat())],
        vec![basic(TOKEN.to_uppercase())],
        vec![basic(b"\xff\xfe\x00")],
        vec![basic("x".repeat(6000))],
        vec![text(format!("Bearer {TOKEN}"))],
        vec![text(format!("Digest {encoded}"))],
        vec![text(encoded.clone())],
        vec![text("Basic %%%".to_owned())],
        vec![text(format!("Basic {}", STANDARD.encode(TOKEN)))],
        vec![HeaderValue::from_bytes(b"Basic caf\xe9").unwrap()],
        vec![basic(TOKEN), basic(TOKEN)],
        vec![basic("wrong"), basic(TOKEN)],
    ];
    let mut told = Vec::new();
    for case in &cases {
        // A proxy each: more than ten from one source would only have to wait.
        let proxy = start().await;
        let answer = ask(&proxy, case).await;
        assert_eq!(
            (answer.status, proxy.rejections.counted(Refused::Page)),
            (401, 1),
            "{}",
            told.len()
        );
        assert_page_headers(&answer, &["www-authenticate"]);
        told.push(answer.text().to_owned());
    }
    told.dedup();
    assert_eq!(told.len(), 1);
}

#[tokio::test]
async fn a_token_of_one_door_opens_no_other() {
    let proxy = start().await;
    let callers = proxy.canaries.token.clone();
    assert_eq!(ask(&proxy, &[basic(callers)]).await.status, 401);
    let request = client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", TOKEN);
    let request = request
        .header("content-type", "application/json")
        .body(r#"{"method":"private/user-balance"}"#);
    assert_eq!(proxy.send(request).await.status, 401);
    let request = client().get(proxy.url("/")).header("x-proxy-token", TOKEN);
    assert_eq!(send(&proxy, request).await.status, 401);
    assert_eq!(page(&proxy).await.status, 200);
}

#[tokio::test]
async fn where_no_token_is_set_the_page_says_how_and_prompts_for_nothing() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.callers = Callers::default())
        .start()
        .await;
    for authorization in [vec![], vec![basic(TOKEN)]] {
        let answer = ask(&proxy, &authorization).await;
        assert_eq!(answer.status, 403);
        assert_page_headers(&answer, &[]);
        let text = answer.text();
        assert!(
            text.contains("CRYPTO_PROXY_DIAG_TOKEN") && text.contains("systemctl restart"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn another_sites_page_and_another_host_do_not_reach_it() {
    let proxy = start().await;
    let request = client()
        .get(proxy.url("/"))
        .header("authorization", basic(TOKEN));
    let answer = proxy
        .send(
            request
                .header("accept", HTML)
                .header("origin", "https://evil.example"),
        )
        .await;
    assert_eq!(
        (answer.status, proxy.rejections.counted(Refused::Origin)),
        (403, 1)
    );
    let request = client()
        .get(proxy.url("/"))
        .header("authorization", basic(TOKEN));
    let answer = proxy
        .send(
            request
                .header("accept", HTML)
                .header("host", "evil.example"),
        )
        .await;
    assert_eq!(answer.status, 421);
}

/// A proxy with a history.
async fn remembering() -> (TestProxy, TempDir) {
    let dir = TempDir::new().unwrap();
    let state = dir.path().to_owned();
    let builder = TestProxy::builder()
        .plan(opened)
        .plan(move |plan| plan.state_dir = Some(state));
    (builder.start().await, dir)
}

/// Loads the page again until it is as wanted: a wait is over, or what it is made of is in the file.
async fn until(proxy: &TestProxy, wanted: impl Fn(&str) -> bool) -> Answer {
    let again = async {
        loop {
            let request = client()
                .get(proxy.url("/"))
                .header("authorization", basic(TOKEN))
                .header("accept", HTML);
            if wanted(
                &request
                    .send()
                    .await
                    .expect("an answer")
                    .text()
                    .await
                    .expect("a page"),
            ) {
                return page(proxy).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("the page that is wanted")
}

#[tokio::test]
async fn calls_show_as_what_works_what_does_not_and_recent_failures() {
    let (proxy, _dir) = remembering().await;
    proxy.call(READ, json!({})).await;
    proxy
        .exchange()
        .script("private/get-open-orders", Fault::code(40101));
    let params = json!({ "instrument_name": "INVENTED_USD", "page_size": "17" });
    let refused = proxy.call("private/get-open-orders", params).await;
    proxy.call("private/create-withdrawal", json!({})).await;
    let rid = refused.header("x-request-id").unwrap();
    let answer = until(&proxy, |page| {
        page.contains("<title>TROUBLE") && page.contains(&rid)
    })
    .await;
    let text = answer.text();
    assert!(
        text.contains("private/get-open-orders fails since")
            && text.contains("one other method works"),
        "{text}"
    );
    for part in [
        "40101 UNAUTHORIZED",
        "refused here",
        READ,
        "start of version",
        "private/create-withdrawal",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("INVENTED_USD") && !text.contains("instrument_name"),
        "no params: {text}"
    );
}

#[tokio::test]
async fn a_storm_of_reloads_is_one_rendering() {
    let (proxy, _dir) = remembering().await;
    let proxy = Arc::new(proxy);
    let asks = (0..40).map(|_| {
        let proxy = Arc::clone(&proxy);
        async move { page(&proxy).await.text().to_owned() }
    });
    let mut pages = futures_util::future::join_all(asks).await;
    pages.dedup();
    assert!(
        pages.len() <= 2,
        "{} pages were made for 40 requests",
        pages.len()
    );
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_said_and_the_page_is_there() {
    let (proxy, dir) = remembering().await;
    std::fs::write(
        dir.path().join("history.db"),
        "no database at all, for as long as it takes",
    )
    .unwrap();
    let _ = std::fs::remove_file(dir.path().join("history.db-wal"));
    let answer = page(&proxy).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.text().contains("The history cannot be read"),
        "{}",
        answer.text()
    );
}
