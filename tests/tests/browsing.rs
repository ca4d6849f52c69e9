//! The event viewer's reads: that what they show and count is what there is, what they cost, and how long they take.

use std::{sync::Arc, time::Duration};

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
    time::Clock as _,
};
use annals_tests::{
    clock::PausedClock, entropy::SeededEntropy, latency::LatencyStore, memory::MemoryStore, model::in_virtual_time,
    sample,
};

const LATENCY: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A log in memory, under a clock that only tests move.
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

    fn log(&self, store: Arc<dyn LogStore>) -> Arc<Log> {
        Arc::new(Log::new(store, self.clock.clone(), self.entropy.fork(), AppendPolicy::default()))
    }

    fn audit(&self) -> Audit {
        Audit::new(self.log(self.store.clone()))
    }

    async fn append(&self, bodies: Vec<Body>) {
        self.log(self.store.clone()).append(&self.acme, bodies, None).await.unwrap();
    }

    /// Everything, the newest first, as it can be read now.
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
    for seed in 0..60 {
        in_virtual_time(async move {
            let world = World::new(seed);
            let entropy = Arc::clone(&world.entropy);
            for number in 0..entropy.between(0, 60) {
                let bodies = (0..entropy.between(1, 8)).map(|_| sample::body(*entropy.pick(&["a", "b"])));
                world.append(bodies.collect()).await;
                world.clock.jump(Duration::from_secs(entropy.between(1, 3 * 3600 * (1 + number % 7))));
            }
            for _ in 0..8 {
                let all = world.all().await;
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

                let is_shown = |line: &&Line| {
                    since.is_none_or(|since| line.recorded_at >= since)
                        && until.is_none_or(|until| line.recorded_at < until)
                        && filter.matches(line)
                };
                let expected: Vec<Line> = all.iter().filter(is_shown).cloned().collect();
                let shown = expected.len().min(page_size);
                assert_eq!(browsed.page.lines, expected[..shown], "seed {seed}: {request:?}");
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

                // What follows is the API's own page.
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
                    assert_eq!(rest.lines, expected[shown..]);
                }
            }
        });
    }
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
fn counts_of_a_filter_say_from_when_on_they_are_whole() {
    in_virtual_time(async {
        let world = World::new(1);
        for _ in 0..30 {
            world.append((0..500).map(|_| sample::body("a")).collect()).await;
            world.clock.jump(HOUR / 2);
        }
        let filter = Filter { entity_ids: vec!["a".to_owned()], ..Filter::default() };
        let request = BrowseRequest { filter, ..world.request() };
        let browsed = world.audit().browse(&world.acme, &request, &sample::reader()).await.unwrap();
        assert_eq!(browsed.page.lines.len(), 50);
        assert_eq!(browsed.timeline.total(), 10_000, "the newest");
        let since = browsed.timeline.counted_since.unwrap();
        let whole = world.all().await.iter().filter(|line| line.recorded_at >= since).count();
        assert_eq!(whole, 10_000 + 1, "and the view itself");

        let request =
            BrowseRequest { filter: Filter { entity_ids: vec!["b".to_owned()], ..Filter::default() }, ..request };
        let browsed = world.audit().browse(&world.acme, &request, &sample::reader()).await.unwrap();
        assert_eq!((browsed.page.lines.len(), browsed.timeline.total()), (0, 0));
        assert!(browsed.page.next.is_some() && browsed.timeline.counted_since.is_some(), "there may be more");
    });
}

/// A view's time in round trips, beside that of `GET /audit` with both times and of `GET /audit/stats`.
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
        let now = world.clock.now();
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

fn trips(time: Duration) -> u128 {
    time.as_micros() / LATENCY.as_micros()
}
