//! How one destination is shipped without a pause: a run continues where the one before was out of time, and no second run
//! works on the same object.

use std::{sync::Arc, time::Duration};

use annals_core::{
    administration::{Administration, DestinationInput},
    change::Change,
    delivery::{
        queue::{QueueMessage, ShipOrder},
        ship::{ShipOutcome, ShipPolicy, ShipReport, Shipping},
    },
    destination::{Destination, RolesWithoutExternalId},
    log::{Log, append::AppendPolicy},
    organisation::Organisation,
    registry::Registry as _,
    time::Clock as _,
};
use annals_tests::{
    bucket::Condition,
    entropy::SeededEntropy,
    faulty::{Call, Fault},
    memory::MemoryStore,
    model::in_virtual_time,
    queue::MemoryQueue,
    sample,
    shipping::{
        checker::{Checker, Ending},
        fixture::TICK,
        gate::{Gate, Latency},
        ports::Decorated,
        world::{HOME, World, active_destinations, platform, region},
    },
};

const SEGMENTS: u64 = 12;
/// Each segment is an object.
const POLICY: ShipPolicy = ShipPolicy {
    object_bytes: 1,
    time_budget: Duration::from_secs(45),
    busy_for: Duration::from_secs(180),
    backoff_first: Duration::from_secs(300),
    backoff_cap: Duration::from_secs(3600),
    roles: RolesWithoutExternalId::Challenge,
};

struct Fixture {
    world: World,
    log: Arc<Log>,
    acme: Organisation,
    destination: Destination,
}

impl Fixture {
    /// A destination with events that make [`SEGMENTS`] objects and one, for its creation. Each put takes `put`.
    async fn start(put: Duration) -> Self {
        let world = World::new(sample::START, |_| MemoryStore::new(), MemoryQueue::new);
        let log = Log::new(world.ports(), world.clock.clone(), SeededEntropy::new(1), AppendPolicy::default());
        let log = Arc::new(log);
        let acme = sample::organisation("acme");
        log.append_change(&acme, sample::body("0"), Change::CreateOrganisation(acme.clone())).await.unwrap();
        for number in 2..SEGMENTS {
            log.append(&acme, vec![sample::body(&number.to_string())], None).await.unwrap();
        }
        let administration =
            Administration::new(Arc::clone(&log), world.ports(), world.clock.clone(), SeededEntropy::new(2));
        let sample = sample::destination(&acme, "1");
        let input = DestinationInput { bucket: sample.bucket, role_arn: sample.role_arn, settings: sample.settings };
        let destination = administration.create_destination(&acme, input, &platform()).await.unwrap();
        world.buckets.open(&destination.bucket, region(HOME));
        world.buckets.set_condition(&destination.bucket, Condition::Slow(put));
        Self { world, log, acme, destination }
    }

    /// A process whose reads take up to `latency`, and whose calls fail as `decide` says.
    fn process(
        &self,
        latency: Duration,
        decide: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
    ) -> (Arc<Decorated<Gate>>, Shipping) {
        let (clock, entropy) = (self.world.clock.clone(), SeededEntropy::new(3));
        let latency = Latency { limit: latency, entropy: entropy.fork() };
        let gate = Gate::new(self.world.ports(), clock.clone(), Some(latency), decide);
        let log = Log::new(gate.clone(), clock.clone(), entropy.fork(), AppendPolicy::default());
        let ports = gate.clone();
        let shipping = Shipping::new(Arc::new(log), ports.clone(), ports.clone(), ports, clock, entropy, POLICY);
        (gate, shipping)
    }

    fn shipping(&self) -> Shipping {
        self.process(Duration::from_millis(1), |_| None).1
    }

    async fn order(&self) -> ShipOrder {
        ShipOrder { pending: true, ..ShipOrder::of(&active_destinations(&*self.world.store).await[0], sample::START) }
    }

    async fn delivered(&self) -> u64 {
        let found = self.world.store.destination(&self.acme.id, &self.destination.id).await;
        found.unwrap().unwrap().next_sequence - 1
    }

    /// Ships the messages of the queue one after the other. Returns the reports.
    async fn work(&self, shipping: &Shipping) -> Vec<ShipReport> {
        let mut reports = Vec::new();
        while let Some(message) = self.world.queue.receive(1).pop() {
            let QueueMessage::Ship(order) = &message.body else { panic!("the plan is small") };
            reports.push(shipping.ship(order).await.unwrap());
            self.world.queue.delete(message.number);
        }
        reports
    }

