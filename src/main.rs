//! The `hookhold` program: hands the arguments to [`hookhold::cli`] and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookhold::cli::run()
}
