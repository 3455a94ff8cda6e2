//! Loss of power: disks as they may look then, each opened by the real store.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::child::{Child, at_once, shim};
use crate::disk::{self, Content, Disk, Kept, KeptNames};
use crate::expected::Expected;
use crate::record::{Entry, Record, What};
use crate::script::{REPORT, STORE};

/// Images that a test run looks at where `CRASH_IMAGES` says nothing.
const IMAGES: usize = 100;
/// Images of the scripts of one seed, at most: beyond, a new seed tells more.
const PER_SEED: usize = 400;
/// Scripts that run one after the other, each on what a loss of power left of the one before.
const ROUNDS: u64 = 3;
/// Images of the journal without its syncs, to see that the comparison can fail.
const CONTROLS: usize = 10;
/// Images of a store whose journal uses its files again, and of one that wins space back, of so many others; and in which seeds.
const LARGE_OF: usize = 25;
const LARGE_SEEDS: u64 = 3;

/// What is looked at together.
struct Image {
    folder: TempDir,
    what: String,
}

/// What came of the images.
#[derive(Default)]
struct Verdict {
    good: usize,
    bad: Vec<String>,
}

#[test]
fn what_was_acknowledged_survives_loss_of_power() {
    let Some(shim) = shim() else { return };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let wanted = number("CRASH_IMAGES").map_or(IMAGES, |n| usize::try_from(n).unwrap());
    let first_seed = number("CRASH_SEED").unwrap_or(1);
    let verdict = Mutex::new(Verdict::default());
    let mut control = Verdict::default();
    let (mut seed, mut made) = (first_seed, 0);
    while made < wanted {
        let images = (wanted - made).min(PER_SEED);
        let large = if seed % LARGE_SEEDS == first_seed % LARGE_SEEDS { (images / LARGE_OF).max(1).min(images / 3) } else { 0 };
        let first = recorded(shim, TempDir::new().unwrap(), 0, seed, "mixed");
        if seed == first_seed {
            control = without_syncs_of_the_journal(&first);
        }
        looked_at(&verdict, |send| {
            chain(shim, first, seed, images - 2 * large, send);
            if large > 0 {
                let record = recorded(shim, TempDir::new().unwrap(), 0, seed, "large");
                let is_reuse = |entry: &Entry| matches!(&entry.what, What::Rename(_, to) if to.contains("/journal/"));
                assert!(record.record.entries.iter().any(is_reuse), "no file of the journal was used again");
                record.images(Disk::default(), Expected::default(), large, seed, send);
                let record = recorded(shim, TempDir::new().unwrap(), 0, seed, "thrown");
                assert!(record.wins_space(), "no page was moved to win space back");
                record.images(Disk::default(), Expected::default(), large, seed, send);
            }
        });
        made += images;
        seed += 1;
    }
    let verdict = verdict.into_inner().unwrap();
    println!("{} crash images, {} bad; seeds {first_seed} to {}", verdict.good + verdict.bad.len(), verdict.bad.len(), seed - 1);
    println!("{CONTROLS} without the journal's syncs, {} bad", control.bad.len());
    assert!(verdict.bad.is_empty(), "{}", verdict.bad[..verdict.bad.len().min(5)].join("\n\n"));
    assert_eq!(verdict.good, wanted);
    assert!(control.bad.len() > CONTROLS / 2, "the comparison does not see that syncs are missing");
}

/// Scripts on what a loss of power left of the scripts before.
fn chain(shim: &Path, mut record: Recorded, seed: u64, images: usize, send: &SyncSender<Image>) {
    let (mut disk, mut expected) = (Disk::default(), Expected::default());
    for round in 1..=ROUNDS {
        let share = images / ROUNDS as usize + if round == 1 { images % ROUNDS as usize } else { 0 };
        let root;
        (disk, expected, root) = record.images(disk, expected, share, seed ^ round << 32, send);
        if round < ROUNDS {
            record = recorded(shim, root, round, seed, "mixed");
        }
    }
}

