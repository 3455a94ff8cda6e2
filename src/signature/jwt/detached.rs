//! A signature in the form of a token whose middle part is empty (RFC 7515, appendix F): its content is the request.

use super::compact::{Header, Token};
use super::{only_text, prove_signature};
use crate::signature::Reason;
use crate::signature::scheme::Way;
use crate::signature::signed::proof::Found;
use crate::signature::signed::written::{WrittenSignedHeaders, WrittenToken};
use crate::signature::signed::{Case, Signed};
use crate::signature::template::Beside;
use crate::signature::view::View;

/// Header fields that one token can list.
const SIGNED_HEADERS_MAX: usize = 32;

/// Proves the one token that stands where the scheme says.
pub(in crate::signature) fn prove(way: &Way, signed: &Signed, rules: &WrittenToken, case: Case<'_>) -> Result<Found, Reason> {
    let text = only_text(way, &case.view)?;
    let Token { header, protected, signature, .. } = detached(&text)?;
    header.crit(rules.b64)?;
    let fields = rules.signed_headers.as_ref().map(|list| signed_fields(list, &header, &case.view)).transpose()?;
    let beside = Beside { signed_fields: fields.as_deref(), ..Beside::default() };
    let payload = way.payloads.first().ok_or(Reason::MissingPart)?;
    prove_signature(signed, &header, &signature, case, &|sink| {
        sink(protected.as_bytes());
        sink(b".");
        if !rules.b64 {
            return payload.feed(&case.view, &beside, sink);
        }
        let mut encoder = Base64url { rest: Vec::with_capacity(3), sink };
        payload.feed(&case.view, &beside, &mut |piece| encoder.update(piece))?;
        encoder.finish();
        Ok(())
    })?;
    Ok(Found { envelope: Some(header.into_value()), claims: None })
}

fn detached(text: &str) -> Result<Token<'_>, Reason> {
    Token::parse(text).and_then(|token| if token.is_detached() { Ok(token) } else { Err(Reason::BadEncoding) })
}

/// The fields that the token lists, as `Name: value` lines in its order, spelt as it spells them.
fn signed_fields(list: &WrittenSignedHeaders, header: &Header, view: &View<'_>) -> Result<String, Reason> {
    let names = header.value().pointer(&list.list).and_then(serde_json::Value::as_str).unwrap_or_default();
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let is_listed = |wanted: &String| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    if names.len() > SIGNED_HEADERS_MAX || !list.must.iter().all(is_listed) {
        return Err(Reason::BadClaim);
    }
    let mut lines = String::new();
    for name in names {
        let lower = name.to_ascii_lowercase();
        let mut values = view.headers.all(&lower);
        let (value, more) = (values.next().ok_or(Reason::MissingPart)?, values.next());
        let value = std::str::from_utf8(value).ok().filter(|_| more.is_none()).ok_or(Reason::BadEncoding)?;
        lines.extend([name, ": ", value, "\n"]);
    }
    Ok(lines)
}

/// Encodes piece by piece, so that a large body is not held a second time.
struct Base64url<'a> {
    /// What does not fill three bytes yet.
    rest: Vec<u8>,
    sink: &'a mut dyn FnMut(&[u8]),
}

impl Base64url<'_> {
    fn update(&mut self, piece: &[u8]) {
        let missing = (3 - self.rest.len()) % 3;
        let (front, after) = piece.split_at(missing.min(piece.len()));
        self.rest.extend_from_slice(front);
        if self.rest.len() == 3 {
            let whole = std::mem::take(&mut self.rest);
            self.write(&whole);
        }
        let (whole, rest) = after.split_at(after.len() / 3 * 3);
        whole.chunks(3 << 10).for_each(|chunk| self.write(chunk));
        self.rest.extend_from_slice(rest);
    }

    fn finish(mut self) {
        let rest = std::mem::take(&mut self.rest);
        self.write(&rest);
    }

    fn write(&mut self, bytes: &[u8]) {
        use base64::Engine;
        (self.sink)(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_encode_as_the_whole(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20)) {
            let mut out = Vec::new();
            let mut sink = |piece: &[u8]| out.extend_from_slice(piece);
            let mut encoder = Base64url { rest: Vec::new(), sink: &mut sink };
            pieces.iter().for_each(|piece| encoder.update(piece));
            encoder.finish();
            prop_assert_eq!(String::from_utf8(out).unwrap(), URL_SAFE_NO_PAD.encode(pieces.concat()));
        }
    }
}
