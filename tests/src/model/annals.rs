//! The log of Annals as a subject of the model test, with the promises that only it makes: hash chain, IDs, times,
//! pages in either direction, expiry. Several processes share one store that fails, answers late and reads stale.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use annals_core::{
    audit::{Audit, AuditError, PageRequest, Resume, Start},
    change::Change,
    event::Body,
    id::EventId,
    log::{
        Log,
        append::{AppendError, AppendPolicy, IdempotencyKey, Outcome, Receipt},
        rate::AppendLimits,
        read::{PlaceError, ReadLimit},
        segment::{LineHash, Segment, Tail},
        store::{Consistency, Order, StoreError},
    },
    organisation::{Organisation, OrganisationId, RetentionDays},
    registry::Registry as _,
    time::{Clock, Timestamp},
};
use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use crate::{
    clock::{AheadClock, BehindClock},
    entropy::SeededEntropy,
    faulty::{Fault, FaultyStore},
    latency::{Jitter, LatencyStore},
    memory::{EmptyAnswers, MemoryStore, Staleness},
    partition::PartitionLimits,
    sample,
};

use super::{Answer, Batch, DEADLINE, LATE, Polled, Promise, Recorded, Refusals, Subject, Surroundings, Violation};

const WRITERS: usize = 3;
/// How long a writer may not know of a change of an organisation.
const OLD_NEWS: Duration = Duration::from_secs(5);
/// The probability that the process freezes in the middle of an append.
const FREEZES: f64 = 0.05;
/// The longest time for which a process is frozen.
const LONGEST_FREEZE: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy)]
pub struct World {
    /// The probability that a call of the store fails.
    pub faults: f64,
    /// The probability that an eventually consistent read is stale.
    pub staleness: f64,
    /// The probability that an answer of segments is empty by mistake.
    pub emptiness: f64,
    pub load: Load,
}

/// What the logs can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Everything.
    Any,
    /// A partition has little throughput, a transaction takes time, and appends have a rate limit.
    Limited,
}

#[derive(Debug)]
pub struct Annals {
    surroundings: Surroundings,
    load: Load,
    is_healed: AtomicBool,
    store: Arc<MemoryStore>,
    faulty: Vec<Arc<FaultyStore<MemoryStore>>>,
    writers: Vec<Mutex<Arc<Log>>>,
    frozen: Mutex<Vec<Frozen>>,
    reader: Arc<Log>,
    /// A process without latency and faults, but with stale reads, used while nothing else happens.
    inspector: Arc<Log>,
    id: OrganisationId,
    other: Organisation,
    /// Recent versions of the organisation, each with the time at which it was first seen.
    lately: Mutex<Vec<(Timestamp, Organisation)>>,
    recorded: Mutex<Vec<Recorded>>,
}

/// A process that freezes in the middle of an append.
#[derive(Debug)]
struct Frozen {
    store: Arc<FaultyStore<MemoryStore>>,
    append: JoinHandle<()>,
}

#[derive(Debug, Clone)]
pub enum Cursor {
    /// Follows the links of the audit API.
    Pages(Links),
    /// Reads the log from this sequence on.
    Log(u64),
}

