//! The embedded cloud's clock. Owns the only reading of the system's time in here, and an offset that a test moves
//! instead of sleeping; it does not wait.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::sync::watch;

/// The system's time plus an offset that only grows. Clones share the offset.
///
/// Session credentials, queue messages and an in-memory DynamoDB's time to live go by it. The freshness of a request's
/// signature does not: the SDKs sign with the machine's own time.
#[derive(Debug, Clone)]
pub struct Clock {
    offset: Arc<watch::Sender<Duration>>,
}

impl Clock {
    /// A clock that shows the system's time until it is advanced.
    #[must_use]
    pub fn new() -> Self {
        Self { offset: Arc::new(watch::Sender::new(Duration::ZERO)) }
    }

    /// Lets `duration` pass at once. Long polls that wait for a message to become visible look again.
    pub fn advance(&self, duration: Duration) {
        self.offset.send_modify(|offset| *offset = offset.saturating_add(duration));
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        let offset = u64::try_from(self.offset.borrow().as_millis()).unwrap_or(u64::MAX);
        system_millis().saturating_add(offset)
    }

    /// Changes whenever the clock is advanced.
    pub(super) fn changes(&self) -> watch::Receiver<Duration> {
        self.offset.subscribe()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl dynoxide::storage_backend::Clock for Clock {
    fn now_unix_secs(&self) -> u64 {
        self.now_millis() / 1000
    }

    fn now_unix_secs_f64(&self) -> f64 {
        Duration::from_millis(self.now_millis()).as_secs_f64()
    }
}

/// The machine's time in milliseconds since the Unix epoch, whatever a [`Clock`] was advanced to.
#[allow(clippy::disallowed_methods, reason = "the one place where the embedded cloud reads the time")]
pub(super) fn system_millis() -> u64 {
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
