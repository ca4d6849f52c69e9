//! Planning shard by shard, page by page, over several invocations: which destinations are ordered, and when, if calls
//! fail, entries of batches are refused, processes die, and messages are lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use annals_core::{
    delivery::{
        plan::{PlanPolicy, PlanReport},
        queue::{Job, NotSent, QueueMessage},
        ship::{ShipPolicy, Shipping},
    },
    log::{
        Log,
        append::AppendPolicy,
        store::{Found, Place, StoreError},
    },
    registry::{ACTIVE_SHARDS, ActiveDestination, ActivePage, ActivePosition},
};
use annals_tests::{
    entropy::SeededEntropy,
    faulty::{Call, Fault},
    memory::MemoryStore,
    model::in_virtual_time,
    queue::{MemoryQueue, VISIBILITY},
    sample,
    shipping::{
        fixture::TICK,
        gate::{Gate, Latency},
        ports::{Below, Decorated, Decorator, Ports},
        world::World,
    },
};
use async_trait::async_trait;

const DESTINATIONS: usize = 800;
/// Small pages, so that each shard has ten.
const POLICY: PlanPolicy = PlanPolicy { page: 10, pages_at_once: 2, time_budget: Duration::from_secs(60) };
const SEEDS: u64 = 100;

/// A registry with many active destinations. Some have something to deliver, some of these failed last time.
#[derive(Debug)]
struct Fleet {
    below: Arc<dyn Ports>,
    entropy: Arc<SeededEntropy>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The probability that an entry of a batch is refused.
    refused: f64,
    /// Whether the queue refuses everything.
    closed: bool,
    /// Whether jobs get lost.
    jobs_lost: bool,
    /// The numbers of destinations, in the order of their orders.
    ordered: Vec<usize>,
    /// How often each place was looked at.
    looked: BTreeMap<usize, usize>,
}

impl Fleet {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What was ordered since the last time.
    fn take_ordered(&self) -> Vec<usize> {
        std::mem::take(&mut self.state().ordered)
    }

    fn refuses(&self) -> bool {
        let refused = self.state().refused;
        self.entropy.happens(refused)
    }
}

fn has_something(number: usize) -> bool {
    number % 4 == 1
}

fn has_failed(number: usize) -> bool {
    number % 20 == 13
}

/// The numbers of the destinations that a tick has to order.
fn due() -> BTreeSet<usize> {
    (0..DESTINATIONS).filter(|number| has_something(*number) || has_failed(*number)).collect()
}

fn member(number: usize) -> ActiveDestination {
    ActiveDestination {
        organisation: format!("fleet-{number:04}").parse().unwrap(),
        id: "0".repeat(12).parse().unwrap(),
        next_sequence: 1,
        pending: false,
        checkpoint_due: None,
        retry_at: has_failed(number).then_some(sample::START),
        failure: None,
        lag_from: None,
    }
}

fn number(organisation: &str) -> usize {
    organisation.strip_prefix("fleet-").unwrap().parse().unwrap()
}

#[async_trait]
impl Decorator for Fleet {
    fn below(&self) -> Below<'_> {
        Below::of(&*self.below)
    }

    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError> {
        let of_shard = (usize::from(shard)..DESTINATIONS).step_by(usize::from(ACTIVE_SHARDS)).map(member);
        let destinations: Vec<_> =
            of_shard.filter(|one| after.is_none_or(|after| *after < one.position())).take(limit).collect();
        let next = destinations.last().filter(|_| destinations.len() == limit).map(ActiveDestination::position);
        Ok(ActivePage { destinations, next })
    }

    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        let find = |place: &Place| {
            let number = number(place.organisation.as_str());
            *self.state().looked.entry(number).or_default() += 1;
            match () {
                () if self.refuses() => Found::Unknown,
                () if has_something(number) => Found::Segment(sample::START),
                () => Found::Nothing,
            }
        };
        Ok(places.iter().map(find).collect())
    }

    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        let mut refused = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            if self.state().closed || self.refuses() {
                refused.push(index);
                continue;
            }
            match message {
                QueueMessage::Ship(order) => self.state().ordered.push(number(&order.organisation)),
                QueueMessage::Job(_) if self.state().jobs_lost => {}
                job => self.below.send(std::slice::from_ref(job)).await?,
            }
        }
        let reason = StoreError::Unavailable("injected".into());
        if refused.is_empty() { Ok(()) } else { Err(NotSent { refused, reason }) }
    }
}

struct Fixture {
    world: World,
    fleet: Arc<Decorated<Fleet>>,
    entropy: Arc<SeededEntropy>,
}

impl Fixture {
    fn start(seed: u64) -> Self {
        let world = World::new(sample::START, |_| MemoryStore::new(), MemoryQueue::new);
        let entropy = SeededEntropy::new(seed);
        let fleet = Fleet { below: world.ports(), entropy: entropy.fork(), state: Mutex::default() };
        Self { world, fleet: Arc::new(Decorated(fleet)), entropy }
    }

