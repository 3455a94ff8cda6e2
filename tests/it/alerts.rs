//! A relay that says by itself when something is wrong: to a real receiver, at the beginning and at the end.

use std::net::IpAddr;

use hookhold::record::{Headers, Received};
use hookhold::signature::{Options, Secret, Verifier, preset};
use hookhold::time::Timestamp;
use http::Method;
use serde_json::Value;

use crate::process::run;
use crate::world::{Got, Reply, Upstream, World, eventually};

/// Of the receiver that wants signed documents.
pub(crate) const SIGNING: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

const QUIET: &str = r#"
    [sources.quiet]
    path = "/in/quiet"
    provider = "none"
    expect_every = "2s"
    [[routes]]
    from = "quiet"
    to = ["app"]
"#;

/// `[alerts]` that looks often and tells at once.
pub(crate) fn alerts(to: &str, more: &str) -> String {
    format!(
        "[alerts]\nto = [{to}]\nlook_every = '100ms'\nbegin_after = '0s'\nend_after = '0s'\ncool_down = '0s'\n\
         disk_nearly_full = 'off'\n{more}\n"
    )
}

/// A receiver of Slack's form, whose address has a secret in it.
pub(crate) fn slack(ops: &Upstream) -> String {
    format!("{{ url = 'http://user:LITERAL@{}/LITERAL?k=LITERAL', form = 'slack' }}", ops.address)
}

/// What each request says.
pub(crate) fn texts(got: &[Got]) -> Vec<String> {
    let text = |got: &Got| serde_json::from_slice::<Value>(&got.body).unwrap()["text"].as_str().unwrap().to_owned();
    got.iter().map(text).collect()
}

/// Waits until the receiver was told something with this in it.
pub(crate) async fn told(ops: &Upstream, what: &str) -> String {
    eventually(async || texts(&ops.requests()).into_iter().find(|text| text.contains(what))).await
}

/// Sends events to the quiet source until the receiver hears that it is not silent any more.
async fn heard_again(world: &World, ops: &Upstream) -> String {
    eventually(async || {
        world.post("/in/quiet", &[], b"{}").await;
        texts(&ops.requests()).into_iter().find(|text| text.contains("OVER: source quiet is silent"))
    })
    .await
}

pub(crate) fn edit(world: &World, change: impl FnOnce(String) -> String) {
    let file = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, change(text)).unwrap();
}

#[tokio::test]
async fn a_silent_source_is_told_and_heard_again() {
    let ops = Upstream::start().await;
    let mut world = World::start("", &(alerts(&slack(&ops), "name = 'eu'") + QUIET)).await;
    let begin = told(&ops, "ALARM").await;
    assert!(
        begin.starts_with("[hookhold eu] ALARM: source quiet is silent: it had no event yet, one is expected every 2s"),
        "{begin}"
    );
    assert!(begin.contains("`hookhold events list --source quiet`"), "it says what to do: {begin}");
    let got = ops.requests();
    assert_eq!((got[0].method.clone(), got[0].target.as_str()), (Method::POST, "/LITERAL?k=LITERAL"));
    assert_eq!((got[0].header("content-type"), got[0].header("authorization")), ("application/json", "Basic dXNlcjpMSVRFUkFM"));
    let firing = r#"hookhold_alert_firing{kind="source_silent",subject="quiet"} "#;
    assert!(world.metrics().await.contains(&format!("{firing}1")));
    heard_again(&world, &ops).await;
    let told_twice = texts(&ops.requests()).iter().filter(|text| text.contains("OVER")).count();
    assert_eq!(told_twice, 1);

    // What came before a restart is known after it.
    world.down().await;
    world.up().await;
    told(&ops, "source quiet is silent: its last event was").await;
}

