//! Measures, in virtual time with the latencies and limits of AWS, how long it takes to plan a million destinations of which
//! a tenth have something to deliver, and how many events a second one destination gets.
//!
//! Calls take the times of [`Latencies`]; reads above what DynamoDB allows a table are refused, and the queue refuses some
//! entries of its batches. Each message is an invocation of its own. Exits with 1 if an aim is missed.

use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use annals_core::{
    administration::DestinationInput,
    change::Change,
    delivery::{
        queue::{Job, NotSent, QueueMessage},
        ship::{ShipOutcome, ShipPolicy, Shipping},
    },
    destination::{
        Delivery, Destination, DestinationId,
        sink::{Object, SinkError, Stored, Target},
    },
    event::{Layout, parse},
    log::{
        Log,
        append::AppendPolicy,
        segment::Segment,
        store::{Commit, CommitError, Consistency, Found, Order, Place, StoreError},
    },
    organisation::OrganisationId,
    recorded_by::RecordedBy,
    registry::{ACTIVE_SHARDS, ActiveDestination, ActivePage, ActivePosition},
    time::Clock,
};
use annals_tests::{
    entropy::SeededEntropy,
    memory::MemoryStore,
    model::in_virtual_time,
    queue::MemoryQueue,
    sample,
    shipping::{
        ports::{Below, Decorated, Decorator, Ports},
        world::{HOME, World, platform, region},
    },
};
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::FuturesUnordered};

/// A million, and what the cost bench asks for.
const FLEETS: [usize; 2] = [1_000_000, 100_000];
/// One in so many destinations has something to deliver.
const ONE_IN: usize = 10;
const PLANNED_WITHIN: Duration = Duration::from_secs(60);
/// What a table may be read in a second (Amazon DynamoDB, "Quotas": on-demand tables).
const READ_UNITS_A_SECOND: f64 = 40_000.0;
/// The part of the entries that the queue refuses.
const REFUSED: f64 = 0.01;
const EVENTS_A_SECOND: u64 = 5_000;
/// How long so many events are recorded.
const RECORDING: Duration = Duration::from_secs(120);
/// The time between ticks, and how long a run begins objects: a twentieth and a tenth of the real ones, so that there are
/// several ticks and runs are continued.
const TICK: Duration = Duration::from_secs(30);
const TIME_BUDGET: Duration = Duration::from_millis(1500);

/// What calls take within a region. One in a hundred takes ten times as long.
mod latencies {
    use std::time::Duration;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A page of 1,000 entries of the index.
    pub(super) const INDEX_PAGE: Duration = ms(40);
    /// BatchGetItem with 100 keys.
    pub(super) const BATCH_GET: Duration = ms(15);
    pub(super) const SEND_BATCH: Duration = ms(20);
    pub(super) const ITEM: Duration = ms(7);
    pub(super) const TRANSACTION: Duration = ms(20);
    /// From sending a message to the start of its invocation.
    pub(super) const INVOCATION: Duration = ms(150);
    pub(super) const PUT: Duration = ms(80);
    /// Bytes a second of one put, and of pages of segments.
    pub(super) const BANDWIDTH: f64 = 60e6;
}

/// The ports of a region of AWS.
#[derive(Debug)]
struct Region {
    below: Arc<dyn Ports>,
    clock: Arc<dyn Clock>,
    entropy: Arc<SeededEntropy>,
    /// The number of destinations, if they are simulated.
    fleet: Option<usize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The second, and the units read in it.
    second: (u64, f64),
    peak_units: f64,
    units: f64,
    refused_reads: usize,
    refused_messages: usize,
    /// The numbers of the destinations that were ordered.
    ordered: BTreeSet<usize>,
    orders: usize,
}

