//! A backup on its way out of a store: bytes, a piece at a time, from a thread that reads the store to whoever wants them.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::store::Error;

/// Pieces that wait for the one who takes them.
const PIECES: usize = 2;
/// Who takes nothing for so long has gone away.
const PATIENCE: Duration = Duration::from_secs(60);

/// A backup as it is made. It is whole when it ends without an error, which its closing record proves.
#[derive(Debug)]
pub struct Backup(mpsc::Receiver<Result<Bytes, Error>>);

impl Backup {
    /// The next piece.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.0.poll_recv(context)
    }

    /// The next piece.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        self.0.recv().await
    }
}

/// The store's end of a [`Backup`].
pub(in crate::store) struct Sender {
    pieces: mpsc::Sender<Result<Bytes, Error>>,
    runtime: Handle,
    closing: CancellationToken,
}

/// Both ends. The backup is given up when `closing` says so. Call it within a runtime.
pub(in crate::store) fn pair(closing: CancellationToken) -> (Sender, Backup) {
    let (pieces, receiver) = mpsc::channel(PIECES);
    (Sender { pieces, runtime: Handle::current(), closing }, Backup(receiver))
}

impl Sender {
    /// Sends a piece; waits while too much is on its way. Blocks.
    pub(in crate::store) fn send(&self, piece: Vec<u8>) -> Result<(), Error> {
        let gone = |why: &str| Err(Error::Conflict(format!("the backup was given up: {why}")));
        let sent = async {
            tokio::select! {
                sent = tokio::time::timeout(PATIENCE, self.pieces.send(Ok(piece.into()))) => Some(sent),
                () = self.closing.cancelled() => None,
            }
        };
        match self.runtime.block_on(sent) {
            None => Err(Error::Closed),
            Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(_))) => gone("nobody wants it any more"),
            Some(Err(_)) => gone("nobody takes it"),
        }
    }

    /// Ends the backup with an error, for whoever still listens.
    pub(in crate::store) fn fail(self, error: Error) {
        // A full channel's reader gets an end without a closing record, which says the same.
        let _ = self.pieces.try_send(Err(error));
    }
}
