//! A relay's life between start and stop: it waits for signals and for wishes, and serves one at a time.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::handed::Kind;
use super::log::Level;
use super::start::Relay;
use super::successor::Successor;
use super::{audit_log, notify};
use crate::admin::Reload;
use crate::config;
use crate::time::Clock;

/// Signals that the relay listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    restart: Signal,
}

impl Signals {
    /// From now on none of them ends the process by itself.
    pub(super) fn new() -> anyhow::Result<Self> {
        let wait = |kind| signal(kind).context("signals cannot be waited for");
        Ok(Self {
            terminate: wait(SignalKind::terminate())?,
            interrupt: wait(SignalKind::interrupt())?,
            hangup: wait(SignalKind::hangup())?,
            restart: wait(SignalKind::user_defined2())?,
        })
    }

    /// Waits for one that ends the relay.
    pub(super) async fn end(&mut self) {
        any(&mut self.terminate, &mut self.interrupt).await;
    }
}

/// How a relay ended.
pub(super) enum Ended {
    /// For good.
    Done(ExitCode),
    /// Another follows on its sockets.
    Followed(Vec<(Kind, OwnedFd)>),
}

/// Runs until SIGTERM or SIGINT, then stops the relay; a second signal exits at once. SIGHUP reads the configuration again. SIGUSR2 makes
/// way for a successor, if there is one that takes the configuration.
pub(super) async fn run(
    mut relay: Relay,
    (config, successor): (&Path, &Successor),
    Signals { mut terminate, mut interrupt, mut hangup, mut restart }: Signals,
    level: &Level,
) -> Ended {
    let mut heirs = loop {
        tokio::select! {
            () = any(&mut terminate, &mut interrupt) => break None,
            _ = hangup.recv() => {
                let done = reload(&mut relay, config, level).await;
                audit_log::note_signal(&relay.changing.audit, "reload", done).await;
            }
            Some(Reload(answer)) = relay.reloads.recv() => {
                let done = reload(&mut relay, config, level).await;
                // Who asked may have gone away.
                let _ = answer.send(done);
            }
            _ = restart.recv() => {
                let found = tokio::select! {
                    found = heirs(&relay, config, successor) => found,
                    () = any(&mut terminate, &mut interrupt) => break None,
                };
                let came = found.as_ref().map(|_| Vec::new()).map_err(Clone::clone);
                audit_log::note_signal(&relay.changing.audit, "restart", came).await;
                if let Ok(sockets) = found {
                    break Some(sockets);
                }
            }
        }
    };
    let mut stopping: Pin<Box<dyn Future<Output = Result<(), String>>>> = if heirs.is_some() {
        tracing::info!("restarting: callers wait until the relay accepts again");
        notify::reloading("restarts");
        Box::pin(relay.make_way())
    } else {
        tracing::info!("stopping; a second signal exits at once");
        notify::stopping();
        Box::pin(relay.stop())
    };
    let stopped = loop {
        tokio::select! {
            stopped = &mut stopping => break stopped,
            () = any(&mut terminate, &mut interrupt) => {
                if heirs.take().is_none() {
                    tracing::warn!("exiting at once");
                    std::process::exit(1);
                }
                tracing::info!("stopping instead of restarting; another signal exits at once");
                notify::stopping();
            }
        }
    };
    if let Err(error) = &stopped {
        tracing::error!(error, "the store did not end well");
    }
    match heirs {
        Some(sockets) => Ended::Followed(sockets),
        None => Ended::Done(if stopped.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

/// What a successor gets, if there is one that can follow. Otherwise the problems, and the relay goes on.
async fn heirs(relay: &Relay, config: &Path, successor: &Successor) -> Result<Vec<(Kind, OwnedFd)>, Vec<String>> {
    let found = async {
        successor.prove().await?;
        // It may say what only the successor understands.
        let loaded = read(config.to_path_buf()).await.ok();
        let settings = loaded.as_ref().map(|loaded| &loaded.settings);
        relay.listeners.heirs(settings).map_err(|error| vec![format!("error: {error:#}")])
    };
    let found = found.await;
    if let Err(problems) = &found {
        problems.iter().for_each(|problem| tracing::error!(problem, "the relay cannot restart"));
        tracing::error!("the relay goes on as it is");
    }
    found
}

/// Reads the configuration again and applies it; the changes, or the problems, one a line.
async fn reload(relay: &mut Relay, config: &Path, level: &Level) -> Result<Vec<String>, Vec<String>> {
    notify::reloading("reads its configuration");
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
    notify::ready(if done.is_ok() { notify::SERVES } else { "goes on with its old configuration: the new one cannot be used" });
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
