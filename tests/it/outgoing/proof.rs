//! Applications that want to see who calls, by the certificate that the relay shows.

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::authority::Authority;
use super::raw::{OK, Raw, request, tried, world};

#[tokio::test]
async fn the_relay_shows_its_certificate_to_a_server_that_asks() {
    hookhold::net::tls::install_provider();
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("ca.pem"), authority.pem()).unwrap();
    let (sender, mut shown) = mpsc::unbounded_channel();
    let acceptor = TlsAcceptor::from(authority.asking());
    let app = Raw::start(move |_, stream| {
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let seen = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
            while request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
                sender.send(seen.clone()).unwrap();
            }
        }
    })
    .await;

    let url = format!("https://localhost:{}/", app.address.port());
    let own = format!("client_certificate = {{ cert = {:?}, key = {:?} }}", file("own.pem"), file("own-key.pem"));
    let settings = format!("ca = {:?}\nretry = {{ schedule = [\"1h\"] }}", file("ca.pem"));
    let known = authority.write(&file("own.pem"), &file("own-key.pem"));
    let mut known_world = world(&url, &format!("{settings}\n{own}")).await;
    known_world.post("/in/raw", &[], b"x").await;
    assert_eq!(shown.recv().await.unwrap(), known);

    // A renewed one counts from the next reload on.
    let renewed = authority.write(&file("own.pem"), &file("own-key.pem"));
    assert_eq!(known_world.reload().await.unwrap(), ["destinations.raw: changed"]);
    known_world.post("/in/raw", &[], b"x").await;
    assert_eq!(shown.recv().await.unwrap(), renewed);
    known_world.listed("/deliveries?state=delivered", 2).await;

    // With none, or with one of somebody else, nothing goes there, and the reason is told.
    Authority::new().write(&file("own.pem"), &file("own-key.pem"));
    for settings in [settings.clone(), format!("{settings}\n{own}")] {
        let stranger = world(&url, &settings).await;
        stranger.post("/in/raw", &[], b"x").await;
        let attempt = tried(&stranger, "pending", 1).await["attempts"][0].clone();
        assert_eq!(attempt["error"], "tls", "{attempt}");
        assert!(attempt["detail"].as_str().unwrap().contains("alert"), "{attempt}");
    }
    assert!(shown.try_recv().is_err());
}
