//! Streams of bytes to servers: over the network, or over whatever stands in its place.
//!
//! Never here: what is spoken on a stream.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::public;

/// What a step on the way to a server may take where nobody says otherwise.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 8;

/// A stream of bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Makes connections.
#[async_trait]
pub trait Dial: fmt::Debug + Send + Sync {
    /// A new connection to a host by its name. Each step may take `time`: to resolve the name, and then each address of it, after
    /// which the next one is tried.
    async fn dial(&self, host: &str, port: u16, time: Duration) -> Result<Box<dyn Stream>, NotDialed>;
}

/// Why there is no connection.
#[derive(Debug)]
pub enum NotDialed {
    /// The host's name has no address.
    Dns(io::Error),
    /// No address of the host took the connection.
    Connect(io::Error),
}

/// The network that this machine is in.
#[derive(Debug)]
pub struct Network {
    only_public: bool,
}

impl Network {
    /// All of it.
    pub fn whole() -> Self {
        Self { only_public: false }
    }

    /// Without hosts of which an address is not public.
    pub fn only_public() -> Self {
        Self { only_public: true }
    }

    async fn connect(&self, host: &str, port: u16, time: Duration) -> Result<TcpStream, NotDialed> {
        let resolved = tokio::time::timeout(time, tokio::net::lookup_host((host, port))).await;
        let resolved = resolved.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let addresses: Vec<SocketAddr> = resolved.map_err(NotDialed::Dns)?.collect();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        if addresses.is_empty() {
            return Err(NotDialed::Dns(last));
        }
        if self.only_public && !addresses.iter().all(|address| public::is_public(address.ip())) {
            return Err(NotDialed::Connect(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the name leads to an address that is not public",
            )));
        }
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match tokio::time::timeout(time, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(NotDialed::Connect(last))
    }
}

#[async_trait]
impl Dial for Network {
    /// The host's name is resolved anew each time, so that a moved service is found.
    async fn dial(&self, host: &str, port: u16, time: Duration) -> Result<Box<dyn Stream>, NotDialed> {
        let stream = self.connect(host, port, time).await?;
        // Without it small requests wait for the peer's acknowledgement.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
    }
}

/// A Unix socket: the one server behind it, whatever its name.
#[derive(Debug)]
pub struct SocketFile(pub PathBuf);

#[async_trait]
impl Dial for SocketFile {
    async fn dial(&self, _: &str, _: u16, time: Duration) -> Result<Box<dyn Stream>, NotDialed> {
        match tokio::time::timeout(time, UnixStream::connect(&self.0)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(NotDialed::Connect(error)),
            Err(_) => Err(NotDialed::Connect(io::ErrorKind::TimedOut.into())),
        }
    }
}
