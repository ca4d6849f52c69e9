//! The log: one dense sequence of events per organisation, kept in segments.
//!
//! Why it holds is in `design.md`, section 2, in short: segment k+1 can only be written by someone who has seen segment
//! k, because it goes, on condition that nothing is there, to the sequence after k's last. So the order of sequences is
//! the order of commits, nothing ever appears behind a reader, and a hole in what a read returned is a stale read.
//!
//! - [`segment`]: one append's events, how they are encoded, chained and rendered
//! - [`store`]: the port to where segments are kept
//! - [`append`]: writing, with group commit, idempotency and retry under contention
//! - [`read`]: reading from a position or a time, and the tail
//! - [`segment_index`]: where many times are, found together
//!
//! Architecture invariant: the log knows no tokens, destinations or HTTP, and keeps no index beside its segments.

pub mod append;
pub mod read;
pub mod segment;
pub mod segment_index;
pub mod store;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{entropy::Entropy, organisation::OrganisationId, time::Clock};

use self::{
    append::{AppendPolicy, Committer},
    segment::Tail,
    store::{LogStore, StoreError},
};

/// How long nothing newer than a segment can have expired: the shortest retention, less a day for clocks that disagree.
/// A newest segment younger than this is the log's tail for certain; beyond it the anchor has a say.
const CERTAIN: Duration = Duration::from_secs(6 * 24 * 60 * 60);

/// The logs of all organisations.
#[derive(Debug)]
pub struct Log {
    store: Arc<dyn LogStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: AppendPolicy,
    committers: Mutex<HashMap<OrganisationId, Arc<Committer>>>,
    tally: Tally,
}

/// What was appended in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Events, Annals' own among them.
    pub events: u64,
    /// Bytes of their bodies, a newline each.
    pub bytes: u64,
    /// Tries beyond each append's first.
    pub retries: u64,
}

#[derive(Debug, Default)]
struct Tally {
    events: AtomicU64,
    bytes: AtomicU64,
    retries: AtomicU64,
}

impl Tally {
    fn add(&self, appended: Appended) {
        self.events.fetch_add(appended.events, Ordering::Relaxed);
        self.bytes.fetch_add(appended.bytes, Ordering::Relaxed);
        self.retries.fetch_add(appended.retries, Ordering::Relaxed);
    }
}

impl Log {
    /// A log on `store`, appending as `policy` says.
    #[must_use]
    pub fn new(
        store: Arc<dyn LogStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: AppendPolicy,
    ) -> Self {
        Self { store, clock, entropy, policy, committers: Mutex::default(), tally: Tally::default() }
    }

    /// The tail, strongly consistent; [`Tail::ORIGIN`] where nothing was recorded yet.
    ///
    /// A newest segment that is less than six days old is the tail: nothing newer can have expired. If it is older, or
    /// only the anchor is left, the later of it and the anchor decides, because time to live deletes late and in any
    /// order: what is left may be an older segment than the last.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn tail(&self, organisation: &OrganisationId) -> Result<Tail, StoreError> {
        let newest = self.store.newest(organisation).await?.unwrap_or(Tail::ORIGIN);
        if self.clock.now().since(newest.recorded_at) < CERTAIN {
            return Ok(newest);
        }
        let anchor = self.store.anchor(organisation).await?.unwrap_or(Tail::ORIGIN);
        Ok(if anchor.last > newest.last { anchor } else { newest })
    }

    /// Brings the anchor up to the tail, and gives that. The maintenance tick calls it once a day for every organisation;
    /// it must succeed at least once in the seven days before a segment can expire.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn maintain(&self, organisation: &OrganisationId) -> Result<Tail, StoreError> {
        let tail = self.tail(organisation).await?;
        let anchor = self.store.anchor(organisation).await?;
        if anchor.is_none_or(|anchor| anchor.last < tail.last) {
            self.store.advance_anchor(organisation, &tail).await?;
        }
        Ok(tail)
    }

    /// What was appended since this was last asked. Where several requests run at the same time, one of them is told what
    /// all did: the sums are right.
    #[must_use]
    pub fn take_appended(&self) -> Appended {
        Appended {
            events: self.tally.events.swap(0, Ordering::Relaxed),
            bytes: self.tally.bytes.swap(0, Ordering::Relaxed),
            retries: self.tally.retries.swap(0, Ordering::Relaxed),
        }
    }

    fn committer(&self, organisation: &OrganisationId) -> Arc<Committer> {
        const MANY: usize = 1024;
        let mut committers = self.committers.lock().unwrap_or_else(PoisonError::into_inner);
        if committers.len() >= MANY && !committers.contains_key(organisation) {
            committers.retain(|_, committer| Arc::strong_count(committer) > 1);
        }
        Arc::clone(committers.entry(organisation.clone()).or_default())
    }
}
