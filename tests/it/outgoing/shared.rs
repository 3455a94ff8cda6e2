//! HTTP/2 to applications: many exchanges on one connection, and the same promises.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{Barrier, mpsc};
use tokio_rustls::server::TlsStream;

use super::frames::{INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM};
use super::raw::tried;
use super::secure::Secure;

const PATIENT: &str = r#"retry = { schedule = ["1h"] }"#;

/// Serves what the client wants to speak.
async fn serve<B, F>(stream: TlsStream<TcpStream>, answer: impl Fn(Request<Incoming>) -> F)
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

#[tokio::test]
async fn exchanges_share_a_connection_where_it_is_wanted() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    // Nobody is answered before all are there.
    let together = Arc::new(Barrier::new(5));
    let app = Secure::start(move |number, stream| {
        let (sender, together) = (sender.clone(), together.clone());
        serve(stream, move |request: Request<Incoming>| {
            let (sender, together) = (sender.clone(), together.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let hosts = head.headers.get_all("host").iter().count();
                sender.send((number, head.version, head.uri.to_string(), hosts, body)).unwrap();
                together.wait().await;
                Response::new(Empty::new())
            }
        })
    })
    .await;
    let port = app.app.address.port();
    let expected = [
        ("http2 = true", Version::HTTP_2, format!("https://localhost:{port}/hook"), 0, 1),
        ("", Version::HTTP_11, "/hook".to_owned(), 1, 6),
    ];
    for (settings, version, uri, hosts, connections) in expected {
        let world = app.world(settings).await;
        for _ in 0..5 {
            world.post("/in/raw", &[], b"\0body\xff").await;
        }
        for _ in 0..5 {
            let (_, seen, to, named, body) = requests.recv().await.unwrap();
            assert_eq!((seen, to, named, &body[..]), (version, uri.clone(), hosts, &b"\0body\xff"[..]));
        }
        world.listed("/deliveries?state=delivered", 5).await;
        assert_eq!(app.app.connections(), connections);
    }
}

#[tokio::test]
async fn what_was_certainly_not_processed_goes_out_again_and_costs_nothing() {
    let app = Secure::framed(async |number, mut frames| {
        while let Some(stream) = frames.request().await {
            match (number, stream) {
                // The first request is refused twice, then taken.
                (0, 1 | 3) => frames.reset(stream, REFUSED_STREAM).await,
                (0, 5) => frames.answer(stream).await,
                // The second is not looked at; on the next connection it is taken.
                (0, 7) => return frames.go_away(5, NO_ERROR).await,
                _ => frames.answer(stream).await,
            }
        }
    })
    .await;
    let world = app.world(&format!("http2 = true\n{PATIENT}")).await;
    for n in 1..=3 {
        world.post("/in/raw", &[], b"x").await;
        world.listed("/deliveries?state=delivered", n).await;
    }
    let all = world.get("/deliveries").await["items"].as_array().unwrap().clone();
    assert!(all.iter().all(|delivery| delivery["attempts_made"] == 1), "{all:?}");
    assert_eq!(app.app.connections(), 2);
}

#[tokio::test]
async fn what_may_have_been_processed_is_an_attempt() {
    let app = Secure::framed(async |number, mut frames| {
        let stream = frames.request().await.unwrap();
        match number {
            0 => frames.reset(stream, INTERNAL_ERROR).await,
            // It goes away, but has looked at this one.
            1 => return frames.go_away(stream, NO_ERROR).await,
            2 => return,
            _ => frames.answer(stream).await,
        }
        frames.request().await;
    })
    .await;
    // Each on a connection of its own.
    let retry = r#"retry = { schedule = ["1ms", "1ms", "1ms"] }"#;
    let world = app.world(&format!("http2 = true\nconnection_idle = \"0s\"\n{retry}")).await;
    world.post("/in/raw", &[], b"x").await;
    let delivered = tried(&world, "delivered", 1).await;
    let errors: Vec<_> = delivered["attempts"].as_array().unwrap().iter().map(|a| a["error"].clone()).collect();
    assert_eq!(errors, ["reset".into(), "reset".into(), "reset".into(), serde_json::Value::Null], "{delivered}");
}

