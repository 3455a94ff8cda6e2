//! How a relay is called and where its store is: what of its relay.toml its own command line needs. The rest may be wrong, or closed to
//! whoever calls: a relay that runs is asked all the same, and says itself what it thinks of the file; one that was stopped may have had
//! secrets that are there only while it runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeTable;

use super::reading::Reading;
use super::settings::{Acme, Audit, Tls};
use super::table::Section;
use super::token::Token;
use super::{admin, file, listen, relay};

/// The way to a relay.
#[derive(Debug)]
pub struct Entrance {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether it speaks TLS there.
    pub tls: bool,
    /// Who may come in, as far as the caller may know.
    pub tokens: Vec<Token>,
    /// Its certificates, where they are known.
    pub certificates: Option<(Tls, Option<Arc<Acme>>)>,
    /// The folder of its store, in which those of ACME are.
    pub store: PathBuf,
    /// What is kept there of who did what.
    pub audit: Audit,
}

/// Problems with where the relay and its store are are reported to `place`; those with what may be missing to `rest`.
pub(super) fn read<'a>(table: &'a DeTable<'a>, place: &'a Reading<'a>, rest: &'a Reading<'a>) -> Entrance {
    let mut whole = Section::whole(place, table, &file::KEYS);
    let store = relay::store(whole.table("store"), place.folder.to_path_buf()).path;
    let mut admin = whole.table("admin");
    let (listen, tls) = admin::place(&mut admin);
    let audit = admin::audit(&mut admin);
    let mut whole = Section::whole(rest, table, &file::KEYS);
    let tokens = admin::tokens(&mut whole.table("admin"));
    let listeners = listen::listen(whole.table("listen"));
    let certificates = relay::tls(whole.table("tls"), rest.folder.to_path_buf(), listeners.as_ref());
    Entrance { listen, tls, tokens, certificates: certificates.map(|(tls, acme, _)| (tls, acme)), store, audit }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse_entrance;

    fn read(text: &str) -> Result<super::Entrance, String> {
        let env = |name: &str| (name == "OPS").then(|| "token-of-ops-0123456789".into());
        parse_entrance(text, Path::new("/nowhere"), "relay.toml", &env).map_err(|problems| problems.to_string())
    }

    #[test]
    fn what_is_wrong_elsewhere_does_not_matter() {
        let text = r#"
[admin]
listen = "127.0.0.1:7000"
tls = true
tokens = [
    { name = "eyes", role = "viewer", secret = { file = "closed" } },
    { name = "ops", role = "operator", secret = { env = "OPS" } },
]
[tls]
certificates = [{ cert = "closed.pem", key = "closed-key.pem" }]
[store]
path = "kept"
[sources.github]
provider = "gitbuh"
secrets = [{ file = "closed" }]
[nonsense]
"#;
        let entrance = read(text).unwrap();
        assert_eq!((entrance.listen.port(), entrance.tls), (7000, true));
        assert_eq!(entrance.tokens.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["ops"]);
        assert_eq!(entrance.store, Path::new("/nowhere/kept"));
    }

    #[test]
    fn nothing_is_looked_for_elsewhere_than_the_file_says() {
        assert_eq!(read("").unwrap().listen.port(), 9443);
        assert!(read("[admin]\nlisten = \"127.0.0.1\"").unwrap_err().contains("line 2"));
        assert!(read("[store]\npath = 1").unwrap_err().contains("line 2"));
        assert!(read("[admin]\ntls = 1").unwrap_err().contains("line 2"));
        assert!(read("[admin").unwrap_err().contains("not TOML"));
    }
}
