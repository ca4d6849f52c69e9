//! The simulation of idempotency keys: few keys, many requests with each, from several instances at once, while puts arrive
//! late, answers are lost, instances freeze for up to an hour in the middle of a call, and claims expire.
//!
//! A seed decides everything and time is virtual, so each run of a seed is the same. [`bugs`] are the mistakes that a writer
//! could make, which the simulation must detect.

pub mod bugs;

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use annals_core::{
    log::{
        Log,
        append::{AppendError, AppendPolicy, IDEMPOTENCY_TTL, IdempotencyKey, Outcome, Receipt},
        segment::Segment,
        store::{Consistency, KeyClaim, LogStore, Order, StoreError},
    },
    organisation::{Organisation, OrganisationId},
    time::{Clock, Timestamp},
};
use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};

use crate::{
    clock::{AheadClock, PausedClock},
    entropy::SeededEntropy,
    faulty::{Call, Fault, FaultyStore},
    log_layer::{Layered, LogLayer},
    memory::MemoryStore,
    model::{Promise, Violation, in_virtual_time},
    sample,
};

use self::bugs::{Bug, Buggy};

const INSTANCES: usize = 3;
const KEYS: usize = 3;
/// The longest time for which an instance freezes.
const FREEZE: Duration = Duration::from_secs(3600);
/// The latest that a put arrives after its request.
const LATE: Duration = Duration::from_secs(10);
/// How far the clock of an instance is ahead of the one before it.
const SKEWS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(20), Duration::from_secs(5 * 60)];
/// Two recordings with one key are at least this far apart: a claim lives for a day, an append begins while it has 23 hours
/// left, and the put of a frozen instance comes an hour after its segment was made.
const REMEMBERED: Duration = Duration::from_secs(22 * 3600);

/// What happened in a run, so that tests can require that enough happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub requests: u64,
    /// Recordings of requests with a key.
    pub recorded: u64,
    pub replayed: u64,
    /// Refused because the key was used for other events.
    pub reused: u64,
    pub unanswered: u64,
    /// Calls in which an instance froze.
    pub frozen: u64,
    /// Segments with more than one request with a key.
    pub merged: u64,
    /// Recordings that took several segments.
    pub large: u64,
    /// Reads of segments to look for a claim.
    pub looks: u64,
    /// Claims that were renewed, or moved forward after a long look.
    pub renewed: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.recorded += other.recorded;
        self.replayed += other.replayed;
        self.reused += other.reused;
        self.unanswered += other.unanswered;
        self.frozen += other.frozen;
        self.merged += other.merged;
        self.large += other.large;
        self.looks += other.looks;
        self.renewed += other.renewed;
    }
}

/// Counts what happens at the store.
#[derive(Debug, Default)]
struct Counters {
    frozen: AtomicU64,
    looks: AtomicU64,
    renewed: AtomicU64,
}

/// The store as an instance reaches it: some milliseconds away, through calls in which the instance may freeze.
#[derive(Debug)]
struct Network {
    store: Arc<FaultyStore<MemoryStore>>,
    clock: Arc<PausedClock>,
    entropy: Arc<SeededEntropy>,
    /// The probability that the instance freezes before or after a call arrives.
    freezes: f64,
    healed: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

impl Network {
    async fn way(&self) {
        self.clock.sleep(self.entropy.duration(Duration::from_millis(5))).await;
        if !self.healed.load(Ordering::Relaxed) && self.entropy.happens(self.freezes) {
            self.counters.frozen.fetch_add(1, Ordering::Relaxed);
            let most = *self.entropy.pick(&[FREEZE / 600, FREEZE / 30, FREEZE]);
            self.clock.sleep(self.entropy.duration(most)).await;
        }
    }
}

#[async_trait]
impl LogLayer for Network {
    fn below(&self) -> &dyn LogStore {
        &*self.store
    }

    async fn around<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        self.way().await;
        let answer = call.await;
        self.way().await;
        answer
    }

