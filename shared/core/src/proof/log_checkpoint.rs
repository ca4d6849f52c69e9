//! The newest checkpoint of a log, which the API returns. It is signed at most once a minute, however often it is read.

use std::{sync::Arc, time::Duration};

use super::{
    checkpoint::Checkpoint,
    signing::{Signing, SigningError},
};
use crate::{
    log::{Log, store::StoreError},
    organisation::Organisation,
    time::Timestamp,
};

/// A checkpoint that is younger is returned again.
const FRESH: Duration = Duration::from_secs(60);

/// A signed checkpoint of a log as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogCheckpoint {
    pub at: Timestamp,
    /// The signed note.
    pub note: String,
}

/// The checkpoints of all logs.
#[derive(Debug, Clone)]
pub struct LogCheckpoints {
    log: Arc<Log>,
    signing: Arc<Signing>,
}

impl LogCheckpoints {
    #[must_use]
    pub fn new(log: Arc<Log>, signing: Arc<Signing>) -> Self {
        Self { log, signing }
    }

    #[must_use]
    pub fn signing(&self) -> &Signing {
        &self.signing
    }

    /// Returns the signed note of a checkpoint that is at most a minute old.
    ///
    /// # Errors
    /// Returns an error if the log, the store or the signer fails.
    pub async fn newest(&self, organisation: &Organisation) -> Result<String, SigningError> {
        let Signing { store, clock, .. } = &*self.signing;
        let stored = store.log_checkpoint(&organisation.id).await?;
        let now = clock.now();
        if let Some(stored) = &stored
            && now.since(stored.at) < FRESH
            && stored.at <= now.plus(FRESH)
        {
            return Ok(stored.note.clone());
        }
        let tail = self.log.tail_of(organisation).await?;
        let current = self.signing.current().await?;
        let checkpoint = Checkpoint {
            signer: self.signing.name().clone(),
            organisation: organisation.id.clone(),
            last: tail.last,
            hash: tail.hash,
            time: now,
            delivered: None,
        };
        let note = self.signing.sign(&checkpoint.text(), &[current]).await?;
        let new = LogCheckpoint { at: now, note };
        if store.save_log_checkpoint(&organisation.id, stored.as_ref().map(|stored| stored.at), &new).await? {
            return Ok(new.note);
        }
        // Another request has just stored one.
        match store.log_checkpoint(&organisation.id).await? {
            Some(stored) => Ok(stored.note),
            None => Err(StoreError::Broken("a checkpoint was deleted".into()).into()),
        }
    }
}
