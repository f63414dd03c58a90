//! The `agentkeys` binary: parse, run, exit code.

fn main() -> std::process::ExitCode {
    agentkeys::cli::run()
}
