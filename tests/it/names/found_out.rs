//! What the daemon finds out by itself once nothing of an attempt can arrive any more, and what it never says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gateway::{
    clock::Clock,
    ledger::{Entry, LegEnd, Listing, State},
};
use sandbox::{Canned, Fault, Permission};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Door, doors, order, orders_sent};
use crate::support::{TestProxy, contract::ORDER};

const LIST: &str = "private/create-order-list";
const AMEND: &str = "private/amend-order";
const CANCEL_ALL: &str = "private/cancel-all-orders";
const CANCEL_LIST: &str = "private/cancel-order-list";
const FIAT: &str = "private/fiat/fiat-create-withdraw";
const TRANSFER: &str = "private/create-subaccount-transfer";

/// A proxy, and the time that passes for its journal.
struct Setup {
    proxy: TestProxy,
    wall: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
}

impl Setup {
    async fn new() -> Self {
        let now_ms = Clock::system().now_ms();
        let [wall, passed] = [now_ms, 1_000_000].map(|ms| Arc::new(AtomicU64::new(ms)));
        let clock = Clock::stepped_by(Arc::clone(&wall), Arc::clone(&passed));
        let proxy = doors()
            .exchange(|settings| {
                settings.keys[0].permissions =
                    [Permission::Read, Permission::Trade, Permission::Withdraw].into();
            })
            .policy(|policy| policy.allow_methods = [FIAT.into(), TRANSFER.into()].into())
            .plan(move |plan| plan.clock = clock)
            .start()
            .await;
        Self {
            proxy,
            wall,
            passed,
        }
    }

    async fn lost(&self, method: &str, params: &Value, fault: Fault) {
        self.proxy.exchange().script(method, fault);
        let told = Door::Backend.ask(&self.proxy, method, params).await;
        told.assert_is("unknown", "lost");
    }

    /// Enough for everything to be dead.
    fn pass(&self) {
        self.passed.fetch_add(300_000, Ordering::Relaxed);
    }

    async fn entries(&self, method: &str) -> Vec<Entry> {
        let all = Listing {
            most: 100,
            ..Listing::default()
        };
        let mut entries = self.proxy.gateway.ledger().list(all).await.unwrap();
        entries.retain(|entry| entry.method == method);
        entries
    }

