//! Certificates and TLS settings, both ways: what the listener shows by SNI, and whom the client trusts.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::client_certificate::AnyCertificate;
use super::issued::Issued;
use super::names::Names;
use crate::config::settings::TlsVersion;
use crate::disk;
use crate::signature::CertificateFacts;
use crate::time::Timestamp;

/// What is wrong with a certificate or a key, and in which file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, or is not PEM.
    #[error("{}: {why}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
    /// The self-signed certificate cannot be made.
    #[error("the self-signed certificate cannot be made in {}: {why}", .folder.display())]
    SelfSigned {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        why: String,
    },
    /// rustls does not take the settings.
    #[error("TLS: {0}")]
    Settings(#[from] rustls::Error),
}

/// The names of the files that a self-signed certificate is kept in.
pub const SELF_SIGNED_FILES: [&str; 2] = ["self-signed.pem", "self-signed-key.pem"];

/// The names of HTTP/2 and HTTP/1.1 in a handshake (ALPN).
pub(super) const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Makes the process use one TLS provider. Call it before anything else of this module; later calls change nothing.
pub fn install_provider() {
    // An error says that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The versions of TLS that a listener speaks, from the oldest on.
fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        TlsVersion::V12 => rustls::ALL_VERSIONS,
        TlsVersion::V13 => ONLY_TLS13,
    }
}

/// A listener's settings: it shows what `certificates` holds at the time of a handshake.
pub fn server_config(certificates: Arc<Certificates>, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder().with_no_client_auth();
    resumable(builder.with_cert_resolver(certificates), alpn)
}

/// The same from a version on. `asks`: the caller is asked for a certificate, which it need not have.
pub fn server_config_from(min: TlsVersion, asks: bool, certificates: Arc<Certificates>, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_protocol_versions(versions(min));
    let builder = if asks { builder.with_client_cert_verifier(Arc::new(AnyCertificate)) } else { builder.with_no_client_auth() };
    resumable(builder.with_cert_resolver(certificates), alpn)
}

fn resumable(mut config: ServerConfig, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    config.send_tls13_tickets = 2;
    // What a caller needs to go on where it left is given to it, sealed: nothing is kept here. Without it every handshake is a whole one.
    if let Ok(ticketer) = rustls::crypto::aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Arc::new(config)
}

/// How a client speaks TLS. All files are PEM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client<'a> {
    /// The only roots that it trusts; `None`: those of the web.
    pub roots: Option<&'a Path>,
    /// Its own certificate and key, for a server that asks for one.
    pub certificate: Option<(&'a Path, &'a Path)>,
    /// Whether it offers HTTP/2 beside HTTP/1.1.
    pub http2: bool,
}

/// A client's settings: the only `roots` that it trusts (PEM), or those of the web where that is `None`.
pub fn client_config(roots: Option<&Path>) -> Result<Arc<ClientConfig>, Error> {
    client_config_of(Client { roots, ..Client::default() })
}

/// A client's settings.
pub fn client_config_of(client: Client<'_>) -> Result<Arc<ClientConfig>, Error> {
    let mut store = RootCertStore::empty();
    match client.roots {
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            for root in certificates(file)? {
                store.add(root).map_err(|e| bad_file(file, e))?;
            }
        }
    }
    let builder = ClientConfig::builder().with_root_certificates(store);
    let mut config = match client.certificate {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| bad_file(key, e))?;
            builder.with_client_auth_cert(certificates(cert)?, private).map_err(|e| bad_file(key, e))?
        }
    };
    let offered: &[&[u8]] = if client.http2 { &[H2, HTTP1] } else { &[HTTP1] };
    config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// A client's settings that trust exactly the certificate in `file` (a self-signed one), whatever name it is for.
pub fn client_config_pinning(file: &Path) -> Result<Arc<ClientConfig>, Error> {
    let pinned = certificates(file)?.into_iter().next().ok_or_else(|| bad_file(file, "no certificate is in it"))?;
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(Pinned(pinned));
    let mut config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![HTTP1.to_vec()];
    Ok(Arc::new(config))
}

/// Where the certificate and key for development are, or will be.
pub fn self_signed_files(folder: &Path) -> (PathBuf, PathBuf) {
    let [cert, key] = SELF_SIGNED_FILES.map(|name| folder.join(name));
    (cert, key)
}

/// The certificate and key for development in `folder`, made at first call: for localhost and the loopback addresses.
pub fn self_signed(folder: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let (cert, key) = self_signed_files(folder);
    if !(cert.exists() && key.exists()) {
        make_self_signed(folder, &cert, &key).map_err(|why| Error::SelfSigned { folder: folder.into(), why })?;
    }
    Ok((cert, key))
}

fn make_self_signed(folder: &Path, cert: &Path, key: &Path) -> Result<(), String> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).map_err(|e| e.to_string())?;
    let write = || -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        disk::replace(key, made.signing_key.serialize_pem().as_bytes())?;
        disk::replace(cert, made.cert.pem().as_bytes())
    };
    write().map_err(|e| e.to_string())
}

