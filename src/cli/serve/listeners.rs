//! The listeners of a relay that runs: bound before the store is opened, served when everything is there, exchanged when the configuration
//! changes, and given to the next process when the relay restarts.
//!
//! One that stays keeps its socket, and its connections where it serves the same. One that goes stops accepting at once; its connections
//! end in order beside the others.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::handed::{Handed, Kind};
use super::serving::{Service, Serving};
use crate::config::settings::{Listen, Listener, Serve, Settings};
use crate::net::listener;

/// What is told where a listener keeps its socket, which takes one family of addresses only, though it could have both now.
const ONE_FAMILY: &str = "takes IPv6 only until the next start";

/// A socket that is bound for a listener.
#[derive(Clone)]
struct Bound {
    /// What the settings say of it.
    asked: Listener,
    /// The same with its true address: port 0 is known now.
    actual: Listener,
    socket: Arc<TcpListener>,
}

/// The admin listener's socket.
#[derive(Clone)]
struct AdminBound {
    asked: SocketAddr,
    speaks_tls: bool,
    actual: SocketAddr,
    socket: Arc<TcpListener>,
}

/// Sockets for all listeners; nothing is accepted yet.
pub(super) struct Sockets {
    public: Vec<Bound>,
    admin: AdminBound,
}

impl Sockets {
    /// Takes those that were handed over, and binds the others.
    pub(super) fn bind(settings: &Settings, handed: Handed) -> anyhow::Result<Self> {
        let (listen, admin) = (&settings.listen, &settings.admin);
        let (mut handed, public) = (handed, &listen.listeners);
        let taken: Vec<_> = public.iter().map(|asked| handed.take(Kind::of(asked), asked.address)).collect();
        let own = handed.take(Kind::Admin, admin.listen);
        // Before others are bound: what nobody wants may hold the port of one of them.
        handed.close();
        let bind = |(asked, taken): (&Listener, Option<std::net::TcpListener>)| {
            let kind = Kind::of(asked);
            let only_its_family = listen.has_both_families(asked.address);
            let socket = taken.map_or_else(|| bind(asked.address, kind, only_its_family), |socket| adopt(socket, kind))?;
            Bound::new(*asked, socket)
        };
        let public = public.iter().zip(taken).map(bind).collect::<anyhow::Result<_>>()?;
        let own = own.map_or_else(|| bind_admin(settings), |socket| adopt(socket, Kind::Admin))?;
        Ok(Self { public, admin: AdminBound::new(settings, own)? })
    }
}

impl Bound {
    fn new(asked: Listener, socket: TcpListener) -> anyhow::Result<Self> {
        let actual = Listener { address: socket.local_addr()?, ..asked };
        Ok(Self { asked, actual, socket: Arc::new(socket) })
    }
}

impl AdminBound {
    fn new(settings: &Settings, socket: TcpListener) -> anyhow::Result<Self> {
        let (asked, speaks_tls, actual) = (settings.admin.listen, settings.admin.tls, socket.local_addr()?);
        Ok(Self { asked, speaks_tls, actual, socket: Arc::new(socket) })
    }
}

fn bind(address: SocketAddr, kind: Kind, own_family_only: bool) -> anyhow::Result<TcpListener> {
    let setting = kind.setting();
    listener::bind(address, own_family_only).with_context(|| format!("{setting}: {address} cannot be listened on"))
}

fn bind_admin(settings: &Settings) -> anyhow::Result<TcpListener> {
    bind(settings.admin.listen, Kind::Admin, false)
}

/// A socket that this relay does not close.
fn heir(kind: Kind, socket: &Arc<TcpListener>) -> anyhow::Result<(Kind, OwnedFd)> {
    Ok((kind, socket.as_fd().try_clone_to_owned()?))
}

fn adopt(socket: std::net::TcpListener, kind: Kind) -> anyhow::Result<TcpListener> {
    let setting = kind.setting();
    TcpListener::from_std(socket).with_context(|| format!("{setting}: the socket that was handed over cannot be used"))
}

/// All listeners while they are served.
pub(super) struct Listeners {
    public: Vec<(Bound, Serving)>,
    admin: (AdminBound, Serving),
    /// Those that are gone, until their connections have ended.
    leaving: TaskTracker,
    pub(super) service: Service,
}

/// What listeners become; what is new is bound. Nothing changes until it is given back.
pub(super) struct Next {
    /// In the order of the settings: from which listener of now each one is, or a socket.
    public: Vec<Step>,
    admin: Option<AdminBound>,
    changes: Vec<String>,
}

enum Step {
    Stays(usize),
    /// It serves something else, or differently, at the same place.
    ServesAnew(usize, Listener),
    Comes(Bound),
}

