//! The applications that the relay delivers to, in the bench's own process: one that reads a request, answers 200 and counts, one that
//! is down until it is opened, and one that takes connections and never says a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::journeys::Journeys;
use crate::wire::{Head, Requests};

/// Connections that wait to be accepted: a ramp of a thousand destinations at once must not look like a refusal.
const LISTEN_QUEUE: u32 = 4096;

/// A running sink; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Where it listens on loopback.
    pub(crate) port: u16,
    /// What it saw of events that are followed.
    pub(crate) journeys: Arc<Journeys>,
    answered: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// An application that is down: its port is kept, and connections to it are refused.
#[derive(Debug)]
pub(crate) struct Down {
    /// Where it would listen.
    pub(crate) port: u16,
    socket: TcpSocket,
}

/// An application that takes connections and never answers; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Hanging {
    /// Where it listens on loopback.
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Sink {
    /// Listens on a free port.
    pub(crate) async fn start() -> Result<Self> {
        Down::reserve()?.open()
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

impl Down {
    /// Takes a free port and does not listen.
    pub(crate) fn reserve() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Self { port: socket.local_addr()?.port(), socket })
    }

    /// It is up from now on.
    pub(crate) fn open(self) -> Result<Sink> {
        let listener = self.socket.listen(LISTEN_QUEUE)?;
        let (answered, journeys) = (Arc::<AtomicU64>::default(), Arc::<Journeys>::default());
        let task = tokio::spawn(accept(listener, answered.clone(), journeys.clone()));
        Ok(Sink { port: self.port, journeys, answered, task })
    }
}

impl Hanging {
    /// Listens on a free port.
    pub(crate) fn start() -> Result<Self> {
        let Down { port, socket } = Down::reserve()?;
        let listener = socket.listen(LISTEN_QUEUE)?;
        let task = tokio::spawn(async move {
            let mut held = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                // Reads until the relay gives up, so that it is the answer alone that is missing.
                held.spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
                while held.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, task })
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, answered: Arc<AtomicU64>, journeys: Arc<Journeys>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answered, journeys) = (answered.clone(), journeys.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &answered, &journeys).await {
                eprintln!("sink: {error}");
            }
        });
    }
}

async fn serve(mut stream: TcpStream, answered: &AtomicU64, journeys: &Journeys) -> Result<()> {
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
        if let Some(number) = head.number.filter(|number| Requests::is_watched(*number)) {
            journeys.arrived(number);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}
