//! `hookhold send`: signs a sample (or a body of yours) as the provider would, sends it over TLS, and shows what became of it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::Args as ClapArgs;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::Failure;
use super::admin::{Client, default_certificate, reachable};
use super::events::show_delivery;
use super::table::{cell, say};
use crate::config;
use crate::config::settings::{Listener, ProxyProtocol, Serve, Settings, Source, SourcePath};
use crate::net::client::{Answer, Server};
use crate::net::pool::Pool;
use crate::net::tls;
use crate::record::Headers;
use crate::signature::{Scheme, Selector, Unsigned};
use crate::time::{Clock, Timestamp};

/// The relay must have answered by then.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// So long the delivery is watched.
const WATCH_TIME: Duration = Duration::from_secs(3);
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// Of the relay's answer, what is shown.
const ANSWER_BYTES_MAX: usize = 4096;

/// What to send, and as which source.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The source.
    source: String,
    /// A file with the body, `-` for standard input; a sample without it.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The event's type, as the provider names it.
    #[arg(long = "type", default_value = "hookhold.sample")]
    kind: String,
    /// The event's id; a new one without it.
    #[arg(long)]
    id: Option<String>,
}

pub(super) fn run(args: &Args, config: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let settings = config::load(config)?.settings;
    let source = find(&settings, &args.source)?;
    let now = Clock::system().now();
    anyhow::ensure!(
        source.client_ca.is_none(),
        "{} takes nothing without a certificate, which this command does not have",
        source.name
    );
    let id = args.id.clone().unwrap_or_else(|| format!("sample_{}_{:08x}", now.ms(), rand::random::<u32>()));
    let body = body(args, source.verifier.scheme(), &id)?;
    let request = request(source, entrance(&settings).address.port(), body, &id, &args.kind, now)?;
    let answer = send(&settings, request)?;
    let event = answer.headers.get("hookhold-event-id").and_then(|v| v.to_str().ok());
    let became = event.map(|event| watch(config, event)).transpose().unwrap_or_default();
    if as_json {
        say(&format!("{}", json!({ "status": answer.status.as_u16(), "event_id": event, "event": became })));
    } else {
        show(source, &answer, event, became.as_ref());
    }
    Ok(if answer.status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The listener that is the easiest to reach.
fn entrance(settings: &Settings) -> Listener {
    let mut listeners: Vec<Listener> = settings.listen.webhooks().copied().collect();
    listeners.sort_by_key(|listener| listener.proxy_protocol == ProxyProtocol::Required);
    // There is one: the settings are proven.
    listeners.first().copied().unwrap_or(Listener {
        address: settings.admin.listen,
        is_https: true,
        serve: Serve::Webhooks,
        proxy_protocol: ProxyProtocol::Off,
    })
}

fn find<'s>(settings: &'s Settings, name: &str) -> anyhow::Result<&'s Arc<Source>> {
    let names = || settings.sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = settings.sources.iter().find(|source| source.name.as_str() == name);
    found.ok_or_else(|| Failure::NotFound(format!("there is no source {name:?}; there are: {}", names())).into())
}

