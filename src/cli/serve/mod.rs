//! `hookhold serve`: the composition root. Puts the parts together, runs them until a signal, and takes them down in order.

mod audit_log;
mod listeners;
pub(super) mod log;
mod reload;
mod run;
mod start;
mod stop;
mod traces;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub use start::{Relay, start};

use crate::config::settings::Serve;
use crate::time::Clock;

/// Runs the relay of this configuration until SIGTERM or SIGINT.
pub(super) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let loaded = crate::config::load(config)?;
    for warning in loaded.warnings.at(Clock::system().now()) {
        let _ = writeln!(std::io::stderr(), "{warning}");
    }
    let level = log::install(&loaded.settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let relay = start(loaded, Clock::system()).await?;
        announce(&relay, config);
        anyhow::Ok(run::run(relay, config, &level).await)
    });
    // What still hangs in a blocking call (a name lookup) must not hold the exit back.
    runtime.shutdown_background();
    code
}

/// Says what listens where, and what to try next. Whether somebody reads it must not matter.
fn announce(relay: &Relay, config: &Path) {
    let settings = relay.changing.told.settings();
    let scheme = if settings.admin.tls { "https" } else { "http" };
    let mut text = format!("hookhold {} is ready\n", env!("CARGO_PKG_VERSION"));
    for listener in &relay.bound {
        let (what, address) = (if listener.serve == Serve::Webhooks { "webhooks" } else { "redirects" }, listener.address);
        text.push_str(&format!("  {what:9} {}://{address}\n", if listener.is_https { "https" } else { "http" }));
    }
    for source in &settings.sources {
        let by = if source.routes.is_conditional() { " (as its routes say)" } else { "" };
        text.push_str(&format!("    {} -> {}{by}\n", source.name, source.destinations.join(", ")));
    }
    text.push_str(&format!("  admin     {scheme}://{}\n  store     {}\n", relay.admin, settings.store.path.display()));
    let config = if config == Path::new("relay.toml") { String::new() } else { format!("--config {} ", config.display()) };
    if let Some(source) = settings.sources.first() {
        text.push_str(&format!("Try next, in another terminal: hookhold {config}send {}\n", source.name));
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
}
