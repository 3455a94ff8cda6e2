//! Lists of the API for people: pages are joined until there are as many items as were asked for, or the list ends.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::admin::{Client, encoded};
use super::table::{self, cell, items, say};

/// How much of a list.
#[derive(ClapArgs)]
pub(super) struct Paging {
    /// So many at most (1-500).
    #[arg(long, default_value_t = 20)]
    limit: u16,
    /// Go on where an earlier list ended: its `next`.
    #[arg(long)]
    cursor: Option<String>,
}

impl Paging {
    /// The items of the list at `path` that fit, and its `next`. A page may be short and have a next one: then that is read, too.
    fn listed(&self, client: &Client, path: &str, filter: &[(&str, &Option<String>)]) -> anyhow::Result<Value> {
        let given = filter.iter().filter_map(|(name, value)| Some(format!("&{name}={}", encoded(value.as_ref()?))));
        let given: String = given.collect();
        let (mut found, mut next) = (Vec::new(), self.cursor.clone());
        loop {
            let left = usize::from(self.limit) - found.len();
            let cursor = next.map(|next| format!("&cursor={}", encoded(&next))).unwrap_or_default();
            let page = client.get(&format!("{path}?limit={left}{given}{cursor}"))?;
            found.extend(items(&page).iter().take(left).cloned());
            next = page["next"].as_str().map(str::to_owned);
            if next.is_none() || found.len() >= usize::from(self.limit) {
                return Ok(json!({ "items": found, "next": next }));
            }
        }
    }

    /// Prints the items that fit: these fields of each, under these heads.
    pub(super) fn print<const N: usize>(
        &self,
        (client, as_json): (&Client, bool),
        path: &str,
        filter: &[(&str, &Option<String>)],
        columns: [(&str, &str); N],
    ) -> anyhow::Result<ExitCode> {
        let listed = self.listed(client, path, filter)?;
        if as_json {
            say(&listed);
            return Ok(ExitCode::SUCCESS);
        }
        let row = |item: &Value| columns.map(|(_, field)| cell(&item[field]));
        table::print(columns.map(|(head, _)| head), items(&listed).iter().map(row));
        if let Some(next) = listed["next"].as_str() {
            eprintln!("There are more: --cursor {next}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
