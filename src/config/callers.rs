//! The issued callers, beside the default one: the callers file, the revocations and the master key → [`Callers`].
//!
//! A generation that was revoked or has ended is not loaded, whatever the file says. A generation that a rotation ends
//! is held to that end by the clock. If the revocations cannot be read, the daemon does not start. Nothing is written
//! here, because `check` only looks: the daemon stores what must be remembered ([`PendingRevocations`]).

use std::{fs, io, path::Path, sync::Arc};

use super::{
    report::{Origin, Problems, Row},
    sources::{RunAs, Sources},
};
use crate::callers::{self, CallerFiles, Entry, Fault, Generation, Master, Revocations, Rights};
use gateway::{
    access::AccessRules,
    auth::{Caller, Callers, KeyHolder},
    clock::Clock,
    policy::Policy,
    redact::LeakSearch,
    secret::TokenDigest,
    virtual_key::VirtualKey,
};

/// Callers that were issued.
#[derive(Default)]
pub(super) struct IssuedCallers {
    valid: Vec<ValidGeneration>,
    /// For the report.
    pub(super) rows: Vec<Row>,
    /// What must be stored; `None` without callers.
    pub(super) pending_revocations: Option<PendingRevocations>,
    /// The master key and every secret that is valid, to search for in what is about to leave the process.
    pub(super) leaks: LeakSearch,
}

/// A generation of a caller that is valid.
struct ValidGeneration {
    token: TokenDigest,
    grant: Grant,
}

enum Grant {
    Call(Arc<Caller>, Option<KeyHolder>, VirtualKey),
    Diagnose(Arc<str>, AccessRules),
}

/// What the callers file says about generations, to be stored beside it.
#[derive(Debug)]
pub struct PendingRevocations {
    files: CallerFiles,
    revocations: Revocations,
}

impl PendingRevocations {
    /// Stores it.
    ///
    /// # Errors
    /// The revocations cannot be read or written: an older copy of the callers file could bring a revoked caller back.
    pub fn store(&self) -> Result<(), callers::CallersError> {
        self.revocations.store(&self.files).map(drop)
    }
}

/// The files that hold the issued callers; `named` is the one that the settings name.
pub(super) fn files(sources: &Sources, named: Option<&str>) -> CallerFiles {
    let config = sources
        .config_file
        .as_ref()
        .unwrap_or(&sources.default_config_file);
    let beside = |name: &str| config.with_file_name(name);
    let on_behalf = sources.run_as != RunAs::Daemon;
    CallerFiles {
        file: named.map_or_else(|| beside(callers::FILE_NAME), Into::into),
        named: named.is_some(),
        state_directory: sources.state_directory.clone(),
        credential: sources
            .credentials_directory
            .as_ref()
            .map(|directory| directory.join(callers::MASTER_NAME)),
        origin: on_behalf.then(|| beside(callers::MASTER_NAME)),
    }
}

/// Reads them.
pub(super) fn load(
    files: CallerFiles,
    sources: &Sources,
    problems: &mut Problems,
) -> IssuedCallers {
    let (now_ms, leaks) = (Clock::system().now_ms(), LeakSearch::default());
    let mut loader = Loader {
        files: &files,
        run_as: sources.run_as,
        now_ms,
        leaks,
        problems,
    };
    let (valid, rows, revocations) = loader.load().unwrap_or_default();
    let leaks = loader.leaks;
    let pending_revocations = (!rows.is_empty()).then(|| PendingRevocations {
        revocations,
        files: files.clone(),
    });
    IssuedCallers {
        valid,
        rows,
        pending_revocations,
        leaks,
    }
}

impl IssuedCallers {
    /// Whether anybody among them may make calls.
    pub(super) fn can_call(&self) -> bool {
        self.valid
            .iter()
            .any(|generation| matches!(generation.grant, Grant::Call(..)))
    }

    /// Whether this is the token of one of them.
    pub(super) fn has_token(&self, token: &TokenDigest) -> bool {
        self.valid
            .iter()
            .any(|generation| generation.token.equals(token))
    }

