//! The lines that operators grep for: their literals, their fields, and what must never stand in them.

use crypto_proxy::telemetry::Line;
use gateway::policy::Preset;
use sandbox::{Canned, Fault};
use serde_json::json;
use tracing::Level;

use crate::support::{
    TestProxy, client,
    contract::{ORDER, READ},
    signing::{Pair, Unsigned},
};

/// `name=value` pairs in the order of the line; words without a value stand for themselves.
fn names(line: &Line) -> Vec<&str> {
    line.text()
        .split(' ')
        .map(|part| part.split_once('=').map_or(part, |(name, _)| name))
        .collect()
}

fn value<'l>(line: &'l Line, name: &str) -> &'l str {
    let parts = line
        .text()
        .split(' ')
        .filter_map(|part| part.split_once('='));
    parts
        .into_iter()
        .find(|(given, _)| *given == name)
        .map(|(_, value)| value)
        .unwrap_or_default()
}

fn number(line: &Line, name: &str) -> usize {
    value(line, name)
        .parse()
        .unwrap_or_else(|_| panic!("{name} in {}", line.text()))
}

#[tokio::test]
async fn a_success_is_one_line_with_every_documented_part_in_order() {
    let proxy = TestProxy::start().await;
    let answer = proxy
        .call_text(
            "private/get-order-history",
            r#"{"instrument_name":"BTC_USD"}"#,
        )
        .await;
    let line = proxy.record(&answer);
    let expected = "[CRYPTO_AUTH_DIAG] event OK rid caller method id nonce params_len sts_len key_fp \
                    CRYPTO_COM_OUTBOUND_IP: unknown response_status code outcome wait_ms exchange_ms total_ms";
    assert_eq!(names(&line).join(" "), expected);
    assert!(
        line.text()
            .starts_with("[CRYPTO_AUTH_DIAG] event=call OK rid="),
        "{}",
        line.text()
    );
    assert!(
        line.text()
            .contains(" caller=default method=private/get-order-history id=1 nonce=")
    );
    assert!(
        line.text().contains(
            " CRYPTO_COM_OUTBOUND_IP: unknown response_status=200 code=0 outcome=answered "
        )
    );
    assert_eq!(line.level(), Level::INFO);
    assert_eq!(number(&line, "params_len"), "instrument_nameBTC_USD".len());
    let parts =
        "private/get-order-history1".len() + proxy.canaries.key.len() + value(&line, "nonce").len();
    assert_eq!(
        number(&line, "sts_len"),
        parts + number(&line, "params_len")
    );
    assert!(number(&line, "total_ms") >= number(&line, "exchange_ms"));
    let sent = proxy.exchange().received()[0].json().unwrap();
    assert_eq!(value(&line, "nonce"), sent["nonce"].to_string());
}

#[tokio::test]
async fn the_fields_say_the_same_as_the_line() {
    let proxy = TestProxy::start().await;
    let order = json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "1", "quantity": "1", "client_oid": "b-1",
    });
    let answer = proxy.call(ORDER, order).await;
    let line = proxy.record(&answer);
    let pairs = [
        ("CRYPTO_EVENT", "event"),
        ("CRYPTO_RID", "rid"),
        ("CRYPTO_CALLER", "caller"),
        ("CRYPTO_METHOD", "method"),
        ("CRYPTO_ID", "id"),
        ("CRYPTO_NONCE", "nonce"),
        ("CRYPTO_KEY_FP", "key_fp"),
        ("CRYPTO_STATUS", "response_status"),
        ("CRYPTO_CODE", "code"),
        ("CRYPTO_OUTCOME", "outcome"),
        ("CRYPTO_CLIENT_OID", "client_oid"),
        ("CRYPTO_EXCHANGE_MS", "exchange_ms"),
        ("CRYPTO_TOTAL_MS", "total_ms"),
    ];
    for (field, name) in pairs {
        assert_eq!(
            line.field(field),
            Some(value(&line, name)),
            "{field} of {}",
            line.text()
        );
        assert!(!value(&line, name).is_empty(), "{name} of {}", line.text());
    }
    assert_eq!(
        line.fields().count(),
        pairs.len(),
        "{:?}",
        line.fields().collect::<Vec<_>>()
    );
    assert_eq!(line.target(), crypto_proxy::telemetry::RECORD_TARGET);
    assert_eq!(
        (value(&line, "client_oid"), Some(value(&line, "rid"))),
        ("b-1", answer.header("x-request-id").as_deref())
    );
}

#[tokio::test]
async fn the_key_is_known_by_its_fingerprint_alone() {
    use sha2::{Digest, Sha256};
    let proxy = TestProxy::start().await;
    let answer = proxy.call_text(READ, "{}").await;
    let digest = hex::encode(Sha256::digest(proxy.canaries.key.as_bytes()));
    assert_eq!(value(&proxy.record(&answer), "key_fp"), &digest[..8]);
}

