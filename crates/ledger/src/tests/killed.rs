//! The process is killed in the middle.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command as Process, Stdio},
};

use super::*;

const CHILD: &str = "LEDGER_TEST_CHILD";

/// Not a test by itself: what is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that another test kills"]
async fn child() {
    let Some(path) = env::var_os(CHILD) else {
        return;
    };
    let journal = Journal::open(path.as_ref(), Settings::default(), Times::system()).unwrap();
    let journal = Arc::new(journal);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            for number in 0..u64::MAX {
                let name = format!("{task}-{number}");
                let one = intent("a", 1, &[&name]);
                if matches!(journal.begin(one.clone()).await, Ok(Begun::Go(_))) {
                    println!("\ngo {name}");
                    if number % 2 == 0 {
                        journal.conclude(one.attempt, answered(vec![executed(&name)]));
                    }
                }
            }
        });
    }
    tasks.join_next().await;
}

#[tokio::test]
async fn whoever_was_told_to_go_is_there_after_kill_9() {
    let machine = Machine::new();
    for round in 0..3 {
        let mut child = Process::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "tests::killed::child",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD, machine.file())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let name = |line: String| line.strip_prefix("go ").map(str::to_owned);
        let mut names: Vec<_> = lines.by_ref().filter_map(name).take(200).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died; the last line may be cut, and then names another one that was there before.
        let mut rest: Vec<_> = lines.collect();
        rest.pop();
        names.extend(rest.into_iter().filter_map(name));
        assert!(names.len() >= 200);
        let journal = machine.open();
        for one in &names {
            let word = look(&journal, &intent("a", 1, &[one])).await;
            // Of an earlier boot by this machine's times: an answer is told as used.
            assert!(
                ["unknown", "used", "answered"].contains(&word),
                "{round}: {one} is {word}"
            );
        }
        drop(journal);
        assert_eq!(
            crate::check(&machine.file()).unwrap().faults,
            Vec::<String>::new()
        );
        std::fs::remove_file(machine.file()).unwrap();
    }
}
