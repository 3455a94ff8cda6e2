//! A small world around one relay: a temporary folder, port 0, a scripted application, signed requests over real TLS.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hookhold::cli::serve::{Relay, start};
use hookhold::config;
use hookhold::config::settings::Listener;
use hookhold::metrics::LetGo;
use hookhold::net::client::{Answer, Server};
use hookhold::net::door::{Bounds, Door};
use hookhold::net::listener::{self, Observer, Peer, Setup};
use hookhold::net::pool::Pool;
use hookhold::net::tls;
use hookhold::time::Clock;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// The secret of every signed source in these tests.
pub(crate) const SECRET: &str = "a secret for tests";
/// A source that anybody may send to.
pub(crate) const OPEN: &str = r#"
    [sources.open]
    path = "/in/open"
    provider = "none"
    [[routes]]
    from = "open"
    to = ["app"]
"#;
/// A store that a few bodies fill, and a source that takes such.
pub(crate) const SMALL_STORE: &str = r#"
    [store]
    max_bytes = "512MiB"
    [sources.big]
    path = "/in/big"
    provider = "none"
    body = "16MiB"
    [[routes]]
    from = "big"
    to = ["app"]
"#;
/// A fact that has not come true by then will not, on whatever machine: nobody who is well waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A relay, its application, and its folder.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) app: Upstream,
    relay: Option<Relay>,
    https: SocketAddr,
    admin: SocketAddr,
}

impl World {
    /// A relay with a `github` source at `/in/gh` and a destination `app`; `more` is added to its relay.toml, where `{app}` stands
    /// for the application's address. `destination` holds more settings of `app`.
    pub(crate) async fn start(destination: &str, more: &str) -> Self {
        Self::start_changed(destination, more, |text| text).await
    }

    /// The same, with its relay.toml changed.
    pub(crate) async fn start_changed(destination: &str, more: &str, change: impl FnOnce(String) -> String) -> Self {
        let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        let text = format!(
            r#"
            [listen]
            https = "127.0.0.1:0"
            [tls]
            self_signed = true
            [admin]
            listen = "127.0.0.1:0"
            [sources.gh]
            path = "/in/gh"
            provider = "github"
            secrets = [{{ file = "secret" }}]
            body = "100KiB"
            [[routes]]
            from = "gh"
            to = ["app"]
            {}
            [destinations.app]
            url = "http://{}/hook"
            {destination}
            "#,
            more.replace("{app}", &app.address.to_string()),
            app.address,
        );
        std::fs::write(folder.path().join("relay.toml"), change(text)).unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut world = Self { folder, app, relay: None, https: nowhere, admin: nowhere };
        world.up().await;
        world
    }

    /// Starts the relay (again) on the same folder.
    pub(crate) async fn up(&mut self) {
        tls::install_provider();
        let loaded = config::load(&self.folder.path().join("relay.toml")).unwrap();
        let relay = start(loaded, Clock::system()).await.unwrap();
        (self.https, self.admin) = (relay.https(), relay.admin());
        self.relay = Some(relay);
    }

    /// Reads relay.toml again, as SIGHUP would make it do.
    pub(crate) async fn reload(&mut self) -> anyhow::Result<Vec<String>> {
        let loaded = config::load(&self.folder.path().join("relay.toml"))?;
        self.relay.as_mut().unwrap().reload(loaded).await
    }

    /// Where webhooks come in.
    pub(crate) fn https(&self) -> SocketAddr {
        self.https
    }

    /// All listeners but the admin API's.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        self.relay.as_ref().unwrap().bound()
    }

    /// Where the admin API is.
    pub(crate) fn admin_address(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Stops the relay as SIGTERM would.
    pub(crate) async fn down(&mut self) {
        self.relay.take().unwrap().stop().await.unwrap();
    }

    /// Sends a request as GitHub would, signed.
    pub(crate) async fn send(&self, id: &str, body: &[u8]) -> Answer {
        let signature = github_signature(SECRET, body);
        self.post("/in/gh", &[("x-github-delivery", id), ("x-github-event", "push"), ("x-hub-signature-256", &signature)], body)
            .await
    }

    /// Sends any `POST`.
    pub(crate) async fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.request(Method::POST, target, headers, body).await
    }

    /// Sends any request.
    pub(crate) async fn request(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let trust = tls::client_config_pinning(&self.folder.path().join("certs").join(tls::SELF_SIGNED_FILES[0])).unwrap();
        call(&format!("https://{}", self.https), trust, method, target, headers, body).await
    }

    /// Sends a request without a body over HTTP/2.
    pub(crate) async fn request_h2(&self, method: Method, target: &str) -> Response<Bytes> {
        let file = self.folder.path().join("certs").join(tls::SELF_SIGNED_FILES[0]);
        let mut trust = (*tls::client_config_pinning(&file).unwrap()).clone();
        trust.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(self.https).await.unwrap();
        let name = ServerName::IpAddress(self.https.ip().into());
        let stream = TlsConnector::from(Arc::new(trust)).connect(name, stream).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let uri = format!("https://{}{target}", self.https);
        let request = Request::builder().method(method).uri(uri).body(Full::<Bytes>::default()).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    /// `GET` of the admin API; the answer must be a 200.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.admin(Method::GET, path, b"").await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Any call of the admin API.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: &[u8]) -> Answer {
        let trust = tls::client_config(None).unwrap();
        let json = [("content-type", "application/json")];
        call(&format!("http://{}", self.admin), trust, method, &format!("/api/v1{path}"), &json, body).await
    }

    /// Whether it takes events, as a load balancer asks.
    pub(crate) async fn ready(&self) -> Answer {
        call(&format!("http://{}", self.admin), tls::client_config(None).unwrap(), Method::GET, "/readyz", &[], b"").await
    }

    /// What is counted, as Prometheus reads it.
    pub(crate) async fn metrics(&self) -> String {
        let trust = tls::client_config(None).unwrap();
        let answer = call(&format!("http://{}", self.admin), trust, Method::GET, "/metrics", &[], b"").await;
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    /// Waits until the list at `path` has `count` items, and gives them.
    pub(crate) async fn listed(&self, path: &str, count: usize) -> Vec<Value> {
        eventually(async || {
            let items = self.get(path).await["items"].as_array().unwrap().clone();
            (items.len() == count).then_some(items)
        })
        .await
    }
}

