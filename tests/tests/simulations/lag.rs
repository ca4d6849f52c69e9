//! The lag that plans and shipments report: how long events wait for a reason that the operator can change.

use std::{sync::Arc, time::Duration};

use annals_core::{
    administration::{Administration, DestinationInput},
    change::Change,
    delivery::ship::{ShipOutcome, ShipPolicy, Shipping},
    destination::Destination,
    log::{Log, append::AppendPolicy},
    organisation::Organisation,
};
use annals_tests::{
    bucket::{Condition, Trust},
    entropy::SeededEntropy,
    memory::MemoryStore,
    model::in_virtual_time,
    queue::MemoryQueue,
    sample,
    shipping::world::{HOME, World, platform, region},
};

const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    world: World,
    log: Arc<Log>,
    administration: Administration,
    acme: Organisation,
    destination: Destination,
}

impl Fixture {
    /// A day of events, and a destination that was created just now.
    async fn start() -> Self {
        let world = World::new(sample::START, |_| MemoryStore::new(), MemoryQueue::new);
        let entropy = SeededEntropy::new(1);
        let log = Log::new(world.ports(), world.clock.clone(), entropy.fork(), AppendPolicy::default());
        let log = Arc::new(log);
        let acme = sample::organisation("acme");
        let created = log.append_change(&acme, sample::body("0"), Change::CreateOrganisation(acme.clone()));
        created.await.unwrap();
        world.clock.jump(MINUTE * 60 * 24);
        let administration = Administration::new(Arc::clone(&log), world.ports(), world.clock.clone(), entropy.fork());
        let sample = sample::destination(&acme, "1");
        let input = DestinationInput { bucket: sample.bucket, role_arn: sample.role_arn, settings: sample.settings };
        let destination = administration.create_destination(&acme, input, &platform()).await.unwrap();
        world.buckets.open(&destination.bucket, region(HOME));
        Self { world, log, administration, acme, destination }
    }

    fn shipping(&self, policy: ShipPolicy) -> Shipping {
        let ports = self.world.ports();
        let (log, clock) = (Arc::clone(&self.log), self.world.clock.clone());
        Shipping::new(log, ports.clone(), ports.clone(), ports, clock, SeededEntropy::new(2), policy)
    }

    async fn planned(&self) -> Option<u64> {
        self.shipping(ShipPolicy::default()).plan().await.unwrap().lag_seconds
    }

    /// Ships one order. Returns the outcome and the reported lag.
    async fn shipped(&self, policy: ShipPolicy) -> (ShipOutcome, Option<u64>) {
        let message = self.world.queue.receive(1).remove(0);
        let report = self.shipping(policy).ship(message.order()).await.unwrap();
        self.world.queue.delete(message.number);
        (report.outcome, report.lag_seconds)
    }

    async fn record(&self) {
        self.log.append(&self.acme, vec![sample::body("1")], None).await.unwrap();
    }
}

#[test]
fn a_plan_looks_only_where_orders_wait_and_counts_from_the_destinations_creation() {
    in_virtual_time(async {
        let fixture = Fixture::start().await;
        assert_eq!(fixture.planned().await, None, "nothing waits on the queue: nobody is late");
        fixture.world.clock.jump(MINUTE * 40);
        assert_eq!(fixture.planned().await, Some(40 * 60), "its events are a day old, and it 40 minutes");
        assert_eq!(fixture.shipped(ShipPolicy::default()).await, (ShipOutcome::UpToDate, Some(0)));
    });
}

#[test]
fn a_shipment_that_has_no_time_left_says_how_long_what_it_leaves_has_waited() {
    in_virtual_time(async {
        let fixture = Fixture::start().await;
        fixture.planned().await;
        assert_eq!(fixture.shipped(ShipPolicy::default()).await.1, Some(0));
        fixture.world.clock.jump(MINUTE);
        fixture.record().await;
        fixture.world.clock.jump(MINUTE * 35);
        fixture.planned().await;
        let no_time = ShipPolicy { time_budget: Duration::ZERO, ..ShipPolicy::default() };
        assert_eq!(fixture.shipped(no_time).await, (ShipOutcome::OutOfTime, Some(35 * 60)));
    });
}

#[test]
fn a_backlog_that_is_worked_off_is_no_lag_and_a_standstill_in_it_is() {
    in_virtual_time(async {
        let fixture = Fixture::start().await;
        for _ in 0..3 {
            fixture.record().await;
        }
        // Each segment is an object and each put takes a minute, so there is time for one.
        fixture.world.buckets.set_condition(&fixture.destination.bucket, Condition::Slow(Duration::from_secs(20)));
        let one = ShipPolicy { object_bytes: 1, time_budget: Duration::from_secs(20), ..ShipPolicy::default() };
        for _ in 0..2 {
            fixture.world.clock.jump(MINUTE * 20);
            fixture.planned().await;
            let (outcome, lag) = fixture.shipped(one).await;
            assert_eq!(outcome, ShipOutcome::OutOfTime);
            assert!(lag < Some(60), "the last object was put just now: {lag:?}");
        }
        fixture.planned().await;
        fixture.world.clock.jump(MINUTE * 45);
        let lag = fixture.planned().await;
        assert!((Some(45 * 60)..Some(46 * 60)).contains(&lag), "nothing has moved since: {lag:?}");
    });
}

#[test]
fn what_the_customer_has_to_mend_is_no_lag_until_it_is_mended() {
    in_virtual_time(async {
        let fixture = Fixture::start().await;
        fixture.world.buckets.set_trust(&fixture.destination.role_arn, Trust::Revoked);
        fixture.planned().await;
        let (outcome, lag) = fixture.shipped(ShipPolicy::default()).await;
        assert!(matches!(outcome, ShipOutcome::Failing(_)) && lag.is_none(), "{outcome:?} {lag:?}");
        fixture.planned().await;
        fixture.world.clock.jump(MINUTE * 120);
        assert_eq!(fixture.planned().await, None);
        fixture.record().await;
        fixture.world.buckets.set_trust(&fixture.destination.role_arn, Trust::OwnExternalId);
        let no_time = ShipPolicy { time_budget: Duration::ZERO, ..ShipPolicy::default() };
        let (outcome, lag) = fixture.shipped(no_time).await;
        assert!(lag.is_some_and(|lag| lag < 60), "{outcome:?} {lag:?}");
    });
}

#[test]
fn a_pause_is_no_lag() {
    in_virtual_time(async {
        let fixture = Fixture::start().await;
        fixture.administration.pause_destination(&fixture.acme, &fixture.destination.id, &platform()).await.unwrap();
        fixture.world.clock.jump(MINUTE * 600);
        fixture.administration.resume_destination(&fixture.acme, &fixture.destination.id, &platform()).await.unwrap();
        fixture.world.clock.jump(MINUTE * 10);
        fixture.planned().await;
        assert_eq!(fixture.planned().await, Some(10 * 60));
    });
}
