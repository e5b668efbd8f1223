//! The raw settings: the configuration file, above it the environment, above it the variables with names of their own.
//!
//! The `config` crate merges them; this file remembers where each value was set. Every key of the file is known, or
//! reported with its line and the nearest known key. No value is guessed at (`007` stays `007`). Secrets are refused: they
//! do not belong in this file.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use ::config::{FileFormat, Value};
use toml::de::{DeTable, DeValue};

use super::{
    names,
    report::{CONFIGURATION_FILE, Origin, Problems},
    sources::Sources,
    table::{self, Kind, Setting},
    variables::{self, Variable, Variables},
};

const NO_SECRETS: &str =
    "put it into /etc/crypto.env (mode 0600) or the unit's credentials, and remove it here";
const SECRET_KEYS: [&str; 5] = ["api_key", "api_secret", "secret", "token", "proxy_token"];

/// What was set, and where.
pub(super) struct RawSettings {
    merged: ::config::Config,
    origins: HashMap<String, Origin>,
    /// Keys whose values are known to be unusable, and reported.
    unusable: HashSet<String>,
}

impl RawSettings {
    /// The value of a setting; nothing where nobody set it, or it is unusable.
    pub(super) fn find(&self, key: &str) -> Option<Value> {
        if !self.origins.contains_key(key) || self.unusable.contains(key) {
            return None;
        }
        self.merged.get(key).ok()
    }

    /// Where a setting was set.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// Reads and merges all layers.
pub(super) fn read(
    sources: &Sources,
    variables: &Variables,
    problems: &mut Problems,
) -> RawSettings {
    let mut file = ConfigFile::read(sources, problems);
    let mut builder = ::config::Config::builder()
        .add_source(::config::File::from_str(&file.text, FileFormat::Toml));
    for setting in table::SETTINGS {
        let key = setting.key;
        let named = named(setting, variables, problems);
        if named.is_some() {
            file.unusable.remove(key);
        }
        let Some(variable) = named.or_else(|| variables.find(&setting.variable())) else {
            continue;
        };
        file.origins.insert(key.to_owned(), variable.origin.clone());
        // A constant key cannot fail to parse.
        builder = match builder.clone().set_override(key, variable.value.trim()) {
            Ok(builder) => builder,
            Err(_) => builder,
        };
    }
    let merged = builder.build().unwrap_or_else(|_| {
        let source = Origin::File(file.path.clone());
        let text = "cannot be merged with the environment";
        problems.error(CONFIGURATION_FILE, &source, text, "report this as a defect");
        ::config::Config::default()
    });
    RawSettings {
        merged,
        origins: file.origins,
        unusable: file.unusable,
    }
}

/// The variable with a name of its own that counts for a setting: the first. Another one that differs is a warning.
fn named<'v>(
    setting: &Setting,
    variables: &'v Variables,
    problems: &mut Problems,
) -> Option<&'v Variable> {
    let mut found: Option<&Variable> = None;
    for name in setting.variables {
        let Some(variable) = variables.find(name) else {
            continue;
        };
        let value = variable.value.trim();
        match found {
            None => found = Some(variable),
            Some(first) if first.value.trim() != value => {
                let text = format!("differs from {}, which is used", first.origin);
                problems
                    .warning(name, &variable.origin, text, "set one of them")
                    .show(value);
            }
            Some(_) => {}
        }
    }
    found
}

/// The configuration file, checked key by key.
#[derive(Default)]
struct ConfigFile {
    path: PathBuf,
    text: String,
    origins: HashMap<String, Origin>,
    unusable: HashSet<String>,
}

impl ConfigFile {
    /// Nothing where there is no file to read; an unusable file is reported and then counts as empty.
    fn read(sources: &Sources, problems: &mut Problems) -> Self {
        let path = sources
            .config_file
            .as_deref()
            .unwrap_or(&sources.default_config_file);
        if sources.config_file.is_none() && is_absent(path) {
            return Self::default();
        }
        let Some(text) = variables::read_text(path, sources.trusted(), problems) else {
            return Self::default();
        };
        let mut file = Self {
            path: path.to_owned(),
            text: text.to_string(),
            ..Self::default()
        };
        match DeTable::parse(&text) {
            Ok(table) => file.walk("", table.get_ref(), problems),
            Err(error) => {
                let source = file.place(error.span().map_or(0, |span| span.start));
                let text = format!("is not TOML: {}", error.message().replace('\n', ", "));
                problems.error(CONFIGURATION_FILE, &source, text, "correct this line");
                file.text.clear();
            }
        }
        file
    }

