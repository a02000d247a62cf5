//! The `wgrad` command: arguments in, library calls, exit codes.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
