//! `hookhold route test`: where captured requests would go by the routes of relay.toml, and why. Nothing is sent, and no relay is
//! asked. A signature that does not verify is told and changes nothing: who writes rules rarely has a fresh one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::{Failure, verify};
use crate::config::settings::{Settings, Source, SourcePath};
use crate::record::{Name, Received};
use crate::route::Table;
use crate::route::filter::{Facts, Failed, Takes, Verdict};
use crate::signature::{Captured, Judgement, Reason, Verified};
use crate::time::{Clock, Timestamp};

/// Characters of a type that are shown.
const TYPE_CHARACTERS_MAX: usize = 80;

/// What to do with routes.
#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Say for captured requests which route takes them, which condition fails, and where they would go.
    ///
    /// Reads the routes from the configuration (--config), sends nothing and asks no relay. Whether the signature verifies is told,
    /// and the routing is shown in any case, as it would be for a request that verifies. With --json one line a request is printed.
    ///
    /// Exit codes: 0 each request would go somewhere, or is a handshake that the relay answers; 1 one would go nowhere: no source
    /// is there for it, or no route takes it; 4 no source has the name of --source.
    Test(TestArgs),
}

#[derive(ClapArgs)]
struct TestArgs {
    /// A JSON file with one captured request or a list of them, as for `verify`; `-` for standard input.
    file: PathBuf,
    /// The source, where host and path of the request's URL do not tell it.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

/// What is said of one request: one line of `--json`.
#[derive(Default, Serialize)]
struct Told {
    name: String,
    source: Option<Name>,
    /// Whether it would be believed: `accept`, `reject` or `handshake`, as `verify` says it.
    outcome: Option<Judgement>,
    /// Why not; or why nothing can be said.
    reason: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    routes: Vec<ToldRoute>,
    destinations: Vec<Name>,
}

/// What is said of one route.
#[derive(Serialize)]
struct ToldRoute {
    /// Where relay.toml has it.
    line: usize,
    to: Vec<Name>,
    otherwise: bool,
    takes: bool,
    failed: Vec<ToldCondition>,
}

#[derive(Serialize)]
struct ToldCondition {
    condition: String,
    found: String,
}

pub(super) fn run(args: &Args, config: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let What::Test(args) = &args.command;
    let settings = crate::config::load(config)?.settings;
    let named = args.source.as_deref().map(|name| named(&settings, name)).transpose()?;
    let sources = table(&settings);
    let now = Clock::system().now();
    let mut out = std::io::stdout().lock();
    let mut all_go = true;
    for request in verify::requests(&args.file)? {
        let name = verify::name_of(&request);
        let told = tell(request, named, &sources, now).unwrap_or_else(|why| Told { reason: Some(why), ..Told::default() });
        let told = Told { name, ..told };
        all_go &= !told.destinations.is_empty() || told.outcome == Some(Judgement::Handshake);
        if as_json {
            serde_json::to_writer(&mut out, &told)?;
            writeln!(out)?;
        } else {
            out.write_all(text(&told).as_bytes())?;
        }
    }
    Ok(if all_go { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn named<'a>(settings: &'a Settings, name: &str) -> anyhow::Result<&'a Source> {
    let found = settings.sources.iter().find(|source| source.name.as_str() == name);
    Ok(found.ok_or_else(|| Failure::NotFound(format!("no source is named {name:?}")))?)
}

fn table(settings: &Settings) -> Table<&Source> {
    let mut sources = Table::default();
    for source in &settings.sources {
        match &source.path {
            SourcePath::Exact(path) => sources.add_exact(source.host.clone(), path, &**source),
            SourcePath::Below(path) => sources.add_below(source.host.clone(), path, &**source),
        }
    }
    sources
}

/// What the routes say of a request; or why that cannot be said.
fn tell(request: Value, named: Option<&Source>, sources: &Table<&Source>, now: Timestamp) -> Result<Told, String> {
    let mut captured: Captured = serde_json::from_value(request).map_err(|error| error.to_string())?;
    captured.now_unix.get_or_insert(now.seconds() as f64);
    if captured.method.is_empty() {
        "POST".clone_into(&mut captured.method);
    }
    let received = captured.received().map_err(String::from)?;
    let path = received.target.split('?').next().unwrap_or_default();
    let found = named.or_else(|| sources.find(&received.authority, path).copied());
    let source = found.ok_or_else(|| {
        let host = if received.authority.is_empty() { String::new() } else { format!(" at {}", received.authority) };
        format!("no source is there for {path:?}{host}; --source NAME says which one is meant")
    })?;
    let told = Told { source: Some(source.name.clone()), ..Told::default() };
    let handshakes = &source.handshakes;
    if handshakes.brought(&received).is_some() || handshakes.before_proof(&received).is_some() {
        return Ok(Told { outcome: Some(Judgement::Handshake), ..told });
    }
    let (verified, refusal) = match source.verifier.verify_with(received.clone(), &captured.keys.documents()) {
        Ok(verified) => (verified, None),
        Err(refused) => (source.verifier.vouched_for(received), Some(refused.reason)),
    };
    if handshakes.after_proof(&verified).is_some() {
        return Ok(Told { outcome: Some(Judgement::Handshake), ..told });
    }
    if !source.methods.iter().any(|method| *method == *verified.received().method) {
        let reason = format!("the source does not take {}: such a request is answered 405", verified.received().method);
        return Ok(Told { reason: Some(reason), ..told });
    }
    let outcome = Some(if refusal.is_some() { Judgement::Reject } else { Judgement::Accept });
    Ok(routed(Told { outcome, reason: refusal.map(|reason| reason.as_str().to_owned()), ..told }, source, &verified))
}

/// The same with what each route says.
fn routed(told: Told, source: &Source, verified: &Verified) -> Told {
    let Received { method, headers, body, .. } = verified.received();
    let facts = Facts { kind: verified.kind(), method, headers, body };
    let names = |places: &[usize]| places.iter().filter_map(|&place| source.destinations.get(place).cloned()).collect();
    let verdicts = source.explain(facts).into_iter().zip(source.routes.routes());
    let routes = verdicts.map(|(verdict, route)| ToldRoute {
        line: route.line,
        to: names(&route.to),
        otherwise: route.takes == Takes::Rest,
        takes: verdict == Verdict::Takes,
        failed: if let Verdict::Leaves(failed) = verdict {
            failed.into_iter().map(ToldCondition::from).collect()
        } else {
            Vec::new()
        },
    });
    let destinations = source.choose(facts).names(&source.destinations).to_vec();
    Told { kind: verified.kind().map(str::to_owned), routes: routes.collect(), destinations, ..told }
}

impl From<Failed> for ToldCondition {
    fn from(failed: Failed) -> Self {
        Self { condition: failed.condition, found: failed.found }
    }
}

/// For people: the request, each route, and where it would go.
fn text(told: &Told) -> String {
    let Some(source) = &told.source else {
        return format!("{}: would go nowhere: {}\n", told.name, told.reason.as_deref().unwrap_or_default());
    };
    let mut text = format!("{}: source {source}", told.name);
    if let Some(kind) = &told.kind {
        let shown: String = kind.chars().take(TYPE_CHARACTERS_MAX).collect();
        let _ = write!(text, ", type {shown:?}");
    }
    match (told.outcome, &told.reason) {
        (Some(Judgement::Handshake), _) => return text + ": a handshake, which the relay answers by itself: no route is asked\n",
        (Some(Judgement::Accept), _) => text.push_str(", verified\n"),
        (Some(Judgement::Reject), Some(word)) => {
            let sentence = Reason::from_word(word).map(|reason| reason.to_string()).unwrap_or_default();
            let _ = writeln!(text, ", not verified ({word}): {sentence}\n  If it were verified:");
        }
        (_, reason) => return format!("{text}: would go nowhere: {}\n", reason.as_deref().unwrap_or_default()),
    }
    told.routes.iter().for_each(|route| text.push_str(&of_route(route)));
    text.push_str(&match told.destinations.as_slice() {
        [] => "  would go nowhere: it would be stored as unrouted\n".to_owned(),
        some => format!("  would go to {}\n", some.join(", ")),
    });
    text
}

fn of_route(route: &ToldRoute) -> String {
    let to = if route.to.is_empty() { "nowhere".to_owned() } else { route.to.join(", ") };
    let otherwise = if route.otherwise { ", otherwise" } else { "" };
    let says = match (route.takes, route.otherwise) {
        (true, _) => "takes it",
        (false, true) => "is for what no other takes",
        (false, false) => "leaves it",
    };
    let mut text = format!("  line {} (to {to}{otherwise}) {says}\n", route.line);
    for ToldCondition { condition, found } in &route.failed {
        let _ = writeln!(text, "    {condition}, but {found}");
    }
    text
}
