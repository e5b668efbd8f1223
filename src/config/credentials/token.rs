//! The token of the default caller, and the diagnosis token.
//!
//! A published or short token is refused where anybody beyond this machine could try it; elsewhere it is a warning. No
//! token may equal the other one or a part of the pair. Of the caller's token only the digest leaves. The text of the
//! diagnosis token leaves for the one command that shows it to the daemon, in a type that is never printed.

use std::fmt;

use http::HeaderValue;
use zeroize::Zeroizing;

use super::{
    super::{
        callers::IssuedCallers,
        names,
        report::{Origin, Problem, Problems, Row},
        variables::{Variable, Variables},
    },
    CredentialRules, CredentialUse, SHORT, clean, facts, row,
};
use gateway::{
    auth::MAX_TOKEN_BYTES,
    secret::{ApiKey, ApiSecret, Credentials, TokenDigest},
    virtual_key::{KEY_PREFIX, SECRET_PREFIX},
};

/// Who can reach the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reach {
    /// This machine only.
    Local,
    /// Others too.
    Beyond,
}

/// What a token is for.
struct TokenRole {
    name: &'static str,
    remedy: &'static str,
    published: &'static str,
    short: &'static str,
}

const CALLER: TokenRole = TokenRole {
    name: names::TOKEN,
    remedy: "make a new one, say with openssl rand -hex 32, and give it to the callers too",
    published: "the proxy token was published; replace it",
    short: "the proxy token is too short; replace it",
};

const DIAGNOSIS: TokenRole = TokenRole {
    name: names::DIAG_TOKEN,
    remedy: "make a new one for the operators alone, say with openssl rand -hex 32",
    published: "the diagnosis token was published; replace it",
    short: "the diagnosis token is too short; replace it",
};

/// The token that opens the diagnosis, to be shown to the daemon. Never printed; wiped on drop.
#[derive(Clone)]
pub struct DiagnosisToken(Zeroizing<String>);

impl fmt::Debug for DiagnosisToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[diagnosis token]")
    }
}

impl DiagnosisToken {
    /// As the value of a header, marked as sensitive; `None` where it holds what no header can.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&self.0).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Its digest, to compare with.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0.as_bytes())
    }
}

/// Finds and checks the caller's token; `None` where there is none to be used, which is reported.
pub(in super::super) fn load(
    variables: &Variables,
    credentials: Option<&Credentials>,
    rules: CredentialRules<'_>,
    issued: &IssuedCallers,
    rows: &mut Vec<Row>,
    problems: &mut Problems,
) -> Option<TokenDigest> {
    let Some(variable) = variables.find(names::TOKEN) else {
        if !issued.can_call() {
            report_missing(variables, problems);
        }
        return None;
    };
    let text = checked(
        &CALLER,
        variable,
        credentials,
        rules,
        issued,
        rows,
        problems,
    )?;
    Some(TokenDigest::of(text.as_bytes()))
}

/// Finds and checks the token of the diagnosis; `None` where there is none, which is no problem, or none to be used,
/// which is reported.
pub(in super::super) fn load_diagnosing(
    variables: &Variables,
    credentials: Option<&Credentials>,
    rules: CredentialRules<'_>,
    issued: &IssuedCallers,
    rows: &mut Vec<Row>,
    problems: &mut Problems,
) -> Option<DiagnosisToken> {
    let variable = variables.find(names::DIAG_TOKEN)?;
    let text = checked(
        &DIAGNOSIS,
        variable,
        credentials,
        rules,
        issued,
        rows,
        problems,
    )?;
    let callers = variables
        .find(names::TOKEN)
        .and_then(|other| clean(names::TOKEN, other, &mut Problems::default()));
    let digest = TokenDigest::of(text.as_bytes());
    if callers.is_some_and(|callers| TokenDigest::of(callers.as_bytes()).equals(&digest)) {
        let fault = format!(
            "is the same as {}: who may call must not diagnose, and the reverse",
            names::TOKEN
        );
        problems.push(Problem::error(
            names::DIAG_TOKEN,
            &variable.origin,
            fault,
            DIAGNOSIS.remedy,
        ));
        return None;
    }
    Some(DiagnosisToken(text))
}

