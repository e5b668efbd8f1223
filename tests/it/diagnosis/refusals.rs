//! The exchange refuses: keys, permissions, addresses, clocks, budgets.

use diagnosis::causes::{
    Cause, Conclusion,
    Likelihood::{Likely, Possible, VeryLikely},
};
use sandbox::{ApiKey, Canned, Fault, KeyState, Permission, Refusal};

use super::*;

const TIE: [Cause; 3] = [
    Cause::KeyMismatch,
    Cause::KeyDisabled,
    Cause::NoReadPermission,
];
const ALL_FINE: [Cause; 3] = [Cause::SigningCode, Cause::ClockSkew, Cause::WrongBase];

#[tokio::test]
async fn row_4_a_secret_that_does_not_belong_to_the_key() {
    let scenario = Scenario::healthy().await.exchange(|exchange, canaries| {
        exchange.change(|settings| {
            settings.put_key(ApiKey::new(&canaries.key, "an-invented-other-secret"))
        });
    });
    scenario
        .run()
        .await
        .says(&TIE, Likely, "create a new one")
        .excludes(&ALL_FINE)
        .concludes(Conclusion::Trouble);
}

#[tokio::test]
async fn row_4_a_key_that_is_disabled_looks_the_same_and_is_said_to() {
    let scenario = Scenario::healthy().await.exchange(|exchange, canaries| {
        exchange
            .change(|settings| settings.key_mut(&canaries.key).unwrap().state = KeyState::Disabled);
    });
    scenario
        .run()
        .await
        .says(&TIE, Likely, "create a new one")
        .excludes(&ALL_FINE);
}

#[tokio::test]
async fn row_8_a_key_that_may_not_read_stands_in_the_tie() {
    let scenario = Scenario::healthy().await.exchange(|exchange, canaries| {
        let key = ApiKey::new(&canaries.key, &canaries.secret).permissions([Permission::Trade]);
        exchange.change(|settings| settings.put_key(key));
    });
    scenario
        .run()
        .await
        .says(&TIE, Likely, "create a new one")
        .excludes(&ALL_FINE);
}

/// The key's whitelist holds HOME, calls come from AWAY, and the exchange says so with this code.
async fn unlisted(code: i64) -> Scenario {
    Scenario::healthy().await.exchange(|exchange, canaries| {
        let key = ApiKey::new(&canaries.key, &canaries.secret).whitelist([HOME.into()]);
        exchange.change(|settings| {
            settings.put_key(key);
            settings.unlisted = Refusal::code(code);
        });
        exchange.set_apparent_address(IpAddr::from(AWAY));
    })
}

#[tokio::test]
async fn row_9_an_unlisted_address_answered_as_40103() {
    let unconfirmed = unlisted(40103)
        .await
        .without("CRYPTO_PROXY__EGRESS__SERVICES")
        .run()
        .await;
    unconfirmed.says(
        &[Cause::IpNotListed],
        VeryLikely,
        "IP whitelist: add exactly the address that",
    );
    let outcome = unlisted(40103).await.run().await;
    outcome.says(
        &[Cause::IpNotListed],
        VeryLikely,
        "add exactly 1.1.1.1, without blanks, and wait 30 s to 5 min",
    );
}

#[tokio::test]
async fn row_9_an_unlisted_address_answered_as_40101() {
    let outcome = unlisted(40101).await.run().await;
    outcome
        .says(&[Cause::IpNotListed], Likely, "add exactly 1.1.1.1,")
        .excludes(&ALL_FINE);
}

#[tokio::test]
async fn row_9_without_a_statement_or_an_address_the_whitelist_stands_in_the_tie() {
    let outcome = unlisted(40101)
        .await
        .without("CRYPTO_EXPECTED_IP")
        .run()
        .await;
    let tie = [
        Cause::KeyMismatch,
        Cause::KeyDisabled,
        Cause::IpNotListed,
        Cause::NoReadPermission,
    ];
    outcome.says(&tie, Possible, "create a new one");
}

