//! A list is one unit: all of it is new, or all of it was asked for before.

use sandbox::{Canned, Fault};
use serde_json::{Value, json};

use super::{DOORS, Door, doors, order, orders_sent};
use crate::support::{TestProxy, contract::ORDER};

const LIST: &str = "private/create-order-list";

fn list(names: [&str; 2]) -> Value {
    json!({ "contingency_type": "LIST", "order_list": names.map(order) })
}

#[tokio::test]
async fn a_list_is_given_again_as_a_whole_and_a_leg_of_another_call_refuses_all_of_it() {
    let proxy = doors().start().await;
    for (round, door) in (1..).zip(DOORS) {
        let named = |name: &str| format!("{name}-{door:?}");
        let (a, b, c) = (named("a"), named("b"), named("c"));
        let first = door.ask(&proxy, LIST, &list([&a, &b])).await;
        first.assert_is("answered", "");
        let again = door.ask(&proxy, LIST, &list([&a, &b])).await;
        again.assert_is("answered", "replayed");
        assert_eq!(again.text, first.text);
        for other in [list([&b, &a]), list([&c, &a]), list([&c, &c])] {
            door.ask(&proxy, LIST, &other)
                .await
                .assert_is("refused", "name_differs");
        }
        door.ask(&proxy, ORDER, &order(&a))
            .await
            .assert_is("refused", "name_differs");
        assert_eq!(
            (proxy.exchange().count(LIST), orders_sent(&proxy)),
            (round, round - 1)
        );
        // What was refused as a whole has used no name up.
        door.ask(&proxy, ORDER, &order(&c))
            .await
            .assert_is("answered", "");
    }
}

#[tokio::test]
async fn the_name_of_a_leg_that_was_refused_is_free_and_the_others_are_used() {
    let proxy = doors().start().await;
    let body = r#"{"id":1,"method":"private/create-order-list","code":0,"result":[{"index":0,"code":0,"order_id":"7001","client_oid":"good"},{"index":1,"code":306,"message":"no","client_oid":"bad"}]}"#;
    proxy
        .exchange()
        .script(LIST, Fault::reply(Canned::json(200, body)));
    let door = Door::Backend;
    let first = door.ask(&proxy, LIST, &list(["good", "bad"])).await;
    first.assert_is("answered", "");
    let again = door.ask(&proxy, LIST, &list(["good", "bad"])).await;
    again.assert_is("answered", "replayed");
    assert_eq!(again.text, first.text);
    door.ask(&proxy, ORDER, &order("good"))
        .await
        .assert_is("refused", "name_differs");
    door.ask(&proxy, ORDER, &order("bad"))
        .await
        .assert_is("answered", "");
    assert_eq!((proxy.exchange().count(LIST), orders_sent(&proxy)), (1, 1));
}

#[tokio::test]
async fn the_legs_of_a_lost_list_are_found_out_one_by_one() {
    let proxy = doors().start().await;
    proxy.exchange().script(LIST, Fault::cut_after());
    let params = list(["lost-1", "lost-2"]);
    let door = Door::Backend;
    door.ask(&proxy, LIST, &params)
        .await
        .assert_is("unknown", "lost");
    let told = door
        .until(&proxy, (LIST, &params), "found out", |told| {
            !told.is("unknown", "in_doubt")
        })
        .await;
    told.assert_is("refused", "name_used");
    let found = |name: &str| {
        let name = format!(" name={name} became=executed");
        proxy
            .texts()
            .iter()
            .filter(|text| text.contains(&name))
            .count()
    };
    assert_eq!((found("lost-1"), found("lost-2")), (1, 1));
    assert_eq!(proxy.exchange().count(LIST), 1);
}

#[tokio::test]
async fn a_group_is_given_again() {
    let proxy: TestProxy = doors().start().await;
    let mut legs = ["oco-1", "oco-2"].map(order);
    legs[1]["side"] = json!("SELL");
    legs[1]["type"] = json!("STOP_LOSS");
    legs[1]["ref_price"] = json!("40000");
    let params = json!({ "contingency_type": "OCO", "order_list": legs });
    let method = "private/advanced/create-oco";
    proxy.exchange().script(
        method,
        Fault::reply(Canned::json(
            200,
            r#"{"id":1,"method":"x","code":0,"result":{"list_id":6498090546073120100}}"#,
        )),
    );
    let first = Door::Backend.ask(&proxy, method, &params).await;
    first.assert_is("answered", "");
    let again = Door::Backend.ask(&proxy, method, &params).await;
    again.assert_is("answered", "replayed");
    assert_eq!(again.text, first.text);
    Door::Backend
        .ask(&proxy, ORDER, &order("oco-2"))
        .await
        .assert_is("refused", "name_differs");
    assert_eq!(proxy.exchange().count(method), 1);
}