/// Images right behind acknowledgements, but as if `fdatasync` had done nothing for the journal.
fn without_syncs_of_the_journal(recorded: &Recorded) -> Verdict {
    let verdict = Mutex::new(Verdict::default());
    looked_at(&verdict, |send| {
        let mut random = StdRng::seed_from_u64(0);
        let nothing = Kept { data: 0, piece: 4096, names: KeptNames::All };
        let points = recorded.acknowledgements();
        let (mut disk, mut expected) = (Disk::default(), Expected::default());
        let mut chosen: Vec<_> = (0..CONTROLS).map(|_| points[random.random_range(points.len() / 4..points.len())]).collect();
        chosen.sort_unstable();
        for (at, entry) in recorded.record.entries.iter().enumerate() {
            for _ in chosen.iter().filter(|point| **point == at) {
                send.send(recorded.image(&disk, &expected, nothing, &mut random, at)).unwrap();
            }
            disk.step(entry, &recorded.record.bytes, &|path| !path.contains("/journal/"));
            recorded.hear(entry, &mut expected);
        }
    });
    verdict.into_inner().unwrap()
}

/// Opens images, several at once, as they are made.
fn looked_at(verdict: &Mutex<Verdict>, make: impl FnOnce(&SyncSender<Image>)) {
    let (send, images) = sync_channel(at_once());
    let images = Mutex::new(images);
    std::thread::scope(|scope| {
        for _ in 0..at_once() {
            scope.spawn(|| look(&images, verdict));
        }
        make(&send);
        drop(send);
    });
}

fn look(images: &Mutex<Receiver<Image>>, verdict: &Mutex<Verdict>) {
    loop {
        let Ok(image) = ({ images.lock().unwrap().recv() }) else { return };
        let root = image.folder.path();
        let (store, expected, log) = (root.join("disk").join(STORE), root.join("expected"), root.join("log"));
        let child = Child::new("check", &[store.to_str().unwrap(), expected.to_str().unwrap()]);
        // What is looked at is thrown away: no sync need be waited for.
        let ended = child.recorded(shim().unwrap(), root, &log).fast().run();
        let is_alarm = ended.said.lines().any(|line| line.contains(" ERROR "));
        let mut verdict = verdict.lock().unwrap();
        if ended.is_good && !is_alarm {
            verdict.good += 1;
        } else {
            let kept = std::env::var("CRASH_KEEP").is_ok().then(|| image.folder.keep());
            verdict.bad.push(format!("{} {kept:?}\n{}", image.what, ended.said));
        }
    }
}

/// A script's record.
struct Recorded {
    record: Record,
    /// The report's number.
    report: u64,
    root: TempDir,
    what: String,
}

/// Runs a script in `root` and records it.
fn recorded(shim: &Path, root: TempDir, round: u64, seed: u64, kind: &str) -> Recorded {
    let log = tempfile::NamedTempFile::new().unwrap();
    let arguments = [root.path().to_str().unwrap(), &round.to_string(), &seed.to_string(), kind];
    let ended = Child::new("script", &arguments).recorded(shim, root.path(), log.path()).run();
    assert!(ended.is_good, "the script failed: {}", ended.said);
    let report = std::fs::read_to_string(root.path().join(REPORT)).unwrap();
    let is_trouble =
        |line: &&str| !line.ends_with("Ok(())") && ["un", "refused", "health", "closed"].iter().any(|w| line.starts_with(w));
    assert_eq!(report.lines().find(is_trouble), None, "seed {seed}, {kind} script {round}: {}", ended.said);
    let record = Record::read(log.path());
    let is_report = |entry: &&Entry| matches!(&entry.what, What::Create(path) if path == REPORT);
    let report = record.entries.iter().find(is_report).unwrap().file;
    Recorded { record, report, root, what: format!("seed {seed}, {kind} script {round}") }
}

impl Recorded {
    /// Takes in what the script was told, where an entry is that.
    fn hear(&self, entry: &Entry, expected: &mut Expected) {
        if let (true, What::Write(_, data)) = (entry.file == self.report, &entry.what) {
            expected.hear(std::str::from_utf8(&self.record.bytes[data.clone()]).unwrap());
        }
    }

