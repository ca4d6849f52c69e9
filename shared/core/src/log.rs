//! The log: one sequence of events per organisation, without gaps, stored in segments.
//!
//! A segment is written on the condition that no item exists at the sequence after the previous segment's last event. So
//! only a writer that has seen segment k can write segment k+1, and the order of sequences is the order of commits.
//! Nothing appears behind a reader, and a gap in the result of a read means that the read was stale.
//!
//! - [`segment`]: the events of one append: encoding, hash chain, rendering; `compression` has the dictionary
//! - [`store`]: the port to the storage of segments
//! - [`tail`]: where the log ends, although its newest segments may have expired
//! - [`append`]: group commit, idempotency and retries under contention; [`rate`]: the rate limit of appends
//! - [`restore`]: continuing a log after its table was restored to an earlier copy
//! - [`read`]: reading from a position, single events, the oldest event
//! - [`segment_index`]: finding the positions of times
//!
//! Architecture invariant: the log does not know tokens, destinations or HTTP, and stores no index beside its segments.

pub mod append;
mod compression;
pub mod rate;
pub mod read;
pub mod restore;
pub mod segment;
pub mod segment_index;
pub mod store;
pub mod tail;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{entropy::Entropy, organisation::OrganisationId, time::Clock};

use self::{
    append::{AppendPolicy, Committer},
    rate::AppendLimits,
    store::LogStore,
};

/// The logs of all organisations.
#[derive(Debug)]
pub struct Log {
    store: Arc<dyn LogStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: AppendPolicy,
    limits: Mutex<AppendLimits>,
    committers: Mutex<HashMap<OrganisationId, Arc<Committer>>>,
    meter: Arc<dyn AppendMeter>,
}

/// What an append recorded, or several together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Includes Annals' own events.
    pub events: u64,
    /// Size of the events, with one newline each.
    pub bytes: u64,
    /// The number of retries: all attempts except the first. Requests that are written together share attempts, which count
    /// for the request whose task makes them.
    pub retries: u64,
    /// The requests that were refused because they were over the rate limit.
    pub refused: u64,
    /// The tokens of administrators that were created.
    pub admin_tokens: u64,
    /// The destinations that were created, changed or deleted.
    pub destination_changes: u64,
}

/// The port to the measures of appends.
pub trait AppendMeter: fmt::Debug + Send + Sync {
    /// Adds to the measures. Called by the task of the request that appended, so that they can be told apart by request.
    fn add(&self, appended: Appended);
}

/// Measures nothing.
impl AppendMeter for () {
    fn add(&self, _: Appended) {}
}

impl Log {
    #[must_use]
    pub fn new(
        store: Arc<dyn LogStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        policy: AppendPolicy,
    ) -> Self {
        let limits = Mutex::new(AppendLimits::NONE);
        Self { store, clock, entropy, policy, limits, committers: Mutex::default(), meter: Arc::new(()) }
    }

    #[must_use]
    pub fn with_meter(self, meter: Arc<dyn AppendMeter>) -> Self {
        Self { meter, ..self }
    }

    /// Limits the appends to each organisation's log. Without it there is no limit.
    pub fn limit_appends(&self, limits: AppendLimits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    fn limits(&self) -> AppendLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committer(&self, organisation: &OrganisationId) -> Arc<Committer> {
        const MAX_IDLE: usize = 1024;
        let mut committers = self.committers.lock().unwrap_or_else(PoisonError::into_inner);
        if committers.len() >= MAX_IDLE && !committers.contains_key(organisation) {
            // An append in progress holds its committer.
            committers.retain(|_, committer| Arc::strong_count(committer) > 1);
        }
        Arc::clone(committers.entry(organisation.clone()).or_default())
    }
}
