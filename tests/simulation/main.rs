//! A whole relay in a simulated world: real ingest, lanes and rules on paused time, a store that forgets at a crash what it had not
//! made durable, and applications that fail in every way. One seed is one story of hours or days, and always the same one.
//!
//! Only three things are not those of the program: sockets (pipes in memory), the clock (tokio's, paused), and the store, which is
//! the one in memory behind a writer of groups. `docs/DURABILITY.md` tells what is proved here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod application;
mod check;
mod config;
mod kept;
mod life;
mod network;
mod script;
mod sender;
mod store;
mod truth;

use std::time::Duration;

use script::{Fault, Story};

/// Seeds that a test run tries where `SIM_SEEDS` says nothing.
const SEEDS: u64 = 100;
/// The same on the real store, which takes longer.
const SLED_SEEDS: u64 = 4;
/// Seeds that are run twice.
const TWICE: u64 = 8;
/// Seeds within which a broken relay must be caught.
const CONTROLS: u64 = 40;
const DAY: Duration = Duration::from_secs(86_400);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs `seeds` on all cores, and gives what came of each, in their order.
fn run_all(seeds: std::ops::Range<u64>, run: fn(u64) -> Story) -> Vec<(u64, Story)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let run_some = |thread: u64| {
        let mine = seeds.clone().filter(move |seed| seed % threads == thread);
        mine.map(|seed| (seed, run(seed))).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run_some(thread))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_by_key(|(seed, _)| *seed);
    all
}

/// Tells the stories of so many seeds, and asks that nothing was broken. `what` is what they are told on.
#[track_caller]
fn hold(what: &str, seeds: u64, run: fn(u64) -> Story) {
    let seeds = match (number("SIM_SEED"), number("SIM_FIRST").unwrap_or(1)) {
        (Some(seed), _) => seed..seed + 1,
        (None, first) => first..first + seeds,
    };
    let stories = run_all(seeds, run);
    let sum = |of: fn(&Story) -> u64| stories.iter().map(|(_, story)| of(story)).sum::<u64>();
    println!(
        "{what}: {} seeds, {} bad: {} answers of 2xx, {} answers of applications, {} attempts, {} crashes, {} days",
        stories.len(),
        stories.iter().filter(|(_, story)| !story.broken.is_empty()).count(),
        sum(|story| story.acknowledged),
        sum(|story| story.passed_on),
        sum(|story| story.attempts),
        sum(|story| story.crashes),
        sum(|story| story.took.as_secs()) / DAY.as_secs(),
    );
    let bad = stories.iter().filter(|(_, story)| !story.broken.is_empty());
    let told: Vec<_> = bad.take(5).map(|(seed, story)| format!("SIM_SEED={seed}\n{}", story.told())).collect();
    assert!(told.is_empty(), "{}", told.join("\n\n"));
}

#[test]
fn what_is_promised_holds_in_every_story() {
    hold("in memory", number("SIM_SEEDS").unwrap_or(SEEDS), |seed| script::run(seed, None));
}

#[test]
fn what_is_promised_holds_on_the_real_store() {
    hold("on sled", number("SIM_SLED_SEEDS").unwrap_or(SLED_SEEDS), script::run_on_sled);
}

#[test]
fn a_seed_tells_the_same_story_again() {
    for seed in 1..=TWICE {
        let [first, second] = [(); 2].map(|()| script::run(seed, None));
        let differ = first.trace.iter().zip(&second.trace).position(|(one, other)| one != other);
        let differ = differ.map(|at| (&first.trace[..=at], &second.trace[at]));
        assert_eq!(first.hash(), second.hash(), "SIM_SEED={seed}: {differ:#?}");
    }
}

#[test]
fn a_broken_relay_is_caught() {
    for (fault, word) in Fault::ALL {
        let is_caught = |seed: &u64| script::run(*seed, Some(fault)).broken.iter().any(|broken| broken.contains(word));
        let caught = (1..=CONTROLS).find(is_caught);
        println!("{fault:?} is caught: {caught:?}");
        assert!(caught.is_some(), "{fault:?} is not seen in {CONTROLS} seeds");
    }
}
