//! What the history costs: a call's record with it and without, and the questions to a great many calls.
//!
//! `cargo run --release --example history_cost -- 1000000`; a small number is enough to see that it works. Writes into a
//! directory of its own, which it removes.

use std::{error::Error, sync::Arc, time::Instant};

use diagnosis::history::{Filter, History, Questions, Settings, Start};
use gateway::{
    clock::Clock,
    observed::Observed,
    outcome::Outcome,
    record::{CallReport, RecordSink, Recorder},
    secret::{ApiKey, ApiSecret, Credentials},
};
use protocol::{
    call::{Call, RequestId},
    canonical::Dialect,
};

/// Calls between two looks of the writer, well below what its queue holds.
const BURST: usize = 5000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let calls = std::env::args()
        .nth(1)
        .map_or(Ok(20_000), |calls| calls.parse())?;
    let dir = tempfile::tempdir()?;
    let credentials = Credentials {
        key: ApiKey::new("invented-key".into()),
        secret: ApiSecret::new("invented-secret".into()),
    };
    let start = Start {
        credentials,
        base_url: "http://127.0.0.1:9".into(),
        configuration: String::new(),
    };
    let (history, _) = History::open(
        Some(dir.path()),
        Settings::default(),
        start,
        &Clock::system(),
    );
    for round in 1..=3 {
        let off = records(calls.min(100_000), Vec::new(), None).await?;
        let nobody = records(calls.min(100_000), vec![Arc::new(Nobody)], None).await?;
        let on = records(
            calls.min(100_000),
            history.sink().into_iter().collect(),
            Some(&history),
        )
        .await?;
        say(&format!(
            "round {round}: ns per record: alone {off}, with a reader that drops it {nobody}, with the history {on}"
        ));
    }
    let began = Instant::now();
    records(calls, history.sink().into_iter().collect(), Some(&history)).await?;
    history.close().await;
    say(&format!(
        "{calls} calls handed over and written in {:?}",
        began.elapsed()
    ));
    ask(dir.path())
}

struct Nobody;

impl RecordSink for Nobody {
    fn record(&self, _: &Arc<CallReport>) {}
}

/// Makes records of calls; nanoseconds per record, without the time in which the writer catches up.
async fn records(
    calls: usize,
    readers: Vec<Arc<dyn RecordSink>>,
    history: Option<&History>,
) -> Result<u128, Box<dyn Error>> {
    let recorder = Arc::new(Recorder::new(
        "5f3a09c1",
        Arc::new(Observed::default()),
        readers,
    ));
    let call = Call::parse(
        RequestId::BACKEND,
        "private/create-order",
        None,
        Dialect::Documented,
    )?;
    let mut spent = std::time::Duration::ZERO;
    for burst in 0..calls.div_ceil(BURST) {
        let began = Instant::now();
        for number in 0..BURST.min(calls - burst * BURST) {
            let rid = uuid::Uuid::now_v7().simple().to_string();
            let mut record = recorder.open(rid.into(), "default".into());
            record.describe(&call);
            // One that the questions have to look for at the far end.
            let lost = burst == 0 && number == 0;
            record.answered(
                200,
                Some(0),
                if lost {
                    Outcome::Unknown
                } else {
                    Outcome::Answered
                },
            );
        }
        spent += began.elapsed();
        if let Some(history) = history {
            history.flush().await;
        }
    }
    Ok(spent.as_nanos() / calls.max(1) as u128)
}

fn ask(dir: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let path = dir.join("history.db");
    let bytes = std::fs::metadata(&path)?.len();
    let questions = Questions::open(&path)?;
    let timed = |name: &str,
                 ask: &dyn Fn() -> Result<usize, Box<dyn Error>>|
     -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        let rows = ask()?;
        say(&format!("{name}: {rows} rows in {:?}", began.elapsed()));
        Ok(())
    };
    let last = || Filter {
        limit: Some(200),
        ..Filter::default()
    };
    timed("all calls", &|| {
        Ok(questions.calls(&Filter::default())?.len())
    })?;
    timed("the last 200", &|| Ok(questions.calls(&last())?.len()))?;
    let method = || Some("private/create-order".to_owned());
    timed("the last 200 of a method", &|| {
        Ok(questions
            .calls(&Filter {
                method: method(),
                ..last()
            })?
            .len())
    })?;
    let unknown = || Some("unknown".to_owned());
    let refused = || Some("refused".to_owned());
    timed("a rare outcome, the oldest calls", &|| {
        Ok(questions
            .calls(&Filter {
                outcome: unknown(),
                ..last()
            })?
            .len())
    })?;
    timed("an outcome that there is not", &|| {
        Ok(questions
            .calls(&Filter {
                outcome: refused(),
                ..last()
            })?
            .len())
    })?;
    timed("changes", &|| Ok(questions.changes(&last())?.len()))?;
    timed("between", &|| Ok(questions.breaks(None)?.len()))?;
    say(&format!("{} MB on disk", bytes / 1_000_000));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn say(line: &str) {
    println!("{line}");
}
