//! Planning: which destinations are due at a tick.

use crate::{
    log::store::StoreError,
    registry::{ActiveDestination, RestoredTables},
    time::Timestamp,
};

use super::{
    queue::ShipOrder,
    ship::{Shipping, is_outside_annals},
};

/// The number of destinations whose lag is measured at once.
const MEASURED_AT_ONCE: usize = 32;

/// What a plan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanReport {
    /// The number of orders sent to the queue.
    pub planned: usize,
    /// The number of failing destinations whose pause is not over.
    pub deferred: usize,
    /// The highest lag in seconds, without destinations that wait for something outside Annals. Measured only while
    /// orders of earlier plans are unfinished.
    pub lag_seconds: Option<u64>,
    /// Set if tables are copies that a restore made, and the restore is not recorded: then nothing is planned.
    pub copied_tables: Option<RestoredTables>,
}

impl Shipping {
    /// Sends an order for every active destination whose pause, if any, is over.
    ///
    /// # Errors
    /// Returns an error if the registry or the queue fails. Orders sent before the error are valid.
    pub async fn plan(&self) -> Result<PlanReport, StoreError> {
        if let Some(tables) = self.registry.copied_tables().await? {
            // What was delivered is unknown, so that anything could be delivered twice.
            return Ok(PlanReport { copied_tables: Some(tables), ..PlanReport::default() });
        }
        let now = self.clock.now();
        let active = self.registry.active_destinations().await?;
        // If the clock was ahead when a pause was set, the pause can seem longer than the maximum.
        let latest = now.plus(self.policy.backoff_cap);
        let is_due = |retry_at: Option<Timestamp>| retry_at.is_none_or(|at| at <= now || at > latest);
        let mut planned: Vec<&ActiveDestination> =
            active.iter().filter(|destination| is_due(destination.retry_at)).collect();
        // Destinations that failed last time may be slow: the others go first.
        planned.sort_by_key(|destination| destination.retry_at.is_some());
        let away = self.away_from_the_end(&active, now).await;
        let order = |active: &ActiveDestination| {
            let order = ShipOrder::of(active, now);
            ShipOrder { pending: order.pending || away.contains(&active.id), ..order }
        };
        let orders: Vec<ShipOrder> = planned.into_iter().map(order).collect();
        // A shipper reports the lag of the destinations that it ships. So every log is read only while shippers are
        // behind or do not run, or if the state of the queue is unknown.
        let is_busy = self.queue.is_busy().await.unwrap_or(true);
        self.queue.send(&orders).await?;
        let lag_seconds = if is_busy { self.worst_lag(&active).await } else { None };
        let (planned, deferred) = (orders.len(), active.len() - orders.len());
        Ok(PlanReport { planned, deferred, lag_seconds, copied_tables: None })
    }

    /// Returns the highest lag. Skips logs that cannot be read, so that one of them does not make the plan fail.
    async fn worst_lag(&self, active: &[ActiveDestination]) -> Option<u64> {
        let mut worst = None;
        let measured: Vec<_> = active.iter().filter(|one| !one.failure.is_some_and(is_outside_annals)).collect();
        for some in measured.chunks(MEASURED_AT_ONCE) {
            let lags = some.iter().map(|one| self.lag(&one.organisation, one.next_sequence, one.lag_from));
            worst = futures_util::future::join_all(lags).await.into_iter().flatten().chain(worst).max();
        }
        worst
    }
}