#[tokio::test]
async fn a_server_that_refuses_each_time_fails_the_attempt() {
    let streams = Arc::<AtomicUsize>::default();
    let count = streams.clone();
    let app = Secure::framed(move |_, mut frames| {
        let count = count.clone();
        async move {
            while let Some(stream) = frames.request().await {
                count.fetch_add(1, Ordering::SeqCst);
                frames.reset(stream, REFUSED_STREAM).await;
            }
        }
    })
    .await;
    let world = app.world(&format!("http2 = true\n{PATIENT}")).await;
    world.post("/in/raw", &[], b"x").await;
    assert_eq!(tried(&world, "pending", 1).await["attempts"][0]["error"], "reset");
    assert_eq!(streams.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_shared_connection_that_was_closed_while_idle_costs_no_attempt() {
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    let app = Secure::framed(move |number, mut frames| {
        let closed = closed.clone();
        async move {
            let stream = frames.request().await.unwrap();
            frames.answer(stream).await;
            match number % 3 {
                0 => drop(frames),
                1 => {
                    frames.go_away(stream, NO_ERROR).await;
                    drop(frames);
                }
                // It says that it goes, and stays for as long as the relay does.
                _ => {
                    frames.go_away(stream, NO_ERROR).await;
                    closed.send(()).unwrap();
                    assert_eq!(frames.request().await, None);
                    return;
                }
            }
            closed.send(()).unwrap();
        }
    })
    .await;
    let world = app.world(&format!("http2 = true\nconnection_idle = \"1h\"\n{PATIENT}")).await;
    for n in 1..=12 {
        world.post("/in/raw", &[], b"x").await;
        was_closed.recv().await.unwrap();
        world.listed("/deliveries?state=delivered", n).await;
    }
    let all = world.get("/deliveries").await["items"].as_array().unwrap().clone();
    assert!(all.iter().all(|delivery| delivery["attempts_made"] == 1), "{all:?}");
    assert_eq!(app.app.connections(), 12);
}

#[tokio::test]
async fn a_connection_that_answers_nothing_more_is_left() {
    let app = Secure::framed(async |number, mut frames| {
        while let Some(stream) = frames.request().await {
            if number > 0 {
                frames.answer(stream).await;
            }
        }
    })
    .await;
    let settings = "http2 = true\ntimeout = \"2s\"\nretry = { schedule = [\"1ms\", \"1h\"] }";
    let world = app.world(settings).await;
    world.post("/in/raw", &[], b"x").await;
    let delivered = tried(&world, "delivered", 2).await;
    assert_eq!((&delivered["attempts"][0]["error"], app.app.connections()), (&"timeout".into(), 2));
}

#[tokio::test]
async fn a_shared_connection_is_closed_when_its_time_is_over() {
    for settings in ["connection_idle = \"300ms\"\nconnection_age = \"1h\"", "connection_age = \"1s\"\nconnection_idle = \"1h\""]
    {
        let (ended, mut end) = mpsc::unbounded_channel();
        let app = Secure::framed(move |_, mut frames| {
            let ended = ended.clone();
            async move {
                while let Some(stream) = frames.request().await {
                    frames.answer(stream).await;
                }
                ended.send(()).unwrap();
            }
        })
        .await;
        let world = app.world(&format!("http2 = true\n{settings}")).await;
        world.post("/in/raw", &[], b"x").await;
        world.listed("/deliveries?state=delivered", 1).await;
        let ended = tokio::time::timeout(Duration::from_secs(60), end.recv()).await;
        assert!(ended.is_ok(), "{settings}");
        assert_eq!(app.app.connections(), 1);
    }
}

/// A body without an end; it counts what was taken of it.
struct Endless(Arc<AtomicUsize>);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        const PIECE: &[u8] = &[b'x'; 16 * 1024];
        self.0.fetch_add(PIECE.len(), Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_and_others_go_on() {
    let taken = Arc::<AtomicUsize>::default();
    let count = taken.clone();
    let app = Secure::start(move |_, stream| {
        let count = count.clone();
        serve(stream, move |_| {
            let body = Endless(count.clone());
            async move { Response::new(body) }
        })
    })
    .await;
    let world = app.world("http2 = true").await;
    for n in 1..=8 {
        world.post("/in/raw", &[], b"x").await;
        world.listed("/deliveries?state=delivered", n).await;
    }
    let delivered = tried(&world, "delivered", 1).await;
    assert_eq!(delivered["attempts"][0]["response_truncated"], true);
    // What is read, what the windows let through beyond it, and what waits in the server.
    assert!(taken.load(Ordering::SeqCst) < 8 * 2 * 1024 * 1024, "{taken:?}");
    assert_eq!(app.app.connections(), 1);
}
