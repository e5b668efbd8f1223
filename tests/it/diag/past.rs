//! What whoever asks says beside joins the ranking.

use tempfile::TempDir;

use super::*;

#[tokio::test]
async fn another_key_in_the_file_is_a_daemon_that_was_not_restarted() {
    let proxy = builder().start().await;
    let own = ask(&proxy, KNOWN).await.json()["key_fingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    let json = ask(&proxy, "/diag/run?file_key_fp=00000000").await.json();
    assert_eq!(codes(&json), ["CP-NOT-RESTARTED"], "{json:#}");
    let evidence = json["causes"][0]["for"][0].as_str().unwrap();
    assert!(
        evidence.contains("00000000") && evidence.contains(&own),
        "{evidence}"
    );
    assert!(
        json["next_step"]
            .as_str()
            .unwrap()
            .contains("systemctl restart crypto-proxy"),
        "{json:#}"
    );
    let credentials = json["findings"][0]["says"].as_str().unwrap();
    assert!(
        credentials.contains(&own) && !credentials.contains("00000000"),
        "what was found is the daemon's: {credentials}"
    );
    five_minutes_later().await;
    let same = ask(&proxy, &format!("/diag/run?file_key_fp={own}"))
        .await
        .json();
    assert_eq!(
        (codes(&same), &same["test_result"]),
        (vec![], &json!("healthy")),
        "{same:#}"
    );
}

/// A proxy with a history.
fn remembering(folder: &TempDir) -> Builder {
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    builder().plan(|plan| plan.state_dir = Some(state))
}

#[tokio::test]
async fn what_was_refused_a_moment_ago_is_counted() {
    let folder = TempDir::new().unwrap();
    let proxy = remembering(&folder).start().await;
    let refused = client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", "an-invented-wrong-token")
        .header("content-type", "application/json")
        .body(r#"{"method":"private/user-balance","params":{}}"#);
    assert_eq!(proxy.send(refused).await.status, 401);
    let json = ask(&proxy, RUN).await.json();
    assert_eq!(codes(&json), ["CP-REFUSED-HERE"], "{json:#}");
}

#[tokio::test]
async fn a_history_that_cannot_be_written_is_told() {
    let folder = TempDir::new().unwrap();
    let proxy = remembering(&folder).start().await;
    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    assert_eq!(proxy.call(READ, json!({})).await.status, 200);
    let json = ask(&proxy, RUN).await.json();
    // The order journal stood in the same place.
    let both = ["CP-JOURNAL-AWAY", "CP-NOT-RECORDED"];
    assert_eq!(codes(&json), both, "{json:#}");
    assert_eq!(json["test_result"], "trouble", "{json:#}");
}

#[tokio::test]
async fn the_dashboards_time_travels_along() {
    let proxy = builder().start().await;
    let json = ask(&proxy, "/diag/run?key_updated=2026-01-31T09:30:00Z")
        .await
        .json();
    assert!(
        json["history"]
            .as_str()
            .unwrap()
            .contains("key updated on the dashboard 2026-01-31T09:30:00Z"),
        "{json:#}"
    );
}
