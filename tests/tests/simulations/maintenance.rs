//! Maintenance in parts, over many invocations and an unreliable queue: every log's end is made sure of, whatever fails, and
//! a run counts as complete only then.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use annals_core::{
    change::Change,
    delivery::{
        maintenance::{Division, MaintainReport, MaintenancePolicy},
        queue::{Job, QueueMessage},
        ship::{ShipPolicy, Shipping},
    },
    log::{
        Log,
        append::AppendPolicy,
        segment::Tail,
        store::{LogStore as _, StoreError},
        tail::{Anchor, Hazard},
    },
    organisation::{Organisation, OrganisationId},
    time::{Clock, Timestamp},
};
use annals_tests::{
    bucket::MemoryBuckets,
    clock::PausedClock,
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore},
    latency::LatencyStore,
    memory::MemoryStore,
    model::in_virtual_time,
    queue::{MemoryQueue, Unreliability, VISIBILITY},
    sample,
    shipping::world::{HOME, SteppedClock, region},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Small enough that a few hundred organisations need many invocations.
const POLICY: MaintenancePolicy = MaintenancePolicy {
    part: 20,
    page: 5,
    at_once: 3,
    page_time: Duration::from_millis(100),
    time_budget: Duration::from_millis(250),
};

struct World {
    clock: Arc<PausedClock>,
    store: Arc<MemoryStore>,
    queue: Arc<MemoryQueue>,
    organisations: Vec<Organisation>,
    /// When the anchors became due.
    begun: Timestamp,
}

/// What the invocations of runs did.
#[derive(Debug, Default)]
struct Ran {
    invocations: usize,
    parts: BTreeSet<u32>,
    refused: BTreeSet<OrganisationId>,
    failures: usize,
    completed: usize,
}

impl World {
    /// Organisations with an event each, whose anchors are due.
    async fn new(count: usize) -> Self {
        let clock = PausedClock::new(sample::START);
        let store = Arc::new(MemoryStore::new().with_clock(clock.clone()));
        let how = Unreliability { duplicates: 0.2, lost_answers: 0.1, entropy: SeededEntropy::new(3) };
        let queue = MemoryQueue::unreliable(clock.clone(), how);
        let log = Log::new(store.clone(), clock.clone(), SeededEntropy::new(1), AppendPolicy::default());
        let mut organisations = Vec::new();
        for number in 0..count {
            let created = Organisation { created_at: clock.now(), ..sample::organisation(&format!("org-{number:04}")) };
            let change = Change::CreateOrganisation(created.clone());
            log.append_change(&created, sample::body("created"), change).await.unwrap();
            organisations.push(created);
        }
        clock.jump(2 * DAY);
        let begun = clock.now();
        Self { clock, store, queue, organisations, begun }
    }

    /// A function whose calls of the store take 10 ms, and fail as `faulty` says.
    fn shipping(&self, faulty: &Arc<FaultyStore<MemoryStore>>, clock: Arc<dyn Clock>) -> Shipping {
        let entropy = SeededEntropy::new(2);
        let store = LatencyStore::new(Arc::clone(faulty), self.clock.clone(), Duration::from_millis(10), None);
        let log = Arc::new(Log::new(store.clone(), clock.clone(), entropy.fork(), AppendPolicy::default()));
        let sink = MemoryBuckets::new(self.clock.clone(), region(HOME));
        let queue = self.queue.clone();
        let shipping = Shipping::new(log, store, queue, sink, clock, entropy.fork(), ShipPolicy::default());
        shipping.with_maintenance_policy(POLICY)
    }

    fn reliable(&self) -> Arc<FaultyStore<MemoryStore>> {
        FaultyStore::new(Arc::clone(&self.store), |_| None)
    }

    /// Runs maintenance as the schedule does, which repeats a failed event, and works on all messages.
    async fn run(&self, faulty: &Arc<FaultyStore<MemoryStore>>) -> Ran {
        let shipping = self.shipping(faulty, self.clock.clone());
        let mut ran = Ran::default();
        while !self.begin(&shipping, faulty, &mut ran).await {}
        // SQS may deliver every message twice.
        self.queue.double();
        self.work(&shipping, faulty, &mut ran).await;
        ran
    }

    async fn begin(&self, shipping: &Shipping, faulty: &FaultyStore<MemoryStore>, ran: &mut Ran) -> bool {
        let division = tokio::select! {
            biased;
            () = faulty.crashed() => None,
            division = shipping.maintain() => division.ok(),
        };
        self.note_division(division, ran).await
    }

