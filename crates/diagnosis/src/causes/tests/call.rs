//! Single calls: each cause once, and the precedence between them.

use std::{sync::Arc, time::Instant};

use super::*;
use crate::{
    causes::StartFacts,
    key_pairs::{PairChange, PairFacts},
    tracker::{TrackRecord, Tracker},
    verdict::tests::answer,
};
use gateway::{observed::Outbound, outcome::Outcome, record::CallReport, upstream::BaseUrl};

const READ: &str = "private/user-balance";
const OTHER_READ: &str = "private/get-open-orders";
const TRADE: &str = "private/create-order";
const TRANSFER: &str = "private/create-withdrawal";

/// A story of calls, one a second, of which the last is judged.
struct Story {
    tracker: Tracker,
    now: Instant,
    expected: Expected,
    pair: PairFacts,
    peer: Option<&'static str>,
    address: Option<&'static str>,
    confirmed_ago: Duration,
    skew: Option<ClockSkew>,
    params: usize,
    start: StartFacts,
}

impl Story {
    fn new() -> Self {
        Self {
            tracker: Tracker::default(),
            // Hours after the host's start, so that a test may look back.
            now: Instant::now() + Duration::from_secs(7200),
            expected: Expected::Unstated,
            pair: PairFacts::no_memory(0),
            peer: None,
            address: None,
            confirmed_ago: Duration::from_secs(9),
            skew: None,
            params: 0,
            start: StartFacts::default(),
        }
    }

    fn asks(self, base: &str) -> Self {
        let base = BaseUrl::parse(base, None).unwrap();
        Self {
            start: StartFacts::new(Some(Target::of(&base)), &CredentialFacts::default()),
            ..self
        }
    }

    fn expects(self, address: &str) -> Self {
        Self {
            expected: Expected::Listed(vec![address.parse().unwrap()]),
            ..self
        }
    }

    fn to(self, peer: &'static str) -> Self {
        Self {
            peer: Some(peer),
            ..self
        }
    }

    fn from(self, address: &'static str) -> Self {
        Self {
            address: Some(address),
            ..self
        }
    }

    fn confirmed(self, seconds_ago: u64) -> Self {
        Self {
            confirmed_ago: Duration::from_secs(seconds_ago),
            ..self
        }
    }

    fn skewed(self, offset_ms: i64, uncertainty_ms: u64) -> Self {
        Self {
            skew: Some(ClockSkew {
                offset_ms,
                uncertainty_ms,
            }),
            ..self
        }
    }

    fn pair(self, origin: Origin) -> Self {
        Self {
            pair: PairFacts {
                asked_elsewhere: false,
                change: PairChange::Same,
                since: 0,
                origin,
            },
            ..self
        }
    }

    fn with_params(self) -> Self {
        Self { params: 20, ..self }
    }

    fn call(&mut self, method: &str, status: u16, code: Option<i64>) -> Option<Hint> {
        self.now += Duration::from_secs(1);
        let address = self.address.map(|address| address.parse().unwrap());
        let report = CallReport {
            peer: self.peer.map(|peer| peer.parse().unwrap()),
            outbound: address.map(|address| Outbound {
                address,
                seen: self.now - self.confirmed_ago,
            }),
            skew: self.skew,
            params_string_len: self.params,
            ..answer(method, status, code)
        };
        self.tracker.note(&report, self.now);
        let facts = CallFacts {
            expected: self.expected.clone(),
            pair: self.pair,
            track: self.tracker.past_of(&report),
            now: self.now,
            start: self.start.clone(),
        };
        explain(facts, &report)
    }

    fn good(mut self, method: &str) -> Self {
        assert_eq!(self.call(method, 200, Some(0)), None);
        self
    }

    fn bad(mut self, method: &str) -> Self {
        assert!(self.call(method, 401, Some(40101)).is_some());
        self
    }

    /// How the last call, refused with 40101, is judged.
    fn refused(mut self, method: &str) -> Hint {
        self.call(method, 401, Some(40101)).unwrap()
    }

    fn fails(mut self, status: u16, code: Option<i64>) -> Hint {
        self.call(READ, status, code).unwrap()
    }
}

fn verdict(hint: &Hint) -> (Cause, Likelihood) {
    (hint.cause, hint.likelihood)
}

