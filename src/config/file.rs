//! relay.toml as written: its sections, found and named, nothing proved. What is no section at all is reported here.

use toml::de::DeTable;

use super::reading::Reading;
use super::table::Section;
use super::value::Value;
use crate::record::Name;

/// The sections of a relay.toml. Those that are not there are empty.
pub(super) struct File<'a> {
    pub(super) listen: Section<'a>,
    pub(super) tls: Section<'a>,
    pub(super) admin: Section<'a>,
    pub(super) store: Section<'a>,
    pub(super) limits: Section<'a>,
    pub(super) log: Section<'a>,
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
        let mut whole = Section::whole(reading, table);
        let file = Self {
            listen: whole.table("listen"),
            tls: whole.table("tls"),
            admin: whole.table("admin"),
            store: whole.table("store"),
            limits: whole.table("limits"),
            log: whole.table("log"),
            telemetry: whole.table("telemetry"),
            sources: named(whole.table("sources")),
            destinations: named(whole.table("destinations")),
            routes: routes(&mut whole),
        };
        whole.finish(&["alerts", "trusted_proxies"]);
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
