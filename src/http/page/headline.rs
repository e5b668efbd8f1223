//! The verdict: whether it works, the likeliest cause where it does not, and one next step.
//!
//! Guarantees: trouble only on evidence of the last day, works only on evidence of the last day, and where there is
//! neither that is said; a diagnosis that later calls contradict does not stand against them; one next step. Does not:
//! find a cause by itself, where nothing was diagnosed; it says how to.

use super::{
    HintShown, HistoryState, PageInput, Text, TextPart,
    findings::anchor,
    matrix::MethodRow,
    text::{DAY_MS, ago},
};
use diagnosis::{
    causes::{Cause, Conclusion, Place, Ranked},
    history::End,
    reach::Fault,
    report::Diagnosis,
};

/// Finds the cause, from what the daemon or this host can see.
const DIAGNOSE: &str = "`sudo crypto-proxy diagnose`";
/// Bad calls that are this young are worth a word also where the last ones were good: in quarters of an hour.
const LATELY: u64 = 4;

macro_rules! disc {
    ($colour:literal) => {
        concat!(
            "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23",
            $colour,
            "'/%3E%3C/svg%3E"
        )
    };
}

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

impl Health {
    /// As the page's title begins.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Works => "OK",
            Self::Warning => "WARNING",
            Self::Trouble => "TROUBLE",
            Self::Unknown => "NOTHING KNOWN",
        }
    }

    /// The picture in the browser's tab, as the text of a `data:` URL: a disc, or a square where there is trouble.
    #[must_use]
    pub(super) const fn icon(self) -> &'static str {
        match self {
            Self::Works => disc!("2a9d63"),
            Self::Warning => disc!("e08a00"),
            Self::Trouble => {
                "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect x='2' y='2' width='12' height='12' \
                 fill='%23d03a30'/%3E%3C/svg%3E"
            }
            Self::Unknown => disc!("8794a3"),
        }
    }

    /// The first word of the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Works => "Works",
            Self::Warning => "Works, with a warning",
            Self::Trouble => "Trouble",
            Self::Unknown => "Nothing known yet",
        }
    }

    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Works => "is-good",
            Self::Warning => "is-note",
            Self::Trouble => "is-bad",
            Self::Unknown => "is-quiet",
        }
    }
}

/// The likeliest cause.
#[derive(Debug)]
pub(super) struct LikeliestCause {
    pub(super) code: &'static str,
    /// Where on the page it is explained; nothing where it is not.
    pub(super) anchor: Option<String>,
    pub(super) sentence: &'static str,
    pub(super) likelihood: String,
    /// What cannot be told apart from it, with its place on the page.
    pub(super) tied: Vec<(&'static str, Option<String>)>,
    /// What it is by, and how old that is.
    pub(super) by: String,
}

/// What stands on top.
#[derive(Debug)]
pub(super) struct Headline {
    pub(super) health: Health,
    pub(super) sentence: Text,
    pub(super) cause: Option<LikeliestCause>,
    pub(super) step: Vec<TextPart>,
    pub(super) notes: Vec<Text>,
}

impl Headline {
    pub(super) fn of(known: &PageInput<'_>, rows: &[MethodRow]) -> Self {
        let assessment = Assessment { known, rows };
        let notes: Vec<String> = assessment.warnings();
        let health = match (assessment.is_trouble(), assessment.is_good()) {
            (true, _) => Health::Trouble,
            (false, false) => Health::Unknown,
            (false, true) if notes.is_empty() => Health::Works,
            (false, true) => Health::Warning,
        };
        let cause = assessment.cause(health);
        Self {
            health,
            sentence: Text::of(assessment.sentence(health)),
            step: TextPart::all(&assessment.step(health)),
            cause,
            notes: notes.iter().map(Text::of).collect(),
        }
    }
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
            .map(|good| good.at.ms())
            .max()
            .is_some_and(|ms| ms > diagnosis.findings.at_ms);
        let is_over =
            diagnosis.ranking.conclusion != Conclusion::Healthy && good_since && self.bad() == 0;
        (!is_over).then_some(diagnosis)
    }

    fn is_trouble(&self) -> bool {
        let diagnosed = self
            .diagnosis()
            .is_some_and(|diagnosis| diagnosis.ranking.conclusion != Conclusion::Healthy);
        diagnosed || self.bad() > 0 || self.known.outside.unreachable || self.fault().is_some()
    }