    async fn replace_claim(
        &self,
        organisation: &OrganisationId,
        before: &KeyClaim,
        claim: &KeyClaim,
    ) -> Result<bool, StoreError> {
        let replaced = self.around(self.store.replace_claim(organisation, before, claim)).await?;
        self.counters.renewed.fetch_add(u64::from(replaced), Ordering::Relaxed);
        Ok(replaced)
    }

    async fn range(
        &self,
        organisation: &OrganisationId,
        range: RangeInclusive<u64>,
        order: Order,
        limit: Option<usize>,
        consistency: Consistency,
    ) -> Result<Vec<Segment>, StoreError> {
        self.counters.looks.fetch_add(1, Ordering::Relaxed);
        self.around(self.store.range(organisation, range, order, limit, consistency)).await
    }
}

/// A request and the answer to it.
#[derive(Debug, Clone)]
struct Sent {
    request: Request,
    answer: Option<Result<(Outcome, Vec<u64>), Refused>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    KeyReused,
    Nothing,
    Unknown,
}

/// The events of a request. Requests with the same key and variant have the same events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    key: Option<usize>,
    variant: usize,
}

impl Request {
    /// The labels of its events.
    fn labels(self, size: &Size) -> Vec<String> {
        let Self { key, variant } = self;
        match key {
            Some(key) => (0..size.events).map(|event| format!("key{key}.{variant}.{event:02}")).collect(),
            None => vec![format!("plain.{variant}")],
        }
    }
}

/// The size of the requests with one key.
#[derive(Debug, Clone, Copy)]
struct Size {
    events: usize,
    /// Incompressible bytes in each event.
    ballast: usize,
}

/// Runs the scenario of one seed. With a bug, all instances but one have it.
///
/// # Errors
/// Returns the first broken promise.
pub fn run(seed: u64, bug: Option<Bug>) -> Result<Tally, Violation> {
    in_virtual_time(async { Run::new(seed, bug).scenario().await })
}

struct Run {
    clock: Arc<PausedClock>,
    entropy: Arc<SeededEntropy>,
    store: Arc<MemoryStore>,
    faulty: Vec<Arc<FaultyStore<MemoryStore>>>,
    instances: Vec<Arc<Log>>,
    healed: Arc<AtomicBool>,
    counters: Arc<Counters>,
    freezes: f64,
    skew: Duration,
    bug: Option<Bug>,
    acme: Organisation,
    sizes: Vec<Size>,
    sent: Vec<Sent>,
    tally: Tally,
}

/// A request with its answer, if it came before the client lost patience.
type Answered = (Request, Option<Result<Receipt, AppendError>>);

