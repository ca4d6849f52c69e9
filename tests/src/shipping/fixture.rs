//! The starting points of the fault sweep: one organisation and one destination with one task. Recovery brings them to
//! an end once nothing fails any more.

use std::{sync::Arc, time::Duration};

use annals_core::{
    administration::{AdministrationError, DestinationInput, DestinationPatch, ReplayInput},
    change::Change,
    delivery::ship::{ShipOutcome, ShipPolicy},
    destination::{
        BucketName, Compression, Destination, DestinationId, KeyLayout, ObjectFormat, Rendering, Settings, Shape,
        connection_test::{ConnectionTestReport, TEST_OBJECT_NAME},
    },
    entropy::Entropy as _,
    log::store::LogStore as _,
    organisation::{Organisation, OrganisationId, OrganisationInput, Plan, RetentionDays},
    time::Clock as _,
};

use super::{
    checker::{Checked, Checker, Ending, Violation},
    gate::{Gate, Latency},
    world::{HOME, Process, World, active_destinations, platform, region},
};
use crate::{
    bucket::{Administrator, Condition, Put},
    entropy::SeededEntropy,
    faulty::{Call, Fault},
    memory::MemoryStore,
    queue::{MemoryQueue, VISIBILITY},
    sample,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub const TICK: Duration = Duration::from_secs(10 * 60);

/// The task of a fixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The first seven days, in several objects.
    First,
    /// The events since the delivery before.
    Incremental,
    /// A replay from the middle of a segment to the middle of another, in several objects, and new events.
    Replay,
    /// The bucket is in another region than assumed.
    RegionLearnt,
    /// Compressed, in the Hive layout.
    Gzip,
    /// Some events expired before the delivery began, some after.
    Expiring,
    /// The bucket failed a while ago.
    Failing,
    /// A change to another bucket and role waits.
    Moving,
    /// The same, and the old bucket denies an object that it may have got.
    Leaving,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::First,
        Self::Incremental,
        Self::Replay,
        Self::RegionLearnt,
        Self::Gzip,
        Self::Expiring,
        Self::Failing,
        Self::Moving,
        Self::Leaving,
    ];
}

#[derive(Debug)]
pub struct Fixture {
    pub world: World,
    pub id: OrganisationId,
    /// Limits of shipping: a few events for each object.
    pub policy: ShipPolicy,
    pub entropy: Arc<SeededEntropy>,
}

