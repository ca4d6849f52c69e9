//! The reads of the event viewer: their results and counts are correct, and their cost and duration are bounded.

use std::{sync::Arc, time::Duration};

use annals_aws::dynamodb::{DynamoStore, Tables, create_tables};
use annals_cloud::{AccessKey, Cloud, CloudOptions};
use annals_core::{
    audit::{
        Audit, PageRequest, Start,
        browse::BrowseRequest,
        filter::Filter,
        stats::{By, Interval, StatsRequest},
    },
    event::Body,
    log::{
        Log,
        append::AppendPolicy,
        segment::Line,
        store::{LogStore, Order},
    },
    organisation::Organisation,
    time::{Clock as _, Timestamp},
};
use annals_local::demo;
use annals_tests::{
    capacity::CapacityMeter,
    clock::{PausedClock, VirtualClock},
    entropy::SeededEntropy,
    latency::LatencyStore,
    memory::{MemoryStore, Staleness},
    model::in_virtual_time,
    sample,
};

const LATENCY: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A log in memory with a clock that tests control.
struct World {
    clock: Arc<PausedClock>,
    store: Arc<MemoryStore>,
    acme: Organisation,
    entropy: Arc<SeededEntropy>,
}

impl World {
    fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = PausedClock::new(sample::START);
        Self { clock, store, acme: sample::organisation("acme"), entropy: SeededEntropy::new(seed) }
    }

    /// The same with half of the eventually consistent reads stale.
    fn stale(seed: u64) -> Self {
        let world = Self::new(seed);
        let (clock, entropy) = (world.clock.clone(), world.entropy.fork());
        let staleness = Staleness { chance: 0.5, window: Duration::from_secs(1), clock, entropy };
        Self { store: Arc::new(MemoryStore::new().with_staleness(staleness)), ..world }
    }

    fn log(&self, store: Arc<dyn LogStore>) -> Arc<Log> {
        Arc::new(Log::new(store, self.clock.clone(), self.entropy.fork(), AppendPolicy::default()))
    }

    fn audit(&self) -> Audit {
        Audit::new(self.log(self.store.clone()))
    }

    async fn append(&self, bodies: Vec<Body>) {
        self.log(self.store.clone()).append(&self.acme, bodies, None).await.unwrap();
    }

    /// All readable events, newest first.
    async fn all(&self) -> Vec<Line> {
        let request = PageRequest { order: Order::Descending, page_size: 1_000_000, ..PageRequest::default() };
        self.audit().page(&self.acme, &request, &sample::reader()).await.unwrap().lines
    }

    fn request(&self) -> BrowseRequest {
        BrowseRequest { since: None, until: None, filter: Filter::default(), page_size: 50, now: self.clock.now() }
    }
}

