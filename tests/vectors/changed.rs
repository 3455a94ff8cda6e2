//! Whatever one byte of an accepted request is changed to, the request is refused; unless the scheme says that it does not cover
//! that byte, or the change changes nothing that has a meaning.

use std::collections::BTreeSet;

use hookhold::signature::preset::Preset;
use hookhold::signature::{Captured, Judgement, verify_captured};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use toml::Value;

use super::hmac::{self, Vector};

const CASES: u32 = 4000;
/// What stands beside these signatures is not signed: a time that only looks like one, an empty signature of the other mode.
const HEADER_NOT_COVERED: [&str; 2] = ["infisical", "paymongo"];

/// What a scheme signs, as its own text says it.
struct Signed {
    payloads: Vec<String>,
    /// Header names in lower case.
    signatures: BTreeSet<String>,
    covered: BTreeSet<String>,
}

impl Signed {
    fn by(preset: &Preset) -> Self {
        let scheme = Value::try_from(&preset.scheme).unwrap();
        let ways = scheme.get("any").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![scheme.clone()]);
        let mut signed = Self { payloads: Vec::new(), signatures: BTreeSet::new(), covered: BTreeSet::new() };
        for way in &ways {
            signed.add(way);
        }
        signed
    }

    fn add(&mut self, way: &Value) {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let list = |key: &str| way.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let payloads = list("payload_alternatives").iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        let payloads = [vec![text(way, "payload")], payloads].concat();
        let sources = list("signature").into_iter().filter(|source| text(source, "in") == "header");
        self.signatures.extend(sources.map(|source| text(&source, "name").to_lowercase()));
        for part in payloads.iter().flat_map(|payload| payload.split("{header:").skip(1)) {
            self.covered.insert(part.split('}').next().unwrap().to_lowercase());
        }
        if let Some(stamp) = way.get("timestamp").filter(|stamp| text(stamp, "in") == "header")
            && payloads.iter().all(|payload| payload.contains("{ts}"))
        {
            self.covered.insert(text(stamp, "name").to_lowercase());
        }
        self.payloads.extend(payloads);
    }

    fn signs(&self, word: &str) -> bool {
        self.payloads.iter().any(|payload| payload.contains(word))
    }

    /// Whether two bodies say the same to one who reads forms or JSON, where the scheme does.
    fn means_the_same(&self, a: &[u8], b: &[u8]) -> bool {
        let fields = |body| url::form_urlencoded::parse(body).into_owned().collect::<Vec<_>>();
        let json = |body| serde_json::from_slice::<serde_json::Value>(body).ok();
        let is_form = ["{sorted_form:", "{plivo_v3}"].iter().any(|word| self.signs(word));
        (is_form && fields(a) == fields(b)) || (self.signs("|jcs}") && json(a).is_some() && json(a) == json(b))
    }
}

fn check(
    name: &str,
    strategy: impl Strategy<Value = (usize, prop::sample::Index, u8)>,
    change: impl Fn(usize, prop::sample::Index, u8) -> Option<(Captured, String)>,
) {
    let tried = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(CASES) });
    let result = runner.run(&strategy, |(which, at, by)| {
        let Some((changed, what)) = change(which, at, by) else { return Ok(()) };
        tried.set(tried.get() + 1);
        prop_assert_eq!(verify_captured(&changed).judgement, Judgement::Reject, "{}: {}", changed.id, what);
        Ok(())
    });
    result.unwrap();
    assert!(tried.get() > CASES / 2, "{name}: only {} changes were tried", tried.get());
}

fn accepted(keep: impl Fn(&Vector) -> bool) -> Vec<Vector> {
    let vectors: Vec<_> = hmac::all().into_iter().filter(|vector| vector.is_accepted() && keep(vector)).collect();
    assert!(vectors.len() > 150, "only {} requests", vectors.len());
    vectors
}

fn any_change(count: usize) -> impl Strategy<Value = (usize, prop::sample::Index, u8)> {
    (0..count, any::<prop::sample::Index>(), 1u8..)
}

#[test]
fn a_changed_body_is_refused_where_it_is_covered() {
    // Of what is packed, some bytes are not what is unpacked: the name of a file, the time it was packed.
    let is_packed = |vector: &Vector| vector.body().starts_with(&[0x1f, 0x8b]) && Signed::by(vector.preset()).signs("gzip");
    let vectors = accepted(|vector| vector.preset().scheme.covers_body() && !vector.body().is_empty() && !is_packed(vector));
    check("body", any_change(vectors.len()), |which, at, by| {
        let (vector, mut body) = (&vectors[which], vectors[which].body());
        let before = body.clone();
        let at = at.index(body.len());
        body[at] ^= by;
        let same = Signed::by(vector.preset()).means_the_same(&before, &body);
        (!same).then(|| (vector.with_body(&body), format!("byte {at} of the body ^ {by:#x}")))
    });
}

/// Only the plain request of each provider: others carry signatures that do not count, and fields that nobody reads.
#[test]
fn a_changed_signature_or_signed_header_is_refused() {
    let vectors = accepted(|vector| {
        let is_plain = vector.captured.id.ends_with("/basic") && !HEADER_NOT_COVERED.contains(&vector.captured.provider.as_str());
        is_plain && !headers(vector).is_empty()
    });
    check("header", any_change(vectors.len()), |which, at, by| {
        let vector = &vectors[which];
        let headers = headers(vector);
        let mut places = headers.iter().flat_map(|&i| (0..vector.captured.headers[i].1.len()).map(move |at| (i, at)));
        let count = headers.iter().map(|&i| vector.captured.headers[i].1.len()).sum();
        let (header, at) = places.nth(at.index(count)).unwrap();
        let mut captured = vector.captured.clone();
        let (name, value) = &mut captured.headers[header];
        let mut bytes = value.clone().into_bytes();
        // What is no text cannot stand in a captured request, and is refused as one.
        bytes[at] = (bytes[at] ^ by) & 0x7f;
        let changed = String::from_utf8(bytes).unwrap();
        // Hexadecimal has two cases, and so have the names of HTTP's schemes.
        if changed.eq_ignore_ascii_case(value) {
            return None;
        }
        let what = format!("{name}: {value} -> {changed}");
        *value = changed;
        Some((captured, what))
    });
}

/// The headers of a request that hold its signature or are signed, by their number.
fn headers(vector: &Vector) -> Vec<usize> {
    let signed = Signed::by(vector.preset());
    let counts = |name: &str| {
        let name = name.to_lowercase();
        let numbered = |known: &String| known.strip_suffix('*').is_some_and(|front| name.starts_with(front));
        signed.covered.contains(&name) || signed.signatures.contains(&name) || signed.signatures.iter().any(numbered)
    };
    vector.captured.headers.iter().enumerate().filter(|(_, (name, _))| counts(name)).map(|(i, _)| i).collect()
}
