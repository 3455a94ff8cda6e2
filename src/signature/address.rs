//! The address that a provider called, for schemes that sign it. Never rebuilt from parsed parts: path and query follow verbatim.

use url::Url;

/// Which form of the address a scheme signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it was called.
    Whole,
    /// Without `?` and what follows.
    NoQuery,
    /// With a port, the scheme's own one where none is named.
    Port,
    /// Without a port.
    NoPort,
}

/// What stands before the request's path: `https://hooks.example:8443/base`, without a `/` at its end.
#[derive(Clone, Debug)]
pub(super) struct Base(String);

impl Base {
    /// From a configured address; its query and fragment do not count.
    pub(super) fn from_url(url: &Url) -> Self {
        Self(url[..url::Position::AfterPath].trim_end_matches('/').to_owned())
    }

    /// What stands before the path of a whole address; the host; path and query. Verbatim: parsing would normalise them.
    /// Without a scheme it is all path.
    pub(super) fn split_url(url: &str) -> (Option<Self>, &str, &str) {
        let Some((_, rest)) = url.split_once("://") else {
            return (None, "", url);
        };
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        let front = url.len() - rest.len() + authority.len();
        (Some(Self(url[..front].to_owned())), authority, &url[front..])
    }

    /// Where nothing is configured: TLS and the host that the sender named.
    pub(super) fn of_host(authority: &str) -> Self {
        Self(["https://", authority].concat())
    }

    /// Gives the address of `target` in that form, piece by piece.
    pub(super) fn feed(&self, form: Form, target: &str, sink: &mut dyn FnMut(&[u8])) {
        match form {
            Form::Whole | Form::NoQuery => sink(self.0.as_bytes()),
            Form::Port | Form::NoPort => self.feed_with_port(form == Form::Port, sink),
        }
        let whole = form != Form::NoQuery;
        sink(if whole { target } else { path_of(target) }.as_bytes());
    }

    /// Gives it with a port or without one, whether it has one or not.
    fn feed_with_port(&self, wanted: bool, sink: &mut dyn FnMut(&[u8])) {
        let (front, port, path) = self.split();
        sink(front.as_bytes());
        match port {
            _ if !wanted => {}
            Some(port) => {
                sink(b":");
                sink(port.as_bytes());
            }
            None => sink(if front.starts_with("http://") { b":80" } else { b":443" }),
        }
        sink(path.as_bytes());
    }

    /// Scheme and host; the port; the path.
    fn split(&self) -> (&str, Option<&str>, &str) {
        let host_at = self.0.find("://").map_or(0, |i| i + 3);
        let path_at = self.0[host_at..].find('/').map_or(self.0.len(), |i| host_at + i);
        let (front, path) = self.0.split_at(path_at);
        match front.rfind(':') {
            // A colon within the brackets of an IPv6 address, or before the '@' of a user's password, starts no port.
            Some(at) if at >= host_at && front[at + 1..].bytes().all(|b| b.is_ascii_digit()) => {
                (&front[..at], Some(&front[at + 1..]), path)
            }
            _ => (front, None, path),
        }
    }
}

/// The path of a target.
pub(super) fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// The query of a target, without `?`.
pub(super) fn query_of(target: &str) -> &str {
    target.split_once('?').map_or("", |(_, query)| query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base: &Base, form: Form, target: &str) -> String {
        let mut text = Vec::new();
        base.feed(form, target, &mut |piece| text.extend_from_slice(piece));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn forms_differ_in_port_and_query_only() {
        let target = "/in/tw/a$b%24c/%7e?x=%7E&y=~";
        let check = |base: &str, form, expected: &str| {
            assert_eq!(address(&Base(base.to_owned()), form, target).replace(target, "T"), expected);
        };
        check("https://h.example", Form::Whole, "https://h.exampleT");
        check("https://h.example", Form::Port, "https://h.example:443T");
        check("http://h.example", Form::Port, "http://h.example:80T");
        check("https://h.example:8443/base", Form::NoPort, "https://h.example/baseT");
        check("https://u:1@h.example", Form::NoPort, "https://u:1@h.exampleT");
        check("https://[::1]", Form::NoPort, "https://[::1]T");
        check("https://[::1]:80", Form::NoPort, "https://[::1]T");
        assert_eq!(address(&Base::of_host("h:1"), Form::NoQuery, "/a?b=/c"), "https://h:1/a");
    }

    #[test]
    fn addresses_are_split_verbatim() {
        let check = |url, host: &str, target: &str| {
            let (_, h, t) = Base::split_url(url);
            assert_eq!((h, t), (host, target), "{url}");
        };
        check("https://u:p@h:443/a/%7e?x=://", "u:p@h:443", "/a/%7e?x=://");
        check("http://h?x", "h", "?x");
        check("/in/x?y", "", "/in/x?y");
    }

    #[test]
    fn a_configured_address_loses_its_last_slash() {
        let base = |text: &str| Base::from_url(&Url::parse(text).unwrap()).0;
        assert_eq!(base("https://h.example"), "https://h.example");
        assert_eq!(base("https://u:p@h.example/base/?x#y"), "https://u:p@h.example/base");
    }
}
