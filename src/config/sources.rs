//! The places that settings and credentials are read from.
//!
//! The environment comes in as a map, so that tests never touch the process's own. Its values are wiped on drop and never
//! printed. `variables` and `load` read the places.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs, io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use gateway::{
    connect::{self, RootsProblem},
    private_file::{self, Distrust, Trusted},
};
use rustix::{
    fs::OFlags,
    process::{Resource, geteuid, getrlimit},
};
use zeroize::Zeroizing;

use super::{
    CallerFiles, names,
    report::{CONFIGURATION_FILE, FileState, Origin, Problems, Row},
    table,
    unit::{EnvironmentFile, Unit},
};

/// The configuration file that is read when none is named.
pub const DEFAULT_CONFIG_FILE: &str = "/etc/crypto-proxy/config.toml";
/// The environment file of the unit, which `check` reads because a shell has not the unit's environment.
pub const DEFAULT_ENV_FILE: &str = "/etc/crypto.env";

/// Where the unit keeps its state.
const DEFAULT_STATE_DIRECTORY: &str = "/var/lib/crypto-proxy";

/// Who inspects the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// The daemon, for itself.
    Daemon,
    /// Root, on behalf of the daemon, which has a user of its own.
    Root,
    /// Another user.
    User,
}

/// Where to read from.
#[derive(Clone)]
pub struct Sources {
    /// The configuration file, where one was named; it must be readable then.
    pub config_file: Option<PathBuf>,
    /// The configuration file that is read if it exists, where none was named.
    pub default_config_file: PathBuf,
    /// The unit's credentials (`$CREDENTIALS_DIRECTORY`).
    pub credentials_directory: Option<PathBuf>,
    /// Where the daemon keeps state (`$STATE_DIRECTORY`).
    pub state_directory: Option<PathBuf>,
    /// Environment files named by the operator; they must be readable.
    pub env_files: Vec<PathBuf>,
    /// The environment files to be read where none was named, in the order of systemd: the last word counts.
    pub default_env_files: Vec<EnvironmentFile>,
    /// The unit that the daemon runs in: this process's own, or the one that it is inspected for.
    pub unit: Option<Unit>,
    /// The process environment.
    pub env: BTreeMap<String, Zeroizing<String>>,
    /// Variables of ours whose values are not UTF-8.
    pub not_text: Vec<String>,
    /// Who inspects the sources.
    pub run_as: RunAs,
    /// Files and sockets that this process may have open; `None` where there is no limit to compare with.
    pub open_files: Option<u64>,
    /// Bytes of memory that this process may have; `None` where there is no limit to compare with.
    pub memory: Option<u64>,
}

/// The limit of this process's own control group, which systemd's `MemoryMax=` sets.
fn memory_of_cgroup() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let limit = fs::read_to_string(format!("/sys/fs/cgroup{group}/memory.max")).ok()?;
    limit.trim_end().parse().ok()
}

impl Sources {
    /// The sources of this process; `config` is the file named on the command line.
    #[must_use]
    pub fn from_process(config: Option<PathBuf>) -> Self {
        let open_files = getrlimit(Resource::Nofile).current;
        Self {
            open_files,
            memory: memory_of_cgroup(),
            unit: Unit::of_this_process(),
            ..Self::new(config, std::env::vars_os())
        }
    }

