//! Puts a daemon together and runs it to its end.
//!
//! Guarantees: the listener is bound before anything is announced; the background tasks (address watch, hint lines,
//! history, aggregates) end with it; on the signal to stop, what was sent is finished and counted. Does not: read settings,
//! catch signals or talk to systemd; the subcommand does, so that tests and the demo run the same daemon.

use std::{iter, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::server::{self, Address, BindProblem, Bound};
use crate::{
    diagnosis::{
        egress,
        hint::Hints,
        history::{self, History},
    },
    gateway::{
        caller::Callers,
        clock::Clock,
        observed::{Expected, Observed},
        pipeline::{self, Gateway, Parts},
        record::{CallReport, Reader, Recorder},
        secret::Credentials,
        session::{self, Dialer, StreamBase},
        signer::Signer,
        upstream::{self, BaseUrl, ClientProblem, Resolver, Upstream},
    },
    http::{self, Doors, Front, Logins, RequestIds, Tally},
};

/// Copies of records that may wait for those who read along.
const RECORDS_WAITING: usize = 1024;
/// How often refusals without a caller are logged.
const TALLY_EVERY: Duration = Duration::from_secs(10);
/// What the history's last batch may take at the end.
const LAST_BATCH: Duration = Duration::from_secs(2);

/// Everything a daemon is made of.
#[derive(Debug)]
pub struct Plan {
    /// The pair that signs.
    pub credentials: Credentials,
    /// Who may call.
    pub callers: Callers,
    /// How the exchange is reached.
    pub upstream: upstream::Settings,
    /// How streams behave.
    pub streams: session::Settings,
    /// How calls are carried out.
    pub pipeline: pipeline::Settings,
    /// How the doors behave.
    pub http: http::Settings,
    /// How the listener behaves.
    pub server: server::Settings,
    /// How our outbound address is watched.
    pub egress: egress::Settings,
    /// The operator's statement about the whitelist.
    pub expected: Expected,
    /// Where the daemon may keep state.
    pub state_dir: Option<PathBuf>,
    /// How much of what happened is kept.
    pub history: history::Settings,
    /// A digest of the effective settings, so that the history sees them change.
    pub configuration: String,
    /// Warnings that stay in `/ready`.
    pub standing_warnings: Vec<String>,
    /// The time.
    pub clock: Clock,
    /// Names to addresses.
    pub resolver: Resolver,
}

impl Plan {
    /// A daemon with every default, for these credentials, callers and exchange: no address watch, no state.
    #[must_use]
    pub fn new(credentials: Credentials, callers: Callers, base: BaseUrl) -> Self {
        Self {
            credentials,
            callers,
            streams: session::Settings::new(StreamBase::beside(&base)),
            upstream: upstream::Settings::new(base),
            pipeline: pipeline::Settings::default(),
            http: http::Settings::default(),
            server: server::Settings::default(),
            egress: egress::Settings::off(),
            expected: Expected::Unstated,
            state_dir: None,
            history: history::Settings::default(),
            configuration: String::new(),
            standing_warnings: Vec::new(),
            clock: Clock::system(),
            resolver: Resolver::system(),
        }
    }
}

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartProblem {
    /// The way to the exchange.
    #[error(transparent)]
    Client(#[from] ClientProblem),
    /// An address to listen on.
    #[error(transparent)]
    Bind(#[from] BindProblem),
}

/// A daemon that is bound and not yet serving.
#[derive(Debug)]
pub struct Daemon {
    gateway: Arc<Gateway>,
    doors: Arc<Doors>,
    bound: Bound,
    server: server::Settings,
    to_hints: mpsc::Sender<Arc<CallReport>>,
    reports: mpsc::Receiver<Arc<CallReport>>,
    watch: egress::Watch,
    hints: Hints,
    history: History,
    observed: Arc<Observed>,
}

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every call ended by itself.
    Clean,
    /// The drain deadline passed with this many calls under way; their records say what may have become of them.
    Left(usize),
}

impl Daemon {
    /// Binds every address and prepares everything.
    ///
    /// # Errors
    /// [`StartProblem`].
    pub async fn bind(plan: Plan) -> Result<Self, StartProblem> {
        let signer = Signer::new(plan.credentials.clone());
        let observed = Arc::new(Observed::new(plan.expected));
        let ca_file = plan.upstream.ca_file.clone();
        let watch = egress::Watch::new(plan.egress, Arc::clone(&observed), plan.resolver.clone(), ca_file.as_deref())?;
        let dialer = Dialer::new(plan.streams, &plan.upstream, plan.resolver.clone())?;
        let upstream = Upstream::new(&plan.upstream, plan.resolver, &signer)?;
        let bound = Bound::bind(&plan.server).await?;
        // Last: a start that cannot succeed is none, and leaves nothing in the history.
        let base_url = plan.upstream.base.to_string();
        let start = history::Start { credentials: plan.credentials, base_url, configuration: plan.configuration };
        let (history, pair) = History::open(plan.state_dir.as_deref(), plan.history, start, &plan.clock);
        let hints = Hints::new(Arc::clone(&observed), watch.trigger(), pair);
        let (to_hints, reports) = mpsc::channel(RECORDS_WAITING);
        let readers = iter::once(hand_to(&to_hints)).chain(history.reader()).collect();
        let recorder = Arc::new(Recorder::new(signer.fingerprint(), Arc::clone(&observed), readers));
        let clock = plan.clock.clone();
        let parts = Parts {
            settings: plan.pipeline,
            callers: plan.callers,
            signer,
            upstream,
            dialer,
            observed: Arc::clone(&observed),
            recorder,
            clock: plan.clock,
        };
        let gateway = Gateway::new(parts);
        let doors = Arc::new(Doors {
            gateway: Arc::clone(&gateway),
            settings: plan.http,
            tally: Arc::default(),
            request_ids: RequestIds::new(clock),
            logins: Logins::default(),
            standing_warnings: plan.standing_warnings,
        });
        Ok(Self { gateway, doors, bound, server: plan.server, to_hints, reports, watch, hints, history, observed })
    }

    /// Where we listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.bound.addresses()
    }

    /// The gateway, to look at from outside.
    #[must_use]
    pub fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway)
    }

    /// What is kept of calls and changes, to be asked.
    #[must_use]
    pub fn history(&self) -> History {
        self.history.clone()
    }

    /// What is refused before a caller is known.
    #[must_use]
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.doors.tally)
    }

    /// Serves until `stop`, then finishes what was sent, within the drain deadline.
    pub async fn run(self, stop: CancellationToken) -> Drained {
        let Self { gateway, doors, bound, server, to_hints, reports, watch, hints, history, observed } = self;
        let background = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(history.clone().follow_address(observed, watch.trigger().confirmed()));
        tasks.spawn(watch.run(background.clone()));
        tasks.spawn(hints.run(reports));
        tasks.spawn(tell_tally(Arc::clone(&doors.tally), history.clone(), background.clone()));
        let drain_deadline = server.drain_deadline;
        let tally = Arc::clone(&doors.tally);
        let serving = tokio::spawn(bound.serve(server, Front::new(doors), tally, stop.clone()));
        stop.cancelled().await;
        gateway.drain();
        let deadline = Instant::now() + drain_deadline;
        let clean = tokio::time::timeout_at(deadline, async {
            gateway.drained().await;
            let _ = serving.await;
        });
        let _ = clean.await;
        let drained = match gateway.in_flight() {
            // Also where only a caller is left that does not read its answer: no call is in doubt.
            0 => Drained::Clean,
            left => Drained::Left(left),
        };
        background.cancel();
        // The hints end when they have read what there is; a record that is written later has no copy.
        drop(to_hints);
        let _ =
            tokio::time::timeout(Duration::from_secs(1), async { while tasks.join_next().await.is_some() {} }).await;
        if tokio::time::timeout(LAST_BATCH, history.close()).await.is_err() {
            tracing::warn!("the history's last second is not written: the disk does not answer");
        }
        drained
    }
}

/// Hands reports over a bounded channel until its owner drops it. Full or closed: who reads along misses one.
fn hand_to(channel: &mpsc::Sender<Arc<CallReport>>) -> Reader {
    let channel = channel.downgrade();
    Box::new(move |report| {
        if let Some(channel) = channel.upgrade() {
            let _ = channel.try_send(Arc::clone(report));
        }
    })
}

async fn tell_tally(tally: Arc<Tally>, history: History, stop: CancellationToken) {
    let mut ticks = tokio::time::interval_at(Instant::now() + TALLY_EVERY, TALLY_EVERY);
    let tell = || tally.tell().into_iter().for_each(|(refused, count)| history.refused(refused.word(), count));
    loop {
        tokio::select! {
            _ = ticks.tick() => tell(),
            () = stop.cancelled() => return tell(),
        }
    }
}
