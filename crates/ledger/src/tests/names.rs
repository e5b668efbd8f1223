//! What a name that is used again gets.

use super::*;

#[tokio::test]
async fn a_name_is_used_once_and_asked_for_as_often_as_you_like() {
    let machine = Machine::new();
    let journal = machine.open();
    let first = intent("a", 1, &["x"]);
    assert_eq!(look(&journal, &first).await, "free");
    assert_eq!(begin(&journal, &first).await, "go");
    assert_eq!(begin(&journal, &again(&first)).await, "running");
    assert_eq!(look(&journal, &first).await, "running");
    assert_eq!(begin(&journal, &intent("a", 2, &["x"])).await, "differs");
    assert_eq!(begin(&journal, &intent("b", 1, &["x"])).await, "taken");
    journal.conclude(first.attempt, answered(vec![executed("7")]));
    match journal.begin(again(&first)).await.unwrap() {
        Begun::Known(Known::Answered(answer)) => assert_eq!(answer, stored()),
        other @ (Begun::Go(_) | Begun::Known(_)) => panic!("{other:?}"),
    }
    assert_eq!(begin(&journal, &intent("b", 1, &["x"])).await, "taken");
    machine.pass(Duration::from_secs(601));
    match journal.begin(again(&first)).await.unwrap() {
        Begun::Known(Known::Used(past)) => {
            assert_eq!(
                (past.state, past.order_ids),
                (State::Answered, vec!["7".to_owned()])
            );
            assert_eq!((past.begun_ms, &*past.rid), (WALL_MS, "rid-of-a"));
        }
        other @ (Begun::Go(_) | Begun::Known(_)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn names_of_other_accounts_and_kinds_are_other_names() {
    let machine = Machine::new();
    let journal = machine.open();
    assert_eq!(begin(&journal, &intent("a", 1, &["x"])).await, "go");
    for kind in Kind::ALL.into_iter().skip(1) {
        let mut other = intent("b", 1, &["x"]);
        other.legs[0].name = Some((kind, "x".to_owned()));
        assert_eq!(begin(&journal, &other).await, "go", "{kind:?}");
    }
    for (environment, name) in [("production", "main"), ("uat", "second")] {
        let account = Account {
            environment: environment.into(),
            name: name.into(),
        };
        let other = Intent {
            account: Arc::new(account),
            ..intent("b", 1, &["x"])
        };
        assert_eq!(begin(&journal, &other).await, "go", "{environment} {name}");
    }
    assert_eq!(begin(&journal, &intent("b", 1, &["x"])).await, "taken");
    let mut nameless = intent("b", 1, &[]);
    nameless.legs = vec![Leg::default()];
    for _ in 0..2 {
        assert_eq!(begin(&journal, &again(&nameless)).await, "go");
    }
}

/// How an attempt ended, and what the same and another caller get for its name then.
#[tokio::test]
async fn a_name_is_free_again_where_nothing_was_executed() {
    let machine = Machine::new();
    let journal = machine.open();
    let table = [
        (Conclusion::NotSent, "go", "go"),
        (answered(vec![REFUSED]), "go", "go"),
        (UNKNOWN, "unknown", "taken"),
        (answered(vec![LegEnd::Open]), "answered", "taken"),
        (answered(Vec::new()), "answered", "taken"),
        (answered(vec![executed("1")]), "answered", "taken"),
    ];
    for (number, (conclusion, same, other)) in table.into_iter().enumerate() {
        for (caller, expected) in [("a", same), ("b", other)] {
            let name = format!("{number}{caller}");
            let first = intent("a", 1, &[&name]);
            assert_eq!(begin(&journal, &first).await, "go");
            journal.conclude(first.attempt, conclusion.clone());
            let next = Intent {
                caller: caller.into(),
                ..again(&first)
            };
            let what = format!("{conclusion:?} {caller}");
            assert_eq!(
                look(&journal, &next).await.replace("free", "go"),
                expected,
                "{what}"
            );
            assert_eq!(begin(&journal, &next).await, expected, "{what}");
        }
    }
}
