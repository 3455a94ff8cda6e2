//! Why a connection was let go.

/// The reason for which a connection was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetGo {
    /// Its address has as many as it may.
    PerAddress,
    /// As many handshakes as may be are under way.
    Handshakes,
    /// Its handshake would come too late.
    Overload,
    /// The system had no descriptor for it.
    Descriptors,
    /// Nobody but trusted proxies may come here.
    Untrusted,
    /// Its PROXY header is missing, or cannot be read.
    ProxyHeader,
    /// Its PROXY header did not come in time.
    ProxySlow,
    /// No HTTP that can be read came over it.
    Malformed,
}

impl LetGo {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::PerAddress,
        Self::Handshakes,
        Self::Overload,
        Self::Descriptors,
        Self::Untrusted,
        Self::ProxyHeader,
        Self::ProxySlow,
        Self::Malformed,
    ];

    /// The word for it in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerAddress => "per_address",
            Self::Handshakes => "handshakes",
            Self::Overload => "overload",
            Self::Descriptors => "descriptors",
            Self::Untrusted => "untrusted",
            Self::ProxyHeader => "proxy_header",
            Self::ProxySlow => "proxy_slow",
            Self::Malformed => "malformed",
        }
    }
}
