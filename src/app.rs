//! Puts a daemon together and runs it to its end.
//!
//! Guarantees: the listener is bound before anything is announced; the background tasks (address watch, watch of the
//! connection to the exchange, hints, alarms, history, aggregates) end with it; on the signal to stop, what was sent is
//! finished and counted. Does not: read settings, catch signals or talk to systemd; the subcommand does, so that tests and
//! the demo run the same daemon.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{runtime::Handle, sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::server::{self, Address, BindProblem, Bound};
use crate::config::Config;
use crate::control::Control;
use crate::http::{
    AppState, ExchangeApi, Front, Rejections, RequestIds, StatusPages, page::DaemonFacts,
};
use crate::places::Places;
use diagnosis::{
    alarm::Alarms,
    causes::Past,
    doubt::Doubts,
    egress,
    hint::{HintReader, Hints},
    history::{self, History},
    history_summary::recollect,
    probes::{self, LiveUse, Ready, Scope, Target},
    reach,
    runner::{DiagnosisRunner, OnSeen, Recall},
};
use gateway::{
    Gateway, Parts,
    clock::Clock,
    ledger::{Account, Ledger, Listing},
    observed::Observed,
    record::{CallReport, RecordSink, Recorder},
    replay::ReplayGuard,
    signer::Signer,
    stream::Dialer,
    upstream::{ClientProblem, Upstream},
};

