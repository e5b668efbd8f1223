//! The diagnosis that the running daemon makes, with the very credentials that it signs with.
//!
//! Guarantees: one run at a time, five in five minutes at most: after a repair one may look again at once. A request that
//! comes while a run is under way gets the result of that run, ranked with its own input. Hanging up does not cancel a run;
//! it ends within its deadline, and at once where the daemon stops. It has a thread, connections and a signer of its own:
//! no live call waits for it, none of its probes leaves a record, and none tells readiness anything. Does not: trade,
//! cancel, or start by itself.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use text::time::rfc3339;
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    causes::{self, Past, Symptom},
    doubt::{Doubts, Listed},
    probes::{self, CredentialFacts, Findings, RUN_DEADLINE},
    report::Diagnosis,
};

mod run;

use run::DiagnosisRun;

/// How often, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A run ends within this.
    pub run_deadline: Duration,
    /// So many runs begin within `within` at most.
    pub at_most: usize,
    /// The time in which they are counted.
    pub within: Duration,
}

/// Beginnings of runs are at least this far apart: the exchange allows one call of one of the methods a second. Who asks
/// earlier waits so long.
const APART: Duration = Duration::from_secs(1);

impl Default for Settings {
    fn default() -> Self {
        Self {
            run_deadline: RUN_DEADLINE,
            at_most: 5,
            within: Duration::from_secs(300),
        }
    }
}

/// What is known from before; may read the disk.
pub type Recall = Box<dyn Fn() -> Past + Send + Sync>;

/// Is told what a run saw.
pub type OnSeen = Box<dyn Fn(&Findings) + Send + Sync>;

/// Who asks for a run.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The request's id.
    pub rid: Arc<str>,
    /// The name of the caller whose token was shown.
    pub name: Arc<str>,
}

/// What the operator knows and the probes cannot see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorInput {
    /// When the key was last updated, as the dashboard shows it, in milliseconds since 1970.
    pub key_updated_ms: Option<u64>,
    /// The fingerprint of the key in the file that the daemon would read if it were restarted.
    pub file_fingerprint: Option<String>,
    /// What they say of calls that did not come through here.
    pub told: Vec<Symptom>,
}

/// What asking comes to.
#[derive(Clone, Debug)]
pub enum Asked {
    /// The run's result.
    Diagnosed(Arc<Diagnosis>),
    /// The last run is too short a time ago.
    TooSoon {
        /// When the next one may begin.
        wait: Duration,
    },
    /// The daemon is stopping.
    Stopping,
    /// A defect of ours ended the run; the log names the place.
    Defect,
}

/// Receives the result of the run under way; closed without one where the run came to nothing.
type Waiting = watch::Receiver<Option<Arc<DiagnosisRun>>>;

#[derive(Default)]
struct RunState {
    /// Of the last runs, the oldest first; no more than may begin within the time.
    began: VecDeque<Instant>,
    running: Option<Waiting>,
}

/// Makes diagnoses, and keeps the last one.
pub struct DiagnosisRunner {
    plan: probes::Plan,
    settings: Settings,
    whose: String,
    recall: Arc<Recall>,
    seen: OnSeen,
    doubts: Arc<Doubts>,
    state: Mutex<RunState>,
    last: ArcSwapOption<DiagnosisRun>,
    stop: CancellationToken,
    runs: TaskTracker,
}

impl fmt::Debug for DiagnosisRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiagnosisRunner")
            .field("whose", &self.whose)
            .finish_non_exhaustive()
    }
}

impl DiagnosisRunner {
    /// Prepares to probe by this plan, whose deadline `settings` replace, from now on as the daemon's start.
    #[must_use]
    pub fn new(
        mut plan: probes::Plan,
        settings: Settings,
        recall: Recall,
        seen: OnSeen,
        doubts: Arc<Doubts>,
    ) -> Arc<Self> {
        plan.deadline = settings.run_deadline;
        let (started, fingerprint) = (
            rfc3339(plan.clock.now_ms()),
            plan.facts.fingerprint.as_deref(),
        );
        let fingerprint = fingerprint.unwrap_or("unknown");
        let whose = format!(
            "those of the running daemon (started {started}, key fingerprint {fingerprint})"
        );
        let (state, last, runs) = (Mutex::default(), ArcSwapOption::empty(), TaskTracker::new());
        let stop = CancellationToken::new();
        Arc::new(Self {
            plan,
            settings,
            whose,
            recall: Arc::new(recall),
            seen,
            doubts,
            state,
            last,
            stop,
            runs,
        })
    }

