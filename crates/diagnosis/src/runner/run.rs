//! One run: probes on a thread of their own, the past from the disk beside them, then the ranking.
//!
//! Guarantees: however it ends (a result, a stop, a panic), all who wait are told, and the next run may begin when its
//! time has come. Does not: run on the daemon's own thread, where reading trust roots and signing seventy vectors would
//! keep calls waiting.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{self, JoinHandle},
    time,
};
use tracing::Level;

use super::{Asker, DiagnosisRunner, OperatorInput};
use crate::{
    causes::{Conclusion, Past},
    probes::{self, Findings},
    report::Diagnosis,
};
use gateway::record::{CALL_TAG, TARGET};

/// What a slow disk may take beyond the probes; then the past stays unknown.
const RECALL: Duration = Duration::from_secs(2);

/// What a run saw, and what it came to for the first who asked.
pub(super) struct DiagnosisRun {
    pub(super) findings: Findings,
    pub(super) past: Past,
    pub(super) input: OperatorInput,
    pub(super) diagnosis: Arc<Diagnosis>,
}

/// Notes that no run is under way any more, whatever ended it.
struct UnderWay(Arc<DiagnosisRunner>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().running = None;
    }
}

/// Makes the run, keeps and tells what it came to.
pub(super) async fn run(
    runner: Arc<DiagnosisRunner>,
    asker: Asker,
    input: OperatorInput,
    tell: watch::Sender<Option<Arc<DiagnosisRun>>>,
) {
    let under_way = UnderWay(Arc::clone(&runner));
    let Some((findings, past)) = see(&runner).await else {
        drop(under_way);
        return write_ended(&asker);
    };
    (runner.seen)(&findings);
    let listed = runner.doubts.list().await;
    let diagnosis = runner.conclude(findings.clone(), past.clone(), &input, listed);
    let diagnosis = Arc::new(diagnosis);
    let run = Arc::new(DiagnosisRun {
        findings,
        past,
        input,
        diagnosis,
    });
    runner.last.store(Some(Arc::clone(&run)));
    write(&asker, &run.diagnosis);
    drop(under_way);
    tell.send_replace(Some(run));
}

async fn see(runner: &Arc<DiagnosisRunner>) -> Option<(Findings, Past)> {
    let recall = Arc::clone(&runner.recall);
    let past = task::spawn_blocking(probes::logged(move || recall()));
    let findings = probes::apart(runner.plan.clone(), runner.stop.clone()).await?;
    Some((findings, recalled(past).await))
}

/// The past, or why there is none: an unknown one is never told as an empty one.
async fn recalled(past: JoinHandle<Past>) -> Past {
    let why = match time::timeout(RECALL, past).await {
        Ok(Ok(past)) => return past,
        Ok(Err(_)) => {
            "reading the history failed: a defect of ours, the log names the place".to_owned()
        }
        Err(_) => format!("the history did not answer within {} s", RECALL.as_secs()),
    };
    Past {
        unread: Some(why),
        ..Past::default()
    }
}

/// One event with the line and its fields; a macro because an event's level is part of its place in the code.
macro_rules! emit {
    ($level:expr, $asker:expr, $result:expr, $cause:expr, $likelihood:expr, $words:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            "CRYPTO_EVENT" = "diag",
            "CRYPTO_RID" = &*$asker.rid,
            "CRYPTO_CALLER" = &*$asker.name,
            "CRYPTO_RESULT" = $result,
            "CRYPTO_CAUSE" = $cause,
            "CRYPTO_LIKELIHOOD" = $likelihood.as_deref(),
            "{CALL_TAG} event=diag rid={} caller={} result={}{}",
            $asker.rid,
            $asker.name,
            $result,
            $words
        )
    };
}

/// Writes one line, with its journal fields: who asked for the run, and what it came to.
fn write(asker: &Asker, diagnosis: &Diagnosis) {
    let (findings, ranking) = (&diagnosis.findings, &diagnosis.ranking);
    let first = ranking.causes.first();
    let cause = first.map(|first| first.cause.code());
    let likelihood = first
        .and_then(|first| first.likelihood())
        .map(|likelihood| likelihood.to_string());
    let named = cause.zip(likelihood.as_ref());
    let named =
        named.map(|(cause, likelihood)| format!(" cause={cause} likelihood=\"{likelihood}\""));
    let words = format!(
        " took_ms={}{}; next: {}",
        findings.took.as_millis(),
        named.unwrap_or_default(),
        ranking.next_step
    );
    let result = ranking.conclusion.word();
    if ranking.conclusion == Conclusion::Healthy {
        emit!(Level::INFO, asker, result, cause, likelihood, words);
    } else {
        emit!(Level::WARN, asker, result, cause, likelihood, words);
    }
}

/// Writes that a run came to nothing: the daemon stops, or a defect that the log names.
fn write_ended(asker: &Asker) {
    let (cause, likelihood) = (None::<&str>, None::<String>);
    emit!(
        Level::WARN,
        asker,
        "ended",
        cause,
        likelihood,
        ": no diagnosis, the run was ended"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_past_that_does_not_come_is_said_and_not_told_as_an_empty_one() {
        let known = Past {
            since_ms: Some(7),
            ..Past::default()
        };
        let told = known.clone();
        assert_eq!(recalled(tokio::spawn(async move { told })).await, known);
        let late = recalled(tokio::spawn(std::future::pending())).await;
        assert_eq!(
            late.unread.as_deref(),
            Some("the history did not answer within 2 s")
        );
        let broken = recalled(tokio::spawn(async { panic!("invented") })).await;
        assert!(
            broken
                .unread
                .is_some_and(|why| why.contains("defect of ours"))
        );
    }
}
