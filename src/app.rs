//! Puts a daemon together and runs it to its end.
//!
//! Guarantees: the listener is bound before anything is announced; the background tasks (address watch, watch of the
//! way, hints, alarms, history, aggregates) end with it; on the signal to stop, what was sent is finished and counted.
//! Does not: read settings, catch signals or talk to systemd; the subcommand does, so that tests and the demo run the
//! same daemon.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::server::{self, Address, BindProblem, Bound};
use crate::http::{
    AppState, ExchangeApi, Front, RequestIds, StatusPages, Tally, page::DaemonFacts,
};
use diagnosis::{
    alarm::Alarms,
    egress,
    hint::Hints,
    history::{self, History},
    probes::Target,
    reach,
    runner::DiagnosisRunner,
};
use gateway::{
    Gateway, Parts,
    observed::Observed,
    record::Recorder,
    replay::ReplayGuard,
    signer::Signer,
    stream::Dialer,
    upstream::{ClientProblem, Upstream},
};

mod along;
mod examined;
mod plan;

pub use plan::Plan;

use along::{Along, hand_to};
use examined::{probing, recall};

/// How often refusals without a caller are logged.
const TALLY_EVERY: Duration = Duration::from_secs(10);
/// What the last mark of signed requests may take at the end.
const LAST_MARK: Duration = Duration::from_secs(1);
/// What the history's last batch may take at the end.
const LAST_BATCH: Duration = Duration::from_secs(2);

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
    app: Arc<AppState>,
    bound: Bound,
    server: server::Settings,
    watch: egress::Watch,
    reach: reach::Watch,
    hints: Along<Hints>,
    alarms: Along<Alarms>,
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
        let (probing, examination) = (probing(&plan), plan.examination);
        let observed = Arc::new(Observed::new(plan.expected));
        let ca_file = plan.upstream.ca_file.clone();
        let watch = egress::Watch::new(
            plan.egress,
            Arc::clone(&observed),
            plan.resolver.clone(),
            ca_file.as_deref(),
        )?;
        let dialer = Dialer::new(plan.streams, &plan.upstream, plan.resolver.clone())?;
        let upstream = Upstream::new(&plan.upstream, plan.resolver, &signer)?;
        let bound = Bound::bind(&plan.server).await?;
        // Last: a start that cannot succeed is none, and leaves nothing in the history.
        let base_url = plan.upstream.base.to_string();
        let start = history::Start {
            credentials: plan.credentials,
            base_url,
            configuration: plan.configuration,
        };
        let (history, pair) =
            History::open(plan.state_dir.as_deref(), plan.history, start, &plan.clock);
        let hints = Along::new(Hints::new(Arc::clone(&observed), watch.trigger(), pair));
        let alarms = Along::new(Alarms::default());
        let reach = reach::Watch::new(plan.reach, probing.clone());
        let own = [
            hand_to(&hints.to),
            hand_to(&alarms.to),
            probing.live.reader(),
        ];
        let readers = own
            .into_iter()
            .chain(reach.reader())
            .chain(history.reader())
            .collect();
        let examination = DiagnosisRunner::new(probing, examination, recall(&history, &plan.clock));
        let recorder = Arc::new(Recorder::new(
            signer.fingerprint(),
            Arc::clone(&observed),
            readers,
        ));
        let clock = plan.clock.clone();
        let replay = ReplayGuard::open(
            plan.state_dir.as_deref(),
            plan.callers.has_virtual_keys(),
            &clock,
        );
        let parts = Parts {
            settings: plan.pipeline,
            callers: plan.callers,
            signer,
            upstream,
            dialer,
            observed: Arc::clone(&observed),
            recorder,
            replay,
            clock: plan.clock,
        };
        let about = DaemonFacts {
            fingerprint: Some(parts.signer.fingerprint().to_string()),
            label: examination.facts().label.clone(),
            source: examination.facts().source.clone(),
            target: Some(Target::of(&plan.upstream.base)),
            up_since_ms: Some(clock.now_ms()),
            warnings: plan.standing_warnings.clone(),
        };
        let gateway = Gateway::new(parts);
        let app = Arc::new(AppState {
            gateway: Arc::clone(&gateway),
            exchange_v1: ExchangeApi::new(
                &plan.http.exchange_v1,
                plan.server.listen.iter().all(Address::is_local),
            ),
            settings: plan.http,
            tally: Arc::default(),
            status: StatusPages::new(about, history.clone(), clock.clone()),
            request_ids: RequestIds::new(clock),
            standing_warnings: plan.standing_warnings,
            examination,
            hints: hints.reader.last(),
            alarms: alarms.reader.standing(),
            reach: reach.watched(),
        });
        Ok(Self {
            gateway,
            app,
            bound,
            server: plan.server,
            watch,
            reach,
            hints,
            alarms,
            history,
            observed,
        })
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
        Arc::clone(&self.app.tally)
    }

    /// Serves until `stop`, then finishes what was sent, within the drain deadline.
    pub async fn run(self, stop: CancellationToken) -> Drained {
        let Self {
            gateway,
            app,
            bound,
            server,
            watch,
            reach,
            hints,
            alarms,
            history,
            observed,
        } = self;
        let background = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(
            history
                .clone()
                .follow_address(observed, watch.trigger().confirmed()),
        );
        tasks.spawn(watch.run(background.clone()));
        // Its last word would come too late for anybody: it ends with the signal to stop.
        tasks.spawn(reach.run(stop.clone()));
        tasks.spawn(hints.reader.run(hints.reports));
        tasks.spawn(alarms.reader.run(alarms.reports));
        tasks.spawn(tell_tally(
            Arc::clone(&app),
            history.clone(),
            background.clone(),
        ));
        let drain_deadline = server.drain_deadline;
        let examination = Arc::clone(&app.examination);
        let tally = Arc::clone(&app.tally);
        let serving = tokio::spawn(bound.serve(server, Front::new(app), tally, stop.clone()));
        stop.cancelled().await;
        gateway.drain();
        examination.stop();
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
        if tokio::time::timeout(LAST_MARK, gateway.authenticator().replay().close())
            .await
            .is_err()
        {
            tracing::warn!(
                "the last mark of signed requests is not written: the next start refuses them for seconds"
            );
        }
        // Who reads along ends when it has read what there is; a record that is written later has no copy.
        drop((hints.to, alarms.to));
        tasks.spawn(async move { examination.ended().await });
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            while tasks.join_next().await.is_some() {}
        })
        .await;
        if tokio::time::timeout(LAST_BATCH, history.close())
            .await
            .is_err()
        {
            tracing::warn!("the history's last second is not written: the disk does not answer");
        }
        drained
    }
}

async fn tell_tally(app: Arc<AppState>, history: History, stop: CancellationToken) {
    let mut ticks = tokio::time::interval_at(Instant::now() + TALLY_EVERY, TALLY_EVERY);
    let tell = || {
        app.tally
            .tell()
            .into_iter()
            .for_each(|(refused, count)| history.refused(refused.word(), count));
        app.exchange_v1.tell();
    };
    loop {
        tokio::select! {
            _ = ticks.tick() => tell(),
            () = stop.cancelled() => return tell(),
        }
    }
}
