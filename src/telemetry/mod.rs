//! Traces: which trace something belongs to, its spans, and the handle that takes them.
//!
//! Where nobody asked for traces, [`Spans`] is empty, and whoever would record something asks only that. A span never waits: where
//! there is no room for it, it is dropped and counted. Never here: a header, a query or a body of a request that was not believed.

mod span;
mod trace;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use span::{Kind, Link, Span, Value};
pub use trace::{SpanId, TRACEPARENT, TRACESTATE, Trace, TraceId, accept_span, commit_span, span_id, state};

use crate::metrics::SpanMetrics;

/// Spans that wait for the exporter: seconds of a busy relay, and a few MiB at most.
const WAITING_MAX: usize = 4096;
/// So many places those cannot take of whom nobody knows who they are.
const KEPT_FREE: usize = WAITING_MAX / 2;

/// Takes spans, where traces are wanted.
#[derive(Clone, Debug, Default)]
pub struct Spans(Option<Arc<Wanted>>);

#[derive(Debug)]
struct Wanted {
    /// The half of a trace's id that is random must be below it.
    below: u64,
    queue: mpsc::Sender<Span>,
    metrics: Arc<SpanMetrics>,
}

impl Spans {
    /// Takes spans of `sample` (0 to 1) of all traces that begin here; they come out at the other end. It ends with the last handle.
    pub fn wanted(sample: f64, metrics: Arc<SpanMetrics>) -> (Self, mpsc::Receiver<Span>) {
        let (queue, spans) = mpsc::channel(WAITING_MAX);
        (Self(Some(Arc::new(Wanted { below: threshold(sample), queue, metrics }))), spans)
    }

    /// Whether anything is recorded.
    pub fn are_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a trace that begins here is recorded. Where no trace is, it is marked so all the same: otherwise an application that
    /// follows its caller would record nothing of it.
    pub fn sample(&self, trace: &TraceId) -> bool {
        self.0.as_ref().is_none_or(|wanted| spread(trace) < wanted.below)
    }

    /// Hands a span to the exporter, if there is room for it.
    pub fn record(&self, span: Span) {
        self.put(span, 0);
    }

    /// The same for a request of which nobody knows who sent it: however many there are, others have room.
    pub fn record_of_stranger(&self, span: Span) {
        self.put(span, KEPT_FREE);
    }

    fn put(&self, span: Span, kept_free: usize) {
        let Some(Wanted { queue, metrics, .. }) = self.0.as_deref() else { return };
        if queue.capacity() <= kept_free || queue.try_send(span).is_err() {
            metrics.dropped(1);
        }
    }
}

/// What of a trace's id says whether it is recorded: the bits that others look at, too, less the lowest.
fn spread(trace: &TraceId) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *trace;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1
}

/// Below which [`spread`] is for so many of all ids.
fn threshold(sample: f64) -> u64 {
    const ALL: u64 = 1 << 63;
    // Within the range by then, and whole enough: 53 bits decide.
    (sample.clamp(0.0, 1.0) * ALL as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn span() -> Span {
        Span::of(&Trace::anew(1, 2, &Spans::default()), [1; 8], Kind::Internal, "commit")
    }

    #[test]
    fn so_much_of_all_traces_is_recorded_and_nested() {
        let metrics = Metrics::new();
        let ids: Vec<TraceId> =
            (0..4000u64).map(|n| Trace::anew(n, n.wrapping_mul(0x9e37_79b9_7f4a_7c15), &Spans::default()).id).collect();
        let taken = |sample| {
            let (spans, _queue) = Spans::wanted(sample, metrics.spans());
            ids.iter().filter(|id| spans.sample(id)).copied().collect::<Vec<_>>()
        };
        assert_eq!((taken(0.0).len(), taken(1.0).len()), (0, 4000));
        let (few, many) = (taken(0.25), taken(0.5));
        assert!((900..1100).contains(&few.len()) && (1900..2100).contains(&many.len()), "{} {}", few.len(), many.len());
        assert!(few.iter().all(|id| many.contains(id)));
        assert!(Spans::default().sample(&ids[0]));
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let metrics = Metrics::new();
        let (spans, mut queue) = Spans::wanted(1.0, metrics.spans());
        (0..WAITING_MAX).for_each(|_| spans.record_of_stranger(span()));
        assert_eq!(queue.len(), WAITING_MAX - KEPT_FREE);
        (0..WAITING_MAX).for_each(|_| spans.record(span()));
        assert_eq!(queue.len(), WAITING_MAX);
        let dropped = format!("hookhold_spans_total{{outcome=\"dropped\"}} {WAITING_MAX}");
        assert!(metrics.render().lines().any(|line| line == dropped), "{}", metrics.render());
        assert!(queue.try_recv().is_ok());
        Spans::default().record(span());
    }
}