    fn fleet(&self) -> &Fleet {
        &self.fleet.0
    }

    /// A process whose calls fail as `decide` says.
    fn process(
        &self,
        decide: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
    ) -> (Arc<Decorated<Gate>>, Shipping) {
        let clock = self.world.clock.clone();
        let latency = Latency { limit: Duration::from_millis(40), entropy: self.entropy.fork() };
        let gate = Gate::new(self.fleet.clone(), clock, Some(latency), decide);
        let clock = self.world.dial.clone();
        let log = Log::new(gate.clone(), clock.clone(), self.entropy.fork(), AppendPolicy::default());
        let (ports, entropy, policy) = (gate.clone(), self.entropy.fork(), ShipPolicy::default());
        let shipping = Shipping::new(Arc::new(log), ports.clone(), ports.clone(), ports, clock, entropy, policy);
        (gate, shipping.with_plan_policy(POLICY))
    }

    /// One tick without faults, to the end.
    async fn tick(&self) -> PlanReport {
        let (_, shipping) = self.process(|_| None);
        let report = shipping.plan().await.unwrap();
        self.work(&shipping).await;
        report
    }

    /// Works on the jobs of the queue until none is visible.
    async fn work(&self, shipping: &Shipping) {
        while let Some(message) = self.world.queue.receive(1).pop() {
            let QueueMessage::Job(Job::Plan(job)) = &message.body else { panic!("orders are not queued") };
            shipping.plan_rest(job).await.unwrap();
            self.world.queue.delete(message.number);
        }
    }
}

/// Sorted, so that what is there twice is seen.
fn sorted(mut numbers: Vec<usize>) -> Vec<usize> {
    numbers.sort_unstable();
    numbers
}

fn due_once() -> Vec<usize> {
    due().into_iter().collect()
}

#[test]
fn a_large_plan_is_finished_by_jobs_and_orders_each_destination_that_is_due_once() {
    in_virtual_time(async {
        let fixture = Fixture::start(1);
        for _ in 0..2 {
            let report = fixture.tick().await;
            assert_eq!(report.handed_on, usize::from(ACTIVE_SHARDS));
            assert_eq!(sorted(fixture.fleet().take_ordered()), due_once());
            fixture.world.clock.jump(TICK);
        }
        let looked = std::mem::take(&mut fixture.fleet().state().looked);
        assert!(looked.len() == DESTINATIONS && looked.values().all(|count| *count == 2), "{looked:?}");
    });
}

#[test]
fn what_failed_last_time_is_ordered_behind_the_others_of_its_invocation() {
    in_virtual_time(async {
        let fixture = Fixture::start(1);
        let (_, shipping) = fixture.process(|_| None);
        shipping.plan().await.unwrap();
        let ordered = fixture.fleet().take_ordered();
        let first_late = ordered.iter().position(|number| has_failed(*number)).unwrap();
        assert!(ordered[first_late..].iter().all(|number| has_failed(*number)), "{ordered:?}");
    });
}

#[test]
fn only_the_entries_of_a_batch_that_failed_are_repeated() {
    in_virtual_time(async {
        let fixture = Fixture::start(3);
        fixture.fleet().state().refused = 0.1;
        fixture.tick().await;
        assert_eq!(sorted(fixture.fleet().take_ordered()), due_once());
        let looked: usize = fixture.fleet().state().looked.values().sum();
        let expected = DESTINATIONS + DESTINATIONS / 10 + DESTINATIONS / 100;
        assert!((DESTINATIONS..expected + expected / 10).contains(&looked), "{looked} looks at {DESTINATIONS} places");
    });
}

#[test]
fn a_destination_that_a_tick_did_not_reach_is_first_in_the_next() {
    in_virtual_time(async {
        let fixture = Fixture::start(4);
        fixture.fleet().state().jobs_lost = true;
        let mut never = due();
        for tick in 0.. {
            fixture.tick().await;
            let ordered = fixture.fleet().take_ordered();
            // Whatever was never ordered goes before what was.
            let first_known = ordered.iter().position(|number| !never.contains(number));
            let last_new = ordered.iter().rposition(|number| never.contains(number));
            // Those that failed before wait for the others, and each shard is at another place.
            let on_time: Vec<usize> = ordered.iter().copied().filter(|number| !has_failed(*number)).collect();
            let is_first = |shard: usize| {
                let of_shard: Vec<bool> = on_time
                    .iter()
                    .filter(|number| *number % usize::from(ACTIVE_SHARDS) == shard)
                    .map(|number| never.contains(number))
                    .collect();
                of_shard.is_sorted_by(|before, after| before >= after)
            };
            assert!((0..usize::from(ACTIVE_SHARDS)).all(is_first), "{first_known:?} {last_new:?}");
            never.retain(|number| !ordered.contains(number));
            if never.is_empty() {
                // Ten pages of each shard, two in each tick.
                assert_eq!(tick, 4);
                break;
            }
            assert!(tick < 4, "{} were never reached", never.len());
            fixture.world.clock.jump(TICK);
        }
    });
}

