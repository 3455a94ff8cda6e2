//! Peers that are slow on purpose: each wait on them has an end, by what comes in a second and not only by the whole time.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::floods::is_served;
use super::raw::{connect, statuses, talk};
use super::{EAGER, open_source};
use crate::world::World;

/// Bodies need so many bytes a second, after a grace of 10 s.
const RATE: &str = "[limits]\nbody_rate = '1KiB'\n";
/// Later than the grace, and earlier than a minute and a half, which such a body may take at that rate.
const OVER: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_body_that_trickles_is_ended_by_its_rate_and_one_that_flows_is_not() {
    let world = World::start(EAGER, &format!("{RATE}{}", open_source(""))).await;
    let head =
        |length: usize| format!("POST /in/open HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let trickles = async {
        let (mut stream, start) = (connect(&world, &[b"http/1.1"]).await, Instant::now());
        stream.write_all(head(100_000).as_bytes()).await.unwrap();
        let (reader, mut writer) = tokio::io::split(stream);
        let writing = tokio::spawn(async move {
            // A byte at a time, as somebody does who wants to hold on.
            while writer.write_all(b"x").await.is_ok() && writer.flush().await.is_ok() {
                // Slower than the rate that is asked for.
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        let mut both = tokio::io::join(reader, tokio::io::sink());
        let told = statuses(&talk(&mut both, b"").await);
        writing.abort();
        (told, start.elapsed())
    };
    let flows = async {
        let mut stream = connect(&world, &[b"http/1.1"]).await;
        stream.write_all(head(240_000).as_bytes()).await.unwrap();
        for _ in 0..30 {
            stream.write_all(&[b'x'; 8000]).await.unwrap();
            stream.flush().await.unwrap();
            // Much faster than the rate that is asked for, so that a busy machine is fast enough; longer than the grace in all.
            tokio::time::sleep(Duration::from_millis(450)).await;
        }
        statuses(&talk(&mut stream, b"").await)
    };
    let ((told, took), flowed) = tokio::join!(trickles, flows);
    assert_eq!(told, [408]);
    assert!((Duration::from_secs(9)..OVER).contains(&took), "{took:?}");
    assert_eq!(flowed, [200], "slower than the grace, and quick enough");
    assert!(is_served(&world).await);
}