impl Region {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn take(&self, latency: Duration, bytes: usize) {
        let rare = if self.entropy.happens(0.01) { 10.0 } else { 1.0 };
        let jitter = 0.7 + 0.6 * self.entropy.fraction();
        let moved = Duration::from_secs_f64(bytes as f64 / latencies::BANDWIDTH);
        self.clock.sleep(latency.mul_f64(jitter * rare) + moved).await;
    }

    /// Takes units of the table's second. Returns how many of `wanted` there were.
    fn read(&self, wanted: f64) -> f64 {
        let second = self.clock.now().as_millis() / 1000;
        let mut state = self.state();
        if state.second.0 != second {
            state.second = (second, 0.0);
        }
        let granted = wanted.min(READ_UNITS_A_SECOND - state.second.1);
        state.second.1 += granted;
        state.units += granted;
        state.peak_units = state.peak_units.max(state.second.1);
        granted
    }
}

/// The destination with this number: `fleet-0000017` has its first event to deliver, `fleet-0000018` has not.
fn member(number: usize) -> ActiveDestination {
    ActiveDestination {
        organisation: format!("fleet-{number:07}").parse().unwrap(),
        id: "0".repeat(12).parse().unwrap(),
        next_sequence: 1,
        pending: false,
        checkpoint_due: None,
        retry_at: None,
        failure: None,
        lag_from: None,
    }
}

fn number(organisation: &str) -> Option<usize> {
    organisation.strip_prefix("fleet-")?.parse().ok()
}

fn has_something(number: usize) -> bool {
    number % ONE_IN == 7
}

#[async_trait]
impl Decorator for Region {
    fn below(&self) -> Below<'_> {
        Below::of(&*self.below)
    }

    async fn store_call<T: Send>(
        &self,
        _: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.take(latencies::ITEM, 0).await;
        work.await
    }

    async fn active_destinations(
        &self,
        shard: u16,
        after: Option<&ActivePosition>,
        limit: usize,
    ) -> Result<ActivePage, StoreError> {
        self.take(latencies::INDEX_PAGE, limit * 200).await;
        let Some(fleet) = self.fleet else { return self.below.active_destinations(shard, after, limit).await };
        let shards = usize::from(ACTIVE_SHARDS);
        let last = after.and_then(|after| number(after.as_str().split('#').next()?));
        let first = last.map_or(usize::from(shard), |last| last + shards);
        let destinations: Vec<_> = (first..fleet).step_by(shards).take(limit).map(member).collect();
        let next = destinations.last().filter(|_| destinations.len() == limit).map(ActiveDestination::position);
        Ok(ActivePage { destinations, next })
    }

    async fn find(&self, places: &[Place]) -> Result<Vec<Found>, StoreError> {
        self.take(latencies::BATCH_GET, 0).await;
        if self.fleet.is_none() {
            return self.below.find(places).await;
        }
        let granted = self.read(places.len() as f64 / 2.0) * 2.0;
        self.state().refused_reads += places.len() - granted as usize;
        let find = |(index, place): (usize, &Place)| match number(place.organisation.as_str()) {
            _ if index >= granted as usize => Found::Unknown,
            Some(number) if has_something(number) => Found::Segment(self.clock.now()),
            _ => Found::Nothing,
        };
        Ok(places.iter().enumerate().map(find).collect())
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        let segments = self.below.range(organisation, range, order, limit, consistency).await?;
        let bytes = segments.iter().map(|segment| segment.bodies.as_bytes().len()).sum();
        self.take(latencies::ITEM, bytes).await;
        Ok(segments)
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        self.take(latencies::ITEM, 0).await;
        self.below.commit(organisation, commit).await
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        self.take(if delivery.is_some() { latencies::TRANSACTION } else { latencies::ITEM }, 0).await;
        self.below.save_progress(destination, delivery).await
    }

    async fn put(&self, target: &Target, object: Object) -> Result<Stored, SinkError> {
        self.take(latencies::PUT, object.content.len()).await;
        self.below.put(target, object).await
    }

    async fn send(&self, messages: &[QueueMessage]) -> Result<(), NotSent> {
        self.take(latencies::SEND_BATCH, 0).await;
        let is_refused = |_: &usize| self.entropy.happens(REFUSED);
        let refused: Vec<usize> = (0..messages.len()).filter(is_refused).collect();
        self.state().refused_messages += refused.len();
        for (_, message) in messages.iter().enumerate().filter(|(index, _)| !refused.contains(index)) {
            match message {
                QueueMessage::Ship(order) if self.fleet.is_some() => {
                    let mut state = self.state();
                    state.orders += 1;
                    state.ordered.extend(number(&order.organisation));
                }
                message => self.below.send(std::slice::from_ref(message)).await?,
            }
        }
        let reason = StoreError::Unavailable("injected".into());
        if refused.is_empty() { Ok(()) } else { Err(NotSent { refused, reason }) }
    }
}

