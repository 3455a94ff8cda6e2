//! Where log lines go, and the hook that makes a panic one of them.

use std::panic::PanicHookInfo;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use crate::config::settings::{Log, LogFormat};

/// Our own lines from the configured level on; of everybody else errors only, since h2 and hyper log header values.
pub(in crate::cli) fn install(log: &Log) -> Level {
    let (filter, level) = reload::Layer::new(filter(log));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
        LogFormat::Text => {
            let colours = std::env::var_os("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_ansi(colours)).init();
        }
    }
    std::panic::set_hook(Box::new(panic_line));
    Level(level)
}

/// The level, which can be changed.
pub(in crate::cli) struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Lines are written from this level on.
    pub(super) fn set(&self, log: &Log) {
        // It fails only where nothing is logged any more.
        let _ = self.0.reload(filter(log));
    }
}

fn filter(log: &Log) -> Targets {
    Targets::new().with_default(LevelFilter::ERROR).with_target("hookhold", LevelFilter::from_level(log.level))
}

/// For a command that opens a store: what a person must know of it.
pub(in crate::cli) fn install_for_command() {
    let _ = install(&Log { level: tracing::Level::WARN, format: LogFormat::Text });
}

fn panic_line(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(
        place,
        thread,
        reason = text.unwrap_or("unknown"),
        "a part of the relay failed unexpectedly; please report it"
    );
}
