//! JSON web keys (RFC 7517). A set is read leniently, as its RFC wants it: what is not understood is skipped. What is chosen from it
//! is read strictly.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::read::{coordinate_bytes, ed25519};
use super::{Algorithm, BadKey, KeyType, Material, PublicKey, der};
use crate::signature::json;

/// Keys in one set: providers list two to five.
const KEYS_MAX: usize = 100;

/// A key of a set.
pub(in crate::signature) struct Jwk<'a>(&'a Value);

/// The only key in a text that is a JSON web key, or a set of one.
pub(super) fn read_one(text: &str) -> Result<Material, BadKey> {
    let value = json::strict_object(text.as_bytes()).map_err(|_| BadKey::Unreadable)?;
    let key = match value.get("keys").and_then(Value::as_array).map(Vec::as_slice) {
        None => &value,
        Some([key]) => key,
        Some([]) => return Err(BadKey::Empty),
        Some(_) => return Err(BadKey::Several),
    };
    match key.get("kty").and_then(Value::as_str) {
        Some("oct") => return Err(BadKey::Secret),
        _ if key.get("d").is_some() => return Err(BadKey::Private),
        _ => {}
    }
    Jwk(key).material().ok_or(BadKey::Unreadable)
}

/// The keys of a set; `None` where it is none.
pub(in crate::signature) fn keys(set: &Value) -> Option<impl Iterator<Item = Jwk<'_>>> {
    Some(set.get("keys")?.as_array().filter(|keys| keys.len() <= KEYS_MAX)?.iter().map(Jwk))
}

impl<'a> Jwk<'a> {
    /// Of its JSON.
    pub(in crate::signature) fn new(value: &'a Value) -> Self {
        Self(value)
    }

    /// Its id.
    pub(in crate::signature) fn id(&self) -> Option<&'a str> {
        self.0.get("kid").and_then(Value::as_str)
    }

    /// The key for `algorithm`, whose name in JOSE is `name`; `None` where it is for something else, or for nobody.
    pub(in crate::signature) fn made_for(&self, algorithm: Algorithm, name: Option<&str>) -> Option<PublicKey> {
        let says = |member: &str, wanted: &str| self.0.get(member).is_none_or(|value| value.as_str() == Some(wanted));
        let verifies = |value: &Value| value.as_array().is_some_and(|ops| ops.iter().any(|op| op.as_str() == Some("verify")));
        let fits = says("use", "sig")
            && self.0.get("key_ops").is_none_or(verifies)
            && name.is_none_or(|name| says("alg", name))
            && self.0.get("d").is_none();
        fits.then(|| self.material().and_then(|material| PublicKey::try_new(algorithm, &material).ok())).flatten()
    }

    fn material(&self) -> Option<Material> {
        let text = |member: &str| self.0.get(member).and_then(Value::as_str);
        let number = |member: &str| URL_SAFE_NO_PAD.decode(text(member)?).ok();
        match (text("kty")?, text("crv")) {
            ("OKP", Some("Ed25519")) => ed25519(number("x")?),
            ("EC", Some(curve)) => {
                let kind = match curve {
                    "P-256" => KeyType::P256,
                    "P-384" => KeyType::P384,
                    "P-521" => KeyType::P521,
                    _ => return None,
                };
                let (x, y, bytes) = (number("x")?, number("y")?, coordinate_bytes(kind)?);
                // Whole coordinates only (RFC 7518, section 6.2.1.2).
                (x.len() == bytes && y.len() == bytes).then_some(())?;
                Material::from_point(kind, [&[4], &x[..], &y[..]].concat())
            }
            ("RSA", None) => {
                let numbers = [der::write_integer(&number("n")?), der::write_integer(&number("e")?)].concat();
                Some(Material { kind: KeyType::Rsa, bytes: der::write(der::SEQUENCE, &numbers) })
            }
            _ => None,
        }
    }
}
