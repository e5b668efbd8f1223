//! One run: probes on a thread of their own, the past from the disk beside them, then the ranking.
//!
//! Guarantees: however it ends (a result, a stop, a panic), whoever waits is told, and the next run may begin when its
//! time has come. Does not: run on the daemon's own thread, where reading trust roots and signing seventy vectors would
//! keep calls waiting.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{self, JoinHandle},
    time,
};

use super::{Asker, DiagnosisRunner, OperatorInput, line};
use crate::{
    causes::Past,
    probes::{self, Findings},
    report::Diagnosis,
};

/// What a slow disk may take beyond the probes; then the past stays unknown.
const RECALL: Duration = Duration::from_secs(2);

/// What a run saw, and what it came to for whoever asked first.
pub(super) struct DiagnosisRun {
    pub(super) findings: Findings,
    pub(super) past: Past,
    pub(super) statement: OperatorInput,
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
    examiner: Arc<DiagnosisRunner>,
    asker: Asker,
    statement: OperatorInput,
    tell: watch::Sender<Option<Arc<DiagnosisRun>>>,
) {
    let under_way = UnderWay(Arc::clone(&examiner));
    let Some((findings, past)) = see(&examiner).await else {
        drop(under_way);
        return line::write_ended(&asker);
    };
    let diagnosis = Arc::new(examiner.conclude(findings.clone(), past.clone(), &statement));
    examiner.last.store(Some(Arc::clone(&diagnosis)));
    line::write(&asker, &diagnosis);
    drop(under_way);
    tell.send_replace(Some(Arc::new(DiagnosisRun {
        findings,
        past,
        statement,
        diagnosis,
    })));
}

async fn see(examiner: &Arc<DiagnosisRunner>) -> Option<(Findings, Past)> {
    let recall = Arc::clone(&examiner.recall);
    let past = task::spawn_blocking(probes::logged(move || recall()));
    let findings = probes::apart(examiner.plan.clone(), examiner.stop.clone()).await?;
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