    /// The newest attempt of a method, once this holds for it; everything is due again and again.
    async fn until(&self, method: &str, what: &str, holds: impl Fn(&Entry) -> bool) -> Entry {
        let asking = timeout(Duration::from_secs(15), async {
            loop {
                let entry = self.entries(method).await.swap_remove(0);
                if holds(&entry) {
                    return entry;
                }
                self.passed.fetch_add(1000, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let found = asking.await;
        found.unwrap_or_else(|_| panic!("{method}, never: {what}; {:#?}", self.proxy.texts()))
    }

    /// It was looked after when nothing of it could arrive any more, and is open all the same.
    async fn assert_stays_open(&self, method: &str) {
        let looked = self.entries(method).await[0].looked;
        let looked_at = |entry: &Entry| entry.looked > looked + 2 || !entry.state.is_open();
        let entry = self.until(method, "looked after", looked_at).await;
        assert_eq!(entry.state, State::Unknown, "{entry:?}");
        assert!(entry.is_dead, "{entry:?}");
    }
}

#[tokio::test]
async fn what_the_exchange_called_a_duplicate_never_becomes_never_arrived() {
    let setup = Setup::new().await;
    for code in [204, 20001] {
        let params = order(&format!("dup-{code}"));
        setup.lost(ORDER, &params, Fault::cut_before()).await;
        setup.pass();
        let never = |entry: &Entry| entry.state == State::NeverArrived;
        setup.until(ORDER, "never arrived", never).await;
        // The first one is said to have come to nothing, and the exchange knows its name.
        setup.proxy.exchange().script(ORDER, Fault::code(code));
        let told = Door::Backend.ask(&setup.proxy, ORDER, &params).await;
        told.assert_is("unknown", "inconclusive_answer");
        setup.pass();
        setup.assert_stays_open(ORDER).await;
    }
}

#[tokio::test]
async fn an_order_that_got_an_id_is_there_whatever_the_code_says() {
    let setup = Setup::new().await;
    let answer = |body: &str| Fault::reply(Canned::json(500, body.to_owned()));
    let body =
        r#"{"id":1,"method":"private/create-order","code":50001,"result":{"order_id":"7001"}}"#;
    setup.proxy.exchange().script(ORDER, answer(body));
    let params = order("has-an-id");
    let told = Door::Backend.ask(&setup.proxy, ORDER, &params).await;
    told.assert_is("unknown", "inconclusive_answer");
    let again = Door::Backend.ask(&setup.proxy, ORDER, &params).await;
    again.assert_is("refused", "name_used");
    let executed = |id: &str| LegEnd::Executed {
        order_id: Some(id.to_owned()),
    };
    assert_eq!(setup.entries(ORDER).await[0].legs[0].end, executed("7001"));

    let body = r#"{"id":1,"method":"private/create-order-list","code":50001,"result":[{"index":1,"code":0,"order_id":"7002"}]}"#;
    setup.proxy.exchange().script(LIST, answer(body));
    let list = json!({ "contingency_type": "LIST", "order_list": [order("one"), order("two")] });
    let told = Door::Backend.ask(&setup.proxy, LIST, &list).await;
    told.assert_is("unknown", "inconclusive_answer");
    setup.pass();
    let entry = setup
        .until(LIST, "ended", |entry| !entry.state.is_open())
        .await;
    let ends = entry.legs.into_iter().map(|leg| leg.end);
    let never = LegEnd::Refused { code: 0 };
    assert_eq!(ends.collect::<Vec<_>>(), [never, executed("7002")]);
    assert_eq!(orders_sent(&setup.proxy), 1);
}

#[tokio::test]
async fn a_lost_list_of_which_one_order_was_refused_is_found_out_order_by_order() {
    let setup = Setup::new().await;
    let mut bad = order("bad");
    bad["price"] = json!("-1");
    let list = json!({ "contingency_type": "LIST", "order_list": [order("good"), bad] });
    setup.lost(LIST, &list, Fault::cut_after()).await;
    setup.pass();
    let entry = setup
        .until(LIST, "ended", |entry| !entry.state.is_open())
        .await;
    assert_eq!(entry.state, State::Executed);
    assert!(
        matches!(
            (&entry.legs[0].end, &entry.legs[1].end),
            (
                LegEnd::Executed { order_id: Some(_) },
                LegEnd::Refused { code: 0 }
            )
        ),
        "{entry:?}"
    );
}

#[tokio::test]
async fn lost_cancellations_are_found_out_by_their_orders() {
    let setup = Setup::new().await;
    let ended = |entry: &Entry| !entry.state.is_open();
    for (fault, state) in [
        (Fault::cut_after(), State::Executed),
        (Fault::cut_before(), State::NeverArrived),
    ] {
        for name in ["a", "b"] {
            let params = order(&format!("{name}-{}", state.word()));
            let told = Door::Backend.ask(&setup.proxy, ORDER, &params).await;
            told.assert_is("answered", "");
        }
        let all = json!({ "instrument_name": "BTC_USD" });
        if state == State::NeverArrived {
            // Its orders are there since long before.
            setup.wall.fetch_add(600_000, Ordering::Relaxed);
            setup.lost(CANCEL_ALL, &all, fault).await;
            // Its end is in the journal once that has answered.
            setup.entries(CANCEL_ALL).await;
            setup.wall.fetch_sub(600_000, Ordering::Relaxed);
        } else {
            setup.lost(CANCEL_ALL, &all, fault).await;
        }
        setup.pass();
        let entry = setup.until(CANCEL_ALL, "ended", ended).await;
        assert_eq!(entry.state, state, "{entry:?}");
    }
    // One of them is cancelled by somebody else: so each is looked at by itself.
    let [open, gone] = ["a", "b"].map(|name| format!("{name}-never_arrived"));
    Door::Backend
        .ask(
            &setup.proxy,
            "private/cancel-order",
            &json!({ "client_oid": gone }),
        )
        .await
        .assert_is("answered", "");
    let list = json!({ "contingency_type": "LIST", "order_list": [
        { "instrument_name": "BTC_USD", "client_oid": open },
        { "instrument_name": "BTC_USD", "client_oid": gone },
    ] });
    setup.lost(CANCEL_LIST, &list, Fault::cut_before()).await;
    setup.pass();
    let entry = setup.until(CANCEL_LIST, "ended", ended).await;
    let ends: Vec<_> = entry.legs.into_iter().map(|leg| leg.end).collect();
    let done = LegEnd::Executed { order_id: None };
    assert_eq!(ends, [LegEnd::Refused { code: 0 }, done]);
}

#[tokio::test]
async fn a_lost_cancellation_of_everything_stays_open_where_only_the_clocks_tell_which_orders_it_meant()
 {
    for step_ms in [20_000, 0] {
        let setup = Setup::new().await;
        let rests = order("rests");
        Door::Backend
            .ask(&setup.proxy, ORDER, &rests)
            .await
            .assert_is("answered", "");
        // The exchange's clock is ahead of ours, so that its order seems to be younger.
        setup.wall.fetch_sub(step_ms, Ordering::Relaxed);
        let all = json!({ "instrument_name": "BTC_USD" });
        setup.lost(CANCEL_ALL, &all, Fault::cut_before()).await;
        setup.pass();
        setup.assert_stays_open(CANCEL_ALL).await;
        // Once its order is closed, nothing is left that it could have meant.
        let one = json!({ "client_oid": "rests" });
        Door::Backend
            .ask(&setup.proxy, "private/cancel-order", &one)
            .await
            .assert_is("answered", "");
        let ended = |entry: &Entry| !entry.state.is_open();
        let entry = setup.until(CANCEL_ALL, "ended", ended).await;
        assert_eq!(entry.state, State::Executed, "{entry:?}");
    }
}

#[tokio::test]
async fn a_lost_cancellation_is_not_done_while_its_order_may_come_yet() {
    let one = json!({ "client_oid": "late" });
    let all = json!({ "instrument_name": "BTC_USD" });
    for (cancel, params) in [("private/cancel-order", one), (CANCEL_ALL, all)] {
        let setup = Setup::new().await;
        setup.lost(ORDER, &order("late"), Fault::cut_before()).await;
        setup.lost(cancel, &params, Fault::cut_before()).await;
        // Time passes for a few looks, and for no more of them.
        for looks in 1..=3 {
            let asking = timeout(Duration::from_secs(15), async {
                loop {
                    let entry = setup.entries(cancel).await.swap_remove(0);
                    if entry.looked >= looks || !entry.state.is_open() {
                        return entry;
                    }
                    tokio::task::yield_now().await;
                }
            });
            let entry = asking.await.unwrap();
            assert_eq!(entry.state, State::Unknown, "{entry:?}");
            setup.passed.fetch_add(4000, Ordering::Relaxed);
        }
        setup.pass();
        let ended = |entry: &Entry| !entry.state.is_open();
        let entry = setup.until(cancel, "ended", ended).await;
        assert_eq!(entry.state, State::Executed, "{entry:?}");
    }
}

#[tokio::test]
async fn an_amendment_never_arrived_where_its_order_is_as_it_was_and_stays_open_where_it_changed() {
    let setup = Setup::new().await;
    let told = Door::Backend
        .ask(&setup.proxy, ORDER, &order("amended"))
        .await;
    let order_id = told.json()["body"]["result"]["order_id"].clone();
    let amend = json!({ "order_id": order_id, "new_price": "49000", "new_quantity": "0.01" });
    // Its order was made just before: whose clock is right, nobody knows.
    setup.lost(AMEND, &amend, Fault::cut_before()).await;
    setup.pass();
    setup.assert_stays_open(AMEND).await;
    // Ten minutes later the order has not changed since long before.
    setup.wall.fetch_add(600_000, Ordering::Relaxed);
    setup.proxy.exchange().script(AMEND, Fault::cut_before());
    let told = Door::Backend.ask(&setup.proxy, AMEND, &amend).await;
    told.assert_is("unknown", "lost");
    setup.entries(AMEND).await;
    setup.wall.fetch_sub(600_000, Ordering::Relaxed);
    setup.pass();
    let ended = |entry: &Entry| !entry.state.is_open();
    let entry = setup.until(AMEND, "ended", ended).await;
    assert_eq!(entry.state, State::NeverArrived, "{entry:?}");
}

#[tokio::test]
async fn what_no_method_of_the_exchange_tells_for_certain_stays_open() {
    let setup = Setup::new().await;
    let fiat = json!({ "client_wid": "fiat-1", "currency": "USD", "amount": "1" });
    let transfer = json!({ "from": "a", "to": "b", "currency": "USD", "amount": "1" });
    setup.lost(FIAT, &fiat, Fault::cut_before()).await;
    setup.lost(TRANSFER, &transfer, Fault::cut_before()).await;
    // Two rounds later, in which others were found out.
    for name in ["beside-1", "beside-2"] {
        setup.pass();
        setup.lost(ORDER, &order(name), Fault::cut_after()).await;
        let ended = |entry: &Entry| !entry.state.is_open();
        setup.until(ORDER, "found out", ended).await;
    }
    for method in [FIAT, TRANSFER] {
        let entry = &setup.entries(method).await[0];
        assert_eq!(entry.state, State::Unknown, "{entry:?}");
        assert!(entry.is_dead, "{entry:?}");
    }
}
