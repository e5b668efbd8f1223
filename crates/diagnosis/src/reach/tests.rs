//! The watch from values: what a measurement comes to, what is said of it, and when the next one is made.

use std::{io, sync::Arc, time::Duration};

use super::*;
use crate::{
    causes::Cause,
    egress,
    lines::Lines,
    probes::{
        Answer, CredentialFacts, Environment, Finding, Findings, LiveUse, Probe, Ready, Seen,
        Target,
    },
    verdict::tests::answer,
};
use gateway::{
    clock::Clock,
    connect::{Lookup, NotDialled, Resolver},
    failure::Failure,
    observed::Expected,
    secret::{ApiKey, ApiSecret, Credentials},
    upstream::{self, BaseUrl},
};

const AT: u64 = 1_769_843_531_000;
const GOOD: Answer = Answer {
    status: 200,
    code: Some(0),
    is_json: true,
};

/// A measurement at this second: the phases that were made, each 7 ms long; the others were not.
fn measured(second: u64, made: &[(Probe, Seen)]) -> Measurement {
    let finding = |probe: &Probe| {
        let made = made.iter().find(|(other, _)| other == probe);
        let seen = made.map_or(Seen::Skipped("a phase before failed"), |(_, seen)| {
            seen.clone()
        });
        Finding {
            probe: *probe,
            seen,
            took: Duration::from_millis(7),
        }
    };
    let host = "api.crypto.com".to_owned();
    let base = format!("https://{host}/exchange/v1");
    let target = Target {
        base,
        host,
        environment: Environment::Production,
        odd_path: false,
    };
    Measurement::of(&Findings {
        at_ms: AT + second * 1000,
        took: Duration::from_millis(28),
        target: Some(target),
        expected: Expected::Unstated,
        list: [Probe::Name, Probe::Tcp, Probe::Tls, Probe::Public]
            .iter()
            .map(finding)
            .collect(),
    })
}

fn name() -> (Probe, Seen) {
    (Probe::Name, Seen::Resolved(vec![[104, 16, 1, 1].into()]))
}

fn refused() -> Vec<NotDialled> {
    vec![NotDialled {
        address: [104, 16, 1, 1].into(),
        why: "connection refused".to_owned(),
    }]
}

fn way() -> Vec<(Probe, Seen)> {
    vec![
        name(),
        (Probe::Tcp, Seen::Connected([104, 16, 1, 1].into())),
        (Probe::Tls, Seen::Secured),
    ]
}

fn with(seen: Seen) -> Vec<(Probe, Seen)> {
    way().into_iter().chain([(Probe::Public, seen)]).collect()
}

fn healthy(second: u64) -> Measurement {
    measured(second, &with(Seen::Answered(GOOD)))
}

fn no_connection(second: u64) -> Measurement {
    measured(
        second,
        &[name(), (Probe::Tcp, Seen::NotConnected(refused()))],
    )
}

#[test]
fn the_phase_that_failed_has_the_cause_of_the_one_table() {
    let answered = |status, code, is_json| {
        with(Seen::Answered(Answer {
            status,
            code,
            is_json,
        }))
    };
    let cases = [
        (
            vec![(Probe::Name, Seen::NotResolved(None))],
            Phase::Name,
            Cause::NameNotResolved,
        ),
        (
            vec![name(), (Probe::Tcp, Seen::NotConnected(refused()))],
            Phase::Tcp,
            Cause::NotReached,
        ),
        (
            [
                &way()[..2],
                &[(
                    Probe::Tls,
                    Seen::NotSecured("the certificate has expired".into()),
                )],
            ]
            .concat(),
            Phase::Tls,
            Cause::NoTls,
        ),
        (
            vec![(Probe::Tls, Seen::NotPrepared("no bundle".into()))],
            Phase::Tls,
            Cause::NoTls,
        ),
        (
            with(Seen::Failed(Failure::Lost)),
            Phase::FirstByte,
            Cause::NotReached,
        ),
        (
            answered(404, None, false),
            Phase::FirstByte,
            Cause::WrongBase,
        ),
        (
            answered(200, None, false),
            Phase::FirstByte,
            Cause::EdgeBlocked,
        ),
        (
            answered(503, Some(9_010_001), true),
            Phase::FirstByte,
            Cause::Maintenance,
        ),
    ];
    for (made, phase, cause) in cases {
        let measurement = measured(0, &made);
        assert_eq!(measurement.comes_to(), Some((phase, cause)), "{made:?}");
        let fault = measurement.fault.as_ref().unwrap();
        let failed: Vec<_> = measurement
            .steps
            .iter()
            .filter(|(_, step)| matches!(step, Step::Failed(..)))
            .collect();
        assert!(
            failed.len() == 1 && failed[0].0 == phase && !fault.next_step.is_empty(),
            "{measurement:?}"
        );
    }
}

