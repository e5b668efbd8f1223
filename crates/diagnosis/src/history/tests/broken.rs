//! Disks and files that do not do what they should.

use std::os::unix::fs::MetadataExt as _;

use super::*;

#[tokio::test]
async fn without_a_directory_it_is_off_and_one_line_says_so() {
    let here = Installation::new();
    let off = Settings {
        enabled: false,
        ..Settings::default()
    };
    // A file where the directory should be: unusable for root as well.
    let blocked = here.dir.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    let dirs = [
        None,
        Some(blocked.as_path()),
        Some(Path::new("/nonexistent/state")),
    ];
    let cases = dirs
        .map(|dir| (dir, Settings::default()))
        .into_iter()
        .chain([(Some(here.dir.path()), off)]);
    for (dir, settings) in cases {
        let lines = Lines::listen();
        let (history, facts) = History::open(dir, settings, start("key", "secret"), &here.clock());
        assert_eq!(facts, PairFacts::no_memory(1_000_000), "{dir:?}");
        assert!(history.sink().is_none());
        history.close().await;
        let said = lines.take();
        assert!(said.len() == 1 && said[0].starts_with("INFO"), "{said:?}");
    }
    assert!(!here.file().exists());
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_with_a_warning() {
    let here = Installation::new();
    for damaged in ["no database", &"x".repeat(9000)] {
        fs::write(here.file(), damaged).unwrap();
        let lines = Lines::listen();
        let (history, facts) = here.start(Settings::default());
        history.close().await;
        assert_eq!(facts.change, PairChange::First);
        assert!(lines.take()[0].starts_with("WARN"));
        assert_eq!(
            fs::read_to_string(here.dir.path().join("history.db.damaged")).unwrap(),
            damaged
        );
        fs::remove_file(here.file()).unwrap();
    }
}

#[tokio::test]
async fn whoever_asks_leaves_the_writer_its_lock() {
    let here = Installation::new();
    let (history, _) = here.start(Settings::default());
    let inode = fs::metadata(here.file()).unwrap().ino();
    let (pid, inode) = (std::process::id().to_string(), format!(":{inode}"));
    let is_locked = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.any(|word| word == pid) && words.any(|word| word.ends_with(&inode))
        })
    };
    assert!(is_locked(), "the writer has none");
    drop(here.questions());
    assert!(is_locked());
    history.close().await;
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    let here = Installation::new();
    here.sql()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let before = fs::read(here.file()).unwrap();
    let lines = Lines::listen();
    let (history, _) = here.start(Settings::default());
    assert!(history.sink().is_none());
    assert!(lines.take()[0].contains("its version is 99"));
    assert_eq!(fs::read(here.file()).unwrap(), before);
    assert!(Questions::open(&here.file()).is_err());
}

/// A recorder whose lines this thread hears.
fn heard(here: &Installation) -> (Writer, Lines) {
    let mut writer = Writer {
        path: here.file(),
        settings: Settings::default(),
        start: start("key", "secret"),
        clock: here.clock(),
        shared: Arc::default(),
        store: None,
        beginning: Beginning::Process,
        kept_back: Vec::new(),
        losing: None,
    };
    first_look(&mut writer, 1_000_000).unwrap();
    (writer, Lines::listen())
}

fn calls(count: usize) -> store::Batch {
    let calls = (0..count)
        .map(|_| (1_000_000, Arc::new(report(READ, 200, Some(0)))))
        .collect();
    store::Batch {
        calls,
        events: Vec::new(),
    }
}

