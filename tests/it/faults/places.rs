//! The chapter on faults of `docs/contract.md` against the tests themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What stands in the place of a test that is not one of this binary's.
const ELSEWHERE: &str = "not in process: ";

#[test]
fn every_fault_has_a_place() {
    let contract =
        fs::read_to_string(Path::new(ROOT).join("docs/contract.md")).expect("a document");
    let (_, chapter) = contract
        .split_once("\n## Faults\n")
        .expect("a chapter on faults");
    let rows = rows(chapter);
    let numbers: Vec<usize> = rows.keys().copied().collect();
    assert_eq!(
        numbers,
        (1..=80).collect::<Vec<_>>(),
        "docs/contract.md lists every fault once"
    );
    let existing = tests();
    let mut listed = BTreeSet::new();
    for (number, (fault, place)) in &rows {
        assert!(fault.len() > 5, "fault {number} is not described");
        let named: BTreeSet<String> = quoted(place)
            .filter(|text| text.contains("::"))
            .map(str::to_owned)
            .collect();
        let elsewhere = place.contains(ELSEWHERE);
        assert!(
            elsewhere || !named.is_empty(),
            "fault {number} has no place"
        );
        for test in &named {
            assert!(
                existing.contains(test),
                "fault {number}: there is no test {test}"
            );
        }
        let files = quoted(place).filter(|text| {
            ["tests/", "src/", "docs/"]
                .iter()
                .any(|root| text.starts_with(root))
        });
        for file in files {
            assert!(
                Path::new(ROOT).join(file).exists(),
                "fault {number}: there is no {file}"
            );
        }
        let own = format!("::fault_{number:02}_");
        for test in existing.iter().filter(|test| test.contains(&own)) {
            assert!(named.contains(test), "fault {number}: {test} is not listed");
        }
        listed.extend(named);
    }
    let unlisted: Vec<_> = existing
        .iter()
        .filter(|test| test.contains("::fault_") && !listed.contains(*test))
        .collect();
    assert!(unlisted.is_empty(), "not in docs/contract.md: {unlisted:?}");
}

/// Number → fault and places, from the numbered list; a number that stands twice fails.
fn rows(chapter: &str) -> BTreeMap<usize, (String, String)> {
    let mut rows = BTreeMap::new();
    let mut number = 0;
    for line in chapter.lines() {
        let numbered = line
            .split_once(". ")
            .map(|(number, fault)| (number.parse(), fault));
        if let Some((Ok(next), fault)) = numbered {
            number = next;
            let before = rows.insert(number, (fault.to_owned(), String::new()));
            assert!(before.is_none(), "fault {number} stands twice");
        } else if let Some((_, places)) = rows.get_mut(&number) {
            places.push_str(line);
            places.push('\n');
        }
    }
    rows
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every test function of `tests/`, as `module::path::name` below its binary.
fn tests() -> BTreeSet<String> {
    let root = Path::new(ROOT).join("tests");
    let mut all = BTreeSet::new();
    for file in sources(&root) {
        let module = module_of(file.strip_prefix(&root).expect("below tests/"));
        let text = fs::read_to_string(&file).expect("a source");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test") || line.starts_with("#[tokio::test");
            let name = line
                .strip_prefix("async fn ")
                .or_else(|| line.strip_prefix("fn "));
            if let (Some(name), true) = (name.and_then(|rest| rest.split('(').next()), is_test) {
                all.insert(format!("{module}::{name}"));
                is_test = false;
            }
        }
    }
    all
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files
        .chain(folders.iter().flat_map(|folder| sources(folder)))
        .collect()
}

/// `it/faults/names.rs` → `faults::names`; the binary's own name is left out, as `cargo test` prints it.
fn module_of(file: &Path) -> String {
    let path = file.with_extension("");
    let parts: Vec<_> = path
        .iter()
        .skip(1)
        .map(|part| part.to_str().expect("UTF-8"))
        .collect();
    parts.join("::")
}
