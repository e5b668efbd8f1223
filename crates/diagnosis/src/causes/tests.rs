//! The catalogue, from findings and past as values: what no stand-in can produce, and the rules of ranking.

use std::{net::IpAddr, time::Duration};

use super::*;
use crate::{
    egress::Reading,
    key_pairs::{Half, Origin, PairStory},
    probes::{
        Answer, CredentialFacts, Environment, Finding, Findings, Flaw, FlawFound, Probe, Seen,
        Target,
    },
};
use Likelihood::{Likely, Possible, VeryLikely};
use catalogue::methods::Class;
use gateway::observed::{ClockSkew, Expected};

mod agreement;
mod call;
mod one_method;

const HOME: [u8; 4] = [8, 8, 4, 4];
const AWAY: [u8; 4] = [1, 1, 1, 1];

fn answered(status: u16, code: i64) -> Seen {
    Seen::Answered(Answer {
        status,
        code: Some(code),
        is_json: true,
    })
}

fn confirmed(address: impl Into<IpAddr>) -> Seen {
    Seen::Outbound(Reading::Confirmed {
        address: address.into(),
        voices: 3,
        others: Vec::new(),
    })
}

/// Findings of a healthy run on production, from a listed address.
fn healthy() -> Findings {
    let facts = CredentialFacts {
        fingerprint: Some("5f3a0000".into()),
        ..CredentialFacts::default()
    };
    let seen = [
        (Probe::Credentials, Seen::Credentials(facts)),
        (
            Probe::SelfTest,
            Seen::SelfTest {
                right: 70,
                wrong: 0,
            },
        ),
        (
            Probe::Name,
            Seen::Resolved(vec![IpAddr::from([104, 18, 1, 1])]),
        ),
        (Probe::Tcp, Seen::Connected([104, 18, 1, 1].into())),
        (Probe::Tls, Seen::Secured),
        (Probe::Public, answered(200, 0)),
        (
            Probe::Clock,
            Seen::Clock(Some(ClockSkew {
                offset_ms: 3,
                uncertainty_ms: 500,
            })),
        ),
        (Probe::Outbound, confirmed(HOME)),
        (Probe::Balance, answered(200, 0)),
        (Probe::Summary, answered(200, 0)),
        (Probe::OpenOrders, answered(200, 0)),
        (Probe::OrderHistory, answered(200, 0)),
    ];
    let list = seen
        .map(|(probe, seen)| Finding {
            probe,
            seen,
            took: Duration::from_millis(9),
        })
        .to_vec();
    let base = "https://api.crypto.com/exchange/v1".to_owned();
    let target = Target {
        base,
        host: "api.crypto.com".into(),
        environment: Environment::Production,
        odd_path: false,
    };
    let expected = Expected::Listed(vec![HOME.into()]);
    Findings {
        at_ms: 1_000_000,
        took: Duration::from_millis(900),
        target: Some(target),
        expected,
        list,
    }
}

impl Findings {
    fn with(mut self, probes: &[Probe], seen: &Seen) -> Self {
        self.list
            .iter_mut()
            .filter(|finding| probes.contains(&finding.probe))
            .for_each(|finding| {
                finding.seen = seen.clone();
            });
        self
    }

    fn refused(self) -> Self {
        self.with(
            &[
                Probe::Balance,
                Probe::Summary,
                Probe::OpenOrders,
                Probe::OrderHistory,
            ],
            &answered(401, 40101),
        )
    }
}

fn good(address: [u8; 4]) -> Past {
    let event = Event {
        at_ms: 500_000,
        method: "private/user-balance".into(),
        address: Some(address.into()),
    };
    Past {
        since_ms: Some(1),
        last_good: Some(event),
        ..Past::default()
    }
}

fn came(origin: Origin, past: Past) -> Past {
    let beside = matches!(origin, Origin::Half { .. }).then(|| "00000000".to_owned());
    Past {
        pair: Some(PairStory {
            origin,
            since_ms: 600_000,
            beside,
        }),
        ..past
    }
}

