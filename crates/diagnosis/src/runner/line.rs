//! How a diagnosis reads as one line, and as journal fields.
//!
//! Guarantees: one line per run: who asked for it, and what it came to. Does not: repeat the report, which the answer
//! holds.

use tracing::Level;

use super::Asker;
use crate::{causes::Conclusion, report::Diagnosis};
use gateway::record::{CALL_TAG, TARGET};

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

/// Writes what a run came to.
pub(super) fn write(asker: &Asker, diagnosis: &Diagnosis) {
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
pub(super) fn write_ended(asker: &Asker) {
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
