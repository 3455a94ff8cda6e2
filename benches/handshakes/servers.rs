//! The servers as processes, with certificates of this run in a temporary folder; they end with the bench.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde::Serialize;
use tempfile::TempDir;

/// What clients ask for.
pub(crate) const NAME: &str = "hooks.example.com";
/// From a start to ready: milliseconds, but the machine may be busy.
const START_MAX: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Linux gives `/proc` times in hundredths of a second to programs, whatever the kernel's own tick.
const TICK: Duration = Duration::from_millis(10);
/// Where in `/proc/PID/stat`, behind the state, what stands.
const PARENT: usize = 0;
const USER: usize = 10;
const SYSTEM: usize = 11;

/// The kind of a certificate's key.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum KeyKind {
    #[serde(rename = "ECDSA P-256")]
    EcdsaP256,
    #[serde(rename = "RSA 2048")]
    Rsa2048,
}

/// A server that runs.
pub(crate) struct Server {
    /// Its port on loopback.
    pub(crate) port: u16,
    process: Child,
    _folder: TempDir,
}

impl Server {
    /// The relay, with so many threads, and so many certificates.
    pub(crate) fn relay(binary: &Path, key: KeyKind, threads: usize, certificates: usize) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let mut shown = String::new();
        for place in (0..certificates.max(1)).rev() {
            let name = if place == 0 { NAME.to_owned() } else { format!("host-{place}.example.com") };
            certificate(folder.path(), &format!("shown-{place}"), &name, key)?;
            shown.push_str(&format!("{{ cert = \"shown-{place}.pem\", key = \"shown-{place}-key.pem\" }}, "));
        }
        std::fs::write(folder.path().join("secret"), "of the bench only")?;
        let config = format!(
            "[listen]\nhttps = \"127.0.0.1:{port}\"\n[tls]\ncertificates = [{shown}]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [sources.github]\npath = \"/in/github\"\nprovider = \"github\"\nsecrets = [{{ file = \"secret\" }}]\n\
             [destinations.app]\nurl = \"http://127.0.0.1:9/\"\n[[routes]]\nfrom = \"github\"\nto = [\"app\"]\n"
        );
        std::fs::write(folder.path().join("relay.toml"), config)?;
        let mut command = Command::new(std::fs::canonicalize(binary).context("there is no binary of the relay")?);
        command.arg("serve").env("TOKIO_WORKER_THREADS", threads.to_string());
        Self::start(command, folder, port)
    }

    /// nginx, with so many processes, as it comes: it has tickets, and speaks both versions.
    pub(crate) fn nginx(program: &Path, key: KeyKind, processes: usize) -> Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        certificate(folder.path(), "shown", NAME, key)?;
        let config = format!(
            "daemon off;\nworker_processes {processes};\npid nginx.pid;\nerror_log stderr;\nevents {{ worker_connections 4096; }}\n\
             http {{\naccess_log off;\nserver {{\nlisten 127.0.0.1:{port} ssl;\nserver_name {NAME};\nssl_protocols TLSv1.2 TLSv1.3;\n\
             ssl_certificate shown.pem;\nssl_certificate_key shown-key.pem;\nreturn 200;\n}}\n}}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), config)?;
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        Self::start(command, folder, port)
    }

    fn start(mut command: Command, folder: TempDir, port: u16) -> Result<Self> {
        let log = std::fs::File::create(folder.path().join("log"))?;
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        let mut server = Self { port, process, _folder: folder };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = server.process.try_wait()? {
                let log = std::fs::read_to_string(server._folder.path().join("log"))?;
                bail!("{:?} ended with {status}: {log}", command.get_program());
            }
            ensure!(start.elapsed() < START_MAX, "{:?} is not there after {START_MAX:?}", command.get_program());
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(server)
    }

    /// User and system time so far, of its children, too.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut sum = cpu_of(self.process.id())?;
        for child in children(self.process.id())? {
            sum += cpu_of(child)?;
        }
        Ok(sum)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's processes end with their parent only if that is asked; the shell's own kill needs no other program.
        let pid = self.process.id();
        let _ = Command::new("sh").arg("-c").arg(format!("kill -TERM {pid}")).status();
        let _ = self.process.wait();
    }
}

/// What nginx says of itself; `None` where there is none.
pub(crate) fn nginx_version(program: &Path) -> Option<String> {
    let said = Command::new(program).arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&said.stderr).trim().to_owned();
    said.status.success().then(|| text.rsplit("nginx version: ").next().unwrap_or_default().to_owned())
}

/// A certificate that only this run believes, and its key.
fn certificate(folder: &Path, file: &str, name: &str, key: KeyKind) -> Result<()> {
    let key = match key {
        KeyKind::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        // Of 2048 bits, where nothing else is said.
        KeyKind::Rsa2048 => KeyPair::generate_for(&PKCS_RSA_SHA256)?,
    };
    let made = CertificateParams::new(vec![name.to_owned()])?.self_signed(&key)?;
    std::fs::write(folder.join(format!("{file}.pem")), made.pem())?;
    std::fs::write(folder.join(format!("{file}-key.pem")), key.serialize_pem())?;
    Ok(())
}

/// A port that was free a moment ago: both servers need a number.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The processes that `pid` has started.
fn children(pid: u32) -> Result<Vec<u32>> {
    let all = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // One that ends meanwhile is nobody's child.
    Ok(all.filter(|&other| stat(other).is_ok_and(|words| words.get(PARENT) == Some(&u64::from(pid)))).collect())
}

fn cpu_of(pid: u32) -> Result<Duration> {
    let words = stat(pid)?;
    let ticks = |place: usize| words.get(place).copied().context("no CPU time in /proc/PID/stat");
    Ok(TICK * u32::try_from(ticks(USER)? + ticks(SYSTEM)?)?)
}

/// The numbers of `/proc/PID/stat` behind the state; 0 where it is none that fits.
fn stat(pid: u32) -> Result<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name, in parentheses, may hold spaces.
    let (_, words) = text.rsplit_once(") ").context("/proc/PID/stat is not as expected")?;
    Ok(words.split(' ').skip(1).map(|word| word.parse().unwrap_or(0)).collect())
}
