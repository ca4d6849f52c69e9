//! Where a log ends, whatever maintenance, time to live and clocks do: each rule by itself, then all of them in random
//! years of many organisations.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use annals_core::{
    change::Change,
    log::{
        Log,
        append::{AppendError, AppendPolicy},
        segment::Tail,
        store::{LogStore as _, StoreError},
        tail::{Anchor, Hazard, MAINTAINED_AFTER, MAX_CLOCK_DIFFERENCE},
    },
    organisation::{Organisation, RetentionDays},
    time::{Clock, Timestamp},
};
use annals_tests::{clock::VirtualClock, entropy::SeededEntropy, memory::MemoryStore, model::in_virtual_time, sample};
use async_trait::async_trait;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SEEDS: u64 = 150;
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The clock of an instance, which differs from the right one.
#[derive(Debug)]
struct WrongClock {
    right: Arc<VirtualClock>,
    ahead: Duration,
    behind: Duration,
}

#[async_trait]
impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        self.right.now().plus(self.ahead).minus(self.behind)
    }

    async fn sleep(&self, _: Duration) {
        tokio::task::yield_now().await;
    }
}

struct World {
    clock: Arc<VirtualClock>,
    store: Arc<MemoryStore>,
}

impl World {
    /// A store that tells its time, like DynamoDB.
    fn new() -> Self {
        let clock = VirtualClock::new(sample::START);
        Self { store: Arc::new(MemoryStore::new().with_clock(clock.clone())), clock }
    }

    /// A store that does not tell its time.
    fn silent() -> Self {
        Self { clock: VirtualClock::new(sample::START), store: Arc::new(MemoryStore::new()) }
    }

    fn log(&self) -> Log {
        self.instance(Duration::ZERO, Duration::ZERO)
    }

    /// A new process with a clock of its own.
    fn instance(&self, ahead: Duration, behind: Duration) -> Log {
        let clock = Arc::new(WrongClock { right: Arc::clone(&self.clock), ahead, behind });
        Log::new(self.store.clone(), clock, SeededEntropy::new(1), AppendPolicy::default())
    }

    /// Creates an organisation, which records its first event.
    async fn create(&self, name: &str, retention_days: u64) -> Organisation {
        let retention = RetentionDays::try_from(retention_days).unwrap();
        let organisation = Organisation {
            retention,
            longest_retention: retention,
            shortest_retention: retention,
            created_at: self.clock.now(),
            ..sample::organisation(name)
        };
        let change = Change::CreateOrganisation(organisation.clone());
        self.log().append_change(&organisation, sample::body("created"), change).await.unwrap();
        organisation
    }

    /// Everything that has expired is deleted.
    fn delete_expired(&self) {
        self.store.expire(self.clock.now(), |_, _| true);
    }

    /// The sequences that were ever used, in the order in which they were.
    fn sequences(&self, organisation: &Organisation) -> Vec<u64> {
        let segments = self.store.journal(&organisation.id);
        segments.iter().flat_map(|segment| segment.first..=segment.last()).collect()
    }

    async fn maintain_daily(&self, organisation: &Organisation, days: u32) {
        for _ in 0..days {
            self.clock.advance(DAY);
            for due in self.log().due_for_maintenance(std::slice::from_ref(&organisation.id)).await.unwrap() {
                self.log().maintain(&due).await.unwrap();
            }
        }
    }
}

async fn append(log: &Log, organisation: &Organisation) -> Result<(), AppendError> {
    log.append(organisation, vec![sample::body("event")], None).await.map(drop)
}

/// Replaces the anchor by one of the version that did not store when it was checked.
fn put_old_anchor(world: &World, organisation: &Organisation, tail: Tail) {
    world.store.set_anchor(&organisation.id, Anchor { tail, checked: None });
}

