//! TLS handshakes of a real relay process beside nginx, in one run: whole ones and resumed ones, TLS 1.2 and 1.3, ECDSA P-256 and RSA 2048.
//!
//! `cargo bench --bench handshakes -- [--seconds 1] [--rounds 5] [--clients 8] [--workers 1] [--certificates 1] [--bin PATH] [--nginx PATH]`
//!
//! Both servers have the same number of workers, the same certificates, and their usual settings else. Slices take turns, so that noise of
//! the machine meets both; a figure is the median of all rounds. Clients share the machine's cores with them, so the rate tells less than
//! the CPU time of the server for one handshake, which is what `cpu_ratio` compares (below 1: the relay needs less).
//!
//! A handshake counts when the server has ended the connection in order after it. Clients believe every certificate, to be cheaper than
//! servers. Without nginx the relay is measured alone. Prints one JSON object. Never part of the product.

mod client;
mod servers;
#[path = "../shared/trust.rs"]
mod trust;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;

use client::{Clients, Slice, Version};
use servers::{KeyKind, Server};

/// Tickets are there, and caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);

/// Measures handshakes.
#[derive(Debug, Parser)]
#[command(name = "handshakes")]
struct Arguments {
    /// Seconds of one slice
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Slices of each server, for each kind of handshake
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Handshakes at once
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Threads of the relay, processes of nginx
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Certificates of the relay; the one that is asked for is the last one
    #[arg(long, default_value_t = 1)]
    certificates: usize,
    /// The relay's binary (else HOOKHOLD_BIN, else the one that cargo built)
    #[arg(long)]
    bin: Option<PathBuf>,
    /// nginx
    #[arg(long, default_value = "nginx")]
    nginx: PathBuf,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is found of one kind of handshake.
#[derive(Debug, Serialize)]
struct Found {
    key: KeyKind,
    version: Version,
    resumed: bool,
    relay: Side,
    #[serde(skip_serializing_if = "Option::is_none")]
    nginx: Option<Side>,
    /// Handshakes a second, relay to nginx: more is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_ratio: Option<f64>,
    /// CPU time of one handshake, relay to nginx: less is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ratio: Option<f64>,
}

/// A server's medians.
#[derive(Debug, Serialize)]
struct Side {
    per_second: f64,
    cpu_micros: f64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    workers: usize,
    clients: usize,
    certificates: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    nginx: Option<String>,
    found: Vec<Found>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let version = servers::nginx_version(&arguments.nginx);
    if version.is_none() {
        eprintln!("nginx is not here: the relay is measured alone");
    }
    let mut found = Vec::new();
    for key in [KeyKind::EcdsaP256, KeyKind::Rsa2048] {
        let relay = Server::relay(&binary(&arguments), key, arguments.workers, arguments.certificates)?;
        let nginx = version.as_ref().map(|_| Server::nginx(&arguments.nginx, key, arguments.workers)).transpose()?;
        for version in [Version::Tls12, Version::Tls13] {
            for resumed in [false, true] {
                found.push(compare(&arguments, key, version, resumed, &relay, nginx.as_ref())?);
            }
        }
    }
    let Arguments { workers, clients, certificates, .. } = arguments;
    println!("{}", serde_json::to_string_pretty(&Report { workers, clients, certificates, nginx: version, found })?);
    Ok(())
}

fn binary(arguments: &Arguments) -> PathBuf {
    let given = arguments.bin.clone().or_else(|| std::env::var_os("HOOKHOLD_BIN").map(PathBuf::from));
    given.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hookhold")))
}

/// Slices in turns.
fn compare(
    arguments: &Arguments,
    key: KeyKind,
    version: Version,
    resumed: bool,
    relay: &Server,
    nginx: Option<&Server>,
) -> Result<Found> {
    let servers: Vec<_> = [Some(relay), nginx].into_iter().flatten().collect();
    let of = |server: &&Server| Clients::new(server.port, version, resumed, arguments.clients);
    let clients = servers.iter().map(of).collect::<Result<Vec<_>>>()?;
    let mut slices = vec![Vec::new(); servers.len()];
    for one in &clients {
        one.run(WARM_UP)?;
    }
    for _ in 0..arguments.rounds {
        for ((server, clients), slices) in servers.iter().zip(&clients).zip(&mut slices) {
            let before = server.cpu()?;
            let slice = clients.run(Duration::from_secs_f64(arguments.seconds))?;
            slices.push(Slice { cpu: server.cpu()?.saturating_sub(before), ..slice });
        }
    }
    let mut sides = slices.iter().map(|slices| Side::of(slices));
    let relay = sides.next().context("no relay was measured")?;
    let nginx = sides.next();
    let ratio = |of: fn(&Side) -> f64| nginx.as_ref().map(|nginx| hundredths(of(&relay) / of(nginx)));
    let (rate_ratio, cpu_ratio) = (ratio(|side| side.per_second), ratio(|side| side.cpu_micros));
    Ok(Found { key, version, resumed, relay, nginx, rate_ratio, cpu_ratio })
}

impl Side {
    fn of(slices: &[Slice]) -> Self {
        let figures = |of: fn(&Slice) -> f64| median(slices.iter().map(of).collect());
        Self {
            per_second: figures(|slice| slice.done as f64 / slice.time.as_secs_f64()).round(),
            cpu_micros: figures(|slice| slice.cpu.as_secs_f64() * 1e6 / slice.done.max(1) as f64).round(),
            failed: slices.iter().map(|slice| slice.failed).sum(),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
