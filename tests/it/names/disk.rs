//! A journal that cannot be written: orders wait, and nothing else does.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::{DOORS, Door, doors, order, orders_sent};
use crate::support::contract::{ORDER, READ};

#[tokio::test]
async fn without_its_journal_an_order_is_refused_and_cancels_and_reads_go_on() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_owned();
    let proxy = doors()
        .plan(|plan| plan.state_dir = Some(path))
        .start()
        .await;
    let (file, away) = (
        directory.path().join(ledger::FILE_NAME),
        directory.path().join("away"),
    );
    for door in DOORS {
        let placed = order(&format!("before-{door:?}"));
        door.ask(&proxy, ORDER, &placed)
            .await
            .assert_is("answered", "");
    }
    fs::rename(&file, &away).unwrap();
    for door in DOORS {
        let told = door
            .ask(&proxy, ORDER, &order(&format!("now-{door:?}")))
            .await;
        told.assert_is("refused", "ledger");
        let expected = match door {
            Door::Backend => (503, None),
            Door::Token | Door::Signed => (429, Some(9_010_001)),
            Door::Stream => (0, Some(9_010_001)),
        };
        assert_eq!((told.status, door.code(&told)), expected, "{told:?}");
        let cancel = json!({ "client_oid": format!("before-{door:?}") });
        let cancelled = door.ask(&proxy, "private/cancel-order", &cancel).await;
        cancelled.assert_is("answered", "");
        assert_eq!(door.code(&cancelled), Some(0), "{cancelled:?}");
        door.ask(&proxy, READ, &json!({}))
            .await
            .assert_is("answered", "");
    }
    assert_eq!(orders_sent(&proxy), 4);
    fs::rename(&away, &file).unwrap();
    for door in DOORS {
        let params = order(&format!("now-{door:?}"));
        let told = door
            .until(&proxy, (ORDER, &params), "by itself", |told| {
                !told.is("refused", "ledger")
            })
            .await;
        told.assert_is("answered", "");
        assert_eq!(door.code(&told), Some(0), "{told:?}");
    }
    assert_eq!(orders_sent(&proxy), 8);
}
