//! Rows that only the past can tell, each through the history of a daemon that served calls before, and was stopped.

use catalogue::methods::Class;
use diagnosis::causes::{
    Cause, Conclusion,
    Likelihood::{Likely, Possible, VeryLikely},
};
use gateway::secret::{ApiKey, ApiSecret, Credentials};
use sandbox::{Fault, KeyState, Running};
use serde_json::json;

use super::*;
use crate::support::{TestProxy, client, connection::order};

const CREATE: &str = "private/create-order";
const TRADES: &str = "private/get-trades";

/// A daemon beside the scenario, with the scenario's pair.
async fn serve(scenario: &Scenario) -> TestProxy {
    let Canaries { key, secret, .. } = &scenario.canaries;
    serve_with(scenario, key, secret).await
}

async fn serve_with(scenario: &Scenario, key: &str, secret: &str) -> TestProxy {
    serve_at(scenario, &scenario.exchange.base_url(), key, secret).await
}

async fn serve_at(scenario: &Scenario, base: &str, key: &str, secret: &str) -> TestProxy {
    let credentials = Credentials {
        key: ApiKey::new(key.into()),
        secret: ApiSecret::new(secret.into()),
    };
    let state = scenario.state.path().to_owned();
    let services =
        [&scenario.exchange, &scenario._second].map(|service| service.url("/ip").parse().unwrap());
    let builder = TestProxy::builder().base(base).plan(move |plan| {
        plan.credentials = credentials;
        plan.state_dir = Some(state);
        plan.egress.services = services.to_vec();
    });
    let proxy = builder.start().await;
    // So that the history knows where calls leave from before the first one does.
    proxy
        .wait_line(&["event=address CRYPTO_COM_OUTBOUND_IP: "])
        .await;
    proxy
}

async fn read(proxy: &TestProxy) {
    proxy.call(READS[0], json!({})).await;
}

/// Runs with each pair in turn, makes a call with it, and stops.
async fn starts(scenario: &Scenario, pairs: &[(&str, &str)]) {
    for (key, secret) in pairs {
        let proxy = serve_with(scenario, key, secret).await;
        read(&proxy).await;
        proxy.stop().await;
    }
}

