//! The command line by itself: completions, manual pages, and what it says where something is wrong.

use std::path::Path;
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::process::{Ended, Process, run};
use crate::world::World;

const PROGRAM: &str = env!("CARGO_BIN_EXE_hookhold");

/// Runs a command in an empty folder.
fn alone(arguments: &[&str]) -> Ended {
    run(tempfile::tempdir().unwrap().path(), arguments)
}

/// What bash would offer for a line, in a folder.
fn offered(folder: &Path, line: &str) -> Vec<String> {
    let script = r#"
        source <("$PROGRAM" completions bash) || exit 1
        COMP_WORDS=($LINE)
        [[ "$LINE" == *' ' ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9
        _clap_complete_hookhold hookhold "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let bin = Path::new(PROGRAM).parent().unwrap().display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let ended = Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
        .envs([("PROGRAM", PROGRAM), ("LINE", line), ("PATH", &path)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).replace("bash: no job control in this shell", "");
    assert!(ended.status.success(), "{said}");
    String::from_utf8(ended.stdout).unwrap().lines().map(|word| word.trim().to_owned()).collect()
}

#[test]
fn bash_completes_commands_options_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[sources.stripe]\n[sources.shop]\nmistake = \n";
    std::fs::write(folder.path().join("broken.toml"), text).unwrap();
    let text = "[sources.stripe]\nwrong = 1\n[sources.shop]\n[destinations.billing]\n";
    std::fs::write(folder.path().join("relay.toml"), text).unwrap();
    std::fs::write(folder.path().join("other.toml"), "[destinations.elsewhere]\n").unwrap();
    let offered = |line: &str| offered(folder.path(), line);
    assert_eq!(offered("hookhold ev"), ["events"]);
    assert_eq!(offered("hookhold events l"), ["list"]);
    assert_eq!(offered("hookhold events list --sou"), ["--source"]);
    assert_eq!(offered("hookhold events list --source s"), ["stripe", "shop"]);
    assert_eq!(offered("hookhold events --source s"), ["stripe", "shop"]);
    assert_eq!(offered("hookhold sources pause st"), ["stripe"]);
    assert_eq!(offered("hookhold destinations resume ")[0], "billing");
    assert_eq!(offered("hookhold replay --to b"), ["billing"]);
    assert_eq!(offered("hookhold --config other.toml destinations pause el"), ["elsewhere"]);
    assert_eq!(offered("hookhold --config broken.toml send s"), [""; 1], "what is no TOML has no names, and is no error");
}

#[test]
fn each_shell_gets_its_script() {
    for (shell, word) in [
        ("bash", "complete -o"),
        ("zsh", "#compdef"),
        ("fish", "complete"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let ended = alone(&["completions", shell]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.out.contains(word) && ended.out.contains("hookhold"), "{shell}: {}", ended.out);
    }
    assert_eq!(alone(&["completions", "csh"]).code, 2);
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(folder.path(), &["man", "pages/man1"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let pages: Vec<_> = std::fs::read_dir(folder.path().join("pages/man1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(ended.out.starts_with(&format!("{} pages are in", pages.len())), "{ended:?}");
    for name in ["hookhold", "hookhold-events", "hookhold-events-list", "hookhold-destinations-pause"] {
        assert!(pages.iter().any(|page| page.ends_with(format!("{name}.1"))), "{name}: {pages:?}");
    }
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        let name = page.file_stem().unwrap().to_string_lossy();
        for part in [format!(".TH {name}"), ".SH NAME".into(), ".SH SYNOPSIS".into(), ".SH DESCRIPTION".into(), "xample".into()] {
            assert!(text.contains(&part), "{name} has no {part}:\n{text}");
        }
    }
    // Where the machine can read manual pages, it has nothing to say against them.
    if Command::new("man").arg("--version").output().is_ok() {
        let ended = Command::new("man").args(["--warnings", "-l"]).args(&pages).env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let whole = alone(&["man"]);
    assert!(whole.code == 0 && whole.out.contains(".TH hookhold 1"), "{whole:?}");
}

#[test]
fn what_is_wrong_says_what_to_do() {
    let unknown = alone(&["event"]);
    assert!(unknown.code == 2 && unknown.said.contains("'events'"), "{unknown:?}");
    let missing = alone(&["status"]);
    assert!(missing.code == 1 && missing.said.contains("relay.toml: there is no such file, write one"), "{missing:?}");
    let folder = alone(&["--config", ".", "check"]);
    assert!(folder.code == 1 && folder.out.contains("is a folder, name the file in it: --config ./relay.toml"), "{folder:?}");
    for address in ["127.0.0.1:9443", "localhost:9443", "nonsense"] {
        let vague = alone(&["--admin", address, "status"]);
        assert!(vague.code == 2 && vague.said.contains("write http://HOST:PORT"), "{vague:?}");
    }
    let nobody = alone(&["--admin", "http://127.0.0.1:1", "status"]);
    assert!(nobody.code == 3 && nobody.said.contains("Is it running?"), "{nobody:?}");
    let section = alone(&["reference", "nothing"]);
    assert!(section.code == 4 && section.said.contains("destinations"), "{section:?}");
    assert_eq!(alone(&["reference", "retry"]).code, 0);
}

#[test]
fn what_is_listed_is_not_said_before_another_command() {
    for (arguments, given) in [
        (["events", "--source", "a", "show", "x"], "--source <SOURCE>"),
        (["deliveries", "--destination", "a", "show", "x"], "--destination <DESTINATION>"),
        (["replays", "--limit", "1", "show", "x"], "--limit <LIMIT>"),
        (["quarantine", "--reason", "a", "drop", "x"], "--reason <REASON>"),
    ] {
        let refused = alone(&arguments);
        let word = format!("{given} is about what is listed; it cannot stand before `{}`", arguments[3]);
        assert!(refused.code == 2 && refused.said.contains(&word), "{refused:?}");
    }
    let twice = alone(&["alerts", "--state", "firing", "list", "--state", "ended"]);
    assert_eq!(twice.code, 2, "{twice:?}");
    let everywhere = alone(&["--admin", "http://127.0.0.1:1", "events", "--json", "show", "x"]);
    assert_eq!(everywhere.code, 3, "what every command takes may stand anywhere: {everywhere:?}");
}

#[tokio::test]
async fn another_program_is_no_relay() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answers = tokio::spawn(async move {
        for answer in
            ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope"]
        {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    for why in ["it sent no JSON", "it said 404 Not Found"] {
        let address = address.clone();
        let ended = tokio::task::spawn_blocking(move || alone(&["--admin", &address, "events"])).await.unwrap();
        assert!(ended.code == 3 && ended.said.contains(why) && ended.said.contains("another program"), "{ended:?}");
    }
    answers.await.unwrap();
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let world = World::start("", "").await;
    for n in 0..3 {
        world.send(&n.to_string(), b"{}").await;
    }
    let admin = world.admin_address();
    let ended = tokio::task::spawn_blocking(move || {
        let lines =
            ["events", "providers", "reference", "schema", "man", "events list --json", "status", "--help", "completions bash"];
        for line in lines {
            let mut child = Command::new(PROGRAM)
                .args(["--admin", &admin])
                .args(line.split(' '))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            drop(child.stdout.take());
            let ended = child.wait_with_output().unwrap();
            let said = String::from_utf8(ended.stderr).unwrap();
            assert!(ended.status.success() && said.is_empty(), "{line}: {:?} {said}", ended.status);
        }
    });
    ended.await.unwrap();
}

#[test]
fn a_token_that_is_missing_or_refused_says_where_one_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\nself_signed = true\n[admin]\nlisten = \"127.0.0.1:0\"\n\
        tokens = [{ name = \"eyes\", role = \"viewer\", secret = { file = \"eyes\" } }]\n\
        [sources.gh]\npath = \"/in/gh\"\nprovider = \"none\"\n";
    std::fs::write(folder.path().join("relay.toml"), text).unwrap();
    std::fs::write(folder.path().join("eyes"), "a-viewers-token").unwrap();
    let relay = Process::start(folder.path());
    let with = |token: Option<&str>, command: &str| {
        let mut made = Command::new(PROGRAM);
        made.args(["--admin", &relay.admin]).args(command.split(' ')).current_dir(folder.path()).env_remove("HOOKHOLD_TOKEN");
        let ended = made.envs(token.map(|token| ("HOOKHOLD_TOKEN", token))).output().unwrap();
        (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    let (code, said) = with(None, "events");
    assert!(code == 1 && said.contains("none was sent: set HOOKHOLD_TOKEN"), "{said}");
    let (code, said) = with(Some("wrong"), "events");
    assert!(code == 1 && said.contains("does not take the token in HOOKHOLD_TOKEN"), "{said}");
    let (code, said) = with(Some("a-viewers-token"), "sources pause gh");
    assert!(code == 1 && said.contains("This is the token in HOOKHOLD_TOKEN."), "{said}");
    assert_eq!(with(Some("a-viewers-token"), "events"), (0, String::new()));
}