#[test]
fn a_view_shows_and_counts_what_there_is_in_its_range_whatever_the_filter() {
    for seed in 0..25 {
        in_virtual_time(async move {
            let world = World::new(seed);
            let entropy = Arc::clone(&world.entropy);
            for number in 0..entropy.between(0, 60) {
                let bodies = (0..entropy.between(1, 8)).map(|_| sample::body(["a", "b"][entropy.below(2)]));
                world.append(bodies.collect()).await;
                world.clock.jump(Duration::from_secs(entropy.between(1, 3 * 3600 * (1 + number % 7))));
            }
            for _ in 0..8 {
                let now = world.clock.now();
                let moment = |_| now.minus(Duration::from_secs(entropy.between(0, 20 * 24 * 3600)));
                let since = entropy.happens(0.7).then_some(()).map(moment);
                let until = entropy.happens(0.5).then_some(()).map(moment).filter(|until| since <= Some(*until));
                let mut filter = Filter::default();
                if entropy.happens(0.5) {
                    filter.entity_ids.push("a".to_owned());
                }
                let page_size = usize::try_from(entropy.between(1, 70)).unwrap();
                let request = BrowseRequest { since, until, filter: filter.clone(), page_size, now };
                let browsed = world.audit().browse(&world.acme, &request, &sample::reader()).await.unwrap();

                let mut all = world.all().await;
                all.retain(|line| browsed.page.through.is_some_and(|through| line.sequence() <= through.sequence()));
                let is_shown = |line: &&Line| {
                    since.is_none_or(|since| line.recorded_at >= since)
                        && until.is_none_or(|until| line.recorded_at < until)
                        && filter.matches(&line.text, line.recorded_at)
                };
                let expected: Vec<Line> = all.iter().filter(is_shown).cloned().collect();
                let shown = expected.len().min(page_size);
                assert!(browsed.page.lines == expected[..shown], "seed {seed}: {request:?}");
                assert_eq!(browsed.page.next, expected.get(shown).map(|line| line.id), "seed {seed}: {request:?}");
                assert_eq!(browsed.log_is_empty, all.is_empty());
                let timeline = &browsed.timeline;
                assert_eq!(timeline.counted_since, None);
                assert_eq!(timeline.total(), expected.len() as u64, "seed {seed}: {request:?} {timeline:?}");
                assert!(timeline.stretches.len() <= 62, "{}", timeline.stretches.len());
                for stretch in &timeline.stretches {
                    let within = |line: &&Line| (stretch.since..stretch.until).contains(&line.recorded_at);
                    assert_eq!(stretch.events, expected.iter().filter(within).count() as u64, "seed {seed}");
                }
                let follows = |pair: &[annals_core::audit::browse::Stretch]| pair[0].until == pair[1].since;
                assert!(timeline.stretches.windows(2).all(follows));

                // The next page is the API's.
                if let Some(next) = browsed.page.next {
                    let older = PageRequest {
                        start: Start::From(next),
                        since,
                        until,
                        filter: filter.clone(),
                        through: browsed.page.through,
                        order: Order::Descending,
                        page_size: 1_000_000,
                        ..PageRequest::default()
                    };
                    let rest = world.audit().page(&world.acme, &older, &sample::reader()).await.unwrap();
                    assert!(rest.lines == expected[shown..], "seed {seed}: {request:?}");
                }
            }
        });
    }
}

#[test]
fn no_timeline_reaches_into_the_future() {
    in_virtual_time(async {
        let world = World::new(1);
        world.append(vec![sample::body("a")]).await;
        let now = world.clock.now();
        let far = Timestamp::parse("9999-12-31T00:00:00Z").unwrap();
        // Each view is an event that the next one counts.
        for (since, events) in [(None, 1), (Some(now.minus(HOUR)), 2), (Some(far), 0)] {
            let request = BrowseRequest { since, until: Some(far), ..world.request() };
            let browsed = world.audit().browse(&world.acme, &request, &sample::reader()).await.unwrap();
            let timeline = &browsed.timeline;
            assert!(timeline.stretches.len() <= 62, "{}", timeline.stretches.len());
            assert!(timeline.until <= now.plus(HOUR), "{timeline:?}");
            assert_eq!(timeline.total(), events);
        }
    });
}

#[test]
fn a_view_is_one_read_and_does_not_show_itself() {
    in_virtual_time(async {
        let world = World::new(1);
        world.append(vec![sample::body("a")]).await;
        let browsed = world.audit().browse(&world.acme, &world.request(), &sample::reader()).await.unwrap();
        assert_eq!(browsed.page.lines.len(), 1);
        world.audit().detail(&world.acme, browsed.page.lines[0].id, &sample::reader()).await.unwrap();
        let kinds: Vec<bool> = world.all().await.iter().map(|line| line.text.contains("\"audit.read\"")).collect();
        assert_eq!(kinds, [true, true, false]);
    });
}

