//! The folder `acme` of the store: a folder for each CA that was asked, with the account there and a file for each host.
//!
//! Each file is on stable storage when its writing returns. Nobody but the relay's user may read them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::disk;
use crate::net::issued::Issued;
use crate::net::tls;

const FOLDER: &str = "acme";
const ACCOUNT: &str = "account.json";
/// What could not be used is kept under this name, for whoever wonders.
const UNUSABLE: &str = "account.unusable";
/// More than any chain with its key.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// More than any host's name, and less than a file's name may have.
const NAME_BYTES_MAX: usize = 200;

/// The folder for one CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// As whom the CA knows the relay. Holds a private key.
#[derive(Deserialize, Serialize)]
pub(super) struct Kept {
    /// The CA.
    pub(super) directory: String,
    /// Where it writes to.
    pub(super) contact: Option<String>,
    /// The account's address, and its key.
    pub(super) credentials: instant_acme::AccountCredentials,
}

impl Folder {
    /// Below the store's folder, for the CA of this directory.
    pub fn of(store: &Path, directory: &Url) -> Self {
        // As people write it, so that they find it: `acme-v02.api.letsencrypt.org-directory`.
        let port = directory.port().map(|port| format!("-{port}")).unwrap_or_default();
        let name = format!("{}{port}{}", directory.host_str().unwrap_or_default(), directory.path().trim_end_matches('/'));
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' };
        let name: String = name.trim_start_matches('.').chars().map(plain).take(NAME_BYTES_MAX).collect();
        Self(store.join(FOLDER).join(name))
    }

    /// The file with a host's certificate and key. Names of hosts have no slash, and do not begin with a dot.
    pub fn certificate(&self, host: &str) -> PathBuf {
        self.0.join(format!("{host}.pem"))
    }

    /// What is there for a host; `None` where nothing is.
    pub(super) fn load(&self, host: &str) -> Result<Option<Issued>, tls::Error> {
        let file = self.certificate(host);
        match read(&file) {
            Ok(pem) => Issued::read(host, &file, &pem).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(tls::Error::File { file, why: error.to_string() }),
        }
    }

    /// Keeps a host's key and chain.
    pub(super) fn keep(&self, host: &str, pem: &[u8]) -> io::Result<()> {
        self.write(&self.certificate(host), pem)
    }

    /// The account at the CA of `directory`; `None` where there is none.
    pub(super) fn account(&self, directory: &str) -> io::Result<Option<Kept>> {
        let text = match read(&self.0.join(ACCOUNT)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        // What the parser says may quote the key.
        let kept: Kept = serde_json::from_slice(&text).map_err(|_| wrong("it cannot be read".to_owned()))?;
        if kept.directory == directory { Ok(Some(kept)) } else { Err(wrong("it is another CA's".to_owned())) }
    }

    /// Keeps the account.
    pub(super) fn keep_account(&self, kept: &Kept) -> io::Result<()> {
        self.write(&self.0.join(ACCOUNT), &zeroize::Zeroizing::new(serde_json::to_vec(kept)?))
    }

    /// Puts an account that cannot be used out of the way.
    pub(super) fn set_account_aside(&self) -> io::Result<()> {
        fs::rename(self.0.join(ACCOUNT), self.0.join(UNUSABLE))?;
        disk::sync_folder(&self.0)
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        disk::make_folder(&self.0)?;
        disk::replace(path, content)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(store: &Path, directory: &str) -> Folder {
        Folder::of(store, &Url::parse(directory).unwrap())
    }

    #[test]
    fn each_ca_has_a_folder_that_people_find() {
        for (directory, name) in [
            ("https://acme-v02.api.letsencrypt.org/directory", "acme-v02.api.letsencrypt.org-directory"),
            ("https://localhost:14000/dir", "localhost-14000-dir"),
            ("https://[::1]:1/a/../%2e%2e/b/", "---1--1-b"),
        ] {
            assert_eq!(folder(Path::new("data"), directory).0, Path::new("data/acme").join(name));
        }
    }

    #[test]
    fn what_is_written_is_whole_and_private() {
        tls::install_provider();
        let store = tempfile::tempdir().unwrap();
        let folder = folder(store.path(), "https://ca.example/dir");
        assert!(folder.load("a.example").unwrap().is_none());
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let pem = made.signing_key.serialize_pem() + &made.cert.pem();
        folder.keep("a.example", b"of another time").unwrap();
        assert!(folder.load("a.example").is_err());
        fs::write(folder.0.join("a.example.pem.part"), "of a crash").unwrap();
        folder.keep("a.example", pem.as_bytes()).unwrap();
        assert_eq!(folder.load("a.example").unwrap().unwrap().host(), "a.example");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&folder.certificate("a.example")), mode(&folder.0)), (0o600, 0o700));
            assert_eq!(mode(&store.path().join(FOLDER)), 0o700);
        }
        fs::write(folder.certificate("b.example"), "x".repeat(300_000)).unwrap();
        assert!(folder.load("b.example").is_err(), "a file without an end");
    }

    #[test]
    fn an_account_is_of_one_ca_and_a_damaged_one_is_put_aside() {
        let store = tempfile::tempdir().unwrap();
        let folder = folder(store.path(), "https://ca.example/dir");
        assert!(folder.account("https://ca.example/dir").unwrap().is_none());
        disk::make_folder(&folder.0).unwrap();
        let json = r#"{"directory":"https://ca.example/dir","contact":null,"credentials":{"id":"https://ca.example/1","key_pkcs8":"AAAA"}}"#;
        fs::write(folder.0.join(ACCOUNT), json).unwrap();
        let kept = folder.account("https://ca.example/dir").unwrap().unwrap();
        folder.keep_account(&kept).unwrap();
        assert!(folder.account("https://ca.example/dir").unwrap().is_some());
        assert!(folder.account("https://ca.example/other").is_err());
        fs::write(folder.0.join(ACCOUNT), "{\"directory\":").unwrap();
        assert_eq!(folder.account("https://ca.example/dir").err().unwrap().to_string(), "it cannot be read");
        folder.set_account_aside().unwrap();
        assert!(folder.account("https://ca.example/dir").unwrap().is_none());
        assert!(folder.0.join(UNUSABLE).exists());
    }
}
