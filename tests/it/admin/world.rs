//! An admin router over a store in memory, and calls to it without a socket.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hookhold::admin::history::History;
use hookhold::admin::{Configuration, Context, Told, router};
use hookhold::config::settings::{
    Admin, Audit, Destination, EdgeLimits, Fetch, Limits, Listen, Log, LogFormat, Mask, Proof, Retention, Role, Settings, Source,
    SourcePath, Store as StoreSettings, Tls, TlsVersion, Token,
};
use hookhold::config::{Shown, Warnings};
use hookhold::delivery::Replays;
use hookhold::ingest::{Arming, Gate, Line, Outside};
use hookhold::metrics::Metrics;
use hookhold::net::confirm::Confirmer;
use hookhold::net::fetch::Fetcher;
use hookhold::net::published::Published;
use hookhold::net::tls::Certificates;
use hookhold::pace::retry::Rule;
use hookhold::record::{Answer, Attempt, DeliveryId, EventId, Failure, Headers, Name, Outcome, Received, Verdict};
use hookhold::route::filter::Rules;
use hookhold::signature::handshake::Handshakes;
use hookhold::signature::preset;
use hookhold::signature::{Options, Secret, Verifier};
use hookhold::store::{
    Appended, AuditBounds, AuditLog, Brought, Claimed, Intake, Memory, Pauses, Quarantine, QuarantineBounds, Settlement, Space,
    Store,
};
use hookhold::time::{Clock, Timestamp};
use hookhold::watch::{Asked, Watch};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::Digest;
use tempfile::TempDir;
use tower::ServiceExt;

const DAY: Duration = Duration::from_secs(86_400);
pub(super) const START: Timestamp = Timestamp::from_ms(1_790_000_000_000);
/// A token that nobody guesses.
pub(super) const LONG_TOKEN: &str = "an-operator-with-a-long-token";
pub(super) const BODY: &[u8] = b"{\"a\": \"\xff\"}";

/// A relay as its admin listener sees it: source `stripe` goes to `billing` and `audit`.
pub(super) struct World {
    pub(super) store: Arc<Memory>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) audit: Arc<AuditLog>,
    pub(super) folder: TempDir,
    router: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

impl World {
    /// Open to everybody who reaches it.
    pub(super) fn open() -> Self {
        Self::new(Vec::new(), false)
    }

    /// Guarded, behind TLS.
    pub(super) fn guarded_with_tls() -> Self {
        Self::new(Self::tokens(), true)
    }

    /// With the tokens `operator-token` and `viewer-token`.
    pub(super) fn guarded() -> Self {
        Self::new(Self::tokens(), false)
    }

    fn tokens() -> Vec<Token> {
        let token = |who: &str, role, until| {
            let secret = Secret::try_new(format!("{who}-token").into_bytes(), until).unwrap();
            Token { name: name(who), role, unmasked: role == Role::Operator, proof: Proof::of(secret), until: None }
        };
        vec![
            token("operator", Role::Operator, None),
            token("viewer", Role::Viewer, None),
            token("former", Role::Operator, Some(START)),
            token("an-operator-with-a-long", Role::Operator, None),
            Token {
                name: name("hashed"),
                role: Role::Viewer,
                unmasked: false,
                proof: Proof::of_hash(sha2::Sha256::digest(b"hashed-token").into()),
                until: Some(START.after(Duration::from_secs(3600))),
            },
        ]
    }

