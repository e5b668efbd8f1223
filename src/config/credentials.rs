//! The API key and its secret, and what a diagnosis is told of them.
//!
//! A key and a secret are taken from one source and one pair of names, or not at all. Every suspicion is a problem that
//! shows lengths and names only. Published values are refused on the real exchange. Nothing here goes through the
//! `config` crate or guesses at types.

use std::{collections::HashSet, sync::LazyLock};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    FilePair,
    callers::IssuedCallers,
    names,
    normalize::{self, ISSUED_PREFIXES, SECRET_PREFIX},
    report::{CONFIGURATION_FILE, Origin, Problems, Report, Row},
    variables::{Layer, Variable, Variables},
};
use diagnosis::probes::{CredentialFacts, Flaw, FlawFound};
use gateway::secret::{ApiKey, ApiSecret, Credentials, TokenDigest};

mod token;

pub use token::DiagnosisToken;
pub(super) use token::Reach;
use token::TokenLoader;

/// Shorter keys and secrets are refused.
const TOO_SHORT: usize = 8;
/// Shorter keys and secrets, without a prefix, are suspicious: a copy that was cut at 16 characters is one.
const SHORT: usize = 17;
const COPY_AGAIN: &str = "copy the key and its secret again, both from one creation";

/// Where calls go, as far as credentials care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    /// The real one, or one that the operator named.
    Real,
    /// A stand-in on loopback.
    FakeExchange,
}

/// What credentials are checked against.
#[derive(Clone, Copy)]
pub(super) struct CredentialRules<'a> {
    /// Values that anybody may have.
    pub(super) published: &'a Published,
    /// Where calls go.
    pub(super) exchange: Exchange,
    /// Who can reach the listener.
    pub(super) reach: Reach,
    /// Where a variable that is missing is to be set.
    pub(super) place: &'a str,
}

/// A pair as it was found.
struct FoundPair<'a> {
    names: (&'static str, &'static str),
    key: &'a Variable,
    secret: &'a Variable,
}

/// What the credentials are. What cannot be used is `None`, and reported.
#[derive(Default)]
pub(super) struct Found {
    /// The pair that signs.
    pub(super) pair: Option<Credentials>,
    /// The fingerprint of the key, wherever a complete pair was found.
    pub(super) fingerprint: Option<String>,
    /// Whether a diagnosis can probe: nothing but a token keeps the daemon from starting.
    pub(super) can_probe: bool,
    /// What the default caller shows.
    pub(super) token: Option<TokenDigest>,
    /// The diagnosis token.
    pub(super) diagnosis: Option<DiagnosisToken>,
}

/// Finds and checks the pair and the tokens. Their rows are for the report, whether they can be used or not.
pub(super) fn load(
    variables: &Variables,
    rules: CredentialRules<'_>,
    issued: &IssuedCallers,
    rows: &mut Vec<Row>,
    problems: &mut Problems,
) -> Found {
    let mut found = match complete_pairs(&variables.layers).as_slice() {
        [] => {
            report_missing(variables, rules.place, problems);
            Found::default()
        }
        [first, others @ ..] => {
            report_ignored_halves(variables, problems);
            let found = first.check(rules, rows, problems);
            for other in others {
                other.compare(first, problems);
            }
            found
        }
    };
    found.can_probe = problems.allow_start();
    let mut tokens = TokenLoader {
        variables,
        pair: found.pair.as_ref(),
        rules,
        issued,
        rows,
        problems,
    };
    found.token = tokens.caller();
    found.diagnosis = tokens.diagnosis();
    found
}

fn complete_pairs(layers: &[Layer]) -> Vec<FoundPair<'_>> {
    let all = layers
        .iter()
        .flat_map(|layer| names::PAIRS.map(|names| (layer, names)));
    all.filter_map(|(layer, names)| {
        Some(FoundPair {
            names,
            key: filled(layer, names.0)?,
            secret: filled(layer, names.1)?,
        })
    })
    .collect()
}

fn filled<'a>(layer: &'a Layer, name: &str) -> Option<&'a Variable> {
    layer
        .variables
        .get(name)
        .filter(|variable| !variable.value.trim().is_empty())
}

/// Halves of pairs: the variable that is there, its name, and the name of the one that is not.
fn halves(layers: &[Layer]) -> Vec<(&Variable, &'static str, &'static str)> {
    let all = layers
        .iter()
        .flat_map(|layer| names::PAIRS.map(|names| (layer, names)));
    all.filter_map(
        |(layer, (key, secret))| match (filled(layer, key), filled(layer, secret)) {
            (Some(variable), None) => Some((variable, key, secret)),
            (None, Some(variable)) => Some((variable, secret, key)),
            _ => None,
        },
    )
    .collect()
}