fn top(findings: &Findings, past: &Past) -> (Vec<Cause>, Option<Likelihood>) {
    let ranking = rank(findings, past);
    let both = ranking.causes.iter().find(|stands| {
        ranking
            .ruled_out
            .iter()
            .any(|out| out.cause == stands.cause)
    });
    assert_eq!(both, None, "ruled out and standing");
    assert!(
        ranking
            .causes
            .is_sorted_by_key(|ranked| std::cmp::Reverse(ranked.likelihood()))
    );
    (ranking.top(), ranking.likelihood())
}

fn ruled_out(findings: &Findings, past: &Past) -> Vec<Cause> {
    rank(findings, past)
        .ruled_out
        .iter()
        .map(|ranked| ranked.cause)
        .collect()
}

#[test]
fn a_healthy_run_has_no_cause() {
    let ranking = rank(&healthy(), &Past::default());
    assert_eq!(
        (ranking.conclusion, ranking.causes.len(), ranking.tied),
        (Conclusion::Healthy, 0, 0)
    );
    assert!(
        ranking.next_step.starts_with("nothing to do here;"),
        "{}",
        ranking.next_step
    );
}

#[test]
fn row_4_and_8_all_refused_from_a_listed_address_is_a_declared_tie() {
    let causes = vec![
        Cause::KeyMismatch,
        Cause::KeyDisabled,
        Cause::NoReadPermission,
    ];
    assert_eq!(
        top(&healthy().refused(), &Past::default()),
        (causes, Some(Likely))
    );
    let out = ruled_out(&healthy().refused(), &Past::default());
    assert_eq!(
        out,
        [Cause::SigningCode, Cause::WrongBase, Cause::ClockSkew]
    );
}

#[test]
fn row_4_without_a_statement_the_address_stands_in_the_tie() {
    let findings = Findings {
        expected: Expected::Unstated,
        ..healthy().refused()
    };
    let (causes, likelihood) = top(&findings, &Past::default());
    assert_eq!(
        (causes[..3].to_vec(), likelihood),
        (
            vec![Cause::KeyMismatch, Cause::KeyDisabled, Cause::IpNotListed],
            Some(Possible)
        )
    );
}

#[test]
fn row_5_6_and_30_what_changed_since_it_worked() {
    let refused = healthy().refused();
    assert_eq!(
        top(&refused, &came(Origin::Replaced, good(HOME))),
        (vec![Cause::PairChanged], Some(Likely))
    );
    for past in [good(HOME), came(Origin::Proven, good(HOME))] {
        assert_eq!(
            top(&refused, &past),
            (
                vec![Cause::ChangedAtExchange, Cause::KeyDisabled],
                Some(Likely)
            )
        );
        assert!(ruled_out(&refused, &past).contains(&Cause::KeyMismatch));
    }
    assert!(ruled_out(&refused, &came(Origin::Proven, good(HOME))).contains(&Cause::HalfRotated));
    for replaced in [Half::Key, Half::Secret] {
        let past = came(
            Origin::Half {
                replaced,
                worked: true,
            },
            good(HOME),
        );
        assert_eq!(
            top(&refused, &past),
            (vec![Cause::HalfRotated], Some(VeryLikely))
        );
    }
    let never = |replaced| {
        came(
            Origin::Half {
                replaced,
                worked: false,
            },
            Past::default(),
        )
    };
    assert_eq!(
        top(&refused, &never(Half::Key)),
        (vec![Cause::HalfRotated], Some(Likely))
    );
    assert_eq!(
        rank(&refused, &never(Half::Secret)).likelihood(),
        Some(Possible),
        "as likely mended as broken"
    );
}

#[test]
fn row_30_halves_that_came_at_two_starts_are_no_half_rotation_and_no_verdict() {
    let tie = vec![Cause::KeyMismatch, Cause::KeyDisabled, Cause::PairChanged];
    for past in [good(HOME), Past::default()] {
        let past = came(Origin::TwoStarts, past);
        assert_eq!(
            top(&healthy().refused(), &past),
            (tie.clone(), Some(Likely))
        );
        let ranking = rank(&healthy().refused(), &past);
        let half = ranking
            .causes
            .iter()
            .find(|ranked| ranked.cause == Cause::HalfRotated)
            .unwrap();
        assert_eq!((half.likelihood(), half.con.len()), (Some(Possible), 1));
        let away = healthy()
            .refused()
            .with(&[Probe::Outbound], &confirmed(AWAY));
        assert_eq!(
            top(&away, &past).0.last(),
            Some(&Cause::IpNotListed),
            "the address speaks for itself"
        );
    }
}