    /// Why the connection to the exchange fails, where that was measured after the newest good answer.
    fn fault(&self) -> Option<&Fault> {
        let last = &self.known.outside.reach.as_deref()?.last;
        let newest = self
            .rows
            .iter()
            .filter_map(|row| row.good.as_ref())
            .map(|good| good.at.ms())
            .max();
        last.fault
            .as_ref()
            .filter(|_| newest.is_none_or(|good| last.at_ms > good))
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
            .filter(|row| row.state == super::matrix::MethodState::Works)
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
                let newest = self
                    .rows
                    .iter()
                    .filter_map(|row| row.good.as_ref())
                    .map(|good| good.at.ms())
                    .max();
                let newest = newest.map(|ms| {
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
                format!("The way to the exchange does not stand: {phase} fails.")
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
        let names: Vec<String> = rows
            .clone()
            .take(3)
            .map(|row| row.method.to_string())
            .collect();
        let more = if bad > names.len() {
            format!(" and {} more", bad - names.len())
        } else {
            String::new()
        };
        let since = rows
            .filter_map(|row| row.since.as_ref())
            .min_by_key(|since| since.ms());
        let since = since
            .map(|since| format!(" since {} UTC ({})", since.shown, since.ago))
            .unwrap_or_default();
        let others = match good {
            0 => "no method works".to_owned(),
            1 => "one other method works".to_owned(),
            good => format!("{good} other methods work"),
        };
        let verb = if bad == 1 { "fails" } else { "fail" };
        format!("{}{more} {verb}{since}; {others}.", names.join(", "))
    }

    /// By the diagnosis; where that knows none, by the hint at a method that is bad.
    fn cause(&self, health: Health) -> Option<LikeliestCause> {
        let diagnosed = self
            .diagnosed(health)
            .map(|(diagnosis, first)| self.by_diagnosis(diagnosis, first));
        let hinted = || self.hint(health).map(|hint| self.by_hint(hint));
        diagnosed
            .or_else(hinted)
            .or_else(|| self.fault().map(|fault| self.by_fault(fault)))
    }

    fn diagnosed(&self, health: Health) -> Option<(&'a Diagnosis, &'a Ranked)> {
        let diagnosis = self.diagnosis()?;
        let stands =
            health == Health::Trouble && diagnosis.ranking.conclusion != Conclusion::Healthy;
        Some((diagnosis, diagnosis.ranking.causes.first()?)).filter(|_| stands)
    }

    fn hint(&self, health: Health) -> Option<&'a HintShown> {
        let is_bad = |hint: &&HintShown| {
            self.rows
                .iter()
                .any(|row| row.state.is_bad() && row.method.to_string() == hint.method)
        };
        let young = |hint: &&HintShown| self.age_ms(hint.at_ms) <= DAY_MS;
        self.known
            .hints
            .iter()
            .filter(|_| health == Health::Trouble)
            .filter(young)
            .find(is_bad)
    }

    fn by_hint(&self, hint: &HintShown) -> LikeliestCause {
        LikeliestCause {
            code: hint.cause.code(),
            anchor: None,
            sentence: hint.cause.sentence(),
            likelihood: hint.likelihood.to_string(),
            tied: hint
                .alternatives
                .iter()
                .map(|cause| (cause.code(), None))
                .collect(),
            by: format!(
                "hint at {}, {}",
                hint.method,
                ago(hint.at_ms, self.known.now_ms)
            ),
        }
    }

    fn by_fault(&self, fault: &Fault) -> LikeliestCause {
        let at_ms = self
            .known
            .outside
            .reach
            .as_deref()
            .map_or(self.known.now_ms, |standing| standing.last.at_ms);
        LikeliestCause {
            code: fault.cause.code(),
            anchor: None,
            sentence: fault.cause.sentence(),
            likelihood: fault.says.clone(),
            tied: fault
                .not_excluded
                .iter()
                .map(|cause| (cause.code(), None))
                .collect(),
            by: format!("measured {}", ago(at_ms, self.known.now_ms)),
        }
    }

    fn by_diagnosis(&self, diagnosis: &Diagnosis, first: &Ranked) -> LikeliestCause {
        let rest = diagnosis.ranking.top().into_iter().skip(1);
        LikeliestCause {
            code: first.cause.code(),
            anchor: Some(anchor(first.cause.code())),
            sentence: first.cause.sentence(),
            likelihood: first
                .likelihood()
                .map(|likelihood| likelihood.to_string())
                .unwrap_or_default(),
            tied: rest
                .map(|cause| (cause.code(), Some(anchor(cause.code()))))
                .collect(),
            by: format!(
                "diagnosed {}",
                ago(diagnosis.findings.at_ms, self.known.now_ms)
            ),
        }
    }

    fn step(&self, health: Health) -> String {
        if let Some((diagnosis, _)) = self.diagnosed(health) {
            return diagnosis.ranking.next_step.clone();
        }
        if let Some(hint) = self.hint(health) {
            return hint.next.clone();
        }
        if let (Health::Trouble, Some(fault)) = (health, self.fault()) {
            return fault.next_step.clone();
        }
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
        if let HistoryState::Unread(why) = self.known.memory {
            warnings.push(format!("the history cannot be read: {why}"));
        }
        warnings.extend(self.known.about.warnings.iter().cloned());
        warnings
    }

    fn lately_bad(&self) -> Option<String> {
        let recent = self.known.memory.recent()?;
        let from = recent.timeline.span.buckets.saturating_sub(LATELY);
        let late = recent
            .timeline
            .counts
            .iter()
            .filter(|count| count.end.is_bad() && count.bucket >= from);
        let (mut auth, mut failed) = (0, 0);
        late.for_each(|count| {
            *(if count.end == End::Auth {
                &mut auth
            } else {
                &mut failed
            }) += count.calls
        });
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