/// How often refusals are logged that have no line of their own: those without a caller, and a flood of a caller's.
const REJECTIONS_EVERY: Duration = Duration::from_secs(10);
/// What the last mark of signed requests may take at the end.
const LAST_MARK: Duration = Duration::from_secs(1);
/// The account of the one key pair: it has no name of its own.
const DEFAULT_ACCOUNT: &str = "default";
/// What the history's last batch may take at the end.
const LAST_BATCH: Duration = Duration::from_secs(2);

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartProblem {
    /// The connection to the exchange.
    #[error(transparent)]
    Client(#[from] ClientProblem),
    /// An address to listen on.
    #[error(transparent)]
    Bind(#[from] BindProblem),
    /// The order journal is another's.
    #[error("{}: {problem}", path.display())]
    Ledger {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        problem: ledger::Problem,
    },
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
    hints: mpsc::Sender<Arc<CallReport>>,
    alarms: RecordTask<Alarms>,
    history: History,
    observed: Arc<Observed>,
    control: Option<Control>,
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
    pub async fn bind(config: Config) -> Result<Self, StartProblem> {
        let signer = Signer::new(config.credentials.clone());
        let (probing, runner) = (probing(&config), config.runner);
        let observed = Arc::new(Observed::new(config.expected));
        let ca_file = config.upstream.ca_file.clone();
        let watch = egress::Watch::new(
            config.egress,
            Arc::clone(&observed),
            config.resolver.clone(),
            ca_file.as_deref(),
        )?
        .of_calls_to(
            config.upstream.base.host(),
            config.resolver.clone(),
            ca_file.as_deref(),
        )?;
        let dialer = Dialer::new(config.streams, &config.upstream, config.resolver.clone())
            .map_err(ClientProblem::from)?;
        let upstream = Upstream::new(&config.upstream, config.resolver, &signer)?;
        let bound = Bound::bind(&config.server).await?;
        let ledger = open_ledger(config.state_dir.as_deref(), config.orders, &config.clock)?;
        let control = match &config.state_dir {
            // Behind the journal: whoever has that is the only daemon here.
            Some(state_dir) => Control::bind(state_dir).await,
            None => None,
        };
        let account = Account {
            environment: config.upstream.base.host().into(),
            name: DEFAULT_ACCOUNT.into(),
        };
        // Last: a start that cannot succeed is none, and leaves nothing in the history.
        let base_url = config.upstream.base.to_string();
        let start = history::Start {
            credentials: config.credentials,
            base_url,
            configuration: config.configuration,
        };
        let (history, pair) = History::open(
            config.state_dir.as_deref(),
            config.history,
            start,
            &config.clock,
        );
        let (hints, reports) = mpsc::channel(RECORDS_WAITING);
        let hinting = Hints::new(
            Arc::clone(&observed),
            watch.trigger(),
            pair,
            &probing.facts,
            Target::of(&config.upstream.base),
        );
        let hint_reader = HintReader::new(hinting, reports);
        let alarms = RecordTask::new(Alarms::default());
        let reach = reach::Watch::new(config.reach, Arc::clone(&observed), probing.clone());
        let live = Arc::clone(&probing.live);
        let doubts = doubts_of(&ledger, config.state_dir.as_deref(), &config.clock);
        let own: [Arc<dyn RecordSink>; 3] = [copies_to(&hints), copies_to(&alarms.to), live];
        let sinks = own
            .into_iter()
            .chain(reach.sink())
            .chain(history.sink())
            .collect();
        let seen = after_a_run(Arc::clone(&observed), watch.trigger());
        let recorder = Arc::new(Recorder::new(
            signer.fingerprint(),
            Arc::clone(&observed),
            sinks,
        ));
        let rejections = Arc::<Rejections>::default();
        let refusals = (Arc::clone(&rejections), Arc::clone(&recorder));
        let recall = recall(&history, refusals, &config.clock);
        let runner = DiagnosisRunner::new(probing, runner, recall, seen, Arc::clone(&doubts));
        let clock = config.clock.clone();
        let replay = ReplayGuard::open(
            config.state_dir.as_deref(),
            config.callers.has_virtual_keys(),
            &clock,
        );
        let parts = Parts {
            settings: config.gateway,
            callers: config.callers,
            signer,
            upstream,
            dialer,
            observed: Arc::clone(&observed),
            recorder,
            replay,
            ledger,
            account: Arc::new(account),
            clock: config.clock,
        };
        let about = DaemonFacts {
            fingerprint: Some(parts.signer.fingerprint().to_string()),
            label: runner.facts().label.clone(),
            source: runner.facts().source.clone(),
            target: Some(Target::of(&config.upstream.base)),
            up_since_ms: Some(clock.now_ms()),
            warnings: config.standing_warnings.clone(),
        };
        let gateway = Gateway::new(parts);
        let app = Arc::new(AppState {
            gateway: Arc::clone(&gateway),
            exchange_v1: ExchangeApi::new(
                &config.http.exchange_v1,
                config.server.listen.iter().all(Address::is_local),
                gateway.streams().settings().max_anonymous(),
            ),
            settings: config.http,
            rejections,
            guesses: Arc::default(),
            logins: Arc::new(Places::of_strangers(
                gateway.streams().settings().max_unauthenticated,
            )),
            status: StatusPages::new(about, history.clone(), clock.clone()),
            request_ids: RequestIds::new(clock),
            standing_warnings: config.standing_warnings,
            runner,
            hints: hint_reader,
            alarms: alarms.reader.standing(),
            doubts,
            reach: reach.watched(),
        });
        Ok(Self {
            gateway,
            app,
            bound,
            server: config.server,
            watch,
            reach,
            hints,
            alarms,
            history,
            observed,
            control,
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
    pub fn rejections(&self) -> Arc<Rejections> {
        Arc::clone(&self.app.rejections)
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
            control,
        } = self;
        let background = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(
            history
                .clone()
                .follow_address(observed, watch.trigger().confirmed()),
        );
        tasks.spawn(watch.run(background.clone()));
        let (stalls, until) = (Arc::clone(gateway.stalls()), background.clone());
        tasks.spawn(async move { stalls.run(until).await });
        // Its last word would come too late for anybody: it ends with the signal to stop.
        tasks.spawn(reach.run(stop.clone()));
        tasks.spawn(Arc::clone(&app.hints).run());
        if gateway.settings().find_out {
            tasks.spawn(gateway.reconciler().run(background.clone()));
        }
        if let Some(control) = control {
            let ledger = Arc::clone(gateway.ledger());
            tasks.spawn(control.serve(ledger, background.clone()));
        }
        tasks.spawn(alarms.reader.run(alarms.reports));
        tasks.spawn(Arc::clone(&app.doubts).watch(background.clone()));
        tasks.spawn(log_rejections(
            Arc::clone(&app),
            history.clone(),
            background.clone(),
        ));
        let drain_deadline = server.drain_deadline;
        let runner = Arc::clone(&app.runner);
        let counts = Arc::clone(&app);
        let rejections = Arc::clone(&app.rejections);
        let serving = tokio::spawn(bound.serve(server, Front::new(app), rejections, stop.clone()));
        stop.cancelled().await;
        gateway.drain();
        runner.stop();
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
        // Whoever asks is answered after what was said before is written.
        if tokio::time::timeout(LAST_BATCH, gateway.ledger().list(Listing::default()))
            .await
            .is_err()
        {
            tracing::warn!(
                "the order journal's last entries are not written: the next start finds out about those orders"
            );
        }
        // These tasks end when they have read what there is; a record that is written later has no copy.
        drop((hints, alarms.to));
        tasks.spawn(async move { runner.ended().await });
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            while tasks.join_next().await.is_some() {}
        })
        .await;
        // What was refused while the last tasks ended.
        log_counts(&counts, &history);
        if tokio::time::timeout(LAST_BATCH, history.close())
            .await
            .is_err()
        {
            tracing::warn!("the history's last second is not written: the disk does not answer");
        }
        drained
    }
}

/// The order journal in the state directory; without one, in memory.
fn open_ledger(
    state_dir: Option<&Path>,
    settings: ledger::Settings,
    clock: &Clock,
) -> Result<Arc<dyn Ledger>, StartProblem> {
    let times = ledger::Times::by(clock.clone());
    let of = |path: &Path| {
        let path = path.to_owned();
        move |problem| StartProblem::Ledger { path, problem }
    };
    let Some(state_dir) = state_dir else {
        tracing::warn!(
            "there is no state directory (STATE_DIRECTORY): names of orders are known until this process ends, and no longer"
        );
        let journal = ledger::Journal::in_memory(settings, times);
        return Ok(Arc::new(journal.map_err(of(Path::new("memory")))?));
    };
    let path = state_dir.join(ledger::FILE_NAME);
    let journal = ledger::Journal::open(&path, settings, times);
    Ok(Arc::new(journal.map_err(of(&path))?))
}

async fn log_rejections(app: Arc<AppState>, history: History, stop: CancellationToken) {
    let mut ticks = tokio::time::interval_at(Instant::now() + REJECTIONS_EVERY, REJECTIONS_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => log_counts(&app, &history),
            () = stop.cancelled() => return log_counts(&app, &history),
        }
    }
}

fn log_counts(app: &AppState, history: &History) {
    log_refusals(&app.rejections, app.gateway.recorder(), history);
    app.exchange_v1.log_usage();
}

fn log_refusals(rejections: &Rejections, recorder: &Recorder, history: &History) {
    for (refused, count) in rejections.log() {
        history.refused(refused.word(), count);
    }
    for further in recorder.log_refusals() {
        history.refused_calls(further);
    }
}

/// Copies of records that may wait for a task.
const RECORDS_WAITING: usize = 1024;

/// A task that reads copies of the records, and the channel they come through. The task ends when its sender is gone and
/// it has read what there is. A call never waits for it.
#[derive(Debug)]
struct RecordTask<T> {
    reader: T,
    to: mpsc::Sender<Arc<CallReport>>,
    reports: mpsc::Receiver<Arc<CallReport>>,
}

impl<T> RecordTask<T> {
    fn new(reader: T) -> Self {
        let (to, reports) = mpsc::channel(RECORDS_WAITING);
        Self {
            reader,
            to,
            reports,
        }
    }
}

/// Hands reports over a bounded channel until its owner drops it. Full or closed: the task misses one.
struct Copies(mpsc::WeakSender<Arc<CallReport>>);

impl RecordSink for Copies {
    fn record(&self, report: &Arc<CallReport>) {
        if let Some(channel) = self.0.upgrade() {
            let _ = channel.try_send(Arc::clone(report));
        }
    }
}

/// The sink that hands reports over this channel.
fn copies_to(channel: &mpsc::Sender<Arc<CallReport>>) -> Arc<dyn RecordSink> {
    Arc::new(Copies(channel.downgrade()))
}

/// What the daemon is diagnosed with: the key pair, the connection and the services that it works with itself.
fn probing(config: &Config) -> probes::Plan {
    let ready = Ready {
        credentials: config.credentials.clone(),
        upstream: config.upstream.clone(),
        egress: config.egress.clone(),
    };
    probes::Plan {
        facts: config.pair.clone(),
        ready: Some(ready),
        expected: config.expected.clone(),
        // Never with the cancellation: over HTTP nothing is sent that could touch an order.
        scope: Scope::Full,
        deadline: config.runner.run_deadline,
        clock: config.clock.clone(),
        resolver: config.resolver.clone(),
        live: Arc::<LiveUse>::default(),
    }
}

/// The calls in doubt as the journal knows them, and what to do where it is away.
fn doubts_of(ledger: &Arc<dyn Ledger>, state_dir: Option<&Path>, clock: &Clock) -> Arc<Doubts> {
    let path = match state_dir {
        Some(directory) => directory.join(ledger::FILE_NAME),
        None => "memory".into(),
    };
    let remedy = move |away: &_| ledger::remedy(away, &path);
    Doubts::new(Arc::clone(ledger), Box::new(remedy), clock.clone())
}

/// What the operator repaired is seen at once, and not by the next call or in some minutes: the exchange counts as
/// reached, and the outbound address is measured anew.
fn after_a_run(observed: Arc<Observed>, address: egress::Trigger) -> OnSeen {
    Box::new(move |findings| {
        if reach::Measurement::of(findings).fault.is_none() {
            observed.note_reached();
        }
        address.remeasure();
    })
}

/// What the history knows of the pair that this daemon runs with, for the ranking.
fn recall(
    history: &History,
    (rejections, recorder): (Arc<Rejections>, Arc<Recorder>),
    clock: &Clock,
) -> Recall {
    let (history, clock) = (history.clone(), clock.clone());
    Box::new(move || {
        // What made the operator ask may still wait to be counted, or to be written.
        log_refusals(&rejections, &recorder, &history);
        if let Ok(runtime) = Handle::try_current() {
            runtime.block_on(history.flush());
        }
        let recalled = history.questions().and_then(|questions| {
            questions
                .map(|questions| recollect(&questions, clock.now_ms(), None))
                .transpose()
        });
        let unread = |why: String| Past {
            unread: Some(why),
            ..Past::default()
        };
        let past = match recalled {
            Ok(Some(past)) => past,
            Ok(None) => unread("this daemon keeps no history".to_owned()),
            Err(problem) => unread(problem.to_string()),
        };
        Past {
            unwritten: history.losing(),
            ..past
        }
    })
}
