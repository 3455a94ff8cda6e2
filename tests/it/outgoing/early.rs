//! Applications that answer and go before they have read what is sent to them.

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frames::NO_ERROR;
use super::raw::{Raw, world};
use super::secure::Secure;
use crate::world::World;

const TOO_LARGE: &[u8] = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 13\r\n\r\nat most 1 MiB";
const PARKS: &str = "retry = { park_on = [400, 413] }";
/// Each request on a connection of its own: one that just ended may not be known as that yet.
const ALONE: &str = "in_flight = 1\nconnection_idle = \"0s\"";
/// Far more than lies in the buffers on the way.
const BODY: Bytes = Bytes::from_static(&[b'x'; 6 * 1024 * 1024]);
const WEBHOOKS: usize = 20;

/// Answers when it has read some of the body, each time more; the system then resets the connection.
async fn refuse(connection: usize, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut first = vec![0; 512 + connection * 64 * 1024];
    stream.read_exact(&mut first).await.unwrap();
    stream.write_all(TOO_LARGE).await.unwrap();
    stream.flush().await.unwrap();
}

async fn is_heard(world: World, status: u16, body: &str) {
    for _ in 0..WEBHOOKS {
        assert_eq!(world.post("/in/raw", &[], &BODY).await.status, 200);
    }
    for delivery in world.listed("/deliveries?state=parked", WEBHOOKS).await {
        let delivery = world.get(&format!("/deliveries/{}", delivery["id"].as_str().unwrap())).await;
        let attempts = delivery["attempts"].as_array().unwrap();
        assert_eq!((attempts.len(), &attempts[0]["status"]), (1, &json!(status)), "{delivery}");
        assert_eq!(attempts[0]["response_body"], body, "{delivery}");
    }
}

#[tokio::test]
async fn who_answers_and_closes_before_the_body_is_sent_is_heard() {
    let app = Raw::start(refuse).await;
    is_heard(world(&format!("http://{}/", app.address), &format!("{ALONE}\n{PARKS}")).await, 413, "at most 1 MiB").await;
}

#[tokio::test]
async fn over_tls_as_well() {
    let app = Secure::start(refuse).await;
    is_heard(app.world(&format!("{ALONE}\n{PARKS}")).await, 413, "at most 1 MiB").await;
}

#[tokio::test]
async fn a_stream_whose_body_is_not_wanted_is_heard_and_the_others_go_on() {
    let app = Secure::framed(async |_, mut frames| {
        while let Some(stream) = frames.head().await {
            frames.refuse(stream).await;
            frames.reset(stream, NO_ERROR).await;
        }
    })
    .await;
    is_heard(app.world(&format!("http2 = true\nconnection_idle = \"1h\"\n{PARKS}")).await, 400, "").await;
    assert_eq!(app.app.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_ends_behind_an_answer_takes_it_along() {
    let app = Secure::framed(async |_, mut frames| {
        if let Some(stream) = frames.head().await {
            frames.refuse(stream).await;
        }
    })
    .await;
    is_heard(app.world(&format!("http2 = true\n{ALONE}\n{PARKS}")).await, 400, "").await;
}
