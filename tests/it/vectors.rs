//! Every vector of `crates/catalogue/data/vectors.json` through the door: what can be signed reaches the exchange as it was
//! sent and verifies there, by the stand-in's own code; what cannot is refused and reaches nobody.

use catalogue::methods::{self, Class};
use gateway::policy::Policy;
use sandbox::{ApiKey, Permission, Settings};
use serde_json::Value;

use crate::support::{TestProxy, contract::READ};

/// Vectors about ids: this door sends 1 whatever the caller says.
const ABOUT_IDS: &str = "id-";

fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(catalogue::SIGNING_VECTORS).unwrap();
    let all = file["vectors"].as_array().unwrap().clone();
    assert_eq!(all.len(), 70);
    all.into_iter()
        .filter(|vector| !name(vector).starts_with(ABOUT_IDS))
        .collect()
}

fn name(vector: &Value) -> &str {
    vector["name"].as_str().unwrap()
}

/// The vector's own method; a read where the exchange has no private method of that name.
fn method(vector: &Value) -> &str {
    let method = vector["method"].as_str().unwrap();
    let private = methods::find(method)
        .is_some_and(|info| info.class != Class::Public && info.verb.is_some());
    if private { method } else { READ }
}

fn is_signed(vector: &Value) -> bool {
    let verdict = vector["proxy"].as_str().unwrap();
    assert!(
        ["sign", "sign_if_canonical", "refuse", "refuse_ambiguous"].contains(&verdict),
        "{verdict}"
    );
    verdict.starts_with("sign")
}

fn body(vector: &Value) -> String {
    let method = method(vector);
    let params = vector["params_json"]
        .as_str()
        .map(|params| format!(r#","params":{params}"#))
        .unwrap_or_default();
    format!(r#"{{"method":"{method}"{params}}}"#)
}

/// Everything that a vector names is allowed, by name.
async fn permissive() -> TestProxy {
    let permit = |settings: &mut Settings| {
        let key = settings.keys.remove(0);
        let every = [Permission::Read, Permission::Trade, Permission::Withdraw];
        settings.put_key(ApiKey::new(&key.api_key, &key.api_secret).permissions(every));
    };
    let allow = |policy: &mut Policy| {
        policy.allow_methods = vectors().iter().map(|v| method(v).to_owned()).collect()
    };
    TestProxy::builder()
        .exchange(permit)
        .policy(allow)
        .start()
        .await
}

#[tokio::test]
async fn every_vector_that_can_be_signed_reaches_the_exchange_byte_for_byte_and_verifies() {
    let signed: Vec<Value> = vectors().into_iter().filter(is_signed).collect();
    for vector in &signed {
        // Many bear one name, with another content.
        let proxy = permissive().await;
        let (name, method) = (name(vector), method(vector));
        let answer = proxy.post(&body(vector)).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let received = proxy.exchange().received();
        assert_eq!(received.len(), 1, "{name}");
        let received = &received[0];
        assert!(received.authenticated, "{name}: {}", answer.text());
        let params = vector["params_json"].as_str().unwrap_or("{}");
        let start = format!(
            r#"{{"id":1,"method":"{method}","api_key":"{}","params":{params},"#,
            proxy.canaries.key
        );
        let sent = std::str::from_utf8(&received.body).unwrap();
        assert!(
            sent.starts_with(&format!("{start}\"nonce\":")),
            "{name}: {sent}"
        );
    }
    assert_eq!(signed.len(), 49);
}

#[tokio::test]
async fn every_vector_that_cannot_be_signed_is_refused_with_a_remedy_and_reaches_nobody() {
    let proxy = permissive().await;
    let refused: Vec<Value> = vectors()
        .into_iter()
        .filter(|vector| !is_signed(vector))
        .collect();
    for vector in &refused {
        let name = name(vector);
        let answer = proxy.post(&body(vector)).await;
        assert_eq!(answer.status, 422, "{name}: {}", answer.text());
        proxy.assert_outcome(&answer, "refused", Some("params_not_signable"));
        let message = answer.json()["detail"][0]["msg"]
            .as_str()
            .unwrap()
            .to_owned();
        let remedies = ["send ", "leave the element out", "use the documented names"];
        assert!(
            remedies.iter().any(|remedy| message.contains(remedy)),
            "{name}: {message}"
        );
    }
    assert_eq!((proxy.upstream_requests(), refused.len()), (0, 15));
}

#[tokio::test]
async fn the_flat_reading_of_order_lists_is_an_operators_choice() {
    use protocol::canonical::Dialect;
    let vector = vectors()
        .into_iter()
        .find(|vector| name(vector) == "order-list-exec-inst")
        .unwrap();
    let flat = |plan: &mut crypto_proxy::config::Config| {
        plan.gateway.dialect = Dialect::FlatOrderListExecInst
    };
    for (verifies_by, authenticated) in [
        (sandbox::Dialect::Flat, 1),
        (sandbox::Dialect::Documented, 0),
    ] {
        let builder = TestProxy::builder().exchange(|settings| settings.dialect = verifies_by);
        let proxy = builder.plan(flat).start().await;
        let answer = proxy.post(&body(&vector)).await;
        assert_eq!(
            (answer.status, answer.outcome().as_str()),
            (200, "answered")
        );
        // Whatever the exchange says to it: no second dialect is tried.
        let total = proxy.exchange().total();
        assert_eq!(
            (total.received, total.authenticated),
            (1, authenticated),
            "{verifies_by:?}"
        );
    }
}
