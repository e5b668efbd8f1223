//! Histories written by the recorder itself, with a clock that the test sets, and what is remembered of them.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::*;
use crate::{
    causes::{MethodPast, What},
    history::{FILE_NAME, History, Settings, Start},
    key_pairs::{Half, Origin, PairFacts},
    lines::Lines,
};
use catalogue::methods;
use gateway::{
    clock::Clock,
    observed::{Observed, Outbound},
    outcome::Outcome,
    record::CallReport,
    secret::{ApiKey, ApiSecret},
};

const READ: &str = "private/user-balance";
const OTHER_READ: &str = "private/get-trades";
const CREATE: &str = "private/create-order";
const MINUTE_MS: u64 = 60_000;

/// A state directory, a clock, and what the daemon runs with.
struct Tale {
    dir: TempDir,
    now_ms: Arc<AtomicU64>,
    history: Option<History>,
    /// Where calls leave from, once it was confirmed.
    address: Option<IpAddr>,
    base: &'static str,
    _lines: Lines,
}

fn pair(key: &str, secret: &str) -> Credentials {
    Credentials {
        key: ApiKey::new(key.into()),
        secret: ApiSecret::new(secret.into()),
    }
}

impl Tale {
    fn new() -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_800_000_000_000));
        let (dir, _lines) = (TempDir::new().unwrap(), Lines::listen());
        Self {
            dir,
            now_ms,
            history: None,
            address: None,
            base: "https://api.crypto.com/exchange/v1",
            _lines,
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(FILE_NAME)
    }

    fn later(&self, ms: u64) -> u64 {
        self.now_ms.fetch_add(ms, Relaxed) + ms
    }

    /// A stop, and a start a minute later.
    async fn start(&mut self, key: &str, secret: &str) -> PairFacts {
        self.stop().await;
        self.later(MINUTE_MS);
        let start = Start {
            credentials: pair(key, secret),
            base_url: self.base.into(),
            configuration: "0011".into(),
        };
        let clock = Clock::set_by(Arc::clone(&self.now_ms));
        let (history, facts) =
            History::open(Some(self.dir.path()), Settings::default(), start, &clock);
        self.history = Some(history);
        facts
    }

    async fn stop(&mut self) {
        if let Some(history) = self.history.take() {
            history.close().await;
        }
    }

    /// A call that ends a second later.
    fn call(&self, method: &'static str, status: u16, code: Option<i64>) -> u64 {
        let at_ms = self.later(1000);
        let outbound = self.address.map(|address| Outbound {
            address,
            seen: Instant::now(),
        });
        let report = CallReport {
            outbound,
            ..report(method, status, code)
        };
        self.history
            .as_ref()
            .unwrap()
            .sink()
            .unwrap()
            .record(&Arc::new(report));
        at_ms
    }

    fn good(&self, method: &'static str) -> u64 {
        self.call(method, 200, Some(0))
    }

    fn bad(&self, method: &'static str) -> u64 {
        self.call(method, 401, Some(40101))
    }

    /// The daemon's address is confirmed to be another one.
    async fn moves(&mut self, address: [u8; 4]) {
        self.later(1000);
        let observed = Arc::new(Observed::default());
        let (confirmed, watch) = tokio::sync::watch::channel(None);
        let follow = self
            .history
            .clone()
            .unwrap()
            .follow_address(Arc::clone(&observed), watch);
        observed.note_outbound(address.into());
        confirmed.send_replace(Some(tokio::time::Instant::now()));
        drop(confirmed);
        follow.await;
        self.address = Some(address.into());
    }

    async fn past(&self) -> Past {
        self.past_of(None).await
    }

    async fn past_of(&self, in_use: Option<&Credentials>) -> Past {
        if let Some(history) = &self.history {
            history.flush().await;
        }
        recollect(
            &Questions::open(&self.file()).unwrap(),
            self.later(1000),
            in_use,
        )
        .unwrap()
    }
}

fn report(method: &'static str, status: u16, code: Option<i64>) -> CallReport {
    CallReport {
        rid: "0193545b1f6e7c398f6b1f6e7c398f6b".into(),
        caller: "default".into(),
        stream: None,
        method: Some(method.into()),
        class: methods::find(method).map(|info| info.class),
        id: 1,
        nonce: None,
        params_string_len: 0,
        string_to_sign_len: None,
        key_fingerprint: "5f3a0000".into(),
        peer: None,
        outbound: None,
        skew: None,
        status,
        code,
        outcome: Outcome::Answered,
        why: None,
        client_oid: None,
        media_type: None,
        scrubbed: false,
        waited: Duration::ZERO,
        exchange: Duration::from_millis(20),
        total: Duration::from_millis(21),
    }
}

