//! What relay.toml says of the edge arrives: who may send, certificates of a CA, and limits.

use super::*;

/// Networks of providers change: who relies on old ones is told, with the page to compare, and at the place where it was written.
#[test]
fn networks_of_a_provider_are_warned_of_when_they_are_old() {
    let text = fs::read_to_string(files("valid").iter().find(|path| path.ends_with("ranges.toml")).unwrap()).unwrap();
    let loaded = World::new().parse(&text).unwrap();
    let lines = |now: Timestamp| loaded.warnings.at(now).iter().map(ToString::to_string).collect::<Vec<_>>();
    let github = |lines: &[String]| lines.iter().find(|line| line.contains("api.github.com/meta")).cloned();
    let old = Timestamp::parse("2027-07-30T00:00:00Z").unwrap();
    assert_eq!(github(&lines(old.before(Duration::from_millis(1)))), None);
    assert_eq!(
        github(&lines(old)).unwrap(),
        "warning: relay.toml: line 9, column 10: sources.github: allow[0] stands for networks that were read on 2026-10-29, more \
         than nine months ago, compare them with https://api.github.com/meta, and write those that are right"
    );
    let late = lines(old.after(10 * 365 * 24 * HOUR));
    assert_eq!(late.iter().filter(|line| line.contains("nine months")).count(), 2, "{late:?}");
    assert!(loaded.warnings.at(old).iter().map(|warning| (warning.line, warning.column)).is_sorted());

    let source = |name: &str| loaded.settings.sources.iter().find(|source| source.name.as_str() == name).unwrap();
    let admits = |name: &str, address: &str| source(name).admits(address.parse().unwrap(), true);
    assert!(["192.30.252.1", "9.234.98.191", "2606:50c0::1"].iter().all(|address| admits("github", address)));
    assert!(["192.30.251.255", "9.234.98.192", "127.0.0.1", "2607::1"].iter().all(|address| !admits("github", address)));
    assert!(admits("mixed", "149.154.160.9") && admits("mixed", "203.0.113.7") && !admits("mixed", "203.0.113.8"));
    assert!(!admits("mixed", "91.108.4.4"), "deny wins");
    assert!(loaded.shown.text.contains("allow = [\"provider\", \"203.0.113.7\"]"), "{}", loaded.shown.text);
}

#[test]
fn certificates_of_a_ca_are_asked_for_as_it_is_written() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/valid").join(name);
        let settings = World::new().parse(&fs::read_to_string(path).unwrap()).unwrap().settings;
        assert!(matches!(&settings.tls, Tls::Certificates(files) if files.is_empty()));
        settings.acme.unwrap()
    };
    let acme = read("acme.toml");
    assert_eq!(acme.hosts, ["hooks.example.com", "xn--bcher-kva.example"]);
    assert_eq!(acme.contact.as_deref(), Some("mailto:ops@example.com"));
    assert_eq!(acme.directory.as_str(), "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(acme.challenges, [Challenge::Http, Challenge::TlsAlpn], "port 80 is there and 443 is not");
    let external = acme.external_account.as_ref().unwrap();
    assert_eq!((external.key_id.as_str(), external.key.expose()), ("kid-1", &b"s3cr3t-of-the-CA"[..]));
    let acme = read("acme_elsewhere.toml");
    assert_eq!((&acme.contact, &acme.challenges[..]), (&None, &[Challenge::TlsAlpn][..]));
}

#[test]
fn what_is_said_of_the_edge_arrives() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/valid/edge.toml")).unwrap();
    let settings = World::new().parse(&text).unwrap_or_else(|problems| panic!("{problems}")).settings;
    let listeners: Vec<_> = settings.listen.listeners.iter().map(|l| (l.address.to_string(), l.is_https, l.serve)).collect();
    let expected = [
        ("0.0.0.0:443", true, Serve::Webhooks),
        ("[::]:443", true, Serve::Webhooks),
        ("0.0.0.0:80", false, Serve::Redirect),
        ("10.0.0.1:8080", false, Serve::Webhooks),
    ];
    assert_eq!(listeners, expected.map(|(address, is_https, serve)| (address.to_owned(), is_https, serve)));
    let proxied = settings.listen.listeners.iter().map(|listener| listener.proxy_protocol).collect::<Vec<_>>();
    assert_eq!(proxied, [ProxyProtocol::Off, ProxyProtocol::FromTrusted, ProxyProtocol::Off, ProxyProtocol::Required]);
    let own_family = settings.listen.listeners.iter().map(|l| settings.listen.has_both_families(l.address)).collect::<Vec<_>>();
    assert_eq!((own_family, settings.listen.trusted_proxies.len()), (vec![false, true, false, false], 2));
    let expected = EdgeLimits {
        connections_per_address: 7,
        handshakes: 8,
        per_second_per_address: Meter::try_new(0.5, 9).ok(),
        header_fields: 50,
        http2_streams: 10,
        requests_per_connection: 11,
        connection_age: Duration::from_secs(12),
        keep_alive: Duration::from_secs(13),
    };
    assert_eq!((settings.limits.edge, settings.limits.accept_within), (expected, Duration::from_secs(2)));
    let source = &settings.sources[0];
    assert_eq!((settings.tls_min, source.client_ca.is_some()), (TlsVersion::V13, true));
    assert_eq!(source.per_second, Meter::try_new(2.5, 3).ok());
    let admits = |address: &str, is_known| source.admits(address.parse().unwrap(), is_known);
    assert!(!admits("10.0.0.1", true) && !admits("11.0.0.1", true) && !admits("9.0.0.1", false));
}
