//! Shows callers, and hands an issued secret to a person or into a file, once.
//!
//! The output is open before anything is issued. A file is new, 0600 and on the disk before the command ends well; it is
//! removed where nothing was issued. Secrets never go to a pipe, which may end in a log.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    callers::{CallerFiles, CallersError, Entry, FileText, Issued, Revocations, Rights},
    cli::{Failure, USAGE},
    server::{Address, from_this_machine},
};
use gateway::virtual_key::VirtualKey;

/// Where an issued secret is written.
pub(super) enum SecretOutput {
    Terminal,
    File(File, PathBuf),
}

impl SecretOutput {
    /// Opens the output before anything is issued.
    pub(super) fn open(out: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = out else {
            if io::stdout().is_terminal() {
                return Ok(Self::Terminal);
            }
            let text = "stdout is not a terminal: secrets are shown to a terminal, or written with --out FILE; nothing was done";
            return Err(Failure::new(USAGE, text));
        };
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path);
        let file = file.map_err(|error| {
            let why = format!("--out {}: {error}; nothing was done", path.display());
            Failure::new(USAGE, why)
        })?;
        let private = file.set_permissions(fs::Permissions::from_mode(0o600));
        private.map_err(|error| CallersError::Unwritable(path.to_owned(), error))?;
        Ok(Self::File(file, path.to_owned()))
    }

    /// Hands it over.
    pub(super) fn hand_over(self, issued: &Issued, base: &str) -> Result<(), Failure> {
        let text = text(issued, base);
        match self {
            Self::Terminal => {
                let written = io::stdout().lock().write_all(text.as_bytes());
                written.map_err(|error| lost(issued, &error))?;
                anstream::println!("\nThis is shown once and stored nowhere.");
            }
            Self::File(mut file, path) => {
                let written = file
                    .write_all(text.as_bytes())
                    .and_then(|()| file.sync_all());
                written.map_err(|error| lost(issued, &error))?;
                anstream::println!(
                    "{} (mode 0600) has what {} needs; it is stored nowhere else.",
                    path.display(),
                    issued.name
                );
            }
        }
        Ok(())
    }

    /// Nothing was issued.
    pub(super) fn give_up(self) {
        if let Self::File(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

fn lost(issued: &Issued, error: &io::Error) -> Failure {
    let name = &issued.name;
    let why = format!(
        "{name} was issued and could not be shown ({error}): crypto-proxy caller revoke {name}"
    );
    Failure::new(USAGE, why)
}

/// In the form of an environment file.
fn text(issued: &Issued, base: &str) -> Zeroizing<String> {
    let Issued {
        name,
        generation,
        token,
        signing,
        ..
    } = issued;
    // Room for all of it, so that no copy is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(&format!(
        "# crypto-proxy caller {name}, generation {generation}. Keep it like a password: mode 0600.\n"
    ));
    text.push_str(&format!("CRYPTO_PROXY_URL={base}\n"));
    let Some((key, secret)) = signing else {
        text.push_str("# X-Proxy-Token of /diag, and the password of the status page.\nCRYPTO_PROXY_DIAG_TOKEN=");
        text.push_str(token.reveal());
        text.push('\n');
        return text;
    };
    text.push_str("# X-Proxy-Token of POST /proxy/private.\nCRYPTO_PROXY_TOKEN=");
    text.push_str(token.reveal());
    text.push_str(&format!(
        "\n# API key and secret for exchange clients, with the base URL {base}/exchange/v1.\n"
    ));
    text.push_str(&format!(
        "CRYPTO_PROXY_VIRTUAL_KEY={key}\nCRYPTO_PROXY_VIRTUAL_SECRET="
    ));
    text.push_str(secret.reveal());
    text.push('\n');
    text
}

