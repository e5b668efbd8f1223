//! The callers file as text: read into what it says, and written.
//!
//! Guarantees: an unknown field is a fault, with its line; what was read and not changed is written with the same
//! meaning. Does not: keep comments, or judge what the fields say; that is `entry`.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Entry, Fault, entry};

/// The version of the file's form.
const VERSION: u32 = 1;
const HEAD: &str = "\
# The callers of crypto-proxy. Written by `crypto-proxy caller`, which does not keep comments. Policies may be edited by
# hand: preset, allow, deny, instruments, orders_by_id, sources, uids, expires (docs/callers.md); see with
# `crypto-proxy check` what the daemon makes of it, then systemctl restart crypto-proxy. To take a caller's access away:
# `crypto-proxy caller revoke NAME`, not by hand. Nothing in here is secret.

";

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileText {
    version: u32,
    /// Tells the master key that callers were issued with from every other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_check: Option<String>,
    /// The callers.
    #[serde(rename = "caller", skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<CallerText>,
}

/// What it says of a caller.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CallerText {
    /// Its name.
    pub name: String,
    /// Its id: 24 hexadecimal digits, never used again.
    pub id: String,
    /// When it was added.
    pub created: String,
    /// What it may do, by a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Classes, methods and patterns that are allowed as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Classes, methods and patterns that are denied, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// The instruments it may act on; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruments: Option<Vec<String>>,
    /// Whether it may act on orders by their ids in spite of a list of instruments.
    #[serde(default, skip_serializing_if = "is_false")]
    pub orders_by_id: bool,
    /// Addresses and networks it may call from; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// Uids that may call over a unix socket; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uids: Option<Vec<u32>>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Whether it may diagnose, and nothing else.
    #[serde(default, skip_serializing_if = "is_false")]
    pub diagnose: bool,
    /// Its generations: one, or two during a rotation.
    #[serde(default, rename = "generation")]
    pub generations: Vec<GenerationText>,
}

/// What it says of a generation.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationText {
    /// Counted up from 1.
    pub number: u32,
    /// SHA-256 of its token.
    pub token_sha256: String,
    /// When it was issued.
    pub issued: String,
    /// When it ends, where a newer one was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    version: u32,
    #[serde(default)]
    master_check: Option<String>,
    #[serde(default, rename = "caller")]
    callers: Vec<Spanned<CallerText>>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde asks for"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl FileText {
    /// An empty one.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            version: VERSION,
            ..Self::default()
        }
    }

    /// Reads and judges a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<(Self, Vec<Entry>), Vec<Fault>> {
        let read: Read = toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let text = error.message().replace('\n', ", ");
            vec![Fault {
                line,
                key: "callers file".to_owned(),
                text,
                remedy: "put this line right".to_owned(),
            }]
        })?;
        if read.version != VERSION {
            let text = format!("version {} is not known here", read.version);
            let remedy = "a newer crypto-proxy wrote it: use that one".to_owned();
            return Err(vec![Fault {
                line: 1,
                key: "version".to_owned(),
                text,
                remedy,
            }]);
        }
        let lines: Vec<usize> = read
            .callers
            .iter()
            .map(|caller| line_of(text, caller.span().start))
            .collect();
        let callers: Vec<CallerText> = read.callers.into_iter().map(Spanned::into_inner).collect();
        let entries = entry::judge(&callers, &lines)?;
        Ok((
            Self {
                version: VERSION,
                master_check: read.master_check,
                callers,
            },
            entries,
        ))
    }

    /// The text, with its head.
    ///
    /// # Errors
    /// Where it cannot be written as TOML, which would be a defect.
    pub fn render(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self).map(|text| format!("{HEAD}{text}"))
    }

    /// What it says of a caller.
    #[must_use]
    pub fn find(&mut self, name: &str) -> Option<&mut CallerText> {
        self.callers.iter_mut().find(|caller| caller.name == name)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.get(..offset).unwrap_or_default().matches('\n').count()
}