#[tokio::test]
async fn an_append_is_refused_when_nobody_made_sure_of_the_tail_for_six_days() {
    let world = World::new();
    let acme = world.create("acme", 7).await;
    append(&world.log(), &acme).await.unwrap();
    world.maintain_daily(&acme, 10).await;
    world.delete_expired();
    append(&world.log(), &acme).await.unwrap();
    // Maintenance stops. The event expires a week later; the anchor does not have it.
    world.clock.advance(8 * DAY);
    world.delete_expired();
    for _ in 0..3 {
        let refused = append(&world.log(), &acme).await.unwrap_err();
        assert!(matches!(refused, AppendError::Unsafe(Hazard::TailUnknown { certain_at: Some(_) })), "{refused:?}");
        let refused = world.log().maintain(&acme.id).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unsafe(Hazard::TailUnknown { .. })), "maintenance guesses: {refused:?}");
        let refused = world.log().maintain_with_retention(&acme).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unsafe(Hazard::TailUnknown { .. })), "maintenance guesses: {refused:?}");
        world.clock.advance(DAY);
    }
    assert_eq!(world.sequences(&acme), [1, 2, 3]);
}

#[tokio::test]
async fn an_organisation_that_never_had_a_short_retention_goes_on_after_weeks_without_maintenance() {
    let world = World::new();
    let acme = world.create("acme", 90).await;
    world.clock.advance(88 * DAY);
    append(&world.log(), &acme).await.unwrap();
    world.clock.advance(60 * DAY);
    world.delete_expired();
    assert!(matches!(world.log().tail(&acme.id).await, Err(StoreError::Unsafe(Hazard::TailUnknown { .. }))));
    assert_eq!(world.log().maintain_with_retention(&acme).await.unwrap().last, 2);
    assert_eq!(world.log().tail(&acme.id).await.unwrap().last, 2, "maintenance has made sure of it");
    append(&world.log(), &acme).await.unwrap();
    world.clock.advance(89 * DAY);
    world.delete_expired();
    assert!(append(&world.log(), &acme).await.is_err());
    // A retention that was short once could have applied to an event that is gone.
    let umbrella = world.create("umbrella", 90).await;
    let changed = Organisation { shortest_retention: RetentionDays::MIN, ..umbrella };
    world.clock.advance(7 * DAY);
    assert!(append(&world.log(), &changed).await.is_err());
    assert_eq!((world.sequences(&acme), world.sequences(&changed)), (vec![1, 2, 3], vec![1]));
}

#[tokio::test]
async fn a_quiet_log_with_daily_maintenance_goes_on_for_years_for_a_write_every_other_day() {
    let world = World::new();
    let acme = world.create("acme", 7).await;
    world.maintain_daily(&acme, 2 * 365).await;
    world.delete_expired();
    let writes = world.store.meter().anchor_writes;
    assert_eq!(writes, 365, "writes in two years");
    append(&world.log(), &acme).await.unwrap();
    assert_eq!(world.sequences(&acme), [1, 2]);
    // While there are new events, the anchor is not needed.
    for _ in 0..100 {
        append(&world.log(), &acme).await.unwrap();
        world.clock.advance(DAY);
        world.log().maintain(&acme.id).await.unwrap();
    }
    assert_eq!(world.store.meter().anchor_writes, writes);
}

#[tokio::test]
async fn only_anchors_that_were_not_checked_lately_are_due() {
    let world = World::new();
    let (acme, umbrella) = (world.create("acme", 7).await, world.create("umbrella", 7).await);
    let ids = [acme.id.clone(), umbrella.id.clone()];
    world.clock.advance(MAINTAINED_AFTER);
    assert_eq!(world.log().due_for_maintenance(&ids).await.unwrap(), ids);
    world.log().maintain(&acme.id).await.unwrap();
    assert_eq!(world.log().due_for_maintenance(&ids).await.unwrap(), std::slice::from_ref(&umbrella.id));
    // A wrong clock could find old checks young.
    let behind = world.instance(Duration::ZERO, YEAR);
    assert!(matches!(behind.due_for_maintenance(&ids).await, Err(StoreError::Unsafe(Hazard::ClockBehind { .. }))));
    assert!(matches!(behind.maintain(&acme.id).await, Err(StoreError::Unsafe(Hazard::ClockBehind { .. }))));
}

