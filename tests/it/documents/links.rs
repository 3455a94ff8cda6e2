//! Links between pages: what they lead to is there, heading and all.

use std::collections::HashMap;

use super::{Page, pages, root};

/// Headings' anchors, as renderers of Markdown make them.
fn anchors(page: &Page) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = page.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
    let anchor = |(_, line): (usize, &str)| {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        let name: String = heading.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect();
        let before = seen.entry(name.clone()).or_default();
        *before += 1;
        if *before == 1 { name } else { format!("{name}-{}", *before - 1) }
    };
    headings.map(anchor).collect()
}

/// Where the links of a line lead. What is between backticks is no link.
fn targets(line: &str) -> Vec<String> {
    let plain: String = line.split('`').step_by(2).collect();
    plain.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let anchors: HashMap<_, _> = pages.iter().map(|page| (root().join(&page.path), anchors(page))).collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in &pages {
        let own = root().join(&page.path);
        for (number, target) in page.prose().iter().flat_map(|(number, line)| targets(line).into_iter().map(|t| (*number, t))) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (path, anchor) = target.split_once('#').map_or((&*target, None), |(path, anchor)| (path, Some(anchor)));
            let path = if path.is_empty() { own.clone() } else { own.parent().unwrap().join(path) };
            let Ok(path) = path.canonicalize() else {
                wrong.push(format!("{}:{number}: {target}: there is no such file", page.path));
                continue;
            };
            let known =
                anchors.iter().find(|(known, _)| known.canonicalize().ok().as_ref() == Some(&path)).map(|(_, found)| found);
            if anchor.is_some_and(|anchor| known.is_none_or(|known| !known.iter().any(|k| k == anchor))) {
                wrong.push(format!("{}:{number}: {target}: there is no such heading", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(seen > 40, "only {seen} links were looked at");
}

#[test]
fn links_and_headings_are_found() {
    assert_eq!(targets("see [a](b.md#c) and `[x](y)`, [d](#e)"), ["b.md#c", "#e"]);
    let page = Page { path: String::new(), text: "# A, `b`: c!\n## x\n```\n# no\n```\n## x\n## [sources.NAME]\n".to_owned() };
    assert_eq!(anchors(&page), ["a-b-c", "x", "x-1", "sourcesname"]);
}