/// The state of a reader of pages.
#[derive(Debug, Clone)]
pub struct Links {
    start: Start,
    /// The page size.
    through: Option<EventId>,
    /// The last event that it saw.
    last: Option<EventId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    No,
    AnyMoment,
    Yes,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn disagree(detail: impl Into<String>) -> Violation {
    Violation::new(Promise::ReadsAgree, detail)
}

fn misjudged(detail: impl Into<String>) -> Violation {
    Violation::new(Promise::IdsJudged, detail)
}

/// A failure of the store is not a violation, unless it claims that stored data is malformed.
fn tolerate(error: &StoreError) -> Result<(), Violation> {
    match error {
        StoreError::Broken(source) => Err(disagree(format!("the log takes the store for broken: {source}"))),
        StoreError::Unsafe(hazard) => Err(disagree(format!("the log takes itself for unsafe: {hazard}"))),
        StoreError::Operator(fault) => Err(disagree(format!("the log takes the deployment for incomplete: {fault}"))),
        StoreError::Throttled(_) | StoreError::Unavailable(_) => Ok(()),
    }
}

impl Annals {
    /// Two organisations, three writing processes and a reading one.
    pub async fn start(surroundings: Surroundings, world: World) -> Self {
        let Surroundings { clock, entropy } = surroundings.clone();
        let mut store = MemoryStore::new()
            .with_page(*entropy.pick(&[1, 2, 3, 7, 1000]))
            .with_clock(Arc::clone(&clock) as Arc<dyn Clock>)
            .with_staleness(Staleness {
                chance: world.staleness,
                window: Duration::from_secs(2),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                entropy: entropy.fork(),
            })
            .with_empty_answers(EmptyAnswers {
                chance: world.emptiness,
                apart: Duration::from_secs(1),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                entropy: entropy.fork(),
            });
        if world.load == Load::Limited {
            store = store.with_limits(PartitionLimits {
                write_units_per_second: 40.0,
                read_units_per_second: 100.0,
                transaction: Duration::from_millis(20),
                ..PartitionLimits::of_aws(clock.clone())
            });
        }
        let store = Arc::new(store);
        let faulty: Vec<_> = (0..=WRITERS)
            .map(|_| {
                let clock = Arc::clone(&clock) as Arc<dyn Clock>;
                FaultyStore::seeded(Arc::clone(&store), world.faults, LATE / 2, clock, entropy.fork())
            })
            .collect();
        let writers = (0..WRITERS).map(|writer| {
            let ahead = Duration::from_millis(20 * writer as u64);
            let clock = AheadClock::new(Arc::clone(&clock) as Arc<dyn Clock>, ahead);
            Mutex::new(distant_log(&faulty[writer], clock, &entropy, world.load))
        });
        let writers = writers.collect();
        let reader = distant_log(&faulty[WRITERS], Arc::clone(&clock) as Arc<dyn Clock>, &entropy, world.load);
        let inspector = Arc::new(Log::new(Arc::clone(&store) as _, Arc::clone(&clock) as _, entropy.fork(), policy()));
        let (own, other) = (sample::organisation("acme"), sample::organisation("umbrella"));
        for organisation in [&own, &other] {
            let change = Change::CreateOrganisation(organisation.clone());
            inspector.append_change(organisation, sample::body("created"), change).await.unwrap();
        }
        Self {
            surroundings,
            load: world.load,
            is_healed: AtomicBool::new(false),
            store,
            faulty,
            writers,
            frozen: Mutex::default(),
            reader,
            inspector,
            id: own.id,
            other,
            lately: Mutex::default(),
            recorded: Mutex::default(),
        }
    }

    fn now(&self) -> Timestamp {
        self.surroundings.clock.now()
    }

    fn chance(&self) -> &SeededEntropy {
        &self.surroundings.entropy
    }

    fn writer(&self, writer: usize) -> Arc<Log> {
        Arc::clone(&lock(&self.writers[writer]))
    }

    /// The current organisation.
    async fn current(&self) -> Organisation {
        let current = self.store.organisation(&self.id, Consistency::Strong).await.unwrap().unwrap();
        let mut lately = lock(&self.lately);
        if lately.last().is_none_or(|(_, last)| last.version != current.version) {
            lately.push((self.now(), current.clone()));
        }
        current
    }

    /// The organisation as a process may know it: the current or a recent version.
    async fn known(&self) -> Organisation {
        let current = self.current().await;
        let lately = lock(&self.lately);
        match lately.as_slice() {
            [.., (_, before), (since, _)] if self.now().since(*since) < OLD_NEWS && self.chance().happens(0.5) => {
                before.clone()
            }
            _ => current,
        }
    }

    /// A process of its own begins an append and may freeze in the middle of it. Its client gets no answer.
    ///
    /// Keys are left out: a key may be used again before the process goes on. `keys` has that.
    fn append_and_freeze(&self, organisation: Organisation, bodies: Vec<Body>) -> Answer {
        let chance = self.chance();
        let store = FaultyStore::nth(Arc::clone(&self.store), chance.between(1, 3), Fault::Frozen);
        let log = distant_log(&store, Arc::clone(&self.surroundings.clock) as Arc<dyn Clock>, chance, self.load);
        let append = tokio::spawn(async move { drop(log.append(&organisation, bodies, None).await) });
        lock(&self.frozen).push(Frozen { store, append });
        Answer::Unknown
    }