#[test]
fn rows_9_and_10_the_address() {
    let away = healthy().with(&[Probe::Outbound], &confirmed(AWAY));
    assert_eq!(
        top(&away.clone().refused(), &Past::default()),
        (vec![Cause::IpNotListed], Some(Likely))
    );
    let moved = What::Address {
        from: HOME.into(),
        to: AWAY.into(),
    };
    let changes = vec![Change {
        at_ms: 600_000,
        what: moved,
    }];
    let (causes, _) = top(
        &away.clone().refused(),
        &Past {
            changes,
            ..good(HOME)
        },
    );
    assert_eq!(causes, [Cause::IpDrift, Cause::IpNotListed]);
    let named = away.with(
        &[Probe::Balance, Probe::OpenOrders, Probe::OrderHistory],
        &answered(401, 40103),
    );
    assert_eq!(
        top(&named, &Past::default()),
        (vec![Cause::IpNotListed], Some(VeryLikely))
    );
    assert!(
        rank(&named, &Past::default())
            .next_step
            .contains("add exactly 1.1.1.1,")
    );
    assert_eq!(
        top(&named, &good(HOME)).0,
        [Cause::IpDrift, Cause::IpNotListed]
    );
}

#[test]
fn row_11_calls_leave_by_ipv6() {
    let ipv6: IpAddr = "2606:4700::1".parse().unwrap();
    let reads = [Probe::Balance, Probe::OpenOrders, Probe::OrderHistory];
    let findings = healthy()
        .with(&[Probe::Tcp], &Seen::Connected(ipv6))
        .with(&reads, &answered(401, 40103));
    let (causes, likelihood) = top(&findings, &Past::default());
    assert_eq!(
        (causes[0], likelihood),
        (Cause::LeavesByIpv6, Some(VeryLikely))
    );
}

#[test]
fn row_11_a_refusal_without_a_reason_over_ipv6_is_explained_by_the_family_too() {
    let ipv6: IpAddr = "2606:4700::1".parse().unwrap();
    let ours: IpAddr = "2a00:1450::7".parse().unwrap();
    let over_ipv6 = healthy()
        .refused()
        .with(&[Probe::Tcp], &Seen::Connected(ipv6));
    for (expected, confirmed_ipv6, likelihood, remedy) in [
        // The whitelist is said to hold the other family's address.
        (
            Expected::Listed(vec![HOME.into()]),
            true,
            Some(Likely),
            "add exactly 2a00:1450::7",
        ),
        (
            Expected::Listed(vec![HOME.into()]),
            false,
            Some(Likely),
            "`curl -6 https://ifconfig.me`",
        ),
        (
            Expected::Unstated,
            true,
            Some(Possible),
            "add exactly 2a00:1450::7",
        ),
        // The operator names the address that is in use, or any.
        (Expected::Listed(vec![ours]), true, None, ""),
        (Expected::Any, true, None, ""),
    ] {
        let mut findings = over_ipv6.clone();
        if confirmed_ipv6 {
            findings.list.push(Finding {
                probe: Probe::OutboundIpv6,
                seen: confirmed(ours),
                took: Duration::ZERO,
            });
        }
        findings.expected = expected.clone();
        let ranking = rank(&findings, &Past::default());
        let found = ranking
            .causes
            .iter()
            .find(|ranked| ranked.cause == Cause::LeavesByIpv6);
        assert_eq!(
            found.and_then(Ranked::likelihood),
            likelihood,
            "{expected:?} {ranking:#?}"
        );
        let step = found.map_or("", |found| &found.next_step);
        assert!(step.contains(remedy), "{step}");
        let steps = ranking.causes.iter().map(|ranked| &ranked.next_step);
        assert!(
            !steps.clone().any(|step| step.contains("curl -4")),
            "{ranking:#?}"
        );
    }
    let over_ipv4 = rank(&healthy().refused(), &Past::default());
    assert!(
        !over_ipv4
            .causes
            .iter()
            .any(|ranked| ranked.cause == Cause::LeavesByIpv6)
    );
}