fn certified_key(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Error> {
    let chain = certificates(cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| bad_file(key, e))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map(Arc::new).map_err(|e| bad_file(key, e))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(file).and_then(|found| found.collect::<Result<_, _>>()).map_err(|e| bad_file(file, e))?;
    if chain.is_empty() { Err(bad_file(file, "no certificate is in it")) } else { Ok(chain) }
}

fn bad_file(file: &Path, why: impl ToString) -> Error {
    Error::File { file: file.into(), why: why.to_string() }
}

/// Certificates by the name that the client asks for: what a CA issued for just that name, else the first of the files that is for it.
/// All other names see the first of the files, or of what was issued. They can be replaced at any time: connections that are open keep
/// what they were shown.
#[derive(Debug, Default)]
pub struct Certificates {
    files: ArcSwap<Files>,
    issued: ArcSwap<Hosts>,
}

/// What was in files, and the names in it.
#[derive(Debug, Default)]
struct Files {
    shown: Vec<Shown>,
    names: Names,
}

/// What a CA issued, and for which hosts.
#[derive(Debug, Default)]
struct Hosts {
    issued: Vec<Arc<Issued>>,
    names: Names,
}

/// A certificate that is shown, and the file that it came from.
#[derive(Debug)]
struct Shown {
    file: PathBuf,
    key: Arc<CertifiedKey>,
    ends_at: Option<Timestamp>,
}

/// A file as metrics and alarms name it.
fn name_of(file: &Path) -> Arc<str> {
    file.strip_prefix(".").unwrap_or(file).display().to_string().into()
}

impl Certificates {
    /// From certificate and key files.
    pub fn load(pairs: &[(PathBuf, PathBuf)]) -> Result<Self, Error> {
        Files::read(pairs).map(|files| Self { files: ArcSwap::from_pointee(files), ..Self::default() })
    }

    /// Shows what is in these files from now on; where one of them cannot be used, everything stays as it was.
    pub fn replace(&self, pairs: &[(PathBuf, PathBuf)]) -> Result<(), Error> {
        Files::read(pairs).map(|files| self.files.store(Arc::new(files)))
    }

    /// Shows these from now on, each for its host, in place of those that were issued before.
    pub fn issue(&self, issued: Vec<Arc<Issued>>) {
        let names = Names::of_hosts(issued.iter().map(|issued| issued.host()));
        self.issued.store(Arc::new(Hosts { issued, names }));
    }

    /// The file of each, and when it ends.
    pub fn ends(&self) -> Vec<(Arc<str>, Timestamp)> {
        let (files, hosts) = (self.files.load(), self.issued.load());
        let of_files = files.shown.iter().filter_map(|shown| Some((name_of(&shown.file), shown.ends_at?)));
        of_files.chain(hosts.issued.iter().map(|issued| (name_of(issued.file()), issued.valid().1))).collect()
    }

    /// The file and the DER of each certificate that is shown now, without what stands above it.
    pub fn leaves(&self) -> Vec<(PathBuf, CertificateDer<'static>)> {
        let (files, hosts) = (self.files.load(), self.issued.load());
        let of_files = files.shown.iter().map(|shown| (&*shown.file, &shown.key));
        let all = of_files.chain(hosts.issued.iter().map(|issued| (issued.file(), issued.key())));
        all.filter_map(|(file, key)| Some((file.to_owned(), key.cert.first()?.clone()))).collect()
    }

    /// What is shown to a client that asks for this name, or for none.
    fn shown_for(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let (files, hosts) = (self.files.load(), self.issued.load());
        let of_files = |place: usize| files.shown.get(place).map(|shown| &shown.key);
        let of_hosts = |place: usize| hosts.issued.get(place).map(|issued| issued.key());
        let fitting = name.and_then(|name| {
            let own = hosts.names.first_for(name).and_then(of_hosts);
            own.or_else(|| files.names.first_for(name).and_then(of_files))
        });
        fitting.or_else(|| of_files(0)).or_else(|| of_hosts(0)).cloned()
    }
}

impl Files {
    fn read(pairs: &[(PathBuf, PathBuf)]) -> Result<Self, Error> {
        let one = |(cert, key): &(PathBuf, PathBuf)| {
            let key = certified_key(cert, key)?;
            let ends_at = key.end_entity_cert().ok().and_then(|leaf| CertificateFacts::read(leaf)).map(|facts| facts.not_after);
            Ok(Shown { file: cert.clone(), key, ends_at })
        };
        let shown = pairs.iter().map(one).collect::<Result<Vec<_>, Error>>()?;
        let names = Names::of_certificates(shown.iter().map(|shown| shown.key.cert.first()));
        Ok(Self { shown, names })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.shown_for(hello.server_name())
    }
}

pub(super) fn covers(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let leaf = key.end_entity_cert().ok().and_then(|der| rustls::server::ParsedCertificate::try_from(der).ok());
    leaf.is_some_and(|leaf| rustls::client::verify_server_name(&leaf, name).is_ok())
}

/// Trusts one certificate, byte for byte; signatures are checked as usual.
#[derive(Debug)]
struct Pinned(CertificateDer<'static>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        if *end_entity == self.0 {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("not the certificate that was expected".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The name that a server's certificate must be for.
pub fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => Some(ServerName::IpAddress(ip.into())),
        Err(_) => ServerName::try_from(bare.to_owned()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_every_certificate_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let pair = |name: &str, year| {
            let mut params = rcgen::CertificateParams::new(vec![format!("{name}.example")]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            let files = [folder.path().join(name), folder.path().join(format!("{name}-key"))];
            std::fs::write(&files[0], params.self_signed(&key).unwrap().pem()).unwrap();
            std::fs::write(&files[1], key.serialize_pem()).unwrap();
            let [cert, key] = files;
            (cert, key)
        };
        let certificates = Certificates::load(&[pair("a", 2030), pair("b", 2060)]).unwrap();
        let shown = |certificates: &Certificates| {
            let ends = certificates.ends();
            ends.iter().map(|(file, at)| format!("{} {at}", file.rsplit('/').next().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(shown(&certificates), ["a 2030-01-01T00:00:00.000Z", "b 2060-01-01T00:00:00.000Z"]);
        certificates.replace(&[pair("a", 2031)]).unwrap();
        assert_eq!(shown(&certificates), ["a 2031-01-01T00:00:00.000Z"]);
    }
}