    /// The sources of a process with this environment.
    pub fn new(
        config: Option<PathBuf>,
        vars: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut env = BTreeMap::new();
        let mut not_text = Vec::new();
        for (name, value) in vars {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => drop(env.insert(name, Zeroizing::new(value))),
                Err(_) if table::is_ours(&name) => not_text.push(name),
                Err(_) => {}
            }
        }
        let path = |name: &str| {
            env.get(name)
                .filter(|path| !path.is_empty())
                .map(|path| PathBuf::from(path.as_str()))
        };
        Self {
            config_file: config.or_else(|| path(names::CONFIG)),
            default_config_file: DEFAULT_CONFIG_FILE.into(),
            credentials_directory: path(names::CREDENTIALS_DIRECTORY),
            state_directory: path(names::STATE_DIRECTORY),
            env_files: Vec::new(),
            default_env_files: Vec::new(),
            unit: None,
            env,
            not_text,
            run_as: RunAs::Daemon,
            open_files: None,
            memory: None,
        }
    }

    /// The sources to inspect on behalf of the daemon that the installed unit starts: as [`Sources::with_env_files`].
    #[must_use]
    pub fn of_the_unit(self, env_files: Vec<PathBuf>) -> Self {
        Self {
            unit: Unit::installed(),
            ..self
        }
        .with_env_files(env_files)
    }

    /// The sources to inspect on behalf of the daemon: with environment files named by the operator, or those of the unit
    /// where there are none.
    #[must_use]
    pub fn with_env_files(self, env_files: Vec<PathBuf>) -> Self {
        let run_as = if geteuid().is_root() {
            RunAs::Root
        } else {
            RunAs::User
        };
        let state_directory = self
            .state_directory
            .clone()
            .or_else(|| Some(DEFAULT_STATE_DIRECTORY.into()));
        Self {
            run_as,
            env_files,
            default_env_files: self.files_of_the_unit(),
            state_directory,
            ..self
        }
    }

    /// What the unit reads, or the usual file where it is not known to read any.
    fn files_of_the_unit(&self) -> Vec<EnvironmentFile> {
        let unit = self.unit.as_ref().map(|unit| &unit.environment_files);
        let read = unit.filter(|files| !files.is_empty());
        read.cloned().unwrap_or_else(|| {
            vec![EnvironmentFile {
                path: DEFAULT_ENV_FILE.into(),
                is_optional: true,
            }]
        })
    }

    /// The environment files that are read: those that the operator named, else the usual ones.
    pub(super) fn files_of_variables(&self) -> impl Iterator<Item = &Path> {
        let default = if self.env_files.is_empty() {
            self.default_env_files.as_slice()
        } else {
            &[]
        };
        let named = self.env_files.iter().map(PathBuf::as_path);
        named.chain(default.iter().map(|file| file.path.as_path()))
    }

    /// A variable of this process, and where it comes from as far as that is known.
    pub(super) fn origin_of_variable(&self, name: &str) -> Origin {
        let name = name.to_owned();
        match &self.unit {
            Some(unit) if self.run_as == RunAs::Daemon => Origin::HandedOver {
                name,
                place: unit.place_of_variables(),
            },
            _ => Origin::Variable(name),
        }
    }

    /// Where a variable that is missing is to be set, for a remedy.
    pub(super) fn place_to_set_variables(&self) -> String {
        let files: Vec<String> = self
            .files_of_variables()
            .map(|path| path.display().to_string())
            .collect();
        match (&self.unit, files.as_slice()) {
            (_, [first, ..]) => first.clone(),
            (Some(unit), []) => unit.place_of_variables(),
            (None, []) => DEFAULT_ENV_FILE.to_owned(),
        }
    }

    /// Who may own a file that decides who may do what.
    pub(super) fn trusted(&self) -> Trusted {
        Trusted::with_state(self.state_directory.as_deref())
    }

    /// A row for every source: whether it can be read.
    pub(super) fn describe(&self) -> Vec<Row> {
        let named = self.config_file.as_deref();
        let config = named.unwrap_or(&self.default_config_file);
        let absent = if named.is_some() {
            "there is no such file"
        } else {
            "absent: defaults count"
        };
        let mut rows = vec![describe(CONFIGURATION_FILE, config, absent)];
        let absent = "there is no such file";
        let directory = self
            .credentials_directory
            .iter()
            .map(|path| describe("unit's credentials", path, absent));
        rows.extend(directory);
        let files = self.files_of_variables();
        rows.extend(files.map(|path| describe("environment file", path, absent)));
        let ours = self.env.keys().filter(|name| table::is_ours(name)).count();
        let shown = format!("{ours} variables of crypto-proxy");
        rows.push(Row::new("process environment", shown, Origin::Default));
        rows
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("config_file", &self.config_file)
            .finish_non_exhaustive()
    }
}

fn describe(key: &str, path: &Path, absent: &str) -> Row {
    // A fifo would keep us waiting for its writer.
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let (state, shown) = match opened {
        Ok(_) => (FileState::Read, "read".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (FileState::Absent, absent.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            (FileState::Denied, "not readable by you".to_owned())
        }
        Err(error) => (FileState::Failed, format!("cannot be read: {error}")),
    };
    Row {
        file: Some(state),
        ..Row::new(key, shown, Origin::File(path.to_owned()))
    }
}

/// The trust roots, where something is encrypted.
pub(super) struct Roots<'a> {
    /// The bundle that the settings name.
    pub(super) file: Option<&'a Path>,
    /// Where they name it.
    pub(super) origin: Origin,
    /// Whether any connection needs them.
    pub(super) are_needed: bool,
}

