//! The one diagnostic line per call: opened when an endpoint knows the caller, written exactly once by its drop guard.
//!
//! Guarantees: whatever happens to the call (a panic, the caller hangs up, the daemon stops), its line is written with the
//! outcome that its phase allows. Of calls that were refused before they were admitted, the first few of a caller and a
//! reason have one, and the others are counted (`refusals`). Redacted by construction: a report has no field that could
//! hold a key, a secret, a token, a signature, params or an answer. Does not: wait for anything. Record sinks (hints,
//! the history) get one shared copy, and drop it where they have no room.

use std::{
    borrow::Cow,
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    connect::is_over_ipv6,
    observed::{ClockSkew, Observed, Outbound},
    outcome::{Outcome, Progress},
};
use catalogue::methods::Class;
use protocol::call::Call;

mod line;
mod refusals;

pub(crate) use line::SigningLine;
pub use line::{CALL_TAG, TARGET};
pub use refusals::FurtherRefusals;

use refusals::Refusals;

/// What is known of a call when it ends; also what record sinks get.
#[derive(Clone, Debug)]
pub struct CallReport {
    /// The request id, as in `X-Request-Id`.
    pub rid: Arc<str>,
    /// The caller's name.
    pub caller: Arc<str>,
    /// The stream that it came by: the request id of its opening; `None` for a request of its own.
    pub stream: Option<Arc<str>>,
    /// The method, once the body was understood.
    pub method: Option<Cow<'static, str>>,
    /// Its class, where the catalogue knows it.
    pub class: Option<Class>,
    /// The `id` sent to the exchange.
    pub id: u64,
    /// The nonce, once signed.
    pub nonce: Option<u64>,
    /// Length of the params string in bytes.
    pub params_string_len: usize,
    /// Length of the string to sign in bytes, once signed.
    pub string_to_sign_len: Option<usize>,
    /// The API key's fingerprint.
    pub key_fingerprint: Arc<str>,
    /// The address that its connection led to; `None` where no answer came.
    pub peer: Option<IpAddr>,
    /// Our address as last confirmed, where it is of the family of that connection.
    pub outbound: Option<Outbound>,
    /// The clock's skew as far as known.
    pub skew: Option<ClockSkew>,
    /// The exchange's HTTP status, or ours where there is no answer of the exchange.
    pub status: u16,
    /// The exchange's code.
    pub code: Option<i64>,
    /// What became of the call.
    pub outcome: Outcome,
    /// A stable word for why there is no conclusive answer.
    pub why: Option<&'static str>,
    /// The names that the caller gave its orders.
    pub client_oid: Option<String>,
    /// The media type of an answer that is no JSON.
    pub media_type: Option<String>,
    /// Whether a secret was overwritten in the answer.
    pub scrubbed: bool,
    /// From arrival to the moment of sending.
    pub waited: Duration,
    /// From sending to the complete answer.
    pub exchange: Duration,
    /// From arrival to the end.
    pub total: Duration,
}

impl CallReport {
    /// Whether the line carries the word FAIL: no conclusive answer, or one with a code other than 0.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.outcome != Outcome::Answered || self.code != Some(0)
    }

    /// Whether the exchange saw the call come from an IPv6 address: by its own connection, and where that leads to this
    /// machine or is not known, by our address.
    #[must_use]
    pub fn left_by_ipv6(&self) -> Option<bool> {
        let ours = self.outbound.as_ref().map(|seen| seen.address.is_ipv6());
        self.family_of_peer().or(ours)
    }

    /// A stand-in on this machine tells nothing.
    fn family_of_peer(&self) -> Option<bool> {
        self.peer
            .filter(|peer| !peer.is_loopback())
            .map(is_over_ipv6)
    }
}

/// Why a call is unknown though the exchange answered.
pub const INCONCLUSIVE: &str = "inconclusive_answer";

/// Gets each report as its call ends, in the call's path, and so must neither wait nor panic.
pub trait RecordSink: Send + Sync {
    /// A call has ended; its line is written.
    fn record(&self, report: &Arc<CallReport>);
}

