//! Maintains 300,000 organisations. First a daily run in virtual time with the latencies of AWS: how long it takes, by how many
//! invocations, and what it reads and writes. Then four weeks of which maintenance fails two: events come rarely, segments
//! expire in any order, and instances start with clocks up to a year off. No number may be used twice, and no destination may
//! be called up to date that is not. Exits with 1 if an aim is missed.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use annals_core::{
    administration::{Administration, DestinationInput},
    change::Change,
    delivery::{
        queue::{Job, QueueMessage, ShipOrder},
        ship::{ShipOutcome, ShipPolicy, Shipping},
    },
    destination::{Destination, sink::ObjectSink},
    log::{
        Log,
        append::{AppendError, AppendPolicy},
        store::{LogStore as _, StoreError},
        tail::{End, MAX_CLOCK_DIFFERENCE},
    },
    organisation::{Organisation, RetentionDays},
    registry::Registry as _,
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
        world::{HOME, SteppedClock, World, platform, region},
    },
};
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::FuturesUnordered};

const ORGANISATIONS: usize = 300_000;
/// One in so many has a destination.
const DESTINATION_IN: usize = 300;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A run is to end before the next tick.
const WITHIN: Duration = Duration::from_secs(600);
/// The timeout of the function.
const TIMEOUT: Duration = Duration::from_secs(180);
/// What an on-demand table takes in a second from the beginning (Amazon DynamoDB, "On-demand capacity mode").
const WRITES_A_SECOND: u64 = 4_000;
/// What a call of DynamoDB takes within a region. One in a hundred takes ten times as long.
const CALL: Duration = Duration::from_millis(7);
const INVOCATION: Duration = Duration::from_millis(150);
/// The invocations of the queue at the same time, and the messages of each: as in `template.yaml`.
const INVOCATIONS_AT_ONCE: usize = 10;
const BATCH: usize = 10;
/// The days on which maintenance fails.
const FAILING: std::ops::Range<u32> = 6..20;
const DAYS: u32 = 28;
/// The part of the organisations that get an event on a day.
const ACTIVE: f64 = 0.01;

/// The ports of a region of AWS, which takes its time once it is told to.
#[derive(Debug)]
struct Region {
    below: Arc<dyn Ports>,
    clock: Arc<dyn Clock>,
    entropy: Arc<SeededEntropy>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<&'static str, u64>,
    /// The second, and the writes in it.
    second: (u64, u64),
    peak_writes: u64,
}

impl Region {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[async_trait]
impl Decorator for Region {
    fn below(&self) -> Below<'_> {
        Below::of(&*self.below)
    }

    async fn store_call<T: Send>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        {
            let second = self.clock.now().as_millis() / 1000;
            let mut state = self.state();
            *state.calls.entry(name).or_default() += 1;
            if name == "advance_anchor" {
                if state.second.0 != second {
                    state.second = (second, 0);
                }
                state.second.1 += 1;
                state.peak_writes = state.peak_writes.max(state.second.1);
            }
        }
        let rare = if self.entropy.happens(0.01) { 10.0 } else { 1.0 };
        self.clock.sleep(CALL.mul_f64(rare * (0.7 + 0.6 * self.entropy.fraction()))).await;
        work.await
    }
}

fn shipping(world: &World, ports: &Arc<impl Ports + 'static>, clock: Arc<dyn Clock>) -> Shipping {
    let entropy = SeededEntropy::new(6);
    let log = Arc::new(Log::new(ports.clone(), clock.clone(), entropy.fork(), AppendPolicy::default()));
    let (queue, sink): (_, Arc<dyn ObjectSink>) = (world.queue.clone(), world.buckets.clone());
    Shipping::new(log, ports.clone(), queue, sink, clock, entropy, ShipPolicy::default())
}

struct Customer {
    organisation: Organisation,
    destination: Option<Destination>,
}

/// Creates the organisations: most keep events for 90 days, a third for seven.
async fn create(world: &World, chance: &SeededEntropy) -> Vec<Customer> {
    let log = Arc::new(Log::new(world.ports(), world.clock.clone(), chance.fork(), AppendPolicy::default()));
    let administration = Administration::new(Arc::clone(&log), world.ports(), world.clock.clone(), chance.fork());
    let mut customers = Vec::with_capacity(ORGANISATIONS);
    for number in 0..ORGANISATIONS {
        let retention = RetentionDays::try_from(if number % 3 == 0 { 7 } else { 90 }).unwrap();
        let organisation = Organisation {
            retention,
            longest_retention: retention,
            shortest_retention: retention,
            created_at: world.clock.now(),
            ..sample::organisation(&format!("customer-{number:06}"))
        };
        let change = Change::CreateOrganisation(organisation.clone());
        log.append_change(&organisation, sample::body("created"), change).await.unwrap();
        let mut destination = None;
        if number % DESTINATION_IN == 0 {
            let body = format!(
                r#"{{"bucket":"bucket-{number}","roleArn":"arn:aws:iam::444455556666:role/r{number}","region":"{HOME}"}}"#
            );
            let input = DestinationInput::parse(body.as_bytes(), &sample::service()).unwrap();
            let created = administration.create_destination(&organisation, input, &platform()).await.unwrap();
            world.buckets.open(&created.bucket, region(HOME));
            destination = Some(created);
        }
        customers.push(Customer { organisation, destination });
    }
    customers
}

