//! A disk that is full, slow or read-only; a file that is damaged, in use, or not ours.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rusqlite::Connection;

use super::*;
use crate::{Problem, check, read_open, remedy};

/// Keeps the thread from doing anything, until it is dropped.
pub(super) fn hold(journal: &Journal) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (held, is_held) = mpsc::channel();
    let run = Box::new(move |_: &Store| {
        held.send(()).unwrap();
        let _ = released.recv();
    });
    journal
        .commands_of_test()
        .send(Command::Test(TestCommand(run)))
        .unwrap();
    is_held.recv().unwrap();
    release
}

/// The disk takes nothing more, or takes it again.
fn pragma(journal: &Journal, pragma: &'static str) {
    journal.test(move |store| {
        let connection = &store.connection;
        let mut pragma = connection.prepare(pragma).unwrap();
        let _ = pragma.query_map([], |_| Ok(())).unwrap().count();
    });
}

const FULL: &str = "PRAGMA max_page_count = 1";
const ROOM: &str = "PRAGMA max_page_count = 1000000";
const READ_ONLY: &str = "PRAGMA query_only = ON";
const WRITABLE: &str = "PRAGMA query_only = OFF";

/// Begins orders until there is no room in the pages that are there.
async fn until_away(journal: &Journal) -> Away {
    for number in 0..10_000 {
        let one = intent("a", 1, &[&format!("fill-{number}")]);
        match journal.begin(one.clone()).await {
            Ok(_) => journal.conclude(one.attempt, Conclusion::NotSent),
            Err(away) => return away,
        }
    }
    panic!("the disk is never full");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_refuses_orders_knows_what_ended_and_recovers_by_itself() {
    for (ill, well) in [(FULL, ROOM), (READ_ONLY, WRITABLE)] {
        let machine = Machine::new();
        let journal = machine.open();
        let first = intent("a", 1, &["x"]);
        let second = intent("a", 1, &["y"]);
        for one in [&first, &second] {
            assert_eq!(begin(&journal, one).await, "go");
        }
        pragma(&journal, ill);
        let away = until_away(&journal).await;
        assert_eq!(away == Away::Full, ill == FULL, "{away:?}");
        assert_eq!(journal.away(), Some(away.clone()));
        // What became of them cannot be written, and is known all the same.
        journal.conclude(first.attempt, answered(vec![executed("7")]));
        journal.conclude(second.attempt, UNKNOWN);
        let cancel = Intent {
            targets: vec!["x".to_owned()],
            ..intent("a", 2, &[])
        };
        assert_eq!(journal.note(cancel.clone()).attempt(), cancel.attempt);
        journal.conclude(cancel.attempt, answered(Vec::new()));
        if ill == READ_ONLY {
            assert_eq!(
                (look(&journal, &first).await, look(&journal, &second).await),
                ("answered", "unknown")
            );
            assert_eq!(begin(&journal, &again(&first)).await, "answered");
            assert_eq!(
                journal.begin(intent("a", 1, &["new"])).await.unwrap_err(),
                away
            );
            assert!(journal.due(account(), 1).await.is_err());
            assert_eq!(journal.in_doubt(), 1);
        }
        assert!(!remedy(&away, &machine.file()).is_empty());
        pragma(&journal, well);
        assert_eq!(begin(&journal, &intent("a", 1, &["new"])).await, "go");
        assert_eq!(journal.away(), None);
        drop(journal);
        let journal = machine.open();
        assert_eq!(state(&journal, &first).await, State::Answered);
        assert_eq!(state(&journal, &second).await, State::Unknown);
        assert_eq!(state(&journal, &cancel).await, State::Answered);
    }
}

#[tokio::test]
async fn a_disk_that_does_not_answer_refuses_and_nothing_is_begun() {
    let mut machine = Machine::new();
    let journal = {
        machine.settings.wait = Duration::from_millis(20);
        machine.settings.most_waiting = 2;
        machine.open()
    };
    let release = hold(&journal);
    let slow = Away::Slow(Duration::from_millis(20));
    let first = intent("a", 1, &["x"]);
    assert_eq!(journal.begin(first.clone()).await.unwrap_err(), slow);
    assert_eq!(journal.look(again(&first)).await.unwrap_err(), slow);
    assert_eq!(
        journal.begin(again(&first)).await.unwrap_err(),
        Away::Busy(2)
    );
    assert_eq!(journal.away(), Some(slow));
    drop(release);
    journal.test(|_| ());
    // Nobody begins anything: it finds out by itself.
    assert_eq!(all(&journal).await, []);
    assert_eq!(journal.away(), None);
}

/// Whether an attempt that was given up is in the journal or not, its name is free.
#[tokio::test]
async fn an_attempt_that_is_given_up_is_not_sent() {
    let machine = Machine::new();
    let journal = machine.open();
    let first = intent("a", 1, &["x"]);
    let second = intent("a", 1, &["y"]);
    let release = hold(&journal);
    let mut begun = journal.begin(first.clone());
    assert!(poll_once(&mut begun).is_none());
    drop(begun);
    drop(release);
    assert_eq!(all(&journal).await, []);

    let release = hold(&journal);
    let mut begun = journal.begin(second.clone());
    assert!(poll_once(&mut begun).is_none());
    drop(release);
    // It is written, and waits to be taken.
    assert_eq!(state(&journal, &second).await, State::Begun);
    drop(begun);
    assert_eq!(state(&journal, &second).await, State::NotSent);
    for one in [&first, &second] {
        assert_eq!(begin(&journal, &again(one)).await, "go");
    }
}

fn poll_once<T>(future: &mut gateway::ledger::Boxed<'_, T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn those_who_wait_together_share_a_commit_and_one_bad_entry_fails_alone() {
    let machine = Machine::new();
    let journal = machine.open();
    let release = hold(&journal);
    let before = journal.commits();
    let intents: Vec<_> = (0..32)
        .map(|number| intent("a", 1, &[&number.to_string()]))
        .collect();
    let bad = Intent {
        attempt: intents[3].attempt,
        ..intent("a", 1, &["bad"])
    };
    let mut begun: Vec<_> = intents
        .iter()
        .chain([&bad])
        .map(|intent| journal.begin(intent.clone()))
        .collect();
    for one in &mut begun {
        assert!(poll_once(one).is_none());
    }
    drop(release);
    let bad = begun.pop().unwrap();
    for one in begun {
        assert!(matches!(one.await.unwrap(), Begun::Go(_)));
    }
    assert!(matches!(bad.await.unwrap_err(), Away::Unwritable(_)));
    assert_eq!(journal.commits() - before, 1);
    assert_eq!(look(&journal, &intent("a", 1, &["bad"])).await, "free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thirty_two_callers_need_fewer_commits_than_they_begin() {
    let machine = Machine::new();
    let journal = Arc::new(machine.open());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32 {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            for number in 0..20 {
                let one = intent("a", 1, &[&format!("{task}-{number}")]);
                assert_eq!(begin(&journal, &one).await, "go");
                journal.conclude(one.attempt, answered(vec![executed("1")]));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert!(journal.commits() < 640, "{}", journal.commits());
}

#[tokio::test]
async fn a_file_has_one_process_and_one_owner() {
    let machine = Machine::new();
    let journal = machine.open();
    assert_eq!(begin(&journal, &intent("a", 1, &["x"])).await, "go");
    let modes = fs::read_dir(machine.directory.path()).unwrap();
    for file in modes {
        let file = file.unwrap();
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{file:?}"
        );
    }
    assert_eq!(machine.try_open().unwrap_err(), Problem::InUse);
    assert_eq!(check(&machine.file()).unwrap_err(), Problem::InUse);
    drop(journal);
    let checked = check(&machine.file()).unwrap();
    assert_eq!(
        (checked.attempts, checked.open, checked.faults),
        (1, 1, vec![])
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_made_yet_is_made_later() {
    let machine = Machine::new();
    let path = machine.directory.path().join("later/ledger.db");
    let journal = Journal::open(&path, machine.settings.clone(), machine.times()).unwrap();
    let first = intent("a", 1, &["x"]);
    assert!(matches!(
        journal.begin(first.clone()).await.unwrap_err(),
        Away::Unwritable(_)
    ));
    assert!(journal.look(first.clone()).await.is_err());
    let cancel = intent("a", 2, &[]);
    let _ = journal.note(cancel.clone());
    fs::create_dir(path.parent().unwrap()).unwrap();
    assert_eq!(begin(&journal, &first).await, "go");
    assert_eq!(state(&journal, &cancel).await, State::Begun);
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_not_written_on() {
    let machine = Machine::new();
    let journal = machine.open();
    let elsewhere = machine.directory.path().join("elsewhere");
    fs::rename(machine.file(), &elsewhere).unwrap();
    let first = intent("a", 1, &["x"]);
    assert!(matches!(
        journal.begin(first.clone()).await.unwrap_err(),
        Away::Unwritable(_)
    ));
    fs::rename(&elsewhere, machine.file()).unwrap();
    assert_eq!(begin(&journal, &first).await, "go");
}

fn overwrite(path: &Path, from: usize, length: usize) {
    let mut bytes = fs::read(path).unwrap();
    for byte in &mut bytes[from..from + length] {
        *byte = 0xa5;
    }
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_file_refuses_and_is_left_as_it_is() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("empty", |path| fs::write(path, b"").unwrap()),
        ("cut", |path| fs::write(path, b"SQLite").unwrap()),
        ("head", |path| overwrite(path, 0, 50)),
        ("pages", |path| {
            let length = fs::metadata(path).unwrap().len();
            overwrite(path, 100, usize::try_from(length).unwrap() - 100);
        }),
    ];
    for (what, damage) in damages {
        let machine = Machine::new();
        let journal = machine.open();
        let first = intent("a", 1, &["x"]);
        assert_eq!(begin(&journal, &first).await, "go");
        drop(journal);
        damage(&machine.file());
        let before = fs::read(machine.file()).unwrap();
        let checked = check(&machine.file()).unwrap();
        assert!(!checked.faults.is_empty(), "{what}");
        let journal = machine.open();
        for _ in 0..2 {
            let away = journal.begin(again(&first)).await.unwrap_err();
            assert!(matches!(away, Away::Damaged(_)), "{what}: {away:?}");
            assert!(remedy(&away, &machine.file()).contains("ledger check"));
        }
        assert!(matches!(journal.away(), Some(Away::Damaged(_))), "{what}");
        let _ = journal.note(intent("a", 2, &[]));
        drop(journal);
        assert_eq!(fs::read(machine.file()).unwrap(), before, "{what}");
    }
}

#[tokio::test]
async fn a_newer_or_older_file_and_a_strange_one_are_left_alone_with_a_plain_word() {
    let machine = Machine::new();
    drop(machine.open());
    Connection::open(machine.file())
        .unwrap()
        .execute_batch("PRAGMA user_version = 7")
        .unwrap();
    assert_eq!(machine.try_open().unwrap_err(), Problem::Newer(7));
    let text = Problem::Newer(7).to_string();
    assert!(
        text.starts_with("the order journal is of version 7, and this program knows 2"),
        "{text}"
    );
    // What builds from before the first release wrote is not damaged: they can read it.
    Connection::open(machine.file())
        .unwrap()
        .execute_batch("ALTER TABLE journal DROP COLUMN is_open; PRAGMA user_version = 1")
        .unwrap();
    assert_eq!(machine.try_open().unwrap_err(), Problem::Older(1));
    assert_eq!(check(&machine.file()).unwrap_err(), Problem::Older(1));
    let text = Problem::Older(1).to_string();
    assert!(text.contains("install that build again, or move"), "{text}");
    fs::remove_file(machine.file()).unwrap();
    Connection::open(machine.file())
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a)")
        .unwrap();
    assert_eq!(machine.try_open().unwrap_err(), Problem::Foreign);
    assert_eq!(
        check(&machine.directory.path().join("none")).unwrap_err(),
        Problem::Missing
    );
}

#[tokio::test]
async fn what_is_open_can_be_read_where_no_process_has_the_journal_and_nothing_changes() {
    let machine = Machine::new();
    assert_eq!(read_open(&machine.file()).unwrap_err(), Problem::Missing);
    let journal = machine.open();
    // Begun when its process ends: it may have been executed.
    for name in ["x", "y", "z"] {
        assert_eq!(begin(&journal, &intent("a", 1, &[name])).await, "go");
    }
    let [.., first] = &all(&journal).await[..] else {
        panic!("three entries");
    };
    journal.conclude(first.attempt, answered(vec![executed("1")]));
    assert_eq!(read_open(&machine.file()).unwrap_err(), Problem::InUse);
    drop(journal);
    let before = fs::read(machine.file()).unwrap();
    for _ in 0..2 {
        let open = read_open(&machine.file()).unwrap();
        let names = open.iter().flat_map(|entry| &entry.legs);
        let names: Vec<_> = names
            .filter_map(|leg| leg.leg.name.as_ref().map(|(_, name)| &**name))
            .collect();
        assert_eq!(names, ["z", "y"], "the newest first");
        assert!(open.iter().all(|entry| entry.state == State::Unknown));
    }
    assert!(fs::read(machine.file()).unwrap() == before);
    let files = fs::read_dir(machine.directory.path()).unwrap();
    assert_eq!(files.count(), 1, "nothing is left beside it");
}