impl Fixture {
    /// Prepares everything for the tick that does the task.
    pub async fn start(kind: Kind) -> Self {
        let world = World::new(sample::START, |_| MemoryStore::new().with_page(3), MemoryQueue::new);
        let object_bytes = if kind == Kind::Expiring { 3000 } else { 1000 };
        let policy = ShipPolicy { object_bytes, ..ShipPolicy::default() };
        let entropy = SeededEntropy::new(1);
        let retention = if kind == Kind::Expiring { RetentionDays::MIN } else { RetentionDays::DEFAULT };
        let acme = Organisation {
            retention,
            longest_retention: retention,
            shortest_retention: retention,
            ..sample::organisation("acme")
        };
        let fixture = Self { world, id: acme.id.clone(), policy, entropy };
        let process = fixture.process(|_| None);
        let created = process.log.append_change(&acme, sample::body("0"), Change::CreateOrganisation(acme.clone()));
        created.await.unwrap();
        for day in 1..=6u32 {
            fixture.world.clock.jump(DAY);
            fixture.append(&process, 1 + day as usize % 3).await;
        }
        let settings = match kind {
            Kind::Gzip => Settings {
                compression: Compression::Gzip,
                layout: KeyLayout::HiveRecorded,
                rendering: Rendering { format: ObjectFormat::Native, shape: Shape::Flat },
                ..sample::destination(&acme, "1").settings
            },
            _ => sample::destination(&acme, "1").settings,
        };
        let sample = sample::destination(&acme, "1");
        let input = DestinationInput { bucket: sample.bucket.clone(), role_arn: sample.role_arn, settings };
        process.administration.create_destination(&acme, input, &platform()).await.unwrap();
        let there = if kind == Kind::RegionLearnt { "us-east-1" } else { HOME };
        fixture.world.buckets.open(&sample.bucket, region(there));
        match kind {
            Kind::First | Kind::RegionLearnt | Kind::Gzip => {}
            Kind::Incremental => {
                fixture.recover(None).await;
                fixture.append(&process, 2).await;
                fixture.append(&process, 3).await;
            }
            Kind::Replay => {
                fixture.recover(None).await;
                let destination = fixture.destination().await;
                let input = ReplayInput::Sequences { first: 3, last: 11 };
                process.administration.replay(&acme, &destination, input, &platform()).await.unwrap();
            }
            Kind::Expiring => {
                fixture.world.buckets.set_condition(&sample.bucket, Condition::Outage);
                fixture.tick(&process).await;
                fixture.world.buckets.set_condition(&sample.bucket, Condition::Working);
                fixture.world.clock.jump(DAY + DAY * 3 / 2);
                fixture.append(&process, 2).await;
                let now = fixture.world.clock.now();
                fixture.world.store.expire(now, |_, first| first % 2 == 1);
            }
            Kind::Moving | Kind::Leaving => {
                fixture.recover(None).await;
                fixture.append(&process, 2).await;
                if kind == Kind::Leaving {
                    fixture.world.buckets.set_condition(&sample.bucket, Condition::AnswerLost(DAY / 24 / 60));
                    fixture.tick(&process).await;
                    fixture.world.buckets.set_condition(&sample.bucket, Condition::Denied);
                    fixture.world.clock.jump(TICK);
                }
                let there = fixture.newest().await;
                fixture.world.buckets.open(&"another-bucket".parse().unwrap(), region(HOME));
                let (patch, actor) = (new_place(&there), platform());
                process.administration.change_destination(&acme, &there.id, patch, &actor).await.unwrap();
            }
            Kind::Failing => {
                fixture.world.buckets.set_condition(&sample.bucket, Condition::Denied);
                fixture.tick(&process).await;
                fixture.world.buckets.set_condition(&sample.bucket, Condition::Working);
                fixture.world.clock.jump(TICK);
            }
        }
        fixture
    }

    pub async fn organisation(&self) -> Organisation {
        self.world.organisation(&self.id).await
    }

    /// The last version of the newest destination.
    pub async fn newest(&self) -> Destination {
        self.world.witness.0.versions(&self.id).last().unwrap().destination.clone()
    }

    /// The ID of the newest destination.
    pub async fn destination(&self) -> DestinationId {
        self.world.witness.0.versions(&self.id).last().unwrap().destination.id.clone()
    }

    /// A process whose calls take no time and have the faults that `decide` chooses.
    #[must_use]
    pub fn process(&self, decide: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static) -> Process {
        self.process_behind(None, decide)
    }

    /// A process whose calls take up to 40 ms.
    #[must_use]
    pub fn slow_process(
        &self,
        decide: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
        entropy: &SeededEntropy,
    ) -> Process {
        let latency = Latency { limit: Duration::from_millis(40), entropy: entropy.fork() };
        self.process_behind(Some(latency), decide)
    }

    fn process_behind(
        &self,
        latency: Option<Latency>,
        decide: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
    ) -> Process {
        let gate = Gate::new(self.world.ports(), self.world.clock.clone(), latency, decide);
        Process::start(gate, |ports| ports, self.world.dial.clone(), self.policy, &self.entropy)
    }

    pub async fn append(&self, process: &Process, count: usize) {
        let mut label = [0; 4];
        self.entropy.fill(&mut label);
        let bodies = (0..count).map(|index| sample::body(&format!("{}-{index}", hex::encode(label)))).collect();
        let organisation = self.organisation().await;
        process.log.append(&organisation, bodies, None).await.unwrap();
    }