#[test]
fn row_11_where_the_last_accepted_call_left_by_ipv4_the_family_is_the_cause_and_nothing_moved() {
    let ours: IpAddr = "2a00:1450::7".parse().unwrap();
    let reads = [
        Probe::Balance,
        Probe::Summary,
        Probe::OpenOrders,
        Probe::OrderHistory,
    ];
    let ipv6: IpAddr = "2606:4700::1".parse().unwrap();
    for (code, likelihood) in [(40101, Likely), (40103, VeryLikely)] {
        let mut findings = healthy()
            .with(&[Probe::Tcp], &Seen::Connected(ipv6))
            .refused()
            .with(&reads, &answered(401, code));
        findings.expected = Expected::Unstated;
        findings.list.push(Finding {
            probe: Probe::OutboundIpv6,
            seen: confirmed(ours),
            took: Duration::ZERO,
        });
        let what = What::Address {
            from: HOME.into(),
            to: ours,
        };
        let changes = vec![Change {
            at_ms: 600_000,
            what,
        }];
        let (causes, found) = top(
            &findings,
            &Past {
                changes,
                ..good(HOME)
            },
        );
        assert_eq!(
            (causes, found),
            (
                vec![Cause::LeavesByIpv6, Cause::IpNotListed],
                Some(likelihood)
            ),
            "{code}"
        );
    }
}

#[test]
fn row_16_a_stalled_host_is_told_from_a_wrong_clock() {
    let reads = [Probe::Balance, Probe::OpenOrders, Probe::OrderHistory];
    let nonce = healthy().with(&reads, &answered(400, 40102));
    assert_eq!(
        top(&nonce, &Past::default()),
        (vec![Cause::StalledHost], Some(Likely))
    );
    assert_eq!(ruled_out(&nonce, &Past::default()), [Cause::ClockSkew]);
    let unknown = nonce.with(&[Probe::Clock], &Seen::Clock(None));
    assert_eq!(
        top(&unknown, &Past::default()),
        (vec![Cause::ClockSkew], Some(Likely))
    );
}

#[test]
fn row_19_by_the_host_alone() {
    let mut findings = healthy().refused();
    findings.target.as_mut().unwrap().environment = Environment::Uat;
    let (causes, _) = top(&findings, &Past::default());
    assert!(
        causes.contains(&Cause::WrongEnvironment) && causes.contains(&Cause::KeyMismatch),
        "{causes:?}"
    );
    assert!(
        !top(&healthy().refused(), &Past::default())
            .0
            .contains(&Cause::WrongEnvironment)
    );
}

#[test]
fn row_19_by_a_base_url_that_changed_since_it_worked() {
    let changes = vec![Change {
        at_ms: 600_000,
        what: What::Base,
    }];
    let past = Past {
        changes,
        ..came(Origin::Proven, good(HOME))
    };
    assert_eq!(
        top(&healthy().refused(), &past),
        (vec![Cause::WrongEnvironment], Some(Likely))
    );
    let before = Past {
        changes: vec![Change {
            at_ms: 400_000,
            what: What::Base,
        }],
        ..past
    };
    assert_eq!(
        top(&healthy().refused(), &before).0[0],
        Cause::ChangedAtExchange
    );
}

#[test]
fn an_address_of_the_other_family_is_no_move() {
    let ipv6: IpAddr = "2606:4700::9".parse().unwrap();
    let unstated = Findings {
        expected: Expected::Unstated,
        ..healthy()
            .refused()
            .with(&[Probe::Outbound], &confirmed(ipv6))
    };
    assert_eq!(
        top(&unstated, &came(Origin::Proven, good(HOME))).0[0],
        Cause::ChangedAtExchange
    );
    let away = unstated.with(&[Probe::Outbound], &confirmed(AWAY));
    assert_eq!(
        top(&away, &came(Origin::Proven, good(HOME))).0[0],
        Cause::IpDrift
    );
}

