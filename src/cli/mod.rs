//! The command line: one file a command.

pub mod providers;
pub mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A durable webhook relay.
#[derive(Parser)]
#[command(name = "hookhold", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(verify::Args),
    Providers(providers::Args),
}

/// Runs the command of the process's arguments.
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Verify(args) => verify::run(&args),
        Command::Providers(args) => providers::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