/// Reports what is missing, unless it may stand in a source that could not be read, which was reported.
fn report_missing(variables: &Variables, place: &str, problems: &mut Problems) {
    if variables.unreadable {
        return;
    }
    let halves = halves(&variables.layers);
    for (variable, name, missing) in &halves {
        let text = format!("incomplete pair: {name} is set without {missing}");
        let remedy = format!(
            "set {missing} in the same place; pairs are never mixed across names or sources"
        );
        problems.error(missing, &variable.origin, text, remedy).flaw = Some(Flaw::Half);
        // What stands there may have swallowed the other one.
        if let Some(text) = clean(name, variable, problems) {
            warn_of_unusual(name, variable, &text, problems);
        }
    }
    if halves.is_empty() {
        let (key, secret) = ("CRYPTO_API_KEY", "CRYPTO_API_SECRET");
        let empty = variables
            .iter()
            .find(|(name, _)| [key, secret].contains(name));
        let (text, origin) = empty.map_or(("not configured", Origin::Default), |(_, variable)| {
            (
                "not configured: the value is empty",
                variable.origin.clone(),
            )
        });
        let remedy =
            format!("set {key} and {secret} in {place}, then systemctl restart crypto-proxy");
        problems
            .error(&format!("{key}, {secret}"), &origin, text, remedy)
            .flaw = Some(Flaw::Missing);
    }
}

fn report_ignored_halves(variables: &Variables, problems: &mut Problems) {
    for (variable, name, missing) in halves(&variables.layers) {
        let text = format!("incomplete pair: {missing} is not set beside it, so it is not used");
        problems
            .warning(name, &variable.origin, text, "complete it, or remove it")
            .flaw = Some(Flaw::SpareHalf);
    }
}

impl FoundPair<'_> {
    fn check(
        &self,
        rules: CredentialRules<'_>,
        rows: &mut Vec<Row>,
        problems: &mut Problems,
    ) -> Found {
        let key = clean(self.names.0, self.key, problems);
        let secret = clean(self.names.1, self.secret, problems);
        let (Some(key), Some(secret)) = (key, secret) else {
            return Found::default();
        };
        let pair = credentials_of(&key, &secret);
        let fingerprint = pair.key.fingerprint();
        rows.extend(self.rows(&key, &secret, &fingerprint, rules.published));
        let key_usable = self.check_half(CredentialUse::Key, &key, rules, problems);
        let secret_usable = self.check_half(CredentialUse::Secret, &secret, rules, problems);
        let not_swapped = self.check_swapped(&key, &secret, problems);
        let usable = key_usable && secret_usable && not_swapped;
        Found {
            pair: if usable { Some(pair) } else { None },
            fingerprint: Some(fingerprint),
            ..Found::default()
        }
    }

    /// Whether a half of the pair can be used.
    fn check_half(
        &self,
        used: CredentialUse,
        text: &str,
        rules: CredentialRules<'_>,
        problems: &mut Problems,
    ) -> bool {
        let (name, variable) = match used {
            CredentialUse::Secret => (self.names.1, self.secret),
            CredentialUse::Key | CredentialUse::Token => (self.names.0, self.key),
        };
        let length = text.chars().count();
        let is_published = rules.published.holds(used, text);
        let is_placeholder = normalize::placeholder(text);
        let mut error = |flaw, text: String, remedy: &str| {
            problems.error(name, &variable.origin, text, remedy).flaw = Some(flaw);
            false
        };
        if is_published && rules.exchange == Exchange::Real {
            return error(
                Flaw::Published,
                "this value was published: anybody may have it".to_owned(),
                REVOKE,
            );
        }
        if let Some(prefix) = ISSUED_PREFIXES
            .into_iter()
            .find(|prefix| text.starts_with(prefix))
        {
            let text = format!(
                "begins with {prefix} as the credentials that this proxy issues to its callers do; the exchange does not know it"
            );
            return error(
                Flaw::Malformed,
                text,
                "put the key and secret from the exchange's API management page here",
            );
        }
        if length < TOO_SHORT {
            return error(
                Flaw::Malformed,
                format!("too short: {length} characters"),
                COPY_AGAIN,
            );
        }
        if is_placeholder && rules.exchange == Exchange::Real {
            return error(Flaw::Malformed, PLACEHOLDER.to_owned(), COPY_AGAIN);
        }
        if is_placeholder {
            problems
                .warning(name, &variable.origin, PLACEHOLDER, COPY_AGAIN)
                .flaw = Some(Flaw::Odd);
        } else {
            warn_of_unusual(name, variable, text, problems);
        }
        if is_published {
            let text = "this value was published; it is accepted because the exchange is a stand-in on this machine";
            problems.warning(name, &variable.origin, text, REVOKE).flaw = Some(Flaw::Published);
        }
        let of_prefix = if text.starts_with(SECRET_PREFIX) {
            SECRET_PREFIX.len()
        } else {
            0
        };
        if length - of_prefix < SHORT {
            let text = format!("suspiciously short: {length} characters");
            problems
                .warning(name, &variable.origin, text, COPY_AGAIN)
                .flaw = Some(Flaw::Short);
        }
        true
    }

    fn check_swapped(&self, key: &str, secret: &str, problems: &mut Problems) -> bool {
        let (name, origin) = (self.names.0, &self.key.origin);
        if key == secret {
            problems
                .error(name, origin, "key and secret are the same text", COPY_AGAIN)
                .flaw = Some(Flaw::Malformed);
            return false;
        }
        if key.starts_with(SECRET_PREFIX) {
            let other = if secret.starts_with(SECRET_PREFIX) {
                "; so does the secret"
            } else {
                ""
            };
            let text = format!(
                "begins with {SECRET_PREFIX} as a secret does: is the secret in the key's place?{other}"
            );
            problems.warning(name, origin, text, COPY_AGAIN).flaw = Some(Flaw::Swapped);
        } else if key.len() > secret.len() && secret.len() >= TOO_SHORT {
            let text = format!(
                "is longer ({}) than its secret ({}): are they swapped?",
                key.len(),
                secret.len()
            );
            problems.warning(name, origin, text, COPY_AGAIN).flaw = Some(Flaw::Swapped);
        }
        true
    }

    fn rows(&self, key: &str, secret: &str, fingerprint: &str, published: &Published) -> Vec<Row> {
        let of_key = format!(
            "{}, fingerprint {fingerprint}",
            facts(key, published.holds(CredentialUse::Key, key), self.key)
        );
        vec![
            row(self.names.0, of_key, self.key),
            row(
                self.names.1,
                facts(
                    secret,
                    published.holds(CredentialUse::Secret, secret),
                    self.secret,
                ),
                self.secret,
            ),
        ]
    }

    /// The cleaned pair, unjudged.
    fn cleaned(&self) -> Option<Credentials> {
        let mut unheard = Problems::default();
        let key = clean(self.names.0, self.key, &mut unheard)?;
        let secret = clean(self.names.1, self.secret, &mut unheard)?;
        Some(credentials_of(&key, &secret))
    }

    /// Warns where a further pair differs from the one in use.
    fn compare(&self, used: &FoundPair<'_>, problems: &mut Problems) {
        let both = self.cleaned().zip(used.cleaned());
        if both
            .is_some_and(|(own, used)| own.key.equals(&used.key) && own.secret.equals(&used.secret))
        {
            return;
        }
        let text = format!(
            "differs from the pair in use: {} ({})",
            used.names.0, used.key.origin
        );
        let key = format!("{}, {}", self.names.0, self.names.1);
        let problem = problems.warning(&key, &self.key.origin, text, "keep one pair");
        problem.flaw = Some(Flaw::SecondPair);
        problem.ready = Some("a second pair of credentials is configured, and differs");
    }
}