fn record(method: &str, class: Class, accepted: u32, refused: u32, last_code: i64) -> MethodPast {
    let failing = refused;
    MethodPast {
        method: method.into(),
        class: Some(class),
        accepted,
        refused,
        failing,
        last_code: Some(last_code),
    }
}

#[test]
fn rows_7_12_and_29_from_the_record() {
    let past = |methods: Vec<MethodPast>| Past {
        methods,
        ..good(HOME)
    };
    let order = || record("private/create-order", Class::Trade, 0, 3, 40101);
    assert_eq!(
        top(&healthy(), &past(vec![order()])),
        (vec![Cause::NoTradePermission], Some(Likely))
    );
    let cancel = record("private/cancel-order", Class::Trade, 4, 0, 0);
    assert_eq!(
        top(&healthy(), &past(vec![order(), cancel])),
        (vec![Cause::MethodPermission], Some(Likely))
    );
    let before = || record("private/create-order", Class::Trade, 7, 3, 40101);
    assert_eq!(
        top(&healthy(), &past(vec![before()])),
        (vec![Cause::NoTradePermission], Some(Likely))
    );
    let over = MethodPast {
        failing: 0,
        ..before()
    };
    assert_eq!(
        top(&healthy(), &past(vec![over])),
        (vec![], None),
        "accepted since"
    );
    let probed = record("private/user-balance", Class::Read, 0, 9, 40101);
    assert_eq!(
        top(&healthy(), &past(vec![probed])),
        (vec![], None),
        "accepted in this run"
    );
    let reads = ["private/get-trades", "private/get-positions"]
        .map(|name| record(name, Class::Read, 0, 2, 40101));
    assert_eq!(
        top(&healthy(), &past(reads.to_vec())),
        (vec![Cause::SomeMethods], Some(Likely))
    );
}

#[test]
fn what_callers_alone_can_bring_about_is_never_very_likely() {
    let codes = [
        (42901, Cause::RateLimit),
        (306, Cause::OrderItself),
        (140_001, Cause::TriggerOrders),
        (40103, Cause::IpNotListed),
        (10003, Cause::IpNotListed),
        (40104, Cause::UserTier),
        (10005, Cause::UserTier),
    ];
    let mut cases: Vec<(Past, Cause)> = Vec::new();
    for (code, cause) in codes {
        cases.push((
            Past {
                methods: vec![record("private/create-order", Class::Trade, 1, 0, code)],
                ..good(HOME)
            },
            cause,
        ));
    }
    for (told, cause) in [
        (Symptom::OnlyFlaggedOrders, Cause::BooleanCase),
        (Symptom::OnlyMarginOrders, Cause::MarginPermission),
        (Symptom::InventedHeaders, Cause::InventedScheme),
        (Symptom::FailsElsewhere, Cause::SignsForItself),
    ] {
        cases.push((
            Past {
                told: vec![told],
                ..good(HOME)
            },
            cause,
        ));
    }
    cases.push((
        Past {
            refused_here: 2,
            ..good(HOME)
        },
        Cause::RefusedHere,
    ));
    cases.push((
        Past {
            recoveries: 3,
            ..good(HOME)
        },
        Cause::Intermittent,
    ));
    for (past, cause) in cases {
        assert_eq!(
            top(&healthy(), &past),
            (vec![cause], Some(Likely)),
            "{past:?}"
        );
    }
}

#[test]
fn what_the_proxy_refused_itself_is_told_from_what_the_exchange_refused() {
    let order = record("private/create-order", Class::Trade, 0, 3, 40101);
    let past = Past {
        refused_here: 1,
        methods: vec![order],
        ..good(HOME)
    };
    assert_eq!(
        top(&healthy(), &past),
        (vec![Cause::NoTradePermission], Some(Likely))
    );
    let others = rank(&healthy(), &past).causes;
    assert_eq!(others[1].cause, Cause::RefusedHere);
    assert!(others[1].pro[0].starts_with("1 call was refused"));
}

