//! `crypto-proxy smoke`: public, balance, open orders, order history, PASS or FAIL each.
//!
//! Guarantees: the probes of `diagnose`, a few of them; nothing that trades, nothing secret shown. Exit codes: 0 all
//! passed, 1 one failed, 69 the exchange was not reached, 78 configuration. Does not: look for causes.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::diagnose::{LocalRun, SourceArguments};
use diagnosis::{
    causes::{self, Conclusion, Past},
    probes::{Grade, Probe, Scope},
};

/// What it is told.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    sources: SourceArguments,
}

const PROBES: [Probe; 4] = [
    Probe::Public,
    Probe::Balance,
    Probe::OpenOrders,
    Probe::OrderHistory,
];

/// Runs it.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    let local = match LocalRun::at(arguments.sources, Scope::Quick) {
        Ok(local) => local,
        Err(problem) => return super::fail(1, &problem),
    };
    let conclusion = causes::rank(&local.findings, &Past::default()).conclusion;
    super::after_writing(print(&local, conclusion), local.exit_code(conclusion))
}

fn print(local: &LocalRun, conclusion: Conclusion) -> io::Result<()> {
    let mut out = io::stdout().lock();
    local
        .problems()
        .iter()
        .try_for_each(|problem| writeln!(out, "{problem}"))?;
    let expected = &local.findings.expected;
    for finding in local
        .findings
        .list
        .iter()
        .filter(|finding| PROBES.contains(&finding.probe))
    {
        let word = if finding.grade(expected) == Grade::Good {
            "PASS"
        } else {
            "FAIL"
        };
        let method = finding.probe.method().unwrap_or_default();
        writeln!(
            out,
            "{word} {method:<26} {}, {} ms",
            finding.says(expected),
            finding.took.as_millis()
        )?;
    }
    if conclusion == Conclusion::Healthy {
        Ok(())
    } else {
        writeln!(out, "why: crypto-proxy diagnose --alone")
    }
}
