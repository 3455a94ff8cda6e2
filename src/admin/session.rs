//! Sessions of people who logged in to the dashboard: a random id, which a cookie carries, for the token that was given.
//!
//! Never here: an id in the clear (only its hash is kept, so a look-up tells nothing by its time), or a role. What a session may
//! do is looked up at each call, so a token that is taken out of relay.toml, or is another one now, takes its sessions with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::config::settings::{Proof, Token};
use crate::record::Name;
use crate::time::Timestamp;

/// A working day: who comes back the next morning logs in again.
pub(super) const SESSION_TIME: Duration = Duration::from_secs(12 * 3600);
/// Far more people than look after one relay. Beyond it the oldest session ends.
const SESSIONS_MAX: usize = 256;
/// Bytes of an id: as hard to guess as a key.
const ID_BYTES: usize = 32;

/// What a session is known by here.
type Hash = [u8; 32];

/// The sessions that count.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Hash, Session>>);

struct Session {
    token: Name,
    proof: Proof,
    until: Timestamp,
}

impl Sessions {
    /// Begins a session for who has this token, and gives its id in hex. `random` must come from a source that nobody can guess.
    pub(super) fn begin(&self, token: &Token, random: [u8; ID_BYTES], now: Timestamp) -> String {
        let id = hex::encode(random);
        let session = Session { token: token.name.clone(), proof: token.proof.clone(), until: now.after(SESSION_TIME) };
        let mut sessions = self.lock();
        sessions.retain(|_, session| now < session.until);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.until).map(|(hash, _)| *hash);
            oldest.map(|hash| sessions.remove(&hash));
        }
        sessions.insert(hash(id.as_bytes()), session);
        id
    }

    /// The token that the session with this id was begun with, if both still count.
    pub(super) fn token<'a>(&self, id: &[u8], tokens: &'a [Token], now: Timestamp) -> Option<&'a Token> {
        let sessions = self.lock();
        let session = sessions.get(&hash(id)).filter(|session| now < session.until)?;
        let token = tokens.iter().find(|token| token.name == session.token)?;
        (token.proof.is_same(&session.proof) && token.counts_at(now)).then_some(token)
    }

    /// Ends the session with this id.
    pub(super) fn end(&self, id: &[u8]) {
        self.lock().remove(&hash(id));
    }

    /// A panic elsewhere leaves the map as it was: whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(id: &[u8]) -> Hash {
    Sha256::digest(id).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Role;
    use crate::signature::Secret;

    const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);

    fn token(name: &str, secret: &str, until: Option<Timestamp>) -> Token {
        let secret = Secret::try_new(secret.into(), until).unwrap();
        Token { name: Name::try_new(name).unwrap(), role: Role::Viewer, unmasked: false, proof: Proof::of(secret), until: None }
    }

    fn is_known(sessions: &Sessions, id: &str, tokens: &[Token], now: Timestamp) -> bool {
        sessions.token(id.as_bytes(), tokens, now).is_some()
    }

    #[test]
    fn a_session_lasts_until_its_end() {
        let (sessions, tokens) = (Sessions::default(), [token("ops", "secret", None)]);
        let id = sessions.begin(&tokens[0], [7; 32], NOW);
        assert!(is_known(&sessions, &id, &tokens, NOW.after(SESSION_TIME - Duration::from_millis(1))));
        assert!(!is_known(&sessions, &id, &tokens, NOW.after(SESSION_TIME)));
        assert!(!is_known(&sessions, &id[1..], &tokens, NOW) && !is_known(&sessions, "", &tokens, NOW));
        sessions.end(id.as_bytes());
        assert!(!is_known(&sessions, &id, &tokens, NOW));
    }

    #[test]
    fn a_session_ends_with_its_token() {
        let sessions = Sessions::default();
        let id = sessions.begin(&token("ops", "secret", None), [7; 32], NOW);
        for tokens in [[token("ops", "another", None)], [token("other", "secret", None)], [token("ops", "secret", Some(NOW))]] {
            assert!(!is_known(&sessions, &id, &tokens, NOW));
        }
    }

    #[test]
    fn sessions_are_bounded() {
        let (sessions, tokens) = (Sessions::default(), [token("ops", "secret", None)]);
        let begin = |n: u16, now| sessions.begin(&tokens[0], std::array::from_fn(|i| n.to_be_bytes()[i % 2]), now);
        let first = begin(0, NOW);
        let later = NOW.after(Duration::from_secs(1));
        let second = begin(1, later);
        for n in 2..=256 {
            begin(n, later);
        }
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
        assert!(!is_known(&sessions, &first, &tokens, later) && is_known(&sessions, &second, &tokens, later));
        begin(1000, later.after(SESSION_TIME));
        assert_eq!(sessions.lock().len(), 1);
    }
}
