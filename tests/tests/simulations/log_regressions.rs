//! Former bugs of the log, each with the smallest scenario that shows it. Most were found by the random scenarios of
//! `model`.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_core::{
    audit::{Audit, AuditError, Page, PageRequest, Start},
    id::EventId,
    log::{
        Log,
        append::{AppendError, AppendPolicy},
        read::{PlaceError, ReadLimit, SegmentEnd},
        segment::Segment,
        store::{Commit, CommitError, Consistency, LogStore, Order, StoreError},
        tail::Hazard,
    },
    organisation::{Organisation, OrganisationId, RetentionDays},
    time::{Clock, Timestamp},
};
use annals_tests::{
    clock::PausedClock,
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore},
    latency::LatencyStore,
    log_layer::{Layered, LogLayer},
    memory::MemoryStore,
    sample,
};
use async_trait::async_trait;

/// A store that returns nothing for a number of reads, and never finds some segment.
#[derive(Debug)]
struct Blind {
    store: Arc<MemoryStore>,
    /// The number of eventually consistent reads that return nothing.
    reads: AtomicU32,
    /// The number of strongly consistent ones.
    strong_reads: AtomicU32,
    /// The first sequence of the segment that is never found; 0 if there is none.
    hidden: AtomicU64,
}

#[async_trait]
impl LogLayer for Blind {
    fn below(&self) -> &dyn LogStore {
        &*self.store
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        // A store takes time, in which other requests begin to wait.
        tokio::task::yield_now().await;
        self.store.commit(organisation, commit).await
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        let left = |reads: u32| reads.checked_sub(1);
        let reads = match consistency {
            Consistency::Eventual => &self.reads,
            Consistency::Strong => &self.strong_reads,
        };
        if reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
            return Ok(Vec::new());
        }
        let hidden = self.hidden.load(Ordering::Relaxed);
        let limit = limit.map(|limit| limit + usize::from(hidden > 0));
        let mut found = self.store.range(organisation, range, order, limit, consistency).await?;
        found.retain(|segment| segment.first != hidden);
        found.truncate(limit.map_or(usize::MAX, |limit| limit - usize::from(hidden > 0)));
        Ok(found)
    }
}

struct Fixture {
    store: Arc<Layered<Blind>>,
    clock: Arc<PausedClock>,
    log: Arc<Log>,
    acme: Organisation,
}

impl Fixture {
    fn new() -> Self {
        let (reads, strong_reads, hidden) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU64::new(0));
        let store = Arc::new(Layered(Blind { store: Arc::new(MemoryStore::new()), reads, strong_reads, hidden }));
        let clock = PausedClock::new(sample::START);
        let log = log_on(store.clone(), &clock);
        Self { store, clock, log, acme: sample::organisation("acme") }
    }

    async fn append(&self, count: usize) -> Vec<EventId> {
        let bodies = (0..count).map(|number| sample::body(&number.to_string())).collect();
        self.log.append(&self.acme, bodies, None).await.unwrap().ids().collect()
    }

    fn blind(&self, reads: u32) {
        self.store.0.reads.store(reads, Ordering::Relaxed);
    }

    /// Lets a day pass, with its maintenance, `days` times.
    async fn live(&self, days: u32) {
        for _ in 0..days {
            self.clock.jump(Duration::from_secs(86_400));
            self.log.maintain(&self.acme.id).await.unwrap();
        }
    }

    async fn page(&self, request: PageRequest) -> Result<Page, AuditError> {
        Audit::new(Arc::clone(&self.log)).page(&self.acme, &request, &sample::reader()).await
    }
}

fn log_on(store: Arc<dyn LogStore>, clock: &Arc<PausedClock>) -> Arc<Log> {
    Arc::new(Log::new(store, clock.clone(), SeededEntropy::new(1), AppendPolicy::default()))
}

fn from(start: Start) -> PageRequest {
    PageRequest { start, page_size: 10, ..PageRequest::default() }
}