/// The value of `X-Hub-Signature-256`.
pub(crate) fn github_signature(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Any call of any server.
pub(crate) async fn call(
    base: &str,
    trust: Arc<rustls::ClientConfig>,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let server = Server::of(&base.parse().unwrap(), trust, false).unwrap();
    let mut request = Request::builder().method(method).uri(target).header("host", server.authority());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    Pool::new(server, 0, PATIENCE).exchange(request, 1 << 24).await.unwrap()
}

/// The first fact that `look` finds.
pub(crate) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            // Facts of another process or thread cannot be waited for otherwise.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    found.await.expect("the fact did not come true in time")
}

/// An address of this machine at which nobody listens until somebody who knows it does. It is bound for as long as the tests run, so
/// that nobody else is given its port meanwhile, and never listens itself.
pub(crate) fn nowhere() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // With this, listeners that say the same may have it, too.
    socket.set_reuse_address(true).unwrap();
    socket.bind(&anywhere().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

/// A port of 127.0.0.1 that nobody has, and that nobody else is given.
pub(crate) fn free_port() -> u16 {
    nowhere().port()
}

/// An application: answers by its script, then with 200, and remembers what it got.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<Seen>>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Seen {
    script: VecDeque<Reply>,
    /// How it answers what the script says nothing of.
    usual: Option<Reply>,
    /// While it holds its answers back.
    held: Option<watch::Receiver<()>>,
    requests: Vec<Got>,
}

/// How the application answers one request.
#[derive(Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: Duration,
}

/// A request that the application got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// When all of it was there.
    pub(crate) at: Instant,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::start_on(None, anywhere()).await
    }

    /// One at a given address.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        Self::start_on(None, address).await
    }

    /// One that speaks TLS, with the self-signed certificate of `folder`.
    pub(crate) async fn start_tls(folder: &Path) -> Self {
        tls::install_provider();
        let pair = tls::self_signed(folder).unwrap();
        let certificates = Arc::new(tls::Certificates::load(&[pair]).unwrap());
        Self::start_on(Some(tls::server_config(certificates, &[b"http/1.1"])), anywhere()).await
    }

    async fn start_on(tls: Option<Arc<rustls::ServerConfig>>, at: SocketAddr) -> Self {
        let tcp = listener::bind(at, false).unwrap();
        let (address, state, stop) = (tcp.local_addr().unwrap(), Arc::<Mutex<Seen>>::default(), CancellationToken::new());
        let setup = Setup::new(tls, Door::new(1024, Bounds::default()), stop.clone(), Arc::new(Nobody));
        let seen = state.clone();
        let handle = move |request, _: Peer| answer(seen.clone(), request);
        tokio::spawn(listener::serve(tcp, setup, handle));
        Self { address, state, stop }
    }

    /// The next requests are answered so.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().script.extend(replies);
    }

    /// Everything is answered so from now on, but for what a script says.
    pub(crate) fn answers(&self, usual: Reply) {
        self.state.lock().unwrap().usual = Some(usual);
    }

    /// Holds its answers back until what this gives is dropped. What comes is seen meanwhile.
    #[must_use]
    pub(crate) fn holds(&self) -> watch::Sender<()> {
        let (holds, held) = watch::channel(());
        self.state.lock().unwrap().held = Some(held);
        holds
    }

    /// What it got so far.
    pub(crate) fn requests(&self) -> Vec<Got> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Waits until it got `count` requests.
    pub(crate) async fn got(&self, count: usize) -> Vec<Got> {
        eventually(async || Some(self.requests()).filter(|r| r.len() >= count)).await
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn answer(state: Arc<Mutex<Seen>>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let (reply, held) = {
        let mut seen = state.lock().unwrap();
        let target = head.uri.to_string();
        seen.requests.push(Got { method: head.method, target, headers: head.headers, body, at: Instant::now() });
        let usual = seen.usual.clone().unwrap_or(Reply::status(200));
        (seen.script.pop_front().unwrap_or(usual), seen.held.clone())
    };
    if let Some(mut held) = held {
        // Nothing is sent there: it ends when who holds it is gone.
        let _ = held.changed().await;
    }
    if !reply.delay.is_zero() {
        // The script wants a slow application.
        tokio::time::sleep(reply.delay).await;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let made: Result<_, Infallible> = Ok(response.body(Full::from(reply.body)).unwrap());
    match made {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Counts nothing.
struct Nobody;

impl Observer for Nobody {
    fn connections(&self, _: i64) {}
    fn handshake(&self, _: bool) {}
    fn refused(&self, _: LetGo) {}
}