#[tokio::test]
async fn a_clock_that_is_a_year_off_records_nothing_and_spoils_nothing() {
    let world = World::new();
    let acme = world.create("acme", 7).await;
    let (ahead, behind) = (world.instance(YEAR, Duration::ZERO), world.instance(Duration::ZERO, YEAR));
    let is_ahead =
        |error: &StoreError| matches!(error, StoreError::Unsafe(Hazard::ClockAhead { by }) if *by > 364 * DAY);
    let is_behind =
        |error: &StoreError| matches!(error, StoreError::Unsafe(Hazard::ClockBehind { by }) if *by > 364 * DAY);
    for _ in 0..20 {
        world.clock.advance(DAY);
        assert!(matches!(append(&ahead, &acme).await, Err(AppendError::Unsafe(Hazard::ClockAhead { .. }))));
        assert!(matches!(append(&behind, &acme).await, Err(AppendError::Unsafe(Hazard::ClockBehind { .. }))));
        assert!(is_ahead(&ahead.maintain(&acme.id).await.unwrap_err()));
        assert!(is_behind(&behind.maintain(&acme.id).await.unwrap_err()));
        assert!(is_behind(&behind.tail(&acme.id).await.unwrap_err()));
        world.log().maintain(&acme.id).await.unwrap();
        world.delete_expired();
    }
    let before = world.clock.now();
    append(&world.log(), &acme).await.unwrap();
    let segments = world.store.journal(&acme.id);
    assert_eq!(segments.len(), 2);
    assert_eq!(segments[1].recorded_at, before, "no event from the future is in its way");
}

#[tokio::test]
async fn small_differences_between_clocks_are_tolerated() {
    let world = World::new();
    let acme = world.create("acme", 7).await;
    append(&world.instance(MAX_CLOCK_DIFFERENCE, Duration::ZERO), &acme).await.unwrap();
    append(&world.instance(Duration::ZERO, MAX_CLOCK_DIFFERENCE), &acme).await.unwrap();
    let more = MAX_CLOCK_DIFFERENCE + Duration::from_secs(2);
    assert!(append(&world.instance(more, Duration::ZERO), &acme).await.is_err());
    assert!(append(&world.instance(Duration::ZERO, more), &acme).await.is_err());
    assert_eq!(world.sequences(&acme), [1, 2, 3]);
}

#[tokio::test]
async fn a_store_that_does_not_tell_its_time_is_not_poisoned_for_longer_than_a_tail_is_certain() {
    let world = World::silent();
    let acme = world.create("acme", 7).await;
    let ahead = world.instance(YEAR, Duration::ZERO);
    let refused = append(&ahead, &acme).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unsafe(Hazard::TailUnknown { .. })), "{refused:?}");
    let refused = ahead.maintain(&acme.id).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unsafe(Hazard::TailUnknown { .. })), "{refused:?}");
    append(&world.log(), &acme).await.unwrap();
    assert_eq!(world.store.journal(&acme.id)[1].recorded_at, world.clock.now().plus(Duration::from_millis(1)));
}

#[tokio::test]
async fn a_clock_that_is_set_back_in_a_running_process_is_noticed() {
    let world = World::new();
    let acme = world.create("acme", 7).await;
    let clock = VirtualClock::new(sample::START);
    let log = Log::new(world.store.clone(), clock.clone(), SeededEntropy::new(1), AppendPolicy::default());
    append(&log, &acme).await.unwrap();
    // The right time goes on, and the process's clock stands still for eight days.
    world.clock.advance(8 * DAY);
    world.delete_expired();
    clock.advance(Duration::from_secs(2));
    let refused = append(&log, &acme).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unsafe(Hazard::ClockBehind { .. })), "{refused:?}");
    assert_eq!(world.sequences(&acme), [1, 2]);
}

