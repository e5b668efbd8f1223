//! What is kept, and for how long.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One order under this name that ended so.
async fn ended(journal: &Journal, name: &str, conclusion: Conclusion) -> Intent {
    let one = intent("a", 1, &[name]);
    assert_eq!(begin(journal, &one).await, "go");
    journal.conclude(one.attempt, conclusion);
    one
}

fn answers(journal: &Journal) -> i64 {
    let (tell, told) = mpsc::channel();
    journal.test(move |store| {
        let count = store
            .connection
            .query_row("SELECT count(*) FROM answer", [], |row| row.get(0));
        tell.send(count.unwrap()).unwrap();
    });
    told.recv().unwrap()
}

#[tokio::test]
async fn answers_go_after_their_time_and_the_oldest_where_there_are_too_many_bytes() {
    let mut machine = Machine::new();
    machine.settings.answer_bytes = 20;
    let journal = machine.open();
    let first = ended(&journal, "x", answered(vec![executed("1")])).await;
    let second = ended(&journal, "y", answered(vec![executed("2")])).await;
    assert_eq!(
        (look(&journal, &first).await, look(&journal, &second).await),
        ("answered", "answered")
    );
    // Ten bytes each.
    let third = ended(&journal, "z", answered(vec![executed("3")])).await;
    assert_eq!(look(&journal, &third).await, "answered");
    assert_eq!(
        (look(&journal, &first).await, look(&journal, &second).await),
        ("used", "answered")
    );
    assert_eq!(answers(&journal), 2);
    drop(journal);
    let journal = machine.open();
    let fourth = ended(&journal, "w", answered(vec![executed("4")])).await;
    assert_eq!(
        (look(&journal, &fourth).await, look(&journal, &second).await),
        ("answered", "used")
    );
    machine.pass(Duration::from_secs(601));
    let _ = ended(&journal, "v", Conclusion::NotSent).await;
    assert_eq!(
        (look(&journal, &third).await, answers(&journal)),
        ("used", 0)
    );
}

#[tokio::test]
async fn names_are_kept_for_long_what_holds_none_shortly_and_what_is_open_always() {
    let machine = Machine::new();
    let journal = machine.open();
    let open = ended(&journal, "open", UNKNOWN).await;
    let executed = ended(&journal, "done", answered(vec![executed("1")])).await;
    let refused = ended(&journal, "refused", answered(vec![REFUSED])).await;
    let cancel = Intent {
        targets: vec!["done".to_owned()],
        ..intent("a", 1, &["done"])
    };
    let _ = journal.note(cancel.clone());
    journal.conclude(
        cancel.attempt,
        answered(vec![LegEnd::Executed { order_id: None }]),
    );
    for (days, expected) in [
        (6, vec![&cancel, &refused, &executed, &open]),
        (2, vec![&executed, &open]),
        (81, vec![&executed, &open]),
        (2, vec![&open]),
        (400, vec![&open]),
    ] {
        machine.pass(DAY * days);
        journal.are_open(account(), Vec::new()).await.unwrap();
        let touch = ended(&journal, "touch", Conclusion::NotSent).await;
        let _ = all(&journal).await;
        let listed = all(&journal).await;
        let left = listed
            .iter()
            .map(|entry| entry.attempt)
            .filter(|attempt| *attempt != touch.attempt);
        let expected: Vec<_> = expected.iter().map(|intent| intent.attempt).collect();
        let left: Vec<_> = left.filter(|attempt| expected.contains(attempt)).collect();
        assert_eq!(left, expected, "{days}");
    }
    assert_eq!(
        all(&journal).await.len(),
        2,
        "the last touch, and what is open"
    );
    assert_eq!(look(&journal, &open).await, "unknown");
}

#[tokio::test]
async fn what_holds_nothing_is_kept_up_to_a_number() {
    let mut machine = Machine::new();
    machine.settings.most_kept_shortly = 10;
    let journal = machine.open();
    for number in 0..100 {
        machine.pass(Duration::from_millis(1));
        let _ = ended(&journal, &number.to_string(), answered(vec![REFUSED])).await;
    }
    let _ = ended(&journal, "last", UNKNOWN).await;
    let _ = all(&journal).await;
    let left = all(&journal).await.len();
    assert!(left <= 12, "{left}");
}

/// Somebody puts the clock a year ahead, and back again.
#[tokio::test]
async fn a_clock_that_runs_ahead_costs_no_name() {
    let machine = Machine::new();
    let journal = machine.open();
    let executed = ended(&journal, "x", answered(vec![executed("1")])).await;
    machine
        .wall
        .fetch_add(400 * 24 * 3_600_000, Ordering::Relaxed);
    for number in 0..3 {
        let _ = ended(&journal, &number.to_string(), Conclusion::NotSent).await;
    }
    machine
        .wall
        .fetch_sub(400 * 24 * 3_600_000, Ordering::Relaxed);
    assert_eq!(look(&journal, &executed).await, "answered");
}

