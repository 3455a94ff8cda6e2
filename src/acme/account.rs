//! As whom a CA knows the relay: registered once, kept, and never again asked for while the CA knows it.

use std::io;

use instant_acme::{Account, ExternalAccountKey, NewAccount};

use super::call::Caller;
use super::folder::{Folder, Kept};
use super::order::Trouble;
use crate::config::settings::Acme;

/// The account, and whether it was there before.
pub(super) async fn open(folder: &Folder, settings: &Acme, caller: &Caller) -> Result<(Account, bool), Trouble> {
    match read(folder, settings).await {
        Ok(Some(kept)) => Ok((known(folder, settings, caller, kept).await?, true)),
        Ok(None) => Ok((register(folder, settings, caller).await?, false)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(directory = %settings.directory, %error, "the account at the CA cannot be used; the relay makes a new one");
            set_aside(folder).await?;
            Ok((register(folder, settings, caller).await?, false))
        }
        Err(error) => Err(Trouble::Account(error)),
    }
}

/// Puts the account out of the way: the CA does not know it.
pub(super) async fn set_aside(folder: &Folder) -> Result<(), Trouble> {
    let folder = folder.clone();
    blocking(move || folder.set_account_aside()).await
}

async fn read(folder: &Folder, settings: &Acme) -> io::Result<Option<Kept>> {
    let (folder, directory) = (folder.clone(), settings.directory.to_string());
    tokio::task::spawn_blocking(move || folder.account(&directory)).await?
}

/// The account that is kept; the CA is told where it writes to, where that is different.
async fn known(folder: &Folder, settings: &Acme, caller: &Caller, kept: Kept) -> Result<Account, Trouble> {
    let is_same = kept.contact == settings.contact;
    let builder = Account::builder_with_http(Box::new(caller.clone()));
    let account = builder.from_credentials(kept.credentials).await.map_err(Trouble::Ca)?;
    if !is_same {
        account.update_contacts(&contacts(settings)).await.map_err(Trouble::Ca)?;
        if let Some(mut kept) = read(folder, settings).await.map_err(Trouble::Account)? {
            kept.contact = settings.contact.clone();
            keep(folder, kept).await?;
        }
    }
    Ok(account)
}

async fn register(folder: &Folder, settings: &Acme, caller: &Caller) -> Result<Account, Trouble> {
    // What proves that somebody agreed to the terms is `terms_agreed`: there are no settings without it.
    let new = NewAccount { contact: &contacts(settings), terms_of_service_agreed: true, only_return_existing: false };
    let external = settings.external_account.as_ref();
    let external = external.map(|external| ExternalAccountKey::new(external.key_id.clone(), external.key.expose()));
    let builder = Account::builder_with_http(Box::new(caller.clone()));
    let created = builder.create(&new, settings.directory.to_string(), external.as_ref());
    let (account, credentials) = created.await.map_err(Trouble::Ca)?;
    let (directory, contact) = (settings.directory.to_string(), settings.contact.clone());
    keep(folder, Kept { directory, contact, credentials }).await?;
    tracing::info!(directory = %settings.directory, account = account.id(), "the relay has an account at the CA");
    Ok(account)
}

fn contacts(settings: &Acme) -> Vec<&str> {
    settings.contact.as_deref().into_iter().collect()
}

async fn keep(folder: &Folder, kept: Kept) -> Result<(), Trouble> {
    let folder = folder.clone();
    blocking(move || folder.keep_account(&kept)).await
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|stopped| Err(stopped.into())).map_err(Trouble::Account)
}
