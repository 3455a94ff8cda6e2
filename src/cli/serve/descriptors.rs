//! How many files and sockets the system lets the relay have, and who gets them: connections of senders never take those that the
//! store, deliveries and the admin API need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::settings::Settings;

/// Files of the store, the log, and what the runtime has for itself.
const OWN: u64 = 64;
/// Where the system knows no limit, or one that is none.
const DESCRIPTORS_MAX: u64 = 1 << 20;
/// Senders get no less than this part, whatever else there is to do.
const SENDERS_PART: u64 = 2;
/// The admin API gets no more than this part.
const ADMIN_PART: u64 = 8;
const ADMIN_CONNECTIONS_MAX: u64 = 256;

/// What the system allows, and how it is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    limit: u64,
    /// Connections of senders at once.
    pub(crate) connections: usize,
    /// Connections to the admin API at once.
    pub(super) admin: usize,
}

/// Raises the limit to what the system lets a process have that asks. It is low for programs that cannot count higher.
pub(super) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // What is not allowed stays as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

impl Descriptors {
    /// As it is for this process now.
    pub(super) fn present(settings: &Settings) -> Self {
        Self::of(getrlimit(Resource::Nofile).current, settings)
    }

    /// As it will be for a relay that is started as this process was.
    pub(crate) fn of_relay(settings: &Settings) -> Self {
        Self::of(getrlimit(Resource::Nofile).maximum, settings)
    }

    fn of(limit: Option<u64>, settings: &Settings) -> Self {
        let in_flight = settings.destinations.iter().map(|destination| destination.in_flight as u64).sum();
        Self::shared_out(limit, settings.limits.connections as u64, in_flight)
    }

    fn shared_out(limit: Option<u64>, connections: u64, in_flight: u64) -> Self {
        let limit = limit.unwrap_or(DESCRIPTORS_MAX).min(DESCRIPTORS_MAX);
        let admin = ADMIN_CONNECTIONS_MAX.min(limit / ADMIN_PART).max(1);
        let others = OWN.saturating_add(admin).saturating_add(in_flight);
        let room = limit.saturating_sub(others).max(limit / SENDERS_PART).max(1);
        let fits = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self { limit, connections: fits(room.min(connections)), admin: fits(admin) }
    }

    /// What somebody should know who asked for more connections than there can be.
    pub(crate) fn shortage(&self, settings: &Settings) -> Option<String> {
        let Self { limit, connections, .. } = self;
        (*connections < settings.limits.connections).then(|| {
            format!(
                "limits.connections is {}, but the system lets the relay have {limit} files and sockets, of which {connections} are \
                 left for connections: raise the limit (ulimit -n; LimitNOFILE of systemd)",
                settings.limits.connections
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_leave_what_others_need() {
        let of = |limit, in_flight| Descriptors::shared_out(limit, 10_000, in_flight);
        assert_eq!(of(None, 32), Descriptors { limit: 1 << 20, connections: 10_000, admin: 256 });
        assert_eq!(of(Some(20_000), 16_000).connections, 10_000);
        assert_eq!(of(Some(4096), 32), Descriptors { limit: 4096, connections: 4096 - 64 - 256 - 32, admin: 256 });
        assert_eq!(of(Some(4096), 1 << 40).connections, 2048);
        assert_eq!(of(Some(128), 16), Descriptors { limit: 128, connections: 64, admin: 16 });
        assert_eq!(of(Some(0), 16), Descriptors { limit: 0, connections: 1, admin: 1 });
    }
}