fn of<'p>(past: &'p Past, method: &str) -> &'p MethodPast {
    past.methods
        .iter()
        .find(|past| past.method == method)
        .unwrap_or_else(|| panic!("{method}: {past:?}"))
}

fn counts(past: &Past, method: &str) -> [u32; 3] {
    let MethodPast {
        accepted,
        refused,
        failing,
        ..
    } = of(past, method);
    [*accepted, *refused, *failing]
}

#[tokio::test]
async fn an_empty_history_knows_when_it_begins_and_nothing_else() {
    let mut tale = Tale::new();
    tale.start("key-one", "secret-one").await;
    let past = tale.past().await;
    assert_eq!(past.since_ms, Some(1_800_000_000_000 + MINUTE_MS));
    assert_eq!(
        (past.last_good, past.first_bad, past.methods.len()),
        (None, None, 0)
    );
    assert_eq!(
        past.changes
            .iter()
            .map(|change| &change.what)
            .collect::<Vec<_>>(),
        [&What::Start]
    );
    assert_eq!(past.pair.unwrap().origin, Origin::First);
}

#[tokio::test]
async fn the_last_good_call_the_first_refused_one_and_what_changed_between() {
    let mut tale = Tale::new();
    tale.start("key-one", "secret-one").await;
    tale.moves([8, 8, 4, 4]).await;
    // A method that fails for longer is not the first bad one since the last good one.
    tale.bad(CREATE);
    let good_ms = tale.good(READ);
    tale.moves([1, 1, 1, 1]).await;
    let bad_ms = tale.bad(READ);
    tale.bad(READ);
    let past = tale.past().await;
    let (good, bad) = (past.last_good.unwrap(), past.first_bad.unwrap());
    assert_eq!(
        (good.at_ms, good.method.as_str(), good.address),
        (good_ms, READ, Some([8, 8, 4, 4].into()))
    );
    assert_eq!(
        (bad.at_ms, bad.address),
        (bad_ms, Some([1, 1, 1, 1].into()))
    );
    let moved = What::Address {
        from: [8, 8, 4, 4].into(),
        to: [1, 1, 1, 1].into(),
    };
    assert_eq!(
        past.changes
            .iter()
            .map(|change| change.what.clone())
            .collect::<Vec<_>>(),
        [moved]
    );
    assert_eq!(
        past.methods.len(),
        1,
        "counted since the address is as it is: {:?}",
        past.methods
    );
    assert_eq!(past.methods[0].refused, 2);
}

#[tokio::test]
async fn a_key_and_a_secret_of_one_start_are_one_change_and_of_two_starts_two() {
    let mut tale = Tale::new();
    for (key, secret) in [("k1", "s1"), ("k2", "s2"), ("k3", "s2"), ("k3", "s3")] {
        tale.start(key, secret).await;
    }
    let changes = tale.past().await.changes;
    let whats: Vec<&What> = changes.iter().map(|change| &change.what).collect();
    assert_eq!(
        whats,
        [&What::Pair, &What::Key, &What::Start, &What::Secret]
    );
}

#[tokio::test]
async fn half_a_rotation_is_told_from_one_that_was_mended_at_the_start_and_in_the_past() {
    let half = |replaced, worked| Origin::Half { replaced, worked };
    for (tail, origin, beside) in [
        (&[("k2", "s1")][..], half(Half::Key, true), true),
        (&[("k1", "s2")], half(Half::Secret, true), true),
        (&[("k1", "s2"), ("k2", "s2")], Origin::TwoStarts, false),
        (&[("k2", "s1"), ("k2", "s2")], Origin::TwoStarts, false),
        (&[("k2", "s2")], Origin::Replaced, false),
        (&[("k2", "s1"), ("k1", "s1")], Origin::Proven, false),
        // Seen before beside a key that worked, however many pairs lie between.
        (&[("k2", "s2"), ("k3", "s1")], half(Half::Key, true), true),
    ] {
        let mut tale = Tale::new();
        tale.start("k1", "s1").await;
        tale.good(READ);
        let mut facts = None;
        for (key, secret) in tail {
            facts = Some(tale.start(key, secret).await);
            if origin != Origin::Proven {
                tale.bad(READ);
            }
        }
        assert_eq!(facts.unwrap().origin, origin, "{tail:?}");
        let pair = tale.past().await.pair.unwrap();
        assert_eq!(
            (pair.origin, pair.beside.is_some()),
            (origin, beside),
            "{tail:?}"
        );
        assert!(
            pair.beside
                .is_none_or(|key| key == ApiKey::new("k1".into()).fingerprint())
        );
    }
}

