//! Starts, and what changed between them.

use super::*;

fn facts(change: PairChange, since: u64, origin: Origin) -> PairFacts {
    PairFacts {
        asked_elsewhere: false,
        change,
        since,
        origin,
    }
}

/// A start a second after the one before, and its stop.
async fn run(here: &Installation, key: &str, secret: &str) -> PairFacts {
    here.now_ms.fetch_add(1000, Relaxed);
    let clock = here.clock();
    let (history, facts) = History::open(
        Some(here.dir.path()),
        Settings::default(),
        start(key, secret),
        &clock,
    );
    history.close().await;
    facts
}

#[tokio::test]
async fn each_change_of_the_pair_is_told_from_the_others_with_its_time() {
    let here = Installation::new();
    here.now_ms.store(0, Relaxed);
    let half = Origin::Half {
        replaced: Half::Key,
        worked: false,
    };
    assert_eq!(
        run(&here, "key-one", "secret-one").await,
        facts(PairChange::First, 1000, Origin::First)
    );
    assert_eq!(
        run(&here, "key-one", "secret-one").await,
        facts(PairChange::Same, 1000, Origin::First)
    );
    assert_eq!(
        run(&here, "key-two", "secret-one").await,
        facts(PairChange::KeyChanged, 3000, half)
    );
    assert_eq!(
        run(&here, "key-two", "secret-one").await,
        facts(PairChange::Same, 3000, half)
    );
    assert_eq!(
        run(&here, "key-two", "secret-two").await,
        facts(PairChange::SecretChanged, 5000, Origin::TwoStarts)
    );
    assert_eq!(
        run(&here, "key-three", "secret-three").await,
        facts(PairChange::Both, 6000, Origin::Replaced)
    );
    assert_eq!(
        run(&here, "key-three", "secret-three").await,
        facts(PairChange::Same, 6000, Origin::Replaced)
    );
    let pairs = here.questions().pairs().unwrap();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|pair| (pair.secret, pair.first_ms, pair.last_ms))
        .collect();
    assert_eq!(
        pairs,
        [
            (1, 1000, 2000),
            (1, 3000, 4000),
            (2, 5000, 5000),
            (3, 6000, 7000)
        ]
    );
}

#[tokio::test]
async fn half_a_rotation_is_a_warning_and_a_whole_one_is_not() {
    let here = Installation::new();
    let lines = Lines::listen();
    run(&here, "key-one", "secret-one").await;
    assert_eq!(lines.take(), Vec::<String>::new());
    run(&here, "key-two", "secret-one").await;
    let [warning] = lines.take().try_into().unwrap();
    assert!(
        warning.starts_with("WARN [CRYPTO_AUTH_DIAG] event=pair")
            && warning.contains("the API key changed")
    );
    run(&here, "key-two", "secret-two").await;
    let [mended] = lines.take().try_into().unwrap();
    assert!(
        mended.starts_with("INFO") && mended.contains("the API secret changed"),
        "{mended}"
    );
    run(&here, "key-three", "secret-three").await;
    assert!(lines.take()[0].starts_with("INFO"));
}

#[tokio::test]
async fn the_digest_of_a_secret_is_worth_nothing_on_another_installation() {
    let (one, two) = (Installation::new(), Installation::new());
    let digest = |here: &Installation| -> String {
        here.sql()
            .query_row("SELECT digest FROM secret", [], |row| row.get(0))
            .unwrap()
    };
    for here in [&one, &two] {
        run(here, "key", "secret").await;
    }
    assert_ne!(digest(&one), digest(&two));
}

#[tokio::test]
async fn a_start_notes_what_is_another_than_before_and_a_stop_ends_it() {
    let here = Installation::new();
    run(&here, "key-one", "secret-one").await;
    let first = [
        "start",
        "version",
        "base_url",
        "configuration",
        "key",
        "secret",
        "stop",
    ];
    assert_eq!(here.kinds(), first);
    let mut other = start("key-one", "secret-one");
    other.base_url = "https://uat-api.3ona.co/exchange/v1".into();
    let (history, _) = History::open(
        Some(here.dir.path()),
        Settings::default(),
        other,
        &here.clock(),
    );
    history.close().await;
    assert_eq!(here.kinds()[first.len()..], ["start", "base_url", "stop"]);
    let changes = here.questions().changes(&Filter::default()).unwrap();
    let base = &changes[first.len() + 1];
    assert_eq!(
        base.before.as_deref(),
        Some("https://api.crypto.com/exchange/v1")
    );
    assert_eq!(
        base.after.as_deref(),
        Some("https://uat-api.3ona.co/exchange/v1")
    );
}

#[tokio::test]
async fn addresses_skew_jumps_and_new_methods_are_changes() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    let skewed = |offset_ms| {
        Some(ClockSkew {
            offset_ms,
            uncertainty_ms: 300,
        })
    };
    for (address, offset_ms) in [
        ("203.0.113.7", 10),
        ("203.0.113.7", 400),
        ("198.51.100.4", -90_000),
    ] {
        history.note(HistoryEvent::Address(address.parse().unwrap()));
        history.call(CallReport {
            skew: skewed(offset_ms),
            ..report(READ, 200, Some(0))
        });
    }
    history.flush().await;
    let changes = here.questions().changes(&Filter::default()).unwrap();
    let told = |kind: &str| -> Vec<(Option<&str>, Option<&str>)> {
        let rows = changes.iter().filter(|row| row.kind == kind);
        rows.map(|row| (row.before.as_deref(), row.after.as_deref()))
            .collect()
    };
    assert_eq!(
        told("address"),
        [
            (None, Some("203.0.113.7")),
            (Some("203.0.113.7"), Some("198.51.100.4"))
        ]
    );
    assert_eq!(told("skew"), [(Some("10"), Some("-90000"))]);
    assert_eq!(told("method"), [(None, Some(READ))]);
}

#[tokio::test]
async fn a_run_that_was_killed_leaves_its_calls_and_a_gap() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    here.now_ms.store(2_000_000, Relaxed);
    history.call(report(READ, 200, Some(0)));
    history.flush().await;
    // What kill -9 leaves: the files as they are while the writer has them open.
    let after = Installation::new();
    for entry in fs::read_dir(here.dir.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), after.dir.path().join(entry.file_name())).unwrap();
    }
    assert!(
        fs::metadata(after.dir.path().join("history.db-wal"))
            .unwrap()
            .len()
            > 0
    );
    after.now_ms.store(3_000_000, Relaxed);
    let (again, pair) = after.start(Settings::default());
    again.close().await;
    assert_eq!(pair.change, PairChange::Same);
    assert_eq!(
        after.questions().calls(&Filter::default()).unwrap().len(),
        1
    );
    let gap = after
        .questions()
        .changes(&Filter {
            since_ms: Some(3_000_000),
            ..Filter::default()
        })
        .unwrap()
        .remove(0);
    assert_eq!(
        (gap.kind.as_str(), gap.before.as_deref()),
        ("gap", Some("1970-01-01T00:33:20.000Z"))
    );
    history.close().await;
}
