//! The server to compare with: hyper, TLS and an HMAC check, and nothing behind them. What it does is the least that any relay
//! in this language does for a request; what a relay adds is the difference.
//!
//! A process of its own (the bench runs itself again), so that its CPU time can be told from the generator's. It ends when its
//! stdin closes, so it cannot outlive the bench.

use std::convert::Infallible;
use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The relay's default.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Prints its port and serves until stdin closes.
pub(crate) async fn serve(secret: &str) -> Result<()> {
    let key = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("the secret is no HMAC key")?;
    let acceptor = TlsAcceptor::from(Arc::new(tls()?));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        ended = accept(listener, acceptor, key) => ended,
        _ = closed => Ok(()),
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, key: Hmac<Sha256>) -> Result<()> {
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let (acceptor, key) = (acceptor.clone(), key.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(tcp).await else { return };
            let answer = service_fn(move |request| answer(request, key.clone()));
            // A connection that breaks off shows at the generator.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(request: Request<Incoming>, key: Hmac<Sha256>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map(|b| b.to_bytes());
    let status = match body {
        Ok(body) if is_signed(head.headers.get("x-hub-signature-256"), &body, key) => StatusCode::OK,
        Ok(_) => StatusCode::UNAUTHORIZED,
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    Ok(answer)
}

fn is_signed(header: Option<&http::HeaderValue>, body: &[u8], mut mac: Hmac<Sha256>) -> bool {
    let text = header.and_then(|h| h.to_str().ok()).and_then(|h| h.strip_prefix("sha256="));
    let Some(signature) = text.and_then(|t| hex::decode(t).ok()) else { return false };
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

fn tls() -> Result<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
