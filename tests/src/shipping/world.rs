//! A world to ship in: store, buckets, queue and time, the processes that live in it, and the witness of every version
//! that a destination ever had. Makes one check only: what is committed must be in the bucket at that moment.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use annals_core::{
    administration::{Actor, Administration},
    change::Change,
    delivery::{
        Delivery,
        queue::ShipOrder,
        ship::{PlanReport, ShipError, ShipPolicy, ShipReport, Shipping},
    },
    destination::{Destination, Region},
    event::Context,
    log::{
        Log,
        append::AppendPolicy,
        store::{Commit, CommitError, LogStore, StoreError, TransactItem},
    },
    organisation::{Organisation, OrganisationId},
    registry::Registry,
    time::{Clock, Timestamp},
    token::Caller,
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

/// Where the deployment is.
pub const HOME: &str = "eu-central-1";
/// How many messages one process takes at a time, and ships at the same time: as many as the shipper function does.
pub const BATCH: usize = 10;

/// Somebody who may do everything.
#[must_use]
pub fn platform() -> Actor {
    Actor { caller: Caller::Platform, context: Context::default() }
}

/// The region of this name.
///
/// # Panics
/// Where it is none.
#[must_use]
pub fn region(name: &str) -> Region {
    name.parse().unwrap()
}

/// A clock that a test steps, as clocks are stepped that were wrong. Who sleeps sleeps by the true one.
#[derive(Debug)]
pub struct SteppedClock {
    clock: Arc<dyn Clock>,
    ahead_ms: AtomicI64,
}

impl SteppedClock {
    /// A clock that shows what `clock` shows.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, ahead_ms: AtomicI64::new(0) })
    }

    /// From now on it is ahead so many milliseconds, or behind where they are negative.
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
    /// It was written together with the event at this sequence.
    Event(u64),
    /// A shipper, perhaps with a delivery.
    Shipper(Option<Box<Delivery>>),
    /// It is the last one: the destination was deleted, which the event at this sequence says.
    Deletion(u64),
}

/// A version that a destination had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Since when, by the true clock.
    pub at: Timestamp,
    /// Who wrote it.
    pub by: By,
    /// What was written.
    pub destination: Destination,
}

/// The witness: it stands right before store, buckets and queue, and sees what was really written.
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
    /// Every version of the organisation's destinations, in the order in which they were written.
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
        for item in &commit.items {
            match item {
                TransactItem::Change(
                    Change::CreateDestination { destination, .. } | Change::UpdateDestination(destination),
                ) => {
                    self.note(By::Event(sequence), destination);
                }
                TransactItem::Change(Change::DeleteDestination(destination)) => {
                    self.note(By::Deletion(sequence), destination)
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn save_progress(&self, destination: &Destination, delivery: Option<&Delivery>) -> Result<bool, StoreError> {
        let before = self.store.destination(&destination.organisation, &destination.id).await?;
        let saved = self.store.save_progress(destination, delivery).await?;
        if saved && before.as_ref() != Some(destination) {
            self.note(By::Shipper(delivery.cloned().map(Box::new)), destination);
            if let Some(delivery) = delivery
                && self.buckets.object(&destination.bucket, &delivery.key).is_none()
            {
                self.seen().committed_early.get_or_insert_with(|| delivery.key.clone());
            }
        }
        Ok(saved)
    }
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// The true time.
    pub clock: Arc<PausedClock>,
    /// The time that processes see.
    pub dial: Arc<SteppedClock>,
    /// Log and registry.
    pub store: Arc<MemoryStore>,
    /// The customers' buckets.
    pub buckets: Arc<MemoryBuckets>,
    /// The ship queue.
    pub queue: Arc<MemoryQueue>,
    /// All of it behind the witness.
    pub witness: Arc<Decorated<Witness>>,
}

impl World {
    /// A world whose time begins at `start`. `store` and `queue` are made for its clocks: the processes' and the true one.
    #[must_use]
    pub fn new(
        start: Timestamp,
        store: impl FnOnce(Arc<dyn Clock>) -> MemoryStore,
        queue: impl FnOnce(Arc<dyn Clock>) -> Arc<MemoryQueue>,
    ) -> Self {
        let clock = PausedClock::new(start);
        let dial = SteppedClock::new(clock.clone());
        let store = Arc::new(store(dial.clone()));
        let queue = queue(clock.clone());
        let buckets = MemoryBuckets::new(clock.clone(), region(HOME));
        let witness = Arc::new(Decorated(Witness {
            clock: clock.clone(),
            store: Arc::clone(&store),
            buckets: Arc::clone(&buckets),
            queue: Arc::clone(&queue),
            seen: Mutex::default(),
        }));
        Self { clock, dial, store, buckets, queue, witness }
    }

    /// What is behind the witness.
    #[must_use]
    pub fn ports(&self) -> Arc<dyn Ports> {
        Arc::clone(&self.witness) as Arc<dyn Ports>
    }

    /// An organisation as it is.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn organisation(&self, id: &OrganisationId) -> Organisation {
        let found = self.store.organisation(id, annals_core::log::store::Consistency::Strong).await;
        found.unwrap().unwrap()
    }
}

/// What became of an order.
#[derive(Debug)]
pub struct Shipped {
    /// The order.
    pub order: ShipOrder,
    /// How shipping went.
    pub result: Result<ShipReport, ShipError>,
    /// When it was over, by the true clock.
    pub ended_at: Timestamp,
}

/// A process: everything in it dies together.
#[derive(Debug)]
pub struct Process {
    /// The way to the world.
    pub gate: Arc<Decorated<Gate>>,
    /// Its log.
    pub log: Arc<Log>,
    /// Its shipping.
    pub shipping: Shipping,
    /// Its administration.
    pub administration: Administration,
}

impl Process {
    /// A process behind `gate`, with whatever `within` puts between it and the gate.
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

    /// Plans; `None` where the process died of it.
    pub async fn plan(&self) -> Option<Result<PlanReport, StoreError>> {
        self.gate.0.live(self.shipping.plan()).await
    }

    /// Takes one batch of messages and ships, as the shipper function does: what is done is deleted, what failed comes
    /// again when its time is over. `None` where the process died of it: then all of them come again.
    pub async fn work(&self, queue: &MemoryQueue, clock: &dyn Clock) -> Option<Vec<Shipped>> {
        let messages = queue.receive(BATCH);
        let shipping = join_all(messages.into_iter().map(async |message| {
            let result = self.shipping.ship(&message.order).await;
            (message.number, Shipped { order: message.order, result, ended_at: clock.now() })
        }));
        let shipped = self.gate.0.live(shipping).await?;
        for (number, one) in &shipped {
            if one.result.is_ok() {
                queue.delete(*number);
            }
        }
        Some(shipped.into_iter().map(|(_, one)| one).collect())
    }
}
