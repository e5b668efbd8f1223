//! A call that may have been executed comes first everywhere until the daemon has found out what became of it.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use diagnosis::history::FILE_NAME;
use sandbox::Canned;
use tempfile::TempDir;

use super::*;
use crate::support::{connection::order, contract::ORDER};

const DETAIL: &str = "private/get-order-detail";
const IN_DOUBT: &str =
    "1 call is in doubt: it may have been executed; `sudo crypto-proxy diagnose` names it";

fn remembering(dir: &Path) -> Builder {
    let dir = dir.to_owned();
    builder().plan(|plan| {
        plan.gateway.deadline = Duration::from_millis(500);
        plan.state_dir = Some(dir);
    })
}

async fn ready(proxy: &TestProxy) -> Value {
    proxy.send(client().get(proxy.url("/ready"))).await.json()
}

async fn page(proxy: &TestProxy) -> String {
    let pair = STANDARD.encode(format!("operator:{}", proxy.canaries.diagnosis));
    let request = client()
        .get(proxy.url("/?copy"))
        .header("accept", "text/html")
        .header("authorization", format!("Basic {pair}"));
    let answer = Answer::read(request.send().await.expect("an answer")).await;
    let text = answer.text();
    let hero = text
        .split_once("<section")
        .and_then(|(_, rest)| rest.split_once("</section>"));
    hero.expect("the verdict").0.to_owned()
}

/// An order whose answer is lost; the exchange has it, and does not tell of it until [`tell`].
async fn lose_an_answer(proxy: &TestProxy, params: Value) -> Answer {
    let keeps_silent = Fault::code(50001);
    proxy.exchange().script_always(DETAIL, keeps_silent);
    proxy.exchange().script(ORDER, Fault::hang_after());
    let answer = proxy.call(ORDER, params).await;
    assert_eq!(answer.outcome(), "unknown");
    answer
}

fn tell(proxy: &TestProxy) {
    proxy.exchange().clear_script(DETAIL);
}

fn nameless() -> Value {
    let mut order = order("x");
    order.as_object_mut().unwrap().remove("client_oid");
    order
}

/// The code of the first cause, and the next step.
fn first(json: &Value) -> (String, String) {
    let step = json["next_step"].as_str().expect("a next step");
    (
        codes(json).first().map_or("none", |code| code).to_owned(),
        step.to_owned(),
    )
}

async fn found_out(proxy: &TestProxy, name: &str) {
    proxy
        .wait_line(&[
            "event=order_found_out",
            &format!("name={name}"),
            "became=executed",
        ])
        .await;
}

#[tokio::test]
async fn an_order_in_doubt_comes_first_everywhere_until_the_daemon_has_found_out() {
    let dir = TempDir::new().unwrap();
    let proxy = remembering(dir.path()).start().await;
    proxy.call(READ, json!({})).await;
    assert!(!page(&proxy).await.contains("in doubt"));
    let lost = lose_an_answer(&proxy, order("doubt-1")).await;

    // Whoever reads this learns how many there are, and no name.
    let stands = ready(&proxy).await;
    assert_eq!(stands, json!({ "ready": true, "warnings": [IN_DOUBT] }));
    let hero = page(&proxy).await;
    for part in [
        "Trouble",
        "1 call is in doubt",
        "CP-IN-DOUBT",
        "doubt-1",
        DETAIL,
    ] {
        assert!(hero.contains(part), "{part}: {hero}");
    }

    let json = ask(&proxy, RUN).await.json();
    let (code, step) = first(&json);
    assert_eq!(
        (&json["conclusion"], &*code),
        (&json!("trouble"), "CP-IN-DOUBT"),
        "{json:#}"
    );
    assert!(
        step.contains("the proxy asks the exchange by itself")
            && step.contains("private/get-order-detail, for client_oid doubt-1"),
        "{step}"
    );
    let named = &json["in_doubt"][0];
    let rid = lost.header("x-request-id").unwrap();
    assert_eq!(
        (&named["name"], &named["method"], &named["rid"]),
        (&json!("doubt-1"), &json!(ORDER), &json!(rid))
    );

    // Nobody asks; also the last diagnosis is mended.
    tell(&proxy);
    found_out(&proxy, "doubt-1").await;
    assert_eq!(ready(&proxy).await, json!({ "ready": true }));
    let known = ask(&proxy, KNOWN).await.json();
    assert_eq!(
        (&known["in_doubt"], &known["conclusion"], codes(&known)),
        (&json!([]), &json!("healthy"), vec![])
    );
    assert!(!page(&proxy).await.contains("in doubt"));
    proxy.stop().await;

    // The history names no order.
    let history = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
    assert!(!history.windows(7).any(|part| part == b"doubt-1"));
}

#[tokio::test]
async fn a_doubt_outlives_a_restart_and_ends_without_anybody_asking() {
    let dir = TempDir::new().unwrap();
    let lost = remembering(dir.path()).start().await;
    lose_an_answer(&lost, order("doubt-2")).await;
    lost.stop().await;

    // Another exchange stands behind the next start: the order never was there, and it is too early to say so.
    let proxy = remembering(dir.path()).start().await;
    assert_eq!(ready(&proxy).await["warnings"], json!([IN_DOUBT]));
    let known = ask(&proxy, KNOWN).await.json();
    assert_eq!(known["in_doubt"][0]["name"], "doubt-2", "{known:#}");
    assert!(
        known["next_step"].as_str().unwrap().contains("doubt-2"),
        "{known:#}"
    );
    assert_eq!(first(&ask(&proxy, RUN).await.json()).0, "CP-IN-DOUBT");

    // What a program learns ends nothing: the daemon asks by itself.
    proxy.call(DETAIL, json!({ "client_oid": "doubt-3" })).await;
    assert_eq!(ready(&proxy).await["warnings"], json!([IN_DOUBT]));
    let there = json!({ "order_id": "575", "client_oid": "doubt-2", "status": "FILLED" });
    let answer = json!({ "id": 1, "method": DETAIL, "code": 0, "result": there }).to_string();
    let there = Fault::reply(Canned::json(200, answer));
    proxy.exchange().script_always(DETAIL, there);
    found_out(&proxy, "doubt-2").await;
    assert_eq!(ready(&proxy).await, json!({ "ready": true }));
    proxy.stop().await;

    let again = remembering(dir.path()).start().await;
    assert_eq!(ready(&again).await, json!({ "ready": true }));
}

