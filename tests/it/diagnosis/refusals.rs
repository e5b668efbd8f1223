//! The exchange refuses: keys, permissions, addresses, clocks, budgets.

use diagnosis::causes::{
    Cause, Conclusion,
    Likelihood::{self, Likely, Possible, VeryLikely},
};
use sandbox::{ApiKey, Canned, Fault, KeyState, Permission, Refusal};

use super::*;
use crate::support::each;

const TIE: [Cause; 3] = [
    Cause::KeyMismatch,
    Cause::KeyDisabled,
    Cause::NoReadPermission,
];
const ALL_FINE: [Cause; 3] = [Cause::SigningCode, Cause::ClockSkew, Cause::WrongBase];

/// An exchange that fails in one way, and what is said of it.
#[derive(Debug)]
struct Row {
    #[expect(dead_code, reason = "for people: a wrong row is shown as a whole")]
    name: &'static str,
    exchange: fn(&FakeExchange, &Canaries),
    top: &'static [Cause],
    likelihood: Likelihood,
    next: &'static str,
    excluded: &'static [Cause],
}

fn script(exchange: &FakeExchange, methods: &[&str], code: i64) {
    for method in methods {
        exchange.script_always(method, Fault::code(code));
    }
}

const ROWS: [Row; 12] = [
    Row {
        name: "4: a secret that does not belong to the key",
        exchange: |exchange, canaries| {
            let key = ApiKey::new(&canaries.key, "an-invented-other-secret");
            exchange.change(|settings| settings.put_key(key));
        },
        top: &TIE,
        likelihood: Likely,
        next: "create a new one",
        excluded: &ALL_FINE,
    },
    Row {
        name: "4: a key that is disabled looks the same, and is said to",
        exchange: |exchange, canaries| {
            exchange.change(|settings| {
                settings.key_mut(&canaries.key).unwrap().state = KeyState::Disabled;
            });
        },
        top: &TIE,
        likelihood: Likely,
        next: "create a new one",
        excluded: &ALL_FINE,
    },
    Row {
        name: "8: a key that may not read stands in the tie",
        exchange: |exchange, canaries| {
            let key = ApiKey::new(&canaries.key, &canaries.secret).permissions([Permission::Trade]);
            exchange.change(|settings| settings.put_key(key));
        },
        top: &TIE,
        likelihood: Likely,
        next: "create a new one",
        excluded: &ALL_FINE,
    },
    Row {
        name: "12: one method fails",
        exchange: |exchange, _| script(exchange, &READS[2..3], 40101),
        top: &[Cause::MethodPermission],
        likelihood: Likely,
        next: "the permission that private/get-order-history needs",
        excluded: &[
            Cause::KeyMismatch,
            Cause::KeyDisabled,
            Cause::IpNotListed,
            Cause::ClockSkew,
        ],
    },
    Row {
        name: "13: only the call with params fails",
        exchange: |exchange, _| script(exchange, &READS[1..2], 40101),
        top: &[Cause::MethodPermission, Cause::ParamsString],
        likelihood: Likely,
        next: "private/get-open-orders",
        excluded: &[],
    },
    Row {
        name: "29: some methods fail, and the difference is not that between reading and trading",
        exchange: |exchange, _| script(exchange, &READS[..2], 40101),
        top: &[Cause::SomeMethods],
        likelihood: Likely,
        next: "reach the exchange",
        excluded: &[Cause::KeyMismatch],
    },
    Row {
        name: "16: a clock that is 90 s behind the exchange's",
        exchange: |exchange, _| exchange.change(|settings| settings.clock_offset_ms = 90_000),
        top: &[Cause::ClockSkew],
        likelihood: VeryLikely,
        next: "timedatectl set-ntp true",
        excluded: &[],
    },
    Row {
        name: "16: a clock that is 90 s ahead of the exchange's",
        exchange: |exchange, _| exchange.change(|settings| settings.clock_offset_ms = -90_000),
        top: &[Cause::ClockSkew],
        likelihood: VeryLikely,
        next: "timedatectl set-ntp true",
        excluded: &[],
    },
    Row {
        name: "16: a nonce that is refused beside a clock that is fine is a stalled host",
        exchange: |exchange, _| script(exchange, &EVERY_READ, 40102),
        top: &[Cause::StalledHost],
        likelihood: Likely,
        next: "journalctl -k",
        excluded: &[Cause::ClockSkew],
    },
    Row {
        name: "20: a budget that is used up",
        exchange: |exchange, _| script(exchange, &READS[2..3], 42901),
        top: &[Cause::RateLimit],
        likelihood: Likely,
        next: "method=private/get-order-history",
        excluded: &[],
    },
    Row {
        name: "maintenance is taken at its word",
        exchange: |exchange, _| script(exchange, &["*"], 9_010_001),
        top: &[Cause::Maintenance],
        likelihood: VeryLikely,
        next: "status.crypto.com",
        excluded: &[],
    },
    Row {
        name: "a tier is taken at its word",
        exchange: |exchange, _| script(exchange, &EVERY_READ, 40104),
        top: &[Cause::UserTier],
        likelihood: VeryLikely,
        next: "account verification",
        excluded: &[],
    },
];

#[tokio::test]
async fn each_way_in_which_the_exchange_refuses_has_its_cause() {
    each(ROWS, async |row| {
        let scenario = Scenario::healthy().await.exchange(row.exchange);
        let outcome = scenario.run().await;
        outcome
            .says(row.top, row.likelihood, row.next)
            .excludes(row.excluded)
            .concludes(Conclusion::Trouble);
    })
    .await;
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
async fn row_26_html_from_the_edge() {
    let html = || Fault::reply(Canned::html(403, "<html>invented challenge</html>"));
    let everywhere = Scenario::healthy()
        .await
        .exchange(|exchange, _| exchange.script_always("*", html()));
    let outcome = everywhere.run().await;
    outcome
        .says(&[Cause::EdgeBlocked], Likely, "another outbound address")
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
        .says(&[Cause::EdgeBlocked], Likely, "another outbound address");
}
