//! The relay.toml of a run: which sources there are, and where their events go.

use std::fmt::Write as _;

/// What a relay is started with. Every source speaks as GitHub, at `/in/NAME`, with the bench's secret.
#[derive(Debug, Default)]
pub(crate) struct Settings(String);

impl Settings {
    /// A source whose events work, and one whose application is down: nobody listens on the port of `down`.
    pub(crate) fn up_and_down(sink_port: u16) -> Self {
        let up = Self::default().destination("sink", sink_port, "").source("github", &["sink"]);
        up.destination("down", NOBODY_PORT, "").source("down", &["down"])
    }

    /// With a destination on this port of loopback; `more` are lines of its table.
    pub(crate) fn destination(mut self, name: &str, port: u16, more: &str) -> Self {
        self.add(&format!("[destinations.{name}]\nurl = \"http://127.0.0.1:{port}/hooks\"\n{more}\n"));
        self
    }

    /// With these lines of `[limits]`.
    pub(crate) fn limits(mut self, lines: &str) -> Self {
        self.add(&format!("[limits]\n{lines}\n"));
        self
    }

    /// With a source whose events go to all of these.
    pub(crate) fn source(mut self, name: &str, to: &[impl AsRef<str>]) -> Self {
        let to: Vec<_> = to.iter().map(|name| format!("{:?}", name.as_ref())).collect();
        self.add(&format!(
            "[sources.{name}]\npath = \"/in/{name}\"\nprovider = \"github\"\nsecrets = [{{ env = \"BENCH_SECRET\" }}]\n\
             [[routes]]\nfrom = {name:?}\nto = [{}]\n",
            to.join(", ")
        ));
        self
    }

    /// All of it, with the listeners on these ports.
    pub(crate) fn relay_toml(&self, port: u16, admin_port: u16) -> String {
        format!(
            "[listen]\nhttps = \"127.0.0.1:{port}\"\n[tls]\nself_signed = true\n[admin]\nlisten = \"127.0.0.1:{admin_port}\"\n\
             [store]\npath = \"data\"\n{}",
            self.0
        )
    }

    fn add(&mut self, text: &str) {
        // Writing into a text cannot fail.
        let _ = self.0.write_str(text);
    }
}

/// The port of the discard service, which no machine offers any more.
pub(crate) const NOBODY_PORT: u16 = 9;
