//! What the fuzz targets share: a request, a secret that no input can know, and a judgement.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use hookhold::record::{Headers, Received};
use hookhold::signature::{Options, Scheme, Secret, Signer, Unsigned, Verifier};
use hookhold::time::Timestamp;
use http::{HeaderName, HeaderValue};

/// When every request arrives.
pub const NOW: Timestamp = Timestamp::from_ms(1_790_000_000_000);
/// No input guesses what it signs.
pub const SECRET: &str = "4f0c-a-secret-that-is-not-in-any-input-91d7";
/// The address of every request.
pub const TARGET: &str = "/in/x?b=2&a=1&a=%20";

/// A request; `None` where a header could not be sent.
pub fn received(headers: &[(&str, &[u8])], body: &[u8]) -> Option<Received> {
    let field = |(name, value): &(&str, &[u8])| Some((HeaderName::try_from(*name).ok()?, HeaderValue::from_bytes(value).ok()?));
    Some(Received {
        method: "POST".into(),
        target: TARGET.into(),
        authority: "hooks.example.com".into(),
        headers: headers.iter().map(field).collect::<Option<Headers>>()?,
        body: Bytes::copy_from_slice(body),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        at: NOW,
    })
}

/// A scheme as relay.toml writes it.
pub fn scheme(text: &str) -> Scheme {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A secret of that text.
pub fn secret(text: &str) -> Secret {
    Secret::try_new(text.into(), None).expect("it is not empty")
}

/// A verifier with that secret.
pub fn verifier(scheme: Scheme, text: &str, options: Options) -> Verifier {
    Verifier::try_new(scheme, vec![secret(text)], options).expect("a plain secret fits")
}

/// The event's id, in a request that needs no proof.
pub fn id_of(selector: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Option<String> {
    let event_id = Some(selector.parse().expect("a selector"));
    let verifier = Verifier::trusting(Options { event_id, ..Options::default() });
    let (_, id, _) = verifier.verify(received(headers, body)?).expect("nothing is to be proved").into_parts();
    id
}

/// The headers of a request that a scheme signs with [`SECRET`]; `None` where it cannot.
pub fn signed(scheme: &Scheme, body: &[u8]) -> Option<Received> {
    let signer = Signer::try_new(scheme.clone(), &secret(SECRET)).ok()?;
    let request = Unsigned {
        method: "POST",
        url: &format!("https://hooks.example.com{TARGET}"),
        headers: &Headers::default(),
        body,
        now: NOW,
        event_id: Some("evt_1"),
        kind: Some("ping"),
    };
    let headers = signer.sign(&request).ok()?.into_iter().collect();
    Some(Received { headers, ..received(&[], body)? })
}
