//! From relay.toml as written to the settings as proven: each section by itself, then what they say of each other.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::{File, Named};
use super::problem::Severity;
use super::reading::Reading;
use super::route::Routes;
use super::settings::{Limits, Mask, Settings, Source, Tls};
use super::source::Address;
use super::{admin, alerts, destination, limits, listen, mask, relay, source, telemetry};
use crate::record::Name;

/// `None` where a part cannot be made; the reason was then reported.
pub(super) fn prove(file: File<'_>, reading: &Reading<'_>) -> Option<Settings> {
    if file.sources.is_empty() {
        reading.report(Severity::Warning, 0, "sources: there is none, so nothing can be received".to_owned(), None);
    }
    let folder = reading.folder.to_path_buf();
    let listen = listen::listen(file.listen);
    let shown = relay::tls(file.tls, folder.clone(), listen.as_ref());
    reading.is_development.set(matches!(shown, Some((Tls::SelfSigned { .. }, ..))));
    let admin = admin::prove(file.admin, listen.as_ref(), shown.as_ref().is_none_or(relay::shows_any));
    let store = relay::store(file.store, folder);
    let limits = limits::prove(file.limits);
    let log = relay::log(file.log);
    let has_alerts = file.alerts.is_some();
    let alerts = file.alerts.and_then(alerts::prove);
    let traces = telemetry::prove(file.telemetry);
    let routes = Routes::prove(file.routes, &file.sources, &file.destinations);
    let sources = sources(file.sources, &routes, (&limits, &admin.mask, has_alerts), reading);
    let destinations = file.destinations.into_iter().filter_map(destination::prove).map(Arc::new).collect();
    let (listen, (tls, acme, tls_min)) = (listen?, shown?);
    Some(Settings { listen, tls, acme, tls_min, admin, store, limits, log, alerts, traces, sources, destinations })
}

/// `all`: what counts for all of them, where they say nothing else, or something more.
fn sources(
    written: Vec<Named<'_>>,
    routes: &Routes,
    (limits, all, has_alerts): (&Limits, &Mask, bool),
    reading: &Reading<'_>,
) -> Vec<Arc<Source>> {
    let mut taken: HashMap<Address, Name> = HashMap::new();
    let mut sources = Vec::new();
    for mut named in written {
        let address = source::address(&mut named);
        if let Some(address) = &address {
            if let Some(other) = taken.get(address) {
                named
                    .section
                    .key_error::<()>("path", &format!("path is that of source {:?}, too, on the same host", other.as_str()));
            }
            taken.entry(address.clone()).or_insert_with(|| named.name.clone());
        }
        let (routed, at) = (routes.of(&named.name), named.section.at());
        let own = mask::read(&mut named.section);
        let Some(mut source) = source::prove(named, address, routed, limits) else { continue };
        source.mask = masked(&source, all.joined(&own));
        warn_of_types(&source, reading, at);
        warn_of_clients(&source, reading, at);
        if source.expect_every.is_some() && !has_alerts {
            let message = format!("sources.{}: expect_every has no effect: there is no table [alerts]", source.name);
            reading.report(Severity::Warning, at, message, Some("write [alerts] with to = [...]".to_owned()));
        }
        sources.push(Arc::new(source));
    }
    sources
}

/// The mask of a source, and its own secret where that stands in the body.
fn masked(source: &Source, mask: Mask) -> Mask {
    let shown = source.verifier.scheme().into_iter().flat_map(|scheme| scheme.shown_secrets());
    shown.fold(mask, Mask::with_pointer)
}

/// Warns of a source whose events have no type although its routes ask for one. `at`: where it stands.
fn warn_of_types(source: &Source, reading: &Reading<'_>, at: usize) {
    if source.routes.reads_type() && !source.verifier.names_type() {
        let message = format!("sources.{}: its provider names no type of an event, which its routes ask for", source.name);
        reading.report(Severity::Warning, at, message, Some("ask for a header or a value of the body instead".to_owned()));
    }
}

/// Warns of a source whose senders show no certificate although its routes ask for one.
fn warn_of_clients(source: &Source, reading: &Reading<'_>, at: usize) {
    if source.routes.reads_client() && source.client_ca.is_none() {
        let message = format!("sources.{}: its senders show no certificate, which its routes ask for", source.name);
        reading.report(Severity::Warning, at, message, Some("write client_ca = \"FILE\"".to_owned()));
    }
}
