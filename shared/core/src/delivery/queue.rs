//! The port to the queue between planning and shipping.

#![warn(missing_docs)]

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{log::store::StoreError, registry::ActiveDestination};

/// The order to ship to one destination, as a message. Receiving it twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipOrder {
    /// Whose destination.
    pub organisation: String,
    /// Which one.
    pub destination: String,
    /// The sequence to be delivered next when it was planned: where nothing is, nothing needs to be done.
    pub next_sequence: u64,
    /// Whether there is something to be done even where nothing new is: a delivery was begun and not finished, or what was
    /// waited for has expired.
    pub pending: bool,
}

impl From<&ActiveDestination> for ShipOrder {
    fn from(active: &ActiveDestination) -> Self {
        Self {
            organisation: active.organisation.to_string(),
            destination: active.id.to_string(),
            next_sequence: active.next_sequence,
            pending: active.pending,
        }
    }
}

/// Where ship orders wait.
#[async_trait]
pub trait ShipQueue: fmt::Debug + Send + Sync {
    /// Sends all of `orders`; after an error some may have been sent.
    async fn send(&self, orders: &[ShipOrder]) -> Result<(), StoreError>;

    /// Whether orders that were sent wait or are being worked on, about.
    async fn is_busy(&self) -> Result<bool, StoreError>;
}
