//! Rules of the house that no compiler knows: what no file names, and what the stand-in must not use.

use std::{fs, path::Path};

/// A file of the repository: its path from the root, and its text.
struct File {
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file below a directory; what builds and tools leave behind is not ours.
fn files(below: &str) -> Vec<File> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(below)]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir()
                && !["target", ".git", "node_modules", "__pycache__", ".venv"]
                    .contains(&name.as_str())
            {
                open.push(path);
            } else if path.is_file() && name != ".git" {
                found.extend(fs::read_to_string(&path).ok().map(|text| File {
                    path: relative(&path),
                    text,
                }));
            }
        }
    }
    assert!(found.len() > 10, "{below}: {} files", found.len());
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

#[test]
fn the_stand_in_verifies_by_code_of_its_own() {
    let manifest = fs::read_to_string(root().join("crates/sandbox/Cargo.toml")).unwrap();
    for krate in ["protocol", "gateway", "diagnosis", "text"] {
        let dependency = format!("\n{krate}.workspace");
        assert!(
            !manifest.contains(&dependency),
            "the sandbox depends on {krate}"
        );
    }
    assert!(manifest.contains("\ncatalogue.workspace"));
}

/// What would tell where this was written, taken apart so that this file does not hold it.
const NEVER_NAMED: [(&str, &str); 4] = [
    ("/wo", "rk/"),
    ("../sha", "red"),
    ("/ro", "ot/"),
    ("/shared/des", "ign"),
];

#[test]
fn no_file_names_a_place_on_the_machine_it_was_written_on() {
    let mut wrong = Vec::new();
    for file in files("") {
        for (start, end) in NEVER_NAMED {
            let name = [start, end].concat();
            if file.text.contains(&name) {
                wrong.push(format!("{}: {name}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_that_looks_like_a_real_secret_is_in_any_file() {
    let mut wrong = Vec::new();
    for file in files("") {
        for (at, start) in file.text.match_indices("cxakp_") {
            let rest = &file.text[at + start.len()..];
            let end = rest.find(|next: char| !next.is_ascii_alphanumeric() && !"-_".contains(next));
            let rest = &rest[..end.unwrap_or(rest.len())];
            if rest.len() >= 8 && !rest.to_ascii_lowercase().contains("invented") {
                wrong.push(format!(
                    "{}: {start} and {} characters",
                    file.path,
                    rest.len()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
