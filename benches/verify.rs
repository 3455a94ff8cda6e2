//! What verification costs for each provider, beside the bare keyed hash over the same body, in one run: `cargo bench --bench verify`.
//!
//! Each figure is the best of several rounds, since a machine that does other things as well only ever makes it slower. Prints one
//! line a provider and size; with words behind `--`, only providers whose name holds one of them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hookhold::record::{Headers, Received};
use hookhold::signature::preset::{self, Preset};
use hookhold::signature::{Options, Secret, Signer, Unsigned, Verifier};
use hookhold::time::Timestamp;

const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);
const SIZES: [usize; 2] = [1024, 100 * 1024];
const ROUNDS: u32 = 7;
/// How long a round takes, roughly.
const ROUND: Duration = Duration::from_millis(8);
const KEY: &[u8] = &[0x5a; 32];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |preset: &&Preset| words.is_empty() || words.iter().any(|word| preset.name.contains(word.as_str()));
    let presets: Vec<_> = preset::all().iter().filter(wanted).collect();
    println!("{:<34}{:>10}{:>12}{:>12}{:>8}", "provider", "bytes", "ns", "bare ns", "ratio");
    let (mut measured, mut above) = (0, Vec::new());
    for preset in &presets {
        for size in SIZES {
            let Some((verifier, received)) = signed(preset, &body(size)) else { continue };
            let bare = hash_of(preset).map(|hash| bare(&hash, &received.body)).transpose()?;
            let took = verify(&verifier, received)?;
            let ratio = bare.map(|bare| took / bare);
            let text = |value: Option<f64>, digits| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
            println!("{:<34}{size:>10}{took:>12.0}{:>12}{:>8}", preset.name, text(bare, 0), text(ratio, 2));
            measured += 1;
            above.extend(ratio.filter(|ratio| *ratio > 1.3).map(|ratio| format!("{} {size} {ratio:.2}", preset.name)));
        }
    }
    println!("{measured} measured of {} providers; above 1.3 times the bare hash: {}", presets.len(), above.len());
    above.iter().for_each(|line| println!("  {line}"));
    Ok(())
}

/// A JSON body of about that size.
fn body(size: usize) -> Vec<u8> {
    let filling = "webhook ".repeat(size / 8);
    format!(r#"{{"id":"evt_1","type":"ping","text":"{}"}}"#, &filling[..size.saturating_sub(40)]).into_bytes()
}

/// A verifier of the provider, and a request that it believes; `None` where requests are not signed in headers alone.
fn signed(preset: &Preset, body: &[u8]) -> Option<(Verifier, Received)> {
    let secrets = [
        format!("whsec_{}", STANDARD.encode(KEY)),
        STANDARD.encode(KEY),
        hex::encode(KEY),
        "user:password-of-some-length".to_owned(),
    ];
    secrets.into_iter().find_map(|secret| {
        let secret = Secret::try_new(secret.into_bytes(), None).ok()?;
        let signer = Signer::try_new(preset.scheme.clone(), &secret).ok()?;
        let request = Unsigned {
            method: "POST",
            url: "https://hooks.example.com/in/x",
            headers: &Headers::default(),
            body,
            now: NOW,
            event_id: Some("evt_1"),
            kind: Some("ping"),
        };
        let received = Received {
            method: "POST".into(),
            target: "/in/x".into(),
            authority: "hooks.example.com".into(),
            headers: signer.sign(&request).ok()?.into_iter().collect(),
            body: Bytes::copy_from_slice(body),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: NOW,
        };
        let verifier = Verifier::try_new(preset.scheme.clone(), vec![secret], Options::default()).ok()?;
        verifier.verify(received.clone()).is_ok().then_some((verifier, received))
    })
}

/// The keyed hash of a scheme that has one.
fn hash_of(preset: &Preset) -> Option<String> {
    let scheme = serde_json::to_value(&preset.scheme).ok()?;
    let hmac = scheme.get("kind")? == "hmac";
    hmac.then(|| scheme.get("hash")?.as_str().map(str::to_owned)).flatten()
}

/// Nanoseconds of a verification.
fn verify(verifier: &Verifier, received: Received) -> Result<f64> {
    let mut next = Some(received);
    best(move || {
        let verified = next.take().and_then(|received| verifier.verify(received).ok());
        let (received, ..) = verified.context("a request that was believed once is refused")?.into_parts();
        next = Some(received);
        Ok(())
    })
}

/// Nanoseconds of the bare keyed hash over a body.
fn bare(hash: &str, body: &[u8]) -> Result<f64> {
    fn over<M: Mac + KeyInit>(body: &[u8]) -> Result<f64> {
        let tag = <M as KeyInit>::new_from_slice(KEY)?.chain_update(body).finalize().into_bytes();
        best(|| Ok(<M as KeyInit>::new_from_slice(KEY)?.chain_update(std::hint::black_box(body)).verify_slice(&tag)?))
    }
    match hash {
        "sha1" => over::<Hmac<sha1::Sha1>>(body),
        "sha384" => over::<Hmac<sha2::Sha384>>(body),
        "sha512" => over::<Hmac<sha2::Sha512>>(body),
        "md5" => over::<Hmac<md5::Md5>>(body),
        _ => over::<Hmac<sha2::Sha256>>(body),
    }
}

/// Nanoseconds of one call in the best round.
fn best(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut calls = 0u32;
    while start.elapsed() < ROUND {
        call()?;
        calls += 1;
    }
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    Ok(best)
}
