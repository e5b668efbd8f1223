//! What is written behind: together with the next order, and no more of it than is bounded.

use super::*;
use crate::notes::MOST_NOTES;

/// The thread has taken everything that was sent to it so far.
fn taken(journal: &Journal) {
    journal.test(|_| ());
}

#[tokio::test]
async fn an_order_and_the_end_of_the_one_before_it_share_a_commit() {
    let machine = Machine::new();
    let journal = machine.open();
    let before = journal.commits();
    for number in 0..100 {
        let one = intent("a", 1, &[&number.to_string()]);
        assert_eq!(begin(&journal, &one).await, "go");
        journal.conclude(one.attempt, answered(vec![executed("1")]));
        taken(&journal);
    }
    let commits = journal.commits() - before;
    // A busy machine may take its time between two of them.
    assert!((100..150).contains(&commits), "{commits}");
    let since = std::time::Instant::now();
    let last = journal.commits();
    while journal.commits() == last {
        tokio::task::yield_now().await;
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "it is written without anybody asking"
        );
    }
}

fn attempts(journal: &Journal) -> i64 {
    let (tell, told) = mpsc::channel();
    journal.test(move |store| {
        let count = store
            .connection
            .query_row("SELECT count(*) FROM attempt", [], |row| row.get(0));
        tell.send(count.unwrap()).unwrap();
    });
    told.recv().unwrap()
}

#[tokio::test]
async fn cancellations_are_bounded_while_the_disk_hangs_and_no_end_of_an_order_is_lost() {
    let machine = Machine::new();
    let journal = machine.open();
    let order = intent("a", 1, &["x"]);
    assert_eq!(begin(&journal, &order).await, "go");
    let held = disk::hold(&journal);
    for number in 0..3 * MOST_NOTES {
        let cancel = Intent {
            targets: vec![number.to_string()],
            ..intent("a", 1, &[])
        };
        let ticket = journal.note(cancel.clone());
        assert_eq!(ticket.attempt(), cancel.attempt, "it goes");
        journal.conclude(cancel.attempt, answered(Vec::new()));
    }
    journal.conclude(order.attempt, answered(vec![executed("1")]));
    drop(held);
    assert_eq!(look(&journal, &order).await, "answered");
    let _ = all(&journal).await;
    assert_eq!(
        attempts(&journal),
        1 + i64::try_from(MOST_NOTES).unwrap(),
        "the order, and as many cancellations as may wait"
    );
    let cancel = Intent {
        targets: vec!["after".to_owned()],
        ..intent("a", 1, &[])
    };
    let _ = journal.note(cancel.clone());
    journal.conclude(cancel.attempt, answered(Vec::new()));
    assert_eq!(state(&journal, &cancel).await, State::Answered);
}

#[tokio::test]
async fn a_statement_is_prepared_once_whatever_its_values_are() {
    let machine = Machine::new();
    let journal = machine.open();
    let (tell, told) = mpsc::channel();
    journal.test(move |store| {
        let select =
            "SELECT id FROM attempt WHERE keep > 0 AND keep = ?1 ORDER BY ended_ran LIMIT 1";
        let mut select = store.connection.prepare(select).unwrap();
        for keep in [1, 2, 1, 2] {
            let _ = select.query_map([keep], |_| Ok(())).unwrap().count();
        }
        let again = select.get_status(rusqlite::StatementStatus::RePrepare);
        tell.send(again).unwrap();
    });
    assert_eq!(told.recv().unwrap(), 0);
}
