//! The probes that talk to the exchange: connecting, a public method, the clock, and the private reads.
//!
//! Guarantees: in the order of the matrix, one at a time, so that the budgets of the live backend stay nearly whole;
//! each private probe is permitted, signed and sent as any call is, once. Does not: repeat one that failed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::value::RawValue;

use super::{Answer, Finding, Probe, Ready, Run, Scope, Seen};
use crate::verdict::Objection;
use gateway::{
    access::{Arrival, Peer},
    auth::Caller,
    failure::Failure,
    ledger::Cleared,
    observed::ClockSkewWindow,
    outcome::{Outcome, Progress},
    policy::{self, Permitted as _, Policy},
    record::{CallReport, INCONCLUSIVE, RecordSink},
    signer::{PreparedCall, Signer},
    upstream::{self, OurOwn, Reply, ReplyBody, Upstream},
};
use protocol::{
    call::{Call, RequestId},
    canonical::Dialect,
};

/// Public answers that the clock is read from.
const PUBLIC_CALLS: usize = 3;

const NO_NAME: &str = "the name of the exchange was not resolved";
const NO_CONNECTION: &str = "there is no connection to the exchange";
const NOT_THE_EXCHANGE: &str =
    "what answers there is not the exchange: signed calls would tell nothing";
const NOT_ANSWERED: &str = "the exchange did not answer the probe before";
const DOWN: &str = "the exchange answers with errors of its own";
const MAINTENANCE: &str = "the exchange is being maintained";
const HTTP: &str = "the base URL is http, on this machine";

/// Asks the exchange everything.
pub(super) async fn ask(run: Run<'_>, ready: &Ready) -> Vec<Finding> {
    let mut list = Vec::new();
    let mut stop = connect(run, ready, &mut list).await;
    let signer = Arc::new(Signer::new(ready.credentials.clone()));
    let session = match Upstream::new(&ready.upstream, run.plan.resolver.clone(), &signer) {
        Ok(upstream) => Session {
            run,
            signer,
            upstream,
            skew: ClockSkewWindow::default(),
        },
        Err(problem) => {
            let seen = Seen::NotPrepared(problem.to_string());
            list.retain(|finding| finding.probe != Probe::Tls);
            list.push(run.found(Probe::Tls, seen, Duration::ZERO));
            return skip_rest(run, list, NO_CONNECTION);
        }
    };
    if stop.is_none() {
        stop = session.ask_public(&mut list).await;
    }
    let private = Probe::ALL
        .iter()
        .filter(|probe| **probe >= Probe::Balance && run.is_wanted(**probe));
    for probe in private {
        if stop.is_some() {
            break;
        }
        let finding = match run.plan.live.in_place_of(*probe) {
            Some(seen) => run.found(*probe, seen, Duration::ZERO),
            None => session.ask_private(*probe).await,
        };
        stop = pointless_after(&finding.seen);
        list.push(finding);
    }
    skip_rest(run, list, stop.unwrap_or(NOT_ANSWERED))
}

fn skip_rest(run: Run<'_>, mut list: Vec<Finding>, reason: &'static str) -> Vec<Finding> {
    let of_others = [
        Probe::Credentials,
        Probe::SelfTest,
        Probe::Outbound,
        Probe::OutboundIpv6,
    ];
    for probe in Probe::ALL
        .iter()
        .filter(|probe| run.is_wanted(**probe) && !of_others.contains(probe))
    {
        if !list.iter().any(|finding| finding.probe == *probe) {
            list.push(run.found(*probe, Seen::Skipped(reason), Duration::ZERO));
        }
    }
    list
}

