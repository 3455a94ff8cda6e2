//! Accepted requests, changed at random in what is signed or is the signature: none may be accepted any more. How many are tried
//! says `MUTATIONS`, and where chance begins `SEED`; [`facts`] says what of a request counts.
//!
//! `MUTATIONS=1000000 cargo test --release --test vectors mutated -- --nocapture`

mod facts;

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookhold::signature::{Captured, CapturedSecret, Judgement, verify_captured};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::{hmac, keys};
use facts::{Base, Site, Token};

/// How many are tried where nobody says it.
const COUNT: usize = 5_000;
const SEED: u64 = 1;
/// So many digits of hexadecimal in a row are no base64.
const HEX_BYTES_MIN: usize = 32;
/// Requests to start from; fewer would mean that something was not loaded.
const BASES_MIN: usize = 1_350;

type Change = fn(&mut StdRng, &Base, &[Base]) -> Option<Captured>;

/// Kinds of change, each with how often it is chosen.
const CHANGES: [(&str, u32, Change); 17] = [
    ("bits of the body", 3, bits_of_body),
    ("bytes cut out of or put into the body", 2, length_of_body),
    ("the body of another request", 2, other_body),
    ("characters of the signature", 4, characters_of_signature),
    ("case of the signature", 2, case_of_signature),
    ("a signature cut short", 2, short_signature),
    ("an empty signature", 1, empty_signature),
    ("a label of the signature", 2, label_of_signature),
    ("no signature header", 1, no_signature_header),
    ("the signature of another request", 3, other_signature),
    ("a signed header", 3, signed_header),
    ("no signed header", 1, no_signed_header),
    ("a signed header twice", 2, signed_header_twice),
    ("the timestamp in the signature's header", 3, stamp_in_header),
    ("another secret", 3, other_secret),
    ("a changed secret", 3, changed_secret),
    ("another algorithm in a token", 2, algorithm_of_token),
];

#[test]
fn no_mutated_request_is_accepted() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<usize>().unwrap());
    let (count, seed) = (number("MUTATIONS").unwrap_or(COUNT), number("SEED").map_or(SEED, |seed| seed as u64));
    let bases = bases();
    assert!(bases.len() >= BASES_MIN, "only {} requests", bases.len());
    let start = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let run = |thread: usize| {
        let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1 << 16) + thread as u64);
        let share = count / threads + usize::from(thread < count % threads);
        try_some(&mut random, &bases, share)
    };
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut by_change = BTreeMap::<&str, usize>::new();
    tallies.iter().flat_map(|tally| &tally.tried).for_each(|(name, count)| *by_change.entry(name).or_default() += count);
    let accepted: Vec<&String> = tallies.iter().flat_map(|tally| &tally.accepted).collect();
    let tried: usize = by_change.values().sum();
    by_change.iter().for_each(|(name, count)| println!("{count:>9}  {name}"));
    println!(
        "{tried:>9}  mutations of {} accepted requests in {:.1?}: {} accepted",
        bases.len(),
        start.elapsed(),
        accepted.len()
    );
    assert_eq!(tried, count);
    assert!(accepted.is_empty(), "{}", accepted.iter().take(30).map(|line| line.as_str()).collect::<Vec<_>>().join("\n"));
    // Each kind is possible, and is tried about as often as it should be.
    assert_eq!(by_change.len(), CHANGES.len());
}

#[derive(Default)]
struct Tally {
    tried: BTreeMap<&'static str, usize>,
    accepted: Vec<String>,
}

fn try_some(random: &mut StdRng, bases: &[Base], count: usize) -> Tally {
    let weights: u32 = CHANGES.iter().map(|(_, weight, _)| weight).sum();
    let mut tally = Tally::default();
    let mut tried = 0;
    while tried < count {
        let base = &bases[random.random_range(0..bases.len())];
        let mut at = random.random_range(0..weights);
        let chosen = CHANGES.iter().find(|(_, weight, _)| {
            let found = at < *weight;
            at = at.wrapping_sub(*weight);
            found
        });
        let (name, _, change) = chosen.unwrap();
        let Some(changed) = change(random, base, bases) else { continue };
        tried += 1;
        *tally.tried.entry(name).or_default() += 1;
        if verify_captured(&changed).judgement == Judgement::Accept {
            tally.accepted.push(format!("{} {}: {name}: {changed:?}", base.captured.provider, base.captured.id));
        }
    }
    tally
}

/// All requests that are accepted as they are, and not by a known weakness of their scheme.
fn bases() -> Vec<Base> {
    let is_good = |vector: &hmac::Vector| vector.is_accepted() && !vector.lenient_ok && !vector.limitation;
    let shared = hmac::all().into_iter().chain(hmac::own()).map(|vector| (vector, Value::Null));
    let of_keys = keys::all().into_iter().zip(keys::texts());
    let all = shared.chain(of_keys).filter(|(vector, _)| is_good(vector));
    all.filter_map(|(vector, keys)| Base::new(&vector, &keys)).collect()
}

fn one<'a, T>(random: &mut StdRng, list: &'a [T]) -> Option<&'a T> {
    if list.is_empty() { None } else { list.get(random.random_range(0..list.len())) }
}

