//! How a report reads as one line, and as journal fields.
//!
//! Guarantees: the line is complete by itself (`journalctl | grep` sees nothing else); the fields say the same. A
//! failure carries the word FAIL and warning priority, so that successes do not bury it.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{CallReport, FurtherRefusals};

/// The tag that operators grep for.
pub const CALL_TAG: &str = "[CRYPTO_AUTH_DIAG]";
/// The tracing target of diagnostic lines; the sinks give it a queue of its own.
pub const TARGET: &str = "crypto_proxy::record";

/// One event with the line and its fields; a macro because an event's level is part of its place in the code.
macro_rules! emit {
    ($level:expr, $report:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            "CRYPTO_EVENT" = "call",
            "CRYPTO_RID" = &*$report.rid,
            "CRYPTO_CALLER" = &*$report.caller,
            "CRYPTO_METHOD" = $report.method.as_deref(),
            "CRYPTO_STREAM" = $report.stream.as_deref(),
            "CRYPTO_ID" = $report.id,
            "CRYPTO_NONCE" = $report.nonce,
            "CRYPTO_KEY_FP" = &*$report.key_fingerprint,
            "CRYPTO_OUTBOUND_IP" = $report.outbound.as_ref().map(|seen| tracing::field::display(seen.address)),
            "CRYPTO_SKEW_MS" = $report.skew.map(|skew| skew.offset_ms),
            "CRYPTO_STATUS" = $report.status,
            "CRYPTO_CODE" = $report.code,
            "CRYPTO_OUTCOME" = $report.outcome.word(),
            "CRYPTO_WHY" = $report.why,
            "CRYPTO_CLIENT_OID" = $report.client_oid.as_deref(),
            "CRYPTO_EXCHANGE_MS" = millis($report.exchange),
            "CRYPTO_TOTAL_MS" = millis($report.total),
            "{}",
            Line($report)
        )
    };
}

/// Writes the line of a report that is complete.
pub(super) fn write(report: &CallReport) {
    if report.is_failure() {
        emit!(tracing::Level::WARN, report);
    } else {
        emit!(tracing::Level::INFO, report);
    }
}

/// Writes how many refusals of a caller have no line of their own.
pub(super) fn write_refusals(refusals: &FurtherRefusals) {
    let FurtherRefusals { caller, why, count } = refusals;
    tracing::event!(
        target: TARGET,
        tracing::Level::WARN,
        "CRYPTO_EVENT" = "refused",
        "CRYPTO_CALLER" = &**caller,
        "CRYPTO_OUTCOME" = "refused",
        "CRYPTO_WHY" = *why,
        "CRYPTO_COUNT" = *count,
        "{CALL_TAG} event=refused caller={caller} outcome=refused why={why} count={count}",
    );
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

struct Line<'a>(&'a CallReport);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let word = if report.is_failure() { "FAIL" } else { "OK" };
        let method = report.method.as_deref().unwrap_or("none");
        write!(
            f,
            "{CALL_TAG} event=call {word} rid={} caller={} method={method}",
            report.rid, report.caller
        )?;
        if let Some(stream) = &report.stream {
            write!(f, " door=ws stream={stream}")?;
        }
        write!(f, " id={}", report.id)?;
        optional(f, "nonce", report.nonce.as_ref())?;
        write!(f, " params_len={}", report.params_string_len)?;
        optional(f, "sts_len", report.string_to_sign_len.as_ref())?;
        write!(f, " key_fp={}", report.key_fingerprint)?;
        outbound(f, report)?;
        optional(f, "skew_ms", report.skew.as_ref())?;
        write!(f, " response_status={}", report.status)?;
        optional(f, "code", report.code.as_ref())?;
        write!(f, " outcome={}", report.outcome)?;
        optional(f, "why", report.why.as_ref())?;
        optional(f, "content_type", report.media_type.as_ref())?;
        optional(f, "client_oid", report.client_oid.as_ref())?;
        if report.scrubbed {
            f.write_str(" scrubbed")?;
        }
        let (waited, exchange, total) = (
            millis(report.waited),
            millis(report.exchange),
            millis(report.total),
        );
        write!(
            f,
            " wait_ms={waited} exchange_ms={exchange} total_ms={total}"
        )
    }
}

fn optional<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: Option<&T>,
) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name}={value}"))
}

fn outbound(f: &mut fmt::Formatter<'_>, report: &CallReport) -> fmt::Result {
    match &report.outbound {
        Some(seen) => write!(
            f,
            " CRYPTO_COM_OUTBOUND_IP: {} ip_age_s={}",
            seen.address,
            seen.age().as_secs()
        ),
        None => f.write_str(" CRYPTO_COM_OUTBOUND_IP: unknown"),
    }
}

/// The line about a signature (`CRYPTO_AUTH_DIAG=true`): what was signed, by lengths; nothing of its content.
pub(crate) struct SigningLine {
    rid: Arc<str>,
    method: Option<Cow<'static, str>>,
    id: u64,
    params_string_len: usize,
    key_fingerprint: Arc<str>,
}

impl SigningLine {
    /// As far as it is known before the call is signed.
    pub(crate) fn of(report: &CallReport) -> Self {
        Self {
            rid: Arc::clone(&report.rid),
            method: report.method.clone(),
            id: report.id,
            params_string_len: report.params_string_len,
            key_fingerprint: Arc::clone(&report.key_fingerprint),
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, nonce: u64, string_to_sign_len: usize, body_len: usize) {
        let method = self.method.as_deref().unwrap_or("none");
        tracing::event!(
            target: TARGET,
            tracing::Level::INFO,
            "CRYPTO_EVENT" = "signing",
            "CRYPTO_RID" = &*self.rid,
            "CRYPTO_METHOD" = method,
            "{CALL_TAG} event=signing rid={} method={method} id={} nonce={nonce} params_len={} sts_len={string_to_sign_len} \
             sts_parts=method+id+api_key+params+nonce mac=HMAC-SHA256 sig_len=64 body_len={body_len} key_fp={}",
            self.rid,
            self.id,
            self.params_string_len,
            self.key_fingerprint,
        );
    }
}
