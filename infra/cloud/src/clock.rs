//! The embedded cloud's time. Owns the only reading of the system's clock in this crate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;

/// The time that decides when session credentials, queue messages and the items of an in-memory DynamoDB expire. Clones
/// share it.
///
/// It does not affect the age of a request's signature, because the SDKs sign with the system's time.
#[derive(Debug, Clone)]
pub struct Clock {
    /// `None`: the system's time.
    fixed_millis: Option<u64>,
    advanced_millis: Arc<AtomicU64>,
}

impl Clock {
    /// Creates a clock that shows the system's time, plus the time by which it is advanced.
    #[must_use]
    pub fn system() -> Self {
        Self { fixed_millis: None, advanced_millis: Arc::default() }
    }

    /// Creates a clock that stands still at `millis` since the Unix epoch until it is advanced.
    #[must_use]
    pub fn fixed(millis: u64) -> Self {
        Self { fixed_millis: Some(millis), ..Self::system() }
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.advanced_millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        let start = self.fixed_millis.unwrap_or_else(system_millis);
        start.saturating_add(self.advanced_millis.load(Ordering::SeqCst))
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

/// Returns the system's time in milliseconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "the one place where the embedded cloud reads the time")]
pub(crate) fn system_millis() -> u64 {
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
