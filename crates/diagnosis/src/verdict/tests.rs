//! Every code of the table, and the odd ones, with every status and outcome: one row per verdict, and what each user of
//! it makes of it.

use std::time::Duration;

use super::*;
use crate::history::Trouble;
use catalogue::methods;

const ALL: [Outcome; 4] = [
    Outcome::Answered,
    Outcome::Unknown,
    Outcome::NotSent,
    Outcome::Refused,
];

/// An answer to `method`, as its record reports it.
pub(crate) fn answer(method: &str, status: u16, code: Option<i64>) -> CallReport {
    CallReport {
        rid: "rid-1".into(),
        caller: "backend".into(),
        stream: None,
        method: Some(method.to_owned().into()),
        class: methods::find(method).map(|info| info.class),
        id: 1,
        nonce: Some(1),
        params_string_len: 0,
        string_to_sign_len: Some(1),
        key_fingerprint: "3c469e9d".into(),
        peer: None,
        outbound: None,
        skew: None,
        status,
        code,
        outcome: if code.is_some() {
            Outcome::Answered
        } else {
            Outcome::Unknown
        },
        why: None,
        client_oid: None,
        media_type: None,
        scrubbed: false,
        waited: Duration::ZERO,
        exchange: Duration::from_millis(40),
        total: Duration::from_millis(41),
    }
}

fn report(status: u16, code: Option<i64>, outcome: Outcome) -> CallReport {
    CallReport {
        outcome,
        ..answer("private/user-balance", status, code)
    }
}

#[test]
fn codes_that_say_what_they_mean_are_taken_at_their_word_whatever_the_status() {
    use Objection::{Address, Budget, Maintenance, Nonce, Refused, Tier};
    for (code, objection) in [
        (40101, Refused),
        (10002, Refused),
        (40102, Nonce),
        (10007, Nonce),
        (40103, Address),
        (10003, Address),
        (40104, Tier),
        (10005, Tier),
        (42901, Budget),
        (10006, Budget),
        (9_010_001, Maintenance),
    ] {
        for status in [200, 400, 401, 403, 429, 500] {
            let expected = Verdict::Objection(objection);
            assert_eq!(Verdict::of_answer(status, Some(code)), expected, "{code}");
        }
    }
}

#[test]
fn of_the_rest_the_status_decides_only_where_the_code_is_not_about_the_content() {
    use Verdict::{Accepted, Inconclusive, NoEvidence};
    let refused = Verdict::Objection(Objection::Refused);
    let edge = Verdict::Objection(Objection::Edge);
    let outage = Verdict::Objection(Objection::Outage);
    // (code, elsewhere, with 401 or 403)
    for (code, elsewhere, forbidden) in [
        (Some(0), Accepted, Accepted),
        (Some(306), Accepted, Accepted),
        (Some(401), Accepted, Accepted),
        (Some(40107), Accepted, Accepted),
        (Some(140_001), Accepted, Accepted),
        // 403 with a code is a refusal, in the history too.
        (Some(40001), NoEvidence, refused),
        (Some(40004), NoEvidence, refused),
        (Some(10004), NoEvidence, refused),
        (Some(50001), outage, refused),
        (Some(10001), outage, refused),
        (Some(40801), outage, refused),
        // A code that nobody documents.
        (Some(424_242), Inconclusive, refused),
        (Some(-1), Inconclusive, refused),
        (None, Inconclusive, edge),
    ] {
        for status in [200, 400, 404, 429] {
            assert_eq!(Verdict::of_answer(status, code), elsewhere, "{code:?}");
        }
        for status in [401, 403] {
            assert_eq!(Verdict::of_answer(status, code), forbidden, "{code:?}");
        }
    }
}

#[test]
fn an_error_of_the_exchanges_servers_is_an_outage_and_one_of_ours_is_none() {
    let outage = Verdict::Objection(Objection::Outage);
    for status in [500, 502, 503, 504, 520] {
        assert_eq!(Verdict::of_answer(status, None), outage);
        assert_eq!(Verdict::of_answer(status, Some(50001)), outage);
        let told = |why| {
            Verdict::of(&CallReport {
                why: Some(why),
                ..report(status, None, Outcome::Unknown)
            })
        };
        assert_eq!(told(INCONCLUSIVE), outage);
        assert_eq!(told("lost"), Verdict::Inconclusive);
    }
}

#[test]
fn what_did_not_reach_the_exchange_says_nothing_of_the_key() {
    for code in [None, Some(0), Some(40101), Some(40001), Some(424_242)] {
        for status in [200, 401, 403, 503] {
            let verdict = |outcome| Verdict::of(&report(status, code, outcome));
            assert_eq!(verdict(Outcome::Refused), Verdict::RefusedHere);
            assert_eq!(verdict(Outcome::NotSent), Verdict::Inconclusive);
        }
    }
    // The end of the call is not known: nothing is taken for accepted.
    assert_eq!(
        Verdict::of(&report(200, Some(0), Outcome::Unknown)),
        Verdict::Inconclusive
    );
    for outcome in [Outcome::Answered, Outcome::Unknown, Outcome::NotSent] {
        let public = CallReport {
            class: Some(Class::Public),
            ..report(200, Some(0), outcome)
        };
        assert_eq!(Verdict::of(&public), Verdict::NoEvidence);
    }
}

/// The users of a verdict agree for every code of the table, every status and every outcome.
#[test]
fn hints_alarms_tracker_and_history_never_contradict_each_other() {
    let table: serde_json::Value =
        serde_json::from_str(include_str!("../../../catalogue/data/errors.json")).unwrap();
    let mut codes = vec![None, Some(424_242), Some(-1)];
    let rows = table["errors"].as_array().unwrap();
    codes.extend(rows.iter().map(|row| row["code"].as_i64()));
    for code in codes {
        for status in [200, 400, 401, 403, 404, 408, 429, 499, 500, 503, 504] {
            for outcome in ALL {
                let verdict = Verdict::of(&report(status, code, outcome));
                let stored = Trouble::of(verdict);
                let context = format!("{status} {code:?} {outcome}: {verdict:?} {stored:?}");
                assert_eq!(
                    verdict.is_refusal(),
                    stored == Some(Trouble::Auth),
                    "{context}"
                );
                if verdict.is_about_the_key() {
                    assert!(verdict.is_refusal(), "{context}");
                }
                if verdict.is_accepted() {
                    assert_eq!((stored, verdict.objection()), (None, None), "{context}");
                }
                if matches!(outcome, Outcome::NotSent | Outcome::Refused) {
                    assert_eq!(verdict.objection(), None, "{context}");
                }
            }
        }
    }
}