impl Listeners {
    /// Serves them.
    pub(super) fn serve(sockets: Sockets, service: Service) -> Self {
        service.follow(sockets.public.iter());
        let serve = |bound: Bound| {
            let serving = service.public(&bound.actual, bound.socket.clone());
            (bound, serving)
        };
        let public = sockets.public.into_iter().map(serve).collect();
        let serving = service.admin(sockets.admin.speaks_tls, sockets.admin.socket.clone());
        Self { public, admin: (sockets.admin, serving), leaving: TaskTracker::new(), service }
    }

    /// All but the admin API's, as bound.
    pub(super) fn bound(&self) -> Vec<Listener> {
        self.public.iter().map(|(bound, _)| bound.actual).collect()
    }

    /// Where the admin API is, as bound.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin.0.actual
    }

    /// The first that takes webhooks, as bound.
    pub(super) fn first(&self) -> Option<SocketAddr> {
        self.bound().iter().find(|listener| listener.serve == Serve::Webhooks).map(|listener| listener.address)
    }

    /// Binds what `settings` have and this has not. A port that cannot be had is an error, and nothing has changed.
    pub(super) fn prepare(&self, settings: &Settings) -> anyhow::Result<Next> {
        let (listen, mut changes, mut free) = (&settings.listen, Vec::new(), vec![true; self.public.len()]);
        let mut find = |fits: &dyn Fn(&Listener) -> bool| {
            let found = self.public.iter().zip(&free).position(|((bound, _), free)| *free && fits(&bound.asked))?;
            free[found] = false;
            Some(found)
        };
        // Those that stay first, so that of two at port 0 each keeps its own.
        let mut found: Vec<_> = listen.listeners.iter().map(|asked| find(&|now| now == asked).map(Step::Stays)).collect();
        for (asked, step) in listen.listeners.iter().zip(&mut found).filter(|(_, step)| step.is_none()) {
            *step = find(&|now| now.address == asked.address).map(|index| Step::ServesAnew(index, *asked));
        }
        let mut public = Vec::new();
        for (asked, step) in listen.listeners.iter().zip(found) {
            let (name, address) = (Kind::of(asked).setting(), asked.address);
            public.push(match step {
                Some(step) => {
                    if let Step::ServesAnew(..) = step {
                        changes.push(format!("{name} {address}: serves what it says now"));
                    }
                    step
                }
                None => {
                    changes.push(format!("{name} {address}: added"));
                    let socket = bind(address, Kind::of(asked), listen.has_both_families(address));
                    Step::Comes(Bound::new(*asked, socket.with_context(|| self.holder(address))?)?)
                }
            });
        }
        let gone = self.public.iter().zip(&free).filter(|(_, is_gone)| **is_gone).map(|((bound, _), _)| bound.asked);
        changes.extend(gone.map(|gone| format!("{} {}: removed", Kind::of(&gone).setting(), gone.address)));
        let admin = self.prepare_admin(settings, &mut changes)?;
        changes.extend(self.one_family(listen, &public));
        Ok(Next { public, admin, changes })
    }

    fn prepare_admin(&self, settings: &Settings, changes: &mut Vec<String>) -> anyhow::Result<Option<AdminBound>> {
        let (now, wanted) = (&self.admin.0, &settings.admin);
        if now.asked != wanted.listen {
            changes.push(format!("admin.listen {}: removed", now.asked));
            changes.push(format!("admin.listen {}: added", wanted.listen));
            let socket = bind_admin(settings).with_context(|| self.holder(wanted.listen))?;
            return Ok(Some(AdminBound::new(settings, socket)?));
        }
        Ok((now.speaks_tls != wanted.tls).then(|| {
            changes.push(format!("admin.listen {}: {} TLS", now.asked, if wanted.tls { "speaks" } else { "does not speak" }));
            AdminBound { speaks_tls: wanted.tls, ..now.clone() }
        }))
    }

    /// Why `address` may not be had.
    fn holder(&self, address: SocketAddr) -> String {
        let all = self.public.iter().map(|(bound, _)| bound.actual.address).chain([self.admin()]);
        match all.into_iter().find(|own| own.port() == address.port()) {
            Some(own) => format!("the relay itself listens on {own}; only a restart can exchange the two"),
            None => "the new listener cannot be bound".to_owned(),
        }
    }

    /// IPv6 wildcards that were bound beside a listener for IPv4 which is gone.
    fn one_family(&self, listen: &Listen, public: &[Step]) -> Vec<String> {
        let kept = public.iter().filter_map(|step| match step {
            Step::Stays(index) | Step::ServesAnew(index, _) => Some(&self.public[*index].0),
            Step::Comes(_) => None,
        });
        let is_narrow = |bound: &&Bound| {
            let address = bound.asked.address;
            let is_only_v6 = || socket2::SockRef::from(&*bound.socket).only_v6().unwrap_or(false);
            address.is_ipv6() && address.ip().is_unspecified() && !listen.has_both_families(address) && is_only_v6()
        };
        kept.filter(is_narrow)
            .map(|bound| format!("{} {}: {ONE_FAMILY}", Kind::of(&bound.asked).setting(), bound.asked.address))
            .collect()
    }

    /// Serves them so from now on; what is different, a line each.
    pub(super) fn replace(&mut self, next: Next) -> Vec<String> {
        let mut before: Vec<_> = std::mem::take(&mut self.public).into_iter().map(Some).collect();
        let mut after = Vec::with_capacity(next.public.len());
        for step in next.public {
            let bound = match step {
                Step::Stays(index) => {
                    after.extend(before[index].take());
                    continue;
                }
                Step::ServesAnew(index, asked) => {
                    let Some((bound, serving)) = before[index].take() else { continue };
                    self.leave(serving);
                    Bound { asked, actual: Listener { address: bound.actual.address, ..asked }, socket: bound.socket }
                }
                Step::Comes(bound) => bound,
            };
            let serving = self.service.public(&bound.actual, bound.socket.clone());
            after.push((bound, serving));
        }
        before.into_iter().flatten().for_each(|(_, serving)| self.leave(serving));
        self.public = after;
        self.service.follow(self.public.iter().map(|(bound, _)| bound));
        if let Some(admin) = next.admin {
            let serving = self.service.admin(admin.speaks_tls, admin.socket.clone());
            let (_, left) = std::mem::replace(&mut self.admin, (admin, serving));
            self.leave(left);
        }
        next.changes
    }

    fn leave(&self, serving: Serving) {
        serving.stop.cancel();
        self.leaving.spawn(async move {
            // It ends when its last connection has ended.
            let _ = serving.task.await;
        });
    }

    /// The sockets for a relay that follows with `settings` (where they can be read by this one), to be held beyond this: callers who come
    /// when nobody accepts wait in the system's queue, and are not refused. What is new there is bound: a port that cannot be had is an
    /// error while this relay still runs.
    pub(super) fn heirs(&self, settings: Option<&Settings>) -> anyhow::Result<Vec<(Kind, OwnedFd)>> {
        let public = self.public.iter().map(|(bound, _)| (Kind::of(&bound.asked), bound.asked.address, &bound.socket));
        let now: Vec<_> = public.chain([(Kind::Admin, self.admin.0.asked, &self.admin.0.socket)]).collect();
        let Some(settings) = settings else {
            return now.into_iter().map(|(kind, _, socket)| heir(kind, socket)).collect();
        };
        let (listen, admin) = (&settings.listen, settings.admin.listen);
        let asked = listen.listeners.iter().map(|asked| (Kind::of(asked), asked.address)).chain([(Kind::Admin, admin)]);
        let (mut free, mut heirs) = (now, Vec::new());
        for (kind, address) in asked {
            if let Some(found) = free.iter().position(|(of, at, _)| *at == address && (*of == kind || address.port() != 0)) {
                let (_, _, socket) = free.remove(found);
                heirs.push(heir(kind, socket)?);
            } else if !self.holds(address.port()) {
                let only_its_family = kind != Kind::Admin && listen.has_both_families(address);
                heirs.push(heir(kind, &Arc::new(bind(address, kind, only_its_family)?))?);
            }
        }
        Ok(heirs)
    }

    /// Whether one of the listeners has this port, at whatever address: then only the successor can have it, when this relay has ended.
    fn holds(&self, port: u16) -> bool {
        self.bound().iter().map(|listener| listener.address).chain([self.admin()]).any(|own| own.port() == port)
    }

    /// Stops accepting webhooks, and returns when all connections of senders have ended. The admin listener goes on: what is given back
    /// stops it.
    pub(super) fn stop(self) -> (impl Future<Output = ()>, Serving) {
        let Self { public, admin: (_, admin), leaving, .. } = self;
        public.iter().for_each(|(_, serving)| serving.stop.cancel());
        // The sockets are let go with the listeners.
        let tasks: Vec<_> = public.into_iter().map(|(_, serving)| serving.task).collect();
        let ended = async move {
            for task in tasks {
                let _ = task.await;
            }
            leaving.close();
            leaving.wait().await;
        };
        (ended, admin)
    }
}

impl Service {
    /// Callers without TLS are sent to the first of these listeners that speaks it.
    fn follow<'a>(&self, mut public: impl Iterator<Item = &'a Bound>) {
        let https = public.find(|bound| bound.actual.is_https);
        self.https_port.store(https.map_or(0, |bound| bound.actual.address.port()), Ordering::Relaxed);
    }
}
