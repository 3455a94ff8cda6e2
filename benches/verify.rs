//! What verification costs for each provider, beside the bare keyed hash over the same body, in one run: `cargo bench --bench verify`.
//!
//! Bare is what a plain server does: a MAC of its key, fed with the body, compared with a tag that is there as bytes. It makes the
//! keyed state in each call, which a `Verifier` does once (two blocks of the hash); it looks for no header, reads no hexadecimal and
//! judges no time, which a `Verifier` does. `proof` is the check of the signature alone; `whole` reads the event's id and type as
//! well, which for many providers means to read the body as JSON. Both are shown as multiples of bare; `kept` is the proof as a
//! multiple of a bare hash that keeps its keyed state, too, and clones it in each call.
//!
//! All are measured in turns, and each figure is the best of several rounds, since a machine that does other things as well
//! only ever makes it slower. Prints one line a provider and size. Behind `--`, a number measures that many bytes in place of the usual
//! sizes, and other words only providers whose name holds one of them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hookhold::record::{Headers, Received};
use hookhold::signature::preset::{self, Preset};
use hookhold::signature::{Options, Scheme, Secret, Signer, Unsigned, Verifier};
use hookhold::time::Timestamp;
use serde_json::Value;

const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);
const SIZES: [usize; 2] = [1024, 100 * 1024];
/// Short rounds, and many: on a machine that does other things, some of them are not interrupted.
const ROUNDS: u32 = 150;
/// How long a round takes, roughly.
const ROUND: Duration = Duration::from_micros(100);
const KEY: &[u8] = &[0x5a; 32];
/// What a proof may cost, in bare keyed hashes.
const RATIO_MAX: f64 = 1.3;

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A call to be measured.
type Call = Box<dyn FnMut() -> Result<()>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let (numbers, words): (Vec<_>, Vec<_>) = arguments.iter().partition(|word| word.parse::<usize>().is_ok());
    let sizes: Vec<usize> = numbers.iter().filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { &SIZES[..] } else { &sizes };
    let wanted = |preset: &&Preset| words.is_empty() || words.iter().any(|word| preset.name.contains(word.as_str()));
    let presets: Vec<_> = preset::all().iter().filter(wanted).collect();
    println!(
        "{:<34}{:>8}{:>10}{:>10}{:>10}{:>8}{:>8}{:>8}",
        "provider", "bytes", "bare ns", "proof ns", "whole ns", "proof", "whole", "kept"
    );
    let (mut measured, mut above, mut above_whole, mut above_kept) = (0, Vec::new(), 0, 0);
    for preset in &presets {
        for &size in sizes {
            let Some((verifier, received)) = signed(preset, &preset.scheme, &body(size)) else { continue };
            let (of_proof, _) =
                signed(preset, &nameless(&preset.scheme)?, &body(size)).context("names are no part of a proof")?;
            let bare = hash_of(preset).map(|hash| bare(&hash, &received.body)).transpose()?;
            let mut calls = vec![verify(of_proof, received.clone()), verify(verifier, received)];
            calls.extend(bare.into_iter().flatten());
            let took = best(&mut calls)?;
            measured += 1;
            print!("{:<34}{size:>8}", preset.name);
            let [_, _, bare, kept] = took[..] else {
                println!("{:>10}{:>10.0}{:>10.0}{:>8}{:>8}{:>8}", "-", took[0], took[1], "-", "-", "-");
                continue;
            };
            let (proof, whole, kept) = (took[0] / bare, took[1] / bare, took[0] / kept);
            println!("{bare:>10.0}{:>10.0}{:>10.0}{proof:>8.2}{whole:>8.2}{kept:>8.2}", took[0], took[1]);
            if proof > RATIO_MAX {
                above.push(format!("{} {size} {proof:.2}", preset.name));
            }
            above_whole += usize::from(whole > RATIO_MAX);
            above_kept += usize::from(kept > RATIO_MAX);
        }
    }
    println!("{measured} measured of {} providers; above {RATIO_MAX} with id and type: {above_whole}", presets.len());
    println!("proofs above {RATIO_MAX} times a bare hash that keeps its state: {above_kept}");
    println!("proofs above {RATIO_MAX} times the bare hash: {}", above.len());
    above.iter().for_each(|line| println!("  {line}"));
    Ok(())
}