#[test]
fn codes_that_say_what_they_mean_are_taken_at_their_word() {
    for (status, code, cause, likelihood) in [
        (401, 40103, Cause::IpNotListed, VeryLikely),
        (401, 10003, Cause::IpNotListed, VeryLikely),
        (401, 40104, Cause::UserTier, VeryLikely),
        (401, 10005, Cause::UserTier, VeryLikely),
        (429, 42901, Cause::RateLimit, Likely),
        (400, 10006, Cause::RateLimit, Likely),
        (400, 40102, Cause::ClockSkew, Likely),
        (400, 10007, Cause::ClockSkew, Likely),
        (200, 9_010_001, Cause::Maintenance, VeryLikely),
        (401, 40101, Cause::KeyMismatch, Possible),
        (401, 10002, Cause::KeyMismatch, Possible),
        (403, 40001, Cause::KeyMismatch, Possible),
    ] {
        assert_eq!(
            verdict(&Story::new().fails(status, Some(code))),
            (cause, likelihood),
            "{code}"
        );
    }
    for status in [401, 403] {
        assert_eq!(
            verdict(&Story::new().fails(status, None)),
            (Cause::EdgeBlocked, Likely)
        );
    }
}

#[test]
fn what_is_no_authentication_failure_gets_no_hint() {
    for (status, code) in [
        (200, Some(0)),
        (400, Some(401)),
        (500, Some(306)),
        (403, Some(306)),
        (400, Some(40004)),
        (500, None),
        (200, None),
    ] {
        assert_eq!(
            Story::new().call(READ, status, code),
            None,
            "{status} {code:?}"
        );
    }
    let mut refused_here = answer(READ, 403, None);
    let facts = CallFacts {
        expected: Expected::Unstated,
        pair: PairFacts::no_memory(0),
        track: TrackRecord::default(),
        now: Instant::now(),
        start: StartFacts::default(),
    };
    refused_here.outcome = Outcome::Refused;
    assert_eq!(explain(facts, &refused_here), None);
}

#[test]
fn nothing_known_is_no_verdict() {
    let hint = Story::new().refused(READ);
    assert_eq!(verdict(&hint), (Cause::KeyMismatch, Possible));
    assert_eq!(
        hint.alternatives,
        [
            Cause::KeyDisabled,
            Cause::IpNotListed,
            Cause::NoReadPermission
        ]
    );
    assert!(
        hint.evidence.contains("our address is unknown")
            && hint.evidence.contains("skew is unknown"),
        "{hint:?}"
    );
    let trade = Story::new().refused(TRADE);
    assert_eq!(
        trade.alternatives,
        [
            Cause::KeyDisabled,
            Cause::IpNotListed,
            Cause::NoTradePermission
        ]
    );
}

#[test]
fn a_listed_address_makes_the_key_likely_and_the_address_the_last_alternative() {
    let hint = Story::new()
        .from("203.0.113.7")
        .expects("203.0.113.7")
        .skewed(10, 90)
        .refused(READ);
    assert_eq!(verdict(&hint), (Cause::KeyMismatch, Likely));
    assert_eq!(
        hint.alternatives,
        [
            Cause::KeyDisabled,
            Cause::NoReadPermission,
            Cause::IpNotListed
        ]
    );
}

#[test]
fn the_address_is_named_with_its_age_or_said_to_be_unknown() {
    let hint = Story::new()
        .from("203.0.113.7")
        .expects("192.0.2.9")
        .fails(401, Some(40103));
    assert!(
        hint.evidence
            .contains("203.0.113.7, which CRYPTO_EXPECTED_IP does not name (confirmed 9 s ago)"),
        "{hint:?}"
    );
    assert!(hint.next.contains("add exactly 203.0.113.7,"), "{hint:?}");
    let hint = Story::new().fails(401, Some(40103));
    assert!(
        hint.evidence.contains("our address is unknown") && hint.next.contains("checkip"),
        "{hint:?}"
    );
}

