//! A source file as the tidy checks see it: its lines, the same lines without comments and literals, and which of them are tests.
//!
//! Not a Rust parser: it knows comments, string and character literals, braces and `use` trees, which is all that the checks need.

use std::path::{Path, PathBuf};

/// One source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the package's folder, with `/`.
    pub(crate) path: String,
    /// The lines as written.
    pub(crate) raw: Vec<String>,
    /// The same lines, as long in bytes; comments are blank, literals are `~`.
    pub(crate) code: Vec<String>,
    /// Whether the line is test code.
    pub(crate) is_test: Vec<bool>,
    /// How many inline modules the line is in.
    pub(crate) inline_modules: Vec<usize>,
}

/// A function with a body.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of `fn`, from 0.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace, both included.
    pub(crate) lines: usize,
}

/// A path in code that starts with `crate` or `super`, written out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The line where it (or its `use`) starts, from 0.
    pub(crate) line: usize,
    /// `crate::a::b`, `super::super::c`
    pub(crate) path: String,
}

impl Source {
    /// From a file's text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let blanked = blanked(text);
        let lines = |t: &str| t.split('\n').map(str::to_owned).collect::<Vec<_>>();
        let (mut raw, mut code) = (lines(text), lines(&blanked));
        if raw.last().is_some_and(String::is_empty) {
            raw.pop();
            code.pop();
        }
        let mut source = Self { path: path.to_owned(), is_test: Vec::new(), inline_modules: Vec::new(), raw, code };
        source.is_test = source.test_lines();
        source.inline_modules = source.module_depths();
        source
    }

    /// Every Rust file below these folders of the package.
    pub(crate) fn all(folders: &[&str]) -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        folders.iter().for_each(|f| collect(&root.join(f), &mut files));
        files.sort();
        let read = |file: &PathBuf| {
            let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let path = file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/");
            Self::new(&path, &text)
        };
        files.iter().map(read).collect()
    }

    /// Whether it is part of the product.
    pub(crate) fn is_product(&self) -> bool {
        self.path.starts_with("src/")
    }

    /// The names of the modules from the crate's root down to this file; empty for `lib.rs` and `main.rs`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).collect()
    }

    /// Lines of code that hold `pattern` behind a character that is not part of a name; from 0.
    pub(crate) fn lines_with<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
        (0..self.code.len()).filter(move |&n| !word_starts(&self.code[n], pattern).is_empty())
    }

    /// Whether the line, or the one above, carries a plain comment with one of these words.
    pub(crate) fn has_reason(&self, line: usize, words: &[&str]) -> bool {
        let comment = |n: usize| {
            let (raw, code) = (&self.raw[n], &self.code[n]);
            // A comment starts where the code is blank and the text is `//`; `///` and `//!` document, they do not justify.
            let start = raw.match_indices("//").map(|(at, _)| at).find(|&at| code.get(at..at + 2) == Some("  "));
            start.map(|at| raw[at..].to_lowercase()).filter(|c| !c.starts_with("///") && !c.starts_with("//!"))
        };
        let lines = [Some(line), line.checked_sub(1)];
        lines.into_iter().flatten().filter_map(comment).any(|c| words.iter().any(|w| c.contains(w)))
    }

    /// Every function with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let text = self.code.join("\n");
        let starts = word_starts(&text, "fn ");
        starts.into_iter().filter_map(|start| function(&text, start)).collect()
    }

    /// Every path in code that starts with `crate` or `super`; `use` trees are written out.
    pub(crate) fn references(&self) -> Vec<Reference> {
        let text = self.code.join("\n");
        let (mut found, mut rest) = (Vec::new(), text.clone());
        for start in word_starts(&text, "use ") {
            let end = text[start..].find(';').map_or(text.len(), |n| start + n);
            let (line, tree) = (line_of(&text, start), text[start + 4..end].replace('\n', " "));
            let mut paths = Vec::new();
            write_out("", &tree, &mut paths);
            found.extend(paths.into_iter().map(|path| Reference { line, path }));
            rest.replace_range(start..end, &" ".repeat(end - start));
        }
        for start in [word_starts(&rest, "crate::"), word_starts(&rest, "super::")].concat() {
            if rest[..start].ends_with("::") {
                continue;
            }
            let is_path = |c: &char| c.is_alphanumeric() || matches!(c, '_' | ':');
            let path: String = rest[start..].chars().take_while(is_path).collect();
            found.push(Reference { line: line_of(&text, start), path });
        }
        found.retain(|r| r.path.starts_with("crate::") || r.path.starts_with("super::"));
        found
    }

    fn test_lines(&self) -> Vec<bool> {
        let test_file = !self.path.starts_with("src/") && !self.path.starts_with("benches/");
        let of_tests = test_file || self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        let mut is_test = vec![of_tests; self.code.len()];
        let text = self.code.join("\n");
        for (start, _) in text.match_indices("#[cfg(test)]") {
            let end = item_end(&text, start + "#[cfg(test)]".len());
            is_test[line_of(&text, start)..=line_of(&text, end)].fill(true);
        }
        is_test
    }

    fn module_depths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.code.len()];
        let text = self.code.join("\n");
        for start in word_starts(&text, "mod ") {
            let end = item_end(&text, start);
            if text[start..].find('{').is_some_and(|n| start + n < end) {
                depths[line_of(&text, start)..=line_of(&text, end)].iter_mut().for_each(|d| *d += 1);
            }
        }
        depths
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count()
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `pattern` is in `text`, but not as the end of a longer name.
fn word_starts(text: &str, pattern: &str) -> Vec<usize> {
    let in_name = pattern.starts_with(is_name);
    let free = |at: &usize| !in_name || !text[..*at].ends_with(is_name);
    text.match_indices(pattern).map(|(at, _)| at).filter(free).collect()
}