    fn segments(&self) -> Vec<Arc<Segment>> {
        self.store.journal(&self.id)
    }

    /// All recorded events. Index i has sequence i + 1 unless that promise is broken.
    fn refresh(&self) -> MutexGuard<'_, Vec<Recorded>> {
        let mut recorded = lock(&self.recorded);
        let known = recorded.last().map_or(0, |event| event.sequence);
        for segment in self.segments().iter().filter(|segment| segment.first > known) {
            let expires_at = Timestamp::from_millis(segment.expires_at * 1000);
            for line in segment.lines(&self.id).unwrap() {
                let (sequence, label) = (line.sequence(), sample::label(&line.text));
                let label = label.filter(|label| label != "created");
                recorded.push(Recorded { sequence, label, text: line.text, expires_at });
            }
        }
        recorded
    }

    /// Checks a receipt against the store.
    fn verify(&self, receipt: &Receipt, batch: &Batch) -> Result<Vec<u64>, Violation> {
        let ids: Vec<EventId> = receipt.ids().collect();
        let segments = self.segments();
        let contents = self.refresh();
        let lost = |detail: String| Err(Violation::new(Promise::NothingLost, detail));
        if ids.len() != batch.labels.len() {
            return lost(format!("{} ids for {} events", ids.len(), batch.labels.len()));
        }
        for (id, label) in ids.iter().zip(&batch.labels) {
            let segment = segments.iter().find(|segment| segment.first == id.segment());
            let holds = segment
                .is_some_and(|s| s.recorded_at == id.recorded_at() && id.index() < s.count && id.is_of(&self.id));
            let there = contents
                .get(usize::try_from(id.sequence()).unwrap() - 1)
                .is_some_and(|e| e.label.as_ref() == Some(label));
            if !holds || !there {
                return lost(format!("{label} is not at {id}, sequence {}", id.sequence()));
            }
        }
        if let Outcome::Recorded { before } = receipt.outcome {
            let first = ids[0].sequence();
            if before.map_or(0, EventId::sequence) != first - 1 {
                return Err(Violation::new(Promise::Dense, format!("before {first} is not {before:?}")));
            }
        }
        Ok(ids.iter().map(|id| id.sequence()).collect())
    }

    /// A page of the audit API. Any process serves it, so its audit event may be merged with appends of others.
    async fn page(&self, links: &Links) -> Result<Option<Polled<Cursor>>, Violation> {
        let organisation = self.known().await;
        let chance = self.chance();
        let page_size = *chance.pick(&[1, 2, 3, 5, 20]);
        let log = match chance.below(2 * WRITERS) {
            writer @ 0..WRITERS => self.writer(writer),
            _ => Arc::clone(&self.reader),
        };
        let mut links = links.clone();
        if let Some(last) = links.last.filter(|_| chance.happens(0.2)) {
            // It begins again from the last event that it kept.
            links.start = if chance.happens(0.5) { Start::From(last) } else { Start::After(last) };
            links.through = None;
        }
        let Links { start, through, last } = links;
        let request = PageRequest { start, through, page_size, ..PageRequest::default() };
        let was_due = self.is_due(start);
        let page = Audit::new(log).page(&organisation, &request, &sample::reader()).await;
        let is_due = self.is_due(start);
        match page {
            Ok(_) if was_due == Due::Yes => Err(misjudged(format!("{start:?} has expired and was not refused"))),
            Ok(page) => {
                if page.lines.len() > page_size {
                    return Err(disagree("a page is longer than was asked for"));
                }
                let seen = last.map_or(0, EventId::sequence);
                let lines: Vec<_> = page.lines.into_iter().filter(|line| line.sequence() > seen).collect();
                let last = lines.last().map(|line| line.id).or(last);
                let events = lines.into_iter().map(|line| line.text).collect();
                let (start, through) = match (page.next, page.resume) {
                    (Some(next), _) => (Start::From(next), page.through),
                    (None, Resume::Onward(start)) => (start, None),
                    (None, Resume::NextPage) => return Err(disagree("a page leads to a next one that is missing")),
                };
                Ok(Some(Polled { events, cursor: Cursor::Pages(Links { start, through, last }) }))
            }
            Err(AuditError::Place(PlaceError::Expired { .. })) if is_due == Due::No => {
                Err(misjudged(format!("{start:?} was refused, and nothing was missed")))
            }
            Err(AuditError::Place(PlaceError::Expired { oldest })) => {
                let start = oldest.map_or(Start::Edge, Start::From);
                // The event that it kept is deleted.
                let cursor = Cursor::Pages(Links { start, through: None, last });
                Ok(Some(Polled { events: Vec::new(), cursor }))
            }
            Err(AuditError::Place(PlaceError::Unknown | PlaceError::Lost { .. })) => {
                Err(misjudged(format!("{start:?} is an event")))
            }
            Err(AuditError::Place(PlaceError::Store(error))) => tolerate(&error).map(|()| None),
            Err(AuditError::Record(AppendError::Unavailable(error))) => tolerate(&error).map(|()| None),
            Err(AuditError::Record(AppendError::Contended | AppendError::RateLimited(_))) => Ok(None),
            Err(AuditError::Record(error)) => Err(disagree(format!("a read could not be recorded: {error}"))),
        }
    }

