//! relay.toml as written: its sections, found and named, nothing proved. What is no section at all is reported here.

use toml::de::DeTable;

use super::key::{Key, Kind, Others, Table};
use super::reading::Reading;
use super::table::Section;
use super::value::Value;
use super::{admin, alerts, destination, limits, listen, relay, route, source, telemetry};
use crate::record::Name;

/// What a relay.toml can say.
pub(super) static KEYS: Table = Table {
    name: "relay.toml",
    tells: "The sections of the file. `hookhold check` proves it, and names every problem with line and column.",
    example: r#"
[listen]
https = "127.0.0.1:8443"

[tls]
self_signed = true

[sources.demo]
path = "/in/demo"
provider = "standard-webhooks"
secrets = [{ file = "certs/demo-secret" }]

[destinations.app]
url = "http://127.0.0.1:3000/webhooks"

[[routes]]
from = "demo"
to = ["app"]
"#,
    keys: &[
        Key::needed("listen", Kind::Table(&listen::KEYS), "Where providers reach the relay."),
        Key::new(
            "tls",
            Kind::Table(&relay::TLS),
            "The certificates of its addresses. It must be there where one of them speaks TLS.",
        ),
        Key::new("admin", Kind::Table(&admin::KEYS), "Dashboard, API and metrics."),
        Key::new("store", Kind::Table(&relay::STORE), "Where events are kept, and how long."),
        Key::new("limits", Kind::Table(&limits::KEYS), "Bounds of the whole relay."),
        Key::new("log", Kind::Table(&relay::LOG), "What is logged."),
        Key::new("telemetry", Kind::Table(&telemetry::KEYS), "What is told of the relay's work to others."),
        Key::new("alerts", Kind::Table(&alerts::KEYS), "When the relay says by itself that something is wrong, and to whom."),
        Key::new("sources", Kind::Named(&Kind::Table(&source::KEYS)), "Where webhooks enter, by name."),
        Key::new("destinations", Kind::Named(&Kind::Table(&destination::KEYS)), "Applications, by name."),
        Key::new(
            "routes",
            Kind::List(&Kind::Table(&route::KEYS)),
            "Which source's events go to which destinations: `[[routes]]`.",
        ),
    ],
    later: &[],
    others: Others::None,
};

/// The sections of a relay.toml. Those that are not there are empty.
pub(super) struct File<'a> {
    pub(super) listen: Section<'a>,
    pub(super) tls: Section<'a>,
    pub(super) admin: Section<'a>,
    pub(super) store: Section<'a>,
    pub(super) limits: Section<'a>,
    pub(super) log: Section<'a>,
    /// `None` where the file does not have it: then nothing alarms.
    pub(super) alerts: Option<Section<'a>>,
    pub(super) telemetry: Section<'a>,
    pub(super) sources: Vec<Named<'a>>,
    pub(super) destinations: Vec<Named<'a>>,
    pub(super) routes: Vec<Section<'a>>,
}

/// `[sources.NAME]` or `[destinations.NAME]`.
pub(super) struct Named<'a> {
    pub(super) name: Name,
    pub(super) section: Section<'a>,
}

impl<'a> File<'a> {
    pub(super) fn read(reading: &'a Reading<'a>, table: &'a DeTable<'a>) -> Self {
        let mut whole = Section::whole(reading, table, &KEYS);
        let file = Self {
            listen: whole.table("listen"),
            tls: whole.table("tls"),
            admin: whole.table("admin"),
            store: whole.table("store"),
            limits: whole.table("limits"),
            log: whole.table("log"),
            alerts: whole.take("alerts").and_then(|value| value.as_section("alerts")),
            telemetry: whole.table("telemetry"),
            sources: named(whole.table("sources")),
            destinations: named(whole.table("destinations")),
            routes: routes(&mut whole),
        };
        whole.finish();
        file
    }
}

/// The tables of a section whose keys are names.
fn named<'a>(section: Section<'a>) -> Vec<Named<'a>> {
    let read = |(key, value): (&str, Value<'a>)| {
        let table = value.as_section(&format!("{}.{key}", section.name()));
        match Name::try_new(key) {
            Ok(name) => table.map(|section| Named { name, section }),
            Err(bad) => section.key_error(key, &format!("the name {key:?} cannot be used: {bad}")),
        }
    };
    section.entries().into_iter().filter_map(read).collect()
}

fn routes<'a>(whole: &mut Section<'a>) -> Vec<Section<'a>> {
    let Some(routes) = whole.take("routes") else { return Vec::new() };
    if routes.is_table() {
        routes.error_help::<()>("is a list of tables", Some("write [[routes]] with two brackets".into()));
        return Vec::new();
    }
    routes.list().unwrap_or_default().iter().filter_map(|route| route.as_section("routes")).collect()
}
