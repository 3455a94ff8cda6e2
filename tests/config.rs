//! relay.toml files with their expected problems: `NAME.toml` beside `NAME.expected`, whose lines are exactly what `hookhold check`
//! prints. With `UPDATE_EXPECTED=1` the files are written anew, to be read before they are committed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hookhold::alarm::{Burst, Damping, Growth, Rules};
use hookhold::config::settings::{
    Ack, Challenge, EdgeLimits, LogFormat, ProxyProtocol, Retention, Role, Serve, SourcePath, Tls, TlsVersion,
};
use hookhold::config::{self, Loaded, Problems, Severity};
use hookhold::pace::meter::Meter;
use hookhold::pace::retry::Rule;
use hookhold::record::Headers;
use hookhold::route::filter::Facts;
use hookhold::time::Timestamp;
use proptest::prelude::*;

#[path = "config/edge.rs"]
mod edge;

const HOUR: Duration = Duration::from_secs(3600);

const VALID: usize = 21;
const INVALID: usize = 39;
/// When `check` looks at these files: 2026-11-28.
const NOW: Timestamp = Timestamp::from_ms(1_795_824_000_000);

/// An RSA key that Wise publishes for its sandbox.
const PUBLIC: &str = "\
    -----BEGIN PUBLIC KEY-----MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwpb91cEYuyJNQepZAVfPZIlPZfNUefH+n6w9SW3fykqKu938cR\
    7WadQv87oF2VuT+fDt7kqeRziTmPSUhqPUys/V2Q1rlfJuXbE+Gga37t7zwd0egQ+KyOEHQOpcTwKmtZ81ieGHynAQzsn1We3jwt760MsCPJ7GMT141ByQM+\
    yW1Bx+4SG3IGjXWyqOWrcXsxAvIXkpUD/jK/L958CgnZEgz0BSEh0QxYLITnW1lLokSx/dTianWPFEhMC9BgijempgNXHNfcVirg1lPSygz7KqoKUN0oHqWL\
    r2U1A+7kqrl6O2nx3CKs1bj1hToT1+p4kcMoHXA7kA+VBLUpEsVwIDAQAB-----END PUBLIC KEY-----";

/// A folder with the secrets and certificates that the files name.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        for (name, content) in [("good", "s3cr3t"), ("empty", "\n"), ("junk.pem", "junk"), ("line", "two\nlines")] {
            world.write(name, content, 0o600);
        }
        world.write("where", "http://u:s3cr3t@127.0.0.1:9/s3cr3t\n", 0o600);
        world.write("signing", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", 0o600);
        world.write("open", "s3cr3t", 0o644);
        world.write("broken.pem", "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n", 0o600);
        world.write("long", &"x".repeat(70_000), 0o600);
        for name in ["a", "b"] {
            let made = rcgen::generate_simple_self_signed([format!("{name}.example")]).unwrap();
            world.write(&format!("{name}.pem"), &made.cert.pem(), 0o644);
            world.write(&format!("{name}-key.pem"), &made.signing_key.serialize_pem(), 0o600);
        }
        world
    }

    fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }

    fn parse(&self, text: &str) -> Result<Loaded, Problems> {
        config::parse(text, self.folder.path(), "relay.toml", &env)
    }

    /// What `check` would print, line by line.
    fn problems(&self, text: &str) -> (bool, String) {
        let (good, lines): (_, Vec<_>) = match self.parse(text) {
            Ok(loaded) => (true, loaded.warnings.at(NOW).iter().map(ToString::to_string).collect()),
            Err(problems) => (false, problems.iter().map(ToString::to_string).collect()),
        };
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        (good, text.replace(&self.folder.path().display().to_string(), "FOLDER"))
    }
}