#[test]
fn row_23_the_daemon_uses_another_key_than_the_file() {
    let past = Past {
        daemon_fingerprint: Some("00000000".into()),
        ..Past::default()
    };
    assert_eq!(
        top(&healthy(), &past),
        (vec![Cause::NotRestarted], Some(VeryLikely))
    );
    let refused = rank(&healthy().refused(), &past);
    let restart = refused
        .causes
        .iter()
        .find(|ranked| ranked.cause == Cause::NotRestarted)
        .unwrap();
    assert_eq!(
        (restart.likelihood(), restart.con.len()),
        (Some(Possible), 1),
        "the daemon's pair may work"
    );
    let by_the_daemon = Past {
        probed_by_the_daemon: true,
        ..past
    };
    let ranking = rank(&healthy().refused(), &by_the_daemon);
    assert_eq!(
        (ranking.top(), ranking.likelihood()),
        (vec![Cause::NotRestarted], Some(VeryLikely))
    );
    assert_eq!(
        ranking.causes[0].con, [""; 0],
        "it is the daemon's pair that does not work"
    );
    let past = Past {
        daemon_fingerprint: Some("5f3a0000".into()),
        ..Past::default()
    };
    assert_eq!(top(&healthy(), &past), (vec![], None));
    let past = Past {
        daemon_has_another_secret: true,
        ..past
    };
    assert_eq!(
        top(&healthy(), &past),
        (vec![Cause::NotRestarted], Some(VeryLikely))
    );
}

#[test]
fn a_signed_success_excludes_what_is_looked_at_for_every_call() {
    let findings = healthy().with(&[Probe::OrderHistory], &answered(401, 40101));
    assert_eq!(
        top(&findings, &Past::default()),
        (vec![Cause::MethodPermission], Some(Likely))
    );
    let out = ruled_out(&findings, &Past::default());
    for cause in [
        Cause::KeyMismatch,
        Cause::KeyDisabled,
        Cause::ClockSkew,
        Cause::IpNotListed,
        Cause::NoReadPermission,
    ] {
        assert!(out.contains(&cause), "{cause}: {out:?}");
    }
}

#[test]
fn the_summary_alone_is_evidence_of_nothing() {
    let findings = healthy().with(&[Probe::Summary], &answered(401, 40101));
    assert_eq!(
        rank(&findings, &Past::default()).conclusion,
        Conclusion::Healthy
    );
}

#[test]
fn row_7_excludes_html_answers() {
    let html = Seen::Answered(Answer {
        status: 403,
        code: None,
        is_json: false,
    });
    let mut findings = healthy();
    findings.list.push(Finding {
        probe: Probe::CancelUnknown,
        seen: html,
        took: Duration::ZERO,
    });
    assert_eq!(top(&findings, &Past::default()), (vec![], None));
    findings.list.last_mut().unwrap().seen = answered(401, 40101);
    assert_eq!(
        top(&findings, &Past::default()),
        (vec![Cause::NoTradePermission], Some(Possible))
    );
}

#[test]
fn a_signing_code_that_fails_its_vectors_stands_above_the_pair() {
    let findings = healthy().refused().with(
        &[Probe::SelfTest],
        &Seen::SelfTest {
            right: 69,
            wrong: 1,
        },
    );
    assert_eq!(
        top(&findings, &Past::default()),
        (vec![Cause::SigningCode], Some(VeryLikely))
    );
}

