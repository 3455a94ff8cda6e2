//! `hookhold serve`: the composition root. Puts the parts together, runs them until a signal, and takes them down in order.

mod log;
mod start;
mod stop;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

pub use start::{Relay, start};

use crate::config::settings::Settings;
use crate::time::Clock;

/// Runs the relay of this configuration until SIGTERM or SIGINT.
pub(super) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let loaded = crate::config::load(config)?;
    for warning in &loaded.warnings {
        eprintln!("{warning}");
    }
    let settings = Arc::new(loaded.settings);
    log::install(&settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let relay = start(settings.clone(), Clock::system()).await?;
        announce(&relay, &settings, config);
        anyhow::Ok(stop::run(relay).await)
    });
    // What still hangs in a blocking call (a name lookup) must not hold the exit back.
    runtime.shutdown_background();
    code
}

/// Says what listens where, and what to try next.
fn announce(relay: &Relay, settings: &Settings, config: &Path) {
    let scheme = if settings.admin.tls { "https" } else { "http" };
    println!("hookhold {} is ready", env!("CARGO_PKG_VERSION"));
    println!("  webhooks  https://{}", relay.https);
    for source in &settings.sources {
        println!("    {} -> {}", source.name, source.destinations.join(", "));
    }
    println!("  admin     {scheme}://{}", relay.admin);
    println!("  store     {}", settings.store.path.display());
    let config = if config == Path::new("relay.toml") { String::new() } else { format!("--config {} ", config.display()) };
    if let Some(source) = settings.sources.first() {
        println!("Try next, in another terminal: hookhold {config}send {}", source.name);
    }
}
