//! The simulated world: store, buckets, queue, time and processes, and a recorder of every version of each destination.
//! It makes one check: an object must have been in the bucket when its delivery is committed.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use annals_core::{
    administration::{Actor, Administration},
    caller::Caller,
    change::Change,
    delivery::{
        maintenance::{MaintainJob, MaintainReport},
        plan::PlanReport,
        queue::{Job, QueueMessage, ShipOrder},
        ship::{ShipError, ShipPolicy, ShipReport, Shipping},
    },
    destination::{Delivery, Destination, Region},
    event::Context,
    log::{
        Log,
        append::AppendPolicy,
        store::{Commit, CommitError, LogStore, StoreError},
    },
    organisation::{Organisation, OrganisationId},
    registry::{ACTIVE_SHARDS, ActiveDestination, Registry},
    time::{Clock, Timestamp},
};
use async_trait::async_trait;
use futures_util::future::join_all;

use super::{
    gate::Gate,
    ports::{Below, Decorated, Decorator, Ports},
};
use crate::{
    bucket::MemoryBuckets, clock::PausedClock, entropy::SeededEntropy, memory::MemoryStore, queue::MemoryQueue,
};

pub const HOME: &str = "eu-central-1";
/// The messages that a process receives and works on at the same time, as the shipper function.
pub const BATCH: usize = 10;

/// The platform, which may do everything.
#[must_use]
pub fn platform() -> Actor {
    Actor { caller: Caller::Platform, context: Context::default() }
}

#[must_use]
pub fn region(name: &str) -> Region {
    name.parse().unwrap()
}

/// A clock that a test corrects, as a wrong clock is corrected. Sleeping follows the true clock.
#[derive(Debug)]
pub struct SteppedClock {
    clock: Arc<dyn Clock>,
    ahead_ms: AtomicI64,
}

impl SteppedClock {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, ahead_ms: AtomicI64::new(0) })
    }

    /// Sets how many milliseconds the clock is ahead. Negative numbers put it behind.
    pub fn set_ahead(&self, millis: i64) {
        self.ahead_ms.store(millis, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        let by = self.ahead_ms.load(Ordering::Relaxed);
        let by_duration = Duration::from_millis(by.unsigned_abs());
        if by < 0 { self.clock.now().minus(by_duration) } else { self.clock.now().plus(by_duration) }
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

/// Who wrote a version of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A commit with the event at this sequence.
    Event(u64),
    /// A shipper, with a delivery if it made one.
    Shipper(Option<Box<Delivery>>),
    /// The last version: the destination was deleted, as the event at this sequence says.
    Deletion(u64),
}

/// A version of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When it was written, by the true clock.
    pub at: Timestamp,
    pub by: By,
    pub destination: Destination,
}

/// Records what was really written, directly before store, buckets and queue.
#[derive(Debug)]
pub struct Witness {
    clock: Arc<dyn Clock>,
    store: Arc<MemoryStore>,
    buckets: Arc<MemoryBuckets>,
    queue: Arc<MemoryQueue>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    versions: Vec<Version>,
    committed_early: Option<String>,
}

impl Witness {
    /// Every version of the organisation's destinations, oldest first.
    #[must_use]
    pub fn versions(&self, organisation: &OrganisationId) -> Vec<Version> {
        let of_it = |version: &&Version| version.destination.organisation == *organisation;
        self.seen().versions.iter().filter(of_it).cloned().collect()
    }

    /// The key of a delivery that was committed before its object was in the bucket.
    #[must_use]
    pub fn committed_early(&self) -> Option<String> {
        self.seen().committed_early.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, by: By, destination: &Destination) {
        let version = Version { at: self.clock.now(), by, destination: destination.clone() };
        self.seen().versions.push(version);
    }
}

#[async_trait]
impl Decorator for Witness {
    fn below(&self) -> Below<'_> {
        Below { log: &*self.store, registry: &*self.store, sink: &*self.buckets, queue: &*self.queue }
    }

    async fn commit(&self, organisation: &OrganisationId, commit: &Commit) -> Result<(), CommitError> {
        self.store.commit(organisation, commit).await?;
        let sequence = commit.segments.first().map_or(0, |segment| segment.first);
        match &commit.change {
            Some(Change::CreateDestination { destination, .. } | Change::UpdateDestination(destination)) => {
                self.note(By::Event(sequence), destination);
            }
            Some(Change::DeleteDestination(destination)) => self.note(By::Deletion(sequence), destination),
            _ => {}
        }
        Ok(())
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        let before = self.store.destination(&destination.organisation, &destination.id).await?;
        let saved = self.store.save_progress(destination, delivery).await?;
        if saved && before.as_ref() != Some(destination) {
            self.note(By::Shipper(delivery.cloned().map(Box::new)), destination);
            if let Some(delivery) = delivery
                && !self.buckets.has_put(&destination.bucket, &delivery.key)
            {
                self.seen().committed_early.get_or_insert_with(|| delivery.key.clone());
            }
        }
        Ok(saved)
    }
}

#[derive(Debug)]
pub struct World {
    /// The true time.
    pub clock: Arc<PausedClock>,
    /// The clock of the processes.
    pub dial: Arc<SteppedClock>,
    pub store: Arc<MemoryStore>,
    pub buckets: Arc<MemoryBuckets>,
    /// The ship queue.
    pub queue: Arc<MemoryQueue>,
    /// The ports behind the recorder.
    pub witness: Arc<Decorated<Witness>>,
    held: Mutex<HashSet<String>>,
}

