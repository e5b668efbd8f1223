//! What the exchange receives is what the client sent, but for `api_key`, `sig` and `nonce`.

use gateway::policy::Preset;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::Value;

use crate::support::{
    TestProxy,
    contract::READ,
    signing::{Pair, Unsigned, write},
    wire::{Script, Step, Wire, reply},
};

/// What must arrive for these members: three values are ours.
fn expected(members: &[(&'static str, String)], sent: &Value) -> String {
    let ours = |name: &'static str, text: &String| match name {
        "api_key" | "sig" | "nonce" => sent[name].to_string(),
        _ => text.clone(),
    };
    let members: Vec<_> = members
        .iter()
        .map(|(name, text)| (*name, ours(name, text)))
        .collect();
    write(&members)
}

async fn assert_exact(
    proxy: &TestProxy,
    wire: &Wire,
    pair: &Pair,
    call: &Unsigned,
    order: &[usize],
) {
    let all = call.members(pair);
    let members: Vec<_> = order
        .iter()
        .filter_map(|place| all.get(*place).cloned())
        .collect();
    let answer = proxy.post_exchange(READ, write(&members)).await;
    assert_eq!(answer.status, 200, "{} {}", write(&members), answer.text());
    let request = wire.requests().pop().expect("it came");
    let sent = request.json();
    assert_eq!(
        String::from_utf8(request.body.clone()).unwrap(),
        expected(&members, &sent)
    );
    assert_eq!(sent["api_key"], proxy.canaries.key);
    assert_ne!(sent["sig"].as_str(), Some(&*call.sig(pair)));
}

async fn start() -> (TestProxy, Wire) {
    let good = Step::Write(reply::good());
    let wire = Wire::start(vec![Script::plain(vec![Step::Request, good, Step::Fin])]).await;
    let proxy = TestProxy::builder()
        .base(wire.base())
        .caller("exact", Preset::Trade)
        .start()
        .await;
    (proxy, wire)
}

#[tokio::test]
async fn ids_numbers_as_text_unicode_escapes_and_spaces_arrive_as_they_were_written() {
    let (proxy, wire) = start().await;
    let pair = Pair::of("exact");
    let params = "{ \"zeta\" : \"Grüße \\u65e5本 \\ud83d\\ude00 a\\/b\",\n\t\"alpha\":\"0.010\",\"list\":[ \"b\", \"a\" ],\"n\":0.5 }";
    let as_text = Unsigned {
        id: "\"9223372036854775807\"".to_owned(),
        ..Unsigned::new(READ, params)
    };
    assert_exact(&proxy, &wire, &pair, &as_text, &[0, 1, 2, 3, 4, 5]).await;
    let mut quoted_nonce = Unsigned::new(READ, "{}");
    quoted_nonce.nonce = format!("\"{}\"", quoted_nonce.nonce);
    assert_exact(&proxy, &wire, &pair, &quoted_nonce, &[3, 1, 4, 0, 2, 5]).await;
    let without_params = Unsigned {
        params: None,
        ..Unsigned::new(READ, "")
    };
    assert_exact(&proxy, &wire, &pair, &without_params, &[1, 3, 2, 0, 4]).await;
}

#[tokio::test]
async fn params_and_an_id_that_are_null_are_none() {
    let (proxy, wire) = start().await;
    let pair = Pair::of("exact");
    for (id, params, sent) in [
        ("7", "null", "7"),
        ("null", "{}", "1"),
        ("null", "null", "1"),
    ] {
        let signed = Unsigned {
            id: id.replace("null", ""),
            params_string: Some(String::new()),
            ..Unsigned::new(READ, params)
        };
        let sig = signed.sig(&pair);
        let body = format!(
            r#"{{"id":{id},"method":"{READ}","api_key":"{}","params":{params},"nonce":{},"sig":"{sig}"}}"#,
            pair.key, signed.nonce
        );
        let answer = proxy.post_exchange(READ, body).await;
        assert_eq!(answer.status, 200, "{id} {params}: {}", answer.text());
        let request = wire.requests().pop().expect("it came").json();
        assert_eq!(request["id"].to_string(), sent);
        let member = (params != "null").then(|| serde_json::json!({}));
        assert_eq!(request.get("params"), member.as_ref(), "{id} {params}");
    }
}

#[tokio::test]
async fn whatever_a_client_may_send_arrives_as_it_was_written() {
    let (proxy, wire) = start().await;
    let pair = Pair::of("exact");
    let name = "[a-z_]{1,8}";
    let text = "\\PC{0,12}";
    let value = prop_oneof![
        text.prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        prop::collection::vec(text, 0..3).prop_map(|texts| serde_json::to_string(&texts).unwrap()),
    ];
    let members = prop::collection::vec((name, value), 0..6);
    let order = Just((0..6).collect::<Vec<usize>>()).prop_shuffle();
    let strategy = (0..=i64::MAX as u64, any::<bool>(), members, order);
    let mut runner = TestRunner::deterministic();
    for _ in 0..60 {
        let (id, quoted, mut members, order) = strategy.new_tree(&mut runner).unwrap().current();
        let mut names = std::collections::HashSet::new();
        members.retain(|(name, _)| names.insert(name.clone()));
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\" :{value}"))
            .collect();
        let id = if quoted {
            format!("\"{id}\"")
        } else {
            id.to_string()
        };
        let call = Unsigned {
            id,
            ..Unsigned::new(READ, &format!("{{{}}}", members.join(" ,")))
        };
        assert_exact(&proxy, &wire, &pair, &call, &order).await;
    }
}
