//! One file per subcommand; exit codes.

use std::process::ExitCode;

/// Runs the subcommand named on the command line.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