/// The text without its lines.
fn flat(outcome: &Outcome) -> String {
    outcome
        .text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The pair of the environment file is this one.
fn with_pair(scenario: Scenario, key: &str, secret: &str) -> Scenario {
    scenario
        .line(&format!("CRYPTO_API_KEY={key}"))
        .line(&format!("CRYPTO_API_SECRET={secret}"))
}

const OTHER_KEY: &str = "an-invented-other-key";
const OTHER_SECRET: &str = "an-invented-other-secret-text";
const THIRD_KEY: &str = "an-invented-third-key";

#[tokio::test]
async fn row_5_key_and_secret_were_replaced_and_the_new_pair_never_worked() {
    let scenario = Scenario::healthy().await;
    let (key, secret) = (
        scenario.canaries.key.clone(),
        scenario.canaries.secret.clone(),
    );
    starts(&scenario, &[(&key, &secret), (OTHER_KEY, OTHER_SECRET)]).await;
    let outcome = with_pair(scenario, OTHER_KEY, OTHER_SECRET).run().await;
    outcome
        .says(&[Cause::PairChanged], Likely, "compare the new key's state")
        .concludes(Conclusion::Trouble);
}

#[tokio::test]
async fn row_6_it_worked_with_this_pair_and_nothing_changed_here() {
    let scenario = Scenario::healthy().await;
    let proxy = serve(&scenario).await;
    read(&proxy).await;
    let scenario = scenario.exchange(|exchange, canaries| {
        exchange
            .change(|settings| settings.key_mut(&canaries.key).unwrap().state = KeyState::Disabled);
    });
    read(&proxy).await;
    proxy.stop().await;
    let outcome = scenario.run().await;
    outcome.says(
        &[Cause::ChangedAtExchange, Cause::KeyDisabled],
        Likely,
        "\"updated\" time",
    );
    outcome.excludes(&[Cause::KeyMismatch, Cause::HalfRotated]);
    assert!(
        outcome.text.contains("last good 20") && outcome.text.contains("first bad 20"),
        "{}",
        outcome.text
    );
}

#[tokio::test]
async fn row_7_reads_work_and_orders_are_refused() {
    let scenario = Scenario::healthy().await.exchange(|exchange, canaries| {
        let key = sandbox::ApiKey::new(&canaries.key, &canaries.secret)
            .permissions([sandbox::Permission::Read]);
        exchange.change(|settings| settings.put_key(key));
    });
    let proxy = serve(&scenario).await;
    read(&proxy).await;
    for number in 0..2 {
        proxy.call(CREATE, order(&format!("past-{number}"))).await;
    }
    proxy.stop().await;
    let outcome = scenario.run().await;
    outcome
        .says(&[Cause::NoTradePermission], Likely, "enable \"Trade\"")
        .concludes(Conclusion::Trouble);
    assert!(outcome.text.contains("refused 2 times"), "{}", outcome.text);
}

#[tokio::test]
async fn a_trade_that_was_refused_for_the_tier_or_the_address_says_nothing_of_the_permission_to_trade()
 {
    for (code, cause, next) in [
        (
            40104,
            Cause::UserTier,
            "the level that private/create-order needs",
        ),
        (
            10005,
            Cause::UserTier,
            "the level that private/create-order needs",
        ),
        (40103, Cause::IpNotListed, "8.8.4.4"),
        (10003, Cause::IpNotListed, "8.8.4.4"),
    ] {
        let scenario = Scenario::healthy().await;
        let scenario =
            scenario.exchange(|exchange, _| exchange.script_always(CREATE, Fault::code(code)));
        let proxy = serve(&scenario).await;
        read(&proxy).await;
        proxy.call(CREATE, order("past-named")).await;
        proxy.stop().await;
        let outcome = scenario.run().await;
        outcome
            .says(&[cause], Likely, next)
            .concludes(Conclusion::Trouble);
        for other in [
            Cause::NoTradePermission,
            Cause::MethodPermission,
            Cause::ChangedAtExchange,
        ] {
            assert!(
                !outcome
                    .ranking
                    .causes
                    .iter()
                    .any(|ranked| ranked.cause == other),
                "{code}: {}",
                outcome.text
            );
        }
    }
}

#[tokio::test]
async fn row_10_the_address_moved_after_the_last_accepted_call() {
    for (code, likelihood) in [(40103, VeryLikely), (40101, Likely)] {
        let scenario = Scenario::healthy()
            .await
            .without("CRYPTO_EXPECTED_IP")
            .exchange(|exchange, canaries| {
                let key =
                    sandbox::ApiKey::new(&canaries.key, &canaries.secret).whitelist([HOME.into()]);
                exchange.change(|settings| {
                    settings.put_key(key);
                    settings.unlisted = sandbox::Refusal::code(code);
                });
            });
        // Each service is a stand-in of its own only by its port: both see the same address.
        let proxy = serve(&scenario).await;
        read(&proxy).await;
        proxy.stop().await;
        let scenario =
            scenario.exchange(|exchange, _| exchange.set_apparent_address(IpAddr::from(AWAY)));
        let proxy = serve(&scenario).await;
        read(&proxy).await;
        proxy.stop().await;
        let outcome = scenario.run().await;
        let top = if code == 40103 {
            &[Cause::IpDrift, Cause::IpNotListed][..]
        } else {
            &[Cause::IpDrift]
        };
        outcome.says(
            top,
            likelihood,
            "add exactly 1.1.1.1 and wait 30 s to 5 min",
        );
        let flat = flat(&outcome);
        assert!(
            flat.contains("the outbound address moved from 8.8.4.4 to 1.1.1.1"),
            "{flat}"
        );
    }
}

#[tokio::test]
async fn row_12_one_method_of_the_record_is_refused_and_others_are_not() {
    let scenario = Scenario::healthy().await;
    let scenario =
        scenario.exchange(|exchange, _| exchange.script_always(TRADES, Fault::code(40101)));
    let proxy = serve(&scenario).await;
    proxy.call(TRADES, json!({})).await;
    read(&proxy).await;
    proxy.stop().await;
    let outcome = scenario.run().await;
    outcome.says(
        &[Cause::MethodPermission],
        Likely,
        "the permission that private/get-trades needs",
    );
}

#[tokio::test]
async fn row_29_several_reads_of_the_record_are_refused_and_others_are_not() {
    let methods = [TRADES, "private/get-positions"];
    assert!(methods.iter().all(|method| {
        catalogue::methods::find(method).is_some_and(|info| info.class == Class::Read)
    }));
    let scenario = Scenario::healthy().await;
    let scenario = scenario.exchange(|exchange, _| {
        methods
            .iter()
            .for_each(|method| exchange.script_always(method, Fault::code(40101)));
    });
    let proxy = serve(&scenario).await;
    for method in methods {
        proxy.call(method, json!({})).await;
    }
    read(&proxy).await;
    proxy.stop().await;
    scenario
        .run()
        .await
        .says(&[Cause::SomeMethods], Likely, "reach the exchange");
}

#[tokio::test]
async fn what_failed_for_all_methods_and_is_over_is_no_cause() {
    let scenario = Scenario::healthy().await;
    scenario
        .exchange
        .exchange()
        .script_always("*", Fault::code(40101));
    let proxy = serve(&scenario).await;
    for method in [TRADES, READS[0]] {
        proxy.call(method, json!({})).await;
    }
    proxy.call(CREATE, order("past-over")).await;
    proxy.stop().await;
    scenario.exchange.exchange().clear_script("*");
    let outcome = scenario.run().await;
    // The codes are of the last hour, and say nothing by themselves.
    outcome.concludes(Conclusion::Healthy);
    assert_eq!(outcome.ranking.causes, [], "{}", outcome.text);
}

/// A daemon whose pair worked at one exchange, and which was refused at another one that does not know the key.
async fn moved_to_another_exchange() -> (Scenario, Running, TestProxy) {
    let scenario = Scenario::healthy().await;
    let (key, secret) = (
        scenario.canaries.key.clone(),
        scenario.canaries.secret.clone(),
    );
    starts(&scenario, &[(&key, &secret)]).await;
    // Another exchange, which does not know the key.
    let other = FakeExchange::new(Settings::with_key(OTHER_KEY, OTHER_SECRET))
        .start()
        .await
        .unwrap();
    other.exchange().set_apparent_address(IpAddr::from(HOME));
    let scenario = scenario.line(&format!("CRYPTO_REST_BASE={}", other.base_url()));
    let proxy = serve_at(&scenario, &other.base_url(), &key, &secret).await;
    read(&proxy).await;
    (scenario, other, proxy)
}

#[tokio::test]
async fn row_19_the_pair_worked_at_another_base_url() {
    let (scenario, _other, proxy) = moved_to_another_exchange().await;
    proxy.stop().await;
    scenario
        .run()
        .await
        .says(&[Cause::WrongEnvironment], Likely, "is this key there?");
}

#[tokio::test]
async fn row_22_what_the_proxy_refused_itself() {
    let scenario = Scenario::healthy().await;
    let proxy = serve(&scenario).await;
    let wrong = client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", "wrong")
        .body("{}");
    assert_eq!(proxy.send(wrong).await.status, 401);
    assert_eq!(
        proxy
            .call("private/create-withdrawal", json!({}))
            .await
            .outcome(),
        "refused"
    );
    proxy.stop().await;
    let outcome = scenario.run().await;
    outcome.says(
        &[Cause::RefusedHere],
        Likely,
        "grep -E 'outcome=refused|event=refused'",
    );
    assert!(
        outcome
            .text
            .contains("2 calls were refused by the proxy itself"),
        "{}",
        outcome.text
    );
}

#[tokio::test]
async fn row_23_the_file_holds_another_pair_than_the_running_daemon() {
    let scenario = Scenario::healthy().await.exchange(|exchange, _| {
        exchange.change(|settings| settings.put_key(sandbox::ApiKey::new(OTHER_KEY, OTHER_SECRET)));
    });
    let proxy = serve_with(&scenario, OTHER_KEY, OTHER_SECRET).await;
    read(&proxy).await;
    let outcome = scenario.run().await;
    outcome.says(
        &[Cause::NotRestarted],
        VeryLikely,
        "systemctl restart crypto-proxy",
    );
    let flat = flat(&outcome);
    assert!(flat.contains("no stop is recorded since"), "{flat}");
    proxy.stop().await;
}

#[tokio::test]
async fn row_23_a_pair_that_is_refused_is_no_reason_to_restart() {
    let scenario = Scenario::healthy().await;
    let proxy = serve(&scenario).await;
    read(&proxy).await;
    let outcome = with_pair(scenario, OTHER_KEY, OTHER_SECRET).run().await;
    outcome.says(&[Cause::PairChanged], Likely, "compare the new key's state");
    let not_restarted = outcome
        .ranking
        .causes
        .iter()
        .find(|ranked| ranked.cause == Cause::NotRestarted)
        .unwrap();
    assert_eq!(
        (not_restarted.likelihood(), not_restarted.con.len()),
        (Some(Possible), 1)
    );
    proxy.stop().await;
}

#[tokio::test]
async fn row_23_a_daemon_that_was_stopped_is_not_to_be_restarted_and_its_last_start_is_said() {
    let scenario = Scenario::healthy().await;
    let proxy = serve(&scenario).await;
    read(&proxy).await;
    proxy.stop().await;
    let outcome = with_pair(scenario, OTHER_KEY, OTHER_SECRET).run().await;
    assert!(
        !outcome.text.contains("CP-NOT-RESTARTED"),
        "{}",
        outcome.text
    );
    let flat = flat(&outcome);
    assert!(
        flat.contains("the daemon's last start 20") && flat.contains("it stopped since"),
        "{flat}"
    );
}

/// One order through a daemon that answers reads, and what a diagnosis says of it.
async fn of_an_order(params: serde_json::Value) -> Outcome {
    let scenario = Scenario::healthy().await;
    let proxy = serve(&scenario).await;
    read(&proxy).await;
    proxy.call(CREATE, params).await;
    proxy.stop().await;
    assert_eq!(scenario.exchange.exchange().orders_placed(), 0);
    scenario.run().await
}

#[tokio::test]
async fn row_24_an_order_beyond_the_balance() {
    let mut beyond = order("past-beyond");
    beyond["quantity"] = json!("1000000");
    let outcome = of_an_order(beyond).await;
    outcome
        .says(
            &[Cause::OrderItself],
            Likely,
            "grep method=private/create-order",
        )
        .concludes(Conclusion::Healthy);
    assert!(
        outcome.text.contains("answered with code 306"),
        "{}",
        outcome.text
    );
}

#[tokio::test]
async fn row_25_a_trigger_order_on_the_method_that_no_longer_takes_them() {
    let mut trigger = order("past-trigger");
    (trigger["type"], trigger["ref_price"]) = (json!("STOP_LIMIT"), json!("49000.00"));
    let outcome = of_an_order(trigger).await;
    outcome
        .says(
            &[Cause::TriggerOrders],
            Likely,
            "private/advanced/create-order",
        )
        .concludes(Conclusion::Trouble);
    assert!(
        outcome.text.contains("answered with code 140001"),
        "{}",
        outcome.text
    );
}

#[tokio::test]
async fn row_27_refused_and_accepted_in_turns() {
    let scenario = Scenario::healthy().await;
    let proxy = serve(&scenario).await;
    for _ in 0..2 {
        scenario
            .exchange
            .exchange()
            .script(READS[0], Fault::code(40101));
        read(&proxy).await;
        read(&proxy).await;
    }
    proxy.stop().await;
    scenario
        .run()
        .await
        .says(&[Cause::Intermittent], Likely, "compare address and caller");
}

#[tokio::test]
async fn row_30_half_a_rotation() {
    for replaced_key in [true, false] {
        let scenario = Scenario::healthy().await;
        let (key, secret) = (
            scenario.canaries.key.clone(),
            scenario.canaries.secret.clone(),
        );
        let (new_key, new_secret) = if replaced_key {
            (OTHER_KEY, &*secret)
        } else {
            (&*key, OTHER_SECRET)
        };
        starts(&scenario, &[(&key, &secret), (new_key, new_secret)]).await;
        let outcome = with_pair(scenario, new_key, new_secret).run().await;
        outcome
            .says(&[Cause::HalfRotated], VeryLikely, "both from one creation")
            .concludes(Conclusion::Trouble);
    }
}

#[tokio::test]
async fn row_30_half_a_rotation_is_seen_before_the_restart() {
    let scenario = Scenario::healthy().await;
    let (key, secret) = (
        scenario.canaries.key.clone(),
        scenario.canaries.secret.clone(),
    );
    starts(&scenario, &[(&key, &secret)]).await;
    let proxy = serve(&scenario).await;
    let outcome = with_pair(scenario, OTHER_KEY, &secret).run().await;
    outcome.says(&[Cause::HalfRotated], VeryLikely, "both from one creation");
    proxy.stop().await;
}

#[tokio::test]
async fn row_30_a_rotation_that_was_mended_at_a_second_start_is_a_tie() {
    for secret_first in [true, false] {
        let scenario = Scenario::healthy().await;
        let (key, secret) = (
            scenario.canaries.key.clone(),
            scenario.canaries.secret.clone(),
        );
        let between = if secret_first {
            (&*key, OTHER_SECRET)
        } else {
            (OTHER_KEY, &*secret)
        };
        starts(
            &scenario,
            &[(&key, &secret), between, (OTHER_KEY, OTHER_SECRET)],
        )
        .await;
        let outcome = with_pair(scenario, OTHER_KEY, OTHER_SECRET).run().await;
        outcome.says(
            &[Cause::KeyMismatch, Cause::KeyDisabled, Cause::PairChanged],
            Likely,
            "create a new one",
        );
        let half = outcome
            .ranking
            .causes
            .iter()
            .find(|ranked| ranked.cause == Cause::HalfRotated)
            .unwrap();
        assert_eq!(half.likelihood(), Some(Possible), "{}", outcome.text);
    }
}

#[tokio::test]
async fn row_30_a_mended_rotation_that_works_is_healthy() {
    let scenario = Scenario::healthy().await.exchange(|exchange, _| {
        exchange.change(|settings| settings.put_key(sandbox::ApiKey::new(OTHER_KEY, OTHER_SECRET)));
    });
    let (key, secret) = (
        scenario.canaries.key.clone(),
        scenario.canaries.secret.clone(),
    );
    starts(
        &scenario,
        &[
            (&key, &secret),
            (&key, OTHER_SECRET),
            (OTHER_KEY, OTHER_SECRET),
        ],
    )
    .await;
    with_pair(scenario, OTHER_KEY, OTHER_SECRET)
        .run()
        .await
        .concludes(Conclusion::Healthy);
}

#[tokio::test]
async fn row_30_the_same_secret_beside_two_keys_though_nothing_ever_worked() {
    let scenario = Scenario::healthy().await;
    starts(
        &scenario,
        &[(OTHER_KEY, OTHER_SECRET), (THIRD_KEY, OTHER_SECRET)],
    )
    .await;
    let outcome = with_pair(scenario, THIRD_KEY, OTHER_SECRET).run().await;
    outcome.says(&[Cause::HalfRotated], Likely, "both from one creation");
    let flat = flat(&outcome);
    assert!(flat.contains("the same secret stood beside key "), "{flat}");
}

#[tokio::test]
async fn the_daemons_own_hint_tells_half_a_rotation_from_one_that_was_mended() {
    let scenario = Scenario::healthy().await;
    let (key, secret) = (
        scenario.canaries.key.clone(),
        scenario.canaries.secret.clone(),
    );
    starts(&scenario, &[(&key, &secret)]).await;
    for (key, cause, evidence) in [
        (
            &*key,
            "cause=CP-HALF-ROTATED likelihood=\"likely\"",
            "calls were accepted with this key beside another secret",
        ),
        (
            OTHER_KEY,
            "cause=CP-KEY-MISMATCH likelihood=\"likely\"",
            "since two different starts",
        ),
    ] {
        let proxy = serve_with(&scenario, key, OTHER_SECRET).await;
        read(&proxy).await;
        proxy.wait_line(&["event=hint", cause, evidence]).await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn hint_and_diagnosis_agree_after_a_switch_of_the_base_url() {
    let (scenario, other, proxy) = moved_to_another_exchange().await;
    proxy
        .wait_line(&[
            "event=hint",
            "cause=CP-WRONG-ENVIRONMENT likelihood=\"likely\"",
            "the base URL changed since the last accepted call",
        ])
        .await;
    // Once a call is accepted there, that is the past.
    other.exchange().change(|settings| {
        settings.put_key(sandbox::ApiKey::new(
            &scenario.canaries.key,
            &scenario.canaries.secret,
        ))
    });
    read(&proxy).await;
    other.exchange().script(READS[0], Fault::code(40101));
    read(&proxy).await;
    proxy
        .wait_line(&["event=hint", "cause=CP-CHANGED-AT-EXCHANGE"])
        .await;
    proxy.stop().await;
}
