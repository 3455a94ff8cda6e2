//! A client that writes bytes as they are, over TLS or not, and reads what comes back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hookhold::net::tls;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::World;

/// What does not come by then will not, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the relay is trusted: its own certificate, with these protocols offered.
pub(super) fn trust(folder: &Path, alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    let file = folder.join("certs").join(tls::SELF_SIGNED_FILES[0]);
    let mut trust = (*tls::client_config_pinning(&file).unwrap()).clone();
    trust.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(trust)
}

/// A connection that TLS was agreed on, after these bytes in plain text.
pub(super) async fn connect_after(
    address: SocketAddr,
    trust: Arc<rustls::ClientConfig>,
    before: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(before).await?;
    TlsConnector::from(trust).connect(ServerName::IpAddress(address.ip().into()), stream).await
}

/// A connection that TLS was agreed on.
pub(super) async fn connect(world: &World, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    connect_after(world.https(), trust(world.folder.path(), alpn), b"").await.unwrap()
}

/// Sends bytes of HTTP/1.1 on a connection of its own; all that comes back until the relay closes it.
pub(super) async fn exchange(world: &World, bytes: &[u8]) -> String {
    let mut stream = connect(world, &[b"http/1.1"]).await;
    talk(&mut stream, bytes).await
}

/// The same on a stream that is there.
pub(super) async fn talk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> String {
    // A relay that refuses may have closed it already.
    let _ = stream.write_all(bytes).await;
    let mut heard = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    // A connection that is reset after the answer has said all that it says.
    let _ = read.expect("the relay ends the connection");
    String::from_utf8_lossy(&heard).into_owned()
}

/// Whether the relay ends a connection, whatever it says before.
pub(super) async fn is_ended(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut heard = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await.is_ok()
}

/// The statuses of the answers in what was heard, in order.
pub(super) fn statuses(heard: &str) -> Vec<u16> {
    let lines = heard.split("HTTP/1.").skip(1);
    lines.map(|line| line[2..5].parse().unwrap()).collect()
}
