//! Which requests are served at all: by `Host`, `Origin`, path and verb.

use crate::support::{TestProxy, client, contract::READ, each};

const MISDIRECTED: &str =
    r#"{"detail":"This Host is not served; allowed_hosts names the ones that are"}"#;

#[tokio::test]
async fn a_host_that_we_do_not_serve_opens_nothing() {
    let proxy = TestProxy::start().await;
    let (port, token) = (proxy.address().port(), proxy.canaries.token.clone());
    let hosts = [
        String::new(),
        "host: evil.example\r\n".into(),
        format!("host: evil.example:{port}\r\n"),
        "host: 127.0.0.1.evil.example\r\n".into(),
        "host: localhost.\r\n".into(),
        "host: user@127.0.0.1\r\n".into(),
        "host: 127.0.0.1\r\nhost: 127.0.0.1\r\n".into(),
        "host: 127.0.0.1\r\nhost: evil.example\r\n".into(),
        "host: \r\n".into(),
        "host: 127.0.0.1, evil.example\r\n".into(),
    ];
    for host in &hosts {
        for path in ["/health", "/ready", "/", "/proxy/private", "/nothing"] {
            let answer = proxy
                .send_raw(&format!(
                    "GET {path} HTTP/1.1\r\n{host}x-proxy-token: {token}\r\n\r\n"
                ))
                .await;
            assert_eq!(
                (answer.status, answer.text()),
                (421, MISDIRECTED),
                "{host:?} {path}"
            );
            assert_eq!(answer.outcome(), "refused");
        }
    }
    assert_eq!(
        (
            proxy.told_refusals("status=421 why=host"),
            proxy.upstream_requests()
        ),
        (50, 0)
    );
}

#[tokio::test]
async fn a_load_balancers_check_in_http_1_0_needs_no_host_and_nothing_else_comes_that_way() {
    let proxy = TestProxy::start().await;
    let token = &proxy.canaries.token;
    let rows = [
        ("GET /health HTTP/1.0\r\n".to_owned(), 200),
        ("GET /ready HTTP/1.0\r\n".to_owned(), 200),
        (
            "GET /health HTTP/1.0\r\nhost: evil.example\r\n".to_owned(),
            421,
        ),
        ("GET /health HTTP/1.0\r\nhost: \r\n".to_owned(), 421),
        (
            "GET /health HTTP/1.0\r\norigin: http://evil.example\r\n".to_owned(),
            421,
        ),
        (
            "GET http://evil.example/health HTTP/1.0\r\n".to_owned(),
            421,
        ),
        ("GET /health HTTP/1.1\r\n".to_owned(), 421),
        (
            "POST /health HTTP/1.0\r\ncontent-length: 0\r\n".to_owned(),
            421,
        ),
        ("GET /health/ HTTP/1.0\r\n".to_owned(), 421),
        ("GET / HTTP/1.0\r\n".to_owned(), 421),
        (
            format!("GET /diag/crypto-auth HTTP/1.0\r\nx-proxy-token: {token}\r\n"),
            421,
        ),
        (
            format!("POST /proxy/private HTTP/1.0\r\nx-proxy-token: {token}\r\n"),
            421,
        ),
    ];
    each(rows, async |(head, status)| {
        let mut raw = proxy.raw().await;
        raw.write(format!("{head}\r\n").as_bytes()).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, status, "{head}: {}", answer.text());
    })
    .await;
}

