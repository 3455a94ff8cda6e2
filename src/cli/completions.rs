//! `hookhold completions`: what makes a shell complete commands, options, and the names of sources and destinations.
//!
//! The shell asks the program itself at each TAB, so what it offers is never older than the program. Names come from relay.toml.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use super::words;
use crate::config;

/// The variable by which a shell asks.
const VARIABLE: &str = "HOOKHOLD_COMPLETE";

/// For which shell.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    #[value(name = "powershell")]
    Power,
}

/// Answers a shell that asks what could follow, and ends; returns where none asks.
pub(super) fn answer() {
    CompleteEnv::with_factory(words).var(VARIABLE).complete();
}

/// Prints what the shell must read once.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Elvish => &Elvish,
        Shell::Power => &Powershell,
    };
    shell.write_registration(VARIABLE, "hookhold", "hookhold", "hookhold", &mut std::io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// The command with what completes names, wherever an argument takes one.
pub(super) fn add(command: Command) -> Command {
    add_below(command, "")
}

/// `of`: what is above it, whose arguments `name` mean one of those.
fn add_below(command: Command, of: &str) -> Command {
    let name = command.get_name().to_owned();
    let command = command.mut_args(|argument| match (argument.get_id().as_str(), of, name.as_str()) {
        ("source", ..) | ("name", "sources", _) => argument.add(ArgValueCompleter::new(sources)),
        ("destination", ..) | ("name", "destinations", _) | ("to", _, "replay") => {
            argument.add(ArgValueCompleter::new(destinations))
        }
        _ => argument,
    });
    command.mut_subcommands(|inner| add_below(inner, &name))
}

/// The sources of relay.toml that begin so.
fn sources(begun: &OsStr) -> Vec<CompletionCandidate> {
    names("sources", begun)
}

/// The destinations of relay.toml that begin so.
fn destinations(begun: &OsStr) -> Vec<CompletionCandidate> {
    names("destinations", begun)
}

/// As far as the file can be read: a file with a mistake has names, too.
fn names(section: &str, begun: &OsStr) -> Vec<CompletionCandidate> {
    let begun = begun.to_string_lossy();
    let names = config::names(&config_path(), section);
    names.into_iter().filter(|name| name.starts_with(&*begun)).map(CompletionCandidate::new).collect()
}

/// The configuration that the words on the line name.
fn config_path() -> PathBuf {
    let words: Vec<_> = std::env::args().collect();
    let named = words.iter().find_map(|word| word.strip_prefix("--config="));
    let after = words.iter().position(|word| word == "--config" || word == "-c").and_then(|at| words.get(at + 1));
    named.or(after.map(String::as_str)).unwrap_or("relay.toml").into()
}