#[test]
fn an_event_is_shown_with_those_beside_it() {
    in_virtual_time(async {
        let world = World::new(1);
        for count in [1, 3, 2] {
            world.append((0..count).map(|_| sample::body("a")).collect()).await;
            world.clock.jump(HOUR);
        }
        let mut lines = world.all().await;
        lines.reverse();
        for (index, line) in lines.iter().enumerate() {
            let detail = world.audit().detail(&world.acme, line.id, &sample::reader()).await.unwrap();
            assert_eq!(detail.line, *line);
            assert_eq!(detail.previous, index.checked_sub(1).map(|index| lines[index].id));
            let next = detail.next.unwrap();
            assert_eq!(next.sequence(), line.sequence() + 1, "behind the last are the reads of this test");
        }
    });
}

#[test]
fn a_view_misses_nothing_however_stale_reads_are() {
    for seed in 0..100 {
        in_virtual_time(async move {
            let world = World::stale(seed);
            world.append(vec![sample::body("old")]).await;
            world.clock.jump(30 * HOUR);
            for _ in 0..world.entropy.between(1, 6) {
                world.append(vec![sample::body("new")]).await;
                world.clock.jump(Duration::from_millis(world.entropy.between(1, 400)));
            }
            let tail = world.log(world.store.clone()).tail(&world.acme.id).await.unwrap().last;
            let request = BrowseRequest { since: Some(world.clock.now().minus(24 * HOUR)), ..world.request() };
            let browsed = world.audit().browse(&world.acme, &request, &sample::reader()).await.unwrap();
            let sequences: Vec<u64> = browsed.page.lines.iter().map(Line::sequence).collect();
            assert_eq!(sequences, (2..=tail).rev().collect::<Vec<_>>(), "seed {seed}");
            assert_eq!(browsed.timeline.total(), tail - 1, "seed {seed}");
        });
    }
}

#[test]
fn counts_of_a_filter_say_from_when_on_they_are_whole() {
    in_virtual_time(async {
        let world = World::new(1);
        let mut times = Vec::new();
        for _ in 0..30 {
            times.push(world.clock.now());
            world.append((0..500).map(|_| sample::body("a")).collect()).await;
            world.clock.jump(HOUR / 2);
        }
        let filter = Filter { entity_ids: vec!["a".to_owned()], ..Filter::default() };
        let request = BrowseRequest { filter, ..world.request() };
        let browsed = world.audit().browse(&world.acme, &request, &sample::reader()).await.unwrap();
        assert_eq!(browsed.page.lines.len(), 50);
        assert_eq!(browsed.timeline.total(), 10_000, "the newest");
        let since = browsed.timeline.counted_since.unwrap();
        assert_eq!(times.iter().filter(|time| **time >= since).count() * 500, 10_000);

        let request =
            BrowseRequest { filter: Filter { entity_ids: vec!["b".to_owned()], ..Filter::default() }, ..request };
        let browsed = world.audit().browse(&world.acme, &request, &sample::reader()).await.unwrap();
        assert_eq!((browsed.page.lines.len(), browsed.timeline.total()), (0, 0));
        assert!(browsed.page.next.is_some() && browsed.timeline.counted_since.is_some(), "there may be more");
    });
}

