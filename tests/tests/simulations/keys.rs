//! Idempotency keys: a request is recorded once, whatever happens to the instances that record it. The scenario and its
//! checks are in `annals_tests::keys`, and so are the bugs that it must find.
//!
//! `annals_tests::seeds` has the variables that choose the seeds.

use annals_tests::{
    keys::{self, bugs::Bug},
    seeds::Seeds,
};

/// The seeds of every run.
const FIXED_SEEDS: u64 = 30;
/// How many more the usual run has.
const FURTHER_SEEDS: u64 = 70;
/// The most seeds that it takes to find a bug.
const SEEDS_FOR_A_BUG: u64 = 100;

#[test]
fn a_request_with_a_key_is_recorded_once_through_late_puts_frozen_instances_and_expiring_claims() {
    let seeds = Seeds::chosen(FIXED_SEEDS, FURTHER_SEEDS);
    let tally = seeds.check(|seed| keys::run(seed, None));
    println!("{tally:?}");
    if seeds.are_enough() {
        assert!(tally.replayed > tally.recorded / 2, "too few requests are repeated: {tally:?}");
        assert!(tally.unanswered > tally.requests / 20, "too few answers are lost: {tally:?}");
        let rare = [tally.reused, tally.frozen, tally.merged, tally.large, tally.looks, tally.renewed];
        assert!(rare.iter().all(|count| *count > 0), "something never happens: {tally:?}");
    }
}

#[test]
fn every_mistake_with_a_key_is_found() {
    let found = |bug| (0..SEEDS_FOR_A_BUG).find_map(|seed| keys::run(seed, Some(bug)).err().map(|why| (seed, why)));
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match found(*bug) {
            Some((seed, violation)) => println!("{bug:?}: seed {seed}: {violation}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
