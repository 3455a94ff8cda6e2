//! What somebody does who is called at night, on the command line: each walk is a few commands, and what one prints says the next.
//! The same as walks through the dashboard are in `tests/browser/tasks.test.js`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hookhold::net::tls;
use tempfile::TempDir;

use crate::process::{Ended, Process, run, write_config};
use crate::world::{Reply, Upstream, World, eventually};

/// What a person may take; a script takes far less.
const MINUTE: Duration = Duration::from_secs(60);

/// Commands as they are typed beside the relay's configuration, counted.
struct Walk {
    folder: PathBuf,
    admin: String,
    typed: u32,
    begun: Instant,
}

impl Walk {
    fn begin(folder: &Path, admin: &str) -> Self {
        Self { folder: folder.to_owned(), admin: admin.to_owned(), typed: 0, begun: Instant::now() }
    }

    async fn types(&mut self, line: &str) -> Ended {
        self.typed += 1;
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (folder, admin) = (self.folder.clone(), self.admin.clone());
        let ended = tokio::task::spawn_blocking(move || {
            let words = ["--admin", &*admin].into_iter().chain(words.iter().map(String::as_str));
            run(&folder, &words.collect::<Vec<_>>())
        });
        let ended = ended.await.unwrap();
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        ended
    }

    #[track_caller]
    fn end(self, commands: u32) {
        let took = self.begun.elapsed();
        println!("{} commands, {:.1} s", self.typed, took.as_secs_f64());
        assert_eq!(self.typed, commands);
        assert!(took < MINUTE, "{took:?}");
    }
}

/// The line of a table that begins with this word.
#[track_caller]
fn line<'a>(out: &'a str, word: &str) -> &'a str {
    let found = out.lines().find(|line| line.split_whitespace().next() == Some(word));
    found.unwrap_or_else(|| panic!("no line begins with {word}: {out}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_deliveries_fail_and_trying_them_again() {
    let other = "[[routes]]\nfrom = \"gh\"\nto = [\"well\"]\n[destinations.well]\nurl = \"http://{app}/well\"";
    let world = World::start("", other).await;
    let refused = Reply { body: b"no such currency: XBT".to_vec(), ..Reply::status(422) };
    for n in 0..5 {
        // One of the two destinations gets it, and both know what it is then.
        world.app.script([refused.clone(), refused.clone()]);
        world.send(&format!("d-{n}"), b"{}").await;
        eventually(async || {
            (world.get("/deliveries?state=parked").await["items"].as_array()?.len() == 2 * (n + 1)).then_some(())
        })
        .await;
    }
    // What went to the other one is mended already.
    let retried = world.admin(http::Method::POST, "/deliveries/retry", br#"{"filter":{"destination":"well"}}"#).await;
    assert_eq!(&retried.body[..], br#"{"retried":5,"next":null}"#);
    world.listed("/deliveries?state=delivered", 5).await;
    eventually(async || (world.get("/destinations/well").await["standing"] == "ok").then_some(())).await;

    let mut walk = Walk::begin(world.folder.path(), &world.admin_address());
    let status = walk.types("status").await.out;
    let (app, well) = (status.find("\n app ").unwrap(), status.find("\n well ").unwrap());
    assert!(app < well, "what fails comes first: {status}");
    assert!(line(&status, "app").contains("failing") && line(&status, "app").contains("answered 422"), "{status}");
    let shown = walk.types("destinations show app").await.out;
    assert!(shown.contains("no such currency: XBT"), "what the application said: {shown}");
    assert!(shown.contains("hookhold retry --destination app"), "what comes next: {shown}");
    assert_eq!(walk.types("retry --destination app").await.out.trim(), "due now: 5");
    world.listed("/deliveries?state=delivered&destination=app", 5).await;
    assert_eq!(world.get("/destinations/app").await["parked"], 0);
    walk.end(3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_mended_and_the_night_released() {
    tls::install_provider();
    let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
    write_config(folder.path(), &app);
    let secret = folder.path().join("secret");
    let right = std::fs::read(&secret).unwrap();
    std::fs::write(&secret, "a wrong one").unwrap();
    let relay = Process::start(folder.path());
    for n in 0..40 {
        assert_eq!(relay.send(&format!("d-{n}"), format!("{{\"n\":{n}}}").as_bytes()).await.status, 401);
    }
    let kept = async |count: usize| {
        let kept = relay.get("/quarantine?limit=100").await["items"].as_array().unwrap().len();
        (kept == count).then_some(())
    };
    eventually(async || kept(40).await).await;

    let mut walk = Walk::begin(folder.path(), &relay.admin);
    let shown = walk.types("quarantine").await.out;
    let first = line(&shown, "gh");
    assert!(first.contains("mismatch") && first.contains(" 40 "), "the largest first: {shown}");
    assert!(shown.contains("gh, mismatch: compare file secret with what the provider shows"), "{shown}");
    assert!(shown.contains("hookhold quarantine release --source SOURCE --reload"), "{shown}");
    std::fs::write(&secret, right).unwrap();
    let released = walk.types("quarantine release --source gh --reload").await;
    assert_eq!(released.out.trim(), "released: 40, still refused: 0");
    assert_eq!(released.said.trim(), "the configuration was read again: sources.gh: changed");
    app.got(40).await;
    assert_eq!(relay.get("/status").await["counts"]["quarantined"], 0);
    walk.end(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_tried_again_is_chosen_and_goes_on_where_it_ended() {
    let world = World::start("", "").await;
    for n in 0..3 {
        world.app.script([Reply::status(422)]);
        world.send(&format!("d-{n}"), b"{}").await;
        world.listed("/deliveries?state=parked", n + 1).await;
    }
    let retry = async |what: &str| {
        let answer = world.admin(http::Method::POST, "/deliveries/retry", what.as_bytes()).await;
        (answer.status.as_u16(), serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap())
    };
    for (what, field) in [
        (r#"{"filter":{}}"#, "filter"),
        (r#"{"filter":{"state":"delivered"}}"#, "state"),
        (r#"{"filter":{"state":"parked"},"cursor":"x"}"#, "cursor"),
        (r#"{"filter":{"destination":"a/b"}}"#, "destination"),
    ] {
        let (status, problem) = retry(what).await;
        assert_eq!((status, &problem["field"]), (400, &field.into()), "{what}: {problem}");
    }
    // Behind the newest there are two, and they give up again.
    world.app.script(vec![Reply::status(422); 2]);
    let newest = world.get("/deliveries?limit=1").await["items"][0]["id"].as_str().unwrap().to_owned();
    let (status, done) = retry(&format!(r#"{{"filter":{{"state":"parked"}},"cursor":"{newest}"}}"#)).await;
    assert_eq!((status, &done["retried"], &done["next"]), (202, &2.into(), &serde_json::Value::Null));
    world.app.got(5).await;
    world.listed("/deliveries?state=parked", 3).await;
    let audit = world.get("/audit?action=deliveries.retry").await;
    assert_eq!((&audit["items"][0]["detail"], &audit["items"][0]["result"]), (&"2 retried".into(), &"done".into()), "{audit}");
    // Of nobody else.
    assert_eq!(retry(r#"{"filter":{"destination":"other"}}"#).await.1["retried"], 0);
    assert_eq!(retry(r#"{"filter":{"destination":"app"}}"#).await.1["retried"], 3);
    world.listed("/deliveries?state=delivered", 3).await;
}