#[test]
fn rows_2_3_and_31_flaws_of_the_pair() {
    let with = |flaw| {
        let (name, place) = (
            "CRYPTO_API_SECRET".to_owned(),
            "/etc/crypto.env:2".to_owned(),
        );
        let flaws = vec![FlawFound {
            flaw,
            name,
            place,
            text: "said by the loader".into(),
        }];
        Seen::Credentials(CredentialFacts {
            flaws,
            ..CredentialFacts::default()
        })
    };
    let flawed = |flaw| healthy().with(&[Probe::Credentials], &with(flaw));
    assert_eq!(
        top(&flawed(Flaw::Published), &Past::default()),
        (vec![Cause::Published], Some(VeryLikely))
    );
    assert_eq!(
        top(&flawed(Flaw::Quoted), &Past::default()),
        (vec![Cause::DirtyCredentials], Some(Possible))
    );
    assert_eq!(
        rank(&flawed(Flaw::Quoted), &Past::default()).conclusion,
        Conclusion::Healthy
    );
    assert_eq!(
        ruled_out(&flawed(Flaw::Swapped), &Past::default()),
        [Cause::MalformedPair]
    );
    let refused = flawed(Flaw::Swapped).refused();
    assert_eq!(
        top(&refused, &Past::default()),
        (vec![Cause::MalformedPair], Some(Likely))
    );
    // What stands in the wrong place says nothing of the key's state.
    let others = rank(&refused, &Past::default()).causes;
    assert!(
        others[1..]
            .iter()
            .all(|other| other.likelihood() == Some(Possible)),
        "{others:#?}"
    );
    assert!(ruled_out(&refused, &came(Origin::Proven, good(HOME))).contains(&Cause::MalformedPair));
    let half = came(
        Origin::Half {
            replaced: Half::Key,
            worked: true,
        },
        good(HOME),
    );
    assert_eq!(top(&refused, &half).0, [Cause::HalfRotated]);
    let away = refused.with(&[Probe::Outbound], &confirmed(AWAY));
    assert_eq!(top(&away, &Past::default()).0, [Cause::IpNotListed]);
    let reads = [Probe::Balance, Probe::OpenOrders, Probe::OrderHistory];
    assert_eq!(
        top(&away.with(&reads, &answered(401, 40103)), &Past::default()).0,
        [Cause::IpNotListed]
    );
}

#[test]
fn a_history_that_cannot_be_written_is_trouble_and_hides_no_refusal() {
    let past = Past {
        unwritten: Some("database or disk is full".into()),
        ..Past::default()
    };
    assert_eq!(
        top(&healthy(), &past),
        (vec![Cause::NotRecorded], Some(VeryLikely))
    );
    let ranking = rank(&healthy(), &past);
    assert_eq!(ranking.conclusion, Conclusion::Trouble);
    assert!(ranking.causes[0].pro[0].contains("disk is full"));
    let refused = healthy().with(&Probe::READS, &answered(401, 40103));
    assert_eq!(top(&refused, &past).0, [Cause::IpNotListed]);
}

#[test]
fn a_cancellation_of_nothing_excludes_nothing() {
    let mut findings = healthy().refused();
    findings.list.push(Finding {
        probe: Probe::CancelUnknown,
        seen: answered(200, 40401),
        took: Duration::ZERO,
    });
    assert_eq!(top(&findings, &Past::default()).0[0], Cause::KeyMismatch);
    assert!(!ruled_out(&findings, &Past::default()).contains(&Cause::KeyMismatch));
}

#[test]
fn a_file_that_may_not_be_read_says_nothing_about_the_pair() {
    let (name, place) = ("file".to_owned(), "/etc/crypto.env".to_owned());
    let flaws = vec![FlawFound {
        flaw: Flaw::Unreadable,
        name,
        place,
        text: "not readable by you".into(),
    }];
    let facts = Seen::Credentials(CredentialFacts {
        flaws,
        ..CredentialFacts::default()
    });
    let mut findings = healthy().with(&[Probe::Credentials], &facts);
    findings.target = None;
    findings.list.truncate(2);
    let ranking = rank(&findings, &Past::default());
    assert_eq!(
        (ranking.conclusion, ranking.causes.len()),
        (Conclusion::Unusable, 0)
    );
    assert!(
        ranking
            .next_step
            .contains("sudo crypto-proxy diagnose --alone")
    );
}

#[test]
fn a_redirect_is_a_captive_page_or_the_edge_and_both_are_said() {
    use gateway::failure::Failure;
    let findings = healthy().with(&[Probe::Public], &Seen::Failed(Failure::Redirected(302)));
    assert_eq!(
        top(&findings, &Past::default()),
        (vec![Cause::NotReached, Cause::EdgeBlocked], Some(Likely))
    );
    let silent = healthy().with(
        &[Probe::Public],
        &Seen::Failed(Failure::Deadline(Duration::from_secs(4))),
    );
    assert_eq!(
        top(&silent, &Past::default()),
        (vec![Cause::NotReached], Some(Likely))
    );
    assert_eq!(
        rank(&silent, &Past::default()).conclusion,
        Conclusion::Unreachable
    );
}