#[test]
fn an_address_confirmed_longer_than_two_intervals_ago_is_taken_for_unknown() {
    let listed = || Story::new().from("203.0.113.7").expects("203.0.113.7");
    assert_eq!(
        verdict(&listed().confirmed(600).refused(READ)),
        (Cause::KeyMismatch, Likely)
    );
    let stale = listed().confirmed(601).refused(READ);
    assert_eq!(verdict(&stale), (Cause::KeyMismatch, Possible));
    let said = "our address is unknown: not confirmed since 601 s ago, when it was 203.0.113.7";
    assert!(stale.evidence.contains(said), "{stale:?}");
    let refused = listed().confirmed(601).fails(401, Some(40103));
    assert!(
        refused.evidence.contains(said) && refused.next.contains("checkip"),
        "{refused:?}"
    );
    // Neither does an old address count as moved, or as the one that calls were accepted from.
    let elsewhere = Story::new()
        .from("198.51.100.4")
        .expects("203.0.113.7")
        .confirmed(601);
    assert_eq!(
        verdict(&elsewhere.refused(READ)),
        (Cause::KeyMismatch, Possible)
    );
    let accepted = Story::new().from("203.0.113.7").confirmed(601).good(READ);
    assert_eq!(
        accepted
            .from("198.51.100.4")
            .confirmed(9)
            .refused(READ)
            .cause,
        Cause::ChangedAtExchange
    );
    let worked = Story::new()
        .from("203.0.113.7")
        .good(READ)
        .confirmed(601)
        .refused(READ);
    assert_eq!(verdict(&worked), (Cause::ChangedAtExchange, Likely));
}

#[test]
fn an_address_that_is_said_to_be_listed_is_not_to_be_added_again() {
    let hint = Story::new()
        .from("203.0.113.7")
        .expects("203.0.113.7")
        .fails(401, Some(40103));
    assert_eq!(verdict(&hint), (Cause::IpNotListed, VeryLikely));
    assert!(
        hint.next.contains("exactly so") && hint.next.contains("console"),
        "{hint:?}"
    );
    let back = Story::new()
        .from("198.51.100.4")
        .expects("203.0.113.7")
        .good(READ)
        .from("203.0.113.7")
        .refused(READ);
    assert_eq!(back.cause, Cause::IpDrift);
    assert!(
        back.next.contains("203.0.113.7") && back.next.contains("exactly so"),
        "{back:?}"
    );
}

#[test]
fn an_unexpected_address_is_likely_the_cause_unless_calls_were_accepted_from_it() {
    let hint = Story::new()
        .from("198.51.100.4")
        .expects("203.0.113.7")
        .refused(READ);
    assert_eq!(verdict(&hint), (Cause::IpNotListed, Likely));
    assert!(hint.next.contains("add exactly 198.51.100.4,"), "{hint:?}");
    let hint = Story::new()
        .from("198.51.100.4")
        .expects("203.0.113.7")
        .good(READ)
        .refused(READ);
    assert_eq!(hint.cause, Cause::ChangedAtExchange);
}

#[test]
fn an_address_that_moved_since_the_last_accepted_call_is_likely_the_cause() {
    let hint = Story::new()
        .from("203.0.113.7")
        .good(READ)
        .from("198.51.100.4")
        .refused(READ);
    assert_eq!(verdict(&hint), (Cause::IpDrift, Likely));
    assert!(
        hint.evidence
            .contains("the last accepted call left from 203.0.113.7"),
        "{hint:?}"
    );
}

#[test]
fn a_clock_certainly_out_of_the_window_explains_the_nonce_and_perhaps_the_refusal() {
    assert_eq!(
        verdict(&Story::new().skewed(-61_000, 900).fails(400, Some(40102))),
        (Cause::ClockSkew, VeryLikely)
    );
    assert_eq!(
        verdict(&Story::new().skewed(61_000, 900).fails(400, Some(10007))),
        (Cause::ClockSkew, VeryLikely)
    );
    assert_eq!(
        verdict(&Story::new().skewed(61_000, 900).refused(READ)),
        (Cause::ClockSkew, Likely)
    );
    // Within its uncertainty nothing is certain, and a clock that is certainly right is not the cause.
    assert_eq!(
        verdict(&Story::new().skewed(60_500, 900).fails(400, Some(40102))),
        (Cause::ClockSkew, Likely)
    );
    assert_eq!(
        Story::new().skewed(60_500, 900).refused(READ).cause,
        Cause::KeyMismatch
    );
    assert_eq!(
        verdict(&Story::new().skewed(300, 900).fails(400, Some(40102))),
        (Cause::StalledHost, Possible)
    );
}

