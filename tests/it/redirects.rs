//! A redirect is never followed: it would hand a signed call to whoever it names.

use sandbox::{Canned, FakeExchange, Settings};

use crate::support::{TestProxy, contract::READ};

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_target_is_not_told() {
    let proxy = TestProxy::start().await;
    let elsewhere = FakeExchange::new(Settings::default())
        .start()
        .await
        .unwrap();
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let target = elsewhere.url("/exchange/v1/private/leaked-location");
        let answer = proxy
            .pass_on(Canned::json(status, r#"{"code":0}"#).header("location", &target))
            .await;
        assert_eq!(answer.status, 502);
        assert!(
            answer
                .text()
                .contains(&format!("(HTTP {status}), which is never followed")),
            "{}",
            answer.text()
        );
        proxy.assert_outcome(&answer, "unknown", Some("redirected"));
        assert!(
            !answer.head_and_body().contains("leaked-location"),
            "{}",
            answer.head_and_body()
        );
    }
    assert_eq!(elsewhere.exchange().total().received, 0);
    assert_eq!(
        (proxy.exchange().count(READ), proxy.upstream_requests()),
        (7, 7)
    );
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("leaked-location")),
        "{:?}",
        proxy.texts()
    );
}
