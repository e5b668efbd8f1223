//! The variables of every source, in order of precedence.
//!
//! An earlier source wins: the unit's credentials directory, then environment files in the given order, then the process
//! environment. A file that exists and cannot be read is an error; it is never reported as "not configured".

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{
    env_file, names,
    report::{Origin, Problems},
    sources::Sources,
    table,
    unit::EnvironmentFile,
};
use diagnosis::probes::Flaw;
use gateway::private_file::{self, Distrust, Trusted};

/// The environment file among the unit's credentials.
const CREDENTIAL_FILE: &str = "crypto.env";

/// The value of one variable.
pub(super) struct Variable {
    pub(super) value: Zeroizing<String>,
    pub(super) origin: Origin,
    /// Whether systemd takes quotes off it.
    pub(super) quoted: bool,
}

/// One source of variables.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) variables: BTreeMap<String, Variable>,
    /// Secrets that stand in the source and count for nothing: set again further down, exported, or commented out.
    pub(super) unused_secrets: Vec<Zeroizing<String>>,
}

/// Every variable of every source, earlier sources first.
#[derive(Default)]
pub(super) struct Variables {
    pub(super) layers: Vec<Layer>,
    /// Whether a source could not be read, so that what is missing may stand there.
    pub(super) unreadable: bool,
}

impl Variables {
    /// The first source's value that is not empty.
    pub(super) fn find(&self, name: &str) -> Option<&Variable> {
        let all = self
            .layers
            .iter()
            .filter_map(|layer| layer.variables.get(name));
        all.into_iter()
            .find(|variable| !variable.value.trim().is_empty())
    }

    /// Every variable, earlier sources first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.layers
            .iter()
            .flat_map(|layer| &layer.variables)
            .map(|(name, variable)| (name.as_str(), variable))
    }

    fn take(&mut self, layer: Option<Layer>) {
        self.unreadable |= layer.is_none();
        self.layers.extend(layer);
    }
}

/// Reads every source of variables.
pub(super) fn read(sources: &Sources, problems: &mut Problems) -> Variables {
    let mut variables = Variables::default();
    if let Some(directory) = &sources.credentials_directory {
        read_credentials(directory, &mut variables, problems);
    }
    for file in &sources.env_files {
        variables.take(read_env_file(file, GuardedBy::Mode, problems));
    }
    if sources.env_files.is_empty() {
        for file in to_be_read(&sources.default_env_files) {
            variables.take(read_default_env_file(file, sources, problems));
        }
    }
    variables.take(Some(process_layer(sources, problems)));
    variables
}

/// What keeps other users from reading a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum GuardedBy {
    /// systemd does, as with the unit's credentials; the mode says nothing. The daemon reads the file itself.
    Systemd,
    /// The file's mode. systemd reads the file and hands its variables over (`EnvironmentFile=`).
    Mode,
}

/// The files of the unit, the last word first. One that may be missing is passed over if another one is there.
fn to_be_read(files: &[EnvironmentFile]) -> impl Iterator<Item = &Path> {
    let any = files.iter().any(|file| file.path.exists());
    let read = move |file: &&EnvironmentFile| !any || !file.is_optional || file.path.exists();
    let files = files.iter().rev().filter(read);
    files.map(|file| file.path.as_path())
}

/// A file of the unit. It is not needed where the variables come from elsewhere.
fn read_default_env_file(file: &Path, sources: &Sources, problems: &mut Problems) -> Option<Layer> {
    let elsewhere = sources.credentials_directory.is_some()
        || sources
            .env
            .keys()
            .any(|name| names::is_secret(name) || names::is_file_of_secret(name));
    if !elsewhere {
        return read_env_file(file, GuardedBy::Mode, problems);
    }
    if let Err(error) = fs::File::open(file) {
        let (text, remedy) = explain(&error);
        let text = format!("{text}: what follows is about the variables of this process alone");
        problems.warning("file", &Origin::File(file.to_owned()), text, remedy);
        return Some(Layer::default());
    }
    read_env_file(file, GuardedBy::Mode, problems)
}

/// Reads one environment file; `None` where it cannot be read.
pub(super) fn read_env_file(
    path: &Path,
    guard: GuardedBy,
    problems: &mut Problems,
) -> Option<Layer> {
    let opened = match guard {
        GuardedBy::Systemd => open_trusted(path, Trusted::process(), problems)?,
        // systemd takes it whoever can write it: the daemon would start.
        GuardedBy::Mode => fs::File::open(path),
    };
    let bytes = bytes_of(path, opened, problems)?;
    let file = env_file::read(&bytes);
    for finding in &file.findings {
        report(path, finding, problems);
    }
    if file.is_refused() {
        return None;
    }
    if guard == GuardedBy::Mode {
        check_mark(path, &file, problems);
    }
    if guard == GuardedBy::Mode {
        check_writers(path, problems);
    }
    let holds_secrets = file
        .entries
        .iter()
        .any(|entry| names::is_secret(&entry.name) && !entry.value.is_empty());
    if guard == GuardedBy::Mode && holds_secrets {
        check_mode(path, problems);
    }
    let variables = file.entries.into_iter().map(|entry| {
        let origin = Origin::EnvFile {
            path: path.to_owned(),
            line: entry.line,
            name: Some(entry.name.clone()),
        };
        (
            entry.name,
            Variable {
                value: entry.value,
                origin,
                quoted: entry.quoted,
            },
        )
    });
    Some(Layer {
        variables: variables.collect(),
        unused_secrets: unused_secrets(&bytes),
    })
}