/// A region with a store, a queue and buckets.
fn start(fleet: Option<usize>) -> (World, Arc<Decorated<Region>>) {
    let world = World::new(sample::START, |_| MemoryStore::new(), MemoryQueue::new);
    let (below, clock) = (world.ports(), world.clock.clone());
    let (entropy, state) = (SeededEntropy::new(5), Mutex::default());
    let region = Arc::new(Decorated(Region { below, clock, entropy, fleet, state }));
    (world, region)
}

fn shipping(world: &World, region: &Arc<Decorated<Region>>) -> Shipping {
    let (clock, entropy) = (world.clock.clone(), SeededEntropy::new(6));
    let log = Arc::new(Log::new(region.clone(), clock.clone(), entropy.fork(), AppendPolicy::default()));
    let (ports, policy) = (region.clone(), ShipPolicy { time_budget: TIME_BUDGET, ..ShipPolicy::default() });
    Shipping::new(log, ports.clone(), ports.clone(), ports, clock, entropy, policy)
}

/// Plans so many destinations. Returns whether the aim is reached.
async fn plan(count: usize) -> bool {
    let (world, region) = start(Some(count));
    let begun = world.clock.now();
    let shipping = shipping(&world, &region);
    shipping.plan().await.unwrap();
    let (mut running, mut invocations, mut last) = (FuturesUnordered::new(), 1, world.clock.now());
    let mut time = last.since(begun);
    loop {
        for message in world.queue.receive(usize::MAX) {
            world.queue.delete(message.number);
            let QueueMessage::Job(Job::Plan(job)) = message.body else { panic!("orders are counted, not queued") };
            invocations += 1;
            let (shipping, clock) = (&shipping, &world.clock);
            running.push(async move {
                clock.sleep(latencies::INVOCATION).await;
                let begun = clock.now();
                shipping.plan_rest(&job).await.unwrap();
                clock.now().since(begun)
            });
        }
        match running.next().await {
            Some(took) => time += took,
            None if world.queue.is_empty() => break,
            None => {}
        }
        last = world.clock.now();
    }
    let took = last.since(begun);
    let state = region.0.state();
    let expected: BTreeSet<usize> = (0..count).filter(|number| has_something(*number)).collect();
    println!(
        "plan: {count} destinations, {} with something to deliver, in {:.1} s (aim {} s) by {invocations} invocations \
         of together {:.1} s; {:.0} read units, at most {:.0} a second of {READ_UNITS_A_SECOND}; {} keys and {} messages were \
         refused and sent again",
        state.ordered.len(),
        took.as_secs_f64(),
        PLANNED_WITHIN.as_secs(),
        time.as_secs_f64(),
        state.units,
        state.peak_units,
        state.refused_reads,
        state.refused_messages,
    );
    let is_right = state.ordered == expected && state.orders == expected.len();
    if !is_right {
        println!("BROKEN: {} orders for {} destinations, not {}", state.orders, state.ordered.len(), expected.len());
    }
    is_right && took <= PLANNED_WITHIN
}

