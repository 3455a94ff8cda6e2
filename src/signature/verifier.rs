//! A scheme with the secrets of one source. It reads raw bytes; the body is not parsed before the proof, unless the scheme itself
//! signs or reads a part of it.

use std::fmt;

use serde_json::Value;
use url::Url;

use super::address::{Base, Form};
use super::documents::{Documents, Shelf};
use super::key::Key;
use super::naming::Naming;
use super::proof::Moment;
use super::ready::{self, Ready};
use super::scheme::Way;
use super::signed::{Case, Keys};
use super::view::View;
use super::{ConfiguredKey, Reason, Refused, Scheme, Secret, Selector, Signer, Terms, Unready, Verified};
use crate::record::Received;
use crate::time::Timestamp;

/// Verifies the requests of one source.
pub struct Verifier {
    /// `None`: nothing is to be verified.
    pub(super) scheme: Option<Scheme>,
    /// For each way of the scheme, its keys and names; one without keys where nothing is to be verified.
    pub(super) ready: Vec<Ready>,
    /// For what must be proved beside the one way of the scheme; `None` where the source lacks something for it.
    pub(super) also: Option<Keys>,
    pub(super) base: Option<Base>,
    /// The host (and port) of what the provider calls, where that was configured.
    pub(super) authority: Option<String>,
    pub(super) gunzip: bool,
    pub(super) terms: Terms,
}

/// The way that proved a request, and what was signed beside the body. Without a way nothing was to be verified.
struct Proof<'a> {
    way: Option<&'a Way>,
    ready: &'a Ready,
    claims: Option<Value>,
}

/// What a source adds to its provider's scheme.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the provider calls, for schemes that sign the URL; the request's path and query follow it. Without: `https://` and
    /// the host of the request.
    pub public_url: Option<Url>,
    /// Where the event's id is, in place of the provider's own rule.
    pub event_id: Option<Selector>,
    /// Where the event's type is, in place of the provider's own rule.
    pub kind: Option<Selector>,
    /// The signature covers the gunzipped body.
    pub gunzip: bool,
    /// Keys that verify, in place of those that the provider publishes.
    pub keys: Vec<ConfiguredKey>,
    /// Where the provider publishes its keys, in place of the scheme's address.
    pub key_url: Option<String>,
    /// The roots that chains of certificates must lead to, in PEM, in place of those that browsers trust.
    pub roots: Vec<String>,
    /// What the source says of itself.
    pub terms: Terms,
}

impl Verifier {
    /// For `scheme`. Fails where the source lacks something, or has a secret or a key that the scheme cannot use.
    pub fn try_new(scheme: Scheme, secrets: Vec<Secret>, options: Options) -> Result<Self, Unready> {
        let ready = ready::ways(&scheme, &secrets, &options)?;
        let also = ready::also(&scheme, &options)?;
        Ok(Self { also, ..Self::with(Some(scheme), ready, options) })
    }

    /// For a source that says that nothing is to be verified (`provider = "none"`).
    pub fn trusting(options: Options) -> Self {
        let ready = vec![Ready { naming: options.naming(None, None), ..Ready::default() }];
        Self::with(None, ready, options)
    }

    fn with(scheme: Option<Scheme>, ready: Vec<Ready>, options: Options) -> Self {
        let authority =
            options.public_url.as_ref().map(|url| url[url::Position::BeforeHost..url::Position::AfterPort].to_owned());
        Self { scheme, ready, also: None, base: options.base(), authority, gunzip: options.gunzip, terms: options.terms }
    }

    /// Proves who sent `received`, judged at the time that its head had arrived, without any document.
    pub fn verify(&self, received: Received) -> Result<Verified, Box<Refused>> {
        self.verify_with(received, &Documents::default())
    }

    /// The same with what the provider publishes. Where a document is missing that could change the judgement, the refusal names it.
    pub fn verify_with(&self, received: Received, documents: &Documents) -> Result<Verified, Box<Refused>> {
        let shelf = Shelf::new(documents);
        match self.prove_and_name(&received, &shelf) {
            Ok((id, kind)) => Ok(Verified::new(received, id, kind)),
            Err(reason) => Err(Box::new(Refused { received, reason, needed: shelf.into_needed() })),
        }
    }

