//! Stories of calls, one a second, and the exact lines that they raise.

use std::time::Duration;

use super::*;
use crate::{lines::Lines, verdict::tests::answer};

const BALANCE: &str = "private/user-balance";
const ORDERS: &str = "private/get-open-orders";
const CREATE: &str = "private/create-order";

struct Story {
    alarms: Alarms,
    now: Instant,
    lines: Lines,
}

impl Story {
    fn new() -> Self {
        Self {
            alarms: Alarms::default(),
            now: Instant::now(),
            lines: Lines::listen(),
        }
    }

    fn call(&mut self, method: &str, code: i64) -> &mut Self {
        self.now += Duration::from_secs(1);
        let status = if code == 0 { 200 } else { 401 };
        self.alarms
            .read(&answer(method, status, Some(code)), self.now);
        self
    }

    /// Level and alarm of each line since the last look, with `+` for a beginning and `-` for an end.
    fn told(&self) -> Vec<String> {
        let lines = self.lines.take();
        let short = |line: &String| {
            let word = |name: &str| {
                line.split(name)
                    .nth(1)
                    .unwrap()
                    .split(' ')
                    .next()
                    .unwrap()
                    .to_owned()
            };
            let (level, state) = (line.split(' ').next().unwrap(), word("state="));
            let sign = if state == "raised" { '+' } else { '-' };
            format!(
                "{level} {sign}{} {}",
                word("alarm="),
                word("method=").trim_start_matches("private/")
            )
        };
        lines.iter().map(short).collect()
    }
}

#[test]
fn the_first_refusal_after_accepted_calls_is_one_line_and_so_is_its_end() {
    let mut story = Story::new();
    story.call(BALANCE, 0).call(CREATE, 0);
    assert!(story.told().is_empty());
    for _ in 0..5 {
        story.call(CREATE, 40101).call(BALANCE, 0);
    }
    assert_eq!(story.told(), ["WARN +method_refused create-order"]);
    assert_eq!(story.alarms.standing.refused_methods(), [CREATE]);
    story.call(CREATE, 306);
    assert_eq!(
        story.told(),
        ["INFO -method_refused create-order"],
        "an order that is refused on its merits was accepted"
    );
    assert!(story.alarms.standing.refused_methods().is_empty());
    story.call(CREATE, 0);
    assert!(story.told().is_empty());
}

#[test]
fn when_every_private_call_is_refused_that_is_one_more_line_and_one_acceptance_ends_it() {
    let mut story = Story::new();
    story.call(BALANCE, 0).call(ORDERS, 0);
    for _ in 0..4 {
        story.call(BALANCE, 40101).call(ORDERS, 40101);
    }
    let begun = [
        "WARN +method_refused user-balance",
        "WARN +method_refused get-open-orders",
        "WARN +all_refused get-open-orders",
    ];
    assert_eq!(story.told(), begun);
    assert!(story.alarms.standing.all_refused());
    story.call(ORDERS, 0);
    assert_eq!(
        story.told(),
        [
            "INFO -method_refused get-open-orders",
            "INFO -all_refused get-open-orders"
        ]
    );
    assert!(!story.alarms.standing.all_refused());
    story.call(BALANCE, 0);
    assert_eq!(story.told(), ["INFO -method_refused user-balance"]);
}

#[test]
fn a_pair_that_never_worked_is_told_after_two_methods_or_three_calls() {
    let mut story = Story::new();
    story.call(BALANCE, 40101);
    assert!(
        story.told().is_empty(),
        "one refusal of one method is its hint's matter"
    );
    story.call(ORDERS, 40103).call(CREATE, 40101);
    assert_eq!(story.told(), ["WARN +all_refused get-open-orders"]);
    let mut story = Story::new();
    for _ in 0..9 {
        story.call(BALANCE, 40101);
    }
    assert_eq!(story.told(), ["WARN +all_refused user-balance"]);
}

#[test]
fn methods_that_never_worked_raise_nothing_beside_one_that_does() {
    let mut story = Story::new();
    story.call(BALANCE, 0);
    for _ in 0..4 {
        story
            .call(ORDERS, 40101)
            .call(CREATE, 40101)
            .call(ORDERS, 40101)
            .call(BALANCE, 0);
    }
    assert!(story.told().is_empty());
}

#[test]
fn budgets_maintenance_and_what_never_reached_the_exchange_raise_nothing() {
    let mut story = Story::new();
    story.call(BALANCE, 0).call(ORDERS, 0);
    for _ in 0..4 {
        story
            .call(BALANCE, 42901)
            .call(ORDERS, 9_010_001)
            .call("private/made-up-by-a-caller", 40101);
        let mut lost = answer(BALANCE, 502, None);
        lost.outcome = gateway::outcome::Outcome::NotSent;
        story.alarms.read(&lost, story.now);
    }
    assert!(story.told().is_empty());
    for _ in 0..3 {
        story.alarms.read(&answer(BALANCE, 403, None), story.now);
    }
    assert_eq!(
        story.told(),
        [
            "WARN +method_refused user-balance",
            "WARN +all_refused user-balance"
        ],
        "a page before it does"
    );
}

#[test]
fn another_pair_begins_anew() {
    let mut story = Story::new();
    story.call(BALANCE, 0).call(BALANCE, 40101);
    assert_eq!(story.told().len(), 1);
    let other = CallReport {
        key_fingerprint: "00000000".into(),
        ..answer(BALANCE, 401, Some(40101))
    };
    story.alarms.read(&other, story.now);
    assert!(story.told().is_empty() && story.alarms.standing.refused_methods().is_empty());
}
