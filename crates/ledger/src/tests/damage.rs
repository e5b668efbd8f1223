//! What a crash left, and what somebody or the disk then took away from it.

use std::{fs, path::Path};

use super::*;
use crate::{Problem, check, read_open};

/// A machine whose daemon was killed after these many orders.
async fn killed(orders: usize) -> (Machine, Vec<Intent>) {
    let machine = Machine::new();
    let journal = machine.open();
    let mut all = Vec::new();
    for number in 0..orders {
        let one = intent("a", 1, &[&number.to_string()]);
        assert_eq!(begin(&journal, &one).await, "go");
        all.push(one);
    }
    (left_by(&machine), all)
}

/// A machine with what is on the disk of this one now.
fn left_by(machine: &Machine) -> Machine {
    let left = Machine::new();
    for end in ["", "-wal"] {
        fs::copy(beside(machine, end), beside(&left, end)).unwrap();
    }
    left
}

/// Breaks the first frame of the last commit: the power went before that was on the disk, and the other frames were.
fn cut_the_last_commit(machine: &Machine) {
    const HEADER: usize = 32;
    let log = beside(machine, "-wal");
    let bytes = fs::read(&log).unwrap();
    let page = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
    let frame = 24 + usize::try_from(page).unwrap();
    // So many frames SQLite reads; what an earlier cut left is behind them.
    let copy = left_by(machine);
    let read: u32 = rusqlite::Connection::open(copy.file())
        .unwrap()
        .query_row("PRAGMA wal_checkpoint", [], |row| row.get(1))
        .unwrap();
    let read = usize::try_from(read).unwrap();
    let is_commit = |number: &usize| {
        let at = HEADER + number * frame + 4;
        bytes[at..at + 4] != [0; 4]
    };
    let before = (0..read - 1).rfind(is_commit).unwrap();
    assert!(read - before > 2, "a commit of several frames");
    flip(&log, HEADER + (before + 1) * frame + 24);
}

fn beside(machine: &Machine, end: &str) -> PathBuf {
    machine.directory.path().join(format!("ledger.db{end}"))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

type Damage = fn(&Machine);

#[tokio::test]
async fn what_lost_a_part_of_its_log_refuses_instead_of_forgetting_names() {
    let damages: [(&str, Damage); 5] = [
        ("no log", |machine| {
            fs::remove_file(beside(machine, "-wal")).unwrap();
        }),
        ("the log's head", |machine| {
            flip(&beside(machine, "-wal"), 20)
        }),
        ("a page of the log", |machine| {
            let log = beside(machine, "-wal");
            let middle = fs::metadata(&log).unwrap().len() / 2;
            flip(&log, usize::try_from(middle).unwrap());
        }),
        ("the log alone", |machine| {
            fs::remove_file(machine.file()).unwrap()
        }),
        ("an empty file and the log", |machine| {
            fs::write(machine.file(), b"").unwrap();
        }),
    ];
    for (what, damage) in damages {
        let (machine, orders) = killed(20).await;
        damage(&machine);
        // SQLite makes an empty log by looking whether there is one.
        let kept = |end| fs::read(beside(&machine, end)).unwrap_or_default();
        let before = (kept(""), kept("-wal"));
        match check(&machine.file()) {
            Ok(checked) => assert!(!checked.faults.is_empty(), "{what}"),
            Err(problem) => assert_eq!(problem, Problem::Missing, "{what}"),
        }
        let journal = machine.open();
        for one in orders.iter().step_by(9) {
            let away = journal.begin(again(one)).await.unwrap_err();
            assert!(matches!(away, Away::Damaged(_)), "{what}: {away:?}");
        }
        drop(journal);
        assert!((kept(""), kept("-wal")) == before, "{what}: left as it is");
    }
}

#[tokio::test]
async fn what_a_kill_or_a_power_cut_left_is_no_damage_and_looking_at_it_changes_nothing() {
    let cuts: [(&str, Damage); 3] = [
        ("killed", |_| ()),
        ("looked at", |machine| {
            assert_eq!(check(&machine.file()).unwrap().faults, Vec::<String>::new());
            assert_eq!(read_open(&machine.file()).unwrap().len(), 20);
        }),
        ("the last commit cut", |machine| {
            let log = beside(machine, "-wal");
            let whole = fs::read(&log).unwrap();
            fs::write(&log, &whole[..whole.len() - 100]).unwrap();
        }),
    ];
    for (what, cut) in cuts {
        let (machine, orders) = killed(20).await;
        cut(&machine);
        for _ in 0..2 {
            let journal = machine.open();
            for one in &orders[..19] {
                assert_eq!(look(&journal, one).await, "unknown", "{what}");
            }
            drop(journal);
            assert!(
                !beside(&machine, "-wal").exists(),
                "{what}: closed in order"
            );
        }
    }
}

#[tokio::test]
async fn what_one_power_cut_left_behind_does_not_make_damage_of_the_next() {
    let (machine, orders) = killed(3).await;
    let journal = machine.open();
    let names: Vec<_> = (0..500).map(|number| format!("leg {number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(begin(&journal, &intent("a", 2, &names)).await, "go");
    let mut machine = left_by(&machine);
    for cut in ["small", "smaller", "last"] {
        cut_the_last_commit(&machine);
        let journal = machine.open();
        for one in &orders {
            assert_eq!(look(&journal, one).await, "unknown", "before {cut}");
        }
        assert_eq!(begin(&journal, &intent("a", 3, &[cut])).await, "go");
        let left = left_by(&machine);
        drop(journal);
        machine = left;
    }
}