fn env(name: &str) -> Option<OsString> {
    let value = match name {
        "SECRET" => "s3cr3t",
        "STANDARD" => "whsec_aG9va2hvbGQgZGVtbyBzZWNyZXQgMDAx",
        "SHARED" => "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "PUBLIC" => PUBLIC,
        "HEX" => "00ff",
        "EAB" => "czNjcjN0LW9mLXRoZS1DQQ==\n",
        "ALERTS" => "https://chat.example/services/s3cr3t",
        "EMPTY" => "",
        _ => return None,
    };
    Some(value.into())
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

/// Runs every file of a folder and gives their number.
fn run(folder: &str, good: bool) -> usize {
    let (world, files) = (World::new(), files(folder));
    for path in &files {
        let (was_good, found) = world.problems(&fs::read_to_string(path).unwrap());
        let expected_path = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            if found.is_empty() {
                let _ = fs::remove_file(&expected_path);
            } else {
                fs::write(&expected_path, &found).unwrap();
            }
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        assert_eq!(found, expected, "{}", path.display());
        assert_eq!(was_good, good, "{}", path.display());
        assert!(!found.contains("s3cr3t") && !found.contains("LITERAL"), "{}: {found}", path.display());
    }
    files.len()
}

#[test]
fn invalid_files_have_all_their_problems() {
    assert_eq!(run("invalid", false), INVALID);
}

#[test]
fn valid_files_have_warnings_only() {
    assert_eq!(run("valid", true), VALID);
}

#[test]
fn problems_come_in_order_and_with_their_severity() {
    let text = fs::read_to_string(&files("invalid")[0]).unwrap();
    let problems = World::new().parse(&text).unwrap_err();
    assert!(problems.iter().any(|p| p.severity == Severity::Error));
    assert!(problems.iter().map(|p| (p.line, p.column)).is_sorted());
}

#[test]
fn bytes_that_are_no_text_have_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.toml");
    fs::write(&path, b"[listen]\n\xff").unwrap();
    let line = config::load(&path).unwrap_err().to_string();
    assert!(line.ends_with("line 2, column 1: not TOML: these bytes are not UTF-8"), "{line}");
}

