//! Secrets that providers bring: taken only while a person has armed the source, once, and never in place of another one.
//!
//! Whoever sends such a request first owns the source, so it is open for minutes and not for ever. The secret is durable before the
//! answer leaves, since the provider does not send it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::config::settings::{Settings, Source};
use crate::record::Name;
use crate::signature::{Secret, Verifier};
use crate::store::Brought;
use crate::time::Timestamp;

/// A person who sets up a webhook needs minutes.
pub const ARMED_TIME_MAX: Duration = Duration::from_secs(3600);

/// The sources whose secret comes in a request.
#[derive(Debug)]
pub struct Arming {
    sources: BTreeMap<Name, Taker>,
    brought: Brought,
}

/// One of them.
#[derive(Debug)]
struct Taker {
    source: Arc<Source>,
    /// With the secret, once there is one.
    verifier: OnceLock<Verifier>,
    open: Mutex<Open>,
}

/// Whether a secret would be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Closed,
    Until(Timestamp),
    /// One is being written.
    Busy,
}

/// Why a source cannot be armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotArmed {
    /// Its secrets stand in relay.toml.
    #[error("its secrets stand in relay.toml, or its provider brings none")]
    Configured,
    /// It has one.
    #[error(
        "it has taken a secret; to take another one, remove the source's file in the store's folder `secrets` and start again"
    )]
    Taken,
    /// One is being written: whether it was taken shows in a moment.
    #[error("it is taking a secret at this moment")]
    Busy,
}

/// Why a secret was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    /// Nobody armed the source, or it was long ago, or it has a secret.
    #[error("the source is not armed")]
    Closed,
    /// It is no secret for this provider.
    #[error("the secret cannot be used")]
    Unusable,
    /// It could not be made durable.
    #[error("the secret could not be kept: {0}")]
    Store(std::io::Error),
}

impl Arming {
    /// For all sources that wait for their secret, with what was taken before. Fails where a kept secret cannot be read: the source
    /// would refuse what its provider signs.
    pub fn new(settings: &Settings, brought: Brought) -> std::io::Result<Self> {
        let mut sources = BTreeMap::new();
        for source in settings.sources.iter().filter(|source| source.takes_secret) {
            let verifier = OnceLock::new();
            if let Some(secret) = brought.read(&source.name)? {
                let ready = source.verifier.with_secret(&secret);
                let ready = ready.map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))?;
                let _ = verifier.set(ready);
            }
            let taker = Taker { source: source.clone(), verifier, open: Mutex::new(Open::Closed) };
            sources.insert(source.name.clone(), taker);
        }
        Ok(Self { sources, brought })
    }

    /// Sources that `before` has open stay open.
    pub fn continuing(self, before: &Self) -> Self {
        for (name, taker) in &self.sources {
            let open = before.sources.get(name).map_or(Open::Closed, |before| *before.open());
            if taker.verifier.get().is_none() && matches!(open, Open::Until(_)) {
                *taker.open() = open;
            }
        }
        self
    }

    /// Opens a source for one secret until then.
    pub fn arm(&self, source: &Name, until: Timestamp) -> Result<(), NotArmed> {
        let taker = self.sources.get(source).ok_or(NotArmed::Configured)?;
        let mut open = taker.open();
        if taker.verifier.get().is_some() || *open == Open::Busy {
            return Err(NotArmed::Taken);
        }
        *open = Open::Until(until);
        Ok(())
    }

    /// Closes a source again, and tells whether it was open at `now`. A secret that was taken stays.
    pub fn disarm(&self, source: &Name, now: Timestamp) -> Result<bool, NotArmed> {
        let taker = self.sources.get(source).ok_or(NotArmed::Configured)?;
        let mut open = taker.open();
        let was_open = match *open {
            Open::Busy => return Err(NotArmed::Busy),
            Open::Until(until) => now < until,
            Open::Closed => false,
        };
        *open = Open::Closed;
        Ok(was_open)
    }

    /// What verifies the requests of a source.
    pub(super) fn verifier<'a>(&'a self, source: &'a Source) -> &'a Verifier {
        self.sources.get(&source.name).and_then(|taker| taker.verifier.get()).unwrap_or(&source.verifier)
    }

    /// Takes a secret that came at `at`. When it returns, the secret is durable and counts.
    pub(super) async fn take(self: &Arc<Self>, source: &Name, secret: Secret, at: Timestamp) -> Result<(), NotTaken> {
        let until = self.sources.get(source).ok_or(NotTaken::Closed)?.begin(at)?;
        // Who sent it may go away; what was begun is ended all the same.
        let (arming, source) = (self.clone(), source.clone());
        let ended = tokio::task::spawn_blocking(move || arming.finish(&source, &secret, until)).await;
        ended.map_err(|error| NotTaken::Store(std::io::Error::other(error)))?
    }

    fn finish(&self, source: &Name, secret: &Secret, until: Timestamp) -> Result<(), NotTaken> {
        let taker = self.sources.get(source).ok_or(NotTaken::Closed)?;
        let done = self.keep(taker, secret);
        *taker.open() = if done.is_ok() { Open::Closed } else { Open::Until(until) };
        done
    }

    fn keep(&self, taker: &Taker, secret: &Secret) -> Result<(), NotTaken> {
        let verifier = taker.source.verifier.with_secret(secret).map_err(|_| NotTaken::Unusable)?;
        self.brought.keep(&taker.source.name, secret).map_err(NotTaken::Store)?;
        taker.verifier.set(verifier).map_err(|_| NotTaken::Closed)
    }
}

