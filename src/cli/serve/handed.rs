//! Sockets that were handed over when the program was started: by systemd, or by the relay that this process was before a restart.
//!
//! The way is systemd's (sd_listen_fds(3)): `LISTEN_FDS` says how many there are, `LISTEN_PID` for whom, `LISTEN_FDNAMES` their names. A
//! listener takes the socket that has its address. One with port 0 has no address until it is bound, so it takes by its name.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use crate::config::settings::Listener;

/// What listeners and their sockets are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Https,
    Http,
    Admin,
}

impl Kind {
    pub(super) fn of(listener: &Listener) -> Self {
        if listener.is_https { Self::Https } else { Self::Http }
    }

    /// Its setting in relay.toml.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Https => "listen.https",
            Self::Http => "listen.http",
            Self::Admin => "admin.listen",
        }
    }

    /// The name of its socket.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Admin => "admin",
        }
    }
}

/// Sockets that nobody has taken yet.
#[derive(Default)]
pub(super) struct Handed(Vec<Socket>);

struct Socket {
    name: String,
    address: SocketAddr,
    socket: TcpListener,
}

impl Handed {
    /// What was handed to this process. To be called before it has threads: it takes what it reads out of the environment.
    pub(super) fn receive() -> anyhow::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut from = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(from.len());
        for index in 0..from.len() {
            let name = names.next().unwrap_or_default();
            let unusable = |why: &str| anyhow::anyhow!("the socket {name:?} that was handed over {why}");
            let socket = from.take_tcp_listener(index).map_err(|error| unusable(&format!("cannot be used: {error}")))?;
            let Some(socket) = socket else { continue };
            if !socket2::SockRef::from(&socket).is_listener().unwrap_or(false) {
                return Err(unusable("does not listen: it needs ListenStream= and Accept=no"));
            }
            socket.set_nonblocking(true)?;
            sockets.push(Socket { address: socket.local_addr()?, name, socket });
        }
        Ok(Self(sockets))
    }

    /// The socket of a listener, if there is one.
    pub(super) fn take(&mut self, kind: Kind, asked: SocketAddr) -> Option<TcpListener> {
        let find = |fits: &dyn Fn(&Socket) -> bool| self.0.iter().position(fits);
        let by_address = || find(&|socket| socket.address == asked);
        // systemd's own word for "everywhere" is IPv6, and takes both families.
        let same_ip = |socket: &Socket| {
            let (ip, asked) = (socket.address.ip(), asked.ip());
            ip == asked || ip.is_unspecified() && asked.is_unspecified()
        };
        let everywhere = || find(&|socket| same_ip(socket) && socket.address.port() == asked.port());
        let by_name = || find(&|socket| asked.port() == 0 && same_ip(socket) && socket.name == kind.name());
        let found = by_address().or_else(everywhere).or_else(by_name)?;
        let Socket { socket, address, .. } = self.0.remove(found);
        tracing::info!(listener = kind.setting(), %address, "a listener has the socket that was handed over");
        Some(socket)
    }

    /// Lets go of what nobody took. Whoever handed it over may still hold it: then callers wait there, and nobody comes.
    pub(super) fn close(self) {
        for Socket { name, address, .. } in self.0 {
            tracing::warn!(name, %address, "no listener of the configuration has the address of a socket that was handed over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(sockets: &[(&str, &str)]) -> Handed {
        let bound = |(name, address): &(&str, &str)| {
            let socket = TcpListener::bind(address).unwrap();
            Socket { name: (*name).to_owned(), address: socket.local_addr().unwrap(), socket }
        };
        Handed(sockets.iter().map(bound).collect())
    }

    fn at(ip: &str, port: u16) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), port)
    }

    #[test]
    fn a_listener_takes_the_socket_with_its_address() {
        let mut handed = handed(&[("x", "127.0.0.1:0"), ("https", "[::]:0"), ("https", "127.0.0.1:0")]);
        let port = |handed: &Handed, index: usize| handed.0[index].address.port();
        let (own, wild, other) = (port(&handed, 0), port(&handed, 1), port(&handed, 2));
        assert!(handed.take(Kind::Https, at("127.0.0.2", own)).is_none(), "another address");
        assert!(handed.take(Kind::Admin, at("127.0.0.1", wild)).is_none(), "a socket that more can reach than the setting says");
        assert_eq!(handed.take(Kind::Admin, at("127.0.0.1", own)).unwrap().local_addr().unwrap().port(), own);
        assert!(handed.take(Kind::Admin, at("127.0.0.1", own)).is_none(), "each is taken once");
        assert_eq!(handed.take(Kind::Https, at("0.0.0.0", wild)).unwrap().local_addr().unwrap().port(), wild);
        assert!(handed.take(Kind::Http, at("127.0.0.1", 0)).is_none(), "another name");
        assert_eq!(handed.take(Kind::Https, at("127.0.0.1", 0)).unwrap().local_addr().unwrap().port(), other);
        assert!(handed.0.is_empty());
    }
}