/// The scheme, saying nothing of the event's id and type.
fn nameless(scheme: &Scheme) -> Result<Scheme> {
    fn forget(scheme: &mut Value) {
        if let Some(scheme) = scheme.as_object_mut() {
            ["event_id", "type"].into_iter().for_each(|name| drop(scheme.remove(name)));
            scheme.get_mut("any").and_then(Value::as_array_mut).into_iter().flatten().for_each(forget);
        }
    }
    let mut written = serde_json::to_value(scheme)?;
    forget(&mut written);
    Ok(serde_json::from_value(written)?)
}

/// A JSON body of about that size.
fn body(size: usize) -> Vec<u8> {
    let filling = "webhook ".repeat(size / 8);
    format!(r#"{{"id":"evt_1","type":"ping","text":"{}"}}"#, &filling[..size.saturating_sub(40)]).into_bytes()
}

/// A verifier of the provider, and a request that it believes; `None` where requests are not signed in headers alone.
fn signed(preset: &Preset, scheme: &Scheme, body: &[u8]) -> Option<(Verifier, Received)> {
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
        let verifier = Verifier::try_new(scheme.clone(), vec![secret], Options::default()).ok()?;
        verifier.verify(received.clone()).is_ok().then_some((verifier, received))
    })
}

/// The keyed hash of a scheme that has one.
fn hash_of(preset: &Preset) -> Option<String> {
    let scheme = serde_json::to_value(&preset.scheme).ok()?;
    let hmac = scheme.get("kind")? == "hmac";
    hmac.then(|| scheme.get("hash")?.as_str().map(str::to_owned)).flatten()
}

/// A verification. The request is moved in and out, as the relay moves it.
fn verify(verifier: Verifier, received: Received) -> Call {
    let mut next = Some(received);
    Box::new(move || {
        let verified = next.take().and_then(|received| verifier.verify(received).ok());
        let (received, ..) = verified.context("a request that was believed once is refused")?.into_parts();
        next = Some(received);
        Ok(())
    })
}

/// The bare keyed hash over a body: with its state made in each call, and with a state that is kept.
fn bare(hash: &str, body: &Bytes) -> Result<[Call; 2]> {
    fn over<M: Mac + KeyInit + Clone + 'static>(body: &Bytes) -> Result<[Call; 2]> {
        let kept = <M as KeyInit>::new_from_slice(KEY)?;
        let tag = kept.clone().chain_update(body).finalize().into_bytes();
        let (body, of_kept) = (body.clone(), (body.clone(), tag.clone()));
        let made = move || {
            let keyed = <M as KeyInit>::new_from_slice(std::hint::black_box(KEY))?;
            Ok(keyed.chain_update(std::hint::black_box(&body)).verify_slice(&tag)?)
        };
        let kept = move || {
            let (body, tag) = &of_kept;
            Ok(std::hint::black_box(&kept).clone().chain_update(std::hint::black_box(body)).verify_slice(tag)?)
        };
        Ok([Box::new(made), Box::new(kept)])
    }
    match hash {
        "sha1" => over::<Hmac<sha1::Sha1>>(body),
        "sha384" => over::<Hmac<sha2::Sha384>>(body),
        "sha512" => over::<Hmac<sha2::Sha512>>(body),
        "md5" => over::<Hmac<md5::Md5>>(body),
        _ => over::<Hmac<sha2::Sha256>>(body),
    }
}

/// Nanoseconds of each call in its best round; they take turns.
fn best(calls: &mut [Call]) -> Result<Vec<f64>> {
    let mut counts = Vec::new();
    for call in &mut *calls {
        let (start, mut count) = (Instant::now(), 0u32);
        while start.elapsed() < ROUND {
            call()?;
            count += 1;
        }
        counts.push(count);
    }
    let mut best = vec![f64::INFINITY; calls.len()];
    for _ in 0..ROUNDS {
        for ((call, count), best) in calls.iter_mut().zip(&counts).zip(&mut best) {
            let start = Instant::now();
            for _ in 0..*count {
                call()?;
            }
            *best = best.min(start.elapsed().as_nanos() as f64 / f64::from(*count));
        }
    }
    Ok(best)
}