/// The text of a token that can be used.
fn checked(
    role: &TokenRole,
    variable: &Variable,
    credentials: Option<&Credentials>,
    rules: CredentialRules<'_>,
    issued: &IssuedCallers,
    rows: &mut Vec<Row>,
    problems: &mut Problems,
) -> Option<Zeroizing<String>> {
    let text = clean(role.name, variable, problems)?;
    let is_published = rules.published.holds(CredentialUse::Token, &text);
    rows.push(row(
        role.name,
        facts(&text, is_published, variable),
        variable,
    ));
    let digest = TokenDigest::of(text.as_bytes());
    let usable = match unusable(&text, credentials).or_else(|| taken(&digest, issued)) {
        Some(fault) => {
            problems.push(Problem::error(
                role.name,
                &variable.origin,
                fault,
                role.remedy,
            ));
            false
        }
        None => accept_weak_token(
            role,
            weakness(role, &text, is_published),
            &variable.origin,
            rules.reach,
            problems,
        ),
    };
    usable.then_some(text)
}

/// One token cannot name two callers.
fn taken(token: &TokenDigest, issued: &IssuedCallers) -> Option<String> {
    issued.has_token(token).then(|| {
        "was issued to another caller (crypto-proxy caller), and cannot name two".to_owned()
    })
}

/// A weakness that is accepted while only this machine can reach the listener.
struct Weakness {
    text: String,
    ready: &'static str,
}

fn report_missing(variables: &Variables, problems: &mut Problems) {
    if variables.unreadable {
        return;
    }
    let empty = variables.iter().find(|(name, _)| *name == names::TOKEN);
    let (text, origin) = empty.map_or(
        (
            "not configured: without it nobody could call",
            Origin::Default,
        ),
        |(_, variable)| {
            (
                "not configured: the value is empty",
                variable.origin.clone(),
            )
        },
    );
    problems.push(Problem::error(names::TOKEN, &origin, text, CALLER.remedy));
}

/// Why a token cannot be used anywhere.
fn unusable(text: &str, credentials: Option<&Credentials>) -> Option<String> {
    let length = text.chars().count();
    if length == 0 || length > MAX_TOKEN_BYTES {
        return Some(format!("cannot be used: {length} characters"));
    }
    if let Some(prefix) = [KEY_PREFIX, SECRET_PREFIX]
        .into_iter()
        .find(|prefix| text.starts_with(prefix))
    {
        return Some(format!(
            "begins with {prefix} as what this proxy issues to sign with does, and is no token"
        ));
    }
    let credentials = credentials?;
    let of_key = credentials.key.equals(&ApiKey::new(text.to_owned()));
    let of_secret = credentials.secret.equals(&ApiSecret::new(text.to_owned()));
    (of_key || of_secret)
        .then(|| "is the exchange's API key or secret, which callers must not have".to_owned())
}

fn weakness(role: &TokenRole, text: &str, is_published: bool) -> Option<Weakness> {
    let length = text.chars().count();
    if is_published {
        let text = "this token was published: anybody may have it".to_owned();
        return Some(Weakness {
            text,
            ready: role.published,
        });
    }
    (length < SHORT).then(|| Weakness {
        text: format!("too short: {length} characters, {SHORT} at least"),
        ready: role.short,
    })
}

/// Whether a token with this weakness can be used where it can be tried from.
fn accept_weak_token(
    role: &TokenRole,
    weakness: Option<Weakness>,
    origin: &Origin,
    reach: Reach,
    problems: &mut Problems,
) -> bool {
    let Some(Weakness { text, ready }) = weakness else {
        return true;
    };
    if reach == Reach::Beyond {
        let text = format!("{text}, and the listener can be reached from beyond this machine");
        problems.push(Problem::error(role.name, origin, text, role.remedy));
        return false;
    }
    problems.push(Problem::warning(role.name, origin, text, role.remedy).ready(ready));
    true
}
