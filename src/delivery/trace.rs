//! The fields by which an application's trace goes on from the attempt ([W3C Trace Context](https://www.w3.org/TR/trace-context-2/)).
//!
//! Which trace it is, `telemetry` says; whether anybody records it does not matter here.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::{self, SpanId, Trace};

const TRACEPARENT: HeaderName = HeaderName::from_static(telemetry::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(telemetry::TRACESTATE);

/// Makes an attempt part of `trace`, as the span `span`. `headers`: what came in and goes out.
pub(super) fn follow(headers: &mut HeaderMap, trace: &Trace, span: SpanId) -> Result<(), http::Error> {
    if trace.sender.is_none() {
        // It speaks of a trace that nobody knows.
        headers.remove(TRACESTATE);
    }
    let mut text = *b"00-iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii-ssssssssssssssss-ff";
    let parts: [(usize, &[u8]); 3] = [(3, &trace.id), (36, &span), (53, &[trace.flags])];
    for (at, bytes) in parts {
        // As long as the letters that stand for it, so it fits.
        let _ = hex::encode_to_slice(bytes, &mut text[at..at + 2 * bytes.len()]);
    }
    headers.insert(TRACEPARENT, HeaderValue::from_bytes(&text)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EventId, EventIds};
    use crate::telemetry::{Spans, span_id};
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
        let came = headers.get_all(TRACEPARENT).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
        let trace = Trace::of(event(), came, &Spans::default());
        follow(&mut headers, &trace, span_id(0xabc)).unwrap();
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
