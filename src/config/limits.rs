//! `[limits]`: bounds of the whole relay, and rates.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::key::{Key, Kind, Others, Table};
use super::settings::{EdgeLimits, Limits};
use super::table::Section;
use super::value::Value;
use crate::pace::meter::Meter;

/// Larger than any provider's webhook; keeps one body from taking the memory.
const BODY_BYTES_DEFAULT: u64 = 10 << 20;
/// A body is held in memory while it is received and stored.
pub(super) const BODY_BYTES: RangeInclusive<u64> = 1..=1 << 30;
/// Of all bodies at once.
const BODY_BYTES_IN_FLIGHT_DEFAULT: u64 = 256 << 20;
const BODY_BYTES_IN_FLIGHT: RangeInclusive<u64> = 1..=1 << 40;
/// More than a process may have files open on most systems.
const CONNECTIONS_MAX: u64 = 1_000_000;
const CONNECTIONS_DEFAULT: usize = 10_000;
/// Slower than any network that a provider has; faster than somebody who holds connections open.
const BODY_BYTES_PER_SECOND_DEFAULT: u64 = 1000;
const BODY_BYTES_PER_SECOND: RangeInclusive<u64> = 1..=1 << 30;
/// An answer that a sender waits for, and a tenth of the time after which many of them give up.
const ACCEPT_WITHIN_DEFAULT: Duration = Duration::from_secs(1);
/// Less than a disk that spins may need; no sender waits for longer.
const ACCEPT_WITHIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// Deliveries that are counted.
const PENDING: RangeInclusive<u64> = 1..=u32::MAX as u64;
/// Of connections and handshakes.
const NUMBER: RangeInclusive<u64> = 1..=u32::MAX as u64;
/// Less is no time in which somebody can ask; what lives for more than a week follows no change of its surroundings.
const TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 60 * 60);
/// More than one connection can carry.
const STREAMS: RangeInclusive<u64> = 1..=10_000;
/// What 32 KiB of head can hold, roughly.
const HEADER_FIELDS: RangeInclusive<u64> = 1..=1000;
/// As good as any number.
const REQUESTS: RangeInclusive<u64> = 1..=1_000_000_000_000;
const PER_SECOND: RangeInclusive<f64> = Meter::PER_SECOND_MIN..=Meter::PER_SECOND_MAX;
const BURST: RangeInclusive<u64> = 1..=Meter::BURST_MAX as u64;
/// A rate: a number, whose burst is what comes in a second, or both.
pub(super) const METER: Kind = Kind::Either(&[Kind::Number(PER_SECOND), Kind::Table(&RATE)]);

pub(super) static KEYS: Table = Table {
    name: "[limits]",
    tells: "Bounds of the whole relay. [EDGE.md](EDGE.md#rates-and-limits) tells more.",
    example: r#"
[limits]
body = "2MiB"
connections = 5000
per_second_per_address = { rate = 50, burst = 100 }
"#,
    keys: &[
        Key::new(
            "body",
            Kind::Size(BODY_BYTES),
            "One body; a source can say its own. A larger one is refused with 413, never cut.",
        )
        .or("\"10MiB\""),
        Key::new("body_bytes_in_flight", Kind::Size(BODY_BYTES_IN_FLIGHT), "All bodies that are being received or stored.")
            .or("\"256MiB\""),
        Key::new("connections", Kind::Integer(1..=CONNECTIONS_MAX), "Connections of providers at once.").or("10000"),
        Key::new(
            "body_rate",
            Kind::Size(BODY_BYTES_PER_SECOND),
            "In a second: a body that comes more slowly, after 10 s of grace, is refused with 408.",
        )
        .or("\"1000B\""),
        Key::new("pending", Kind::Integer(PENDING), "Deliveries that wait. With so many, new events are refused with 503.")
            .or_else("as many as there is room for"),
        Key::new(
            "accept_within",
            Kind::Duration(ACCEPT_WITHIN),
            "An event that is taken is durable within so long. Where more come than that allows, some are refused with 503 before they \
             are read.",
        )
        .or("\"1s\""),
        Key::new("connections_per_address", Kind::Integer(NUMBER), "Connections of one address at once; trusted proxies have any number.")
            .or_else("half of `connections`"),
        Key::new("handshakes", Kind::Integer(NUMBER), "TLS handshakes at once.").or_else("half of `connections`"),
        Key::new(
            "per_second_per_address",
            METER,
            "Requests of one address in a second: a number, or a [rate](#rate) with its burst. More are refused with 429. An IPv6 \
             network of 64 bits is one address.",
        )
        .or_else("as many as come"),
        Key::new("header_fields", Kind::Integer(HEADER_FIELDS), "Header fields of one request.").or("100"),
        Key::new("http2_streams", Kind::Integer(STREAMS), "Requests at once on one connection of HTTP/2.").or("100"),
        Key::new("requests_per_connection", Kind::Integer(REQUESTS), "Requests on one connection, which is then closed in order.")
            .or("10000"),
        Key::new("connection_age", Kind::Duration(TIME), "A connection that is so old is closed in order.").or("\"1h\""),
        Key::new(
            "keep_alive",
            Kind::Duration(TIME),
            "So is one on which nothing was asked for so long; one of HTTP/1.1 after 15 s at most.",
        )
        .or("\"60s\""),
    ],
    later: &[],
    others: Others::None,
};