#[tokio::test]
async fn a_failing_destination_is_told_in_signed_documents() {
    let (ops, secret) = (Upstream::start().await, format!("{SIGNING}\n"));
    let more = alerts(
        "{ url = { file = 'where' }, form = 'standard-webhooks', secret = { file = 'signing' } }",
        "destination_failing = '1s'",
    );
    let mut world = World::start("retry = { base = '50ms', cap = '100ms' }", "").await;
    std::fs::write(world.folder.path().join("where"), format!("http://{}/hook/LITERAL", ops.address)).unwrap();
    std::fs::write(world.folder.path().join("signing"), secret).unwrap();
    edit(&world, |text| format!("{text}\n{more}"));
    assert_eq!(world.reload().await.unwrap(), ["alerts: added"]);

    ops.script([Reply::status(500)]);
    // It fails until the receiver has taken that, however long that takes.
    world.app.answers(Reply::status(503));
    world.send("d-1", br#"{"a":"PAYLOAD"}"#).await;
    ops.got(2).await;
    world.app.answers(Reply::status(200));
    let got = ops.got(3).await;
    let documents: Vec<Value> = got.iter().map(|got| serde_json::from_slice(&got.body).unwrap()).collect();
    let (began, ended) = (&documents[1], &documents[2]);
    assert_eq!(documents[0], documents[1], "it was not taken, and is told again");
    assert_eq!([&began["type"], &ended["type"]], ["hookhold.alert.began", "hookhold.alert.ended"], "{documents:?}");
    let alert = &began["data"]["alert"];
    assert_eq!(
        (&alert["kind"], &alert["subject"]["destination"], &alert["state"]),
        (&"destination_failing".into(), &"app".into(), &"firing".into())
    );
    let detail = alert["detail"].as_str().unwrap();
    assert!(detail.contains("no success for") && detail.contains("last error: answered 503"), "{detail}");
    assert_eq!(ended["data"]["alert"]["id"], alert["id"]);
    assert!(ended["data"]["alert"]["ended_at"].is_string());
    let ids: Vec<_> = got.iter().map(|got| got.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
    for got in &got {
        assert!(!String::from_utf8_lossy(&got.body).contains("PAYLOAD"));
        assert!(is_signed(got), "{got:?}");
    }
    // The list shows it as over, and nothing of the address.
    let listed = world.get("/alerts?state=ended").await;
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["items"][0]["id"]), (1, &alert["id"]), "{listed}");
    assert!(
        !listed.to_string().contains("LITERAL") && listed["receivers"][0]["to"].as_str().unwrap().ends_with("/***"),
        "{listed}"
    );
}

/// Whether a receiver with the secret would believe it.
pub(crate) fn is_signed(got: &Got) -> bool {
    let secret = Secret::try_new(SIGNING.into(), None).unwrap();
    let scheme = preset::find("standard-webhooks").unwrap().scheme.clone();
    let mut headers = Headers::default();
    got.headers.iter().for_each(|(name, value)| headers.push(name.clone(), value.clone()));
    let at = Timestamp::from_ms(got.header("webhook-timestamp").parse::<u64>().unwrap() * 1000);
    let received = Received {
        method: "POST".to_owned(),
        target: got.target.clone(),
        authority: "ops.example".to_owned(),
        headers,
        body: got.body.clone(),
        peer: IpAddr::from([127, 0, 0, 1]),
        at,
    };
    Verifier::try_new(scheme, vec![secret], Options::default()).unwrap().verify(received).is_ok()
}

#[tokio::test]
async fn many_bad_signatures_are_told_and_their_end() {
    let ops = Upstream::start().await;
    let world = World::start("", &alerts(&slack(&ops), "bad_signatures = { count = 3, within = '2s' }")).await;
    for _ in 0..2 {
        assert_eq!(world.post("/in/gh", &[("x-hub-signature-256", "sha256=00")], b"{}").await.status, 401);
    }
    eventually(async || {
        world.post("/in/gh", &[("x-hub-signature-256", "sha256=00")], b"{}").await;
        (!ops.requests().is_empty()).then_some(())
    })
    .await;
    let begin = told(&ops, "ALARM").await;
    assert!(begin.contains("source gh gets requests that cannot be verified: "), "{begin}");
    assert!(begin.contains("within 2s") && begin.contains("`hookhold quarantine list --source gh`"), "{begin}");
    told(&ops, "OVER: source gh gets requests that cannot be verified").await;
}

