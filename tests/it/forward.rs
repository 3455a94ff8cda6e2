//! `hookhold forward`: what a source receives reaches an application on this machine, as it came, once, in order, and nothing is skipped.

use serde_json::Value;

use crate::process::{Running, run};
use crate::world::{Got, Reply, Upstream, World, nowhere};

fn forward(world: &World, to: &Upstream, more: &[&str]) -> Running {
    let (admin, to) = (world.admin_address(), format!("http://{}/local?a=1", to.address));
    let arguments = ["--admin", &admin, "--json", "forward", "--source", "gh", "--to", &to, "--cursor", "cursor"];
    let running = Running::start(world.folder.path(), &[&arguments[..], more].concat());
    running.says("forwarding gh to");
    running
}

fn bodies(got: &[Got]) -> Vec<&[u8]> {
    got.iter().map(|got| &got.body[..]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_is_sent_as_it_came_and_nothing_twice() {
    let (world, local) = (World::start("", "").await, Upstream::start().await);
    world.send("before", b"before").await;
    let running = forward(&world, &local, &[]);
    local.script([Reply { body: b"sorry".to_vec(), ..Reply::status(500) }]);
    world.send("d-1", b"\xff\x00 1").await;
    let shown = running.json();
    assert_eq!([&shown["status"], &shown["response_bytes"], &shown["attempt"]], [500, 5, 1]);
    assert_eq!([&shown["source"], &shown["type"]], ["gh", "push"]);
    let (mine, theirs) = (&local.got(1).await[0], &world.app.got(2).await[1]);
    assert_eq!((&mine.method, &*mine.target, &mine.body), (&theirs.method, "/local?a=1", &theirs.body));
    for name in [
        "x-hub-signature-256",
        "x-github-delivery",
        "hookhold-event-id",
        "hookhold-received-at",
        "hookhold-source",
        "x-forwarded-for",
    ] {
        assert!(!mine.header(name).is_empty() && mine.header(name) == theirs.header(name), "{name}");
    }
    assert_eq!((mine.header("hookhold-event-id"), mine.header("hookhold-attempt")), (shown["event_id"].as_str().unwrap(), "1"));
    assert_eq!(mine.header("host"), local.address.to_string());

    // Killed: it goes on behind what was sent, and an answer of any status counts.
    drop(running);
    world.send("d-2", b"2").await;
    world.send("d-3", b"3").await;
    let running = forward(&world, &local, &["--since", "2020-01-01T00:00:00Z"]);
    assert_eq!([running.json(), running.json()].map(|shown| shown["status"].clone()), [200, 200]);
    world.send("d-4", b"4").await;
    running.json();
    assert_eq!(bodies(&local.requests()), [&b"\xff\x00 1"[..], b"2", b"3", b"4"]);

    let (folder, admin) = (world.folder.path().to_owned(), world.admin_address());
    let second = ["--admin", &*admin, "forward", "--source", "gh", "--to", "http://127.0.0.1:1/", "--cursor", "cursor"];
    let second = tokio::task::block_in_place(|| run(&folder, &second));
    assert!(second.code == 1 && second.said.contains("is in use"), "{second:?}");
    assert_eq!(running.interrupt(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_is_away_is_waited_for_and_the_rest_chosen() {
    let (world, local) = (World::start("", "").await, Upstream::start().await);
    for n in 0..3 {
        world.send(&n.to_string(), n.to_string().as_bytes()).await;
    }
    let address = local.address;
    let away = local;
    let refused = nowhere();
    let to = format!("http://{refused}/");
    let admin = world.admin_address();
    let arguments =
        ["--admin", &admin, "--json", "forward", "--source", "gh", "--cursor", "c2", "--since", "2020-01-01T00:00:00Z"];
    let running = Running::start(world.folder.path(), &[&arguments[..], &["--to", &to, "--type", "p*h"]].concat());
    running.says("waiting for it");
    let back = Upstream::start_at(refused).await;
    assert_eq!([(); 3].map(|()| running.json()["status"].clone()), [200, 200, 200]);
    assert_eq!(bodies(&back.requests()), [b"0", b"1", b"2"]);
    assert_eq!(running.interrupt(), 0);

    away.script([Reply::status(503)]);
    let to = format!("http://{address}/");
    let arguments =
        ["--admin", &admin, "--json", "forward", "--source", "gh", "--cursor", "c3", "--since", "2020-01-01T00:00:00Z"];
    let running = Running::start(world.folder.path(), &[&arguments[..], &["--to", &to, "--retry", "2"]].concat());
    let shown = [(); 4].map(|()| running.json());
    let of = |name: &str| shown.iter().map(|shown: &Value| shown[name].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((of("status"), of("attempt")), (vec![503, 200, 200, 200], vec![1, 2, 1, 1]));
    assert_eq!(bodies(&away.requests()), [b"0", b"0", b"1", b"2"]);
    drop(running);

    let skipped = ["--to", "http://127.0.0.1:1/", "--skip-failed"];
    let arguments =
        ["--admin", &admin, "--json", "forward", "--source", "gh", "--cursor", "c4", "--since", "2020-01-01T00:00:00Z"];
    let running = Running::start(world.folder.path(), &[&arguments[..], &skipped].concat());
    assert!([(); 3].map(|()| running.json()).iter().all(|shown| shown["status"].is_null() && shown["error"].is_string()));
    drop(running);
    let unknown = ["--admin", &*admin, "forward", "--source", "none", "--to", "http://127.0.0.1:1/"];
    assert_eq!(tokio::task::block_in_place(|| run(world.folder.path(), &unknown)).code, 4);
    let unreachable = ["--admin", "http://127.0.0.1:1", "forward", "--source", "gh", "--to", "http://127.0.0.1:1/"];
    assert_eq!(tokio::task::block_in_place(|| run(world.folder.path(), &unreachable)).code, 3);
}