    /// Works on the messages of the queue until none is left. A process that crashes is replaced.
    async fn work(&self, shipping: &Shipping, faulty: &FaultyStore<MemoryStore>, ran: &mut Ran) {
        while !self.queue.is_empty() {
            let Some(message) = self.queue.receive(1).pop() else {
                self.clock.jump(VISIBILITY);
                continue;
            };
            ran.invocations += 1;
            let is_done = match &message.body {
                QueueMessage::Job(Job::Divide(job)) => {
                    let division = tokio::select! {
                        biased;
                        () = faulty.crashed() => None,
                        division = shipping.divide(job) => division.ok(),
                    };
                    self.note_division(division, ran).await
                }
                QueueMessage::Job(Job::Maintain(job)) => {
                    ran.parts.insert(job.part);
                    let report = tokio::select! {
                        biased;
                        () = faulty.crashed() => None,
                        report = shipping.maintain_part(job) => Some(report),
                    };
                    self.note(report, ran).await
                }
                other => panic!("{other:?} is not maintenance"),
            };
            if is_done {
                self.queue.delete(message.number);
            }
        }
    }

    async fn note_division(&self, division: Option<Division>, ran: &mut Ran) -> bool {
        let Some(division) = division else { return false };
        if division.completes_run {
            self.complete(ran).await;
        }
        true
    }

    async fn note(&self, report: Option<MaintainReport>, ran: &mut Ran) -> bool {
        let Some(report) = report else { return false };
        ran.failures += usize::from(report.failure.is_some());
        ran.refused.extend(report.refused.iter().map(|(id, _)| id.clone()));
        if report.completes_run {
            self.complete(ran).await;
        }
        report.failure.is_none()
    }

    async fn complete(&self, ran: &mut Ran) {
        ran.completed += 1;
        assert_eq!(self.unchecked().await, ran.refused, "a run is complete before every log is maintained");
    }

    /// The organisations whose anchors are still due.
    async fn unchecked(&self) -> BTreeSet<OrganisationId> {
        let mut found = BTreeSet::new();
        for organisation in &self.organisations {
            let anchor = self.store.anchor(&organisation.id).await.unwrap().unwrap();
            if anchor.checked.is_none_or(|checked| checked < self.begun) {
                found.insert(organisation.id.clone());
            }
        }
        found
    }
}

#[test]
fn a_run_makes_sure_of_every_log_once_over_many_invocations_and_an_unreliable_queue() {
    in_virtual_time(async {
        let world = World::new(500).await;
        let ran = world.run(&world.reliable()).await;
        assert_eq!(ran.parts, (1..=26).collect(), "{ran:?}");
        assert!(ran.invocations > 60 && ran.completed > 0 && ran.failures == 0, "{ran:?}");
        assert!(world.unchecked().await.is_empty());
        assert_eq!(world.store.meter().anchor_writes, 500, "nothing is done twice");
        // The next day nothing is due, and the run is complete all the same.
        world.clock.jump(DAY);
        let ran = world.run(&world.reliable()).await;
        assert!(ran.completed > 0, "{ran:?}");
        assert_eq!(world.store.meter().anchor_writes, 500);
    });
}

#[test]
fn what_fails_is_tried_again_and_no_run_counts_as_complete_before_everything_is_done() {
    let (mut completed, mut failures) = (0, 0);
    for seed in 0..20 {
        in_virtual_time(async {
            let world = World::new(150).await;
            let entropy = SeededEntropy::new(seed);
            let faulty = FaultyStore::seeded(Arc::clone(&world.store), 0.02, DAY, world.clock.clone(), entropy);
            let ran = world.run(&faulty).await;
            failures += ran.failures;
            if ran.completed > 0 {
                completed += 1;
                assert!(world.unchecked().await.is_empty(), "seed {seed}");
            } else {
                assert!(!world.queue.dead_letters().is_empty(), "seed {seed}: nobody hears of it: {ran:?}");
            }
        });
    }
    assert!(completed > 15 && failures > 0, "{completed} completed, {failures} failures");
}

