//! One reading of a relay.toml: its text, what it may look at beside it, and the problems that were found so far.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::imprint::Imprint;
use super::problem::{Problem, Severity};
use crate::time::Timestamp;

/// One reading of one relay.toml: what it may look at beside the text, and the problems so far.
pub(super) struct Reading<'a> {
    file: Arc<str>,
    text: &'a str,
    /// Where relative paths start.
    pub(super) folder: &'a Path,
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<OsString>,
    /// Whether the relay is set up for development: on loopback, with a certificate of its own.
    pub(super) is_development: Cell<bool>,
    problems: RefCell<Vec<Problem>>,
    coming: RefCell<Vec<(Timestamp, Problem)>>,
    imprint: RefCell<Imprint>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(text: &'a str, folder: &'a Path, file: &str, env: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self {
            file: file.into(),
            text,
            folder,
            env,
            is_development: Cell::new(false),
            problems: RefCell::default(),
            coming: RefCell::default(),
            imprint: RefCell::default(),
        }
    }

    /// A path of the file: relative ones start at its folder.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    /// Adds a problem at a place of the text.
    pub(super) fn report(&self, severity: Severity, at: usize, message: String, help: Option<String>) {
        let problem = self.problem(severity, at, message, help);
        self.problems.borrow_mut().push(problem);
    }

    /// Adds a warning that counts from a time on.
    pub(super) fn report_from(&self, from: Timestamp, at: usize, message: String, help: Option<String>) {
        let problem = self.problem(Severity::Warning, at, message, help);
        self.coming.borrow_mut().push((from, problem));
    }

    fn problem(&self, severity: Severity, at: usize, message: String, help: Option<String>) -> Problem {
        let (line, column) = position(self.text, at);
        Problem { severity, message, help, file: self.file.clone(), line, column }
    }

    /// The line of a place of the text, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        position(self.text, at).0
    }

    /// Keeps the imprint of the text; what is read beside it is added.
    pub(super) fn begin_imprint(&self, imprint: Imprint) {
        *self.imprint.borrow_mut() = imprint;
    }

    /// A section names something that was read: two readings differ where its content does.
    pub(super) fn was_read(&self, section: &str, content: &[u8]) {
        self.imprint.borrow_mut().add(section, content);
    }

    /// All problems, the warnings that count from a time on, and what was read.
    pub(super) fn finish(self) -> (Vec<Problem>, Vec<(Timestamp, Problem)>, Imprint) {
        (self.problems.into_inner(), self.coming.into_inner(), self.imprint.into_inner())
    }
}

/// Line and column (in characters) of a byte, both from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("é\nüx", 5), (2, 2));
        assert_eq!(position("é", 1), (1, 2));
        assert_eq!(position("ab", 99), (1, 3));
    }
}
