//! `hookhold check`: proves relay.toml without starting anything.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::serve::descriptors::Descriptors;
use crate::config::{self, Problem};
use crate::time::Clock;

/// Prints one line a problem, then how many sources and destinations there are. Fails where one of the problems is an error.
pub(super) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    print(config, &mut std::io::stdout().lock())
}

fn print(config: &Path, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let loaded = match config::load(config) {
        Ok(loaded) => loaded,
        Err(problems) => {
            print_problems(problems.iter(), out)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    print_problems(loaded.warnings.at(Clock::system().now()).iter(), out)?;
    if let Some(shortage) = Descriptors::of_relay(&loaded.settings).shortage(&loaded.settings) {
        writeln!(out, "warning: {}: {shortage}", config.display())?;
    }
    let sources = count(loaded.settings.sources.len(), "source");
    let destinations = count(loaded.settings.destinations.len(), "destination");
    writeln!(out, "{} is fine: {sources}, {destinations}", config.display())?;
    Ok(ExitCode::SUCCESS)
}

fn print_problems<'a>(problems: impl Iterator<Item = &'a Problem>, out: &mut dyn Write) -> std::io::Result<()> {
    problems.into_iter().try_for_each(|problem| writeln!(out, "{problem}"))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &Path) -> (ExitCode, String) {
        let mut out = Vec::new();
        let code = print(path, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_repositorys_own_relay_toml_is_fine() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("relay.toml");
        let (code, out) = check(&path);
        assert_eq!(code, ExitCode::SUCCESS, "{out}");
        assert!(out.ends_with("relay.toml is fine: 1 source, 1 destination\n"), "{out}");
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let (code, out) = check(Path::new("no-such-folder/relay.toml"));
        assert_eq!(code, ExitCode::FAILURE);
        assert!(out.starts_with("error: no-such-folder/relay.toml: there is no such file, write one"), "{out}");
        assert_eq!(out.lines().count(), 1);
    }
}
