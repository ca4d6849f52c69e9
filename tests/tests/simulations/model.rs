//! The model test: checks the promises of a log in thousands of random runs, for the log of Annals and for two broken
//! logs, which it must reject. The scenario, the model and the checks are in `annals_tests::model`.
//!
//! `annals_tests::seeds` has the variables that choose the seeds.

use annals_tests::{
    broken_logs::{NumberedByCounter, PagedByTimestamp},
    model::{
        self, Promise, Refusals,
        annals::{Annals, Load, World},
    },
    seeds::Seeds,
};

/// The seeds of every run.
const FIXED_SEEDS: u64 = 60;
/// How many more the usual run has.
const FURTHER_SEEDS: u64 = 140;

/// Worlds alternate: no, few or many faults; no or every second read stale; no or some answers empty by mistake; and as much
/// load as there is, or as little as a busy partition takes.
fn world(seed: u64) -> World {
    let faults = [0.0, 0.03, 0.15][usize::try_from(seed % 3).unwrap()];
    let staleness = if seed % 2 == 1 { 0.5 } else { 0.0 };
    let emptiness = if seed % 5 < 2 { 0.05 } else { 0.0 };
    let load = if seed % 7 < 3 { Load::Limited } else { Load::Any };
    World { faults, staleness, emptiness, load }
}

#[test]
fn the_log_keeps_its_promises_through_crashes_stale_reads_and_months_of_quiet() {
    let seeds = Seeds::chosen(FIXED_SEEDS, FURTHER_SEEDS);
    let tally =
        seeds.check(|seed| model::run(seed, async |surroundings| Annals::start(surroundings, world(seed)).await));
    println!("{tally:?}");
    if seeds.are_enough() {
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        assert!(share(tally.expired, tally.events) > 0.1, "too little expires: {tally:?}");
        assert!(share(tally.unknown, tally.appends) > 0.03, "too few crashes and clients that go: {tally:?}");
        assert!(tally.frozen > 100, "too few processes freeze: {tally:?}");
        let Refusals { throttled, conflicts, emptied } = tally.refusals;
        assert!(throttled > 500 && conflicts > 20 && emptied > 100, "too little is refused: {tally:?}");
        assert!(tally.replayed > 100 && tally.reused > 100, "too few keys are used again: {tally:?}");
    }
}

/// The first seed at which a subject breaks a promise, and the promise.
fn first_broken<S: model::Subject>(make: impl Fn(model::Surroundings) -> S) -> Option<(u64, Promise)> {
    (0..20).find_map(|seed| {
        let outcome = model::run(seed, async |surroundings| make(surroundings));
        outcome.err().map(|violation| (seed, violation.promise))
    })
}

#[test]
fn a_log_that_is_paged_by_timestamp_is_found_wanting() {
    let broken = first_broken(PagedByTimestamp::new);
    assert!(matches!(broken, Some((_, Promise::NothingMissed))), "{broken:?}");
}

#[test]
fn a_log_that_is_numbered_by_a_counter_is_found_wanting() {
    let broken = first_broken(NumberedByCounter::new);
    assert!(matches!(broken, Some((_, Promise::NothingMissed | Promise::Dense))), "{broken:?}");
}
