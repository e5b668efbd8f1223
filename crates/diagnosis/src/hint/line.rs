//! How a hint reads as one line, and as journal fields.
//!
//! Guarantees: everything is in the text, on one line; the `CRYPTO_…` fields repeat it. Does not: show params, answers
//! or anything else that the record does not show.

use std::net::IpAddr;

use tracing::Level;

use super::Hint;
use crate::causes::{Cause, Likelihood, Place};
use gateway::{
    observed::{ClockSkew, Expected},
    record::{CALL_TAG, CallReport, TARGET},
};

/// Writes the hint to a failed call.
pub(super) fn write(report: &CallReport, hint: &Hint) {
    let method = report.method.as_deref().unwrap_or("none");
    let code = report
        .code
        .map_or_else(|| "none".to_owned(), |code| code.to_string());
    let Hint {
        cause,
        likelihood,
        evidence,
        alternatives,
        next,
    } = hint;
    let others: Vec<&str> = alternatives.iter().map(|other| other.code()).collect();
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("; not excluded: {}", others.join(", "))
    };
    tracing::event!(
        target: TARGET,
        Level::WARN,
        "CRYPTO_EVENT" = "hint",
        "CRYPTO_RID" = &*report.rid,
        "CRYPTO_CALLER" = &*report.caller,
        "CRYPTO_METHOD" = method,
        "CRYPTO_CODE" = report.code,
        "CRYPTO_KEY_FP" = &*report.key_fingerprint,
        "CRYPTO_CAUSE" = cause.code(),
        "CRYPTO_LIKELIHOOD" = %likelihood,
        "{CALL_TAG} event=hint rid={} method={method} code={code} cause={cause} likelihood=\"{likelihood}\": {}; \
         evidence: {evidence}{others}; next: {next}",
        report.rid,
        cause.sentence(),
    );
}

/// An address that was confirmed after hints were given.
pub(super) struct Moved<'a> {
    /// The address.
    pub(super) now: IpAddr,
    /// What the hints assumed.
    pub(super) before: Option<IpAddr>,
    /// The operator's statement about the whitelist.
    pub(super) expected: &'a Expected,
}

/// Writes that the hints to these calls assumed another address; `first` is the first of them.
pub(super) fn write_correction(
    rids: &str,
    first: &str,
    cause: Cause,
    likelihood: Likelihood,
    moved: &Moved<'_>,
) {
    let Moved {
        now,
        before,
        expected,
    } = moved;
    let before = before.map_or_else(|| "unknown".to_owned(), |before| before.to_string());
    let listed = matches!(expected, Expected::Listed(listed) if listed.contains(now));
    let next = if listed && cause != Cause::IpNotListed {
        "CRYPTO_EXPECTED_IP names this address: look whether the next call is accepted".to_owned()
    } else {
        cause.next_step(&Place {
            address: Some(*now),
            listed,
            ..Place::of_method("none")
        })
    };
    tracing::event!(
        target: TARGET,
        Level::WARN,
        "CRYPTO_EVENT" = "hint",
        "CRYPTO_RID" = first,
        "CRYPTO_CAUSE" = cause.code(),
        "CRYPTO_LIKELIHOOD" = %likelihood,
        "CRYPTO_OUTBOUND_IP" = %now,
        "{CALL_TAG} event=hint corrects={rids} cause={cause} likelihood=\"{likelihood}\": {}; evidence: measured again, \
         CRYPTO_COM_OUTBOUND_IP: {now}, when the call failed it was taken for {before}; next: {next}",
        cause.sentence(),
    );
}

/// Writes that the clock went wrong.
pub(super) fn write_clock_off(skew: ClockSkew) {
    tracing::event!(
        target: TARGET,
        Level::WARN,
        "CRYPTO_EVENT" = "clock",
        "CRYPTO_SKEW_MS" = skew.offset_ms,
        "CRYPTO_CAUSE" = "CP-CLOCK-SKEW",
        "{CALL_TAG} event=clock skew_ms={skew}: this host's clock is {} the exchange's, which refuses every call from \
         60 s on; next: `sudo timedatectl set-ntp true`",
        if skew.offset_ms > 0 { "behind" } else { "ahead of" },
    );
}

/// Writes that the clock is right again.
pub(super) fn write_clock_fine(skew: ClockSkew) {
    tracing::event!(
        target: TARGET,
        Level::INFO,
        "CRYPTO_EVENT" = "clock",
        "CRYPTO_SKEW_MS" = skew.offset_ms,
        "{CALL_TAG} event=clock skew_ms={skew}: this host's clock agrees with the exchange's again",
    );
}