fn warn_of_unusual(name: &str, variable: &Variable, text: &str, problems: &mut Problems) {
    if let Some(what) = normalize::unusual_in_pair(text) {
        let text = format!("holds {what}, which is unusual in a key or secret");
        problems
            .warning(name, &variable.origin, text, COPY_AGAIN)
            .flaw = Some(Flaw::Odd);
    }
}

fn credentials_of(key: &str, secret: &str) -> Credentials {
    Credentials {
        key: ApiKey::new(key.to_owned()),
        secret: ApiSecret::new(secret.to_owned()),
    }
}

/// Said of a value that stands for another.
const PLACEHOLDER: &str = "is a sample text, not a value of your own";
const REVOKE: &str = "create a new key, revoke this one, and purge old logs";

fn facts(text: &str, is_published: bool, variable: &Variable) -> String {
    let published = if is_published {
        "PUBLISHED"
    } else {
        "not published"
    };
    let quotes = if variable.quoted {
        ", quotes removed by systemd"
    } else {
        ""
    };
    format!(
        "present, {} characters, {published}{quotes}",
        text.chars().count()
    )
}

fn row(name: &str, shown: String, variable: &Variable) -> Row {
    Row::new(name, shown, variable.origin.clone())
}

/// Cleans a value. What was removed is a warning; what must not be there is an error.
fn clean(name: &str, variable: &Variable, problems: &mut Problems) -> Option<Zeroizing<String>> {
    match normalize::clean(&variable.value) {
        Ok((text, removed)) => {
            if !removed.is_empty() {
                let (before, after) = (variable.value.chars().count(), text.chars().count());
                let what = format!(
                    "{} removed: {before} characters, {after} without",
                    removed.join(" and ")
                );
                problems
                    .warning(
                        name,
                        &variable.origin,
                        what,
                        "correct the value where it stands",
                    )
                    .flaw = Some(Flaw::Dirt);
            }
            Some(text)
        }
        Err(inside) => {
            problems
                .error(name, &variable.origin, inside, "copy the value again")
                .flaw = Some(Flaw::Malformed);
            None
        }
    }
}

