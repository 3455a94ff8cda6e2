//! Processes of their own: this program, started again for one task, below the shim where what it does is to be recorded.
//!
//! A store that fails may take its process with it; what a child must never do is take the tests with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::{check, damage, script};

/// The task of a child: its name and its arguments, one a line.
const TASK: &str = "CRASH_TASK";
/// A child that needs longer hangs: each takes seconds where the machine is not busy.
const TIME_MAX: Duration = Duration::from_secs(900);
/// How often a child is asked whether it has ended.
const ASK_PAUSE: Duration = Duration::from_millis(5);

/// A child to be started.
pub(crate) struct Child(Command);

/// What a child left.
pub(crate) struct Ended {
    /// Whether it ended by itself and well.
    pub(crate) is_good: bool,
    /// What it said on both ways.
    pub(crate) said: String,
}

impl Child {
    /// For the task of that name.
    pub(crate) fn new(task: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let lines = [&[task], arguments].concat().join("\n");
        command.args(["child::a_child_does_its_task", "--exact", "--nocapture", "--test-threads=1"]).env(TASK, lines);
        command.stdin(Stdio::null());
        Self(command)
    }

    /// Records what it does below `root` in the file `log`.
    pub(crate) fn recorded(mut self, shim: &Path, root: &Path, log: &Path) -> Self {
        self.0.env("LD_PRELOAD", shim).env("SHIM_ROOT", root).env("SHIM_LOG", log);
        self
    }

    /// Makes no sync: for what is thrown away.
    pub(crate) fn fast(mut self) -> Self {
        self.0.env("SHIM_FAST", "1");
        self
    }

    /// Lets the `n`-th call of a kind fail.
    pub(crate) fn failing(mut self, fault: &str) -> Self {
        self.0.env("SHIM_FAIL", fault);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Ended {
        let said = tempfile::NamedTempFile::new().unwrap();
        let way = || Stdio::from(said.as_file().try_clone().unwrap());
        let mut child = self.0.stdout(way()).stderr(way()).spawn().unwrap();
        let since = std::time::Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if since.elapsed() > TIME_MAX {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            // There is no wait with an end in the standard library.
            std::thread::sleep(ASK_PAUSE);
        };
        let mut text = String::from_utf8_lossy(&std::fs::read(said.path()).unwrap()).into_owned();
        match status {
            None => text.push_str("\nit hangs"),
            Some(status) if !status.success() => text.push_str(&format!("\nit ended with {status}")),
            Some(_) => {}
        }
        Ended { is_good: status.is_some_and(|status| status.success()), said: text }
    }
}

/// Not a test by itself: what children run. Without a task there is nothing to do.
#[test]
fn a_child_does_its_task() {
    let Ok(task) = std::env::var(TASK) else { return };
    let parts: Vec<_> = task.lines().collect();
    match parts[..] {
        ["script", root, round, seed, kind] => script::run(Path::new(root), round.parse().unwrap(), seed.parse().unwrap(), kind),
        ["check", store, expected] => check::run(Path::new(store), Path::new(expected)),
        ["look", store] => damage::look(Path::new(store)),
        _ => panic!("an unknown task: {task}"),
    }
}

/// The shim, built once; `None` where there is no C compiler, which only a developer's machine may lack.
pub(crate) fn shim() -> Option<&'static Path> {
    static SHIM: OnceLock<Option<(PathBuf, tempfile::TempDir)>> = OnceLock::new();
    let built = SHIM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/shim.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-Wall", "-o"]).arg(&path).arg(source).args(["-ldl", "-lpthread"]);
        match compiler.output() {
            Ok(Output { status, .. }) if status.success() => Some((path, folder)),
            Ok(Output { stderr, .. }) => panic!("the shim does not compile: {}", String::from_utf8_lossy(&stderr)),
            Err(error) => {
                assert!(std::env::var("CI").is_err(), "no C compiler: {error}");
                eprintln!("SKIPPED: no C compiler (cc), so nothing can be recorded: {error}");
                None
            }
        }
    });
    built.as_ref().map(|(path, _)| path.as_path())
}

/// How many children may run at once.
pub(crate) fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