/// Name, TCP and TLS; the reason to stop where one of them failed.
async fn connect(run: Run<'_>, ready: &Ready, list: &mut Vec<Finding>) -> Option<&'static str> {
    // The deadline goes in: one that is set from outside could not tell in which of the three steps it passed.
    let patient = upstream::Settings {
        connect_deadline: run.patience_to_connect(ready),
        ..ready.upstream.clone()
    };
    let Ok(connector) = patient.connector(&run.plan.resolver) else {
        return Some(NO_CONNECTION);
    };
    let steps = connector.measure().await;
    let name_found = match steps.name.result {
        Ok(addresses) => Seen::Resolved(addresses),
        Err(reason) => Seen::NotResolved(reason),
    };
    let resolved = matches!(name_found, Seen::Resolved(_));
    list.push(run.found(Probe::Name, name_found, steps.name.took));
    let connected = steps.tcp.as_ref().is_some_and(|tcp| tcp.result.is_ok());
    if let Some(tcp) = steps.tcp {
        let seen = tcp.result.map_or_else(Seen::NotConnected, Seen::Connected);
        list.push(run.found(Probe::Tcp, seen, tcp.took));
    }
    let secured = match steps.tls {
        Some(tls) => {
            let secured = tls.result.is_ok();
            // The other side chose the name in it.
            let seen = match tls.result {
                Ok(()) => Seen::Secured,
                Err(why) => Seen::NotSecured(text::line(&why)),
            };
            list.push(run.found(Probe::Tls, seen, tls.took));
            secured
        }
        None if connected => {
            list.push(run.found(Probe::Tls, Seen::Skipped(HTTP), Duration::ZERO));
            true
        }
        None => false,
    };
    match (resolved, secured) {
        (false, _) => Some(NO_NAME),
        (true, false) => Some(NO_CONNECTION),
        (true, true) => None,
    }
}

/// Why nothing more can be learned after this; `None` where it can.
fn pointless_after(seen: &Seen) -> Option<&'static str> {
    if let Seen::Failed(failure) = seen
        && !failure.is_about_an_answer()
    {
        return Some(NOT_ANSWERED);
    }
    if let Seen::Answered(answer) = seen
        && answer.objection() == Some(Objection::Maintenance)
    {
        return Some(MAINTENANCE);
    }
    None
}

/// One client and one signer for all probes of a run.
struct Session<'r> {
    run: Run<'r>,
    signer: Arc<Signer>,
    upstream: Upstream,
    skew: ClockSkewWindow,
}

