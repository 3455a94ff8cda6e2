//! `[telemetry]`: what is told of the relay's work to others.

use super::settings::Traces;
use super::table::Section;
use super::value::Value;
use super::{certificates, destination, web};

/// As whom the relay is known where nothing is said.
const SERVICE: &str = "hookhold";

/// `traces`, where they are wanted.
pub(super) fn prove(mut section: Section<'_>) -> Option<Traces> {
    let traces = section.take("traces").and_then(|value| traces(&value));
    section.finish(&["metrics", "logs"]);
    traces
}

fn traces(value: &Value<'_>) -> Option<Traces> {
    let mut section = value.inner()?;
    let otlp = section.require("otlp", "write otlp = \"http://collector:4318\", where a collector takes OTLP over HTTP");
    let url = otlp.and_then(|value| web::collector(&value));
    let sample = section.or("sample", 1.0, |value| value.number(0.0..=1.0));
    let service = section.or("service", SERVICE, |value| value.text()).to_owned();
    let headers = destination::headers(&mut section, None);
    let ca = section.take("ca");
    if let (Some(ca), Some("http")) = (&ca, url.as_ref().map(url::Url::scheme)) {
        ca.warn("has no effect: the URL is not https", None);
    }
    let ca = ca.map(|value| certificates::roots(&value));
    section.finish(&[]);
    Some(Traces { url: url?, sample, headers, service, ca: ca.map_or(Some(None), |ca| ca.map(Some))? })
}
