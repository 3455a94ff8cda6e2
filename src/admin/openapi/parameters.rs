//! Parameters of queries, as they are described: a line each. What reads them is [`crate::admin::parameters`]; a test compares both.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema};

use crate::admin::parameters::{LIMIT_DEFAULT, LIMIT_MAX};

/// An optional parameter whose values are those of `T`.
pub(in crate::admin) fn query<T: PartialSchema>(name: &str, about: &str) -> Parameter {
    described(name, about, T::schema())
}

/// An optional parameter with text of so many bytes at most.
pub(in crate::admin) fn text(name: &str, about: &str, length_max: Option<usize>) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(length_max);
    described(name, about, text.build().into())
}

/// An optional parameter that is one of these words.
pub(in crate::admin) fn word<const N: usize>(name: &str, about: &str, words: [&str; N]) -> Parameter {
    let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    described(name, about, word.build().into())
}

fn described(name: &str, about: &str, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

/// `limit` and `cursor` of every list.
pub(in crate::admin) struct PageParameters;

impl IntoParams for PageParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(LIMIT_MAX))
            .default(Some(LIMIT_DEFAULT.into()));
        vec![
            described("limit", "So many items at most.", limit.build().into()),
            text("cursor", "Where the page begins: the `next` of an earlier one.", None),
        ]
    }
}
