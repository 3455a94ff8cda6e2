//! Which source a request belongs to, by host and path, as sent; and, in `filter`, which of its destinations its event goes to.

pub mod filter;
pub mod glob;
mod look;
pub mod number;
pub mod wanted;

use std::collections::HashMap;

/// Sources by host and path. A source that names a host goes before one that takes every host; an exact path goes before a
/// prefix, and a longer prefix before a shorter one.
#[derive(Debug)]
pub struct Table<T> {
    exact: HashMap<String, Vec<Entry<T>>>,
    below: Vec<(String, Entry<T>)>,
}

#[derive(Debug)]
struct Entry<T> {
    host: Option<String>,
    value: T,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Adds a value for exactly `path`, on `host` (lower case, no port) or every host.
    pub fn add_exact(&mut self, host: Option<String>, path: &str, value: T) {
        let entries = self.exact.entry(path.to_owned()).or_default();
        entries.push(Entry { host, value });
        entries.sort_by_key(|e| e.host.is_none());
    }

    /// Adds a value for `path` (no `/` at its end) and everything below it.
    pub fn add_below(&mut self, host: Option<String>, path: &str, value: T) {
        self.below.push((path.to_owned(), Entry { host, value }));
        self.below.sort_by_key(|(path, e)| (e.host.is_none(), usize::MAX - path.len()));
    }

    /// All values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let below = self.below.iter().map(|(_, entry)| entry);
        self.exact.values().flatten().chain(below).map(|entry| &entry.value)
    }

    /// The value for a request to `authority` (with or without a port) and `path` (without the query).
    pub fn find(&self, authority: &str, path: &str) -> Option<&T> {
        let host = host_of(authority);
        let fits = |e: &Entry<T>| e.host.as_deref().is_none_or(|h| h.eq_ignore_ascii_case(host));
        let exact = self.exact.get(path).and_then(|entries| entries.iter().find(|e| fits(e)));
        let below = || self.below.iter().find(|(prefix, e)| is_below(path, prefix) && fits(e)).map(|(_, e)| e);
        exact.or_else(below).map(|e| &e.value)
    }
}

/// The rest of `path` below `prefix`, with its leading `/`; empty where they are equal.
pub fn rest_below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_below(path: &str, prefix: &str) -> bool {
    rest_below(path, prefix).is_some()
}

/// The host of an authority: without the port, a trailing dot left as it is.
fn host_of(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<&'static str> {
        let mut table = Table::default();
        table.add_exact(None, "/in/a", "any host");
        table.add_exact(Some("hooks.example".into()), "/in/a", "own host");
        table.add_below(None, "/in/tw", "short");
        table.add_below(None, "/in/tw/eu", "long");
        table
    }

    #[test]
    fn a_host_of_its_own_goes_first() {
        assert_eq!(table().find("hooks.example:8443", "/in/a"), Some(&"own host"));
        assert_eq!(table().find("HOOKS.example", "/in/a"), Some(&"own host"));
        assert_eq!(table().find("[::1]:8443", "/in/a"), Some(&"any host"));
        assert_eq!(table().find("", "/in/a"), Some(&"any host"));
    }

    #[test]
    fn paths_are_taken_as_sent() {
        for path in ["/in/a/", "/in/%61", "/in//a", "/IN/a", "/in/twice", "*", ""] {
            assert_eq!(table().find("h", path), None, "{path}");
        }
        assert_eq!(table().find("h", "/in/tw"), Some(&"short"));
        assert_eq!(table().find("h", "/in/tw/x/y"), Some(&"short"));
        assert_eq!(table().find("h", "/in/tw/eu/y"), Some(&"long"));
        assert_eq!(rest_below("/in/tw/x", "/in/tw"), Some("/x"));
    }
}
