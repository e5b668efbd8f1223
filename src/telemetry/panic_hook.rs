//! What the log says about a panic.
//!
//! Guarantees: where it happened, and never its payload, which may hold whatever was being worked on.
//! Does not: end the process, or print a backtrace.

use std::{
    io::{self, Write as _},
    panic::{self, PanicHookInfo},
    thread,
};

use super::writer;

/// Replaces the process's panic hook, which prints payloads, by one error line without.
///
/// Wants no logging: a panic before there is any is said on stderr, and so is one of the writer itself, whose line
/// would come back to it. So it is installed first, before anything reads a secret.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    let (file, line) = info
        .location()
        .map_or(("unknown", 0), |place| (place.file(), place.line()));
    if tracing::dispatcher::has_been_set() && thread::current().name() != Some(writer::THREAD) {
        tracing::error!(
            "CRYPTO_EVENT" = "panic",
            "event=panic location={file}:{line}"
        );
    } else {
        // Nothing is left to do if stderr is gone as well.
        let _ = writeln!(io::stderr(), "<3>event=panic location={file}:{line}");
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use crate::telemetry::capture;

    #[test]
    fn a_panic_is_logged_with_its_place_and_without_its_payload() {
        let (dispatch, captured) = capture(Level::INFO);
        let previous = std::panic::take_hook();
        super::install_panic_hook();
        let place = tracing::dispatcher::with_default(&dispatch, || {
            let _ = std::panic::catch_unwind(|| panic!("canary {}", 7));
            format!("event=panic location={}:{}", file!(), line!() - 1)
        });
        std::panic::set_hook(previous);
        let lines = captured.lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (lines[0].text(), lines[0].level()),
            (place.as_str(), Level::ERROR)
        );
        assert!(
            lines[0]
                .fields()
                .all(|(_, value)| !value.contains("canary"))
        );
    }
}
