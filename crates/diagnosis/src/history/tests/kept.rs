//! What goes, what stays, and what is remembered of good and bad.

use super::*;
use crate::verdict::{Objection, Verdict};

#[tokio::test]
async fn old_calls_go_by_number_and_by_age_and_changes_and_marks_stay() {
    let here = Installation::new();
    let settings = Settings {
        max_calls: 10,
        max_age: Duration::from_secs(100),
        enabled: true,
    };
    let (history, _) = here.start(settings);
    history.call(report(READ, 200, Some(0)));
    history.call(report(READ, 401, Some(40101)));
    for _ in 0..30 {
        here.now_ms.fetch_add(1000, Relaxed);
        history.call(report(READ, 401, Some(40101)));
    }
    history.flush().await;
    let calls = here.questions().calls(&Filter::default()).unwrap();
    assert_eq!((calls.len(), calls[0].ms), (10, 1_000_000 + 21_000));
    here.now_ms.fetch_add(200_000, Relaxed);
    history.call(report(CREATE, 200, Some(0)));
    history.flush().await;
    assert_eq!(here.questions().calls(&Filter::default()).unwrap().len(), 1);
    history.close().await;
    let [broken] = here.questions().breaks(None).unwrap().try_into().unwrap();
    assert_eq!(
        (broken.good.unwrap().ms, broken.bad.ms),
        (1_000_000, 1_000_000)
    );
    assert!(here.kinds().starts_with(&["start".into()]));
    // And so after the next start.
    let (history, _) = here.start(settings);
    history.call(report(READ, 200, Some(306)));
    history.flush().await;
    let [broken] = here
        .questions()
        .breaks(Some(READ))
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        broken.recovered.unwrap().code,
        Some(306),
        "refused on its merits is good"
    );
}

/// A call of this caller that ended here: refused, or not sent.
fn unsent(caller: &str, outcome: Outcome, why: &'static str) -> CallReport {
    CallReport {
        caller: caller.into(),
        outcome,
        why: Some(why),
        ..report(CREATE, 503, None)
    }
}

#[tokio::test]
async fn calls_that_were_sent_are_kept_however_many_others_come() {
    let here = Installation::new();
    let settings = Settings {
        max_calls: 10,
        ..Settings::default()
    };
    let (history, _) = here.start(settings);
    for _ in 0..5 {
        here.now_ms.fetch_add(1000, Relaxed);
        history.call(report(CREATE, 200, Some(0)));
    }
    for _ in 0..100 {
        here.now_ms.fetch_add(1000, Relaxed);
        history.call(unsent("lapsed", Outcome::Refused, "expired"));
        history.call(unsent("default", Outcome::NotSent, "connect"));
        history.flush().await;
    }
    let count = |outcome: &str| {
        let filter = Filter {
            outcome: Some(outcome.into()),
            ..Filter::default()
        };
        here.questions().calls(&filter).unwrap().len()
    };
    assert_eq!(count("answered"), 5, "no order went");
    assert_eq!((count("refused"), count("not_sent")), (5, 5));
    let questions = here.questions();
    let counted = questions.refused_calls(&Filter::default()).unwrap();
    let counted = counted.iter().map(|row| row.count).sum::<u64>();
    assert_eq!(counted, 95, "refused calls that go are counted on");
    assert_eq!(questions.refused_here(0).unwrap(), 100);
}