/// Measures a run of which every organisation is due. Returns whether the aims are reached.
async fn measure(world: &World) -> bool {
    let (below, clock) = (world.ports(), world.clock.clone() as Arc<dyn Clock>);
    let region = Arc::new(Decorated(Region { below, clock, entropy: SeededEntropy::new(5), state: Mutex::default() }));
    let shipping = shipping(world, &region, world.clock.clone());
    let begun = world.clock.now();
    let division = shipping.maintain().await.unwrap();
    let (mut running, mut invocations, mut longest, mut completed) =
        (FuturesUnordered::new(), 1, Duration::ZERO, false);
    let mut maintained = 0;
    loop {
        while running.len() < INVOCATIONS_AT_ONCE {
            let messages = world.queue.receive(BATCH);
            if messages.is_empty() {
                break;
            }
            invocations += 1;
            let (shipping, world) = (&shipping, &world);
            running.push(async move {
                world.clock.sleep(INVOCATION).await;
                let begun = world.clock.now();
                let works = messages.into_iter().map(async |message| {
                    let QueueMessage::Job(Job::Maintain(job)) = &message.body else { panic!("{message:?}") };
                    let report = shipping.maintain_part(job).await;
                    assert!(report.failure.is_none() && report.refused.is_empty(), "{report:?}");
                    world.queue.delete(message.number);
                    (report.organisations, report.completes_run)
                });
                let reports = futures_util::future::join_all(works).await;
                (world.clock.now().since(begun), reports)
            });
        }
        let Some((took, reports)) = running.next().await else { break };
        longest = longest.max(took);
        maintained += reports.iter().map(|(organisations, _)| organisations).sum::<usize>();
        completed |= reports.iter().any(|(_, completes_run)| *completes_run);
    }
    let took = world.clock.now().since(begun);
    let state = region.0.state();
    let count = |name: &str| state.calls.get(name).copied().unwrap_or_default();
    println!(
        "a run: {maintained} organisations, all due, in {:.1} s (aim {} s), {} parts, {invocations} invocations of at most \
         {:.1} s (timeout {} s); {} reads of the tail, {} writes, at most {} a second (aim {WRITES_A_SECOND})",
        took.as_secs_f64(),
        WITHIN.as_secs(),
        division.parts,
        longest.as_secs_f64(),
        TIMEOUT.as_secs(),
        count("newest"),
        count("advance_anchor"),
        state.peak_writes,
    );
    let is_complete = completed && maintained == ORGANISATIONS && division.organisations == ORGANISATIONS;
    if !is_complete {
        println!("BROKEN: not every organisation is maintained");
    }
    is_complete && took <= WITHIN && longest <= TIMEOUT && state.peak_writes <= WRITES_A_SECOND
}

#[derive(Debug, Default)]
struct Tally {
    appended: u64,
    refused: BTreeMap<&'static str, u64>,
    /// Continued behind an anchor, because every segment had expired.
    continued: u64,
    /// Logs that maintenance named because their ends are unknown, at the last run.
    unknown: usize,
    jobs: u64,
    jobs_refused: u64,
    up_to_date: u64,
    broken: u64,
}