    /// The id and the type of a request that is proved.
    fn prove_and_name(&self, received: &Received, shelf: &Shelf<'_>) -> Result<(Option<String>, Option<String>), Reason> {
        let mut view = self.view(received);
        let Proof { way, ready, claims } = self.prove(&view, received.at, shelf)?;
        view.unpacked.claims = claims.as_ref();
        let inner = way.and_then(|way| way.naming_body(&view, &ready.keys, received.at));
        Ok(ready.naming.read(&view, inner.as_deref()))
    }

    /// The addresses of what the provider publishes, as far as they depend on no request.
    pub fn published(&self) -> Vec<String> {
        let Some(scheme) = &self.scheme else { return Vec::new() };
        let ways = scheme.ways().iter().zip(&self.ready);
        let ways = ways.filter_map(|(way, ready)| Some((way.signed.as_ref()?, ready.signed.as_ref()?)));
        let also = scheme.also().and_then(|also| Some((also.way.signed.as_ref()?, self.also.as_ref()?)));
        ways.chain(also).filter_map(|(signed, keys)| signed.source.fixed_address(keys)).collect()
    }

    /// The scheme; `None` where nothing is to be verified.
    pub fn scheme(&self) -> Option<&Scheme> {
        self.scheme.as_ref()
    }

    pub(super) fn namings(&self) -> impl Iterator<Item = &Naming> {
        self.ready.iter().map(|ready| &ready.naming)
    }

    /// What signs as the provider does, with the first secret that counts at `now`; `None` where there is none.
    pub fn signer(&self, now: Timestamp) -> Option<Signer> {
        let shared = self.ready.iter().flat_map(|ready| &ready.keys).find(|key| key.is_valid_at(now)).map(Key::secret);
        let scheme = self.scheme.clone()?;
        let of_token = |(way, ready): (&Way, &'_ Ready)| {
            way.signed.as_ref().filter(|signed| signed.by_secret())?;
            ready.signed.as_ref()?.ring.text(now).cloned()
        };
        let secret = shared.cloned().or_else(|| scheme.ways().iter().zip(&self.ready).find_map(of_token))?;
        // The secret was decoded for this scheme already.
        Signer::try_new(scheme, &secret).ok().map(|signer| signer.of_source(self.terms.settings.clone()))
    }

    /// The address that the provider calls for a request to `authority` and `target`.
    pub fn address(&self, authority: &str, target: &str) -> String {
        let of_host = Base::of_host(authority);
        let mut address = Vec::new();
        self.base.as_ref().unwrap_or(&of_host).feed(Form::Whole, target, &mut |piece| address.extend_from_slice(piece));
        String::from_utf8_lossy(&address).into_owned()
    }

    /// For a request whose address is known as text; see `captured`.
    pub(super) fn with_base(mut self, base: Base) -> Self {
        self.base = Some(base);
        self
    }

    pub(super) fn view<'a>(&'a self, received: &'a Received) -> View<'a> {
        let mut view = View::new(received, self.base.as_ref(), self.gunzip);
        view.authority = self.authority.as_deref().unwrap_or(view.authority);
        view.unpacked.settings = Some(&self.terms.settings);
        view
    }

    fn prove(&self, view: &View<'_>, at: Timestamp, shelf: &Shelf<'_>) -> Result<Proof<'_>, Reason> {
        let Some(scheme) = &self.scheme else {
            return self.ready.first().map(|ready| Proof { way: None, ready, claims: None }).ok_or(Reason::NoSecret);
        };
        let moment = Moment { now: at, terms: &self.terms };
        let case = |keys| Case { view: *view, keys, shelf, at, terms: &self.terms };
        let mut refusal = Reason::MissingHeader;
        for (way, ready) in scheme.ways().iter().zip(&self.ready) {
            let proof = match (&way.signed, &ready.signed) {
                (None, _) => way.prove(&ready.keys, view, moment).map(|()| None),
                (Some(signed), Some(keys)) => way.prove_signed(signed, case(keys)),
                (Some(_), None) => continue,
            };
            match proof {
                Ok(claims) => {
                    self.prove_also(scheme, view, case)?;
                    return Ok(Proof { way: Some(way), ready, claims });
                }
                // What cannot be judged now outweighs every refusal; else what one way refuses for good tells more than that
                // another one was not tried.
                Err(reason) if refusal == Reason::MissingHeader || reason == Reason::KeyUnavailable => refusal = reason,
                Err(_) => {}
            }
        }
        Err(refusal)
    }
}