    /// Whether a page from there must be refused because an event on it has expired.
    fn is_due(&self, start: Start) -> Due {
        match start {
            Start::Edge => Due::No,
            Start::From(id) => self.due(id.sequence()),
            Start::After(id) => self.due(id.sequence()).min(self.due(id.sequence() + 1)),
        }
    }

    /// Whether an event has expired.
    fn due(&self, sequence: u64) -> Due {
        let now = self.now();
        let recorded = self.refresh();
        let Some(event) = recorded.get(usize::try_from(sequence).unwrap() - 1) else { return Due::No };
        // For processes whose clocks are ahead, events expire a little earlier.
        let soon = now.plus(Duration::from_secs(1));
        match event.expires_at {
            at if at <= now => Due::Yes,
            at if at <= soon => Due::AnyMoment,
            _ => Due::No,
        }
    }

    /// A process whose clock is far off records nothing, and its maintenance does no harm.
    async fn use_a_wrong_clock(&self, writer: usize) -> Result<(), Violation> {
        let (right, chance) = (Arc::clone(&self.surroundings.clock) as Arc<dyn Clock>, self.chance());
        let by = *chance.pick(&[
            Duration::from_secs(3600),
            Duration::from_secs(30 * 86_400),
            Duration::from_secs(365 * 86_400),
        ]);
        let clock: Arc<dyn Clock> =
            if chance.happens(0.5) { AheadClock::new(right, by) } else { BehindClock::new(right, by) };
        let log = distant_log(&self.faulty[writer], clock, chance, self.load);
        let organisation = self.known().await;
        if let Ok(receipt) = log.append(&organisation, vec![sample::body("other")], None).await {
            return Err(disagree(format!("{receipt:?} was recorded by a clock that is off by {by:?}")));
        }
        let _ = log.maintain(&self.id).await;
        Ok(())
    }

    /// Reads everything in every way.
    async fn inspect_everything(&self) -> Result<(), Violation> {
        let now = self.now();
        let live: Vec<(u64, String)> = self
            .contents()
            .into_iter()
            .filter(|event| event.expires_at > now)
            .map(|event| (event.sequence, event.text))
            .collect();
        self.inspect_chain().await?;
        let segments = self.segments();
        let tail = segments.last().map_or(0, |segment| segment.last());
        self.inspect_reads(&live, tail).await?;
        let chance = self.chance();
        let since = chance.pick(&segments).recorded_at.plus(Duration::from_millis(chance.between(0, 1)));
        self.inspect_times(since, &live).await?;
        self.inspect_ids().await?;
        let since = chance.happens(0.6).then_some(since);
        self.inspect_pages(&live, since).await
    }

