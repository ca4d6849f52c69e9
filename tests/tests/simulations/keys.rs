//! Idempotency keys: a request is recorded once, whatever happens to the instances that record it. The scenario and its
//! checks are in `annals_tests::keys`, and so are the bugs that it must find.
//!
//! `ANNALS_SEEDS=5000` runs more seeds than usual, `ANNALS_SEED=17` only that one.

use annals_tests::keys::{self, Tally, bugs::Bug};

const SEEDS: u64 = 100;
/// The most seeds that it takes to find a bug.
const SEEDS_FOR_A_BUG: u64 = 100;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn a_request_with_a_key_is_recorded_once_through_late_puts_frozen_instances_and_expiring_claims() {
    let seeds = match number("ANNALS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ANNALS_SEEDS").unwrap_or(SEEDS),
    };
    let mut tally = Tally::default();
    for seed in seeds.clone() {
        match keys::run(seed, None) {
            Ok(some) => tally += some,
            Err(violation) => {
                panic!("{violation}\n  again: ANNALS_SEED={seed} cargo test -p annals-tests --test simulations keys::")
            }
        }
    }
    println!("{seeds:?}: {tally:?}");
    if seeds.end - seeds.start >= SEEDS {
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
