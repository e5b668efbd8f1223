//! The way of one call, from end to end.

use serde_json::json;

use crate::support::TestProxy;

#[tokio::test]
async fn a_balance_call_is_signed_relayed_answered_and_recorded_once() {
    let proxy = TestProxy::start().await;
    let answer = proxy.call("private/user-balance", json!({})).await;
    assert_eq!(
        (answer.status, answer.outcome().as_str()),
        (200, "answered")
    );
    assert_eq!(answer.inner()["code"], 0);
    assert_eq!(
        proxy
            .exchange()
            .counts("private/user-balance")
            .authenticated,
        1
    );
    let rid = answer.header("x-request-id").unwrap();
    let records = proxy.records_of(&rid);
    assert!(
        records[0]
            .text()
            .contains("response_status=200 code=0 outcome=answered"),
        "{}",
        records[0].text()
    );
}
