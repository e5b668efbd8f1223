//! What `check` prints, and that it prints nothing secret.

use std::{ffi::OsString, fs, path::Path};

use tempfile::TempDir;

use super::*;
use diagnosis::report::Paint;

const KEY: &str = "Kq7invented-key-1234";
const SECRET: &str = "cxakp_Zr5invented-secret-of-some-length";
const TOKEN: &str = "Wm3invented-token-of-some-length";

fn pair(key: &str, secret: &str) -> String {
    format!("CRYPTO_API_KEY={key}\nCRYPTO_API_SECRET=\"{secret}\"\nCRYPTO_PROXY_TOKEN={TOKEN}\n")
}

/// Writes environment files, checks them, and returns verdict and text.
fn checked(files: &[(&str, &str)]) -> (Outcome, String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = files
        .iter()
        .map(|(name, _)| folder.path().join(name))
        .collect();
    for (path, (_, text)) in paths.iter().zip(files) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let (outcome, text) = checked_with(folder.path(), paths);
    (outcome, text, folder)
}

fn checked_with(folder: &Path, env_files: Vec<PathBuf>) -> (Outcome, String) {
    let sources = Sources::new(None, Vec::<(OsString, OsString)>::new());
    let sources = Sources {
        default_config_file: folder.join("absent.toml"),
        env_files,
        ..sources
    };
    let mut out = Vec::new();
    let inspection = config::inspect(&sources);
    let mut page = Page::plain(&mut out);
    let outcome = write_report(&inspection, &sources.env_files, &mut page).unwrap();
    let text = String::from_utf8(out).unwrap();
    for secret in [KEY, SECRET, TOKEN] {
        let parts: Vec<_> = secret
            .as_bytes()
            .windows(8)
            .map(|part| String::from_utf8_lossy(part))
            .collect();
        assert!(parts.iter().all(|part| !text.contains(&**part)), "{text}");
    }
    (outcome, text)
}

#[test]
fn a_good_file_is_shown_redacted_with_its_provenance() {
    let (outcome, text, folder) = checked(&[("crypto.env", &pair(KEY, SECRET))]);
    assert_eq!(outcome, Outcome::Good, "{text}");
    let file = folder.path().join("crypto.env").display().to_string();
    for part in [
        "CRYPTO_API_KEY = present, 20 characters, not published, fingerprint 1e97c182",
        "CRYPTO_API_SECRET = present, 39 characters, not published, quotes removed by systemd",
        &format!("{file}:2 CRYPTO_API_SECRET"),
        "calls.deadline_ms = 12000",
        "absent.toml: absent: defaults count",
        "Good: the daemon would start. Warnings: 0.",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("Pairs in"), "{text}");
}

#[test]
fn lines_are_short() {
    let (_, text, _folder) = checked(&[(
        "crypto.env",
        "CRYPTO_PROXY_TOKEN=short\nCRYPTO_API_KEY=x\nnonsense\n",
    )]);
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
}

#[test]
fn errors_say_where_and_what_to_do_and_the_exit_code_is_78() {
    let (outcome, text, folder) = checked(&[(
        "crypto.env",
        &format!("CRYPTO_PROXY_TOKEN={TOKEN}\nCRYPTO_API_KEY={KEY}\n"),
    )]);
    assert_eq!(outcome, Outcome::Unusable);
    assert_eq!(
        format!("{:?}", outcome.exit_code()),
        format!("{:?}", ExitCode::from(78))
    );
    let at = format!(
        "at: {}:2 CRYPTO_API_KEY",
        folder.path().join("crypto.env").display()
    );
    for part in [
        "Errors\n  CRYPTO_API_SECRET: incomplete pair",
        &at,
        "do: set CRYPTO_API_SECRET",
        "Unusable: ",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_missing_file_is_said_and_not_called_unconfigured() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, text) = checked_with(folder.path(), vec![folder.path().join("crypto.env")]);
    assert_eq!(outcome, Outcome::Unusable);
    assert!(
        text.contains("there is no such file") && !text.contains("not configured"),
        "{text}"
    );
}

#[test]
fn several_files_are_compared_as_pairs() {
    let other_key = pair("Vb2invented-other-key", SECRET);
    let other_secret = pair(KEY, "cxakp_Tn8invented-another-secret");
    for (text, expected) in [
        (pair(KEY, SECRET), "the same pair as in the first file"),
        (other_key, "another key beside the same secret"),
        (other_secret, "the same key beside another secret"),
        (
            pair("Vb2invented-other-key", "cxakp_Tn8invented-another-secret"),
            "key and secret both differ",
        ),
        (
            "CRYPTO_API_KEY=invented-half\n".to_owned(),
            "no complete pair",
        ),
    ] {
        let (_, shown, _folder) = checked(&[("a.env", &pair(KEY, SECRET)), ("b.env", &text)]);
        let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(expected), "{expected}\n{shown}");
        assert!(
            flat.contains("a.env: CRYPTO_API_KEY, key fingerprint 1e97c182"),
            "{shown}"
        );
    }
}

