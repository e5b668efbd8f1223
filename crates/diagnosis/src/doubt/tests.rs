//! What leaves a doubt, and which answer settles it.

use super::*;
use crate::verdict::tests::answer;

const CREATE: &str = "private/create-order";
const DETAIL: &str = "private/get-order-detail";
const NONCE: u64 = 1_769_843_531_000;

fn naming(name: &str, report: CallReport) -> CallReport {
    let client_oid = (!name.is_empty()).then(|| name.to_owned());
    CallReport {
        client_oid,
        nonce: Some(NONCE),
        ..report
    }
}

/// A call whose answer was lost at time 0.
fn lost(method: &str, name: &str) -> CallReport {
    naming(name, answer(method, 504, None))
}

fn answered(method: &str, name: &str, code: i64) -> CallReport {
    naming(name, answer(method, 200, Some(code)))
}

#[test]
fn what_may_have_changed_something_is_in_doubt_by_the_name_of_each_order() {
    let nonce = NONCE.to_string();
    for (report, names) in [
        (lost(CREATE, "mine-1"), vec![(Some("mine-1"), true)]),
        (lost(CREATE, &nonce), vec![(Some(&*nonce), false)]),
        (
            lost("private/create-order-list", &format!("a,{nonce}")),
            vec![(Some("a"), true), (Some(&nonce), false)],
        ),
        (lost("private/cancel-all-orders", ""), vec![(None, false)]),
        (
            lost("private/create-withdrawal", "wid"),
            vec![(Some("wid"), true)],
        ),
        (lost("private/not-invented-yet", ""), vec![(None, false)]),
        // Reads can be repeated.
        (lost(DETAIL, "mine-1"), vec![]),
        (lost("public/get-tickers", ""), vec![]),
        (lost("public/auth", ""), vec![]),
        // The exchange, or nobody, was asked.
        (answered(CREATE, "mine-1", 306), vec![]),
        (
            CallReport {
                outcome: Outcome::NotSent,
                ..lost(CREATE, "mine-1")
            },
            vec![],
        ),
    ] {
        let left = Doubt::left_by(&report, 0);
        let left: Vec<_> = left
            .iter()
            .map(|doubt| (doubt.name.as_deref(), doubt.is_own))
            .collect();
        assert_eq!(left, names, "{report:?}");
    }
}

#[test]
fn only_an_answer_that_settles_it_ends_a_doubt() {
    let nonce = NONCE.to_string();
    let late = DEAD_AFTER_MS;
    let open_orders = "private/get-open-orders";
    let cancel = "private/cancel-order";
    for (lost, report, ms, ends) in [
        // Found: at any time.
        (lost(CREATE, "a"), answered(DETAIL, "a", 0), 1, true),
        (lost(CREATE, &nonce), answered(DETAIL, &nonce, 0), 1, true),
        (lost(cancel, "a"), answered(DETAIL, "a", 0), 1, true),
        // Not found: once nothing can come any more, and by a name that is certain.
        (
            lost(CREATE, "a"),
            answered(DETAIL, "a", 40401),
            late - 1,
            false,
        ),
        (lost(CREATE, "a"), answered(DETAIL, "a", 40401), late, true),
        (lost(CREATE, "a"), answered(DETAIL, "a", 212), late, true),
        (
            lost(CREATE, &nonce),
            answered(DETAIL, &nonce, 40401),
            late,
            false,
        ),
        // Another name, a refusal, a lost answer, another family.
        (lost(CREATE, "a"), answered(DETAIL, "b", 0), late, false),
        (lost(CREATE, "a"), answered(DETAIL, "", 0), late, false),
        (lost(CREATE, "a"), answered(DETAIL, "a", 40101), late, false),
        (lost(CREATE, "a"), lost(DETAIL, "a"), late, false),
        (lost(CREATE, "a"), answered(open_orders, "", 0), late, false),
        (
            lost(CREATE, "a"),
            answered("private/advanced/get-order-detail", "a", 0),
            late,
            false,
        ),
        // The same again: done now, or taken before. A cancellation that was taken says nothing of an order.
        (lost(CREATE, "a"), answered(CREATE, "a", 0), 1, true),
        (lost(CREATE, "a"), answered(CREATE, "a", 204), 1, true),
        (lost(CREATE, "a"), answered(CREATE, "a", 306), late, false),
        (lost(CREATE, "a"), answered(cancel, "a", 0), late, false),
        (lost(cancel, "a"), answered(cancel, "a", 0), 1, true),
        (lost(cancel, "a"), answered(CREATE, "a", 204), late, false),
        // Without a name: the list that shows it, once nothing can come any more.
        (
            lost(cancel, ""),
            answered(open_orders, "", 0),
            late - 1,
            false,
        ),
        (lost(cancel, ""), answered(open_orders, "", 0), late, true),
        (
            lost(cancel, ""),
            answered(open_orders, "", 40101),
            late,
            false,
        ),
        // Age alone.
        (
            lost("private/staking/stake", ""),
            answered(DETAIL, "", 0),
            KEPT_MS,
            false,
        ),
        (
            lost("private/staking/stake", ""),
            answered(DETAIL, "", 0),
            KEPT_MS + 1,
            true,
        ),
    ] {
        let mut open = Doubt::left_by(&lost, 0);
        let ended = settle(&mut open, &report, ms);
        assert_eq!(
            (open.len(), ended.len()),
            if ends { (0, 1) } else { (1, 0) },
            "{} {:?} then {} {:?} {:?} after {ms} ms",
            lost.method.unwrap(),
            lost.client_oid,
            report.method.unwrap(),
            report.client_oid,
            report.code
        );
    }
}

#[test]
fn every_doubt_has_a_question_that_names_what_is_known() {
    for (method, name, words) in [
        (
            CREATE,
            "a",
            "ask private/get-order-detail through the proxy with client_oid a",
        ),
        (
            "private/advanced/create-order",
            "a",
            "ask private/advanced/get-order-detail through the proxy with client_oid a",
        ),
        (
            "private/cancel-all-orders",
            "",
            "ask private/get-open-orders through the proxy",
        ),
        (
            "private/close-position",
            "",
            "ask private/get-positions through the proxy",
        ),
        (
            "private/create-withdrawal",
            "w",
            "private/get-withdrawal-history through the proxy, and look for client_wid w",
        ),
        (
            "private/staking/stake",
            "",
            "look at what private/staking/stake would have changed",
        ),
    ] {
        let question = Doubt::left_by(&lost(method, name), 0)[0].question();
        assert!(question.contains(words), "{method}: {question}");
        let again = question.contains("do not place it again");
        assert_eq!(again, method.ends_with("create-order"), "{question}");
    }
}

#[test]
fn however_many_calls_are_lost_the_newest_are_kept_and_good_calls_leave_them_alone() {
    let doubts = Doubts::new(Vec::new(), Clock::system());
    for number in 0..MAX + 5 {
        doubts.record(&Arc::new(lost(CREATE, &format!("n-{number}"))));
        doubts.record(&Arc::new(answered("private/user-balance", "", 0)));
    }
    let open = doubts.list();
    assert_eq!((open.len(), open[0].name.as_deref()), (MAX, Some("n-5")));
}