#[tokio::test]
async fn address_and_skew_stand_in_the_line_once_they_are_known() {
    let proxy = TestProxy::builder()
        .exchange(|exchange| exchange.clock_offset_ms = 20_000)
        .start()
        .await;
    proxy
        .gateway
        .observed()
        .note_outbound("203.0.113.7".parse().unwrap());
    let first = proxy.record(&proxy.call_text(READ, "{}").await);
    assert!(
        first
            .text()
            .contains(" CRYPTO_COM_OUTBOUND_IP: 203.0.113.7 ip_age_s=0 "),
        "{}",
        first.text()
    );
    assert_eq!(
        (
            first.field("CRYPTO_OUTBOUND_IP"),
            first.field("CRYPTO_SKEW_MS")
        ),
        (Some("203.0.113.7"), None)
    );
    let second = proxy.record(&proxy.call_text(READ, "{}").await);
    let skew: i64 = second.field("CRYPTO_SKEW_MS").unwrap().parse().unwrap();
    assert!((18_500..=21_500).contains(&skew), "{skew}");
    assert!(
        value(&second, "skew_ms").starts_with(&format!("+{skew}±")),
        "{}",
        second.text()
    );
}

#[tokio::test]
async fn whatever_is_no_success_carries_the_word_fail_and_warning_priority() {
    let proxy = TestProxy::start().await;
    let answers = [
        proxy.meet(Fault::code(40101)).await,
        proxy.meet(Fault::code(306)).await,
        proxy.meet(Fault::code(50001)).await,
        proxy.pass_on(Canned::html(403, "<html>")).await,
        proxy.meet(Fault::cut_before()).await,
        proxy.call_text("private/create-withdrawal", "{}").await,
        proxy.call_text("no/such", "{}").await,
        proxy.post("nonsense").await,
    ];
    let seen: Vec<_> = answers.iter().map(|answer| proxy.record(answer)).collect();
    let ends = [
        "401 code=40101",
        "500 code=306",
        "400 code=50001",
        "403 outcome",
        "502 outcome",
        "403 outcome",
        "422 outcome",
        "422 outcome",
    ];
    for (line, end) in seen.iter().zip(ends) {
        assert!(
            line.text()
                .starts_with("[CRYPTO_AUTH_DIAG] event=call FAIL rid="),
            "{}",
            line.text()
        );
        assert!(
            line.text().contains(&format!(" response_status={end}")),
            "{} has no {end}",
            line.text()
        );
        assert_eq!(line.level(), Level::WARN);
    }
}

