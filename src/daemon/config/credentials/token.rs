//! The token of the default caller.
//!
//! Guarantees: a published or short token is refused where anybody beyond this machine could try it, and said loudly
//! everywhere else. Only its digest leaves.

use super::{
    super::{
        names,
        problem::{Origin, Problem, Problems},
        published::{self, Use},
        report::Row,
        sources::Variables,
    },
    SHORT, clean, facts, row,
};
use crate::gateway::{caller::MAX_TOKEN_BYTES, secret::TokenDigest};

const NEW_TOKEN: &str = "make a new one, say with openssl rand -hex 32, and give it to the callers too";

/// Who can reach the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reach {
    /// This machine only.
    Local,
    /// Others too.
    Beyond,
}

/// Finds and checks the token; `None` where there is none to be used, which is reported.
pub(in super::super) fn load(
    variables: &Variables,
    reach: Reach,
    problems: &mut Problems,
) -> Option<(TokenDigest, Row)> {
    let Some(variable) = variables.find(names::TOKEN) else {
        if !variables.unreadable {
            let text = "not configured: without it nobody could call";
            problems.push(Problem::error(names::TOKEN, &Origin::Default, text, NEW_TOKEN));
        }
        return None;
    };
    let text = clean(names::TOKEN, variable, problems)?;
    let weakness = weakness(&text);
    let usable = match weakness {
        Some((fatal, what, short)) => judge(&variable.origin, reach, fatal, &what, short, problems),
        None => true,
    };
    let row = row(names::TOKEN, facts(&text, Use::Token, variable), variable);
    usable.then(|| (TokenDigest::of(text.as_bytes()), row))
}

/// What is wrong with a token: whether everywhere, in words, and in few words.
fn weakness(text: &str) -> Option<(bool, String, &'static str)> {
    let length = text.chars().count();
    if length == 0 || length > MAX_TOKEN_BYTES {
        return Some((true, format!("cannot be used: {length} characters"), ""));
    }
    if published::is_published(Use::Token, text) {
        let what = "this token was published: anybody may have it".to_owned();
        return Some((false, what, "the proxy token was published; replace it"));
    }
    (length < SHORT).then(|| {
        let what = format!("too short: {length} characters, {SHORT} at least");
        (false, what, "the proxy token is too short; replace it")
    })
}

fn judge(origin: &Origin, reach: Reach, fatal: bool, what: &str, short: &'static str, problems: &mut Problems) -> bool {
    if fatal {
        problems.push(Problem::error(names::TOKEN, origin, what, NEW_TOKEN));
        return false;
    }
    if reach == Reach::Beyond {
        let text = format!("{what}, and the listener can be reached from beyond this machine");
        problems.push(Problem::error(names::TOKEN, origin, text, NEW_TOKEN));
        return false;
    }
    problems.push(Problem::warning(names::TOKEN, origin, what, NEW_TOKEN).ready(short));
    true
}
