//! What the repository tells: its blocks of relay.toml, its links, its command lines, and what is written from the code.

mod fragment;
mod links;
mod typed;
mod written;

use std::path::{Path, PathBuf};

/// A page of Markdown.
struct Page {
    /// From the repository's folder.
    path: String,
    text: String,
}

/// A block of code.
struct Block {
    /// The words behind its fence.
    info: Vec<String>,
    /// The line of its fence, from 1.
    line: usize,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README and everything in docs.
fn pages() -> Vec<Page> {
    let mut paths = vec![root().join("README.md")];
    collect(&root().join("docs"), &mut paths);
    paths.sort();
    let page = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        Page { path: path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(), text }
    };
    paths.into_iter().map(page).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
}

impl Page {
    /// Its blocks of code, without what they are indented by.
    fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut open): (Vec<Block>, Option<(usize, Block)>) = (Vec::new(), None);
        for (number, line) in self.text.lines().enumerate() {
            let trimmed = line.trim_start();
            match (&mut open, trimmed.strip_prefix("```")) {
                (None, Some(info)) => {
                    let info = info.split_whitespace().map(str::to_owned).collect();
                    open = Some((line.len() - trimmed.len(), Block { info, line: number + 1, text: String::new() }));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), None) => block.text = format!("{}{}\n", block.text, line.get(*indent..).unwrap_or("")),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block of code has no end", self.path);
        blocks
    }

    /// Its lines outside of blocks of code, with their numbers from 1.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut is_prose = |line: &str| {
            let is_fence = line.trim_start().starts_with("```");
            inside ^= is_fence;
            !inside && !is_fence
        };
        self.text.lines().enumerate().filter(|(_, line)| is_prose(line)).map(|(number, line)| (number + 1, line)).collect()
    }
}
