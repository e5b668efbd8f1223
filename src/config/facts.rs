//! What a diagnosis is told of the pair: the problems of one load, and the quotes that systemd takes off.
//!
//! Guarantees: made of problems and rows after credentials were withheld from them, so that it holds nothing that they
//! do not show. Does not: find anything itself.

use super::{
    Inspection,
    problem::{Origin, Problem},
    variables::Variables,
};
use crate::config::table;
use diagnosis::probes::{CredentialFacts, Flaw, FlawFound};

/// The quoted halves of a pair: name and place.
pub(super) fn quoted(variables: &Variables) -> Vec<FlawFound> {
    let of_the_pair = |name: &str| {
        table::PAIRS
            .iter()
            .any(|(key, secret)| [*key, *secret].contains(&name))
    };
    let quoted = variables
        .iter()
        .filter(|(name, variable)| variable.quoted && of_the_pair(name));
    let found = |name: &str, origin: &Origin| FlawFound {
        flaw: Flaw::Quoted,
        name: name.to_owned(),
        place: place(origin),
        text: "stands in quotes: systemd takes them off, docker --env-file and others do not"
            .to_owned(),
    };
    quoted
        .map(|(name, variable)| found(name, &variable.origin))
        .collect()
}

/// What the load found out about the pair.
pub(super) fn gather(examined: &Inspection, quoted: Vec<FlawFound>) -> CredentialFacts {
    let file = examined
        .report
        .sources
        .iter()
        .find(|row| row.key == "configuration file")
        .map(|row| &row.source);
    let of_a_token =
        |problem: &&Problem| [table::TOKEN, table::DIAG_TOKEN].contains(&&*problem.key);
    let problems = examined
        .problems
        .iter()
        .filter(|problem| !of_a_token(problem));
    let of_the_pair = problems.filter(|problem| Some(&problem.source) != file);
    let found = of_the_pair.filter_map(|problem| {
        let about_a_file = matches!(problem.flaw, Some(Flaw::Missing | Flaw::Unreadable));
        let flaw = problem
            .flaw
            .filter(|_| !about_a_file || no_pair(examined))?;
        let place = place(&problem.source);
        Some(FlawFound {
            flaw,
            name: problem.key.clone(),
            place,
            text: problem.text.clone(),
        })
    });
    let looked_at = examined
        .report
        .sources
        .iter()
        .filter(|row| row.key != "configuration file");
    let looked_at = looked_at.map(|row| {
        let place = if row.source == Origin::Default {
            String::new()
        } else {
            format!(" {}", row.source)
        };
        format!("{}{place}: {}", row.key, row.shown)
    });
    let key = examined
        .report
        .credentials
        .iter()
        .find(|row| table::PAIRS.iter().any(|(key, _)| row.key == *key));
    let fingerprint = key
        .and_then(|row| row.shown.rsplit_once("fingerprint "))
        .map(|(_, shown)| shown.to_owned());
    let label = examined
        .report
        .credentials
        .iter()
        .find(|row| row.key == table::LABEL);
    CredentialFacts {
        looked_at: looked_at.collect(),
        source: key.map(|row| match &row.source {
            Origin::EnvFile { path, .. } | Origin::File(path) | Origin::Line { path, .. } => {
                path.display().to_string()
            }
            Origin::Variable(_) | Origin::Default => "the process environment".to_owned(),
        }),
        fingerprint,
        label: label.map(|row| row.shown.clone()),
        flaws: found.chain(quoted).collect(),
    }
}

fn no_pair(examined: &Inspection) -> bool {
    !examined
        .report
        .credentials
        .iter()
        .any(|row| table::PAIRS.iter().any(|(key, _)| row.key == *key))
}

fn place(origin: &Origin) -> String {
    if let Origin::EnvFile { path, line, .. } = origin {
        return format!("{}:{line}", path.display());
    }
    origin.to_string()
}
