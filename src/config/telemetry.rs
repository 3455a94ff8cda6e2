//! `[telemetry]`: what is told of the relay's work to others.

use std::ops::RangeInclusive;

use super::key::{Key, Kind, Others, Table};
use super::settings::Traces;
use super::table::Section;
use super::value::Value;
use super::{certificates, destination, web};

/// As whom the relay is known where nothing is said.
const SERVICE: &str = "hookhold";

pub(super) static KEYS: Table = Table {
    name: "[telemetry]",
    tells: "What is told of the relay's work to others. [TRACES.md](TRACES.md) tells more.",
    example: r#"
[telemetry]
traces = { otlp = "http://collector.internal:4318", sample = 0.1 }
"#,
    keys: &[Key::new("traces", Kind::Table(&TRACES), "Where spans of accept, commit and attempt go.").or_else("nowhere")],
    later: &["metrics", "logs"],
    others: Others::None,
};

static TRACES: Table = Table {
    name: "traces",
    tells: "In `[telemetry]`: a collector that takes OTLP over HTTP.",
    example: r#"
[telemetry.traces]
otlp = "https://collector.example.com:4318"
headers = { authorization = { env = "COLLECTOR_TOKEN" } }
service = "hookhold-eu"
"#,
    keys: &[
        Key::needed("otlp", Kind::Text, "Its URL; `/v1/traces` is added where it is not there."),
        Key::new("sample", Kind::Number(SAMPLE), "The share of the traces that begin here of which spans are recorded.")
            .or("1.0"),
        Key::new("headers", Kind::Named(&destination::HEADER), "Fields of each request."),
        Key::new("service", Kind::Text, "As whom the relay is known there (`service.name`).").or("\"hookhold\""),
        Key::new("ca", Kind::Text, "A file with the only roots that are trusted.").or_else("those of the web"),
    ],
    later: &[],
    others: Others::None,
};

/// All of them, or any part.
const SAMPLE: RangeInclusive<f64> = 0.0..=1.0;

/// `traces`, where they are wanted.
pub(super) fn prove(mut section: Section<'_>) -> Option<Traces> {
    let traces = section.take("traces").and_then(|value| traces(&value));
    section.finish();
    traces
}

fn traces(value: &Value<'_>) -> Option<Traces> {
    let mut section = value.inner()?;
    let otlp = section.require("otlp", "write otlp = \"http://collector:4318\", where a collector takes OTLP over HTTP");
    let url = otlp.and_then(|value| web::collector(&value));
    let sample = section.or("sample", 1.0, |value| value.number(SAMPLE));
    let service = section.or("service", SERVICE, |value| value.text()).to_owned();
    let headers = destination::headers(&mut section, None);
    let ca = section.take("ca");
    if let (Some(ca), Some("http")) = (&ca, url.as_ref().map(url::Url::scheme)) {
        ca.warn("has no effect: the URL is not https", None);
    }
    let ca = ca.map(|value| certificates::roots(&value));
    section.finish();
    Some(Traces { url: url?, sample, headers, service, ca: ca.map_or(Some(None), |ca| ca.map(Some))? })
}
