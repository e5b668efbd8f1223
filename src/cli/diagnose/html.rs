//! `diagnose --html`: the status page as a file, made here or by the daemon that was asked.
//!
//! Guarantees: the file is 0600 and there whole or not at all; a link in its place is refused, never followed. Does not:
//! fail a diagnosis because there is no history that this command may read; the page says so.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use crate::http::page::{
    DaemonFacts, Observations, PageForm, PageInput, RecentHistory, StatusPage,
};
use diagnosis::{
    history::{Problem, Questions},
    report::Diagnosis,
};
use gateway::{
    clock::Clock,
    private_file::{self, Owner},
};

/// Writes the page of this diagnosis, with what the history in `history` says; `-` is stdout.
pub(super) fn write(target: &Path, diagnosis: &Diagnosis, history: &Path) -> anyhow::Result<()> {
    put(target, render(diagnosis, history).as_bytes())
}

/// Writes a page that is there already.
pub(super) fn put(target: &Path, page: &[u8]) -> anyhow::Result<()> {
    if target == Path::new("-") {
        return match io::stdout().lock().write_all(page) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        };
    }
    replace(target, page)
        .map_err(|error| anyhow::anyhow!("{} is not written: {error}", target.display()))
}

fn render(diagnosis: &Diagnosis, history: &Path) -> String {
    let now_ms = Clock::system().now_ms();
    let read = read(history, now_ms).map_err(|problem| problem.to_string());
    let pair = diagnosis.findings.credentials();
    let about = DaemonFacts {
        fingerprint: pair.and_then(|pair| pair.fingerprint.clone()),
        label: pair.and_then(|pair| pair.label.clone()),
        source: pair.and_then(|pair| pair.source.clone()),
        target: diagnosis.findings.target.clone(),
        up_since_ms: None,
        warnings: Vec::new(),
    };
    let outside = Observations::of_diagnosis(diagnosis);
    StatusPage::of(
        PageInput {
            about: &about,
            diagnosis: Some(diagnosis),
            hints: &[],
            outside: &outside,
            in_doubt: &diagnosis.past.in_doubt,
            in_doubt_unread: diagnosis.past.in_doubt_unread.as_deref(),
            journal_away: None,
            history: &read,
            now_ms,
        },
        PageForm::File,
    )
    .html()
}

fn read(history: &Path, now_ms: u64) -> Result<Option<RecentHistory>, Problem> {
    match Questions::open(history) {
        Err(Problem::File(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => RecentHistory::read(&opened?, now_ms).map(Some),
    }
}

/// What is there and is no regular file stays.
fn replace(target: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::symlink_metadata(target) {
        Ok(data) if !data.is_file() => {
            return Err(io::Error::other("what is there is not a regular file"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if target.file_name().is_none() {
        return Err(io::Error::other("that is not the name of a file"));
    }
    private_file::replace(target, bytes, 0o600, Owner::Process)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_private_whole_and_never_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link, victim) = (
            dir.path().join("a.html"),
            dir.path().join("b.html"),
            dir.path().join("victim"),
        );
        for text in ["one", "another"] {
            replace(&target, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), text);
            assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
        }
        fs::write(&victim, "kept").unwrap();
        symlink(&victim, &link).unwrap();
        assert!(
            replace(&link, b"page")
                .unwrap_err()
                .to_string()
                .contains("not a regular file")
        );
        assert!(replace(dir.path(), b"page").is_err());
        assert!(replace(&dir.path().join("no/such"), b"page").is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            3,
            "nothing is left beside them"
        );
    }
}