#[tokio::test]
async fn refused_calls_without_a_row_are_counted_wherever_calls_are_counted() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    let further = |caller: &str, why, count| FurtherRefusals {
        caller: caller.into(),
        why,
        count,
    };
    history.call(report(CREATE, 200, Some(0)));
    history.call(unsent("lapsed", Outcome::Refused, "expired"));
    history.refused_calls(further("lapsed", "expired", 400_000));
    history.refused_calls(further("lapsed", "expired", 19_999));
    history.refused_calls(further("other", "denied", 7));
    history.close().await;
    let questions = here.questions();
    let rows = questions.refused_calls(&Filter::default()).unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.minute_ms, &*row.caller, &*row.why, row.count))
        .collect();
    assert_eq!(
        rows,
        [
            (960_000, "lapsed", "expired", 419_999),
            (960_000, "other", "denied", 7)
        ]
    );
    assert_eq!(questions.refused_here(960_000).unwrap(), 420_007);
    let span = Span {
        from_ms: 900_000,
        bucket_ms: 900_000,
        buckets: 1,
    };
    let timeline = Timeline::read(&questions, span).unwrap();
    assert_eq!(timeline.total(End::RefusedHere), 420_007);
    assert_eq!(timeline.total(End::Good), 1);
    let hours = questions.hours(&Filter::default()).unwrap();
    assert_eq!(hours.iter().map(|hour| hour.calls).sum::<u64>(), 420_008);
    assert_eq!(
        questions.callers(&Filter::default()).unwrap(),
        [
            ("lapsed".to_owned(), 420_000),
            ("other".to_owned(), 7),
            ("default".to_owned(), 1)
        ]
    );
    for (filter, rows) in [
        (
            Filter {
                caller: Some("other".into()),
                ..Filter::default()
            },
            1,
        ),
        (
            Filter {
                outcome: Some("refused".into()),
                ..Filter::default()
            },
            2,
        ),
        (
            Filter {
                outcome: Some("unknown".into()),
                ..Filter::default()
            },
            0,
        ),
        (
            Filter {
                method: Some(CREATE.into()),
                ..Filter::default()
            },
            0,
        ),
        (
            Filter {
                since_ms: Some(1_000_000),
                ..Filter::default()
            },
            2,
        ),
        (
            Filter {
                until_ms: Some(900_000),
                ..Filter::default()
            },
            0,
        ),
        (
            Filter {
                limit: Some(1),
                ..Filter::default()
            },
            1,
        ),
    ] {
        assert_eq!(
            questions.refused_calls(&filter).unwrap().len(),
            rows,
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn a_file_of_the_version_before_keeps_everything() {
    let here = Installation::new();
    here.sql()
        .execute_batch(&format!(
            "{} PRAGMA user_version = 1;
             INSERT INTO word VALUES (1, 'answered'), (2, 'refused'), (3, 'not_sent'), (4, 'default'), (5, '5f3a0000');
             INSERT INTO call (ms, rid, caller, status, outcome, exchange_ms, total_ms, key_fp)
             VALUES (1, 'a', 4, 200, 1, 1, 1, 5), (2, 'b', 4, 403, 2, 1, 1, 5), (3, 'c', 4, 502, 3, 1, 1, 5)",
            schema::SCHEMA
        ))
        .unwrap();
    let problem = Questions::open(&here.file()).unwrap_err().to_string();
    assert!(problem.contains("its version is 1"), "{problem}");
    let settings = Settings {
        max_age: Duration::MAX,
        ..Settings::default()
    };
    let (history, _) = here.start(settings);
    history.close().await;
    let calls = here.questions().calls(&Filter::default()).unwrap();
    let calls: Vec<_> = calls
        .iter()
        .map(|call| (&*call.rid, &*call.outcome))
        .collect();
    assert_eq!(
        calls,
        [("a", "answered"), ("b", "refused"), ("c", "not_sent")]
    );
    assert_eq!(here.questions().refused_here(0).unwrap(), 1);
}

#[tokio::test]
async fn what_changed_between_good_and_bad_is_found() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    let at = |ms: u64, what: &dyn Fn()| {
        here.now_ms.store(ms, Relaxed);
        what();
    };
    at(1_100_000, &|| {
        history.note(HistoryEvent::Address("203.0.113.7".parse().unwrap()))
    });
    at(1_200_000, &|| {
        history.call(from("203.0.113.7", report(CREATE, 200, Some(0))))
    });
    at(1_300_000, &|| {
        history.note(HistoryEvent::Address("198.51.100.4".parse().unwrap()))
    });
    at(1_400_000, &|| {
        history.call(from("198.51.100.4", report(CREATE, 401, Some(40103))))
    });
    at(1_500_000, &|| {
        history.call(from("198.51.100.4", report(READ, 200, Some(0))))
    });
    at(1_600_000, &|| {
        history.call(CallReport {
            outcome: Outcome::Unknown,
            ..report(READ, 504, None)
        })
    });
    at(1_700_000, &|| history.call(report(READ, 200, Some(0))));
    history.flush().await;
    let questions = history.questions().unwrap().unwrap();
    let [orders, reads] = questions.breaks(None).unwrap().try_into().unwrap();
    assert_eq!(
        (orders.method.as_str(), orders.trouble),
        (CREATE, Trouble::Auth)
    );
    assert_eq!(
        (orders.good.unwrap().ms, orders.bad.ms, orders.recovered),
        (1_200_000, 1_400_000, None)
    );
    let [moved] = orders.changes.try_into().unwrap();
    assert_eq!(
        (moved.kind.as_str(), moved.ms, moved.before.as_deref()),
        ("address", 1_300_000, Some("203.0.113.7"))
    );
    assert_eq!(
        (reads.trouble, reads.recovered.unwrap().ms),
        (Trouble::Failed, 1_700_000)
    );
    assert_eq!(reads.changes, []);
}

#[tokio::test]
async fn what_is_measured_because_of_a_bad_call_changed_before_it() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    let at = |ms: u64, what: &dyn Fn()| {
        here.now_ms.store(ms, Relaxed);
        what();
    };
    let address = |address: &str| history.note(HistoryEvent::Address(address.parse().unwrap()));
    at(1_100_000, &|| address("203.0.113.7"));
    at(1_200_000, &|| {
        history.call(from("203.0.113.7", report(CREATE, 200, Some(0))))
    });
    at(1_400_000, &|| {
        history.call(from("203.0.113.7", report(CREATE, 401, Some(40103))))
    });
    // The refusal asks for a measurement, which is done once a minute at most.
    at(1_400_012, &|| address("198.51.100.4"));
    at(1_400_000 + NOTICED_WITHIN_MS, &|| address("198.51.100.5"));
    at(1_400_001 + NOTICED_WITHIN_MS, &|| address("198.51.100.6"));
    history.close().await;
    // A start is no measurement: what it changes holds from then on.
    let (history, _) = here.start(Settings::default());
    history.close().await;
    let [orders] = here.questions().breaks(None).unwrap().try_into().unwrap();
    let seen: Vec<(&str, u64)> = orders
        .changes
        .iter()
        .map(|change| (change.kind.as_str(), change.ms - orders.bad.ms))
        .collect();
    assert_eq!(seen, [("address", 12), ("address", NOTICED_WITHIN_MS)]);
}

