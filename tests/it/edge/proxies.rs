//! Proxies before the relay: whose word on the client counts, and for what.

use super::{listening, open_source, with_lines};

/// The status of a request with these fields, from loopback.
async fn status(world: &crate::world::World, headers: &[(&str, &str)]) -> u16 {
    world.post("/in/open", headers, b"x").await.status.as_u16()
}

#[tokio::test]
async fn a_trusted_proxy_tells_who_the_client_is() {
    let source = open_source("allow = ['192.0.2.0/24', '2001:db8::/32']\ndeny = ['192.0.2.66']");
    let world = listening("trusted_proxies = ['127.0.0.0/8', '10.0.0.0/8']", &source).await;
    assert_eq!(status(&world, &[]).await, 403, "the proxy itself is no client");
    for refused in
        ["203.0.113.7", "192.0.2.7, 203.0.113.7", "192.0.2.66", "192.0.2.7, unknown", "192.0.2.7, _x, 10.0.0.1", "", "x"]
    {
        assert_eq!(status(&world, &[("x-forwarded-for", refused)]).await, 403, "{refused:?}");
    }
    let conflict = [("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.8")];
    assert_eq!(status(&world, &conflict).await, 403);
    assert_eq!(status(&world, &[("x-real-ip", "192.0.2.7")]).await, 403, "a field that is not read");

    let fields = [
        ("x-forwarded-for", "203.0.113.7, 192.0.2.7, 10.1.1.1"),
        ("forwarded", "for=203.0.113.7, for=\"192.0.2.7:4711\";host=\"outside.example\";proto=https, for=10.1.1.1"),
        ("x-real-ip", "6.6.6.6"),
    ];
    assert_eq!(status(&world, &fields).await, 200);
    assert_eq!(status(&world, &[("forwarded", "for=\"[2001:db8::1]:443\"")]).await, 200);
    let got = world.app.got(2).await;
    let first = got.iter().find(|got| got.header("x-forwarded-for") == "192.0.2.7").unwrap();
    assert_eq!(first.header("forwarded"), "for=192.0.2.7;host=\"outside.example\";proto=https");
    assert_eq!((first.header("x-forwarded-host"), first.header("x-real-ip")), ("outside.example", ""));
    assert!(got.iter().any(|got| got.header("forwarded").starts_with("for=\"[2001:db8::1]\";")), "{got:?}");
    let events = world.listed("/events?source=open", 2).await;
    let peers: Vec<_> = events.iter().map(|event| event["peer"].as_str().unwrap()).collect();
    assert_eq!(peers, ["2001:db8::1", "192.0.2.7"]);
}

#[tokio::test]
async fn nobody_else_does() {
    let mut world = listening("", &open_source("allow = ['192.0.2.7']")).await;
    let fields = [("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.7"), ("x-forwarded-host", "elsewhere")];
    assert_eq!(status(&world, &fields).await, 403);
    // A reload is enough, both ways.
    let file = world.folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, with_lines(&text, "[listen]", "trusted_proxies = ['127.0.0.1']")).unwrap();
    assert_eq!(world.reload().await.unwrap(), ["listen: changed"]);
    assert_eq!(status(&world, &fields).await, 200);
    std::fs::write(&file, text.replace("192.0.2.7", "127.0.0.1")).unwrap();
    world.reload().await.unwrap();
    assert_eq!(status(&world, &fields).await, 200);
    let got = world.app.got(2).await;
    let last = got.iter().find(|got| got.header("x-forwarded-for") == "127.0.0.1").unwrap();
    assert_eq!(last.header("x-forwarded-host"), world.https().to_string());
}

/// What a provider publishes counts like what is written, and for whom the proxy speaks.
#[tokio::test]
async fn networks_of_a_provider_are_known_by_its_name() {
    let source = "[sources.tg]\npath = '/in/tg'\nprovider = 'telegram'\nsecrets = [{ file = 'secret' }]\nallow = ['provider']\n\
                  deny = ['149.154.160.66']\n[[routes]]\nfrom = 'tg'\nto = ['app']\n";
    let world = listening("trusted_proxies = ['127.0.0.1']", source).await;
    let token = ("x-telegram-bot-api-secret-token", crate::world::SECRET);
    let status = async |client: Option<&str>, token: (&'static str, &str)| {
        let fields: Vec<_> = client.map(|client| ("x-forwarded-for", client)).into_iter().chain([token]).collect();
        world.post("/in/tg", &fields, br#"{"update_id":1}"#).await.status.as_u16()
    };
    assert_eq!(status(None, token).await, 403, "loopback is not Telegram");
    for outside in ["149.154.159.255", "203.0.113.7", "2001:67c:4e8::1", "149.154.160.66"] {
        assert_eq!(status(Some(outside), token).await, 403, "{outside}");
    }
    assert_eq!(
        status(Some("149.154.167.220"), ("x-telegram-bot-api-secret-token", "wrong")).await,
        401,
        "an address proves nothing"
    );
    assert_eq!(status(Some("149.154.167.220"), token).await, 200);
    assert_eq!(world.app.got(1).await[0].header("x-forwarded-for"), "149.154.167.220");
}

#[tokio::test]
async fn the_host_that_a_provider_called_finds_the_source() {
    let source = open_source("host = 'hooks.example'");
    let world = listening("trusted_proxies = ['127.0.0.1']", &source).await;
    assert_eq!(status(&world, &[]).await, 404);
    assert_eq!(status(&world, &[("x-forwarded-host", "hooks.example")]).await, 200);
    assert_eq!(status(&world, &[("forwarded", "for=192.0.2.7;host=hooks.example")]).await, 200);
    assert_eq!(status(&world, &[("x-forwarded-host", "hooks.example, other")]).await, 404);
}