/// The value of every line that could ever have set a secret, whatever stands before it.
fn unused_secrets(bytes: &[u8]) -> Vec<Zeroizing<String>> {
    // Lines that are not UTF-8 set nothing, or the file is refused.
    let lines = bytes.split(|byte| *byte == b'\n');
    let text = lines.filter_map(|line| std::str::from_utf8(line).ok());
    let text = text.map(|line| line.strip_suffix('\r').unwrap_or(line));
    let assignments = text.filter_map(|line| line.split_once('='));
    let of_secrets = assignments.filter(|(name, _)| {
        let name = name
            .trim()
            .rsplit(|char: char| !char.is_ascii_alphanumeric() && char != '_')
            .next();
        name.is_some_and(|name| names::is_secret(name) || names::seems_secret(name))
    });
    of_secrets
        .map(|(_, value)| Zeroizing::new(value.to_owned()))
        .collect()
}

/// systemd hands such a file over, and passes over a name with a byte order mark before it; this daemon's own parser,
/// which reads the unit's credentials, does not.
fn check_mark(path: &Path, file: &env_file::EnvFile, problems: &mut Problems) {
    let missed = file
        .marked()
        .filter(|entry| table::is_read_by_daemon(&entry.name) && !entry.value.trim().is_empty());
    if let Some(env_file::Assignment { name, line, .. }) = missed {
        let source = Origin::EnvFile {
            path: path.to_owned(),
            line: *line,
            name: None,
        };
        let text = "a byte order mark stands before it: systemd ignores this line, and the daemon would start without it";
        let remedy = format!(
            "take the mark out: sed -i '1s/^\\xEF\\xBB\\xBF//' {}",
            path.display()
        );
        problems.error(name, &source, text, remedy);
    }
}

fn report(path: &Path, finding: &env_file::Finding, problems: &mut Problems) {
    let name = finding.name.clone().filter(|name| table::is_ours(name));
    if finding.kind.is_of_one_variable() && name.is_none() {
        return;
    }
    let (text, remedy) = finding.kind.explain();
    let key = name
        .clone()
        .unwrap_or_else(|| "environment file".to_owned());
    let source = Origin::EnvFile {
        path: path.to_owned(),
        line: finding.line,
        name: None,
    };
    if finding.kind.refuses_file() {
        problems.error(&key, &source, text, remedy).flaw = Some(Flaw::Unreadable);
    } else {
        problems.warning(&key, &source, text, remedy);
    }
}

fn read_credentials(directory: &Path, variables: &mut Variables, problems: &mut Problems) {
    if let Err(error) = fs::read_dir(directory) {
        let (text, remedy) = explain(&error);
        let source = Origin::File(directory.to_owned());
        problems
            .error(names::CREDENTIALS_DIRECTORY, &source, text, remedy)
            .flaw = Some(flaw_of(&error));
        variables.unreadable = true;
        return;
    }
    let file = directory.join(CREDENTIAL_FILE);
    if file.exists() {
        variables.take(read_env_file(&file, GuardedBy::Systemd, problems));
    }
    variables.take(read_single_files(directory, problems));
}

/// The single files among the unit's credentials, named like the variables.
fn read_single_files(directory: &Path, problems: &mut Problems) -> Option<Layer> {
    let mut layer = Layer::default();
    for name in names::secrets().chain([names::LABEL]) {
        let candidates = [directory.join(name), directory.join(name.to_lowercase())];
        let Some(path) = candidates.into_iter().find(|path| path.exists()) else {
            continue;
        };
        let mut value = read_text(&path, Trusted::process(), problems)?;
        let one_line_less = value.strip_suffix('\n').map_or(value.len(), str::len);
        value.truncate(one_line_less);
        let variable = Variable {
            value,
            origin: Origin::File(path),
            quoted: false,
        };
        layer.variables.insert(name.to_owned(), variable);
    }
    Some(layer)
}

fn process_layer(sources: &Sources, problems: &mut Problems) -> Layer {
    for name in &sources.not_text {
        let source = sources.origin_of_variable(name);
        problems.error(
            name,
            &source,
            "its value is not UTF-8",
            "set it again, as UTF-8 text",
        );
    }
    let variables = sources
        .env
        .iter()
        .filter(|(name, _)| names::may_be_ours(name))
        .map(|(name, value)| {
            let origin = sources.origin_of_variable(name);
            (
                name.clone(),
                Variable {
                    value: value.clone(),
                    origin,
                    quoted: false,
                },
            )
        });
    Layer {
        variables: variables.collect(),
        ..Layer::default()
    }
}