    /// Whether the database was so large at an end that pages were moved.
    fn wins_space(&self) -> bool {
        std::fs::read_to_string(self.root.path().join(REPORT)).unwrap().lines().any(|line| line.starts_with("wide "))
    }

    /// The places right behind an acknowledgement.
    fn acknowledgements(&self) -> Vec<usize> {
        let is_one = |entry: &Entry| {
            let What::Write(_, data) = &entry.what else { return false };
            entry.file == self.report
                && ["stored", "did"].iter().any(|w| self.record.bytes[data.clone()].starts_with(w.as_bytes()))
        };
        (0..self.record.entries.len()).filter(|at| is_one(&self.record.entries[*at])).map(|at| at + 1).collect()
    }

    /// Makes images of losses of power at random places. Gives one more, to go on from, and what is expected of it.
    fn images(
        &self,
        mut disk: Disk,
        mut expected: Expected,
        count: usize,
        seed: u64,
        send: &SyncSender<Image>,
    ) -> (Disk, Expected, TempDir) {
        let mut random = StdRng::seed_from_u64(seed);
        let (points, length) = (self.acknowledgements(), self.record.entries.len());
        let mut chosen: Vec<_> = (0..count)
            .map(|_| match random.random_range(0..2) {
                0 => random.random_range(0..=length),
                _ => points[random.random_range(0..points.len())],
            })
            .collect();
        chosen.sort_unstable();
        let next_at = random.random_range(length / 2..length);
        let mut next = None;
        for at in 0..=length {
            for _ in chosen.iter().filter(|point| **point == at) {
                send.send(self.image(&disk, &expected, possible(&mut random), &mut random, at)).unwrap();
            }
            if at == next_at {
                let root = TempDir::new().unwrap();
                let image = disk.image(&self.record.bytes, possible(&mut random), &mut random);
                disk::write(&image.into_iter().filter(|(path, _)| path != REPORT).collect(), root.path());
                next = Some((Disk::of_folder(root.path()), expected.clone(), root));
            }
            if let Some(entry) = self.record.entries.get(at) {
                disk.step(entry, &self.record.bytes, &|_| true);
                self.hear(entry, &mut expected);
            }
        }
        self.is_whole(&disk);
        next.unwrap()
    }

    /// With all that was written the disk must be what is there, else something was not recorded.
    fn is_whole(&self, disk: &Disk) {
        let all = Kept { data: 100, piece: 4096, names: KeptNames::All };
        let image = disk.image(&self.record.bytes, all, &mut StdRng::seed_from_u64(0));
        for (path, content) in &image {
            let there = self.root.path().join(path);
            match content {
                Some(content) => assert!(Content::read(&there) == *content, "{path} is not as recorded"),
                None => assert!(there.is_dir(), "{path} is no folder"),
            }
        }
        let names = Disk::of_folder(self.root.path()).image(&[], all, &mut StdRng::seed_from_u64(0)).into_keys();
        assert!(names.eq(image.into_keys()), "names are not as recorded");
    }

    fn image(&self, disk: &Disk, expected: &Expected, kept: Kept, random: &mut StdRng, at: usize) -> Image {
        let folder = TempDir::new().unwrap();
        let root = folder.path().join("disk");
        std::fs::create_dir(&root).unwrap();
        disk::write(&disk.image(&self.record.bytes, kept, random), &root);
        std::fs::write(folder.path().join("expected"), serde_json::to_vec(expected).unwrap()).unwrap();
        Image { folder, what: format!("{}, after {at} of {} steps, {kept:?}", self.what, self.record.entries.len()) }
    }
}

/// What a loss of power may leave of what was not synced.
fn possible(random: &mut StdRng) -> Kept {
    let data = [0, 0, 0, 10, 50, 90, 100][random.random_range(0..7)];
    let piece = [512, 4096][random.random_range(0..2)];
    let names = [KeptNames::None, KeptNames::All, KeptNames::First, KeptNames::Some(50), KeptNames::Some(90)];
    Kept { data, piece, names: names[random.random_range(0..names.len())] }
}