    /// What the last run came to; the input of the request that began it is part of it. The calls in doubt are those of
    /// now: what was lost since, or found out, changes the order of causes.
    #[must_use]
    pub async fn last(&self) -> Option<Arc<Diagnosis>> {
        let run = self.last.load_full()?;
        let listed = self.doubts.list().await;
        let known = &run.diagnosis.past;
        let are_those = known.in_doubt == *listed.doubts && known.in_doubt_unread == listed.unread;
        if are_those && known.journal_away == self.doubts.away() {
            return Some(Arc::clone(&run.diagnosis));
        }
        let (findings, past) = (run.findings.clone(), run.past.clone());
        let diagnosis = Arc::new(self.conclude(findings, past, &run.input, listed));
        self.last.store(Some(Arc::new(DiagnosisRun {
            findings: run.findings.clone(),
            past: run.past.clone(),
            input: run.input.clone(),
            diagnosis: Arc::clone(&diagnosis),
        })));
        Some(diagnosis)
    }

    /// Whether a run is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock().running.is_some()
    }

    /// Whose credentials are examined, in words.
    #[must_use]
    pub fn whose(&self) -> &str {
        &self.whose
    }

    /// What the loader says of them.
    #[must_use]
    pub const fn facts(&self) -> &CredentialFacts {
        &self.plan.facts
    }

    /// This host's time, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.plan.clock.now_ms()
    }

    /// Cancels a run that is under way; no further run begins.
    pub fn stop(&self) {
        self.stop.cancel();
        self.runs.close();
    }

    /// Waits until no run is under way; only after [`DiagnosisRunner::stop`].
    pub async fn ended(&self) {
        self.runs.wait().await;
    }

    /// Makes a run, or waits for the one under way. Dropping the future does not cancel the run.
    pub async fn ask(self: &Arc<Self>, asker: Asker, input: OperatorInput) -> Asked {
        let mut result = match self.join_or_begin(asker, &input) {
            Ok(result) => result,
            Err(asked) => return asked,
        };
        let look = result
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|look| look.clone());
        match look {
            Some(look) if look.input == input => Asked::Diagnosed(Arc::clone(&look.diagnosis)),
            Some(look) => {
                let listed = self.doubts.list().await;
                let (findings, past) = (look.findings.clone(), look.past.clone());
                Asked::Diagnosed(Arc::new(self.conclude(findings, past, &input, listed)))
            }
            None if self.stop.is_cancelled() => Asked::Stopping,
            None => Asked::Defect,
        }
    }

    fn join_or_begin(
        self: &Arc<Self>,
        asker: Asker,
        input: &OperatorInput,
    ) -> Result<Waiting, Asked> {
        if self.stop.is_cancelled() {
            return Err(Asked::Stopping);
        }
        let mut state = self.lock();
        if let Some(running) = &state.running {
            return Ok(running.clone());
        }
        let now = Instant::now();
        let Settings {
            at_most, within, ..
        } = self.settings;
        let counted = |began: &Instant| *began + within > now;
        state.began.retain(counted);
        if state.began.len() >= at_most {
            let free = state.began.front().map_or(now, |first| *first + within);
            return Err(Asked::TooSoon { wait: free - now });
        }
        let begins = state
            .began
            .back()
            .map_or(now, |last| now.max(*last + APART));
        let (sender, result) = watch::channel(None);
        state.began.push_back(begins);
        state.running = Some(result.clone());
        drop(state);
        let stop = self.stop.clone();
        let run = run::run(Arc::clone(self), asker, input.clone(), sender);
        self.runs.spawn(async move {
            stop.run_until_cancelled(time::sleep_until(begins)).await;
            run.await;
        });
        Ok(result)
    }

    /// The one place where findings become a diagnosis of this daemon.
    fn conclude(
        &self,
        findings: Findings,
        mut past: Past,
        input: &OperatorInput,
        listed: Listed,
    ) -> Diagnosis {
        past.in_doubt = listed.doubts.to_vec();
        past.in_doubt_unread = listed.unread;
        past.journal_away = self.doubts.away();
        past.key_updated_ms = input.key_updated_ms;
        past.told.clone_from(&input.told);
        past.daemon_fingerprint
            .clone_from(&self.plan.facts.fingerprint);
        past.probed_by_the_daemon = true;
        // The rule compares the file's key with the daemon's: for it alone, the key that was found is the file's.
        let mut case = findings.clone();
        let credentials = case
            .list
            .iter_mut()
            .find_map(|finding| finding.credentials_mut());
        if let (Some(facts), Some(file)) = (credentials, &input.file_fingerprint) {
            facts.fingerprint = Some(file.clone());
        }
        let ranking = causes::rank(&case, &past);
        Diagnosis {
            findings,
            ranking,
            past,
            whose: self.whose.clone(),
            problems: Vec::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