#[test]
fn reads_accepted_while_trades_fail_mean_the_trade_permission() {
    let hint = Story::new().bad(TRADE).good(READ).refused(TRADE);
    assert_eq!(verdict(&hint), (Cause::NoTradePermission, Likely));
    // Accepted only before the failures began, they show less.
    let hint = Story::new().good(READ).refused(TRADE);
    assert_eq!(verdict(&hint), (Cause::NoTradePermission, Possible));
    assert!(hint.alternatives.contains(&Cause::ChangedAtExchange));
    let hint = Story::new().bad(TRANSFER).good(READ).refused(TRANSFER);
    assert_eq!(verdict(&hint), (Cause::MethodPermission, Likely));
    assert!(hint.next.contains(TRANSFER), "{hint:?}");
    let hint = Story::new().bad(READ).good(TRADE).refused(READ);
    assert_eq!(verdict(&hint), (Cause::NoReadPermission, Likely));
}

#[test]
fn an_order_refused_on_its_merits_shows_that_trading_is_permitted() {
    let mut story = Story::new().bad(TRADE);
    assert_eq!(story.call(TRADE, 500, Some(306)), None);
    let hint = story.good(READ).refused(TRADE);
    assert_eq!(hint.cause, Cause::ChangedAtExchange);
}

#[test]
fn one_method_that_fails_beside_others_of_its_class_is_about_the_method() {
    let hint = Story::new()
        .with_params()
        .bad(READ)
        .good(OTHER_READ)
        .refused(READ);
    assert_eq!(verdict(&hint), (Cause::MethodPermission, Likely));
    assert_eq!(hint.alternatives, [Cause::ParamsString]);
    assert_eq!(
        Story::new()
            .bad(READ)
            .good(OTHER_READ)
            .refused(READ)
            .alternatives,
        []
    );
    assert_eq!(
        verdict(&Story::new().good(OTHER_READ).refused(READ)),
        (Cause::MethodPermission, Possible)
    );
}

#[test]
fn a_method_that_worked_with_this_pair_was_changed_at_the_exchange() {
    let hint = Story::new().from("203.0.113.7").good(READ).refused(READ);
    assert_eq!(verdict(&hint), (Cause::ChangedAtExchange, Likely));
    assert!(hint.evidence.contains("accepted 1 s ago"), "{hint:?}");
    let unknown_address = Story::new().good(READ).refused(READ);
    assert_eq!(
        verdict(&unknown_address),
        (Cause::ChangedAtExchange, Likely)
    );
}

fn half(replaced: Half, worked: bool) -> Origin {
    Origin::Half { replaced, worked }
}

#[test]
fn one_half_that_was_replaced_stands_above_the_address_until_a_call_is_accepted() {
    for origin in [
        half(Half::Key, false),
        half(Half::Key, true),
        half(Half::Secret, true),
    ] {
        let story = || {
            Story::new()
                .pair(origin)
                .from("198.51.100.4")
                .expects("203.0.113.7")
        };
        assert_eq!(
            verdict(&story().refused(READ)),
            (Cause::HalfRotated, Likely),
            "{origin:?}"
        );
        let and_the_clock = story().skewed(99_000, 10).refused(READ);
        assert_eq!(and_the_clock.cause, Cause::HalfRotated);
        assert_eq!(and_the_clock.alternatives[0], Cause::ClockSkew);
        assert_ne!(story().good(READ).refused(READ).cause, Cause::HalfRotated);
    }
}

#[test]
fn a_new_secret_beside_a_key_that_never_worked_may_have_mended_it_and_stands_below_the_address() {
    let story = || Story::new().pair(half(Half::Secret, false));
    let hint = story().refused(READ);
    assert_eq!(verdict(&hint), (Cause::HalfRotated, Possible));
    assert!(
        hint.evidence
            .contains("the same key stood beside another secret before"),
        "{hint:?}"
    );
    let moved = story()
        .from("198.51.100.4")
        .expects("203.0.113.7")
        .refused(READ);
    assert_eq!(verdict(&moved), (Cause::IpNotListed, Likely));
    assert_ne!(story().good(READ).refused(READ).cause, Cause::HalfRotated);
}