    async fn inspect_chain(&self) -> Result<(), Violation> {
        let broken = |sequence: u64| Err(Violation::new(Promise::Chained, format!("at sequence {sequence}")));
        let mut previous = LineHash::ORIGIN.to_string();
        for event in self.contents() {
            let line: serde_json::Value = serde_json::from_str(&event.text).unwrap();
            if line["previousHash"] != previous.as_str() || line["sequence"] != event.sequence {
                return broken(event.sequence);
            }
            previous = hex::encode(Sha256::digest(event.text.as_bytes()));
        }
        let longest = self.current().await.longest_retention.duration();
        let mut tail = Tail::ORIGIN;
        for segment in self.segments() {
            let kept = Timestamp::from_millis(segment.expires_at * 1000).since(segment.recorded_at);
            let most = longest + Duration::from_secs(1);
            if segment.recorded_at <= tail.recorded_at || kept < RetentionDays::MIN.duration() || kept > most {
                let detail = format!("the segment at {} is kept {kept:?}", segment.first);
                return Err(Violation::new(Promise::TimesRise, detail));
            }
            if segment.previous_hash != tail.hash {
                return broken(segment.first);
            }
            tail = segment.tail();
        }
        // An anchor does not have the state of the rate limit.
        let found = Tail { rate: tail.rate, ..self.inspector.tail(&self.id).await.unwrap() };
        if found == tail { Ok(()) } else { Err(disagree(format!("the tail is {tail:?}, not {found:?}"))) }
    }

    /// Reads a range in either order, in portions, and compares it with the store.
    async fn inspect_reads(&self, live: &[(u64, String)], tail: u64) -> Result<(), Violation> {
        let segments = self.segments();
        let chance = self.chance();
        for order in [Order::Ascending, Order::Descending] {
            let (low, high) = if chance.happens(0.5) {
                (1, tail)
            } else {
                let low = chance.between(1, tail);
                (low, chance.between(low, tail))
            };
            let mut expected: Vec<&(u64, String)> = live.iter().filter(|(at, _)| (low..=high).contains(at)).collect();
            if order == Order::Descending {
                expected.reverse();
            }
            let (mut from, mut to) = (low, high);
            let mut segment = segments.iter().find(|s| (s.first..=s.last()).contains(&low)).map(|s| s.first);
            let mut found = Vec::new();
            loop {
                let events = usize::try_from(chance.between(1, 30)).unwrap();
                let bytes = if chance.happens(0.3) { 2000 } else { usize::MAX };
                let limit = ReadLimit { events, bytes };
                let run = self.inspector.read(&self.id, from..=to, segment, order, limit).await;
                let run = run.map_err(|error| disagree(format!("{low}..={high} {order:?}: {error:?}")))?;
                found.extend(run.lines.into_iter().map(|line| (line.sequence(), line.text)));
                match order {
                    Order::Ascending => (from, segment) = (run.at, None),
                    Order::Descending => to = run.at,
                }
                if run.ended {
                    break;
                }
            }
            if !found.iter().eq(expected.iter().copied()) {
                let at = found.iter().zip(&expected).position(|(found, expected)| found != *expected);
                return Err(disagree(format!(
                    "{low}..={high} {order:?}: {} lines instead of {}, the first other at {at:?}",
                    found.len(),
                    expected.len()
                )));
            }
        }
        Ok(())
    }