#[tokio::test]
async fn anchors_of_the_previous_version_are_trusted_once_unless_they_show_that_nobody_kept_them() {
    // Kept: the anchor has the last event, and everything has expired.
    let world = World::new();
    let acme = world.create("acme", 7).await;
    append(&world.log(), &acme).await.unwrap();
    let tail = world.log().tail(&acme.id).await.unwrap();
    put_old_anchor(&world, &acme, tail);
    world.clock.advance(30 * DAY);
    world.delete_expired();
    append(&world.log(), &acme).await.unwrap();
    assert_eq!(world.sequences(&acme), [1, 2, 3]);
    assert_eq!(world.store.anchor(&acme.id).await.unwrap().unwrap().checked, Some(world.clock.now()));
    // From then on it is like any other: the event that followed has expired, too, and nobody made sure of it.
    world.clock.advance(8 * DAY);
    world.delete_expired();
    assert!(matches!(append(&world.log(), &acme).await, Err(AppendError::Unsafe(Hazard::TailUnknown { .. }))));
    assert_eq!(world.sequences(&acme), [1, 2, 3]);

    // Never maintained, and everything has expired: the anchor would let numbers begin again with 1.
    let world = World::new();
    let acme = world.create("acme", 7).await;
    put_old_anchor(&world, &acme, Tail::ORIGIN);
    world.clock.advance(8 * DAY);
    world.delete_expired();
    assert!(matches!(append(&world.log(), &acme).await, Err(AppendError::Unsafe(Hazard::TailUnknown { .. }))));
    assert_eq!(world.sequences(&acme), [1]);

    // Not maintained, while a segment is left: refused, unless the retention proves that it is the last one.
    for (retention, expected) in [(7, vec![1]), (90, vec![1, 2])] {
        let world = World::new();
        let acme = world.create("acme", retention).await;
        put_old_anchor(&world, &acme, Tail::ORIGIN);
        world.clock.advance(8 * DAY);
        let _ = append(&world.log(), &acme).await;
        assert_eq!(world.sequences(&acme), expected, "retention {retention}");
    }
}

#[tokio::test]
async fn an_organisation_whose_log_is_gone_does_not_begin_again() {
    let world = World::new();
    let acme = world.create("acme", 90).await;
    world.clock.advance(7 * DAY);
    // The registry was restored without the log.
    let world = World { store: Arc::new(MemoryStore::new().with_clock(world.clock.clone())), clock: world.clock };
    let refused = append(&world.log(), &acme).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unsafe(Hazard::TailUnknown { certain_at: None })), "{refused:?}");
    let refused = world.log().maintain(&acme.id).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unsafe(Hazard::TailUnknown { certain_at: None })), "{refused:?}");
    assert_eq!(world.sequences(&acme), [0; 0]);
}

/// What a random year has shown, so that the test can require that enough happened.
#[derive(Debug, Default)]
struct Tally {
    appended: u64,
    refused: BTreeMap<&'static str, u64>,
    /// Logs whose every segment had expired and that were continued.
    continued_behind_anchor: u64,
}

