//! What a script was told, read line by line: what must be in the store from then on, and what may.
//!
//! ```text
//! sent HASH                     a body that may come to be stored
//! stored EVENT HASH SOURCE KEY STATE DESTINATIONS   an event, and one delivery to each destination in that state; acknowledged
//! will DELIVERY STATE           it may be in that state from now on
//! did DELIVERY STATE            it is in that state, or a later one
//! is DELIVERY STATE             the same, as it was read after a start
//! goes EVENT                    it may be gone from now on
//! replays EVENT                 it may get more deliveries from now on
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What is known so far.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Expected {
    /// Hashes of the bodies that may be there.
    pub(crate) sent: BTreeSet<String>,
    pub(crate) events: BTreeMap<String, Event>,
    pub(crate) deliveries: BTreeMap<String, Delivery>,
    /// Events that may have more deliveries than are known.
    pub(crate) replayed: BTreeSet<String>,
    /// Events that may have been purged.
    pub(crate) gone: BTreeSet<String>,
    /// The part of a line that has come.
    rest: String,
}

/// An event that was acknowledged.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) hash: String,
    pub(crate) source: String,
    pub(crate) key: Option<String>,
}

/// A delivery: the states in which it may be, the acknowledged one first.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) is_acknowledged: bool,
    pub(crate) states: Vec<String>,
}

impl Expected {
    /// Takes in what the script wrote.
    pub(crate) fn hear(&mut self, text: &str) {
        self.rest.push_str(text);
        while let Some((line, rest)) = self.rest.split_once('\n') {
            let (line, rest) = (line.to_owned(), rest.to_owned());
            self.line(&line);
            self.rest = rest;
        }
    }

    /// What must be there, and nothing that may be gone.
    pub(crate) fn certain(mut self) -> Self {
        self.events.retain(|id, _| !self.gone.contains(id));
        self
    }

    fn line(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["sent", hash] => drop(self.sent.insert(hash.to_owned())),
            ["stored", id, hash, source, key, state, destinations] => {
                let key = (key != "-").then(|| key.to_owned());
                self.events.insert(id.to_owned(), Event { hash: hash.to_owned(), source: source.to_owned(), key });
                for ordinal in 1..=destinations.parse::<usize>().unwrap() {
                    let delivery = self.deliveries.entry(format!("{id}.{ordinal}")).or_default();
                    // It may have been settled before the answer was heard.
                    if !delivery.is_acknowledged {
                        delivery.states.insert(0, state.to_owned());
                        delivery.is_acknowledged = true;
                    }
                }
            }
            ["will", id, state] => self.deliveries.entry(id.to_owned()).or_default().states.push(state.to_owned()),
            ["did" | "is", id, state] => {
                let delivery = self.deliveries.entry(id.to_owned()).or_default();
                *delivery = Delivery { is_acknowledged: true, states: vec![state.to_owned()] };
            }
            ["goes", id] => drop(self.gone.insert(id.to_owned())),
            ["replays", id] => drop(self.replayed.insert(id.to_owned())),
            _ => {}
        }
    }
}
