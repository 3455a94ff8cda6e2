//! An event's id and type, read after the proof.

use serde_json::Value;

use super::json;
use super::pointer::{BadPointer, Pointers, Scalar};
use super::selector::{self, Selector};
use crate::record::Headers;

/// Where id and type are, made ready.
#[derive(Clone, Debug, Default)]
pub(super) struct Naming {
    id: Option<Where>,
    kind: Option<Where>,
    pointers: Pointers,
}

#[derive(Clone, Debug)]
enum Where {
    Header(String),
    /// The number of a pointer.
    Pointer(usize),
    Claim(String),
}

impl Naming {
    /// With these places.
    pub(super) fn try_new(id: Option<&Selector>, kind: Option<&Selector>) -> Result<Self, BadPointer> {
        let mut pointers = Pointers::default();
        let mut ready = |selector: Option<&Selector>| {
            Ok(match selector {
                None => None,
                Some(Selector::Header(name)) => Some(Where::Header(name.to_ascii_lowercase())),
                Some(Selector::Claim(pointer)) => Some(Where::Claim(pointer.clone())),
                Some(Selector::Pointer(pointer)) => Some(Where::Pointer(pointers.add(pointer)?)),
            })
        };
        let (id, kind) = (ready(id)?, ready(kind)?);
        Ok(Self { id, kind, pointers })
    }

    /// Id and type of a request. The body is asked for only where a pointer leads into it. `claims`: what was signed beside it.
    pub(super) fn read<'a, B: AsRef<[u8]>>(
        &self,
        headers: &Headers,
        claims: Option<&Value>,
        body: impl FnOnce() -> Option<B> + 'a,
    ) -> (Option<String>, Option<String>) {
        let found = if self.pointers.is_empty() {
            Vec::new()
        } else {
            body().map(|b| self.pointers.read(b.as_ref())).unwrap_or_default()
        };
        let read = |place: &Option<Where>| value(place.as_ref()?, headers, claims, &found);
        (read(&self.id), read(&self.kind))
    }
}

fn value(place: &Where, headers: &Headers, claims: Option<&Value>, found: &[Option<Scalar>]) -> Option<String> {
    match place {
        Where::Header(name) => selector::from_header(headers, name),
        Where::Claim(pointer) => {
            let value = claims?.pointer(pointer).filter(|value| !value.is_boolean())?;
            selector::from_scalar(&Scalar::Text(json::text(value)?))
        }
        Where::Pointer(number) => selector::from_scalar(found.get(*number)?.as_ref()?),
    }
}
