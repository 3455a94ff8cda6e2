//! Spans as OTLP writes them.

use prost::Message;

use super::messages::{AnyValue, Content, KeyValue, Link, Request, Resource, ResourceSpans, Scope, ScopeSpans, Span, Status};
use crate::telemetry::{self, Kind, Value};

/// Beside the trace's own flags: it is known whether the other span is somebody else's, and it is.
const HAS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
/// A status that is an error; what is no error has none.
const ERROR: i32 = 2;

/// A request that tells of `spans` of this service.
pub(super) fn request(service: &str, spans: Vec<telemetry::Span>) -> Vec<u8> {
    let attributes = vec![text("service.name", service), text("service.version", env!("CARGO_PKG_VERSION"))];
    let scope = Scope { name: "hookhold".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: spans.into_iter().map(span).collect() }];
    let resource_spans = vec![ResourceSpans { resource: Some(Resource { attributes }), scope_spans }];
    Request { resource_spans }.encode_to_vec()
}

fn span(span: telemetry::Span) -> Span {
    let parent_flags = if span.is_parent_remote { HAS_REMOTE | IS_REMOTE } else { HAS_REMOTE };
    Span {
        trace_id: span.trace.into(),
        span_id: span.id.into(),
        trace_state: span.state,
        parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
        name: span.name,
        kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns.max(span.start_ns),
        attributes: span.attributes.into_iter().map(attribute).collect(),
        links: span.link.map(link).into_iter().collect(),
        status: span.error.map(|why| Status { message: why.into_owned(), code: ERROR }),
        flags: u32::from(span.flags) | parent_flags,
    }
}

fn link(link: telemetry::Link) -> Link {
    Link { trace_id: link.trace.into(), span_id: link.span.into(), flags: HAS_REMOTE | IS_REMOTE }
}

fn attribute((name, value): (&'static str, Value)) -> KeyValue {
    let content = match value {
        Value::Text(text) => Content::Text(text.into_owned()),
        Value::Number(number) => Content::Number(number),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { content: Some(content) }) }
}

fn text(name: &'static str, text: &str) -> KeyValue {
    attribute((name, Value::Text(text.to_owned().into())))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
    use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

    use super::*;
    use crate::telemetry::{Spans, Trace};

    #[test]
    fn the_protocols_own_definitions_read_all_of_it() {
        let trace = Trace { sender: Some([3; 8]), ..Trace::anew(1, 2, &Spans::default()) };
        let mut one = telemetry::Span::of(&trace, [4; 8], Kind::Server, "accept gh");
        (one.parent, one.is_parent_remote, one.state) = (trace.sender, true, "a=1".to_owned());
        (one.start_ns, one.end_ns) = (1_790_000_000_000_000_001, 1_790_000_000_000_000_009);
        one.text("hookhold.source", "gh");
        one.number("http.response.status_code", 401);
        one.error = Some("mismatch".into());
        one.link = Some(telemetry::Link { trace: [5; 16], span: [6; 8] });
        // Its end is never before its start, as where a clock was set.
        let mut other = telemetry::Span::of(&trace, [7; 8], Kind::Client, "attempt app");
        (other.parent, other.start_ns) = (Some([4; 8]), 9);

        let read = ExportTraceServiceRequest::decode(&request("relay", vec![one, other])[..]).unwrap();
        let of = &read.resource_spans[0];
        let text = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| {
            let value = pair.value.clone().unwrap().value.unwrap();
            match value {
                any_value::Value::StringValue(text) => format!("{}={text}", pair.key),
                any_value::Value::IntValue(number) => format!("{}:{number}", pair.key),
                other => panic!("{other:?}"),
            }
        };
        let resource: Vec<_> = of.resource.as_ref().unwrap().attributes.iter().map(text).collect();
        assert_eq!(resource, ["service.name=relay".to_owned(), format!("service.version={}", env!("CARGO_PKG_VERSION"))]);
        assert_eq!(of.scope_spans[0].scope.as_ref().unwrap().name, "hookhold");
        let [one, other] = &of.scope_spans[0].spans[..] else { panic!("{read:?}") };
        assert_eq!((&one.trace_id[..], &one.span_id[..], &one.parent_span_id[..]), (&trace.id[..], &[4; 8][..], &[3; 8][..]));
        assert_eq!(
            (one.name.as_str(), one.kind(), one.flags, one.trace_state.as_str()),
            ("accept gh", SpanKind::Server, 0x301, "a=1")
        );
        assert_eq!((one.start_time_unix_nano, one.end_time_unix_nano), (1_790_000_000_000_000_001, 1_790_000_000_000_000_009));
        let attributes: Vec<_> = one.attributes.iter().map(text).collect();
        assert_eq!(attributes, ["hookhold.source=gh", "http.response.status_code:401"]);
        let status = one.status.as_ref().unwrap();
        assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "mismatch"));
        assert_eq!(
            (&one.links[0].trace_id[..], &one.links[0].span_id[..], one.links[0].flags),
            (&[5; 16][..], &[6; 8][..], 0x300)
        );
        assert_eq!((other.kind(), other.flags, &other.parent_span_id[..]), (SpanKind::Client, 0x101, &[4; 8][..]));
        assert_eq!((other.start_time_unix_nano, other.end_time_unix_nano), (9, 9));
        assert_eq!((&other.status, other.links.len(), other.trace_state.as_str()), (&None, 0, ""));
    }
}
