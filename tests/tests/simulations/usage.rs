//! The record of usage: it counts what is in the log, whatever instances, clocks and the store do, and says what it cannot
//! know.

use std::{
    collections::{BTreeMap, HashMap},
    ops::AddAssign,
    sync::Arc,
    time::Duration,
};

use annals_core::{
    change::Change,
    event::{Body, Context, Entity, OwnEvent, Principal},
    log::{
        Log,
        append::AppendPolicy,
        segment::Segment,
        store::{Commit, CommitError, LogStore},
    },
    organisation::{Organisation, OrganisationId},
    registry::RestoredTables,
    time::{Clock, Timestamp},
    usage::{LogCounts, Month, Usage},
};
use annals_tests::{
    clock::PausedClock,
    entropy::SeededEntropy,
    faulty::FaultyStore,
    log_layer::{Layered, LogLayer},
    memory::MemoryStore,
    model::in_virtual_time,
    sample,
    seeds::Seeds,
};
use async_trait::async_trait;
use futures_util::future::join_all;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer than an append waits. A call that takes longer is one of a process that crashed.
const CRASHED_AFTER: Duration = Duration::from_secs(60);
/// How late a write may arrive.
const LATE: Duration = Duration::from_secs(2);

/// What happened.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    months: u64,
    crashes: u64,
    /// Months whose counts were stored although nothing was recorded in the month after.
    quiet: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.months += other.months;
        self.crashes += other.crashes;
        self.quiet += other.quiet;
    }
}

struct World {
    store: Arc<MemoryStore>,
    clock: Arc<PausedClock>,
    entropy: Arc<SeededEntropy>,
    acme: Organisation,
    /// The size of each event by its label.
    sizes: HashMap<String, u64>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let clock = PausedClock::new(sample::START);
        let store = Arc::new(MemoryStore::new().with_clock(clock.clone()));
        let acme = sample::organisation("acme");
        let world = Self { store, clock, entropy: SeededEntropy::new(seed), acme, sizes: HashMap::new() };
        let create = Change::CreateOrganisation(world.acme.clone());
        world.log().append_change(&world.acme, own("organisation.create"), create).await.unwrap();
        world
    }

    fn over(&self, store: Arc<dyn LogStore>) -> Log {
        Log::new(store, self.clock.clone(), self.entropy.fork(), AppendPolicy::default())
    }

    fn log(&self) -> Log {
        self.over(self.store.clone())
    }

    /// A process whose calls fail now and then.
    fn process(&self) -> Log {
        self.over(FaultyStore::seeded(self.store.clone(), 0.1, LATE, self.clock.clone(), self.entropy.fork()))
    }

    fn event(&mut self) -> Body {
        let label = format!("event {}", self.sizes.len());
        let ballast = sample::ballast(&label, self.entropy.below(300));
        let body = sample::body_with(&label, &ballast);
        self.sizes.insert(label, body.event().len() as u64 + 1);
        body
    }

    /// The events of a request: some of a producer, or one that Annals recorded.
    fn request(&mut self) -> Vec<Body> {
        match self.entropy.below(10) {
            0..3 => vec![own("audit.read")],
            3 => vec![own("token.create")],
            4 => {
                // A large one takes several segments.
                let label = format!("event {}", self.sizes.len());
                let bodies =
                    [0, 1].map(|part| sample::body_with(&label, &sample::ballast(&format!("{label}{part}"), 200_000)));
                self.sizes.insert(label, bodies[0].event().len() as u64 + 1);
                bodies.into()
            }
            _ => (0..=self.entropy.below(4)).map(|_| self.event()).collect(),
        }
    }

    /// Skips days, in which maintenance runs and what has expired is deleted.
    async fn pass(&self, days: u64) {
        for _ in 0..days {
            self.clock.jump(DAY);
            self.log().maintain(&self.acme.id).await.unwrap();
            let now = self.clock.now();
            self.store.expire(now, |_, _| self.entropy.happens(0.5));
        }
        self.clock.jump(self.entropy.duration(DAY));
    }

    async fn usage(&self, month: Month) -> Usage {
        let log = self.log().usage(&self.acme).await.unwrap();
        Usage::of(month, &log, &[], self.clock.now())
    }

    /// Counts all segments that were ever written.
    fn recount(&self) -> BTreeMap<Month, LogCounts> {
        let mut months: BTreeMap<Month, LogCounts> = BTreeMap::new();
        let mut append = None;
        for segment in self.store.journal(&self.acme.id) {
            // The segments of one append count in the month of the first.
            let month = match append {
                Some((append, month)) if append == segment.append => month,
                _ => Month::of(segment.recorded_at),
            };
            append = Some((segment.append, month));
            self.count(&segment, months.entry(month).or_default());
        }
        months
    }

    fn count(&self, segment: &Segment, counts: &mut LogCounts) {
        for line in segment.lines(&self.acme.id).unwrap() {
            let event: serde_json::Value = serde_json::from_str(&line.text).unwrap();
            if event["recordedBy"] == "annals" {
                counts.own_events += 1;
                counts.reads += u64::from(event["type"] == "audit.read");
            } else {
                counts.events += 1;
                counts.bytes += self.sizes[&sample::label(&line.text).unwrap()];
            }
        }
    }

    /// Compares the record of every month with the log.
    async fn check(&self) -> Result<u64, String> {
        let counted = self.recount();
        let mut month = Month::of(sample::START.minus(40 * DAY));
        let end = Month::of(self.clock.now().plus(40 * DAY));
        let mut quiet = 0;
        while month <= end {
            let usage = self.usage(month).await;
            let expected = counted.get(&month).copied().unwrap_or_default();
            if usage.recorded != Some(expected) || usage.recorded_unknown_until.is_some() {
                return Err(format!("{month}: {expected:?} is in the log, and the record is {usage:?}"));
            }
            quiet += u64::from(!counted.contains_key(&month));
            month = Month::of(month.ends_at());
        }
        Ok(quiet)
    }
}