/// The body: a file's, or a sample that has id and type where the provider has them.
fn body(args: &Args, scheme: Option<&Scheme>, id: &str) -> anyhow::Result<Vec<u8>> {
    match &args.body {
        None => {
            let mut sample = json!({ "id": id, "type": args.kind, "data": { "message": "Hello from hookhold send" } });
            let places = [(scheme.and_then(Scheme::event_id), id), (scheme.and_then(Scheme::event_type), &args.kind)];
            for (place, value) in places {
                for part in place.into_iter().flat_map(Selector::parts) {
                    if let Selector::Pointer(pointer) = part {
                        put(&mut sample, pointer, value);
                    }
                }
            }
            Ok(serde_json::to_vec(&sample)?)
        }
        Some(path) if path == Path::new("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        Some(path) => std::fs::read(path).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Puts a value where a JSON pointer through objects points.
fn put(sample: &mut Value, pointer: &str, value: &str) {
    let mut here = sample;
    for part in pointer.split('/').skip(1) {
        if !here.is_object() {
            *here = json!({});
        }
        here = &mut here[part.replace("~1", "/").replace("~0", "~")];
    }
    *here = value.into();
}

fn request(
    source: &Source,
    port: u16,
    body: Vec<u8>,
    id: &str,
    kind: &str,
    now: Timestamp,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let host = source.host.as_deref().unwrap_or("localhost");
    let (SourcePath::Exact(path) | SourcePath::Below(path)) = &source.path;
    let target = if path.is_empty() { "/" } else { path };
    let authority = format!("{host}:{port}");
    let method = source.methods.first().unwrap_or(&Method::POST);
    let mut headers: Vec<(HeaderName, HeaderValue)> = vec![
        (HOST, HeaderValue::try_from(&authority)?),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static(concat!("hookhold/", env!("CARGO_PKG_VERSION")))),
    ];
    if source.verifier.scheme().is_some() {
        anyhow::ensure!(
            source.verifier.scheme().is_some_and(Scheme::is_signable),
            "{} signs with a key or a token of its own, so nothing can be sent in its name; try a captured request with `hookhold verify`",
            source.provider
        );
        let signer = source.verifier.signer(now).ok_or_else(|| anyhow!("no secret of {} is valid now", source.name))?;
        let url = source.verifier.address(&authority, target);
        let plain: Headers = headers.iter().cloned().collect();
        let unsigned = Unsigned {
            method: method.as_str(),
            url: &url,
            headers: &plain,
            body: &body,
            now,
            event_id: Some(id),
            kind: Some(kind),
        };
        headers.extend(signer.sign(&unsigned)?);
    }
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = method.clone();
    *request.uri_mut() = target.parse()?;
    request.headers_mut().extend(headers);
    Ok(request)
}

fn send(settings: &Settings, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    let certificate = default_certificate(&settings.tls, settings.acme.as_deref(), &settings.store.path).unwrap_or_default();
    let entrance = entrance(settings);
    let scheme = if entrance.is_https { "https" } else { "http" };
    let url = format!("{scheme}://{}", reachable(entrance.address)).parse()?;
    let unreachable = |why: String| Failure::Unreachable { address: format!("{url}"), why };
    anyhow::ensure!(
        entrance.proxy_protocol != ProxyProtocol::Required,
        "every listener wants a PROXY header first, which only a trusted proxy may send"
    );
    if entrance.is_https && !certificate.exists() {
        return Err(unreachable("it was never started: its certificate is not there yet".to_owned()).into());
    }
    // The certificate is compared, not its name: this is the relay of this configuration, whatever it is called from outside.
    let trust = if entrance.is_https { tls::client_config_pinning(&certificate)? } else { tls::client_config(None)? };
    let server = Server::of(&url, trust, false)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pool = Pool::new(server, 0, ANSWER_TIME);
    let exchange = async { tokio::time::timeout(ANSWER_TIME, pool.exchange(request, ANSWER_BYTES_MAX)).await };
    match runtime.block_on(exchange) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(unreachable(error.to_string()).into()),
        Err(_) => Err(unreachable("no answer in time".to_owned()).into()),
    }
}

/// The event once nothing of it is on its way any more, or an attempt was made; what is known after a while in any case.
fn watch(config: &Path, event: &str) -> anyhow::Result<Value> {
    let client = Client::new(config, None)?;
    let mut waited = Duration::ZERO;
    loop {
        let seen = client.get(&format!("/events/{event}"))?;
        let mut deliveries = seen["deliveries"].as_array().into_iter().flatten();
        let settled = deliveries.all(|d| d["state"] != "in_flight" && d["attempts_made"] != 0);
        if settled || waited >= WATCH_TIME {
            return Ok(seen);
        }
        std::thread::sleep(WATCH_PAUSE);
        waited += WATCH_PAUSE;
    }
}

fn show(source: &Source, answer: &Answer, event: Option<&str>, became: Option<&Value>) {
    say(&format!("sent to {} as {} would: {}", source.name, source.provider, answer.status));
    let Some(event) = event else {
        say(&String::from_utf8_lossy(&answer.body).trim_end());
        say(&"The relay's log and metrics tell why.");
        return;
    };
    say(&format!("event {event} is durable"));
    match became {
        None => say(&"What became of it cannot be seen: the admin API does not answer."),
        Some(became) => {
            became["deliveries"].as_array().into_iter().flatten().for_each(show_delivery);
            if cell(&became["state"]) == "unrouted" {
                say(&"No route takes it: it is kept, and goes nowhere.");
            }
            if cell(&became["state"]) == "pending" {
                say(&format!("It is kept and tried again until the application takes it: hookhold events show {event}"));
            }
        }
    }
}
