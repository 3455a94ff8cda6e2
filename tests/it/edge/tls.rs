//! Who is asked for a certificate and what counts of it, which versions of TLS are spoken, and handshakes that go on where another ended.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hookhold::net::tls;
use http::{Method, Request};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{EAGER, open_source, with_lines};
use crate::world::World;

/// An authority, and what it vouches for.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn vouch(&self, name: &str, days: std::ops::Range<i32>, purpose: ExtendedKeyUsagePurpose) -> Pair {
        let mut params = CertificateParams::new(vec![format!("{name}.example")]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(days.start, 1, 1), rcgen::date_time_ymd(days.end, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn good(&self, name: &str) -> Pair {
        self.vouch(name, 2020..2090, ExtendedKeyUsagePurpose::ClientAuth)
    }
}

/// A client that trusts the world's relay and shows a certificate where it is asked.
fn client(folder: &Path, versions: &[&'static SupportedProtocolVersion], pair: Option<Pair>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(folder.join("certs").join(tls::SELF_SIGNED_FILES[0])).unwrap();
    let root = <CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem).unwrap();
    roots.add(root).unwrap();
    let builder = ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots);
    let mut config = match pair {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// How a handshake with this client went, and the status of a webhook behind it; `None` where there was no handshake.
async fn post(at: SocketAddr, config: &Arc<ClientConfig>, path: &str, name: &str) -> Option<(HandshakeKind, u16)> {
    let stream = TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await.ok()?;
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::builder().method(Method::POST).uri(path).header("host", name.to_str().as_ref());
    let request = request.header("hookhold-client", "CN=forged");
    // Nor can a sender take away what is true of it.
    let request = request.header("connection", "hookhold-client").body("x".to_owned()).unwrap();
    let answer = sender.send_request(request).await.ok()?;
    Some((kind, answer.status().as_u16()))
}

async fn status(world: &World, pair: Option<Pair>, path: &str) -> u16 {
    let config = client(world.folder.path(), rustls::ALL_VERSIONS, pair);
    post(world.https(), &config, path, "localhost").await.unwrap().1
}

/// A folder with the roots of `authority`, and the line that names them.
fn roots(authority: &Authority) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let line = format!("client_ca = {:?}", folder.path().join("ca.pem"));
    (folder, line)
}

#[tokio::test]
async fn a_source_asks_for_a_certificate_of_its_roots_and_others_do_not_care() {
    tls::install_provider();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (_folder, line) = roots(&authority);
    let free = "[sources.free]\npath = '/in/free'\nprovider = 'none'\n[[routes]]\nfrom = 'free'\nto = ['app']\n";
    let world = World::start(EAGER, &format!("{}{free}", open_source(&line))).await;
    assert_eq!(status(&world, None, "/in/open").await, 403);
    assert_eq!(status(&world, Some(stranger.good("a")), "/in/open").await, 403);
    let past = authority.vouch("a", 2020..2021, ExtendedKeyUsagePurpose::ClientAuth);
    assert_eq!(status(&world, Some(past), "/in/open").await, 403);
    let server = authority.vouch("a", 2020..2090, ExtendedKeyUsagePurpose::ServerAuth);
    assert_eq!(status(&world, Some(server), "/in/open").await, 403);
    assert_eq!(status(&world, Some(authority.good("a")), "/in/open").await, 200);
    for pair in [None, Some(stranger.good("a"))] {
        assert_eq!(status(&world, pair, "/in/free").await, 200);
    }
    let got = world.app.got(3).await;
    let names = |source: &str| {
        let of = got.iter().find(|got| got.header("hookhold-source") == source).unwrap();
        of.headers.get_all("hookhold-client").iter().map(|name| name.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names("open"), names("free")), (vec!["CN=a".to_owned(), "dns:a.example".to_owned()], Vec::new()));
    let line = r#"hookhold_requests_total{source="open",outcome="forbidden"} 4"#;
    assert!(world.metrics().await.contains(line));
}

#[tokio::test]
async fn routes_look_at_whose_certificate_it_is() {
    tls::install_provider();
    let authority = Authority::new();
    let (_folder, line) = roots(&authority);
    let more = format!(
        "[sources.open]\npath = '/in/open'\nprovider = 'none'\n{line}\n[destinations.partner]\nurl = 'http://{{app}}/partner'\n\
         [[routes]]\nfrom = 'open'\nto = ['partner']\nwhen = {{ client = 'dns:b*.example' }}\n\
         [[routes]]\nfrom = 'open'\nto = ['app']\notherwise = true\n"
    );
    let world = World::start(EAGER, &more).await;
    for name in ["a", "b1"] {
        assert_eq!(status(&world, Some(authority.good(name)), "/in/open").await, 200);
    }
    let got = world.app.got(2).await;
    let target = |name: &str| got.iter().find(|got| got.header("hookhold-client") == name).unwrap().target.clone();
    assert_eq!((target("CN=a"), target("CN=b1")), ("/hook".to_owned(), "/partner".to_owned()));
    // The same when it is sent again.
    let event = world.listed("/deliveries?destination=partner&state=delivered", 1).await[0]["event_id"].clone();
    let path = format!("/events/{}/replay", event.as_str().unwrap());
    assert_eq!(world.admin(Method::POST, &path, b"{}").await.status, 202);
    assert_eq!(world.app.got(3).await[2].target, "/partner");
}

#[tokio::test]
async fn only_callers_of_its_host_are_asked_and_a_reload_is_enough() {
    tls::install_provider();
    let authority = Authority::new();
    let (_folder, line) = roots(&authority);
    let mut world = World::start(EAGER, &open_source("host = 'localhost'")).await;
    let show = client(world.folder.path(), rustls::ALL_VERSIONS, Some(authority.good("a")));
    let file = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, with_lines(&text, "[sources.open]", &line)).unwrap();
    assert_eq!(world.reload().await.unwrap(), ["sources.open: changed"]);
    assert_eq!(post(world.https(), &show, "/in/open", "localhost").await.unwrap().1, 200);
    // Called by its address it asks nobody, so that this host cannot be reached through another one.
    let stream = TcpStream::connect(world.https()).await.unwrap();
    let name = ServerName::IpAddress(world.https().ip().into());
    let stream = TlsConnector::from(show).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(Method::POST).uri("/in/open").header("host", "localhost");
    let answer = sender.send_request(request.body("x".to_owned()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn a_second_handshake_goes_on_where_the_first_ended() {
    tls::install_provider();
    let authority = Authority::new();
    let (_folder, line) = roots(&authority);
    let world = World::start(EAGER, &open_source(&line)).await;
    let unsigned = World::start(EAGER, &open_source("")).await;
    for version in rustls::ALL_VERSIONS {
        for (world, pair) in [(&world, Some(authority.good("a"))), (&unsigned, None)] {
            let config = client(world.folder.path(), &[version], pair);
            let kinds = [
                post(world.https(), &config, "/in/open", "localhost").await,
                post(world.https(), &config, "/in/open", "localhost").await,
            ];
            assert_eq!(kinds, [Some((HandshakeKind::Full, 200)), Some((HandshakeKind::Resumed, 200))], "{version:?}");
        }
    }
}

#[tokio::test]
async fn old_versions_are_not_spoken_where_that_is_said() {
    tls::install_provider();
    let world = World::start_changed(EAGER, &open_source(""), |text| with_lines(&text, "[tls]", "min_version = '1.3'")).await;
    for (version, is_spoken) in [(&rustls::version::TLS12, false), (&rustls::version::TLS13, true)] {
        let config = client(world.folder.path(), &[version], None);
        let answer = post(world.https(), &config, "/in/open", "localhost").await;
        assert_eq!(answer.map(|(_, status)| status), is_spoken.then_some(200), "{version:?}");
    }
}
