//! The same name again, where the first answer is known, or on its way.

use std::{sync::Arc, time::Duration};

use gateway::{auth::Caller, policy::Policy, secret::TokenDigest};
use sandbox::Fault;
use serde_json::json;
use tempfile::TempDir;
use tokio::join;

use super::{DOORS, Door, doors, order, orders_sent};
use crate::support::{
    TestProxy, client,
    contract::{ORDER, READ},
};

#[tokio::test]
async fn an_answer_is_given_again_byte_for_byte_but_the_id() {
    let proxy = doors().start().await;
    for (placed, door) in (1..).zip(DOORS) {
        let params = order(&format!("again-{door:?}"));
        let first = door.ask_under(&proxy, ORDER, &params, 11).await;
        first.assert_is("answered", "");
        assert_eq!(door.code(&first), Some(0), "{first:?}");
        assert_eq!(first.replayed, None);
        // Spaces and the order of members are no content.
        let again = door.ask_under(&proxy, ORDER, &params, 12).await;
        again.assert_is("answered", "replayed");
        assert_eq!(again.status, first.status);
        let with_its_id = first.text.replace("\"id\":11", "\"id\":12");
        assert_eq!(again.text, with_its_id);
        let header = (door != Door::Stream).then(|| "true".to_owned());
        assert_eq!(again.replayed, header);
        assert_eq!(orders_sent(&proxy), placed, "{door:?}");
    }
    // One caller's doors share its names.
    let told = Door::Token
        .ask(&proxy, ORDER, &order("again-Backend"))
        .await;
    told.assert_is("answered", "replayed");
}

#[tokio::test]
async fn an_old_answer_never_stands_for_a_new_order() {
    let builder = doors().plan(|plan| plan.orders.replay = Duration::from_millis(1));
    let proxy = builder.start().await;
    for door in DOORS {
        let params = order(&format!("old-{door:?}"));
        door.ask(&proxy, ORDER, &params)
            .await
            .assert_is("answered", "");
        let told = door
            .until(&proxy, (ORDER, &params), "too old", |told| {
                !told.is("answered", "replayed")
            })
            .await;
        told.assert_is("refused", "name_used");
        let status = if door == Door::Stream { 0 } else { 400 };
        assert_eq!(
            (told.status, door.code(&told)),
            (status, Some(204)),
            "{told:?}"
        );
    }
    assert_eq!(orders_sent(&proxy), 4);
}

#[tokio::test]
async fn a_repeat_waits_for_the_one_that_is_under_way() {
    let proxy = doors().start().await;
    for (placed, door) in (1..).zip(DOORS) {
        let params = order(&format!("running-{door:?}"));
        let slow = Fault::none().after().delayed(Duration::from_millis(500));
        proxy.exchange().script(ORDER, slow);
        let second = async {
            proxy.exchange().wait_executed(ORDER, placed).await;
            door.ask(&proxy, ORDER, &params).await
        };
        let (first, again) = join!(door.ask(&proxy, ORDER, &params), second);
        // On a stream the last line may be of either.
        if door != Door::Stream {
            first.assert_is("answered", "");
            again.assert_is("answered", "replayed");
        }
        assert_eq!(again.text, first.text);
        assert_eq!(orders_sent(&proxy), placed, "{door:?}");
    }
}

#[tokio::test]
async fn a_repeat_whose_own_time_is_over_is_told_that_the_first_is_under_way() {
    let limit = Duration::from_millis(300);
    let proxy = doors()
        .plan(move |plan| plan.http.exchange_v1.deadline = limit)
        .start()
        .await;
    proxy.exchange().script(ORDER, Fault::hang_after());
    let params = order("long");
    let again = async {
        proxy.exchange().wait_executed(ORDER, 1).await;
        let told = Door::Token.ask(&proxy, ORDER, &params).await;
        proxy.exchange().release();
        told
    };
    let (first, again) = join!(Door::Backend.ask(&proxy, ORDER, &params), again);
    again.assert_is("unknown", "running");
    assert_eq!((again.status, Door::Token.code(&again)), (400, Some(40006)));
    first.assert_is("answered", "");
    assert_eq!(orders_sent(&proxy), 1);
}

#[tokio::test]
async fn a_repeat_of_what_came_to_nothing_goes_on_by_itself() {
    let proxy = doors().start().await;
    for (round, door) in (0..).zip(DOORS) {
        let params = order(&format!("nothing-{door:?}"));
        // It is read, and answered once it is released: refused.
        proxy
            .exchange()
            .script(ORDER, Fault::code(306).delayed(Duration::from_millis(300)));
        let second = async {
            proxy.exchange().wait_received(ORDER, round * 2 + 1).await;
            door.ask(&proxy, ORDER, &params).await
        };
        let (first, second) = join!(door.ask(&proxy, ORDER, &params), second);
        assert_eq!(
            (door.code(&first), door.code(&second)),
            (Some(306), Some(0)),
            "{first:?} {second:?}"
        );
        assert_eq!(orders_sent(&proxy), round * 2 + 2);
    }
}

