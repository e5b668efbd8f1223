//! Whether the daemon, which has a user of its own, can read what root can.
//!
//! Guarantees: said where root looks on the daemon's behalf, because root reads everything and would call a file good
//! that the daemon cannot open. Does not: look at a file that was named, which may be anybody's, or at credentials,
//! which systemd reads.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::{
    problem::{Origin, Problem, Problems},
    sources::{RunAs, Sources},
};

const READ_BY_OTHERS: u32 = 0o004;
const ENTERED_BY_OTHERS: u32 = 0o001;

/// Checks the usual configuration file, if it counts and is there.
pub(super) fn check(sources: &Sources, problems: &mut Problems) {
    let file = &sources.default_config_file;
    let counts = sources
        .config_file
        .as_ref()
        .is_none_or(|named| named == file);
    if sources.looker != RunAs::Root || !counts {
        return;
    }
    // Where it is absent, or cannot be looked at even by root, there is nothing to add.
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
        problems.push(Problem::warning(
            "configuration file",
            &Origin::File(file.clone()),
            text,
            remedy,
        ));
    }
}

/// The mode, where it lacks what is wanted.
fn lacks(path: &Path, wanted: u32) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & wanted == 0).then_some(mode)
}
