//! The token of the default caller.
//!
//! Guarantees: a published or short token is refused where anybody beyond this machine could try it, and said loudly
//! everywhere else. Only its digest leaves.

use super::{
    super::{
        callers::Known,
        names,
        problem::{Origin, Problem, Problems},
        published::Use,
        report::Row,
        variables::Variables,
    },
    Judge, SHORT, clean, facts, row,
};
use crate::gateway::{
    caller::MAX_TOKEN_BYTES,
    secret::{ApiKey, ApiSecret, Credentials, TokenDigest},
    virtual_key::{KEY_PREFIX, SECRET_PREFIX},
};

const NEW_TOKEN: &str = "make a new one, say with openssl rand -hex 32, and give it to the callers too";

/// Who can reach the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reach {
    /// This machine only.
    Local,
    /// Others too.
    Beyond,
}

/// A weakness that is borne on this machine alone.
struct Weakness {
    text: String,
    ready: &'static str,
}

/// Finds and checks the token; `None` where there is none to be used, which is reported.
pub(in super::super) fn load(
    variables: &Variables,
    credentials: Option<&Credentials>,
    judge: Judge<'_>,
    known: &Known,
    rows: &mut Vec<Row>,
    problems: &mut Problems,
) -> Option<TokenDigest> {
    let Some(variable) = variables.find(names::TOKEN) else {
        if !known.can_call() {
            report_missing(variables, problems);
        }
        return None;
    };
    let text = clean(names::TOKEN, variable, problems)?;
    let is_published = judge.published.holds(Use::Token, &text);
    rows.push(row(names::TOKEN, facts(&text, is_published, variable), variable));
    let digest = TokenDigest::of(text.as_bytes());
    let usable = match unusable(&text, credentials).or_else(|| taken(&digest, known)) {
        Some(fault) => {
            problems.push(Problem::error(names::TOKEN, &variable.origin, fault, NEW_TOKEN));
            false
        }
        None => bear(weakness(&text, is_published), &variable.origin, judge.reach, problems),
    };
    usable.then_some(digest)
}

/// One token cannot name two callers.
fn taken(token: &TokenDigest, known: &Known) -> Option<String> {
    known.has_token(token).then(|| "was issued to another caller (crypto-proxy caller), and cannot name two".to_owned())
}

fn report_missing(variables: &Variables, problems: &mut Problems) {
    if variables.unreadable {
        return;
    }
    let empty = variables.iter().find(|(name, _)| *name == names::TOKEN);
    let (text, origin) = empty
        .map_or(("not configured: without it nobody could call", Origin::Default), |(_, variable)| {
            ("not configured: the value is empty", variable.origin.clone())
        });
    problems.push(Problem::error(names::TOKEN, &origin, text, NEW_TOKEN));
}

/// Why a token cannot be used anywhere.
fn unusable(text: &str, credentials: Option<&Credentials>) -> Option<String> {
    let length = text.chars().count();
    if length == 0 || length > MAX_TOKEN_BYTES {
        return Some(format!("cannot be used: {length} characters"));
    }
    if let Some(prefix) = [KEY_PREFIX, SECRET_PREFIX].into_iter().find(|prefix| text.starts_with(prefix)) {
        return Some(format!("begins with {prefix} as what this proxy issues to sign with does, and is no token"));
    }
    let credentials = credentials?;
    let of_key = credentials.key.equals(&ApiKey::new(text.to_owned()));
    let of_secret = credentials.secret.equals(&ApiSecret::new(text.to_owned()));
    (of_key || of_secret).then(|| "is the exchange's API key or secret, which callers must not have".to_owned())
}

fn weakness(text: &str, is_published: bool) -> Option<Weakness> {
    let length = text.chars().count();
    if is_published {
        let text = "this token was published: anybody may have it".to_owned();
        return Some(Weakness { text, ready: "the proxy token was published; replace it" });
    }
    (length < SHORT).then(|| Weakness {
        text: format!("too short: {length} characters, {SHORT} at least"),
        ready: "the proxy token is too short; replace it",
    })
}

/// Whether a token with this weakness can be used where it can be tried from.
fn bear(weakness: Option<Weakness>, origin: &Origin, reach: Reach, problems: &mut Problems) -> bool {
    let Some(Weakness { text, ready }) = weakness else { return true };
    if reach == Reach::Beyond {
        let text = format!("{text}, and the listener can be reached from beyond this machine");
        problems.push(Problem::error(names::TOKEN, origin, text, NEW_TOKEN));
        return false;
    }
    problems.push(Problem::warning(names::TOKEN, origin, text, NEW_TOKEN).ready(ready));
    true
}