/// Lives four weeks. Returns whether every promise was kept.
async fn live(world: &World, customers: &[Customer], chance: &SeededEntropy) -> bool {
    let mut tally = Tally::default();
    let right = world.clock.clone() as Arc<dyn Clock>;
    let dial = SteppedClock::new(right.clone());
    let policy = AppendPolicy::default();
    let ports = Arc::clone(&world.witness);
    let log = Log::new(world.ports(), right.clone(), chance.fork(), policy);
    let off = Log::new(world.ports(), dial.clone(), chance.fork(), policy);
    let (shipper, wrong) = (shipping(world, &ports, right), shipping(world, &ports, dial.clone()));
    // Up to a year in either direction, and more than what is tolerated.
    let turn = || {
        let by = i64::try_from((MAX_CLOCK_DIFFERENCE + chance.duration(365 * DAY)).as_millis()).unwrap() + 2_000;
        dial.set_ahead(if chance.happens(0.5) { by } else { -by });
    };
    for day in 0..DAYS {
        world.clock.jump(DAY);
        let share = *chance.pick(&[0.0, 0.3, 0.7, 1.0]);
        world.store.expire(world.clock.now(), |_, _| chance.happens(share));
        if !FAILING.contains(&day) {
            shipper.maintain().await.unwrap();
            tally.unknown = 0;
            while let Some(message) = world.queue.receive(1).pop() {
                let QueueMessage::Job(Job::Maintain(job)) = &message.body else { panic!("{message:?}") };
                tally.jobs += 1;
                if chance.happens(0.3) {
                    turn();
                    let report = wrong.maintain_part(job).await;
                    tally.jobs_refused += 1;
                    // The last part has no organisation.
                    let is_refused = matches!(report.failure, Some(StoreError::Unsafe(_))) || job.until.is_none();
                    if !is_refused || report.organisations > 0 {
                        println!("BROKEN: a wrong clock maintains: {report:?}");
                        tally.broken += 1;
                    }
                }
                let report = shipper.maintain_part(job).await;
                tally.unknown += report.refused.len();
                if report.failure.is_some() {
                    println!("BROKEN: {report:?}");
                    tally.broken += 1;
                }
                world.queue.delete(message.number);
            }
        }
        for customer in customers {
            if chance.happens(ACTIVE) {
                append(world, customer, &log, &off, &turn, chance, &mut tally).await;
            }
            if let Some(destination) = &customer.destination {
                ship(world, customer, destination, &shipper, &mut tally).await;
            }
        }
    }
    for customer in customers {
        check(world, &customer.organisation, &mut tally);
    }
    println!("{DAYS} days, maintenance failing from day {} to {}: {tally:?}", FAILING.start, FAILING.end);
    let happened = ["tail_unknown", "clock_ahead", "clock_behind"].iter().all(|code| tally.refused.contains_key(code));
    if !happened || tally.continued == 0 || tally.up_to_date == 0 || tally.jobs_refused == 0 {
        println!("BROKEN: too little happened");
        return false;
    }
    tally.broken == 0
}

async fn append(
    world: &World,
    customer: &Customer,
    log: &Log,
    off: &Log,
    turn: &impl Fn(),
    chance: &SeededEntropy,
    tally: &mut Tally,
) {
    let organisation = &customer.organisation;
    let is_off = chance.happens(0.05);
    if is_off {
        turn();
    }
    let last = world.store.journal(&organisation.id).last().map_or(0, |segment| segment.last());
    let newest = world.store.newest(&organisation.id).await.unwrap();
    let is_gone = !matches!(newest.end, Some(End::Segment(tail)) if tail.last == last);
    let used = if is_off { off } else { log };
    match used.append(organisation, vec![sample::body("event")], None).await {
        Ok(_) if is_off => {
            println!("BROKEN: a wrong clock records for {}", organisation.id);
            tally.broken += 1;
        }
        Ok(_) => {
            tally.appended += 1;
            tally.continued += u64::from(is_gone);
        }
        Err(AppendError::Unsafe(hazard)) => *tally.refused.entry(hazard.code()).or_default() += 1,
        Err(error) => {
            println!("BROKEN: {}: {error}", organisation.id);
            tally.broken += 1;
        }
    }
}

/// Ships, and compares what the destination is called with what is in the log.
async fn ship(world: &World, customer: &Customer, destination: &Destination, shipper: &Shipping, tally: &mut Tally) {
    let id = &customer.organisation.id;
    let current = world.store.destination(id, &destination.id).await.unwrap().unwrap();
    let order = ShipOrder {
        organisation: id.to_string(),
        destination: destination.id.to_string(),
        next_sequence: current.next_sequence,
        pending: true,
    };
    let Ok(report) = shipper.ship(&order).await else { return };
    if report.outcome == ShipOutcome::UpToDate {
        tally.up_to_date += 1;
        let next = world.store.destination(id, &destination.id).await.unwrap().unwrap().next_sequence;
        let last = world.store.journal(id).last().map_or(0, |segment| segment.last());
        if next != last + 1 {
            println!("BROKEN: {id} is called up to date at {next}, and its log ends with {last}");
            tally.broken += 1;
        }
    }
}

/// Checks that every number was used once.
fn check(world: &World, organisation: &Organisation, tally: &mut Tally) {
    let mut next = 1;
    for segment in world.store.journal(&organisation.id) {
        if segment.first != next {
            println!("BROKEN: {}: {} follows {}", organisation.id, segment.first, next - 1);
            tally.broken += 1;
            return;
        }
        next = segment.last() + 1;
    }
}

fn main() -> ExitCode {
    let kept = in_virtual_time(async {
        let chance = SeededEntropy::new(1);
        let world = World::new(sample::START, |clock| MemoryStore::new().with_clock(clock), MemoryQueue::new);
        let customers = create(&world, &chance).await;
        world.clock.jump(2 * DAY);
        let is_fast = measure(&world).await;
        let is_right = live(&world, &customers, &chance).await;
        is_fast && is_right
    });
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
