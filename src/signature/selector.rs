//! Where a value stands in a request: a header, or a JSON pointer into the body.

/// Where a value stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A header's value; lower-case name.
    Header(String),
    /// A JSON pointer (RFC 6901) into the body.
    Pointer(String),
}
