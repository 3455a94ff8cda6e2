//! Where the routes send a stored event now, for its replay: as if it came in anew.

use std::sync::Arc;

use crate::config::settings::Source;
use crate::record::{Event, Name};
use crate::route::filter::Facts;
use crate::store::{Error, Store};

/// The destinations that `source` has for `event`. The body is read only where a route looks into it; one that is gone holds nothing.
pub async fn routed(store: &dyn Store, source: &Source, event: &Event) -> Result<Arc<[Name]>, Error> {
    let body = if source.routes.reads_body() { store.body(event.id).await?.unwrap_or_default() } else { Default::default() };
    let facts = Facts { kind: event.kind.as_deref(), method: &event.method, headers: &event.headers, body: &body };
    Ok(source.choose(facts).names(&source.destinations))
}
