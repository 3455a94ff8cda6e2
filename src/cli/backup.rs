//! `hookhold backup`: writes all that is stored into a folder. A running relay is asked for it; where none runs, its store is opened.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::private::Borrowed;
use super::table::say;
use super::{Failure, admin, serve};
use crate::config;
use crate::store::archive::{Contents, Target};
use crate::store::{Sled, Store, is_free};

/// Where the backup goes.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// A new or an empty folder.
    folder: PathBuf,
}

pub(super) fn run(args: &Args, config: &Path, address: Option<&str>, as_json: bool) -> anyhow::Result<ExitCode> {
    Target::check(&args.folder)?;
    // Begun with the first piece, so that no folder is left where there is nothing to back up.
    let mut target = None;
    let take = |piece: &[u8]| -> anyhow::Result<()> {
        let target = match &mut target {
            Some(target) => target,
            begun => begun.insert(Target::begin(&args.folder)?),
        };
        Ok(target.write(piece)?)
    };
    let written = write(config, address, take);
    let Some(target) = target else {
        written?;
        bail!("the store sent nothing");
    };
    let unfinished = || format!("the backup in {} is not complete; remove it", args.folder.display());
    written.with_context(unfinished)?;
    let (contents, bytes) = target.finish().with_context(unfinished)?;
    report(&args.folder, &contents, bytes, as_json);
    if contents.unreadable == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "error: {} records of the store cannot be read and are not in the backup; all others are. The log names them, and so does `hookhold doctor`.",
        contents.unreadable
    );
    Ok(ExitCode::FAILURE)
}

/// Gives a backup to `take`, piece by piece.
fn write(config: &Path, address: Option<&str>, mut take: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let asked = admin::Client::new(config, address)?.stream("/backup", &mut take);
    let unreachable = match asked {
        Err(error) if address.is_none() && error.is::<Failure>() => error,
        asked => return asked,
    };
    if !matches!(unreachable.downcast_ref(), Some(Failure::Unreachable { .. })) {
        return Err(unreachable);
    }
    let path = config::entrance(config)?.store;
    if is_free(&path).is_ok() {
        return Err(unreachable.context(format!("there is no store in {}", path.display())));
    }
    let _borrowed = Borrowed::new(&path)?;
    serve::log::install_for_command();
    let store =
        Sled::open(&path, Arc::new(|_| {})).with_context(|| format!("{unreachable}\nIts store cannot be opened, either"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let mut backup = store.backup()?;
        while let Some(piece) = backup.next().await {
            take(&piece?)?;
        }
        Ok(store.close().await?)
    })
}

fn report(folder: &Path, contents: &Contents, bytes: u64, as_json: bool) {
    if as_json {
        let mut all = as_value(contents);
        all["folder"] = json!(folder);
        all["bytes"] = json!(bytes);
        say(&all);
    } else {
        say(&format!("{}: {bytes} bytes, written, synced and read back", folder.display()));
        say(&in_words(contents));
    }
}

/// What a backup holds, for programs.
pub(super) fn as_value(contents: &Contents) -> Value {
    let Contents { events, pending, delivered, parked, cancelled, attempts, body_bytes, event_ids, unreadable } = contents;
    json!({
        "events": events,
        "deliveries": { "pending": pending, "delivered": delivered, "parked": parked, "cancelled": cancelled },
        "attempts": attempts,
        "body_bytes": body_bytes,
        "event_ids": event_ids,
        "unreadable": unreadable,
    })
}

/// What a backup holds, for people.
pub(super) fn in_words(contents: &Contents) -> String {
    let Contents { events, pending, delivered, parked, cancelled, attempts, body_bytes, event_ids, .. } = contents;
    format!(
        "{events} events with {body_bytes} bytes of bodies; deliveries: {pending} pending, {delivered} delivered, {parked} parked, \
         {cancelled} cancelled; {attempts} attempts; {event_ids} event ids of providers"
    )
}