static RATE: Table = Table {
    name: "rate",
    tells: "In `[limits]` or a source: so many in a second, and how many at once after a quiet time.",
    example: r#"
[limits]
per_second_per_address = { rate = 0.5, burst = 30 }
"#,
    keys: &[
        Key::needed("rate", Kind::Number(PER_SECOND), "So many in a second."),
        Key::new("burst", Kind::Integer(BURST), "So many at once.").or_else("what comes in a second"),
    ],
    later: &[],
    others: Others::None,
};

pub(super) fn prove(mut section: Section<'_>) -> Limits {
    let written = section.take("body_bytes_in_flight");
    let in_flight = written.as_ref().and_then(|value| value.size(BODY_BYTES_IN_FLIGHT)).unwrap_or(BODY_BYTES_IN_FLIGHT_DEFAULT);
    let connections = section
        .or("connections", CONNECTIONS_DEFAULT, |value| value.integer(1..=CONNECTIONS_MAX).and_then(|n| usize::try_from(n).ok()));
    let limits = Limits {
        body_bytes: section.or("body", BODY_BYTES_DEFAULT.min(in_flight), |value| body(&value, in_flight)),
        body_bytes_in_flight: in_flight,
        connections,
        body_bytes_per_second: section.or("body_rate", BODY_BYTES_PER_SECOND_DEFAULT, |value| value.size(BODY_BYTES_PER_SECOND)),
        pending: section.take("pending").and_then(|value| value.integer(PENDING)),
        accept_within: section.or("accept_within", ACCEPT_WITHIN_DEFAULT, |value| value.duration(ACCEPT_WITHIN)),
        edge: edge(&mut section, connections),
    };
    section.finish();
    limits
}

/// The bytes of one body, which must fit into those of all.
pub(super) fn body(value: &Value<'_>, in_flight: u64) -> Option<u64> {
    let bytes = value.size(BODY_BYTES)?;
    if bytes > in_flight {
        return value.error("is more than limits.body_bytes_in_flight: such a body could never be received");
    }
    Some(bytes)
}

/// What of `[limits]` is about connections and requests.
fn edge(section: &mut Section<'_>, connections: usize) -> EdgeLimits {
    let usual = EdgeLimits::of(connections);
    let number = |value: Value<'_>| value.integer(NUMBER).and_then(|n| usize::try_from(n).ok());
    EdgeLimits {
        connections_per_address: section.or("connections_per_address", usual.connections_per_address, number),
        handshakes: section.or("handshakes", usual.handshakes, number),
        per_second_per_address: section.take("per_second_per_address").and_then(|value| meter(&value)),
        header_fields: section
            .or("header_fields", usual.header_fields, |value| value.integer(HEADER_FIELDS).and_then(|n| usize::try_from(n).ok())),
        http2_streams: section
            .or("http2_streams", usual.http2_streams, |value| value.integer(STREAMS).and_then(|n| u32::try_from(n).ok())),
        requests_per_connection: section
            .or("requests_per_connection", usual.requests_per_connection, |value| value.integer(REQUESTS)),
        connection_age: section.or("connection_age", usual.connection_age, |value| value.duration(TIME)),
        keep_alive: section.or("keep_alive", usual.keep_alive, |value| value.duration(TIME)),
    }
}

/// A rate: a number, whose burst is what comes in a second, or both.
pub(super) fn meter(value: &Value<'_>) -> Option<Meter> {
    let (rate, burst) = match value.is_table() {
        false => (value.number(PER_SECOND)?, None),
        true => {
            let mut section = value.inner()?;
            let rate = section.require("rate", "write rate = 50").and_then(|value| value.number(PER_SECOND));
            let burst = section.take("burst").map(|value| value.integer(BURST));
            section.finish();
            (rate?, burst.map_or(Some(None), |burst| burst.map(Some))?)
        }
    };
    // A rate is no larger than the largest burst.
    let burst = burst.and_then(|burst| u32::try_from(burst).ok()).unwrap_or((rate.ceil() as u32).clamp(1, Meter::BURST_MAX));
    Meter::try_new(rate, burst).map_or_else(|bad| value.error(&bad.to_string()), Some)
}
