//! A stream that is read on after its peer has stopped reading: what a server said before it closed is heard.
//!
//! A server may refuse a request by its head, and close while the body is still on its way. Then writing fails, though the answer is there
//! to be read. So what cannot be written is dropped here, and reading tells what came of it: an answer, or the connection's end.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::Stream;

/// Such a stream.
pub(super) struct Hearing {
    stream: Box<dyn Stream>,
    is_deaf: Deaf,
}

/// Whether the peer of a stream has stopped reading: nothing more can be said there.
#[derive(Clone, Default)]
pub(super) struct Deaf(Arc<AtomicBool>);

impl Deaf {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Hearing {
    /// Reads on on `stream`; and what tells whether its peer does.
    pub(super) fn on(stream: Box<dyn Stream>) -> (Self, Deaf) {
        let is_deaf = Deaf::default();
        (Self { stream, is_deaf: is_deaf.clone() }, is_deaf)
    }

    /// Does as if all of `bytes` were written where nobody reads them.
    fn write(
        &mut self,
        bytes: usize,
        write: impl FnOnce(Pin<&mut dyn Stream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf.is_so() {
            return Poll::Ready(Ok(bytes));
        }
        match write(Pin::new(&mut *self.stream)) {
            Poll::Ready(Err(error)) if is_of_peer(&error) => {
                self.is_deaf.0.store(true, Ordering::Relaxed);
                Poll::Ready(Ok(bytes))
            }
            written => written,
        }
    }
}

/// Whether the peer is why nothing can be written.
fn is_of_peer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

impl AsyncRead for Hearing {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Hearing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(bytes.len(), |stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.write(parts.iter().map(|part| part.len()).sum(), |stream| stream.poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(0, |stream| stream.poll_flush(cx).map_ok(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(0, |stream| stream.poll_shutdown(cx).map_ok(|()| 0)).map_ok(drop)
    }
}