    async fn put_plan(&self, process: &Process, plan: Plan) {
        let before = self.organisation().await;
        let input = OrganisationInput { name: before.name, plan: Some(plan), retention: None };
        process.administration.put_organisation(&self.id, input, &platform()).await.unwrap();
    }

    pub async fn bucket(&self) -> BucketName {
        self.world.witness.0.versions(&self.id).last().unwrap().destination.bucket.clone()
    }

    /// Tests the destination. `None` if the process crashed.
    pub async fn test(&self, process: &Process) -> Option<Result<ConnectionTestReport, AdministrationError>> {
        let (organisation, id, actor) = (self.organisation().await, self.destination().await, platform());
        let (administration, sink) = (&process.administration, &*process.gate);
        let test = administration.test_connection(sink, TEST_OBJECT_NAME, &organisation, &id, &actor);
        process.gate.0.live(test).await
    }

    /// The number of puts that arrived at the destination's bucket.
    pub async fn arrivals(&self) -> usize {
        let versions = self.world.witness.0.versions(&self.id);
        versions.last().map_or(0, |version| self.world.buckets.arrivals(&version.destination.bucket).len())
    }

    /// One tick: plans and works on all visible messages. `None` if the process crashed.
    pub async fn tick(&self, process: &Process) -> Option<Vec<ShipOutcome>> {
        let _ = process.plan().await?;
        self.work(process).await
    }

    /// Works on all visible messages.
    pub async fn work(&self, process: &Process) -> Option<Vec<ShipOutcome>> {
        let mut outcomes = Vec::new();
        loop {
            let shipped = process.work(&self.world.queue, &*self.world.clock).await?;
            if shipped.is_empty() {
                return Some(outcomes);
            }
            outcomes.extend(shipped.into_iter().filter_map(|one| one.result.ok()).map(|report| report.outcome));
        }
    }

    /// Ticks until nothing is left to do, with `process` or a new one.
    pub async fn recover(&self, process: Option<&Process>) {
        let new = self.process(|_| None);
        let process = process.unwrap_or(&new);
        for _ in 0..10 {
            let outcomes = self.tick(process).await;
            let idle = outcomes.is_some_and(|outcomes| outcomes.iter().all(|one| *one == ShipOutcome::UpToDate));
            let active = active_destinations(&*self.world.store).await;
            let deferred = active.iter().any(|one| one.retry_at.is_some());
            // A move ends with an event of its own, which the next tick delivers.
            let tail = self.tail().await;
            let behind = active.iter().any(|one| one.next_sequence <= tail);
            if idle && !deferred && !behind && self.world.queue.is_empty() {
                return;
            }
            // Until messages of crashed processes are visible again and pauses are over.
            self.world.clock.jump(VISIBILITY);
        }
    }

    /// Checks all promises.
    ///
    /// # Errors
    /// Returns the first broken promise.
    pub async fn check(&self, ending: Ending) -> Result<Checked, Violation> {
        Checker::of(&self.world, &self.id, Duration::from_secs(5)).check(ending).await
    }

    /// The last sequence of the log.
    pub async fn tail(&self) -> u64 {
        self.world.store.newest(&self.id).await.unwrap().tail().map_or(0, |tail| tail.last)
    }
}

/// A change while a shipper works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Deleted,
    Paused,
    /// Its prefix, compression and layout are changed.
    Patched,
    /// Its bucket and role are changed.
    Moved,
    /// Its bucket and role are changed, and the change is tested at once.
    MovedAndTested,
    /// A replay is requested.
    Replayed,
    /// The organisation's plan no longer includes destinations.
    Downgraded,
    Tested,
    Recorded,
    /// Another process works on the same messages and more.
    Shipped,
    /// The bucket's administrator plants objects under the keys that refusals have revealed.
    Planted,
    /// The bucket's administrator replaces the newest object.
    Replaced,
    /// The bucket's administrator deletes the newest object.
    ObjectDeleted,
    /// The bucket's administrator denies the put, plants objects under the keys that the next tick reveals, and allows
    /// the put again.
    Ambushed,
}

