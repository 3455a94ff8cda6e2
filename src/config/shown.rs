//! What a relay.toml says, as it may be shown to everybody who may look: in its own words, without anything that can be a secret.
//!
//! A secret is never in relay.toml itself, only where it is (`env`, `file`), and that may be shown. But values of headers, users
//! and passwords in URLs, and queries can be secrets, and are masked whoever looks. Comments are left out, since nobody can tell
//! what is in them. Never here: the content of a file or variable that relay.toml names.

use toml::{Table, Value};

/// Stands for what is not shown.
const MASK: &str = "***";

/// Tables whose plain values are credentials as often as not.
const MASKED_TABLES: [&str; 2] = ["headers", "members"];
/// Keys under which a secret is to be named and not to be written. Who writes one all the same gets an error, and no copy of it.
const MASKED_KEYS: [&str; 8] =
    ["secret", "secrets", "client_secret", "password", "token", "verify_token", "signing_key", "api_keys"];
/// A route may ask for the value of any header: where the name sounds like one of these, the value is a credential.
const SENSITIVE: [&str; 8] = ["auth", "token", "secret", "password", "cookie", "signature", "api-key", "apikey"];

/// A relay.toml without secrets.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The file, as it was named.
    pub file: String,
    /// As text, in the words of relay.toml.
    pub text: String,
    /// As a table.
    pub table: Table,
}

impl Shown {
    /// Of a text that is TOML. Where it is not, nothing is shown.
    pub(super) fn of(file: &str, text: &str) -> Self {
        let mut table: Table = text.parse().unwrap_or_default();
        table.iter_mut().for_each(|(key, value)| mask(&mut vec![key.as_str()], value));
        let text = written(&table);
        Self { file: file.to_owned(), text, table }
    }
}

/// As people write it: a section for each table, and what is in one on a line each.
fn written(table: &Table) -> String {
    let mut text = String::new();
    let is_section = |value: &Value| value.is_table() || value.as_array().is_some_and(|list| list.iter().any(Value::is_table));
    lines(&mut text, table.iter().filter(|(_, value)| !is_section(value)));
    for (name, value) in table.iter().filter(|(_, value)| is_section(value)) {
        let name = key(name);
        match value {
            Value::Table(entries) if entries.values().all(Value::is_table) => {
                for (entry, value) in entries {
                    section(&mut text, &format!("[{name}.{}]", key(entry)), value);
                }
            }
            Value::Array(entries) => entries.iter().for_each(|entry| section(&mut text, &format!("[[{name}]]"), entry)),
            other => section(&mut text, &format!("[{name}]"), other),
        }
    }
    text
}

fn section(text: &mut String, head: &str, value: &Value) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(head);
    text.push('\n');
    lines(text, value.as_table().into_iter().flatten());
}

fn lines<'a>(text: &mut String, entries: impl Iterator<Item = (&'a String, &'a Value)>) {
    entries.for_each(|(name, value)| text.push_str(&format!("{} = {value}\n", key(name))));
}

/// A key, in quotes where it needs some.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { name.to_owned() } else { Value::String(name.to_owned()).to_string() }
}

/// `path`: the keys that lead to the value, its own the last.
fn mask<'a>(path: &mut Vec<&'a str>, value: &'a mut Value) {
    match value {
        Value::String(text) if is_masked(path) => *text = MASK.to_owned(),
        Value::String(text) => *text = without_credentials(text),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(path, item)),
        Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                path.push(key.as_str());
                mask(path, value);
                path.pop();
            }
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

fn is_masked(path: &[&str]) -> bool {
    let [above @ .., key] = path else { return false };
    // Where a secret is: `{ env = "NAME" }` and `{ file = "PATH" }` are what a person needs to find it.
    if ["env", "file"].contains(key) && !above.last().is_some_and(|table| MASKED_TABLES.contains(table)) {
        return false;
    }
    let is_condition = above.contains(&"when");
    let sounds = || SENSITIVE.iter().any(|word| key.to_ascii_lowercase().contains(word));
    MASKED_KEYS.contains(key) || if is_condition { sounds() } else { above.iter().any(|table| MASKED_TABLES.contains(table)) }
}

/// A URL without its user, password and query; any other text as it is.
fn without_credentials(text: &str) -> String {
    let (start, is_url) = match text.find("://") {
        Some(at) => (at + 3, true),
        None => (0, text.starts_with("unix:")),
    };
    if !is_url {
        return text.to_owned();
    }
    let (scheme, rest) = text.split_at(start);
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?***"));
    let (authority, path) = rest.split_at(rest.find(['/', '#']).unwrap_or(rest.len()));
    // A password may hold an `@`: the last one ends it.
    let authority = authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("{MASK}@{host}"));
    format!("{scheme}{authority}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_in_the_words_of_the_file_and_holds_no_secret() {
        let text = r#"
# hidden-1
[sources.stripe]
path = "/in/stripe"
provider = "stripe"
secrets = [{ env = "STRIPE_SECRET" }, { file = "/run/old", until = 2026-12-01T00:00:00Z }]
key_fetch = { headers = { authorization = "hidden-2" }, members = { id = "hidden-3" } }
[destinations.app]
url = "https://hidden-4:hidden@5@app.internal:8443/hook?token=hidden-6"
headers = { authorization = { file = "token" }, x-key = "hidden-7", file = "hidden-8" }
[destinations.socket]
url = "unix:/run/app.sock:/x?key=hidden-9"
auth = { basic = { user = "relay", password = "hidden-10" } }
[[routes]]
from = "stripe"
to = ["app"]
when = { type = ["invoice.*"], headers = { x-env = "prod", X-Api-Token = ["hidden-11"] } }
"#;
        let shown = Shown::of("relay.toml", text);
        assert!(!shown.text.contains("hidden"), "{}", shown.text);
        for part in [
            "STRIPE_SECRET",
            "/run/old",
            "2026-12-01T00:00:00Z",
            "https://***@app.internal:8443/hook?***",
            "unix:/run/app.sock:/x?***",
            "invoice.*",
            "\"prod\"",
            "[sources.stripe]",
            "[[routes]]",
            "secrets = [{ env = \"STRIPE_SECRET\" }",
            "[destinations.app]",
            "\"relay\"",
        ] {
            assert!(shown.text.contains(part), "{part} is not in\n{}", shown.text);
        }
        assert_eq!(shown.text.parse::<Table>().unwrap(), shown.table, "it says the same");
    }

    #[test]
    fn what_is_no_url_stays() {
        for text in ["/in/x?", "a@b", "127.0.0.1:8443", "http://app:80/x", "30s"] {
            assert_eq!(without_credentials(text), text);
        }
        assert_eq!(without_credentials("http://u@h"), "http://***@h");
        assert_eq!(without_credentials("http://h/a@b"), "http://h/a@b");
    }
}
