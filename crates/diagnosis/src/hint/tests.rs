//! The reader of the records, from a report on the channel to the lines in the log.

use std::net::IpAddr;

use tokio::sync::{Notify, mpsc, watch};

use super::*;
use crate::{
    egress::Trigger,
    key_pairs::{Half, Origin, PairChange},
    lines::Lines,
    verdict::tests::answer,
};
use gateway::{
    observed::{Expected, Outbound},
    upstream::BaseUrl,
};

const READ: &str = "private/user-balance";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Hints with the other ends of everything they hold.
struct Desk {
    hints: Hints,
    observed: Arc<Observed>,
    wanted: Arc<Notify>,
    confirmed: watch::Sender<Option<time::Instant>>,
    lines: Lines,
}

impl Desk {
    fn new(expected: Expected) -> Self {
        let observed = Arc::new(Observed::new(expected));
        let (trigger, wanted, confirmed) = Trigger::held_by_a_test();
        let base = BaseUrl::parse("https://api.crypto.com/exchange/v1", None).unwrap();
        let hints = Hints::new(
            Arc::clone(&observed),
            trigger,
            PairFacts::no_memory(0),
            &CredentialFacts::default(),
            Target::of(&base),
        );
        Self {
            hints,
            observed,
            wanted,
            confirmed,
            lines: Lines::listen(),
        }
    }

    /// A call that fails while our address is taken for `address`.
    fn fails(&mut self, rid: &str, code: i64, address: Option<&str>) {
        self.fails_at(rid, code, address, None);
    }

    /// The same, over a connection to `peer`.
    fn fails_at(&mut self, rid: &str, code: i64, address: Option<&str>, peer: Option<&str>) {
        let outbound = address.map(|address| Outbound {
            address: ip(address),
            seen: Instant::now(),
        });
        self.hints.read(&CallReport {
            rid: rid.into(),
            peer: peer.map(ip),
            outbound,
            ..answer(READ, 401, Some(code))
        });
    }

    /// A measurement that begins now confirms `address`.
    fn measured(&mut self, address: &str) {
        let began = time::Instant::now();
        self.observed.note_outbound(ip(address));
        self.hints.settle(Some(began));
    }

    fn corrections(&self) -> Vec<String> {
        self.lines
            .take()
            .into_iter()
            .filter(|line| line.contains("corrects="))
            .collect()
    }
}

#[tokio::test]
async fn every_failing_call_gets_exactly_one_line_and_others_none() {
    let Desk { hints, lines, .. } = Desk::new(Expected::Unstated);
    let (reports, reader) = mpsc::channel(8);
    for (rid, code) in [
        ("a", 0),
        ("b", 40101),
        ("c", 40101),
        ("d", 306),
        ("e", 40103),
    ] {
        reports
            .send(
                CallReport {
                    rid: rid.into(),
                    ..answer(READ, 401, Some(code))
                }
                .into(),
            )
            .await
            .unwrap();
    }
    drop(reports);
    HintReader::new(hints, reader).run().await;
    let lines = lines.take();
    let rids = lines.iter().map(|line| {
        line.split("rid=")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
    });
    assert_eq!(rids.collect::<Vec<_>>(), ["b", "c", "e"]);
    assert!(lines.iter().all(
        |line| line.starts_with("WARN [CRYPTO_AUTH_DIAG] event=hint ") && !line.contains('\n')
    ));
}

