//! What is wrong with relay.toml, and where: one line a problem, all of them at once. Never holds a secret's value.

use std::fmt;
use std::sync::Arc;

use crate::time::Timestamp;

/// Whether the relay can start in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One problem of relay.toml. Its `Display` is exactly one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, with the section where it is.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The file, as it was named.
    pub file: Arc<str>,
    /// From 1; 0 where the file itself cannot be read.
    pub line: usize,
    /// In characters, from 1; 0 where the file itself cannot be read.
    pub column: usize,
}

/// What somebody should look at although a relay.toml can be used. Some of it is so only from a time on: what is configured reads
/// no clock.
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    always: Vec<Problem>,
    coming: Vec<(Timestamp, Problem)>,
}

impl Warnings {
    pub(super) fn new(always: Vec<Problem>, coming: Vec<(Timestamp, Problem)>) -> Self {
        Self { always, coming }
    }

    /// Those of a time, in the order of their lines.
    pub fn at(&self, now: Timestamp) -> Vec<Problem> {
        let come = self.coming.iter().filter(|(from, _)| *from <= now).map(|(_, problem)| problem);
        let mut warnings: Vec<_> = self.always.iter().chain(come).cloned().collect();
        sort(&mut warnings);
        warnings
    }
}

/// All problems of a relay.toml that cannot be used, in the order of their lines; at least one is an error.
#[derive(Debug, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// From problems in any order.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        sort(&mut problems);
        Self(problems)
    }

    /// Each of them, warnings included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

/// By line and column; what stands at one place stays in order.
fn sort(problems: &mut [Problem]) {
    problems.sort_by_key(|p| (p.line, p.column));
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.severity, OneLine(&self.file))?;
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        write!(f, "{}", OneLine(&self.message))?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, ", {}", OneLine(help)))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Text whose control characters are escaped: names and paths may hold line ends.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })
    }
}

/// `did you mean "..."?` with the nearest of `known`, where one is near.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Two slips, and no more than a third of the word: further away it is a guess.
    let slips_max = (word.chars().count() / 3).clamp(1, 2);
    let distance = |known: &'a str| (strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase()), known);
    let (slips, nearest) = known.into_iter().map(distance).min()?;
    (slips <= slips_max).then(|| format!("did you mean {nearest:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line() {
        let mut problem = Problem {
            severity: Severity::Error,
            message: "sources.a: unknown key \"pa\nth\"".into(),
            help: Some("did you mean \"path\"?".into()),
            file: "relay.toml".into(),
            line: 12,
            column: 3,
        };
        let line = r#"error: relay.toml: line 12, column 3: sources.a: unknown key "pa\nth", did you mean "path"?"#;
        assert_eq!(problem.to_string(), line);
        (problem.severity, problem.line, problem.help) = (Severity::Warning, 0, None);
        assert_eq!(problem.to_string(), r#"warning: relay.toml: sources.a: unknown key "pa\nth""#);
    }

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["path", "provider", "secrets"];
        assert_eq!(did_you_mean("pathh", known).as_deref(), Some("did you mean \"path\"?"));
        assert_eq!(did_you_mean("Secret", known).as_deref(), Some("did you mean \"secrets\"?"));
        assert_eq!(did_you_mean("colour", known), None);
        assert_eq!(did_you_mean("x", []), None);
    }
}