/// The round trips of a view, of `GET /audit` with both times and of `GET /audit/stats`.
#[test]
fn a_view_takes_no_more_round_trips_than_the_calls_of_the_api() {
    in_virtual_time(async {
        let world = World::new(7);
        // A week of working days: busy by day, quiet by night.
        for hour in 0..7 * 24 {
            let appends = if (8..18).contains(&(hour % 24)) { 40 } else { 2 };
            for _ in 0..appends {
                world.append(vec![sample::body("a")]).await;
                world.clock.jump(HOUR / appends);
            }
        }
        let slow = LatencyStore::new(world.store.clone(), world.clock.clone(), LATENCY, None);
        let audit = Audit::new(world.log(slow));
        let one = Filter { entity_ids: vec!["a".to_owned()], ..Filter::default() };
        for (name, length) in [("an hour", HOUR), ("a day", 24 * HOUR), ("a week", 7 * 24 * HOUR)] {
            for filter in [Filter::default(), one.clone()] {
                let now = world.clock.now();
                let (since, until) = (now.minus(length), now);
                let reader = sample::reader();
                let clock = &world.clock;

                let begun = clock.elapsed();
                let request = BrowseRequest {
                    since: Some(since),
                    until: Some(until),
                    filter: filter.clone(),
                    page_size: 50,
                    now,
                };
                audit.browse(&world.acme, &request, &reader).await.unwrap();
                let view = trips(clock.elapsed() - begun);

                let begun = clock.elapsed();
                let request = PageRequest {
                    since: Some(since),
                    until: Some(until),
                    filter: filter.clone(),
                    order: Order::Descending,
                    page_size: 50,
                    ..PageRequest::default()
                };
                audit.page(&world.acme, &request, &reader).await.unwrap();
                let page = trips(clock.elapsed() - begun);

                let begun = clock.elapsed();
                let request = StatsRequest {
                    since,
                    until,
                    from: None,
                    through: None,
                    interval: Interval::Hour,
                    by: By::Type,
                    filter: filter.clone(),
                };
                audit.stats(&world.acme, &request, &reader).await.unwrap();
                let stats = trips(clock.elapsed() - begun);
                println!("{name}, filtered: {}: view {view}, page {page}, stats {stats}", !filter.is_empty());
                assert!(
                    view <= page.max(stats) + 1,
                    "{name}: {view} round trips, {page} and {stats} of the API's calls"
                );
            }
        }
    });
}

/// The read units of a view's chart as DynamoDB reports them, and those of reading the events.
#[tokio::test]
async fn a_chart_without_a_filter_costs_far_less_than_reading_its_events() {
    const EVENTS: usize = 20_000;
    const BATCH: usize = 25;
    let cloud = Cloud::start(CloudOptions::default()).await.unwrap();
    let (client, meter) = CapacityMeter::client(&cloud.sdk_config(&AccessKey::new("any", "any")));
    let tables = Tables { log: "log".into(), registry: "registry".into() };
    create_tables(&client, &tables).await.unwrap();
    let store = Arc::new(DynamoStore::new(client, tables.clone()).in_simulated_time());
    let clock = VirtualClock::new(sample::START);
    let log = Arc::new(Log::new(store, clock.clone(), SeededEntropy::new(1), AppendPolicy::default()));
    let acme = sample::organisation("acme");
    for events in demo::realistic_events(3, EVENTS).chunks(BATCH) {
        log.append(&acme, events.iter().map(sample::posted).collect(), None).await.unwrap();
        clock.advance(24 * HOUR / u32::try_from(EVENTS / BATCH).unwrap());
    }
    let audit = Audit::new(log);
    let now = clock.now();
    let request =
        BrowseRequest { since: Some(now.minus(24 * HOUR)), until: None, filter: Filter::default(), page_size: 50, now };
    meter.reset();
    let browsed = audit.browse(&acme, &request, &sample::reader()).await.unwrap();
    let view = meter.of(&tables.log);
    assert_eq!(browsed.timeline.total(), EVENTS as u64);
    let stretches = browsed.timeline.stretches.len();

    let request = StatsRequest {
        since: now.minus(24 * HOUR),
        until: now.plus(HOUR),
        from: None,
        through: None,
        interval: Interval::Hour,
        by: By::Type,
        filter: Filter::default(),
    };
    meter.reset();
    audit.stats(&acme, &request, &sample::reader()).await.unwrap();
    let stats = meter.of(&tables.log);
    println!(
        "a view with {stretches} bars of {EVENTS} events in batches of {BATCH}: {} read units, {} write units; counting \
         them by reading: {} read units",
        view.read_units, view.write_units, stats.read_units
    );
    assert!(view.read_units * 3.0 < stats.read_units && view.write_units <= 1.0);
}

fn trips(time: Duration) -> u128 {
    time.as_micros() / LATENCY.as_micros()
}
