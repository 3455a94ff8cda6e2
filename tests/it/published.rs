//! Keys that a provider publishes, fetched over real TLS: once for many requests, anew for a key that is not known, and never from
//! where a request or an answer would lead.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookhold::net::client::Answer;
use hookhold::net::tls::SELF_SIGNED_FILES;
use tempfile::TempDir;

use crate::world::{Reply, Upstream, World};

const BODY: &[u8] = br#"{"id":"1"}"#;

/// A relay with a source at `/in/ed`, whose provider signs with Ed25519 and publishes its keys.
struct Published {
    world: World,
    keys: Upstream,
    _folder: TempDir,
}

impl Published {
    /// `replies`: how the provider answers at first. `own`: the source names the address itself, so that it may be private.
    async fn start(replies: impl IntoIterator<Item = Reply>, own: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let keys = Upstream::start_tls(folder.path()).await;
        keys.script(replies);
        let address = format!("https://127.0.0.1:{}/keys.json", keys.address.port());
        let (scheme, source) = if own { (String::new(), format!("key_url = '{address}'")) } else { (address, String::new()) };
        let ca = folder.path().join(SELF_SIGNED_FILES[0]);
        let more = format!(
            r#"
            [sources.ed]
            path = "/in/ed"
            provider = "custom"
            {source}
            key_fetch = {{ ca = "{}", headers = {{ x-key = "k" }} }}
            [sources.ed.verify]
            kind = "signature"
            algorithms = ["ed25519"]
            key = {{ jwks = "{scheme}", id = {{ in = "header", name = "X-Kid" }} }}
            signature = [{{ in = "header", name = "X-Sig", encoding = "hex" }}]
            payload = "{{body}}"
            [[routes]]
            from = "ed"
            to = "app"
            "#,
            ca.display()
        );
        Self { world: World::start("", &more).await, keys, _folder: folder }
    }

    async fn send(&self, seed: u8, id: &str) -> Answer {
        let signature = hex::encode(pair(seed).sign(BODY));
        self.world.post("/in/ed", &[("x-sig", &signature), ("x-kid", id)], BODY).await
    }
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// The keys of these seeds, whose ids are `k` and the seed.
fn set(seeds: &[u8]) -> Reply {
    let key = |seed: &u8| {
        let x = URL_SAFE_NO_PAD.encode(pair(*seed).public_key().as_ref());
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"k{seed}","use":"sig"}}"#)
    };
    let keys: Vec<String> = seeds.iter().map(key).collect();
    Reply { body: format!(r#"{{"keys":[{}]}}"#, keys.join(",")).into_bytes(), ..Reply::status(200) }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_once_for_all() {
    let published = Published::start([set(&[1])], true).await;
    for _ in 0..3 {
        assert_eq!(published.send(1, "k1").await.status, 200);
    }
    assert_eq!(published.send(2, "k1").await.status, 401);
    let requests = published.keys.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].target.as_str(), requests[0].header("x-key")), ("/keys.json", "k"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_looked_for_once() {
    let published = Published::start([set(&[1])], true).await;
    assert_eq!(published.send(1, "k1").await.status, 200);
    // The first copy is a moment old: what is not in it is not in a newer one, as far as can be known for a minute.
    for _ in 0..3 {
        assert_eq!(published.send(2, "k2").await.status, 401);
    }
    assert_eq!(published.keys.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_the_sender_shall_come_again() {
    let large = Reply { body: vec![b' '; 70_000], ..Reply::status(200) };
    let redirect = Reply { headers: vec![("location", "/elsewhere".to_owned())], ..Reply::status(302) };
    for reply in [Reply::status(500), Reply::status(404), redirect, large] {
        let published = Published::start([reply.clone()], true).await;
        for _ in 0..2 {
            let answer = published.send(1, "k1").await;
            assert_eq!(answer.status, 503, "{}", reply.status);
            assert!(answer.headers.contains_key("retry-after"));
        }
        let targets: Vec<String> = published.keys.requests().into_iter().map(|got| got.target).collect();
        assert_eq!(targets, ["/keys.json"], "{}", reply.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_wait_for_one_fetch() {
    let slow = Reply { delay: std::time::Duration::from_millis(300), ..set(&[1]) };
    let published = Published::start([slow], true).await;
    let answers = tokio::join!(published.send(1, "k1"), published.send(1, "k1"), published.send(1, "k1"));
    assert_eq!([answers.0.status, answers.1.status, answers.2.status].map(|s| s.as_u16()), [200; 3]);
    assert_eq!(published.keys.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_behind_the_firewall_is_not_connected_to() {
    let published = Published::start([set(&[1])], false).await;
    assert_eq!(published.send(1, "k1").await.status, 503);
    assert_eq!(published.keys.requests().len(), 0);
}
