//! The application that the relay delivers to: reads a request, answers 200, counts. In the bench's own process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::wire::Head;

/// A running sink; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Where it listens on loopback.
    pub(crate) port: u16,
    answered: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Sink {
    /// Listens on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let answered = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, answered.clone()));
        Ok(Self { port, answered, task })
    }

    /// Requests that got their 200 so far. Deliveries are at least once, so it may exceed the number of events.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, answered: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let answered = answered.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &answered).await {
                eprintln!("sink: {error}");
            }
        });
    }
}

async fn serve(mut stream: TcpStream, answered: &AtomicU64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::with_capacity(16 * 1024);
    loop {
        let Some(head) = Head::of(&input)? else {
            if stream.read_buf(&mut input).await? == 0 {
                ensure!(input.is_empty(), "a connection ended within a head");
                return Ok(());
            }
            continue;
        };
        let total = head.bytes + head.content_length;
        while input.len() < total {
            ensure!(stream.read_buf(&mut input).await? > 0, "a connection ended within a body");
        }
        input.drain(..total);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}
