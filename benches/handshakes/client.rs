//! Clients that make handshakes, one after the other each, and nothing else.

use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use serde::Serialize;
use socket2::SockRef;

use crate::servers::NAME;
use crate::trust::AnyCertificate;

/// A server that takes so long has trouble.
const PATIENCE: Duration = Duration::from_secs(10);
/// A server that has gone away must not keep the run for ever.
const FAILED_MAX: u64 = 1000;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Version {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// What came of one slice of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slice {
    pub(crate) time: Duration,
    /// Handshakes of the kind that was wanted.
    pub(crate) done: u64,
    /// All others, and connections without one.
    pub(crate) failed: u64,
    /// Of the server.
    pub(crate) cpu: Duration,
}

/// Clients of one server.
pub(crate) struct Clients {
    port: u16,
    resumed: bool,
    configs: Vec<Arc<ClientConfig>>,
}

impl Clients {
    /// So many, which go on where their last handshake ended, or never do.
    pub(crate) fn new(port: u16, version: Version, resumed: bool, count: usize) -> Result<Self> {
        Ok(Self { port, resumed, configs: (0..count).map(|_| config(version, resumed)).collect::<Result<_>>()? })
    }

    /// All of them make handshakes for so long.
    pub(crate) fn run(&self, time: Duration) -> Result<Slice> {
        let start = Instant::now();
        let slices = std::thread::scope(|scope| {
            let threads: Vec<_> = self.configs.iter().map(|config| scope.spawn(|| self.client(config, start, time))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked"))))
                .collect()
        });
        let slices: Vec<Slice> = Result::from_iter::<Vec<Result<Slice>>>(slices)?;
        let sum = |of: fn(&Slice) -> u64| slices.iter().map(of).sum();
        Ok(Slice { time: start.elapsed(), done: sum(|slice| slice.done), failed: sum(|slice| slice.failed), ..Slice::default() })
    }

    fn client(&self, config: &Arc<ClientConfig>, start: Instant, time: Duration) -> Result<Slice> {
        let wanted = if self.resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
        let mut slice = Slice::default();
        while start.elapsed() < time {
            match handshake(self.port, config) {
                Ok(kind) if kind == wanted => slice.done += 1,
                Ok(_) => slice.failed += 1,
                Err(error) => {
                    slice.failed += 1;
                    ensure!(slice.failed < FAILED_MAX, "given up after {FAILED_MAX} failures, the last one: {error:#}");
                }
            }
        }
        Ok(slice)
    }
}

/// One connection from its beginning to its end in order.
fn handshake(port: u16, config: &Arc<ClientConfig>) -> Result<HandshakeKind> {
    let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_nodelay(true)?;
    // Ports are not kept for a minute, as they would be used up soon.
    SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
    let mut tls = ClientConnection::new(config.clone(), ServerName::try_from(NAME)?)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut tcp)?;
    }
    // Tickets, and the server's own end, come before the end of the connection.
    while tls.read_tls(&mut tcp)? > 0 {
        tls.process_new_packets()?;
        if let Err(error) = tls.reader().read(&mut [0; 16]).map(drop) {
            ensure!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::UnexpectedEof), io::Error::from(error.kind()));
        }
    }
    tls.handshake_kind().context("there was no handshake")
}

fn config(version: Version, resumed: bool) -> Result<Arc<ClientConfig>> {
    // What both servers like best, so that they do the same.
    let provider = CryptoProvider {
        // The second one is that of the certificate, which OpenSSL wants to be offered.
        kx_groups: vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1],
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    };
    let versions = match version {
        Version::Tls12 => &[&rustls::version::TLS12],
        Version::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions)?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth();
    config.resumption = if resumed { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
    Ok(Arc::new(config))
}
