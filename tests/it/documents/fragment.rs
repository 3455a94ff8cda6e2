//! Blocks of relay.toml in pages and in the reference: each is read as the relay would read it.
//!
//! A block may be a part of a file. What it needs beside it is added: sections of the relay itself, sources and destinations that its
//! routes name, keys that a source or destination must have, and the files that it names. A block whose fence says
//! "toml wrong" must be refused.

use std::ffi::OsString;
use std::fmt::Write;

use hookhold::config::{self, Loaded, Problems};
use toml::{Table, Value};

use super::pages;

/// As a text, in base64, and with a prefix or without it, this can be a secret of every provider.
const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// What a secret is that is an address: by its name, which ends so.
const ADDRESS: (&str, &str) = ("url", "https://hooks.example.com/services/T0/B0");

fn secret(name: &str) -> &'static str {
    let (ending, address) = ADDRESS;
    if name.to_ascii_lowercase().ends_with(ending) { address } else { SECRET }
}

/// A folder for the files that blocks name.
pub(super) struct World {
    folder: tempfile::TempDir,
    certificate: String,
    key: String,
}

impl World {
    pub(super) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["hooks.example.com".to_owned()]).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// Reads a text as the relay.toml of this folder.
    pub(super) fn parse(&self, text: &str) -> Result<Loaded, Problems> {
        config::parse(text, self.folder.path(), "relay.toml", &|name| Some(OsString::from(secret(name))))
    }

    /// A part of a relay.toml with what it needs beside it.
    pub(super) fn completed(&self, fragment: &str) -> String {
        let Ok(table) = fragment.parse::<Table>() else { return fragment.to_owned() };
        let mut text = fragment.to_owned();
        let mut more = String::new();
        let names = |section: &str| table.get(section).and_then(Value::as_table).into_iter().flatten();
        for (name, source) in names("sources") {
            complete(&mut text, &mut more, &format!("sources.{name}"), source, &[("path", &format!("\"/in/{name}\""))]);
            if source.get("provider").is_none() {
                let own = [("provider", "\"custom\""), ("secrets", "[{ env = \"S\" }]"), ("verify_token", "{ env = \"S\" }")];
                complete(&mut text, &mut more, &format!("sources.{name}"), source, &own);
                let verify = "kind = \"hmac\"\nhash = \"sha256\"\npayload = \"{body}\"\n\
                              signature = [{ in = \"header\", name = \"X-Signature\", encoding = \"hex\" }]";
                let _ = writeln!(more, "[sources.{name}.verify]\n{verify}");
            }
        }
        for (name, destination) in names("destinations") {
            complete(
                &mut text,
                &mut more,
                &format!("destinations.{name}"),
                destination,
                &[("url", "\"http://127.0.0.1:3000/\"")],
            );
        }
        self.complete_sections(&table, &mut more);
        self.with_files(&table, format!("{text}\n{more}"))
    }

    /// What a block says nothing of, and a relay needs.
    fn complete_sections(&self, table: &Table, more: &mut String) {
        if !table.contains_key("listen") {
            more.push_str("[listen]\nhttps = \"127.0.0.1:8443\"\n");
        }
        if !table.contains_key("tls") {
            more.push_str("[tls]\ncertificates = [{ cert = \"own.pem\", key = \"own-key.pem\" }]\n");
            self.write("own.pem", &self.certificate);
            self.write("own-key.pem", &self.key);
        }
        let routes = table.get("routes").and_then(Value::as_array);
        for (key, section, needs) in [
            ("from", "sources", "path = \"/in/NAME\"\nprovider = \"github\"\nsecrets = [{ env = \"S\" }]"),
            ("to", "destinations", "url = \"http://127.0.0.1:3000/\""),
        ] {
            let named = routes.into_iter().flatten().filter_map(|route| route.get(key)).flat_map(|value| match value {
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
                value => value.as_str().into_iter().collect::<Vec<_>>(),
            });
            let mut named: Vec<_> =
                named.filter(|name| table.get(section).is_none_or(|there| there.get(*name).is_none())).collect();
            named.sort_unstable();
            named.dedup();
            for name in named {
                let _ = writeln!(more, "[{section}.{name}]\n{}", needs.replace("NAME", name));
            }
        }
    }

    /// Makes the files that a block names; absolute paths lead into the folder then.
    fn with_files(&self, table: &Table, mut text: String) -> String {
        let mut named = Vec::new();
        files(table, &mut named);
        for (path, key) in named {
            let inside = path.trim_start_matches('/');
            text = text.replace(&format!("\"{path}\""), &format!("\"{inside}\""));
            self.write(
                inside,
                match key.as_str() {
                    "cert" | "ca" | "client_ca" | "roots" => &self.certificate,
                    "key" => &self.key,
                    _ => secret(inside),
                },
            );
        }
        text
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// Adds keys that a table does not have: behind its heading, or with a heading at the end.
fn complete(text: &mut String, more: &mut String, name: &str, table: &Value, keys: &[(&str, &str)]) {
    let missing = keys.iter().filter(|(key, _)| table.get(*key).is_none());
    let lines: String = missing.map(|(key, value)| format!("{key} = {value}\n")).collect();
    let heading = format!("[{name}]\n");
    if lines.is_empty() {
    } else if text.contains(&heading) {
        *text = text.replacen(&heading, &format!("{heading}{lines}"), 1);
    } else if more.contains(&heading) {
        *more = more.replacen(&heading, &format!("{heading}{lines}"), 1);
    } else {
        let _ = write!(more, "{heading}{lines}");
    }
}

/// Every file that a table names, with its key.
fn files(table: &Table, found: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let is_file =
            ["cert", "ca", "client_ca", "roots", "file"].contains(&key.as_str()) || (key == "key" && table.contains_key("cert"));
        match value {
            Value::String(path) if is_file => found.push((path.clone(), key.clone())),
            Value::Array(items) if is_file => {
                found.extend(items.iter().filter_map(Value::as_str).map(|path| (path.to_owned(), key.clone())));
            }
            Value::Array(items) => items.iter().filter_map(Value::as_table).for_each(|table| files(table, found)),
            Value::Table(table) => files(table, found),
            _ => {}
        }
    }
}

