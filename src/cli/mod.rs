//! The command line: one file a command. `serve` is where the parts of the relay are put together.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 the relay is unreachable, 4 not found.

mod admin;
mod alerts;
mod arm;
mod audit;
mod backup;
mod cancel;
mod check;
mod completions;
mod config;
mod deliveries;
mod destinations;
mod doctor;
mod documents;
mod events;
mod examples;
mod forward;
mod pages;
mod park;
mod private;
mod providers;
mod quarantine;
mod reload;
mod replay;
mod replays;
mod restore;
mod route;
mod send;
pub mod serve;
mod sources;
mod status;
mod table;
mod tail;
mod token;
mod verify;
mod watch;
mod which;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::Problems;

/// A webhook relay: proves who sent a webhook, makes it durable before it answers, and delivers it for as long as it takes.
#[derive(Parser)]
#[command(name = "hookhold", version, max_term_width = 100)]
struct Arguments {
    /// The configuration.
    #[arg(long, short, global = true, default_value = "relay.toml")]
    config: PathBuf,
    /// The running relay's admin address, where it is not the one in the configuration.
    #[arg(long, global = true, env = "HOOKHOLD_ADMIN", value_name = "URL")]
    admin: Option<String>,
    /// Print JSON for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the relay (the default).
    Serve,
    /// Prove the configuration without starting.
    Check,
    /// Sign a sample as the provider would, send it, and show what became of it.
    Send(send::Args),
    /// List and read stored events.
    Events(events::Args),
    /// Show what happens at the running relay, as it happens.
    Tail(tail::Args),
    /// Send what a source receives to an application on this machine, too, from the running relay.
    Forward(forward::Args),
    /// List deliveries, and show one with its attempts.
    Deliveries(deliveries::Args),
    /// Deliver a stored event again, or all that fit a filter.
    Replay(replay::Args),
    /// Show replays by filter, hold them, let them go on, call them off.
    Replays(replays::Args),
    /// Give a parked delivery, or all that fit, a new budget and try them now.
    Retry(replay::RetryArgs),
    /// Show destinations, pause them, let them go on.
    Destinations(destinations::Args),
    /// Show sources, pause them, let them go on.
    Sources(sources::Args),
    /// Put a pending delivery aside: it is kept, and holds nothing up.
    Park(park::Args),
    /// Call a delivery off, or all that fit.
    Cancel(cancel::Args),
    /// Let a source take the secret that its provider is about to send (Asana, Notion).
    Arm(arm::Args),
    /// Show requests that were not believed and why, and release those that are believed now.
    Quarantine(quarantine::Args),
    /// Show what is wrong, or send a test to everybody who hears of it.
    Alerts(alerts::Args),
    /// Let the running relay read its configuration again (as SIGHUP does): whole, or not at all.
    Reload,
    /// Take an `arm` back: the source takes no secret any more.
    Disarm(arm::DisarmArgs),
    /// Show what the running relay was told, without secrets, and its certificates.
    Config,
    /// Show how the running relay stands.
    Status(status::Args),
    /// Show who changed what, and who was refused.
    Audit(audit::Args),
    /// Make a token for the admin API.
    Token(token::Args),
    /// Write all that is stored into a folder, while the relay runs or while it does not.
    Backup(backup::Args),
    /// Build a store from a backup, where none is yet.
    Restore(restore::Args),
    /// Examine a store while no relay runs: every checksum, every index, the journal, the space.
    Doctor(doctor::Args),
    /// Show where captured requests would go by the routes of the configuration.
    Route(route::Args),
    /// Check a captured request against its provider: accepted, or exactly why not.
    Verify(verify::Args),
    /// Print the description of the admin API (OpenAPI 3.1), as a relay of this version serves it.
    Openapi,
    /// Show the providers that the relay knows.
    Providers(providers::Args),
    /// Show what the configuration can say: every key with its bounds, what counts without it, and an example.
    Reference(documents::ReferenceArgs),
    /// Print the configuration's JSON Schema, for editors.
    Schema,
    /// Print what makes a shell complete commands and names.
    Completions(completions::Args),
    /// Print the manual page, or write one a command into a folder.
    Man(documents::ManArgs),
}

/// A failure that has an exit code of its own.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The relay cannot be reached.
    #[error(
        "the relay at {address} cannot be reached: {why}\nIs it running? Start it with `hookhold serve`. On another machine, --admin URL says where."
    )]
    Unreachable { address: String, why: String },
    /// What answers is no relay.
    #[error(
        "what answers at {address} is another program, not the relay: {why}\n--admin, or listen in [admin], says where the relay is."
    )]
    Stranger { address: String, why: String },
    /// What was typed does not say enough.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
}

