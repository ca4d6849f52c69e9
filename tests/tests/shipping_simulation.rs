//! The simulation of shipping: several organisations over weeks, thousands of times, each time by another seed. Owns the
//! seeds; the stories, the promises and the planted bugs are `annals_tests::shipping`'s.
//!
//! `ANNALS_SEEDS=100000` runs more seeds than usual, `ANNALS_SEED=17` that one alone.

use std::{
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use annals_tests::shipping::{
    judge::Violation,
    planted::Bug,
    story::{self, Tally},
};

/// How many seeds the usual run has.
const SEEDS: u64 = 2000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// Runs all `seeds`, as many at a time as there are processors. Gives the lowest that fails, or what happened in all.
fn run(seeds: Range<u64>) -> Result<Tally, (u64, Violation)> {
    let next = AtomicU64::new(seeds.start);
    let outcome = Mutex::new(Ok(Tally::default()));
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let result = story::run(seed, None);
            let mut outcome = outcome.lock().unwrap();
            match (&mut *outcome, result) {
                (Ok(tally), Ok(some)) => *tally += some,
                (Err((lowest, _)), _) if *lowest < seed => {}
                (_, Err(violation)) => {
                    *outcome = Err((seed, violation));
                    next.store(seeds.end, Ordering::Relaxed);
                }
                (Err(_), Ok(_)) => {}
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    outcome.into_inner().unwrap()
}

#[test]
fn shipping_keeps_its_promises_through_weeks_of_trouble() {
    let seeds = match number("ANNALS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ANNALS_SEEDS").unwrap_or(SEEDS),
    };
    match run(seeds.clone()) {
        Ok(tally) => println!("{seeds:?}: {tally:#?}"),
        Err((seed, violation)) => panic!(
            "seed {seed}: {violation}\n  again: ANNALS_SEED={seed} cargo nextest run -p annals-tests --test shipping_simulation weeks"
        ),
    }
}

/// The first seed that finds `bug`, and what it finds.
fn first_found(bug: Bug) -> Option<(u64, Violation)> {
    (0..60).find_map(|seed| story::run(seed, Some(bug)).err().map(|violation| (seed, violation)))
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match first_found(*bug) {
            Some((seed, violation)) => {
                let right = bug.breaks().contains(&violation.promise);
                println!("{bug:?} is found at seed {seed}: {:?}", violation.promise);
                if !right {
                    missed.push(format!("{bug:?} is found at seed {seed} by another promise: {violation}"));
                }
            }
            None => missed.push(format!("{bug:?} is not found")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