#[test]
fn halves_that_are_both_new_since_different_starts_are_no_verdict() {
    let story = || Story::new().pair(Origin::TwoStarts);
    let hint = story().refused(READ);
    assert_eq!(verdict(&hint), (Cause::KeyMismatch, Likely));
    assert!(hint.evidence.contains("two different starts"), "{hint:?}");
    for other in [Cause::KeyDisabled, Cause::PairChanged, Cause::HalfRotated] {
        assert!(hint.alternatives.contains(&other), "{hint:?}");
    }
    assert_eq!(
        story().good(READ).refused(READ).cause,
        Cause::ChangedAtExchange
    );
}

#[test]
fn a_new_pair_that_never_worked_is_named_as_such() {
    let hint = Story::new().pair(Origin::Replaced).refused(READ);
    assert_eq!(verdict(&hint), (Cause::PairChanged, Likely));
    assert!(
        hint.alternatives.contains(&Cause::KeyMismatch)
            && hint.alternatives.contains(&Cause::NoReadPermission)
    );
    assert_ne!(
        Story::new()
            .pair(Origin::Replaced)
            .good(READ)
            .refused(READ)
            .cause,
        Cause::PairChanged
    );
    assert_eq!(
        Story::new().pair(Origin::First).refused(READ).cause,
        Cause::KeyMismatch
    );
}

#[test]
fn a_pair_that_was_accepted_before_this_start_is_not_said_to_be_mismatched() {
    let hint = Story::new()
        .pair(Origin::Proven)
        .from("203.0.113.7")
        .expects("203.0.113.7")
        .refused(READ);
    assert_eq!(verdict(&hint), (Cause::ChangedAtExchange, Likely));
    assert!(!hint.alternatives.contains(&Cause::KeyMismatch), "{hint:?}");
    let elsewhere = Story::new()
        .pair(Origin::Proven)
        .from("198.51.100.4")
        .expects("203.0.113.7")
        .refused(READ);
    assert_eq!(
        elsewhere.alternatives,
        [Cause::ChangedAtExchange, Cause::KeyDisabled],
        "{elsewhere:?}"
    );
}

#[test]
fn refused_and_accepted_in_turns_is_a_pattern_of_its_own_within_an_hour() {
    let turns = || Story::new().bad(READ).good(READ).bad(READ).good(READ);
    assert_eq!(
        verdict(&turns().refused(READ)),
        (Cause::Intermittent, Likely)
    );
    let mut later = turns();
    later.now += Duration::from_secs(3601);
    assert_ne!(later.refused(READ).cause, Cause::Intermittent);
}

#[test]
fn another_key_starts_the_record_over() {
    let mut story = Story::new().good(READ);
    let other = CallReport {
        key_fingerprint: Arc::from("00000000"),
        ..answer(READ, 401, Some(40101))
    };
    assert!(story.tracker.note(&other, story.now));
    assert!(!story.tracker.note(&other, story.now));
    assert_eq!(story.tracker.past_of(&other).all.accepted, None);
}

#[test]
fn what_callers_alone_bring_about_is_never_very_likely() {
    let calls = [
        (READ, 200, 0),
        (READ, 401, 40101),
        (TRADE, 200, 0),
        (TRADE, 401, 40101),
        (OTHER_READ, 429, 42901),
    ];
    // Every sequence of four calls.
    for number in 0..calls.len().pow(4) {
        let mut story = Story::new().from("203.0.113.7");
        for place in 0..4 {
            let (method, status, code) = calls[number / calls.len().pow(place) % calls.len()];
            let hint = story.call(method, status, Some(code));
            assert!(
                hint.is_none_or(|hint| hint.likelihood < VeryLikely),
                "{number}"
            );
        }
    }
}

#[test]
fn a_method_that_never_worked_beside_one_that_no_longer_does_is_not_alone() {
    let story = |first: &str| Story::new().from("8.8.4.4").good(READ).bad(first);
    // Balance worked and is refused now: it is no permission of the next method.
    for next in [OTHER_READ, TRADE, TRANSFER] {
        assert_eq!(
            verdict(&story(READ).refused(next)),
            (Cause::ChangedAtExchange, Likely),
            "{next}"
        );
    }
    // Nothing that worked was tried again.
    assert_eq!(story(TRADE).refused(TRADE).cause, Cause::NoTradePermission);
    // It worked again since.
    let again = story(READ).good(READ);
    assert_eq!(again.refused(OTHER_READ).cause, Cause::MethodPermission);
}

