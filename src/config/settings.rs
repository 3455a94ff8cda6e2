//! relay.toml as proven: every name resolves, every bound is in range, every secret is there. A value that exists is right.

mod acme;
mod edge;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use rustls::server::danger::ClientCertVerifier;
use url::Url;

pub use acme::{Acme, Challenge, ExternalAccount};
pub use edge::{EdgeLimits, Listen, Listener, ProxyProtocol, Serve, TlsVersion};

pub use super::mask::{Mask, Unmaskable};
pub use super::token::{Proof, Role, Token};
use crate::alarm::Rules as AlarmRules;
use crate::pace::bucket::Bucket;
use crate::pace::meter::Meter;
use crate::pace::retry;
use crate::record::Name;
use crate::route::filter::{Chosen, Facts, Rules, Verdict};
use crate::signature::handshake::Handshakes;
use crate::signature::preset::Answer;
use crate::signature::{Resigner, Secret, Selector, Verifier};

/// Everything that the relay was told.
#[derive(Debug)]
pub struct Settings {
    /// Where webhooks come in.
    pub listen: Listen,
    /// The certificates of that listener.
    pub tls: Tls,
    /// The certificates that a CA is asked for, beside them.
    pub acme: Option<Arc<Acme>>,
    /// The oldest version of TLS that the listeners speak.
    pub tls_min: TlsVersion,
    /// The admin listener.
    pub admin: Admin,
    /// Where events are kept.
    pub store: Store,
    /// Bounds of the whole relay.
    pub limits: Limits,
    /// What is logged.
    pub log: Log,
    /// What alarms, and who hears of it; `None`: nothing.
    pub alerts: Option<Arc<Alerts>>,
    /// Where traces go; `None`: nowhere.
    pub traces: Option<Traces>,
    /// The sources, in the order of the file.
    pub sources: Vec<Arc<Source>>,
    /// The destinations, in the order of the file.
    pub destinations: Vec<Arc<Destination>>,
}

/// `[tls]`
#[derive(Debug)]
pub enum Tls {
    /// PEM files, the first pair being the default one. None where nobody speaks TLS, or a CA is asked for all of them.
    Certificates(Vec<CertificateFiles>),
    /// A certificate that the relay makes in this folder at first start; loopback only.
    SelfSigned {
        /// The folder.
        folder: PathBuf,
    },
}

/// One certificate chain and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `[admin]`
#[derive(Debug)]
pub struct Admin {
    /// Its address.
    pub listen: SocketAddr,
    /// Whether it speaks TLS, with the certificates of `[tls]`. Always so where the address is not loopback.
    pub tls: bool,
    /// Who may come in. Empty: everybody who reaches it, which is then loopback only.
    pub tokens: Vec<Token>,
    /// What is hidden from those who need not see it, of all sources.
    pub mask: Mask,
    /// What is kept of who did what.
    pub audit: Audit,
}

/// `[admin] audit`: what is kept of who did what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// So long.
    pub keep_for: Duration,
    /// So many bytes at most; the oldest go first.
    pub bytes_max: u64,
}

/// `[store]`
#[derive(Debug)]
pub struct Store {
    /// The folder.
    pub path: PathBuf,
    /// Bytes that it may take on its disk; `None`: as many as the disk has.
    pub max_bytes: Option<u64>,
    /// How long what is stored is kept.
    pub retention: Retention,
}

/// `[store] retention`: how long events, and requests that did not become one, are kept. What is pending or in flight is kept in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// After the last of their deliveries was delivered or cancelled, or after their arrival where they have none.
    pub done: Duration,
    /// After the last of their deliveries was settled, where one is parked.
    pub parked: Duration,
    /// Beyond so many bytes of events that are done, the oldest of them go earlier.
    pub done_bytes: Option<u64>,
    /// Requests that were not believed, after they came.
    pub quarantined: Duration,
}

/// `[limits]`
#[derive(Debug)]
pub struct Limits {
    /// Bytes of one body, where the source does not say otherwise.
    pub body_bytes: u64,
    /// Bytes of all bodies that are being received or stored.
    pub body_bytes_in_flight: u64,
    /// Connections at once.
    pub connections: usize,
    /// A body slower than this, after a grace of 10 s, is given up.
    pub body_bytes_per_second: u64,
    /// Pending deliveries, above which nothing new is accepted.
    pub pending: Option<u64>,
    /// An event that is taken is durable within so long.
    pub accept_within: Duration,
    /// Of connections and requests.
    pub edge: EdgeLimits,
}