#[test]
fn a_closed_queue_fails_the_plan_and_the_next_one_orders_everything() {
    in_virtual_time(async {
        let fixture = Fixture::start(5);
        fixture.fleet().state().closed = true;
        let (_, shipping) = fixture.process(|_| None);
        shipping.plan().await.unwrap_err();
        fixture.fleet().state().closed = false;
        fixture.world.clock.jump(TICK);
        fixture.tick().await;
        assert_eq!(sorted(fixture.fleet().take_ordered()), due_once());
    });
}

#[test]
fn a_clock_that_was_a_year_ahead_keeps_no_shard_from_being_planned() {
    in_virtual_time(async {
        let fixture = Fixture::start(7);
        fixture.world.dial.set_ahead(365 * 24 * 60 * 60 * 1000);
        fixture.tick().await;
        fixture.fleet().take_ordered();
        fixture.world.dial.set_ahead(0);
        for _ in 0..2 {
            fixture.world.clock.jump(TICK);
            fixture.tick().await;
            assert_eq!(sorted(fixture.fleet().take_ordered()), due_once());
        }
    });
}

#[test]
fn a_job_that_plans_nothing_sends_no_other() {
    in_virtual_time(async {
        let fixture = Fixture::start(8);
        let (_, shipping) = fixture.process(|_| None);
        shipping.plan().await.unwrap();
        let jobs = fixture.world.queue.receive(usize::MAX);
        let (_, failing) = fixture.process(|call| (call.name == "find").then_some(Fault::Throttled));
        // Its time is up after the first page.
        let failing = failing.with_plan_policy(PlanPolicy { time_budget: Duration::from_millis(1), ..POLICY });
        for message in &jobs {
            let QueueMessage::Job(Job::Plan(job)) = &message.body else { panic!("orders are not queued") };
            failing.plan_rest(job).await.unwrap_err();
        }
        assert!(fixture.world.queue.receive(usize::MAX).is_empty());
    });
}

#[test]
fn a_job_of_an_earlier_tick_does_nothing_once_a_later_tick_has_begun() {
    in_virtual_time(async {
        let fixture = Fixture::start(6);
        let (_, shipping) = fixture.process(|_| None);
        shipping.plan().await.unwrap();
        let earlier = fixture.world.queue.receive(usize::MAX);
        fixture.world.clock.jump(TICK);
        shipping.plan().await.unwrap();
        fixture.fleet().take_ordered();
        for message in &earlier {
            let QueueMessage::Job(Job::Plan(job)) = &message.body else { panic!("orders are not queued") };
            assert_eq!(shipping.plan_rest(job).await.unwrap(), PlanReport::default());
        }
        assert!(fixture.fleet().take_ordered().is_empty());
    });
}

#[test]
fn whatever_fails_a_tick_without_faults_orders_everything_that_is_due() {
    for seed in 0..SEEDS {
        in_virtual_time(async {
            let fixture = Fixture::start(seed);
            fixture.fleet().state().refused = 0.02;
            for _ in 0..3 {
                for attempt in 0..3 {
                    let faults = fixture.entropy.fork();
                    let (gate, shipping) = fixture.process(move |_| match faults.below(60) {
                        0 => Some(Fault::Unsent),
                        1 => Some(Fault::Throttled),
                        2 => Some(Fault::AnswerLost),
                        3 => Some(Fault::CrashBefore),
                        4 => Some(Fault::CrashAfter),
                        _ => None,
                    });
                    if attempt == 0 {
                        gate.0.live(shipping.plan()).await;
                    }
                    while let Some(message) = fixture.world.queue.receive(1).pop() {
                        let QueueMessage::Job(Job::Plan(job)) = &message.body else { panic!("orders are not queued") };
                        match gate.0.live(shipping.plan_rest(job)).await {
                            Some(Ok(_)) => fixture.world.queue.delete(message.number),
                            Some(Err(_)) => {}
                            None => break,
                        }
                    }
                }
                fixture.world.clock.jump(if fixture.entropy.happens(0.5) { TICK } else { VISIBILITY });
            }
            fixture.fleet().take_ordered();
            fixture.fleet().state().refused = 0.0;
            fixture.tick().await;
            let ordered: BTreeSet<usize> = fixture.fleet().take_ordered().into_iter().collect();
            let missed: Vec<usize> = due().difference(&ordered).copied().collect();
            assert!(missed.is_empty(), "seed {seed}: not ordered: {missed:?}");
        });
    }
}
