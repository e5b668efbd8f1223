//! The rules of the house that no compiler knows: which room may use which, and what a public file never names.

use std::{fs, path::Path};

/// A room may use those before it and itself, none after it.
const ROOMS: [&str; 8] = [
    "exchange",
    "gateway",
    "diagnosis",
    "http",
    "daemon",
    "sandbox",
    "cli",
    "main",
];

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

/// The text without comments and without what stands in quotes.
fn code(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['/', '"', '\'']) {
        code.push_str(&rest[..at]);
        rest = &rest[at..];
        let skipped = match rest.as_bytes() {
            [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
            [b'"', ..] => end_of_string(rest),
            [b'\'', b'"' | b'/', b'\'', ..] => 3,
            [b'\'', b'\\', b'"', b'\'', ..] => 4,
            _ => {
                code.push(char::from(rest.as_bytes()[0]));
                1
            }
        };
        rest = &rest[skipped..];
    }
    code + rest
}

/// Bytes of the string literal that `text` begins with; a raw string's inner quotes only end it early.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Every path that the code writes behind `prefix`, with groups in braces spelled out.
fn paths(code: &str, prefix: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        if !before.is_alphanumeric() && !['_', ':', '$'].contains(&before) {
            expand(&code[at + prefix.len()..], &[], &mut found);
        }
    }
    found
}

/// Spells out the use tree that `text` begins with; returns what follows it.
fn expand<'a>(text: &'a str, parents: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut group) = text.strip_prefix('{') {
        loop {
            group = group.trim_start();
            if let Some(rest) = group.strip_prefix('}') {
                return rest;
            }
            let rest = expand(group, parents, found).trim_start();
            let rest = rest
                .strip_prefix("as ")
                .map_or(rest, |rest| &rest[rest.find([',', '}']).unwrap_or(0)..]);
            group = rest.strip_prefix(',').unwrap_or(rest);
            assert!(group.starts_with(|next: char| next == '}'
                || next.is_whitespace()
                || next.is_alphabetic()));
        }
    }
    let end = text
        .find(|next: char| !next.is_alphanumeric() && next != '_' && next != '*')
        .unwrap_or(text.len());
    let path = [parents, &[text[..end].to_owned()]].concat();
    match text[end..].strip_prefix("::") {
        Some(rest) if end > 0 => expand(rest, &path, found),
        _ => {
            found.push(path);
            &text[end..]
        }
    }
}

/// The room of a file, and how deep its module lies below the crate's root.
fn place(path: &str) -> (&str, usize) {
    let module = path.trim_start_matches("src/").trim_end_matches(".rs");
    (module.split('/').next().unwrap(), module.split('/').count())
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|known| *known == room)
}

/// The paths from the crate's root that a file uses, those by way of `super` included.
fn used(file: &File) -> Vec<Vec<String>> {
    let code = code(&file.text);
    let mut used = paths(&code, "crate::");
    used.extend(paths(&code, "crypto_proxy::"));
    let climbs = "super::".repeat(place(&file.path).1);
    used.extend(
        paths(&code, &climbs)
            .into_iter()
            .filter(|path| rank(&path[0]).is_some()),
    );
    used
}

#[test]
fn rooms_use_only_rooms_before_them() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in files("src") {
        let (room, _) = place(&file.path);
        let own = if room == "lib" { continue } else { rank(room) };
        let own = own.unwrap_or_else(|| {
            panic!(
                "{}: {room} is a room that the order does not know",
                file.path
            )
        });
        for path in used(&file) {
            let other = rank(&path[0])
                .unwrap_or_else(|| panic!("{}: crate::{}", file.path, path.join("::")));
            seen += 1;
            if other > own {
                wrong.push(format!("{} uses {}", file.path, path.join("::")));
            }
        }
    }
    assert!(seen > 200, "only {seen} paths were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_stand_in_verifies_by_code_of_its_own() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in files("src")
        .iter()
        .filter(|file| place(&file.path).0 == "sandbox")
    {
        for path in used(file) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            seen += 1;
            if !matches!(
                path.as_slice(),
                ["exchange", "methods" | "codes", ..] | ["sandbox", ..]
            ) {
                wrong.push(format!("{} uses {}", file.path, path.join("::")));
            }
        }
    }
    assert!(seen > 3 && wrong.is_empty(), "{seen} {wrong:#?}");
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

#[test]
fn the_reader_of_imports_sees_groups_renames_inline_paths_and_no_comments() {
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let seen = |path: &str, text: &str| {
        used(&file(path, text))
            .iter()
            .map(|path| path.join("::"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        seen(
            "src/http.rs",
            "use crate::{\n    a::{B, c::{self, D as _}},\n    e::F as G,\n};\n"
        ),
        "a::B a::c::self a::c::D e::F"
    );
    assert_eq!(
        seen(
            "src/http.rs",
            "let x = crate::cli::run(\"crate::no\"); // crate::no"
        ),
        "cli::run"
    );
    assert_eq!(
        seen(
            "src/gateway/nonce.rs",
            "use super::super::http::Tally; use super::clock::X;"
        ),
        "http::Tally"
    );
    assert_eq!(
        seen(
            "src/gateway/nonce.rs",
            "let quote = '\"'; fn f(_: &'_ crate::x::Y) {}"
        ),
        "x::Y"
    );
    assert_eq!(seen("src/main.rs", "crypto_proxy::cli::run()"), "cli::run");
}