#[tokio::test]
async fn what_is_firing_goes_on_over_a_reload() {
    let (before, after) = (Upstream::start().await, Upstream::start().await);
    let mut world = World::start("", &(alerts(&slack(&before), "") + QUIET)).await;
    told(&before, "ALARM").await;
    let id = world.listed("/alerts?state=firing", 1).await[0]["id"].clone();
    edit(&world, |text| text.replace(&before.address.to_string(), &after.address.to_string()));
    assert_eq!(world.reload().await.unwrap(), ["alerts: changed"]);
    let test = world.admin(Method::POST, "/alerts/test", b"").await;
    assert_eq!(test.status, 200, "{test:?}");
    heard_again(&world, &after).await;
    let texts = texts(&after.requests());
    let first = texts.iter().position(|text| text.contains("OVER")).unwrap();
    assert!(texts[..first].iter().all(|text| text.contains("TEST")), "it does not begin again: {texts:?}");
    assert!(before.requests().iter().all(|got| !String::from_utf8_lossy(&got.body).contains("OVER")));
    let ended = world.get("/alerts?state=ended").await;
    assert!(ended["items"].as_array().unwrap().iter().any(|alarm| alarm["id"] == id), "{ended}");
    // Without the table nothing alarms any more.
    edit(&world, |text| {
        let (start, end) = (text.find("[alerts]").unwrap(), text.find("[sources.quiet]").unwrap());
        format!("{}{}", &text[..start], &text[end..])
    });
    world.reload().await.unwrap();
    eventually(async || (world.get("/alerts").await["items"] == Value::Array(Vec::new())).then_some(())).await;
    assert_eq!(world.get("/alerts").await["enabled"], false);
    assert!(!world.metrics().await.contains("hookhold_alert_firing{"));
    assert_eq!(world.admin(Method::POST, "/alerts/test", b"").await.status, 409);
}

#[tokio::test]
async fn a_receiver_that_fails_is_asked_again_and_seen() {
    let ops = Upstream::start().await;
    ops.script([Reply::status(500)]);
    let world = World::start("", &(alerts(&slack(&ops), "") + QUIET)).await;
    let got = ops.got(2).await;
    assert_eq!(got[0].body, got[1].body, "the same message");
    let metrics = world.metrics().await;
    assert!(metrics.contains(r#"hookhold_alerts_sent_total{outcome="retried"} 1"#), "{metrics}");
    eventually(async || world.metrics().await.contains(r#"hookhold_alerts_sent_total{outcome="sent"} 1"#).then_some(())).await;
    let listed = world.get("/alerts?state=firing&kind=source_silent&limit=1").await;
    assert_eq!(
        (&listed["receivers"][0]["last_error"], &listed["receivers"][0]["waiting"]),
        (&Value::Null, &0.into()),
        "{listed}"
    );
    for wrong in ["state=burning", "kind=x", "colour=red", "limit=0", "cursor=x"] {
        assert_eq!(world.admin(Method::GET, &format!("/alerts?{wrong}"), b"").await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_command_line_shows_and_tests() {
    let (good, bad) = (Upstream::start().await, Upstream::start().await);
    bad.script(vec![Reply { body: b"no_such_hook".to_vec(), ..Reply::status(404) }; 100]);
    let to = format!("{}, {}", slack(&good), slack(&bad));
    let world = World::start("", &(alerts(&to, "") + QUIET)).await;
    told(&good, "ALARM").await;
    // The receivers' answers are known a moment after they were asked.
    eventually(async || {
        let listed = world.get("/alerts").await;
        let is_refused = listed["receivers"][1]["last_error"].as_str().is_some_and(|why| why.contains("404"));
        (is_refused && listed["items"][0]["last_sent_at"].is_string()).then_some(())
    })
    .await;
    let command = async |arguments: &[&str]| {
        let mut all = vec!["--admin".to_owned(), world.admin_address()];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let folder = world.folder.path().to_owned();
        let ended = tokio::task::spawn_blocking(move || run(&folder, &all.iter().map(String::as_str).collect::<Vec<_>>()));
        ended.await.unwrap()
    };
    let listed = command(&["alerts", "--json"]).await.json();
    let alarm = &listed["items"][0];
    assert_eq!(
        (&alarm["kind"], &alarm["subject"]["source"], &alarm["state"]),
        (&"source_silent".into(), &"quiet".into(), &"firing".into())
    );
    assert!(alarm["since"].is_string() && alarm["last_sent_at"].is_string() && !alarm["detail"].as_str().unwrap().is_empty());
    let shown = command(&["alerts"]).await;
    assert!(shown.code == 0 && shown.out.contains("source quiet is silent") && shown.out.contains("answered 404"), "{shown:?}");
    let tested = command(&["alerts", "test", "--json"]).await;
    assert_eq!(tested.code, 1, "one of them did not take it: {tested:?}");
    let results: Value = serde_json::from_str(&tested.out).unwrap();
    assert_eq!([&results["results"][0]["status"], &results["results"][1]["status"]], [200, 404], "{results}");
    assert_eq!(results["results"][1]["answer"], "no_such_hook");
    told(&good, "TEST").await;
    let tested = command(&["alerts", "test"]).await;
    assert!(tested.out.contains("no_such_hook") && !tested.out.contains("LITERAL"), "{tested:?}");
    assert!(!listed.to_string().contains("LITERAL") && !shown.out.contains("LITERAL"));
}