#[test]
fn a_new_streak_begins_only_after_a_good_call() {
    let mut marks = Milestones::default();
    let mark = |ms| move || Milestone::of(ms, &report(READ, 401, Some(40101)));
    let bad = Verdict::Objection(Objection::Refused);
    let steps = [
        (1, bad),
        (2, bad),
        (3, Verdict::Accepted),
        (4, bad),
        (5, Verdict::NoEvidence),
        (6, bad),
    ];
    for (ms, verdict) in steps {
        marks.note(verdict, mark(ms));
    }
    let at = |mark: &Option<Milestone>| mark.as_ref().map(|mark| mark.ms);
    let Streak {
        before,
        first,
        last,
        after,
    } = &marks.auth;
    assert_eq!(
        [at(before), at(first), at(last), at(after)],
        [Some(3), Some(4), Some(6), None]
    );
    assert_eq!(at(&marks.good), Some(3));
}

#[test]
fn what_says_nothing_about_the_credentials_is_neither_good_nor_bad() {
    use Outcome::{Answered, NotSent, Refused, Unknown};
    let cases = [
        (Answered, 200, Some(0), Some("good")),
        (Answered, 500, Some(306), Some("good")),
        (Answered, 401, Some(40101), Some("auth")),
        (Answered, 400, Some(40001), None),
        (Answered, 429, Some(42901), None),
        // 403 with a code is a refusal, for the hints and here.
        (Answered, 403, Some(40001), Some("auth")),
        // A page from the edge.
        (Unknown, 403, None, Some("auth")),
        (Unknown, 500, Some(50001), Some("failed")),
        (Unknown, 200, None, Some("failed")),
        (NotSent, 502, None, Some("failed")),
        (Refused, 403, None, None),
    ];
    let judged = |report: &CallReport| milestone::stored_word(Verdict::of(report));
    let mut wrong = Vec::new();
    for (outcome, status, code, word) in cases {
        let found = judged(&CallReport {
            outcome,
            ..report(READ, status, code)
        });
        if found != word {
            wrong.push((outcome, status, code, word, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let public = CallReport {
        class: Some(Class::Public),
        ..report(READ, 200, Some(0))
    };
    assert_eq!(judged(&public), None);
}

#[tokio::test]
async fn invented_method_names_take_bounded_room() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    for number in 0..5000 {
        let method = Some(format!("private/invented-{number}").into());
        history.call(CallReport {
            method,
            class: None,
            ..report(READ, 200, Some(0))
        });
    }
    history.flush().await;
    let count = |table: &str| -> i64 {
        here.sql()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    assert_eq!(
        (count("call"), count("word"), count("mark")),
        (5000, 4097, 512)
    );
    let shared = Filter {
        method: Some("(other)".into()),
        ..Filter::default()
    };
    assert!(here.questions().calls(&shared).unwrap().len() > 900);
}

#[tokio::test]
async fn a_file_of_an_earlier_build_may_have_a_table_that_nobody_reads_any_more() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    history.close().await;
    here.sql()
        .execute_batch("CREATE TABLE doubt (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO doubt VALUES (1, 'kept-1');")
        .unwrap();
    let (history, _) = here.start(Settings::default());
    history.call(CallReport {
        client_oid: Some("kept-2".to_owned()),
        outcome: Outcome::Unknown,
        ..report(CREATE, 504, None)
    });
    history.close().await;
    let calls = here.questions().calls(&Filter::default()).unwrap();
    assert_eq!((calls.len(), &*calls[0].outcome), (1, "unknown"));
    let mut everything = Vec::new();
    for file in fs::read_dir(here.dir.path()).unwrap() {
        everything.extend(fs::read(file.unwrap().path()).unwrap());
    }
    let has = |name: &[u8]| everything.windows(name.len()).any(|part| part == name);
    assert!(
        has(b"kept-1") && !has(b"kept-2"),
        "orders are named in the order journal alone"
    );
}

#[tokio::test]
async fn a_file_of_an_earlier_build_gets_what_the_exchange_finds_a_call_by() {
    let here = Installation::new();
    let signed = CallReport {
        nonce: Some(1_700_000_000_123),
        ..report(READ, 401, Some(40101))
    };
    let (history, _) = here.start(Settings::default());
    history.call(signed.clone());
    history.close().await;
    here.sql().execute_batch("DROP VIEW calls").unwrap();
    for table in ["call", "unsent_call"] {
        for column in ["nonce", "sent_id"] {
            let drop = format!("ALTER TABLE {table} DROP COLUMN {column}");
            here.sql().execute_batch(&drop).unwrap();
        }
    }
    let found_by = || {
        let calls = here.questions().not_good(0, 10).unwrap();
        calls
            .iter()
            .map(|call| (call.nonce, call.sent_id))
            .collect::<Vec<_>>()
    };
    assert_eq!(found_by(), [(None, None)]);
    let (history, _) = here.start(Settings::default());
    history.call(signed.clone());
    history.close().await;
    assert_eq!(found_by(), [(None, None), (signed.nonce, Some(signed.id))]);
}
