//! Deliveries that are signed anew: the application's own library believes each attempt, however late it is.

use hookhold::record::{Headers, Received};
use hookhold::signature::{Options, Secret, Verifier, preset};
use hookhold::time::{Clock, Timestamp};

use crate::world::{Got, Reply, SECRET, World};

/// What an application that checks as `provider` does thinks of a request.
fn believed(got: &Got, provider: &str, secret: &str, at: Timestamp) -> Result<(), String> {
    let headers: Headers = got.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let received = Received {
        method: got.method.to_string(),
        target: got.target.clone(),
        authority: got.header("host").to_owned(),
        headers,
        body: got.body.clone(),
        peer: [127, 0, 0, 1].into(),
        at,
    };
    let secret = Secret::try_new(secret.into(), None).unwrap();
    let scheme = preset::find(provider).unwrap().scheme.clone();
    let verifier = Verifier::try_new(scheme, vec![secret], Options::default()).unwrap();
    verifier.verify(received).map(drop).map_err(|refused| format!("{:?}", refused.reason))
}

#[tokio::test]
async fn each_attempt_is_signed_anew_in_place_of_what_came() {
    let own = "sign = { as = \"stripe\", secret = { file = \"own\" } }\nretry = { schedule = [\"1100ms\"] }";
    let folder = tempfile::tempdir().unwrap();
    let own = own.replace("\"own\"", &format!("{:?}", folder.path().join("own")));
    std::fs::write(folder.path().join("own"), "the application's own\n").unwrap();
    let world = World::start(&own, "").await;
    world.app.script([Reply::status(500)]);
    world.send("d-1", b"{ \"a\": 1 }").await;
    let got = world.app.got(2).await;
    let now = Clock::system().now();
    for got in &got {
        assert_eq!(believed(got, "stripe", "the application's own", now), Ok(()));
        assert!(believed(got, "stripe", SECRET, now).is_err());
        assert_eq!((got.header("x-hub-signature-256"), got.header("x-github-delivery")), ("", "d-1"));
        assert_eq!(&got.body[..], b"{ \"a\": 1 }");
    }
    // More than a second lies between the two.
    assert_ne!(got[0].header("stripe-signature"), got[1].header("stripe-signature"));
}

#[tokio::test]
async fn both_secrets_count_while_they_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["new", "old"] {
        std::fs::write(folder.path().join(name), format!("whsec_{name}{name}00")).unwrap();
    }
    let file = |name: &str| format!("{{ file = {:?} }}", folder.path().join(name));
    let sign = format!("sign = {{ as = \"standard-webhooks\", secrets = [{}, {}] }}", file("new"), file("old"));
    let world = World::start(&sign, "").await;
    world.send("d-1", b"{}").await;
    let got = &world.app.got(1).await[0];
    let now = Clock::system().now();
    for secret in ["whsec_newnew00", "whsec_oldold00"] {
        assert_eq!(believed(got, "standard-webhooks", secret, now), Ok(()));
    }
    assert_eq!(got.header("webhook-id"), "d-1");
}
