//! A call that may have been executed comes first everywhere until the exchange was asked for its order.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use diagnosis::history::{FILE_NAME, Filter, Questions};
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

/// An order whose answer is lost; the exchange has it.
async fn lose_an_answer(proxy: &TestProxy, name: &str) -> Answer {
    proxy.exchange().script(ORDER, Fault::hang_after());
    let answer = proxy.call(ORDER, order(name)).await;
    assert_eq!(answer.outcome(), "unknown");
    answer
}

/// The code of the first cause, and the next step.
fn first(json: &Value) -> (String, String) {
    let step = json["next_step"].as_str().expect("a next step");
    (
        codes(json).first().map_or("none", |code| code).to_owned(),
        step.to_owned(),
    )
}

#[tokio::test]
async fn an_order_in_doubt_comes_first_everywhere_until_the_exchange_was_asked_for_it() {
    let dir = TempDir::new().unwrap();
    let proxy = remembering(dir.path()).start().await;
    proxy.call(READ, json!({})).await;
    let lost = lose_an_answer(&proxy, "doubt-1").await;

    // Whoever reads this learns how many there are, and no name.
    let stands = ready(&proxy).await;
    assert_eq!(stands, json!({ "ready": true, "warnings": [IN_DOUBT] }));

    let json = ask(&proxy, RUN).await.json();
    let (code, step) = first(&json);
    assert_eq!(
        (&json["conclusion"], &*code),
        (&json!("trouble"), "CP-IN-DOUBT"),
        "{json:#}"
    );
    assert!(
        step.contains(DETAIL) && step.contains("client_oid doubt-1"),
        "{step}"
    );
    let named = &json["in_doubt"][0];
    let rid = lost.header("x-request-id").unwrap();
    assert_eq!(
        (&named["name"], &named["method"], &named["rid"]),
        (&json!("doubt-1"), &json!(ORDER), &json!(rid))
    );

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
    proxy.stop().await;

    // The history keeps the name, and the next start goes on from it.
    let calls = Questions::open(&dir.path().join(FILE_NAME))
        .unwrap()
        .calls(&Filter::default())
        .unwrap();
    let kept = calls.iter().find(|call| call.rid == rid).unwrap();
    assert_eq!(
        serde_json::to_value(kept).unwrap()["client_oid"],
        json!("doubt-1")
    );
}

#[tokio::test]
async fn a_doubt_outlives_a_restart_and_ends_with_the_answer_to_its_question() {
    let dir = TempDir::new().unwrap();
    let lost = remembering(dir.path()).start().await;
    lose_an_answer(&lost, "doubt-2").await;
    lost.stop().await;

    let proxy = remembering(dir.path()).start().await;
    assert_eq!(ready(&proxy).await["warnings"], json!([IN_DOUBT]));
    let known = ask(&proxy, KNOWN).await.json();
    assert_eq!(known["in_doubt"][0]["name"], "doubt-2", "{known:#}");
    assert!(
        known["next_step"].as_str().unwrap().contains("doubt-2"),
        "{known:#}"
    );
    assert_eq!(first(&ask(&proxy, RUN).await.json()).0, "CP-IN-DOUBT");

    // Another order's answer ends nothing; its own does, also for the last diagnosis.
    proxy.call(DETAIL, json!({ "client_oid": "doubt-3" })).await;
    assert_eq!(ready(&proxy).await["warnings"], json!([IN_DOUBT]));
    proxy.exchange().script(DETAIL, Fault::code(0));
    proxy.call(DETAIL, json!({ "client_oid": "doubt-2" })).await;
    assert_eq!(ready(&proxy).await, json!({ "ready": true }));
    let known = ask(&proxy, KNOWN).await.json();
    assert_eq!(
        (&known["in_doubt"], &known["conclusion"], codes(&known)),
        (&json!([]), &json!("healthy"), vec![])
    );
    assert!(!page(&proxy).await.contains("in doubt"));
    proxy.stop().await;

    let again = remembering(dir.path()).start().await;
    assert_eq!(ready(&again).await, json!({ "ready": true }));
}