/// The request with that body, if it then says something else and the body is signed.
fn with_body(base: &Base, body: Vec<u8>) -> Option<Captured> {
    let counts = base.covers_body && !base.says_the_same(&body);
    counts.then(|| Captured { body_base64: STANDARD.encode(body), ..base.captured.clone() })
}

/// The request with each of its signatures changed: of several, any could be enough.
fn with_tokens(
    random: &mut StdRng,
    base: &Base,
    mut change: impl FnMut(&mut StdRng, &[u8]) -> Option<Vec<u8>>,
) -> Option<Captured> {
    let mut tokens = base.tokens.clone();
    if !base.any_is_enough {
        tokens = vec![one(random, &tokens)?.clone()];
    }
    // From the back, so that the places of the others stay what they are.
    tokens.sort_by_key(|token| std::cmp::Reverse(token.range.start));
    let mut captured = base.captured.clone();
    for token in &tokens {
        let mut text = token.at.text(&captured);
        let changed = change(random, &text[token.range.clone()])?;
        text.splice(token.range.clone(), changed);
        captured = token.at.with_text(&captured, text)?;
    }
    (!tokens.is_empty()).then_some(captured)
}

/// Whether the letters and digits around `at` are hexadecimal; some put it behind other words (`1/sha256/...`).
fn is_hex(token: &[u8], at: usize) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
    let before = token[..at].iter().rev().take_while(|byte| is_word(byte)).count();
    let after = token[at..].iter().take_while(|byte| is_word(byte)).count();
    let word = &token[at - before..at + after];
    (word.len() == token.len() || word.len() >= HEX_BYTES_MIN) && word.iter().all(u8::is_ascii_hexdigit)
}

fn bits_of_body(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let mut body = base.body.clone();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..body.len().max(1));
        *body.get_mut(at)? ^= 1 << random.random_range(0..8);
    }
    with_body(base, body)
}

fn length_of_body(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let mut body = base.body.clone();
    let (at, count) = (random.random_range(0..=body.len()), random.random_range(1..9));
    match random.random_range(0..3) {
        0 => body.truncate(at),
        1 => drop(body.drain(at..(at + count).min(base.body.len()))),
        _ => drop(body.splice(at..at, (0..count).map(|_| random.random_range(b' '..=b'~')).collect::<Vec<_>>())),
    }
    with_body(base, body)
}

fn other_body(random: &mut StdRng, base: &Base, bases: &[Base]) -> Option<Captured> {
    let other = one(random, bases)?;
    // With the body comes its signature, where that stands in there.
    let brings_its_own = base.signature_headers().is_empty() && base.captured.provider == other.captured.provider;
    if brings_its_own { None } else { with_body(base, other.body.clone()) }
}

fn characters_of_signature(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    with_tokens(random, base, |random, token| {
        let at = random.random_range(0..token.len());
        let is_hex = is_hex(token, at);
        let alphabet: &[u8] = if is_hex { b"0123456789abcdef" } else { b"ABCDEFGHabcdefgh01234567+/-_" };
        let mut changed = token.to_vec();
        changed[at] = *one(random, alphabet)?;
        let same = if is_hex { changed.eq_ignore_ascii_case(token) } else { changed == token };
        // The two alphabets of base64 differ in these, and some read both.
        let alike = |byte: u8| {
            if byte == b'-' {
                b'+'
            } else if byte == b'_' {
                b'/'
            } else {
                byte
            }
        };
        (!same && alike(changed[at]) != alike(token[at])).then_some(changed)
    })
}

/// In hexadecimal, case says nothing; everywhere else it does.
fn case_of_signature(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    with_tokens(random, base, |random, token| {
        let at = random.random_range(0..token.len());
        let mut changed = token.to_vec();
        changed[at] ^= 0x20;
        (!is_hex(token, at) && token[at].is_ascii_alphabetic()).then_some(changed)
    })
}

fn short_signature(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    with_tokens(random, base, |random, token| {
        let at = random.random_range(1..token.len());
        Some(if random.random_bool(0.5) { token[..at].to_vec() } else { token[at..].to_vec() })
    })
}

fn empty_signature(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    with_tokens(random, base, |_, _| Some(Vec::new()))
}

/// A version is part of what is claimed: no other one, and none in another case, proves anything.
fn label_of_signature(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let (written, [token]) = (base.label.as_ref()?, &base.tokens[..]) else { return None };
    let mut text = token.at.text(&base.captured);
    let label = token.range.start.checked_sub(written.len())?..token.range.start;
    if text[label.clone()] != *written.as_bytes() {
        return None;
    }
    match random.random_range(0..3) {
        0 => text[label].make_ascii_uppercase(),
        1 => text[label.start] = *one(random, b"xyz019")?,
        _ => drop(text.drain(label)),
    }
    if text == token.at.text(&base.captured) { None } else { token.at.with_text(&base.captured, text) }
}

fn no_signature_header(_: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let holds = |i: usize| base.tokens.iter().any(|token| token.at == Site::Header(i));
    let mut captured = base.captured.clone();
    let mut i = 0;
    captured.headers.retain(|_| {
        i += 1;
        !holds(i - 1)
    });
    (captured.headers.len() < base.captured.headers.len()).then_some(captured)
}

