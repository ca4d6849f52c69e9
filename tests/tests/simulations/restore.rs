//! Tables that are taken back to an earlier copy: what contradicts deliveries is named as such.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use annals_core::{
    change::Change,
    delivery::{
        queue::ShipOrder,
        ship::{ShipOutcome, ShipPolicy, ShipReport, Shipping},
    },
    destination::{Destination, State, failure::FailureCode, sink::ObjectSink},
    log::{Log, append::AppendPolicy},
    organisation::Organisation,
    proof::signing::Signing,
    registry::Registry,
    time::Clock as _,
};
use annals_tests::{
    bucket::{Condition, MemoryBuckets},
    clock::PausedClock,
    entropy::SeededEntropy,
    memory::{MemoryStore, Table},
    model::in_virtual_time,
    queue::MemoryQueue,
    sample,
    signer::MemorySigner,
};

const KEY: &str = "key-1";
const TICK: Duration = Duration::from_secs(600);
/// The ticks within which every destination is compared with the end of its log.
const ROUND: usize = 36;

/// An organisation with a destination, and a shipper that signs.
struct World {
    clock: Arc<PausedClock>,
    entropy: Arc<SeededEntropy>,
    store: Arc<MemoryStore>,
    buckets: Arc<MemoryBuckets>,
    queue: Arc<MemoryQueue>,
    signer: Arc<MemorySigner>,
    acme: Organisation,
}

impl World {
    /// A world with two events: of the organisation and of the destination.
    async fn start() -> Self {
        let clock = PausedClock::new(sample::START);
        let acme = sample::organisation("acme");
        let buckets = MemoryBuckets::new(clock.clone(), "eu-central-1".parse().unwrap());
        let destination = sample::destination(&acme, "1");
        buckets.open(&destination.bucket, "eu-central-1".parse().unwrap());
        let world = Self {
            entropy: SeededEntropy::new(1),
            store: Arc::new(MemoryStore::new()),
            buckets,
            queue: MemoryQueue::new(clock.clone()),
            signer: MemorySigner::new(),
            acme: acme.clone(),
            clock,
        };
        let log = world.log();
        log.append_change(&acme, sample::body("0"), Change::CreateOrganisation(acme.clone())).await.unwrap();
        let create = Change::CreateDestination { destination: Box::new(destination), limit: 1 };
        log.append_change(&acme, sample::body("1"), create).await.unwrap();
        world
    }

    fn log(&self) -> Arc<Log> {
        let policy = AppendPolicy::default();
        Arc::new(Log::new(self.store.clone(), self.clock.clone(), self.entropy.fork(), policy))
    }

    fn signing(&self) -> Arc<Signing> {
        self.signer.signing(KEY, self.store.clone(), self.clock.clone())
    }

    fn shipping(&self) -> Shipping {
        let sink = self.buckets.clone() as Arc<dyn ObjectSink>;
        let (store, queue, clock) = (self.store.clone(), self.queue.clone(), self.clock.clone());
        let shipping = Shipping::new(self.log(), store, queue, sink, clock, self.entropy.fork(), ShipPolicy::default());
        shipping.with_signing(Some(self.signing()))
    }

    /// Records one event after the other.
    async fn record(&self, count: usize) {
        for number in 0..count {
            self.log().append(&self.acme, vec![sample::body(&number.to_string())], None).await.unwrap();
        }
    }

    /// Plans and ships what was ordered. Returns the reports.
    async fn tick(&self) -> Vec<ShipReport> {
        self.clock.jump(TICK);
        let shipping = self.shipping();
        shipping.plan().await.unwrap();
        let mut reports = Vec::new();
        for message in self.queue.receive(10) {
            reports.push(shipping.ship(&message.order).await.unwrap());
            self.queue.delete(message.number);
        }
        reports
    }

    /// Ticks until a run does not end as if everything was in order. Panics if that takes longer than a round.
    async fn tick_until_it_is_noticed(&self) -> FailureCode {
        for _ in 0..ROUND {
            for report in self.tick().await {
                if let ShipOutcome::Failing(code) = report.outcome {
                    return code;
                }
            }
        }
        panic!("nothing was noticed: {:?}", self.destination().await.state())
    }

    async fn destination(&self) -> Destination {
        self.store.destinations(&self.acme.id).await.unwrap().remove(0)
    }

    async fn failing(&self) -> Option<FailureCode> {
        match self.destination().await.state() {
            State::Failing { failing, .. } => Some(failing.failure.code),
            _ => None,
        }
    }

    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let bucket = sample::destination(&self.acme, "1").bucket;
        self.buckets.objects(&bucket).into_iter().map(|(key, object)| (key, object.content.to_vec())).collect()
    }
}