/// The pair of these sources alone, unjudged, for comparing.
pub(super) fn pair_of(layers: &[Layer]) -> Option<FilePair> {
    let first = complete_pairs(layers).into_iter().next()?;
    Some(FilePair {
        name: first.names.0,
        credentials: first.cleaned()?,
    })
}

static LIST: LazyLock<Published> =
    LazyLock::new(|| Published::read(include_str!("published.json")));

/// The credentials that were published with the old system, by digest: no value stands in this project. A list that
/// cannot be read fails a test, not a start.
///
/// Digests, SHA-256 in lower-case hex; a value, so that tests have a list of their own.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Published {
    proxy_tokens: HashSet<String>,
    api_keys: HashSet<String>,
    api_secrets: HashSet<String>,
}

/// What a text is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialUse {
    Key,
    Secret,
    Token,
}

impl Published {
    /// The list of this project.
    pub(super) fn list() -> &'static Self {
        &LIST
    }

    /// The list as it stands in a file.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Whether the text was published, in this use.
    pub(super) fn holds(&self, used: CredentialUse, text: &str) -> bool {
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        match used {
            CredentialUse::Key => self.api_keys.contains(&digest),
            CredentialUse::Secret => self.api_secrets.contains(&digest),
            CredentialUse::Token => self.proxy_tokens.contains(&digest),
        }
    }
}

/// What the load found out about the pair, for a diagnosis.
///
/// It is made of problems and rows after credentials were withheld from them, so it holds nothing that they do not show.
pub(super) fn pair_facts(
    variables: &Variables,
    problems: &Problems,
    report: &Report,
    fingerprint: Option<String>,
) -> CredentialFacts {
    let key = report.credentials.iter().find(|row| is_key(&row.key));
    let label = report
        .credentials
        .iter()
        .find(|row| row.key == names::LABEL);
    let mut flaws = flaws_of(problems, report, key.is_some());
    for (name, variable) in variables.iter() {
        if variable.quoted && is_half(name) {
            let text = "is in quotes: systemd removes them, docker --env-file and others do not";
            flaws.push(FlawFound {
                flaw: Flaw::Quoted,
                name: name.to_owned(),
                place: place(&variable.origin),
                text: text.to_owned(),
            });
        }
    }
    CredentialFacts {
        looked_at: report.sources.iter().filter_map(looked_at).collect(),
        source: key.map(|row| match &row.source {
            Origin::EnvFile { path, .. } | Origin::File(path) | Origin::Line { path, .. } => {
                path.display().to_string()
            }
            Origin::HandedOver { place, .. } => place.clone(),
            Origin::Variable(_) | Origin::Default => {
                "the environment that it is started with".to_owned()
            }
        }),
        fingerprint,
        label: label.map(|row| row.shown.clone()),
        flaws,
    }
}

/// The problems that say something about the pair. That a file is missing or unreadable does only where no pair was found.
///
/// What is wrong with the configuration file says nothing about the pair.
fn flaws_of(problems: &Problems, report: &Report, has_pair: bool) -> Vec<FlawFound> {
    let file = report
        .sources
        .iter()
        .find(|row| row.key == CONFIGURATION_FILE);
    let mut found = Vec::new();
    for problem in problems.iter() {
        let Some(flaw) = problem.flaw else { continue };
        let about_a_token = [names::TOKEN, names::DIAG_TOKEN].contains(&&*problem.key);
        let about_a_file = matches!(flaw, Flaw::Missing | Flaw::Unreadable);
        let about_settings = file.is_some_and(|row| row.source == problem.source);
        if about_a_token || about_settings || about_a_file && has_pair {
            continue;
        }
        found.push(FlawFound {
            flaw,
            name: problem.key.clone(),
            place: place(&problem.source),
            text: problem.text.clone(),
        });
    }
    found
}

fn is_key(name: &str) -> bool {
    names::PAIRS.iter().any(|(key, _)| *key == name)
}

fn is_half(name: &str) -> bool {
    names::PAIRS
        .iter()
        .any(|(key, secret)| [*key, *secret].contains(&name))
}

/// A place that credentials may stand in, and whether it could be read.
fn looked_at(row: &Row) -> Option<String> {
    if row.key == CONFIGURATION_FILE {
        return None;
    }
    let place = if row.source == Origin::Default {
        String::new()
    } else {
        format!(" {}", row.source)
    };
    Some(format!("{}{place}: {}", row.key, row.shown))
}

fn place(origin: &Origin) -> String {
    if let Origin::EnvFile { path, line, .. } = origin {
        return format!("{}:{line}", path.display());
    }
    origin.to_string()
}