fn own(kind: &'static str) -> Body {
    OwnEvent {
        action: if kind == "audit.read" { "READ" } else { "CREATE" },
        kind,
        entity: Entity { id: "acme".into(), name: "Acme".into(), entity_type: "AUDIT_LOG" },
        principal: Principal::machine("1", "A token", "API_KEY"),
        before: None,
        after: None,
        client_type: "API",
        context: Some(Context::default()),
        payload: None,
    }
    .body()
}

async fn months(seed: u64) -> Result<Tally, String> {
    let mut world = World::new(seed).await;
    let mut processes = [world.process(), world.process(), world.process()];
    let mut tally = Tally::default();
    for _ in 0..25 {
        let requests = 1 + world.entropy.below(5);
        let requests: Vec<(usize, Vec<Body>)> =
            (0..requests).map(|_| (world.entropy.below(3), world.request())).collect();
        let appends = requests.into_iter().map(|(process, bodies)| {
            let (log, acme) = (&processes[process], &world.acme);
            async move {
                let append = log.append(acme, bodies, None);
                // A second of this clock takes a thousand of the runtime's.
                tokio::time::timeout(CRASHED_AFTER * 1000, append).await.is_err().then_some(process)
            }
        });
        for crashed in join_all(appends).await.into_iter().flatten() {
            processes[crashed] = world.process();
            tally.crashes += 1;
        }
        // Writes that are late arrive.
        world.clock.sleep(2 * LATE).await;
        tally.quiet = world.check().await?;
        let days = *world.entropy.pick(&[0, 0, 1, 3, 9, 45]);
        world.pass(days).await;
    }
    let counted = world.recount();
    tally.months = counted.len() as u64;
    tally.events = counted.values().map(|counts| counts.events + counts.own_events).sum();
    Ok(tally)
}