#[test]
fn the_next_step_of_a_hint_names_the_host_that_calls_go_to() {
    for host in ["api.crypto.com", "uat-api.3ona.co"] {
        let mut story = Story::new().asks(&format!("https://{host}/exchange/v1"));
        story.pair.asked_elsewhere = true;
        let hint = story.refused(READ);
        assert_eq!(hint.cause, Cause::WrongEnvironment);
        let place = format!("of the environment of {host}:");
        assert!(hint.next.contains(&place), "{}", hint.next);
        let edge = Story::new()
            .asks(&format!("https://{host}/exchange/v1"))
            .fails(403, None);
        assert!(
            edge.next.contains(&format!("https://{host}/")),
            "{}",
            edge.next
        );
    }
}

/// Its own connection tells the family by which a call left, whatever is known of our address.
#[test]
fn row_11_the_family_of_a_call_is_that_of_its_own_connection() {
    const V6: &str = "2606:4700::7";
    let curl_6 = "`curl -6 https://ifconfig.me`";
    let rows = [
        (V6, None, 40103, Some(VeryLikely), curl_6),
        (V6, Some("8.8.4.4"), 40101, Some(Likely), curl_6),
        (V6, None, 40101, Some(Possible), ""),
        ("104.18.0.7", None, 40103, None, "`curl -4 https://"),
        ("64:ff9b::6812:7", None, 40103, None, "`curl -4 https://"),
        // A stand-in on this machine.
        ("::1", None, 40103, None, "`curl -4 https://"),
    ];
    for (peer, listed, code, likelihood, next) in rows {
        let story = Story::new().to(peer);
        let mut story = match listed {
            Some(listed) => story.expects(listed),
            None => story,
        };
        let hint = story.call(READ, 401, Some(code)).unwrap();
        let what = format!("{peer} {listed:?} {code}: {hint:?}");
        assert_eq!(by_ipv6(&hint), likelihood, "{what}");
        assert!(hint.next.contains(next), "{what}");
        let asks_ipv4 = hint.next.contains("curl -4");
        assert!(likelihood.is_none() || !asks_ipv4, "{what}");
    }
}

/// How likely it is said to be that the call left by IPv6, and another family is listed.
fn by_ipv6(hint: &Hint) -> Option<Likelihood> {
    if hint.cause == Cause::LeavesByIpv6 {
        return Some(hint.likelihood);
    }
    let open = hint.alternatives.contains(&Cause::LeavesByIpv6);
    open.then_some(Possible)
}

/// Where the connection is not known, the address that was confirmed last tells it.
#[test]
fn row_11_a_call_that_left_by_ipv6_is_explained_and_mended_in_that_family() {
    const OURS: &str = "2a00:1450::7";
    let stale = 3600;
    let rows = [
        (
            "40103",
            Story::new().from(OURS),
            401,
            Some(40103),
            Some(VeryLikely),
            "add exactly 2a00:1450::7",
        ),
        (
            "40103, unconfirmed for long",
            Story::new().from(OURS).confirmed(stale),
            401,
            Some(40103),
            Some(VeryLikely),
            "`curl -6 https://ifconfig.me`",
        ),
        (
            "40101, IPv4 alone is listed",
            Story::new().from(OURS).expects("8.8.4.4"),
            401,
            Some(40101),
            Some(Likely),
            "add exactly 2a00:1450::7",
        ),
        (
            "40101, nothing is said",
            Story::new().from(OURS),
            401,
            Some(40101),
            Some(Possible),
            "",
        ),
        (
            "40101, it is listed",
            Story::new().from(OURS).expects(OURS),
            401,
            Some(40101),
            None,
            "",
        ),
        (
            "a page of the edge",
            Story::new().from(OURS),
            403,
            None,
            None,
            "`curl -6i https://",
        ),
        (
            "40103 over IPv4",
            Story::new().from("8.8.4.4"),
            401,
            Some(40103),
            None,
            "add exactly 8.8.4.4",
        ),
    ];
    for (what, mut story, status, code, likelihood, next) in rows {
        let hint = story.call(READ, status, code).expect(what);
        assert_eq!(by_ipv6(&hint), likelihood, "{what}: {hint:?}");
        assert!(hint.next.contains(next), "{what}: {hint:?}");
        assert!(
            !hint.next.contains("curl -4") || likelihood.is_none(),
            "{what}: {hint:?}"
        );
    }
}
