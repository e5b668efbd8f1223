//! `crypto-proxy self-test`: the signing vectors, without network.

use std::process::ExitCode;

use gateway::self_test;

/// Runs it; exit code 1 if a vector misbehaves.
pub(super) fn run() -> ExitCode {
    let summary = self_test::run();
    anstream::println!("{summary}");
    if summary.wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