    fn new(tokens: Vec<Token>, tls: bool) -> Self {
        let (store, metrics, folder) = (Arc::new(Memory::new()), Metrics::new(), TempDir::new().unwrap());
        let clock = Clock::following_tokio(START);
        let quarantine = Arc::new(Quarantine::open(folder.path(), QuarantineBounds::default(), clock).unwrap());
        let (settings, arming) = (Arc::new(settings(tokens, tls)), arming());
        let space = Arc::new(Space::new(Path::new("."), None));
        let fetcher = Fetcher::new(client_tls(), HashMap::new());
        let confirmer = Confirmer::new(fetcher.clone(), clock);
        let outside = Outside { published: Published::start(fetcher, Vec::new(), clock), confirmer };
        let pauses = Arc::new(Pauses::open(folder.path(), &settings).unwrap());
        let gate = Gate::new(&settings, &metrics, outside, (arming.clone(), &pauses), None);
        let replays = Arc::new(Replays::open(folder.path(), store.clone(), Arc::new(|_| None), clock).unwrap());
        let asked = Asked {
            store: store.clone(),
            space: space.clone(),
            pauses: pauses.clone(),
            metrics: metrics.clone(),
            certificates: Arc::new(Certificates::load(&[]).unwrap()),
            clock,
            started_at: START,
        };
        let watch = Arc::new(Watch::new(asked, settings.clone()).unwrap());
        let line = Line::new(gate, (store.clone(), space.clone()), quarantine.clone(), metrics.clone(), clock);
        let certificates = Arc::new(Certificates::load(&[]).unwrap());
        let bounds = AuditBounds { keep_for: DAY, bytes_max: 1 << 20 };
        let audit = Arc::new(AuditLog::open(folder.path(), bounds, clock).unwrap());
        let context = Context {
            store: store.clone(),
            space,
            quarantine,
            line: Arc::new(line),
            replays,
            told: Arc::new(Told::new(settings, arming)),
            configuration: Arc::new(Configuration::new(Shown::default(), Warnings::default(), certificates, clock)),
            history: Arc::new(History::open(folder.path(), metrics.clone(), clock)),
            metrics: metrics.clone(),
            watch,
            audit: audit.clone(),
            pauses,
            reloads: tokio::sync::mpsc::channel(1).0,
            clock,
            started_at: START,
        };
        Self { store, metrics, audit, folder, router: router(Arc::new(context)) }
    }

    /// Calls it as a program on the same machine does.
    pub(super) async fn call(&self, method: Method, path: &str, fields: &[(&'static str, &str)], body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !fields.iter().any(|(name, _)| *name == "host") {
            request = request.header(header::HOST, "127.0.0.1:9443");
        }
        request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        read(answer).await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[], "").await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Reply {
        self.call(Method::POST, path, &[], body).await
    }

    /// The JSON of a call that must succeed.
    pub(super) async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
        reply.json()
    }

