//! Which sources and destinations a person has paused, or let go on, kept over restarts: one small file each in the folder `pauses`
//! of the store. Without one, relay.toml says how it starts; what a person said last goes before it.
//!
//! Never here: what a pause means. Lanes and the line of requests ask.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::config::settings::Settings;
use crate::disk;
use crate::record::Name;

const FOLDER: &str = "pauses";
const PAUSED: &str = "paused\n";
const GOES_ON: &str = "goes on\n";

/// What can be paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pausable {
    /// It takes nothing in.
    Source,
    /// Nothing is sent to it; what is for it waits.
    Destination,
}

/// Whether it is paused, and how often a person has let it go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Valve {
    /// Whether it is paused.
    pub is_paused: bool,
    /// Rises with every resume, also of what was not paused: try again now.
    pub resumed: u64,
}

/// The valves of all sources and destinations.
#[derive(Debug)]
pub struct Pauses {
    folder: PathBuf,
    valves: Mutex<Valves>,
    /// One person at a time.
    writing: Mutex<()>,
}

type Valves = BTreeMap<(Pausable, Name), Told>;

/// A valve, and what a person said last of it.
#[derive(Debug)]
struct Told {
    valve: watch::Sender<Valve>,
    by_person: Option<bool>,
}

/// What can be paused under another configuration, ready to be followed.
#[derive(Debug)]
pub struct Prepared(BTreeMap<(Pausable, Name), New>);

#[derive(Debug)]
struct New {
    in_file: bool,
    by_person: Option<bool>,
}

/// Why something was not paused or resumed.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// Nothing has this name.
    #[error("nothing has this name")]
    Unknown,
    /// It could not be made durable.
    #[error("it could not be kept: {0}")]
    Io(#[from] io::Error),
}

impl Pausable {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }
}

impl Pauses {
    /// For everything in `settings`, with what was kept in the store's folder.
    pub fn open(store: &Path, settings: &Settings) -> io::Result<Self> {
        let pauses = Self { folder: store.join(FOLDER), valves: Mutex::default(), writing: Mutex::default() };
        pauses.replace(pauses.prepare(settings)?);
        Ok(pauses)
    }

    /// Reads what was kept of what is new in `settings`. Nothing changes yet.
    pub fn prepare(&self, settings: &Settings) -> io::Result<Prepared> {
        let sources = settings.sources.iter().map(|s| (Pausable::Source, &s.name, s.paused));
        let destinations = settings.destinations.iter().map(|d| (Pausable::Destination, &d.name, d.paused));
        let prepared = sources.chain(destinations).map(|(what, name, in_file)| {
            let of = (what, name.clone());
            // Of what is known, the last word is in memory; nobody can say one of what is not.
            let is_known = lock(&self.valves).contains_key(&of);
            let by_person = if is_known { None } else { self.read(what, name)? };
            Ok((of, New { in_file, by_person }))
        });
        prepared.collect::<io::Result<_>>().map(Prepared)
    }

    /// From now on these can be paused, and no others. Where no person said otherwise, each is as its configuration says.
    pub fn replace(&self, Prepared(prepared): Prepared) {
        let mut valves = lock(&self.valves);
        let mut before = std::mem::take(&mut *valves);
        for (of, New { in_file, by_person }) in prepared {
            let new = || Told { valve: watch::Sender::default(), by_person };
            let told = before.remove(&of).unwrap_or_else(new);
            let is_paused = told.by_person.unwrap_or(in_file);
            told.valve.send_if_modified(|valve| std::mem::replace(&mut valve.is_paused, is_paused) != is_paused);
            valves.insert(of, told);
        }
    }

    /// The valve of one of them, now and as it changes; one that never changes for a name that is not known.
    pub fn valve(&self, what: Pausable, name: &Name) -> watch::Receiver<Valve> {
        let valves = lock(&self.valves);
        let told = valves.get(&(what, name.clone()));
        told.map_or_else(|| watch::Sender::default().subscribe(), |told| told.valve.subscribe())
    }

    /// Whether one of them is paused.
    pub fn is_paused(&self, what: Pausable, name: &Name) -> bool {
        lock(&self.valves).get(&(what, name.clone())).is_some_and(|told| told.valve.borrow().is_paused)
    }

    /// Pauses one of them, or lets it go on. Durable when it returns. Blocks.
    pub fn set(&self, what: Pausable, name: &Name, is_paused: bool) -> Result<(), NotChanged> {
        let _one = lock(&self.writing);
        let of = (what, name.clone());
        let says_more = |told: &Told| told.valve.borrow().is_paused != is_paused || (is_paused && told.by_person.is_none());
        // Resuming what goes on asks for another try only, and says nothing of later.
        let says_more = lock(&self.valves).get(&of).map(says_more).ok_or(NotChanged::Unknown)?;
        if says_more {
            self.keep(what, name, is_paused)?;
        }
        let mut valves = lock(&self.valves);
        // It may have been taken out meanwhile; the word is kept for the day it comes back.
        let told = valves.get_mut(&of).ok_or(NotChanged::Unknown)?;
        if says_more {
            told.by_person = Some(is_paused);
        }
        told.valve.send_modify(|valve| {
            valve.is_paused = is_paused;
            valve.resumed += u64::from(!is_paused);
        });
        Ok(())
    }

