//! Answers that operations share, so that each is described once: `responses((status = 200, ...), Missing, StoreTrouble)`.

use std::collections::BTreeMap;

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::admin::problem::Document;

/// The media type of problem documents.
pub(in crate::admin) const PROBLEM_TYPE: &str = "application/problem+json";

/// What an operation answers, by status.
type Answers = BTreeMap<String, RefOr<Response>>;

/// What the path names is not there.
pub(in crate::admin) struct Missing;

/// The state of what the path names, or of the relay, does not allow it.
pub(in crate::admin) struct Conflicts;

/// The body is too large, or of a type that is not taken. (That it cannot be read is 400, as a wrong parameter is.)
pub(in crate::admin) struct BadBodies;

/// What it is about cannot be used, for all the reasons in `problems`.
pub(in crate::admin) struct Unusable;

/// The store cannot read what it holds, or cannot do it now.
pub(in crate::admin) struct StoreTrouble;

/// The caller has it already.
pub(in crate::admin) struct Kept;

impl IntoResponses for Missing {
    fn responses() -> Answers {
        [problem("404", "What the path names is not there.")].into()
    }
}

impl IntoResponses for Conflicts {
    fn responses() -> Answers {
        [problem("409", "Its state, or that of the relay, does not allow it.")].into()
    }
}

impl IntoResponses for BadBodies {
    fn responses() -> Answers {
        [problem("413", "The body is larger than 64 KiB."), problem("415", "The body's `Content-Type` says that it is not JSON.")]
            .into()
    }
}

impl IntoResponses for Unusable {
    fn responses() -> Answers {
        [problem("422", "It cannot be used, for each of these reasons.")].into()
    }
}

impl IntoResponses for StoreTrouble {
    fn responses() -> Answers {
        let text = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let after = HeaderBuilder::new().schema(Some(text)).description(Some("Seconds, where another try is worth it.")).build();
        let (status, RefOr::T(later)) = problem("503", "It cannot be done now.") else { return Answers::new() };
        let later = ResponseBuilder::from(later).header("Retry-After", after).build();
        [problem("500", "What is stored cannot be read, or kept."), (status, later.into())].into()
    }
}

impl IntoResponses for Kept {
    fn responses() -> Answers {
        let answer = ResponseBuilder::new().description("`If-None-Match` names its `ETag`: the caller has it.");
        [("304".to_owned(), answer.build().into())].into()
    }
}

/// What any call can be answered with. `/healthz` and `/readyz`, which everybody may ask and which read nothing, say `security(())`.
pub(super) fn add_those_of_all(operation: &mut Operation) {
    if operation.security.is_some() {
        return;
    }
    let of_all = [
        problem("400", "A parameter, or the body, is not as described; `field` says which, where one is at fault."),
        problem("401", "A token is needed, or the one given is not known."),
        problem("403", "This caller may not do it."),
    ];
    for (status, answer) in of_all {
        operation.responses.responses.entry(status).or_insert(answer);
    }
}

/// A problem document with this status.
fn problem(status: &str, about: &str) -> (String, RefOr<Response>) {
    let content = Content::new(Some(Ref::from_schema_name(Document::name())));
    let answer = ResponseBuilder::new().description(about).content(PROBLEM_TYPE, content);
    (status.to_owned(), answer.build().into())
}