/// `[log]`
#[derive(Debug)]
pub struct Log {
    /// The level of the relay's own lines.
    pub level: tracing::Level,
    /// Their form.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[telemetry] traces`
#[derive(Debug)]
pub struct Traces {
    /// Where spans are posted: `http` or `https`, with a host.
    pub url: Url,
    /// The share of the traces that begin here of which spans are recorded, 0 to 1.
    pub sample: f64,
    /// Fields of each request. Values may be secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// As whom the relay is known there (`service.name`).
    pub service: String,
    /// The only roots that are trusted; `None`: those of the web.
    pub ca: Option<PathBuf>,
}

/// `[alerts]`
#[derive(Debug)]
pub struct Alerts {
    /// When something is wrong.
    pub rules: AlarmRules,
    /// How often that is looked at.
    pub look_every: Duration,
    /// What this relay is called in messages.
    pub name: Option<Name>,
    /// Who hears of it.
    pub to: Vec<Arc<Receiver>>,
}

/// One entry of `[alerts] to`. Its address may be a secret.
pub struct Receiver {
    /// Where it is: `http` or `https`, with a host. User and password are in `authorization`, not here.
    pub url: Url,
    /// What the URL's user and password stand for.
    pub authorization: Option<HeaderValue>,
    /// What it understands.
    pub form: Form,
    /// For the whole of one try.
    pub timeout: Duration,
    /// The only roots that are trusted; `None`: those of the web.
    pub ca: Option<PathBuf>,
}

/// What a receiver of alarms understands.
#[derive(Debug)]
pub enum Form {
    /// `{"text": "..."}`, as Slack's incoming webhooks and those that are made after them.
    Slack,
    /// A typed document, signed as Standard Webhooks have it.
    StandardWebhooks(Resigner),
}

impl Form {
    /// The word for it in relay.toml.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::StandardWebhooks(_) => "standard-webhooks",
        }
    }
}

impl Receiver {
    /// Where it is, for people: whatever can be a secret in an address is masked.
    pub fn shown(&self) -> String {
        format!("{}/***", &self.url[..url::Position::BeforePath])
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("url", &self.shown()).field("form", &self.form.as_str()).finish_non_exhaustive()
    }
}

/// `[sources.NAME]`: where one provider's webhooks enter.
#[derive(Debug)]
pub struct Source {
    /// Its name.
    pub name: Name,
    /// The host that it answers to; `None` for every host. Lower case, without port.
    pub host: Option<String>,
    /// Its path, as sent.
    pub path: SourcePath,
    /// The provider's name (`custom` where the scheme is written in relay.toml, `none` where nothing is verified).
    pub provider: Arc<str>,
    /// How its requests are verified. Holds the secrets.
    pub verifier: Verifier,
    /// How what its provider publishes is fetched.
    pub key_fetch: Fetch,
    /// How what confirms a subscription is visited.
    pub confirm_fetch: Fetch,
    /// The challenges of its provider that the relay answers by itself. Holds secrets, too.
    pub handshakes: Handshakes,
    /// Whether its secret comes in a request, and is not in relay.toml.
    pub takes_secret: bool,
    /// How long a repeat is known; `None`: never.
    pub dedupe: Option<Duration>,
    /// What the provider hears when its event is durable.
    pub answer: Answer,
    /// Whether the provider hears its application's answer instead.
    pub ack: Ack,
    /// Bytes of one body.
    pub body_bytes: u64,
    /// Events a second; `None`: as many as come.
    pub per_second: Option<Meter>,
    /// The methods that it takes; `POST` where nothing is said.
    pub methods: Vec<Method>,
    /// Clients that may send; empty for all.
    pub allow: Vec<IpNet>,
    /// Clients that may not, whatever `allow` says.
    pub deny: Vec<IpNet>,
    /// The roots of the certificate that every sender must show, where one must be shown.
    pub client_ca: Option<Arc<dyn ClientCertVerifier>>,
    /// Whether requests that were not believed are kept aside.
    pub quarantines: bool,
    /// Where its events can go: the destinations of all its routes.
    pub destinations: Arc<[Name]>,
    /// To which of them an event goes.
    pub routes: Rules,
    /// Whether it takes nothing until a person lets it.
    pub paused: bool,
    /// It has an event at least so often, or somebody should look.
    pub expect_every: Option<Duration>,
    /// What of its events is hidden from those who need not see it, with what is hidden of all sources.
    pub mask: Mask,
}

impl Source {
    /// Whether this client may send. One whose address is not known may not, where addresses are asked for at all.
    pub fn admits(&self, address: IpAddr, is_known: bool) -> bool {
        if self.allow.is_empty() && self.deny.is_empty() {
            return true;
        }
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        is_known && !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }

    /// Where an event goes; its body is given as it came.
    pub fn choose(&self, facts: Facts<'_>) -> Chosen {
        self.asked(facts, Rules::choose)
    }

    /// What each of its routes says of an event.
    pub fn explain(&self, facts: Facts<'_>) -> Vec<Verdict> {
        self.asked(facts, Rules::explain)
    }