#[tokio::test]
async fn a_secret_seen_beside_another_key_is_known_though_nothing_was_ever_accepted() {
    let mut tale = Tale::new();
    tale.start("k1", "s1").await;
    tale.bad(READ);
    tale.start("k2", "s1").await;
    tale.bad(READ);
    let pair = tale.past().await.pair.unwrap();
    assert_eq!(
        pair.origin,
        Origin::Half {
            replaced: Half::Key,
            worked: false
        }
    );
    assert_eq!(pair.beside, Some(ApiKey::new("k1".into()).fingerprint()));
}

#[tokio::test]
async fn a_pair_that_the_daemon_did_not_start_with_counts_as_changed_now_and_has_no_calls() {
    let mut tale = Tale::new();
    tale.start("k1", "s1").await;
    tale.good(READ);
    let same = tale.past_of(Some(&pair("k1", "s1"))).await;
    assert_eq!((counts(&same, READ), same.changes.len()), ([1, 0, 0], 0));
    assert!(same.last_start.is_some_and(|start| !start.stopped) && !same.daemon_has_another_secret);
    let fingerprint = ApiKey::new("k1".into()).fingerprint();
    assert_eq!(same.daemon_fingerprint, Some(fingerprint.clone()));
    for (key, secret, what, origin) in [
        (
            "k2",
            "s1",
            What::Key,
            Origin::Half {
                replaced: Half::Key,
                worked: true,
            },
        ),
        (
            "k1",
            "s2",
            What::Secret,
            Origin::Half {
                replaced: Half::Secret,
                worked: true,
            },
        ),
        ("k2", "s2", What::Pair, Origin::Replaced),
    ] {
        let past = tale.past_of(Some(&pair(key, secret))).await;
        assert_eq!(
            past.changes
                .iter()
                .map(|change| &change.what)
                .collect::<Vec<_>>(),
            [&what]
        );
        assert_eq!(
            (past.pair.unwrap().origin, past.methods.len()),
            (origin, 0),
            "{what:?}"
        );
        assert_eq!(past.daemon_fingerprint, Some(fingerprint.clone()));
        assert_eq!(past.daemon_has_another_secret, what == What::Secret);
    }
    tale.stop().await;
    let past = tale.past_of(Some(&pair("k2", "s1"))).await;
    assert_eq!(past.daemon_fingerprint, None, "it does not run");
    assert!(
        past.last_start
            .is_some_and(|start| start.stopped && start.key_fp == fingerprint)
    );
}

#[tokio::test]
async fn counts_are_of_the_pair_the_address_and_the_exchange_in_use() {
    let mut tale = Tale::new();
    tale.start("k1", "s1").await;
    tale.good(CREATE);
    tale.start("k2", "s2").await;
    tale.good(READ);
    tale.bad(CREATE);
    tale.call(CREATE, 403, None);
    let past = tale.past().await;
    assert_eq!(
        (counts(&past, READ), counts(&past, CREATE)),
        ([1, 0, 0], [0, 1, 1]),
        "a page of the edge counts for none"
    );
    tale.base = "https://uat-api.3ona.co/exchange/v1";
    tale.start("k2", "s2").await;
    assert_eq!(tale.past().await.methods, []);
}

#[tokio::test]
async fn a_refusal_that_names_the_address_or_the_tier_is_not_counted_as_a_permission() {
    let mut tale = Tale::new();
    tale.start("k1", "s1").await;
    for code in [40103, 10003, 40104, 10005] {
        tale.call(CREATE, 403, Some(code));
        let past = tale.past().await;
        assert_eq!(
            (of(&past, CREATE).failing, of(&past, CREATE).last_code),
            (0, Some(code))
        );
    }
    assert_eq!(counts(&tale.past().await, CREATE), [0, 4, 0]);
    tale.bad(CREATE);
    assert_eq!(counts(&tale.past().await, CREATE), [0, 5, 1]);
}

