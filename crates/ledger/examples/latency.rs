//! What writing an order down costs, beside the disk's own fdatasync in the same run.
//!
//! `cargo run --release -p crypto-proxy-ledger --example latency -- DIRECTORY ROWS`: with 1 and 32 callers, in an empty
//! journal and in one that holds ROWS executed orders. Ratios count; absolute times are those of one disk.

#![expect(clippy::print_stdout, reason = "a program that reports")]
#![expect(clippy::expect_used, reason = "a measurement that fails is none")]

use std::{
    borrow::Cow,
    env,
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use crypto_proxy_ledger::{Journal, Settings, Times};
use gateway::ledger::{
    Account, Attempt, Begun, Conclusion, Digest, Intent, Kind, Ledger, Leg, LegEnd, Stored,
};
use tokio::task::JoinSet;

fn main() {
    let mut arguments = env::args_os().skip(1);
    let directory = arguments.next().expect("a directory");
    let rows = arguments
        .next()
        .and_then(|rows| rows.to_str()?.parse().ok());
    let rows: u64 = rows.expect("a number of rows");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(Path::new(&directory), rows));
}

async fn measure(directory: &Path, rows: u64) {
    let path = directory.join("latency.db");
    let settings = Settings {
        wait: Duration::from_secs(60),
        most_waiting: 4096,
        ..Settings::default()
    };
    let opening = Instant::now();
    let journal = Journal::open(&path, settings.clone(), Times::system()).expect("it opens");
    println!("opened in {:?}", opening.elapsed());
    let journal = Arc::new(journal);
    figures(&journal, directory, 0).await;
    drop(journal);
    let filling = Instant::now();
    fill(&path, rows);
    println!("{rows} rows in {:?}", filling.elapsed());
    let opening = Instant::now();
    let journal = Journal::open(&path, settings.clone(), Times::system()).expect("it opens");
    println!("opened in {:?}", opening.elapsed());
    let journal = Arc::new(journal);
    figures(&journal, directory, rows).await;
    let listing = gateway::ledger::Listing {
        open: true,
        most: 100,
        ..Default::default()
    };
    let asking = Instant::now();
    let listed = journal.list(listing).await.expect("a list");
    println!("{} open listed in {:?}", listed.len(), asking.elapsed());
    let asking = Instant::now();
    let due = journal.due(account(), 100).await.expect("what is due");
    println!("{} due in {:?}", due.len(), asking.elapsed());
    drop(journal);
    let opening = Instant::now();
    drop(Journal::open(&path, settings, Times::system()).expect("it opens again"));
    println!("opened and closed again in {:?}", opening.elapsed());
}

async fn figures(journal: &Arc<Journal>, directory: &Path, rows: u64) {
    let disk = sorted(syncs(directory));
    let (disk_50, disk_99) = (at(&disk, 50), at(&disk, 99));
    println!("rows {rows}: fdatasync p50 {disk_50:?} p99 {disk_99:?}");
    for (callers, each) in [(1, 3000), (32, 500)] {
        let commits = journal.commits();
        let start = Instant::now();
        let times = sorted(orders(journal, callers, each).await);
        let elapsed = start.elapsed();
        let (p50, p99) = (at(&times, 50), at(&times, 99));
        println!(
            "rows {rows}, callers {callers}: begin p50 {p50:?} ({:.1} x fdatasync) p99 {p99:?} ({:.1} x), {:.0} a second, \
             {} commits for {}",
            p50.as_secs_f64() / disk_50.as_secs_f64(),
            p99.as_secs_f64() / disk_99.as_secs_f64(),
            f64::from(u32::try_from(times.len()).expect("few")) / elapsed.as_secs_f64(),
            journal.commits() - commits,
            times.len(),
        );
    }
}

/// Executed orders of an hour ago, as the journal writes them; through it this would take minutes.
fn fill(path: &Path, rows: u64) {
    let file = rusqlite::Connection::open(path).expect("nobody has it");
    let statements = format!(
        "BEGIN;
        CREATE TEMP TABLE number AS WITH RECURSIVE number(n) AS
            (SELECT 1000000 UNION ALL SELECT n + 1 FROM number WHERE n < 1000000 + {rows}) SELECT n FROM number;
        INSERT INTO attempt (id, attempt, account, caller, method, digest, rid, state, is_note, code, begun_ms, boot, life_ms,
            dead_up, ended_ms, ended_up, ended_ran, keep)
            SELECT n, randomblob(16), 1, 'bot', 'private/create-order', randomblob(32), hex(randomblob(16)), 'answered', 0, 0,
                unixepoch() * 1000 - 3600000, randomblob(16), 77000, 0, unixepoch() * 1000 - 3600000, 0, 0, 2 FROM number;
        INSERT INTO leg (attempt, number, account, kind, name, instrument, state, order_id)
            SELECT n, 0, 1, 'order', hex(randomblob(16)), 'BTC_USD', 1, hex(randomblob(16)) FROM number;
        COMMIT;"
    );
    file.execute_batch(&statements).expect("it is filled");
}

/// How long each order took until it was written down; each is answered at once afterwards.
async fn orders(journal: &Arc<Journal>, callers: u64, each: u64) -> Vec<Duration> {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let journal = Arc::clone(journal);
        tasks.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..each {
                let attempt = Attempt::new();
                let name = Attempt::new().0.simple().to_string();
                let start = Instant::now();
                let begun = journal.begin(intent(attempt, &name)).await;
                times.push(start.elapsed());
                assert!(matches!(begun, Ok(Begun::Go(_))), "{begun:?}");
                journal.conclude(attempt, answered(name));
            }
            times
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done.expect("a caller ends"));
    }
    times
}

fn account() -> Arc<Account> {
    Arc::new(Account {
        environment: "uat".into(),
        name: "main".into(),
    })
}

fn intent(attempt: Attempt, name: &str) -> Intent {
    Intent {
        account: account(),
        caller: "bot".into(),
        method: Cow::Borrowed("private/create-order"),
        digest: Digest([7; 32]),
        attempt,
        rid: "0198f0d0f0d07000800000000000abcd".into(),
        legs: vec![Leg {
            name: Some((Kind::Order, name.to_owned())),
            instrument: Some("BTC_USD".to_owned()),
        }],
        targets: Vec::new(),
        to_be_sent: Duration::from_secs(12),
        alive: Duration::from_secs(77),
    }
}

fn answered(order_id: String) -> Conclusion {
    let body = format!(
        r#"{{"id":1,"method":"private/create-order","code":0,"result":{{"order_id":"{order_id}"}}}}"#
    );
    Conclusion::Answered {
        answer: Some(Stored {
            status: 200,
            body: Bytes::from(body),
        }),
        code: 0,
        legs: vec![LegEnd::Executed {
            order_id: Some(order_id),
        }],
        list_id: None,
    }
}

/// How long the disk takes for a page by itself.
fn syncs(directory: &Path) -> Vec<Duration> {
    let path = directory.join("latency.sync");
    let file = File::create(&path).expect("a file");
    let page = [7; 4096];
    let mut at = 0;
    let mut one = || {
        let start = Instant::now();
        file.write_all_at(&page, at).expect("it is written");
        file.sync_data().expect("it is synced");
        at += 4096;
        start.elapsed()
    };
    (0..2000).map(|_| one()).collect()
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * percent / 100)
        .copied()
        .unwrap_or_default()
}