    fn walk(&mut self, prefix: &str, table: &DeTable<'_>, problems: &mut Problems) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let source = self.place(name.span().start);
            match (table::find(&key), value.get_ref()) {
                (Some(setting), value) => {
                    self.setting(&key, setting.kind(), value, source, problems)
                }
                (None, DeValue::Table(table)) if is_section(&key) => {
                    self.walk(&key, table, problems)
                }
                (None, _) => unknown_key(&key, name.get_ref(), &source, problems),
            }
        }
    }

    fn setting(
        &mut self,
        key: &str,
        kind: Kind,
        value: &DeValue<'_>,
        source: Origin,
        problems: &mut Problems,
    ) {
        if !fits(kind, value) {
            let text = format!("is of the wrong type ({})", value.type_str());
            problems.error(key, &source, text, format!("write {}", kind.describe()));
            self.unusable.insert(key.to_owned());
        }
        self.origins.insert(key.to_owned(), source);
    }

    /// Line and column of a byte of the file.
    fn place(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = 1 + before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count();
        Origin::Line {
            path: self.path.clone(),
            line,
            column,
        }
    }
}

/// Only a file that is certainly not there counts as absent. One that cannot be inspected must be reported.
fn is_absent(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

fn is_section(key: &str) -> bool {
    table::sections().contains(&key)
}

fn fits(kind: Kind, value: &DeValue<'_>) -> bool {
    match kind {
        Kind::Number => value.is_integer(),
        Kind::Flag => value.is_bool(),
        Kind::Text => value.is_str(),
        Kind::List => {
            value.is_str()
                || value
                    .as_array()
                    .is_some_and(|items| items.iter().all(|item| item.get_ref().is_str()))
        }
    }
}

fn unknown_key(key: &str, name: &str, source: &Origin, problems: &mut Problems) {
    let lower = name.to_lowercase();
    if SECRET_KEYS.contains(&lower.as_str()) || names::is_secret(&name.to_uppercase()) {
        let text = "secrets do not belong in this file";
        problems.error(key, source, text, NO_SECRETS);
        return;
    }
    let keys = table::SETTINGS.iter().map(|setting| setting.key);
    let by_end = keys
        .clone()
        .find(|known| known.rsplit('.').next() == Some(lower.as_str()));
    let remedy = match by_end {
        Some(known) => format!("did you mean {known}?"),
        None => names::suggestion(
            key,
            keys.chain(table::sections()),
            "remove it; deploy/config.toml shows every setting",
        ),
    };
    problems.error(key, source, "no setting of this name", remedy);
}

/// Names as close as this are taken for a slip of the fingers.
const SLIP: usize = 2;

/// Reports variables that look like ours and are not.
pub(super) fn check_unknown(variables: &Variables, problems: &mut Problems) {
    for (name, variable) in variables
        .iter()
        .filter(|(name, _)| names::may_be_ours(name) && !table::is_ours(name))
        .filter(|(name, variable)| !names::is_of_kubernetes(name, &variable.value))
    {
        unknown_variable(name, &variable.origin, problems);
    }
}

/// A slip in a name of ours is an error where the name cannot be another program's. An unknown name under our prefix is a
/// warning: container platforms set some. Anything else is ignored.
fn unknown_variable(name: &str, origin: &Origin, problems: &mut Problems) {
    let settings: Vec<String> = table::SETTINGS.iter().map(Setting::variable).collect();
    let mut known: Vec<&str> = names::secrets().chain(table::named_variables()).collect();
    known.extend([names::LABEL, names::CONFIG]);
    known.extend(settings.iter().map(String::as_str));
    let near = names::nearest(name, known);
    let suggestion = near.map_or_else(
        || "remove it".to_owned(),
        |(near, _)| format!("did you mean {near}?"),
    );
    let slip = near.is_some_and(|(_, distance)| distance <= SLIP);
    let text = "no setting of this name";
    if name.starts_with(names::SETTING_PREFIX) || name.starts_with(names::PREFIX) && slip {
        problems.error(name, origin, text, suggestion);
    } else if name.to_uppercase().starts_with(names::PREFIX) || slip {
        problems.warning(name, origin, text, suggestion);
    }
}
