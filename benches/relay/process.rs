//! The servers as processes: started in a temporary folder, watched through `/proc`, ended with the bench.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::settings::Settings;

/// From a start to ready: milliseconds on an empty store, seconds on a large one.
const START_MAX: Duration = Duration::from_secs(60);
/// The relay lets attempts in flight finish for 8 s.
const STOP_MAX: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A relay.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Its HTTPS port on loopback.
    pub(crate) port: u16,
    admin_port: u16,
    process: Process,
    command: Command,
    folder: TempDir,
}

impl Relay {
    /// Starts `binary` with these settings and waits until it is ready. Its log goes to a file in its folder, at the default level.
    pub(crate) async fn start(binary: &Path, settings: &Settings, secret: &str) -> Result<Self> {
        Self::start_by(Command::new(binary), settings, secret).await
    }

    /// The same, on a disk whose syncs take so much longer: `strace` holds each of them up. The relay is its child's parent, not its
    /// child, so that what is asked of the process is asked of the relay.
    pub(crate) async fn start_slow(binary: &Path, settings: &Settings, secret: &str, sync: Duration) -> Result<Self> {
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=fdatasync,fsync"]);
        command.arg("-e").arg(format!("inject=fdatasync,fsync:delay_exit={}", sync.as_micros())).arg(binary);
        Self::start_by(command, settings, secret).await
    }

    async fn start_by(mut command: Command, settings: &Settings, secret: &str) -> Result<Self> {
        let (folder, port, admin_port) = (tempfile::tempdir()?, free_port().await?, free_port().await?);
        let config = folder.path().join("relay.toml");
        std::fs::write(&config, settings.relay_toml(port, admin_port))?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        command.arg("--config").arg(&config).arg("serve").current_dir(folder.path()).env("BENCH_SECRET", secret);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut relay = Self { port, admin_port, process: Process(child), command, folder };
        relay.wait_until_ready().await?;
        Ok(relay)
    }

    /// Kills it as the system would, starts it again on what it left, and waits until it is ready.
    pub(crate) async fn kill_and_start(&mut self) -> Result<()> {
        self.process.0.kill()?;
        self.process.0.wait()?;
        self.process = Process(self.command.spawn()?);
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Ok((200, _)) = self.get("/readyz").await {
                return Ok(());
            }
            if let Some(status) = self.process.0.try_wait()? {
                bail!("the relay ended with {status}: {}", self.log_tail());
            }
            ensure!(start.elapsed() < START_MAX, "the relay is not ready after {START_MAX:?}: {}", self.log_tail());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// `GET /api/v1/status`.
    pub(crate) async fn status(&self) -> Result<Value> {
        match self.get("/api/v1/status").await? {
            (200, body) => Ok(serde_json::from_str(&body)?),
            (status, body) => bail!("the admin API answered {status}: {body}"),
        }
    }

    /// What the process has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }

    /// Files and sockets that it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.process.0.id()))?.count())
    }

    /// What it counts under this name, labels included.
    pub(crate) async fn counted(&self, name: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics").await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("{name} is not counted"))?.trim().parse()?)
    }

    /// Asks it to end and waits.
    pub(crate) async fn stop(mut self) -> Result<()> {
        // The shell's own kill: no other program needs to be installed.
        let pid = self.process.0.id();
        Command::new("sh").arg("-c").arg(format!("kill -TERM {pid}")).status()?;
        let start = Instant::now();
        while start.elapsed() < STOP_MAX {
            if let Some(status) = self.process.0.try_wait()? {
                ensure!(status.success(), "the relay ended with {status}: {}", self.log_tail());
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        bail!("the relay did not end within {STOP_MAX:?}");
    }

    /// `GET` at the admin listener: the status and the body.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String)> {
        self.ask("GET", path).await
    }

    /// `POST` without a body at the admin listener; it must be answered 200.
    pub(crate) async fn post(&self, path: &str) -> Result<()> {
        let (status, body) = self.ask("POST", path).await?;
        ensure!(status == 200, "{path} was answered {status}: {body}");
        Ok(())
    }

    /// A connection to the admin listener.
    pub(crate) async fn connected(&self) -> Result<TcpStream> {
        Ok(TcpStream::connect(("127.0.0.1", self.admin_port)).await?)
    }

    async fn ask(&self, method: &str, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin_port)).await?;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
        let status = head.split(' ').nth(1).context("the answer has no status")?.parse()?;
        Ok((status, body.to_owned()))
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// A port that was free a moment ago: relay.toml needs a number.
async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

/// The bare server.
#[derive(Debug)]
pub(crate) struct Bare {
    /// Its HTTPS port on loopback.
    pub(crate) port: u16,
    process: Process,
}

impl Bare {
    /// Runs this program again as the bare server and reads its port.
    pub(crate) async fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        // The server ends when this end of its stdin closes.
        let mut child = command.arg("--bare-server").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("the bare server has no stdout")?;
        let process = Process(child);
        let line = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
        let line = tokio::time::timeout(START_MAX, line).await??.context("the bare server did not start")??;
        Ok(Self { port: line.parse()?, process })
    }

    /// What the process has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }
}

/// A child that is killed when it is dropped.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn usage(&self) -> Result<Usage> {
        Usage::of(&PathBuf::from(format!("/proc/{}", self.0.id())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// Resident memory now.
    pub(crate) rss_mb: f64,
    /// The most resident memory so far.
    pub(crate) rss_peak_mb: f64,
}

impl Usage {
    /// Linux gives `/proc` times in hundredths of a second to programs, whatever the kernel's own tick.
    const TICKS_PER_SECOND: f64 = 100.0;

    fn of(folder: &Path) -> Result<Self> {
        let stat = std::fs::read_to_string(folder.join("stat"))?;
        let status = std::fs::read_to_string(folder.join("status"))?;
        Self::parse(&stat, &status)
    }

    fn parse(stat: &str, status: &str) -> Result<Self> {
        // The program's name, in parentheses, may hold spaces; user and system time are the 12th and 13th word behind it.
        let (_, words) = stat.rsplit_once(") ").context("/proc/PID/stat is not as expected")?;
        let words: Vec<_> = words.split(' ').collect();
        let ticks = |n: usize| words.get(n).and_then(|w| w.parse::<f64>().ok()).context("no CPU time in /proc/PID/stat");
        let mb = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name)).context("no memory in /proc/PID/status")?;
            Ok::<_, anyhow::Error>(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
        };
        Ok(Self {
            cpu_seconds: (ticks(11)? + ticks(12)?) / Self::TICKS_PER_SECOND,
            rss_mb: mb("VmRSS:")?,
            rss_peak_mb: mb("VmHWM:")?,
        })
    }

    /// CPU time since `before`; memory as it is now.
    pub(crate) fn since(self, before: &Self) -> Self {
        Self { cpu_seconds: self.cpu_seconds - before.cpu_seconds, ..self }
    }
}
