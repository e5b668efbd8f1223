//! What is printed of rows and breaks.

use super::*;
use diagnosis::history::{Break, CallRow, ChangeRow, Milestone, RefusedCallsRow, Trouble};

fn mark(ms: u64, address: &str, code: i64) -> Milestone {
    Milestone {
        ms,
        rid: format!("r{ms}"),
        key_fp: "5f3a0000".into(),
        address: Some(address.into()),
        status: 200,
        code: Some(code),
        outcome: "answered".into(),
        why: None,
    }
}

fn change(ms: u64, kind: &str, before: Option<&str>, after: &str) -> ChangeRow {
    ChangeRow {
        ms,
        kind: kind.into(),
        before: before.map(str::to_owned),
        after: Some(after.into()),
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn what_changed_in_between_is_one_sentence() {
    let broken = Break {
        method: "private/create-order".into(),
        trouble: Trouble::Auth,
        good: Some(mark(1000, "203.0.113.7", 0)),
        bad: mark(9000, "198.51.100.4", 40101),
        recovered: None,
        changes: vec![change(5000, "address", Some("203.0.113.7"), "198.51.100.4")],
    };
    let text = written(|out| output::breaks(out, Form::Text, std::slice::from_ref(&broken)));
    assert_eq!(
        text,
        "private/create-order: last good 1970-01-01T00:00:01.000Z with key 5f3a0000 from 203.0.113.7; first bad \
         1970-01-01T00:00:09.000Z (refused, code 40101, rid r9000) with key 5f3a0000 from 198.51.100.4; between: \
         address changed from 203.0.113.7 to 198.51.100.4 at 1970-01-01T00:00:05.000Z; still so\n"
    );
    let unknown = Break {
        good: None,
        changes: Vec::new(),
        recovered: Some(mark(9500, "x", 0)),
        ..broken
    };
    let text = written(|out| output::breaks(out, Form::Text, &[unknown]));
    assert!(
        text.contains("never a good call on record;")
            && text.contains("nothing changed here; good again")
    );
    assert_eq!(
        written(|out| output::breaks(out, Form::Text, &[])),
        "no bad call on record\n"
    );
}

#[test]
fn a_history_says_where_it_begins_unless_all_that_was_asked_for_is_there() {
    assert_eq!(
        written(|out| output::beginning(out, None, None)),
        "no history yet\n"
    );
    let begins = "no history before 1970-01-01T00:00:05.000Z\n";
    assert_eq!(
        written(|out| output::beginning(out, Some(5000), None)),
        begins
    );
    assert_eq!(
        written(|out| output::beginning(out, Some(5000), Some(4999))),
        begins
    );
    assert_eq!(
        written(|out| output::beginning(out, Some(5000), Some(5000))),
        ""
    );
}

#[test]
fn calls_and_changes_come_in_the_order_of_time() {
    let call = CallRow {
        ms: 2000,
        rid: "r2".into(),
        caller: "default".into(),
        method: Some("private/user-balance".into()),
        code: Some(0),
        status: 200,
        outcome: "answered".into(),
        why: None,
        verdict: Some("good".into()),
        exchange_ms: 20,
        total_ms: 21,
        key_fp: "5f3a0000".into(),
        address: None,
        nonce: None,
        sent_id: None,
    };
    let changes = [
        change(1000, "secret", Some("1"), "2"),
        change(3000, "skew", None, "-5300"),
    ];
    let refused = [RefusedCallsRow {
        minute_ms: 2500,
        caller: "ops".into(),
        why: "expired".into(),
        count: 419_995,
    }];
    let calls = std::slice::from_ref(&call);
    let text = written(|out| output::table(out, Form::Text, calls, &changes, &refused));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "1970-01-01T00:00:01.000Z  -- secret changed from no. 1 to no. 2"
    );
    assert!(
        lines[1].starts_with("1970-01-01T00:00:02.000Z  private/user-balance "),
        "{text}"
    );
    assert_eq!(
        lines[2],
        "1970-01-01T00:00:02.500Z  -- in this minute 419995 further calls of ops were refused here: why=expired"
    );
    assert_eq!(lines[3], "1970-01-01T00:00:03.000Z  -- skew -5300 ms");
    let json = written(|out| output::table(out, Form::Json, calls, &changes, &refused));
    assert!(
        json.contains(r#""type":"refused_calls""#) && json.contains(r#""count":419995"#),
        "{json}"
    );
    assert!(
        json.lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{json}"
    );
    assert_eq!(
        written(|out| output::table(out, Form::Text, &[], &[], &[])),
        "nothing on record\n"
    );
}

#[test]
fn times_are_moments_days_or_so_long_ago() {
    let now = 1_000_000_000_000;
    assert_eq!(moment("1970-01-01T00:00:01Z", now).unwrap(), 1000);
    assert_eq!(moment("1970-01-02", now).unwrap(), 86_400_000);
    assert_eq!(moment("1970-01-01T02:00:00+02:00", now).unwrap(), 0);
    for (text, ms) in [
        ("90s", 90_000),
        ("30m", 1_800_000),
        ("12h", 43_200_000),
        ("7d", 604_800_000),
    ] {
        assert_eq!(moment(text, now).unwrap(), now - ms);
    }
    for wrong in [
        "",
        "yesterday",
        "22:10",
        "2026-13-01",
        "-1h",
        "1969-12-31",
        "99999999999999999999d",
    ] {
        assert!(moment(wrong, now).is_err(), "{wrong}");
    }
}

#[test]
fn rows_and_sentences_hold_no_unsafe_character_whatever_the_file_holds() {
    let hostile = "private/\u{202e}x\u{1b}[2J\n\u{200b}";
    let call = CallRow {
        ms: 1,
        rid: hostile.into(),
        caller: hostile.into(),
        method: Some(hostile.into()),
        code: None,
        status: 502,
        outcome: hostile.into(),
        why: Some(hostile.into()),
        verdict: None,
        exchange_ms: 1,
        total_ms: 2,
        key_fp: hostile.into(),
        address: Some(hostile.into()),
        nonce: None,
        sent_id: None,
    };
    let broken = Break {
        method: hostile.into(),
        trouble: Trouble::Failed,
        good: None,
        bad: mark(1, hostile, 0),
        recovered: None,
        changes: vec![change(2, hostile, None, hostile)],
    };
    for written in [
        written(|out| {
            output::table(
                out,
                Form::Text,
                &[call],
                &[change(2, hostile, None, hostile)],
                &[RefusedCallsRow {
                    minute_ms: 0,
                    caller: hostile.to_owned(),
                    why: hostile.to_owned(),
                    count: 1,
                }],
            )
        }),
        written(|out| output::breaks(out, Form::Text, &[broken])),
    ] {
        assert!(written.contains("private/x[2J"), "{written:?}");
        let mut lines = written.lines();
        assert!(
            !lines.any(|line| line.contains(text::is_unsafe)),
            "{written:?}"
        );
    }
}