#[test]
fn a_run_survives_a_fault_or_a_crash_at_any_call() {
    for fault in [Fault::Throttled, Fault::Unsent, Fault::AnswerLost, Fault::CrashBefore, Fault::CrashAfter] {
        let mut nth = 1;
        loop {
            let calls = in_virtual_time(async {
                let world = World::new(26).await;
                let faulty = FaultyStore::nth(Arc::clone(&world.store), nth, fault);
                let ran = world.run(&faulty).await;
                assert!(ran.completed > 0, "{fault:?} at call {nth}: {ran:?}");
                assert!(world.unchecked().await.is_empty(), "{fault:?} at call {nth}");
                faulty.calls()
            });
            if calls < nth {
                break;
            }
            // Most calls are alike.
            nth += if nth < 20 { 1 } else { 11 };
        }
        assert!(nth > 70, "{fault:?}: {nth} calls");
    }
}

#[test]
fn an_organisation_that_fails_is_tried_again_alone_and_later_and_stops_no_other() {
    in_virtual_time(async {
        let world = World::new(200).await;
        // The second of the first page, and then it alone: as often as an invocation tries it.
        let writes = AtomicU32::new(0);
        let faulty = FaultyStore::new(Arc::clone(&world.store), move |call| {
            let is_it =
                call.name == "advance_anchor" && [2, 6, 7, 8].contains(&(writes.fetch_add(1, Ordering::Relaxed) + 1));
            is_it.then_some(Fault::Throttled)
        });
        let ran = world.run(&faulty).await;
        assert!(world.unchecked().await.is_empty());
        assert!(ran.completed > 0 && ran.failures <= 1, "{ran:?}");
        // A message that comes twice tries it twice.
        assert!((200..=201).contains(&world.store.meter().anchor_writes), "nothing else is repeated");
    });
}

#[test]
fn a_run_does_not_count_while_one_log_fails() {
    in_virtual_time(async {
        let world = World::new(100).await;
        let victim = world.organisations[70].id.clone();
        for organisation in world.organisations.iter().filter(|organisation| organisation.id != victim) {
            let checked = Some(world.clock.now());
            world.store.set_anchor(&organisation.id, Anchor { tail: Tail::ORIGIN, checked });
        }
        let faulty = FaultyStore::new(Arc::clone(&world.store), |call| {
            (call.name == "advance_anchor").then_some(Fault::Throttled)
        });
        let ran = world.run(&faulty).await;
        assert_eq!(world.unchecked().await, BTreeSet::from([victim]));
        assert_eq!((ran.completed, world.queue.dead_letters().is_empty()), (0, false), "{ran:?}");
    });
}

#[test]
fn logs_whose_ends_are_unknown_are_named_and_stop_no_other() {
    in_virtual_time(async {
        let world = World::new(200).await;
        world.clock.jump(5 * DAY);
        let unknown: BTreeSet<_> = [3, 70, 71, 199].map(|index: usize| world.organisations[index].id.clone()).into();
        for organisation in &world.organisations {
            if !unknown.contains(&organisation.id) {
                // Five days ago; those of the others seven days ago.
                let checked = Some(world.begun.minus(Duration::from_millis(1)));
                world.store.set_anchor(&organisation.id, Anchor { tail: Tail::ORIGIN, checked });
            }
        }
        let ran = world.run(&world.reliable()).await;
        assert_eq!(ran.refused, unknown, "{ran:?}");
        assert!(ran.completed > 0, "{ran:?}");
    });
}

#[test]
fn an_instance_with_a_wrong_clock_maintains_nothing_and_another_one_does() {
    for (ahead, behind) in [(365, 0), (0, 365), (0, 1)] {
        in_virtual_time(async {
            let world = World::new(90).await;
            let dial = SteppedClock::new(world.clock.clone());
            let off = i64::try_from(DAY.as_millis()).unwrap() * (ahead - behind);
            dial.set_ahead(off);
            let faulty = world.reliable();
            let wrong = world.shipping(&faulty, dial);
            wrong.maintain().await.unwrap();
            for message in world.queue.receive(10) {
                let QueueMessage::Job(Job::Maintain(job)) = &message.body else { continue };
                let report = wrong.maintain_part(job).await;
                let Some(StoreError::Unsafe(hazard)) = report.failure else { panic!("{report:?}") };
                assert!(matches!(hazard, Hazard::ClockAhead { .. } | Hazard::ClockBehind { .. }), "{hazard}");
            }
            assert_eq!(world.store.meter().anchor_writes, 0);
            let mut ran = Ran::default();
            world.work(&world.shipping(&faulty, world.clock.clone()), &faulty, &mut ran).await;
            assert!(world.unchecked().await.is_empty() && ran.completed > 0, "{ran:?}");
        });
    }
}
