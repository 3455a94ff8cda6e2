//! An event's id and type, read after the proof.

use super::json;
use super::selector::{self, Selector};
use super::verifier::Verifier;
use super::view::View;
use crate::pointer::{BadPointer, Pointers, Scalar};

/// Between the parts of an id that has several.
const BETWEEN_PARTS: &str = "/";

/// Where id and type are, made ready.
#[derive(Clone, Debug, Default)]
pub(super) struct Naming {
    id: Option<Where>,
    kind: Option<Where>,
    pointers: Pointers,
    /// The same as they are written: for who must know whether what stands there is hidden.
    id_at: Option<Selector>,
    kind_at: Option<Selector>,
}

#[derive(Clone, Debug)]
enum Where {
    Header(String),
    Form(String),
    /// The number of a pointer.
    Pointer(usize),
    Claim(String),
    All(Vec<Where>),
}

impl Naming {
    /// With these places.
    pub(super) fn try_new(id: Option<&Selector>, kind: Option<&Selector>) -> Result<Self, BadPointer> {
        let mut pointers = Pointers::default();
        let (id_at, kind_at) = (id.cloned(), kind.cloned());
        let id = id.map(|id| Where::try_new(id, &mut pointers)).transpose()?;
        let kind = kind.map(|kind| Where::try_new(kind, &mut pointers)).transpose()?;
        Ok(Self { id, kind, pointers, id_at, kind_at })
    }

    /// Whether there is a place for the type.
    pub(super) fn has_kind(&self) -> bool {
        self.kind.is_some()
    }

    /// Id and type of a request that was proved, with what was signed beside it. `inner`: what pointers lead into, where that is not the body itself. Neither is looked at where no
    /// pointer needs it.
    pub(super) fn read(&self, view: &View<'_>, inner: Option<&[u8]>) -> (Option<String>, Option<String>) {
        let mut found = match inner {
            _ if self.pointers.is_empty() => Vec::new(),
            Some(json) => self.pointers.read(json),
            None => view.body.whole().map(|body| self.pointers.read(&body)).unwrap_or_default(),
        };
        let mut read = |place: &Option<Where>| place.as_ref()?.value(view, &mut found);
        (read(&self.id), read(&self.kind))
    }
}

impl Verifier {
    /// Where events' ids come from, whichever way proves a request.
    pub fn id_places(&self) -> impl Iterator<Item = &Selector> {
        self.namings().flat_map(|naming| naming.id_at.iter().flat_map(Selector::parts))
    }

    /// Where events' types come from, whichever way proves a request.
    pub fn kind_places(&self) -> impl Iterator<Item = &Selector> {
        self.namings().flat_map(|naming| naming.kind_at.iter().flat_map(Selector::parts))
    }
}

impl Where {
    fn try_new(selector: &Selector, pointers: &mut Pointers) -> Result<Self, BadPointer> {
        Ok(match selector {
            Selector::Header(name) => Self::Header(name.to_ascii_lowercase()),
            Selector::Form(name) => Self::Form(name.clone()),
            Selector::Claim(pointer) => Self::Claim(pointer.clone()),
            Selector::Pointer(pointer) => Self::Pointer(pointers.add(pointer)?),
            Selector::All(parts) => Self::All(parts.iter().map(|part| Self::try_new(part, pointers)).collect::<Result<_, _>>()?),
        })
    }

    /// Takes what it needs of what pointers led to: each pointer is needed once.
    fn value(&self, view: &View<'_>, found: &mut [Option<Scalar>]) -> Option<String> {
        match self {
            Self::Header(name) => selector::from_header(view.headers, name),
            Self::Form(name) => match view.fields(name).ok()?.as_slice() {
                [value] => std::str::from_utf8(value).ok().filter(|text| selector::is_usable(text)).map(str::to_owned),
                _ => None,
            },
            Self::Pointer(number) => selector::from_scalar(found.get_mut(*number)?.take()?),
            Self::Claim(pointer) => {
                let value = view.unpacked.claims?.pointer(pointer).filter(|value| !value.is_boolean())?;
                json::text(value).filter(|text| selector::is_usable(text))
            }
            Self::All(parts) => {
                let parts: Option<Vec<String>> = parts.iter().map(|part| part.value(view, found)).collect();
                Some(parts?.join(BETWEEN_PARTS)).filter(|text| selector::is_usable(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Headers;
    use crate::signature::body::Body;
    use crate::signature::view::Unpacked;

    fn read(id: &str, body: &str) -> Option<String> {
        let headers: Headers = [(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"))].into_iter().collect();
        let body = Body::new(body.as_bytes(), false);
        let view = View {
            method: "POST",
            target: "/",
            authority: "h",
            base: None,
            headers: &headers,
            body,
            unpacked: Unpacked::default(),
        };
        Naming::try_new(Some(&id.parse().unwrap()), None).unwrap().read(&view, None).0
    }

    #[test]
    fn an_id_of_several_parts_needs_all_of_them() {
        let id = "json:/data/id + json:/event + header:content-type";
        assert_eq!(read(id, r#"{"event":"paid","data":{"id":7}}"#).as_deref(), Some("7/paid/text/plain"));
        assert_eq!(read(id, r#"{"event":"paid","data":{}}"#), None);
        assert_eq!(read("json:/a + json:/b", &format!(r#"{{"a":"{0}","b":"{0}"}}"#, "x".repeat(512))), None);
    }

    #[test]
    fn a_field_of_a_form_is_an_id_where_it_is_there_once() {
        assert_eq!(read("form:id", "a=1&id=x%20y").as_deref(), Some("x y"));
        assert_eq!(read("form:id", "id=1&id=1"), None);
        assert_eq!(read("form:id", "id="), None);
    }
}