#[test]
fn every_block_of_relay_toml_can_be_read() {
    let (mut read, mut refused) = (0, 0);
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.info.first().is_some_and(|info| info == "toml")) {
            let world = World::new();
            let text = world.completed(&block.text);
            let is_wrong = block.info.iter().any(|word| word == "wrong");
            match world.parse(&text) {
                Ok(_) => assert!(!is_wrong, "{}: line {}: is not wrong", page.path, block.line),
                Err(problems) => assert!(is_wrong, "{}: line {}:\n{problems}\n\n{text}", page.path, block.line),
            }
            *if is_wrong { &mut refused } else { &mut read } += 1;
        }
    }
    assert!(read > 30, "only {read} blocks were read, {refused} refused");
}

#[test]
fn a_part_of_a_file_is_completed_and_a_mistake_is_not() {
    let world = World::new();
    let good = "[[routes]]\nfrom = \"a\"\nto = [\"b\", \"c\"]\n[destinations.b]\nca = \"/etc/ca.pem\"\n[[sources.s.handshake]]\nwhen = { json = { \"/a\" = \"*\" } }\nrespond = { status = 204 }\n";
    let settings = world.parse(&world.completed(good)).unwrap_or_else(|problems| panic!("{problems}")).settings;
    assert_eq!((settings.sources.len(), settings.destinations.len()), (2, 2));
    assert!(settings.destinations[0].ca.is_some());
    for bad in ["[destinations.b]\ntimeuot = \"1s\"\n", "[store]\nmax_bytes = 5\n", "[stor]\n", "[listen\n"] {
        assert!(world.parse(&world.completed(bad)).is_err(), "{bad}");
    }
}
