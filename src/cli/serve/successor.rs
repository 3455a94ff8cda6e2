//! The program that follows this one, in the same process, when the relay restarts: the file that it was started from, as it is then.
//!
//! The process is kept (`execve`), and with it its id, its place under systemd, in a container or in a shell, and its rights. Two processes
//! side by side could not do better: only one can have the store. The sockets of listeners stay open across; callers wait in the system's
//! queue meanwhile. What can be known of the successor is known before anything stops: it starts, and takes the configuration.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use super::handed::Kind;

/// What has not judged the configuration by then is not waited for.
const CHECK_TIME: Duration = Duration::from_secs(30);
/// Of what it says, so much is read.
const CHECK_BYTES_MAX: u64 = 64 * 1024;
/// Where the program is that runs, whatever became of its file.
const ITSELF: &str = "/proc/self/exe";
/// Below are those that every program has.
const FIRST_DESCRIPTOR: i32 = 3;

/// What will be run.
#[derive(Clone)]
pub(super) struct Successor {
    program: OsString,
    arguments: Vec<OsString>,
    config: PathBuf,
}

impl Successor {
    /// The program by the name by which this one was started, so that a new file, or a link to another one, is followed.
    pub(super) fn new(config: &Path) -> Self {
        let mut words = std::env::args_os();
        let program = words.next().filter(|word| !word.is_empty()).unwrap_or_else(|| ITSELF.into());
        Self { program, arguments: words.collect(), config: config.to_owned() }
    }

    /// Lets it judge the configuration; the problems, a line each.
    pub(super) async fn prove(&self) -> Result<(), Vec<String>> {
        let started = self.start_check().map_err(|error| vec![format!("error: {error:#}")])?;
        let (child, out) = started;
        let child = Arc::new(Mutex::new(child));
        let judging = child.clone();
        let judged = tokio::task::spawn_blocking(move || judge(&judging, out));
        match tokio::time::timeout(CHECK_TIME, judged).await {
            Ok(Ok(Ok(verdict))) => verdict,
            Ok(Ok(Err(error))) => Err(vec![format!("error: the new program cannot be heard: {error}")]),
            Ok(Err(error)) => Err(vec![format!("error: the new program could not be waited for: {error}")]),
            Err(_) => {
                // It may end by itself just now.
                let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
                Err(vec![format!("error: the new program did not judge the configuration within {} s", CHECK_TIME.as_secs())])
            }
        }
    }

    fn start_check(&self) -> anyhow::Result<(Child, ChildStdout)> {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&self.config).arg("check");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("{} cannot be started", self.program.display()))?;
        let out = child.stdout.take().context("the new program cannot be heard")?;
        Ok((child, out))
    }

    /// Becomes it, with these sockets. Comes back only where even this program cannot be started again.
    pub(super) fn become_it(&self, sockets: Vec<(Kind, OwnedFd)>) -> io::Error {
        let names: Vec<_> = sockets.iter().map(|(kind, _)| kind.name()).collect();
        let row = in_a_row(sockets.iter().map(|(_, socket)| socket)).unwrap_or_else(|error| {
            tracing::error!(%error, "sockets cannot be handed over; callers may be refused until the relay listens again");
            Vec::new()
        });
        let first = row.first().map_or(FIRST_DESCRIPTOR, AsRawFd::as_raw_fd);
        let run = |program: &OsStr| {
            let mut command = Command::new(program);
            command.arg0(&self.program).args(&self.arguments);
            command.env("LISTEN_PID", std::process::id().to_string()).env("LISTEN_FDS", row.len().to_string());
            command.env("LISTEN_FDNAMES", names.join(":")).env("LISTEN_FDS_FIRST_FD", first.to_string());
            command.exec()
        };
        let error = run(&self.program);
        tracing::error!(program = %self.program.display(), %error, "the new program cannot be started; the old one starts again");
        run(OsStr::new(ITSELF))
    }
}

fn judge(child: &Mutex<Child>, mut out: ChildStdout) -> io::Result<Result<(), Vec<String>>> {
    let mut said = String::new();
    out.by_ref().take(CHECK_BYTES_MAX).read_to_string(&mut said)?;
    // What it still has to say is not waited for.
    drop(out);
    let ended = child.lock().unwrap_or_else(PoisonError::into_inner).wait()?;
    let mut problems: Vec<_> = said.lines().map(str::to_owned).collect();
    if problems.is_empty() {
        problems.push(format!("error: the new program ended with {ended}"));
    }
    Ok(if ended.success() { Ok(()) } else { Err(problems) })
}

/// The sockets by numbers in a row, which stay open in the next program. To be called when nothing else opens descriptors.
fn in_a_row<'a>(sockets: impl ExactSizeIterator<Item = &'a OwnedFd> + Clone) -> io::Result<Vec<OwnedFd>> {
    let mut first = FIRST_DESCRIPTOR;
    'row: loop {
        let mut row = Vec::with_capacity(sockets.len());
        for (wanted, socket) in (first..).zip(sockets.clone()) {
            let copy = fcntl_dupfd_cloexec(socket, wanted)?;
            if copy.as_raw_fd() != wanted {
                // It is the lowest free number from there on.
                first = if row.is_empty() { copy.as_raw_fd() } else { wanted + 1 };
                continue 'row;
            }
            row.push(copy);
        }
        for socket in &row {
            fcntl_setfd(socket, FdFlags::empty())?;
        }
        return Ok(row);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn sockets_get_numbers_in_a_row() {
        let sockets: Vec<OwnedFd> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").unwrap().into()).collect();
        let row = in_a_row(sockets.iter()).unwrap();
        let numbers: Vec<_> = row.iter().map(AsRawFd::as_raw_fd).collect();
        assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "{numbers:?}");
        for (copy, socket) in row.into_iter().zip(sockets) {
            let address = |socket: OwnedFd| TcpListener::from(socket).local_addr().unwrap();
            assert!(!rustix::io::fcntl_getfd(&copy).unwrap().contains(FdFlags::CLOEXEC));
            assert_eq!(address(copy), address(socket));
        }
        assert!(in_a_row([].iter()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_program_that_does_not_start_or_does_not_like_the_configuration_does_not_follow() {
        let successor = |program: &str| Successor { program: program.into(), arguments: Vec::new(), config: "relay.toml".into() };
        assert!(successor("true").prove().await.is_ok());
        let missing = successor("/no/such/program").prove().await.unwrap_err();
        assert!(missing[0].contains("/no/such/program cannot be started"), "{missing:?}");
        let refused = successor("false").prove().await.unwrap_err();
        assert!(refused[0].contains("exit status: 1"), "{refused:?}");
        // It says what it was given.
        assert!(successor("echo").prove().await.is_ok());
    }
}