    /// Follows the pages of the audit API in either order, with or without a start time, and compares them with the
    /// store.
    async fn inspect_pages(&self, live: &[(u64, String)], since: Option<Timestamp>) -> Result<(), Violation> {
        let organisation = self.current().await;
        let audit = Audit::new(Arc::clone(&self.inspector));
        for order in [Order::Ascending, Order::Descending] {
            let before = self.segments();
            let own_before = before.last().map_or(0, |segment| segment.last());
            let page_size = usize::try_from(self.chance().between(1, 40)).unwrap();
            let mut request = PageRequest { since, order, page_size, ..PageRequest::default() };
            let mut found = Vec::new();
            loop {
                let page = audit.page(&organisation, &request, &sample::reader()).await;
                let page = page.map_err(|error| disagree(format!("{request:?}: {error:?}")))?;
                found.extend(page.lines.into_iter().map(|line| (line.sequence(), line.text)));
                let Some(next) = page.next else { break };
                request = PageRequest { start: Start::From(next), through: page.through, ..request };
            }
            let is_since = |sequence: u64| {
                let segment = before.iter().find(|s| (s.first..=s.last()).contains(&sequence));
                segment.is_some_and(|segment| since.is_none_or(|since| segment.recorded_at >= since))
            };
            // The audit events of the ascending reads precede the descending reads.
            let contents = self.contents();
            let mut expected: Vec<(u64, String)> = live.to_vec();
            let later = contents.into_iter().filter(|e| e.sequence > live.last().map_or(0, |l| l.0));
            expected.extend(
                later.filter(|e| e.sequence <= own_before && e.expires_at > self.now()).map(|e| (e.sequence, e.text)),
            );
            expected.retain(|(sequence, _)| is_since(*sequence));
            if order == Order::Descending {
                expected.reverse();
            }
            if found != expected {
                let sequences = |lines: &[(u64, String)]| lines.iter().map(|line| line.0).collect::<Vec<_>>();
                return Err(disagree(format!(
                    "pages of {page_size} {order:?} since {since:?}: {:?} instead of {:?}",
                    sequences(&found),
                    sequences(&expected)
                )));
            }
        }
        Ok(())
    }

    async fn inspect_times(&self, since: Timestamp, live: &[(u64, String)]) -> Result<(), Violation> {
        let organisation = self.current().await;
        let segments = self.segments();
        let found = self.inspector.first_since(&organisation, since).await.unwrap();
        let is_live = |segment: &Arc<Segment>| live.iter().any(|(sequence, _)| *sequence == segment.first);
        let early = segments.iter().filter(|s| s.recorded_at < since && is_live(s)).map(|s| s.last()).max();
        let right = segments.iter().filter(|s| s.recorded_at >= since && is_live(s)).map(|s| s.first).min();
        let behind = segments.last().map_or(1, |segment| segment.last() + 1);
        let fits = early.is_none_or(|early| found > early) && found <= right.unwrap_or(behind);
        let exact = right.is_none()
            || found == right.unwrap_or(behind)
            || {
                // An expired event may be between them.
                segments.iter().any(|s| s.recorded_at >= since && s.first == found && !is_live(s))
            }
            || segments.iter().any(|s| s.first >= found && s.first < right.unwrap_or(behind) && !is_live(s));
        if fits && exact {
            Ok(())
        } else {
            Err(disagree(format!("first since {since}: {found}, not between {early:?} and {right:?}")))
        }
    }

    async fn inspect_ids(&self) -> Result<(), Violation> {
        let organisation = self.current().await;
        let segments = self.segments();
        let contents = self.contents();
        let now = self.now();
        let oldest = contents.iter().find(|event| event.expires_at > now).map(|event| event.sequence);
        let chance = self.chance();
        for _ in 0..5 {
            let segment = chance.pick(&segments);
            let id = |at, first, index| EventId::new(&self.id, at, first, index);
            let index = u16::try_from(chance.below(usize::from(segment.count))).unwrap();
            let real = id(segment.recorded_at, segment.first, index);
            let expired = segment.is_expired(now);
            match self.inspector.event(&organisation, real).await {
                Ok(line)
                    if !expired && contents.iter().any(|e| e.sequence == real.sequence() && e.text == line.text) => {}
                Err(PlaceError::Expired { oldest: None }) if expired => {}
                Err(PlaceError::Expired { oldest: Some(id) }) if expired && Some(id.sequence()) == oldest => {}
                other => return Err(misjudged(format!("{real}, expired: {expired}, gives {other:?}"))),
            }
            let wrong = [
                id(segment.recorded_at.plus(Duration::from_millis(1)), segment.first, index),
                id(segment.recorded_at, segment.first, segment.count),
                id(segment.recorded_at, segment.first + u64::from(segment.count), 999),
                id(segment.recorded_at, 0, 0),
            ];
            for id in wrong {
                match self.inspector.event(&organisation, id).await {
                    Err(PlaceError::Unknown) => {}
                    // A deleted event cannot be told from one that never existed.
                    Err(PlaceError::Expired { .. }) if expired => {}
                    other => return Err(misjudged(format!("{id} never was and gives {other:?}"))),
                }
            }
        }
        let others = self.store.journal(&self.other.id);
        let foreign = EventId::new(&self.other.id, others[0].recorded_at, others[0].first, 0);
        let tail = self.inspector.tail(&self.id).await.unwrap();
        let future = EventId::new(&self.id, now, tail.last + 1, 0);
        let audit = Audit::new(Arc::clone(&self.inspector));
        for id in [foreign, future] {
            let single = self.inspector.event(&organisation, id).await;
            if !matches!(single, Err(PlaceError::Unknown)) {
                return Err(misjudged(format!("{id} is no event of this log, but the read returned {single:?}")));
            }
            for (start, order) in [
                (Start::From(id), Order::Ascending),
                (Start::After(id), Order::Ascending),
                (Start::From(id), Order::Descending),
                (Start::After(id), Order::Descending),
            ] {
                let request = PageRequest { start, order, page_size: 3, ..PageRequest::default() };
                let page = audit.page(&organisation, &request, &sample::reader()).await;
                if !matches!(page, Err(AuditError::Place(PlaceError::Unknown))) {
                    return Err(misjudged(format!(
                        "{start:?} {order:?} is no place of this log, but the page is {page:?}"
                    )));
                }
            }
        }
        let after = self.inspector.tail(&self.id).await.unwrap();
        if after == tail { Ok(()) } else { Err(misjudged("a read that was refused was recorded")) }
    }
}

