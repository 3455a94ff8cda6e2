//! Which sources and destinations a person has paused, or let go on, kept over restarts: one small file each in the folder `pauses`
//! of the store. Without one, relay.toml says how it starts; what a person said last goes before it.
//!
//! Never here: what a pause means. Lanes and the line of requests ask.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::config::settings::Settings;
use crate::record::Name;

const FOLDER: &str = "pauses";
/// Of a file that is not whole yet. Names begin with what they are of, so no other file has this name.
const UNFINISHED: &str = "part";
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
    valves: BTreeMap<(Pausable, Name), watch::Sender<Valve>>,
    /// One change at a time.
    writing: Mutex<()>,
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
        let sources = settings.sources.iter().map(|s| (Pausable::Source, &s.name, s.paused));
        let destinations = settings.destinations.iter().map(|d| (Pausable::Destination, &d.name, d.paused));
        let mut pauses = Self { folder: store.join(FOLDER), valves: BTreeMap::new(), writing: Mutex::default() };
        for (what, name, from_the_start) in sources.chain(destinations) {
            let is_paused = pauses.read(what, name)?.unwrap_or(from_the_start);
            let valve = watch::Sender::new(Valve { is_paused, resumed: 0 });
            pauses.valves.insert((what, name.clone()), valve);
        }
        Ok(pauses)
    }

    /// The valve of one of them, now and as it changes; one that never changes for a name that is not known.
    pub fn valve(&self, what: Pausable, name: &Name) -> watch::Receiver<Valve> {
        let valve = self.valves.get(&(what, name.clone()));
        valve.map_or_else(|| watch::Sender::default().subscribe(), watch::Sender::subscribe)
    }

    /// Whether one of them is paused.
    pub fn is_paused(&self, what: Pausable, name: &Name) -> bool {
        self.valves.get(&(what, name.clone())).is_some_and(|valve| valve.borrow().is_paused)
    }

    /// Pauses one of them, or lets it go on. Durable when it returns. Blocks.
    pub fn set(&self, what: Pausable, name: &Name, is_paused: bool) -> Result<(), NotChanged> {
        let valve = self.valves.get(&(what, name.clone())).ok_or(NotChanged::Unknown)?;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if valve.borrow().is_paused != is_paused {
            self.keep(what, name, is_paused)?;
        }
        valve.send_modify(|valve| {
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
        if !self.folder.exists() {
            fs::create_dir(&self.folder)?;
            self.folder.parent().map_or(Ok(()), |store| File::open(store)?.sync_all())?;
        }
        let unfinished = self.folder.join(UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(if is_paused { PAUSED } else { GOES_ON }.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, self.file(what, name))?;
        File::open(&self.folder)?.sync_all()
    }

    /// Names have no slashes.
    fn file(&self, what: Pausable, name: &Name) -> PathBuf {
        self.folder.join(format!("{}.{name}", what.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let text = "[listen]\nhttps = '127.0.0.1:0'\n[tls]\nself_signed = true\n[sources.a]\npath = '/a'\nprovider = 'none'\n\
                    [destinations.a]\nurl = 'http://127.0.0.1:1/'\npaused = true\n[[routes]]\nfrom = 'a'\nto = 'a'\n";
        crate::config::parse(text, Path::new("."), "f", &|_| None).unwrap().settings
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
    fn what_could_not_be_kept_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FOLDER), "in the way").unwrap();
        let pauses = Pauses { folder: folder.path().join(FOLDER), ..Pauses::open(Path::new("nowhere"), &settings()).unwrap() };
        let name = Name::try_new("a").unwrap();
        assert!(matches!(pauses.set(Pausable::Source, &name, true), Err(NotChanged::Io(_))));
        assert!(!pauses.is_paused(Pausable::Source, &name));
    }
}
