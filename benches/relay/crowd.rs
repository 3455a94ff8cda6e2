//! Honest senders beside a crowd: connections on which nothing happens after the handshake, and connections whose head or body comes a
//! byte a second. Whoever is let go comes again at once, so that the crowd stays as large as it can.
//!
//! The crowd comes from several addresses of loopback, as an address has a bound of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use crate::process::Relay;
use crate::report::{OpenLoop, rounded};
use crate::settings::Settings;
use crate::sink::Sink;
use crate::wire::tls_config;
use crate::{Arguments, SECRET, binary, load_at};

/// Members of the crowd that come from one address.
const PER_ADDRESS: usize = 2000;
/// Members that shake hands at once: the crowd is to hold on, not to be a flood of handshakes.
const OPENING_MAX: usize = 64;
/// Whoever was not let in tries again after so long.
const AGAIN: Duration = Duration::from_millis(500);
/// The crowd has so long to gather.
const GATHER_MAX: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// What a slow one sends, and how often.
const DRIP: Duration = Duration::from_secs(1);
/// Connections beside the crowd.
const SPARE: usize = 2000;

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Crowd {
    idle: usize,
    slow: usize,
    /// `limits.connections`
    places: usize,
    gathered_in_seconds: f64,
    alone: OpenLoop,
    beside_the_crowd: OpenLoop,
    /// As the relay counts them, before and after.
    connections: [f64; 2],
    descriptors: [usize; 2],
    rss_mb: [f64; 2],
    cpu_seconds_per_second: f64,
    /// Connections of the crowd that the relay ended meanwhile.
    let_go: u64,
    slow_let_go: u64,
}

/// What happens to the crowd.
#[derive(Debug, Default)]
struct Seen {
    idle: AtomicU64,
    slow: AtomicU64,
}

/// How a member of the crowd behaves.
#[derive(Clone, Copy, Debug)]
enum Way {
    Idle,
    SlowHead,
    SlowBody,
}

/// Measures beside so many.
pub(crate) async fn measure(arguments: &Arguments, idle: usize) -> Result<Crowd> {
    let sink = Sink::start().await?;
    let places = arguments.places.unwrap_or(idle + arguments.slow + SPARE);
    let settings = Settings::default().limits(&format!("connections = {places}")).destination("sink", sink.port, "");
    let relay = Relay::start(&binary(arguments), &settings.source("healthy", &["sink"]), SECRET).await?;
    let load = load_at(arguments, &relay, "healthy")?;
    let time = Duration::from_secs(arguments.open_seconds);
    let alone = load.open(arguments.rate, time).await?;

    let (seen, tls) = (Arc::<Seen>::default(), tls_config()?);
    let opening = Arc::new(tokio::sync::Semaphore::new(OPENING_MAX));
    let mut crowd = JoinSet::new();
    let begun = Instant::now();
    for n in 0..idle + arguments.slow {
        let way = match n.checked_sub(idle) {
            None => Way::Idle,
            Some(slow) if slow % 2 == 0 => Way::SlowHead,
            Some(_) => Way::SlowBody,
        };
        let address = Ipv4Addr::from([127, 0, 1, u8::try_from(n / PER_ADDRESS + 1)?]);
        crowd.spawn(hold_on(way, address, relay.port, tls.clone(), opening.clone(), seen.clone()));
    }
    let wanted = (idle + arguments.slow).min(places.saturating_sub(arguments.connections)) as f64 * 0.97;
    while relay.counted("hookhold_connections").await? < wanted {
        ensure!(begun.elapsed() < GATHER_MAX, "the crowd did not gather: {seen:?}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let gathered = begun.elapsed();
    let found = async || anyhow::Ok((relay.counted("hookhold_connections").await?, relay.descriptors()?, relay.usage()?));
    let (before, gone) = (found().await?, [&seen.idle, &seen.slow].map(|count| count.load(Ordering::Relaxed)));
    let start = Instant::now();
    let beside = load.open(arguments.rate, time).await?;
    let (after, seconds) = (found().await?, start.elapsed().as_secs_f64());
    crowd.shutdown().await;
    relay.stop().await?;
    Ok(Crowd {
        idle,
        slow: arguments.slow,
        places,
        gathered_in_seconds: rounded(gathered.as_secs_f64(), 1),
        alone: alone.into(),
        beside_the_crowd: beside.into(),
        connections: [before.0, after.0],
        descriptors: [before.1, after.1],
        rss_mb: [rounded(before.2.rss_mb, 1), rounded(after.2.rss_mb, 1)],
        cpu_seconds_per_second: rounded(after.2.since(&before.2).cpu_seconds / seconds, 3),
        let_go: seen.idle.load(Ordering::Relaxed) - gone[0],
        slow_let_go: seen.slow.load(Ordering::Relaxed) - gone[1],
    })
}

/// Opens connections one after the other, and holds on to each until the relay ends it.
async fn hold_on(
    way: Way,
    from: Ipv4Addr,
    port: u16,
    tls: Arc<ClientConfig>,
    opening: Arc<tokio::sync::Semaphore>,
    seen: Arc<Seen>,
) {
    loop {
        let opened = {
            let Ok(_turn) = opening.acquire().await else { return };
            open(from, port, &tls).await
        };
        let Ok(stream) = opened else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let count = if matches!(way, Way::Idle) { &seen.idle } else { &seen.slow };
        // However it ends, it is over.
        let _ = stay(way, stream).await;
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn open(from: Ipv4Addr, port: u16, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    Ok(TlsConnector::from(tls.clone()).connect("localhost".try_into()?, stream).await?)
}

async fn stay(way: Way, stream: TlsStream<TcpStream>) -> Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut answer = [0; 1024];
    let begin: &[u8] = match way {
        Way::Idle => b"",
        Way::SlowHead => b"POST /in/healthy HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        Way::SlowBody => b"POST /in/healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
    };
    writer.write_all(begin).await?;
    writer.flush().await?;
    loop {
        tokio::select! {
            read = reader.read(&mut answer) => if read? == 0 { return Ok(()) },
            () = tokio::time::sleep(DRIP), if !matches!(way, Way::Idle) => {
                writer.write_all(b"x").await?;
                writer.flush().await?;
            }
        }
    }
}
