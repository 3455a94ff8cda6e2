//! The API's description: OpenAPI 3.1, made from the code that answers.
//!
//! A route is registered and described in one place: `#[utoipa::path]` on its handler, and `routes!` in its file's `routes()`.
//! What is true of every operation (no unknown parameters, who may call, an error is a problem document) is added here, so that
//! nobody has to say it again. `tests/it/openapi.rs` compares the description with a relay.
//! Never here: a word about one operation, but for the links between them.

pub(super) mod answers;
mod etags;
mod links;
pub(super) mod parameters;
pub(super) mod schema;

use std::sync::Arc;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use utoipa::ToSchema;
use utoipa::openapi::info::LicenseBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, Content, InfoBuilder, OpenApi, PathItem, RefOr, Schema, Server, Tag};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::parameters::NoParameters;
use super::problem::Document;
use super::{Context, etag};

/// Groups of operations, in the order in which they are shown.
const TAGS: [(&str, &str); 8] = [
    ("events", "Accepted, durable webhooks."),
    ("deliveries", "One event for one destination: the unit that is retried."),
    ("replays", "Old events, delivered again by a filter."),
    ("destinations", "Applications."),
    ("sources", "Where webhooks enter."),
    ("quarantine", "Requests that were not believed, kept aside."),
    ("alerts", "What is wrong, and who hears of it."),
    ("relay", "The relay as a whole."),
];

const ABOUT: &str = "What can be seen and done at a relay. JSON in and out; times are RFC 3339 in UTC with milliseconds, durations \
    whole milliseconds. Fields may be added later, none is removed or renamed. A parameter that is not known is an error; one without a \
    value is as good as not given. Errors are problem documents (RFC 9457).\n\nLists are newest first (or by name), in pages: `next` of one \
    page is the `cursor` of the next one, and `null` at the end. A page's work is bounded, so where few items fit it may have fewer than \
    `limit`, or none, and still a `next`. A cursor is a place in the list: it may be used with another filter, and stays good.\n\nWhere \
    tokens are configured (`[admin] tokens`), each call needs one; a viewer's may look, an operator's may change. Without tokens, which is \
    possible on loopback only, none is needed.\n\nA head that is no HTTP (400), a target of more than 64 KiB (414), and a head \
    with too many or too large fields (431) are refused before any operation is known: those answers have no body.";

const SECURITY: &str = "A token of `[admin] tokens`. Not needed where none is configured.";

/// The name of the security scheme.
const BEARER: &str = "token";

/// The description as it is served: the same bytes until the relay is another version.
pub(super) struct Described {
    bytes: Vec<u8>,
    tag: HeaderValue,
}

impl Described {
    pub(super) fn new(description: &OpenApi) -> Self {
        // Text, numbers and maps by text: writing them as JSON cannot fail.
        let bytes = serde_json::to_vec(description).unwrap_or_default();
        Self { tag: etag::of(&bytes), bytes }
    }

    /// As text with lines, for people and their tools.
    pub(super) fn pretty(description: &OpenApi) -> String {
        description.to_pretty_json().unwrap_or_default()
    }
}

pub(super) fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// This description.
///
/// It changes with the relay's version only, so it can be kept and asked for with `If-None-Match`.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "showDescription", tag = "relay",
    responses(
        (status = 200, description = "An OpenAPI 3.1 document.", body = serde_json::Value, content_type = "application/json"),
        answers::Kept,
    )
)]
async fn show(Extension(described): Extension<Arc<Described>>, headers: HeaderMap, _: NoParameters) -> Response {
    // It holds nothing of this relay's, so whoever may read it may keep it.
    let fields = [(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
    let known = etag::answer(&headers, described.tag.clone(), || {
        ([(CONTENT_TYPE, "application/json")], described.bytes.clone()).into_response()
    });
    (fields, known).into_response()
}

/// The router with its description, completed by what is true of every operation.
pub(super) fn described(routes: OpenApiRouter<Arc<Context>>) -> (Router<Arc<Context>>, OpenApi) {
    let (router, mut api) = routes.split_for_parts();
    api.info = InfoBuilder::new()
        .title("Hookhold's admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()))
        .build();
    api.servers = Some(vec![Server::new("/")]);
    api.tags = Some(TAGS.map(|(name, about)| tag(name, about)).into());
    api.security = Some(vec![SecurityRequirement::new(BEARER, [""; 0]), SecurityRequirement::default()]);
    let components = api.components.get_or_insert_with(Components::new);
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(SECURITY)).build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    components.schemas.insert(Document::name().into_owned(), <Document as utoipa::PartialSchema>::schema());
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        answers::add_those_of_all(operation);
        etags::add(operation);
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            without_null(body);
        }
    }
    links::add(&mut api);
    (router, api)
}

/// A body that may be left out is described as one that may be `null`, which is not the same.
fn without_null(body: &mut RequestBody) {
    for content in body.content.values_mut() {
        let RefOr::T(Content { schema: Some(schema), .. }) = content else { continue };
        let RefOr::T(Schema::OneOf(either)) = schema else { continue };
        let is_null =
            |one: &RefOr<Schema>| matches!(one, RefOr::T(Schema::Object(object)) if object.schema_type == Type::Null.into());
        either.items.retain(|one| !is_null(one));
        if let [only] = either.items.as_slice() {
            *schema = only.clone();
        }
    }
}

fn tag(name: &str, about: &str) -> Tag {
    TagBuilder::new().name(name).description(Some(about)).build()
}

/// The operations of a path.
fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = path;
    [get, put, post, delete, options, head, patch, trace].into_iter().flatten()
}
