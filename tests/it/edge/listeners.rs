//! Several listeners, in both families, with TLS and without.

use hookhold::config::settings::Serve;
use hookhold::net::tls;
use http::Method;
use tempfile::TempDir;

use super::raw::{connect_after, trust};
use super::{EAGER, open_source};
use crate::process::{Process, run};
use crate::world::{World, call, eventually, free_port};

async fn listening(listen: &str, more: &str) -> World {
    World::start_changed(EAGER, more, |text| text.replace(r#"https = "127.0.0.1:0""#, listen)).await
}

#[tokio::test]
async fn each_listener_serves_and_a_plain_one_sends_to_https() {
    let world = listening("https = ['127.0.0.1:0', '[::1]:0']\nhttp = ['127.0.0.1:0', '[::1]:0']", &open_source("")).await;
    let listeners = world.listeners();
    assert_eq!(
        listeners.iter().map(|l| (l.is_https, l.address.is_ipv6())).collect::<Vec<_>>(),
        [(true, false), (true, true), (false, false), (false, true)]
    );
    let secure = trust(world.folder.path(), &[b"http/1.1"]);
    for listener in &listeners[..2] {
        let base = format!("https://{}", listener.address);
        let answer = call(&base, secure.clone(), Method::POST, "/in/open", &[], b"x").await;
        assert_eq!(answer.status, 200, "{base}");
    }
    for listener in &listeners[2..] {
        let (base, plain) = (format!("http://{}", listener.address), tls::client_config(None).unwrap());
        let answer = call(&base, plain, Method::POST, "/in/open?a=%2f", &[], b"x").await;
        let ip = if listener.address.is_ipv6() { "[::1]" } else { "127.0.0.1" };
        let location = format!("https://{ip}:{}/in/open?a=%2f", listeners[0].address.port());
        assert_eq!((answer.status.as_u16(), answer.headers["location"].to_str().unwrap()), (308, location.as_str()));
    }
    world.listed("/events", 2).await;
    world.listed("/deliveries?state=delivered", 2).await;
}

#[tokio::test]
async fn webhooks_in_plain_text_are_for_behind_something_that_ends_tls() {
    let listen = "http = { address = '127.0.0.1:0', serve = 'webhooks' }\ntrusted_proxies = ['127.0.0.1']";
    let world = World::start_changed(EAGER, &open_source("allow = ['192.0.2.7']"), |text| {
        text.replace(r#"https = "127.0.0.1:0""#, listen).replace("[tls]", "").replace("self_signed = true", "")
    })
    .await;
    assert!(world.listeners().iter().all(|listener| !listener.is_https && listener.serve == Serve::Webhooks));
    let (base, plain) = (format!("http://{}", world.https()), tls::client_config(None).unwrap());
    let fields = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https")];
    assert_eq!(call(&base, plain.clone(), Method::POST, "/in/open", &fields, b"x").await.status, 200);
    assert_eq!(call(&base, plain, Method::POST, "/in/open", &[], b"x").await.status, 403);
    assert_eq!(world.app.got(1).await[0].header("x-forwarded-for"), "192.0.2.7");
    assert!(connect_after(world.https(), tls::client_config(None).unwrap(), b"").await.is_err());
}

/// Both wildcards of one port, each with its family.
#[tokio::test]
async fn both_families_have_listeners_of_their_own() {
    let port = free_port();
    let listen = format!("https = ['127.0.0.1:{port}', '[::1]:{port}']");
    let world = listening(&listen, &open_source("")).await;
    let secure = trust(world.folder.path(), &[b"http/1.1"]);
    for host in ["127.0.0.1", "[::1]"] {
        let base = format!("https://{host}:{port}");
        assert_eq!(call(&base, secure.clone(), Method::POST, "/in/open", &[], b"x").await.status, 200, "{base}");
    }
    let peers = eventually(async || {
        let items = world.get("/events").await["items"].as_array().unwrap().clone();
        let mut peers: Vec<_> = items.iter().map(|event| event["peer"].as_str().unwrap().to_owned()).collect();
        peers.sort();
        (peers.len() == 2).then_some(peers)
    });
    assert_eq!(peers.await, ["127.0.0.1", "::1"]);
}

#[tokio::test]
async fn the_program_says_where_it_listens_and_sends_to_a_plain_listener() {
    let folder = TempDir::new().unwrap();
    tls::install_provider();
    let port = free_port();
    let text = format!(
        "[listen]\nhttp = {{ address = '127.0.0.1:{port}', serve = 'webhooks' }}\n[admin]\nlisten = '127.0.0.1:0'\n\
         [sources.open]\npath = '/in/open'\nprovider = 'none'\n"
    );
    std::fs::write(folder.path().join("relay.toml"), text).unwrap();
    let relay = Process::start(folder.path());
    assert_eq!(relay.https, format!("http://127.0.0.1:{port}"));
    let checked = run(folder.path(), &["check"]);
    assert!(checked.out.contains("something before it must end TLS"), "{checked:?}");
}