/// A dead battery, before the time came from the network: the machine starts a year ahead.
#[tokio::test]
async fn a_start_with_a_clock_that_is_wrong_forgets_nothing() {
    const YEAR: u64 = 365 * 24 * 3_600_000;
    for ahead in [true, false] {
        let mut machine = Machine::new();
        let journal = machine.open();
        let done = ended(&journal, "x", answered(vec![executed("1")])).await;
        let refused = ended(&journal, "y", Conclusion::NotSent).await;
        drop(journal);
        let add = |ahead| {
            if ahead {
                machine.wall.fetch_add(YEAR, Ordering::Relaxed);
            } else {
                machine.wall.fetch_sub(YEAR, Ordering::Relaxed);
            }
        };
        add(ahead);
        for _ in 0..3 {
            let journal = machine.open();
            for number in 0..30 {
                let _ = ended(&journal, &number.to_string(), Conclusion::NotSent).await;
            }
            assert_ne!(begin(&journal, &again(&done)).await, "go");
            assert_eq!(answers(&journal), 1);
        }
        add(!ahead);
        machine.reboot();
        let journal = machine.open();
        assert_eq!(begin(&journal, &again(&done)).await, "answered");
        assert_eq!(state(&journal, &refused).await, State::NotSent);
    }
}

/// Whoever cancels a thousand times a minute must not make the journal forget that a name was used before.
#[tokio::test]
async fn cancellations_push_out_cancellations_alone() {
    let mut machine = Machine::new();
    machine.settings.most_kept_shortly = 10;
    let journal = machine.open();
    let unsent = ended(&journal, "x", Conclusion::NotSent).await;
    for number in 0..100 {
        machine.pass(Duration::from_millis(1));
        let cancel = Intent {
            targets: vec![number.to_string()],
            ..intent("a", 1, &[])
        };
        let _ = journal.note(cancel.clone());
        journal.conclude(cancel.attempt, answered(Vec::new()));
        let _ = all(&journal).await;
    }
    assert_eq!(state(&journal, &unsent).await, State::NotSent);
    let left = all(&journal).await.len();
    assert!(left <= 13, "{left}");
    let Begun::Go(ticket) = journal.begin(again(&unsent)).await.unwrap() else {
        panic!("its name is free");
    };
    assert!(format!("{ticket:?}").contains("is_again: true"));
}

/// An order may rest at the exchange for longer than names are kept.
#[tokio::test]
async fn names_of_orders_are_kept_until_the_exchange_no_longer_has_them_open() {
    let machine = Machine::new();
    let journal = machine.open();
    let by_id = ended(&journal, "x", answered(vec![executed("1")])).await;
    let by_name = ended(&journal, "y", answered(vec![executed("2")])).await;
    let closed = ended(&journal, "z", answered(vec![executed("3")])).await;
    let elsewhere = Intent {
        account: Arc::new(Account {
            environment: "production".into(),
            name: "main".into(),
        }),
        ..intent("a", 1, &["x"])
    };
    assert_eq!(begin(&journal, &elsewhere).await, "go");
    journal.conclude(elsewhere.attempt, answered(vec![executed("4")]));
    let _ = all(&journal).await;
    machine.pass(DAY * 400);
    let all_of = async |journal: &Journal, orders: [&Intent; 4]| {
        let _ = ended(journal, "touch", Conclusion::NotSent).await;
        let _ = all(journal).await;
        let mut words = Vec::new();
        for one in orders {
            words.push(look(journal, one).await);
        }
        words
    };
    let orders = [&by_id, &by_name, &closed, &elsewhere];
    assert_eq!(
        all_of(&journal, orders).await,
        ["used"; 4],
        "nobody told which are open"
    );
    let open = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    journal
        .are_open(account(), open(&["1", "y", "none of ours"]))
        .await
        .unwrap();
    assert_eq!(
        all_of(&journal, orders).await,
        ["used", "used", "free", "used"],
        "of another account nobody knows"
    );
    drop(journal);
    let journal = machine.open();
    machine.pass(DAY * 89);
    journal.are_open(account(), open(&["1"])).await.unwrap();
    assert_eq!(
        all_of(&journal, orders).await,
        ["used", "used", "free", "used"]
    );
    machine.pass(DAY * 3);
    assert_eq!(
        all_of(&journal, orders).await,
        ["used", "used", "free", "used"],
        "what was told is too long ago"
    );
    journal.are_open(account(), open(&["1"])).await.unwrap();
    assert_eq!(
        all_of(&journal, orders).await,
        ["used", "free", "free", "used"]
    );
}