    async fn check(&self) {
        Checker::of(&self.world, &self.acme.id, Duration::from_secs(5)).check(Ending::Settled).await.unwrap();
    }
}

#[test]
fn a_run_that_is_out_of_time_is_continued_at_once() {
    in_virtual_time(async {
        let fixture = Fixture::start(Duration::from_secs(10)).await;
        let begun = fixture.world.clock.elapsed();
        let shipping = fixture.shipping();
        shipping.plan().await.unwrap();
        let reports = fixture.work(&shipping).await;
        let tail = fixture.log.tail(&fixture.acme.id).await.unwrap().last;
        assert_eq!(fixture.delivered().await, tail, "without another tick");
        let (last, others) = reports.split_last().unwrap();
        assert!(others.len() >= 2 && others.iter().all(|one| one.outcome == ShipOutcome::OutOfTime), "{reports:?}");
        assert_eq!(last.outcome, ShipOutcome::UpToDate);
        println!("{} runs, {:?}", reports.len(), fixture.world.clock.elapsed() - begun);
        fixture.check().await;
    });
}

#[test]
fn a_run_that_delivers_nothing_is_not_continued() {
    in_virtual_time(async {
        let fixture = Fixture::start(Duration::ZERO).await;
        let order = fixture.order().await;
        let no_time = ShipPolicy { time_budget: Duration::ZERO, ..POLICY };
        let (log, ports) = (Arc::clone(&fixture.log), fixture.world.ports());
        let (clock, entropy) = (fixture.world.clock.clone(), SeededEntropy::new(4));
        let shipping = Shipping::new(log, ports.clone(), ports.clone(), ports, clock, entropy, no_time);
        assert_eq!(shipping.ship(&order).await.unwrap().outcome, ShipOutcome::OutOfTime);
        assert!(fixture.world.queue.is_empty(), "or it would go on for ever");
    });
}

#[test]
fn orders_for_a_destination_that_is_being_shipped_are_dropped_and_every_object_is_its_runs_own() {
    in_virtual_time(async {
        let fixture = Fixture::start(Duration::from_secs(2)).await;
        let shipping = fixture.shipping();
        let order = fixture.order().await;
        let others = async {
            let mut outcomes = Vec::new();
            while fixture.delivered().await < SEGMENTS {
                fixture.world.clock.sleep(Duration::from_millis(1500)).await;
                outcomes.push(fixture.shipping().ship(&order).await.unwrap().outcome);
            }
            outcomes
        };
        let (report, outcomes) = futures_util::future::join(shipping.ship(&order), others).await;
        fixture.work(&shipping).await;
        assert!(outcomes.iter().filter(|outcome| **outcome == ShipOutcome::Superseded).count() > 3, "{outcomes:?}");
        let deliveries = &report.unwrap().deliveries;
        assert!(!deliveries.is_empty() && deliveries.iter().all(|one| !one.already_there), "{deliveries:?}");
        fixture.check().await;
    });
}

#[test]
fn what_a_run_that_died_has_begun_is_taken_over_by_the_next_tick() {
    in_virtual_time(async {
        let fixture = Fixture::start(Duration::from_secs(2)).await;
        let order = fixture.order().await;
        let (gate, dying) =
            fixture.process(Duration::from_millis(1), |call| (call.name == "put").then_some(Fault::CrashAfter));
        assert!(gate.0.live(dying.ship(&order)).await.is_none());
        let shipping = fixture.shipping();
        assert_eq!(shipping.ship(&order).await.unwrap().outcome, ShipOutcome::Superseded, "it may be at work still");
        fixture.world.clock.jump(TICK);
        shipping.plan().await.unwrap();
        fixture.work(&shipping).await;
        assert_eq!(fixture.delivered().await, fixture.log.tail(&fixture.acme.id).await.unwrap().last);
        fixture.check().await;
    });
}

#[test]
fn an_object_that_was_refused_is_tried_again_when_its_pause_is_over() {
    in_virtual_time(async {
        let fixture = Fixture::start(Duration::ZERO).await;
        let (_, failing) =
            fixture.process(Duration::from_millis(1), |call| (call.name == "put").then_some(Fault::AnswerLost));
        let order = fixture.order().await;
        assert!(matches!(failing.ship(&order).await.unwrap().outcome, ShipOutcome::Failing(_)));
        let shipping = fixture.shipping();
        // Whoever put it has told how it ended, so nobody is at work on it.
        assert_eq!(shipping.ship(&order).await.unwrap().outcome, ShipOutcome::UpToDate);
        fixture.check().await;
    });
}