#[test]
fn an_answer_in_the_exchanges_own_envelope_means_that_it_was_reached() {
    for (status, code) in [(200, 0), (429, 42_901), (500, 10_001), (401, 40_101)] {
        let answer = Answer {
            status,
            code: Some(code),
            is_json: true,
        };
        let measurement = measured(0, &with(Seen::Answered(answer)));
        assert_eq!(measurement.comes_to(), None, "{code}");
        assert_eq!(
            measurement.timings(),
            "name 7 ms · TCP 7 ms · TLS 7 ms · first byte 7 ms"
        );
    }
}

#[test]
fn a_change_is_said_once_and_a_state_that_lasts_is_not_repeated() {
    let (lines, watched) = (Lines::listen(), Watched::default());
    let said = |measurement: Measurement| {
        watched.take(measurement);
        lines.take()
    };
    let first = said(healthy(0));
    assert_eq!(first.len(), 1, "{first:?}");
    let text = "INFO [CRYPTO_AUTH_DIAG] event=reach state=reachable name_ms=7 tcp_ms=7 tls_ms=7 first_byte_ms=7: \
                the exchange answers |";
    assert!(
        first[0].starts_with(text) && first[0].contains("CRYPTO_FIRST_BYTE_MS=7"),
        "{first:?}"
    );
    assert_eq!(said(healthy(300)), Vec::<String>::new());
    let [failed] = said(no_connection(600)).try_into().unwrap();
    for part in [
        "WARN [CRYPTO_AUTH_DIAG] event=reach state=failed phase=tcp cause=CP-NETWORK name_ms=7 tcp_ms=7: ",
        "evidence: TCP: no connection: 104.16.1.1: connection refused; next: ",
        "next: `curl -4v https://api.crypto.com/`",
        "CRYPTO_PHASE=\"tcp\"",
        "CRYPTO_CAUSE=\"CP-NETWORK\"",
    ] {
        assert!(failed.contains(part), "{part} in {failed}");
    }
    assert!(!failed.contains("CRYPTO_TLS_MS"), "{failed}");
    assert_eq!(said(no_connection(660)), Vec::<String>::new());
    assert_eq!(watched.standing().unwrap().since_ms, AT + 600_000);
    let other = said(measured(
        720,
        &with(Seen::Answered(Answer {
            status: 200,
            code: None,
            is_json: false,
        })),
    ));
    assert!(
        other.len() == 1 && other[0].contains("phase=first_byte cause=CP-EDGE-BLOCKED"),
        "{other:?}"
    );
    assert!(
        other[0]
            .contains("evidence: first byte: HTTP 200, no JSON; not excluded: CP-NETWORK; next: "),
        "{other:?}"
    );
    let [again] = said(healthy(780)).try_into().unwrap();
    assert!(
        again.starts_with("INFO ") && again.contains("answers again, 60 s after first byte"),
        "{again}"
    );
    assert_eq!(
        (said(healthy(1080)), watched.standing().unwrap().since_ms),
        (Vec::new(), AT + 780_000)
    );
}