#[tokio::test]
async fn signing_lines_are_written_only_where_they_are_switched_on() {
    let quiet = TestProxy::builder()
        .plan(|plan| plan.gateway.signing_lines = false)
        .start()
        .await;
    quiet.call_text(READ, "{}").await;
    assert!(
        quiet
            .texts()
            .iter()
            .all(|line| !line.contains("event=signing")),
        "{:?}",
        quiet.texts()
    );
    let proxy = TestProxy::start().await;
    let answer = proxy
        .call_text(READ, r#"{"instrument_name":"MARKER7391"}"#)
        .await;
    let rid = answer.header("x-request-id").unwrap();
    let start = format!("[CRYPTO_AUTH_DIAG] event=signing rid={rid} method={READ} id=1 nonce=");
    let lines: Vec<Line> = proxy
        .lines
        .lines()
        .into_iter()
        .filter(|line| line.text().starts_with(&start))
        .collect();
    assert_eq!((lines.len(), lines[0].level()), (1, Level::INFO));
    let body = &proxy.exchange().received()[0].body;
    assert_eq!(number(&lines[0], "body_len"), body.len());
    assert_eq!(
        (
            number(&lines[0], "params_len"),
            number(&lines[0], "sig_len")
        ),
        ("instrument_nameMARKER7391".len(), 64)
    );
    assert!(!lines[0].text().contains("MARKER7391"));
}

#[tokio::test]
async fn neither_params_nor_answers_stand_in_any_line() {
    let proxy = TestProxy::start().await;
    let params =
        r#"{"instrument_name":"MARKER7391","MARKER7391":"MARKER7391","client_oid":"MARKER7391"}"#;
    proxy.exchange().script(
        READ,
        Fault::reply(Canned::json(500, r#"{"code":306,"message":"MARKER7391"}"#)),
    );
    proxy.call_text(READ, params).await;
    proxy.exchange().script(
        READ,
        Fault::reply(Canned::html(200, "MARKER7391").header("x-a", "MARKER7391")),
    );
    proxy.call_text(READ, params).await;
    for line in proxy.lines.lines() {
        let all = format!("{} {:?}", line.text(), line.fields().collect::<Vec<_>>());
        assert!(!all.contains("MARKER7391"), "{all}");
    }
}

#[tokio::test]
async fn no_input_makes_a_second_line_or_ends_one() {
    let proxy = TestProxy::start().await;
    let hostile = "x\r\n[CRYPTO_AUTH_DIAG] event=call OK rid=0 \u{2028}\u{202e}\u{0}";
    proxy.call(hostile, json!({})).await;
    proxy.call(READ, json!({ "a": hostile })).await;
    proxy.call(READ, json!({ hostile: "a" })).await;
    proxy.call(ORDER, json!({ "client_oid": hostile })).await;
    let token = &proxy.canaries.token;
    let request = client()
        .post(proxy.url("/proxy/private?x=%0d%0aevent=call"))
        .header("x-proxy-token", token);
    let request = request
        .header("content-type", "text/plain; a=event=call")
        .header("x-request-id", "event=call");
    proxy
        .send(request.header("user-agent", "event=call").body("x"))
        .await;
    let lines = proxy.texts();
    assert!(
        lines
            .iter()
            .all(|line| !line.contains(|given: char| given.is_control())),
        "{lines:?}"
    );
    let calls: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("event=call"))
        .collect();
    assert_eq!(calls.len(), 5, "{calls:#?}");
    assert!(
        calls
            .iter()
            .all(|line| line.matches("event=call").count() == 1 && !line.contains("rid=0 ")),
        "{calls:#?}"
    );
}

#[tokio::test]
async fn the_hint_of_a_call_stands_in_its_answer_in_the_words_of_its_line() {
    let proxy = TestProxy::builder()
        .caller("trader", Preset::Trade)
        .start()
        .await;
    let pair = Pair::of("trader");
    for code in [40101, 40103] {
        for by_signature in [false, true] {
            proxy.exchange().script(READ, Fault::code(code));
            let answer = if by_signature {
                proxy.signed(&pair, &Unsigned::new(READ, "{}")).await
            } else {
                proxy.call(READ, json!({})).await
            };
            // The line is there as soon as the answer is.
            let rid = answer.header("x-request-id").unwrap();
            let start = format!("[CRYPTO_AUTH_DIAG] event=hint rid={rid} ");
            let lines = proxy.texts();
            let line = lines.iter().find(|line| line.starts_with(&start));
            let line = line.unwrap_or_else(|| panic!("no hint to {rid}: {lines:?}"));
            let hint = answer.header("x-proxy-hint").expect("a hint");
            let (cause, likelihood) = hint.split_once("; ").expect("two words");
            let words = format!(" cause={cause} likelihood=\"{likelihood}\": ");
            assert!(line.contains(&words), "{hint}: {line}");
        }
    }
    proxy.exchange().script(READ, Fault::code(306));
    let rejected = proxy.call(READ, json!({})).await;
    let good = proxy.call(READ, json!({})).await;
    let unknown = proxy
        .post_exchange(
            READ,
            Unsigned::new(READ, "{}").body(&pair.with_wrong_secret()),
        )
        .await;
    let wrong = client().post(proxy.url("/proxy/private"));
    let wrong = proxy.send(wrong.header("x-proxy-token", "no")).await;
    for answer in [rejected, good, unknown, wrong] {
        assert_eq!(answer.header("x-proxy-hint"), None, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_flood_without_a_token_leaves_exact_counts_and_no_call_lines() {
    let proxy = TestProxy::start().await;
    let client = client();
    for _ in 0..150 {
        let answer = client
            .post(proxy.url("/proxy/private"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 401);
    }
    assert_eq!(proxy.told_refusals("status=401 why=token"), 150);
    let lines = proxy.lines.lines();
    let about: Vec<_> = lines
        .iter()
        .filter(|line| line.text().contains("401"))
        .collect();
    assert!(
        about
            .iter()
            .all(|line| line.text().ends_with(" from=127.0.0.1") && line.level() == Level::WARN)
    );
    assert!(lines.len() < 10, "{:?}", proxy.texts());
    assert!(
        lines.iter().all(|line| !line.text().contains("event=call")),
        "{:?}",
        proxy.texts()
    );
    let told = lines.len();
    proxy.rejections.log();
    assert_eq!(
        proxy.lines.lines().len(),
        told,
        "what was told is not told again"
    );
}

#[tokio::test]
async fn a_page_in_the_place_of_an_answer_is_named_by_its_type() {
    let proxy = TestProxy::start().await;
    let page = proxy
        .pass_on(Canned::new(403, "Text/HTML; charset=utf-8", "<html>"))
        .await;
    assert_eq!(value(&proxy.record(&page), "content_type"), "text/html");
    let odd = proxy
        .pass_on(Canned::new(200, "text/\u{1}forged outcome=answered", "x"))
        .await;
    assert!(
        !proxy.record(&odd).text().contains("forged"),
        "{}",
        proxy.record(&odd).text()
    );
    let json = proxy.call_text(READ, "{}").await;
    assert_eq!(value(&proxy.record(&json), "content_type"), "");
}