#[tokio::test]
async fn what_fails_together_with_the_reads_is_no_trouble_of_a_method() {
    let mut tale = Tale::new();
    tale.start("k1", "s1").await;
    tale.good(OTHER_READ);
    tale.bad(CREATE);
    tale.bad(OTHER_READ);
    assert_eq!(
        tale.past()
            .await
            .methods
            .iter()
            .map(|past| past.failing)
            .collect::<Vec<_>>(),
        [0, 0]
    );
    tale.good(READ);
    let past = tale.past().await;
    assert_eq!(
        (counts(&past, CREATE), counts(&past, OTHER_READ)),
        ([0, 1, 1], [1, 1, 1])
    );
    tale.good(OTHER_READ);
    assert_eq!(counts(&tale.past().await, OTHER_READ), [2, 1, 0]);
}

#[tokio::test]
async fn a_method_called_seldom_is_known_by_its_marks() {
    let mut tale = Tale::new();
    tale.start("k1", "s1").await;
    tale.bad(CREATE);
    for _ in 0..=CALLS {
        tale.history
            .as_ref()
            .unwrap()
            .sink()
            .unwrap()
            .record(&Arc::new(report(READ, 200, Some(0))));
        if tale.later(1).is_multiple_of(5000) {
            tale.history.as_ref().unwrap().flush().await;
        }
    }
    let past = tale.past().await;
    assert_eq!(
        (of(&past, READ).accepted, counts(&past, CREATE)),
        (CALLS, [0, 1, 1])
    );
    tale.later(WEEK_MS);
    assert!(
        tale.past()
            .await
            .methods
            .iter()
            .all(|past| past.method != CREATE),
        "long ago"
    );
}

#[tokio::test]
async fn recoveries_are_turns_within_an_hour_of_one_method() {
    let mut tale = Tale::new();
    tale.start("k1", "s1").await;
    for _ in 0..3 {
        for method in [READ, OTHER_READ] {
            tale.bad(method);
            tale.good(method);
        }
    }
    assert_eq!(tale.past().await.recoveries, 3);
    tale.later(HOUR_MS);
    assert_eq!(tale.past().await.recoveries, 0);
    tale.bad(READ);
    tale.good(READ);
    assert_eq!(
        tale.past().await.recoveries,
        1,
        "those before are too long ago"
    );
}

#[tokio::test]
async fn a_code_is_told_while_the_last_call_had_it_and_an_hour_at_most() {
    let mut tale = Tale::new();
    tale.start("k1", "s1").await;
    tale.call(CREATE, 500, Some(306));
    assert_eq!(of(&tale.past().await, CREATE).last_code, Some(306));
    tale.good(CREATE);
    assert_eq!(of(&tale.past().await, CREATE).last_code, None);
    tale.call(CREATE, 429, Some(42901));
    assert_eq!(of(&tale.past().await, CREATE).last_code, Some(42901));
    tale.later(HOUR_MS);
    assert_eq!(of(&tale.past().await, CREATE).last_code, None);
}

#[tokio::test]
async fn what_the_proxy_refused_itself_within_an_hour_is_counted() {
    let mut tale = Tale::new();
    tale.start("k1", "s1").await;
    let history = tale.history.as_ref().unwrap();
    history.refused("token", 3);
    for why in [
        "page",
        "diagnosis_off",
        "framing",
        "connections",
        "public_closed",
        "public_budget",
        "host",
        "invented_later",
    ] {
        history.refused(why, 5);
    }
    history.sink().unwrap().record(&Arc::new(CallReport {
        outcome: Outcome::Refused,
        ..report(CREATE, 403, None)
    }));
    let past = tale.past().await;
    assert_eq!((past.refused_here, past.methods.len()), (4, 0));
    let history = tale.history.as_ref().unwrap();
    history.refused("foreign_scheme", 2);
    let past = tale.past().await;
    assert_eq!((past.refused_here, past.foreign_scheme), (4, 2));
    tale.later(HOUR_MS + MINUTE_MS);
    assert_eq!(tale.past().await.refused_here, 0);
}
