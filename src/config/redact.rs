//! The last check of every text before it is shown: does it contain a part of a credential?
//!
//! No text that went through here holds eight characters in a row of a credential variable's value, in any case. It does
//! not matter how they got there: a secret pasted into the wrong setting, as a name, or as a host. The same holds for
//! what looks like a secret of the exchange or a random text, loaded or not, because the variable that it was meant for
//! may be empty. Public words (the names of our variables and of this program) are no part of a credential, also where
//! a value holds them, as one does whose quote is not closed. This does not replace care: texts about credentials show only
//! lengths to begin with. A name that looks random (a hash in a path) is withheld as well: that costs a word, not a key.

use std::{fmt, iter, path::PathBuf};

use zeroize::Zeroizing;

use super::{
    names,
    normalize::{self, ISSUED_PREFIXES, SECRET_PREFIX},
    report::{Origin, Problem, Problems, Report, Row},
    sources::DEFAULT_ENV_FILE,
    table::{self, Setting},
    variables::Variables,
};
use gateway::redact::LeakSearch;

/// Characters in a row that count as a part.
const PART: usize = 8;
/// A run of letters and digits this long may count as random. No key, secret or token is shorter.
const RANDOM: usize = 16;
/// Hexadecimal digits and dashes in a row that count as an identifier such as a UUID.
const IDENTIFIER: usize = 32;
const INSTEAD: &str = "(withheld: would show a part of a credential)";

/// What must not be shown.
pub(super) struct Redactor {
    /// Every part of a value, beside public words.
    parts: LeakSearch,
    /// Values that hold more than public words; none is shown whole.
    whole: Vec<Zeroizing<String>>,
    /// In lower case, the longest first.
    public: Vec<String>,
}

