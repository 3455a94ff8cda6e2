//! A request as schemes look at it: its parts by name. A part that stands there twice is refused, because the application could
//! read the other one.

use std::borrow::Cow;

use serde_json::Value;

use super::Reason;
use super::address::{self, Base};
use super::body::Body;
use super::form;
use super::json;
use super::multipart;
use super::signed::Settings;
use super::written::Place;
use crate::pointer::{self, Scalar};
use crate::record::{Headers, Received};

const CONTENT_TYPE: &str = "content-type";
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// The parts of a request that a scheme can name.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) authority: &'a str,
    /// What the provider calls; `None`: the host that it named.
    pub(super) base: Option<&'a Base>,
    pub(super) headers: &'a Headers,
    pub(super) body: Body<'a>,
    pub(super) unpacked: Unpacked<'a>,
}

/// What stands beside the request itself.
#[derive(Clone, Copy, Default)]
pub(super) struct Unpacked<'a> {
    /// The header of its token, or the JSON around its signature.
    pub(super) envelope: Option<&'a Value>,
    /// What was signed, where that is JSON and not the body.
    pub(super) claims: Option<&'a Value>,
    /// What its source says of itself.
    pub(super) settings: Option<&'a Settings>,
}

impl<'a> View<'a> {
    /// Of a received request.
    pub(super) fn new(received: &'a Received, base: Option<&'a Base>, gunzip: bool) -> Self {
        Self {
            method: &received.method,
            target: &received.target,
            authority: &received.authority,
            base,
            headers: &received.headers,
            body: Body::new(&received.body, gunzip),
            unpacked: Unpacked::default(),
        }
    }

    /// The one header of that name (lower case); `None` where it is missing or empty.
    pub(super) fn header(&self, name: &'a str) -> Result<Option<&'a [u8]>, Reason> {
        let mut lines = self.headers.all(name);
        let line = lines.next();
        if lines.next().is_some() {
            return Err(Reason::BadEncoding);
        }
        Ok(line.filter(|value| !value.is_empty()))
    }

    /// The one value of that name in `place`; `None` where it is missing.
    pub(super) fn value(&self, place: Place, name: &'a str) -> Result<Option<Cow<'a, [u8]>>, Reason> {
        Ok(match place {
            Place::Header => self.header(name)?.map(Cow::Borrowed),
            Place::Query => form::only(address::query_of(self.target).as_bytes(), name)?,
            Place::Form => match self.fields(name)?.as_slice() {
                [] => None,
                [value] => Some(Cow::Owned(value.clone())),
                _ => return Err(Reason::BadEncoding),
            },
            Place::FormLast => self.fields(name)?.pop().map(Cow::Owned),
            Place::Json => match self.scalar(name)? {
                Some(Scalar::Text(text)) => Some(Cow::Owned(text.into_bytes())),
                Some(Scalar::Bool(truth)) => Some(Cow::Borrowed(if truth { b"true" } else { b"false" })),
                None => None,
            },
            // The parts of the signature's own header are no parts of the request; see `claim`.
            Place::Field => None,
            Place::Claim => text_in(self.unpacked.claims, name)?,
            Place::Envelope => text_in(self.unpacked.envelope, name)?,
        })
    }

    /// What a pointer into the body leads to; `None` where it is missing.
    pub(super) fn scalar(&self, pointer: &str) -> Result<Option<Scalar>, Reason> {
        pointer::read_one(&self.body.whole()?, pointer).map_err(|_| Reason::BadEncoding)
    }

    /// The values of that name in a form body of either type, in order.
    pub(super) fn fields(&self, name: &str) -> Result<Vec<Vec<u8>>, Reason> {
        let whole = self.body.whole()?;
        Ok(match self.boundary() {
            Some(boundary) => multipart::values(&whole, boundary, name)?.into_iter().map(<[u8]>::to_vec).collect(),
            None => form::values(&whole, name),
        })
    }

    fn boundary(&self) -> Option<&'a str> {
        self.header(CONTENT_TYPE).ok().flatten().and_then(multipart::boundary)
    }

    /// Whether the content type says that the body is a form.
    pub(super) fn is_form(&self) -> bool {
        let kind = self.header(CONTENT_TYPE).ok().flatten().unwrap_or_default();
        let urlencoded = kind.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM));
        urlencoded || self.boundary().is_some()
    }

    /// The address in that form, piece by piece.
    pub(super) fn feed_address(&self, form: address::Form, sink: &mut dyn FnMut(&[u8])) {
        match self.base {
            Some(base) => base.feed(form, self.target, sink),
            None => Base::of_host(self.authority).feed(form, self.target, sink),
        }
    }
}

/// The text of a single value in JSON that was read already.
fn text_in<'a>(json: Option<&Value>, pointer: &str) -> Result<Option<Cow<'a, [u8]>>, Reason> {
    match json.and_then(|json| json.pointer(pointer)) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => json::text(value).map(|text| Some(Cow::Owned(text.into_bytes()))).ok_or(Reason::BadEncoding),
    }
}