#[tokio::test]
async fn a_line_can_be_read_alone() {
    let mut desk = Desk::new(Expected::Unstated);
    desk.fails("r-7", 40101, Some("203.0.113.7"));
    let [line] = desk.lines.take().try_into().unwrap();
    for part in [
        "event=hint rid=r-7 method=private/user-balance code=40101 cause=CP-KEY-MISMATCH likelihood=\"possible\"",
        "evidence: no private call was accepted since the start, calls leave from 203.0.113.7",
        "not excluded: CP-KEY-DISABLED, CP-IP-NOT-LISTED, CP-NO-READ-PERMISSION, CP-WRONG-ENVIRONMENT; next: ",
        "CRYPTO_CAUSE=\"CP-KEY-MISMATCH\"",
        "CRYPTO_RID=\"r-7\"",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn a_measurement_is_asked_for_only_where_the_address_may_be_the_cause() {
    for (code, asks) in [
        (40101, true),
        (40103, true),
        (10003, true),
        (40102, false),
        (42901, false),
        (40104, false),
    ] {
        let mut desk = Desk::new(Expected::Unstated);
        desk.fails("a", code, None);
        let asked = time::timeout(Duration::ZERO, desk.wanted.notified())
            .await
            .is_ok();
        assert_eq!(asked, asks, "{code}");
    }
}

#[tokio::test]
async fn an_address_that_moved_corrects_the_hints_that_assumed_the_old_one_once() {
    let mut desk = Desk::new(Expected::Unstated);
    desk.fails("a", 40101, Some("203.0.113.7"));
    desk.fails("b", 40101, Some("203.0.113.7"));
    desk.fails("c", 40103, Some("203.0.113.7"));
    desk.measured("198.51.100.4");
    let [drift, listing] = desk.corrections().try_into().unwrap();
    assert!(
        drift.contains("corrects=a,b cause=CP-IP-DRIFT likelihood=\"likely\""),
        "{drift}"
    );
    assert!(drift.contains(
        "CRYPTO_COM_OUTBOUND_IP: 198.51.100.4, when the call failed it was taken for 203.0.113.7"
    ));
    assert!(drift.contains("add exactly 198.51.100.4 "), "{drift}");
    assert!(
        listing.contains("corrects=c cause=CP-IP-NOT-LISTED likelihood=\"very likely\""),
        "{listing}"
    );
    desk.measured("192.0.2.9");
    assert_eq!(desk.corrections(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_address_that_did_not_move_corrects_nothing_and_settles_the_hint() {
    let mut desk = Desk::new(Expected::Unstated);
    let before = time::Instant::now();
    time::advance(Duration::from_secs(1)).await;
    desk.fails("a", 40101, Some("203.0.113.7"));
    // Begun before the failure, a measurement settles nothing.
    desk.observed.note_outbound(ip("203.0.113.7"));
    desk.hints.settle(Some(before));
    desk.measured("198.51.100.4");
    assert_eq!(desk.corrections().len(), 1);
    desk.fails("b", 40101, Some("198.51.100.4"));
    desk.measured("198.51.100.4");
    desk.measured("203.0.113.7");
    assert_eq!(desk.corrections(), Vec::<String>::new());
}

#[tokio::test]
async fn an_address_that_became_known_says_something_only_where_the_address_is_in_doubt() {
    let mut desk = Desk::new(Expected::Listed(vec![ip("203.0.113.7")]));
    desk.fails("a", 40101, None);
    desk.measured("203.0.113.7");
    assert_eq!(desk.corrections(), Vec::<String>::new());
    desk.fails("b", 40101, None);
    desk.measured("198.51.100.4");
    assert!(desk.corrections()[0].contains("corrects=b cause=CP-IP-NOT-LISTED"));
    desk.fails("c", 40103, None);
    desk.measured("198.51.100.4");
    assert!(desk.corrections()[0].contains("corrects=c cause=CP-IP-NOT-LISTED"));
}

#[tokio::test(start_paused = true)]
async fn an_address_of_the_other_family_corrects_no_hint() {
    let (ipv4, ipv6) = (("8.8.4.4", "104.18.0.7"), ("2a00:1450::7", "2606:4700::7"));
    for ((ours, peer), (others, _)) in [(ipv4, ipv6), (ipv6, ipv4)] {
        let mut desk = Desk::new(Expected::Listed(vec![ip("192.0.2.1")]));
        // Over a connection that was kept, while new ones lead by the other family.
        desk.fails_at("a", 40101, Some(ours), Some(peer));
        desk.fails_at("b", 40101, None, Some(peer));
        time::advance(Duration::from_secs(1)).await;
        desk.measured(others);
        assert_eq!(desk.corrections(), Vec::<String>::new(), "{peer}");
        // Nor do they wait for good.
        desk.measured("198.51.100.4");
        desk.measured("2a00:1450::8");
        assert_eq!(desk.corrections(), Vec::<String>::new(), "{peer}");
        desk.fails_at("c", 40101, Some(ours), Some(peer));
        desk.measured(if ours == ipv4.0 {
            "198.51.100.4"
        } else {
            "2a00:1450::8"
        });
        assert!(desk.corrections()[0].contains("corrects=c "), "{peer}");
    }
}

#[tokio::test]
async fn many_hints_share_one_correction_of_bounded_length() {
    let mut desk = Desk::new(Expected::Unstated);
    (0..20).for_each(|number| desk.fails(&format!("r{number}"), 40101, Some("203.0.113.7")));
    desk.measured("198.51.100.4");
    let [line] = desk.corrections().try_into().unwrap();
    assert!(
        line.contains("corrects=r0,r1,r2,r3,r4,r5,r6,r7 and 12 more cause="),
        "{line}"
    );
    (0..100).for_each(|number| desk.fails(&format!("r{number}"), 40101, Some("203.0.113.7")));
    desk.measured("198.51.100.4");
    assert!(
        desk.corrections()[0]
            .contains("corrects=r36,r37,r38,r39,r40,r41,r42,r43 and at least 56 more")
    );
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_a_measurement_settled_is_not_corrected_later() {
    let mut desk = Desk::new(Expected::Unstated);
    desk.fails("settled", 40101, Some("203.0.113.7"));
    let began = time::Instant::now();
    time::advance(Duration::from_secs(1)).await;
    desk.fails("open", 40101, Some("203.0.113.7"));
    desk.observed.note_outbound(ip("203.0.113.7"));
    desk.hints.settle(Some(began));
    desk.measured("198.51.100.4");
    assert!(desk.corrections()[0].contains("corrects=open cause="));
}

#[tokio::test]
async fn a_failed_call_is_told_what_its_line_says_and_the_line_is_written_once() {
    let Desk { hints, lines, .. } = Desk::new(Expected::Unstated);
    let (reports, receiver) = mpsc::channel(8);
    let reader = HintReader::new(hints, receiver);
    let report = |rid: &str, code| {
        let answered = answer(READ, 401, Some(code));
        Arc::new(CallReport {
            rid: rid.into(),
            ..answered
        })
    };
    // Nobody reads yet: the calls read what waits, in its order.
    for (rid, code) in [("a", 0), ("b", 40101), ("c", 306), ("d", 40103)] {
        reports.send(report(rid, code)).await.unwrap();
    }
    let told = ["d", "b", "a", "c", "none"].map(|rid| reader.of(rid).map(|hint| hint.to_string()));
    let [d, b, rest @ ..] = told;
    assert_eq!(rest, [None, None, None], "no hint, no words");
    drop(reports);
    reader.run().await;
    let written = lines.take();
    assert_eq!(written.len(), 2, "{written:?}");
    for (rid, told) in [("b", b), ("d", d)] {
        let told = told.expect("a hint");
        let (cause, likelihood) = told.split_once("; ").unwrap();
        let line = format!("cause={cause} likelihood=\"{likelihood}\"");
        let wanted = format!("event=hint rid={rid} ");
        assert!(
            written
                .iter()
                .any(|text| text.contains(&wanted) && text.contains(&line)),
            "{rid} {told}: {written:?}"
        );
    }
}

#[tokio::test]
async fn a_running_reader_corrects_when_the_watch_confirms_and_outlives_the_watch() {
    let Desk {
        hints,
        observed,
        wanted,
        confirmed,
        lines,
    } = Desk::new(Expected::Unstated);
    let (reports, reader) = mpsc::channel(8);
    let outbound = Some(Outbound {
        address: ip("203.0.113.7"),
        seen: Instant::now(),
    });
    let failed = Arc::new(CallReport {
        outbound,
        ..answer(READ, 401, Some(40101))
    });
    let story = async {
        reports.send(Arc::clone(&failed)).await.unwrap();
        wanted.notified().await;
        observed.note_outbound(ip("198.51.100.4"));
        confirmed.send_replace(Some(time::Instant::now()));
        while !lines
            .take()
            .iter()
            .any(|line| line.contains("corrects=rid-1"))
        {
            tokio::task::yield_now().await;
        }
        drop(confirmed);
        tokio::task::yield_now().await;
        reports.send(failed).await.unwrap();
        drop(reports);
    };
    tokio::join!(HintReader::new(hints, reader).run(), story);
    assert!(
        lines
            .take()
            .iter()
            .any(|line| line.contains("event=hint rid=rid-1"))
    );
}

#[tokio::test]
async fn the_clock_is_said_to_be_off_once_and_to_be_right_again_once() {
    let mut desk = Desk::new(Expected::Unstated);
    let mut answered_with = |offset_ms| {
        let skew = Some(ClockSkew {
            offset_ms,
            uncertainty_ms: 200,
        });
        desk.hints.read(&CallReport {
            skew,
            ..answer(READ, 200, Some(0))
        });
        desk.lines.take()
    };
    assert_eq!(answered_with(5100), Vec::<String>::new());
    let off = answered_with(6000);
    assert!(
        off[0].starts_with("WARN")
            && off[0].contains("event=clock skew_ms=+6000±200: this host's clock is behind")
    );
    assert_eq!(answered_with(-7000), Vec::<String>::new());
    let fine = answered_with(100);
    assert!(
        fine[0].starts_with("INFO")
            && fine[0].contains("agrees with the exchange's again")
            && fine.len() == 1
    );
}

#[tokio::test]
async fn another_key_ends_what_the_memory_of_the_pair_says() {
    let mut desk = Desk::new(Expected::Unstated);
    let origin = Origin::Half {
        replaced: Half::Key,
        worked: true,
    };
    desk.hints.pair = PairFacts {
        asked_elsewhere: false,
        change: PairChange::KeyChanged,
        since: 0,
        origin,
    };
    desk.fails("a", 40101, None);
    assert!(desk.lines.take()[0].contains("CP-HALF-ROTATED"));
    let reloaded = CallReport {
        key_fingerprint: "00000000".into(),
        ..answer(READ, 401, Some(40101))
    };
    desk.hints.read(&reloaded);
    assert!(desk.lines.take()[0].contains("cause=CP-KEY-MISMATCH"));
}
