//! Command lines in pages and in the program's own help: each can be typed as it stands.

use clap::error::ErrorKind;

use super::pages;

/// The words of a command line from `hookhold` on, without what a shell does with them; `None` where it is none.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches("$ ");
    let line = line.split_once(" #").map_or(line, |(line, _)| line);
    // What was set for it alone.
    let mut rest: Vec<_> = line.split_whitespace().skip_while(|word| word.contains('=') && !word.starts_with('-')).collect();
    rest.retain(|word| *word != "...");
    if rest.first() != Some(&"hookhold") {
        return None;
    }
    let is_end = |word: &&str| ["|", "||", "&&", "&", ">", "<", "2>", ";", ">>"].contains(word);
    let words = rest.into_iter().take_while(|word| !is_end(word)).map(|word| word.trim_matches(['"', '\'']).to_owned());
    Some(words.collect())
}

/// The command lines of one line: a shell can have several.
fn commands(line: &str) -> Vec<Vec<String>> {
    line.split(" && ").flat_map(|part| part.split("<(")).filter_map(|part| words(part.trim_end_matches(')'))).collect()
}

/// Why a command line cannot be typed. `is_mention`: it names a command only, whose arguments may be missing.
fn wrong(words: &[String], is_mention: bool) -> Option<String> {
    let error = hookhold::cli::words().try_get_matches_from(words).err()?;
    let missing =
        [ErrorKind::MissingRequiredArgument, ErrorKind::MissingSubcommand, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
    let is_fine = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
        || (is_mention && missing.contains(&error.kind()));
    (!is_fine).then(|| error.to_string())
}

/// `[list|show]` says what could stand there.
fn without_choices(mention: &str) -> String {
    let mut depth = 0;
    mention
        .replace("\\|", "|")
        .chars()
        .filter(|c| {
            depth += i32::from(*c == '[');
            let keep = depth == 0;
            depth -= i32::from(*c == ']');
            keep
        })
        .collect()
}

#[test]
fn every_command_line_can_be_typed() {
    let (mut problems, mut seen) = (Vec::new(), 0);
    for page in pages() {
        for block in page.blocks() {
            let is_console = block.info.iter().any(|word| word == "console");
            for (number, line) in block.text.lines().enumerate().filter(|(_, line)| !is_console || line.starts_with("$ ")) {
                for words in commands(line) {
                    seen += 1;
                    problems.extend(
                        wrong(&words, false).map(|why| format!("{}:{}: {line}: {why}", page.path, block.line + number + 1)),
                    );
                }
            }
        }
        for (number, line) in page.prose() {
            for mention in line.split('`').skip(1).step_by(2) {
                for words in commands(&without_choices(mention)) {
                    seen += 1;
                    problems.extend(wrong(&words, true).map(|why| format!("{}:{number}: {mention}: {why}", page.path)));
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(seen > 60, "only {seen} command lines were looked at");
}

#[test]
fn every_example_of_the_help_can_be_typed() {
    let mut seen = 0;
    examples(&hookhold::cli::words(), &mut |path, line| {
        let found = commands(line);
        assert!(line.contains('|') || !found.is_empty(), "{line}");
        for words in &found {
            assert_eq!(wrong(words, false), None, "{line}");
        }
        let is_own = found.iter().any(|words| path.iter().all(|name| words.contains(name)));
        assert!(is_own, "{line} is an example of {path:?}");
        seen += 1;
    });
    assert!(seen > 40, "only {seen} examples were looked at");
}

fn examples(command: &clap::Command, take: &mut dyn FnMut(&[String], &str)) {
    fn below(command: &clap::Command, path: &[String], take: &mut dyn FnMut(&[String], &str)) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        help.lines().skip(1).for_each(|line| take(path, line));
        for inner in command.get_subcommands() {
            below(inner, &[path, &[inner.get_name().to_owned()]].concat(), take);
        }
    }
    below(command, &[], take);
}

#[test]
fn what_cannot_be_typed_is_found() {
    let wrong = |line: &str| commands(line).iter().filter_map(|words| wrong(words, false)).count();
    assert_eq!(wrong("$ hookhold events list --state parked | head -1   # the newest"), 0);
    assert_eq!(wrong("HOOKHOLD_TOKEN=x hookhold status"), 0);
    for bad in ["hookhold event", "hookhold check && hookhold relod", "hookhold events list --stat x", "hookhold replay a b"] {
        assert_eq!(wrong(bad), 1, "{bad}");
    }
    assert_eq!(commands(&without_choices("hookhold events [list\\|show]")), [["hookhold", "events"]]);
}
