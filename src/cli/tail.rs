//! `hookhold tail`: what happens at the running relay, a line a fact.

use std::collections::{HashMap, VecDeque};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::admin::{Client, encoded};
use super::table::{cell, plain, say};
use super::watch::{Sent, Watch, ended};
use crate::route::glob::Glob;

/// Events whose types are remembered, since attempts do not tell them.
const TYPES_MAX: usize = 10_000;

/// What to show; everything where nothing is said.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// Of this source.
    #[arg(long)]
    source: Option<String>,
    /// Of deliveries to this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Of events of this type; `*` stands for any text, `?` for one character.
    #[arg(long = "type", value_name = "PATTERN")]
    kind: Option<String>,
}

pub(super) fn run(args: &Args, client: &Client, json: bool) -> anyhow::Result<ExitCode> {
    let kind = args.kind.as_deref().map(Glob::try_new).transpose().context("--type")?;
    let tail = Tail { client, kind, json, types: HashMap::new(), order: VecDeque::new() };
    let watch = Watch::of(client, args.source.as_deref(), args.destination.as_deref());
    client.block_on(async {
        tokio::select! {
            shown = tail.run(watch) => shown,
            () = ended() => Ok(ExitCode::SUCCESS),
        }
    })
}

struct Tail<'c> {
    client: &'c Client,
    kind: Option<Glob>,
    json: bool,
    /// The types of events by their ids, and these as they came.
    types: HashMap<String, Option<String>>,
    order: VecDeque<String>,
}

impl Tail<'_> {
    async fn run(mut self, mut watch: Watch<'_>) -> anyhow::Result<ExitCode> {
        watch.connect().await?;
        eprintln!("watching {}", self.client.address());
        loop {
            match watch.next().await {
                Ok(sent) => self.show(&sent).await,
                Err(why) => watch.come_back(&why).await,
            }
        }
    }

    async fn show(&mut self, Sent { kind, data }: &Sent) {
        if kind == "missed" {
            let count = data["count"].as_u64().map_or_else(|| "some".to_owned(), |count| count.to_string());
            eprintln!("{count} facts went by unseen");
            if self.json {
                say(&json!({ "kind": kind, "data": data }));
            }
            return;
        }
        let of = self.kind_of(kind, data).await;
        if self.kind.as_ref().is_some_and(|wanted| !of.as_ref().is_some_and(|of| wanted.fits(of.as_bytes()))) {
            return;
        }
        match self.json {
            true => say(&json!({ "kind": kind, "data": data })),
            false => say(&line(kind, data, of.as_deref())),
        }
    }

    /// The type of the event that a fact is about.
    async fn kind_of(&mut self, kind: &str, data: &Value) -> Option<String> {
        let told = |event: &Value| event["type"].as_str().map(str::to_owned);
        if kind == "event" {
            let of = told(data);
            self.remember(cell(&data["id"]), of.clone());
            return of;
        }
        let id = cell(&data["event_id"]);
        if let Some(known) = self.types.get(&id) {
            return known.clone();
        }
        let found = self.client.ask(&format!("/events/{}", encoded(&id))).await;
        let of = found.ok().and_then(|event| told(&serde_json::from_slice(&event).ok()?));
        self.remember(id, of.clone());
        of
    }

    fn remember(&mut self, id: String, of: Option<String>) {
        if self.types.insert(id.clone(), of).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > TYPES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.types.remove(&oldest);
        }
    }
}

/// Time, what, source, type, destination, what came of it, how long it took.
fn line(kind: &str, data: &Value, of: Option<&str>) -> String {
    let attempt = &data["attempts"][0];
    let (at, came, took) = match kind {
        "event" => (&data["received_at"], format!("{} bytes", cell(&data["body_bytes"])), String::new()),
        "attempt" => {
            let came = if attempt["status"].is_null() { &attempt["error"] } else { &attempt["status"] };
            (&attempt["started_at"], cell(came), format!("{} ms", cell(&attempt["duration_ms"])))
        }
        _ => {
            let at = if data["settled_at"].is_null() { &data["next_attempt_at"] } else { &data["settled_at"] };
            let reason = data["reason"].as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
            (at, format!("{}{reason}", cell(&data["state"])), String::new())
        }
    };
    let to = match kind {
        "event" => {
            data["deliveries"].as_array().into_iter().flatten().map(|d| cell(&d["destination"])).collect::<Vec<_>>().join(",")
        }
        _ => cell(&data["destination"]),
    };
    let to = if to.is_empty() { "-".to_owned() } else { to };
    let text = format!("{:<24}  {kind:<7}  {}  {}  {to}  {came}  {took}", cell(at), cell(&data["source"]), of.unwrap_or("-"));
    plain(text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_happened_and_nothing_else() {
        let delivery = json!({
            "id": "e.1", "event_id": "e", "source": "gh", "destination": "app", "state": "parked", "reason": "refused",
            "settled_at": "2026-11-25T10:00:01.000Z", "next_attempt_at": null,
            "attempts": [{ "started_at": "2026-11-25T10:00:00.500Z", "duration_ms": 12, "status": 400, "error": null }],
        });
        assert_eq!(line("attempt", &delivery, Some("push")), "2026-11-25T10:00:00.500Z  attempt  gh  push  app  400  12 ms");
        assert_eq!(line("state", &delivery, None), "2026-11-25T10:00:01.000Z  state    gh  -  app  parked (refused)");
        let event =
            json!({ "id": "e", "source": "gh", "received_at": "2026-11-25T10:00:00.123Z", "body_bytes": 7, "deliveries": [] });
        let shown = line("event", &event, Some("a\x1b[2J\nb"));
        assert_eq!(shown, "2026-11-25T10:00:00.123Z  event    gh  a\u{fffd}[2J\u{fffd}b  -  7 bytes");
    }
}