#[test]
fn a_destination_ahead_of_its_log_is_named_and_gets_nothing() {
    in_virtual_time(async {
        let world = World::start().await;
        let earlier = world.store.back_up();
        world.record(3).await;
        world.tick().await;
        assert_eq!(world.destination().await.next_sequence, 6);
        let objects = world.objects();
        world.store.take_back(&earlier, &[Table::Log]);
        assert_eq!(world.tick_until_it_is_noticed().await, FailureCode::AheadOfLog);
        assert_eq!(world.failing().await, Some(FailureCode::AheadOfLog));
        let status = world.destination().await.status().to_string();
        assert!(
            status.contains("Events up to sequence 5 were delivered, but our log ends with sequence 2."),
            "{status}"
        );
        // New events take the numbers of lost ones. It stays a failure, and for days.
        world.record(2).await;
        let mut noticed = 0;
        for _ in 0..3 * 144 {
            for report in world.tick().await {
                noticed += usize::from(matches!(report.outcome, ShipOutcome::Failing(_)));
                assert_ne!(report.outcome, ShipOutcome::UpToDate);
            }
        }
        assert!(noticed > 24 * 3, "reported {noticed} times: at least once an hour");
        assert_eq!(world.failing().await, Some(FailureCode::AheadOfLog));
        assert_eq!(world.objects(), objects, "nothing is delivered, and nothing is signed");
    });
}

#[test]
fn a_log_that_was_restored_and_went_on_is_named_and_not_delivered() {
    in_virtual_time(async {
        for (lost, new) in [(3, 3), (3, 4), (3, 90), (1, 1)] {
            let world = World::start().await;
            let earlier = world.store.back_up();
            world.record(lost).await;
            world.tick().await;
            let objects = world.objects();
            world.store.take_back(&earlier, &[Table::Log]);
            for _ in 0..new {
                world.clock.jump(Duration::from_secs(1));
                world.record(1).await;
            }
            // An end with another event is compared once a day, when a checkpoint is due.
            let mut code = None;
            for _ in 0..145 {
                code = code.or(world.tick().await.into_iter().find_map(|report| match report.outcome {
                    ShipOutcome::Failing(code) => Some(code),
                    _ => None,
                }));
            }
            assert_eq!(code, Some(FailureCode::LogMismatch), "{new} new events");
            assert_eq!(world.failing().await, Some(FailureCode::LogMismatch));
            assert_eq!(world.objects(), objects, "nothing is delivered, and nothing is signed");
        }
    });
}

#[test]
fn a_position_within_a_batch_of_a_restored_log_is_no_gap() {
    in_virtual_time(async {
        let world = World::start().await;
        let earlier = world.store.back_up();
        world.record(3).await;
        world.tick().await;
        let objects = world.objects();
        world.store.take_back(&earlier, &[Table::Log]);
        // Sequences 3 to 12 in one segment, and the destination is at 6.
        let batch = (0..10).map(|number| sample::body(&number.to_string())).collect();
        world.log().append(&world.acme, batch, None).await.unwrap();
        world.record(1).await;
        assert_eq!(world.tick_until_it_is_noticed().await, FailureCode::LogMismatch);
        assert_eq!(world.objects(), objects);
        assert_eq!(world.destination().await.progress.lost, None, "no event has expired");
    });
}

#[test]
fn an_unfinished_delivery_of_events_that_the_log_lost_is_named() {
    in_virtual_time(async {
        let world = World::start().await;
        world.tick().await;
        let earlier = world.store.back_up();
        world.record(3).await;
        let bucket = world.destination().await.bucket;
        world.buckets.set_condition(&bucket, Condition::Outage);
        world.tick().await;
        assert!(world.destination().await.intent.is_some());
        let (objects, events) = (world.objects(), world.log().tail(&world.acme.id).await.unwrap().last);
        assert_eq!(events, 5);
        world.store.take_back(&earlier, &[Table::Log]);
        world.buckets.set_condition(&bucket, Condition::Working);
        let mut code = None;
        for _ in 0..ROUND {
            world.tick().await;
            code = world.failing().await.filter(|code| code.is_contradiction()).or(code);
        }
        assert_eq!(code, Some(FailureCode::AheadOfLog));
        assert_eq!(world.objects(), objects);
        assert_eq!(world.log().tail(&world.acme.id).await.unwrap().last, 2, "and nothing is recorded about it");
    });
}

#[test]
fn a_log_that_is_in_order_again_ends_the_failure_without_a_new_event() {
    in_virtual_time(async {
        let world = World::start().await;
        let earlier = world.store.back_up();
        world.record(3).await;
        world.tick().await;
        let complete = world.store.back_up();
        world.store.take_back(&earlier, &[Table::Log]);
        assert_eq!(world.tick_until_it_is_noticed().await, FailureCode::AheadOfLog);
        world.store.take_back(&complete, &[Table::Log]);
        for _ in 0..7 {
            world.tick().await;
        }
        assert_eq!(world.failing().await, None);
        world.record(1).await;
        assert_eq!(world.tick().await[0].outcome, ShipOutcome::UpToDate);
        assert_eq!(world.destination().await.next_sequence, 7);
    });
}

#[test]
fn a_destination_whose_pause_is_over_is_tried_although_it_has_nothing_to_deliver() {
    in_virtual_time(async {
        let world = World::start().await;
        let earlier = world.store.back_up();
        world.record(1).await;
        world.tick().await;
        world.store.take_back(&earlier, &[Table::Log]);
        world.tick_until_it_is_noticed().await;
        let active = world.store.active_destinations().await.unwrap().remove(0);
        assert!(ShipOrder::of(&active, world.clock.now()).pending);
    });
}