impl Verifier {
    /// What must be proved beside the way that proved the request. Where the source does not say enough for it, it is not proved.
    fn prove_also<'a>(&'a self, scheme: &Scheme, view: &View<'_>, case: impl FnOnce(&'a Keys) -> Case<'a>) -> Result<(), Reason> {
        let Some(also) = scheme.also() else { return Ok(()) };
        if !also.is_needed(view)? {
            return Ok(());
        }
        match (&also.way.signed, &self.also) {
            (Some(signed), Some(keys)) => also.way.prove_signed(signed, case(keys)).map(drop),
            _ => Err(Reason::NoSecret),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("scheme", &self.scheme).field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl Options {
    fn base(&self) -> Option<Base> {
        self.public_url.as_ref().map(Base::from_url)
    }

    /// Selectors hold pointers that were proved, so a bad one is no place at all.
    pub(super) fn naming(&self, id: Option<&Selector>, kind: Option<&Selector>) -> Naming {
        Naming::try_new(self.event_id.as_ref().or(id), self.kind.as_ref().or(kind)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Headers;
    use crate::signature::{BadSecret, preset};
    use crate::time::Timestamp;
    use bytes::Bytes;
    use http::{HeaderName, HeaderValue};
    use std::net::{IpAddr, Ipv4Addr};

    const NOW: u64 = 1_790_000_000;
    const BODY: &str = r#"{"id":"evt_1","type":"ping"}"#;
    const STANDARD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn scheme(name: &str) -> Scheme {
        preset::find(name).unwrap().scheme.clone()
    }

    fn custom(text: &str) -> Scheme {
        toml::from_str(text).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::try_new(text.into(), None).unwrap()
    }

    fn verifier(scheme: Scheme, secrets: &[&str]) -> Verifier {
        Verifier::try_new(scheme, secrets.iter().map(|text| secret(text)).collect(), Options::default()).unwrap()
    }

    fn request(headers: &[(&str, &str)], body: &str) -> Received {
        let field = |(name, value): &(&str, &str)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        Received {
            method: "POST".into(),
            target: "/in/x?token=t1".into(),
            authority: "hooks.example".into(),
            headers: headers.iter().map(field).collect::<Headers>(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: Timestamp::from_ms(NOW * 1000),
        }
    }

    fn judge(verifier: &Verifier, headers: &[(&str, &str)], body: &str) -> Result<Verified, Reason> {
        verifier.verify(request(headers, body)).map_err(|refused| refused.reason)
    }

    fn reason(verifier: &Verifier, headers: &[(&str, &str)]) -> Option<Reason> {
        judge(verifier, headers, BODY).err()
    }

    /// The tag of `text`, in hexadecimal and in base64.
    fn tag(key: &[u8], text: &str) -> (String, String) {
        let mut keyed = crate::signature::hash::Keyed::try_new(crate::signature::hash::Hash::Sha256, key).unwrap();
        keyed.update(text.as_bytes());
        let tag = keyed.finish();
        let text = |encoding: crate::signature::encoding::Encoding| encoding.encode(tag.as_bytes()).unwrap();
        (text(crate::signature::encoding::Encoding::Hex), text(crate::signature::encoding::Encoding::Base64))
    }

    fn stripe_header(form: &str) -> String {
        let good = tag(b"k", &format!("{NOW}.{BODY}")).0;
        form.replace("GOOD", &good).replace("BAD", &"0".repeat(64)).replace("NOW", &NOW.to_string())
    }

    #[test]
    fn a_list_holds_any_order_and_unknown_versions() {
        let verifier = verifier(scheme("stripe"), &["k"]);
        let reason = |form: &str| reason(&verifier, &[("stripe-signature", &stripe_header(form))]);
        assert_eq!(reason("t=NOW,v0=BAD,v1=BAD,v9=zz,v1=GOOD"), None);
        assert_eq!(reason("v1=GOOD, t=NOW"), None);
        assert_eq!(reason("t=NOW,v1=zz,v1=GOOD"), None);
        assert_eq!(reason("t=NOW,v0=GOOD"), Some(Reason::UnknownVersion));
        assert_eq!(reason("t=NOW,V1=GOOD"), Some(Reason::UnknownVersion));
        assert_eq!(reason("t=NOW"), Some(Reason::UnknownVersion));
        assert_eq!(reason("t=NOW,v1="), Some(Reason::UnknownVersion));
        assert_eq!(reason("v1="), Some(Reason::MissingHeader));
        assert_eq!(reason(""), Some(Reason::MissingHeader));
        assert_eq!(reason("t=NOW,v1=zz"), Some(Reason::BadEncoding));
        assert_eq!(reason("v1=GOOD"), Some(Reason::MissingTimestamp));
        assert_eq!(reason("t=NOW,t=NOW,v1=GOOD"), Some(Reason::BadEncoding));
        assert_eq!(reason("t=NOW ,v1=GOOD"), Some(Reason::BadTimestamp));
        assert_eq!(reason("t=0NOW,v1=GOOD"), Some(Reason::Mismatch));
    }

    #[test]
    fn two_lines_of_a_list_are_two_lists() {
        let verifier = verifier(scheme("stripe"), &["k"]);
        let reason = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|form| stripe_header(form)).collect();
            let headers: Vec<_> = lines.iter().map(|line| ("stripe-signature", line.as_str())).collect();
            super::tests::reason(&verifier, &headers)
        };
        assert_eq!(reason(&["t=NOW,v1=BAD", "t=NOW,v1=GOOD"]), None);
        // The timestamp of one line says nothing of another one.
        assert_eq!(reason(&["t=NOW", "v1=GOOD"]), Some(Reason::MissingTimestamp));
        assert_eq!(reason(&["t=NOW,v1=GOOD"; 5]), Some(Reason::BadEncoding));
    }

    #[test]
    fn standard_webhooks_lists() {
        let verifier = verifier(scheme("standard-webhooks"), &[STANDARD]);
        let key = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &STANDARD[6..]).unwrap();
        let good = tag(&key, &format!("m.1.{NOW}.{BODY}")).1;
        let with = |id: &str, lines: &[&str]| {
            let lines: Vec<_> =
                lines.iter().map(|line| line.replace("GOOD", &tag(&key, &format!("m1.{NOW}.{BODY}")).1)).collect();
            let now = NOW.to_string();
            let mut headers = vec![("webhook-id", id), ("webhook-timestamp", now.as_str())];
            headers.extend(lines.iter().map(|line| ("webhook-signature", line.as_str())));
            reason(&verifier, &headers)
        };
        assert_eq!(with("m1", &["v2,x v1a,GOOD v1,GOOD"]), None);
        assert_eq!(with("m1", &["v1,AAAA", "v1,GOOD"]), None);
        assert_eq!(with("m1", &["v1", "GOOD"]), Some(Reason::UnknownVersion));
        assert_eq!(with("m1", &["v1a,GOOD v2,GOOD"]), Some(Reason::UnknownVersion));
        assert_eq!(with("m2", &["v1,GOOD"]), Some(Reason::Mismatch));
        assert_eq!(with("", &["v1,GOOD"]), Some(Reason::MissingPart));
        // The separator within a part would let one signature hold for two texts.
        assert_eq!(with("m.1", &[&format!("v1,{good}")]), Some(Reason::BadEncoding));
    }

    #[test]
    fn a_single_header_that_is_there_twice_is_refused() {
        let verifier = verifier(scheme("github"), &["k"]);
        let good = format!("sha256={}", tag(b"k", BODY).0);
        let name = "x-hub-signature-256";
        assert_eq!(reason(&verifier, &[(name, &good)]), None);
        assert_eq!(reason(&verifier, &[(name, &good.to_uppercase().replace("SHA", "sha"))]), None);
        assert_eq!(reason(&verifier, &[(name, &good), (name, &good)]), Some(Reason::BadEncoding));
        assert_eq!(reason(&verifier, &[(name, &good[7..])]), Some(Reason::UnknownVersion));
        assert_eq!(reason(&verifier, &[(name, &good[..70])]), Some(Reason::BadEncoding));
        assert_eq!(reason(&verifier, &[(name, "sha256=")]), Some(Reason::MissingHeader));
        assert_eq!(reason(&verifier, &[]), Some(Reason::MissingHeader));
    }

    #[test]
    fn a_secret_counts_until_its_end() {
        let until = Some(Timestamp::from_ms(NOW * 1000));
        let old = Secret::try_new(b"old".to_vec(), until).unwrap();
        let both = Verifier::try_new(scheme("github"), vec![old.clone(), secret("new")], Options::default()).unwrap();
        let header = |key: &[u8]| format!("sha256={}", tag(key, BODY).0);
        let at = |verifier: &Verifier, key: &[u8], at: u64| {
            let mut received = request(&[("x-hub-signature-256", &header(key))], BODY);
            received.at = Timestamp::from_ms(at);
            verifier.verify(received).map(|_| ()).map_err(|refused| refused.reason)
        };
        assert_eq!(at(&both, b"new", NOW * 1000), Ok(()));
        assert_eq!(at(&both, b"old", NOW * 1000 - 1), Ok(()));
        assert_eq!(at(&both, b"old", NOW * 1000), Err(Reason::Mismatch));
        let only_old = Verifier::try_new(scheme("github"), vec![old], Options::default()).unwrap();
        assert_eq!(at(&only_old, b"old", NOW * 1000), Err(Reason::NoSecret));
        assert_eq!(at(&verifier(scheme("github"), &[]), b"", 0), Err(Reason::NoSecret));
    }

    #[test]
    fn a_bad_secret_is_named() {
        let bad = |secrets: &[&str]| {
            let secrets = secrets.iter().map(|text| secret(text)).collect();
            Verifier::try_new(scheme("standard-webhooks"), secrets, Options::default()).unwrap_err()
        };
        assert_eq!(bad(&[STANDARD, "whsec_%"]), Unready::Secret(1, BadSecret::Encoding("base64")));
        assert_eq!(bad(&["whsec_"]), Unready::Secret(0, BadSecret::Empty));
        let basic = Verifier::try_new(scheme("chargebee"), vec![secret("password")], Options::default());
        assert_eq!(basic.unwrap_err(), Unready::Secret(0, BadSecret::NoPassword));
        let slot = vec![secret("1").in_slot("primary".into()), secret("2").in_slot("first".into())];
        let slot = Verifier::try_new(scheme("box"), slot, Options::default());
        assert_eq!(slot.unwrap_err(), Unready::Secret(1, BadSecret::Slot));
    }

    #[test]
    fn id_and_type_are_read_after_the_proof() {
        let verifier = verifier(scheme("stripe"), &["k"]);
        let verified = judge(&verifier, &[("stripe-signature", &stripe_header("t=NOW,v1=GOOD"))], BODY).unwrap();
        assert_eq!((verified.provider_event_id(), verified.kind()), (Some("evt_1"), Some("ping")));
        let own = Options { event_id: Some(Selector::Header("x-id".into())), ..Options::default() };
        let verified = judge(&Verifier::trusting(own), &[("x-id", "7")], BODY).unwrap();
        assert_eq!((verified.provider_event_id(), verified.kind()), (Some("7"), None));
    }

    #[test]
    fn the_configured_address_is_signed_and_no_header_changes_it() {
        let url = |text: &str| Options { public_url: Some(Url::parse(text).unwrap()), ..Options::default() };
        let scheme = custom(
            r#"kind = "hmac"
            hash = "sha256"
            signature = [{ in = "header", name = "X-Sig", encoding = "hex" }]
            payload = "{method} {url}""#,
        );
        let verifier = Verifier::try_new(scheme.clone(), vec![secret("k")], url("https://public.example/base/")).unwrap();
        let signed = |address: &str| tag(b"k", &format!("POST {address}")).0;
        let good = signed("https://public.example/base/in/x?token=t1");
        assert_eq!(reason(&verifier, &[("x-sig", &good), ("x-forwarded-host", "evil.example")]), None);
        assert_eq!(reason(&verifier, &[("x-sig", &signed("https://hooks.example/in/x?token=t1"))]), Some(Reason::Mismatch));
        let unset = super::tests::verifier(scheme, &["k"]);
        assert_eq!(reason(&unset, &[("x-sig", &signed("https://hooks.example/in/x?token=t1"))]), None);
    }

    #[test]
    fn tokens_and_passwords() {
        let token = |place: &str, name: &str, prefix: &str| {
            let text = format!("kind = 'token'\nsignature = [{{ in = '{place}', name = '{name}', prefix = '{prefix}' }}]");
            verifier(custom(&text), &["t1"])
        };
        assert_eq!(reason(&token("header", "Authorization", "Bearer "), &[("authorization", "bearer t1")]), None);
        assert_eq!(
            reason(&token("header", "Authorization", "Bearer "), &[("authorization", "t1")]),
            Some(Reason::UnknownVersion)
        );
        assert_eq!(reason(&token("header", "X-T", ""), &[("x-t", "t12")]), Some(Reason::Mismatch));
        assert_eq!(reason(&token("query", "token", ""), &[]), None);
        let json = token("json", "/token", "");
        assert!(judge(&json, &[], r#"{"token":"t1"}"#).is_ok());
        assert_eq!(judge(&json, &[], r#"{"token":"t1","token":"t1"}"#).unwrap_err(), Reason::BadEncoding);
        let basic = custom("kind = 'basic'\nsignature = [{ in = 'header', name = 'Authorization', prefix = 'Basic ' }]");
        let basic = verifier(basic, &["user:pass:word"]);
        assert_eq!(reason(&basic, &[("authorization", "Basic dXNlcjpwYXNzOndvcmQ=")]), None);
        assert_eq!(reason(&basic, &[("authorization", "Basic dXNlcg==")]), Some(Reason::BadEncoding));
    }

    #[test]
    fn a_timestamp_in_the_body_is_judged_after_the_proof() {
        let scheme = custom(
            r#"kind = "hmac"
            hash = "sha256"
            signature = [{ in = "header", name = "X-Sig", encoding = "hex" }]
            timestamp = { in = "json", name = "/at", format = "unix", max_age = 60 }
            payload = "{body}""#,
        );
        let verifier = verifier(scheme, &["k"]);
        let judge = |body: &str, key: &[u8]| judge(&verifier, &[("x-sig", &tag(key, body).0)], body).err();
        assert_eq!(judge(&format!(r#"{{"at":{NOW}}}"#), b"k"), None);
        assert_eq!(judge(r#"{"at":1}"#, b"k"), Some(Reason::TimestampTooOld));
        assert_eq!(judge(r#"{"at":1}"#, b"other"), Some(Reason::Mismatch));
        assert_eq!(judge("{}", b"k"), Some(Reason::MissingTimestamp));
    }

    #[test]
    fn each_element_must_be_proved() {
        let scheme = custom(
            r#"kind = "hmac"
            hash = "sha256"
            for_each = "/items"
            item = "/it"
            signature = [{ in = "json", name = "/sig", encoding = "hex" }]
            payload = "{json:/a}:{json:/b?}""#,
        );
        let verifier = verifier(scheme, &["k"]);
        let item = |text: &str, more: &str| format!(r#"{{"it":{{"a":"x","sig":"{}"{more}}}}}"#, tag(b"k", text).0);
        let judge = |items: &[String]| judge(&verifier, &[], &format!(r#"{{"items":[{}]}}"#, items.join(","))).err();
        assert_eq!(judge(&[item("x:", ""), item("x:y", r#","b":"y""#)]), None);
        assert_eq!(judge(&[item("x:", ""), item("x:", r#","b":"y""#)]), Some(Reason::Mismatch));
        assert_eq!(judge(&[item("x:", r#","b":"y","b":"y""#)]), Some(Reason::BadEncoding));
        assert_eq!(judge(&[]), Some(Reason::MissingPart));
    }

    #[test]
    fn a_slot_has_its_own_secret() {
        let scheme = custom(
            r#"kind = "hmac"
            hash = "sha256"
            signature = [
                { in = "header", name = "X-One", encoding = "hex", slot = "one" },
                { in = "header", name = "X-Two", encoding = "hex", slot = "two" },
            ]
            payload = "{body}""#,
        );
        let secrets = vec![secret("1").in_slot("one".into()), secret("2").in_slot("two".into())];
        let verifier = Verifier::try_new(scheme, secrets, Options::default()).unwrap();
        let (one, two) = (tag(b"1", BODY).0, tag(b"2", BODY).0);
        assert_eq!(reason(&verifier, &[("x-one", &two), ("x-two", &two)]), None);
        assert_eq!(reason(&verifier, &[("x-one", &two), ("x-two", &one)]), Some(Reason::Mismatch));
        assert_eq!(reason(&verifier, &[("x-one", &two)]), Some(Reason::Mismatch));
    }

    #[test]
    fn secrets_are_in_no_output() {
        let verifier = verifier(scheme("github"), &["do-not-print"]);
        assert!(!format!("{verifier:?}").contains("do-not-print"));
    }
}
