//! `hookhold serve`: the composition root. Puts the parts together, runs them until a signal, and takes them down in order.

mod audit_log;
pub(super) mod descriptors;
mod handed;
mod listeners;
pub(super) mod log;
mod notify;
mod reload;
mod run;
mod serving;
mod start;
mod stop;
mod successor;
mod traces;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
pub use start::{Relay, start};

use handed::Handed;
use run::{Ended, Signals};
use successor::Successor;

use crate::config::settings::Serve;
use crate::time::Clock;

/// Runs the relay of this configuration until SIGTERM or SIGINT. After SIGUSR2 the process goes on as the program that its file holds
/// then.
pub(super) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let loaded = crate::config::load(config)?;
    for warning in loaded.warnings.at(Clock::system().now()) {
        let _ = writeln!(std::io::stderr(), "{warning}");
    }
    let level = log::install(&loaded.settings.log);
    descriptors::raise();
    let (handed, successor) = (Handed::receive()?, Successor::new(config));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        // Before the store is opened, which may take a while: one that is meant for a relay that runs must not end it.
        let mut signals = Signals::new()?;
        notify::live();
        let relay = tokio::select! {
            relay = start::start_on(loaded, Clock::system(), handed) => relay?,
            () = signals.end() => return Ok(Ended::Done(ExitCode::SUCCESS)),
        };
        announce(&relay, config);
        notify::ready(notify::SERVES);
        anyhow::Ok(run::run(relay, (config, &successor), signals, &level).await)
    });
    // What still hangs in a blocking call (a name lookup) must not hold the exit back.
    runtime.shutdown_background();
    match ended? {
        Ended::Done(code) => Ok(code),
        Ended::Followed(sockets) => Err(successor.become_it(sockets)).context("the relay cannot start again"),
    }
}

/// Says what listens where, and what to try next. Whether somebody reads it must not matter.
fn announce(relay: &Relay, config: &Path) {
    let settings = relay.changing.told.settings();
    let scheme = if settings.admin.tls { "https" } else { "http" };
    let mut text = format!("hookhold {} is ready\n", env!("CARGO_PKG_VERSION"));
    for listener in &relay.bound() {
        let (what, address) = (if listener.serve == Serve::Webhooks { "webhooks" } else { "redirects" }, listener.address);
        text.push_str(&format!("  {what:9} {}://{address}\n", if listener.is_https { "https" } else { "http" }));
    }
    for source in &settings.sources {
        let by = if source.routes.is_conditional() { " (as its routes say)" } else { "" };
        text.push_str(&format!("    {} -> {}{by}\n", source.name, source.destinations.join(", ")));
    }
    text.push_str(&format!("  admin     {scheme}://{}\n  store     {}\n", relay.admin(), settings.store.path.display()));
    let config = if config == Path::new("relay.toml") { String::new() } else { format!("--config {} ", config.display()) };
    if let Some(source) = settings.sources.first() {
        text.push_str(&format!("Try next, in another terminal: hookhold {config}send {}\n", source.name));
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
}
