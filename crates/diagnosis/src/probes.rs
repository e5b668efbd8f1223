//! The probe matrix: what can be asked without trading, each probe a [`Finding`].
//!
//! Guarantees: private probes take the path of every call (permit, signature, one transmission); nothing here trades or
//! moves money; a run ends within its deadline with what is known by then, and a probe that earlier ones make pointless
//! is skipped with the reason. Does not: say what the findings mean; that is [`causes`](super::causes).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Builder, task};
use tokio_util::sync::CancellationToken;

use crate::egress::{self, Reading};
use gateway::{
    clock::Clock, connect::Resolver, observed::Expected, secret::Credentials, self_test, upstream,
};

mod exchange;
mod finding;
mod findings;

pub use exchange::LiveUse;
pub use finding::{Answer, Finding, Grade, Probe, Seen, is_expected};
pub(super) use finding::{certainly_inside, certainly_outside};
pub use findings::{CredentialFacts, Environment, Findings, Flaw, FlawFound, Target};

/// A whole run ends within this.
pub const RUN_DEADLINE: Duration = Duration::from_secs(10);
/// One probe ends within this.
pub(super) const PROBE_DEADLINE: Duration = Duration::from_secs(4);

/// Which probes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The matrix.
    Full,
    /// Public, balance, open orders, order history.
    Quick,
    /// Name, TCP, TLS and the first byte of a public answer: nothing is signed.
    Connection,
    /// The matrix, and a cancellation of an order that cannot exist: from the command line only.
    WithCancel,
}

/// What is probed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the loader says of the pair.
    pub facts: CredentialFacts,
    /// What is needed to ask anybody; `None` where the configuration cannot be used.
    pub ready: Option<Ready>,
    /// The operator's statement about the whitelist.
    pub expected: Expected,
    /// Which probes.
    pub scope: Scope,
    /// A whole run ends within this.
    pub deadline: Duration,
    /// The time.
    pub clock: Clock,
    /// Names to addresses.
    pub resolver: Resolver,
    /// What live programs use; probes that would stand in their way are not made.
    pub live: Arc<LiveUse>,
}

/// What is needed to ask anybody.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The pair that signs.
    pub credentials: Credentials,
    /// The connection to the exchange.
    pub upstream: upstream::Settings,
    /// Who tells our address.
    pub egress: egress::Settings,
}

/// Hears of each finding as it comes.
pub type Tell<'t> = &'t (dyn Fn(&Finding) + Sync);

/// One run: how long it may take, and who hears of it.
#[derive(Clone, Copy)]
struct Run<'r> {
    plan: &'r Plan,
    end: Instant,
    tell: Tell<'r>,
}

/// Makes every probe of the plan.
pub async fn run(plan: &Plan, tell: Tell<'_>) -> Findings {
    let (began, at_ms) = (Instant::now(), plan.clock.now_ms());
    let run = Run {
        plan,
        end: began + plan.deadline,
        tell,
    };
    let mut list = Vec::new();
    if run.is_wanted(Probe::SelfTest) {
        list.push(run.found(
            Probe::Credentials,
            Seen::Credentials(plan.facts.clone()),
            Duration::ZERO,
        ));
        list.push(run.sign());
    }
    if let Some(ready) = &plan.ready {
        let (exchange, outbound) =
            tokio::join!(exchange::ask(run, ready), measure_outbound(run, ready));
        list.extend(exchange.into_iter().chain(outbound));
    }
    for probe in Probe::ALL.iter().filter(|probe| run.is_wanted(**probe)) {
        if !list.iter().any(|finding| finding.probe == *probe) {
            list.push(run.found(
                *probe,
                Seen::Skipped("the configuration cannot be used"),
                Duration::ZERO,
            ));
        }
    }
    list.sort_by_key(|finding| finding.probe);
    let target = plan
        .ready
        .as_ref()
        .map(|ready| Target::of(&ready.upstream.base));
    Findings {
        at_ms,
        took: began.elapsed(),
        target,
        expected: plan.expected.clone(),
        list,
    }
}