fn everything() -> Loaded {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/valid/everything.toml")).unwrap();
    World::new().parse(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn what_may_be_shown_holds_no_secret_and_says_the_rest() {
    let shown = everything().shown.text;
    for hidden in ["s3cr3t", "p%40ss", "k=v", "tenant", "\"text\""] {
        assert!(!shown.contains(hidden), "{hidden} is in\n{shown}");
    }
    for part in
        ["https://***@billing.internal:8080/webhooks/stripe?***", "unix:app.sock:/hook?***", "X-Token = { env = \"SECRET\" }"]
    {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

#[test]
fn what_is_written_arrives() {
    let Loaded { settings, warnings, .. } = everything();
    assert!(warnings.at(NOW).is_empty(), "{warnings:?}");
    assert_eq!(settings.listen.https().map(|address| address.to_string()).collect::<Vec<_>>(), ["[::]:8443"]);
    assert!(matches!(&settings.tls, Tls::Certificates(pairs) if pairs.len() == 2 && pairs[0].cert.is_absolute()));
    assert_eq!((settings.admin.tls, settings.admin.tokens.len()), (true, 2));
    let (ops, eyes) = (&settings.admin.tokens[0], &settings.admin.tokens[1]);
    assert_eq!([ops.role, eyes.role], [Role::Operator, Role::Viewer]);
    assert!(ops.unmasked && eyes.unmasked && ops.proof.secret().is_none());
    let at = hookhold::time::Timestamp::from_ms;
    assert!(ops.is(b"test", at(0)) && !ops.is(b"tset", at(0)) && !ops.is(b"test", at(1_800_000_000_000)));
    let audit = settings.admin.audit;
    assert_eq!((audit.keep_for, audit.bytes_max), (30 * 24 * HOUR, 16 << 20));
    let masked = |name: &str| {
        let source = settings.sources.iter().find(|source| source.name.as_str() == name).unwrap();
        source.mask.body(br#"{"card":{"number":1},"data":{"object":{"customer_email":2}}}"#).unwrap().1
    };
    assert_eq!([masked("stripe"), masked("github")], [2, 1], "what a source says is beside what counts for all");
    assert!(settings.admin.mask.hides_peer() && settings.admin.mask.hides_header("x-internal-id"));
    assert_eq!(settings.store.path.file_name().unwrap(), "elsewhere");
    assert_eq!(settings.store.max_bytes, Some(20 << 30));
    let retention =
        Retention { done: 3 * 24 * HOUR, parked: 30 * 24 * HOUR, done_bytes: Some(100 << 20), quarantined: 24 * HOUR };
    assert_eq!(settings.store.retention, retention);
    let limits = &settings.limits;
    assert_eq!((limits.body_bytes, limits.body_bytes_in_flight, limits.connections), (1 << 20, 64 << 20, 500));
    assert_eq!((limits.body_bytes_per_second, limits.pending), (2048, Some(1000)));
    assert_eq!((settings.log.level, settings.log.format), (tracing::Level::DEBUG, LogFormat::Json));

    let source = |name: &str| settings.sources.iter().find(|source| source.name.as_str() == name).unwrap();
    let (stripe, github, tw, demo) = (source("stripe"), source("github"), source("tw"), source("demo"));
    assert_eq!(stripe.host.as_deref(), Some("hooks.example.com"));
    assert_eq!((stripe.path.clone(), &*stripe.provider), (SourcePath::Exact("/in/stripe".into()), "stripe"));
    assert_eq!((stripe.dedupe, stripe.body_bytes), (Some(72 * HOUR), 1 << 20));
    assert_eq!(stripe.methods, [http::Method::POST]);
    assert_eq!(
        stripe.destinations.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["billing", "slow", "local", "plain", "token"]
    );
    assert_eq!((github.dedupe, github.body_bytes, github.methods.len()), (None, 25 << 20, 2));
    let allow: Vec<_> = github.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["203.0.113.0/24", "::1/128", "192.0.2.7/32"]);
    assert_eq!((tw.path.clone(), tw.dedupe), (SourcePath::Below("/in/tw".into()), Some(HOUR)));
    assert_eq!(demo.dedupe, Some(72 * HOUR));
}

#[test]
fn where_traces_go_arrives_and_its_secret_is_not_shown() {
    let traces = everything().settings.traces.unwrap();
    assert_eq!(traces.url.as_str(), "https://collector.example/otlp/v1/traces");
    assert_eq!((traces.sample, traces.service.as_str()), (0.25, "hooks"));
    assert!(traces.ca.is_some_and(|ca| ca.is_absolute()));
    assert_eq!(traces.headers[0].1, "s3cr3t");
    let shown = format!("{:?}", traces.headers);
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[test]
fn conditions_of_routes_arrive() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/valid/route_conditions.toml")).unwrap();
    let settings = World::new().parse(&text).unwrap_or_else(|problems| panic!("{problems}")).settings;
    let source = |name: &str| settings.sources.iter().find(|source| source.name.as_str() == name).unwrap();
    let fitting = r#"{"livemode":true,"amount":18446744073709551616,"hex":255,"rate":-5.00001e-1,"kind":"invoice","country":"AT",
        "items":[{"sku":"c"},{"sku":"b1"}],"x":null,"status":"live","name":"n"}"#;
    let goes = |name: &str, kind: &str, headers: [(&'static str, &'static str); 4], body: &str| {
        let headers = headers.map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
        let facts = Facts { kind: Some(kind), method: "POST", headers: &headers.into_iter().collect(), body: body.as_bytes() };
        let names = source(name).choose(facts).names(&source(name).destinations);
        names.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let headers = [("x-github-event", "push"), ("x-foo", ""), ("x-n", "2.0"), ("accept", "*/*")];
    let (taken, rest) = (["billing", "audit"], ["rest"]);
    assert_eq!(goes("stripe", "invoice.paid", headers, fitting), taken);
    assert_eq!(goes("stripe", "charge.refunded", headers, fitting), taken);
    assert_eq!(goes("meant", "invoice.paid", headers, fitting), taken);
    // Each condition counts: with one thing changed it is for the rest.
    let changes = [
        ("true", "false"),
        ("18446744073709551616", "18446744073709551617"),
        ("18446744073709551616", "100"),
        ("255", "\"255\""),
        ("-5.00001e-1", "-0.5"),
        ("\"invoice\"", "\"my invoice\""),
        ("\"AT\"", "\"CH\""),
        ("\"b1\"", "\"d1\""),
        ("null", "false"),
        ("\"live\"", "\"draft\""),
        ("\"n\"", "\"testing\""),
        ("\"n\"", "null"),
    ];
    for (from, to) in changes {
        assert!(fitting.contains(from), "{from}");
        assert_eq!(goes("stripe", "invoice.paid", headers, &fitting.replace(from, to)), rest, "{from} -> {to}");
    }
    assert_eq!(goes("stripe", "charge.paid", headers, fitting), rest);
    assert_eq!(goes("filtered", "charge.paid", headers, fitting), [""; 0]);
    assert_eq!(goes("meant", "charge.paid", headers, fitting), [""; 0]);
    for (at, wrong) in [("x-github-event", "pull"), ("x-bar", ""), ("x-n", "1"), ("accept", "text/*")].into_iter().enumerate() {
        let mut headers = headers;
        headers[at] = wrong;
        assert_eq!(goes("stripe", "invoice.paid", headers, fitting), rest, "{wrong:?}");
    }
    assert_eq!(goes("plain", "ping", headers, ""), ["audit"]);
}

#[test]
fn a_body_that_is_signed_unpacked_is_looked_at_unpacked() {
    let text = "[listen]\nhttps = '127.0.0.1:0'\n[tls]\nself_signed = true\n[destinations.a]\nurl = 'http://127.0.0.1:1'\n\
        [sources.gz]\npath = '/gz'\nprovider = 'stripe'\nsecrets = [{ env = 'SECRET' }]\nverify_decoded = 'gzip'\n\
        [sources.raw]\npath = '/raw'\nprovider = 'stripe'\nsecrets = [{ env = 'SECRET' }]\n\
        [[routes]]\nfrom = ['gz', 'raw']\nto = 'a'\nwhen.body = { '/n' = 1 }\n";
    let settings = World::new().parse(text).unwrap_or_else(|problems| panic!("{problems}")).settings;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(br#"{"n":1}"#).unwrap();
    let packed = packed.finish().unwrap();
    let headers = Headers::default();
    let takes = |source: usize, body: &[u8]| {
        let facts = Facts { kind: None, method: "POST", headers: &headers, body };
        settings.sources[source].choose(facts).of(&settings.sources[source].destinations).count() == 1
    };
    let plain = br#"{"n":1}"#;
    assert_eq!([takes(0, &packed), takes(0, plain), takes(1, &packed), takes(1, plain)], [true, true, false, true]);
    assert!(!takes(0, &packed[..packed.len() - 1]), "what cannot be unpacked is no JSON");
}

#[test]
fn what_a_provider_wants_to_hear_arrives() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/valid/provider_needs.toml")).unwrap();
    let settings = World::new().parse(&text).unwrap_or_else(|problems| panic!("{problems}")).settings;
    let answer = |name: &str| {
        let source = settings.sources.iter().find(|source| source.name.as_str() == name).unwrap();
        (source.answer.status, source.answer.body.clone())
    };
    assert_eq!(answer("adyen"), (200, "[accepted]".into()));
    assert_eq!(answer("sign"), (202, "ok".into()));
    assert_eq!(answer("box"), (200, String::new()));
    let braintree = settings.sources.iter().find(|source| source.name.as_str() == "braintree").unwrap();
    assert!(!braintree.verifier.scheme().unwrap().needs_public_key());
}

#[test]
fn what_a_source_waits_for_arrives() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/valid/answers.toml")).unwrap();
    let settings = World::new().parse(&text).unwrap_or_else(|problems| panic!("{problems}")).settings;
    let source = |name: &str| settings.sources.iter().find(|source| source.name.as_str() == name).unwrap();
    let ms = Duration::from_millis;
    assert_eq!(source("plain").ack, Ack::Upstream(ms(8000)), "GitHub waits for 10 s");
    assert_eq!(source("patient").ack, Ack::UpstreamElseStored(ms(10_000)));
    assert_eq!(source("open").ack, Ack::UpstreamElseStored(ms(500)));
    assert_eq!(source("at_once").ack, Ack::Stored);
    let answer = &source("plain").answer;
    let headers: Vec<_> = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!((answer.status, answer.body.as_str()), (201, "<Response/>"));
    assert_eq!(headers, [("content-type", "text/xml"), ("x-own", "1")]);
}

#[test]
fn destinations_arrive() {
    let settings = everything().settings;
    let destination = |name: &str| settings.destinations.iter().find(|d| d.name.as_str() == name).unwrap();
    let (billing, slow) = (destination("billing"), destination("slow"));
    assert_eq!(billing.url.as_str(), "https://billing.internal:8080/webhooks/stripe?k=v");
    let headers: Vec<_> = billing.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let expected = [("authorization", "Basic dXNlcjpwQHNz"), ("x-plain", "text"), ("x-token", "s3cr3t"), ("x-other", "s3cr3t")];
    assert_eq!(headers, expected);
    assert_eq!((billing.timeout, billing.in_flight), (Duration::from_millis(500), 1024));
    assert_eq!(billing.per_second.as_ref().unwrap().turns_in(Duration::from_secs(60)), 30);
    let rule = Rule::Backoff { base: Duration::from_secs(1), cap: HOUR, keep_for: 72 * HOUR };
    assert_eq!((&billing.retry, billing.park_on.iter().map(|s| s.as_u16()).collect()), (&rule, vec![404, 410]));
    assert_eq!((billing.connection_age, billing.append_path), (Duration::from_secs(10), true));
    assert_eq!((billing.connect_timeout, billing.connection_idle), (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!((billing.trace_context, billing.idempotency_key), (false, false));
    assert_eq!((slow.trace_context, slow.idempotency_key), (true, true));
    let own = billing.client_certificate.as_ref().unwrap();
    assert_eq!((own.cert.file_name().unwrap(), own.key.file_name().unwrap()), ("b.pem".as_ref(), "b-key.pem".as_ref()));
    assert!(billing.http2 && !slow.http2);
    assert!(billing.title_case_headers && billing.ca.is_some());
    let local = ["local", "plain"].map(|name| (destination(name).socket.clone().unwrap(), destination(name).url.as_str()));
    assert_eq!((local[0].0.is_absolute(), local[0].0.file_name().unwrap()), (true, "app.sock".as_ref()));
    assert_eq!((local[0].1, local[1].1), ("http://localhost/hook?k=v", "http://localhost/"));
    assert_eq!((local[1].0.to_str().unwrap(), &slow.socket), ("/run/app.sock", &None));
    let authorization =
        |name: &str| destination(name).headers.iter().map(|(_, v)| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(
        (authorization("local"), authorization("plain")),
        (vec!["Basic cmVsYXk6czNjcjN0".into()], vec!["Bearer s3cr3t".into()])
    );
    let oauth2 = destination("token").oauth2.as_ref().unwrap();
    assert_eq!((oauth2.client_id.as_str(), oauth2.client_secret.expose()), ("relay", &b"s3cr3t"[..]));
    assert_eq!((oauth2.scope.as_deref(), oauth2.audience.as_deref()), (Some("a b"), Some("https://app.internal")));
    assert!(oauth2.secret_in_body && oauth2.ca.is_some() && authorization("token").is_empty());
    let waits = vec![Duration::from_secs(1), Duration::from_secs(5)];
    assert_eq!(slow.retry, Rule::Schedule { waits, cap: 24 * HOUR });
    assert_eq!((slow.timeout, slow.in_flight, slow.park_on.len()), (Duration::from_secs(30), 16, 4));
    assert!(slow.park_on.iter().all(|status| status.as_u16() != 422), "it is in retry_on");
}

#[test]
fn alarms_arrive() {
    let settings = everything().settings;
    let alerts = settings.alerts.as_ref().unwrap();
    let (minute, rules) = (Duration::from_secs(60), &alerts.rules);
    assert_eq!((alerts.name.as_ref().unwrap().as_str(), alerts.look_every), ("eu-1", Duration::from_secs(10)));
    let damping = Damping { begin_after: Duration::ZERO, end_after: 2 * minute, repeat: 24 * HOUR, cool_down: HOUR };
    assert_eq!(rules.damping, damping);
    let expected = Rules {
        damping,
        bad_signatures: Some(Burst { count: 5, share: 0.5, within: HOUR }),
        destination_failing: Some(minute),
        breaker_open: None,
        deliveries_overdue: Some(HOUR),
        deliveries_parked: Some(Growth { count: 1, within: HOUR }),
        quota_near: Some(0.9),
        disk_nearly_full: Some(5 << 30),
        certificate_expiring: Some(30 * 24 * HOUR),
        certificate_not_issued: Some(12 * HOUR),
        store_not_ready: None,
        store_damaged: Some(10),
    };
    assert_eq!(*rules, expected);
    let shown: Vec<_> = alerts.to.iter().map(|to| (to.shown(), to.form.as_str())).collect();
    let expected = [
        ("https://chat.example/***".to_owned(), "slack"),
        ("https://ops.example:8443/***".to_owned(), "standard-webhooks"),
        ("http://127.0.0.1:9/***".to_owned(), "standard-webhooks"),
    ];
    assert_eq!(shown, expected);
    assert_eq!((alerts.to[0].timeout, alerts.to[1].timeout), (Duration::from_secs(3), Duration::from_secs(10)));
    let authorization: Vec<_> = alerts.to.iter().map(|to| to.authorization.is_some()).collect();
    assert_eq!((authorization, alerts.to[1].ca.is_some()), (vec![false, true, true], true));
    let expected: Vec<_> = settings.sources.iter().map(|source| source.expect_every).collect();
    assert_eq!(expected[..3], [Some(90 * minute), None, None]);
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/valid/alerts.toml")).unwrap();
    let alerts = World::new().parse(&text).unwrap_or_else(|problems| panic!("{problems}")).settings.alerts.unwrap();
    assert_eq!((alerts.rules.clone(), alerts.to.len()), (Rules::default(), 0));
}

#[test]
fn no_secret_is_in_the_debug_form() {
    let shown = format!("{:?}", everything());
    assert!(shown.contains("billing.internal"));
    for secret in ["s3cr3t", "p@ss", "p%40ss", "dXNlcjpwQHNz", "cmVsYXk6czNjcjN0"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text: String) {
        let _ = config::parse(&text, Path::new("/nowhere"), "relay.toml", &env);
    }

    /// Bytes of a good file taken out, doubled, or replaced by what TOML is made of.
    #[test]
    fn no_changed_file_panics(which: prop::sample::Index, edits in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize), 1..6)) {
        let mut text = fs::read_to_string(which.get(&files("valid"))).unwrap();
        for (at, edit) in edits {
            let at = at.index(text.len());
            let at = (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
            let rest = text.split_off(at);
            text.push_str(["", "[", "]", "=", "\"", "\n", "{", "}", "-", "é", "1", "true"][edit]);
            text.extend(rest.chars().skip(edit % 2));
        }
        let _ = config::parse(&text, Path::new("/nowhere"), "relay.toml", &env);
    }
}
