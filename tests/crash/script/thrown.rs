//! A script that stores much and throws it away: the database is much larger than its events then, and moves pages to become smaller.

use std::path::Path;
use std::time::Duration;

use hookhold::record::Verdict;
use hookhold::store::{Error, Sled, Store};

use super::{CLIENTS, Client, Report, SEEN_TIME, destinations};

/// Events that are thrown away, and bytes of a header of each: more than a database may take beside those of its events. Bodies are not
/// in it.
const EVENTS: usize = 640;
const HEADER_BYTES: usize = 128 * 1024;
/// The script goes on for so long afterwards: each checkpoint moves some pages.
const TIME: Duration = Duration::from_millis(2600);
/// From when on space is won back: `GOOD_PART` and `GOOD_BYTES` of the store.
const GOOD_PART: u64 = 150;
const GOOD_BYTES: u64 = 32 << 20;

impl Client {
    pub(super) async fn throw_away(&mut self) -> Result<(), Error> {
        self.pad = HEADER_BYTES;
        for _ in 0..EVENTS / CLIENTS / 2 {
            let body = self.body(100);
            self.append(body).await?;
            self.deliver_all().await?;
        }
        self.pad = 0;
        // What was delivered is old enough then.
        tokio::time::sleep(2 * SEEN_TIME).await;
        self.purge().await?;
        let end = self.since.elapsed() + TIME;
        while self.since.elapsed() < end {
            self.step().await?;
            // Checkpoints come once a second.
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        Ok(())
    }

    pub(super) async fn deliver_all(&mut self) -> Result<(), Error> {
        let mut open = Vec::new();
        while let Some(claimed) = self.fresh.ready() {
            open.push(claimed);
        }
        for destination in destinations(self.number) {
            open.extend(self.store.claim_due(&destination, self.now(), 100).await?.claimed);
        }
        for claimed in open {
            self.settle_as(claimed, 200, Verdict::Delivered, self.now()).await?;
        }
        Ok(())
    }
}

/// Says whether the database is so large that its checkpoints win space back.
pub(super) fn say_whether_space_is_won(folder: &Path, store: &Sled, report: &Report) {
    let (file, live) = (std::fs::metadata(folder.join("db")).unwrap().len(), store.counts().bytes);
    if file > live / 100 * GOOD_PART + GOOD_BYTES {
        report.say(&format!("wide {file} {live}"));
    }
}
