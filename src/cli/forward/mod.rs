//! `hookhold forward`: what a source receives goes to an application on this machine, too: for whoever works on it.
//!
//! ```text
//! the list of the source's events, oldest first, from the cursor on -> the wanted ones, one at a time -> the cursor goes on
//! ```
//!
//! The stream of what happens wakes it; the list is the truth. So nothing is skipped while this machine sleeps, the relay or the
//! application is away, or this command is not running. What was sent is noted afterwards: a kill in between sends one event again.
//! The relay's own deliveries are not touched.

mod cursor;
mod local;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::Failure;
use super::admin::{Client, encoded};
use super::table::{plain, say};
use super::watch::{Backoff, Watch, ended, first_line};
use crate::record::{Event, EventId};
use crate::route::glob::Glob;
use crate::time::{Stopwatch, Timestamp};
use cursor::{Cursor, Start};
use local::{Answer, Came, Local};

/// Events of one page of the list.
const PAGE: usize = 100;
/// What became durable late is looked for so often, as long as anything came; and what is new, where nothing wakes.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// So often the list is asked though nothing woke it.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// An application that ends the connection each time is not asked for ever: it may be this event that ends it.
const CUTS_MAX: u32 = 3;

/// Why nothing is sent on that is not what came.
const MASKED: &str = "this token sees masks in place of signatures, credentials or parts of bodies, and masks are not forwarded: use a \
    token that sees all, in relay.toml one with `unmasked = true`";

/// What goes where.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The source.
    #[arg(long)]
    source: String,
    /// The application's URL, like http://localhost:3000/webhooks.
    #[arg(long, value_name = "URL")]
    to: Url,
    /// Only events of this type; `*` stands for any text, `?` for one character.
    #[arg(long = "type", value_name = "PATTERN")]
    kind: Option<String>,
    /// Where to begin the first time: a time (RFC 3339), or `now`. Later it goes on where it was.
    #[arg(long, default_value = "now", value_name = "TIME")]
    since: String,
    /// The file that says how far it is [default: below XDG_STATE_HOME, by relay and source].
    #[arg(long, value_name = "FILE")]
    cursor: Option<PathBuf>,
    /// Send an event again, up to so many times, where the answer is not a 2xx.
    #[arg(long, default_value_t = 0, value_name = "TIMES")]
    retry: u32,
    /// Do not wait for an application that cannot be reached: show that, and go on with the next event.
    #[arg(long)]
    skip_failed: bool,
    /// How long the application may take.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// The roots that the application is trusted by, where it speaks TLS (PEM).
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub(super) fn run(args: &Args, client: &Client, json: bool) -> anyhow::Result<ExitCode> {
    let kind = args.kind.as_deref().map(Glob::try_new).transpose().context("--type")?;
    let local = Local::at(&args.to, args.ca.as_deref(), args.timeout)?;
    let work = async {
        let cursor = opened(args, client).await?;
        Forward { args, client, kind, local, cursor, json }.run().await
    };
    client.block_on(async {
        tokio::select! {
            done = work => done,
            () = ended() => Ok(ExitCode::SUCCESS),
        }
    })
}

/// The cursor of this relay and source: where it was, or where a first one begins.
async fn opened(args: &Args, client: &Client) -> anyhow::Result<Cursor> {
    let sources: Value = serde_json::from_slice(&client.ask("/sources?limit=500").await?)?;
    let known = |sources: &Value| sources["items"].as_array().is_some_and(|all| all.iter().any(|s| s["name"] == *args.source));
    if sources["next"].is_null() && !known(&sources) {
        return Err(Failure::NotFound(format!("the relay has no source {:?}", args.source)).into());
    }
    let path = match &args.cursor {
        Some(path) => path.clone(),
        None => usual(client.address(), &args.source)?,
    };
    if let Some(cursor) = Cursor::open(&path)? {
        return Ok(cursor);
    }
    let start = match &*args.since {
        "now" => {
            let newest = client.ask(&format!("/events?limit=1&source={}", encoded(&args.source))).await?;
            let newest: Value = serde_json::from_slice(&newest)?;
            Start::Behind(newest["items"][0]["id"].as_str().and_then(|id| id.parse().ok()))
        }
        time => {
            Start::Since(Timestamp::parse(time).with_context(|| format!("--since: {time:?} is no time (RFC 3339), nor `now`"))?)
        }
    };
    Cursor::begin(&path, start)
}