#[test]
fn every_month_is_counted_exactly_through_crashes_late_writes_and_expiry() {
    let seeds = Seeds::chosen(10, 10);
    let tally = seeds.check(|seed| in_virtual_time(months(seed)));
    println!("{tally:?}");
    if seeds.are_enough() {
        assert!(tally.crashes > 20 && tally.quiet > 20, "something is rare: {tally:?}");
        assert!(tally.months > 100 && tally.events > 1500, "too little happens: {tally:?}");
    }
}

/// A release that does not count.
#[derive(Debug)]
struct EarlierRelease(Arc<MemoryStore>);

#[async_trait]
impl LogLayer for EarlierRelease {
    fn below(&self) -> &dyn LogStore {
        &*self.0
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        let segments = commit.segments.iter().map(|segment| Segment { usage: None, ..segment.clone() }).collect();
        self.0.commit(organisation, &Commit { segments, change: commit.change.clone() }).await
    }
}

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

#[test]
fn what_a_release_recorded_that_does_not_count_is_said_to_be_unknown() {
    in_virtual_time(async {
        let world = World::new(1).await;
        let earlier = world.over(Arc::new(Layered(EarlierRelease(world.store.clone()))));
        let append = async |log: &Log| log.append(&world.acme, vec![sample::body("event")], None).await.unwrap();
        append(&world.log()).await;
        append(&earlier).await;
        let unknown = world.usage(month("2026-11")).await;
        assert_eq!((unknown.recorded, unknown.recorded_unknown_until), (None, Some(month("2026-11").ends_at())));
        let until = world.clock.now();
        world.pass(1).await;
        append(&world.log()).await;
        append(&world.log()).await;
        world.pass(40).await;
        append(&world.log()).await;
        for month in ["2026-11", "2026-12", "2027-01"] {
            let usage = world.usage(month.parse().unwrap()).await;
            let events = usage.recorded.map(|counts| counts.events);
            match month {
                "2026-11" => {
                    assert_eq!(events, Some(2));
                    let near = |at: Timestamp| at.since(until) < Duration::from_secs(1);
                    assert!(usage.recorded_unknown_until.is_some_and(near), "{usage:?}");
                }
                "2026-12" => assert_eq!((events, usage.recorded_unknown_until), (Some(0), None)),
                _ => assert_eq!((events, usage.recorded_unknown_until), (Some(1), None)),
            }
        }
        let before = world.usage(month("2026-10")).await;
        assert_eq!(before.recorded, None, "nobody counted what that release recorded");
    });
}

#[test]
fn what_a_restore_lost_is_said_to_be_unknown() {
    in_virtual_time(async {
        let world = World::new(1).await;
        let append = async || world.log().append(&world.acme, vec![sample::body("event")], None).await.unwrap();
        append().await;
        let copy = world.store.back_up();
        append().await;
        world.pass(12).await;
        append().await;
        world.store.restore(&copy, RestoredTables::Log);
        let event = |_: &_| own("log.restored");
        world.log().restore(&world.acme, &"copy-1".parse().unwrap(), 4, 10, event).await.unwrap();
        let restored_at = world.clock.now();
        append().await;
        let november = world.usage(month("2026-11")).await;
        assert_eq!(november.recorded.map(|counts| (counts.events, counts.own_events)), Some((1, 1)));
        assert_eq!(november.recorded_unknown_until, Some(month("2026-11").ends_at()));
        let december = world.usage(month("2026-12")).await;
        assert_eq!(december.recorded.map(|counts| (counts.events, counts.own_events)), Some((1, 1)));
        assert!(december.recorded_unknown_until.is_some_and(|until| restored_at.since(until) < Duration::from_secs(5)));
        world.pass(31).await;
        append().await;
        let january = world.usage(Month::of(world.clock.now())).await;
        assert_eq!((january.recorded.map(|counts| counts.events), january.recorded_unknown_until), (Some(1), None));
    });
}