/// What every record needs: made once, shared by all.
pub struct Recorder {
    key_fingerprint: Arc<str>,
    observed: Arc<Observed>,
    sinks: Vec<Arc<dyn RecordSink>>,
    refusals: Refusals,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sinks = self.sinks.len();
        f.debug_struct("Recorder")
            .field("sinks", &sinks)
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// Records for calls signed with the key of this fingerprint, each handed to every sink.
    #[must_use]
    pub fn new(
        key_fingerprint: &str,
        observed: Arc<Observed>,
        sinks: Vec<Arc<dyn RecordSink>>,
    ) -> Self {
        Self {
            key_fingerprint: key_fingerprint.into(),
            observed,
            sinks,
            refusals: Refusals::default(),
        }
    }

    /// Logs the refusals that have no record of their own since the last time, one line per caller and reason, and starts
    /// over. To be called every few seconds, and at the end.
    pub fn log_refusals(&self) -> Vec<FurtherRefusals> {
        let further = self.refusals.take();
        further.iter().for_each(line::write_refusals);
        further
    }

    /// Refusals without a record of their own, of all callers and for all reasons, that are not logged yet.
    #[must_use]
    pub fn refusals_not_logged(&self) -> u64 {
        self.refusals.further()
    }

    /// Opens the record of a call whose caller is known.
    #[must_use]
    pub fn open(self: &Arc<Self>, rid: Arc<str>, caller: Arc<str>) -> CallRecord {
        let report = CallReport {
            rid,
            caller,
            stream: None,
            method: None,
            class: None,
            id: 1,
            nonce: None,
            params_string_len: 0,
            string_to_sign_len: None,
            key_fingerprint: Arc::clone(&self.key_fingerprint),
            peer: None,
            outbound: None,
            skew: None,
            status: 0,
            code: None,
            outcome: Outcome::Refused,
            why: None,
            client_oid: None,
            media_type: None,
            scrubbed: false,
            waited: Duration::ZERO,
            exchange: Duration::ZERO,
            total: Duration::ZERO,
        };
        CallRecord {
            recorder: Arc::clone(self),
            progress: Arc::default(),
            opened: Instant::now(),
            concluded: false,
            admitted: false,
            limit: None,
            status_of: |status, _| status,
            report: Box::new(report),
        }
    }
}

/// The status that an endpoint answers with in place of the gateway's own, by the outcome.
pub type StatusByOutcome = fn(u16, Outcome) -> u16;

/// The open record of one call.
#[derive(Debug)]
pub struct CallRecord {
    recorder: Arc<Recorder>,
    progress: Arc<Progress>,
    opened: Instant,
    concluded: bool,
    admitted: bool,
    limit: Option<Duration>,
    status_of: StatusByOutcome,
    /// What is known so far. Boxed, because the record goes through the futures of its call, and each has room for it.
    pub report: Box<CallReport>,
}

impl CallRecord {
    /// The call's phase, shared with its relay.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// For an endpoint whose callers wait this long at most, and that answers failures with these statuses.
    #[must_use]
    pub fn at_endpoint(mut self, limit: Duration, status: StatusByOutcome) -> Self {
        (self.limit, self.status_of) = (Some(limit), status);
        self
    }

    /// For an endpoint that opens the record some time after the call arrived.
    #[must_use]
    pub fn arrived(mut self, at: Instant) -> Self {
        self.opened = at;
        self
    }

    /// Its bytes may have waited this long before they could be read: that is when it arrived.
    pub(crate) fn waited_through(&mut self, length: Duration) {
        self.opened = self.opened.checked_sub(length).unwrap_or(self.opened);
    }

    /// The call goes on now: it has a record of its own whatever becomes of it.
    pub(crate) const fn admit(&mut self) {
        self.admitted = true;
    }

    /// The time that the call has, from arrival to answer.
    #[must_use]
    pub fn limit(&self, longest: Duration) -> Duration {
        self.limit.map_or(longest, |limit| limit.min(longest))
    }

    /// When the call arrived.
    #[must_use]
    pub const fn opened(&self) -> Instant {
        self.opened
    }

    /// Notes what the body turned out to ask for.
    pub fn describe(&mut self, call: &Call) {
        self.report.method = Some(call.method.name());
        self.report.class = call.method.info().map(|info| info.class);
        self.report.id = call.id.value();
        self.report.params_string_len = call.params.canonical().len();
    }

