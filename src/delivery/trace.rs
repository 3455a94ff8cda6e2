//! The trace that an attempt belongs to ([W3C Trace Context](https://www.w3.org/TR/trace-context-2/)): the sender's goes on, and
//! where there is none, one begins. Each attempt is a span of its own.
//!
//! The relay sends no spans anywhere. It only keeps what others send connected.

use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use crate::record::EventId;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The flags that have a meaning: sampled, and an id that is random. All others must be zero.
const KNOWN_FLAGS: u8 = 0b11;
/// What begins here is marked as sampled: otherwise an application that follows its caller would record nothing of it.
const SAMPLED: u8 = 0b01;

/// A trace, as far as it is passed on.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    id: [u8; 16],
    flags: u8,
}

/// Makes an attempt of `event` part of its trace, as the span `span`. `headers`: what came in and goes out.
pub(super) fn follow(headers: &mut HeaderMap, event: EventId, span: u64) -> Result<(), http::Error> {
    let came = {
        let mut all = headers.get_all(TRACEPARENT).iter();
        all.next().filter(|_| all.next().is_none()).and_then(|value| parse(value.as_bytes()))
    };
    if came.is_none() {
        // It speaks of a trace that nobody knows.
        headers.remove(TRACESTATE);
    }
    let Trace { id, flags } = came.unwrap_or_else(|| begin(event));
    // Zero stands for no span.
    let text = format!("00-{}-{:016x}-{flags:02x}", hex::encode(id), span.max(1));
    headers.insert(TRACEPARENT, HeaderValue::try_from(text)?);
    Ok(())
}

/// A trace that begins with an event: the same at each attempt, and spread evenly, as those expect who record a part of all traces.
fn begin(event: EventId) -> Trace {
    let digest = Sha256::digest(event.to_string());
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    Trace { id, flags: SAMPLED }
}

/// The trace of a `traceparent`; `None` where it is not valid. What later versions add is not passed on, since nobody here knows it.
fn parse(value: &[u8]) -> Option<Trace> {
    let fields = std::str::from_utf8(value).ok()?;
    let mut fields = fields.split('-');
    let [version] = bytes(fields.next()?)?;
    let (id, parent, [flags]) = (bytes::<16>(fields.next()?)?, bytes::<8>(fields.next()?)?, bytes(fields.next()?)?);
    let is_whole = version > 0 || fields.next().is_none();
    let is_good = version != 0xff && is_whole && id != [0; 16] && parent != [0; 8];
    is_good.then_some(Trace { id, flags: flags & KNOWN_FLAGS })
}

/// So many bytes in lower-case hex.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    (is_lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventIds;
    use crate::time::Timestamp;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn event() -> EventId {
        EventIds::default().next(Timestamp::from_ms(1_790_000_000_000), 7)
    }

    /// The `traceparent` and the `tracestate`s that leave.
    fn followed(parents: &[&str], states: &[&str]) -> (String, Vec<String>) {
        let mut headers = HeaderMap::new();
        for (name, values) in [(TRACEPARENT, parents), (TRACESTATE, states)] {
            for value in values {
                headers.append(&name, HeaderValue::from_str(value).unwrap());
            }
        }
        follow(&mut headers, event(), 0xabc).unwrap();
        assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
        let states = headers.get_all(TRACESTATE).iter().map(|value| value.to_str().unwrap().to_owned());
        (headers[TRACEPARENT].to_str().unwrap().to_owned(), states.collect())
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_the_attempt() {
        let flags = [("00", "00"), ("01", "01"), ("03", "03"), ("ff", "03")];
        for (came, leaves) in flags {
            let (parent, states) = followed(&[&format!("00-{ID}-{PARENT}-{came}")], &["a=1, b=2", "c=3"]);
            assert_eq!(parent, format!("00-{ID}-0000000000000abc-{leaves}"));
            assert_eq!(states, ["a=1, b=2", "c=3"]);
        }
        let later = followed(&[&format!("cc-{ID}-{PARENT}-01-what-will-be")], &[]);
        assert_eq!(later.0, format!("00-{ID}-0000000000000abc-01"));
        assert_eq!(followed(&[&format!("cc-{ID}-{PARENT}-01")], &[]).0, later.0);
    }

    #[test]
    fn without_a_valid_one_a_trace_begins_and_is_the_same_at_each_attempt() {
        let good = format!("00-{ID}-{PARENT}-01");
        let (begun, _) = followed(&[], &["a=1"]);
        assert!(begun.starts_with("00-") && begun.ends_with("-0000000000000abc-01") && begun.len() == 55, "{begun}");
        let bad = [
            String::new(),
            good.to_uppercase(),
            format!("{good}-more"),
            format!("{good}-"),
            format!("ff-{ID}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", "0".repeat(32)),
            format!("00-{ID}-{}-01", "0".repeat(16)),
            format!("00-{ID}-{PARENT}-1"),
            format!("00-{ID}-{PARENT}"),
            format!("00-{ID}x-{PARENT}-01"),
            format!("00-{ID}-{PARENT}-0x"),
            format!("cc-{ID}-{PARENT}-01more"),
        ];
        for bad in &bad {
            assert_eq!(followed(&[bad], &["a=1"]), (begun.clone(), Vec::new()), "{bad}");
        }
        // Nobody knows which of two it is.
        assert_eq!(followed(&[&good, &good], &["a=1"]), (begun, Vec::new()));
    }
}