/// Reads a text file that decides who may do what; where it cannot be read or is not taken, says why and what to do.
pub(super) fn read_text(
    path: &Path,
    trusted: Trusted,
    problems: &mut Problems,
) -> Option<Zeroizing<String>> {
    let opened = open_trusted(path, trusted, problems)?;
    text_of(path, opened, problems)
}

/// Opens a file that decides who may do what; `None` where it is not taken, which is reported.
fn open_trusted(
    path: &Path,
    trusted: Trusted,
    problems: &mut Problems,
) -> Option<io::Result<fs::File>> {
    let opened = private_file::open_trusted(path, OFlags::empty(), trusted);
    let distrust = opened.as_ref().err().and_then(Distrust::of);
    // What is no file is named below, as what cannot be read.
    if let Some(distrust) = distrust.filter(|distrust| *distrust != Distrust::NotRegular) {
        let source = Origin::File(path.to_owned());
        let text = format!("is not taken: {distrust}");
        problems
            .error("file", &source, text, distrust.remedy(path))
            .flaw = Some(Flaw::Unreadable);
        return None;
    }
    Some(opened)
}

fn text_of(
    path: &Path,
    opened: io::Result<fs::File>,
    problems: &mut Problems,
) -> Option<Zeroizing<String>> {
    let mut bytes = bytes_of(path, opened, problems)?;
    let error = match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => return Some(Zeroizing::new(text)),
        Err(error) => error,
    };
    let line = 1 + error
        .as_bytes()
        .iter()
        .take(error.utf8_error().valid_up_to())
        .filter(|b| **b == b'\n')
        .count();
    drop(Zeroizing::new(error.into_bytes()));
    let source = Origin::File(path.to_owned());
    let text = format!("line {line} is not UTF-8");
    problems
        .error("file", &source, text, "save the file as UTF-8")
        .flaw = Some(Flaw::Unreadable);
    None
}

fn bytes_of(
    path: &Path,
    opened: io::Result<fs::File>,
    problems: &mut Problems,
) -> Option<Zeroizing<Vec<u8>>> {
    let read = opened.and_then(|mut file| {
        // At once at its size: a buffer that grows leaves copies of secrets behind.
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
        file.read_to_end(&mut bytes).map(|_| bytes)
    });
    match read {
        Ok(bytes) => Some(Zeroizing::new(bytes)),
        Err(error) => {
            let (text, remedy) = explain(&error);
            let source = Origin::File(path.to_owned());
            problems.error("file", &source, text, remedy).flaw = Some(flaw_of(&error));
            None
        }
    }
}

/// What an unread file says about the pair, where no other place has one.
fn flaw_of(error: &io::Error) -> Flaw {
    if error.kind() == io::ErrorKind::NotFound {
        Flaw::Missing
    } else {
        Flaw::Unreadable
    }
}

fn explain(error: &io::Error) -> (String, &'static str) {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return ("not readable by you".to_owned(), "run as root (sudo)");
    }
    if error.kind() == io::ErrorKind::NotFound {
        return (
            "there is no such file".to_owned(),
            "create it, or name another",
        );
    }
    (format!("cannot be read: {error}"), "name a readable file")
}

/// Warns of an environment file that others can write: who may do what can stand in it.
fn check_writers(path: &Path, problems: &mut Problems) {
    // A pipe of the operator's is no fault, and can be opened once.
    let regular = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if !regular {
        return;
    }
    let judged =
        fs::File::open(path).and_then(|file| private_file::judge(&file, Trusted::process()));
    let fault = judged.as_ref().err().and_then(Distrust::of);
    if let Some(fault) = fault {
        let source = Origin::File(path.to_owned());
        problems.warning("file", &source, fault.to_string(), fault.remedy(path));
    }
}

/// Warns where others can read a file that holds credentials.
pub(super) fn check_mode(path: &Path, problems: &mut Problems) {
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o044 != 0 {
        let who = if mode & 0o004 == 0 {
            "its group"
        } else {
            "every user of this machine"
        };
        let text = format!("holds credentials and is readable by {who} (mode {mode:04o})");
        let remedy = format!("chmod 600 {}", path.display());
        problems.warning("file", &Origin::File(path.to_owned()), text, remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_not_be_read_is_called_so() {
        // Tests may run as root, who can read everything.
        let (text, remedy) = explain(&io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(
            (text.as_str(), remedy),
            ("not readable by you", "run as root (sudo)")
        );
    }

    #[test]
    fn of_several_layers_the_first_value_that_is_not_empty_counts() {
        let layer = |value: &str| {
            let value = Zeroizing::new(value.to_owned());
            let variable = Variable {
                value,
                origin: Origin::Default,
                quoted: false,
            };
            Layer {
                variables: [("A".to_owned(), variable)].into(),
                ..Layer::default()
            }
        };
        let variables = Variables {
            layers: vec![layer(" "), layer("one"), layer("two")],
            unreadable: false,
        };
        assert_eq!(variables.find("A").unwrap().value.as_str(), "one");
    }
}
