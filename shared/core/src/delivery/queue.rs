//! The port to the queue between planning and shipping.

#![warn(missing_docs)]

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{destination::failure::FailureCode, log::store::StoreError, registry::ActiveDestination, time::Timestamp};

/// The order to ship to one destination. It can be received more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipOrder {
    /// The organisation's id.
    pub organisation: String,
    /// The destination's id.
    pub destination: String,
    /// The sequence to deliver next, at the time of planning. If no such event exists, there is nothing to do.
    pub next_sequence: u64,
    /// Whether there is something to do even if no new event exists: a delivery is unfinished, a checkpoint is due, the
    /// events that waited have expired, or the log contradicted what was delivered.
    pub pending: bool,
}

impl ShipOrder {
    /// Returns the order to ship to a destination at `now`.
    #[must_use]
    pub fn of(active: &ActiveDestination, now: Timestamp) -> Self {
        Self {
            organisation: active.organisation.to_string(),
            destination: active.id.to_string(),
            next_sequence: active.next_sequence,
            pending: active.pending
                || active.checkpoint_due.is_some_and(|due| due <= now)
                || active.failure.is_some_and(FailureCode::is_contradiction),
        }
    }
}

/// A queue of ship orders.
#[async_trait]
pub trait ShipQueue: fmt::Debug + Send + Sync {
    /// Sends all of `orders`. After an error, some may have been sent.
    async fn send(&self, orders: &[ShipOrder]) -> Result<(), StoreError>;

    /// Returns whether orders wait or are being processed. Approximate.
    async fn is_busy(&self) -> Result<bool, StoreError>;
}
