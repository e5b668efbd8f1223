//! Answers that were lost: nobody sends the order again, and the daemon finds out what became of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gateway::clock::Clock;
use sandbox::{Canned, Fault};
use serde_json::json;
use tempfile::TempDir;

use super::{DETAIL, DOORS, Door, doors, order, orders_sent};
use crate::support::{TestProxy, as_left_by_a_crash, client, contract::ORDER, stream::Socket};

/// While this lasts, nobody can find out.
fn keep_in_doubt(proxy: &TestProxy) {
    proxy.exchange().script_always(DETAIL, Fault::code(50001));
}

fn find_out(proxy: &TestProxy) {
    proxy.exchange().clear_script(DETAIL);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_until_it_is_found_out_and_nothing_is_sent_again() {
    let proxy = doors().start().await;
    keep_in_doubt(&proxy);
    let html = || Fault::reply(Canned::html(502, "<html>")).after();
    let mut lost = Vec::new();
    for door in DOORS {
        for (word, fault) in [
            ("after", Fault::cut_after()),
            ("within", Fault::cut_within()),
            ("html", html()),
        ] {
            // A stream has no HTTP, and its answers come whole.
            if door == Door::Stream && word != "after" {
                continue;
            }
            let params = order(&format!("{door:?}-{word}"));
            proxy.exchange().script(ORDER, fault);
            let first = door.ask(&proxy, ORDER, &params).await;
            first.assert_is("unknown", "");
            let again = door.ask(&proxy, ORDER, &params).await;
            again.assert_is("unknown", "in_doubt");
            let expected = match door {
                Door::Backend => (504, None),
                Door::Token | Door::Signed => (400, Some(40006)),
                Door::Stream => (0, Some(40801)),
            };
            assert_eq!((again.status, door.code(&again)), expected, "{again:?}");
            assert!(
                again.text.contains(&format!("{door:?}-{word}")),
                "{again:?}"
            );
            assert!(again.text.contains("get-order-detail"), "{again:?}");
            lost.push((door, params));
        }
    }
    let sent = orders_sent(&proxy);
    assert_eq!(sent, 10);
    find_out(&proxy);
    for (door, params) in &lost {
        let told = door
            .until(&proxy, (ORDER, params), "found out", |told| {
                !told.is("unknown", "in_doubt")
            })
            .await;
        told.assert_is("refused", "name_used");
        assert_eq!(door.code(&told), Some(204), "{told:?}");
    }
    assert_eq!(orders_sent(&proxy), sent, "nothing was sent again");
}

#[tokio::test]
async fn however_often_it_is_sent_again_one_call_is_in_doubt() {
    let proxy = doors().start().await;
    keep_in_doubt(&proxy);
    proxy.exchange().script(ORDER, Fault::cut_after());
    for _ in 0..5 {
        let told = Door::Backend.ask(&proxy, ORDER, &order("once")).await;
        told.assert_is("unknown", "");
    }
    let ready = proxy.send(client().get(proxy.url("/ready"))).await;
    let text = ready.text();
    assert!(text.contains("1 call is in doubt"), "{text}");
    assert_eq!(orders_sent(&proxy), 1);
}

#[tokio::test]
async fn what_a_process_left_open_is_known_to_the_next_one() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_owned();
    let first = doors()
        .plan(|plan| plan.state_dir = Some(path))
        .start()
        .await;
    let (answered, open) = (order("answered"), order("open"));
    let told = Door::Backend.ask(&first, ORDER, &answered).await;
    told.assert_is("answered", "");
    first.exchange().script(ORDER, Fault::hang_after());
    let copy = {
        let hanging = first.call(ORDER, open.clone());
        tokio::select! {
            _ = hanging => panic!("it hangs"),
            () = first.exchange().wait_executed(ORDER, 2) => as_left_by_a_crash(directory.path()),
        }
    };
    let path = copy.path().to_owned();
    let base = format!("http://{}/exchange/v1", first.exchange_address());
    let second = TestProxy::builder_with(first.canaries.clone())
        .base(base)
        .plan(|plan| plan.state_dir = Some(path))
        .start()
        .await;
    let again = Door::Backend.ask(&second, ORDER, &answered).await;
    again.assert_is("answered", "replayed");
    assert_eq!(again.text, told.text);
    let found = Door::Backend
        .until(&second, (ORDER, &open), "found out", |told| {
            !told.is("unknown", "in_doubt")
        })
        .await;
    found.assert_is("refused", "name_used");
    assert_eq!(orders_sent(&first), 2, "nothing was sent again");
}

#[tokio::test]
async fn the_repeat_of_a_command_that_is_under_way_is_unknown_when_its_own_socket_ends() {
    let proxy = doors().start().await;
    keep_in_doubt(&proxy);
    proxy.exchange().script_always(ORDER, Fault::hang_after());
    let frame = |id: u64| json!({ "id": id, "method": ORDER, "params": order("both") });
    let (mut first, mut second) = (Socket::bot(&proxy).await, Socket::bot(&proxy).await);
    first.send(frame(1)).await;
    proxy.exchange().wait_received(ORDER, 1).await;
    second.send(frame(2)).await;
    // What comes after it does not wait for it.
    let read = json!({ "id": 3, "method": "private/user-balance", "params": {} });
    assert_eq!(second.ask(read).await["id"], 3);
    proxy.exchange().clear_script(ORDER);
    let other = json!({ "id": 4, "method": ORDER, "params": order("after-it") });
    let placed = second.ask(other).await;
    assert_eq!((&placed["id"], &placed["code"]), (&json!(4), &json!(0)));
    proxy.exchange().cut_streams();
    let told = second.next().await;
    assert_eq!(
        (&told["id"], &told["code"], &told["outcome"]),
        (&json!(2), &json!(40801), &json!("unknown")),
        "{told}"
    );
    assert_eq!(orders_sent(&proxy), 2);
}

/// The lists of a busy account have many pages, of which the exchange gives one in a second.
#[tokio::test]
async fn what_is_found_by_its_name_does_not_wait_for_the_lists_of_what_is_not() {
    const HISTORY: &str = "private/get-order-history";
    // The daemon waits for a page for so long.
    const PAGE: Duration = Duration::from_secs(5);
    let wall = Arc::new(AtomicU64::new(Clock::system().now_ms()));
    let up = Arc::new(AtomicU64::new(1_000_000));
    let clock = Clock::stepped_by(wall, Arc::clone(&up));
    let proxy = doors().plan(|plan| plan.clock = clock).start().await;
    let lose = async |name: &str, fault| {
        proxy.exchange().script(ORDER, fault);
        let told = Door::Backend.ask(&proxy, ORDER, &order(name)).await;
        told.assert_is("unknown", "");
    };
    proxy
        .exchange()
        .script_always(HISTORY, Fault::hang_before());
    lose("never-arrived", Fault::cut_before()).await;
    // A busy machine may need a second try.
    for number in 1..10 {
        let pages = proxy.exchange().count(HISTORY);
        up.fetch_add(300_000, Ordering::Relaxed);
        proxy.exchange().wait_received(HISTORY, pages + 1).await;
        let began = Instant::now();
        let name = format!("arrived-{number}");
        lose(&name, Fault::cut_after()).await;
        let found = Door::Backend
            .until(&proxy, (ORDER, &order(&name)), "found out", |told| {
                !told.is("unknown", "in_doubt")
            })
            .await;
        found.assert_is("refused", "name_used");
        if began.elapsed() < PAGE {
            return;
        }
    }
    panic!("it waits for the lists");
}