#[test]
fn a_file_that_may_not_be_read_is_not_called_one_without_a_pair() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["mine.env", "theirs.env"]
        .map(|name| folder.path().join(name))
        .to_vec();
    fs::write(&paths[0], pair(KEY, SECRET)).unwrap();
    let sources =
        Sources::new(None, Vec::<(OsString, OsString)>::new()).with_env_files(paths.clone());
    let mut inspection = config::inspect(&sources);
    // As a test that may be root's cannot have it from the disk.
    let theirs = Origin::File(paths[1].clone());
    inspection
        .report
        .sources
        .iter_mut()
        .filter(|row| row.source == theirs)
        .for_each(|row| {
            row.shown = "not readable by you".to_owned();
            row.file = Some(FileState::Denied);
        });
    let mut out = Vec::new();
    write_report(&inspection, &paths, &mut Page::plain(&mut out)).unwrap();
    let text = String::from_utf8(out).unwrap();
    let (_, pairs) = text.split_once("Pairs in the environment files").unwrap();
    let flat = pairs.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("theirs.env: not readable by you") && !flat.contains("no complete pair"),
        "{text}"
    );
}

/// Says to a copy of this test process that it is the one to panic.
const PANIC_AFTER: &str = "CHECK_TEST_PANIC_AFTER";

/// Neither command has logging by the end of its `run` here: the hook works alone.
#[test]
fn a_panic_in_a_command_without_logging_shows_its_place_and_no_payload() {
    if let Ok(command) = std::env::var(PANIC_AFTER) {
        let code = if command == "serve" {
            crate::cli::serve::run(&crate::cli::serve::Arguments::default())
        } else {
            run(CheckArgs::default())
        };
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(78)));
        panic!("canary {}", 4711);
    }
    let name =
        "cli::check::tests::a_panic_in_a_command_without_logging_shows_its_place_and_no_payload";
    for command in ["serve", "check"] {
        let mut copy = std::process::Command::new(std::env::current_exe().unwrap());
        copy.args(["--exact", name, "--nocapture"])
            .env_clear()
            .env(PANIC_AFTER, command);
        let output = copy
            .env("CRYPTO_PROXY_CONFIG", "/nonexistent/config.toml")
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            text.contains("<3>event=panic location=src/cli/check/tests.rs:"),
            "{command}: {text}"
        );
        assert!(!text.contains("canary"), "{command}: {text}");
    }
}

fn written(
    columns: usize,
    paint: Paint,
    write: impl FnOnce(&mut Page<&mut Vec<u8>>) -> io::Result<()>,
) -> String {
    let mut out = Vec::new();
    let mut page = Page {
        out: &mut out,
        columns,
        paint,
    };
    write(&mut page).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn lines_break_between_words_at_the_width_of_the_page() {
    for columns in [40, 80, 100, 120] {
        let text = written(columns, Paint::Plain, |page| {
            page.paragraph(&"word ".repeat(60), 2, 4)
        });
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(
            longest.is_some_and(|longest| (columns - 5..=columns).contains(&longest)),
            "{text}"
        );
        assert_eq!(text.split_whitespace().count(), 60);
        assert!(text.starts_with("  word") && text.contains("\n    word"));
    }
}

#[test]
fn a_source_stands_at_the_right_or_below() {
    let row =
        |columns, source: &str| written(columns, Paint::Plain, |page| page.row("a", "1", source));
    assert_eq!(row(100, "default"), format!("{:64}default\n", "  a = 1"));
    assert_eq!(row(66, "default"), "  a = 1\n      from default\n");
    let long = "x".repeat(60);
    assert_eq!(row(100, &long), format!("  a = 1\n      from {long}\n"));
    assert_eq!(row(124, &long), format!("{:64}{long}\n", "  a = 1"));
}

#[test]
fn colour_is_on_heads_alone_and_changes_no_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crypto.env");
    fs::write(&path, pair(KEY, "cxakp_short")).unwrap();
    let sources = Sources::new(None, Vec::<(OsString, OsString)>::new());
    let sources = sources.with_env_files(vec![path]);
    let report = |paint| {
        written(100, paint, |page| {
            write_report(&config::inspect(&sources), &sources.env_files, page).map(drop)
        })
    };
    let (plain, painted) = (report(Paint::Plain), report(Paint::Colour));
    assert!(!plain.contains('\u{1b}'));
    for (style, head) in [
        (SECTION, "Read"),
        (SECTION, "Settings"),
        (WARNING, "Warnings"),
        (GOOD, "Good:"),
    ] {
        assert!(
            painted.contains(&format!("{style}{head}{style:#}")),
            "{painted}"
        );
    }
    let unpainted = anstream::adapter::strip_str(&painted).to_string();
    assert_eq!(unpainted, plain);
}

#[test]
fn names_of_files_cannot_turn_the_reading_direction_of_a_terminal() {
    let hostile = "/etc/\u{202e}a\u{1b}[31m\u{200b}";
    let mut out = Vec::new();
    let mut page = Page::plain(&mut out);
    page.paragraph(hostile, 0, 0).unwrap();
    page.row(hostile, hostile, hostile).unwrap();
    let written = String::from_utf8(out).unwrap();
    assert!(
        !written.lines().any(|line| line.contains(::text::is_unsafe)),
        "{written:?}"
    );
    assert!(written.starts_with("/etc/a[31m\n"), "{written:?}");
}
