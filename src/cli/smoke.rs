//! `crypto-proxy smoke`: public, balance, open orders, order history, PASS or FAIL each.
//!
//! Guarantees: the probes of `diagnose`, a few of them; nothing that trades, nothing secret shown. Exit codes: 0 all
//! passed, 1 one failed, 69 the exchange was not reached, 78 configuration. Does not: look for causes.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::diagnose::{LocalRun, SourceArguments};
use diagnosis::{
    causes::{self, Conclusion, Past, Ranking},
    probes::{Grade, Probe, Scope},
};

/// What it is told.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    sources: SourceArguments,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
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
    let ranking = causes::rank(&local.findings, &Past::default());
    let conclusion = ranking.conclusion;
    let result = result(&local, &ranking);
    let written = if arguments.json {
        super::print_json(&result)
    } else {
        print(&result)
    };
    super::after_writing(written, local.exit_code(conclusion))
}

/// What a run comes to.
#[derive(Serialize)]
struct Smoke {
    /// As in `diagnose --json`.
    conclusion: &'static str,
    problems: Vec<String>,
    probes: Vec<Tried>,
    /// What a good run leaves open.
    not_tried: Option<String>,
}

/// A probe.
#[derive(Serialize)]
struct Tried {
    method: &'static str,
    passed: bool,
    says: String,
    http_status: Option<u16>,
    code: Option<i64>,
    took_ms: u128,
}

fn result(local: &LocalRun, ranking: &Ranking) -> Smoke {
    let findings = &local.findings;
    let asked = findings
        .list
        .iter()
        .filter(|finding| PROBES.contains(&finding.probe));
    let probes = asked.map(|finding| {
        let answer = finding.answer();
        Tried {
            method: finding.probe.method().unwrap_or_default(),
            passed: finding.grade(&findings.expected) == Grade::Good,
            says: finding.says(&findings.expected),
            http_status: answer.map(|answer| answer.status),
            code: answer.and_then(|answer| answer.code),
            took_ms: finding.took.as_millis(),
        }
    });
    Smoke {
        conclusion: ranking.conclusion.word(),
        problems: local.problems(),
        probes: probes.collect(),
        not_tried: ranking.untried.map(|untried| untried.to_string()),
    }
}

fn print(result: &Smoke) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for problem in &result.problems {
        writeln!(out, "{problem}")?;
    }
    for Tried {
        method,
        passed,
        says,
        took_ms,
        ..
    } in &result.probes
    {
        let word = if *passed { "PASS" } else { "FAIL" };
        writeln!(out, "{word} {method:<26} {says}, {took_ms} ms")?;
    }
    if let Some(not_tried) = &result.not_tried {
        writeln!(out, "not tried: {not_tried}")?;
    }
    if result.conclusion == Conclusion::Healthy.word() {
        Ok(())
    } else {
        writeln!(out, "why: crypto-proxy diagnose --alone")
    }
}
