//! Applications on a bare socket, which do what a server of a library never would, and the relay.toml that leads to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::world::{World, eventually};

/// A small answer that keeps the connection.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An application that does the same with each connection; it is told the connection's number, from 0.
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Raw {
    pub(crate) async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(usize, TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let count = connections.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // What is written leaves at once, also where the connection is closed without having been read.
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(count.fetch_add(1, Ordering::SeqCst), stream));
            }
        });
        Self { address, connections, task }
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The next request (head and body, by its `content-length`), or what was there when the connection ended.
pub(crate) async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        if body.len() >= length {
            return Some(text);
        }
    }
}

/// A relay with a source `raw` at `/in/raw` that leads to a destination `raw`, with these settings.
pub(crate) async fn world(url: &str, settings: &str) -> World {
    let more = format!(
        r#"
        [sources.raw]
        path = "/in/raw"
        provider = "none"
        body = "8MiB"
        [destinations.raw]
        url = "{url}"
        {settings}
        [[routes]]
        from = "raw"
        to = ["raw"]
        "#
    );
    World::start("", &more).await
}

/// Waits until the only delivery in this state was tried so often, and gives it with its attempts.
pub(crate) async fn tried(world: &World, state: &str, attempts: u64) -> Value {
    let id = eventually(async || {
        let items = world.get(&format!("/deliveries?state={state}")).await["items"].clone();
        let found = items.get(0).filter(|found| found["attempts_made"].as_u64() >= Some(attempts)).cloned();
        found.map(|found| found["id"].as_str().unwrap().to_owned())
    });
    world.get(&format!("/deliveries/{}", id.await)).await
}
