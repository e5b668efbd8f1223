//! The verdict: whether it works, the likeliest cause where it does not, and one next step.
//!
//! Guarantees: trouble only on evidence of the last day, works only on evidence of the last day, and where there is
//! neither that is said; a diagnosis that later calls contradict does not stand against them; one next step. Does not:
//! find a cause by itself, where nothing was diagnosed; it says how to.

use super::{
    PageInput,
    matrix::{MethodRow, MethodState},
    text::{DAY_MS, Moment, ago},
};
use catalogue::methods::{self, Class};
use diagnosis::{
    causes::{Cause, Conclusion, Likelihood, Place, Ranked, Untried},
    doubt::{Doubt, JournalAway, count_words},
    hint::Given,
    history::End,
    probes::Grade,
    reach::Fault,
    report::Diagnosis,
};

/// Finds the cause, from what the daemon or this host can see.
const DIAGNOSE: &str = "`sudo crypto-proxy diagnose`";
/// Bad calls that are this young are worth a word also where the last ones were good: in quarters of an hour.
const LATELY: u64 = 4;

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Everything that was asked works.
    Works,
    /// It works, and something should be looked at before it does not.
    Warning,
    /// Something does not work.
    Trouble,
    /// There is nothing to tell it from.
    Unknown,
}

/// How the page shows it.
#[derive(Debug)]
pub(super) struct Looks {
    /// As the page's title begins.
    pub(super) title: &'static str,
    /// The first word of the page.
    pub(super) word: &'static str,
    pub(super) class: &'static str,
    /// Of the picture in the browser's tab: a disc, or a square where there is trouble.
    pub(super) colour: &'static str,
}

impl Health {
    pub(super) const fn looks(self) -> Looks {
        let (title, word, class, colour) = match self {
            Self::Works => ("OK", "Works", "is-good", "2a9d63"),
            Self::Warning => ("WARNING", "Works, with a warning", "is-note", "e08a00"),
            Self::Trouble => ("TROUBLE", "Trouble", "is-bad", "d03a30"),
            Self::Unknown => ("NOTHING KNOWN", "Nothing known yet", "is-quiet", "8794a3"),
        };
        Looks {
            title,
            word,
            class,
            colour,
        }
    }
}

/// The likeliest cause.
#[derive(Debug)]
pub(super) struct LikeliestCause {
    pub(super) cause: Cause,
    /// Whether it is of the diagnosis that the page explains below.
    pub(super) is_diagnosed: bool,
    pub(super) likelihood: String,
    /// What cannot be told apart from it.
    pub(super) tied: Vec<Cause>,
    /// What it is by, and how old that is.
    pub(super) by: String,
    pub(super) next_step: String,
}

/// What stands on top.
#[derive(Debug)]
pub(super) struct Headline {
    pub(super) health: Health,
    pub(super) sentence: String,
    pub(super) cause: Option<LikeliestCause>,
    pub(super) step: String,
    pub(super) notes: Vec<String>,
}

impl Headline {
    pub(super) fn of(known: &PageInput<'_>, rows: &[MethodRow]) -> Self {
        let assessment = Assessment { known, rows };
        let notes = assessment.warnings();
        let beside = match (assessment.is_trouble(), assessment.is_good()) {
            (true, _) => Health::Trouble,
            (false, false) => Health::Unknown,
            (false, true) if notes.is_empty() => Health::Works,
            (false, true) => Health::Warning,
        };
        let mut sentence = assessment.sentence(beside);
        if let Some(untried) = assessment.untried(beside) {
            sentence = format!("{sentence} Not tried: {untried}.");
        }
        let (beside, sentence) = match known.journal_away {
            None => (beside, sentence),
            Some(away) => (
                Health::Trouble,
                format!("Orders are refused and not sent: {}. {sentence}", away.why),
            ),
        };
        // A call that may have been executed comes before everything else.
        let (health, sentence) = match known.in_doubt.len() {
            0 => (beside, sentence),
            count => (
                Health::Trouble,
                format!("{}. {sentence}", count_words(count)),
            ),
        };
        let cause = if health == Health::Trouble {
            assessment.cause()
        } else {
            None
        };
        let step = match &cause {
            Some(cause) => cause.next_step.clone(),
            None => assessment.step(health),
        };
        Self {
            health,
            sentence,
            step,
            cause,
            notes,
        }
    }
}

