//! Whether a deployment can do its work now: a set of checks that run at once, each for a limited time.
//!
//! A check does what requests do, with data of its own. So it finds a missing right, a missing table, a full disk and a
//! store that does not answer before a customer does.

#![warn(missing_docs)]

use std::{error::Error, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::{Either, join_all, select};

use crate::{
    log::store::Source,
    time::{Clock, Timestamp},
};

/// The longest time that a check takes. API Gateway ends a request after 30 seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A check of something that Annals needs.
#[async_trait]
pub trait Probe: fmt::Debug + Send + Sync {
    /// Returns the name of what is checked, such as `log`.
    fn name(&self) -> &'static str;

    /// Returns an error if Annals cannot use it.
    async fn probe(&self) -> Result<(), Source>;
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It was not over in time.
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    TimedOut,
    /// It found something.
    #[error(transparent)]
    Found(Source),
}

/// The result of a check.
#[derive(Debug)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What was found.
    pub result: Result<(), CheckError>,
}

/// The results of all checks.
#[derive(Debug)]
pub struct HealthReport {
    /// In the order of the probes.
    pub checks: Vec<Check>,
    /// How long all of them took, in milliseconds.
    pub duration_ms: u64,
}

impl HealthReport {
    /// Returns the first error with the name of its check, if there is one.
    #[must_use]
    pub fn first_error(&self) -> Option<(&'static str, &(dyn Error + 'static))> {
        self.checks.iter().find_map(|check| {
            let error: &(dyn Error + 'static) = match &check.result {
                Ok(()) => return None,
                Err(CheckError::Found(source)) => &**source,
                Err(error) => error,
            };
            Some((check.name, error))
        })
    }
}

/// The checks of a deployment.
#[derive(Debug, Clone)]
pub struct Health {
    probes: Vec<Arc<dyn Probe>>,
    clock: Arc<dyn Clock>,
}

impl Health {
    /// Creates a health without checks.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { probes: Vec::new(), clock }
    }

    /// Adds checks.
    #[must_use]
    pub fn with(mut self, probes: impl IntoIterator<Item = Arc<dyn Probe>>) -> Self {
        self.probes.extend(probes);
        self
    }

    /// Makes all checks at once. Returns after [`PATIENCE`] at the latest.
    pub async fn check(&self) -> HealthReport {
        let begun = self.clock.now();
        let checks = join_all(self.probes.iter().map(|probe| self.check_one(&**probe))).await;
        HealthReport { checks, duration_ms: self.millis_since(begun) }
    }

    async fn check_one(&self, probe: &dyn Probe) -> Check {
        let begun = self.clock.now();
        let result = match select(probe.probe(), self.clock.sleep(PATIENCE)).await {
            Either::Left((result, _)) => result.map_err(CheckError::Found),
            Either::Right(((), _)) => Err(CheckError::TimedOut),
        };
        Check { name: probe.name(), duration_ms: self.millis_since(begun), result }
    }

    fn millis_since(&self, begun: Timestamp) -> u64 {
        u64::try_from(self.clock.now().since(begun).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Sleeps in no time.
    #[derive(Debug)]
    struct Impatient;

    #[async_trait]
    impl Clock for Impatient {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH
        }

        async fn sleep(&self, _: Duration) {}
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Works,
        Fails,
        Hangs,
    }

    #[async_trait]
    impl Probe for Kind {
        fn name(&self) -> &'static str {
            match self {
                Self::Works => "works",
                Self::Fails => "fails",
                Self::Hangs => "hangs",
            }
        }

        async fn probe(&self) -> Result<(), Source> {
            match self {
                Self::Works => Ok(()),
                Self::Fails => Err("broken".into()),
                Self::Hangs => std::future::pending().await,
            }
        }
    }

    fn check(kinds: &[Kind]) -> HealthReport {
        let probes = kinds.iter().map(|kind| Arc::new(*kind) as Arc<dyn Probe>);
        let health = Health::new(Arc::new(Impatient)).with(probes);
        health.check().now_or_never().unwrap()
    }

    #[test]
    fn a_check_that_hangs_ends_and_hides_no_other() {
        let report = check(&[Kind::Hangs, Kind::Works, Kind::Fails]);
        let results: Vec<String> = report
            .checks
            .iter()
            .map(|check| {
                format!("{}: {}", check.name, check.result.as_ref().map_or_else(ToString::to_string, |()| "ok".into()))
            })
            .collect();
        assert_eq!(results, ["hangs: no answer within 10 seconds", "works: ok", "fails: broken"]);
        assert_eq!(report.first_error().unwrap().0, "hangs");
    }

    #[test]
    fn what_works_has_no_error() {
        assert!(check(&[Kind::Works]).first_error().is_none());
        assert!(check(&[]).first_error().is_none());
    }
}