/// Runs the command that the process's arguments name.
pub fn run() -> ExitCode {
    private::keep_memory();
    completions::answer();
    let mut words = words();
    let typed = words.get_matches_mut();
    let arguments = agree(&mut words, &typed).and_then(|()| Arguments::from_arg_matches(&typed));
    let arguments = arguments.unwrap_or_else(|error| error.exit());
    match command(arguments) {
        Ok(code) => code,
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.chain().any(is_closed_pipe) => ExitCode::SUCCESS,
        // They say themselves what is an error and what a warning.
        Err(error) if error.is::<Problems>() => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            match error.downcast_ref::<Failure>() {
                Some(Failure::Unreachable { .. } | Failure::Stranger { .. }) => ExitCode::from(3),
                Some(Failure::NotFound(_)) => ExitCode::from(4),
                Some(Failure::Usage(_)) => ExitCode::from(2),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Everything that can be typed: commands with their arguments, help and examples.
pub fn words() -> clap::Command {
    completions::add(examples::add(Arguments::command()))
}

/// What a command says of its list (`events --source stripe`) must not be passed over where another one follows.
fn agree(words: &mut clap::Command, typed: &ArgMatches) -> Result<(), clap::Error> {
    let Some((name, below)) = typed.subcommand() else { return Ok(()) };
    let is_given = |id: &str| typed.value_source(id) == Some(ValueSource::CommandLine);
    let given = words.get_arguments().find(|one| !one.is_global_set() && is_given(one.get_id().as_str()));
    if let Some(text) = given.map(|given| format!("{given} is about what is listed; it cannot stand before `{name}`")) {
        return Err(words.error(ErrorKind::ArgumentConflict, text));
    }
    words.find_subcommand_mut(name).map_or(Ok(()), |inner| agree(inner, below))
}

fn command(arguments: Arguments) -> anyhow::Result<ExitCode> {
    crate::net::tls::install_provider();
    let Arguments { config, admin, json, command } = arguments;
    if let None | Some(Command::Serve | Command::Backup(_) | Command::Restore(_) | Command::Doctor(_)) = command {
        private::keep_files();
    }
    let client = || admin::Client::new(&config, admin.as_deref());
    match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&config),
        Command::Check => check::run(&config),
        Command::Send(args) => send::run(&args, &config, json),
        Command::Events(args) => events::run(&args, &client()?, json),
        Command::Tail(args) => tail::run(&args, &client()?, json),
        Command::Forward(args) => forward::run(&args, &client()?, json),
        Command::Deliveries(args) => deliveries::run(&args, &client()?, json),
        Command::Replay(args) => replay::run(&args, &client()?, json),
        Command::Replays(args) => replays::run(&args, &client()?, json),
        Command::Retry(args) => replay::retry(&args, &client()?, json),
        Command::Destinations(args) => destinations::run(&args, &client()?, json),
        Command::Sources(args) => sources::run(&args, &client()?, json),
        Command::Park(args) => park::run(&args, &client()?, json),
        Command::Cancel(args) => cancel::run(&args, &client()?, json),
        Command::Arm(args) => arm::run(&args, &client()?, json),
        Command::Quarantine(args) => quarantine::run(&args, &client()?, json),
        Command::Alerts(args) => alerts::run(&args, &client()?, json),
        Command::Reload => reload::run(&client()?, json),
        Command::Disarm(args) => arm::disarm(&args, &client()?, json),
        Command::Config => config::run(&client()?, json),
        Command::Status(args) => status::run(&args, &client()?, json),
        Command::Audit(args) => audit::run(&args, &client()?, json),
        Command::Token(args) => token::run(&args, json),
        Command::Backup(args) => backup::run(&args, &config, admin.as_deref(), json),
        Command::Restore(args) => restore::run(&args, &config, json),
        Command::Doctor(args) => doctor::run(&args, &config, json),
        Command::Route(args) => route::run(&args, &config, json),
        Command::Verify(args) => verify::run(&args, json),
        Command::Openapi => {
            table::say(&crate::admin::description());
            Ok(ExitCode::SUCCESS)
        }
        Command::Providers(args) => providers::run(&args, json),
        Command::Reference(args) => documents::reference(&args),
        Command::Schema => documents::schema(),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => documents::man(&args),
    }
}
