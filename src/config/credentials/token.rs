//! The token of the default caller, and the diagnosis token.
//!
//! A short token is refused. A published one is refused where anybody beyond this machine could try it; elsewhere it is a
//! warning. No token may equal the other one or a part of the pair. Of the caller's token only the digest leaves. The text
//! of the diagnosis token leaves for the one command that shows it to the daemon, in a type that is never printed.

use std::fmt;

use http::HeaderValue;
use zeroize::Zeroizing;

use super::{
    super::{
        callers::IssuedCallers,
        names,
        report::{Origin, Problems, Row},
        variables::{Variable, Variables},
    },
    CredentialRules, CredentialUse, PLACEHOLDER, clean, facts, normalize, row,
};
use gateway::{
    auth::{MAX_TOKEN_BYTES, MIN_TOKEN_BYTES},
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
}

const CALLER: TokenRole = TokenRole {
    name: names::TOKEN,
    remedy: "make a new one, for example with openssl rand -hex 32, and give it to the callers, too",
    published: "the proxy token was published; replace it",
};

const DIAGNOSIS: TokenRole = TokenRole {
    name: names::DIAG_TOKEN,
    remedy: "make a new one for the operators only, for example with openssl rand -hex 32",
    published: "the diagnosis token was published; replace it",
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

/// What tokens are read from and checked against, and where what is found goes.
pub(super) struct TokenLoader<'a> {
    pub(super) variables: &'a Variables,
    pub(super) pair: Option<&'a Credentials>,
    pub(super) rules: CredentialRules<'a>,
    pub(super) issued: &'a IssuedCallers,
    pub(super) rows: &'a mut Vec<Row>,
    pub(super) problems: &'a mut Problems,
}

impl TokenLoader<'_> {
    /// Finds and checks the caller's token; `None` where there is none to be used, which is reported.
    pub(super) fn caller(&mut self) -> Option<TokenDigest> {
        let Some(variable) = self.variables.find(names::TOKEN) else {
            if !self.issued.can_call() {
                report_missing(self.variables, self.problems);
            }
            return None;
        };
        let text = self.checked(&CALLER, variable)?;
        Some(TokenDigest::of(text.as_bytes()))
    }

    /// Finds and checks the token of the diagnosis; `None` where there is none, which is no problem, or none to be
    /// used, which is reported.
    pub(super) fn diagnosis(&mut self) -> Option<DiagnosisToken> {
        let variable = self.variables.find(names::DIAG_TOKEN)?;
        let token = DiagnosisToken(self.checked(&DIAGNOSIS, variable)?);
        let callers = self
            .variables
            .find(names::TOKEN)
            .and_then(|other| clean(names::TOKEN, other, &mut Problems::default()));
        if callers.is_some_and(|other| TokenDigest::of(other.as_bytes()).equals(&token.digest())) {
            let fault = format!(
                "is the same as {}: who may call must not diagnose, and the reverse",
                names::TOKEN
            );
            self.refuse(&DIAGNOSIS, variable, fault);
            return None;
        }
        Some(token)
    }

    /// The text of a token that can be used.
    fn checked(&mut self, role: &TokenRole, variable: &Variable) -> Option<Zeroizing<String>> {
        let text = clean(role.name, variable, self.problems)?;
        let is_published = self.rules.published.holds(CredentialUse::Token, &text);
        let shown = facts(&text, is_published, variable);
        self.rows.push(row(role.name, shown, variable));
        if let Some(fault) = self.unusable(&text) {
            self.refuse(role, variable, fault);
            return None;
        }
        let doubt = if normalize::placeholder(&text) {
            Some(PLACEHOLDER.to_owned())
        } else {
            normalize::unusual_in_token(&text)
                .map(|what| format!("begins or ends with {what}: was it copied with it?"))
        };
        if let Some(doubt) = doubt {
            self.problems
                .warning(role.name, &variable.origin, doubt, role.remedy);
        }
        if !is_published {
            return Some(text);
        }
        let fault = "this token was published: anybody may have it";
        // Accepted while only this machine can reach the listener.
        if self.rules.reach == Reach::Beyond {
            let fault =
                format!("{fault}, and the listener can be reached from beyond this machine");
            self.refuse(role, variable, fault);
            return None;
        }
        self.problems
            .warning(role.name, &variable.origin, fault, role.remedy)
            .ready = Some(role.published);
        Some(text)
    }

    fn refuse(&mut self, role: &TokenRole, variable: &Variable, fault: String) {
        self.problems
            .error(role.name, &variable.origin, fault, role.remedy);
    }

    /// Why a token cannot be used anywhere.
    fn unusable(&self, text: &str) -> Option<String> {
        let length = text.chars().count();
        if length == 0 || length > MAX_TOKEN_BYTES {
            return Some(format!("cannot be used: {length} characters"));
        }
        for prefix in [KEY_PREFIX, SECRET_PREFIX] {
            if text.starts_with(prefix) {
                return Some(format!(
                    "begins with {prefix} as the signing credentials that this proxy issues do; it cannot be a token"
                ));
            }
        }
        if let Some(pair) = self.pair {
            let of_key = pair.key.equals(&ApiKey::new(text.to_owned()));
            let of_secret = pair.secret.equals(&ApiSecret::new(text.to_owned()));
            if of_key || of_secret {
                let fault = "is the exchange's API key or secret, which callers must not have";
                return Some(fault.to_owned());
            }
        }
        if self.issued.has_token(&TokenDigest::of(text.as_bytes())) {
            let fault = "was issued to another caller (crypto-proxy caller), and cannot name two";
            return Some(fault.to_owned());
        }
        if length < MIN_TOKEN_BYTES {
            return Some(format!(
                "too short: {length} characters, {MIN_TOKEN_BYTES} at least"
            ));
        }
        None
    }
}

fn report_missing(variables: &Variables, problems: &mut Problems) {
    if variables.unreadable {
        return;
    }
    let empty = variables.iter().find(|(name, _)| *name == names::TOKEN);
    let (text, origin) = empty.map_or(
        (
            "not configured: without it no caller could authenticate",
            Origin::Default,
        ),
        |(_, variable)| {
            (
                "not configured: the value is empty",
                variable.origin.clone(),
            )
        },
    );
    problems.error(names::TOKEN, &origin, text, CALLER.remedy);
}