impl Run<'_> {
    fn is_wanted(&self, probe: Probe) -> bool {
        match self.plan.scope {
            Scope::WithCancel => true,
            Scope::Full => probe != Probe::CancelUnknown,
            Scope::Quick => {
                let quick = [
                    Probe::Public,
                    Probe::Balance,
                    Probe::OpenOrders,
                    Probe::OrderHistory,
                ];
                quick.contains(&probe) || probe < Probe::Public
            }
            Scope::Connection => {
                [Probe::Name, Probe::Tcp, Probe::Tls, Probe::Public].contains(&probe)
            }
        }
    }

    fn found(&self, probe: Probe, seen: Seen, took: Duration) -> Finding {
        let finding = Finding { probe, seen, took };
        (self.tell)(&finding);
        finding
    }

    fn sign(&self) -> Finding {
        let began = Instant::now();
        let summary = self_test::run();
        let seen = Seen::SelfTest {
            right: summary.signed + summary.refused,
            wrong: summary.wrong.len(),
        };
        self.found(Probe::SelfTest, seen, began.elapsed())
    }

    /// What one probe may take.
    fn patience(&self) -> Duration {
        PROBE_DEADLINE.min(self.left())
    }

    /// What name, TCP and TLS may take together: a run that only connects has the time that calls have.
    fn patience_to_connect(&self, ready: &Ready) -> Duration {
        let longest = if self.plan.scope == Scope::Connection {
            self.left()
        } else {
            self.patience()
        };
        longest.min(ready.upstream.connect_deadline)
    }

    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

/// Measures both families side by side.
async fn measure_outbound(run: Run<'_>, ready: &Ready) -> Vec<Finding> {
    if !run.is_wanted(Probe::Outbound) {
        return Vec::new();
    }
    let (ipv4, ipv6) = tokio::join!(
        ask_services(run, ready, Probe::Outbound),
        ask_services(run, ready, Probe::OutboundIpv6)
    );
    vec![ipv4, ipv6]
}

async fn ask_services(run: Run<'_>, ready: &Ready, probe: Probe) -> Finding {
    let (services, resolver) = (&ready.egress.services, &run.plan.resolver);
    let (services, resolver) = if probe == Probe::OutboundIpv6 {
        (egress::over_ipv6(services), resolver.over_ipv6())
    } else {
        (egress::over_ipv4(services), resolver.over_ipv4())
    };
    if services.is_empty() {
        return run.found(
            probe,
            Seen::Skipped("no service is configured to ask (egress.services)"),
            Duration::ZERO,
        );
    }
    let (began, patience) = (Instant::now(), run.patience());
    let deadline = ready.egress.deadline.min(patience);
    let measured = egress::measure_once(
        &services,
        deadline,
        resolver,
        ready.upstream.ca_file.as_deref(),
    );
    let seen = match tokio::time::timeout(patience, measured).await {
        Ok(Ok(reading)) => Seen::Outbound(reading),
        Ok(Err(problem)) => Seen::NotPrepared(problem.to_string()),
        Err(_) => Seen::Outbound(Reading::Silence),
    };
    run.found(probe, seen, began.elapsed())
}

/// Makes every probe of the plan; `None` where `stop` came first, or no thread can have a runtime.
pub(crate) async fn apart(plan: Plan, stop: CancellationToken) -> Option<Findings> {
    task::spawn_blocking(logged(move || on_this_thread(&plan, &stop)))
        .await
        .ok()
        .flatten()
}

fn on_this_thread(plan: &Plan, stop: &CancellationToken) -> Option<Findings> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let findings = runtime.block_on(stop.run_until_cancelled(run(plan, &|_| {})));
    // A look-up that hangs in the system's resolver must not keep the thread.
    runtime.shutdown_background();
    findings
}

/// Lines of the other thread go where this one's go.
pub(crate) fn logged<T>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl FnOnce() -> T + Send + 'static {
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    move || tracing::dispatcher::with_default(&dispatch, work)
}