/// Months of a few organisations. Events come rarely, retention changes, maintenance fails for up to two weeks, expired
/// segments are deleted in any order, instances start with clocks that are up to a year off in either direction, and some
/// anchors are of the previous version.
async fn random_months(seed: u64, tally: &mut Tally) {
    let chance = SeededEntropy::new(seed);
    let world = World::new();
    let mut organisations = Vec::new();
    for number in 0..4 {
        let created = world.create(&format!("org-{number}"), *chance.pick(&[7, 7, 8, 30, 90])).await;
        if chance.happens(0.3) {
            // Created by the previous version, and well maintained until now.
            let tail = world.log().tail(&created.id).await.unwrap();
            put_old_anchor(&world, &created, tail);
        }
        organisations.push(created);
    }
    let mut next_failure = chance.between(5, 40);
    let mut repaired = 0;
    for day in 0..150 {
        world.clock.advance(DAY - chance.duration(Duration::from_secs(3600)));
        if day == next_failure {
            repaired = day + chance.between(1, 14);
            next_failure = repaired + chance.between(3, 40);
        }
        let share = *chance.pick(&[0.0, 0.3, 0.7, 1.0]);
        world.store.expire(world.clock.now(), |_, _| chance.happens(share));
        for organisation in &mut organisations {
            let off = if chance.happens(0.2) { chance.duration(YEAR) } else { Duration::ZERO };
            let log = match chance.happens(0.5) {
                true => world.instance(off, Duration::ZERO),
                false => world.instance(Duration::ZERO, off),
            };
            if day >= repaired {
                let done = match log.maintain(&organisation.id).await {
                    Err(StoreError::Unsafe(Hazard::TailUnknown { .. })) => {
                        log.maintain_with_retention(organisation).await.map(drop)
                    }
                    done => done.map(drop),
                };
                if let Err(error) = done {
                    assert!(matches!(error, StoreError::Unsafe(_)), "seed {seed}: {error}");
                }
            }
            let before = world.store.journal(&organisation.id).last().map(|segment| segment.tail()).unwrap();
            if let Ok(tail) = log.tail(&organisation.id).await {
                // An anchor does not have the state of the rate limit.
                let tail = Tail { rate: before.rate, ..tail };
                assert_eq!(tail, before, "seed {seed}, day {day}: a tail is wrong");
            }
            if chance.happens(0.1) {
                let retention = RetentionDays::try_from(*chance.pick(&[7, 8, 30, 90])).unwrap();
                organisation.longest_retention = organisation.longest_retention.max(retention);
                organisation.shortest_retention = organisation.shortest_retention.min(retention);
                organisation.retention = retention;
            }
            if chance.happens(0.07) {
                let is_empty = world.store.newest(&organisation.id).await.unwrap().tail().is_none_or(|newest| {
                    newest.last < before.last || world.clock.now().since(newest.recorded_at) > 7 * DAY
                });
                match append(&log, organisation).await {
                    Ok(()) => {
                        tally.appended += 1;
                        tally.continued_behind_anchor += u64::from(is_empty);
                        let after = world.store.journal(&organisation.id).last().map(|segment| segment.tail()).unwrap();
                        let late = after.recorded_at.since(world.clock.now());
                        assert!(late <= MAX_CLOCK_DIFFERENCE + Duration::from_secs(1), "seed {seed}: {late:?} ahead");
                    }
                    Err(AppendError::Unsafe(hazard)) => *tally.refused.entry(hazard.code()).or_default() += 1,
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
            let used = world.sequences(organisation);
            let dense: Vec<u64> = (1..=used.len() as u64).collect();
            assert_eq!(used, dense, "seed {seed}, day {day}: a number was used twice or left out");
        }
    }
}

#[test]
fn no_number_is_used_twice_in_random_months_of_failing_maintenance_and_wrong_clocks() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("ANNALS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ANNALS_SEEDS").unwrap_or(SEEDS),
    };
    let mut tally = Tally::default();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        in_virtual_time(random_months(seed, &mut tally));
    }
    println!("{count} seeds: {tally:?}");
    if count >= 100 {
        assert!(tally.appended > 8 * count && tally.continued_behind_anchor > count, "{tally:?}");
        for code in ["tail_unknown", "clock_ahead", "clock_behind"] {
            assert!(tally.refused.get(code).is_some_and(|refused| *refused > count / 5), "{code}: {tally:?}");
        }
    }
}
