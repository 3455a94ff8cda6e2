//! An event's id and type, read after the proof.

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
}

impl Naming {
    /// With these places.
    pub(super) fn try_new(id: Option<&Selector>, kind: Option<&Selector>) -> Result<Self, BadPointer> {
        let mut pointers = Pointers::default();
        let mut ready = |selector: Option<&Selector>| {
            Ok(match selector {
                None => None,
                Some(Selector::Header(name)) => Some(Where::Header(name.to_ascii_lowercase())),
                Some(Selector::Pointer(pointer)) => Some(Where::Pointer(pointers.add(pointer)?)),
            })
        };
        let (id, kind) = (ready(id)?, ready(kind)?);
        Ok(Self { id, kind, pointers })
    }

    /// Id and type of a request. The body is asked for only where a pointer leads into it.
    pub(super) fn read<'a, B: AsRef<[u8]>>(
        &self,
        headers: &Headers,
        body: impl FnOnce() -> Option<B> + 'a,
    ) -> (Option<String>, Option<String>) {
        let found = if self.pointers.is_empty() {
            Vec::new()
        } else {
            body().map(|b| self.pointers.read(b.as_ref())).unwrap_or_default()
        };
        let read = |place: &Option<Where>| value(place.as_ref()?, headers, &found);
        (read(&self.id), read(&self.kind))
    }
}

fn value(place: &Where, headers: &Headers, found: &[Option<Scalar>]) -> Option<String> {
    match place {
        Where::Header(name) => selector::from_header(headers, name),
        Where::Pointer(number) => selector::from_scalar(found.get(*number)?.as_ref()?),
    }
}
