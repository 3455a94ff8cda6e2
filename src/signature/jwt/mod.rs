//! Tokens (RFC 7519) in the compact form of RFC 7515. The scheme says which algorithms are possible; a token that names another is
//! refused before anything else is looked at, and nothing in its header (`jku`, `jwk`, `x5u`) ever supplies a key or an address.

pub(super) mod compact;
pub(super) mod detached;
pub(super) mod write;

mod times;

use super::Reason;
use super::claim::Group;
use super::few::Few;
use super::scheme::Way;
use super::signed::proof::Found;
use super::signed::written::WrittenToken;
use super::signed::{Case, Signed, Wish, ring};
use super::view::View;
use compact::{Header, Token};

/// Proves the one token that stands where the scheme says.
pub(super) fn prove(way: &Way, signed: &Signed, rules: &WrittenToken, case: Case<'_>) -> Result<Found, Reason> {
    let text = only_text(way, &case.view)?;
    let token = Token::parse(&text)?;
    let claims = token.payload().ok_or(Reason::BadEncoding)?;
    token.header.crit(true)?;
    let Token { header, signing_input, signature, .. } = token;
    prove_signature(signed, &header, &signature, case, &|sink| {
        sink(signing_input.as_bytes());
        Ok(())
    })?;
    let claims = super::json::strict_object(&claims).map_err(|_| Reason::BadEncoding)?;
    let rules = WrittenToken { leeway: case.terms.leeway.unwrap_or(rules.leeway), ..rules.clone() };
    times::judge(&claims, &rules, case.at)?;
    Ok(Found { envelope: Some(header.into_value()), claims: Some(claims) })
}

/// Whether a key that counts made `signature` over what `feed` gives, with the algorithm that header and scheme name.
fn prove_signature(
    signed: &Signed,
    header: &Header,
    signature: &[u8],
    case: Case<'_>,
    feed: ring::Feed<'_>,
) -> Result<(), Reason> {
    let named = signed.makers.iter().find(|(name, _)| name == header.algorithm());
    let (name, maker) = named.ok_or(Reason::UnknownVersion)?;
    let wish = Wish { maker: *maker, jose: Some(name), id: header.key_id()?, at: case.at };
    let mut view = case.view;
    view.unpacked.envelope = Some(header.value());
    let keys = signed.source.find(wish, case.keys, &view, case.shelf)?;
    ring::prove(&keys, &[signature], feed)
}

/// The text at the first of the scheme's places that has one.
fn only_text(way: &Way, view: &View<'_>) -> Result<String, Reason> {
    let mut fault = Reason::MissingHeader;
    for source in &way.sources {
        let mut texts = Few::new();
        source.add_texts(view, &mut texts)?;
        for text in texts.iter().flat_map(|(_, text)| source.groups_in(text)) {
            let mut group = Group::default();
            source.read(text, &mut group);
            match group.claims.only() {
                Some(claim) => return String::from_utf8(claim.bytes.to_vec()).map_err(|_| Reason::BadEncoding),
                None if group.claims.is_empty() => fault = group.fault(),
                None => return Err(Reason::BadEncoding),
            }
        }
    }
    Err(fault)
}