fn policy() -> AppendPolicy {
    AppendPolicy { deadline: DEADLINE, ..AppendPolicy::default() }
}

fn distant_log(
    store: &Arc<FaultyStore<MemoryStore>>,
    clock: Arc<dyn Clock>,
    entropy: &SeededEntropy,
    load: Load,
) -> Arc<Log> {
    let jitter = Jitter::new(0.9, entropy.fork());
    let store = LatencyStore::new(Arc::clone(store), Arc::clone(&clock), Duration::from_millis(5), Some(jitter));
    let log = Log::new(store, clock, entropy.fork(), policy());
    if load == Load::Limited {
        log.limit_appends(AppendLimits::default());
    }
    Arc::new(log)
}

#[async_trait]
impl Subject for Annals {
    type Cursor = Cursor;

    fn writers(&self) -> usize {
        WRITERS
    }

    fn knows_keys(&self) -> bool {
        true
    }

    async fn append(&self, writer: usize, batch: &Batch) -> Result<Answer, Violation> {
        let organisation = self.known().await;
        let bodies =
            batch.labels.iter().map(|label| sample::body_with(label, &sample::ballast(label, batch.ballast))).collect();
        if batch.key.is_none() && self.chance().happens(FREEZES) {
            return Ok(self.append_and_freeze(organisation, bodies));
        }
        let key = batch.key.as_ref().map(|key| IdempotencyKey::parse(key.as_bytes()).unwrap());
        match self.writer(writer).append(&organisation, bodies, key).await {
            Ok(receipt) => {
                let sequences = self.verify(&receipt, batch)?;
                Ok(match receipt.outcome {
                    Outcome::Recorded { .. } => Answer::Recorded(sequences),
                    Outcome::Replayed => Answer::Replayed(sequences),
                })
            }
            Err(AppendError::KeyReused) => Ok(Answer::KeyReused),
            Err(AppendError::Unavailable(error)) => tolerate(&error).map(|()| Answer::Unknown),
            Err(AppendError::Unsafe(hazard)) => tolerate(&hazard.into()).map(|()| Answer::Nothing),
            Err(
                AppendError::Conflict(_) | AppendError::TooLarge | AppendError::RateLimited(_) | AppendError::Contended,
            ) => Ok(Answer::Nothing),
        }
    }

    fn readers(&self) -> Vec<Cursor> {
        let pages = Cursor::Pages(Links { start: Start::Edge, through: None, last: None });
        vec![pages.clone(), pages, Cursor::Log(1)]
    }

