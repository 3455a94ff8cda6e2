//! `ETag` and `If-None-Match`, described at each operation that may answer 304: that it may is said once, where its answers are
//! (`Kept`), and what goes with it is added here.

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Header, HeaderBuilder, RefOr, Required};

/// An entity tag (RFC 9110, 8.8.3), as this API makes them: an id or a hash.
const TAG: &str = r#"^"[0-9a-f-]+"$"#;

/// Adds them where a caller can have the answer already.
pub(super) fn add(operation: &mut Operation) {
    let answers = &mut operation.responses.responses;
    if !answers.contains_key("304") {
        return;
    }
    for status in ["200", "304"] {
        if let Some(RefOr::T(answer)) = answers.get_mut(status) {
            answer.headers.insert("ETag".to_owned(), RefOr::T(tag()));
        }
    }
    operation.parameters.get_or_insert_default().push(RefOr::T(known()));
}

fn tag() -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(TAG));
    let about = "Stands for this answer. What is shown with masks may have none.";
    HeaderBuilder::new().schema(Some(text)).description(Some(about)).build()
}

fn known() -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String);
    ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The `ETag` of what the caller has: where that is still the answer, it is 304 and has no body."))
        .schema(Some(text))
        .build()
}