#[tokio::test]
async fn an_order_without_a_name_stays_in_doubt_until_somebody_ends_it() {
    let dir = TempDir::new().unwrap();
    let proxy = remembering(dir.path()).start().await;
    lose_an_answer(&proxy, nameless()).await;
    tell(&proxy);
    lose_an_answer(&proxy, order("doubt-4")).await;
    tell(&proxy);
    // The named one is found out, by questions that the nameless one was due for as well.
    found_out(&proxy, "doubt-4").await;
    assert_eq!(ready(&proxy).await["warnings"], json!([IN_DOUBT]));
    let known = ask(&proxy, KNOWN).await.json();
    assert_eq!(known["in_doubt"][0]["name"], Value::Null);
    let step = known["next_step"].as_str().unwrap();
    for part in [
        "cannot find out by itself",
        "get-open-orders",
        "`sudo crypto-proxy orders resolve ",
        "--executed --why TEXT` if it is there, and with `--never-arrived` if not",
    ] {
        assert!(step.contains(part), "{part}: {step}");
    }
}

// What the daemon cannot find out about is for the operator at once, and what to do is told by its kind.
#[tokio::test]
async fn each_kind_of_call_in_doubt_comes_first_with_its_own_question() {
    let order_id = "6142909898000000001";
    for (method, params, question, is_alarmed) in [
        (
            ORDER,
            nameless(),
            "look at private/get-open-orders and private/get-order-history",
            true,
        ),
        (
            "private/create-subaccount-transfer",
            json!({ "from": "a", "to": "b", "currency": "USD", "amount": "1" }),
            "look at private/get-transactions and the balances of both accounts",
            true,
        ),
        (
            "private/amend-order",
            json!({ "order_id": order_id, "new_price": "1", "new_quantity": "1" }),
            "(private/get-order-detail, for 6142909898000000001)",
            false,
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let proxy = remembering(dir.path())
            .policy(|policy| {
                policy.allow_methods = ["private/create-subaccount-transfer".into()].into();
            })
            .start()
            .await;
        proxy.exchange().script(method, Fault::cut_before());
        let lost = proxy.call(method, params).await;
        assert_eq!(lost.outcome(), "unknown", "{method}: {}", lost.text());
        let rid = lost.header("x-request-id").unwrap();
        let resolve = format!("orders resolve {rid} --executed --why TEXT");
        let hero = page(&proxy).await;
        let (code, step) = first(&ask(&proxy, RUN).await.json());
        assert_eq!(code, "CP-IN-DOUBT", "{method}");
        for part in [question, &resolve] {
            assert!(step.contains(part), "{method}: {part}: {step}");
            assert!(hero.contains(part), "{method}: {part}: {hero}");
        }
        if is_alarmed {
            let raised = "event=alarm alarm=in_doubt state=raised count=1 oldest=none";
            let line = proxy.wait_line(&[raised, &rid, question]).await;
            assert_eq!(line.field("CRYPTO_ALARM"), Some("in_doubt"));
            assert_eq!(line.field("CRYPTO_ALARM_STATE"), Some("raised"));
        }
        assert!(ready(&proxy).await.to_string().contains("in doubt"));
    }
}

#[tokio::test]
async fn where_the_order_journal_takes_no_entry_everybody_is_told() {
    let dir = TempDir::new().unwrap();
    let proxy = remembering(dir.path()).start().await;
    let (file, aside) = (dir.path().join(ledger::FILE_NAME), dir.path().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    let refused = proxy.call(ORDER, order("doubt-5")).await;
    assert_eq!((refused.status, &*refused.outcome()), (503, "refused"));
    assert_eq!(proxy.exchange().count(ORDER), 0);

    // A load balancer still sends cancellations and reads here.
    let stands = ready(&proxy).await;
    assert_eq!(stands["ready"], true, "{stands:#}");
    let warnings = stands["warnings"].to_string();
    assert!(
        warnings.contains("orders are refused and not sent"),
        "{stands:#}"
    );
    let json = ask(&proxy, RUN).await.json();
    let (code, step) = first(&json);
    assert_eq!(code, "CP-JOURNAL-AWAY", "{json:#}");
    assert!(step.contains(&file.display().to_string()), "{step}");
    assert!(json["alarms"]["order_journal_away"].is_string(), "{json:#}");
    let hero = page(&proxy).await;
    for part in [
        "Trouble",
        "Orders are refused and not sent",
        "CP-JOURNAL-AWAY",
    ] {
        assert!(hero.contains(part), "{part}: {hero}");
    }

    std::fs::rename(&aside, &file).unwrap();
    assert_eq!(
        proxy.call(ORDER, order("doubt-6")).await.outcome(),
        "answered"
    );
    let stands = ready(&proxy).await;
    assert!(!stands.to_string().contains("refused"), "{stands:#}");
    assert_eq!(ask(&proxy, KNOWN).await.json()["conclusion"], "healthy");
}