impl Event {
    pub const ALL: [Self; 13] = [
        Self::Deleted,
        Self::Paused,
        Self::Patched,
        Self::Moved,
        Self::MovedAndTested,
        Self::Replayed,
        Self::Downgraded,
        Self::Recorded,
        Self::Shipped,
        Self::Planted,
        Self::Replaced,
        Self::ObjectDeleted,
        Self::Ambushed,
    ];

    /// Makes the change in a process of its own.
    pub async fn happen(self, fixture: &Fixture) {
        let process = fixture.process(|_| None);
        let (organisation, id, actor) = (fixture.organisation().await, fixture.destination().await, platform());
        let administration = &process.administration;
        let bucket = fixture.bucket().await;
        let administrator = Administrator { buckets: &fixture.world.buckets, bucket: &bucket };
        match self {
            Self::Deleted => administration.delete_destination(&organisation, &id, &actor).await.unwrap(),
            Self::Paused => drop(administration.pause_destination(&organisation, &id, &actor).await.unwrap()),
            Self::Patched => {
                let there = fixture.newest().await;
                administration.change_destination(&organisation, &id, new_settings(&there), &actor).await.unwrap();
            }
            Self::Moved | Self::MovedAndTested => {
                let there = fixture.newest().await;
                fixture.world.buckets.open(&"another-bucket".parse().unwrap(), region(HOME));
                administration.change_destination(&organisation, &id, new_place(&there), &actor).await.unwrap();
                if self == Self::MovedAndTested {
                    drop(fixture.test(&process).await);
                }
            }
            Self::Replayed => {
                let input = ReplayInput::Sequences { first: 2, last: 7 };
                // It is refused while another replay runs.
                let _ = administration.replay(&organisation, &id, input, &actor).await;
            }
            Self::Downgraded => fixture.put_plan(&process, Plan::Free).await,
            Self::Tested => drop(fixture.test(&process).await),
            Self::Recorded => fixture.append(&process, 3).await,
            Self::Shipped => {
                fixture.append(&process, 1).await;
                fixture.world.queue.double();
                fixture.tick(&process).await;
            }
            Self::Planted => drop(administrator.plant(&fixture.entropy)),
            Self::Replaced => drop(administrator.replace(&fixture.entropy)),
            Self::ObjectDeleted => drop(administrator.delete(&fixture.entropy)),
            Self::Ambushed => {
                administrator.set_put(Put::Denied);
                fixture.tick(&process).await;
                administrator.plant(&fixture.entropy);
                administrator.set_put(Put::Allowed);
            }
        }
    }

    /// Whether nothing is sent any more after the change.
    #[must_use]
    pub fn switches_off(self) -> bool {
        matches!(self, Self::Deleted | Self::Paused | Self::Downgraded)
    }

    /// Switches the destination on again if that is possible.
    pub async fn undo(self, fixture: &Fixture) {
        let process = fixture.process(|_| None);
        match self {
            Self::Paused => {
                let (organisation, id) = (fixture.organisation().await, fixture.destination().await);
                process.administration.resume_destination(&organisation, &id, &platform()).await.unwrap();
            }
            Self::Downgraded => fixture.put_plan(&process, Plan::Enterprise).await,
            _ => {}
        }
    }
}

/// Changes prefix, compression and layout at once.
#[must_use]
pub fn new_settings(destination: &Destination) -> DestinationPatch {
    let body = br#"{"prefix":"elsewhere/deep","compression":"gzip","layout":"hive"}"#;
    DestinationPatch::parse(body, destination, &sample::service()).unwrap()
}

/// Changes bucket and role.
#[must_use]
pub fn new_place(destination: &Destination) -> DestinationPatch {
    let body = br#"{"bucket":"another-bucket","roleArn":"arn:aws:iam::444455556666:role/another"}"#;
    DestinationPatch::parse(body, destination, &sample::service()).unwrap()
}