impl Default for Redactor {
    fn default() -> Self {
        Self {
            parts: LeakSearch::for_pieces_of(PART),
            whole: Vec::new(),
            public: public_words(),
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

fn public_words() -> Vec<String> {
    let settings = table::SETTINGS.iter().map(Setting::variable);
    let names = names::secrets().chain(table::named_variables());
    let others = [names::CONFIG, names::LABEL, names::PREFIX];
    let program = [DEFAULT_ENV_FILE, "crypto-proxy"];
    let fixed = names.chain(others).chain(program).map(str::to_owned);
    let mut words: Vec<String> = settings.chain(fixed).collect();
    words
        .iter_mut()
        .for_each(|word| word.make_ascii_lowercase());
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
}

impl Redactor {
    pub(super) fn add(&mut self, secret: &str) {
        let lower = Zeroizing::new(secret.trim().to_lowercase());
        if lower.chars().count() < PART {
            return;
        }
        self.parts.add(&lower);
        if !self.public.contains(&lower) {
            self.whole.push(lower);
        }
    }

    /// Replaces the text if it shows a part, or what looks like one.
    pub(super) fn apply(&self, text: &mut String) {
        if self.is_shown_by(text) {
            INSTEAD.clone_into(text);
        }
    }

    /// Replaces the path or the name of an origin.
    pub(super) fn apply_to(&self, origin: &mut Origin) {
        match origin {
            Origin::Default => {}
            Origin::File(path) | Origin::Line { path, .. } => self.apply_to_path(path),
            Origin::Variable(name) => self.apply(name),
            Origin::HandedOver { name, place } => {
                self.apply(name);
                self.apply(place);
            }
            Origin::EnvFile { path, name, .. } => {
                self.apply_to_path(path);
                name.iter_mut().for_each(|name| self.apply(name));
            }
        }
    }

    pub(super) fn apply_to_problems(&self, problems: &mut Problems) {
        for problem in problems.iter_mut() {
            self.apply(&mut problem.text);
            self.apply(&mut problem.key);
            self.apply(&mut problem.remedy);
            self.apply_to(&mut problem.source);
            if let Some(shown) = &mut problem.shown {
                self.apply(shown);
            }
        }
    }

    pub(super) fn apply_to_report(&self, report: &mut Report) {
        let rows = report
            .sources
            .iter_mut()
            .chain(&mut report.credentials)
            .chain(&mut report.callers)
            .chain(&mut report.settings);
        for row in rows {
            if row.source != Origin::Default {
                self.apply(&mut row.shown);
                self.apply_to(&mut row.source);
            }
        }
    }

    fn apply_to_path(&self, path: &mut PathBuf) {
        if self.is_shown_by(&path.to_string_lossy()) {
            *path = INSTEAD.into();
        }
    }

    fn is_shown_by(&self, text: &str) -> bool {
        let lower = Zeroizing::new(text.to_lowercase());
        self.whole.iter().any(|secret| lower.contains(&**secret))
            || self.parts.occurs_in(self.without_public(&lower).as_bytes())
            || holds_a_secret(&lower)
            || holds_random_text(text)
    }

    fn without_public(&self, lower: &str) -> Zeroizing<String> {
        let mut rest = Zeroizing::new(lower.to_owned());
        for word in &self.public {
            rest = Zeroizing::new(rest.replace(word, " "));
        }
        rest
    }
}

/// Every secret of every source, for the search in what is about to leave: pairs that are not used and halves, as they
/// stand and as they are after cleaning; of lines that count for nothing and of what other programs keep in the same
/// file only what is long enough, because comments and placeholders are words.
pub(super) fn leaks(variables: &Variables) -> LeakSearch {
    let mut search = LeakSearch::default();
    let cleaned = |value: &str| normalize::clean(value).ok().map(|(text, _)| text);
    for (_, variable) in variables.iter().filter(|(name, _)| names::is_secret(name)) {
        search.add(variable.value.trim());
        cleaned(&variable.value)
            .iter()
            .for_each(|text| search.add(text));
        // Two values in one variable: each is a secret by itself.
        let words = variable
            .value
            .split_whitespace()
            .filter(|word| word.len() >= RANDOM);
        words.for_each(|word| search.add(word));
    }
    let others = variables
        .iter()
        .filter(|(name, _)| names::seems_secret(name))
        .map(|(_, variable)| &variable.value);
    let unused_secrets = variables
        .layers
        .iter()
        .flat_map(|layer| &layer.unused_secrets);
    let others = others
        .chain(unused_secrets)
        .filter_map(|value| cleaned(value));
    // A path says where a secret is.
    others
        .filter(|text| text.len() >= RANDOM && !text.starts_with('/'))
        .for_each(|text| search.add(&text));
    search
}

/// Whether a prefix of a secret is followed by anything; alone it is a word of ours. A virtual key is no secret, and looks
/// like one.
fn holds_a_secret(lower: &str) -> bool {
    let prefixes = iter::once(SECRET_PREFIX).chain(ISSUED_PREFIXES);
    let mut after = prefixes.flat_map(|prefix| lower.split(prefix).skip(1));
    after.any(|rest| {
        rest.chars()
            .next()
            .is_some_and(|next| !next.is_whitespace())
    })
}

fn holds_random_text(text: &str) -> bool {
    let mut identifiers = text.split(|char: char| !char.is_ascii_hexdigit() && char != '-');
    let mut words = text.split(|char: char| !char.is_ascii_alphanumeric());
    identifiers.any(|run| run.len() >= IDENTIFIER && run.contains(|char: char| char != '-'))
        || words.any(is_random)
}

/// Letters and digits mixed, or capitals strewn in otherwise than at the beginnings of words.
fn is_random(word: &str) -> bool {
    let kinds: Vec<u8> = word.bytes().map(kind_of).collect();
    let changes = kinds
        .iter()
        .zip(kinds.iter().skip(1))
        .filter(|(one, next)| one != next)
        .count();
    let digits = kinds.contains(&DIGIT) && kinds.iter().any(|kind| *kind != DIGIT);
    word.len() >= RANDOM && (digits || changes * 5 >= word.len() * 2)
}

const DIGIT: u8 = 0;

const fn kind_of(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => DIGIT,
        b'a'..=b'z' => 1,
        _ => 2,
    }
}

/// Counts the callers instead of naming them, for a reader who must not learn their names. Their number stays, and so
/// does every problem with its line.
pub(super) fn forget_caller_names(report: &mut Report, problems: &mut Problems) {
    let callers = &mut report.callers;
    if let Some(source) = callers.first().map(|row| whole_file(&row.source)) {
        *callers = vec![Row::new("issued", callers.len().to_string(), source)];
    }
    problems.iter_mut().for_each(anonymize);
}

fn whole_file(origin: &Origin) -> Origin {
    if let Origin::Line { path, .. } = origin {
        Origin::File(path.clone())
    } else {
        origin.clone()
    }
}

fn anonymize(problem: &mut Problem) {
    if let Some(anonymous) = problem.anonymous.take() {
        problem.key = anonymous.key;
        problem.remedy = anonymous.remedy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callers;

    fn after(text: &str) -> String {
        let mut redactor = Redactor::default();
        redactor.add("invented-secret");
        redactor.add("short");
        let mut text = text.to_owned();
        redactor.apply(&mut text);
        text
    }

    #[test]
    fn eight_characters_in_a_row_are_too_many() {
        for text in [
            "see invented-secret",
            "nted-sec",
            "INVENTED",
            "https://invented/",
        ] {
            assert_eq!(after(text), INSTEAD, "{text}");
        }
        for text in ["invente", "nted-se cret", "short"] {
            assert_eq!(after(text), text);
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_one() {
        for text in [
            "cxakp_x",
            "CXAKP_Tn8",
            "cpvs_x",
            "cpt_x",
            "see cpvk_x",
            "https://cxakp_tn8.example/",
            "Hj4wQz8LmN2pRt6VxB9c",
            "private/hj4wqz8lmn2prt6vxb9c",
            "hJkwQzLmNpRtVxBc",
            "0123456789abcdef0123456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdef",
        ] {
            assert_eq!(after(text), INSTEAD, "{text}");
        }
    }

    #[test]
    fn what_settings_hold_is_none() {
        for text in [
            "begins with cxakp_ as a secret does",
            "begins with cpt_ as what this proxy issues does",
            "CRYPTO_PROXY__LISTENER__FIRST_REQUEST_DEADLINE_MS",
            "https://uat-api.3ona.co/exchange/v1",
            "ec2-203-0-113-7.eu-central-1.compute.amazonaws.com",
            "2001:db8:1234:5678:9abc:def0:1234:5678",
            "unix:/run/crypto-proxy/backend.sock",
            "/run/credentials/crypto-proxy.service/crypto.env:12",
            "MyTradingAccountProduction",
            "present, 39 characters, fingerprint 1e97c182",
            "--------------------------------",
            "12345678901234567890",
        ] {
            assert_eq!(after(text), text);
        }
    }

    #[test]
    fn origins_show_neither_names_nor_paths_that_do() {
        for origin in [
            Origin::Variable("CRYPTO_PROXY__nted-sec".into()),
            Origin::File("/x/cxakp_x".into()),
            Origin::Line {
                path: "cxakp_x".into(),
                line: 1,
                column: 1,
            },
            Origin::EnvFile {
                path: "cxakp_x".into(),
                line: 1,
                name: None,
            },
            Origin::EnvFile {
                path: "x".into(),
                line: 1,
                name: Some("cxakp_x".into()),
            },
        ] {
            let mut redactor = Redactor::default();
            redactor.add("invented-secret");
            let mut shown = origin.clone();
            redactor.apply_to(&mut shown);
            assert!(
                shown != origin && shown.to_string().contains(INSTEAD),
                "{origin}"
            );
        }
    }

    #[test]
    fn a_problem_with_a_caller_loses_the_name_and_nothing_else() {
        let told = |name: &str, setting, remedy: fn(&str) -> String| {
            let fault = callers::Fault::about_caller(1, name, setting, "has expired", remedy);
            let mut problem =
                Problem::warning(&fault.key, &Origin::Default, fault.text, fault.remedy);
            problem.anonymous = fault.anonymous;
            anonymize(&mut problem);
            problem.to_string()
        };
        let rotate = |name: &str| {
            format!("crypto-proxy caller rotate {name}, or revoke {name} and add it anew")
        };
        let unnamed = "a caller: has expired; crypto-proxy caller rotate NAME, or revoke NAME and add it anew";
        assert_eq!(told("desk-7", None, rotate), format!("warning: {unnamed}"));
        let x = |_: &str| "x".to_owned();
        assert_eq!(
            told("desk-7", Some("allow"), x),
            "warning: a caller: allow: has expired; x"
        );
        // A name that is refused for its characters.
        assert_eq!(
            told("The desk: seven", Some("name"), x),
            "warning: a caller: name: has expired; x"
        );
        let mut other =
            Problem::warning("callers", &Origin::Default, "has expired", "desk-77 stays");
        anonymize(&mut other);
        assert_eq!(
            other.to_string(),
            "warning: callers: has expired; desk-77 stays"
        );
    }
}