fn class_of(method: &str) -> Option<Class> {
    methods::find(method).map(|found| found.class)
}

struct Assessment<'a> {
    known: &'a PageInput<'a>,
    rows: &'a [MethodRow],
}

impl<'a> Assessment<'a> {
    /// The diagnosis, while it is young and nothing newer speaks against it.
    fn diagnosis(&self) -> Option<&'a Diagnosis> {
        let diagnosis = self
            .known
            .diagnosis
            .filter(|diagnosis| self.age_ms(diagnosis.findings.at_ms) <= DAY_MS)?;
        let newest = self
            .rows
            .iter()
            .flat_map(|row| &row.good)
            .filter(|good| !good.by_probe);
        let good_since = newest
            .map(|good| good.ms)
            .max()
            .is_some_and(|ms| ms > diagnosis.findings.at_ms);
        let is_over =
            diagnosis.ranking.conclusion != Conclusion::Healthy && good_since && self.bad() == 0;
        (!is_over).then_some(diagnosis)
    }

    /// Beside calls in doubt and the order journal, which the page tells of by itself.
    fn is_trouble(&self) -> bool {
        let diagnosed = self.diagnosis().is_some_and(|diagnosis| {
            let findings = &diagnosis.findings;
            let mut causes = diagnosis.ranking.causes.iter().map(|ranked| ranked.cause);
            let only_doubt = causes
                .all(|cause| matches!(cause, Cause::InDoubt | Cause::JournalAway))
                && !findings
                    .list
                    .iter()
                    .any(|finding| finding.grade(&findings.expected) == Grade::Bad);
            diagnosis.ranking.conclusion != Conclusion::Healthy && !only_doubt
        });
        diagnosed || self.bad() > 0 || self.known.outside.unreachable || self.fault().is_some()
    }

    /// Why the connection to the exchange fails, where that was measured after the newest good answer.
    fn fault(&self) -> Option<&Fault> {
        let last = &self.known.outside.reach.as_deref()?.last;
        if self.newest_good_ms().is_some_and(|good| last.at_ms <= good) {
            return None;
        }
        last.fault.as_ref()
    }

    /// What works leaves open, as far as a diagnosis and the calls of programs tell.
    fn untried(&self, health: Health) -> Option<Untried> {
        if !matches!(health, Health::Works | Health::Warning) {
            return None;
        }
        let diagnosed = self.diagnosis().map(|diagnosis| diagnosis.ranking.untried);
        let called = Untried::beside(|class| {
            let mut works = self
                .rows
                .iter()
                .filter(|row| matches!(row.state, MethodState::Works | MethodState::Worked));
            works.any(|row| class_of(&row.method) == Some(class))
        });
        match diagnosed {
            // What a diagnosis knows of the record, the calls of programs may have shown since.
            Some(diagnosed) if called == Some(Untried::TradingAndWithdrawal) => diagnosed,
            _ => called,
        }
    }

    fn newest_good_ms(&self) -> Option<u64> {
        let seen = self.rows.iter().filter_map(|row| row.good.as_ref());
        seen.map(|good| good.ms).max()
    }

    fn is_good(&self) -> bool {
        let diagnosed = self
            .diagnosis()
            .is_some_and(|diagnosis| diagnosis.ranking.conclusion == Conclusion::Healthy);
        diagnosed || self.good() > 0
    }

    fn bad(&self) -> usize {
        self.rows.iter().filter(|row| row.state.is_bad()).count()
    }

    fn good(&self) -> usize {
        self.rows
            .iter()
            .filter(|row| row.state == MethodState::Works)
            .count()
    }

    fn age_ms(&self, ms: u64) -> u64 {
        self.known.now_ms.saturating_sub(ms)
    }

    fn sentence(&self, health: Health) -> String {
        let (bad, good) = (self.bad(), self.good());
        match health {
            Health::Unknown => {
                "No call in the last 24 hours and no diagnosis tell whether it works.".to_owned()
            }
            Health::Works | Health::Warning if good == 0 => {
                "The last diagnosis found no trouble.".to_owned()
            }
            Health::Works | Health::Warning => {
                let newest = self.newest_good_ms().map(|ms| {
                    format!(
                        "; the newest good answer came {}",
                        ago(ms, self.known.now_ms)
                    )
                });
                let of = if good == 1 {
                    "One method".to_owned()
                } else {
                    format!("All {good} methods")
                };
                format!(
                    "{of} asked in the last 24 hours: good when last asked{}.",
                    newest.unwrap_or_default()
                )
            }
            Health::Trouble if bad == 0 && self.fault().is_some() => {
                let phase = self.fault().map_or("", |fault| fault.phase.shown());
                format!("The exchange cannot be reached: {phase} fails.")
            }
            Health::Trouble if bad == 0 && self.known.outside.unreachable => {
                "The last attempts to reach the exchange all failed.".to_owned()
            }
            Health::Trouble if bad == 0 => "The last diagnosis found trouble.".to_owned(),
            Health::Trouble => self.trouble(bad, good),
        }
    }

    fn trouble(&self, bad: usize, good: usize) -> String {
        let rows = self.rows.iter().filter(|row| row.state.is_bad());
        let names: Vec<String> = rows.clone().take(3).map(|row| row.method.clone()).collect();
        let more = if bad > names.len() {
            format!(" and {} more", bad - names.len())
        } else {
            String::new()
        };
        let since = match rows.filter_map(|row| row.since_ms).min() {
            Some(ms) => {
                let since = Moment::at(ms, self.known.now_ms);
                format!(" since {} UTC ({})", since.shown, since.ago)
            }
            None => String::new(),
        };
        let others = match good {
            0 => "no method works".to_owned(),
            1 => "one other method works".to_owned(),
            good => format!("{good} other methods work"),
        };
        let verb = if bad == 1 { "fails" } else { "fail" };
        format!("{}{more} {verb}{since}; {others}.", names.join(", "))
    }

    /// By the diagnosis; where that knows none, by the hint at a method that is bad.
    fn cause(&self) -> Option<LikeliestCause> {
        if let Some(doubt) = self.known.in_doubt.first() {
            return Some(self.by_doubt(doubt));
        }
        if let Some(away) = self.known.journal_away {
            return Some(self.by_journal(away));
        }
        if let Some(diagnosis) = self.diagnosis()
            && diagnosis.ranking.conclusion != Conclusion::Healthy
            && let Some(first) = diagnosis.ranking.causes.first()
        {
            return Some(self.by_diagnosis(diagnosis, first));
        }
        if let Some(hint) = self.hint() {
            return Some(Self::by_hint(hint));
        }
        self.fault().map(|fault| self.by_fault(fault))
    }

    /// The newest hint of the last day at a method that is bad.
    fn hint(&self) -> Option<&'a Given> {
        self.known.hints.iter().find(|given| {
            let mut bad = self.rows.iter().filter(|row| row.state.is_bad());
            given.age().as_millis() <= u128::from(DAY_MS)
                && bad.any(|row| row.method == given.method)
        })
    }

    fn by_diagnosis(&self, diagnosis: &Diagnosis, first: &Ranked) -> LikeliestCause {
        let likelihood = first.likelihood();
        LikeliestCause {
            cause: first.cause,
            is_diagnosed: true,
            likelihood: likelihood.map_or_else(String::new, |likelihood| likelihood.to_string()),
            tied: diagnosis.ranking.top().into_iter().skip(1).collect(),
            by: format!(
                "diagnosed {}",
                ago(diagnosis.findings.at_ms, self.known.now_ms)
            ),
            next_step: diagnosis.ranking.next_step.clone(),
        }
    }

    fn by_journal(&self, away: &JournalAway) -> LikeliestCause {
        let diagnosis = self.known.diagnosis;
        LikeliestCause {
            cause: Cause::JournalAway,
            is_diagnosed: diagnosis.is_some_and(|known| known.past.journal_away.is_some()),
            likelihood: Likelihood::VeryLikely.to_string(),
            tied: Vec::new(),
            by: "orders are refused now".to_owned(),
            next_step: away.remedy.clone(),
        }
    }

    fn by_doubt(&self, doubt: &Doubt) -> LikeliestCause {
        let is_diagnosed = self
            .known
            .diagnosis
            .is_some_and(|diagnosis| !diagnosis.past.in_doubt.is_empty());
        let name = doubt.name.as_deref().unwrap_or("without a name");
        LikeliestCause {
            cause: Cause::InDoubt,
            is_diagnosed,
            likelihood: Likelihood::VeryLikely.to_string(),
            tied: Vec::new(),
            by: format!(
                "{name}: {} of {} had no conclusive answer {}",
                doubt.method,
                doubt.caller,
                ago(doubt.ms, self.known.now_ms)
            ),
            next_step: doubt.question(),
        }
    }

    fn by_hint(
        Given {
            hint, method, at, ..
        }: &Given,
    ) -> LikeliestCause {
        let age_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        LikeliestCause {
            cause: hint.cause,
            is_diagnosed: false,
            likelihood: hint.likelihood.to_string(),
            tied: hint.alternatives.clone(),
            by: format!("hint at {method}, {}", ago(0, age_ms)),
            next_step: hint.next.clone(),
        }
    }

    fn by_fault(&self, fault: &Fault) -> LikeliestCause {
        let reach = self.known.outside.reach.as_deref();
        let at_ms = reach.map_or(self.known.now_ms, |standing| standing.last.at_ms);
        LikeliestCause {
            cause: fault.cause,
            is_diagnosed: false,
            likelihood: fault.says.clone(),
            tied: fault.not_excluded.clone(),
            by: format!("measured {}", ago(at_ms, self.known.now_ms)),
            next_step: fault.next_step.clone(),
        }
    }

    /// What to do where there is no cause to begin with.
    fn step(&self, health: Health) -> String {
        match health {
            Health::Trouble => format!("{DIAGNOSE} finds the cause: probes that never trade"),
            Health::Unknown => {
                format!("{DIAGNOSE} asks the exchange without trading, or wait for the first call")
            }
            Health::Warning => self.step_of_warning(),
            Health::Works => "none".to_owned(),
        }
    }

    fn step_of_warning(&self) -> String {
        let address = self.known.outside.drift();
        let source = self
            .known
            .about
            .source
            .as_deref()
            .unwrap_or("/etc/crypto.env");
        let place = Place {
            address,
            source,
            ..Place::of_method("the method")
        };
        if address.is_some() {
            return Cause::IpDrift.next_step(&place);
        }
        if self
            .known
            .outside
            .skew
            .is_some_and(gateway::observed::ClockSkew::is_large)
        {
            return Cause::ClockSkew.next_step(&place);
        }
        if !self.known.about.warnings.is_empty() {
            return "`sudo crypto-proxy check` names the place and the remedy".to_owned();
        }
        "`sudo crypto-proxy history --between` shows what changed before the bad calls".to_owned()
    }

    /// What should be looked at, whatever the health.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(address) = self.known.outside.drift() {
            warnings.push(format!(
                "outbound address {address} is not among CRYPTO_EXPECTED_IP"
            ));
        }
        if let Some(skew) = self.known.outside.skew.filter(|skew| skew.is_large()) {
            warnings.push(format!("the clock differs from the exchange's: {skew} ms"));
        }
        warnings.extend(self.lately_bad());
        if let Err(why) = self.known.history {
            warnings.push(format!("the history cannot be read: {why}"));
        }
        if let Some(why) = self.known.in_doubt_unread {
            warnings.push(format!("whether calls are in doubt is not known: {why}"));
        }
        warnings.extend(self.known.about.warnings.iter().cloned());
        warnings
    }

    fn lately_bad(&self) -> Option<String> {
        let recent = self.known.recent()?;
        let from = recent.timeline.span.buckets.saturating_sub(LATELY);
        let late = recent
            .timeline
            .counts
            .iter()
            .filter(|count| count.end.is_bad() && count.bucket >= from);
        let (mut auth, mut failed) = (0, 0);
        for count in late {
            if count.end == End::Auth {
                auth += count.calls;
            } else {
                failed += count.calls;
            }
        }
        let calls = |count: u64| {
            if count == 1 {
                "1 call".to_owned()
            } else {
                format!("{count} calls")
            }
        };
        let refused = (auth > 0).then(|| format!("the exchange refused {}", calls(auth)));
        let lost = (failed > 0).then(|| format!("{} had no conclusive answer", calls(failed)));
        let both: Vec<String> = refused.into_iter().chain(lost).collect();
        // Where a method is bad now, the sentence above has said so.
        (self.bad() == 0 && !both.is_empty())
            .then(|| format!("in the last hour {}", both.join(", and ")))
    }
}
