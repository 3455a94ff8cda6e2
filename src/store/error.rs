//! What can go wrong in a store, and whose fault it is.

/// Why a store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The caller named something that is not there.
    #[error("{0} is not in the store")]
    NotFound(String),
    /// The caller asked for what the present state forbids.
    #[error("{0}")]
    Conflict(String),
    /// More waits than the store is willing to hold; trying again later helps.
    #[error("the store has more to do than it can take")]
    Overloaded,
    /// The store could not make something durable, and takes nothing more until it is opened again.
    #[error("the store has failed: {0}")]
    Failed(String),
    /// A record cannot be read; others can.
    #[error("a stored record is damaged: {0}")]
    Damaged(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// What the drive could not do is the end of the store.
    pub(super) fn from_io(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
