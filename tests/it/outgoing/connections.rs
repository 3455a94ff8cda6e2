//! When connections are made, kept, and let go.

use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::raw::{OK, Raw, request, tried, world};

const ONCE: &str = r#"retry = { schedule = ["1h"] }"#;

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_attempt() {
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    let app = Raw::start(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            request(&mut stream).await.unwrap();
            stream.write_all(OK).await.unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    })
    .await;
    let world = world(&format!("http://{}/", app.address), &format!("{ONCE}\nconnection_idle = \"1h\"")).await;
    for n in 1..=20 {
        assert_eq!(world.post("/in/raw", &[], b"x").await.status, 200);
        was_closed.recv().await.unwrap();
        world.listed("/deliveries?state=delivered", n).await;
    }
    let all = world.get("/deliveries").await["items"].as_array().unwrap().clone();
    assert!(all.iter().all(|delivery| delivery["attempts_made"] == 1), "{all:?}");
    assert_eq!(app.connections(), 20);
}

#[tokio::test]
async fn a_connection_that_nothing_uses_is_closed_after_its_time() {
    let (ended, mut end) = mpsc::unbounded_channel();
    let app = Raw::start(move |number, mut stream| {
        let ended = ended.clone();
        async move {
            while request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
            }
            ended.send(number).unwrap();
        }
    })
    .await;
    let url = format!("http://{}/", app.address);
    let patient = world(&url, "connection_idle = \"1h\"\nconnection_age = \"1h\"").await;
    for n in 1..=3 {
        assert_eq!(patient.post("/in/raw", &[], b"x").await.status, 200);
        patient.listed("/deliveries?state=delivered", n).await;
    }
    assert_eq!(app.connections(), 1);
    let hasty = world(&url, "connection_idle = \"400ms\"\nconnection_age = \"1h\"").await;
    assert_eq!(hasty.post("/in/raw", &[], b"x").await.status, 200);
    // The later one ends, and the other one stays.
    let first = tokio::time::timeout(Duration::from_secs(60), end.recv()).await.unwrap();
    assert_eq!((first, app.connections(), end.try_recv().is_err()), (Some(1), 2, true));
}

#[tokio::test]
async fn what_does_not_answer_is_given_up_in_time() {
    // Nobody takes the connections of this one, and its line is full.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();
    let silent = Raw::start(async |_, mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
    })
    .await;
    for (url, error) in [(format!("http://{address}/"), "connect"), (format!("https://{}/", silent.address), "tls")] {
        let world = world(&url, &format!("{ONCE}\nconnect_timeout = \"300ms\"")).await;
        assert_eq!(world.post("/in/raw", &[], b"x").await.status, 200);
        let attempt = tried(&world, "pending", 1).await["attempts"][0].clone();
        assert_eq!(attempt["error"], error, "{attempt}");
        assert!((300..9000).contains(&attempt["duration_ms"].as_u64().unwrap()), "{attempt}");
    }
    drop(waiting);
}
