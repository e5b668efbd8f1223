//! The memory over several starts in one directory.

use std::{
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::*;
use crate::{
    diagnosis::lines::Lines,
    gateway::secret::{ApiKey, ApiSecret},
};

/// A state directory, and a clock that steps by a second with each start.
struct Installation {
    dir: tempfile::TempDir,
    now_ms: Arc<AtomicU64>,
}

impl Installation {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), now_ms: Arc::new(AtomicU64::new(0)) }
    }

    fn start(&self, key: &str, secret: &str) -> PairFacts {
        self.now_ms.fetch_add(1000, Ordering::Relaxed);
        let credentials = Credentials { key: ApiKey::new(key.into()), secret: ApiSecret::new(secret.into()) };
        remember(Some(self.dir.path()), &credentials, &Clock::set_by(Arc::clone(&self.now_ms)))
    }

    fn text(&self) -> String {
        fs::read_to_string(self.dir.path().join(FILE_NAME)).unwrap()
    }
}

fn facts(change: Change, since: u64, came_apart: bool) -> PairFacts {
    PairFacts { change, since, came_apart }
}

#[test]
fn each_change_is_told_from_the_others_with_its_time() {
    let here = Installation::new();
    assert_eq!(here.start("key-one", "secret-one"), facts(Change::First, 1000, false));
    assert_eq!(here.start("key-one", "secret-one"), facts(Change::Same, 1000, false));
    assert_eq!(here.start("key-two", "secret-one"), facts(Change::KeyChanged, 3000, true));
    assert_eq!(here.start("key-two", "secret-one"), facts(Change::Same, 3000, true));
    assert_eq!(here.start("key-two", "secret-two"), facts(Change::SecretChanged, 5000, true));
    assert_eq!(here.start("key-three", "secret-three"), facts(Change::Both, 6000, false));
    assert_eq!(here.start("key-three", "secret-three"), facts(Change::Same, 6000, false));
}

#[test]
fn half_a_rotation_is_a_warning_and_a_whole_one_is_not() {
    let here = Installation::new();
    let lines = Lines::listen();
    let _ = here.start("key-one", "secret-one");
    assert_eq!(lines.take(), Vec::<String>::new());
    let _ = here.start("key-two", "secret-one");
    let [warning] = lines.take().try_into().unwrap();
    assert!(warning.starts_with("WARN [CRYPTO_AUTH_DIAG] event=pair") && warning.contains("the API key changed"));
    let _ = here.start("key-two", "secret-two");
    assert!(lines.take()[0].contains("the API secret changed"));
    let _ = here.start("key-three", "secret-three");
    assert!(lines.take()[0].starts_with("INFO"));
}

#[test]
fn the_file_is_for_its_owner_alone_and_holds_neither_key_nor_secret() {
    let here = Installation::new();
    let _ = here.start("invented-key", "invented-secret");
    let path = here.dir.path().join(FILE_NAME);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!here.text().contains("invented"), "{}", here.text());
    // One that was opened up is closed again, and a file left by a start that was cut short is in nobody's way.
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(here.dir.path().join(NEW_FILE_NAME), "half").unwrap();
    assert_eq!(here.start("invented-key", "invented-secret").change, Change::Same);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!here.dir.path().join(NEW_FILE_NAME).exists());
}

#[test]
fn the_digest_is_worth_nothing_on_another_installation() {
    let (one, two) = (Installation::new(), Installation::new());
    let _ = (one.start("key", "secret"), two.start("key", "secret"));
    let digest = |here: &Installation| serde_json::from_str::<Memory>(&here.text()).unwrap().secret_digest;
    assert_ne!(digest(&one), digest(&two));
}

#[test]
fn a_damaged_file_is_a_first_start_with_a_warning() {
    let here = Installation::new();
    for damaged in [String::new(), "{".to_owned(), "\u{fffd}".repeat(9000), r#"{"salt":"00"}"#.to_owned()] {
        fs::write(here.dir.path().join(FILE_NAME), damaged).unwrap();
        let lines = Lines::listen();
        assert_eq!(here.start("key", "secret").change, Change::First);
        assert!(lines.take()[0].starts_with("WARN"));
        assert_eq!(here.start("key", "secret").change, Change::Same);
    }
    fs::write(here.dir.path().join(FILE_NAME), [0xff, 0xfe]).unwrap();
    assert_eq!(here.start("key", "secret").change, Change::First);
}

#[test]
fn without_a_usable_directory_there_is_no_memory_and_one_line_says_so() {
    let here = Installation::new();
    let credentials = Credentials { key: ApiKey::new("key".into()), secret: ApiSecret::new("secret".into()) };
    let clock = Clock::set_by(Arc::new(AtomicU64::new(7)));
    // A file where the directory should be: unusable for root as well.
    let blocked = here.dir.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    for dir in [None, Some(blocked.as_path()), Some(Path::new("/nonexistent/state"))] {
        let lines = Lines::listen();
        assert_eq!(remember(dir, &credentials, &clock), PairFacts::no_memory(7), "{dir:?}");
        let said = lines.take();
        assert!(said.len() == 1 && said[0].starts_with("INFO"), "{said:?}");
    }
}
