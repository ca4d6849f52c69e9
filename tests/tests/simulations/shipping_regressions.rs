//! Former bugs of shipping, each with the smallest scenario that shows it. The random scenarios of `shipping` found them.

use std::time::Duration;

use annals_core::{
    administration::DestinationInput,
    delivery::ship::ShipPolicy,
    destination::{Destination, Settings},
    organisation::{OrganisationInput, Plan, RetentionDays},
    time::{Clock as _, Timestamp},
};
use annals_tests::{
    entropy::SeededEntropy,
    memory::MemoryStore,
    queue::MemoryQueue,
    sample,
    shipping::{
        checker::{Checker, Ending},
        gate::Gate,
        world::{HOME, Process, World, platform, region},
    },
};

const MINUTE: Duration = Duration::from_secs(60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// An organisation whose retention changes.
struct Acme {
    world: World,
    process: Process,
}

impl Acme {
    /// It is created at the beginning of the world, which is its first event.
    async fn with_retention(days: u64) -> Self {
        let world = World::new(sample::START, |_| MemoryStore::new().with_page(2), MemoryQueue::new);
        let gate = Gate::new(world.ports(), world.clock.clone(), None, |_| None);
        let entropy = SeededEntropy::new(1);
        let process = Process::start(gate, |ports| ports, world.dial.clone(), ShipPolicy::default(), &entropy);
        let acme = Self { world, process };
        acme.set_retention(days).await;
        acme
    }

    /// Records one event.
    async fn set_retention(&self, days: u64) {
        let retention = Some(RetentionDays::try_from(days).unwrap());
        let input = OrganisationInput { name: "Acme".into(), plan: Some(Plan::Enterprise), retention };
        self.process.administration.put_organisation(&"acme".parse().unwrap(), input, &platform()).await.unwrap();
    }

    async fn record(&self, events: usize) {
        let organisation = self.world.organisation(&"acme".parse().unwrap()).await;
        for _ in 0..events {
            self.process.log.append(&organisation, vec![sample::body("thing")], None).await.unwrap();
        }
    }

    /// Lets time pass, with daily maintenance.
    async fn pass(&self, mut duration: Duration) {
        while !duration.is_zero() {
            let step = duration.min(Duration::from_secs(24 * 60 * 60));
            self.world.clock.jump(step);
            self.process.log.maintain(&"acme".parse().unwrap()).await.unwrap();
            duration -= step;
        }
    }

    /// As [`deliver_before`](Self::deliver_before), less than a tick before the week is over.
    async fn deliver_the_week(self, since: Timestamp) -> u64 {
        self.deliver_before(10 * MINUTE, since).await
    }

    /// Creates a destination shortly before a week after `since` is over, and delivers to it. Returns the sequence with which
    /// it begins.
    async fn deliver_before(self, shortly: Duration, since: Timestamp) -> u64 {
        let passed = self.world.clock.now().since(since);
        self.pass(WEEK - shortly - passed).await;
        let created = self.create_destination().await;
        self.deliver().await;
        created.first_sequence.unwrap()
    }

    async fn create_destination(&self) -> Destination {
        let organisation = self.world.organisation(&"acme".parse().unwrap()).await;
        let sample = sample::destination(&organisation, "1");
        self.world.buckets.open(&sample.bucket, region(HOME));
        let input =
            DestinationInput { bucket: sample.bucket, role_arn: sample.role_arn, settings: Settings::default() };
        self.process.administration.create_destination(&organisation, input, &platform()).await.unwrap()
    }

    /// Ships everything, and checks all promises.
    async fn deliver(self) {
        self.process.plan().await.unwrap().unwrap();
        for shipped in self.process.work(&self.world.queue, &*self.world.clock).await.unwrap() {
            shipped.result.unwrap();
        }
        Checker::of(&self.world, &"acme".parse().unwrap(), MINUTE).check(Ending::Settled).await.unwrap();
    }
}

/// The log has not been replaced by another one, which it looks like if only the expired events are left out.
#[tokio::test(start_paused = true)]
async fn events_that_expired_undelivered_are_told_to_be_lost_although_the_store_still_has_them() {
    let acme = Acme::with_retention(7).await;
    acme.create_destination().await;
    acme.record(2).await;
    acme.pass(WEEK - 60 * MINUTE).await;
    acme.record(1).await;
    acme.world.clock.jump(120 * MINUTE);
    acme.deliver().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_delivery_holds_everything_that_does_not_expire_before_the_first_tick() {
    for (minutes, first) in [(45, 1), (16, 1), (14, 4)] {
        let acme = Acme::with_retention(7).await;
        acme.record(2).await;
        acme.world.clock.jump(20 * MINUTE);
        acme.record(1).await;
        assert_eq!(acme.deliver_before(minutes * MINUTE, sample::START).await, first, "{minutes} minutes before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_delivery_holds_events_that_are_kept_longer_than_the_retention_of_today() {
    let acme = Acme::with_retention(90).await;
    acme.record(2).await;
    acme.set_retention(7).await;
    acme.record(2).await;
    assert_eq!(acme.deliver_the_week(sample::START).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_delivery_leaves_out_events_that_expire_before_it_even_if_the_retention_of_today_is_longer() {
    let acme = Acme::with_retention(7).await;
    acme.record(6).await;
    acme.set_retention(90).await;
    acme.record(2).await;
    assert_eq!(acme.deliver_the_week(sample::START).await, 8);
}

#[tokio::test(start_paused = true)]
async fn a_first_delivery_begins_with_the_first_kept_event_however_often_the_retention_changed() {
    let acme = Acme::with_retention(7).await;
    acme.record(3).await;
    for days in [30, 7, 8, 7] {
        acme.world.clock.jump(MINUTE);
        acme.set_retention(days).await;
        acme.record(3).await;
    }
    acme.world.clock.jump(60 * MINUTE);
    acme.record(1).await;
    assert_eq!(acme.deliver_the_week(sample::START).await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_first_delivery_leaves_out_events_that_expire_before_it_even_if_earlier_ones_were_kept_longer() {
    let acme = Acme::with_retention(90).await;
    acme.set_retention(7).await;
    acme.world.clock.jump(24 * 60 * MINUTE);
    let since = acme.world.clock.now();
    acme.record(5).await;
    acme.world.clock.jump(60 * MINUTE);
    acme.record(2).await;
    assert_eq!(acme.deliver_the_week(since).await, 8);
}
