//! Random numbers for decisions.
//!
//! Rules take a number as an argument; the asynchronous shell asks a [`Chance`] for one. A seed makes it repeatable, so that a
//! simulation can be run again. Never here: numbers that somebody must not guess.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Where random numbers come from: the system, or a seed.
#[derive(Clone)]
pub struct Chance(Option<Arc<Mutex<StdRng>>>);

impl Chance {
    /// The system's.
    pub const fn system() -> Self {
        Self(None)
    }

    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// A number, uniform over all of `u64`.
    pub fn draw(&self) -> u64 {
        match &self.0 {
            None => rand::random(),
            Some(numbers) => numbers.lock().unwrap_or_else(PoisonError::into_inner).next_u64(),
        }
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_none() { "Chance(system)" } else { "Chance(seeded)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_can_be_repeated() {
        let drawn = |chance: &Chance| [(); 4].map(|()| chance.draw());
        assert_eq!(drawn(&Chance::seeded(7)), drawn(&Chance::seeded(7)));
        assert_ne!(drawn(&Chance::seeded(7)), drawn(&Chance::seeded(8)));
        assert_ne!(drawn(&Chance::system()), drawn(&Chance::system()));
    }
}
