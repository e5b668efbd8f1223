//! What a line makes of what it is given.

use tracing::info;

use super::{TEXT_LIMIT, VALUE_LIMIT};
use crate::telemetry::tests::logged;

/// Everything that could start a line or reach a terminal as more than text.
const HOSTILE: &str = "a\r\nb\u{1b}[31m\0\u{7f}\u{9b}2J\u{2028}\u{202e}c";
const HARMLESS: &str = "a  b [31m   2J  c";

#[test]
fn structured_fields_are_kept_apart_and_others_join_the_message() {
    let line = logged(
        || info!("CRYPTO_METHOD" = "private/x", port = 80, "CRYPTO_CODE" = 0, path = %"/v1", "done"),
    );
    assert_eq!(line.text(), "done port=80 path=/v1");
    assert_eq!(
        line.fields().collect::<Vec<_>>(),
        [("CRYPTO_METHOD", "private/x"), ("CRYPTO_CODE", "0")]
    );
    assert_eq!(
        (line.field("CRYPTO_CODE"), line.field("port")),
        (Some("0"), None)
    );
}

#[test]
fn a_value_that_could_pass_for_another_field_is_quoted() {
    let line = logged(|| {
        info!(
            reason = "x port=1",
            said = "\"",
            end = "\\ \"",
            none = "",
            "done"
        )
    });
    assert_eq!(
        line.text(),
        r#"done reason="x port=1" said="\"" end="\\ \"" none="""#
    );
}

#[test]
fn a_message_that_comes_late_still_stands_first() {
    assert_eq!(
        logged(|| info!(port = 80, message = "done")).text(),
        "done port=80"
    );
    assert_eq!(logged(|| info!(port = 80)).text(), "port=80");
}

#[test]
fn nothing_that_was_logged_can_forge_a_line() {
    let line = logged(
        || info!("CRYPTO_TEXT" = HOSTILE, "CRYPTO_DEBUG" = %HOSTILE, field = HOSTILE, "{HOSTILE}"),
    );
    assert_eq!(line.text(), format!("{HARMLESS} field=\"{HARMLESS}\""));
    assert_eq!(
        (line.field("CRYPTO_TEXT"), line.field("CRYPTO_DEBUG")),
        (Some(HARMLESS), Some(HARMLESS))
    );
    assert_eq!(
        logged(|| info!("{}", "plain\nascii\u{1b}[2J\u{7f}")).text(),
        "plain ascii [2J "
    );
}

#[test]
fn text_beyond_ascii_is_kept() {
    assert_eq!(
        logged(|| info!("CRYPTO_TEXT" = "Zürich ✓", "Zürich ✓")).text(),
        "Zürich ✓"
    );
}

#[test]
fn text_and_values_are_cut_at_their_limits() {
    let long = "é".repeat(TEXT_LIMIT);
    let line = logged(|| info!("CRYPTO_TEXT" = long, "CRYPTO_NEXT" = 1, "{long}"));
    assert_eq!(line.text().len(), TEXT_LIMIT + '…'.len_utf8());
    assert!(line.text().ends_with("é…"));
    assert_eq!(
        line.field("CRYPTO_TEXT").map(str::len),
        Some(VALUE_LIMIT + '…'.len_utf8())
    );
    assert_eq!(line.field("CRYPTO_NEXT"), Some("1"));
}
