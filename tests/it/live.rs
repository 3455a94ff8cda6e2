//! What happens at a real relay, as people see it: the stream of the API, and `hookhold tail`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookhold::net::client::Server;
use hookhold::net::tls;
use hookhold::store::READERS_MAX;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::process::{Running, run};
use crate::world::{Reply, World, nowhere};

/// What has not come by then will not, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Another source and another destination.
const OTHERS: &str = r#"
    [sources.other]
    path = "/in/other"
    provider = "none"
    [destinations.side]
    url = "http://{app}/side"
    [[routes]]
    from = "other"
    to = ["app", "side"]
"#;

/// A stream that is read.
struct Stream {
    body: Incoming,
    text: String,
}

/// One fact: its place, what it is, and what is shown of it.
#[derive(Debug)]
struct Sent {
    id: Option<String>,
    kind: String,
    data: Value,
}

async fn opened(world: &World, query: &str, fields: &[(&str, &str)]) -> Response<Incoming> {
    let server = Server::of(&world.admin_address().parse().unwrap(), tls::client_config(None).unwrap(), false).unwrap();
    let request = Request::get(format!("/api/v1/live{query}")).header("host", server.authority());
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    server.connect().await.unwrap().open(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap()
}

impl Stream {
    async fn open(world: &World, query: &str, fields: &[(&str, &str)]) -> Self {
        let (head, body) = opened(world, query, fields).await.into_parts();
        assert_eq!((head.status.as_u16(), head.headers["content-type"].to_str().unwrap()), (200, "text/event-stream"));
        let mut stream = Self { body, text: String::new() };
        // It watches from then on.
        assert!(stream.part().await.unwrap().starts_with("retry: "));
        stream
    }

    /// What comes before the next empty line; `None` at the end.
    async fn part(&mut self) -> Option<String> {
        loop {
            if let Some((part, rest)) = self.text.split_once("\n\n") {
                let (part, rest) = (part.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(part);
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("nothing came in time")?;
            // A connection that is cut is an end, too.
            self.text.push_str(std::str::from_utf8(&frame.ok()?.into_data().unwrap()).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Sent> {
        loop {
            let part = self.part().await?;
            let field = |name: &str| part.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
            if let Some(kind) = field("event") {
                return Some(Sent { id: field("id"), kind, data: serde_json::from_str(&field("data").unwrap()).unwrap() });
            }
        }
    }

    async fn some(&mut self, count: usize) -> Vec<Sent> {
        let mut sent = Vec::new();
        while sent.len() < count {
            sent.push(self.next().await.unwrap());
        }
        sent
    }
}

#[tokio::test]
async fn what_happens_is_shown_as_it_is_stored() {
    let world = World::start("", OTHERS).await;
    let (mut all, mut side, mut gh) = (
        Stream::open(&world, "", &[]).await,
        Stream::open(&world, "?destination=side", &[]).await,
        Stream::open(&world, "?source=gh", &[]).await,
    );
    world.app.script([Reply { body: b"no".to_vec(), ..Reply::status(400) }]);
    world.send("d-1", b"{}").await;
    let sent = all.some(3).await;
    assert_eq!(sent.iter().map(|sent| &*sent.kind).collect::<Vec<_>>(), ["event", "attempt", "state"]);
    let listed = world.get("/events").await["items"][0].clone();
    let event = &sent[0].data;
    for field in [
        "id",
        "source",
        "provider",
        "type",
        "provider_event_id",
        "received_at",
        "method",
        "target",
        "peer",
        "body_bytes",
        "content_type",
    ] {
        assert_eq!(event[field], listed[field], "{field}");
    }
    assert!(event.get("headers").is_none() && event["deliveries"][0].get("attempts").is_none());
    let mut shown = world.get(&format!("/deliveries/{}", listed["deliveries"][0]["id"].as_str().unwrap())).await;
    shown.as_object_mut().unwrap().remove("url");
    assert_eq!(sent[1].data, shown, "the delivery, with just this attempt");
    shown.as_object_mut().unwrap().remove("attempts");
    assert_eq!(sent[2].data, shown);

    assert_eq!(gh.some(3).await[2].data["reason"], "refused");
    world.post("/in/other", &[], b"[1]").await;
    let sent = side.some(3).await;
    assert_eq!(sent[0].data["source"], "other");
    assert!(sent[1..].iter().all(|sent| sent.data["destination"] == "side"), "{sent:?}");
    world.send("d-2", b"{}").await;
    assert_eq!(gh.next().await.unwrap().data["provider_event_id"], "d-2");
}

#[tokio::test]
async fn who_comes_back_goes_on_and_who_was_away_is_told() {
    let world = World::start("", "").await;
    let mut stream = Stream::open(&world, "", &[]).await;
    world.send("d-1", b"{}").await;
    let first = stream.next().await.unwrap().id.unwrap();
    drop(stream);
    let mut again = Stream::open(&world, "", &[("last-event-id", &first)]).await;
    assert_eq!(again.some(2).await.iter().map(|sent| &*sent.kind).collect::<Vec<_>>(), ["attempt", "state"]);
    let mut elsewhere = Stream::open(&world, "", &[("last-event-id", "0000000000000001-5")]).await;
    let missed = elsewhere.next().await.unwrap();
    assert_eq!((&*missed.kind, &missed.data, &missed.id), ("missed", &json!({ "count": null }), &None));
}

#[tokio::test]
async fn streams_are_refused_and_end() {
    let mut world = World::start("", "").await;
    for query in ["?colour=red", "?source=a/b", "?source=a&source=b"] {
        assert_eq!(opened(&world, query, &[]).await.status(), 400, "{query}");
    }
    let mut streams = Vec::new();
    for _ in 0..READERS_MAX {
        streams.push(Stream::open(&world, "", &[]).await);
    }
    let refused = opened(&world, "", &[]).await;
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["content-type"].to_str().unwrap()),
        (503, "application/problem+json")
    );
    streams.truncate(2);
    // The relay has tokens now, and who reads has none.
    let file = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(world.folder.path().join("token"), "t").unwrap();
    let tokens = "[admin]\ntokens = [{ name = \"ops\", role = \"viewer\", secret = { file = \"token\" } }]";
    std::fs::write(&file, text.replace("[admin]", tokens)).unwrap();
    world.reload().await.unwrap();
    for stream in &mut streams {
        assert!(stream.next().await.is_none());
    }
    assert_eq!(opened(&world, "", &[]).await.status(), 401);
    let mut viewer = Stream::open(&world, "", &[("authorization", "Bearer t")]).await;
    world.send("d-1", b"{}").await;
    assert_eq!(viewer.some(3).await.len(), 3);
    let began = std::time::Instant::now();
    world.down().await;
    assert!(began.elapsed() < Duration::from_secs(8), "a stream holds nothing up");
    assert!(viewer.next().await.is_none());
}

#[tokio::test]
async fn a_client_that_stops_reading_holds_nothing_up() {
    let world = World::start("", "").await;
    let mut stopped = TcpStream::connect(world.admin_address().strip_prefix("http://").unwrap()).await.unwrap();
    stopped.write_all(b"GET /api/v1/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await.unwrap();
    let mut quick = Stream::open(&world, "", &[]).await;
    let world = Arc::new(world);
    const EVENTS: usize = 200;
    let sender = tokio::spawn({
        let world = world.clone();
        async move {
            for n in 0..EVENTS {
                assert_eq!(world.send(&n.to_string(), &[b' '; 1000]).await.status, 200);
            }
        }
    });
    assert_eq!(quick.some(3 * EVENTS).await.iter().filter(|sent| sent.kind == "event").count(), EVENTS);
    sender.await.unwrap();
    world.listed("/deliveries?state=delivered&limit=500", EVENTS).await;
    drop(stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_a_line_a_fact_and_comes_back() {
    // The same port after a restart.
    let listen = format!("[admin]\n            listen = \"{}\"", nowhere());
    let change = |text: String| text.replace("[admin]\n            listen = \"127.0.0.1:0\"", &listen);
    let mut world = World::start_changed("", "", change).await;
    let admin = world.admin_address();
    let tail = |arguments: &[&str]| {
        let all: Vec<_> = ["--admin", &admin, "tail"].iter().chain(arguments).copied().collect();
        let tail = Running::start(world.folder.path(), &all);
        tail.says("watching");
        tail
    };
    let (people, programs, pushes) = (tail(&[]), tail(&["--json"]), tail(&["--type", "pu?h*", "--source", "gh"]));
    let pings = tail(&["--type", "ping"]);
    world.send("d-1", b"{}").await;
    let lines = [(); 3].map(|()| people.line());
    assert!(lines[0].ends_with("  event    gh  push  app  2 bytes"), "{lines:?}");
    assert!(lines[1].contains("  attempt  gh  push  app  200  ") && lines[1].ends_with(" ms"), "{lines:?}");
    assert!(lines[2].ends_with("  state    gh  push  app  delivered"), "{lines:?}");
    assert_eq!([(); 3].map(|()| programs.json()["kind"].clone()), ["event", "attempt", "state"]);
    assert_eq!([(); 3].map(|()| pushes.line().contains("push")), [true; 3]);
    assert_eq!(pings.interrupt(), 0);

    world.down().await;
    programs.says("not connected");
    world.up().await;
    programs.says("connected again");
    world.send("d-2", b"{}").await;
    let mut back = programs.json();
    while back["kind"] == "missed" {
        back = programs.json();
    }
    assert_eq!(back["data"]["provider_event_id"], "d-2");
    assert_eq!(programs.interrupt(), 0);
    people.says("connected again");
    let handle = tokio::runtime::Handle::current();
    let more = || drop(tokio::task::block_in_place(|| handle.block_on(world.send("d-3", b"{}"))));
    let retry = || {
        more();
        drop(tokio::task::block_in_place(|| {
            handle.block_on(world.admin(Method::POST, "/replays", br#"{"filter": {"source": "gh"}}"#))
        }));
    };
    assert_eq!(people.close(retry), 0);
    let unreachable = tokio::task::spawn_blocking(|| run(std::path::Path::new("."), &["--admin", "http://127.0.0.1:1", "tail"]));
    assert_eq!(unreachable.await.unwrap().code, 3);
}