impl Taker {
    /// Lets one request in, and tells until when the source is armed.
    fn begin(&self, at: Timestamp) -> Result<Timestamp, NotTaken> {
        let mut open = self.open();
        match *open {
            Open::Until(until) if at < until && self.verifier.get().is_none() => {
                *open = Open::Busy;
                Ok(until)
            }
            _ => Err(NotTaken::Closed),
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        // What it guards is one word, so a panic elsewhere leaves it whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);

    fn settings() -> Settings {
        let source = |name: &str, provider: &str, more: &str| {
            format!(
                "[sources.{name}]\npath = '/in/{name}'\nprovider = '{provider}'\n{more}\n[[routes]]\nfrom = '{name}'\nto = 'app'\n"
            )
        };
        let sources = [
            source("waits", "asana", ""),
            source("also", "notion", ""),
            source("has", "asana", "secrets = [{ env = 'SECRET' }]"),
            source("other", "github", "secrets = [{ env = 'SECRET' }]"),
        ];
        let rest =
            "[listen]\nhttps = '127.0.0.1:0'\n[tls]\nself_signed = true\n[destinations.app]\nurl = 'http://127.0.0.1:1/'\n";
        let text = sources.concat() + rest;
        crate::config::parse(&text, Path::new("."), "f", &|_| Some("configured".into())).unwrap().settings
    }

    fn name(text: &str) -> Name {
        Name::try_new(text).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::try_new(text.into(), None).unwrap()
    }

    fn minutes(n: u64) -> Timestamp {
        NOW.after(Duration::from_secs(n * 60))
    }

    #[tokio::test]
    async fn one_secret_is_taken_while_armed_and_stays() {
        let (folder, waits) = (tempfile::tempdir().unwrap(), name("waits"));
        let arming = Arc::new(Arming::new(&settings(), Brought::below(folder.path())).unwrap());
        assert!(matches!(arming.take(&waits, secret("early"), NOW).await, Err(NotTaken::Closed)));
        arming.arm(&waits, minutes(10)).unwrap();
        assert!(matches!(arming.take(&waits, secret("late"), minutes(10)).await, Err(NotTaken::Closed)));
        assert!(matches!(arming.take(&name("also"), secret("elsewhere"), NOW).await, Err(NotTaken::Closed)));
        let [first, second] = [secret("first"), secret("second")].map(|secret| arming.take(&waits, secret, minutes(9)));
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_ok() && matches!(second, Err(NotTaken::Closed)));
        assert_eq!(arming.arm(&waits, minutes(20)), Err(NotArmed::Taken));
        assert!(matches!(arming.take(&waits, secret("third"), NOW).await, Err(NotTaken::Closed)));
        let again = Arming::new(&settings(), Brought::below(folder.path())).unwrap();
        assert_eq!(again.arm(&waits, minutes(20)), Err(NotArmed::Taken));
        assert!(again.sources[&waits].verifier.get().is_some());
        assert_eq!(again.arm(&name("also"), minutes(20)), Ok(()));
    }

    #[tokio::test]
    async fn a_source_is_closed_again() {
        let (folder, waits) = (tempfile::tempdir().unwrap(), name("waits"));
        let arming = Arc::new(Arming::new(&settings(), Brought::below(folder.path())).unwrap());
        assert_eq!(arming.disarm(&waits, NOW), Ok(false));
        arming.arm(&waits, minutes(10)).unwrap();
        assert_eq!(arming.disarm(&waits, NOW), Ok(true));
        assert!(matches!(arming.take(&waits, secret("late"), NOW).await, Err(NotTaken::Closed)));
        arming.arm(&waits, minutes(10)).unwrap();
        assert_eq!(arming.disarm(&waits, minutes(10)), Ok(false), "it was over");
        arming.arm(&waits, minutes(20)).unwrap();
        *arming.sources[&waits].open() = Open::Busy;
        assert_eq!(arming.disarm(&waits, NOW), Err(NotArmed::Busy));
        *arming.sources[&waits].open() = Open::Until(minutes(20));
        assert!(arming.take(&waits, secret("first"), NOW).await.is_ok());
        assert_eq!(arming.disarm(&waits, NOW), Ok(false));
        assert!(arming.sources[&waits].verifier.get().is_some());
        assert_eq!(arming.disarm(&name("other"), NOW), Err(NotArmed::Configured));
    }

    #[test]
    fn only_sources_without_a_secret_can_be_armed() {
        let arming = Arming::new(&settings(), Brought::below(Path::new("nowhere"))).unwrap();
        for other in ["has", "other", "unknown"] {
            assert_eq!(arming.arm(&name(other), minutes(1)), Err(NotArmed::Configured), "{other}");
        }
    }

    #[tokio::test]
    async fn what_could_not_be_kept_does_not_count() {
        let (folder, waits) = (tempfile::tempdir().unwrap(), name("waits"));
        let store = folder.path().join("store");
        std::fs::create_dir(&store).unwrap();
        std::fs::write(store.join("secrets"), "in the way").unwrap();
        let arming = Arming::new(&settings(), Brought::below(Path::new("nowhere"))).unwrap();
        let arming = Arc::new(Arming { brought: Brought::below(&store), ..arming });
        arming.arm(&waits, minutes(10)).unwrap();
        assert!(matches!(arming.take(&waits, secret("first"), NOW).await, Err(NotTaken::Store(_))));
        assert!(arming.sources[&waits].verifier.get().is_none());
        // The provider may come again.
        std::fs::remove_file(store.join("secrets")).unwrap();
        assert!(arming.take(&waits, secret("first"), NOW).await.is_ok());
    }
}