#[tokio::test]
async fn row_12_one_method_fails() {
    let scenario = Scenario::healthy().await;
    let scenario =
        scenario.exchange(|exchange, _| exchange.script_always(READS[2], Fault::code(40101)));
    let outcome = scenario.run().await;
    outcome.says(
        &[Cause::MethodPermission],
        Likely,
        "the permission that private/get-order-history needs",
    );
    outcome.excludes(&[
        Cause::KeyMismatch,
        Cause::KeyDisabled,
        Cause::IpNotListed,
        Cause::ClockSkew,
    ]);
}

#[tokio::test]
async fn row_13_only_the_call_with_params_fails() {
    let scenario = Scenario::healthy().await;
    let scenario =
        scenario.exchange(|exchange, _| exchange.script_always(READS[1], Fault::code(40101)));
    let tie = [Cause::MethodPermission, Cause::ParamsString];
    scenario
        .run()
        .await
        .says(&tie, Likely, "private/get-open-orders");
}

#[tokio::test]
async fn row_29_some_methods_fail_and_it_is_no_split_between_reading_and_trading() {
    let scenario = Scenario::healthy().await.exchange(|exchange, _| {
        READS[..2]
            .iter()
            .for_each(|method| exchange.script_always(method, Fault::code(40101)));
    });
    scenario
        .run()
        .await
        .says(&[Cause::SomeMethods], Likely, "reach the exchange")
        .excludes(&[Cause::KeyMismatch]);
}

#[tokio::test]
async fn row_16_a_clock_that_is_90_s_off() {
    for offset_ms in [90_000, -90_000] {
        let scenario = Scenario::healthy().await;
        let scenario = scenario.exchange(|exchange, _| {
            exchange.change(|settings| settings.clock_offset_ms = offset_ms)
        });
        scenario
            .run()
            .await
            .says(&[Cause::ClockSkew], VeryLikely, "timedatectl set-ntp true");
    }
}

#[tokio::test]
async fn row_16_a_nonce_that_is_refused_beside_a_clock_that_is_fine_is_a_stalled_host() {
    let scenario = Scenario::healthy().await.exchange(|exchange, _| {
        EVERY_READ
            .iter()
            .for_each(|method| exchange.script_always(method, Fault::code(40102)));
    });
    scenario
        .run()
        .await
        .says(&[Cause::StalledHost], Likely, "journalctl -k")
        .excludes(&[Cause::ClockSkew]);
}

#[tokio::test]
async fn row_20_a_budget_that_is_used_up() {
    let scenario = Scenario::healthy().await;
    let scenario =
        scenario.exchange(|exchange, _| exchange.script_always(READS[2], Fault::code(42901)));
    scenario.run().await.says(
        &[Cause::RateLimit],
        Likely,
        "method=private/get-order-history",
    );
}

#[tokio::test]
async fn row_26_html_from_the_edge() {
    let html = || Fault::reply(Canned::html(403, "<html>invented challenge</html>"));
    let everywhere = Scenario::healthy()
        .await
        .exchange(|exchange, _| exchange.script_always("*", html()));
    let outcome = everywhere.run().await;
    outcome
        .says(&[Cause::EdgeBlocked], Likely, "another way out")
        .concludes(Conclusion::Trouble);
    assert!(!outcome.text.contains("challenge"), "{}", outcome.text);
    let private = Scenario::healthy().await.exchange(|exchange, _| {
        EVERY_READ
            .iter()
            .for_each(|method| exchange.script_always(method, html()));
    });
    private
        .run()
        .await
        .says(&[Cause::EdgeBlocked], Likely, "another way out");
}

#[tokio::test]
async fn maintenance_is_taken_at_its_word() {
    let scenario = Scenario::healthy().await;
    let scenario =
        scenario.exchange(|exchange, _| exchange.script_always("*", Fault::code(9_010_001)));
    scenario
        .run()
        .await
        .says(&[Cause::Maintenance], VeryLikely, "status.crypto.com");
}

#[tokio::test]
async fn a_tier_is_taken_at_its_word() {
    let scenario = Scenario::healthy().await.exchange(|exchange, _| {
        EVERY_READ
            .iter()
            .for_each(|method| exchange.script_always(method, Fault::code(40104)));
    });
    scenario
        .run()
        .await
        .says(&[Cause::UserTier], VeryLikely, "account verification");
}