    /// Adds them.
    pub(super) fn add_to(self, callers: Callers) -> Callers {
        self.valid.into_iter().fold(
            callers,
            |callers, ValidGeneration { token, grant }| match grant {
                Grant::Call(caller, signing, key) => {
                    let callers = callers.with_token(token, caller);
                    match signing {
                        Some(signing) => callers.with_virtual_key(key, signing),
                        None => callers,
                    }
                }
                Grant::Diagnose(name, limits) => {
                    callers.with_diagnosing_within(limits, token, name)
                }
            },
        )
    }
}

struct Loader<'a> {
    files: &'a CallerFiles,
    run_as: RunAs,
    now_ms: u64,
    leaks: LeakSearch,
    problems: &'a mut Problems,
}

impl Loader<'_> {
    fn load(&mut self) -> Option<(Vec<ValidGeneration>, Vec<Row>, Revocations)> {
        let read = self.files.read();
        let (text, entries) = self.usable(read)?;
        if entries.is_empty() {
            return None;
        }
        let mut revocations = self.revocations()?;
        entries
            .iter()
            .for_each(|entry| revocations.merge_entry(entry));
        let signs = entries
            .iter()
            .any(|entry| matches!(entry.rights, Rights::Call(_)));
        let master = if signs {
            self.master(text.master_check.as_deref())
        } else {
            None
        };
        master
            .iter()
            .for_each(|master| master.key.add_to(&mut self.leaks));
        let (mut valid, mut rows) = (Vec::new(), Vec::new());
        for entry in &entries {
            let found = self.valid(entry, &revocations, master.as_ref());
            rows.push(self.row(entry, found.len()));
            valid.extend(found);
            for warning in &entry.warnings {
                self.warning(warning.clone());
            }
        }
        self.warn_about_hidden_uids(&entries);
        Some((valid, rows, revocations))
    }

    fn valid(
        &mut self,
        entry: &Entry,
        revocations: &Revocations,
        master: Option<&Master>,
    ) -> Vec<ValidGeneration> {
        let name: Arc<str> = entry.name.as_str().into();
        let revocation = revocations.of(entry.id);
        let judged = |generation: &Generation| {
            let until_ms = revocation.validity(generation.number, self.now_ms).ok()?;
            let key = VirtualKey {
                id: entry.id,
                generation: generation.number,
            };
            let grant = match &entry.rights {
                Rights::Diagnose(limits) => {
                    Grant::Diagnose(Arc::clone(&name), ending(limits, until_ms))
                }
                Rights::Call(policy) => {
                    let policy = Policy {
                        access: ending(&policy.access, until_ms),
                        ..Policy::clone(policy)
                    };
                    let caller = Arc::new(Caller {
                        name: Arc::clone(&name),
                        policy,
                    });
                    let secret = master.map(|master| master.key.secret_of(&key));
                    secret
                        .iter()
                        .for_each(|secret| secret.add_to(&mut self.leaks));
                    let verifier = secret.map(|secret| secret.verifier());
                    let signing = verifier.map(|verifier| KeyHolder {
                        caller: Arc::clone(&caller),
                        verifier,
                    });
                    Grant::Call(caller, signing, key)
                }
            };
            Some(ValidGeneration {
                token: generation.token.clone(),
                grant,
            })
        };
        let found: Vec<ValidGeneration> = entry.generations.iter().filter_map(judged).collect();
        let newest = entry
            .generations
            .last()
            .map_or(0, |generation| generation.number);
        if revocation.validity(newest, self.now_ms).is_err() {
            let text =
                "what the file lists was revoked and stays so: is it an older copy of the file?";
            let remedy = |name: &str| {
                format!("crypto-proxy caller rotate {name}, or revoke {name} and add it anew")
            };
            let fault = Fault::about_caller(entry.line, &entry.name, None, text, remedy);
            self.warning(fault);
        }
        if limits_of(entry)
            .expires_ms
            .is_some_and(|end| end <= self.now_ms)
        {
            self.warning(fault(
                entry,
                "has expired",
                "set another time at expires, or revoke it",
            ));
        }
        found
    }

    fn revocations(&mut self) -> Option<Revocations> {
        if self.files.state_directory.is_none() {
            let text = "there is no state directory to remember in what was revoked, and none is known as revoked";
            let remedy = "run it by the unit (StateDirectory=), or set STATE_DIRECTORY";
            self.problems
                .warning("callers", &self.origin(), text, remedy);
            return Some(Revocations::default());
        }
        let revocations = Revocations::of_callers(self.files);
        self.usable(revocations)
    }

    fn master(&mut self, check: Option<&str>) -> Option<Master> {
        let master = Master::of_callers(self.files, check);
        self.usable(master)
    }

    /// What was read; what could not be read is a problem.
    fn usable<T>(&mut self, read: Result<T, callers::CallersError>) -> Option<T> {
        match read {
            Ok(usable) => return Some(usable),
            Err(callers::CallersError::Faulty(path, faults)) => {
                faults.into_iter().for_each(|fault| {
                    let origin = Origin::Line {
                        path: path.clone(),
                        line: fault.line,
                        column: 1,
                    };
                    self.problems
                        .error(&fault.key, &origin, fault.text, fault.remedy)
                        .anonymous = fault.anonymous;
                })
            }
            // Root and the daemon may read what another user may not: this says nothing about the daemon.
            Err(callers::CallersError::Unreadable(path, error))
                if self.run_as == RunAs::User
                    && error.kind() == io::ErrorKind::PermissionDenied =>
            {
                let origin = Origin::File(path);
                self.problems.warning(
                    "callers",
                    &origin,
                    "not readable by you",
                    "run as root (sudo)",
                );
            }
            Err(problem) => {
                let otherwise = || "put it right, or restore a backup".to_owned();
                let remedy = problem.remedy().unwrap_or_else(otherwise);
                self.problems
                    .error("callers", &self.origin(), problem.to_string(), remedy);
            }
        }
        None
    }

    /// In a user namespace such as `PrivateUsers=` makes, other users' processes have no uid of their own.
    fn warn_about_hidden_uids(&mut self, entries: &[Entry]) {
        let Some(entry) = entries
            .iter()
            .find(|entry| !limits_of(entry).uids.is_empty())
        else {
            return;
        };
        if self.run_as == RunAs::Daemon && !shows_every_uid(Path::new("/proc/self/uid_map")) {
            let text = "has uids, and the unit's PrivateUsers=yes hides them: it cannot call over a socket";
            let remedy = "set PrivateUsers=no in a drop-in (systemctl edit crypto-proxy)";
            self.warning(fault(entry, text, remedy));
        }
    }

    fn warning(&mut self, warning: Fault) {
        let origin = Origin::Line {
            path: self.files.file.clone(),
            line: warning.line,
            column: 1,
        };
        self.problems
            .warning(&warning.key, &origin, warning.text, warning.remedy)
            .anonymous = warning.anonymous;
    }

    fn row(&self, entry: &Entry, valid: usize) -> Row {
        let source = Origin::Line {
            path: self.files.file.clone(),
            line: entry.line,
            column: 1,
        };
        Row::new(&entry.name, entry.describe(valid), source)
    }

    fn origin(&self) -> Origin {
        Origin::File(self.files.file.clone())
    }
}

fn fault(entry: &Entry, text: &str, remedy: &str) -> Fault {
    Fault::about_caller(entry.line, &entry.name, None, text, |_| remedy.to_owned())
}

fn limits_of(entry: &Entry) -> &AccessRules {
    match &entry.rights {
        Rights::Call(policy) => &policy.access,
        Rights::Diagnose(limits) => limits,
    }
}

/// The same, ended at this time at the latest.
fn ending(limits: &AccessRules, until_ms: Option<u64>) -> AccessRules {
    let expires_ms = [limits.expires_ms, until_ms].into_iter().flatten().min();
    AccessRules {
        expires_ms,
        ..limits.clone()
    }
}

fn shows_every_uid(map: &Path) -> bool {
    // Not readable: a warning without a ground is worse than none.
    let Ok(map) = fs::read_to_string(map) else {
        return true;
    };
    map.split_whitespace().eq(["0", "0", "4294967295"])
}