impl Run {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let entropy = SeededEntropy::new(seed);
        let clock = PausedClock::new(sample::START);
        let store = Arc::new(MemoryStore::new().with_page(*entropy.pick(&[1, 2, 5, 1000])));
        let faults = *entropy.pick(&[0.0, 0.03, 0.1]);
        let faulty = (0..INSTANCES)
            .map(|_| FaultyStore::seeded(Arc::clone(&store), faults, LATE, clock.clone(), entropy.fork()))
            .collect();
        let sizes = (0..KEYS)
            .map(|_| match entropy.below(20) {
                // More than fits into one segment, even compressed.
                0 => Size { events: 6, ballast: 90_000 },
                1..8 => Size { events: entropy.below(3) + 2, ballast: 0 },
                _ => Size { events: 1, ballast: 0 },
            })
            .collect();
        let mut run = Self {
            freezes: *entropy.pick(&[0.0, 0.02, 0.05]),
            skew: *entropy.pick(&SKEWS),
            healed: Arc::default(),
            counters: Arc::default(),
            instances: Vec::new(),
            acme: sample::organisation("acme"),
            sent: Vec::new(),
            tally: Tally::default(),
            clock,
            entropy,
            store,
            faulty,
            bug,
            sizes,
        };
        run.instances = (0..INSTANCES).map(|number| run.instance(number)).collect();
        run
    }

    fn instance(&self, number: usize) -> Arc<Log> {
        self.instance_of(number, Arc::clone(&self.faulty[number]))
    }

    fn instance_of(&self, number: usize, store: Arc<FaultyStore<MemoryStore>>) -> Arc<Log> {
        let network = Arc::new(Layered(Network {
            store,
            clock: Arc::clone(&self.clock),
            entropy: self.entropy.fork(),
            freezes: self.freezes,
            healed: Arc::clone(&self.healed),
            counters: Arc::clone(&self.counters),
        }));
        let store: Arc<dyn LogStore> = match self.bug {
            Some(bug) if number > 0 => Arc::new(Layered(Buggy { below: network, bug })),
            _ => network,
        };
        let clock = AheadClock::new(self.clock.clone(), self.skew * number as u32);
        Arc::new(Log::new(store, clock, self.entropy.fork(), AppendPolicy::default()))
    }

    async fn scenario(mut self) -> Result<Tally, Violation> {
        for _ in 0..self.entropy.between(4, 10) {
            if self.entropy.happens(0.1) {
                self.leave_a_claim().await;
            } else {
                self.burst(self.entropy.below(KEYS)).await;
            }
            self.pass_time().await;
            if self.entropy.happens(0.3) {
                let number = self.entropy.below(INSTANCES);
                self.instances[number] = self.instance(number);
            }
        }
        // Whatever is under way arrives. Then every key is used once more.
        self.healed.store(true, Ordering::Relaxed);
        self.faulty.iter().for_each(|faulty| faulty.heal());
        self.sleep(2 * FREEZE).await;
        self.instances = (0..INSTANCES).map(|number| self.instance(number)).collect();
        for key in 0..KEYS {
            let request = self.last_with(key).unwrap_or(Request { key: Some(key), variant: 0 });
            self.send(vec![(request, 0, Duration::ZERO, FREEZE)]).await;
            let answer = self.sent.last().and_then(|sent| sent.answer.clone());
            if !matches!(answer, Some(Ok(_) | Err(Refused::KeyReused))) {
                let detail = format!("nothing fails any more, and key {key} is answered with {answer:?}");
                return Err(Violation::new(Promise::KeysHold, detail));
            }
        }
        self.check()
    }

    fn last_with(&self, key: usize) -> Option<Request> {
        self.sent.iter().rev().map(|sent| sent.request).find(|request| request.key == Some(key))
    }

    /// An instance crashes between the claim and the append. The key is used again while the claim lives, and when it would
    /// have expired.
    async fn leave_a_claim(&mut self) {
        let (key, number) = (self.entropy.below(KEYS), self.entropy.below(INSTANCES));
        let claimed_at = self.clock.now();
        let crashing = |call: Call| (call.name == "claim").then_some(Fault::CrashAfter);
        self.instances[number] = self.instance_of(number, FaultyStore::new(Arc::clone(&self.store), crashing));
        self.send(vec![(Request { key: Some(key), variant: 0 }, number, Duration::ZERO, FREEZE)]).await;
        self.instances[number] = self.instance(number);
        self.sleep(Duration::from_secs(self.entropy.between(60, 23 * 3600))).await;
        self.burst(key).await;
        let expired_at = claimed_at.plus(IDEMPOTENCY_TTL + FREEZE);
        self.sleep(expired_at.since(self.clock.now())).await;
        self.burst(key).await;
    }

    /// Requests at the same time, most of them with `key`.
    async fn burst(&mut self, key: usize) {
        let entropy = Arc::clone(&self.entropy);
        let span = Duration::from_millis(*entropy.pick(&[0, 2, 10, 100, 2000]));
        let instance = entropy.below(INSTANCES);
        let mut requests = Vec::new();
        for _ in 0..entropy.between(1, 10) {
            let key = match entropy.below(10) {
                0..3 => None,
                3..8 => Some(key),
                _ => Some(entropy.below(KEYS)),
            };
            let variant = match key {
                None => self.sent.len() + requests.len(),
                // Now and then the key is used for other events.
                Some(_) => usize::from(entropy.happens(0.05)),
            };
            // Requests that reach one instance are merged.
            let instance = if entropy.happens(0.4) { instance } else { entropy.below(INSTANCES) };
            let patience = if entropy.happens(0.2) { entropy.duration(Duration::from_millis(30)) } else { 2 * FREEZE };
            requests.push((Request { key, variant }, instance, entropy.duration(span), patience));
        }
        self.send(requests).await;
    }

    /// Sends requests, each to an instance after a pause. A client that loses patience disconnects; in half of the cases its
    /// instance goes on nevertheless.
    async fn send(&mut self, requests: Vec<(Request, usize, Duration, Duration)>) {
        let mut all: Vec<BoxFuture<'_, Answered>> = Vec::new();
        for (request, instance, pause, patience) in requests {
            let log = Arc::clone(&self.instances[instance]);
            let (clock, acme) = (Arc::clone(&self.clock), self.acme.clone());
            let size = request.key.map_or(Size { events: 1, ballast: 0 }, |key| self.sizes[key]);
            let bodies: Vec<_> = request
                .labels(&size)
                .iter()
                .map(|label| sample::body_with(label, &sample::ballast(label, size.ballast)))
                .collect();
            let key = request.key.map(|key| IdempotencyKey::parse(format!("key {key}").as_bytes()).unwrap());
            let work = async move { log.append(&acme, bodies, key).await };
            let work: BoxFuture<'static, _> = if self.entropy.happens(0.5) {
                let task = tokio::spawn(work);
                Box::pin(async move { task.await.unwrap() })
            } else {
                Box::pin(work)
            };
            all.push(Box::pin(async move {
                clock.sleep(pause).await;
                let answer = tokio::select! {
                    biased;
                    answer = work => Some(answer),
                    () = clock.sleep(patience) => None,
                };
                (request, answer)
            }));
        }
        for (request, answer) in join_all(all).await {
            self.tally.requests += 1;
            let answer = answer.map(|answer| match answer {
                Ok(receipt) => Ok((receipt.outcome, receipt.ids().map(|id| id.sequence()).collect())),
                Err(AppendError::KeyReused) => Err(Refused::KeyReused),
                Err(AppendError::Unavailable(_)) => Err(Refused::Unknown),
                Err(_) => Err(Refused::Nothing),
            });
            match &answer {
                Some(Ok((Outcome::Replayed, _))) => self.tally.replayed += 1,
                Some(Err(Refused::KeyReused)) => self.tally.reused += 1,
                None | Some(Err(Refused::Unknown)) => self.tally.unanswered += 1,
                _ => {}
            }
            self.sent.push(Sent { request, answer });
        }
    }

    /// Lets no time pass, or so much that frozen instances wake up, or that claims are about to expire.
    async fn pass_time(&self) {
        let seconds = match self.entropy.below(12) {
            0..3 => 0,
            3..6 => self.entropy.between(0, 30),
            6..8 => self.entropy.between(60, 3700),
            8 => self.entropy.between(3600, 12 * 3600),
            9 => 22 * 3600,
            10 => self.entropy.between(24 * 3600 - 20, 24 * 3600 + 20),
            _ => self.entropy.between(24 * 3600, 30 * 3600),
        };
        self.sleep(Duration::from_secs(seconds)).await;
        if self.entropy.happens(0.5) {
            self.store.expire(self.clock.now(), |_, _| true);
        }
    }

    /// Sleeps in steps that the timer can measure.
    async fn sleep(&self, duration: Duration) {
        let mut left = duration;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(3600));
            self.clock.sleep(step).await;
            left -= step;
        }
    }

    fn check(mut self) -> Result<Tally, Violation> {
        let contents = self.contents()?;
        // Where each request was recorded: its first sequence and the time.
        let mut recordings: BTreeMap<Request, Vec<(u64, Timestamp)>> = BTreeMap::new();
        let mut next = 0;
        while let Some((label, recorded_at)) = contents.get(next) {
            let request = parse(label);
            let size = request.key.map_or(Size { events: 1, ballast: 0 }, |key| self.sizes[key]);
            let labels = request.labels(&size);
            let there: Vec<_> = contents[next..].iter().take(labels.len()).map(|(label, _)| label.clone()).collect();
            if there != labels {
                return Err(Violation::new(Promise::BatchesWhole, format!("after sequence {next} is {there:?}")));
            }
            recordings.entry(request).or_default().push((next as u64 + 1, *recorded_at));
            next += labels.len();
        }
        for key in 0..KEYS {
            let with_key = recordings.iter().filter(|(request, _)| request.key == Some(key));
            let mut times: Vec<_> = with_key.flat_map(|(_, places)| places).copied().collect();
            times.sort_unstable();
            self.tally.recorded += times.len() as u64;
            if let Some(pair) = times.windows(2).find(|pair| pair[1].1.since(pair[0].1) < REMEMBERED) {
                return Err(Violation::new(Promise::NothingDoubled, format!("key {key} is recorded at {pair:?}")));
            }
        }
        let mut acknowledged = BTreeMap::new();
        for Sent { request, answer } in &self.sent {
            let Some(Ok((outcome, sequences))) = answer else { continue };
            let first = sequences.first().copied().unwrap_or_default();
            let there = recordings.get(request).is_some_and(|places| places.iter().any(|(place, _)| *place == first));
            let count = request.key.map_or(1, |key| self.sizes[key].events) as u64;
            if !there || *sequences != (first..first + count).collect::<Vec<_>>() {
                let detail =
                    format!("{request:?} was said to be at {sequences:?}, and is at {:?}", recordings.get(request));
                return Err(Violation::new(Promise::NothingLost, detail));
            }
            if matches!(outcome, Outcome::Recorded { .. }) && acknowledged.insert(first, request).is_some() {
                let detail = format!("two requests were told that they recorded sequence {first}");
                return Err(Violation::new(Promise::KeysHold, detail));
            }
        }
        for (request, places) in recordings.iter().filter(|(request, _)| request.key.is_none()) {
            if places.len() > 1 {
                return Err(Violation::new(Promise::NothingDoubled, format!("{request:?} is at {places:?}")));
            }
        }
        self.tally.frozen = self.counters.frozen.load(Ordering::Relaxed);
        self.tally.looks = self.counters.looks.load(Ordering::Relaxed);
        self.tally.renewed = self.counters.renewed.load(Ordering::Relaxed);
        let journal = self.store.journal(&self.acme.id);
        self.tally.merged = journal.iter().filter(|segment| segment.claimed.len() > 1).count() as u64;
        let appends = journal.windows(2).filter(|pair| pair[0].append == pair[1].append);
        self.tally.large = appends.filter(|pair| !pair[0].claimed.is_empty()).count() as u64;
        Ok(self.tally)
    }

    /// The labels of all events in their order, each with the time of its recording.
    fn contents(&self) -> Result<Vec<(String, Timestamp)>, Violation> {
        let mut contents = Vec::new();
        for segment in self.store.journal(&self.acme.id) {
            if segment.first != contents.len() as u64 + 1 {
                return Err(Violation::new(Promise::Dense, format!("a segment begins at {}", segment.first)));
            }
            let lines =
                segment.lines(&self.acme.id).map_err(|error| Violation::new(Promise::Chained, error.to_string()))?;
            contents.extend(lines.iter().map(|line| (sample::label(&line.text).unwrap(), line.recorded_at)));
        }
        Ok(contents)
    }
}

/// The request of an event with this label.
fn parse(label: &str) -> Request {
    let mut parts = label.split('.');
    let key = parts.next().and_then(|name| name.strip_prefix("key")).map(|key| key.parse().unwrap());
    Request { key, variant: parts.next().unwrap().parse().unwrap() }
}
