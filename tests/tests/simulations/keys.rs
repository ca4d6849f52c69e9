//! Idempotency keys: a request is recorded once, whatever happens to the instances that record it. The scenario and its
//! checks are in `annals_tests::keys`, and so are the bugs that it must find.
//!
//! `annals_tests::seeds` has the variables that choose the seeds.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use annals_core::{
    log::{
        Log,
        append::{AppendError, AppendPolicy, IdempotencyKey, Outcome, Receipt},
        store::LogStore,
    },
    organisation::Organisation,
};
use annals_tests::{
    clock::PausedClock,
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore},
    keys::{self, bugs::Bug},
    memory::{MemoryStore, Table},
    sample,
    seeds::Seeds,
};

/// The seeds of every run.
const FIXED_SEEDS: u64 = 30;
/// How many more the usual run has.
const FURTHER_SEEDS: u64 = 30;
/// The most seeds that it takes to find a bug.
const SEEDS_FOR_A_BUG: u64 = 60;

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

/// Instances that share a store.
struct World {
    store: Arc<MemoryStore>,
    clock: Arc<PausedClock>,
    entropy: Arc<SeededEntropy>,
    acme: Organisation,
}

impl World {
    fn new(store: MemoryStore) -> Self {
        Self {
            store: Arc::new(store),
            clock: PausedClock::new(sample::START),
            entropy: SeededEntropy::new(1),
            acme: sample::organisation("acme"),
        }
    }

    fn instance(&self, store: Arc<dyn LogStore>) -> Log {
        Log::new(store, self.clock.clone(), self.entropy.fork(), AppendPolicy::default())
    }

    async fn record(&self, events: u32) {
        let log = self.instance(self.store.clone());
        for number in 0..events {
            log.append(&self.acme, vec![sample::body(&format!("plain {number}"))], None).await.unwrap();
        }
    }

    /// The same request with a key, each time to a new instance.
    async fn request(&self, store: Arc<dyn LogStore>) -> Result<Receipt, AppendError> {
        let key = IdempotencyKey::parse(b"the key").unwrap();
        self.instance(store).append(&self.acme, vec![sample::body("keyed")], Some(key)).await
    }

    /// Sends the request to an instance that stores the claim and cannot store the segment.
    async fn only_claim(&self) {
        let store = FaultyStore::new(self.store.clone(), |call| (call.name == "commit").then_some(Fault::Unsent));
        assert!(matches!(self.request(store).await, Err(AppendError::Unavailable(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_throttled_again_and_again_comes_to_an_end() {
    let world = World::new(MemoryStore::new().with_page(1));
    world.only_claim().await;
    world.record(30).await;
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    let throttled = FaultyStore::new(world.store.clone(), move |call| {
        (call.name == "range" && counted.fetch_add(1, Ordering::Relaxed) % 4 == 3).then_some(Fault::Throttled)
    });
    let receipt = world.request(throttled).await.unwrap();
    assert!(matches!(receipt.outcome, Outcome::Recorded { .. }));
    assert_eq!(receipt.ids().next().unwrap().sequence(), 31);
    let reads = reads.load(Ordering::Relaxed);
    assert!(reads <= 40, "30 segments were looked at in {reads} reads");
}

#[tokio::test(start_paused = true)]
async fn a_look_of_an_earlier_request_is_not_made_again() {
    let world = World::new(MemoryStore::new().with_page(1));
    world.only_claim().await;
    world.record(30).await;
    world.only_claim().await;
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    let store = FaultyStore::new(world.store.clone(), move |call| {
        counted.fetch_add(u64::from(call.name == "range"), Ordering::Relaxed);
        None
    });
    assert!(matches!(world.request(store).await.unwrap().outcome, Outcome::Recorded { .. }));
    assert_eq!(reads.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_restored_log_has_lost_is_recorded_again_under_its_key() {
    let world = World::new(MemoryStore::new());
    world.record(3).await;
    let earlier = world.store.back_up();
    world.record(2).await;
    let lost = world.request(world.store.clone()).await.unwrap();
    world.store.take_back(&earlier, &[Table::Log]);

    let anew = world.request(world.store.clone()).await.unwrap();
    assert!(matches!(anew.outcome, Outcome::Recorded { .. }), "{anew:?}");
    assert_eq!(anew.ids().next().unwrap().sequence(), 4);
    let again = world.request(world.store.clone()).await.unwrap();
    assert_eq!(again.outcome, Outcome::Replayed);
    assert_eq!(again.ids().collect::<Vec<_>>(), anew.ids().collect::<Vec<_>>());
    assert_ne!(lost.ids().collect::<Vec<_>>(), anew.ids().collect::<Vec<_>>());
}