    /// Concludes with an answer of the exchange.
    pub fn answered(&mut self, status: u16, code: Option<i64>, outcome: Outcome) {
        self.report.code = code;
        let why = if outcome == Outcome::Answered {
            None
        } else {
            Some(INCONCLUSIVE)
        };
        self.conclude(status, outcome, why);
    }

    /// Concludes with what is known of an earlier call of the same name; nothing is sent.
    pub(crate) fn known(
        &mut self,
        status: u16,
        code: Option<i64>,
        outcome: Outcome,
        why: &'static str,
    ) {
        self.progress.end();
        self.report.code = code;
        self.conclude((self.status_of)(status, outcome), outcome, Some(why));
    }

    /// Concludes without one; the phase gives the outcome.
    pub fn ended(&mut self, status: u16, why: &'static str) {
        let outcome = self.progress.end();
        self.conclude((self.status_of)(status, outcome), outcome, Some(why));
    }

    fn conclude(&mut self, status: u16, outcome: Outcome, why: Option<&'static str>) {
        if let Some(signed) = self.progress.signed() {
            self.report.nonce = Some(signed.nonce);
            self.report.string_to_sign_len = Some(signed.string_to_sign_len);
        }
        self.report.status = status;
        self.report.outcome = outcome;
        self.report.why = why;
        self.concluded = true;
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        if !self.concluded {
            // A panic, or the daemon ends with the call under way, or the caller left before its call was understood.
            let why = if std::thread::panicking() {
                "defect"
            } else {
                "abandoned"
            };
            self.ended(if std::thread::panicking() { 500 } else { 499 }, why);
        }
        if self.report.outcome == Outcome::Refused
            && !self.admitted
            && let Some(why) = self.report.why
            && !self.recorder.refusals.has_record(&self.report.caller, why)
        {
            return;
        }
        self.report.total = self.opened.elapsed();
        let by_ipv6 = self.report.family_of_peer();
        self.report.outbound = self
            .recorder
            .observed
            .outbound()
            .filter(|seen| by_ipv6.is_none_or(|by_ipv6| seen.address.is_ipv6() == by_ipv6));
        self.report.skew = self.recorder.observed.skew().estimate();
        line::write(&self.report);
        if !self.recorder.sinks.is_empty() {
            let copy = Arc::new(CallReport::clone(&self.report));
            for sink in &self.recorder.sinks {
                sink.record(&copy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Arc<CallReport>>>);

    impl RecordSink for Kept {
        fn record(&self, report: &Arc<CallReport>) {
            self.0.lock().unwrap().push(Arc::clone(report));
        }
    }

    #[test]
    fn a_line_shows_our_address_only_where_it_is_of_the_family_of_the_calls_own_connection() {
        let (v4, v6) = ("8.8.4.4", "2a00:1450::7");
        let rows = [
            (Some("104.18.0.7"), v4, true, Some(false)),
            (Some("104.18.0.7"), v6, false, Some(false)),
            (Some("2606:4700::7"), v6, true, Some(true)),
            (Some("2606:4700::7"), v4, false, Some(true)),
            // A gateway makes IPv4 of it.
            (Some("64:ff9b::6812:7"), v4, true, Some(false)),
            // A stand-in on this machine, and no answer.
            (Some("::1"), v4, true, Some(false)),
            (None, v6, true, Some(true)),
        ];
        for (peer, ours, shown, by_ipv6) in rows {
            let (kept, observed) = (Arc::<Kept>::default(), Arc::<Observed>::default());
            observed.note_outbound(ours.parse().unwrap());
            let sinks = vec![Arc::clone(&kept) as Arc<dyn RecordSink>];
            let recorder = Arc::new(Recorder::new("5f3a09c1", observed, sinks));
            let mut record = recorder.open("rid-1".into(), "backend".into());
            record.report.peer = peer.map(|peer| peer.parse().unwrap());
            record.answered(401, Some(40101), Outcome::Answered);
            drop(record);
            let report = kept.0.lock().unwrap().pop().unwrap();
            assert_eq!(report.outbound.is_some(), shown, "{peer:?} {ours}");
            assert_eq!(report.left_by_ipv6(), by_ipv6, "{peer:?} {ours}");
        }
    }
}
