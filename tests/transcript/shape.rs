//! How things are written into the transcript: answers, outputs, key paths, files with their modes.

use std::{collections::BTreeSet, fmt::Write as _, fs, os::unix::fs::MetadataExt, path::Path};

use serde_json::Value;

use crate::{http::Answer, normal::normal, process::Said};

/// A growing text.
#[derive(Default)]
pub(crate) struct Sheet(pub(crate) String);

impl Sheet {
    pub(crate) fn heading(&mut self, text: &str) {
        let _ = writeln!(
            self.0,
            "{}==== {text}",
            if self.0.is_empty() { "" } else { "\n" }
        );
    }

    pub(crate) fn title(&mut self, text: &str) {
        let _ = writeln!(self.0, "\n-- {text}");
    }

    pub(crate) fn line(&mut self, text: &str) {
        let _ = writeln!(self.0, "{text}");
    }

    /// An answer: status line, headers, body.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        self.head(answer);
        if !answer.body.is_empty() {
            self.line(&normal(&answer.body));
        }
    }

    pub(crate) fn head(&mut self, answer: &Answer) {
        self.line(&answer.line);
        for (name, value) in &answer.headers {
            let value = if name == "date" {
                "<time>".to_owned()
            } else {
                normal(value)
            };
            self.line(&format!("{name}: {value}"));
        }
    }

    /// What a command said.
    pub(crate) fn said(&mut self, said: &Said, normal: fn(&str) -> String) {
        self.line(&format!("exit code {:?}", said.code));
        for (name, text) in [("stdout", &said.out), ("stderr", &said.err)] {
            if !text.is_empty() {
                self.line(&format!("{name}:"));
                normal(text)
                    .lines()
                    .for_each(|line| self.line(format!("| {line}").trim_end()));
            }
        }
    }

    /// Every key path of a JSON text, with the kind of what stands there.
    pub(crate) fn paths(&mut self, value: &Value) {
        let mut found = BTreeSet::new();
        collect(value, "", &mut found);
        found.iter().for_each(|path| self.line(path));
    }

    /// A file's mode.
    pub(crate) fn mode(&mut self, folder: &Path, name: &str) {
        let mode = fs::symlink_metadata(folder.join(name)).map(|metadata| metadata.mode() & 0o7777);
        self.line(&match mode {
            Ok(mode) => format!("{mode:04o} {name}"),
            Err(_) => format!("none {name}"),
        });
    }
}

fn collect(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            items
                .iter()
                .for_each(|item| collect(item, &format!("{path}[]"), found));
            if items.is_empty() {
                "empty list"
            } else {
                return;
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let dot = if path.is_empty() { "" } else { "." };
                collect(member, &format!("{path}{dot}{name}"), found);
            }
            if members.is_empty() {
                "empty object"
            } else {
                return;
            }
        }
    };
    found.insert(format!("{path}: {kind}"));
}