#[test]
fn a_full_disk_loses_calls_says_so_once_and_recovers() {
    let here = Installation::new();
    let (mut writer, lines) = heard(&here);
    writer.write(calls(1));
    // SQLITE_FULL, as from a disk without room: no page more than there are.
    let full = |writer: &Writer, pages: &str| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        writer
            .store
            .as_ref()
            .unwrap()
            .connection
            .query_row(&pragma, [], |_| Ok(()))
            .unwrap();
    };
    full(&writer, "1");
    writer.write(calls(2000));
    let warnings = lines.take();
    assert!(
        warnings.len() == 1 && warnings[0].contains("loses calls") && warnings[0].contains("full"),
        "{warnings:?}"
    );
    assert_eq!(writer.losing, Some(2000));
    let why = writer.shared.losing().clone();
    assert!(why.is_some_and(|why| why.contains("full")));
    writer.write(calls(3));
    assert_eq!(*writer.shared.losing(), None);
    let said = lines.take();
    assert!(
        said.len() == 1 && said[0].contains("calls that are missing in it: 2000"),
        "{said:?}"
    );
    assert_eq!(here.questions().calls(&Filter::default()).unwrap().len(), 4);
    let lost = here
        .questions()
        .changes(&Filter::default())
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(
        (lost.kind.as_str(), lost.after.as_deref()),
        ("lost", Some("2000"))
    );
}

#[test]
fn a_directory_that_is_taken_away_loses_calls_and_one_that_is_back_has_them_again() {
    let here = Installation::new();
    let (mut writer, lines) = heard(&here);
    writer.write(calls(1));
    let gone = here.dir.path().with_extension("gone");
    fs::rename(here.dir.path(), &gone).unwrap();
    for _ in 0..3 {
        let mut batch = calls(2);
        batch.events.push((
            1_000_000,
            HistoryEvent::Address("203.0.113.7".parse().unwrap()),
        ));
        writer.write(batch);
    }
    assert_eq!(
        lines
            .take()
            .iter()
            .filter(|line| line.starts_with("WARN"))
            .count(),
        1
    );
    fs::create_dir(here.dir.path()).unwrap();
    let events = std::mem::take(&mut writer.kept_back);
    writer.write(store::Batch { events, ..calls(1) });
    assert!(lines.take()[0].contains("missing in it: 6"));
    assert_eq!(here.questions().calls(&Filter::default()).unwrap().len(), 1);
    assert!(
        here.kinds().contains(&"address".to_owned()),
        "a change is kept back, not lost"
    );
    fs::remove_dir_all(gone).unwrap();
}

#[test]
fn calls_beyond_the_queue_are_counted_and_nobody_waits() {
    let here = Installation::new();
    let (mut writer, lines) = heard(&here);
    let (entries, waiting) = mpsc::sync_channel(2);
    let shared = Arc::clone(&writer.shared);
    let queue = QueueHandle {
        path: here.file(),
        entries,
        asks: Mutex::new(mpsc::channel().0),
        writer: thread::current(),
        shared: Arc::clone(&shared),
        clock: here.clock(),
    };
    for _ in 0..5 {
        queue.hand_over(Entry::Call(1, Arc::new(report(READ, 200, Some(0)))));
    }
    assert_eq!(
        (waiting.try_iter().count(), shared.lost.load(Relaxed)),
        (2, 3)
    );
    writer.write(calls(2));
    assert!(lines.take()[0].contains("more calls come than are written"));
    writer.write(calls(1));
    assert!(lines.take()[0].contains("missing in it: 3"));
}

#[test]
fn a_writer_is_called_when_the_queue_is_half_full() {
    let here = Installation::new();
    let (entries, _queue) = mpsc::sync_channel(QUEUE);
    let (asks, writer, shared) = (
        Mutex::new(mpsc::channel().0),
        thread::current(),
        Arc::<Shared>::default(),
    );
    let queue = QueueHandle {
        path: here.file(),
        entries,
        asks,
        writer,
        shared: Arc::clone(&shared),
        clock: here.clock(),
    };
    let report = Arc::new(report(READ, 200, Some(0)));
    let call = || queue.hand_over(Entry::Call(1, Arc::clone(&report)));
    (0..QUEUE / 2).for_each(|_| call());
    assert!(!shared.hurry.load(Relaxed));
    call();
    assert!(shared.hurry.load(Relaxed) && shared.lost.load(Relaxed) == 0);
}