/// Refuses trust roots that others could change, or that no connection could be made with.
pub(super) fn check_roots(sources: &Sources, roots: &Roots<'_>, problems: &mut Problems) {
    let (key, origin) = ("upstream.ca_file", &roots.origin);
    if let Some(path) = roots.file {
        let opened = private_file::open_trusted(path, OFlags::empty(), sources.trusted());
        if let Some(distrust) = opened.as_ref().err().and_then(Distrust::of) {
            let text = format!("{}: is not taken: {distrust}", path.display());
            problems.error(key, origin, text, distrust.remedy(path));
            return;
        }
    }
    if !roots.are_needed {
        return;
    }
    let remedy = "name a readable bundle of PEM certificates, or remove it: then the system's bundle is used";
    match connect::check_roots(roots.file) {
        Ok(()) => {}
        Err(RootsProblem::NotReadable(path, error))
            if sources.run_as == RunAs::User && error.kind() == io::ErrorKind::PermissionDenied =>
        {
            let text = format!("{}: not readable by you", path.display());
            problems.warning(key, origin, text, "run as root (sudo)");
        }
        Err(problem) => drop(problems.error(key, origin, problem.to_string(), remedy)),
    }
}

/// Warns of directories in which every user could exchange a file that decides who may do what.
pub(super) fn check_writers(
    sources: &Sources,
    callers: &CallerFiles,
    roots: Option<&Path>,
    problems: &mut Problems,
) {
    let config = sources
        .config_file
        .as_deref()
        .unwrap_or(&sources.default_config_file);
    let marks = callers.revocations().ok();
    let mut files: Vec<&Path> = vec![config, &callers.file];
    files.extend(marks.as_deref());
    files.extend(roots);
    files.extend(sources.env_files.iter().map(PathBuf::as_path));
    let mut told = Vec::new();
    for file in files {
        let Some((directory, mode)) = private_file::open_directory_of(file) else {
            continue;
        };
        if told.contains(&directory) {
            continue;
        }
        let text = format!(
            "every user can put another file in its place: {} has mode {mode:04o}",
            directory.display()
        );
        let remedy = format!("chmod o-w {}", directory.display());
        problems.warning("file", &Origin::File(file.to_owned()), text, remedy);
        told.push(directory);
    }
}

const READ_BY_OTHERS: u32 = 0o004;
const ENTERED_BY_OTHERS: u32 = 0o001;

/// Tells where root reads a file that the daemon, which has a user of its own, cannot open: an error where the installed
/// unit says so, and otherwise a warning.
///
/// Nothing is said where another configuration file was named: it may be anybody's. systemd reads the credentials.
pub(super) fn check_access(sources: &Sources, roots: Option<&Path>, problems: &mut Problems) {
    let file = &sources.default_config_file;
    let counts = sources
        .config_file
        .as_ref()
        .is_none_or(|named| named == file);
    if sources.run_as != RunAs::Root || !counts {
        return;
    }
    check_access_to(CONFIGURATION_FILE, file, sources, problems);
    if let Some(roots) = roots {
        check_access_to("upstream.ca_file", roots, sources, problems);
    }
}

fn check_access_to(key: &str, file: &Path, sources: &Sources, problems: &mut Problems) {
    // If it is absent, or even root cannot inspect it, there is nothing to add.
    let Ok(real) = fs::canonicalize(file) else {
        return;
    };
    let closed = real.ancestors().find_map(|path| {
        let (wanted, remedy) = if path == real {
            (READ_BY_OTHERS, "o+r")
        } else {
            (ENTERED_BY_OTHERS, "o+x")
        };
        lacks(path, wanted).map(|mode| (path, mode, remedy))
    });
    if let Some((path, mode, remedy)) = closed {
        let text = format!(
            "you read it as root, the daemon's own user (DynamicUser) cannot: {} has mode {mode:04o}, and the daemon \
             would not start",
            path.display()
        );
        let remedy = format!(
            "chmod {remedy} {}; nothing secret belongs into this file",
            path.display()
        );
        let origin = Origin::File(file.to_owned());
        if sources.unit.as_ref().is_some_and(|unit| unit.has_own_user) {
            problems.error(key, &origin, text, remedy);
        } else {
            problems.warning(key, &origin, text, remedy);
        }
    }
}

/// The mode, where it lacks what is wanted.
fn lacks(path: &Path, wanted: u32) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & wanted == 0).then_some(mode)
}
