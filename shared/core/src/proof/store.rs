//! The port to the storage of published keys and of logs' checkpoints.

#![warn(missing_docs)]

use std::fmt;

use async_trait::async_trait;

use super::{key::PublishedKey, log_checkpoint::LogCheckpoint};
use crate::{log::store::StoreError, organisation::OrganisationId, time::Timestamp};

/// The storage of published keys and of logs' checkpoints.
#[async_trait]
pub trait ProofStore: fmt::Debug + Send + Sync {
    /// Returns the keys that sign or signed checkpoints, the oldest first, strongly consistent.
    async fn signing_keys(&self) -> Result<Vec<PublishedKey>, StoreError>;

    /// Saves a key as the one with this number, counted from 1, unless that number is taken. Returns whether it was saved.
    async fn publish_signing_key(&self, number: u64, key: &PublishedKey) -> Result<bool, StoreError>;

    /// Returns the newest signed checkpoint of a log, strongly consistent.
    async fn log_checkpoint(&self, organisation: &OrganisationId) -> Result<Option<LogCheckpoint>, StoreError>;

    /// Saves the newest signed checkpoint of a log on condition that the stored one has the time `before`; `None` means that
    /// none is stored. Returns whether it was saved.
    async fn save_log_checkpoint(
        &self,
        organisation: &OrganisationId,
        before: Option<Timestamp>,
        checkpoint: &LogCheckpoint,
    ) -> Result<bool, StoreError>;
}