impl World {
    /// A world whose time begins at `start`. `store` and `queue` get its clocks: the processes' and the true one. Answers of
    /// the store have the true time.
    #[must_use]
    pub fn new(
        start: Timestamp,
        store: impl FnOnce(Arc<dyn Clock>) -> MemoryStore,
        queue: impl FnOnce(Arc<dyn Clock>) -> Arc<MemoryQueue>,
    ) -> Self {
        let clock = PausedClock::new(start);
        let dial = SteppedClock::new(clock.clone());
        let store = Arc::new(store(dial.clone()).with_clock(clock.clone()));
        let queue = queue(clock.clone());
        let buckets = MemoryBuckets::new(clock.clone(), region(HOME));
        let witness = Arc::new(Decorated(Witness {
            clock: clock.clone(),
            store: Arc::clone(&store),
            buckets: Arc::clone(&buckets),
            queue: Arc::clone(&queue),
            seen: Mutex::default(),
        }));
        Self { clock, dial, store, buckets, queue, witness, held: Mutex::default() }
    }

    /// Notes the keys of objects that a process put after it had been frozen.
    pub fn note_held(&self, keys: Vec<String>) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
    }

    /// Whether a process that had been frozen put `key`.
    #[must_use]
    pub fn was_held(&self, key: &str) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// The ports without the recorder.
    #[must_use]
    pub fn ports(&self) -> Arc<dyn Ports> {
        Arc::clone(&self.witness) as Arc<dyn Ports>
    }

    /// The current version of an organisation.
    pub async fn organisation(&self, id: &OrganisationId) -> Organisation {
        let found = self.store.organisation(id, annals_core::log::store::Consistency::Strong).await;
        found.unwrap().unwrap()
    }
}

/// Maintains every log at once, without the queue.
///
/// # Errors
/// Returns an error if a log cannot be maintained.
pub async fn maintain(shipping: &Shipping, run: Timestamp) -> Result<(), StoreError> {
    let everything = MaintainJob { run, part: 1, after: None, until: None, again: Vec::new() };
    let MaintainReport { refused, failure, .. } = shipping.maintain_part(&everything).await;
    failure.or_else(|| refused.into_iter().next().map(|(_, error)| error)).map_or(Ok(()), Err)
}

/// The active destinations of all organisations.
pub async fn active_destinations(registry: &dyn Registry) -> Vec<ActiveDestination> {
    let mut all = Vec::new();
    for shard in 0..ACTIVE_SHARDS {
        all.extend(registry.active_destinations(shard, None, usize::MAX).await.unwrap().destinations);
    }
    all
}

/// The result of an order.
#[derive(Debug)]
pub struct Shipped {
    pub order: ShipOrder,
    pub result: Result<ShipReport, ShipError>,
    /// When the work ended, by the true clock.
    pub ended_at: Timestamp,
}

/// A process, which crashes as a whole.
#[derive(Debug)]
pub struct Process {
    pub gate: Arc<Decorated<Gate>>,
    pub log: Arc<Log>,
    pub shipping: Shipping,
    pub administration: Administration,
}

impl Process {
    /// A process behind `gate`. `within` may put decorators between the two.
    #[must_use]
    pub fn start(
        gate: Arc<Decorated<Gate>>,
        within: impl FnOnce(Arc<dyn Ports>) -> Arc<dyn Ports>,
        clock: Arc<dyn Clock>,
        policy: ShipPolicy,
        entropy: &SeededEntropy,
    ) -> Self {
        let ports = within(Arc::clone(&gate) as Arc<dyn Ports>);
        let entropy = entropy.fork();
        let log = Arc::new(Log::new(ports.clone(), clock.clone(), entropy.clone(), AppendPolicy::default()));
        let shipping = Shipping::new(
            Arc::clone(&log),
            ports.clone(),
            ports.clone(),
            ports.clone(),
            clock.clone(),
            entropy.clone(),
            policy,
        );
        let administration = Administration::new(Arc::clone(&log), ports, clock, entropy);
        Self { gate, log, shipping, administration }
    }

    /// Plans. `None` if the process crashed.
    pub async fn plan(&self) -> Option<Result<PlanReport, StoreError>> {
        self.gate.0.live(self.shipping.plan()).await
    }

    /// Works on one batch of messages as the shipper function does: messages are deleted when done and visible again
    /// later if they failed. `None` if the process crashed: then all are visible again later.
    pub async fn work(&self, queue: &MemoryQueue, clock: &dyn Clock) -> Option<Vec<Shipped>> {
        let messages = queue.receive(BATCH);
        let work = join_all(messages.into_iter().map(async |message| {
            let (is_done, shipped) = match message.body {
                QueueMessage::Ship(order) => {
                    let result = self.shipping.ship(&order).await;
                    (result.is_ok(), Some(Shipped { order, result, ended_at: clock.now() }))
                }
                QueueMessage::Job(Job::Plan(job)) => (self.shipping.plan_rest(&job).await.is_ok(), None),
                QueueMessage::Job(Job::Divide(job)) => (self.shipping.divide(&job).await.is_ok(), None),
                QueueMessage::Job(Job::Maintain(job)) => {
                    (self.shipping.maintain_part(&job).await.failure.is_none(), None)
                }
            };
            (message.number, is_done, shipped)
        }));
        let done = self.gate.0.live(work).await?;
        for (number, ..) in done.iter().filter(|(_, is_done, _)| *is_done) {
            queue.delete(*number);
        }
        Some(done.into_iter().filter_map(|(.., shipped)| shipped).collect())
    }
}
