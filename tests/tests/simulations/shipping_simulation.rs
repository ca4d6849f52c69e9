//! The simulation of shipping: several organisations over weeks, thousands of times, each time by another seed. Owns
//! the seeds; the scenarios, the promises and the planted bugs are `annals_tests::shipping`'s.
//!
//! `annals_tests::seeds` has the variables that choose the seeds.

use annals_tests::{
    seeds::Seeds,
    shipping::{
        injected_bugs::Bug,
        scenario::{self, Tally},
    },
};

/// The seeds of every run.
const FIXED_SEEDS: u64 = 500;
/// How many more the usual run has.
const FURTHER_SEEDS: u64 = 2000;
/// Within how many every planted bug is found.
const PLANTED_SEEDS: u64 = 600;

/// Whether enough happened for the promises to have been in danger.
fn eventful(tally: &Tally) {
    let checked = &tally.checked;
    assert!(checked.events > 50_000 && checked.objects > 20_000, "too little was delivered: {tally:?}");
    assert!(checked.lost > 5_000, "too little expired undelivered: {tally:?}");
    assert!(checked.put_again > 800, "too little was put twice: {tally:?}");
    assert!(checked.replays > 800 && tally.changes > 8_000, "administrators were too lazy: {tally:?}");
    assert!(tally.deaths > 1_000 && tally.faults > 4_000, "too little failed of our own: {tally:?}");
    assert!(tally.troubles > 5_000 && checked.failures > 15_000, "too little failed of the customers': {tally:?}");
    assert!(tally.tampered > 10_000, "administrators of buckets were too lazy: {tally:?}");
    assert!(checked.keys_changed > 5_000, "too few keys were revealed: {tally:?}");
    assert!(checked.already_there > 700 && checked.not_ours > 100, "too few objects were there already: {tally:?}");
    assert!(checked.moves > 800 && checked.left_behind > 15, "too few destinations moved: {tally:?}");
    assert!(tally.frozen > 1_000, "too few processes stood still: {tally:?}");
    assert!(tally.throttled > 300, "too little was throttled: {tally:?}");
    assert!(tally.far_off > 300, "too few clocks were far off: {tally:?}");
    assert!(tally.days > 20 * FURTHER_SEEDS, "too little time passed: {tally:?}");
}

#[test]
fn shipping_keeps_its_promises_through_weeks_of_trouble() {
    let seeds = Seeds::chosen(FIXED_SEEDS, FURTHER_SEEDS);
    let tally = seeds.check(|seed| scenario::run(seed, None));
    println!("{tally:#?}");
    if seeds.are_enough() {
        eventful(&tally);
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..12 {
        assert_eq!(scenario::run(seed, None).unwrap(), scenario::run(seed, None).unwrap(), "seed {seed}");
    }
}

#[test]
fn every_injected_bug_is_found_by_the_promise_that_it_breaks() {
    let missed: Vec<String> = Bug::ALL
        .iter()
        .filter_map(|bug| {
            let mut first = None;
            for seed in 0..PLANTED_SEEDS {
                let Err(violation) = scenario::run(seed, Some(*bug)) else { continue };
                let first = *first.get_or_insert(seed);
                if violation.promise == bug.breaks() {
                    println!("{bug:?} is found at seed {first}, and at seed {seed} by {:?}", violation.promise);
                    return None;
                }
                println!("  ({bug:?} at seed {seed}: {:?})", violation.promise);
            }
            Some(format!("{bug:?} does not break {:?} in {PLANTED_SEEDS} seeds; first found: {first:?}", bug.breaks()))
        })
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
