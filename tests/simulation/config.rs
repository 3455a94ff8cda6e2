//! The configuration of a story, as drawn from its seed, and as relay.toml.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use hookhold::config::{self, Loaded};
use rand::RngExt;
use rand::rngs::StdRng;

/// Sources, their secrets, and where their events go.
pub(crate) const SOURCES: [(&str, &str, &[&str]); 3] =
    [("gh", "the first secret", &["a", "b", "c"]), ("hub", "another secret", &["c", "b"]), (ASKING, "the third secret", &["a"])];
/// The source whose senders hear their application.
pub(crate) const ASKING: &str = "ask";

/// What relay.toml says.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) apps: Vec<App>,
    /// How long repeats are known.
    pub(crate) window: Duration,
    /// Whether repeats are known at all, and senders proved: not so for a broken relay.
    pub(crate) knows_repeats: bool,
    pub(crate) proves: bool,
    /// What [`ASKING`] answers, and how long it waits for its application.
    pub(crate) ack: &'static str,
    pub(crate) within: Duration,
}

/// One application, as relay.toml has it.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) name: &'static str,
    pub(crate) in_flight: usize,
    pub(crate) per_second: Option<f64>,
    pub(crate) is_ordered: bool,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
    /// Whether it is in the file.
    pub(crate) is_there: bool,
}

/// When it is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Retry {
    Backoff { base: Duration, cap: Duration, keep_for: Duration },
    Schedule { waits: u32 },
}

/// The longest wait between two attempts in any story.
pub(crate) const CAP_MAX: Duration = Duration::from_secs(4 * 3600);

const S: Duration = Duration::from_secs(1);

impl Config {
    pub(crate) fn draw(random: &mut StdRng) -> Self {
        let apps = [("a", true), ("b", false), ("c", random.random_bool(0.6))];
        let apps = apps.map(|(name, is_ordered)| App {
            name,
            is_ordered,
            in_flight: 1,
            per_second: None,
            timeout: S * [1, 5, 15, 30][random.random_range(0..4)],
            retry: Retry::draw(random),
            is_there: true,
        });
        let window = Duration::from_secs(3600 * [1, 24, 72][random.random_range(0..3)]);
        let ack = ["upstream", "upstream-else-stored"][random.random_range(0..2)];
        let within = Duration::from_millis([500, 2000, 5000][random.random_range(0..3)]);
        let mut config = Self { apps: apps.into(), window, knows_repeats: true, proves: true, ack, within };
        (0..3).for_each(|place| config.apps[place].change_pace(random));
        config
    }

    /// What a person changes in the file.
    pub(crate) fn change(&mut self, random: &mut StdRng) {
        let place = random.random_range(0..self.apps.len());
        self.apps[place].change_pace(random);
        // `a` stays, so that each source leads somewhere.
        if random.random_bool(0.4) {
            let place = random.random_range(1..self.apps.len());
            self.apps[place].is_there ^= true;
        }
        if self.apps[1..].iter().all(|app| !app.is_there) {
            self.apps[1].is_there = true;
        }
    }

    pub(crate) fn app(&self, name: &str) -> &App {
        self.apps.iter().find(|app| app.name == name).unwrap()
    }

    /// Where events of a source go now.
    pub(crate) fn routes(&self, source: &str) -> Vec<&'static str> {
        let (_, _, to) = SOURCES.iter().find(|(name, _, _)| *name == source).unwrap();
        to.iter().copied().filter(|name| self.app(name).is_there).collect()
    }

    pub(crate) fn read(&self) -> Loaded {
        let mut text = "[listen]\nhttps = '127.0.0.1:0'\n[tls]\nself_signed = true\n".to_owned();
        for (name, _, _) in SOURCES {
            // What is kept aside is written by a thread of its own.
            let signed = format!("'github'\nsecrets = [{{ env = '{name}' }}]\non_bad_signature = 'reject'");
            let provider = if self.proves { signed } else { "'none'".to_owned() };
            let window = if self.knows_repeats { self.window } else { S };
            writeln!(text, "[sources.{name}]\npath = '/in/{name}'\nprovider = {provider}").unwrap();
            writeln!(text, "dedupe = {{ header = 'X-GitHub-Delivery', for = '{}s' }}", window.as_secs()).unwrap();
            if name == ASKING {
                writeln!(text, "ack = {{ mode = '{}', within = '{}ms' }}", self.ack, self.within.as_millis()).unwrap();
            }
            writeln!(text, "[[routes]]\nfrom = '{name}'\nto = {:?}", self.routes(name)).unwrap();
        }
        self.apps.iter().filter(|app| app.is_there).for_each(|app| app.write(&mut text));
        let secret = |env: &str| SOURCES.iter().find(|(name, _, _)| *name == env).map(|(_, secret, _)| secret.into());
        config::parse(&text, Path::new("."), "relay.toml", &secret).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
    }
}

impl App {
    fn change_pace(&mut self, random: &mut StdRng) {
        self.in_flight = [1, 2, 3, 16][random.random_range(0..4)];
        self.per_second = [None, None, Some(0.2), Some(1.0), Some(25.0)][random.random_range(0..5)];
    }

    fn write(&self, text: &mut String) {
        let Self { name, in_flight, timeout, retry, .. } = self;
        writeln!(text, "[destinations.{name}]\nurl = 'http://{name}.example/hook'\nin_flight = {in_flight}").unwrap();
        writeln!(text, "timeout = '{}s'\nretry = {}", timeout.as_secs(), retry.written()).unwrap();
        if let Some(rate) = self.per_second {
            writeln!(text, "per_second = {rate}").unwrap();
        }
        if self.is_ordered {
            writeln!(text, "order_by = '/key'").unwrap();
        }
    }
}

impl Retry {
    fn draw(random: &mut StdRng) -> Self {
        if random.random_bool(0.2) {
            return Self::Schedule { waits: random.random_range(1..6) };
        }
        // Short waits end soon: a story of days would be one of attempts otherwise.
        let (caps, ends) = match random.random_range(0..3) {
            0 => ([5, 20, 60], [60, 600, 1200]),
            _ => ([1800, 3600, 4 * 3600], [3600, 86_400, 7 * 86_400]),
        };
        let (cap, keep_for) = (S * caps[random.random_range(0..3)], S * ends[random.random_range(0..3)]);
        assert!(cap <= CAP_MAX);
        let base = (S * [1, 2, 30][random.random_range(0..3)]).min(cap);
        Self::Backoff { base, cap, keep_for }
    }

    fn written(self) -> String {
        match self {
            Self::Backoff { base, cap, keep_for } => {
                format!("{{ base = '{}s', cap = '{}s', for = '{}s' }}", base.as_secs(), cap.as_secs(), keep_for.as_secs())
            }
            Self::Schedule { waits } => {
                let waits: Vec<_> = (0..waits).map(|n| format!("'{}s'", 1 << (2 * n))).collect();
                format!("{{ schedule = [{}], cap = '600s' }}", waits.join(", "))
            }
        }
    }
}
