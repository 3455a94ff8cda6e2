//! `hookhold reference`, `schema` and `man`: what can be written and typed, told by the program itself.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap_mangen::Man;

use super::table::say;
use super::{Failure, words};
use crate::config::{self, reference};

/// Which part of the reference.
#[derive(clap::Args)]
pub(super) struct ReferenceArgs {
    /// A section or table, such as listen, destinations or retry; all of them without it.
    section: Option<String>,
}

/// Where manual pages go.
#[derive(clap::Args)]
pub(super) struct ManArgs {
    /// A folder, which is made where it is missing: one page a command is written there.
    dir: Option<PathBuf>,
}

pub(super) fn reference(args: &ReferenceArgs) -> anyhow::Result<ExitCode> {
    let Some(section) = &args.section else {
        say(&reference::markdown().trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    let found = reference::markdown_of(section).ok_or_else(|| {
        let names: Vec<_> = reference::tables().iter().map(|table| table.anchor()).collect();
        Failure::NotFound(format!("relay.toml has no section {section:?}; there are: {}", names.join(", ")))
    })?;
    say(&found.trim());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn schema() -> anyhow::Result<ExitCode> {
    say(&format!("{:#}", config::schema()));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let mut command = words();
    command.build();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        io::stdout().write_all(&page)?;
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let written = write_pages(command, dir)?;
    say(&format!("{written} pages are in {}", dir.display()));
    Ok(ExitCode::SUCCESS)
}

/// `hookhold.1`, `hookhold-events.1`, `hookhold-events-list.1` and so on; how many.
fn write_pages(command: clap::Command, dir: &Path) -> anyhow::Result<usize> {
    let inner: Vec<_> =
        command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help").cloned().collect();
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = dir.join(format!("{name}.1"));
    let mut page = Vec::new();
    Man::new(command.name(leaked(&name))).render(&mut page)?;
    std::fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    inner.into_iter().try_fold(1, |written, inner| Ok(written + write_pages(inner, dir)?))
}

/// clap keeps names as long as the program runs.
fn leaked(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}