#[test]
fn a_call_whose_connection_failed_asks_for_a_measurement_and_one_that_was_answered_does_not() {
    let failures = [
        Failure::Dns,
        Failure::AddressRefused([10, 0, 0, 1].into()),
        Failure::Connect,
        Failure::ConnectDeadline(Duration::ZERO),
        Failure::Tls,
        Failure::Lost,
        Failure::Deadline(Duration::ZERO),
        Failure::TooLarge(1),
        Failure::Redirected(302),
        Failure::Upgraded,
        Failure::Encoded,
        Failure::Defect,
    ];
    for failure in failures {
        let report = CallReport {
            why: Some(failure.code()),
            ..answer("private/user-balance", 502, None)
        };
        let of_the_connection = !failure.is_about_an_answer() && failure != Failure::Defect;
        assert_eq!(connection_failed(&report), of_the_connection, "{failure:?}");
    }
    assert!(!connection_failed(&answer(
        "private/user-balance",
        401,
        Some(40_101)
    )));
}

fn watch(enabled: bool, lookup: Lookup) -> Watch {
    let (key, secret) = (
        ApiKey::new("an-invented-key".into()),
        ApiSecret::new("an-invented-secret".into()),
    );
    let base = BaseUrl::parse("http://localhost:9/exchange/v1", None).unwrap();
    // Nothing but the stop ends a look-up that hangs.
    let upstream = upstream::Settings {
        connect_deadline: Duration::from_secs(3600),
        ..upstream::Settings::new(base)
    };
    let credentials = Credentials { key, secret };
    let plan = probes::Plan {
        facts: CredentialFacts::default(),
        ready: Some(Ready {
            credentials,
            upstream,
            egress: egress::Settings::off(),
        }),
        expected: Expected::Unstated,
        scope: Scope::Full,
        deadline: Duration::ZERO,
        clock: Clock::system(),
        resolver: Resolver::with_lookup(lookup),
        live: Arc::<LiveUse>::default(),
    };
    Watch::new(
        Settings {
            enabled,
            interval: Duration::from_secs(300),
        },
        Arc::default(),
        plan,
    )
}

fn finds_nothing() -> Lookup {
    Arc::new(|_| Box::pin(async { Err(io::ErrorKind::NotFound.into()) }))
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_heard_at_once_and_then_once_a_minute_and_a_failing_connection_is_looked_at_each_minute()
 {
    let (watch, began, mut triggered) = (watch(true, finds_nothing()), Instant::now(), None);
    let sink = watch.sink().expect("it reads along");
    let lost = Arc::new(CallReport {
        why: Some("lost"),
        ..answer("private/user-balance", 502, None)
    });
    (0..3).for_each(|_| sink.record(&lost));
    watch.next_turn(&mut triggered).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    sink.record(&lost);
    watch.next_turn(&mut triggered).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    watch.next_turn(&mut triggered).await;
    assert_eq!(
        began.elapsed().as_secs(),
        60 + 300,
        "without a failed call the interval decides"
    );
    watch.watched.take(no_connection(0));
    watch.next_turn(&mut triggered).await;
    assert_eq!(began.elapsed().as_secs(), 60 + 300 + 60);
}

#[tokio::test]
async fn a_stop_ends_a_measurement_that_is_under_way() {
    let (asked, mut names) = tokio::sync::mpsc::unbounded_channel();
    let hanging: Lookup = Arc::new(move |name| {
        asked.send(name).unwrap();
        Box::pin(std::future::pending())
    });
    let (watch, stop) = (watch(true, hanging), CancellationToken::new());
    let watched = watch.watched();
    let running = tokio::spawn(watch.run(stop.clone()));
    assert_eq!(names.recv().await.as_deref(), Some("localhost"));
    stop.cancel();
    running.await.unwrap();
    assert_eq!(
        names.recv().await,
        None,
        "the thread has ended, and what it held is gone"
    );
    assert!(watched.standing().is_none());
}

#[tokio::test]
async fn a_watch_that_is_off_ends_at_once_and_reads_nothing() {
    let watch = watch(false, finds_nothing());
    assert!(watch.sink().is_none() && !watch.watched().is_enabled());
    watch.run(CancellationToken::new()).await;
}