/// Records and ships the events of one organisation. Returns whether the aim is reached.
async fn ship() -> bool {
    let (world, aws) = start(None);
    let log = Log::new(world.ports(), world.clock.clone(), SeededEntropy::new(8), AppendPolicy::default());
    let log = Arc::new(log);
    let acme = sample::organisation("acme");
    log.append_change(&acme, sample::body("0"), Change::CreateOrganisation(acme.clone())).await.unwrap();
    let administration = annals_core::administration::Administration::new(
        Arc::clone(&log),
        world.ports(),
        world.clock.clone(),
        SeededEntropy::new(9),
    );
    let sample = sample::destination(&acme, "1");
    let input = DestinationInput { bucket: sample.bucket, role_arn: sample.role_arn, settings: sample.settings };
    let destination = administration.create_destination(&acme, input, &platform()).await.unwrap();
    world.buckets.open(&destination.bucket, region(HOME));
    let shipping = shipping(&world, &aws);
    let event = serde_json::json!({
        "action": "UPDATE", "entity": {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"},
        "principal": {"id": "42", "name": "Ada", "entityType": "USER"}, "payload": {"text": "a known thing. ".repeat(20)},
    });
    let body = parse(event.to_string().as_bytes(), Layout::Json, &RecordedBy::Platform).unwrap().remove(0);
    let begun = world.clock.now();
    let until = begun.plus(RECORDING);
    let recording = async {
        let mut due = begun;
        while due < until {
            let batch = vec![body.clone(); 1000];
            log.append(&acme, batch, None).await.unwrap();
            due = due.plus(Duration::from_secs(1) / u32::try_from(EVENTS_A_SECOND / 1000).unwrap());
            world.clock.sleep(due.since(world.clock.now())).await;
        }
        log.tail(&acme.id).await.unwrap().last
    };
    let working = async {
        let (mut objects, mut invocations, mut bytes, mut busy) = (0, 0, 0, Duration::ZERO);
        let mut tick = begun;
        loop {
            let Some(message) = world.queue.receive(1).pop() else {
                if tick > until {
                    break;
                }
                tick = tick.plus(TICK);
                world.clock.sleep(tick.since(world.clock.now())).await;
                shipping.plan().await.unwrap();
                continue;
            };
            let invoked = world.clock.now();
            world.clock.sleep(latencies::INVOCATION).await;
            let report = shipping.ship(message.order()).await.unwrap();
            assert!(matches!(report.outcome, ShipOutcome::OutOfTime | ShipOutcome::UpToDate), "{report:?}");
            world.queue.delete(message.number);
            invocations += 1;
            objects += report.deliveries.len();
            let contents = report.deliveries.iter().map(|one| one.content.as_ref().unwrap());
            bytes += contents.map(|content| content.bytes).sum::<u64>();
            busy += world.clock.now().since(invoked);
        }
        (objects, invocations, bytes, busy)
    };
    let (tail, (objects, invocations, bytes, busy)) = futures_util::future::join(recording, working).await;
    let delivered = delivered(&world, &acme.id, &destination.id).await;
    let rate = delivered as f64 / busy.as_secs_f64();
    println!(
        "ship: {delivered} of {tail} events, recorded at {EVENTS_A_SECOND} a second, delivered in {objects} objects of \
         together {bytes} bytes by {invocations} invocations of together {:.1} s: {rate:.0} events a second (aim \
         {EVENTS_A_SECOND})",
        busy.as_secs_f64(),
    );
    delivered == tail && rate >= EVENTS_A_SECOND as f64
}

async fn delivered(world: &World, organisation: &OrganisationId, id: &DestinationId) -> u64 {
    use annals_core::registry::Registry as _;
    world.store.destination(organisation, id).await.unwrap().unwrap().next_sequence - 1
}

fn main() -> ExitCode {
    let plans = FLEETS.map(|count| in_virtual_time(plan(count)));
    let is_reached = in_virtual_time(ship()) && plans == [true; 2];
    if is_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
