//! Plivo's version 3 signs the address, its query decoded and sorted, and the fields of a form. As its libraries do it.

use super::super::Reason;
use super::super::address::{self, Form};
use super::super::form::{self, Repeats};
use super::super::view::View;

/// Gives `URL?sorted query.sorted fields`; a GET has no fields, and what is empty is left out.
pub(super) fn feed(view: &View<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Reason> {
    view.feed_address(Form::NoQuery, sink);
    let mut before: &[u8] = b"?";
    form::each_sorted(address::query_of(view.target).as_bytes(), Repeats::All, &mut |name, value| {
        [std::mem::replace(&mut before, b"&"), name, b"=", value].into_iter().for_each(&mut *sink);
    })?;
    if view.method.eq_ignore_ascii_case("GET") {
        return Ok(());
    }
    let mut before: &[u8] = if before == b"?" { b"?" } else { b"." };
    form::feed_sorted(&view.body.whole()?, Repeats::All, &mut |piece| {
        if !piece.is_empty() {
            sink(std::mem::take(&mut before));
            sink(piece);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::on_request;
    use super::*;

    #[test]
    fn what_is_empty_is_left_out() {
        let text = |method: &str, target: &str, body: &str| {
            on_request(method, target, &[], body, |view| {
                let mut out = Vec::new();
                feed(view, &mut |piece| out.extend_from_slice(piece)).unwrap();
                String::from_utf8(out).unwrap().replace("https://h.example", "U")
            })
        };
        assert_eq!(text("POST", "/p/?b=2&a=1", "C=3&B=%20x"), "U/p/?a=1&b=2.B xC3");
        assert_eq!(text("POST", "/p/", "C=3&B="), "U/p/?BC3");
        assert_eq!(text("POST", "/p/?a=2&a=1", ""), "U/p/?a=1&a=2");
        assert_eq!(text("GET", "/p/?a=%2F", "C=3"), "U/p/?a=/");
        assert_eq!(text("GET", "/p/", ""), "U/p/");
    }
}
