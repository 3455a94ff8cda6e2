//! Subscriptions that are confirmed by a visit, over real TLS: the provider hears 2xx only where the visit did, nothing becomes an event,
//! and nothing is visited that was not proved or that the rules do not name.

use hookhold::net::client::Answer;
use hookhold::net::tls::SELF_SIGNED_FILES;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{Reply, SECRET, Upstream, World, github_signature};

/// A relay with a source at `/in/sub`, whose provider wants its subscriptions confirmed at `provider`.
struct Confirmed {
    world: World,
    provider: Upstream,
    _folder: TempDir,
}

impl Confirmed {
    /// `own`: the source names the roots of the provider's host, which has a private address.
    async fn start(own: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let provider = Upstream::start_tls(folder.path()).await;
        let ca = folder.path().join(SELF_SIGNED_FILES[0]);
        let fetch = if own { format!("confirm_fetch = {{ ca = \"{}\" }}", ca.display()) } else { String::new() };
        let port = provider.address.port();
        let more = format!(
            r#"
            [sources.sub]
            path = "/in/sub"
            provider = "custom"
            secrets = [{{ file = "secret" }}]
            {fetch}
            [sources.sub.verify]
            kind = "hmac"
            hash = "sha256"
            event_id = "json:/id"
            signature = [{{ in = "header", name = "X-Sig", encoding = "hex", prefix = "sha256=" }}]
            payload = "{{body}}"
            [[sources.sub.handshake]]
            when = {{ json = {{ "/type" = "confirm" }} }}
            confirm = {{ json = "/visit", addresses = ["https://localhost:{port}/confirm"], with = {{ action = "yes" }} }}
            respond = {{}}
            [[routes]]
            from = "sub"
            to = "app"
            "#
        );
        Self { world: World::start("", &more).await, provider, _folder: folder }
    }

    fn address(&self, rest: &str) -> String {
        format!("https://localhost:{}{rest}", self.provider.address.port())
    }

    async fn send(&self, secret: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.world.post("/in/sub", &[("x-sig", &github_signature(secret, body.as_bytes()))], body.as_bytes()).await
    }

    async fn ask(&self, visit: &str) -> Answer {
        self.send(SECRET, &json!({"type": "confirm", "visit": visit})).await
    }

    fn visits(&self) -> Vec<String> {
        self.provider.requests().into_iter().map(|got| format!("{} {}", got.method, got.target)).collect()
    }
}

const GOOD: &str = "/confirm?action=yes&token=a%2Fb";

#[tokio::test(flavor = "multi_thread")]
async fn it_is_visited_answered_and_never_an_event() {
    let confirmed = Confirmed::start(true).await;
    let answer = confirmed.ask(&confirmed.address(GOOD)).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b""[..]));
    assert_eq!(confirmed.visits(), [format!("GET {GOOD}")]);
    let visit = &confirmed.provider.requests()[0];
    assert!(visit.body.is_empty() && visit.header("x-sig").is_empty() && visit.header("host").starts_with("localhost:"));
    assert_eq!(confirmed.send(SECRET, &json!({"type": "news", "id": "1"})).await.status, 200);
    confirmed.world.listed("/events", 1).await;
    let metrics = confirmed.world.metrics().await;
    assert!(metrics.contains(r#"hookhold_requests_total{source="sub",outcome="handshake"} 1"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn until_the_provider_took_it_the_sender_shall_come_again() {
    let confirmed = Confirmed::start(true).await;
    let redirect = Reply { headers: vec![("location", GOOD.to_owned())], ..Reply::status(302) };
    confirmed.provider.script([Reply::status(500), Reply::status(404), redirect]);
    for count in 1..=3 {
        let answer = confirmed.ask(&confirmed.address(GOOD)).await;
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(confirmed.visits().len(), count);
    }
    let metrics = confirmed.world.metrics().await;
    assert!(metrics.contains(r#"hookhold_requests_total{source="sub",outcome="unconfirmed"} 3"#), "{metrics}");
    let large = Reply { body: vec![b' '; 1_000_000], ..Reply::status(200) };
    confirmed.provider.script([large]);
    assert_eq!(confirmed.ask(&confirmed.address(GOOD)).await.status, 200);
    confirmed.world.listed("/events", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_visited() {
    let confirmed = Confirmed::start(true).await;
    let good = confirmed.address(GOOD);
    assert_eq!(confirmed.send("another secret", &json!({"type": "confirm", "visit": good})).await.status, 401);
    let port = confirmed.provider.address.port();
    for visit in [
        good.replace("https:", "http:"),
        good.replace("localhost", "127.0.0.1"),
        good.replace("localhost", "localhost.evil.example"),
        good.replace("localhost", "user@localhost"),
        good.replace(&port.to_string(), "443"),
        good.replace("action=yes", "action=no"),
        good.replace("action=yes", "action=yes&action=no"),
        good.replace("action=yes&", ""),
        format!("{good}#"),
        confirmed.address("/confirm/../other?action=yes"),
        confirmed.address("/confirm"),
        String::new(),
    ] {
        assert_eq!(confirmed.ask(&visit).await.status, 400, "{visit}");
    }
    for body in [json!({"type": "confirm"}), json!({"type": "confirm", "visit": [good]})] {
        assert_eq!(confirmed.send(SECRET, &body).await.status, 400, "{body}");
    }
    assert_eq!(confirmed.visits(), [""; 0]);
    confirmed.world.listed("/events", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_behind_the_firewall_is_not_visited() {
    let confirmed = Confirmed::start(false).await;
    assert_eq!(confirmed.ask(&confirmed.address(GOOD)).await.status, 503);
    assert_eq!(confirmed.visits(), [""; 0]);
}