    async fn poll(&self, cursor: &Cursor) -> Result<Option<Polled<Cursor>>, Violation> {
        match cursor {
            Cursor::Pages(links) => self.page(links).await,
            Cursor::Log(at) => {
                let events = usize::try_from(self.chance().between(1, 50)).unwrap();
                let limit = ReadLimit { events, bytes: usize::MAX };
                match self.reader.read(&self.id, *at..=u64::MAX, None, Order::Ascending, limit).await {
                    Ok(run) => Ok(Some(Polled {
                        events: run.lines.into_iter().map(|line| line.text).collect(),
                        cursor: Cursor::Log(run.at),
                    })),
                    Err(error) => tolerate(&error).map(|()| None),
                }
            }
        }
    }

    fn contents(&self) -> Vec<Recorded> {
        self.refresh().clone()
    }

    async fn meddle(&self) -> Result<(), Violation> {
        let chance = self.chance();
        let writer = chance.below(WRITERS);
        match chance.below(5) {
            0 => {
                // The process ends and another one takes over.
                let ahead = Duration::from_millis(20 * writer as u64);
                let clock = AheadClock::new(Arc::clone(&self.surroundings.clock) as Arc<dyn Clock>, ahead);
                *lock(&self.writers[writer]) = distant_log(&self.faulty[writer], clock, chance, self.load);
            }
            1 => self.use_a_wrong_clock(writer).await?,
            2 => {
                let log = self.writer(writer);
                let _ = log.append(&self.other, vec![sample::body("other")], None).await;
            }
            _ => {
                let current = self.current().await;
                let retention = RetentionDays::try_from(*chance.pick(&[7, 7, 8, 30, 60])).unwrap();
                let changed = Organisation {
                    name: format!("Acme {}", current.version),
                    retention,
                    longest_retention: current.longest_retention.max(retention),
                    shortest_retention: current.shortest_retention.min(retention),
                    version: current.version + 1,
                    ..current
                };
                let log = self.writer(writer);
                let change = Change::UpdateOrganisation(changed.clone());
                let _ = log.append_change(&changed, sample::body("created"), change).await;
                self.current().await;
            }
        }
        Ok(())
    }

    async fn idle(&self, duration: Duration) -> Result<(), Violation> {
        self.surroundings.clock.jump(duration);
        for organisation in [&self.id, &self.other.id] {
            loop {
                let log = self.writer(self.chance().below(WRITERS));
                tokio::select! {
                    biased;
                    done = log.maintain(organisation) => match done {
                        Ok(_) => break,
                        Err(error) => tolerate(&error)?,
                    },
                    () = self.surroundings.clock.sleep(Duration::from_secs(1)) => {}
                }
            }
        }
        let share = *self.chance().pick(&[0.0, 0.3, 0.7, 1.0]);
        self.store.expire(self.now(), |_, _| self.chance().happens(share));
        Ok(())
    }

    async fn inspect(&self) -> Result<(), Violation> {
        let is_soon = |event: &Recorded| (1..2000).contains(&event.expires_at.since(self.now()).as_millis());
        while self.contents().iter().any(is_soon) {
            self.surroundings.clock.jump(Duration::from_secs(2));
        }
        // The inspector reads more than a partition returns at once.
        self.store.lift_limits();
        let inspected = self.inspect_everything().await;
        if !self.is_healed.load(Ordering::Relaxed) {
            self.store.impose_limits();
        }
        inspected
    }

    async fn thaw(&self) -> u64 {
        let frozen = mem::take(&mut *lock(&self.frozen));
        if !frozen.is_empty() {
            self.surroundings.clock.jump(self.chance().duration(LONGEST_FREEZE));
        }
        frozen.iter().for_each(|frozen| frozen.store.thaw());
        let count = frozen.len() as u64;
        for frozen in frozen {
            frozen.append.await.unwrap();
        }
        count
    }

    fn refusals(&self) -> Refusals {
        let (throttled, conflicts) = self.store.refusals();
        Refusals { throttled, conflicts, emptied: self.store.emptied() }
    }

    fn heal(&self) {
        self.is_healed.store(true, Ordering::Relaxed);
        self.store.lift_limits();
        for log in (0..WRITERS).map(|writer| self.writer(writer)).chain([Arc::clone(&self.reader)]) {
            log.limit_appends(AppendLimits::NONE);
        }
        for faulty in &self.faulty {
            faulty.heal();
        }
    }
}
