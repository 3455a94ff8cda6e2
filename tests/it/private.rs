//! What others on the machine can read of a relay: nothing that it stores.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hookhold::net::tls;
use http::Method;
use tempfile::TempDir;

use crate::process::{Process, run};
use crate::world::{Upstream, call, eventually};

/// A user that is not who runs the tests, as a number.
const NOBODY: u32 = 65_534;

/// All below a folder, and itself, with their rights.
fn rights(path: &Path) -> Vec<(PathBuf, u32)> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // A relay that runs makes files and removes them: one that has gone since it was listed can be read by nobody.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{}: {error}", path.display()),
    };
    let mut all = vec![(path.to_owned(), metadata.mode() & 0o777)];
    if metadata.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| all.extend(rights(&entry.unwrap().path())));
    }
    all
}

fn assert_closed(folder: &Path, at_least: &[&str]) {
    let all = rights(folder);
    for name in at_least {
        let is_there = |(path, _): &(PathBuf, u32)| path.strip_prefix(folder).unwrap().starts_with(name);
        assert!(all.iter().any(is_there), "{name} is not in {all:?}");
    }
    let wanted = |path: &Path| if path.is_dir() { 0o700 } else { 0o600 };
    let open: Vec<_> = all
        .iter()
        .filter(|(path, mode)| *mode != wanted(path))
        .map(|(path, mode)| format!("{} {mode:o}", path.display()))
        .collect();
    assert_eq!(open, [""; 0]);
}

/// A relay whose store has something of all kinds, started by a person who does not mind who reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_can_read_what_is_stored() {
    tls::install_provider();
    let (folder, app) = (TempDir::new().unwrap(), Upstream::start().await);
    crate::process::write_config(folder.path(), &app);
    let file = folder.path().join("relay.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace(
        "routes = [",
        "sources.asana = { path = \"/in/asana\", provider = \"asana\" }\nroutes = [{ from = \"asana\", to = [\"app\"] }, ",
    );
    std::fs::write(&file, text).unwrap();
    // As an older version left it.
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000 && exec \"$0\" serve", env!("CARGO_BIN_EXE_hookhold")]);
    let relay = Process::start_by(command, folder.path(), Stdio::inherit());
    assert_eq!(relay.send("one", b"{}").await.status, 200);
    assert_eq!(relay.send("large", &vec![b'x'; 300_000]).await.status, 200);
    let pinned = || tls::client_config_pinning(&folder.path().join("certs").join(tls::SELF_SIGNED_FILES[0])).unwrap();
    let forged = [("x-hub-signature-256", "sha256=00")];
    assert_eq!(call(&relay.https, pinned(), Method::POST, "/in/gh", &forged, b"{}").await.status, 401);
    assert_eq!(run(folder.path(), &["--admin", &relay.admin, "replay", "--source", "gh"]).code, 0);
    for command in [["destinations", "pause", "app"].as_slice(), &["arm", "asana"]] {
        let ended = run(folder.path(), &[&["--admin", &relay.admin], command].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let brought = [("x-hook-secret", "mine-for-ever-and-ever")];
    assert_eq!(call(&relay.https, pinned(), Method::POST, "/in/asana", &brought, b"{}").await.status, 200);
    eventually(async || relay.get("/quarantine").await["items"].as_array().filter(|items| items.len() == 1).map(|_| ())).await;
    assert_eq!(run(folder.path(), &["--admin", &relay.admin, "backup", "backup"]).code, 0);
    assert_closed(&folder.path().join("backup"), &[]);
    let kinds = ["journal", "audit", "pauses", "quarantine", "secrets", "replays", "db", "format"];
    assert_closed(&data, &kinds);
    relay.end();
    assert_closed(&data, &["history.json"]);
    let umask = |script: &str| {
        let script = format!("umask 000 && exec \"$0\" {script}");
        let ended =
            Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_hookhold")]).current_dir(folder.path()).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    umask("doctor --rebuild-index");
    assert_closed(&data, &kinds);
    std::fs::remove_dir_all(&data).unwrap();
    umask("restore backup");
    assert_closed(&data, &["db"]);
    // Whoever stops the relay may be root, and the relay somebody else.
    let user =
        if std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).is_ok() { NOBODY } else { owner(folder.path()) };
    std::fs::remove_dir_all(&data).unwrap();
    for script in ["restore backup", "doctor --rebuild-index", "backup another"] {
        umask(script);
        let others: Vec<_> = rights(&data).into_iter().filter(|(path, _)| owner(path) != user).collect();
        assert_eq!(others, [], "{script}");
    }
}

fn owner(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().uid()
}
