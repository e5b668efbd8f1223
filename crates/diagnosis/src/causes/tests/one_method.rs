//! What one method alone was answered, beside others that were accepted.

use super::*;

#[test]
fn row_17_one_unknown_method_beside_an_accepted_one_is_no_wrong_base() {
    for code in [10004, 40002] {
        let one = healthy().with(&[Probe::OrderHistory], &answered(400, code));
        assert_eq!(
            top(&one, &Past::default()),
            (vec![Cause::MethodPermission], Some(Likely))
        );
        assert!(ruled_out(&one, &Past::default()).contains(&Cause::WrongBase));
        assert!(
            rank(&one, &Past::default())
                .next_step
                .contains("private/get-order-history")
        );
        let mut odd = one.clone();
        odd.target.as_mut().unwrap().odd_path = true;
        assert_eq!(
            top(&odd, &Past::default()).0,
            [Cause::WrongBase],
            "/v2 knows some methods"
        );
        let all = one.with(
            &[Probe::Balance, Probe::Summary, Probe::OpenOrders],
            &answered(400, code),
        );
        assert_eq!(
            top(&all, &Past::default()).0,
            [Cause::WrongBase],
            "nothing was accepted"
        );
    }
}

#[test]
fn an_address_that_the_record_names_is_not_excluded_by_a_call_that_was_accepted() {
    let order = MethodPast {
        failing: 0,
        ..record("private/create-order", Class::Trade, 0, 1, 40103)
    };
    let past = Past {
        methods: vec![order],
        ..good(HOME)
    };
    let findings = healthy().with(&[Probe::OrderHistory], &answered(401, 40101));
    assert!(!ruled_out(&findings, &past).contains(&Cause::IpNotListed));
    let ranking = rank(&healthy(), &past);
    assert_eq!(
        (ranking.causes[0].con.len(), ranking.conclusion),
        (1, Conclusion::Trouble),
        "it may alternate"
    );
    let read = record("private/user-balance", Class::Read, 0, 1, 40103);
    assert_eq!(
        top(
            &healthy(),
            &Past {
                methods: vec![read],
                ..good(HOME)
            }
        ),
        (vec![], None),
        "accepted in this run"
    );
}