    /// The ids on a list's page.
    pub(super) async fn ids(&self, path: &str) -> Vec<String> {
        let items = self.json(path).await["items"].take();
        items.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Stores an event of `source`, received `ms` after the start.
    pub(super) async fn stored(&self, source: &str, destinations: &[&str], ms: u64) -> EventId {
        let fields: [(&str, &[u8]); 4] =
            [("content-type", b"application/json"), ("x-odd", b"\xff\xfe"), ("x-twice", b"1"), ("x-twice", b"2")];
        let at = START.after(Duration::from_millis(ms));
        self.received(source, destinations, received("/in/stripe?x=1", &fields, BODY, at)).await
    }

    /// Stores an event that came like this.
    pub(super) async fn received(&self, source: &str, destinations: &[&str], received: Received) -> EventId {
        let verified = Verifier::trusting(Options::default()).verify(received).unwrap();
        let destinations = destinations.iter().map(|d| name(d)).collect();
        let intake = Intake::new(verified, name(source), "stripe".into(), destinations, None);
        match self.store.append(intake).await.unwrap() {
            Appended::Stored(id) => id,
            Appended::Duplicate(id) => panic!("a duplicate of {id}"),
        }
    }

    /// Claims what is due first for `destination`, an hour after the start.
    pub(super) async fn claimed(&self, destination: &str) -> Claimed {
        let mut due = self.store.claim_due(&name(destination), START.after(Duration::from_secs(3600)), 1).await.unwrap();
        due.claimed.pop().unwrap()
    }

    /// Attempts what is due first for `destination`: the application answers with `status`, or not at all.
    pub(super) async fn attempted(&self, destination: &str, status: Option<u16>, verdict: Verdict) -> DeliveryId {
        let claimed = self.claimed(destination).await;
        let outcome = match status {
            None => Outcome::Failed { failure: Failure::Connect, detail: "nobody listens".to_owned() },
            Some(status) => Outcome::Answered(Answer {
                status,
                headers: vec![("retry-after".to_owned(), "5".to_owned())],
                body: Bytes::from_static(b"busy"),
                truncated: false,
            }),
        };
        let attempt = Attempt { number: claimed.delivery.attempts_made + 1, started_at: START, duration_ms: 12, outcome };
        self.store.settle(Settlement { claim: claimed.claim, attempt, verdict, now: START, word: None }).await.unwrap();
        claimed.claim.delivery
    }
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a problem document of `status`, and gives its `field`.
    #[track_caller]
    pub(super) fn problem(&self, status: u16) -> Option<String> {
        assert_eq!((self.status.as_u16(), self.header("content-type")), (status, "application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!((document["type"].as_str(), document["status"].as_u64()), (Some("about:blank"), Some(status.into())));
        assert_eq!(document["title"].as_str(), self.status.canonical_reason());
        assert!(!document["detail"].as_str().unwrap().is_empty());
        document["field"].as_str().map(str::to_owned)
    }
}

/// A request that tries to be more than text, wherever it can.
pub(super) fn hostile() -> Received {
    let script = b"\"><script>alert(1)</script>";
    let fields: [(&str, &[u8]); 3] =
        [("content-type", b"text/html"), ("x-evil", script), ("user-agent", b"<img src=x onerror=alert(1)>")];
    received("/in/stripe?q=<script>alert(1)</script>", &fields, script, START)
}

fn received(target: &str, fields: &[(&'static str, &[u8])], body: &'static [u8], at: Timestamp) -> Received {
    let mut headers = Headers::default();
    for (name, value) in fields {
        headers.push(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    Received {
        method: "POST".to_owned(),
        target: target.to_owned(),
        authority: "hooks.example".to_owned(),
        headers,
        body: Bytes::from_static(body),
        peer: [203, 0, 113, 7].into(),
        at,
    }
}

async fn read(answer: Response<Body>) -> Reply {
    let (head, body) = answer.into_parts();
    Reply { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

pub(super) fn name(text: &str) -> Name {
    Name::try_new(text).unwrap()
}

fn settings(tokens: Vec<Token>, tls: bool) -> Settings {
    Settings {
        listen: Listen { listeners: Vec::new(), trusted_proxies: Vec::new() },
        tls: Tls::SelfSigned { folder: PathBuf::from("certs") },
        acme: None,
        tls_min: TlsVersion::default(),
        admin: Admin {
            listen: ([127, 0, 0, 1], 0).into(),
            tls,
            tokens,
            mask: Mask::default(),
            audit: Audit { keep_for: DAY, bytes_max: 1 << 20 },
        },
        store: StoreSettings {
            path: PathBuf::from("data"),
            max_bytes: None,
            retention: Retention { done: DAY, parked: DAY, done_bytes: None, quarantined: DAY },
        },
        limits: Limits {
            body_bytes: 1 << 20,
            body_bytes_in_flight: 1 << 20,
            connections: 10,
            body_bytes_per_second: 1000,
            pending: None,
            accept_within: Duration::from_secs(1),
            edge: EdgeLimits::of(10),
        },
        log: Log { level: tracing::Level::INFO, format: LogFormat::Text },
        alerts: None,
        traces: None,
        sources: vec![source("stripe", SourcePath::Below("/in/stripe".to_owned()), &["billing", "audit"])],
        destinations: vec![
            destination("billing", "http://billing.internal:8080/hooks?token=hush"),
            destination("audit", "http://audit/"),
        ],
    }
}

fn source(text: &str, path: SourcePath, destinations: &[&str]) -> Arc<Source> {
    Arc::new(Source {
        key_fetch: Fetch::default(),
        confirm_fetch: Fetch::default(),
        name: name(text),
        host: None,
        path,
        provider: "stripe".into(),
        verifier: Verifier::trusting(Options::default()),
        handshakes: Handshakes::default(),
        takes_secret: false,
        dedupe: None,
        answer: preset::Answer::default(),
        ack: hookhold::config::settings::Ack::Stored,
        body_bytes: 1 << 20,
        per_second: None,
        methods: vec![Method::POST],
        allow: Vec::new(),
        deny: Vec::new(),
        client_ca: None,
        quarantines: true,
        destinations: destinations.iter().map(|d| name(d)).collect(),
        routes: Rules::default(),
        paused: false,
        expect_every: None,
        mask: Mask::default(),
    })
}

fn destination(text: &str, url: &str) -> Arc<Destination> {
    Arc::new(Destination {
        name: name(text),
        url: url.parse().unwrap(),
        timeout: Duration::from_secs(30),
        in_flight: 16,
        per_second: None,
        order_by: None,
        retry: Rule::Schedule { waits: Vec::new(), cap: Rule::CAP },
        park_on: Vec::new(),
        sign: None,
        headers: Vec::new(),
        oauth2: None,
        ca: None,
        socket: None,
        client_certificate: None,
        http2: false,
        connect_timeout: Duration::from_secs(10),
        connection_age: Duration::from_secs(60),
        connection_idle: Duration::from_secs(4),
        append_path: false,
        trace_context: true,
        idempotency_key: true,
        title_case_headers: false,
        paused: false,
    })
}

fn arming() -> Arc<Arming> {
    Arc::new(Arming::new(&settings(Vec::new(), false), Brought::below(Path::new("nowhere"))).unwrap())
}

fn client_tls() -> Arc<rustls::ClientConfig> {
    hookhold::net::tls::install_provider();
    hookhold::net::tls::client_config(None).unwrap()
}