    fn asked<T>(&self, facts: Facts<'_>, ask: impl FnOnce(&Rules, &Facts<'_>) -> T) -> T {
        if !self.routes.reads_body() {
            return ask(&self.routes, &facts);
        }
        let body = self.verifier.content(facts.body);
        ask(&self.routes, &Facts { body: &body, ..facts })
    }
}

/// What the answer to an event waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// That the event is durable.
    Stored,
    /// Also the one application's answer, which is passed on; for so long, counted from the request's head. Without one the sender hears
    /// an error, and the event is kept and delivered all the same.
    Upstream(Duration),
    /// The same, but without one the sender hears that the event is stored.
    UpstreamElseStored(Duration),
}

impl Ack {
    /// As it is written in relay.toml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Upstream(_) => "upstream",
            Self::UpstreamElseStored(_) => "upstream-else-stored",
        }
    }

    /// How long an application's answer is waited for; `None` where it is not.
    pub fn waits(self) -> Option<Duration> {
        match self {
            Self::Stored => None,
            Self::Upstream(within) | Self::UpstreamElseStored(within) => Some(within),
        }
    }
}

/// How some hosts are asked for what a request needs, where that is not as with every host of the web.
#[derive(Debug, Default)]
pub struct Fetch {
    /// The addresses for which the rest counts: all addresses of their hosts.
    pub addresses: Vec<String>,
    /// Whether the source names the address itself: then its host may be private.
    pub is_own: bool,
    /// The only roots that are trusted; `None`: those of the web.
    pub ca: Option<PathBuf>,
    /// Fields of requests. Values may be secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Members of what is posted.
    pub members: Vec<(String, Secret)>,
}

/// The path of a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourcePath {
    /// This path only.
    Exact(String),
    /// This path (no `/` at its end), and everything below it.
    Below(String),
}

/// `[destinations.NAME]`: an application and how to treat it.
#[derive(Debug)]
pub struct Destination {
    /// Its name.
    pub name: Name,
    /// Where it is: `http` or `https`, with a host. User and password are in `headers`, not here.
    pub url: Url,
    /// The Unix socket that it listens on; then the URL's host is `localhost`, and only path and query say something.
    pub socket: Option<PathBuf>,
    /// For the whole of one attempt.
    pub timeout: Duration,
    /// Attempts at once.
    pub in_flight: usize,
    /// Attempts in a second; `None`: as many as there are.
    pub per_second: Option<Bucket>,
    /// By what its deliveries are kept in order.
    pub order_by: Option<Selector>,
    /// When a delivery is tried again.
    pub retry: retry::Rule,
    /// Statuses that park a delivery at once.
    pub park_on: Vec<StatusCode>,
    /// How each attempt is signed anew; `None`: it goes out with the signature that came.
    pub sign: Option<Arc<Resigner>>,
    /// Fields that are set on each attempt, in place of what came in. Values may be secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Where a token comes from that is sent as `Authorization`.
    pub oauth2: Option<Arc<OAuth2>>,
    /// The only roots that are trusted; `None`: those of the web.
    pub ca: Option<PathBuf>,
    /// What is shown to a server that asks who the relay is.
    pub client_certificate: Option<CertificateFiles>,
    /// Whether HTTP/2 is offered to an `https` server, beside HTTP/1.1.
    pub http2: bool,
    /// For each step of a new connection: to resolve the name, to reach each address, to agree on TLS.
    pub connect_timeout: Duration,
    /// A pooled connection is not used for longer.
    pub connection_age: Duration,
    /// A pooled connection is closed when nothing used it for so long.
    pub connection_idle: Duration,
    /// Whether the rest of a `*` path, and the query, follow the URL.
    pub append_path: bool,
    /// Whether the sender's trace goes on at each attempt, and begins where there is none (`traceparent`, `tracestate`).
    pub trace_context: bool,
    /// Whether `Idempotency-Key` is set where the sender gave none.
    pub idempotency_key: bool,
    /// Whether header names leave in title case (HTTP/1.1).
    pub title_case_headers: bool,
    /// Whether nothing is sent until a person lets it.
    pub paused: bool,
}

/// `auth = { oauth2 = ... }`: client credentials (RFC 6749 §4.4).
#[derive(Debug)]
pub struct OAuth2 {
    /// Where tokens are given out.
    pub token_url: Url,
    /// As whom the relay is known there.
    pub client_id: String,
    /// How it proves that.
    pub client_secret: Secret,
    /// Whether id and secret go in the body, not as `Authorization: Basic`.
    pub secret_in_body: bool,
    /// What for, in words of the server, with spaces between them.
    pub scope: Option<String>,
    /// For whom, where the server asks that.
    pub audience: Option<String>,
    /// The only roots that are trusted there; `None`: those of the web.
    pub ca: Option<PathBuf>,
}