#[tokio::test]
async fn the_path_of_calls_may_have_one_slash_more_and_no_other_form() {
    let proxy = TestProxy::start().await;
    let token = &proxy.canaries.token;
    let body = format!(r#"{{"method":"{READ}"}}"#);
    let rows = [
        ("/proxy/private/", 200),
        ("//proxy/private", 200),
        ("//proxy/private/", 404),
        ("/proxy//private", 404),
        ("/proxy/private//", 404),
        ("///proxy/private", 404),
        ("/./proxy/private", 404),
        ("/proxy/private%2F", 404),
        ("/proxy%2Fprivate", 404),
        ("/PROXY/private", 404),
    ];
    each(rows, async |(path, status)| {
        let answer = proxy
            .send_raw(&format!(
                "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-proxy-token: {token}\r\ncontent-type: \
                 application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    })
    .await;
    assert_eq!(proxy.exchange().count(READ), 2);
    let wrong = proxy
        .send_raw("GET /proxy/private/ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        .await;
    assert_eq!(
        (wrong.status, wrong.header("allow").as_deref()),
        (405, Some("POST"))
    );
}

#[tokio::test]
async fn the_absolute_form_is_not_served() {
    let proxy = TestProxy::start().await;
    let rows = [
        "http://127.0.0.1/health",
        "http://evil.example/health",
        "https://api.crypto.com/health",
    ];
    each(rows, async |target| {
        let answer = proxy
            .send_raw(&format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"))
            .await;
        assert_eq!(
            (answer.status, answer.text()),
            (421, MISDIRECTED),
            "{target}"
        );
    })
    .await;
}

#[tokio::test]
async fn literals_own_names_and_configured_names_are_served() {
    let plan = |plan: &mut crypto_proxy::config::Config| {
        plan.http.allowed_hosts = vec!["proxy.internal".into()]
    };
    let proxy = TestProxy::builder().plan(plan).start().await;
    let rows = [
        "127.0.0.1",
        "172.31.31.131:9000",
        "[::1]:9000",
        "LocalHost",
        "host.docker.internal:9000",
    ];
    each(rows, async |host| {
        assert_eq!(
            proxy
                .send_raw(&format!("GET /health HTTP/1.1\r\nhost: {host}\r\n\r\n"))
                .await
                .status,
            200,
            "{host}"
        );
    })
    .await;
    let configured = "GET /health HTTP/1.1\r\nhost: Proxy.Internal:9000\r\n\r\n";
    assert_eq!(proxy.send_raw(configured).await.status, 200);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_reach_a_door() {
    let proxy = TestProxy::start().await;
    for origin in ["http://evil.example", "null", "http://127.0.0.1:9000", ""] {
        let request = client()
            .post(proxy.url("/proxy/private"))
            .header("x-proxy-token", &proxy.canaries.token);
        let request = request
            .header("content-type", "application/json")
            .header("origin", origin);
        let answer = proxy
            .send(request.body(r#"{"method":"private/user-balance"}"#))
            .await;
        let expected = r#"{"detail":"Requests with an Origin header are not served here: they come from a page in a browser; a program leaves Origin out"}"#;
        assert_eq!(
            (answer.status, answer.text(), answer.outcome().as_str()),
            (403, expected, "refused"),
            "{origin}"
        );
    }
    let preflight = client().request(http::Method::OPTIONS, proxy.url("/proxy/private"));
    let answer = proxy
        .send(preflight.header("origin", "http://evil.example"))
        .await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        (
            proxy.told_refusals("status=403 why=origin"),
            proxy.upstream_requests()
        ),
        (5, 0)
    );
}

#[tokio::test]
async fn unknown_paths_are_404_for_every_verb() {
    let proxy = TestProxy::start().await;
    let rows = [
        "/nothing",
        "/proxy",
        "/proxy/private//",
        "/proxy/private/x",
        "/health/",
        "//health",
        "/docs",
    ];
    each(rows, async |path| {
        for verb in [http::Method::GET, http::Method::POST] {
            let answer = proxy.send(client().request(verb, proxy.url(path))).await;
            assert_eq!(
                (answer.status, answer.text()),
                (404, r#"{"detail":"Not Found"}"#),
                "{path}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn wrong_verbs_are_405_and_name_the_right_ones() {
    let proxy = TestProxy::start().await;
    let cases = [
        ("/proxy/private", "GET", "POST"),
        ("/proxy/private", "PUT", "POST"),
        ("/proxy/private", "HEADX", "POST"),
    ];
    let operations = [
        ("/health", "POST", "GET,HEAD"),
        ("/ready", "DELETE", "GET,HEAD"),
        ("/", "PUT", "GET,HEAD"),
    ];
    each(
        cases.into_iter().chain(operations),
        async |(path, verb, allow)| {
            let request = client().request(verb.parse().unwrap(), proxy.url(path));
            let answer = proxy
                .send(request.header("x-proxy-token", &proxy.canaries.token))
                .await;
            assert_eq!(
                (answer.status, answer.text()),
                (405, r#"{"detail":"Method Not Allowed"}"#),
                "{verb} {path}"
            );
            assert_eq!(
                answer.header("allow").as_deref(),
                Some(allow),
                "{verb} {path}"
            );
            assert_eq!(answer.is_of_a_door(), path == "/proxy/private");
        },
    )
    .await;
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_ours_and_an_inbound_one_is_not_trusted() {
    let proxy = TestProxy::start().await;
    let mut ids = std::collections::HashSet::new();
    for (path, verb) in [
        ("/health", "GET"),
        ("/proxy/private", "GET"),
        ("/nothing", "GET"),
        ("/proxy/private", "POST"),
    ] {
        for _ in 0..2 {
            let request = client().request(verb.parse().unwrap(), proxy.url(path));
            let request = request
                .header("x-proxy-token", &proxy.canaries.token)
                .header("x-request-id", "forged-7391");
            let request = request
                .header("content-type", "application/json")
                .body(format!(r#"{{"method":"{READ}"}}"#));
            let answer = proxy.send(request).await;
            assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
            let id = answer.header("x-request-id").unwrap();
            assert!(
                id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{id}"
            );
            ids.insert(id);
        }
    }
    assert_eq!(ids.len(), 8);
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("forged-7391")),
        "{:?}",
        proxy.texts()
    );
}

#[tokio::test]
async fn smuggled_headers_are_refused_by_the_framing_and_leave_no_record() {
    let proxy = TestProxy::start().await;
    let token = &proxy.canaries.token;
    let tricks = [
        format!("x-proxy-token: {token}\r\n folded\r\n"),
        "x-a: b\0c\r\n".to_owned(),
        "x-a : b\r\n".to_owned(),
        "content-length: 5\r\ncontent-length: 6\r\n".to_owned(),
        "content-length: +5\r\n".to_owned(),
        "x-a: b\r\rx-b: c\r\n".to_owned(),
    ];
    each(&tricks, async |trick| {
        let mut raw = proxy.raw().await;
        raw.write(
            format!("POST /proxy/private HTTP/1.1\r\nhost: 127.0.0.1\r\n{trick}\r\n").as_bytes(),
        )
        .await;
        assert_eq!(raw.answer().await.status, 400, "{trick:?}");
        assert!(raw.is_closed().await);
    })
    .await;
    proxy.settle().await;
    assert_eq!(proxy.told_refusals("status=400 why=framing"), 6);
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("event=call")),
        "{:?}",
        proxy.texts()
    );
    assert_eq!(proxy.upstream_requests(), 0);
}
