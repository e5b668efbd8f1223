//! What systemd makes of each text, read in its source and told as a table; and what must hold for any text.

use proptest::prelude::*;

use super::*;

fn values(text: &str) -> Vec<(String, String)> {
    parse(text)
        .entries
        .into_iter()
        .map(|entry| (entry.name, entry.value.to_string()))
        .collect()
}

fn findings(text: &str) -> Vec<(usize, FindingKind)> {
    parse(text)
        .findings
        .into_iter()
        .map(|finding| (finding.line, finding.kind))
        .collect()
}

#[test]
fn values_are_those_that_systemd_hands_over() {
    for (text, value) in [
        ("A=b", "b"),
        ("A=b\n", "b"),
        ("  A  =  b  ", "b"),
        ("A=a b", "a b"),
        ("A=a#b # c", "a#b # c"),
        ("A=a=b==", "a=b=="),
        ("A=", ""),
        ("A=\"\"", ""),
        ("A=\"a b \"", "a b "),
        ("A='a b '", "a b "),
        ("A='a\"b'", "a\"b"),
        ("A=\"a'b\"", "a'b"),
        ("A='a\\b'", "a\\b"),
        ("A=\"a\\\"b\\\\c\\$d\\`e\"", "a\"b\\c$d`e"),
        ("A=\"a\\nb\"", "a\\nb"),
        ("A=\"a\\\nb\"", "ab"),
        ("A=\"a\nb\"", "a\nb"),
        ("A=a\\\nb", "ab"),
        ("A=a\\nb", "anb"),
        ("A=a\\\\b", "a\\b"),
        ("A=a\\ ", "a "),
        ("A=\\ a", " a"),
        ("A=$HOME", "$HOME"),
        ("A=\"$HOME\"", "$HOME"),
        ("A=a\"b\"", "a\"b\""),
        ("A=\"a\"b", "ab"),
        ("A=\"a\" 'b'", "ab"),
        ("A=b\r\n", "b"),
        ("A=\"b\"\r\n", "b"),
        ("A=\u{fc}\u{1f511}", "\u{fc}\u{1f511}"),
    ] {
        assert_eq!(
            values(text),
            [("A".to_owned(), value.to_owned())],
            "{text:?}"
        );
    }
}

#[test]
fn comments_and_empty_lines_set_nothing() {
    assert_eq!(values("# A=b\n; A=b\n\n \t\n  # A=b\n"), []);
    assert_eq!(findings("# A=b\n; A=b\n"), []);
}

#[test]
fn lines_and_quotes_are_remembered() {
    let file = parse("\n# x\nA=1\nB=\"2\n3\"\nC='4'\n");
    let facts: Vec<_> = file
        .entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.line, entry.quoted))
        .collect();
    assert_eq!(facts, [("A", 3, false), ("B", 4, true), ("C", 6, true)]);
}

