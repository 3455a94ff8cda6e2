//! What `--help` shows at its end: each command with an example that can be copied. Tests parse all of them, and find a command
//! that has none.

use clap::Command;

/// An event's, a replay's or a request's id; a delivery's has a number behind it.
macro_rules! id {
    () => {
        "019ac5d2-7b1e-7c40-9f3a-2b6d1e0c4a55"
    };
}

/// Commands, each with lines that can be typed. The first is the program itself.
pub(super) const EXAMPLES: &[(&str, &[&str])] = &[
    ("", &["hookhold check", "hookhold", "hookhold --config /etc/hookhold/relay.toml status"]),
    ("serve", &["hookhold serve", "hookhold --config /etc/hookhold/relay.toml serve"]),
    ("check", &["hookhold check", "hookhold --config new.toml check"]),
    ("send", &["hookhold send demo", "hookhold send github --type push --body push.json"]),
    ("events", &["hookhold events", "hookhold events --source stripe --limit 5", concat!("hookhold events show ", id!())]),
    (
        "events list",
        &[
            "hookhold events list --state parked --destination billing",
            "hookhold events list --source stripe --since 2026-11-25T22:00:00Z --limit 100 --json",
        ],
    ),
    ("events show", &[concat!("hookhold events show ", id!())]),
    ("events body", &[concat!("hookhold events body ", id!(), " > body.json")]),
    (
        "tail",
        &["hookhold tail", "hookhold tail --source stripe --type 'invoice.*'", "hookhold tail --destination billing --json"],
    ),
    (
        "forward",
        &[
            "hookhold forward --source stripe --to http://localhost:3000/webhooks",
            "hookhold --admin https://hooks.example.com:9443 forward --source stripe --to http://localhost:3000 --since now",
        ],
    ),
    (
        "deliveries",
        &["hookhold deliveries", "hookhold deliveries --destination billing", concat!("hookhold deliveries show ", id!(), ".1")],
    ),
    ("deliveries list", &["hookhold deliveries list --state parked --destination billing"]),
    ("deliveries show", &[concat!("hookhold deliveries show ", id!(), ".1")]),
    (
        "replay",
        &[
            concat!("hookhold replay ", id!()),
            "hookhold replay --source stripe --since 2026-11-25T00:00:00Z --until 2026-11-26T00:00:00Z --to staging --rate 5 --dry-run",
        ],
    ),
    ("replays", &["hookhold replays"]),
    ("replays list", &["hookhold replays list --json"]),
    ("replays show", &[concat!("hookhold replays show ", id!())]),
    ("replays pause", &[concat!("hookhold replays pause ", id!())]),
    ("replays resume", &[concat!("hookhold replays resume ", id!())]),
    ("replays cancel", &[concat!("hookhold replays cancel ", id!())]),
    ("retry", &[concat!("hookhold retry ", id!(), ".1"), "hookhold retry --destination billing --since 2026-11-25T22:00:00Z"]),
    ("destinations", &["hookhold destinations"]),
    ("destinations list", &["hookhold destinations list --json"]),
    ("destinations show", &["hookhold destinations show billing"]),
    ("destinations pause", &["hookhold destinations pause billing"]),
    ("destinations resume", &["hookhold destinations resume billing"]),
    ("sources", &["hookhold sources"]),
    ("sources list", &["hookhold sources list --json"]),
    ("sources pause", &["hookhold sources pause stripe"]),
    ("sources resume", &["hookhold sources resume stripe"]),
    ("alerts", &["hookhold alerts", "hookhold alerts --json"]),
    ("alerts list", &["hookhold alerts list --json"]),
    ("alerts test", &["hookhold alerts test"]),
    ("audit", &["hookhold audit --since 2026-11-27T00:00:00Z", "hookhold audit --who ops --action deliveries"]),
    ("token", &["hookhold token new"]),
    ("token new", &["hookhold token new"]),
    ("config", &["hookhold config"]),
    ("openapi", &["hookhold openapi > openapi.json"]),
    ("quarantine body", &[concat!("hookhold quarantine body ", id!(), " > body.bin")]),
    ("park", &[concat!("hookhold park ", id!(), ".1")]),
    ("cancel", &[concat!("hookhold cancel ", id!(), ".1"), "hookhold cancel --destination billing --state parked"]),
    ("arm", &["hookhold arm asana", "hookhold arm asana --for 30m"]),
    ("disarm", &["hookhold disarm asana"]),
    ("quarantine", &["hookhold quarantine"]),
    ("quarantine reasons", &["hookhold quarantine reasons"]),
    ("quarantine list", &["hookhold quarantine list --source stripe --reason mismatch"]),
    ("quarantine show", &[concat!("hookhold quarantine show ", id!())]),
    (
        "quarantine release",
        &["hookhold quarantine release --source stripe --reload", concat!("hookhold quarantine release --force --id ", id!())],
    ),
    ("quarantine drop", &[concat!("hookhold quarantine drop ", id!())]),
    ("reload", &["hookhold check && hookhold reload"]),
    ("status", &["hookhold status", "HOOKHOLD_TOKEN=$TOKEN hookhold --admin https://relay.internal:9443 status"]),
    ("backup", &["hookhold backup /backups/2026-11-25"]),
    ("restore", &["hookhold restore /backups/2026-11-25"]),
    ("doctor", &["hookhold doctor", "hookhold doctor --rebuild-index"]),
    ("route", &["hookhold route test request.json"]),
    ("route test", &["hookhold route test request.json --source stripe"]),
    ("verify", &["hookhold verify request.json", "hookhold verify - < requests.json"]),
    ("providers", &["hookhold providers payments", "hookhold providers stripe", "hookhold providers stripe --explain"]),
    ("reference", &["hookhold reference destinations", "hookhold reference > CONFIGURATION.md"]),
    ("schema", &["hookhold schema > relay.schema.json"]),
    ("completions", &["source <(hookhold completions bash)", "hookhold completions fish | source"]),
    ("man", &["hookhold man | man -l -", "hookhold man /usr/local/share/man/man1"]),
];

/// The command with the examples of all its commands.
pub(super) fn add(command: Command) -> Command {
    add_below(command, "")
}

fn add_below(command: Command, path: &str) -> Command {
    let lines = EXAMPLES.iter().find(|(name, _)| *name == path).map_or(&[][..], |(_, lines)| lines);
    let text = if lines.len() == 1 { "Example:\n" } else { "Examples:\n" }.to_owned();
    let text = lines.iter().fold(text, |text, line| text + "  " + line + "\n");
    let command = if lines.is_empty() { command } else { command.after_help(text.trim_end().to_owned()) };
    command.mut_subcommands(|inner| {
        let path = format!("{path} {}", inner.get_name());
        add_below(inner, path.trim_start())
    })
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    /// The names of all commands below this one.
    fn below(command: &Command, path: &str, found: &mut Vec<String>) {
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name()).trim_start().to_owned();
            below(inner, &path, found);
            found.push(path);
        }
    }

    #[test]
    fn every_command_has_an_example_and_every_example_a_command() {
        let mut commands = vec![String::new()];
        below(&words(), "", &mut commands);
        commands.sort();
        let mut told: Vec<_> = EXAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect();
        told.sort();
        assert_eq!(told, commands);
    }
}
