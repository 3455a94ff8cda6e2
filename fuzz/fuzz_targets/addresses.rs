//! Addresses of certificates that a request names: whatever stands there, only what the rules allow would be fetched.
#![no_main]

use std::sync::LazyLock;

use hookhold::signature::{Documents, Options, Verifier, preset};
use hookhold_fuzz::received;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use url::Url;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:t";

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let mut options = Options::default();
    options.terms.settings.insert("topic_arns".into(), vec![TOPIC.into()]);
    let scheme = preset::find("aws-sns").expect("a preset").scheme.clone();
    Verifier::try_new(scheme, Vec::new(), options).expect("it says its topic")
});

fuzz_target!(|data: &[u8]| {
    let Ok(address) = std::str::from_utf8(data) else { return };
    let body = json!({
        "Type": "Notification",
        "MessageId": "1",
        "TopicArn": TOPIC,
        "Message": "m",
        "Timestamp": "2026-09-21T14:13:20.000Z",
        "SignatureVersion": "2",
        "Signature": "AAAA",
        "SigningCertURL": address,
    });
    let Some(request) = received(&[], body.to_string().as_bytes()) else { return };
    let refused = VERIFIER.verify_with(request, &Documents::default()).expect_err("nobody signed it");
    let Some(needed) = refused.needed else { return };
    // Judged by another reading than the rules' own.
    let url = Url::parse(needed.address()).expect("an address");
    let host = url.host_str().expect("a host");
    assert_eq!(url.as_str(), needed.address());
    assert!(host.starts_with("sns.") && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")), "{host}");
    assert!(
        host.matches('.').count() <= 4 && url.path().starts_with("/SimpleNotificationService-") && url.path().ends_with(".pem")
    );
    assert!(url.scheme() == "https" && url.port().is_none() && url.username().is_empty() && url.query().is_none());
});
