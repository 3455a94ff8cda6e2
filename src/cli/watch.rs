//! What happens at the running relay, as its stream tells it: reads server-sent events, and comes back where the stream ends.

use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::admin::{Client, encoded};

/// The relay says something every 15 s; one that is silent for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// Longer than any fact: what is longer is no stream of a relay.
const PART_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The waits before coming back: the first one, and the longest.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// One fact.
#[derive(Debug, PartialEq)]
pub(super) struct Sent {
    /// `event`, `attempt`, `state` or `missed`.
    pub(super) kind: String,
    /// What the API shows of it.
    pub(super) data: Value,
}

/// A stream that is read.
pub(super) struct Watch<'c> {
    client: &'c Client,
    path: String,
    body: Option<Incoming>,
    parts: Parts,
    backoff: Backoff,
}

impl<'c> Watch<'c> {
    /// Of this source and this destination, where one is given. Nothing is read yet.
    pub(super) fn of(client: &'c Client, source: Option<&str>, destination: Option<&str>) -> Self {
        let given = [("source", source), ("destination", destination)];
        let given = given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value?))));
        let path = format!("/live?{}", given.collect::<Vec<_>>().join("&"));
        Self { client, path, body: None, parts: Parts::default(), backoff: Backoff::default() }
    }

    /// Connects, behind what was read last.
    pub(super) async fn connect(&mut self) -> anyhow::Result<()> {
        self.body = None;
        let body = self.client.watch(&self.path, self.parts.last.as_deref()).await?;
        // What an earlier stream began it cannot end.
        self.parts = Parts { last: self.parts.last.take(), ..Parts::default() };
        self.body = Some(body);
        Ok(())
    }

    /// The next fact. Given up while it waits, it loses nothing.
    pub(super) async fn next(&mut self) -> anyhow::Result<Sent> {
        loop {
            if let Some(sent) = self.parts.next()? {
                self.backoff = Backoff::default();
                return Ok(sent);
            }
            let body = self.body.as_mut().context("not connected")?;
            let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await.context("the relay is silent")?;
            let Some(frame) = frame else { bail!("the relay ended the stream") };
            if let Ok(data) = frame.context("the stream was cut off")?.into_data() {
                self.parts.push(&data)?;
            }
        }
    }

    /// Comes back after the stream ended because of `why`, and says so.
    pub(super) async fn come_back(&mut self, why: &anyhow::Error) {
        let mut why = format!("{why:#}");
        loop {
            let wait = self.backoff.next();
            eprintln!("not connected to {}: {}; trying again in {} s", self.client.address(), first_line(&why), wait.as_secs());
            tokio::time::sleep(wait).await;
            match self.connect().await {
                Ok(()) => return eprintln!("connected again"),
                Err(error) => why = format!("{error:#}"),
            }
        }
    }
}

/// Waits between tries: each twice as long as the one before.
#[derive(Default)]
pub(super) struct Backoff(Option<Duration>);

impl Backoff {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.0.map_or(WAIT_FIRST, |wait| (wait * 2).min(WAIT_MAX));
        self.0 = Some(wait);
        wait
    }
}

/// What an error says first; the rest is advice.
pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Waits for Ctrl-C, or whatever else asks the command to end.
pub(super) async fn ended() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Server-sent events as they come in pieces.
#[derive(Default)]
struct Parts {
    text: Vec<u8>,
    /// Up to here the text was looked at, and is within one event.
    looked_at: usize,
    last: Option<String>,
}

impl Parts {
    fn push(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        anyhow::ensure!(self.text.len() + piece.len() <= PART_BYTES_MAX, "this is no stream of a relay");
        self.text.extend_from_slice(piece);
        Ok(())
    }

    /// The next event that is whole.
    fn next(&mut self) -> anyhow::Result<Option<Sent>> {
        loop {
            let start = self.looked_at.saturating_sub(1);
            let Some(end) = self.text[start..].windows(2).position(|two| two == b"\n\n") else {
                self.looked_at = self.text.len();
                return Ok(None);
            };
            let rest = self.text.split_off(start + end + 2);
            let whole = std::mem::replace(&mut self.text, rest);
            self.looked_at = 0;
            if let Some(sent) = self.read(&String::from_utf8_lossy(&whole))? {
                return Ok(Some(sent));
            }
        }
    }

    fn read(&mut self, text: &str) -> anyhow::Result<Option<Sent>> {
        let (mut kind, mut data) = (None, None);
        for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
            match name {
                "id" => self.last = Some(value.to_owned()),
                "event" => kind = Some(value.to_owned()),
                "data" => data = Some(serde_json::from_str(value).context("what the relay sent is not JSON")?),
                _ => {}
            }
        }
        Ok(kind.zip(data).map(|(kind, data)| Sent { kind, data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "retry: 2000\n: watching\n\nid: a-1\nevent: state\ndata: {\"a\":\"b: c\"}\n\n:\n\nevent: missed\ndata: {\"count\":3}\n\nid: a-2\nev";
        for size in [1, 2, 3, 7, 1000] {
            let (mut parts, mut found) = (Parts::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                parts.push(piece).unwrap();
                while let Some(sent) = parts.next().unwrap() {
                    found.push((sent.kind, sent.data));
                }
            }
            let expected = [("state".to_owned(), json!({"a": "b: c"})), ("missed".to_owned(), json!({"count": 3}))];
            assert_eq!(found, expected, "in pieces of {size}");
            assert_eq!(parts.last.as_deref(), Some("a-1"), "what is not whole does not count");
        }
    }

    #[test]
    fn waits_grow_up_to_a_bound() {
        let mut backoff = Backoff::default();
        assert_eq!([(); 7].map(|()| backoff.next().as_secs()), [1, 2, 4, 8, 16, 30, 30]);
    }
}