#[test]
fn what_systemd_passes_over_in_silence_is_found() {
    for (text, line, kind) in [
        ("\u{feff}A=b", 1, FindingKind::ByteOrderMark),
        ("A=b\nB=c\r\n", 2, FindingKind::CarriageReturns),
        ("A=b\nnonsense\nC=d", 2, FindingKind::NoAssignment),
        ("A=b\nnonsense", 2, FindingKind::NoAssignment),
        ("A=b\nexport B=c", 2, FindingKind::ExportPrefix),
        ("1A=b", 1, FindingKind::InvalidName),
        ("A B=c", 1, FindingKind::InvalidName),
        ("=c", 1, FindingKind::NoAssignment),
        ("A=1\nA=2", 1, FindingKind::Duplicate),
        ("A=1\nB=\"2\nC=3", 2, FindingKind::UnclosedQuote),
        ("# x\\\nA=1", 1, FindingKind::CommentContinued),
        ("A=1\n\0B=2", 2, FindingKind::NulByte),
        ("A=1\nB=2\\\nC=3", 2, FindingKind::LineContinued),
        ("A=\"1\\\n2\"", 1, FindingKind::LineContinued),
        ("A=1\nB=\"2\nC=\"", 2, FindingKind::QuoteClosedLater),
        ("A='b' c", 1, FindingKind::AfterQuote),
        ("A=\\b", 1, FindingKind::BackslashRemoved),
    ] {
        assert_eq!(findings(text), [(line, kind)], "{text:?}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_refuse_the_file_where_they_are_in_a_variable() {
    for (bytes, line, kind, is_refused) in [
        (&b"# f\xfcr\nA=b"[..], 1, FindingKind::NotUtf8Aside, false),
        (b"A=b\nf\xfcr\n", 2, FindingKind::NotUtf8Aside, false),
        (b"A=b\nB=\xfc\n", 2, FindingKind::NotUtf8, true),
        (b"A=b\nB\xfc=c\n# \xfc", 2, FindingKind::NotUtf8, true),
        (b"\xff\xfeA\0", 1, FindingKind::Utf16, true),
        (b"A=b\n\0", 2, FindingKind::NulByte, true),
    ] {
        let file = read(bytes);
        let found = file
            .findings
            .iter()
            .any(|found| (found.line, found.kind) == (line, kind));
        assert!(
            found && file.is_refused() == is_refused,
            "{bytes:?}: {:?}",
            file.findings
        );
    }
}

#[test]
fn a_byte_order_mark_does_not_hide_the_first_variable() {
    assert_eq!(values("\u{feff}A=b"), [("A".to_owned(), "b".to_owned())]);
}

#[test]
fn of_two_assignments_the_last_counts() {
    assert_eq!(
        values("A=1\nB=2\nA=3"),
        [
            ("B".to_owned(), "2".to_owned()),
            ("A".to_owned(), "3".to_owned())
        ]
    );
}

#[test]
fn exported_variables_are_not_set() {
    assert_eq!(values("export A=b"), []);
    assert_eq!(parse("export A=b").findings[0].name.as_deref(), Some("A"));
    assert_eq!(
        values("exported=b"),
        [("exported".to_owned(), "b".to_owned())]
    );
}

/// A value as a careful writer would put it between double quotes.
fn double_quoted(value: &str) -> String {
    let escaped = value.chars().fold(String::new(), |mut out, char| {
        if matches!(char, '"' | '\\' | '`' | '$') {
            out.push('\\');
        }
        out.push(char);
        out
    });
    format!("\"{escaped}\"")
}

proptest! {
    #[test]
    fn any_value_survives_double_quotes(value in "[^\0]{0,40}") {
        let text = format!("# before\nA={}\nB=after\n", double_quoted(&value));
        let expected = [("A".to_owned(), value), ("B".to_owned(), "after".to_owned())];
        prop_assert_eq!(values(&text), expected);
    }

    #[test]
    fn any_value_without_a_single_quote_survives_single_quotes(value in "[^'\0]{0,40}") {
        prop_assert_eq!(values(&format!("A='{value}'")), [("A".to_owned(), value)]);
    }

    #[test]
    fn plain_values_survive_as_they_are(value in "[A-Za-z0-9_=$#;+/-][A-Za-z0-9_=$#;+/'\"-]{0,40}") {
        prop_assert_eq!(values(&format!("A={value}")), [("A".to_owned(), value)]);
    }

    #[test]
    fn no_text_is_too_much(text in any::<String>()) {
        let file = parse(&text);
        let lines = 1 + text.matches('\n').count();
        prop_assert!(file.entries.iter().all(|entry| is_name(&entry.name) && (1..=lines).contains(&entry.line)));
        prop_assert!(file.findings.iter().all(|finding| (1..=lines).contains(&finding.line)));
    }

    #[test]
    fn lines_made_of_the_special_characters_are_never_lost_unfound(text in "[AB=\"'\\\\ #\n]{0,30}") {
        let file = parse(&text);
        let written = text.split('\n').any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        prop_assert!(!written || !file.entries.is_empty() || !file.findings.is_empty());
    }
}