    fn read(&self, what: Pausable, name: &Name) -> io::Result<Option<bool>> {
        match fs::read(self.file(what, name)) {
            Ok(text) if text == PAUSED.as_bytes() => Ok(Some(true)),
            Ok(text) if text == GOES_ON.as_bytes() => Ok(Some(false)),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{}", self.file(what, name).display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn keep(&self, what: Pausable, name: &Name, is_paused: bool) -> io::Result<()> {
        disk::make_folder(&self.folder)?;
        disk::replace(&self.file(what, name), if is_paused { PAUSED } else { GOES_ON }.as_bytes())
    }

    /// Names have no slashes and no dots.
    fn file(&self, what: Pausable, name: &Name) -> PathBuf {
        self.folder.join(format!("{}.{name}", what.as_str()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        parsed("[destinations.a]\nurl = 'http://127.0.0.1:1/'\npaused = true\n")
    }

    fn parsed(destination: &str) -> Settings {
        let text = "[listen]\nhttps = '127.0.0.1:0'\n[tls]\nself_signed = true\n[sources.a]\npath = '/a'\nprovider = 'none'\n\
                    [[routes]]\nfrom = 'a'\nto = 'NAME'\n";
        let name = destination.split(['.', ']']).nth(1).unwrap();
        let text = text.replace("NAME", name) + destination;
        crate::config::parse(&text, Path::new("."), "f", &|_| None).unwrap().settings
    }

    #[test]
    fn what_a_person_said_last_counts_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Pauses::open(folder.path(), &settings()).unwrap();
        let name = Name::try_new("a").unwrap();
        let paused = |pauses: &Pauses| [Pausable::Source, Pausable::Destination].map(|what| pauses.is_paused(what, &name));
        let pauses = open();
        assert_eq!(paused(&pauses), [false, true], "as relay.toml says");
        let mut valve = pauses.valve(Pausable::Destination, &name);
        pauses.set(Pausable::Source, &name, true).unwrap();
        pauses.set(Pausable::Destination, &name, false).unwrap();
        pauses.set(Pausable::Destination, &name, false).unwrap();
        assert_eq!(*valve.borrow_and_update(), Valve { is_paused: false, resumed: 2 });
        assert_eq!((paused(&pauses), paused(&open())), ([true, false], [true, false]));
        let other = Name::try_new("b").unwrap();
        assert!(matches!(pauses.set(Pausable::Source, &other, true), Err(NotChanged::Unknown)));
        fs::write(folder.path().join("pauses/source.a"), "pau").unwrap();
        assert_eq!(Pauses::open(folder.path(), &settings()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn another_configuration_is_followed_but_for_what_a_person_said() {
        let folder = tempfile::tempdir().unwrap();
        let follow = |pauses: &Pauses, text: &str| pauses.replace(pauses.prepare(&parsed(text)).unwrap());
        let written =
            |name: &str, paused: bool| format!("[destinations.{name}]\nurl = 'http://127.0.0.1:1/'\npaused = {paused}\n");
        let (name, new) = (Name::try_new("a").unwrap(), Name::try_new("new").unwrap());
        let pauses = Pauses::open(folder.path(), &parsed(&written("a", false))).unwrap();
        let is_paused = |name| pauses.is_paused(Pausable::Destination, name);
        let mut valve = pauses.valve(Pausable::Destination, &name);
        valve.mark_unchanged();
        follow(&pauses, &written("a", true));
        assert!(valve.has_changed().unwrap() && valve.borrow_and_update().is_paused, "who listens hears of it");
        follow(&pauses, &written("a", true));
        assert!(!valve.has_changed().unwrap());
        follow(&pauses, &written("a", false));
        assert!(!is_paused(&name));
        // It goes on already, so this is no word about later.
        pauses.set(Pausable::Destination, &name, false).unwrap();
        follow(&pauses, &written("a", true));
        assert!(is_paused(&name));
        pauses.set(Pausable::Destination, &name, true).unwrap();
        follow(&pauses, &written("a", false));
        assert!(is_paused(&name), "a person said so, though it was paused already");
        pauses.set(Pausable::Destination, &name, false).unwrap();
        follow(&pauses, &written("a", true));
        assert!(!is_paused(&name));
        follow(&pauses, &written("new", true));
        assert!(is_paused(&new) && !is_paused(&name) && valve.has_changed().is_err());
        assert!(matches!(pauses.set(Pausable::Destination, &name, true), Err(NotChanged::Unknown)));
        pauses.set(Pausable::Destination, &new, false).unwrap();
        follow(&pauses, &written("a", true));
        assert!(!is_paused(&name), "what a person said of it is kept while it is away");
    }

    #[test]
    fn what_could_not_be_kept_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FOLDER), "in the way").unwrap();
        let pauses = Pauses { folder: folder.path().join(FOLDER), ..Pauses::open(Path::new("nowhere"), &settings()).unwrap() };
        let name = Name::try_new("a").unwrap();
        assert!(matches!(pauses.set(Pausable::Source, &name, true), Err(NotChanged::Io(_))));
        assert!(!pauses.is_paused(Pausable::Source, &name));
    }
}
