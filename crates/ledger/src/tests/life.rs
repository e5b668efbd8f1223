//! How attempts end, and what stays of them.

use super::*;

async fn due(journal: &Journal) -> Vec<Attempt> {
    let due = journal.due(account(), 10).await.unwrap();
    due.iter().map(|entry| entry.attempt).collect()
}

async fn only(journal: &Journal) -> Entry {
    let mut all = all(journal).await;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[tokio::test]
async fn what_a_dead_process_left_is_in_doubt_and_looked_after_at_growing_intervals() {
    let machine = Machine::new();
    let journal = machine.open();
    let first = intent("a", 1, &["x"]);
    assert_eq!(begin(&journal, &first).await, "go");
    assert_eq!((due(&journal).await, journal.in_doubt()), (vec![], 0));
    drop(journal);

    let journal = machine.open();
    assert_eq!(journal.in_doubt(), 1);
    assert_eq!(state(&journal, &first).await, State::Unknown);
    let minutes = std::iter::repeat_n(60, 60);
    let seconds = [1, 2, 4, 8, 16, 32].into_iter().chain(minutes);
    for seconds in seconds.chain([3600, 3600]) {
        assert_eq!(due(&journal).await, [first.attempt]);
        machine.pass(Duration::from_millis(seconds * 1000 - 1));
        assert_eq!(due(&journal).await, []);
        machine.pass(Duration::from_millis(1));
    }
    let again = Duration::from_secs(300);
    assert!(
        journal
            .settle(first.attempt, Settled::Not { again })
            .await
            .unwrap()
    );
    machine.pass(Duration::from_secs(299));
    assert_eq!(due(&journal).await, []);
    machine.pass(Duration::from_secs(1));
    assert_eq!(due(&journal).await, [first.attempt]);
    assert_eq!(only(&journal).await.looked, 69);
}

#[tokio::test]
async fn the_longest_waiting_is_looked_after_first_and_no_more_than_asked_for() {
    let machine = Machine::new();
    let journal = machine.open();
    let mut left = Vec::new();
    for name in ["x", "y", "z"] {
        let one = intent("a", 1, &[name]);
        assert_eq!(begin(&journal, &one).await, "go");
        journal.conclude(one.attempt, UNKNOWN);
        let _ = all(&journal).await;
        machine.pass(Duration::from_millis(10));
        left.push(one.attempt);
    }
    let two = journal.due(account(), 2).await.unwrap();
    assert_eq!(
        two.iter().map(|entry| entry.attempt).collect::<Vec<_>>(),
        left[..2]
    );
    assert_eq!(due(&journal).await, left[2..]);
}

#[tokio::test]
async fn what_began_by_a_clock_that_stepped_back_began_no_later_than_it_was_lost() {
    let machine = Machine::new();
    let journal = machine.open();
    machine.wall.fetch_add(200_000, Ordering::Relaxed);
    let first = intent("a", 1, &["x"]);
    assert_eq!(begin(&journal, &first).await, "go");
    machine.wall.fetch_sub(200_000, Ordering::Relaxed);
    journal.conclude(first.attempt, UNKNOWN);
    assert_eq!(only(&journal).await.begun_ms, WALL_MS);
    // It began when it began, however long it took.
    let second = intent("a", 2, &["y"]);
    assert_eq!(begin(&journal, &second).await, "go");
    machine.pass(Duration::from_secs(9));
    journal.conclude(second.attempt, UNKNOWN);
    let entries = all(&journal).await;
    assert!(entries.iter().all(|entry| entry.begun_ms == WALL_MS));
}

#[tokio::test]
async fn a_life_is_counted_anew_after_a_reboot() {
    let mut machine = Machine::new();
    let journal = machine.open();
    let first = intent("a", 1, &["x"]);
    assert_eq!(begin(&journal, &first).await, "go");
    machine.pass(ALIVE);
    assert!(only(&journal).await.is_dead);
    drop(journal);
    let journal = machine.open();
    assert!(
        only(&journal).await.is_dead,
        "the same boot goes on counting"
    );
    drop(journal);
    machine.reboot();
    let journal = machine.open();
    machine.pass(ALIVE - Duration::from_millis(1));
    assert!(!only(&journal).await.is_dead);
    machine.pass(Duration::from_millis(1));
    assert!(only(&journal).await.is_dead);
}

#[tokio::test]
async fn each_leg_is_settled_by_itself_and_what_has_ended_stays() {
    let machine = Machine::new();
    let journal = machine.open();
    let first = intent("a", 1, &["x", "y"]);
    assert_eq!(begin(&journal, &first).await, "go");
    let leg = |leg, end| Settled::Leg { leg, end };
    assert!(
        !journal
            .settle(first.attempt, leg(0, REFUSED))
            .await
            .unwrap(),
        "its task works on it"
    );
    journal.conclude(first.attempt, UNKNOWN);
    assert!(
        journal
            .settle(first.attempt, leg(0, REFUSED))
            .await
            .unwrap()
    );
    // Decided is decided.
    assert!(
        journal
            .settle(first.attempt, leg(0, executed("8")))
            .await
            .unwrap()
    );
    assert_eq!(begin(&journal, &again(&first)).await, "unknown");
    assert_eq!(
        begin(&journal, &intent("b", 1, &["x"])).await,
        "go",
        "the name of what never arrived is free"
    );
    assert_eq!(journal.in_doubt(), 1);
    assert!(
        journal
            .settle(first.attempt, leg(1, executed("7")))
            .await
            .unwrap()
    );
    assert_eq!(
        (state(&journal, &first).await, journal.in_doubt()),
        (State::Executed, 0)
    );
    // Late, and of somebody who knows less.
    for conclusion in [
        Conclusion::NotSent,
        UNKNOWN,
        answered(vec![REFUSED, REFUSED]),
    ] {
        journal.conclude(first.attempt, conclusion);
        assert_eq!(state(&journal, &first).await, State::Executed);
    }
    assert!(
        !journal
            .settle(first.attempt, leg(1, REFUSED))
            .await
            .unwrap()
    );
    assert!(
        !journal
            .settle(Attempt::new(), leg(1, REFUSED))
            .await
            .unwrap()
    );
    match journal.look(intent("a", 1, &["y"])).await.unwrap() {
        Some(Known::Differs) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_conclusion_of_an_earlier_attempt_does_not_touch_a_later_one() {
    let machine = Machine::new();
    let journal = machine.open();
    let first = intent("a", 1, &["x"]);
    assert_eq!(begin(&journal, &first).await, "go");
    journal.conclude(first.attempt, Conclusion::NotSent);
    let second = again(&first);
    assert_eq!(begin(&journal, &second).await, "go");
    for conclusion in [Conclusion::NotSent, answered(vec![REFUSED])] {
        journal.conclude(first.attempt, conclusion);
        assert_eq!(begin(&journal, &again(&first)).await, "running");
    }
    assert_eq!(state(&journal, &first).await, State::NotSent);
}

#[tokio::test]
async fn by_hand_an_attempt_ends_with_who_and_why() {
    for (executed, ended, same) in [
        (true, State::Executed, "used"),
        (false, State::NeverArrived, "go"),
    ] {
        let machine = Machine::new();
        let journal = machine.open();
        let first = intent("a", 1, &["x"]);
        assert_eq!(begin(&journal, &first).await, "go");
        journal.conclude(first.attempt, UNKNOWN);
        let by_hand = Settled::ByHand {
            executed,
            why: "ops: seen in the app".to_owned(),
        };
        assert!(journal.settle(first.attempt, by_hand).await.unwrap());
        drop(journal);
        let journal = machine.open();
        let entry = only(&journal).await;
        assert_eq!(
            (entry.state, entry.by_hand.as_deref()),
            (ended, Some("ops: seen in the app"))
        );
        assert_eq!(begin(&journal, &again(&first)).await, same);
    }
}

#[tokio::test]
async fn who_waits_for_a_running_attempt_gets_its_answer() {
    let machine = Machine::new();
    let journal = machine.open();
    let first = intent("a", 1, &["x"]);
    assert_eq!(begin(&journal, &first).await, "go");
    let Begun::Known(Known::Running(running)) = journal.begin(again(&first)).await.unwrap() else {
        panic!("it is under way");
    };
    journal.conclude(first.attempt, answered(vec![executed("7")]));
    running.ended().await;
    assert_eq!(look(&journal, &first).await, "answered");
}

#[tokio::test]
async fn a_list_is_one_unit_and_its_refused_legs_give_their_names_back() {
    let machine = Machine::new();
    let journal = machine.open();
    let list = intent("a", 1, &["x", "y"]);
    assert_eq!(begin(&journal, &list).await, "go");
    journal.conclude(list.attempt, answered(vec![executed("7"), REFUSED]));
    assert_eq!(begin(&journal, &again(&list)).await, "answered");
    assert_eq!(
        begin(&journal, &intent("a", 2, &["x", "z"])).await,
        "differs"
    );
    assert_eq!(
        begin(&journal, &intent("a", 2, &["z", "z"])).await,
        "differs"
    );
    assert_eq!(
        begin(&journal, &intent("a", 2, &["z"])).await,
        "go",
        "nothing of a refused list is begun"
    );
    assert_eq!(begin(&journal, &intent("a", 3, &["y"])).await, "go");
    assert_eq!(
        begin(&journal, &again(&list)).await,
        "differs",
        "one leg is another order now"
    );
}

#[tokio::test]
async fn a_cancellation_is_noted_with_its_targets_and_never_kept_from_going() {
    let machine = Machine::new();
    let journal = machine.open();
    let first = intent("a", 1, &["x"]);
    assert_eq!(begin(&journal, &first).await, "go");
    for number in 0..2 {
        let cancel = Intent {
            targets: vec!["x".to_owned()],
            ..intent("b", 9, &["x"])
        };
        assert_eq!(journal.note(cancel.clone()).attempt(), cancel.attempt);
        let listed = all(&journal).await;
        assert_eq!(
            (listed[0].state, &*listed[0].targets),
            (State::Begun, &["x".to_owned()][..])
        );
        journal.conclude(cancel.attempt, answered(vec![executed("1")]));
        assert_eq!(state(&journal, &cancel).await, State::Answered, "{number}");
    }
    assert_eq!(look(&journal, &first).await, "running");
}

#[tokio::test]
async fn entries_are_listed_by_caller_name_and_state_the_newest_first() {
    let machine = Machine::new();
    let journal = machine.open();
    let (first, second, third) = (
        intent("a", 1, &["x"]),
        intent("b", 1, &["y"]),
        intent("a", 1, &["z", "w"]),
    );
    for one in [&first, &second, &third] {
        assert_eq!(begin(&journal, one).await, "go");
    }
    journal.conclude(first.attempt, answered(vec![executed("700")]));
    journal.conclude(second.attempt, Conclusion::NotSent);
    let second_again = again(&second);
    assert_eq!(begin(&journal, &second_again).await, "go");
    let text = |text: &str| Some(text.to_owned());
    let of = |caller: Option<&str>, name: Option<&str>, open, most| Listing {
        caller: caller.and_then(text),
        name: name.and_then(text),
        open,
        most,
    };
    for (listing, expected) in [
        (
            of(None, None, false, 9),
            vec![&second_again, &third, &second, &first],
        ),
        (of(None, None, false, 2), vec![&second_again, &third]),
        (of(None, None, true, 9), vec![&second_again, &third]),
        (of(Some("a"), None, false, 9), vec![&third, &first]),
        (of(Some("a"), None, true, 9), vec![&third]),
        (of(None, Some("y"), false, 9), vec![&second_again, &second]),
        (of(None, Some("y"), true, 9), vec![&second_again]),
        (of(None, Some("w"), false, 9), vec![&third]),
        (of(None, Some("700"), false, 9), vec![&first]),
        (of(Some("b"), Some("700"), false, 9), vec![]),
        (of(None, Some("nothing"), false, 9), vec![]),
    ] {
        let listed = journal.list(listing.clone()).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|entry| entry.attempt).collect();
        let expected: Vec<_> = expected.iter().map(|intent| intent.attempt).collect();
        assert_eq!(listed, expected, "{listing:?}");
    }
}

#[tokio::test]
async fn a_journal_in_memory_obeys_the_same_rules() {
    let machine = Machine::new();
    let journal = Journal::in_memory(machine.settings.clone(), machine.times()).unwrap();
    let first = intent("a", 1, &["x"]);
    assert_eq!(begin(&journal, &first).await, "go");
    journal.conclude(first.attempt, answered(vec![executed("7")]));
    assert_eq!(begin(&journal, &again(&first)).await, "answered");
}

/// Whoever looks after attempts takes so many in a round: those of which nothing can be found out must not be among them.
#[tokio::test]
async fn what_can_never_be_found_out_takes_no_place_among_what_is_looked_after() {
    let machine = Machine::new();
    let journal = machine.open();
    let long = format!("sha256:{}", "0".repeat(64));
    let elsewhere = Arc::new(Account {
        environment: "production".into(),
        name: "main".into(),
    });
    for number in 0..1000 {
        let mut one = intent("a", 1, &[&format!("foreign-{number}")]);
        match number % 4 {
            0 => one.legs = vec![Leg::default()],
            1 => one.legs[0].name = Some((Kind::Key, number.to_string())),
            2 => one.legs[0].name = Some((Kind::Order, format!("{long}{number}"))),
            _ => one.account = Arc::clone(&elsewhere),
        }
        assert_eq!(begin(&journal, &one).await, "go");
        journal.conclude(one.attempt, UNKNOWN);
    }
    let cancel = Intent {
        method: Cow::Borrowed("private/cancel-all-orders"),
        legs: vec![Leg::default()],
        ..intent("a", 1, &[])
    };
    let _ = journal.note(cancel.clone());
    journal.conclude(cancel.attempt, UNKNOWN);
    let named = intent("a", 1, &["x"]);
    assert_eq!(begin(&journal, &named).await, "go");
    journal.conclude(named.attempt, UNKNOWN);
    assert_eq!(due(&journal).await, [cancel.attempt, named.attempt]);
    assert_eq!(journal.in_doubt(), 1002);
    drop(journal);
    let journal = machine.open();
    machine.pass(Duration::from_secs(60));
    let mut after_a_start = due(&journal).await;
    after_a_start.sort();
    assert_eq!(after_a_start, [cancel.attempt, named.attempt]);
    assert_eq!(journal.in_doubt(), 1002);
}
