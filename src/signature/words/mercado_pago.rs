//! The parts of Mercado Pago's manifest that come before the timestamp. What the request does not have is left out, name and all.

use super::super::Reason;
use super::super::view::View;
use super::super::written::Place;

/// `id:...;request-id:...;`. `lower`: the id in lower case, as its documentation says; its libraries take it as it is.
pub(super) fn parts(view: &View<'_>, lower: bool) -> Result<Vec<u8>, Reason> {
    let mut out = Vec::new();
    let parts = [("id", view.value(Place::Query, "data.id")?), ("request-id", view.value(Place::Header, "x-request-id")?)];
    for (name, value) in parts {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let value = if lower && name == "id" { value.to_ascii_lowercase() } else { value.into_owned() };
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            out.extend_from_slice(&value);
            out.push(b';');
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::on_request;
    use super::*;

    #[test]
    fn what_is_missing_is_left_out() {
        let read = |target: &str, given: &[(&str, &str)], lower| {
            on_request("POST", target, given, "", |view| parts(view, lower).map(|out| String::from_utf8(out).unwrap()))
        };
        let id = [("x-request-id", "R-1")];
        assert_eq!(read("/?data.id=AB&x=1", &id, false), Ok("id:AB;request-id:R-1;".into()));
        assert_eq!(read("/?data.id=AB&x=1", &id, true), Ok("id:ab;request-id:R-1;".into()));
        assert_eq!(read("/?data.id=", &id, true), Ok("request-id:R-1;".into()));
        assert_eq!(read("/", &[], true), Ok(String::new()));
        assert_eq!(read("/?data.id=1&data.id=2", &id, true), Err(Reason::BadEncoding));
    }
}
