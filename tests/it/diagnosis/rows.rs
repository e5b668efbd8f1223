//! What only the past or a caller can tell, beside probes that are fine; and the operator's manual.

use catalogue::methods::Class;
use diagnosis::causes::{Cause, Likelihood::Likely, MethodPast, Symptom};

use sandbox::{ApiKey, Permission};

use super::*;

fn past(change: impl FnOnce(&mut Past)) -> Past {
    let mut past = Past {
        since_ms: Some(1),
        ..Past::default()
    };
    change(&mut past);
    past
}

fn record(method: &str, refused: u32, last_code: i64) -> MethodPast {
    let (class, failing) = (Some(Class::Trade), refused);
    MethodPast {
        method: method.into(),
        class,
        accepted: 0,
        refused,
        failing,
        last_code: Some(last_code),
    }
}

#[tokio::test]
async fn rows_14_15_18_24_25_and_28_from_the_record_and_from_what_is_told() {
    let told = |told| past(|past| past.told.push(told));
    let coded = |code| {
        past(|past| {
            past.methods.push(MethodPast {
                accepted: 1,
                ..record("private/create-order", 0, code)
            })
        })
    };
    for (past, cause, next) in [
        (
            told(Symptom::OnlyFlaggedOrders),
            Cause::BooleanCase,
            "through the proxy",
        ),
        (
            told(Symptom::OnlyMarginOrders),
            Cause::MarginPermission,
            "margin permission",
        ),
        (
            told(Symptom::InventedHeaders),
            Cause::InventedScheme,
            "plain calls",
        ),
        (
            told(Symptom::FailsElsewhere),
            Cause::SignsForItself,
            "USE_CRYPTO_PROXY=true",
        ),
        (coded(306), Cause::OrderItself, "wrong with the order"),
        (
            coded(140_001),
            Cause::TriggerOrders,
            "private/advanced/create-order",
        ),
        (coded(42901), Cause::RateLimit, "makes the most calls"),
    ] {
        Scenario::healthy()
            .await
            .past(past)
            .run()
            .await
            .says(&[cause], Likely, next);
    }
}

const MANUAL: &str = include_str!("../../../docs/diagnosis.md");

#[test]
fn every_cause_has_its_place_in_the_manual_and_the_manual_has_no_other() {
    for cause in Cause::ALL {
        assert!(
            MANUAL.contains(&format!("\n### {}\n", cause.code())),
            "{cause}"
        );
    }
    let headings = MANUAL.lines().filter_map(|line| line.strip_prefix("### "));
    let unknown: Vec<&str> = headings
        .filter(|code| !Cause::ALL.iter().any(|cause| cause.code() == *code))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_row_of_the_catalogue_says_how_it_is_tested() {
    for row in 1..=31 {
        assert!(MANUAL.contains(&format!("\n| {row} | ")), "row {row}");
    }
}

#[test]
fn every_old_name_has_its_place_in_the_manual() {
    for name in [
        "check_crypto_config.py",
        "test_crypto_connection.py",
        "smoke_test_crypto.py",
        "diagnose_auth_issue.py",
        "demo_error_for_support.py",
        "FIX_API_KEY_PERMISSIONS.md",
        "curl https://api.ipify.org",
        "[:10]",
        "docker compose exec",
        "docker compose logs",
        "test alert endpoint",
        "wait 30 s to 5 min",
    ] {
        assert!(MANUAL.contains(name), "{name}");
    }
}

const TRADE_OR_WITHDRAW: &str = "whether the key may trade or withdraw: no probe changes anything";
const WITHDRAW: &str = "whether the key may withdraw: no probe changes anything";

/// A key without "Trade" looks as good as any other until its first order.
#[tokio::test]
async fn a_good_run_says_what_it_did_not_try() {
    let only_reads = || async {
        Scenario::healthy().await.exchange(|exchange, canaries| {
            let key = ApiKey::new(&canaries.key, &canaries.secret);
            let key = key.permissions([Permission::Read]);
            exchange.change(|settings| settings.put_key(key));
        })
    };
    let traded = |failing| {
        past(|past| {
            past.methods.push(MethodPast {
                accepted: 1,
                ..record("private/create-order", failing, 0)
            })
        })
    };
    let outcome = only_reads().await.run().await;
    outcome.concludes(Conclusion::Healthy);
    outcome.tells("a key that may read alone", &[TRADE_OR_WITHDRAW]);
    let outcome = only_reads().await.past(traded(0)).run().await;
    outcome.tells("orders were accepted", &[WITHDRAW]);
    let mut scenario = Scenario::healthy().await;
    scenario.scope = Scope::WithCancel;
    scenario
        .run()
        .await
        .tells("a cancellation of nothing", &[WITHDRAW]);
    // What is refused or not reached has other worries.
    let refused = only_reads().await.past(traded(1)).run().await;
    assert!(!refused.text.contains("not tried"), "{}", refused.text);
}