/// Where the item behind `start` ends: its closing brace, or its semicolon where it has no body.
fn item_end(text: &str, start: usize) -> usize {
    let (mut braces, mut others) = (0usize, 0usize);
    for (at, c) in text[start..].char_indices() {
        match c {
            '{' => braces += 1,
            '}' if braces <= 1 => return start + at,
            '}' => braces -= 1,
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            ';' if braces == 0 && others == 0 => return start + at,
            _ => {}
        }
    }
    text.len()
}

fn function(text: &str, start: usize) -> Option<Function> {
    let name: String = text[start + 3..].trim_start().chars().take_while(|c| is_name(*c)).collect();
    let end = item_end(text, start);
    let has_body = !name.is_empty() && text[..=end.min(text.len() - 1)].ends_with('}');
    let line = line_of(text, start);
    has_body.then(|| Function { name, line, lines: line_of(text, end) - line + 1 })
}

/// Writes a `use` tree out: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn write_out(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        if !path.is_empty() {
            paths.push(format!("{prefix}{path}"));
        }
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                write_out(&prefix, &inner[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    write_out(&prefix, &inner[start..], paths);
}

/// The same text with blanks in place of comments and `~` in place of literals, one for each byte. Line ends stay, so lines keep
/// their numbers, and places in a line stay, too.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let before = out.chars().next_back().unwrap_or(' ');
        let (fill, length) = token(rest, before);
        match fill {
            Some(fill) => rest[..length].bytes().for_each(|b| out.push(if b == b'\n' { '\n' } else { fill })),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    out
}

/// What stands for a literal.
const LITERAL: Option<char> = Some('~');

/// The next piece of text: what stands for its bytes (`None`: itself), and how long it is.
fn token(rest: &str, before: char) -> (Option<char>, usize) {
    if rest.starts_with("//") {
        return (Some(' '), rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Some(' '), block_comment(rest));
    }
    if !is_name(before)
        && let Some(length) = raw_string(rest)
    {
        return (LITERAL, length);
    }
    match rest.as_bytes()[0] {
        b'"' => (LITERAL, quoted(rest, '"')),
        b'\'' if is_character(rest) => (LITERAL, quoted(rest, '\'')),
        _ => (None, rest.chars().next().map_or(1, char::len_utf8)),
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        let step = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of `r"..."`, `r#"..."#`, `br"..."`, where `rest` starts with one.
fn raw_string(rest: &str) -> Option<usize> {
    let start = rest.strip_prefix("br").or_else(|| rest.strip_prefix("cr")).or_else(|| rest.strip_prefix('r'))?;
    let hashes = start.bytes().take_while(|b| *b == b'#').count();
    let inner = start[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inner.find(&close).map_or(inner.len(), |n| n + close.len());
    Some(rest.len() - inner.len() + end)
}

/// The length of a literal that ends at the next `quote` without a backslash.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Whether the quote begins a character and not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut behind = rest.chars().skip(1);
    match behind.next() {
        Some('\\') => true,
        Some(_) => behind.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_places_stay() {
        let text = "a(\"x\\\"{\", '{', b'\\'', r#\"\"}\"#); // é {\n/* { /* { */ */ 'a: loop {}\n";
        let blank = blanked(text);
        assert_eq!(blank.len(), text.len());
        assert_eq!(blank.matches(['{', '"']).count(), 1, "{blank}");
        assert!(blank.contains("'a: loop {}") && blank.starts_with("a("));
    }

    #[test]
    fn use_trees_are_written_out() {
        let source = Source::new("src/a/b.rs", "use crate::{x::{Y, z as w},\n q};\nfn f() { super::super::k::g() }\n");
        let paths: Vec<_> = source.references().into_iter().map(|r| (r.line, r.path)).collect();
        let expected = [(0, "crate::x::Y"), (0, "crate::x::z"), (0, "crate::q"), (2, "super::super::k::g")];
        assert_eq!(paths, expected.map(|(n, p)| (n, p.to_owned())));
    }

    #[test]
    fn test_code_and_functions_are_found() {
        let text = "fn one(a: [u8; 2]) {\n}\ntrait T {\n    fn none(&self);\n}\n#[cfg(test)]\nmod tests {\n    fn two() {}\n}\nfn last() {}\n";
        let source = Source::new("src/a.rs", text);
        let found: Vec<_> = source.functions().into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("one".to_owned(), 0, 2), ("two".to_owned(), 7, 1), ("last".to_owned(), 9, 1)]);
        let tests: Vec<_> = (0..source.is_test.len()).filter(|n| source.is_test[*n]).collect();
        assert_eq!(tests, [5, 6, 7, 8]);
        assert_eq!(source.inline_modules[7], 1);
    }
}
