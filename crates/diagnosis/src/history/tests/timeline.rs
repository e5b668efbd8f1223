//! How the calls of a day are counted.

use super::*;
use gateway::{outcome::Outcome, record::CallReport};

const QUARTER: u64 = 900_000;

fn refused_here(method: &'static str) -> CallReport {
    CallReport {
        outcome: Outcome::Refused,
        why: Some("denied"),
        ..report(method, 403, None)
    }
}

#[test]
fn a_day_ends_with_the_current_quarter_of_an_hour() {
    let span = Span::last_day(1_700_000_000_000);
    assert_eq!(
        (span.from_ms % QUARTER, span.until_ms() - span.from_ms),
        (0, 86_400_000)
    );
    assert!(span.until_ms() > 1_700_000_000_000 && span.until_ms() - 1_700_000_000_000 <= QUARTER);
    assert_eq!(
        Span::last_day(5).from_ms,
        0,
        "a clock at 1970 is no reason to panic"
    );
}

#[tokio::test]
async fn calls_are_counted_by_bucket_method_and_end_and_the_newest_bad_ones_found() {
    let place = Installation::new();
    let (history, _) = place.start(Settings::default());
    let now = 1_700_000_000_000;
    let at = |ms: u64| place.now_ms.store(ms, Relaxed);
    at(now - 2 * 86_400_000);
    history.call(report(READ, 200, Some(0)));
    at(now - 4 * QUARTER);
    for call in [
        report(READ, 200, Some(0)),
        report(READ, 200, Some(0)),
        report(CREATE, 500, Some(306)),
    ] {
        history.call(call);
    }
    history.call(report(READ, 401, Some(40101)));
    at(now);
    history.call(report(READ, 401, Some(40103)));
    history.call(report(READ, 429, Some(42901)));
    history.call(CallReport {
        outcome: Outcome::Unknown,
        ..report(CREATE, 504, None)
    });
    at(now + 1);
    history.call(refused_here("private/create-withdrawal"));
    history.flush().await;
    let (questions, span) = (place.questions(), Span::last_day(now));
    let timeline = Timeline::read(&questions, span).unwrap();
    let seen: Vec<_> = timeline
        .counts
        .iter()
        .map(|count| {
            (
                count.bucket,
                count.method.as_deref().unwrap(),
                count.end,
                count.calls,
            )
        })
        .collect();
    let expected = [
        (91, CREATE, End::Good, 1),
        (91, READ, End::Good, 2),
        (91, READ, End::Auth, 1),
        (95, CREATE, End::Failed, 1),
        (95, "private/create-withdrawal", End::RefusedHere, 1),
        (95, READ, End::Auth, 1),
        (95, READ, End::Limited, 1),
    ];
    assert_eq!(seen, expected);
    let codes = |ends: &[End], limit| -> Vec<_> {
        timeline
            .newest(&questions, ends, limit)
            .unwrap()
            .into_iter()
            .map(|call| call.code)
            .collect()
    };
    assert_eq!(
        codes(&[End::Auth, End::Failed], 9),
        [None, Some(40103), Some(40101)]
    );
    assert_eq!(codes(&[End::Auth, End::Failed], 2), [None, Some(40103)]);
    assert_eq!(
        codes(&[End::Limited, End::RefusedHere], 9),
        [None, Some(42901)]
    );
    assert_eq!(codes(&[End::Good], 9).len(), 3);
}

#[test]
fn the_questions_of_the_timeline_go_by_the_index_of_the_time() {
    let place = Installation::new();
    let _started = place.start(Settings::default());
    let mut plan = Vec::new();
    for select in [
        "SELECT ms, method, verdict, outcome FROM call WHERE ms >= 1 AND ms < 2",
        "SELECT ms FROM call WHERE ms >= 1 AND ms < 2 AND (verdict = (SELECT id FROM word WHERE word = 'auth')) \
         ORDER BY ms DESC, id DESC LIMIT 3",
    ] {
        let connection = place.sql();
        let mut explain = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {select}"))
            .unwrap();
        let lines: Vec<String> = explain
            .query_map([], |row| row.get("detail"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        plan.push(lines.join("; "));
    }
    assert!(
        plan.iter()
            .all(|plan| plan.contains("SEARCH call USING INDEX call_ms")),
        "{plan:#?}"
    );
    assert!(
        plan.iter().all(|plan| !plan.contains("TEMP B-TREE")),
        "{plan:#?}"
    );
}