/// Where callers of this machine reach the daemon.
pub(super) fn base_url(listen: &[Address]) -> String {
    match listen.first() {
        None => "http://127.0.0.1:9000".to_owned(),
        Some(Address::Unix(_)) => "http://localhost".to_owned(),
        Some(Address::Tcp(address)) => format!("http://{}", from_this_machine(*address)),
    }
}

/// The callers file and the revocations.
struct CallerState {
    text: FileText,
    entries: Vec<Entry>,
    revocations: Revocations,
}

impl CallerState {
    fn find(&self, name: &str) -> Result<&Entry, CallersError> {
        let found = self.entries.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| CallersError::Unknown(name.to_owned()))
    }
}

fn read_all(files: &CallerFiles) -> Result<CallerState, CallersError> {
    let (text, entries) = files.read()?;
    // Without callers there may be no state directory yet.
    let revocations = if entries.is_empty() {
        Revocations::default()
    } else {
        Revocations::read(files)?
    };
    Ok(CallerState {
        text,
        entries,
        revocations,
    })
}

/// One line per caller.
pub(super) fn list(files: &CallerFiles, now_ms: u64) -> Result<(), CallersError> {
    let state = read_all(files)?;
    if state.entries.is_empty() {
        say(&format!(
            "No callers but the default one ({}).",
            files.file.display()
        ));
    }
    for entry in &state.entries {
        say(&format!(
            "{:<24} {}",
            entry.name,
            entry.describe(valid(entry, &state.revocations, now_ms))
        ));
    }
    Ok(())
}

/// Everything about one.
pub(super) fn show(files: &CallerFiles, now_ms: u64, name: &str) -> Result<(), CallersError> {
    let mut state = read_all(files)?;
    let created = state.text.find(name)?.created.clone();
    let entry = state.find(name)?;
    say(&format!("name        {name}"));
    say(&format!("id          {}, since {created}", entry.id));
    say(&format!(
        "policy      {}",
        entry.describe(valid(entry, &state.revocations, now_ms))
    ));
    let revocation = state.revocations.of(entry.id);
    for generation in &entry.generations {
        let key = VirtualKey {
            id: entry.id,
            generation: generation.number,
        };
        let key = if matches!(entry.rights, Rights::Call(_)) {
            format!(", virtual key {key}")
        } else {
            String::new()
        };
        let state = match (
            revocation.validity(generation.number, now_ms),
            generation.until_ms,
        ) {
            (Err(_), _) => "revoked".to_owned(),
            (Ok(_), Some(end)) if end <= now_ms => "ended".to_owned(),
            (Ok(until), end) => match until.into_iter().chain(end).min() {
                Some(until) => format!("valid until {}", text::time::rfc3339(until)),
                None => "valid".to_owned(),
            },
        };
        say(&format!("generation  {}: {state}{key}", generation.number));
    }
    say_doubts(entry);
    Ok(())
}

/// What one may do: whoever wrote the rules should see what they open.
pub(super) fn show_policy(
    files: &CallerFiles,
    now_ms: u64,
    name: &str,
) -> Result<(), CallersError> {
    let state = read_all(files)?;
    let entry = state.find(name)?;
    let described = entry.describe(valid(entry, &state.revocations, now_ms));
    say(&format!("policy      {described}"));
    say_doubts(entry);
    Ok(())
}

fn say_doubts(entry: &Entry) {
    for warning in &entry.warnings {
        say(&format!(
            "doubt       {}: {}; {}",
            warning.key, warning.text, warning.remedy
        ));
    }
}

/// Prints a line of what the callers file says; whoever edited it by hand may have pasted more than can be seen.
fn say(line: &str) {
    anstream::println!("{}", text::line(line));
}

fn valid(entry: &Entry, revocations: &Revocations, now_ms: u64) -> usize {
    let mut revocations = revocations.clone();
    revocations.merge_entry(entry);
    let revocation = revocations.of(entry.id);
    entry
        .generations
        .iter()
        .filter(|generation| revocation.validity(generation.number, now_ms).is_ok())
        .count()
}
