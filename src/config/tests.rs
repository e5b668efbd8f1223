//! From sources to a [`Config`] or to [`Problems`], in temporary folders and with environments that are maps.

use std::{
    ffi::OsString,
    fmt, fs,
    os::unix::fs::PermissionsExt,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::server::Address;
use catalogue::methods::Class;
use protocol::canonical::Dialect;

const KEY: &str = "Kq7invented-key-1234";
const SECRET: &str = "cxakp_Zr5invented-secret-of-some-length";
const TOKEN: &str = "Wm3invented-token-of-some-length";

/// A folder with a configuration file, environment files and credentials, and an environment.
struct Case {
    folder: TempDir,
    env: Vec<(String, String)>,
    env_files: Vec<PathBuf>,
    toml: bool,
}

impl Case {
    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            env: Vec::new(),
            env_files: Vec::new(),
            toml: false,
        }
    }

    /// With usable credentials in the environment.
    fn good() -> Self {
        Self::empty()
            .env("CRYPTO_API_KEY", KEY)
            .env("CRYPTO_API_SECRET", SECRET)
            .env("CRYPTO_PROXY_TOKEN", TOKEN)
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn toml(mut self, text: &str) -> Self {
        self.toml = true;
        self.file("config.toml", text, 0o644)
    }

    fn file(self, name: &str, text: &str, mode: u32) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn env_file(mut self, name: &str, text: &str) -> Self {
        self.env_files.push(self.folder.path().join(name));
        self.file(name, text, 0o600)
    }

    fn credential(self, name: &str, text: &str) -> Self {
        let directory = self.folder.path().join("credentials");
        self.env("CREDENTIALS_DIRECTORY", directory.to_str().unwrap())
            .file(&format!("credentials/{name}"), text, 0o440)
    }

    fn sources(&self) -> Sources {
        let vars = self
            .env
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let config = self.toml.then(|| self.folder.path().join("config.toml"));
        let sources = Sources::new(config, vars);
        let default_config_file = self.folder.path().join("absent.toml");
        Sources {
            env_files: self.env_files.clone(),
            default_config_file,
            ..sources
        }
    }

    fn load(&self) -> Config {
        load(&self.sources()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn problems(&self) -> Problems {
        load(&self.sources()).expect_err("errors")
    }

    /// Asserts that there is exactly one error, and that its line holds these parts.
    fn fails_with(&self, parts: &[&str]) {
        let problems = self.problems();
        assert_eq!(problems.errors().count(), 1, "{problems}");
        let text = problems.errors().next().unwrap().to_string();
        assert!(
            parts.iter().all(|part| text.contains(part)),
            "{text}\nlacks one of {parts:?}"
        );
    }

    /// Asserts that it loads, and that one warning holds these parts.
    fn warns_of(&self, parts: &[&str]) {
        let warnings = self.load().startup_warnings();
        let found = warnings
            .iter()
            .any(|text| parts.iter().all(|part| text.contains(part)));
        assert!(found, "{warnings:#?}\nlacks {parts:?}");
    }
}

/// Checks every row of a table. A wrong row does not hide the rest: the end names each of them.
fn each<Row: fmt::Debug>(rows: impl IntoIterator<Item = Row>, check: impl Fn(Row)) {
    let mut wrong = Vec::new();
    for row in rows {
        let name = format!("{row:?}");
        if panic::catch_unwind(AssertUnwindSafe(|| check(row))).is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "wrong rows:\n{}", wrong.join("\n"));
}

mod callers;
mod canary;
mod credentials;
mod env_values;
mod files;
mod samples;
mod settings;
mod sources;
