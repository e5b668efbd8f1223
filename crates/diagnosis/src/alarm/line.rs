//! How an alarm reads as one line, and as journal fields.
//!
//! Guarantees: everything is in the text; a beginning is a warning, an end is not. Does not: show params or answers.

use std::time::{Duration, Instant};

use tracing::Level;

use super::Streak;
use gateway::record::{CALL_TAG, CallReport, TARGET};

/// A method is refused after it was accepted.
pub(super) const METHOD: &str = "method_refused";
/// No private call is accepted any more.
pub(super) const ALL: &str = "all_refused";

/// One event with the line and its fields; a macro because an event's level is part of its place in the code.
macro_rules! emit {
    ($level:expr, $alarm:expr, $state:expr, $method:expr, $report:expr, $words:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            "CRYPTO_EVENT" = "alarm",
            "CRYPTO_ALARM" = $alarm,
            "CRYPTO_ALARM_STATE" = $state,
            "CRYPTO_RID" = &*$report.rid,
            "CRYPTO_METHOD" = $method,
            "CRYPTO_CODE" = $report.code,
            "CRYPTO_KEY_FP" = &*$report.key_fingerprint,
            "{CALL_TAG} event=alarm alarm={} state={} method={} code={} rid={} key_fp={}: {}",
            $alarm,
            $state,
            $method,
            $report.code.map_or_else(|| "none".to_owned(), |code| code.to_string()),
            $report.rid,
            $report.key_fingerprint,
            $words
        )
    };
}

const NEXT: &str = "next: `sudo crypto-proxy diagnose`";

/// Writes that a method is refused that was accepted `ago`.
pub(super) fn write_method(method: &str, report: &CallReport, ago: Duration) {
    let words = format!(
        "refused for the first time since it was accepted {} s ago; {NEXT}",
        ago.as_secs()
    );
    emit!(Level::WARN, METHOD, "raised", method, report, words);
}

/// Writes that nothing is accepted any more; `last` is how long ago something was.
pub(super) fn write_all(report: &CallReport, calls: u32, methods: usize, last: Option<Duration>) {
    let since = last.map_or_else(
        || "none was ever accepted since the start".to_owned(),
        |last| format!("the last one was accepted {} s ago", last.as_secs()),
    );
    let method = report.method.as_deref().unwrap_or("none");
    let words = format!(
        "every private call is refused: calls={calls} methods={methods}, and {since}; {NEXT}"
    );
    emit!(Level::WARN, ALL, "raised", method, report, words);
}

/// Writes that an alarm is over: a call was accepted again.
pub(super) fn write_ended(
    alarm: &str,
    method: &str,
    report: &CallReport,
    streak: Streak,
    now: Instant,
) {
    let seconds = now.saturating_duration_since(streak.since).as_secs();
    let words = format!(
        "accepted again, after {} refused calls in {seconds} s",
        streak.calls
    );
    emit!(Level::INFO, alarm, "ended", method, report, words);
}