/// Where state is kept that nobody names a file for.
fn usual(relay: &str, source: &str) -> anyhow::Result<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    let Some(state) = state else { bail!("there is no home to keep the cursor in; name a file with --cursor") };
    // A relay's address is not always a file's name.
    let relay = hex::encode(&Sha256::digest(relay)[..8]);
    Ok(state.join(Path::new("hookhold/forward")).join(format!("{source}-{relay}.cursor")))
}

struct Forward<'a> {
    args: &'a Args,
    client: &'a Client,
    kind: Option<Glob>,
    local: Local,
    cursor: Cursor,
    json: bool,
}

impl Forward<'_> {
    async fn run(mut self) -> anyhow::Result<ExitCode> {
        let mut wake = Wake { watch: Watch::of(self.client, Some(&self.args.source), None), is_connected: false };
        // Before the list is read: what comes behind it wakes. Without it the list has to do.
        wake.is_connected = wake.watch.connect().await.is_ok();
        self.look_at_newest().await?;
        eprintln!("forwarding {} to {}", self.args.source, self.args.to);
        let (mut looked_back, mut owed, mut backoff) = (None::<Stopwatch>, false, Backoff::default());
        loop {
            let back = looked_back.is_none_or(|looked| owed && looked.elapsed() >= LOOK_AGAIN);
            match self.catch_up(back).await {
                Ok(sent) => {
                    owed = sent || (owed && !back);
                    backoff = Backoff::default();
                    if back {
                        looked_back = Some(Stopwatch::start());
                    }
                    let wait = if owed { LOOK_AGAIN } else { ASK_AGAIN };
                    let _ = tokio::time::timeout(wait, wake.woken()).await;
                }
                Err(error) if error.is::<Fatal>() => return Err(error),
                Err(error) => {
                    let wait = backoff.next();
                    eprintln!("{}; trying again in {} s", first_line(&format!("{error:#}")), wait.as_secs());
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Whether this token may see what came shows on any event: it is said at once, not when the next one comes.
    async fn look_at_newest(&self) -> anyhow::Result<()> {
        let newest = self.client.ask(&format!("/events?limit=1&source={}", encoded(&self.args.source))).await?;
        let newest: Value = serde_json::from_slice(&newest)?;
        let Some(id) = newest["items"][0]["id"].as_str() else { return Ok(()) };
        let is_masked = self.client.ask(&format!("/events/{}", encoded(id))).await.is_ok_and(|shown| local::is_masked(&shown));
        anyhow::ensure!(!is_masked, MASKED);
        Ok(())
    }

    /// Sends all that is new; with `back`, also what became durable late. Gives whether there was anything.
    async fn catch_up(&mut self, back: bool) -> anyhow::Result<bool> {
        let since = if back { self.cursor.look_back() } else { self.cursor.look_on() };
        let list = format!(
            "/events?order=oldest&limit={PAGE}&source={}&since={}",
            encoded(&self.args.source),
            encoded(&since.to_string())
        );
        let (mut cursor, mut found) = (String::new(), false);
        loop {
            let page: Value = serde_json::from_slice(&self.client.ask(&format!("{list}{cursor}")).await?)?;
            for item in page["items"].as_array().into_iter().flatten() {
                let id: EventId = item["id"].as_str().and_then(|id| id.parse().ok()).context("an event of the list has no id")?;
                if self.cursor.has(id) {
                    continue;
                }
                found = true;
                let kind = item["type"].as_str().unwrap_or_default();
                let is_wanted = self.kind.as_ref().is_none_or(|wanted| wanted.fits(kind.as_bytes()));
                let done = if is_wanted { self.forward(id).await? } else { None };
                // Before anybody is told: who ends the command on what it says has it noted.
                self.cursor.put(id).map_err(Fatal::from)?;
                done.iter().for_each(|(event, number, came)| self.show(event, *number, came));
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={}", encoded(next)),
                None => return Ok(found),
            }
        }
    }

    /// Sends one event, as often as that is wanted. Gives what came of the last try, and its number.
    async fn forward(&self, id: EventId) -> anyhow::Result<Option<(Event, u32, Came)>> {
        let (event, body) = match self.fetched(id).await {
            Err(error) if matches!(error.downcast_ref::<Failure>(), Some(Failure::NotFound(_))) => {
                eprintln!("event {id} is not kept any more");
                return Ok(None);
            }
            fetched => fetched?,
        };
        let (mut number, mut cuts, mut again, mut is_away) = (1, 0, 0, false);
        let mut backoff = Backoff::default();
        loop {
            let came = match self.local.send(&event, body.clone(), number).await {
                Ok(came) => came,
                Err(error) => {
                    eprintln!("event {id} cannot be sent: {error:#}");
                    return Ok(None);
                }
            };
            match &came.answer {
                Answer::Unreached(why) if !self.args.skip_failed => {
                    // Once: it says the same each time.
                    if !std::mem::replace(&mut is_away, true) {
                        eprintln!("{} cannot be reached: {}; waiting for it", self.args.to, first_line(why));
                    }
                }
                Answer::Cut(_) if cuts < CUTS_MAX => {
                    self.show(&event, number, &came);
                    (cuts, number) = (cuts + 1, number + 1);
                }
                Answer::Answered { status, .. } if !(200..300).contains(status) && again < self.args.retry => {
                    self.show(&event, number, &came);
                    (again, number) = (again + 1, number + 1);
                }
                _ => return Ok(Some((event, number, came))),
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn fetched(&self, id: EventId) -> anyhow::Result<(Event, bytes::Bytes)> {
        let shown = self.client.ask(&format!("/events/{id}")).await?;
        // No application could believe it, and one that did would store masks.
        if local::is_masked(&shown) {
            return Err(Fatal(anyhow::anyhow!(MASKED)).into());
        }
        let event = local::event(&shown)?;
        let body = self.client.ask(&format!("/events/{id}/body")).await?;
        Ok((event, body))
    }

    fn show(&self, event: &Event, number: u32, came: &Came) {
        let took = u64::try_from(came.took.as_millis()).unwrap_or(u64::MAX);
        let (status, bytes, error) = match &came.answer {
            Answer::Answered { status, bytes } => (Some(*status), Some(*bytes), None),
            Answer::Unreached(why) | Answer::Cut(why) => (None, None, Some(first_line(why))),
            Answer::Late => (None, None, Some("no answer in time")),
        };
        if self.json {
            return say(&json!({
                "event_id": event.id, "source": event.source, "type": event.kind, "received_at": event.received_at,
                "attempt": number, "status": status, "error": error, "duration_ms": took, "response_bytes": bytes,
            }));
        }
        let came = match (status, bytes) {
            (Some(status), Some(bytes)) => format!("{status}  {took} ms  {bytes} bytes"),
            _ => format!("{}  {took} ms", error.unwrap_or_default()),
        };
        let kind = event.kind.as_deref().unwrap_or("-");
        say(&plain(&format!("{}  {}  {}  {kind}  {came}", event.received_at, event.source, event.id)));
    }
}

/// What trying again does not mend.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Fatal(anyhow::Error);

impl From<anyhow::Error> for Fatal {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

/// What says that there may be something new.
struct Wake<'c> {
    watch: Watch<'c>,
    is_connected: bool,
}

impl Wake<'_> {
    /// Waits for news. Given up while it waits, it loses nothing.
    async fn woken(&mut self) {
        if !self.is_connected {
            // The list is asked next, and says what is wrong.
            self.is_connected = self.watch.connect().await.is_ok();
            if !self.is_connected {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            return;
        }
        loop {
            match self.watch.next().await {
                Ok(sent) if matches!(&*sent.kind, "event" | "missed") => break,
                Ok(_) => {}
                Err(_) => return self.is_connected = false,
            }
        }
        // All that is there already is one reason to look.
        while let Ok(more) = tokio::time::timeout(Duration::ZERO, self.watch.next()).await {
            if more.is_err() {
                return self.is_connected = false;
            }
        }
    }
}
