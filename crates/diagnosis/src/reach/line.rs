//! How a change of the way reads as one line, and as journal fields.
//!
//! Guarantees: everything is in the text; a failure is a warning, its end is not. Does not: decide what a change is.

use tracing::Level;

use super::{Fault, Measurement, Phase, Standing};
use gateway::record::{CALL_TAG, TARGET};

/// One event with the line and its fields; a macro because an event's level is part of its place in the code.
macro_rules! emit {
    ($level:expr, $measured:expr, $state:expr, $fault:expr, $words:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            "CRYPTO_EVENT" = "reach",
            "CRYPTO_REACH" = $state,
            "CRYPTO_PHASE" = $fault.map(|fault: &Fault| fault.phase.word()),
            "CRYPTO_CAUSE" = $fault.map(|fault: &Fault| fault.cause.code()),
            "CRYPTO_NAME_MS" = $measured.millis(Phase::Name),
            "CRYPTO_TCP_MS" = $measured.millis(Phase::Tcp),
            "CRYPTO_TLS_MS" = $measured.millis(Phase::Tls),
            "CRYPTO_FIRST_BYTE_MS" = $measured.millis(Phase::FirstByte),
            "{CALL_TAG} event=reach state={}{}: {}",
            $state,
            facts($measured),
            $words
        )
    };
}

/// Writes what a measurement changed; `before` is how the way stood.
pub(super) fn write(measured: &Measurement, before: Option<&Standing>) {
    match &measured.fault {
        Some(fault) => emit!(Level::WARN, measured, "failed", Some(fault), failed(fault)),
        None => emit!(
            Level::INFO,
            measured,
            "reachable",
            None,
            reached(measured, before)
        ),
    }
}

fn failed(fault: &Fault) -> String {
    let Fault {
        phase,
        says,
        cause,
        not_excluded,
        next_step,
    } = fault;
    let others: Vec<&str> = not_excluded.iter().map(|other| other.code()).collect();
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("; not excluded: {}", others.join(", "))
    };
    format!(
        "{}; evidence: {}: {says}{others}; next: {next_step}",
        cause.sentence(),
        phase.shown()
    )
}

fn reached(measured: &Measurement, before: Option<&Standing>) -> String {
    let failing = before.and_then(|before| Some((before, before.last.fault.as_ref()?)));
    failing.map_or_else(
        || "the exchange answers".to_owned(),
        |(before, fault)| {
            let seconds = measured.at_ms.saturating_sub(before.since_ms) / 1000;
            format!(
                "the exchange answers again, {seconds} s after {} was first seen to fail",
                fault.phase.shown()
            )
        },
    )
}

/// " phase=tcp cause=CP-NETWORK name_ms=2 tcp_ms=3000": what failed, and the phases that were made.
fn facts(measured: &Measurement) -> String {
    let fault = measured.fault.as_ref();
    let fault =
        fault.map(|fault| format!(" phase={} cause={}", fault.phase.word(), fault.cause.code()));
    let made = |phase: Phase| Some(format!(" {}_ms={}", phase.word(), measured.millis(phase)?));
    fault
        .into_iter()
        .chain(Phase::ALL.into_iter().filter_map(made))
        .collect()
}
