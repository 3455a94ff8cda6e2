//! The trace that an event belongs to ([W3C Trace Context](https://www.w3.org/TR/trace-context-2/)): the sender's goes on, and where
//! there is none, one begins. It is told from the event alone, so it is the same at each attempt, days later and after a restart.

use sha2::{Digest, Sha256};

use super::Spans;
use crate::record::EventId;

/// Names a trace, the span that caused the request, and the trace's flags.
pub const TRACEPARENT: &str = "traceparent";
/// What those add to a trace who took part in it.
pub const TRACESTATE: &str = "tracestate";

/// The flags that have a meaning: sampled, and an id that is random. All others must be zero.
const KNOWN_FLAGS: u8 = 0b11;
/// Who sent it records it.
const SAMPLED: u8 = 0b01;
/// Bytes of a `tracestate` that everybody must pass on; a longer one is not recorded.
const STATE_BYTES_MAX: usize = 512;

/// A trace's id.
pub type TraceId = [u8; 16];
/// A span's id.
pub type SpanId = [u8; 8];

/// A trace, as far as it is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// Its flags.
    pub flags: u8,
    /// The sender's span; `None` where the trace begins here.
    pub sender: Option<SpanId>,
}

impl Trace {
    /// The trace of an event that came with these `traceparent`s.
    pub fn of<'a>(event: EventId, came: impl IntoIterator<Item = &'a [u8]>, spans: &Spans) -> Self {
        Self::came(came).unwrap_or_else(|| Self::begun(event, spans))
    }

    /// The trace of the one `traceparent` that came; `None` where there is none, or none that is valid, or more than one: nobody knows
    /// which of them it is.
    pub fn came<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut all = values.into_iter();
        all.next().filter(|_| all.next().is_none()).and_then(parse)
    }

    /// The trace that begins with an event. Its id is spread evenly, as those expect who record a part of all traces.
    fn begun(event: EventId, spans: &Spans) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&digest(event)[..16]);
        Self::begins(id, spans)
    }

    /// A trace that begins with something that is no event. Both are random numbers.
    pub fn anew(high: u64, low: u64, spans: &Spans) -> Self {
        // Zero stands for no trace.
        Self::begins(((u128::from(high) << 64) | u128::from(low.max(1))).to_be_bytes(), spans)
    }

    fn begins(id: TraceId, spans: &Spans) -> Self {
        Self { id, flags: if spans.sample(&id) { SAMPLED } else { 0 }, sender: None }
    }

    /// Whether its spans are recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// The span in which an event was accepted.
pub fn accept_span(event: EventId) -> SpanId {
    part(event, 16)
}

/// The span in which it was made durable.
pub fn commit_span(event: EventId) -> SpanId {
    part(event, 24)
}

/// The bytes of an event's digest that begin there.
fn part(event: EventId, start: usize) -> SpanId {
    let mut id = [0; 8];
    id.copy_from_slice(&digest(event)[start..start + 8]);
    id
}

/// A span of this random number.
pub fn span_id(number: u64) -> SpanId {
    // Zero stands for no span.
    number.max(1).to_be_bytes()
}

/// The sender's `tracestate`, in one text; empty where there is none that can be recorded.
pub fn state<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> String {
    let all = values.into_iter().collect::<Vec<_>>().join(&b","[..]);
    String::from_utf8(all).ok().filter(|state| state.len() <= STATE_BYTES_MAX && state.is_ascii()).unwrap_or_default()
}

/// From it come the ids of an event's trace and of its first spans.
fn digest(event: EventId) -> [u8; 32] {
    Sha256::digest(event.text(&mut [0; EventId::TEXT_BYTES])).into()
}

/// The trace of a `traceparent`; `None` where it is not valid. What later versions add is not passed on, since nobody here knows it.
fn parse(value: &[u8]) -> Option<Trace> {
    let fields = std::str::from_utf8(value).ok()?;
    let mut fields = fields.split('-');
    let [version] = bytes(fields.next()?)?;
    let (id, parent, [flags]) = (bytes::<16>(fields.next()?)?, bytes::<8>(fields.next()?)?, bytes(fields.next()?)?);
    let is_whole = version > 0 || fields.next().is_none();
    let is_good = version != 0xff && is_whole && id != [0; 16] && parent != [0; 8];
    is_good.then_some(Trace { id, flags: flags & KNOWN_FLAGS, sender: Some(parent) })
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
    use crate::metrics::Metrics;
    use crate::record::EventIds;
    use crate::time::Timestamp;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn one_that_is_valid_goes_on_with_its_flags() {
        let sender = Some([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        for (came, flags, is_sampled) in [("00", 0, false), ("01", 1, true), ("03", 3, true), ("fe", 2, false)] {
            let text = format!("00-{ID}-{PARENT}-{came}");
            let trace = Trace::came([text.as_bytes()]).unwrap();
            assert_eq!((hex::encode(trace.id).as_str(), trace.flags, trace.sender), (ID, flags, sender));
            assert_eq!(trace.is_sampled(), is_sampled);
            assert_eq!(Trace::came([text.as_bytes(), text.as_bytes()]), None);
        }
        assert_eq!(Trace::came([]), None);
    }

    #[test]
    fn an_events_ids_are_always_the_same_and_all_different() {
        let event = |n| EventIds::default().next(Timestamp::from_ms(1_790_000_000_000), n);
        let ids = |event| {
            let trace = Trace::of(event, [], &Spans::default());
            (trace.id, trace.flags, trace.sender, accept_span(event), commit_span(event))
        };
        assert_eq!(ids(event(7)), ids(event(7)));
        let ((a, flags, sender, accept, commit), (b, _, _, other, _)) = (ids(event(7)), ids(event(8)));
        assert!(a != b && accept != commit && accept != other && a[..8] != accept && a[8..] != accept);
        assert_eq!((flags, sender), (SAMPLED, None));
        // It is what earlier versions sent.
        assert_eq!(a, Sha256::digest(event(7).to_string())[..16]);
    }

    #[test]
    fn what_begins_here_is_marked_as_it_is_sampled() {
        let metrics = Metrics::new();
        let event = EventIds::default().next(Timestamp::from_ms(1_790_000_000_000), 7);
        let came = format!("00-{ID}-{PARENT}-01");
        for (sample, flags) in [(0.0, 0), (1.0, SAMPLED)] {
            let (spans, _queue) = Spans::wanted(sample, metrics.spans());
            assert_eq!(Trace::of(event, [&b"none"[..]], &spans).flags, flags);
            assert_eq!(Trace::anew(0, 0, &spans), Trace { id: 1u128.to_be_bytes(), flags, sender: None });
            // What came counts.
            assert!(Trace::of(event, [came.as_bytes()], &spans).is_sampled());
        }
    }

    #[test]
    fn a_state_is_one_text_or_none() {
        assert_eq!(state([&b"a=1, b=2"[..], b"c=3"]), "a=1, b=2,c=3");
        assert_eq!(state([&b"a=\xff"[..]]), "");
        assert_eq!((state(["x".repeat(512).as_bytes()]).len(), state(["x".repeat(513).as_bytes()])), (512, String::new()));
    }
}
