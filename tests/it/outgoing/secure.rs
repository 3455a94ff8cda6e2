//! Applications over TLS, with either HTTP, and the settings that lead there.

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::authority::Authority;
use super::frames::Frames;
use super::raw::{Raw, world};
use crate::world::World;

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

/// One such application.
pub(crate) struct Secure {
    pub(crate) app: Raw,
    folder: TempDir,
}

impl Secure {
    pub(crate) async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(usize, TlsStream<TcpStream>) -> F + Clone + Send + 'static,
    ) -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let acceptor = TlsAcceptor::from(authority.server(BOTH));
        let app = Raw::start(move |number, stream| {
            let (acceptor, serve) = (acceptor.clone(), serve.clone());
            async move {
                let stream = acceptor.accept(stream).await.unwrap();
                serve(number, stream).await
            }
        })
        .await;
        Self { app, folder }
    }

    /// One whose connections are made of frames.
    pub(crate) async fn framed<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(usize, Frames<TlsStream<TcpStream>>) -> F + Clone + Send + 'static,
    ) -> Self {
        Self::start(move |number, stream| {
            let serve = serve.clone();
            async move {
                let frames = Frames::on(stream).await;
                serve(number, frames).await
            }
        })
        .await
    }

    pub(crate) async fn world(&self, settings: &str) -> World {
        let url = format!("https://localhost:{}/hook", self.app.address.port());
        world(&url, &format!("ca = {:?}\n{settings}", self.folder.path().join("ca.pem"))).await
    }
}