#[test]
fn causes_of_different_symptoms_are_no_tie() {
    let facts = CredentialFacts {
        flaws: vec![FlawFound {
            flaw: Flaw::Published,
            name: "x".into(),
            place: "y".into(),
            text: "z".into(),
        }],
        ..CredentialFacts::default()
    };
    let reads = [Probe::Balance, Probe::OpenOrders, Probe::OrderHistory];
    let findings = healthy()
        .with(&[Probe::Credentials], &Seen::Credentials(facts))
        .with(&reads, &answered(401, 40103));
    let ranking = rank(&findings, &Past::default());
    assert_eq!(
        (ranking.top(), ranking.causes[1].cause),
        (vec![Cause::Published], Cause::IpNotListed)
    );
    assert_eq!(ranking.causes[1].likelihood(), Some(VeryLikely));
}

const PRIVATE: [Probe; 4] = [
    Probe::Balance,
    Probe::Summary,
    Probe::OpenOrders,
    Probe::OrderHistory,
];

#[test]
fn what_somebody_says_does_not_vanish_where_probes_fail() {
    let refused = healthy().with(&PRIVATE, &answered(401, 40101));
    let unreached = healthy()
        .with(&PRIVATE, &Seen::Skipped("invented"))
        .with(&[Probe::Name], &Seen::NotResolved(None));
    for findings in [refused, unreached] {
        for told in Symptom::ALL {
            let without = rank(&findings, &Past::default());
            let past = Past {
                told: vec![told],
                ..Past::default()
            };
            let with = rank(&findings, &past);
            assert_eq!(
                with.top(),
                without.top(),
                "{told:?}: what was seen comes first"
            );
            assert_eq!(with.conclusion, without.conclusion);
            let more = with.causes.len() - without.causes.len();
            assert_eq!(more, 1, "{told:?}: {:?}", with.causes);
            let last = with.causes.iter().find(|ranked| {
                !without
                    .causes
                    .iter()
                    .any(|known| known.cause == ranked.cause)
            });
            let last = last.unwrap();
            assert_eq!(last.likelihood(), Some(Possible), "{told:?}");
            assert!(
                last.con[0].contains("no probe was accepted"),
                "{:?}",
                last.con
            );
        }
    }
}

#[test]
fn row_18_headers_that_a_door_saw_are_a_cause_and_no_trouble_of_the_key() {
    let past = Past {
        foreign_scheme: 3,
        refused_here: 3,
        ..Past::default()
    };
    let ranking = rank(&healthy(), &past);
    assert_eq!(
        ranking.top()[0],
        Cause::InventedScheme,
        "{:?}",
        ranking.causes
    );
    assert_eq!(ranking.likelihood(), Some(Likely));
    assert_eq!(ranking.conclusion, Conclusion::Healthy);
    assert!(ranking.next_step.contains("plain calls to the proxy"));
    let refused = healthy().with(&PRIVATE, &answered(401, 40101));
    let causes = rank(&refused, &past).causes;
    assert!(
        causes
            .iter()
            .any(|ranked| ranked.cause == Cause::InventedScheme)
    );
}

/// Nothing answers, so that nobody knows where calls would have left from: the name tells the family.
#[test]
fn a_way_by_ipv6_that_is_down_is_looked_at_by_ipv6() {
    let ipv6: IpAddr = "2606:4700::1".parse().unwrap();
    let findings = healthy()
        .with(&[Probe::Name], &Seen::Resolved(vec![ipv6]))
        .with(&[Probe::Tcp], &Seen::NotConnected(Vec::new()));
    let ranking = rank(&findings, &Past::default());
    assert_eq!(ranking.top(), [Cause::NotReached]);
    assert!(
        ranking.next_step.contains("`curl -6v https://"),
        "{}",
        ranking.next_step
    );
}
