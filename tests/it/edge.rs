//! The relay at the edge of the internet: who speaks, how, how much, and what is made of nonsense.

mod floods;
mod http;
mod limits;
mod listeners;
mod moved;
mod proxies;
mod proxy_protocol;
mod raw;
mod slow;
mod smuggling;
mod tls;

use crate::world::World;

/// Tries again at once, so that tests need not wait.
const EAGER: &str = r#"retry = { schedule = ["1ms", "1ms", "1ms"] }"#;

/// A world whose `[listen]` has these lines, too.
async fn listening(lines: &str, more: &str) -> World {
    World::start_changed(EAGER, more, |text| with_lines(&text, "[listen]", lines)).await
}

/// The text of a relay.toml with more lines in a section that it has.
fn with_lines(text: &str, section: &str, lines: &str) -> String {
    assert!(text.contains(section), "{section}");
    text.replacen(section, &format!("{section}\n{lines}"), 1)
}

/// A source `open` at `/in/open` that nobody signs, with these lines.
fn open_source(lines: &str) -> String {
    format!("[sources.open]\npath = '/in/open'\nprovider = 'none'\n{lines}\n[[routes]]\nfrom = 'open'\nto = ['app']\n")
}
