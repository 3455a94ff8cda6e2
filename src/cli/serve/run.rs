//! A relay's life between start and stop: it waits for signals and for wishes, and serves one at a time.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::audit_log;
use super::log::Level;
use super::start::Relay;
use crate::admin::Reload;
use crate::config;
use crate::time::Clock;

/// Runs until SIGTERM or SIGINT, then stops the relay; a second signal exits at once. SIGHUP reads the configuration again.
pub(super) async fn run(mut relay: Relay, config: &Path, level: &Level) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut term), Ok(mut int), Ok(mut hangup)) = signals else {
        tracing::error!("signals cannot be waited for");
        return ExitCode::FAILURE;
    };
    loop {
        tokio::select! {
            () = any(&mut term, &mut int) => break,
            Some(()) = hangup.recv() => {
                let done = reload(&mut relay, config, level).await;
                audit_log::note_reload(&relay.changing.audit, done).await;
            }
            Some(Reload(answer)) = relay.reloads.recv() => {
                let done = reload(&mut relay, config, level).await;
                // Who asked may have gone away.
                let _ = answer.send(done);
            }
        }
    }
    tracing::info!("stopping; a second signal exits at once");
    tokio::select! {
        stopped = relay.stop() => match stopped {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error, "the store did not end well");
                ExitCode::FAILURE
            }
        },
        () = any(&mut term, &mut int) => {
            tracing::warn!("exiting at once");
            std::process::exit(1);
        }
    }
}

/// Reads the configuration again and applies it; the changes, or the problems, one a line.
async fn reload(relay: &mut Relay, config: &Path, level: &Level) -> Result<Vec<String>, Vec<String>> {
    let done = match read(config.to_path_buf()).await {
        Ok(loaded) => {
            let log = (loaded.settings.log.level, loaded.settings.log.format);
            let applied = relay.reload(loaded).await.map_err(|error| vec![format!("error: {error:#}")]);
            if applied.is_ok() {
                level.set(&config::settings::Log { level: log.0, format: log.1 });
            }
            applied
        }
        Err(problems) => Err(problems),
    };
    relay.changing.configuration.reloaded(&done);
    match &done {
        Ok(changes) if changes.is_empty() => tracing::info!("the configuration was read again; nothing is different"),
        Ok(changes) => changes.iter().for_each(|change| tracing::info!(change, "the configuration is in force")),
        Err(problems) => {
            problems.iter().for_each(|problem| tracing::error!(problem, "the new configuration cannot be used"));
            tracing::error!("the relay goes on with its old configuration");
        }
    }
    done
}

async fn read(config: PathBuf) -> Result<config::Loaded, Vec<String>> {
    let read = tokio::task::spawn_blocking(move || config::load(&config)).await;
    let loaded = read.map_err(|error| vec![format!("error: the configuration could not be read: {error}")])?;
    let loaded = loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    for warning in loaded.warnings.at(Clock::system().now()) {
        tracing::warn!(%warning, "the configuration");
    }
    Ok(loaded)
}

async fn any(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
