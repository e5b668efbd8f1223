//! Golden text: compared, or rewritten where `UPDATE_TRANSCRIPT` is set.
//!
//! Guarantees: a difference is shown line by line, with some lines around it. Does not: normalise.

use std::{fmt::Write as _, fs, path::Path, sync::LazyLock};

use crate::process::{self, Env};

/// Lines shown around a difference.
const AROUND: usize = 3;
/// Lines of differences that are shown; the rest is counted.
const SHOWN: usize = 120;

/// The version of the binary: a release changes it, and nothing else.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let said = process::run(Path::new("."), &Env::new(), &["--version"], None);
    said.out
        .trim()
        .rsplit(' ')
        .next()
        .expect("a version")
        .to_owned()
});

/// Compares what was told with `golden/{name}.txt`, or writes it there.
pub(crate) fn compare(name: &str, told: &str) {
    let told = &told.replace(VERSION.as_str(), "<version>");
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/transcript/golden/{name}.txt"));
    if std::env::var_os("UPDATE_TRANSCRIPT").is_some() {
        fs::write(&path, told).unwrap();
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if golden != *told {
        panic!(
            "{} differs; UPDATE_TRANSCRIPT=1 rewrites it\n{}",
            path.display(),
            difference(&golden, told)
        );
    }
}

/// One line of a comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Both(&'t str),
    Golden(&'t str),
    Told(&'t str),
}

fn difference(golden: &str, told: &str) -> String {
    let (golden, told): (Vec<&str>, Vec<&str>) = (golden.lines().collect(), told.lines().collect());
    let lines = align(&golden, &told);
    let differs: Vec<usize> = (0..lines.len())
        .filter(|at| !matches!(lines[*at], Line::Both(_)))
        .collect();
    let near = |at: usize| {
        differs
            .iter()
            .any(|differing| differing.abs_diff(at) <= AROUND)
    };
    let mut text = String::new();
    let mut shown = 0;
    let mut last = None;
    for at in (0..lines.len()).filter(|at| near(*at)) {
        if shown == SHOWN {
            let _ = writeln!(text, "… {} differing lines in all", differs.len());
            break;
        }
        if last.is_none_or(|last: usize| last + 1 != at) {
            let _ = writeln!(text, "@@ line {}", at + 1);
        }
        let _ = match lines[at] {
            Line::Both(line) => writeln!(text, "  {line}"),
            Line::Golden(line) => writeln!(text, "- {line}"),
            Line::Told(line) => writeln!(text, "+ {line}"),
        };
        (last, shown) = (Some(at), shown + 1);
    }
    text
}

/// Both texts beside each other, by their longest common subsequence.
fn align<'t>(golden: &[&'t str], told: &[&'t str]) -> Vec<Line<'t>> {
    let width = told.len() + 1;
    let mut common = vec![0_u32; (golden.len() + 1) * width];
    for left in (0..golden.len()).rev() {
        for right in (0..told.len()).rev() {
            common[left * width + right] = if golden[left] == told[right] {
                common[(left + 1) * width + right + 1] + 1
            } else {
                common[(left + 1) * width + right].max(common[left * width + right + 1])
            };
        }
    }
    let (mut left, mut right, mut lines) = (0, 0, Vec::new());
    while left < golden.len() || right < told.len() {
        let ended = left == golden.len() || right == told.len();
        if !ended && golden[left] == told[right] {
            lines.push(Line::Both(golden[left]));
            (left, right) = (left + 1, right + 1);
        } else if right == told.len()
            || left < golden.len()
                && common[(left + 1) * width + right] >= common[left * width + right + 1]
        {
            lines.push(Line::Golden(golden[left]));
            left += 1;
        } else {
            lines.push(Line::Told(told[right]));
            right += 1;
        }
    }
    lines
}

#[test]
fn a_difference_is_shown_with_the_lines_around_it() {
    let golden = "a\nb\nc\nd\ne\nf\ng\n";
    let shown = difference(golden, "a\nb\nc\nd\ne\nF\ng\n");
    assert_eq!(shown, "@@ line 3\n  c\n  d\n  e\n- f\n+ F\n  g\n");
}