#[tokio::test]
async fn another_content_and_another_caller_are_refused_and_learn_nothing() {
    let token = "cpt_invented-token-of-somebody-else";
    let proxy = doors()
        .plan(move |plan| {
            let caller = Arc::new(Caller {
                name: "stranger".into(),
                policy: Policy::default(),
            });
            let digest = TokenDigest::of(token.as_bytes());
            plan.callers = std::mem::take(&mut plan.callers).with_token(digest, caller);
        })
        .start()
        .await;
    for door in DOORS {
        let (name, other) = (format!("mine-{door:?}"), format!("of-the-other-{door:?}"));
        door.ask(&proxy, ORDER, &order(&name))
            .await
            .assert_is("answered", "");
        let body = json!({ "method": ORDER, "params": order(&other) }).to_string();
        let placed = proxy
            .send(
                client()
                    .post(proxy.url("/proxy/private"))
                    .header("x-proxy-token", token)
                    .header("content-type", "application/json")
                    .body(body),
            )
            .await;
        let order_id = placed.inner()["result"]["order_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut changed = order(&name);
        changed["price"] = json!("50001.00");
        for (params, why, backend) in [
            (&changed, "name_differs", 422),
            (&order(&other), "name_taken", 409),
        ] {
            let told = door.ask(&proxy, ORDER, params).await;
            told.assert_is("refused", why);
            let expected = match door {
                Door::Backend => (backend, None),
                Door::Token | Door::Signed => (400, Some(204)),
                Door::Stream => (0, Some(204)),
            };
            assert_eq!((told.status, door.code(&told)), expected, "{told:?}");
            assert_eq!(told.replayed, None);
            let all = format!("{told:?}");
            assert!(
                !all.contains(&order_id) && !all.contains("stranger"),
                "{all}"
            );
        }
    }
    assert_eq!(orders_sent(&proxy), 8);
}

#[tokio::test]
async fn an_executed_order_never_reads_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_owned();
    let first = doors()
        .plan(|plan| {
            plan.state_dir = Some(path);
            plan.gateway.max_in_flight = 4;
        })
        .start()
        .await;
    for door in DOORS {
        let params = order(&format!("done-{door:?}"));
        door.ask(&first, ORDER, &params)
            .await
            .assert_is("answered", "");
    }
    let check = async |proxy: &TestProxy, why: &str, doors: &[Door]| {
        for door in doors {
            let params = order(&format!("done-{door:?}"));
            let told = door.ask(proxy, ORDER, &params).await;
            told.assert_is("answered", "replayed");
            let told = door.ask(proxy, ORDER, &order("never-was")).await;
            told.assert_is("refused", why);
        }
    };
    first.exchange().script_always(READ, Fault::hang_after());
    first.exchange().script_always(ORDER, Fault::hang_after());
    let hanging = futures_util::future::join_all((0..2).map(|count| {
        let params = order(&format!("fills-{count}"));
        async { first.call(ORDER, params).await }
    }));
    let full = async {
        first.exchange().wait_received(ORDER, 6).await;
        check(&first, "no_room_caller", &[Door::Backend, Door::Token]).await;
        first.exchange().clear_script(ORDER);
        first.exchange().release();
    };
    join!(hanging, full);
    first.gateway.drain();
    check(
        &first,
        "draining",
        &[Door::Backend, Door::Token, Door::Signed],
    )
    .await;
    // The policy is another one now.
    let copy = crate::support::as_left_by_a_crash(directory.path());
    let path = copy.path().to_owned();
    let denies = || Policy {
        deny_methods: [ORDER.into()].into(),
        ..Policy::default()
    };
    let second = TestProxy::builder_with(first.canaries.clone())
        .policy(|policy| *policy = denies())
        .streams(denies())
        .plan(|plan| plan.state_dir = Some(path))
        .start()
        .await;
    check(
        &second,
        "denied",
        // A signature must be newer than the mark of the process that went.
        &[Door::Backend, Door::Token],
    )
    .await;
    assert_eq!(orders_sent(&second), 0);
}

#[tokio::test]
async fn a_repeated_cancel_is_always_sent() {
    let proxy = doors().start().await;
    for (round, door) in (1..).zip(DOORS) {
        let name = format!("cancel-{door:?}");
        door.ask(&proxy, ORDER, &order(&name))
            .await
            .assert_is("answered", "");
        let cancel = json!({ "client_oid": name });
        for _ in 0..2 {
            door.ask(&proxy, "private/cancel-order", &cancel)
                .await
                .assert_is("answered", "");
        }
        assert_eq!(proxy.exchange().count("private/cancel-order"), round * 2);
    }
}
