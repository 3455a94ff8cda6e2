//! Moves the bytes of a connection, and ends with it, also where its peer takes nothing more.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A connection that nobody uses any more may say goodbye for so long. What a peer does not read would be held for ever otherwise.
const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// The task behind a connection; it ends soon after this is dropped.
pub(super) struct Driver {
    task: JoinHandle<Result<(), hyper::Error>>,
    in_use: DropGuard,
}

impl Driver {
    pub(super) fn start(connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static) -> Self {
        let left = CancellationToken::new();
        let in_use = left.clone().drop_guard();
        let task = tokio::spawn(async move {
            tokio::pin!(connection);
            tokio::select! {
                biased;
                ended = &mut connection => return ended,
                () = left.cancelled() => {}
            }
            tokio::time::timeout(FAREWELL_TIME, connection).await.unwrap_or(Ok(()))
        });
        Self { task, in_use }
    }

    /// What it ends with, once nobody uses it.
    pub(super) async fn end(self) -> Option<hyper::Error> {
        drop(self.in_use);
        self.task.await.ok().and_then(Result::err)
    }

    /// Lets it run for as long as anything is on the connection.
    pub(super) fn leave(self) {
        self.in_use.disarm();
    }
}
