//! What one measurement of the connection to the exchange came to.
//!
//! Guarantees: a value of typed findings alone; the causes are those of the one table, weighed by its rules. An answer in
//! the exchange's own envelope means that it was reached, whatever its code says, but for a path that it does not know
//! and for its maintenance. Does not: know what was measured before.

use std::time::Duration;

use crate::{
    causes::{self, Cause, Past},
    probes::{Finding, Findings, Probe, Seen},
};

/// A phase of connecting; the order is that in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The name of the exchange.
    Name,
    /// The connection.
    Tcp,
    /// The verified TLS session.
    Tls,
    /// The first byte of a public answer, and what it is the first byte of.
    FirstByte,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 4] = [Self::Name, Self::Tcp, Self::Tls, Self::FirstByte];

    /// Its word for machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
        }
    }

    /// How it reads.
    #[must_use]
    pub const fn shown(self) -> &'static str {
        match self {
            Self::FirstByte => "first byte",
            Self::Name | Self::Tcp | Self::Tls => self.probe().name(),
        }
    }

    const fn probe(self) -> Probe {
        match self {
            Self::Name => Probe::Name,
            Self::Tcp => Probe::Tcp,
            Self::Tls => Probe::Tls,
            Self::FirstByte => Probe::Public,
        }
    }
}

/// What became of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Done, after this time.
    Took(Duration),
    /// Failed after this time, and what was seen.
    Failed(Duration, String),
    /// Not made, and why: a phase before it failed, or the base is http.
    NotMade(&'static str),
}

/// Why the exchange counts as not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The phase that failed.
    pub phase: Phase,
    /// What was seen.
    pub says: String,
    /// The likeliest cause.
    pub cause: Cause,
    /// Causes that are not excluded.
    pub not_excluded: Vec<Cause>,
    /// What to do next.
    pub next_step: String,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
    /// The phases, in order.
    pub steps: Vec<(Phase, Step)>,
    /// Why the exchange counts as not reached; nothing where it was.
    pub fault: Option<Fault>,
}

/// The causes that are about the connection, as far as a measurement can see it.
const OF_THE_CONNECTION: [Cause; 6] = [
    Cause::NameNotResolved,
    Cause::NotReached,
    Cause::NoTls,
    Cause::WrongBase,
    Cause::EdgeBlocked,
    Cause::Maintenance,
];

impl Measurement {
    /// Reads it off the findings.
    /// What a run of the probes says of the connection.
    #[must_use]
    pub fn of(findings: &Findings) -> Self {
        let fault = fault(findings);
        let failed = fault.as_ref().map(|fault| fault.phase);
        let step = |phase: Phase| {
            let finding = findings.finding(phase.probe())?;
            Some((phase, step(finding, failed == Some(phase), findings)))
        };
        Self {
            at_ms: findings.at_ms,
            steps: Phase::ALL.into_iter().filter_map(step).collect(),
            fault,
        }
    }

    /// What two measurements are compared by: the times are never the same.
    pub(super) fn comes_to(&self) -> Option<(Phase, Cause)> {
        self.fault.as_ref().map(|fault| (fault.phase, fault.cause))
    }

    /// The time that a phase took, in milliseconds, whatever it came to.
    #[must_use]
    pub fn millis(&self, phase: Phase) -> Option<u64> {
        self.steps
            .iter()
            .find(|(other, _)| *other == phase)
            .and_then(|(_, step)| step.millis())
    }

    /// "name 2 ms · TCP 8 ms": the phases that were made.
    #[must_use]
    pub fn timings(&self) -> String {
        let made = self
            .steps
            .iter()
            .filter_map(|(phase, step)| Some(format!("{} {} ms", phase.shown(), step.millis()?)));
        made.collect::<Vec<_>>().join(" · ")
    }
}

impl Step {
    /// The time that it took, in milliseconds; nothing where it was not made.
    #[must_use]
    pub fn millis(&self) -> Option<u64> {
        match self {
            Self::Took(took) | Self::Failed(took, _) => {
                Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
            }
            Self::NotMade(_) => None,
        }
    }
}

fn step(finding: &Finding, failed: bool, findings: &Findings) -> Step {
    if let Seen::Skipped(reason) = finding.seen {
        return Step::NotMade(reason);
    }
    if failed {
        Step::Failed(finding.took, finding.says(&findings.expected))
    } else {
        Step::Took(finding.took)
    }
}

fn fault(findings: &Findings) -> Option<Fault> {
    let mut ranked = causes::rank(findings, &Past::default()).causes;
    ranked.retain(|ranked| OF_THE_CONNECTION.contains(&ranked.cause));
    let (first, others) = ranked.split_first()?;
    // The last that was made: after a failure nothing more is.
    let made = |phase: &Phase| {
        findings
            .seen(phase.probe())
            .is_some_and(|seen| !matches!(seen, Seen::Skipped(_)))
    };
    let phase = Phase::ALL.into_iter().rev().find(made)?;
    let finding = findings.finding(phase.probe())?;
    Some(Fault {
        phase,
        says: finding.says(&findings.expected),
        cause: first.cause,
        not_excluded: others.iter().map(|other| other.cause).collect(),
        next_step: first.next_step.clone(),
    })
}
