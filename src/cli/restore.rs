//! `hookhold restore`: builds a store from a backup, where none is yet.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args as ClapArgs;
use serde_json::json;

use super::backup::{as_value, in_words};
use super::private::Borrowed;
use super::table::say;
use super::{audit, serve};
use crate::config;
use crate::store::archive::Archive;
use crate::store::{Proof, is_free, restore};

/// Which backup, and how strict.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The folder with the backup.
    folder: PathBuf,
    /// Restore what can be read of a damaged or an interrupted backup.
    #[arg(long)]
    skip_damaged: bool,
}

pub(super) fn run(args: &Args, config: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let at = config::entrance(config)?;
    let path = at.store.clone();
    let _borrowed = Borrowed::new(&path)?;
    is_free(&path)?;
    serve::log::install_for_command();
    let archive = Archive::find(&args.folder, args.skip_damaged)?;
    let proof = Proof::of(&archive)?;
    let faults = proof.faults();
    for fault in &faults {
        eprintln!("{}: {}: {fault}", if args.skip_damaged { "warning" } else { "error" }, args.folder.display());
    }
    if !faults.is_empty() && !args.skip_damaged {
        bail!("the backup is damaged and nothing was restored; --skip-damaged restores what can be read of it");
    }
    let contents = restore(&archive, &proof, &path)?;
    let parameters = json!({ "from": args.folder, "skip_damaged": args.skip_damaged });
    audit::note_at_rest(&at, "restore", parameters, in_words(&contents));
    if as_json {
        let mut all = as_value(&contents);
        all["store"] = json!(path);
        all["faults"] = json!(faults);
        say(&all);
    } else {
        say(&format!("{}: restored", path.display()));
        say(&in_words(&contents));
    }
    Ok(ExitCode::SUCCESS)
}
