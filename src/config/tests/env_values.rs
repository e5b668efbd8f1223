//! What an editor, a shell or a copy can leave in an environment file, as a generated table.
//!
//! The table stands with the test that shows the same files to a real systemd. The property: what counts is the value
//! that was meant, or a problem names the line and the fault. No text shows a part of a value.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Table {
    inserted: Vec<Inserted>,
    files: Vec<File>,
}

/// A text that is inserted at each place of a value, in each kind of quotes.
#[derive(Deserialize)]
struct Inserted {
    what: String,
    text: String,
    says: String,
}

/// A whole file.
#[derive(Deserialize)]
struct File {
    what: String,
    file: String,
    says: String,
    line: Option<usize>,
    #[serde(rename = "as")]
    encoding: Option<String>,
}

fn table() -> Table {
    serde_json::from_str(include_str!("../../../tests/e2e/systemd/env_values.json")).unwrap()
}

fn bytes_of(text: &str, encoding: Option<&str>) -> Vec<u8> {
    match encoding {
        None => text.as_bytes().to_vec(),
        Some("latin-1") => text
            .chars()
            .map(|char| u8::try_from(u32::from(char)).unwrap())
            .collect(),
        Some("utf-16-le") => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Some("utf-16-be") => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Some(other) => panic!("{other}"),
    }
}

/// What the loader makes of a file: the fingerprint of the key in use, and every problem as a line.
fn examined(bytes: &[u8]) -> (Option<String>, Vec<String>) {
    let case = Case::empty().env_file("crypto.env", "");
    fs::write(&case.env_files[0], bytes).unwrap();
    let inspection = inspect(&case.sources());
    let used = inspection.config.as_ref().map(fingerprint);
    let problems: Vec<_> = inspection
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    let canaries = [&KEY[..7], &SECRET[6..13], &TOKEN[..7]];
    for problem in &problems {
        assert!(
            !canaries.iter().any(|part| problem.contains(part)),
            "{problem}"
        );
    }
    (used, problems)
}

fn fingerprint(config: &Config) -> String {
    config.credentials.key.fingerprint()
}

/// Whether a problem names the line, and the fault in one of these words; without words any line.
fn said(problems: &[String], line: usize, says: &str) -> bool {
    let place = [" ", ")"].map(|end| format!("crypto.env:{line}{end}"));
    problems.iter().any(|problem| {
        let named = place.iter().any(|place| problem.contains(place));
        let any_line = says.is_empty() && problem.contains("crypto.env:");
        any_line || named && says.split('|').any(|word| problem.contains(word))
    })
}

#[test]
fn what_a_copy_leaves_in_a_value_is_no_other_value_in_silence() {
    let meant = gateway::secret::ApiKey::new(KEY.to_owned()).fingerprint();
    let kinds = table().inserted;
    let rows = kinds.iter().flat_map(|kind| {
        ["", "\"", "'"]
            .into_iter()
            .flat_map(move |quote| [0, 5, KEY.len()].map(|place| (kind, quote, place)))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), kinds.len() * 9);
    let mut wrong = Vec::new();
    for (kind, quote, place) in rows {
        let (before, after) = KEY.split_at(place);
        let value = format!("{before}{}{after}", kind.text);
        let text = format!(
            "# line 1\nCRYPTO_API_KEY={quote}{value}{quote}\nCRYPTO_API_SECRET={SECRET}\nCRYPTO_PROXY_TOKEN={TOKEN}\n"
        );
        let seen = env_file::parse(&text);
        let same = seen
            .entries
            .iter()
            .any(|entry| entry.name == "CRYPTO_API_KEY" && entry.value.as_str() == KEY);
        let (used, problems) = examined(text.as_bytes());
        let as_meant = same && used.as_ref() == Some(&meant);
        if !as_meant && !said(&problems, 2, &kind.says) {
            wrong.push(format!(
                "{} in {quote:?} at {place}, used: {used:?}: {problems:?}",
                kind.what
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_file_is_read_as_systemd_reads_it_or_its_fault_is_named() {
    let mut wrong = Vec::new();
    for row in table().files {
        let (used, problems) = examined(&bytes_of(&row.file, row.encoding.as_deref()));
        let good = match row.line {
            Some(line) => said(&problems, line, &row.says),
            None if row.says.is_empty() => problems.is_empty() || row.what == "commented out",
            None => problems.iter().any(|problem| problem.contains(&row.says)),
        };
        if !good {
            wrong.push(format!(
                "{} ({}), used: {used:?}: {problems:?}",
                row.what, row.says
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
