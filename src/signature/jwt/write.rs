//! Tokens for those who sign in a provider's name: only such as a shared secret makes, with the claims that the scheme asks for.

use serde_json::{Map, Value, json};

use crate::pointer;
use crate::signature::encoding::Encoding;
use crate::signature::scheme::Way;
use crate::signature::sign::{Unsignable, Unsigned};
use crate::signature::signed::{RingKey, Signed, SignedKind};
use crate::signature::view::View;
use crate::signature::written::Place;
use crate::signature::{Reason, Selector};

/// Seconds that a token counts, where its scheme asks for an end: longer than any application waits.
const LIFETIME_SECONDS: u64 = 300;

/// The token that says of `view` what its scheme asks for.
pub(in crate::signature) fn write(
    way: &Way,
    signed: &Signed,
    key: &RingKey,
    view: &View<'_>,
    request: &Unsigned<'_>,
) -> Result<String, Unsignable> {
    let (SignedKind::Token(rules), Some((algorithm, _))) = (&signed.kind, signed.makers.first()) else {
        return Err(Unsignable::Elsewhere);
    };
    let mut claims = Map::new();
    for rule in &signed.rules {
        if let Some((name, value)) = rule.claim(view)? {
            add(&mut claims, name, value)?;
        }
    }
    for (place, value) in [(&way.event_id, request.event_id), (&way.event_type, request.kind)] {
        for part in place.iter().flat_map(Selector::parts) {
            if let (Selector::Claim(name), Some(value)) = (part, value) {
                add(&mut claims, name, value.into())?;
            }
        }
    }
    if rules.expires {
        add(&mut claims, "/exp", (request.now.seconds() + LIFETIME_SECONDS).into())?;
    }
    if let Some(stamp) = way.stamp.as_ref().filter(|stamp| stamp.place == Place::Claim) {
        let text = stamp.format.write(request.now);
        add(&mut claims, &stamp.name, text.parse::<u64>().map_or(Value::from(text), Value::from))?;
    }
    if let Some(hash) = way.body_hash.as_ref().filter(|hash| hash.place == Place::Claim) {
        let tag = hash.of(view).map_err(Unsignable::Part)?;
        add(&mut claims, &hash.name, hash.encoding.encode(tag.as_bytes()).ok_or(Unsignable::Value)?.into())?;
    }
    let part = |json: Value| Encoding::Base64url.encode(json.to_string().as_bytes()).ok_or(Unsignable::Value);
    let input = format!("{}.{}", part(json!({ "alg": algorithm, "typ": "JWT" }))?, part(claims.into())?);
    let tag = key.tag(input.as_bytes()).ok_or(Unsignable::Part(Reason::NoSecret))?;
    Ok(format!("{input}.{}", Encoding::Base64url.encode(tag.as_bytes()).ok_or(Unsignable::Value)?))
}

/// Adds a claim. What stands deeper than at the top is for its provider to write.
fn add(claims: &mut Map<String, Value>, at: &str, value: Value) -> Result<(), Unsignable> {
    match pointer::tokens(at).unwrap_or_default().as_slice() {
        [name] => claims.insert(name.clone(), value),
        _ => return Err(Unsignable::Unknown),
    };
    Ok(())
}
