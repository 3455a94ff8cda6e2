//! Where applications can be, beside a host and a port.

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::raw::{OK, request, tried, world};

#[tokio::test]
async fn an_application_behind_a_unix_socket_gets_what_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let url = format!("unix:{}:/hook/it?token=s3cr3t", socket.display());
    let world = world(&url, r#"retry = { schedule = ["1ms", "1h"] }"#).await;
    // Nobody listens there yet.
    world.post("/in/raw", &[], b"early").await;
    let waits = tried(&world, "pending", 2).await;
    assert_eq!((&waits["attempts"][0]["error"], &waits["attempts"][1]["error"]), (&"connect".into(), &"connect".into()));
    let shown = format!("unix:{}:/hook/it?***", socket.display());
    assert_eq!((&waits["url"], &world.get("/destinations/raw").await["url"]), (&shown.clone().into(), &shown.into()));

    let listener = UnixListener::bind(&socket).unwrap();
    let (sender, mut requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Some(request) = request(&mut stream).await {
            stream.write_all(OK).await.unwrap();
            sender.send(request).unwrap();
        }
    });
    for body in ["one", "two"] {
        world.post("/in/raw", &[], body.as_bytes()).await;
        // Both come on the one connection that is taken.
        let got = requests.recv().await.unwrap();
        assert!(got.starts_with("POST /hook/it?token=s3cr3t HTTP/1.1\r\n") && got.ends_with(body), "{got}");
        assert!(got.contains("\r\nhost: localhost\r\n"), "{got}");
    }
    world.listed("/deliveries?state=delivered", 2).await;
}
