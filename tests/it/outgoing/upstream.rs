//! Applications that do not behave: nothing is lost, nothing is taken for delivered that is not, and nothing grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::raw::{OK, Raw, request, tried, world};

/// What the largest source takes.
const LARGE: usize = 8 * 1024 * 1024;

/// Says something that is not a whole answer, or not one at all, and closes.
async fn says(mut stream: TcpStream, words: &'static [u8], resets: bool) {
    request(&mut stream).await.unwrap();
    stream.write_all(words).await.unwrap();
    if resets {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

#[tokio::test]
async fn what_is_no_whole_answer_is_a_failed_attempt() {
    let cases: [(&'static [u8], bool, &str); 10] = [
        (b"", false, "reset"),
        (b"", true, "reset"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", false, "reset"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", false, "reset"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", false, "reset"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", false, "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", false, "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok", false, "protocol"),
        (b"\x16\x03\x01\x02\x00 no HTTP at all\r\n\r\n", false, "protocol"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", false, "protocol"),
    ];
    for (words, resets, error) in cases {
        let app =
            Raw::start(move |number, stream| says(stream, if number == 0 { words } else { OK }, resets && number == 0)).await;
        let world = world(&format!("http://{}/", app.address), r#"retry = { schedule = ["1ms", "1h"] }"#).await;
        world.post("/in/raw", &[], b"x").await;
        let delivered = tried(&world, "delivered", 2).await;
        let words = String::from_utf8_lossy(words);
        let first = &delivered["attempts"][0];
        assert_eq!(first["error"], error, "{words:?}: {first}");
        assert_eq!(first["status"], Value::Null, "{words:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_framed_twice_ends_its_connection() {
    let twice: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let app = Raw::start(async move |_, mut stream| {
        while request(&mut stream).await.is_some() {
            stream.write_all(twice).await.unwrap();
        }
    })
    .await;
    let world = world(&format!("http://{}/", app.address), "").await;
    for n in 1..=2 {
        world.post("/in/raw", &[], b"x").await;
        world.listed("/deliveries?state=delivered", n).await;
    }
    assert_eq!(app.connections(), 2);
}

#[tokio::test]
async fn an_answer_that_drips_ends_with_the_attempts_time() {
    let app = Raw::start(async |number, mut stream| {
        request(&mut stream).await.unwrap();
        let head: &[u8] =
            if number == 0 { b"HTTP/1.1 200 OK\r\nx-slow: " } else { b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n" };
        stream.write_all(if number < 2 { head } else { OK }).await.unwrap();
        while number < 2 && stream.write_all(b"x").await.is_ok() {
            // The story's application has no hurry.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let settings = "timeout = \"2s\"\nretry = { schedule = [\"1ms\", \"1ms\", \"1h\"] }";
    let world = world(&format!("http://{}/", app.address), settings).await;
    world.post("/in/raw", &[], b"x").await;
    let delivered = tried(&world, "delivered", 3).await;
    for attempt in &delivered["attempts"].as_array().unwrap()[..2] {
        assert_eq!((&attempt["error"], &attempt["status"]), (&"timeout".into(), &Value::Null));
    }
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let sent = Arc::<AtomicUsize>::default();
    let count = sent.clone();
    let app = Raw::start(move |_, mut stream| {
        let count = count.clone();
        async move {
            request(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {
                count.fetch_add(16 * 1024, Ordering::SeqCst);
            }
        }
    })
    .await;
    let world = world(&format!("http://{}/", app.address), "").await;
    world.post("/in/raw", &[], b"x").await;
    let delivered = tried(&world, "delivered", 1).await;
    assert_eq!(delivered["attempts"][0]["response_truncated"], true);
    // Beyond what is read there is what the two sockets hold.
    assert!(sent.load(Ordering::SeqCst) < 16 * 1024 * 1024, "{sent:?}");
}

#[tokio::test]
async fn an_early_refusal_of_a_large_body_is_heard() {
    let app = Raw::start(async |_, mut stream| {
        stream.read_exact(&mut [0; 64]).await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        // It waits until the other side has seen it, as a good server does.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let world = world(&format!("http://{}/", app.address), "").await;
    world.post("/in/raw", &[], &vec![b'x'; LARGE]).await;
    let parked = tried(&world, "parked", 1).await;
    assert_eq!((&parked["attempts"][0]["status"], &parked["reason"]), (&413.into(), &"refused".into()));
}

#[tokio::test]
async fn an_application_that_answers_and_reads_no_body_holds_nothing_up() {
    let (look, may_look) = watch::channel(false);
    let (sender, mut ends) = mpsc::unbounded_channel();
    let app = Raw::start(move |number, mut stream| {
        let (sender, mut may_look) = (sender.clone(), may_look.clone());
        async move {
            if number == 0 {
                stream.read_exact(&mut [0; 64]).await.unwrap();
                stream.write_all(OK).await.unwrap();
                may_look.wait_for(|may| *may).await.unwrap();
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                sender.send(()).unwrap();
            }
            while request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let world = world(&format!("http://{}/", app.address), "connection_idle = \"1h\"\ntimeout = \"20s\"").await;
    for (n, body) in [(1, vec![b'x'; LARGE]), (2, b"x".to_vec())] {
        world.post("/in/raw", &[], &body).await;
        world.listed("/deliveries?state=delivered", n).await;
    }
    let all = world.get("/deliveries").await["items"].as_array().unwrap().clone();
    assert!(all.iter().all(|delivery| delivery["attempts_made"] == 1), "{all:?}");
    assert_eq!(app.connections(), 2);
    // The connection has ended, and with it the body that nobody read.
    look.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(120), ends.recv()).await.unwrap().unwrap();
}