fn sequences(page: &Page) -> Vec<u64> {
    page.lines.iter().map(|line| line.sequence()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_segment_is_shown_although_a_stale_read_missed_the_segment() {
    for (index, expected) in [(1, vec![2, 3, 4]), (3, vec![4])] {
        for reads in 0..4 {
            let fixture = Fixture::new();
            let ids = fixture.append(4).await;
            fixture.blind(reads);
            assert_eq!(sequences(&fixture.page(from(Start::From(ids[index]))).await.unwrap()), expected);
            fixture.blind(reads);
            let page = fixture.page(from(Start::After(ids[index - 1]))).await.unwrap();
            assert_eq!(sequences(&page)[..expected.len()], expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_does_not_place_a_time_behind_what_was_recorded_since() {
    let fixture = Fixture::new();
    fixture.append(2).await;
    fixture.append(2).await;
    for reads in 0..4 {
        fixture.blind(reads);
        assert_eq!(fixture.log.first_since(&fixture.acme, sample::START).await.unwrap(), 1);
        fixture.blind(reads);
        let page = fixture.page(PageRequest { since: Some(sample::START), ..from(Start::Edge) }).await.unwrap();
        assert_eq!(sequences(&page)[..4], [1, 2, 3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_cursor_is_good_while_the_next_event_is_there_even_if_a_stale_read_misses_it() {
    for reads in 0..4 {
        let fixture = Fixture::new();
        let ids = fixture.append(1).await;
        fixture.live(8).await;
        fixture.append(1).await;
        fixture.blind(reads);
        assert_eq!(sequences(&fixture.page(from(Start::After(ids[0]))).await.unwrap()), [2]);
        let gone = fixture.page(from(Start::From(ids[0]))).await;
        assert!(matches!(gone, Err(AuditError::Place(PlaceError::Expired { .. }))), "{gone:?}");
    }
}

fn is_missing(error: &AuditError) -> bool {
    matches!(error, AuditError::Place(PlaceError::Store(StoreError::Unsafe(Hazard::EventsMissing { .. }))))
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_not_taken_for_expiry_while_the_tail_is_young() {
    for order in [Order::Ascending, Order::Descending] {
        for wrong in 0..8 {
            let fixture = Fixture::new();
            for _ in 0..5 {
                fixture.append(1).await;
            }
            let request = PageRequest { order, ..from(Start::Edge) };
            fixture.blind(wrong);
            fixture.store.0.strong_reads.store(wrong, Ordering::Relaxed);
            match fixture.page(request.clone()).await {
                Ok(page) => assert_eq!(page.lines.len(), 5, "{wrong} wrong answers, {order:?}"),
                Err(error) => assert!(is_missing(&error), "{error:?}"),
            }
            fixture.blind(0);
            fixture.store.0.strong_reads.store(0, Ordering::Relaxed);
            assert!(fixture.page(request).await.unwrap().lines.len() >= 5);
        }
    }
}

/// A store whose answer to one of the reads is empty.
#[derive(Debug)]
struct OneEmptyAnswer {
    store: Arc<dyn LogStore>,
    reads: AtomicU32,
    /// The number of that read, counted from 1.
    empty: u32,
}

#[async_trait]
impl LogLayer for OneEmptyAnswer {
    fn below(&self) -> &dyn LogStore {
        &*self.store
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        if self.reads.fetch_add(1, Ordering::Relaxed) + 1 == self.empty {
            return Ok(Vec::new());
        }
        self.store.range(organisation, range, order, limit, consistency).await
    }
}

/// The log is so old that nothing but the answers tells that events are there.
#[tokio::test(start_paused = true)]
async fn one_empty_answer_places_nothing_in_a_log_wrongly() {
    let fixture = Fixture::new();
    let (month, day) = (RetentionDays::try_from(30).unwrap(), Duration::from_secs(86_400));
    let acme = Organisation { retention: month, longest_retention: month, ..fixture.acme.clone() };
    for _ in 0..9 {
        let bodies = (0..3).map(|number| sample::body(&number.to_string())).collect();
        fixture.log.append(&acme, bodies, None).await.unwrap();
        fixture.live(1).await;
    }
    fixture.live(8).await;
    let at = |days: u32| sample::START.plus(day * days);
    // No search reads more often.
    for empty in 1..=20 {
        let store = OneEmptyAnswer { store: fixture.store.clone(), reads: AtomicU32::new(0), empty };
        let store = Arc::new(Layered(store));
        let log = log_on(store.clone(), &fixture.clock);
        let begin = || store.0.reads.store(0, Ordering::Relaxed);
        assert_eq!(log.first_since(&acme, at(4)).await.unwrap(), 13, "answer {empty}");
        begin();
        assert_eq!(log.first_kept(&acme, at(2), at(32).plus(day / 2)).await.unwrap(), 10, "answer {empty}");
        for consistency in [Consistency::Strong, Consistency::Eventual] {
            begin();
            let mut index = log.segment_index(&acme.id).await.unwrap();
            let places = log.locate(&mut index, &[at(1), at(5), at(7)], consistency).await.unwrap();
            assert_eq!((index.oldest(), places), (Some(at(0)), vec![4, 16, 22]), "answer {empty}, {consistency:?}");
            assert!(store.0.reads.load(Ordering::Relaxed) < 20);
        }
        begin();
        assert_eq!(log.segment_of(&acme.id, 8).await.unwrap(), Some(7), "answer {empty}");
        begin();
        assert!(matches!(log.end_of_segment(&acme.id, 9).await.unwrap(), SegmentEnd::Hash(_)), "answer {empty}");
    }
}

/// Found by shipping's seed 991694018080: a destination left out events that were to expire within the second of its first tick.
#[tokio::test(start_paused = true)]
async fn events_are_kept_up_to_the_whole_second_at_which_they_expire() {
    let fixture = Fixture::new();
    let week = RetentionDays::MIN;
    let acme = Organisation { retention: week, longest_retention: week, ..fixture.acme.clone() };
    let millis = Duration::from_millis;
    fixture.clock.jump(millis(500));
    for _ in 0..2 {
        fixture.log.append(&acme, vec![sample::body("a")], None).await.unwrap();
        fixture.clock.jump(Duration::from_secs(86_400));
    }
    let limit = ReadLimit { events: 1, bytes: 1 << 20 };
    let read = fixture.log.read(&acme.id, 1..=1, None, Order::Ascending, limit).await.unwrap();
    let recorded = read.lines[0].recorded_at;
    assert_ne!(recorded.as_millis() % 1000, 0);
    let expires = Timestamp::from_millis(recorded.plus(week.duration()).as_secs_ceil() * 1000);
    for (until, first) in [(expires.minus(millis(1)), 1), (expires, 2), (expires.plus(millis(1)), 2)] {
        assert_eq!(fixture.log.first_kept(&acme, sample::START, until).await.unwrap(), first, "{until}");
    }
}

/// Between the read that found nothing behind a position within the last segment and the look at the log's end, another
/// writer appended.
#[tokio::test(start_paused = true)]
async fn a_segment_that_was_written_meanwhile_behind_the_range_is_not_missed_in_it() {
    for wrong in 0..4 {
        let fixture = Fixture::new();
        fixture.append(2).await;
        fixture.append(1).await;
        fixture.blind(8);
        fixture.store.0.strong_reads.store(wrong, Ordering::Relaxed);
        let limit = ReadLimit { events: 10, bytes: usize::MAX };
        let read = fixture.log.read(&fixture.acme.id, 2..=2, None, Order::Ascending, limit).await;
        match read {
            Ok(run) => assert!(run.lines.is_empty() && run.ended, "{wrong} wrong answers: {run:?}"),
            // The segment behind was shown and is not found, however often it is looked for.
            Err(error) => assert!(wrong > 2 && matches!(error, StoreError::Unsafe(_)), "{wrong}: {error:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_cannot_have_expired_is_missed_wherever_it_is() {
    for hidden in 1..=5 {
        for order in [Order::Ascending, Order::Descending] {
            let fixture = Fixture::new();
            let mut ids = Vec::new();
            for _ in 0..5 {
                ids.extend(fixture.append(1).await);
            }
            fixture.store.0.hidden.store(hidden, Ordering::Relaxed);
            let read = fixture.page(PageRequest { order, ..from(Start::Edge) }).await;
            if hidden > 1 {
                assert!(is_missing(&read.unwrap_err()), "{hidden}, {order:?}");
                // A page that begins right there, after events that were read before.
                let index = usize::try_from(hidden).unwrap() - 2;
                let read =
                    fixture.page(PageRequest { order: Order::Ascending, ..from(Start::After(ids[index])) }).await;
                assert!(is_missing(&read.unwrap_err()), "{hidden}");
            } else {
                // Nothing before it says how old it was.
                assert_eq!(sequences(&read.unwrap()).len(), 4);
            }
        }
    }
}

/// Two requests are merged; their writer crashes while the store has not answered, or has answered that it does not
/// know; whoever is left hears that nothing is known, and never that nothing was recorded.
#[tokio::test(start_paused = true)]
async fn who_waited_behind_a_crashed_writer_is_not_told_that_nothing_was_recorded() {
    let store = Arc::new(MemoryStore::new());
    let clock = PausedClock::new(sample::START);
    let acme = sample::organisation("acme");
    // The first append keeps the turn, so that the next two meet; the commit of those two is made, and never answered.
    let commits = AtomicU32::new(0);
    let faulty = FaultyStore::new(Arc::clone(&store), move |call| {
        let is_second = call.name == "commit" && commits.fetch_add(1, Ordering::Relaxed) == 1;
        is_second.then_some(Fault::CrashAfter)
    });
    let distant = annals_tests::latency::LatencyStore::new(faulty, clock.clone(), Duration::from_millis(5), None);
    let log = log_on(distant, &clock);
    let deadline = AppendPolicy::default().deadline;
    let append = async |label: &str, patience: Duration| {
        tokio::select! {
            biased;
            result = log.append(&acme, vec![sample::body(label)], None) => Some(result),
            () = clock.sleep(patience) => None,
        }
    };
    let second = deadline + Duration::from_millis(100);
    let (first, leader, follower) =
        tokio::join!(append("first", 2 * deadline), append("leader", second), append("follower", 2 * deadline),);
    assert!(first.unwrap().is_ok());
    assert!(leader.is_none(), "it was dropped");
    assert_eq!(store.journal(&acme.id).iter().map(|segment| segment.count).collect::<Vec<_>>(), [1, 2]);
    assert!(matches!(follower, Some(Err(AppendError::Unavailable(_)))), "{follower:?}");
}

/// A commit is made, and its writer is gone before the answer comes. The next writer sends the commit again, and the store
/// refuses that because of load.
#[tokio::test(start_paused = true)]
async fn what_a_writer_that_is_gone_has_recorded_is_not_recorded_again_elsewhere() {
    for refusal in [Fault::Throttled, Fault::Busy] {
        let store = Arc::new(MemoryStore::new());
        let clock = PausedClock::new(sample::START);
        let acme = sample::organisation("acme");
        let commits = AtomicU32::new(0);
        let faulty = FaultyStore::new(Arc::clone(&store), move |call| {
            let faults = [Some(Fault::CrashAfter), Some(refusal)];
            let number = (call.name == "commit").then(|| commits.fetch_add(1, Ordering::Relaxed) as usize)?;
            faults.get(number).copied().flatten()
        });
        let log = log_on(faulty, &clock);
        tokio::select! {
            biased;
            answer = log.append(&acme, vec![sample::body("gone")], None) => panic!("{answer:?}"),
            () = clock.sleep(Duration::from_secs(1)) => {}
        }
        log.append(&acme, vec![sample::body("next")], None).await.unwrap();
        let journal = store.journal(&acme.id);
        let lines = journal.iter().flat_map(|segment| segment.lines(&acme.id).unwrap());
        let labels: Vec<_> = lines.filter_map(|line| sample::label(&line.text)).collect();
        assert_eq!(labels, ["gone", "next"], "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_sequence_0_is_unknown_in_either_order() {
    let fixture = Fixture::new();
    fixture.append(1).await;
    let zero = EventId::new(&fixture.acme.id, Timestamp::EPOCH, 0, 0);
    for start in [Start::From(zero), Start::After(zero)] {
        for order in [Order::Ascending, Order::Descending] {
            let page = fixture.page(PageRequest { order, ..from(start) }).await;
            assert!(matches!(page, Err(AuditError::Place(PlaceError::Unknown))), "{page:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bound_that_lies_ahead_does_not_have_a_page_show_its_own_read() {
    let fixture = Fixture::new();
    fixture.append(3).await;
    let ahead = EventId::new(&fixture.acme.id, fixture.clock.now(), 1_000_000, 0);
    for _ in 0..3 {
        let page =
            fixture.page(PageRequest { through: Some(ahead), page_size: 1000, ..from(Start::Edge) }).await.unwrap();
        let own = fixture.log.tail(&fixture.acme.id).await.unwrap().last;
        assert_eq!(sequences(&page), (1..own).collect::<Vec<_>>());
        assert_eq!(page.next, None);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_written_together_keep_who_recorded_each() {
    let fixture = Fixture::new();
    let callers = ["token/0123456789AB", "token/BA9876543210", "platform", "session/0123456789ab", "annals"];
    let append = |caller: &'static str| {
        let body = sample::recorded_by(&caller.parse().unwrap(), caller);
        fixture.log.append(&fixture.acme, vec![body.clone(), body], None)
    };
    let receipts = futures_util::future::join_all(callers.map(append)).await;
    let segments: Vec<u64> =
        receipts.into_iter().map(|receipt| receipt.unwrap().ids().next().unwrap().segment()).collect();
    assert_eq!(segments, [1, 3, 3, 3, 9], "what waits for the first is merged, but for Annals' own events");
    let page = fixture.page(from(Start::Edge)).await.unwrap();
    for (line, caller) in page.lines.iter().zip(callers.into_iter().flat_map(|caller| [caller, caller])) {
        let line: serde_json::Value = serde_json::from_str(&line.text).unwrap();
        assert_eq!((&line["recordedBy"], &line["entity"]["id"]), (&caller.into(), &caller.into()));
    }
    assert_eq!(page.lines.len(), 10);
}

/// A quiet organisation whose every segment has expired and is deleted, in any order, goes on behind its anchor.
#[tokio::test(start_paused = true)]
async fn numbers_are_not_used_again_after_everything_expired() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1], [3, 1, 2]] {
        let fixture = Fixture::new();
        for _ in 0..3 {
            fixture.append(1).await;
        }
        let hash = fixture.log.tail(&fixture.acme.id).await.unwrap().hash;
        fixture.live(40).await;
        for first in order {
            assert_eq!(fixture.log.tail(&fixture.acme.id).await.unwrap().last, 3);
            assert_eq!(fixture.store.0.store.expire(fixture.clock.now(), |_, segment| segment == first), 1);
        }
        assert_eq!(fixture.append(1).await[0].sequence(), 4);
        assert_eq!(fixture.store.0.store.journal(&fixture.acme.id)[3].previous_hash, hash, "the chain goes on");
    }
}

/// A group that lost its place was taken for unchanged when one of its callers had left and another had come. Then the
/// segment had the event of the one and the hash of the other.
#[tokio::test(start_paused = true)]
async fn a_caller_who_joins_a_group_is_not_taken_for_one_who_has_left_it() {
    let clock = PausedClock::new(sample::START);
    let memory = Arc::new(MemoryStore::new());
    let far = LatencyStore::new(memory.clone(), clock.clone(), Duration::from_millis(10), None);
    let entropy = SeededEntropy::new(1);
    let log = Log::new(far, clock.clone(), entropy.fork(), AppendPolicy::default());
    let rival = Log::new(memory.clone(), clock.clone(), entropy.fork(), AppendPolicy::default());
    let acme = sample::organisation("acme");
    let append = async |log: &Log, after: u64, label: &str| {
        clock.sleep(Duration::from_millis(after)).await;
        log.append(&acme, vec![sample::body(label)], None).await.unwrap().ids().next().unwrap().sequence()
    };
    let leaves = async {
        tokio::select! {
            biased;
            _ = append(&log, 3, "leaves") => panic!("it was answered"),
            () = clock.sleep(Duration::from_millis(23)) => {}
        }
    };
    // The first append takes until 20 ms. Those that have come are sent together then, and the rival is there before them.
    let places = tokio::join!(
        append(&log, 0, "first"),
        append(&log, 2, "stays"),
        leaves,
        append(&rival, 22, "rival"),
        append(&log, 24, "joins"),
    );
    let mut labels = Vec::new();
    for segment in memory.journal(&acme.id) {
        labels.extend(segment.lines(&acme.id).unwrap().iter().map(|line| sample::label(&line.text).unwrap()));
    }
    let (first, stays, (), rival, joins) = places;
    for (place, label) in [(first, "first"), (stays, "stays"), (rival, "rival"), (joins, "joins")] {
        assert_eq!(labels[place as usize - 1], label, "{labels:?}");
    }
}