fn other_signature(random: &mut StdRng, base: &Base, bases: &[Base]) -> Option<Captured> {
    let mine = bases.iter().filter(|other| other.captured.provider == base.captured.provider).collect::<Vec<_>>();
    let other = *one(random, &mine)?;
    // What was signed must be something else, and nothing else can prove the request.
    if !base.covers_body || !other.covers_body || base.says_the_same(&other.body) || other.says_the_same(&base.body) {
        return None;
    }
    let mut captured = base.captured.clone();
    let mut changed = 0;
    for i in base.signature_headers() {
        let (name, value) = &mut captured.headers[i];
        let theirs = other.captured.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        *value = theirs?.1.clone();
        changed += 1;
    }
    (changed > 0 && base.tokens.iter().all(|token| matches!(token.at, Site::Header(_)))).then_some(captured)
}

fn signed_header(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let i = *one(random, &base.covered)?;
    let mut captured = base.captured.clone();
    let mut text = captured.headers[i].1.clone().into_bytes();
    let at = random.random_range(0..text.len());
    text[at] = random.random_range(b'!'..=b'~');
    let changed = String::from_utf8(text).ok().filter(|text| *text != captured.headers[i].1)?;
    captured.headers[i].1 = changed;
    Some(captured)
}

fn no_signed_header(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let i = *one(random, &base.covered)?;
    let mut captured = base.captured.clone();
    captured.headers.remove(i);
    Some(captured)
}

/// Two readers could see two values.
fn signed_header_twice(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let i = *one(random, &base.covered)?;
    let mut captured = base.captured.clone();
    let (name, value) = captured.headers[i].clone();
    let at = random.random_range(0..=captured.headers.len());
    captured.headers.insert(at, (name, format!("{value}1")));
    Some(captured)
}

fn stamp_in_header(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let Token { at, range } = base.stamp_in_header()?;
    let mut text = at.text(&base.captured);
    let digit = random.random_range(range);
    let before = std::mem::replace(&mut text[digit], random.random_range(b'0'..=b'9'));
    if text[digit] == before { None } else { at.with_text(&base.captured, text) }
}

fn other_secret(random: &mut StdRng, base: &Base, bases: &[Base]) -> Option<Captured> {
    let other = one(random, bases)?;
    let texts = |base: &Base| base.captured.secrets.iter().map(text_of).collect::<Vec<_>>();
    // A secret is the same with and without what is cut off before it.
    let same = |mine: &String, theirs: &String| mine.ends_with(theirs.as_str()) || theirs.ends_with(mine.as_str());
    let shares_secrets = texts(base).iter().any(|mine| texts(other).iter().any(|theirs| same(mine, theirs)));
    let shares = shares_secrets || base.shares_keys(other);
    if shares || base.tokens.is_empty() || (other.captured.secrets.is_empty() && other.keys.is_empty()) {
        return None;
    }
    let (secrets, keys) = (other.captured.secrets.clone(), other.captured.keys.clone());
    Some(Captured { secrets, keys, ..base.captured.clone() })
}

/// One character of each secret is another one: of several, any could be enough.
fn changed_secret(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let mut captured = base.captured.clone();
    if captured.secrets.is_empty() || base.tokens.is_empty() {
        return None;
    }
    for secret in &mut captured.secrets {
        let (CapturedSecret::Text(text) | CapturedSecret::Value { value: text, .. }) = secret;
        // What stands before the key itself (`whsec_`) is cut off in some schemes, whatever it is.
        let from = text.rfind(['_', '-']).map_or(0, |at| at + 1);
        if from == text.len() {
            return None;
        }
        let at = random.random_range(from..text.len());
        let with = char::from(*one(random, b"0123456789abcdefABCDEF")?);
        let before = text.get(at..=at)?;
        if before.eq_ignore_ascii_case(&with.to_string()) || !before.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        text.replace_range(at..=at, &with.to_string());
    }
    Some(captured)
}

fn text_of(secret: &CapturedSecret) -> String {
    let (CapturedSecret::Text(text) | CapturedSecret::Value { value: text, .. }) = secret;
    text.clone()
}

/// The header of a token is signed, and no algorithm in it is believed that the scheme does not have.
fn algorithm_of_token(random: &mut StdRng, base: &Base, _: &[Base]) -> Option<Captured> {
    let algorithm = *one(random, &["none", "None", "HS256", "HS512", "RS256", "ES256", "EdDSA", "", "hs256"])?;
    let unsigned = random.random_bool(0.3);
    with_tokens(random, base, |_, token| {
        let [header, payload, signature] = std::str::from_utf8(token).ok()?.split('.').collect::<Vec<_>>().try_into().ok()?;
        let mut json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if json["alg"] == algorithm {
            return None;
        }
        json["alg"] = json!(algorithm);
        let header = URL_SAFE_NO_PAD.encode(json.to_string());
        Some(format!("{header}.{payload}.{}", if unsigned { "" } else { signature }).into_bytes())
    })
}
