//! What an operator types. A file per command family; decides nothing.

pub mod rails;

use std::process::ExitCode;

/// Parses the command line, runs the command and turns its end into an exit code.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
