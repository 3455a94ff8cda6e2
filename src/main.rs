//! The `hookhold` program: hands the arguments to [`hookhold::cli`] and nothing else.

use std::process::ExitCode;

/// sled frees on other threads what its writer allocated, which the system's allocator answers with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookhold::cli::run()
}