impl Session<'_> {
    /// Several times, for the clock; the reason to stop where it is not the exchange that answers.
    async fn ask_public(&self, list: &mut Vec<Finding>) -> Option<&'static str> {
        let (mut seen, mut took) = if self.run.plan.scope == Scope::Connection {
            self.time_public().await
        } else {
            self.timed(self.upstream.ask_public()).await
        };
        for _ in 1..PUBLIC_CALLS {
            if !matches!(seen, Seen::Answered(_)) || !self.run.is_wanted(Probe::Clock) {
                break;
            }
            // On the connection that is open by now: what the answer alone takes.
            let (again, faster) = self.timed(self.upstream.ask_public()).await;
            took = took.min(faster);
            if !matches!(again, Seen::Answered(_)) {
                seen = again;
            }
        }
        let foreign = if let Seen::Answered(answer) = &seen {
            answer.code.is_none() || answer.is_of_a_wrong_base()
        } else {
            false
        };
        let failed = matches!(seen, Seen::Failed(_));
        let down = matches!(&seen, Seen::Answered(answer) if answer.objection() == Some(Objection::Outage));
        let stop = match (down, foreign, failed) {
            (true, ..) => Some(DOWN),
            (_, true, _) => Some(NOT_THE_EXCHANGE),
            (.., true) => Some(NOT_ANSWERED),
            (false, false, false) => pointless_after(&seen),
        };
        list.push(self.run.found(Probe::Public, seen, took));
        if self.run.is_wanted(Probe::Clock) && stop.is_none() {
            list.push(self.run.found(
                Probe::Clock,
                Seen::Clock(self.skew.estimate()),
                Duration::ZERO,
            ));
        }
        stop
    }

    /// Once for what answers, and once more for its first byte, on the connection that is open by then.
    async fn time_public(&self) -> (Seen, Duration) {
        let (seen, took) = self.timed(self.upstream.ask_public()).await;
        if !matches!(seen, Seen::Answered(_)) {
            return (seen, took);
        }
        let mut first_byte = None;
        let again = async {
            let (reply, took) = self.upstream.time_public().await?;
            first_byte = Some(took);
            Ok(reply)
        };
        let (seen, took) = self.timed(again).await;
        (seen, first_byte.unwrap_or(took))
    }

    async fn ask_private(&self, probe: Probe) -> Finding {
        let Some(call) = self.prepare(probe) else {
            return self
                .run
                .found(probe, Seen::Failed(Failure::Defect), Duration::ZERO);
        };
        let progress = Arc::new(Progress::default());
        let (seen, took) = self
            .timed(self.upstream.send(call, &progress, &mut OurOwn))
            .await;
        self.run.found(probe, seen, took)
    }

    /// A probe's call, permitted and with its turn.
    fn prepare(&self, probe: Probe) -> Option<PreparedCall> {
        let with_params = [
            (Probe::OpenOrders, r#"{"page_size":"1"}"#),
            (Probe::CancelUnknown, r#"{"order_id":"1"}"#),
        ];
        let params = with_params
            .iter()
            .find(|(other, _)| *other == probe)
            .map_or("{}", |(_, params)| params);
        let params: Box<RawValue> = serde_json::from_str(params).ok()?;
        let dialect = Dialect::Documented;
        let call = Call::parse(RequestId::BACKEND, probe.method()?, Some(&params), dialect);
        // A caller of our own making, without limits.
        let caller = Caller {
            name: "diagnose".into(),
            policy: Policy::default(),
        };
        let clock = &self.run.plan.clock;
        let arrival = Arrival {
            source: &Peer::Unix { uid: None },
            now_ms: clock.now_ms(),
        };
        let permit = policy::authorize(&caller, arrival, call.ok()?).ok()?;
        let turn = self.signer.turn(clock, permit.call(), &caller.name).ok()?;
        Some(self.signer.prepare(Cleared::unwritten(permit)?, turn))
    }

    async fn timed(
        &self,
        asking: impl Future<Output = Result<Reply, Failure>>,
    ) -> (Seen, Duration) {
        let (began, sent_ms, patience) = (
            Instant::now(),
            self.run.plan.clock.now_ms(),
            self.run.patience(),
        );
        let answered = tokio::time::timeout(patience, asking)
            .await
            .unwrap_or(Err(Failure::Deadline(patience)));
        let seen = match answered {
            Ok(reply) => {
                let is_json = matches!(reply.body, ReplyBody::Json { .. });
                if let (true, Some(date_ms)) = (is_json, reply.date_ms) {
                    self.skew
                        .note(date_ms, sent_ms, self.run.plan.clock.now_ms());
                }
                Seen::Answered(Answer {
                    status: reply.status,
                    code: reply.code(),
                    is_json,
                })
            }
            Err(failure) => Seen::Failed(failure),
        };
        (seen, began.elapsed())
    }
}

/// Programs ask for it every few seconds, or not at all: who asked within this time will soon ask again.
const LATELY: Duration = Duration::from_secs(10);

/// The last live call of that method that may have reached the exchange. One that nobody notes anything on never stands
/// in a probe's place.
#[derive(Debug, Default)]
pub struct LiveUse(Mutex<Option<LiveCall>>);

#[derive(Clone, Copy, Debug)]
struct LiveCall {
    at: Instant,
    /// What the exchange answered, where it did.
    answer: Option<Answer>,
}

impl RecordSink for LiveUse {
    fn record(&self, report: &Arc<CallReport>) {
        if report.method.as_deref() != Probe::OrderHistory.method()
            || matches!(report.outcome, Outcome::Refused | Outcome::NotSent)
        {
            return;
        }
        let answered = report.outcome == Outcome::Answered || report.why == Some(INCONCLUSIVE);
        let answer = answered.then(|| Answer {
            status: report.status,
            code: report.code,
            is_json: report.media_type.is_none(),
        });
        // The exchange takes one such call per second: no other call meets this lock.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(LiveCall {
            at: Instant::now(),
            answer,
        });
    }
}

impl LiveUse {
    /// What stands in the place of this probe, where it is not to be made now.
    fn in_place_of(&self, probe: Probe) -> Option<Seen> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let LiveCall { at, answer } = last.filter(|_| probe == Probe::OrderHistory)?;
        let ago = at.elapsed();
        if ago >= LATELY {
            return None;
        }
        Some(match answer {
            Some(answer) => Seen::AnsweredToProgram(answer, ago),
            None => Seen::Skipped(
                "a program called it in the last 10 s and got no answer, and once per second is all that the key may",
            ),
        })
    }
}
